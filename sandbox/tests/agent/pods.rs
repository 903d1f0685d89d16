//! Pods that nobody owns: where they go, how they run, and how they leave.

use std::path::PathBuf;
use std::time::Duration;

use aegis_sandbox::agent::{AgentOptions, Execution, Scenario, Scene};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::{NAMESPACE, World, patch, until, until_gone};

fn executing() -> AgentOptions {
    AgentOptions {
        execution: Execution::Scripts { stand_ins: Vec::<(String, PathBuf)>::new() },
        longest_backoff: Duration::from_millis(50),
        ..AgentOptions::default()
    }
}

fn waiting(pod: &Pod) -> Option<(String, String)> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.clone()?, waiting.message.clone().unwrap_or_default()))
}

#[tokio::test]
async fn a_pod_waits_for_a_node_that_takes_it() {
    let world = World::start(AgentOptions::default()).await;
    patch(&world.nodes(), "dev1", json!({"spec": {"unschedulable": true}})).await;
    until(&world.nodes(), "dev1", |node| node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true)).await;
    world
        .pod(json!({"restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": "dev1"},
            "containers": [{"name": "main", "image": "i", "command": ["true"]}]}))
        .await;
    let said = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions
            .into_iter()
            .find(|condition| condition.type_ == "PodScheduled")
            .and_then(|condition| condition.message)
    };
    let pod = until(&world.pods(), "p", |pod| said(pod).is_some_and(|message| message.contains("0/2"))).await;
    assert!(said(&pod).unwrap().contains("1 node(s) were unschedulable"), "{:?}", said(&pod));
    patch(&world.nodes(), "dev1", json!({"spec": {"unschedulable": null}})).await;
    let pod = world.pod_is("Succeeded").await;
    assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("dev1"));
}

#[tokio::test]
async fn a_node_that_nobody_reports_on_becomes_ready_and_takes_pods() {
    let world = World::start(AgentOptions::default()).await;
    let node = serde_json::from_value(json!({"metadata": {"name": "dev3"}})).unwrap();
    world.nodes().create(&PostParams::default(), &node).await.unwrap();
    let ready = |node: &k8s_openapi::api::core::v1::Node| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    until(&world.nodes(), "dev3", ready).await;
    world.pod(json!({"restartPolicy": "Never", "nodeName": "dev3", "containers": [{"name": "main", "image": "i", "command": ["true"]}]})).await;
    world.pod_is("Succeeded").await;
}

#[tokio::test]
async fn a_container_is_executed_with_its_environment_when_that_is_asked_for() {
    let world = World::start(executing()).await;
    world
        .pod(json!({"restartPolicy": "Never", "nodeName": "dev2",
        "initContainers": [{"name": "init", "image": "i", "command": ["sh", "-c", "echo first"]}],
        "containers": [{"name": "main", "image": "i", "terminationMessagePolicy": "FallbackToLogsOnError",
            "command": ["sh", "-c", "echo $GREETING $(NODE) $NAME; exit 4"], "env": [
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "NAME", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "name"}}},
            {"name": "GREETING", "value": "hello from"},
        ]}]}))
        .await;
    let pod =
        until(&world.pods(), "p", |pod| waiting(pod).is_some_and(|(reason, _)| reason == "CreateContainerConfigError"))
            .await;
    assert_eq!(waiting(&pod).unwrap().1, "configmap \"settings\" not found");
    let maps: Api<ConfigMap> = Api::namespaced(world.sandbox.client(), NAMESPACE);
    let settings = json!({"metadata": {"name": "settings"}, "data": {"name": "aegis"}});
    maps.create(&PostParams::default(), &serde_json::from_value(settings).unwrap()).await.unwrap();
    let pod = world.pod_is("Failed").await;
    assert_eq!(world.log("p"), "hello from dev2 aegis\n");
    assert_eq!(world.sandbox.logs().text(NAMESPACE, "p", "init"), "first\n");
    let status = pod.status.unwrap().container_statuses.unwrap()[0].state.clone().unwrap().terminated.unwrap();
    assert_eq!(status.exit_code, 4);
    assert_eq!(status.message.as_deref(), Some("hello from dev2 aegis\n"), "its last words are why it failed");
}

#[tokio::test]
async fn a_deleted_pod_ends_its_process_and_goes() {
    let world = World::start(executing()).await;
    let script = "trap 'echo bye; exit 0' TERM; echo $$ ready; while :; do sleep 0.05; done";
    world.pod(json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "i", "command": ["sh", "-c", script]}]})).await;
    world.pod_is("Running").await;
    while !world.log("p").contains("ready") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.pods().delete("p", &DeleteParams::default()).await.unwrap();
    until_gone(&world.pods(), "p").await;
}

#[tokio::test]
async fn a_container_that_crashes_is_started_again() {
    let world =
        World::start(AgentOptions { scenario: Scenario::of([Scene::any().exits(1).times(2)]), ..executing() }).await;
    world.pod(json!({"restartPolicy": "OnFailure", "containers": [{"name": "main", "image": "i", "command": ["sh", "-c", "echo done"]}]})).await;
    let pod = world.pod_is("Succeeded").await;
    assert_eq!(pod.status.unwrap().container_statuses.unwrap()[0].restart_count, 2);
}

#[tokio::test]
async fn a_container_may_be_unable_to_start() {
    let never = Scene::image("broken:*").waits("ImagePullBackOff", "no such image");
    let world = World::start(AgentOptions { scenario: Scenario::of([never]), ..AgentOptions::default() }).await;
    world.pod(json!({"containers": [{"name": "main", "image": "broken:1"}]})).await;
    let pod =
        until(&world.pods(), "p", |pod| waiting(pod).is_some_and(|(reason, _)| reason == "ImagePullBackOff")).await;
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Pending"));
    world.pods().delete("p", &DeleteParams::default()).await.unwrap();
    until_gone(&world.pods(), "p").await;
}

#[tokio::test]
async fn an_execution_is_not_repeated_by_the_next_agent() {
    let mut world = World::start(executing()).await;
    world.pod(json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "i", "command": ["sh", "-c", "echo once; sleep 600"]}]})).await;
    while !world.log("p").contains("once") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.stop_agent().await;
    world.start_agent(executing()).await;
    let pod = world.pod_is("Failed").await;
    assert_eq!(pod.status.unwrap().reason.as_deref(), Some("ContainerStatusUnknown"));
    assert_eq!(world.log("p"), "once\n");
}
