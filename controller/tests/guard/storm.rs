//! More alerts than may be acted on at once, and leaders that die meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_sandbox::Options;
use aegis_sandbox::agent::SimulatorOptions;
use futures::{StreamExt, TryStreamExt};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::common::mirror::{Mirror, Seen};
use crate::common::objects::{SEED_MANIFEST, rule, template};
use crate::common::{Cluster, objects, options, reads, until};
use crate::world::{policy, ready, until_no_place_is_taken, verdict};

const ALERTS: usize = 1_000;
/// How many of them are critical; they are sent last.
const CRITICAL: usize = 100;
const PER_RULE: usize = 10;
const IN_ALL: usize = 12;
/// How many are sent at the same time.
const AT_ONCE: usize = 24;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_exceeds_no_budget_with_two_leaders_that_die_and_the_gravest_go_first() {
    let names: Vec<String> = (0..ALERTS).map(|number| format!("n{number}")).collect();
    let cluster = Cluster::with(Options { history: 200_000, nodes: names, ..options() }).await;
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
    let done = |seen: &Seen<AegisAlert>| seen.now.values().filter(|alert| reads(alert).1 == "Succeeded").count();
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
