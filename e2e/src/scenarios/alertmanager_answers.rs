//! The real Alertmanager against every answer of the webhook: what it sends again, what it gives up on, and that whatever
//! was to be stored is stored once, and acted on once, when the fault is over.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, Controller};
use crate::alertmanager::Alertmanager;
use crate::cluster::Cluster;
use crate::gate::Gate;
use crate::parts;
use crate::procedure;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "alertmanager-answers",
    about: "what the real Alertmanager repeats and drops, by our answer; each incident ends as one alert, one Workflow",
    smoke: false,
    parts: &[&parts::ALERTMANAGER],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "alertmanager-answers";
const PATH: &str = "/alertmanager/alert";

/// The answers that are provoked, each by a type of alert with a receiver of its own.
const TYPES: [&str; 10] = ["Taken", "Mixed", "Invalid", "Path", "Token", "Large", "Unstored", "Frozen", "Away", "Lost"];
/// Sent with the token that counts at first.
const EARLY: [&str; 4] = ["Taken", "Mixed", "Invalid", "Path"];
/// Begins and ends while the controller is away.
const BRIEF: &str = "Brief";

/// Nothing of a namespace's alerts can be stored any more: the API server refuses to create them.
const QUOTA: &str = "\
apiVersion: v1
kind: ResourceQuota
metadata: {name: full}
spec: {hard: {count/aegisalerts.aegis.io: '0'}}
";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, &procedure::list(procedure::rule("echo", ".", &procedure::echo()))).await?;
    let token = cluster.machine.folder().join("webhook-token");
    fs::write(&token, "early")?;
    let controller = start(&aegis, &token, "16KiB").await?;
    let gate = Gate::closed(&cluster.machine, controller.address()).await?;
    let config = |path: &str| config(&controller, &gate, path).to_string();
    // Counts by receiver; and what is over is forgotten at once.
    let flags = ["--enable-feature=receiver-name-in-metrics", "--dispatch.maintenance-interval=1s"];
    let wrong = config("/alertmanager/alerts");
    let alertmanager = Alertmanager::start_with(cluster, &wrong, &flags).await?;
    let right = config(PATH);
    let sender = Sender { alertmanager };

    // 404, until the configuration is right.
    sender.fire("Path").await?;
    sender.drops("Path", 404).await?;
    sender.alertmanager.configure(&right).await?;
    sender.delivers("Path").await?;

    // 200, also where a part of the body can never be stored; 400 where nothing of it can.
    sender.fire("Taken").await?;
    sender.delivers("Taken").await?;
    sender.alertmanager.fire(&json!([alert("Mixed"), incomplete("Mixed")])).await?;
    until("the incomplete part is rejected", || async {
        Ok((controller.metrics().await?.sum("aegis_alerts_rejected_total", &[]) > 0).then_some(()))
    })
    .await?;
    sender.alertmanager.fire(&json!([incomplete("Invalid")])).await?;
    sender.drops("Invalid", 400).await?;
    sender.end(incomplete("Invalid")).await?;

    // 401, until the token is the sender's.
    sender.fire("Token").await?;
    sender.drops("Token", 401).await?;
    fs::write(&token, "late")?;
    sender.delivers("Token").await?;

    // 503, until the API server stores alerts again.
    cluster.apply(NAMESPACE, QUOTA).await?;
    cluster.kubectl(&["wait", "-n", NAMESPACE, "resourcequota/full", "--for=jsonpath={.status.hard}"]).await?;
    sender.fire("Unstored").await?;
    sender.repeats("Unstored", "unexpected status code 503").await?;
    cluster.kubectl(&["delete", "-n", NAMESPACE, "resourcequota", "full"]).await?;
    sender.delivers("Unstored").await?;

    // No answer in time, until the controller goes on.
    controller.running.freeze()?;
    sender.fire("Frozen").await?;
    let seen = sender.repeats("Frozen", "configured webhook timeout reached").await;
    controller.running.resume()?;
    seen?;
    sender.delivers("Frozen").await?;

    // The answer is lost after the alert was stored.
    sender.fire("Lost").await?;
    sender.repeats("Lost", "connection reset by peer").await?;
    gate.open();
    sender.delivers("Lost").await?;
    let requests = sender.counts("Lost").await?.requests;
    until("each repetition is counted", || async {
        let count = aegis.alert("Lost").await?.status.and_then(|status| status.count);
        ensure!(count.and_then(|count| u64::try_from(count).ok()) == Some(requests), "{count:?} of {requests}");
        Ok(Some(()))
    })
    .await?;

    // 413, until the limit is raised; and nobody listens until then.
    sender.fire("Large").await?;
    sender.drops("Large", 413).await?;
    let controller = away(&aegis, controller, &token, &sender).await?;
    sender.delivers("Large").await?;
    sender.delivers("Away").await?;

    judge(&aegis, &sender).await?;
    drop(sender);
    aegis.uninstall(controller).await
}

async fn start(aegis: &Aegis<'_>, token: &Path, limit: &str) -> anyhow::Result<Controller> {
    let token = token.display().to_string();
    aegis.start(8080, &["--http.token-file", &token, "--http.body-limit", limit]).await
}

/// The controller is killed. An alert that fires meanwhile and goes on is repeated; one that ends meanwhile is forgotten.
async fn away(
    aegis: &Aegis<'_>,
    mut controller: Controller,
    token: &Path,
    sender: &Sender,
) -> anyhow::Result<Controller> {
    controller.running.kill().await?;
    let groups = sender.groups().await?;
    sender.fire("Away").await?;
    sender.fire(BRIEF).await?;
    for type_ in ["Away", BRIEF] {
        sender.repeats(type_, "connection refused").await?;
    }
    sender.end(alert(BRIEF)).await?;
    until("the alert that has ended is forgotten", || async {
        let now = sender.groups().await?;
        ensure!(now == groups + 1, "there are {now} groups of alerts, and were {groups}");
        Ok(Some(()))
    })
    .await?;
    start(aegis, token, "1MiB").await
}

/// Each incident is one alert and one Workflow; what ended unheard and what is incomplete is none.
async fn judge(aegis: &Aegis<'_>, sender: &Sender) -> anyhow::Result<()> {
    let mut want = BTreeMap::new();
    for type_ in TYPES.into_iter().filter(|type_| *type_ != "Invalid") {
        want.insert(aegis.until_alert(type_, "Triggered", "Succeeded").await?.name_any(), 1);
    }
    let made = aegis.workflows_made()?;
    ensure!(made == want, "these Workflows were made: {made:#?}, expected {want:#?}");
    let stored = aegis.alerts().list(&ListParams::default()).await?.items;
    let stored: Vec<String> = stored.iter().map(|alert| alert.name_any()).collect();
    ensure!(stored.len() == want.len(), "these alerts are stored: {stored:?}");
    let taken = sender.counts("Taken").await?;
    ensure!((taken.requests, taken.failed_requests) == (1, 0), "what was taken was sent again: {taken:?}");
    ensure!(sender.counts("Mixed").await?.failed_requests == 0, "a body with one bad alert was sent again");
    Ok(())
}

/// An Alertmanager whose receivers are called as the types.
struct Sender {
    alertmanager: Alertmanager,
}

/// What Alertmanager has counted for a receiver. A notification is what it has to say at one time, a request one attempt
/// to say it.
#[derive(Debug)]
struct Counts {
    notifications: u64,
    /// By a 4xx.
    refused: u64,
    requests: u64,
    failed_requests: u64,
}

impl Sender {
    async fn fire(&self, type_: &str) -> anyhow::Result<()> {
        self.alertmanager.fire(&json!([alert(type_)])).await
    }

    /// Says that an alert has ended.
    async fn end(&self, alert: Value) -> anyhow::Result<()> {
        let ended = procedure::with(alert, "endsAt", json!(Timestamp::now()));
        self.alertmanager.fire(&json!([ended])).await
    }

    /// How many groups of alerts it keeps.
    async fn groups(&self) -> anyhow::Result<u64> {
        Ok(self.alertmanager.metrics().await?.sum("alertmanager_dispatcher_aggregation_groups", &[]))
    }

    async fn counts(&self, receiver: &str) -> anyhow::Result<Counts> {
        let metrics = self.alertmanager.metrics().await?;
        let of = |name: &str, more: &[(&str, &str)]| {
            metrics.sum(&format!("alertmanager_{name}_total"), &[&[("receiver_name", receiver)], more].concat())
        };
        Ok(Counts {
            notifications: of("notifications", &[]),
            refused: of("notifications_failed", &[("reason", "clientError")]),
            requests: of("notification_requests", &[]),
            failed_requests: of("notification_requests_failed", &[]),
        })
    }

    /// Waits until that answer has ended three notifications at their first attempt each: one at every group_interval
    /// for as long as the alert fires.
    async fn drops(&self, receiver: &str, code: u16) -> anyhow::Result<()> {
        until(&format!("three notifications of {receiver} are dropped"), || async {
            let counts = self.counts(receiver).await?;
            ensure!(counts.refused >= 3, "found {counts:?}");
            ensure!(counts.requests <= counts.notifications, "one notification made several attempts: {counts:?}");
            Ok(Some(()))
        })
        .await?;
        let words = format!("unrecoverable error after 1 attempts: unexpected status code {code}");
        ensure!(self.logged(receiver, &words)?, "Alertmanager's log does not tell of {words:?} for {receiver}");
        Ok(())
    }

    /// Waits until one notification has made three attempts at least, which failed for that reason.
    async fn repeats(&self, receiver: &str, reason: &str) -> anyhow::Result<()> {
        until(&format!("a notification of {receiver} is tried three times"), || async {
            let counts = self.counts(receiver).await?;
            ensure!(counts.failed_requests >= counts.notifications + 2 && counts.refused == 0, "found {counts:?}");
            Ok(Some(()))
        })
        .await?;
        ensure!(self.logged(receiver, reason)?, "Alertmanager's log does not tell of {reason:?} for {receiver}");
        Ok(())
    }

    /// Waits until exactly one request has succeeded.
    async fn delivers(&self, receiver: &str) -> anyhow::Result<()> {
        until(&format!("{receiver} is delivered"), || async {
            let counts = self.counts(receiver).await?;
            ensure!(counts.requests == counts.failed_requests + 1, "found {counts:?}");
            Ok(Some(()))
        })
        .await
    }

    /// Whether a line of its log about that receiver holds these words.
    fn logged(&self, receiver: &str, words: &str) -> anyhow::Result<bool> {
        let log = self.alertmanager.log().context("could not read Alertmanager's log")?;
        let name = format!("alertname=\\\"{receiver}\\\"");
        Ok(log.lines().any(|line| line.contains(&name) && line.contains(words)))
    }
}

/// An alert about the node, large if that is what its type is about.
fn alert(type_: &str) -> Value {
    let description = if type_ == "Large" { "x".repeat(32 * 1024) } else { String::new() };
    json!({
        "labels": {"alertname": type_, "kind": "Node", "node": Cluster::NODE},
        "annotations": {"description": description},
    })
}

/// An alert that can never be stored: nobody knows of which namespace its pod is.
fn incomplete(type_: &str) -> Value {
    json!({"labels": {"alertname": type_, "kind": "Pod", "pod": "web"}})
}

/// A receiver for each type. All but one are right about everything: what is wrong is the other end.
fn config(controller: &Controller, gate: &Gate, path: &str) -> Value {
    let receiver = |type_: &str| {
        let url = match type_ {
            "Path" => controller.url(path),
            "Lost" => gate.url(PATH),
            _ => controller.url(PATH),
        };
        let token = if EARLY.contains(&type_) { "early" } else { "late" };
        let http = json!({"authorization": {"credentials": token}});
        json!({"name": type_, "webhook_configs": [{"url": url, "timeout": "2s", "http_config": http}]})
    };
    let types = || TYPES.into_iter().chain([BRIEF]);
    let routes: Vec<Value> =
        types().map(|type_| json!({"receiver": type_, "matchers": [format!("alertname = {type_}")]})).collect();
    json!({
        "route": {
            "receiver": "Taken", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "3s",
            "repeat_interval": "12h", "routes": routes,
        },
        "receivers": types().map(receiver).collect::<Vec<Value>>(),
    })
}
