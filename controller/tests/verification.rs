//! Whether an action helped: its check runs in its place, what it changed is written down meanwhile, and the next template
//! is tried while the problem stays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use aegis_crds::conditions;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use common::objects::{self, SEED_MANIFEST, rule, template};
use common::{Cluster, Controller, reads, until};

/// A cluster in which a cordon is followed by a reboot if the check says that the problem stays.
async fn ladder() -> Cluster {
    let cluster = Cluster::start().await;
    let mut rule = rule("wedged", "NodeWedged", "cordon");
    rule["spec"]["verification"] = json!({"template": "check", "within": "5m"});
    rule["spec"]["escalation"] = json!([{"name": "reboot", "after": "10ms"}]);
    cluster.apply(rule).await;
    for name in ["cordon", "reboot", "check"] {
        cluster.apply(template(name, SEED_MANIFEST)).await;
    }
    cluster
}

/// The Workflow of that template that goes on; its name.
async fn going(cluster: &Cluster, template: &str) -> String {
    until(&format!("a Workflow of template {template} goes on"), async || {
        let all = cluster.all_workflows().await;
        let of = |name: &str| name == format!("monitoring/{template}");
        let found = all
            .into_iter()
            .find(|workflow| workflow.data.get("status").is_none() && of(&workflow.annotations()["aegis.io/template"]));
        found.map(|workflow| workflow.name_any()).ok_or("none")
    })
    .await
}

async fn places(cluster: &Cluster) -> usize {
    cluster.guards().get("aegis").await.unwrap().status.unwrap_or_default().claims.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_template_is_tried_when_the_check_says_that_the_problem_stays() {
    let cluster = ladder().await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert("NodeWedged", "Firing", "f")).await;

    let action = going(&cluster, "cordon").await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let cordon = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    nodes.patch("dev1", &PatchParams::default(), &cordon).await.unwrap();
    cluster.set_phase(&action, "Succeeded", "").await;
    let check = going(&cluster, "check").await;
    let written = nodes.get("dev1").await.unwrap().annotations().get("aegis.io/changes").cloned().unwrap();
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written[0]["action"], json!(action), "what the action changed is known before it was verified");
    assert_eq!(places(&cluster).await, 1, "its place is kept for the check");

    cluster.set_phase(&check, "Failed", "the node is as bad as before").await;
    let next = going(&cluster, "reboot").await;
    let failed = cluster.alert_that("not repaired", |alert| repaired(alert).is_some()).await;
    assert_eq!(repaired(&failed), Some(("False".to_owned(), "CheckFailed".to_owned())));
    cluster.set_phase(&next, "Succeeded", "").await;
    let second = going(&cluster, "check").await;
    cluster.set_phase(&second, "Succeeded", "").await;
    let cured = |alert: &aegis_crds::AegisAlert| repaired(alert) == Some(("True".to_owned(), "Verified".to_owned()));
    let alert = cluster.alert_that("repaired", cured).await;
    assert_eq!(reads(&alert).1, "Succeeded");
    assert_eq!(alert.status.unwrap().actions.len(), 4, "two actions and their checks");
    until("no place is taken", async || match places(&cluster).await {
        0 => Ok(()),
        taken => Err(taken),
    })
    .await;
    let events = cluster.events_on("AegisAlert").await;
    for (reason, of) in [("CheckStarted", &check), ("CheckFailed", &check), ("CheckPassed", &second)] {
        assert!(events.iter().any(|(word, text)| word == reason && text.contains(of.as_str())), "{reason}: {events:?}");
    }
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_takes_over_follows_a_check_and_makes_no_second_one() {
    let cluster = ladder().await;
    let first = Controller::start(&cluster).await;
    first.send("/default/alert", objects::alert("NodeWedged", "Firing", "f")).await;
    let action = going(&cluster, "cordon").await;
    cluster.set_phase(&action, "Succeeded", "").await;
    let check = going(&cluster, "check").await;
    first.kill().await;
    let second = Controller::start(&cluster).await;
    cluster.set_phase(&check, "Succeeded", "").await;
    let cured = |alert: &aegis_crds::AegisAlert| repaired(alert).is_some_and(|(status, _)| status == "True");
    let alert = cluster.alert_that("repaired", cured).await;
    assert_eq!(alert.status.unwrap().actions.len(), 2);
    second.stop().await;
}

fn repaired(alert: &aegis_crds::AegisAlert) -> Option<(String, String)> {
    let found = conditions::find(&alert.status.as_ref()?.conditions, "Repaired").cloned()?;
    Some((found.status, found.reason?))
}
