//! Three Alertmanagers that know each other send the same alerts to two replicas, as they do by design when they cannot
//! agree in time on who notifies: each incident is acted on once.

use std::collections::BTreeMap;

use anyhow::ensure;
use futures::future::try_join_all;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, Controller, words};
use crate::alertmanager::Alertmanager;
use crate::cluster::Cluster;
use crate::parts;
use crate::procedure;
use crate::wait::{until, until_equal};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "alertmanager-cluster",
    about: "three Alertmanagers in a cluster send each alert to two replicas three times over: one action each",
    smoke: false,
    parts: &[&parts::ALERTMANAGER],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "alertmanager-cluster";
const PATH: &str = "/alertmanager/alert";
const SENDERS: usize = 3;
const INCIDENTS: usize = 4;

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, &procedure::list(procedure::rule("echo", ".", &procedure::echo()))).await?;
    let replicas = [aegis.start(8080, &[]).await?, aegis.start(8081, &[]).await?];
    let configs: Vec<String> =
        replicas.iter().cycle().take(SENDERS).map(|replica| config(&replica.url(PATH))).collect();
    // Each waits so long for those before it, and tells the others so late that it has notified.
    let flags = ["--cluster.peer-timeout=10ms", "--cluster.gossip-interval=10s", "--cluster.settle-timeout=2s"];
    let senders = Alertmanager::peers(cluster, &configs, &flags).await?;

    let began = Timestamp::now();
    let firing: Vec<Value> = (0..INCIDENTS).map(|nth| alert(nth, began)).collect();
    try_join_all(senders.iter().map(|sender| async { sender.fire(&json!(firing)).await })).await?;
    let expected = Heard { answered: SENDERS * INCIDENTS, stored: INCIDENTS, repeated: (SENDERS - 1) * INCIDENTS };
    until_equal("every Alertmanager has notified of every alert", expected, || heard(&replicas)).await?;
    let alerts = all_show(&aegis, "Firing", INCIDENTS).await?;
    until("each report is counted", || async {
        for alert in aegis.alerts().list(&ListParams::default()).await?.items {
            let count = alert.status.as_ref().and_then(|status| status.count);
            ensure!(count == i64::try_from(SENDERS).ok(), "{} counts {count:?}", alert.name_any());
        }
        Ok(Some(()))
    })
    .await?;

    let now = json!(Timestamp::now());
    let ended: Vec<Value> = firing.into_iter().map(|alert| procedure::with(alert, "endsAt", now.clone())).collect();
    try_join_all(senders.iter().map(|sender| async { sender.fire(&json!(ended)).await })).await?;
    let same = all_show(&aegis, "Resolved", INCIDENTS).await?;
    ensure!(same == alerts, "the alerts were {alerts:?}, and are {same:?} after their resolution");
    let made = aegis.workflows_made()?;
    let want: BTreeMap<String, usize> = alerts.into_iter().map(|name| (name, 1)).collect();
    ensure!(made == want, "these Workflows were made: {made:#?}, expected {want:#?}");

    drop(senders);
    let [leader, mut other] = replicas;
    other.running.stop().await?;
    aegis.uninstall(leader).await
}

/// What the replicas have counted, taken together.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    answered: usize,
    stored: usize,
    repeated: usize,
}

async fn heard(replicas: &[Controller]) -> anyhow::Result<Heard> {
    let mut heard = Heard { answered: 0, stored: 0, repeated: 0 };
    for replica in replicas {
        let metrics = replica.metrics().await?;
        let sum = |name: &str, labels: &[(&str, &str)]| usize::try_from(metrics.sum(name, labels));
        heard.answered += sum("aegis_webhook_answers_total", &[("route", PATH), ("code", "200")])?;
        heard.stored += sum("aegis_alerts_total", &[("outcome", "stored")])?;
        heard.repeated += sum("aegis_alerts_total", &[("outcome", "repeat")])?;
    }
    Ok(heard)
}

/// Waits until there are so many alerts, all of that status, acted on with success; returns their names.
async fn all_show(aegis: &Aegis<'_>, status: &str, many: usize) -> anyhow::Result<Vec<String>> {
    until(&format!("{many} alerts show {status} and Succeeded"), || async {
        let mut names = Vec::new();
        for alert in aegis.alerts().list(&ListParams::default()).await?.items {
            let told = serde_json::to_value(&alert.status)?;
            let own = told.pointer("/status").and_then(Value::as_str);
            ensure!(own == Some(status) && words(&told) == ("Triggered", "Succeeded"), "a status is {told}");
            names.push(alert.name_any());
        }
        names.sort_unstable();
        ensure!(names.len() == many, "there are {names:?}");
        Ok(Some(names))
    })
    .await
}

fn alert(nth: usize, began: Timestamp) -> Value {
    let node = format!("n{nth}");
    json!({"labels": {"alertname": "NodeFails", "kind": "Node", "node": node}, "startsAt": began})
}

fn config(url: &str) -> String {
    json!({
        "route": {
            "receiver": "Aegis", "group_by": ["node"], "group_wait": "0s", "group_interval": "2s",
            "repeat_interval": "12h",
        },
        "receivers": [{"name": "Aegis", "webhook_configs": [{"url": url}]}],
    })
    .to_string()
}
