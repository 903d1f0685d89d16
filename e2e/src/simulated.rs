//! Nodes without machines, as many as a scenario asks for. They are real to everything that looks at the API server:
//! kwok keeps their status and renews their leases as kubelets would, so the node controller takes them for healthy, and
//! the real kubectl cordons, taints and labels them. No pod is scheduled there.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::cluster::{Cluster, NODE_GRACE};
use crate::machine::Running;
use crate::parts;
use crate::wait::{PATIENCE, within};

/// The label of all of them.
const LABEL: &str = "aegis-e2e/simulated";
/// How many requests are under way at once.
const AT_ONCE: usize = 32;

/// Nodes that were added. Dropping this ends what keeps them alive; [`clear`] takes them away.
pub struct SimulatedNodes {
    kwok: Running,
}

impl SimulatedNodes {
    /// Selects all of them.
    pub const SELECTOR: &'static str = LABEL;

    /// Adds so many nodes with these labels each, and waits until all are ready.
    pub async fn start(
        cluster: &Cluster,
        count: usize,
        labels: impl Fn(usize) -> Vec<(&'static str, String)>,
    ) -> anyhow::Result<Self> {
        clear(cluster).await?;
        let nodes: Api<Node> = Api::all(cluster.client.clone());
        let made = (0..count).map(|number| {
            let mut all: serde_json::Map<String, serde_json::Value> =
                labels(number).into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
            all.insert(LABEL.to_owned(), json!("true"));
            let taint = json!({"key": LABEL, "effect": "NoSchedule"});
            json!({"metadata": {"name": Self::name(number), "labels": all}, "spec": {"taints": [taint]}})
        });
        stream::iter(made.map(Ok::<_, anyhow::Error>))
            .try_for_each_concurrent(AT_ONCE, |node| {
                let nodes = &nodes;
                async move {
                    nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
                    Ok(())
                }
            })
            .await?;
        // One that looks while nodes of the same names still go away may miss the new ones.
        let part = parts::ensure(&parts::KWOK).await?;
        let mut command = cluster.machine.command(part.program("kwok"))?;
        command.arg("--kubeconfig").arg(cluster.kubeconfig()).args(["--manage-all-nodes=false"]);
        command.arg(format!("--manage-nodes-with-label-selector={LABEL}"));
        // It renews four times as often.
        command.arg(format!("--node-lease-duration-seconds={}", NODE_GRACE.as_secs()));
        let mut kwok = cluster.machine.start("kwok", command)?.bound();
        // To read very many is work, and leaves kwok less of the machine.
        let pause = Duration::from_millis(u64::try_from(count)?);
        within(PATIENCE * 3, "the simulated nodes are ready", || {
            let ended = kwok.must_run();
            let nodes = &nodes;
            async move {
                tokio::time::sleep(pause).await;
                if let Err(error) = ended {
                    return Ok(Some(Err(error)));
                }
                let ready = nodes.list(&ListParams::default().labels(LABEL)).await?.iter().filter(is_ready).count();
                ensure!(ready == count, "{ready} of {count} are");
                Ok(Some(Ok(())))
            }
        })
        .await??;
        Ok(Self { kwok })
    }

    /// The name of one, by its number from 0.
    pub fn name(number: usize) -> String {
        format!("sim-{number}")
    }

    /// Takes them out of the cluster.
    pub async fn stop(mut self, cluster: &Cluster) -> anyhow::Result<()> {
        self.kwok.stop().await?;
        clear(cluster).await
    }
}

fn is_ready(node: &&Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Takes away the nodes that are left, of a scenario that failed too, and their leases: as long as one stands in an old
/// name nobody keeps its node alive.
pub async fn clear(cluster: &Cluster) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), "kube-node-lease");
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let left = nodes.list_metadata(&ListParams::default().labels(LABEL)).await?.items;
    stream::iter(left)
        .map(|node| {
            let (nodes, leases) = (&nodes, &leases);
            async move {
                let name = node.metadata.name.context("a node has no name")?;
                nodes.delete(&name, &DeleteParams::default()).await?;
                match leases.delete(&name, &DeleteParams::default()).await {
                    Err(error) if !matches!(&error, kube::Error::Api(status) if status.code == 404) => {
                        Err(error.into())
                    }
                    _ => anyhow::Ok(()),
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}
