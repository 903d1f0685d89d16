//! The node agent, the workflow runner and the simulator against a sandbox; asserting on the cluster afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on should stop where it stands"
)]

mod faults;
mod jobs;
mod pods;
mod safety;
mod simulator;
mod workflows;

use std::fmt::Debug;
use std::time::Duration;

use aegis_sandbox::agent::{Agent, AgentOptions};
use aegis_sandbox::{Options, Sandbox};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NAMESPACE: &str = "monitoring";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with two nodes and an agent.
struct World {
    sandbox: Sandbox,
    agent: Option<Agent>,
}

impl World {
    async fn start(options: AgentOptions) -> Self {
        let sandbox =
            Sandbox::start(Options { nodes: vec!["dev1".into(), "dev2".into()], ..Options::default() }).await.unwrap();
        let mut world = Self { sandbox, agent: None };
        world.start_agent(options).await;
        world
    }

    async fn start_agent(&mut self, options: AgentOptions) {
        let client = self.sandbox.client_as("agent");
        let agent = Agent::start(client, self.sandbox.logs().clone(), self.sandbox.kubeconfig(), options).await;
        self.agent = Some(agent.unwrap());
    }

    async fn stop_agent(&mut self) {
        self.agent.take().unwrap().stop().await;
    }

    fn workflows(&self) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"));
        Api::namespaced_with(self.sandbox.client(), NAMESPACE, &resource)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.sandbox.client(), NAMESPACE)
    }

    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.sandbox.client(), NAMESPACE)
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.sandbox.client())
    }

    /// Creates a Workflow with this spec.
    async fn submit(&self, name: &str, spec: &str) {
        let spec: Value = serde_saphyr::from_str(spec).unwrap();
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
            "metadata": {"name": name, "labels": {"team": "sre"}}, "spec": spec});
        self.workflows().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    }

    /// Waits until a Workflow has ended; returns its phase and message.
    async fn ended(&self, name: &str) -> (String, Option<String>) {
        let found =
            until(&self.workflows(), name, |object| label(object, "workflows.argoproj.io/completed") == Some("true"))
                .await;
        let text = |at: &str| found.data.pointer(at).and_then(Value::as_str).map(str::to_owned);
        assert_eq!(
            label(&found, "workflows.argoproj.io/phase"),
            text("/status/phase").as_deref(),
            "label and status agree"
        );
        (text("/status/phase").unwrap(), text("/status/message"))
    }

    async fn pods_of(&self, workflow: &str) -> Vec<Pod> {
        let selector = format!("workflows.argoproj.io/workflow={workflow}");
        self.pods().list(&ListParams::default().labels(&selector)).await.unwrap().items
    }

    async fn pod(&self, spec: Value) -> Pod {
        let pod = json!({"metadata": {"name": "p"}, "spec": spec});
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
    }

    /// Waits until the pod "p" is in this phase.
    async fn pod_is(&self, phase: &str) -> Pod {
        until(&self.pods(), "p", |pod| phase_of(pod) == phase).await
    }

    fn log(&self, pod: &str) -> String {
        self.sandbox.logs().text(NAMESPACE, pod, "main")
    }
}

fn label<'a>(object: &'a DynamicObject, key: &str) -> Option<&'a str> {
    object.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn phase_of(pod: &Pod) -> String {
    pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default()
}

fn name_of(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap()
}

/// Waits until the object is as asked; fails with what it is instead.
async fn until<K>(api: &Api<K>, name: &str, holds: impl Fn(&K) -> bool) -> K
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let begun = tokio::time::Instant::now();
    loop {
        let found = api.get_opt(name).await.unwrap();
        match found {
            Some(object) if holds(&object) => return object,
            other => assert!(begun.elapsed() < PATIENCE, "it never came about; what there is: {other:#?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until there is no object of this name.
async fn until_gone<K>(api: &Api<K>, name: &str)
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let begun = tokio::time::Instant::now();
    while let Some(object) = api.get_opt(name).await.unwrap() {
        assert!(begun.elapsed() < PATIENCE, "it never went: {object:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn patch<K>(api: &Api<K>, name: &str, patch: Value)
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}
