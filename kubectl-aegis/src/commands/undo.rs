//! `kubectl aegis undo`: put back what Aegis changed on a node.

use std::time::{Duration, Instant};

use aegis_crds::AegisAlert;
use aegis_engine::guard::changes::{self, CannotUndo, Change};
use clap::Args;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};

use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::guard::FIELD_MANAGER;
use crate::output;

/// For how long it is tried while others write the node.
const PATIENCE: Duration = Duration::from_secs(10);

/// Put back what Aegis changed on a node: a cordon, taints, labels
///
/// Aegis writes down on a node what an action changed there, in the annotation aegis.io/changes. All of it is put back, or
/// what one alert led to. It is refused where somebody has changed the same thing since: nothing is put back then, and the
/// message says what moved on. What is put back is told on stderr.
///
/// It is done with your own rights: patch on nodes.
#[derive(Args)]
#[command(after_help = "Examples:
  # Everything that Aegis changed on a node
  kubectl aegis undo node/dev1

  # What one alert led to
  kubectl aegis undo default-nodedown-4vwzmc2dq5ylk

  # What would be put back
  kubectl aegis undo node/dev1 --dry-run=client

Exit codes: 0 if it is as it was before, also where nothing of Aegis was left, 4 if you may not, 5 if there is no such
node or alert, 6 if somebody changed it since.")]
pub(crate) struct Undo {
    /// node/NAME, or an alert
    #[arg(value_name = "node/NAME|ALERT")]
    target: String,
    #[command(flatten)]
    dry_run: DryRunArg,
}

impl Undo {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let client = cluster.client().await?;
        let (node, alert) = match self.target.strip_prefix("node/") {
            Some(node) => (node.to_owned(), None),
            None => {
                let alert = self.target.rsplit('/').next().unwrap_or_default().to_owned();
                (node_of(&client, &cluster.namespace, &alert).await?, Some(alert))
            }
        };
        put_back(&client, &node, alert.as_deref(), self.dry_run.dry_run).await
    }
}

/// The node that the alert's actions changed.
async fn node_of(client: &Client, namespace: &str, name: &str) -> Result<String, Failure> {
    let alerts: Api<AegisAlert> = Api::namespaced(client.clone(), namespace);
    let alert = alerts.get_opt(name).await;
    let alert = alert.map_err(|error| Failure::of_call(format!("could not read the alert {name}"), error))?;
    let Some(alert) = alert else {
        return Err(Failure::new(Kind::NotFound, format!("there is no alert {name} in {namespace}"))
            .hint("a node is named as node/NAME"));
    };
    let object = &alert.spec.involved_object;
    let node = if object.kind.eq_ignore_ascii_case("node") { &object.name } else { &object.node };
    if node.is_empty() {
        return Err(Failure::new(Kind::NotFound, format!("alert {name} is about no node")));
    }
    Ok(node.clone())
}

async fn put_back(client: &Client, name: &str, alert: Option<&str>, dry_run: DryRun) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let began = Instant::now();
    loop {
        let found = nodes.get_opt(name).await;
        let found = found.map_err(|error| Failure::of_call(format!("could not read node {name}"), error))?;
        let Some(node) = found else {
            return Err(Failure::new(Kind::NotFound, format!("there is no node {name}")).into());
        };
        let patch = match changes::undo(&node, alert) {
            Ok(patch) => patch,
            Err(nothing @ CannotUndo::Nothing) => {
                eprintln!("node/{name}: {nothing}");
                return Ok(());
            }
            Err(moved @ CannotUndo::MovedOn { .. }) => {
                return Err(Failure::new(Kind::Refused, format!("node {name}: {moved}")).into());
            }
        };
        if dry_run != DryRun::Client {
            let parameters = PatchParams {
                dry_run: dry_run == DryRun::Server,
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            match nodes.patch(name, &parameters, &Patch::Merge(patch)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 409 && began.elapsed() < PATIENCE => continue,
                Err(error) => return Err(Failure::of_call(format!("could not put node {name} back"), error).into()),
            }
        }
        for change in changes::recorded(&node).iter().filter(|change| alert.is_none_or(|alert| change.alert == alert)) {
            eprintln!("{}", told(change));
        }
        output::line(&format!("node/{} put back{}", node.name_any(), dry_run.remark()));
        return Ok(());
    }
}

/// One change as it is put back.
fn told(change: &Change) -> String {
    let Change { field, before, after, alert, rule, expires, .. } = change;
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    format!(
        "{field}: {} -> {} (set for alert {alert}, rule {rule}{})",
        value(after),
        value(before),
        expires.map(|end| format!(", until {end}")).unwrap_or_default()
    )
}
