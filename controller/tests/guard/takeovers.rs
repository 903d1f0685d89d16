//! Two leaders, one of which knows less than the other or is gone.

use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Match, Verb, WatchBreak};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::common::objects::{SEED_MANIFEST, rule_for, template};
use crate::common::{COMPONENT, Controller, objects, settled, until};
use crate::world::{alert_that, cordon, guarded, guarded_on, held, policy, succeeded, until_no_place_is_taken};

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_what_is_about_to_begin_even_where_a_leader_has_not_heard_of_it() {
    let cluster = guarded().await;
    cluster.apply(rule_for("uncordon", "NodeRecovered", "Firing", "uncordon")).await;
    let mut recovery = template("uncordon", SEED_MANIFEST);
    recovery["spec"]["recovery"] = json!(true);
    cluster.apply(recovery).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "before")).await;
    succeeded(&cluster, "before").await;

    let watch = Match::any().component(COMPONENT).resource("aegisguards");
    assert!(cluster.sandbox.faults().break_watches(&watch, WatchBreak::Freeze) > 0);
    let annotated = json!({"metadata": {"annotations": {"aegis.io/pause": "the network is being rebuilt"}}});
    cluster.guards().patch("aegis", &PatchParams::default(), &Patch::Merge(annotated)).await.unwrap();
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "paused")).await;
    let message = held(&cluster, "paused", "Paused").await;
    assert!(message.contains("the network is being rebuilt"), "{message}");
    controller.send("/default/alert", objects::alert_on("dev1", "NodeRecovered", "Firing", "recovery")).await;
    succeeded(&cluster, "recovery").await;

    let resumed = json!({"metadata": {"annotations": {"aegis.io/pause": null}}});
    cluster.guards().patch("aegis", &PatchParams::default(), &Patch::Merge(resumed)).await.unwrap();
    cluster.sandbox.faults().break_watches(&watch, WatchBreak::Cut);
    succeeded(&cluster, "paused").await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_another_leader_gave_back_is_not_taken_before_its_node_was_looked_at() {
    let cluster = guarded_on(&["dev1", "dev2", "dev3"]).await;
    policy(&cluster, json!({"budgets": {"nodesOut": {"count": 1}}})).await;
    let controller = Controller::start(&cluster).await;
    let book = async |claims: Value| {
        let status = Patch::Merge(json!({"status": {"claims": claims}}));
        cluster.guards().patch_status("aegis", &PatchParams::default(), &status).await.unwrap();
    };
    let send = async |node: &str| {
        controller.send("/default/alert", objects::alert_on(node, "NodeHasEmergencyEvent", "Firing", node)).await;
        held(&cluster, node, "TooManyNodesOut").await
    };
    // A leader that begins gives back what alerts hold that are gone.
    controller.send("/default/alert", objects::alert_on("dev1", "NobodyKnows", "Firing", "leads")).await;
    held(&cluster, "leads", "NoRule").await;
    book(json!([{"alert": "default-other", "uid": "u", "phase": "Firing", "attempt": 1, "rule": "m/r",
        "target": "node/dev1", "node": "dev1"}]))
    .await;
    send("dev2").await;

    let watch = Match::any().component(COMPONENT).resource("nodes");
    assert!(cluster.sandbox.faults().break_watches(&watch, WatchBreak::Freeze) > 0);
    cordon(&cluster, "dev1", true).await;
    let looks = Match::any().component(COMPONENT).verb(Verb::Get).resource("nodes").name("dev1");
    let before = cluster.sandbox.requests().matching(&looks).len();
    book(Value::Null).await;
    until("the node is looked at", async || {
        let looked = cluster.sandbox.requests().matching(&looks).len() - before;
        if looked > 0 { Ok(()) } else { Err(looked) }
    })
    .await;
    send("dev3").await;
    assert!(cluster.all_workflows().await.is_empty(), "two nodes are out where one may be");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_takes_over_does_not_tell_all_who_wait_which_other_nodes_are_out_now() {
    let cluster = guarded_on(&["dev1", "dev2", "dev3", "dev4", "dev5"]).await;
    policy(&cluster, json!({"budgets": {"nodesOut": {"count": 1}}})).await;
    cordon(&cluster, "dev1", true).await;
    let controller = Controller::start(&cluster).await;
    let send = async |controller: &Controller, node: &str| {
        controller.send("/default/alert", objects::alert_on(node, "NodeHasEmergencyEvent", "Firing", node)).await;
        held(&cluster, node, "TooManyNodesOut").await
    };
    let told = [send(&controller, "dev2").await, send(&controller, "dev3").await];
    controller.stop().await;

    cordon(&cluster, "dev4", true).await;
    let controller = Controller::start(&cluster).await;
    let new = send(&controller, "dev5").await;
    assert!(new.contains("dev1, dev4 already are"), "what is new is told as it is: {new}");
    let now = settled(&cluster, async || {
        let told = async |node: &str| held(&cluster, node, "TooManyNodesOut").await;
        [told("dev2").await, told("dev3").await]
    })
    .await;
    assert_eq!(now, told, "so is what is held, in a minute");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leader_left_taken_is_given_back_by_the_next() {
    let cluster = guarded().await;
    let claim = json!({"alert": "node/dev1", "uid": "expiry/u", "phase": "Firing", "attempt": 1, "rule": "m/r",
        "target": "node/dev1", "node": "dev1", "recovery": true});
    let gone = json!({"alert": "default-gone", "uid": "u", "phase": "Firing", "attempt": 1, "rule": "m/r",
        "target": "node/dev2", "node": "dev2"});
    let status = json!({"status": {"claims": [claim, gone]}});
    cluster.guards().patch_status("aegis", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let controller = Controller::start(&cluster).await;
    until_no_place_is_taken(&cluster).await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_of_another_leader_keeps_its_place_also_where_the_watch_does_not_show_it() {
    let cluster = guarded().await;
    let pause = async |reason: &str| {
        let annotated = json!({"metadata": {"annotations": {"aegis.io/pause": reason}}});
        cluster.guards().patch("aegis", &PatchParams::default(), &Patch::Merge(annotated)).await.unwrap();
    };
    pause("first").await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "held")).await;
    held(&cluster, "held", "Paused").await;
    let alert = cluster.all_alerts().await.remove(0);
    let (name, uid) = (alert.name_any(), alert.uid().unwrap());

    let watch = Match::any().component(COMPONENT).resource("workflows");
    assert!(cluster.sandbox.faults().break_watches(&watch, WatchBreak::Freeze) > 0);
    let owner = json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "name": name, "uid": uid,
        "controller": true});
    let workflow = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {}, "metadata": {
        "name": format!("{name}-of-another"), "ownerReferences": [owner], "annotations": {"aegis.io/rule": "m/r"},
        "labels": {"aegis.io/alert": name, "aegis.io/alert-uid": uid, "aegis.io/phase": "Firing",
                   "aegis.io/attempt": "1"}}});
    cluster.workflows().create(&PostParams::default(), &serde_json::from_value(workflow).unwrap()).await.unwrap();
    let claim = json!({"alert": name, "uid": uid, "phase": "Firing", "attempt": 1, "rule": "m/r",
        "target": "node/dev1", "node": "dev1"});
    let status = json!({"status": {"claims": [claim]}});
    cluster.guards().patch_status("aegis", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();

    pause("second").await;
    alert_that(&cluster, "held", "followed", |alert| {
        alert.status.as_ref().is_some_and(|status| status.actions.iter().any(|action| action.uid.is_some()))
    })
    .await;
    let guard = cluster.guards().get("aegis").await.unwrap();
    assert_eq!(guard.status.unwrap().claims.len(), 1, "nothing else may take the place of what goes on");
    controller.stop().await;
}
