//! Ending Workflows and Jobs without pods.

use aegis_sandbox::Match;
use aegis_sandbox::agent::{Simulator, SimulatorOptions, Writes};
use aegis_sandbox::{Options, Sandbox};
use kube::api::{ListParams, PostParams};
use serde_json::json;

use crate::{World, until};

async fn world() -> World {
    World { sandbox: Sandbox::start(Options::default()).await.unwrap(), agent: None }
}

const ANY: &str = "{entrypoint: a, templates: []}";

#[tokio::test]
async fn many_workflows_end_with_few_writes() {
    let world = world().await;
    let count = 300;
    for number in 0..count / 2 {
        world.submit(&format!("w{number}"), ANY).await;
    }
    let options = SimulatorOptions { failing: 0.2, message: "no disk".into(), ..SimulatorOptions::default() };
    let simulator = Simulator::start(world.sandbox.client_as("simulator"), options);
    for number in count / 2..count {
        world.submit(&format!("w{number}"), ANY).await;
    }
    for number in 0..count {
        let (phase, message) = world.ended(&format!("w{number}")).await;
        match phase.as_str() {
            "Succeeded" => assert_eq!(message, None),
            phase => assert_eq!((phase, message.as_deref()), ("Failed", Some("no disk"))),
        }
    }
    simulator.stop().await;
    let writes = world.sandbox.requests().succeeded(&Match::any().component("simulator").writes());
    assert_eq!(writes, 2 * count, "Running and the ending of each");
    let all =
        world.workflows().list(&ListParams::default().labels("workflows.argoproj.io/phase=Failed")).await.unwrap();
    assert!(all.items.len() > 20 && all.items.len() < 120, "{}", all.items.len());
}

#[tokio::test]
async fn only_what_is_asked_for_is_written() {
    let world = world().await;
    let options =
        SimulatorOptions { writes: Writes::Ending, selector: Some("team=sre".into()), ..SimulatorOptions::default() };
    let _simulator = Simulator::start(world.sandbox.client_as("simulator"), options);
    world.submit("w", ANY).await;
    world.ended("w").await;
    assert_eq!(world.sandbox.requests().writes(Some("simulator")), 1);
}

#[tokio::test]
async fn jobs_end_too() {
    let world = world().await;
    let _simulator = Simulator::start(world.sandbox.client_as("simulator"), SimulatorOptions::default());
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    world.jobs().create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
    let job =
        until(&world.jobs(), "j", |job| job.status.as_ref().is_some_and(|status| status.completion_time.is_some()))
            .await;
    assert_eq!(job.status.unwrap().succeeded, Some(1));
}
