//! Does what the procedures of the storm would: cordons and uncordons nodes, for Workflows that Argo's controller leaves
//! alone. A thousand pods would take hours on one machine, and what they would do is not what is shown.

use std::sync::Arc;
use std::time::Duration;

use aegis_crds::names::{ARGO_PHASE_LABEL, PHASE_LABEL};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How long an action takes.
const TAKES: Duration = Duration::from_millis(200);

/// Runs Workflows until it is dropped.
pub(super) struct Executor(JoinHandle<()>);

impl Drop for Executor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Executor {
    pub(super) fn start(client: &Client, namespace: &str) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"));
        let hands = Arc::new(Hands {
            workflows: Api::namespaced_with(client.clone(), namespace, &resource),
            nodes: Api::all(client.clone()),
        });
        let made = watcher(hands.workflows.clone(), watcher::Config::default()).default_backoff().applied_objects();
        let fresh = made.try_filter(|object| {
            let fresh = !object.labels().contains_key(ARGO_PHASE_LABEL) && object.metadata.deletion_timestamp.is_none();
            std::future::ready(fresh)
        });
        Self(tokio::spawn(async move {
            let run = |seen: watcher::Result<DynamicObject>| {
                let hands = hands.clone();
                async move {
                    match seen {
                        Ok(workflow) => hands.run(&workflow).await,
                        Err(error) => eprintln!("the executor's watch: {error}"),
                    }
                }
            };
            fresh.for_each_concurrent(None, run).await;
        }))
    }
}

struct Hands {
    workflows: Api<DynamicObject>,
    nodes: Api<Node>,
}

impl Hands {
    async fn run(&self, workflow: &DynamicObject) {
        let name = workflow.name_any();
        let node = workflow.labels().get("node").cloned().unwrap_or_default();
        let recovers = workflow.labels().get(PHASE_LABEL).is_some_and(|phase| phase == "Resolved");
        self.phase(&name, "Running").await;
        let cordon = json!({"spec": {"unschedulable": if recovers { Value::Null } else { json!(true) }}});
        persist(|| async { self.nodes.patch(&node, &PatchParams::default(), &Patch::Merge(&cordon)).await.map(drop) })
            .await;
        tokio::time::sleep(TAKES).await;
        self.phase(&name, "Succeeded").await;
    }

    async fn phase(&self, name: &str, phase: &str) {
        let ended = phase == "Succeeded";
        let patch = json!({
            "metadata": {"labels": {ARGO_PHASE_LABEL: phase, "workflows.argoproj.io/completed": ended.to_string()}},
            "status": {"phase": phase, "finishedAt": ended.then(|| jiff::Timestamp::now().to_string())},
        });
        persist(|| async {
            self.workflows.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
        })
        .await;
    }
}

/// Tries until it is done, or there is nothing any more that it could be done to.
async fn persist<A>(mut attempt: impl FnMut() -> A)
where
    A: Future<Output = kube::Result<()>>,
{
    while let Err(error) = attempt().await {
        if matches!(&error, kube::Error::Api(status) if status.code == 404) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
