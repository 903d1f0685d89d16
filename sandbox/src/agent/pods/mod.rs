//! The simulated kubelet and scheduler: pods get a node, run there, and tell how it went.
//!
//! [`desk`] decides for every pod, [`schedule`] picks the node, [`confine`] says what must never be executed, [`run`] is one pod's life, and
//! [`process`] executes what may be executed and was asked for.

mod command;
mod confine;
pub(super) mod desk;
mod environment;
mod node;
#[cfg(unix)]
mod process;
mod run;
mod schedule;
mod status;
#[cfg(unix)]
mod workshop;
#[cfg(not(unix))]
#[path = "workshop_elsewhere.rs"]
mod workshop;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Binding, ConfigMap, Container, Event, Node, ObjectReference, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::workshop::Workshop;
use super::failure;
use super::scenario::Stage;
use crate::PodLogs;

/// How containers run.
#[derive(Clone, Copy, Debug)]
pub(super) struct PodOptions {
    /// How long a container runs that is not executed and has no scene that says so.
    pub(super) run_time: Duration,
    pub(super) longest_backoff: Duration,
    #[cfg_attr(not(unix), allow(dead_code, reason = "containers are executed on Unix alone"))]
    pub(super) execution_timeout: Duration,
    #[cfg_attr(not(unix), allow(dead_code, reason = "containers are executed on Unix alone"))]
    pub(super) output_limit: usize,
}

/// The node agent of all nodes.
pub(super) struct Kubelet {
    pub(super) client: Client,
    pub(super) logs: PodLogs,
    pub(super) stage: Stage,
    pub(super) options: PodOptions,
    /// Where containers are executed; None: none is.
    workshop: Option<Workshop>,
    /// The agent ends.
    pub(super) stop: CancellationToken,
}

/// The folder in which containers are executed, with these stand-ins on its PATH.
pub(super) fn open_workshop(stand_ins: &[(String, PathBuf)], kubeconfig: String) -> Result<Opened, String> {
    Workshop::open(stand_ins, kubeconfig).map(Opened)
}

/// An opened workshop.
pub(super) struct Opened(Workshop);

impl Kubelet {
    pub(super) fn new(
        client: Client,
        logs: PodLogs,
        stage: Stage,
        options: PodOptions,
        workshop: Option<Opened>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let workshop = workshop.map(|Opened(workshop)| workshop);
        Arc::new(Self { client, logs, stage, options, workshop, stop })
    }

    /// Ok when the container is to be executed; else why not, which is None when nothing is executed here at all.
    pub(super) fn may_execute(&self, pod: &Pod, container: &Container) -> Result<(), Option<String>> {
        if self.workshop.is_none() {
            return Err(None);
        }
        match confine::objection(pod, container) {
            Some(why) => Err(Some(why)),
            None => Ok(()),
        }
    }

    #[cfg(unix)]
    async fn execute(
        &self,
        command: &command::Command,
        environment: &[(String, String)],
        grace_seconds: i64,
        stop: &CancellationToken,
        print: impl FnMut(&str),
    ) -> Option<run::Outcome> {
        /// A test or a demo does not wait half a minute for a script that will not end.
        const LONGEST_GRACE: Duration = Duration::from_secs(2);
        let bench = match self.workshop.as_ref()?.bench(command.source.as_deref()) {
            Ok(bench) => bench,
            Err(error) => {
                return Some(run::Outcome::not_started(format!("could not prepare the container's folder: {error}")));
            }
        };
        let limits = process::Limits {
            time: self.options.execution_timeout,
            output: self.options.output_limit,
            grace: Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0)).min(LONGEST_GRACE),
        };
        let process::Executed { code, reason, message, result } =
            process::execute(&bench, command, environment, limits, stop, print).await;
        Some(run::Outcome { code, reason: reason.to_owned(), message, result })
    }

    #[cfg(not(unix))]
    async fn execute(
        &self,
        _command: &command::Command,
        _environment: &[(String, String)],
        _grace_seconds: i64,
        _stop: &CancellationToken,
        _print: impl FnMut(&str),
    ) -> Option<run::Outcome> {
        match *self.workshop.as_ref()? {}
    }

    /// An Event on the pod, so that a person sees why there is a script in its log and no output.
    async fn tell_not_executed(&self, pod: &Pod, container: &Container, why: &str) {
        let meta = &pod.metadata;
        let namespace = meta.namespace.clone().unwrap_or_default();
        let now = Time(Timestamp::now());
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}.", meta.name.clone().unwrap_or_default())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                ..ObjectReference::default()
            },
            reason: Some("NotExecuted".to_owned()),
            message: Some(format!(
                "The sandbox shows the script of container {} and does not execute it: {why}",
                container.name
            )),
            type_: Some("Normal".to_owned()),
            reporting_component: Some("kubelet".to_owned()),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            ..Event::default()
        };
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            tracing::debug!(%error, "could not tell why a container was not executed");
        }
    }

    /// The labels of the Workflow or Job that owns a pod, if the scenario looks at labels at all.
    async fn owner_labels(&self, pod: &Pod) -> BTreeMap<String, String> {
        let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let Some(owner) = owner.filter(|_| self.stage.looks_at_labels()) else { return BTreeMap::new() };
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &owner.kind));
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let owners: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let found = owners.get_metadata_opt(&owner.name).await.ok().flatten();
        found.and_then(|owner| owner.metadata.labels).unwrap_or_default()
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        Some(maps.get_opt(name).await.ok()??.data.unwrap_or_default())
    }

    async fn secret(&self, namespace: &str, name: &str) -> Option<BTreeMap<String, String>> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let data = secrets.get_opt(name).await.ok()??.data.unwrap_or_default();
        let text = |ByteString(bytes)| String::from_utf8_lossy(&bytes).into_owned();
        Some(data.into_iter().map(|(key, value)| (key, text(value))).collect())
    }

    /// Gives a pod its node.
    async fn bind(&self, pod: &Pod, node: &str) -> kube::Result<()> {
        let (name, namespace) = named(pod);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace),
                uid: pod.metadata.uid.clone(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".to_owned()),
                name: Some(node.to_owned()),
                ..ObjectReference::default()
            },
        };
        pods.create_subresource::<Binding, Value>("binding", &name, &PostParams::default(), &binding).await.map(|_| ())
    }

    async fn write_unschedulable(&self, pod: &Pod, message: &str) {
        let (name, namespace) = named(pod);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastTransitionTime": Time(Timestamp::now()),
        }]}});
        if let Err(error) = pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            tracing::debug!(pod = %name, %error, "could not say that no node takes pod {name}");
        }
    }

    /// Confirms that a deleted pod's containers have ended.
    async fn let_go(&self, pod: &Pod) -> kube::Result<()> {
        let (name, namespace) = named(pod);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let this_one = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        pods.delete(&name, &DeleteParams::default().grace_period(0).preconditions(this_one)).await.map(|_| ())
    }

    async fn make_ready(&self, node: &Node) {
        let Some(patch) = node::readiness(node, Timestamp::now()) else { return };
        let nodes: Api<Node> = Api::all(self.client.clone());
        let name = node.metadata.name.as_deref().unwrap_or_default();
        if let Err(error) = nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            tracing::debug!(node = %name, %error, "could not make node {name} ready");
        }
    }
}

/// Repeats a request until it succeeds or can never succeed, or the agent stops.
async fn insist<F: Future<Output = kube::Result<()>>>(stop: &CancellationToken, request: impl Fn() -> F) {
    let mut pause = Duration::from_millis(50);
    loop {
        match request().await {
            Ok(()) => return,
            Err(error) if failure::is_conflict(&error) || failure::refusal(&error).is_some() => {
                tracing::debug!(%error, "a request of the node agent was refused");
                return;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = pause.saturating_mul(2).min(Duration::from_secs(1));
    }
}

fn named(pod: &Pod) -> (String, String) {
    (pod.metadata.name.clone().unwrap_or_default(), pod.metadata.namespace.clone().unwrap_or_default())
}
