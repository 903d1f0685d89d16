//! A cordon is lifted by whoever made it, and by nobody else.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::common::objects::{SEED_MANIFEST, rule_for, seed_rule, template};
use crate::common::{Cluster, Controller, objects, settled, until};
use crate::world::{cordon, guarded, held, is_cordoned, nodes, policy, succeeded, until_no_place_is_taken};

#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_belongs_to_whoever_made_it() {
    let cluster = guarded().await;
    cluster.apply(rule_for("uncordon", "NodeHasEmergencyEvent", "Resolved", "uncordon")).await;
    let mut recovery = template("uncordon", SEED_MANIFEST);
    recovery["spec"]["recovery"] = json!(true);
    cluster.apply(recovery).await;
    let controller = Controller::start(&cluster).await;
    let act = async |cordons: bool| {
        let workflow = until("an action goes on", async || {
            let going =
                cluster.all_workflows().await.into_iter().find(|workflow| workflow.data.get("status").is_none());
            going.ok_or("none")
        })
        .await;
        cordon(&cluster, "dev1", cordons).await;
        cluster.set_phase(&workflow.name_any(), "Succeeded", "").await;
    };
    let changes =
        async || nodes(&cluster.client).get("dev1").await.unwrap().annotations().get("aegis.io/changes").cloned();

    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "ours")).await;
    act(true).await;
    let written = until("the cordon is written down", async || changes().await.ok_or(())).await;
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(
        (written[0]["field"].as_str(), written[0]["rule"].as_str()),
        (Some("unschedulable"), Some("monitoring/nodehasemergencyevent"))
    );
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Resolved", "ours")).await;
    act(false).await;
    until("nothing of ours is left", async || changes().await.map_or(Ok(()), Err)).await;

    cordon(&cluster, "dev1", true).await;
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "theirs")).await;
    held(&cluster, "theirs", "Cordoned").await;
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Resolved", "theirs")).await;
    held(&cluster, "theirs", "NotOurs").await;
    cordon(&cluster, "dev1", false).await;
    act(false).await;
    succeeded(&cluster, "theirs").await;
    controller.stop().await;
}

/// A cluster whose node was cordoned by an action of ours for two hours, and its controller.
async fn cordoned_for_a_while() -> (Cluster, Controller) {
    let cluster = guarded().await;
    let mut rule = seed_rule();
    rule["spec"]["cordonFor"] = json!("2h");
    cluster.apply(rule).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "ours")).await;
    let name = until("an action goes on", async || {
        cluster.all_workflows().await.first().map(ResourceExt::name_any).ok_or("none")
    })
    .await;
    cordon(&cluster, "dev1", true).await;
    cluster.set_phase(&name, "Succeeded", "").await;
    succeeded(&cluster, "ours").await;
    let ends = until("its end is written down", async || changes(&cluster).await.first().cloned().ok_or(())).await;
    let ends = |field: &str| ends[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(ends("expires").duration_since(ends("time")), jiff::SignedDuration::from_hours(2));
    (cluster, controller)
}

/// What stands on dev1 of changes of ours.
async fn changes(cluster: &Cluster) -> Vec<Value> {
    let node = nodes(&cluster.client).get("dev1").await.unwrap();
    node.annotations().get("aegis.io/changes").map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

/// Lets that time pass with nobody there.
async fn pass(cluster: &Cluster, controller: Controller, minutes: u64) -> Controller {
    controller.stop().await;
    cluster.sandbox.advance(Duration::from_secs(60 * minutes));
    Controller::start(cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_for_a_while_is_lifted_by_itself_unless_recovery_is_paused_too() {
    let (cluster, controller) = cordoned_for_a_while().await;
    let controller = pass(&cluster, controller, 119).await;
    assert!(settled(&cluster, async || is_cordoned(&cluster).await).await, "its time is not over");
    policy(&cluster, json!({"pauses": [{"target": "node/dev1", "recoveryToo": true}]})).await;
    let controller = pass(&cluster, controller, 2).await;
    assert!(settled(&cluster, async || is_cordoned(&cluster).await).await, "recovery is paused");
    policy(&cluster, json!({"pauses": [{"target": "all"}]})).await;
    until("it is lifted", async || if is_cordoned(&cluster).await { Err(()) } else { Ok(()) }).await;
    assert_eq!(changes(&cluster).await, [] as [Value; 0]);
    until("an Event on the node says so", async || {
        let events = cluster.events_on("Node").await;
        let told = |(reason, message): &(String, String)| {
            reason == "ChangeExpired" && message.starts_with("unschedulable is put back, true -> not set")
        };
        if events.iter().any(told) { Ok(()) } else { Err(events) }
    })
    .await;
    until_no_place_is_taken(&cluster).await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_that_a_person_sets_after_lifting_ours_stays() {
    let (cluster, controller) = cordoned_for_a_while().await;
    cordon(&cluster, "dev1", false).await;
    until("it is no longer ours", async || match changes(&cluster).await {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
    cordon(&cluster, "dev1", true).await;
    let controller = pass(&cluster, controller, 121).await;
    assert!(settled(&cluster, async || is_cordoned(&cluster).await).await, "it is a person's");
    controller.stop().await;
}
