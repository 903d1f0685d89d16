//! What holds actions back, by requests to the API server alone: budgets that no storm exceeds, pauses that take effect
//! at once, cordons that belong to somebody, and failures that end in front of a person.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Match, Options, Verb, WatchBreak};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use common::mirror::Mirror;
use common::objects::{self, SEED_MANIFEST, rule, rule_for, seed_rule, seed_template, template};
use common::{Cluster, Controller, reads, settings, settled, until};

const ALERTS: usize = 1_000;
/// How many of them are critical; they are sent last.
const CRITICAL: usize = 100;
const PER_RULE: usize = 10;
const IN_ALL: usize = 12;
/// How many are sent at the same time.
const AT_ONCE: usize = 24;

async fn policy(cluster: &Cluster, spec: Value) {
    let replaced = json!({"spec": spec});
    cluster.guards().patch("aegis", &PatchParams::default(), &Patch::Merge(replaced)).await.unwrap();
}

/// A cluster with the default policy, the seed's rule and template.
async fn guarded() -> Cluster {
    guarded_on(&["dev1"]).await
}

/// The same with these nodes.
async fn guarded_on(nodes: &[&str]) -> Cluster {
    let nodes = nodes.iter().map(ToString::to_string).collect();
    let cluster = Cluster::with(Options { nodes, ..common::options() }).await;
    policy(&cluster, json!({"budgets": null, "breaker": null, "retries": null})).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    cluster
}

fn nodes(client: &Client) -> Api<Node> {
    Api::all(client.clone())
}

async fn cordon(cluster: &Cluster, node: &str, yes: bool) {
    let patch = json!({"spec": {"unschedulable": if yes { json!(true) } else { Value::Null }}});
    nodes(&cluster.client).patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

fn verdict(alert: &AegisAlert) -> (String, String) {
    let verdict = alert.status.as_ref().and_then(|status| status.verdict.clone()).unwrap_or_default();
    (verdict.reason, verdict.message)
}

/// The alert of that fingerprint once it is held for that reason; its message.
async fn held(cluster: &Cluster, fingerprint: &str, reason: &str) -> String {
    alert_that(cluster, fingerprint, &format!("held: {reason}"), |alert| verdict(alert).0 == reason).await
}

async fn succeeded(cluster: &Cluster, fingerprint: &str) {
    alert_that(cluster, fingerprint, "succeeded", |alert| reads(alert).1 == "Succeeded").await;
}

async fn alert_that(cluster: &Cluster, fingerprint: &str, what: &str, looks: impl Fn(&AegisAlert) -> bool) -> String {
    until(&format!("{fingerprint} is {what}"), async || {
        let alerts = cluster.all_alerts().await;
        let of = |alert: &AegisAlert| alert.spec.fingerprint.as_deref() == Some(fingerprint);
        let alert = alerts.into_iter().find(of).ok_or_else(|| "it is not there".to_owned())?;
        if looks(&alert) { Ok(verdict(&alert).1) } else { Err(format!("{:?}", alert.status)) }
    })
    .await
}

/// What an independent observer saw of Workflows: how many went on at once, and in which order they began.
#[derive(Default)]
struct Observed {
    going: BTreeMap<String, String>,
    most_in_all: usize,
    most_of_a_rule: usize,
    begun: Vec<String>,
}

impl Observed {
    fn see(&mut self, workflow: &DynamicObject) {
        let name = workflow.name_any();
        let phase = workflow.labels().get("workflows.argoproj.io/phase").map(String::as_str);
        let ended = matches!(phase, Some("Succeeded" | "Failed" | "Error"));
        if ended {
            self.going.remove(&name);
            return;
        }
        if !self.begun.contains(&name) {
            self.begun.push(name.clone());
        }
        self.going.insert(name, workflow.annotations()["aegis.io/rule"].clone());
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        for rule in self.going.values() {
            *rules.entry(rule).or_default() += 1;
        }
        self.most_of_a_rule = self.most_of_a_rule.max(rules.into_values().max().unwrap_or(0));
        self.most_in_all = self.most_in_all.max(self.going.len());
    }
}

/// Follows every change of every Workflow.
async fn observe(api: Api<DynamicObject>, observed: Arc<Mutex<Observed>>) {
    let mut version = "0".to_owned();
    loop {
        let mut events = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        while let Some(event) = events.try_next().await.unwrap() {
            match event {
                WatchEvent::Added(workflow) | WatchEvent::Modified(workflow) => {
                    version = workflow.resource_version().unwrap();
                    observed.lock().unwrap().see(&workflow);
                }
                WatchEvent::Deleted(workflow) => {
                    version = workflow.resource_version().unwrap();
                    observed.lock().unwrap().going.remove(&workflow.name_any());
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => panic!("the watch ended: {status:?}"),
            }
        }
    }
}

/// Alerts of two rules, each about a node of its own; the last hundred are critical.
fn storm_alert(number: usize) -> Value {
    let type_ = if number.is_multiple_of(2) { "Even" } else { "Odd" };
    let mut body = objects::alert_on(&format!("n{number}"), type_, "Firing", &format!("f{number}"));
    body["severity"] = json!(if number >= ALERTS - CRITICAL { "critical" } else { "warning" });
    body
}

/// A replica that takes part in that election, ready.
async fn ready(component: &'static str, cluster: &Cluster, lease: &str) -> Controller {
    let mut settings = settings();
    settings.lease.name = lease.to_owned();
    let controller = Controller::named(component, cluster, settings);
    controller.until_ready().await;
    controller
}

async fn until_no_place_is_taken(cluster: &Cluster) {
    until("every place is given back", async || {
        let book = cluster.guards().get("aegis").await.unwrap().status.unwrap();
        if book.claims.is_empty() { Ok(()) } else { Err(book.claims) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_exceeds_no_budget_with_two_leaders_that_die_and_the_gravest_go_first() {
    let names: Vec<String> = (0..ALERTS).map(|number| format!("n{number}")).collect();
    let cluster = Cluster::with(Options { history: 200_000, nodes: names, ..common::options() }).await;
    let budgets = json!({"unfinished": IN_ALL, "unfinishedPerRule": PER_RULE, "nodesOut": {"percent": 5}});
    policy(&cluster, json!({"budgets": budgets})).await;
    cluster.apply(rule("even", "Even", "t")).await;
    cluster.apply(rule("odd", "Odd", "t")).await;
    cluster.apply(template("t", SEED_MANIFEST)).await;
    let observed = Arc::new(Mutex::new(Observed::default()));
    let observer = tokio::spawn(observe(cluster.workflows(), observed.clone()));
    let alerts = Mirror::start(cluster.alerts());
    let run_time = Duration::from_millis(150);
    let _simulator = cluster.simulate(SimulatorOptions { run_time, ..SimulatorOptions::default() });
    // One stays and takes the webhooks; the others lead, each by a Lease of its own, and die again and again.
    let taker = ready("taker", &cluster, "one").await;
    let mut second = ready("second", &cluster, "another").await;
    futures::stream::iter(0..ALERTS)
        .for_each_concurrent(AT_ONCE, async |number| taker.send("/alert", storm_alert(number)).await)
        .await;
    let done = |seen: &common::mirror::Seen<AegisAlert>| {
        seen.now.values().filter(|alert| reads(alert).1 == "Succeeded").count()
    };
    let mut why = BTreeSet::new();
    for share in 1..=5 {
        tokio::time::timeout(
            Duration::from_secs(120),
            alerts.whenever(|seen| (done(seen) >= ALERTS * share / 5).then_some(())),
        )
        .await
        .unwrap_or_else(|_| panic!("{} of {ALERTS} are done; {:?}", done(&alerts.seen()), why));
        why.extend(alerts.seen().now.values().map(verdict).filter(|(reason, _)| !reason.is_empty()));
        second.kill().await;
        second = ready("second", &cluster, "another").await;
    }
    until_no_place_is_taken(&cluster).await;
    until("the observer has seen all", async || {
        let begun = observed.lock().unwrap().begun.len();
        if begun == ALERTS { Ok(()) } else { Err(begun) }
    })
    .await;
    observer.abort();
    let observed = std::mem::take(&mut *observed.lock().unwrap());
    assert!(observed.most_of_a_rule <= PER_RULE, "{} of a rule went on at once", observed.most_of_a_rule);
    assert!(observed.most_in_all <= IN_ALL, "{} went on at once", observed.most_in_all);
    assert!(observed.most_in_all >= PER_RULE, "the budget was what held them back");
    assert!(why.iter().any(|(reason, message)| reason == "BudgetFull" && message.contains("are under way")), "{why:?}");
    let grave: BTreeSet<String> = alerts
        .seen()
        .now
        .values()
        .filter(|alert| alert.spec.severity.as_deref() == Some("critical"))
        .map(|alert| alert.status.as_ref().unwrap().actions[0].name.clone())
        .collect();
    let last = observed.begun.iter().rposition(|name| grave.contains(name)).unwrap();
    assert!(last < ALERTS - 300, "the last of the critical ones, sent last, began as number {last}");
    second.kill().await;
    taker.kill().await;
}

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

    let watch = Match::any().component(common::COMPONENT).resource("aegisguards");
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

    let watch = Match::any().component(common::COMPONENT).resource("nodes");
    assert!(cluster.sandbox.faults().break_watches(&watch, WatchBreak::Freeze) > 0);
    cordon(&cluster, "dev1", true).await;
    let looks = Match::any().component(common::COMPONENT).verb(Verb::Get).resource("nodes").name("dev1");
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

async fn is_cordoned(cluster: &Cluster) -> bool {
    nodes(&cluster.client).get("dev1").await.unwrap().spec.unwrap().unschedulable == Some(true)
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

    let watch = Match::any().component(common::COMPONENT).resource("workflows");
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

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_whose_actions_fail_again_and_again_asks_for_a_person() {
    let cluster = guarded().await;
    policy(&cluster, json!({"retries": {"wait": "10ms", "longestWait": "10ms", "attempts": 2}})).await;
    let _simulator = cluster.simulate(SimulatorOptions { failing: 1.0, ..SimulatorOptions::default() });
    let controller = Controller::start(&cluster).await;
    for fingerprint in ["one", "two"] {
        controller
            .send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", fingerprint))
            .await;
        alert_that(&cluster, fingerprint, "failed", |alert| reads(alert).1 == "Failed").await;
    }
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "three")).await;
    let message = held(&cluster, "three", "NeedsPerson").await;
    assert!(message.contains("kubectl aegis resume node/dev1"), "{message}");
    let now = jiff::Timestamp::now();
    policy(&cluster, json!({"resumed": {"node/dev1": now}})).await;
    alert_that(&cluster, "three", "failed", |alert| reads(alert).1 == "Failed").await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_trips_for_all_to_see_and_a_person_closes_it() {
    let cluster = guarded().await;
    policy(&cluster, json!({"breaker": {"actions": 1, "within": "10m", "calm": "1h"}})).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let controller = Controller::start(&cluster).await;
    for (fingerprint, node) in [("first", "dev1"), ("second", "dev2")] {
        controller
            .send("/default/alert", objects::alert_on(node, "NodeHasEmergencyEvent", "Firing", fingerprint))
            .await;
        if fingerprint == "first" {
            succeeded(&cluster, fingerprint).await;
        }
    }
    held(&cluster, "second", "BreakerOpen").await;
    until("the breaker is seen to be open", async || {
        let breaker = cluster.guards().get("aegis").await.unwrap().status.and_then(|status| status.breaker);
        if breaker.as_ref().is_some_and(|breaker| breaker.state == "Open") { Ok(()) } else { Err(breaker) }
    })
    .await;
    policy(&cluster, json!({"resumed": {"breaker": jiff::Timestamp::now()}})).await;
    succeeded(&cluster, "second").await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_definition_of_the_guard_nothing_begins_and_with_it_all_does() {
    let mut options = common::options();
    let guards = |crd: &Value| crd["spec"]["names"]["kind"] == "AegisGuard";
    let definition = options.crds.iter().find(|crd| guards(crd)).cloned().unwrap();
    options.crds.retain(|crd| !guards(crd));
    let cluster = Cluster::with(options).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "f")).await;
    let message = held(&cluster, "f", "NoPolicy").await;
    assert!(message.contains("manifest/install/aegisguards.yaml"), "{message}");
    cluster.install(definition).await;
    succeeded(&cluster, "f").await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_observes_shows_what_it_would_have_done() {
    let cluster = guarded().await;
    let mut observing = seed_rule();
    observing["spec"]["mode"] = json!("Observe");
    cluster.apply(observing).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "f")).await;
    let message = held(&cluster, "f", "Observed").await;
    assert!(message.starts_with("would create Workflow"), "{message}");
    assert!(cluster.all_workflows().await.is_empty());
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_does_not_count_once_anybody_can_write_it() {
    let cluster = guarded().await;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(cluster.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(cluster.client.clone());
    let policy = json!({"metadata": {"name": "aegis-approval"}, "spec": {"failurePolicy": "Fail"}});
    let bound = json!({"policyName": "aegis-approval", "validationActions": ["Deny"]});
    let binding = json!({"metadata": {"name": "aegis-approval"}, "spec": bound});
    policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let mut rule = seed_rule();
    rule["spec"]["approval"] = json!("Required");
    cluster.apply(rule).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "f")).await;
    alert_that(&cluster, "f", "held until somebody approves, and approvals count", |alert| {
        let (reason, message) = verdict(alert);
        reason == "NeedsApproval" && !message.contains("ValidatingAdmissionPolicy") && !message.contains("looked")
    })
    .await;

    bindings.delete("aegis-approval", &DeleteParams::default()).await.unwrap();
    let alert = cluster.all_alerts().await.remove(0);
    let plan = alert.status.clone().unwrap().verdict.unwrap().plan.unwrap();
    let forged = json!({"metadata": {"annotations": {"aegis.io/approval": format!("{plan} by someone")}}});
    cluster.alerts().patch(&alert.name_any(), &PatchParams::default(), &Patch::Merge(forged)).await.unwrap();
    alert_that(&cluster, "f", "waiting for an approval that counts", |alert| {
        let approval = alert.status.as_ref().and_then(|status| status.approval.as_ref());
        approval.is_some_and(|approval| approval.by.is_empty()) && verdict(alert).0 == "NeedsApproval"
    })
    .await;
    assert!(cluster.all_workflows().await.is_empty());
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_any_more_once_the_nodes_are_back() {
    let cluster = Cluster::with(Options { nodes: vec!["dev1".into(), "dev2".into()], ..common::options() }).await;
    policy(&cluster, json!({"approval": {"aboveNodesOut": 1}})).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    cordon(&cluster, "dev2", true).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "f")).await;
    held(&cluster, "f", "NeedsApproval").await;
    cordon(&cluster, "dev2", false).await;
    succeeded(&cluster, "f").await;
    controller.stop().await;
}
