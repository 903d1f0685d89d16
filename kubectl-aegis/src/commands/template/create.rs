//! `kubectl aegis template create`: a template from a script or a manifest.

use aegis_crds::AegisOpsTemplate;
use aegis_engine::plan::CompiledTemplate;
use clap::{Args, ValueEnum};
use kubectl_aegis::view::kinds::TEMPLATE;
use serde_json::{Value, json};

use crate::cluster::ClusterArgs;
use crate::commands::alert::body;
use crate::commands::manifest::create::Creation;
use crate::failure::{Failure, Kind};

/// Make a template from a script, or from the manifest of a Workflow or Job
///
/// A script becomes a Workflow of one step, or with --executor job a Job, in which a value of the alert stands as {{.node}}.
/// It is checked before it is sent. With --dry-run=client -o yaml it is only printed, to go on from.
#[derive(Args)]
#[command(after_help = "Examples:
  # See what it would be
  kubectl aegis template create cordon --script 'kubectl cordon {{.node}}' --dry-run=client -o yaml

  # A Job, for a cluster without Argo
  kubectl aegis template create uncordon --script 'kubectl uncordon {{.node}}' --executor job --recovery

Exit codes: 0 if it was created, 1 if it could not be used, 4 if you may not, 6 if one of that name is there.")]
pub(crate) struct Create {
    /// The template's name
    #[arg(value_name = "NAME")]
    name: String,
    /// What its one step runs, under sh
    #[arg(long, value_name = "TEXT", required_unless_present = "manifest", conflicts_with = "manifest")]
    script: Option<String>,
    /// The text of a Workflow or Job, from a file ("-" for standard input)
    #[arg(long, value_name = "FILE")]
    manifest: Option<String>,
    /// The image of the script's container
    #[arg(long, value_name = "IMAGE", default_value = concat!("aegis-sop:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// What carries the script out
    #[arg(long, default_value = "workflow")]
    executor: Executor,
    /// How long it may take, such as 30m
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// It puts back what Aegis did
    #[arg(long)]
    recovery: bool,
    /// It acts on the node that the alert's object is on
    #[arg(long)]
    acts_on_node: bool,
    #[command(flatten)]
    creation: Creation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Executor {
    Workflow,
    Job,
}

impl Create {
    pub(super) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let object = self.object(&cluster.namespace)?;
        let template: AegisOpsTemplate = serde_json::from_value(object.clone())?;
        if let Err(broken) = CompiledTemplate::compile(&template) {
            return Err(
                Failure::new(Kind::Findings, format!("template {} could not be used: {broken}", self.name)).into()
            );
        }
        self.creation.carry_out(cluster, &TEMPLATE, object).await
    }

    fn object(&self, namespace: &str) -> anyhow::Result<Value> {
        let manifest = match (&self.script, &self.manifest) {
            (Some(script), _) => serde_saphyr::to_string(&self.of_script(script))?,
            (None, Some(file)) => String::from_utf8(body::read(file)?)?,
            (None, None) => String::new(),
        };
        let mut spec = json!({"manifest": manifest});
        if let Some(fields) = spec.as_object_mut() {
            if let Some(timeout) = &self.timeout {
                fields.insert("timeout".to_owned(), json!(timeout));
            }
            if self.recovery {
                fields.insert("recovery".to_owned(), json!(true));
            }
            if self.acts_on_node {
                fields.insert("actsOn".to_owned(), json!("Node"));
            }
        }
        Ok(json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisOpsTemplate",
            "metadata": {"name": self.name, "namespace": namespace}, "spec": spec,
        }))
    }

    fn of_script(&self, script: &str) -> Value {
        let command = json!(["sh", "-c", format!("{}\n", script.trim_end())]);
        let account = "aegis-workflow";
        match self.executor {
            Executor::Workflow => json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
                "spec": {
                    "serviceAccountName": account, "ttlStrategy": {"secondsAfterCompletion": 3600}, "entrypoint": "main",
                    "templates": [{"name": "main", "container": {"image": self.image, "command": command}}],
                },
            }),
            Executor::Job => json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 3600, "template": {"spec": {
                    "serviceAccountName": account, "restartPolicy": "Never",
                    "containers": [{"name": "main", "image": self.image, "command": command}],
                }}},
            }),
        }
    }
}
