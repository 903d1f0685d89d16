//! `kubectl aegis template render`: the object that a template makes of an alert.

use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisOpsTemplate};
use aegis_engine::incident::IncidentId;
use aegis_engine::plan;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kubectl_aegis::view::kinds::{ALERT, TEMPLATE};
use serde_json::json;

use crate::cluster::ClusterArgs;
use crate::commands::alert::body::{self, Phase, Words};
use crate::commands::plan::known::Known;
use crate::commands::plan::settings::Given;
use crate::failure::{Failure, Kind};
use crate::fetch;
use crate::manifests::{self, Manifests};
use crate::output;
use crate::replay::cases::{taken_in, to_be_stored};

/// Print the Workflow or Job that a template makes of an alert
///
/// The alert is given in words as for `kubectl aegis alert send`, as a body in a file, or by the name of one that is
/// stored. The object is rendered and checked by the function that the controller calls; nothing is sent. With -f and an
/// alert in words or a file no cluster is needed.
#[derive(Args)]
#[command(after_help = "Examples:
  # With a value for each parameter
  kubectl aegis template render nodehasemergencyevent -f examples/quickstart/rule.yaml X --node dev1

  # With a recorded alert
  kubectl aegis template render nodehasemergencyevent --alert examples/quickstart/alert.json

  # With an alert that is stored
  kubectl aegis template render nodehasemergencyevent --of default-nodehasemergencyevent-4vwzmc2dq5ylk -o json

Exit codes: 0 if it can be rendered, 1 if not, 5 if there is no such template or alert.")]
pub(crate) struct Render {
    /// The template, by name
    #[arg(value_name = "TEMPLATE")]
    template: String,
    /// The file or folder with the template, repeat it for more; without it is read from the cluster
    #[arg(short, long, value_name = "PATH")]
    filename: Vec<String>,
    /// A file with the alert
    #[arg(long, value_name = "FILE", conflicts_with_all = ["type_", "of"])]
    alert: Option<String>,
    /// The name of a stored alert
    #[arg(long, value_name = "ALERT", conflicts_with = "type_")]
    of: Option<String>,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    given: Given,
    /// How to print it
    #[arg(short, long, default_value = "yaml")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

impl Render {
    pub(super) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let template = self.template(cluster).await?;
        let alert = self.alert(cluster).await?;
        // A rule for this alert and this template alone: what is asked is what the template makes of it.
        let pattern: String = alert.spec.type_.chars().map(|c| if c.is_alphanumeric() { c } else { '.' }).collect();
        let rule: AegisAlertOpsRule = serde_json::from_value(json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlertOpsRule",
            "metadata": {"name": self.template, "namespace": cluster.namespace},
            "spec": {
                "alertConditions": [{"type": format!("^{pattern}$"), "status": plan::phase(&alert)}],
                "opsTemplate": {"name": template.metadata.name, "namespace": template.metadata.namespace},
            },
        }))?;
        let mut settings = self.given.settings(&cluster.namespace)?;
        settings.rule_namespaces.extend(template.metadata.namespace.clone());
        let manifests = Manifests { rules: vec![rule], templates: vec![template], ..Manifests::default() };
        let explained = plan::explain(&Known::of_manifests(settings, &manifests).snapshot(alert), Timestamp::now());
        let Some(object) = explained.object else {
            return Err(Failure::new(Kind::Findings, explained.decision.message).into());
        };
        match self.output {
            Format::Json => output::line(&serde_json::to_string_pretty(&object)?),
            Format::Yaml => output::line(serde_saphyr::to_string(&object)?.trim_end()),
        }
        Ok(())
    }

    async fn template(&self, cluster: &ClusterArgs) -> anyhow::Result<AegisOpsTemplate> {
        let missing =
            |place: &str| Failure::new(Kind::NotFound, format!("there is no template {} in {place}", self.template));
        if !self.filename.is_empty() {
            let found = manifests::read(&self.filename, &cluster.namespace)?.templates.into_iter();
            let mut found = found.filter(|template| template.metadata.name.as_deref() == Some(self.template.as_str()));
            return Ok(found.next().ok_or_else(|| missing(&self.filename.join(", ")))?);
        }
        let client = cluster.client().await?;
        let found = fetch::get(&client, &TEMPLATE, Some(&cluster.namespace), &self.template).await?;
        Ok(serde_json::from_value(found.ok_or_else(|| missing(&cluster.namespace))?)?)
    }

    /// The alert as it would be stored, or is, without what has become of it.
    async fn alert(&self, cluster: &ClusterArgs) -> anyhow::Result<AegisAlert> {
        if let Some(name) = &self.of {
            let name = name.rsplit('/').next().unwrap_or_default();
            let client = cluster.client().await?;
            let found = fetch::get(&client, &ALERT, Some(&cluster.namespace), name).await?;
            let found = found.ok_or_else(|| {
                Failure::new(Kind::NotFound, format!("there is no alert {name} in {}", cluster.namespace))
            })?;
            let mut alert: AegisAlert = serde_json::from_value(found)?;
            alert.status = None;
            return Ok(alert);
        }
        let bytes = match &self.alert {
            Some(file) => body::read(file)?,
            None => serde_json::to_vec(&body::custom(&self.words, Phase::Firing)?)?,
        };
        let intake = taken_in(&bytes)?;
        if let Some(rejected) = intake.rejected.first() {
            return Err(Failure::new(Kind::Findings, format!("the webhook would reject this alert: {rejected}")).into());
        }
        match intake.signals.as_slice() {
            [(_, signal)] => Ok(to_be_stored(signal, &cluster.namespace, &IncidentId::First)),
            several => {
                let found = several.len();
                Err(Failure::new(Kind::Usage, format!("--alert: found {found} alerts, expected one")).into())
            }
        }
    }
}
