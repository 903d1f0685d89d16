//! One exporter breaks, and a thousand nodes are reported ill at once, while controllers die and two lead at the same
//! time. An observer of its own proves from the API server's record that no budget was ever exceeded.

mod chaos;
mod executor;
mod judge;
mod observer;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertOpsStatus, AlertStatus};
use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::chaos::Chaos;
use self::executor::Executor;
use self::judge::{Judged, Limits, judge};
use self::observer::Observer;
use super::Scenario;
use crate::aegis::{Aegis, node_alert};
use crate::audit;
use crate::cluster::Cluster;
use crate::parts;
use crate::procedure;
use crate::simulated::SimulatedNodes;
use crate::wait::within;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "guard-storm",
    about: "1,000 node alerts at once, two leaders that die again and again: no budget is exceeded, recovery goes through",
    smoke: false,
    parts: &[&parts::KWOK],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "guard-storm";
/// How many nodes there are, and so how many alerts, unless this variable says fewer.
const NODES: usize = 1000;
const VARIABLE: &str = "AEGIS_STORM_NODES";
/// The node label that names the rack, and how many nodes are in each.
const RACK: &str = "rack";
const IN_A_RACK: usize = 50;
/// Of a hundred nodes so many may be out, and of the actions against all alerts so many trip the breaker.
const OUT: usize = 5;
const BREAKER: usize = 40;
/// How many alerts are sent at the same time.
const AT_ONCE: usize = 64;
/// The longest that one step of it may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Within so long nothing begins any more once it is paused.
const A_SECOND: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// How large the storm is.
#[derive(Clone, Copy, Debug)]
struct Size {
    nodes: usize,
    limits: Limits,
    /// After so many actions the breaker trips.
    breaker: usize,
}

impl Size {
    fn read() -> anyhow::Result<Self> {
        let nodes = match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => text.parse().with_context(|| format!("{VARIABLE}: found {text:?}"))?,
            _ => NODES,
        };
        ensure!(
            (100..=NODES).contains(&nodes) && nodes.is_multiple_of(100),
            "{VARIABLE}: found {nodes}, expected a number of whole hundreds up to {NODES}"
        );
        let limits = Limits { of_a_rule: 8, in_all: 12, nodes_out: nodes * OUT / 100, of_a_rack: 4 };
        Ok(Self { nodes, limits, breaker: nodes * BREAKER / 100 })
    }
}

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let size = Size::read()?;
    let Size { nodes: count, limits, breaker } = size;
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let rules = ["^NodeSickA$", "^NodeSickB$"].iter().zip(["a", "b"]).flat_map(|(type_, name)| {
        let mut manifest = procedure::wait();
        if let Some(fields) = manifest.as_object_mut() {
            // Argo's controller leaves a Workflow alone that asks for another one.
            let label = json!({"labels": {"workflows.argoproj.io/controller-instanceid": "simulated"}});
            fields.insert("metadata".to_owned(), label);
        }
        let cordon = procedure::rule(&format!("cordon-{name}"), type_, &manifest);
        let uncordon = procedure::rule(&format!("uncordon-{name}"), type_, &manifest);
        let resolved = json!([{"type": type_, "status": "Resolved"}]);
        let uncordon = procedure::where_rule(uncordon, "alertConditions", resolved);
        cordon.into_iter().chain(procedure::where_rule(uncordon, "recovery", json!(true)))
    });
    cluster.apply(NAMESPACE, &procedure::list(rules)).await?;
    let pool = json!({
        "name": "sim", "selector": {"matchExpressions": [{"key": RACK, "operator": "Exists"}]},
        "nodesOut": {"percent": OUT}, "domain": {"label": RACK, "count": limits.of_a_rack},
    });
    let budgets = json!({"unfinished": limits.in_all, "unfinishedPerRule": limits.of_a_rule});
    let breaker = json!({"actions": breaker, "within": "30m", "calm": "1h"});
    aegis.policy(&json!({"budgets": budgets, "pools": [pool], "breaker": breaker})).await?;
    let nodes =
        SimulatedNodes::start(cluster, count, |number| vec![(RACK, format!("r{}", number / IN_A_RACK))]).await?;
    let observer = Observer::start(&cluster.client, NAMESPACE).await?;
    let executor = Executor::start(&cluster.client, NAMESPACE);
    let mark = audit::mark(cluster)?;
    let mut chaos = Chaos::start(&aegis).await?;
    let storm = Storm::start(&aegis, size, chaos.webhooks());
    let (over, ends) = watch::channel(false);
    let story = async {
        let told = storm.tell().await;
        over.send_replace(true);
        told
    };
    let (holds, blows, ()) = tokio::try_join!(story, chaos.strike(ends.clone()), storm.repair(ends))?;
    let judged = judge(observer.end()?, limits)?;
    println!(
        "  {} kills and {} halts; at most {} actions of a rule, {} in all, {} nodes out, {} of a rack",
        blows.killed,
        blows.halted,
        judged.most_of_a_rule,
        judged.most_in_all,
        judged.most_nodes_out,
        judged.most_of_a_rack
    );
    ensure!(blows.killed >= 3 && blows.halted >= 1, "the controllers were left alone: {blows:?}");
    ensure!(judged.most_nodes_out == limits.nodes_out, "the budget of nodes was never used up");
    ensure!(judged.most_of_a_rule == limits.of_a_rule, "the budget of a rule was never used up");
    in_order(&judged, count)?;
    aegis.two_workflows_each(count)?;
    storm.only_recovery_while_held(mark, &judged, &holds)?;
    drop(executor);
    let last = chaos.end().await?;
    nodes.stop(cluster).await?;
    aegis.uninstall(last).await
}

/// The severity of each: one in ten is critical, three are only for information.
fn severity(number: usize) -> &'static str {
    match number % 10 {
        9 => "critical",
        0..=2 => "info",
        _ => "warning",
    }
}

fn number(node: &str) -> anyhow::Result<usize> {
    Ok(node.strip_prefix("sim-").with_context(|| format!("{node} is none of the nodes"))?.parse()?)
}

/// All were there before the first began, so they begin by severity. A leader that has just begun gives what room there
/// is to those whom it looks at first.
fn in_order(judged: &Judged, nodes: usize) -> anyhow::Result<()> {
    let order: Vec<&str> = judged
        .begun
        .iter()
        .filter(|workflow| !workflow.recovery)
        .map(|workflow| Ok(severity(number(&workflow.node)?)))
        .collect::<anyhow::Result<_>>()?;
    ensure!(order.len() == nodes, "{} actions began", order.len());
    for (grave, many) in [("critical", nodes / 10), ("warning", nodes * 6 / 10)] {
        let last = order.iter().rposition(|one| *one == grave).context("none began")?;
        let before = order.iter().take(last).filter(|one| **one == "info").count();
        println!("  the last {grave} one of {many} began as number {}, after {before} info ones", last + 1);
    }
    Ok(())
}

impl Aegis<'_> {
    /// One for each alert that fired, and one for its end.
    fn two_workflows_each(&self, nodes: usize) -> anyhow::Result<()> {
        let made = self.workflows_made()?;
        let others: BTreeMap<&String, &usize> = made.iter().filter(|(_, made)| **made != 2).collect();
        ensure!(
            made.len() == nodes && others.is_empty(),
            "{} alerts have Workflows, and not two: {others:?}",
            made.len()
        );
        Ok(())
    }
}

/// A time in which nothing but recovery may begin.
type Hold = (&'static str, Timestamp, Timestamp);

struct Storm<'a> {
    aegis: &'a Aegis<'a>,
    size: Size,
    webhooks: Vec<String>,
    client: reqwest::Client,
    alerts: Store<AegisAlert>,
    _feed: JoinSet<()>,
    /// Whether somebody repairs nodes that were cordoned.
    repairs: watch::Sender<bool>,
}

impl<'a> Storm<'a> {
    fn start(aegis: &'a Aegis<'a>, size: Size, webhooks: Vec<String>) -> Self {
        let (alerts, writer) = reflector::store();
        let watch = watcher(aegis.alerts(), watcher::Config::default());
        let feed = reflector::reflector(writer, watch).default_backoff().for_each(|_| std::future::ready(()));
        let mut feeds = JoinSet::new();
        feeds.spawn(feed);
        Self {
            aegis,
            size,
            webhooks,
            client: reqwest::Client::new(),
            alerts,
            _feed: feeds,
            repairs: watch::Sender::new(false),
        }
    }

    async fn tell(&self) -> anyhow::Result<Vec<Hold>> {
        let Size { nodes, limits, breaker } = self.size;
        let admin = self.aegis.admin()?;
        let mut holds = Vec::new();
        admin.aegis(&["pause", "--reason", "before the storm"]).await?;
        let paused = Timestamp::now();
        let since = Instant::now();
        stream::iter((0..nodes).map(Ok))
            .try_for_each_concurrent(AT_ONCE, |number| self.report(number, "Firing"))
            .await?;
        println!("  {nodes} alerts were taken within {:.1} s", since.elapsed().as_secs_f64());
        self.until_reasons("all are held by the pause", &["Paused"], nodes).await?;
        holds.push(("the first pause", paused, Timestamp::now()));
        admin.aegis(&["resume"]).await?;

        self.until("as many nodes are out as may be", |now| now.acted == limits.nodes_out && now.going == 0).await?;
        self.until_reasons("the others say why", &["TooManyNodesOut", "BudgetFull"], nodes - limits.nodes_out).await?;
        let wide = admin.kubectl(&["get", "aegisalert", "-o", "wide"]).await?;
        let told = wide.lines().filter(|line| line.contains("TooManyNodesOut")).count();
        ensure!(told > 0, "kubectl get -o wide tells of nobody whom the nodes that are out hold back");

        let since = Instant::now();
        admin.aegis(&["pause", "--reason", "look at it first"]).await?;
        println!("  the pause was written within {:.1} s", since.elapsed().as_secs_f64());
        let paused = Timestamp::now();
        self.repairs.send_replace(true);
        self.until("all that was done is put back while paused", |now| now.recovered == limits.nodes_out).await?;
        self.none_cordoned().await?;
        holds.push(("the second pause", paused, Timestamp::now()));
        admin.aegis(&["resume"]).await?;

        let open = |guard: &Value| guard.pointer("/status/breaker/state") == Some(&json!("Open"));
        // Whoever is killed between its place and its action has begun one that the breaker counts all the same.
        self.until("the breaker is about to trip", |now| now.acted >= breaker * 3 / 4).await?;
        self.aegis.until_guard("that the breaker is open", open).await?;
        let tripped = Timestamp::now();
        self.until("all that was done is put back while the breaker is open", |now| {
            now.going == 0 && now.recovered == now.acted
        })
        .await?;
        self.none_cordoned().await?;
        let acted = self.now().acted;
        ensure!(acted <= breaker, "{acted} actions began, and the breaker trips after {breaker}");
        println!("  the breaker tripped after {acted} actions");
        let left = nodes - acted;
        self.until_reasons("the others say that it is the breaker", &["BreakerOpen"], left).await?;
        holds.push(("the breaker", tripped, Timestamp::now()));
        self.aegis.policy(&json!({"breaker": {"actions": 10 * nodes}})).await?;
        admin.aegis(&["resume", "breaker"]).await?;

        let since = Instant::now();
        self.until("every node was repaired", |now| now.recovered == nodes).await?;
        println!("  the other {left} took {:.1} s", since.elapsed().as_secs_f64());
        self.none_cordoned().await?;
        let empty = |guard: &Value| guard.pointer("/status/claims").is_none();
        self.aegis.until_guard("that no place is taken", empty).await?;
        Ok(holds)
    }

    /// Tells a webhook that is there. Whoever is not answered asks another one.
    async fn report(&self, number: usize, status: &str) -> anyhow::Result<()> {
        let (node, type_) =
            (SimulatedNodes::name(number), if number.is_multiple_of(2) { "NodeSickA" } else { "NodeSickB" });
        let alert = procedure::with(node_alert(type_, &node, &node), "status", status.into());
        let body = procedure::with(alert, "severity", severity(number).into()).to_string();
        let mut turns = self.webhooks.iter().cycle().skip(number % self.webhooks.len());
        within(PATIENCE, &format!("a report of {node} is taken"), || {
            let (url, body) = (turns.next(), body.clone());
            async move {
                let request = self.client.post(url.context("there are no webhooks")?).body(body);
                let answer = request.timeout(Duration::from_secs(6)).send().await?;
                match answer.status().as_u16() {
                    200 => Ok(Some(Ok(()))),
                    503 => bail!("the last answer was 503"),
                    code => Ok(Some(Err(anyhow::anyhow!("the webhook answered {code}: {}", answer.text().await?)))),
                }
            }
        })
        .await?
    }

    /// Reports each node that was cordoned as well again, while somebody repairs.
    async fn repair(&self, mut over: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut told = std::collections::BTreeSet::new();
        while !*over.borrow_and_update() {
            if *self.repairs.borrow() {
                let well: Vec<usize> = self
                    .alerts
                    .state()
                    .iter()
                    .filter(|alert| Stand::of(alert) == Stand::Acted)
                    .map(|alert| number(&alert.spec.involved_object.name))
                    .collect::<anyhow::Result<_>>()?;
                let well = well.into_iter().filter(|number| told.insert(*number)).map(Ok);
                stream::iter(well).try_for_each_concurrent(8, |number| self.report(number, "Resolved")).await?;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    fn now(&self) -> Now {
        let mut now = Now::default();
        for alert in self.alerts.state() {
            match Stand::of(&alert) {
                Stand::Waits => {}
                Stand::Acts => now.going += 1,
                Stand::Acted => now.acted += 1,
                Stand::Recovers => {
                    now.acted += 1;
                    now.going += 1;
                }
                Stand::Recovered => {
                    now.acted += 1;
                    now.recovered += 1;
                }
            }
        }
        now
    }

    async fn until(&self, what: &str, so: impl Fn(&Now) -> bool) -> anyhow::Result<()> {
        within(PATIENCE, what, || async {
            let now = self.now();
            ensure!(so(&now), "it stands so: {now:?}; held: {:?}", self.reasons());
            Ok(Some(()))
        })
        .await
    }

    /// What those say that have not acted yet.
    fn reasons(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for alert in self.alerts.state().iter().filter(|alert| Stand::of(alert) == Stand::Waits) {
            let verdict = alert.status.as_ref().and_then(|status| status.verdict.as_ref());
            *reasons.entry(verdict.map(|verdict| verdict.reason.clone()).unwrap_or_default()).or_default() += 1;
        }
        reasons
    }

    async fn until_reasons(&self, what: &str, any: &[&str], count: usize) -> anyhow::Result<()> {
        within(PATIENCE, what, || async {
            let reasons = self.reasons();
            let told: usize = any.iter().filter_map(|reason| reasons.get(*reason)).sum();
            ensure!(
                told == count && reasons.values().sum::<usize>() == count,
                "{count} should wait, and say {reasons:?}"
            );
            Ok(Some(()))
        })
        .await
    }

    async fn none_cordoned(&self) -> anyhow::Result<()> {
        let words =
            ["get", "nodes", "-l", RACK, "-o", "jsonpath={.items[?(@.spec.unschedulable==true)].metadata.name}"];
        let cordoned = self.aegis.cluster().kubectl(&words).await?;
        ensure!(cordoned.trim().is_empty(), "{cordoned} are still cordoned");
        Ok(())
    }

    /// By the API server's own times, nothing but recovery began a second after it was held, until it was let go.
    fn only_recovery_while_held(&self, mark: audit::Mark, judged: &Judged, holds: &[Hold]) -> anyhow::Result<()> {
        let recovery: BTreeMap<&str, bool> =
            judged.begun.iter().map(|workflow| (workflow.name.as_str(), workflow.recovery)).collect();
        let mut recovered = 0;
        for request in audit::since(self.aegis.cluster(), mark)? {
            if !(request.is_success() && request.is("create", "workflows", NAMESPACE)) {
                continue;
            }
            let name = request.name().context("a creation without a name")?;
            let recovery = *recovery.get(name).with_context(|| format!("the observer has missed {name}"))?;
            for (what, from, to) in holds {
                let within = request.received > *from + A_SECOND && request.received < *to;
                ensure!(
                    recovery || !within,
                    "{name} was made at {} in spite of {what}, from {from} to {to}",
                    request.received
                );
                recovered += usize::from(recovery && within);
            }
        }
        ensure!(recovered >= self.size.limits.nodes_out, "{recovered} recoveries began while all else was held");
        Ok(())
    }
}

/// How many stand where.
#[derive(Debug, Default)]
struct Now {
    /// An action goes on.
    going: usize,
    /// The action against the alert has ended.
    acted: usize,
    /// So has the one that put it back.
    recovered: usize,
}

/// How far one alert has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Waits,
    Acts,
    Acted,
    Recovers,
    Recovered,
}

impl Stand {
    fn of(alert: &AegisAlert) -> Self {
        let actions = alert.status.as_ref().map(|status| status.actions.as_slice()).unwrap_or_default();
        let of = |phase: AlertStatus| {
            let action = actions.iter().find(|action| action.phase == phase && action.uid.is_some());
            action.map(|action| action.status == Some(AlertOpsStatus::Succeeded))
        };
        match (of(AlertStatus::Firing), of(AlertStatus::Resolved)) {
            (None, _) => Self::Waits,
            (Some(false), _) => Self::Acts,
            (Some(true), None) => Self::Acted,
            (Some(true), Some(false)) => Self::Recovers,
            (Some(true), Some(true)) => Self::Recovered,
        }
    }
}
