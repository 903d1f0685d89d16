//! Which rules and templates alerts are put through: those of files, or those of the cluster.

use aegis_crds::AegisGuard;
use aegis_crds::guard::AegisGuardSpec;
use aegis_crds::names::GUARD_NAME;
use clap::Args;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use kubectl_aegis::view::kinds::{NODE, RULE, Resource, TEMPLATE};
use serde::de::DeserializeOwned;

use crate::cluster::ClusterArgs;
use crate::commands::plan::known::Known;
use crate::commands::plan::settings::Given;
use crate::failure::{Failure, Kind};
use crate::fetch::{self, Wanted};
use crate::manifests::{self, Manifests};

/// Where the rules are.
#[derive(Args, Debug)]
pub(super) struct Against {
    /// The rules and templates, as a file or folder ("-" for standard input), repeat it for more; those of the cluster
    /// without. An AegisGuard and Nodes among them are judged by too
    #[arg(short, long, value_name = "PATH")]
    pub(super) filename: Vec<String>,
    #[command(flatten)]
    pub(super) given: Given,
}

impl Against {
    /// The rules, templates and policy that alerts are put through.
    pub(super) async fn manifests(&self, cluster: &ClusterArgs, client: Option<&Client>) -> Result<Manifests, Failure> {
        let mut manifests = manifests::read(&self.filename, &cluster.namespace)?;
        if !self.filename.is_empty() && manifests.rules.is_empty() {
            return Err(Failure::new(Kind::Usage, format!("no AegisAlertOpsRule in {}", self.filename.join(", "))));
        }
        let Some(client) = client else { return Ok(manifests) };
        let scope = if self.given.everywhere() { None } else { Some(cluster.namespace.as_str()) };
        if manifests.rules.is_empty() {
            manifests.rules = objects(client, &RULE, scope).await?;
        }
        if manifests.templates.is_empty() {
            manifests.templates = objects(client, &TEMPLATE, scope).await?;
        }
        if manifests.guard.is_none() {
            manifests.guard = policy(client, &cluster.namespace).await;
        }
        if manifests.nodes.is_empty() {
            match objects::<Node>(client, &NODE, None).await {
                Ok(nodes) => manifests.nodes = nodes,
                Err(failure) => {
                    let remedy = failure.remedy().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
                    eprintln!("no gate looks at the nodes: {failure}{remedy}");
                }
            }
        }
        Ok(manifests)
    }

    /// What those manifests say to decisions.
    pub(super) fn known(&self, cluster: &ClusterArgs, manifests: &Manifests) -> Result<Known, Failure> {
        Ok(Known::of_manifests(self.given.settings(&cluster.namespace)?, manifests))
    }
}

async fn objects<T: DeserializeOwned>(
    client: &Client,
    resource: &Resource,
    namespace: Option<&str>,
) -> Result<Vec<T>, Failure> {
    let listed = fetch::list(client, resource, &Wanted::all_in(namespace)).await?;
    Ok(listed.items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
}

/// The policy of the cluster: what is paused now, and what is under way now, says nothing about other times.
async fn policy(client: &Client, namespace: &str) -> Option<AegisGuard> {
    let guards = Api::<AegisGuard>::namespaced(client.clone(), namespace);
    let found = guards.get_opt(GUARD_NAME).await.ok().flatten()?;
    let spec = AegisGuardSpec { pauses: Vec::new(), resumed: Default::default(), ..found.spec };
    Some(AegisGuard::new(GUARD_NAME, spec))
}
