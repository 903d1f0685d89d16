//! Carrying out what [`advance`] asks for: pods made and ended, labels and status written, finished Workflows deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::advance::{Next, Order, Past, advance};
use super::manifest::{Ttl, Workflow};
use super::names::{self, COMPLETED_LABEL};
use super::node::{Kind, Node, Nodes, Phase};
use super::pod_view::{PodView, Pods};
use super::read;
use crate::agent::failure;

/// What the runner works with.
pub(crate) struct Runner {
    pub(crate) client: Client,
    pub(crate) pods: Store<Pod>,
    pub(crate) workflows: Store<DynamicObject>,
    /// From a Workflow's creation until it is picked up.
    pub(crate) start_delay: Duration,
    pub(crate) longest_backoff: Duration,
    /// What stands, by UID: the watch may still show less.
    pub(crate) memory: Mutex<HashMap<String, Standing>>,
}

/// How a Workflow stands.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    Running(Past),
    Ended { succeeded: bool, at: Timestamp },
}

/// What could not be done for a Workflow yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not read pod {pod}")]
    ReadPod { pod: String, source: kube::Error },
    #[error("could not create pod {pod}")]
    CreatePod { pod: String, source: kube::Error },
    #[error("pod {pod} still belongs to an earlier workflow of the same name")]
    NameTaken { pod: String },
    #[error("could not change pod {pod}")]
    ChangePod { pod: String, source: kube::Error },
    #[error("could not write the status of workflow {workflow}")]
    WriteStatus { workflow: String, source: kube::Error },
    #[error("could not delete workflow {workflow}")]
    DeleteWorkflow { workflow: String, source: kube::Error },
}

/// The kind that is run.
pub(crate) fn workflow_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"))
}

/// Brings a Workflow one step further.
pub(crate) async fn reconcile(object: Arc<DynamicObject>, runner: Arc<Runner>) -> Result<Action, Error> {
    let now = Timestamp::now();
    match runner.standing(&object) {
        Standing::Ended { succeeded, at } => runner.expire(&object, read::ttl_of(&object), succeeded, at, now).await,
        Standing::Running(past) => {
            if let Some(wait) = runner.too_early(&object, &past, now) {
                return Ok(Action::requeue(wait));
            }
            let next = match read::workflow(&object) {
                Ok(workflow) => runner.step(&workflow, &past, now).await?,
                Err(flaw) => Next::refused(flaw.to_string(), past.started.unwrap_or(now), now),
            };
            runner.write(&object, &past, &next).await?;
            Ok(match (next.finished, next.look_again) {
                // The ending is written; what is left is its time to live.
                (Some(_), _) => Action::requeue(Duration::ZERO),
                (None, Some(time)) => Action::requeue(time.duration_since(now).unsigned_abs()),
                (None, None) => Action::await_change(),
            })
        }
    }
}

impl Runner {
    fn memory(&self) -> MutexGuard<'_, HashMap<String, Standing>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self, object: &DynamicObject) -> Standing {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        self.memory().get(uid).cloned().unwrap_or_else(|| standing_of(object))
    }

    fn remember(&self, uid: &str, standing: Standing) {
        let mut memory = self.memory();
        memory.insert(uid.to_owned(), standing);
        let live = self.workflows.len();
        if memory.len() > 2 * live + 64 {
            let workflows = self.workflows.state();
            let known: std::collections::HashSet<&str> =
                workflows.iter().filter_map(|object| object.metadata.uid.as_deref()).collect();
            memory.retain(|remembered, _| remembered == uid || known.contains(remembered.as_str()));
        }
    }

    fn too_early(&self, object: &DynamicObject, past: &Past, now: Timestamp) -> Option<Duration> {
        let created = object.metadata.creation_timestamp.as_ref().filter(|_| past.started.is_none())?.0;
        let start = created.checked_add(self.start_delay).ok()?;
        (now < start).then(|| start.duration_since(now).unsigned_abs())
    }

    /// Advances the Workflow and makes the pods that it asks for. A pod that the API server refuses for good is told
    /// to the next round, in which its node ends.
    async fn step(&self, workflow: &Workflow, past: &Past, now: Timestamp) -> Result<Next, Error> {
        let mut views = self.views(workflow, past).await?;
        loop {
            let next = advance(workflow, past, &views, now, self.longest_backoff);
            let mut refused = false;
            for order in &next.orders {
                if let Some(message) = self.make(workflow, order).await? {
                    views.insert(order.name.clone(), PodView::Refused { message });
                    refused = true;
                }
            }
            if !refused {
                self.mark_pods(workflow, past, &next).await?;
                return Ok(next);
            }
        }
    }

    /// The pods of the nodes that have not ended.
    async fn views(&self, workflow: &Workflow, past: &Past) -> Result<Pods, Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &workflow.namespace);
        let mut views = Pods::new();
        for node in past.nodes.values().filter(|node| node.kind == Kind::Pod && !node.fulfilled()) {
            let name = pod_of(workflow, node);
            let known =
                self.pods.get(&ObjectRef::new(&name).within(&workflow.namespace)).filter(|pod| is_of(pod, workflow));
            let view = match known {
                Some(pod) => PodView::of(&pod),
                // The cache may not have it yet, so only the API server can say that it is gone.
                None => match api.get_opt(&name).await {
                    Ok(Some(pod)) if is_of(&pod, workflow) => PodView::of(&pod),
                    Ok(_) => PodView::Gone,
                    Err(source) => return Err(Error::ReadPod { pod: name, source }),
                },
            };
            views.insert(name, view);
        }
        Ok(views)
    }

    /// Makes a pod; the text is why the API server will not have it.
    async fn make(&self, workflow: &Workflow, order: &Order) -> Result<Option<String>, Error> {
        let pod = || order.name.clone();
        let object: DynamicObject = match serde_json::from_value(order.pod.clone()) {
            Ok(object) => object,
            Err(error) => return Ok(Some(format!("the pod cannot be read: {error}"))),
        };
        let resource = ApiResource::erase::<Pod>(&());
        let raw: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &workflow.namespace, &resource);
        match raw.create(&PostParams::default(), &object).await {
            Ok(_) => Ok(None),
            Err(error) if failure::is_conflict(&error) => {
                let pods: Api<Pod> = Api::namespaced(self.client.clone(), &workflow.namespace);
                match pods.get_opt(&order.name).await {
                    Ok(Some(found)) if is_of(&found, workflow) => Ok(None),
                    Ok(_) => Err(Error::NameTaken { pod: pod() }),
                    Err(source) => Err(Error::ReadPod { pod: pod(), source }),
                }
            }
            Err(error) => match failure::refusal(&error) {
                Some(message) => Ok(Some(message)),
                None => Err(Error::CreatePod { pod: pod(), source: error }),
            },
        }
    }

    /// Ends the containers of nodes that were ended, and marks the pods of those that have ended.
    async fn mark_pods(&self, workflow: &Workflow, past: &Past, next: &Next) -> Result<(), Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &workflow.namespace);
        let ended_before = |node: &Node| past.nodes.get(&node.id).is_some_and(Node::fulfilled);
        let ended =
            next.nodes.values().filter(|node| node.kind == Kind::Pod && node.fulfilled() && !ended_before(node));
        for node in ended {
            let pod = pod_of(workflow, node);
            let kill = next.kills.contains(&pod);
            let known = self.pods.get(&ObjectRef::new(&pod).within(&workflow.namespace));
            let waits = known.is_some_and(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()));
            if kill && waits {
                // It is on no node that could end it.
                match api.delete(&pod, &DeleteParams::default()).await {
                    Err(source) if failure::refusal(&source).is_none() => return Err(Error::ChangePod { pod, source }),
                    _ => continue,
                }
            }
            let mut patch = json!({"metadata": {"labels": {COMPLETED_LABEL: "true"}}});
            if let (true, Some(fields)) = (kill, patch.as_object_mut()) {
                // The smallest deadline that there is; the node then ends the pod.
                fields.insert("spec".to_owned(), json!({"activeDeadlineSeconds": 1}));
            }
            match api.patch(&pod, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => {}
                Err(error) if failure::refusal(&error).is_some() || failure::is_conflict(&error) => {}
                Err(source) => return Err(Error::ChangePod { pod, source }),
            }
        }
        Ok(())
    }

    async fn write(&self, object: &DynamicObject, past: &Past, next: &Next) -> Result<(), Error> {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let now_past = Past { nodes: next.nodes.clone(), started: Some(next.started) };
        if next.finished.is_none() && *past == now_past {
            return Ok(());
        }
        let name = object.metadata.name.clone().unwrap_or_default();
        match self.api(object).patch(&name, &PatchParams::default(), &Patch::Merge(next.patch(&uid))).await {
            Ok(_) => {}
            // It is gone, or another one has its name.
            Err(error) if failure::is_missing(&error) || failure::is_conflict(&error) => {}
            Err(source) => return Err(Error::WriteStatus { workflow: name, source }),
        }
        let standing = match next.finished {
            Some(at) => Standing::Ended { succeeded: next.phase == Phase::Succeeded, at },
            None => Standing::Running(now_past),
        };
        self.remember(&uid, standing);
        Ok(())
    }

    async fn expire(
        &self,
        object: &DynamicObject,
        ttl: Ttl,
        succeeded: bool,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Action, Error> {
        let Some(due) = ttl.after(succeeded).and_then(|ttl| at.checked_add(ttl).ok()) else {
            return Ok(Action::await_change());
        };
        if object.metadata.deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        if now < due {
            return Ok(Action::requeue(due.duration_since(now).unsigned_abs()));
        }
        let name = object.metadata.name.clone().unwrap_or_default();
        let this_one = Preconditions { uid: object.metadata.uid.clone(), resource_version: None };
        match self.api(object).delete(&name, &DeleteParams::background().preconditions(this_one)).await {
            Ok(_) => {}
            Err(error) if failure::is_missing(&error) || failure::is_conflict(&error) => {}
            Err(source) => return Err(Error::DeleteWorkflow { workflow: name, source }),
        }
        Ok(Action::await_change())
    }

    fn api(&self, object: &DynamicObject) -> Api<DynamicObject> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced_with(self.client.clone(), namespace, &workflow_resource())
    }
}

fn pod_of(workflow: &Workflow, node: &Node) -> String {
    names::pod_name(&workflow.name, &node.name, &node.template_name)
}

fn is_of(pod: &Pod, workflow: &Workflow) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == workflow.uid)
}

/// How a Workflow stands by its own status.
fn standing_of(object: &DynamicObject) -> Standing {
    let status = object.data.get("status").cloned().unwrap_or_default();
    let time = |key: &str| status.get(key).and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    match status.get("phase").and_then(Value::as_str) {
        Some(phase @ ("Succeeded" | "Failed" | "Error")) => {
            Standing::Ended { succeeded: phase == "Succeeded", at: time("finishedAt").unwrap_or_else(Timestamp::now) }
        }
        _ => {
            let nodes: Nodes =
                status.get("nodes").and_then(|nodes| serde_json::from_value(nodes.clone()).ok()).unwrap_or_default();
            Standing::Running(Past { nodes, started: time("startedAt") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(status: Value) -> DynamicObject {
        serde_json::from_value(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}, "status": status})).unwrap()
    }

    #[test]
    fn a_runner_that_starts_anew_takes_up_where_the_status_is() {
        let ended = standing_of(&workflow(json!({"phase": "Error", "finishedAt": "1970-01-01T00:00:05Z"})));
        assert!(matches!(ended, Standing::Ended { succeeded: false, at } if at.as_second() == 5));
        let new = standing_of(&workflow(json!({})));
        assert!(matches!(new, Standing::Running(past) if past == Past::default()));
        let running = standing_of(&workflow(
            json!({"phase": "Running", "startedAt": "1970-01-01T00:00:01Z", "nodes": {"w": {
            "id": "w", "name": "w", "displayName": "w", "type": "Pod", "phase": "Pending", "templateName": "t", "startedAt": "1970-01-01T00:00:01Z"}}}),
        ));
        assert!(
            matches!(running, Standing::Running(past) if past.nodes["w"].phase == Phase::Pending && past.started.is_some())
        );
    }
}
