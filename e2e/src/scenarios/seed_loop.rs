//! The loop as users of the compatible system know it: their Alertmanager configuration, rule and template as they are,
//! the procedure in a container under the real Argo and kubelet, and what kubectl shows of it.

use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::Scenario;
use crate::aegis::{Aegis, repository};
use crate::alertmanager::Alertmanager;
use crate::cluster::Cluster;
use crate::parts;
use crate::wait::{PATIENCE, until, until_equal};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "seed-loop",
    about: "the real Alertmanager has a node cordoned by a container under the real Argo, and uncordoned again",
    smoke: true,
    parts: &[&parts::ALERTMANAGER],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

/// The manifests and Alertmanager's configuration name it.
const NAMESPACE: &str = "monitoring";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let controller = aegis.start(8080, &[]).await?;
    aegis.publish(&controller).await?;
    let alertmanager = Alertmanager::start(cluster, include_str!("data/alertmanager.yaml")).await?;
    let rules = repository("kubectl-aegis/tests/data/seed.yaml").display().to_string();
    let applied = cluster.kubectl(&["apply", "-n", NAMESPACE, "-f", &rules]).await?;
    ensure!(
        applied
            == "aegisalertopsrule.aegis.io/nodehasemergencyevent created\n\
                aegisopstemplate.aegis.io/nodehasemergencyevent created\n",
        "kubectl apply says {applied:?}"
    );
    until_row(cluster, "aegisalertopsrule", &["nodehasemergencyevent", "Recorded"]).await?;
    until_row(cluster, "aegisopstemplate", &["nodehasemergencyevent", "Recorded"]).await?;

    // Once the watch has shown an alert that was there before, nothing that comes later escapes it.
    alertmanager.fire(&firing("Earlier")).await?;
    aegis.until_alert("Earlier", "RuleNotFound", "").await?;
    let mut watch = Watch::start(cluster)?;
    watch.rows_of("Earlier", |_| true).await?;
    alertmanager.fire(&firing("NodeHasEmergencyEvent")).await?;
    let rows = watch.rows_of("NodeHasEmergencyEvent", |row| row.contains(" Succeeded ")).await?;
    let alert = aegis.alert("NodeHasEmergencyEvent").await?.name_any();
    let known =
        ["", " Firing 1 Triggered Pending AGE", " Firing 1 Triggered Running AGE", " Firing 1 Triggered Succeeded AGE"]
            .map(|rest| format!("{alert} NodeHasEmergencyEvent Node node1{rest}"));
    ensure!(rows == known, "the watch showed {rows:#?}");
    ensure!(alert.starts_with("alertmanager-nodehasemergencyevent-"), "the alert is called {alert}");

    until_cordoned(cluster, true).await?;
    behind(cluster, &alert).await?;
    until_row(cluster, "aegisopstemplate", &["nodehasemergencyevent", "Recorded", "1"]).await?;

    let rules = repository("examples/hpc/rules.yaml").display().to_string();
    cluster.kubectl(&["apply", "-n", NAMESPACE, "-f", &rules]).await?;
    alertmanager.fire(&firing("NodeCriticalIssueDisappeared")).await?;
    aegis.until_alert("NodeCriticalIssueDisappeared", "Triggered", "Succeeded").await?;
    until_cordoned(cluster, false).await?;
    aegis.uninstall(controller).await
}

/// What users see behind an alert: its Workflow, the Workflow's pod, and the pod's log.
async fn behind(cluster: &Cluster, alert: &str) -> anyhow::Result<()> {
    let workflow = row(cluster, "workflow", alert).await?;
    let [name, "Succeeded", "AGE"] = words(&workflow)[..] else { bail!("the Workflow's row is {workflow:?}") };
    let pod = row(cluster, "pods", alert).await?;
    let [own, "0/2", "Completed", "0", "AGE"] = words(&pod)[..] else { bail!("the pod's row is {pod:?}") };
    let number = own.strip_prefix(name).and_then(|rest| rest.strip_prefix("-start-")).unwrap_or_default();
    ensure!(number.parse::<u32>().is_ok(), "the pod of {name} is called {own}");
    let log = cluster.kubectl(&["logs", "-n", NAMESPACE, own]).await?;
    // Argo's executor says in the same log, since some version, that the command has ended.
    let told: Vec<&str> = log.lines().filter(|line| !line.contains(" argo=true")).collect();
    ensure!(told == ["node/node1 cordoned"], "the pod's log is {log:?}");
    Ok(())
}

/// The one row of a list whose name begins so, its age as AGE.
async fn row(cluster: &Cluster, kind: &str, name: &str) -> anyhow::Result<String> {
    until(&format!("kubectl get {kind} has ended rows"), || async {
        let table = cluster.kubectl(&["get", kind, "-n", NAMESPACE]).await?;
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with(name)).collect();
        let [row] = rows[..] else { bail!("expected one row of {name} in\n{table}") };
        // The kubelet tells of the end some time after Argo does.
        ensure!(!row.contains("Running"), "it shows {row}");
        Ok(Some(shown(row)))
    })
    .await
}

fn words(row: &str) -> Vec<&str> {
    row.split_whitespace().collect()
}

/// A row with one space between its words, and AGE for each length of time.
fn shown(row: &str) -> String {
    let words: Vec<&str> = row.split_whitespace().map(|word| if is_age(word) { "AGE" } else { word }).collect();
    words.join(" ")
}

/// An alert about the node, as Prometheus hands it to Alertmanager.
fn firing(type_: &str) -> serde_json::Value {
    json!([{
        "labels": {"alertname": type_, "kind": "Node", "node": Cluster::NODE, "severity": "critical"},
        "annotations": {"description": "It happened on the node"},
    }])
}

async fn until_cordoned(cluster: &Cluster, cordoned: bool) -> anyhow::Result<()> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    until_equal("the node's scheduling is as wanted", cordoned, || async {
        let node = nodes.get(Cluster::NODE).await?;
        Ok(node.spec.and_then(|spec| spec.unschedulable).unwrap_or(false))
    })
    .await
}

/// Waits until a list has a row that begins with these words.
async fn until_row(cluster: &Cluster, kind: &str, words: &[&str]) -> anyhow::Result<()> {
    until_equal(&format!("kubectl shows {words:?}"), true, || async {
        let table = cluster.kubectl(&["get", kind, "-n", NAMESPACE]).await?;
        let shown = table.lines().any(|line| line.split_whitespace().take(words.len()).eq(words.iter().copied()));
        Ok(shown)
    })
    .await
}

/// `kubectl get aegisalert --watch`, line by line.
struct Watch {
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    _kubectl: Child,
}

impl Watch {
    fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let mut command = cluster.kubectl_command();
        command.args(["get", "aegisalert", "-n", NAMESPACE, "--watch"]);
        let mut kubectl = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = kubectl.stdout.take().context("kubectl has no output")?;
        Ok(Self { lines: BufReader::new(output).lines(), _kubectl: kubectl })
    }

    /// The rows of a type until one is the last: with AGE for the age, and without rows that repeat the one before.
    async fn rows_of(&mut self, type_: &str, last: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
        let mut rows: Vec<String> = Vec::new();
        let read = async {
            while let Some(line) = self.lines.next_line().await? {
                let row = shown(&line);
                if row.split(' ').nth(1) != Some(type_) {
                    continue;
                }
                if rows.last() != Some(&row) {
                    rows.push(row);
                }
                if rows.last().is_some_and(|row| last(row)) {
                    return Ok(());
                }
            }
            anyhow::bail!("the watch ended")
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.with_context(|| format!("the watch showed no more than {rows:#?}"))??;
        Ok(rows)
    }
}

/// A length of time as kubectl shows it.
fn is_age(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.ends_with(['s', 'm'])
}
