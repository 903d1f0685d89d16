//! `rule apply` and `template apply`: bring the cluster to what files say.

use aegis_crds::{AegisAlertOpsRule, AegisOpsTemplate};
use aegis_engine::plan::CompiledTemplate;
use aegis_engine::rules::CompiledRule;
use clap::Args;
use kube::Client;
use kubectl_aegis::view::kinds::{RULE, Resource, TEMPLATE};
use serde_json::Value;

use crate::apply::{self, How};
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::manifests::{self, Document};
use crate::output;

#[derive(Args)]
pub(crate) struct Apply {
    /// The files or folders ("-" for standard input)
    #[arg(short, long, value_name = "PATH", num_args = 1.., required = true)]
    pub(crate) filename: Vec<String>,
    /// Take over fields that somebody else set, as `kubectl apply --server-side` has it
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    dry_run: DryRunArg,
}

impl Apply {
    /// Applies the objects of these resources, in their order. All of them are checked before the first is written.
    pub(crate) async fn run(&self, cluster: &ClusterArgs, resources: &[Resource]) -> anyhow::Result<Vec<Document>> {
        let documents = manifests::documents(&self.filename, &cluster.namespace)?;
        let mut chosen: Vec<(&Resource, &Document)> = Vec::new();
        for resource in resources {
            let of_kind = documents.iter().filter(|document| document.kind() == resource.kind);
            chosen.extend(of_kind.map(|document| (resource, document)));
        }
        if chosen.is_empty() {
            let kinds: Vec<&str> = resources.iter().map(|resource| resource.kind).collect();
            return Err(Failure::new(Kind::Usage, format!("no {} in the files", kinds.join(" or "))).into());
        }
        for (resource, document) in &chosen {
            usable(resource, document)?;
        }
        let client = cluster.client().await?;
        for (resource, document) in &chosen {
            self.one(&client, resource, document).await?;
        }
        Ok(chosen.into_iter().map(|(_, document)| document.clone()).collect())
    }

    async fn one(&self, client: &Client, resource: &Resource, document: &Document) -> Result<(), Failure> {
        let name = document.name();
        let api = apply::api(client, &document.object);
        let failed = |error| Failure::of_aegis_call(format!("could not apply {}", resource.named(name)), error);
        let before = api.get_metadata_opt(name).await.map_err(failed)?;
        let before = before.map(|found| found.metadata.resource_version);
        let dry_run = self.dry_run.dry_run;
        let after = match dry_run {
            DryRun::Client => None,
            DryRun::None | DryRun::Server => {
                let hint = "somebody else set these fields; --force-conflicts takes them over";
                let how = How::new(dry_run, self.force_conflicts, hint);
                Some(apply::object(client, &document.object, how).await?.metadata.resource_version)
            }
        };
        let done = match (before, after) {
            (None, _) => "created",
            (Some(before), Some(after)) if before == after => "unchanged",
            (Some(_), _) => "configured",
        };
        output::line(&format!("{} {done}{}", resource.named(name), dry_run.remark()));
        Ok(())
    }
}

/// Nothing is written that cannot be used.
fn usable(resource: &Resource, document: &Document) -> Result<(), Failure> {
    let flaws: Vec<String> = if *resource == RULE {
        match CompiledRule::compile(&document.read::<AegisAlertOpsRule>()?) {
            Ok(_) => Vec::new(),
            Err(broken) => broken.flaws.iter().map(ToString::to_string).collect(),
        }
    } else if *resource == TEMPLATE {
        CompiledTemplate::compile(&document.read::<AegisOpsTemplate>()?)
            .err()
            .map(|broken| broken.flaws)
            .unwrap_or_default()
    } else {
        Vec::new()
    };
    let wrong = |field: &str, found: &str, expected: &str| {
        let found = if found.is_empty() { "nothing" } else { found };
        Failure::new(Kind::Usage, format!("{}: {field}: found {found}, expected {expected}", document.place))
    };
    if document.name().is_empty() {
        return Err(wrong("metadata.name", "", "a name"));
    }
    let version = document.object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version != resource.api_version() {
        return Err(wrong("apiVersion", version, &resource.api_version()));
    }
    if flaws.is_empty() {
        return Ok(());
    }
    let what = format!("{}: {} cannot be used: {}", document.place, resource.named(document.name()), flaws.join("; "));
    Err(Failure::new(Kind::Findings, what).hint("nothing was written"))
}
