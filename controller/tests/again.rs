//! What a second report does, and which of two rules acts: the promises that a user of the seed's curl would try first.
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

use aegis_sandbox::agent::SimulatorOptions;
use kube::ResourceExt;

use common::objects::{alert, rule, seed_alert, seed_rule, seed_template};
use common::{Cluster, Controller, reads, settings, until};

async fn seeded() -> Cluster {
    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_curl_acts_again_once_its_run_has_ended_and_the_repeat_window_has_passed() {
    let cluster = seeded().await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let mut settings = settings();
    settings.alert.repeat_window = Duration::ZERO;
    let controller = Controller::with(&cluster, settings).await;
    controller.send("/default/alert", seed_alert()).await;
    let first = cluster.alert_reads("Triggered", "Succeeded").await;

    controller.send("/default/alert", seed_alert()).await;
    let alerts = until("the second incident has been acted on", async || {
        let alerts = cluster.all_alerts().await;
        let done = alerts.iter().all(|alert| reads(alert) == ("Triggered".into(), "Succeeded".into()));
        if done && alerts.len() == 2 { Ok(alerts) } else { Err(alerts.len()) }
    })
    .await;
    assert_eq!(cluster.all_workflows().await.len(), 2, "one for each incident");
    let (old, young): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|alert| alert.uid() == first.uid());
    let old = old[0].status.clone().unwrap();
    assert_eq!(old.superseded_by, Some(young[0].name_any()), "the first incident is over");
    assert_eq!(old.status.map(|status| status.to_string()).as_deref(), Some("Resolved"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_curl_within_the_repeat_window_is_counted_and_nothing_else() {
    let cluster = seeded().await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("Triggered", "Succeeded").await;

    controller.send("/default/alert", seed_alert()).await;
    cluster
        .alert_that("counted twice", |alert| alert.status.as_ref().is_some_and(|status| status.count == Some(2)))
        .await;
    assert_eq!(cluster.all_workflows().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rule_of_the_longer_type_wins_whatever_the_two_are_called() {
    for (issue, disappeared) in [("a", "z"), ("z", "a")] {
        let cluster = Cluster::start().await;
        cluster.apply(seed_template()).await;
        cluster.apply(rule(issue, "NodeCriticalIssue", "nodehasemergencyevent")).await;
        cluster.apply(rule(disappeared, "NodeCriticalIssueDisappeared", "nodehasemergencyevent")).await;
        let _simulator = cluster.simulate(SimulatorOptions::default());
        let controller = Controller::start(&cluster).await;
        controller.send("/default/alert", alert("NodeCriticalIssueDisappeared", "Firing", "f1")).await;
        let ended = cluster.alert_reads("Triggered", "Succeeded").await;
        let chosen = ended.status.unwrap().rule.unwrap();
        assert_eq!(chosen.name, disappeared, "{}", chosen.why);
        assert_eq!(chosen.others, [format!("monitoring/{issue}")], "the other one matches too, and status says so");
        controller.stop().await;
    }
}
