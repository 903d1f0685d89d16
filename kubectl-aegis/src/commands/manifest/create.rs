//! `rule create` and `template create`: an object that must not be there yet.

use clap::{Args, ValueEnum};
use kube::api::{DynamicObject, PostParams};
use kubectl_aegis::view::kinds::Resource;
use serde_json::Value;

use super::api;
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::Failure;
use crate::guard::FIELD_MANAGER;
use crate::output;

/// How a creation is carried out and told.
#[derive(Args)]
pub(crate) struct Creation {
    #[command(flatten)]
    pub(crate) dry_run: DryRunArg,
    /// json, yaml: print the object; with --dry-run=client that is how a file begins
    #[arg(short, long, value_name = "json|yaml", hide_possible_values = true)]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

impl Creation {
    /// Creates the object in the namespace of -n.
    pub(crate) async fn carry_out(
        &self,
        cluster: &ClusterArgs,
        resource: &Resource,
        object: Value,
    ) -> anyhow::Result<()> {
        let dry_run = self.dry_run.dry_run;
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let object = if dry_run == DryRun::Client {
            object
        } else {
            let client = cluster.client().await?;
            let parameters =
                PostParams { dry_run: dry_run == DryRun::Server, field_manager: Some(FIELD_MANAGER.to_owned()) };
            let object: DynamicObject = serde_json::from_value(object)?;
            let made = api(&client, resource, &cluster.namespace).create(&parameters, &object).await;
            let mut made = made.map_err(|error| {
                Failure::of_aegis_call(format!("could not create {}", resource.named(&name)), error)
            })?;
            made.metadata.managed_fields = None;
            serde_json::to_value(made)?
        };
        match self.output {
            Some(Format::Json) => output::line(&serde_json::to_string_pretty(&object)?),
            Some(Format::Yaml) => output::line(serde_saphyr::to_string(&object)?.trim_end()),
            None => output::line(&format!("{} created{}", resource.named(&name), dry_run.remark())),
        }
        Ok(())
    }
}
