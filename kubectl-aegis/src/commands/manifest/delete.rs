//! `rule delete` and `template delete`.

use clap::Args;
use kube::api::DeleteParams;
use kubectl_aegis::view::kinds::Resource;

use super::api;
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::manifests;
use crate::output;

#[derive(Args)]
pub(crate) struct Delete {
    /// Which, by name
    #[arg(value_name = "NAME", required_unless_present = "filename")]
    names: Vec<String>,
    /// Those of these files or folders ("-" for standard input)
    #[arg(short, long, value_name = "PATH", num_args = 1.., conflicts_with = "names")]
    filename: Vec<String>,
    /// One that is not there is no failure
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    dry_run: DryRunArg,
}

impl Delete {
    /// Deletes objects of these resources; names are those of the first.
    pub(crate) async fn run(&self, cluster: &ClusterArgs, resources: &[Resource]) -> anyhow::Result<()> {
        let mut targets: Vec<(Resource, String, String)> = Vec::new();
        if let Some(resource) = resources.first() {
            let bare = |name: &String| name.rsplit('/').next().unwrap_or_default().to_owned();
            targets.extend(self.names.iter().map(|name| (*resource, cluster.namespace.clone(), bare(name))));
        }
        for document in manifests::documents(&self.filename, &cluster.namespace)? {
            let namespace = document.object.pointer("/metadata/namespace").and_then(serde_json::Value::as_str);
            let namespace = namespace.unwrap_or(&cluster.namespace).to_owned();
            let resource = resources.iter().find(|resource| resource.kind == document.kind());
            targets.extend(resource.map(|resource| (*resource, namespace, document.name().to_owned())));
        }
        if targets.is_empty() {
            return Err(Failure::new(Kind::Usage, "nothing in the files that this verb deletes").into());
        }
        let client = cluster.client().await?;
        let dry_run = self.dry_run.dry_run;
        let mut missing = Vec::new();
        for (resource, namespace, name) in targets {
            let api = api(&client, &resource, &namespace);
            let failed = |error| Failure::of_aegis_call(format!("could not delete {}", resource.named(&name)), error);
            let found = if dry_run == DryRun::Client {
                api.get_metadata_opt(&name).await.map(|found| found.is_some())
            } else {
                let parameters = DeleteParams { dry_run: dry_run == DryRun::Server, ..DeleteParams::default() };
                match api.delete(&name, &parameters).await {
                    Ok(_) => Ok(true),
                    Err(kube::Error::Api(status))
                        if status.code == 404 && !crate::failure::is_unknown_kind(&status) =>
                    {
                        Ok(false)
                    }
                    Err(error) => Err(error),
                }
            };
            match found.map_err(failed)? {
                true => output::line(&format!("{} deleted{}", resource.named(&name), dry_run.remark())),
                false => missing.push(resource.named(&name)),
            }
        }
        if missing.is_empty() || self.ignore_not_found {
            return Ok(());
        }
        Err(Failure::new(Kind::NotFound, format!("not found: {}", missing.join(", "))).into())
    }
}
