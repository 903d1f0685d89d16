//! `kubectl aegis rule create`: a rule from words.

use std::collections::BTreeMap;

use aegis_crds::AegisAlertOpsRule;
use aegis_engine::rules::CompiledRule;
use clap::{Args, ValueEnum};
use kubectl_aegis::view::kinds::RULE;
use serde_json::{Value, json};

use crate::cluster::ClusterArgs;
use crate::commands::manifest::create::Creation;
use crate::failure::{Failure, Kind};

/// Make a rule: which alerts lead to which template
///
/// It is checked before it is sent. With --dry-run=client -o yaml it is only printed, to go on from. A new rule had better
/// begin with --mode observe; `kubectl aegis rule report` then says what it would have done.
#[derive(Args)]
#[command(after_help = "Examples:
  # See what it would be
  kubectl aegis rule create slow-disk --type '^DiskSlow$' --template cordon --dry-run=client -o yaml

  # Only observe, on the alerts of one team
  kubectl aegis rule create slow-disk --type '^DiskSlow$' --template cordon --label team=gpu --mode observe

Exit codes: 0 if it was created, 1 if it could not be used, 4 if you may not, 6 if one of that name is there.")]
pub(crate) struct Create {
    /// The rule's name
    #[arg(value_name = "NAME")]
    name: String,
    /// A regular expression that is searched for in the alert's type; repeat it for more
    #[arg(long = "type", value_name = "PATTERN", required = true)]
    types: Vec<String>,
    /// The phase of the alert
    #[arg(long, default_value = "firing")]
    status: Phase,
    /// The template to run
    #[arg(long, value_name = "NAME")]
    template: String,
    /// A label that the alert must have; repeat it for more
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Among rules that match the highest wins
    #[arg(long, value_name = "NUMBER")]
    priority: Option<i32>,
    /// Act, or only say what would be done
    #[arg(long, default_value = "act")]
    mode: Mode,
    /// A person approves each action first
    #[arg(long)]
    approval: bool,
    #[command(flatten)]
    creation: Creation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    Firing,
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Act,
    Observe,
}

impl Create {
    pub(super) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let object = self.object(&cluster.namespace)?;
        let rule: AegisAlertOpsRule = serde_json::from_value(object.clone())?;
        if let Err(broken) = CompiledRule::compile(&rule) {
            return Err(Failure::new(Kind::Findings, format!("rule {} could not be used: {broken}", self.name)).into());
        }
        self.creation.carry_out(cluster, &RULE, object).await
    }

    fn object(&self, namespace: &str) -> Result<Value, Failure> {
        let status = if self.status == Phase::Firing { "Firing" } else { "Resolved" };
        let conditions: Vec<Value> =
            self.types.iter().map(|pattern| json!({"type": pattern, "status": status})).collect();
        let mut spec = json!({
            "alertConditions": conditions,
            "opsTemplate": {"kind": "AegisOpsTemplate", "apiVersion": "aegis.io/v1alpha1", "name": self.template},
        });
        let mut labels = BTreeMap::new();
        for pair in &self.labels {
            let (key, value) = pair
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| Failure::new(Kind::Usage, format!("--label: found {pair:?}, expected KEY=VALUE")))?;
            labels.insert(key, value);
        }
        if let Some(fields) = spec.as_object_mut() {
            if !labels.is_empty() {
                fields.insert("selector".to_owned(), json!({"matchLabels": labels}));
            }
            if let Some(priority) = self.priority {
                fields.insert("priority".to_owned(), json!(priority));
            }
            if self.mode == Mode::Observe {
                fields.insert("mode".to_owned(), json!("Observe"));
            }
            if self.approval {
                fields.insert("approval".to_owned(), json!("Required"));
            }
        }
        Ok(json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlertOpsRule",
            "metadata": {"name": self.name, "namespace": namespace}, "spec": spec,
        }))
    }
}
