//! Workflows from creation to deletion.

use std::time::Duration;

use aegis_sandbox::agent::{AgentOptions, Scenario, Scene};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::{World, name_of, patch, phase_of, until, until_gone};

const CORDON: &str = "
entrypoint: start
templates:
- name: start
  retryStrategy: {limit: 1}
  container:
    image: bitnami/kubectl:latest
    command:
    - /bin/bash
    - -c
    - |
      kubectl cordon dev1
";

fn scenario(scenes: impl IntoIterator<Item = Scene>) -> AgentOptions {
    AgentOptions {
        scenario: Scenario::of(scenes),
        longest_backoff: Duration::from_millis(50),
        ..AgentOptions::default()
    }
}

#[tokio::test]
async fn a_workflow_runs_as_pods_and_its_log_is_its_script_when_nothing_is_executed() {
    let world = World::start(AgentOptions::default()).await;
    world.submit("w", CORDON).await;
    assert_eq!(world.ended("w").await, ("Succeeded".into(), None));

    let pods = world.pods_of("w").await;
    let [pod] = pods.as_slice() else { panic!("one pod, not {}", pods.len()) };
    assert_eq!(name_of(pod), "w-start-724911797");
    assert_eq!(phase_of(pod), "Succeeded");
    assert_eq!(pod.metadata.labels.as_ref().unwrap()["workflows.argoproj.io/completed"], "true");
    assert_eq!(pod.metadata.annotations.as_ref().unwrap()["workflows.argoproj.io/node-name"], "w(0)");
    assert_eq!(pod.spec.as_ref().unwrap().node_name.as_deref(), Some("dev1"));
    assert_eq!(
        world.pods().logs(&name_of(pod), &kube::api::LogParams::default()).await.unwrap(),
        "kubectl cordon dev1\n"
    );

    let workflow = world.workflows().get("w").await.unwrap();
    let status = &workflow.data["status"];
    assert_eq!(status["progress"], "1/1");
    assert_eq!(status["nodes"]["w-724911797"]["phase"], "Succeeded");
    assert_eq!(status["nodes"]["w-724911797"]["hostNodeName"], "dev1");
}

#[tokio::test]
async fn a_failing_container_is_tried_again_and_tells_how_it_failed() {
    let world = World::start(scenario([Scene::label("team", "s*").exits(3).times(1)])).await;
    world.submit("w", CORDON).await;
    assert_eq!(world.ended("w").await.0, "Succeeded");
    let first = world.pods().get("w-start-724911797").await.unwrap();
    assert_eq!(phase_of(&first), "Failed");
    assert_eq!(world.pods_of("w").await.len(), 2);
    let workflow = world.workflows().get("w").await.unwrap();
    assert_eq!(workflow.data["status"]["nodes"]["w-724911797"]["message"], "Error (exit code 3)");
}

#[tokio::test]
async fn a_workflow_without_attempts_left_has_failed() {
    let world = World::start(scenario([Scene::script("*cordon dev1*").fails(1, "node not found")])).await;
    world.submit("w", CORDON).await;
    assert_eq!(world.ended("w").await, ("Failed".into(), Some("No more retries left".into())));
    world.submit("single", &CORDON.replace("retryStrategy: {limit: 1}", "")).await;
    assert_eq!(world.ended("single").await, ("Failed".into(), Some("Error (exit code 1): node not found".into())));
}

#[tokio::test]
async fn what_is_not_run_ends_in_error_and_says_what_it_was() {
    let world = World::start(AgentOptions::default()).await;
    world.submit("w", "{entrypoint: a, templates: [{name: a, suspend: {}}]}").await;
    let want = "the sandbox does not run spec.templates[0].suspend".to_owned();
    assert_eq!(world.ended("w").await, ("Error".into(), Some(want)));
    assert!(world.pods_of("w").await.is_empty());
}

#[tokio::test]
async fn a_pod_that_the_api_server_refuses_is_an_error() {
    let world = World::start(AgentOptions::default()).await;
    world.submit("w", &format!("{CORDON}\nserviceAccountName: nobody-made-it\n")).await;
    let (phase, message) = world.ended("w").await;
    assert_eq!(phase, "Error");
    let message = message.unwrap();
    assert!(message.contains("serviceaccount \"nobody-made-it\" not found"), "the API server's words: {message}");
}

#[tokio::test]
async fn results_travel_from_step_to_step() {
    let world = World::start(scenario([Scene::script("list*").prints("[\"dev1\", \"dev2\"]\n")])).await;
    world
        .submit(
            "w",
            "
entrypoint: main
onExit: bye
templates:
- name: main
  steps:
  - - {name: list, template: list}
  - - {name: each, template: say, arguments: {parameters: [{name: what, value: 'cordon {{item}}'}]}, withParam: '{{steps.list.outputs.result}}', when: '{{item}} != dev2'}
- name: list
  script: {image: i, command: [sh], source: 'list nodes'}
- name: say
  inputs: {parameters: [{name: what}]}
  container: {image: i, command: [kubectl], args: ['{{inputs.parameters.what}}']}
- name: bye
  container: {image: i, command: [echo, '{{workflow.status}}']}
",
        )
        .await;
    assert_eq!(world.ended("w").await, ("Succeeded".into(), None));
    let mut logs: Vec<String> = world.pods_of("w").await.iter().map(|pod| world.log(&name_of(pod))).collect();
    logs.sort();
    assert_eq!(logs, ["[\"dev1\", \"dev2\"]\n", "echo Succeeded\n", "kubectl cordon dev1\n"]);
}

#[tokio::test]
async fn a_finished_workflow_goes_with_its_pods_when_its_time_is_over() {
    let world = World::start(AgentOptions::default()).await;
    world.submit("w", &format!("{CORDON}\nttlSecondsAfterFinished: 0\n")).await;
    until_gone(&world.workflows(), "w").await;
    until_gone(&world.pods(), "w-start-724911797").await;
}

#[tokio::test]
async fn a_finalizer_keeps_a_workflow_that_is_deleted() {
    let world = World::start(AgentOptions::default()).await;
    world.submit("w", &format!("{CORDON}\nttlStrategy: {{secondsAfterCompletion: 1}}\n")).await;
    patch(&world.workflows(), "w", json!({"metadata": {"finalizers": ["aegis.io/outcome"]}})).await;
    let kept = until(&world.workflows(), "w", |object| object.metadata.deletion_timestamp.is_some()).await;
    assert_eq!(kept.data["status"]["phase"], "Succeeded");
    patch(&world.workflows(), "w", json!({"metadata": {"finalizers": null}})).await;
    until_gone(&world.workflows(), "w").await;
}

#[tokio::test]
async fn a_deadline_ends_a_workflow_that_hangs() {
    let world = World::start(scenario([Scene::any().hangs()])).await;
    world.submit("w", &format!("{CORDON}\nactiveDeadlineSeconds: 1\n")).await;
    assert_eq!(world.ended("w").await, ("Failed".into(), Some("Step exceeded its deadline".into())));
    let pod = until(&world.pods(), "w-start-724911797", |pod| phase_of(pod) == "Failed").await;
    assert_eq!(pod.status.unwrap().reason.as_deref(), Some("DeadlineExceeded"));
}

#[tokio::test]
async fn a_stopped_workflow_ends_its_pods() {
    let world = World::start(scenario([Scene::any().hangs()])).await;
    world.submit("w", CORDON).await;
    until(&world.pods(), "w-start-724911797", |pod| phase_of(pod) == "Running").await;
    patch(&world.workflows(), "w", json!({"spec": {"shutdown": "Terminate"}})).await;
    assert_eq!(world.ended("w").await, ("Failed".into(), Some("Stopped with strategy 'Terminate'".into())));
    until(&world.pods(), "w-start-724911797", |pod| phase_of(pod) == "Failed").await;
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_ends_its_workflow() {
    let world = World::start(scenario([Scene::any().hangs()])).await;
    world.submit("w", &CORDON.replace("retryStrategy: {limit: 1}", "")).await;
    until(&world.pods(), "w", |pod| phase_of(pod) == "Running").await;
    world.pods().delete("w", &kube::api::DeleteParams::default()).await.unwrap();
    // Failed when the container's ending was seen before the pod was gone, Error when not: so it is with Argo.
    let (phase, message) = world.ended("w").await;
    assert!(matches!(phase.as_str(), "Failed" | "Error"), "{phase} {message:?}");
}

#[tokio::test]
async fn an_agent_that_starts_anew_takes_up_what_there_is() {
    let mut world = World::start(scenario([Scene::any().hangs()])).await;
    world.submit("w", CORDON).await;
    until(&world.pods(), "w-start-724911797", |pod| phase_of(pod) == "Running").await;
    world.stop_agent().await;
    world.start_agent(AgentOptions::default()).await;
    assert_eq!(world.ended("w").await.0, "Succeeded");
    assert_eq!(world.pods_of("w").await.len(), 1, "no second pod for the same attempt");
}

#[tokio::test]
async fn a_workflow_of_the_same_name_is_another_one() {
    let world = World::start(AgentOptions::default()).await;
    for round in 0..3 {
        world.submit("w", CORDON).await;
        assert_eq!(world.ended("w").await.0, "Succeeded", "round {round}");
        world.workflows().delete("w", &kube::api::DeleteParams::background()).await.unwrap();
        until_gone(&world.workflows(), "w").await;
    }
}

#[tokio::test]
async fn it_waits_before_it_picks_a_workflow_up_if_asked_to() {
    let world = World::start(AgentOptions { start_delay: Duration::from_secs(2), ..AgentOptions::default() }).await;
    world.submit("w", CORDON).await;
    let created = world.workflows().get("w").await.unwrap();
    assert_eq!(created.data.pointer("/status/phase"), None);
    world.ended("w").await;
    let workflow = world.workflows().get("w").await.unwrap();
    let started: jiff::Timestamp = workflow.data["status"]["startedAt"].as_str().unwrap().parse().unwrap();
    let created = workflow.metadata.creation_timestamp.unwrap().0;
    assert!(started.duration_since(created).as_secs() >= 2, "{started} {created}");
}

#[tokio::test]
async fn many_workflows_run_side_by_side() {
    let world = World::start(AgentOptions::default()).await;
    let names: Vec<String> = (0..60).map(|number| format!("w{number}")).collect();
    for name in &names {
        world.submit(name, CORDON).await;
    }
    for name in &names {
        assert_eq!(world.ended(name).await.0, "Succeeded");
    }
    assert_eq!(world.pods().list(&ListParams::default()).await.unwrap().items.len(), names.len());
    let all = world.workflows().list(&ListParams::default()).await.unwrap();
    let progress: Vec<&Value> = all.items.iter().map(|object| &object.data["status"]["progress"]).collect();
    assert!(progress.iter().all(|progress| **progress == "1/1"));
}
