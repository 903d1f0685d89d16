//! Hours and days without a controller: whoever comes next decides by the time that it is then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use aegis_crds::alert::AlertOpsStatus;
use kube::ResourceExt;

use common::objects::{seed_alert, seed_resolved, seed_rule, seed_template};
use common::{Cluster, Controller, reads, settled, until};

const HOUR: Duration = Duration::from_secs(3600);

/// A cluster in which the seed's alert has been acted on, and its controller.
async fn acted() -> (Cluster, Controller) {
    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Triggered", "Pending").await;
    cluster.set_phase(&alert.status.unwrap().actions[0].name, "Succeeded", "").await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    (cluster, controller)
}

/// That long nobody is there.
async fn pass(cluster: &Cluster, controller: Controller, hours: u32) -> Controller {
    controller.stop().await;
    cluster.sandbox.advance(HOUR * hours);
    Controller::start(cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_after_an_hour_is_no_repeat_of_what_ended_before() {
    let (cluster, controller) = acted().await;
    controller.send("/alert", seed_alert()).await;
    assert_eq!(cluster.all_alerts().await.len(), 1, "within the repeat window it is counted");
    let controller = pass(&cluster, controller, 1).await;
    controller.send("/alert", seed_alert()).await;
    until("the new incident is acted on", async || match cluster.all_workflows().await.len() {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(cluster.all_alerts().await.len(), 2);
    controller.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_was_not_heard_for_a_day_is_not_acted_on_before_it_is_heard_again() {
    let cluster = Cluster::start().await;
    let controller = Controller::start(&cluster).await;
    controller.send("/alert", seed_alert()).await;
    cluster.alert_reads("RuleNotFound", "").await;
    let controller = pass(&cluster, controller, 25).await;
    cluster.apply(seed_template()).await;
    cluster.apply(seed_rule()).await;
    let alert = cluster.alert_reads("Held", "").await;
    assert_eq!(alert.status.unwrap().verdict.unwrap().reason, "Stale");
    assert_eq!(settled(&cluster, async || cluster.all_workflows().await.len()).await, 0);

    controller.send("/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Triggered", "Pending").await;
    assert_eq!(alert.status.unwrap().count, Some(2), "it is the same incident");
    controller.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_whose_time_ran_out_meanwhile_is_deleted_and_one_whose_time_did_not_is_kept() {
    let (cluster, controller) = acted().await;
    controller.send("/alert", seed_resolved()).await;
    let over = |alert: &aegis_crds::AegisAlert| alert.status.as_ref().is_some_and(|status| status.verdict.is_some());
    cluster.alert_that("nothing is left to do for it", over).await;
    // Two days after its end.
    let controller = pass(&cluster, controller, 47).await;
    until("its Workflow is let go", async || {
        let kept = cluster.all_workflows().await.iter().filter(|workflow| !workflow.finalizers().is_empty()).count();
        if kept == 0 { Ok(()) } else { Err(kept) }
    })
    .await;
    assert_eq!(settled(&cluster, async || cluster.all_alerts().await.len()).await, 1);
    let controller = pass(&cluster, controller, 2).await;
    until("the alert and its Workflow are deleted", async || {
        let left = (cluster.all_alerts().await.len(), cluster.all_workflows().await.len());
        if left == (0, 0) { Ok(()) } else { Err(left) }
    })
    .await;
    controller.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_went_on_for_too_long_meanwhile_is_stopped_and_has_failed() {
    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Triggered", "Pending").await;
    let name = alert.status.unwrap().actions[0].name.clone();
    cluster.set_phase(&name, "Running", "").await;
    cluster.alert_reads("Triggered", "Running").await;
    let controller = pass(&cluster, controller, 2).await;
    let alert = cluster.alert_that("it has failed", |alert| reads(alert).1 == "Failed").await;
    let action = &alert.status.as_ref().unwrap().actions[0];
    assert_eq!((action.status, action.reason.as_deref()), (Some(AlertOpsStatus::Failed), Some("Timeout")));
    let took = action.completion_time.unwrap().duration_since(action.start_time.unwrap());
    assert!(took.as_hours() >= 2, "it ended when it was found, not before: {took}");
    until("it is stopped", async || {
        let workflow = cluster.workflows().get(&name).await.unwrap();
        if workflow.data["spec"]["shutdown"] == "Terminate" { Ok(()) } else { Err(workflow.data) }
    })
    .await;
    controller.kill().await;
}
