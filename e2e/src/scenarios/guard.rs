//! What holds actions back, each gate by the means that people have: real kubectl, the plugin, real nodes and Workflows.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::approval::{by_plugin, kubectl_in};
use super::{Scenario, WAIT};
use crate::aegis::{Aegis, Controller, node_alert, repository};
use crate::cluster::Cluster;
use crate::procedure;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "guard",
    about: "pause, window, foreign cordon, busy target, budget and approval hold actions back, and undo puts a node back",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "guard";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster
        .kubectl(&["apply", "-f", &repository("manifest/deploy/approval-policy.yaml").display().to_string()])
        .await?;
    cluster.apply(NAMESPACE, WAIT).await?;
    let controller = aegis.start(8080, &[]).await?;
    let scene = Scene { cluster, aegis: &aegis, controller: &controller };
    scene.pause().await.context("pause")?;
    scene.window().await.context("window")?;
    scene.foreign_cordon().await.context("foreign cordon")?;
    scene.busy_target_and_budget().await.context("busy target and budget")?;
    scene.approval().await.context("approval")?;
    scene.undo().await.context("undo")?;
    aegis.uninstall(controller).await
}

async fn kubectl(cluster: &Cluster, user: &str, words: &[&str]) -> anyhow::Result<String> {
    kubectl_in(cluster, NAMESPACE, user, words).await
}

struct Scene<'a> {
    cluster: &'a Cluster,
    aegis: &'a Aegis<'a>,
    controller: &'a Controller,
}

impl Scene<'_> {
    async fn send(&self, type_: &str, fingerprint: &str, node: &str) -> anyhow::Result<()> {
        self.controller.send(&node_alert(type_, fingerprint, node)).await
    }

    /// Waits until the alert is held for that reason, and returns what its verdict says.
    async fn held(&self, fingerprint: &str, reason: &str) -> anyhow::Result<Value> {
        until(&format!("{fingerprint} is held: {reason}"), || async {
            let alert = self.aegis.stored(fingerprint).await?;
            let status = serde_json::to_value(&alert.status)?;
            let verdict = status.pointer("/verdict").cloned().unwrap_or(Value::Null);
            ensure!(verdict.get("reason").and_then(Value::as_str) == Some(reason), "its status is {status}");
            Ok(Some(verdict))
        })
        .await
    }

    async fn policy(&self, spec: &Value) -> anyhow::Result<()> {
        let patch = json!({"spec": spec}).to_string();
        let words = ["patch", "aegisguard", "aegis", "-n", NAMESPACE, "--type=merge", "-p", &patch];
        self.cluster.kubectl(&words).await.map(drop)
    }

    async fn pause(&self) -> anyhow::Result<()> {
        kubectl(self.cluster, "admin", &["annotate", "aegisguard", "aegis", "aegis.io/pause=network work"]).await?;
        self.send("NodeFails", "paused", Cluster::NODE).await?;
        let verdict = self.held("paused", "Paused").await?;
        ensure!(verdict.to_string().contains("network work"), "the verdict does not say why: {verdict}");
        let wide = kubectl(self.cluster, "admin", &["get", "aegisalert", "-o", "wide"]).await?;
        ensure!(wide.contains("Paused"), "kubectl get -o wide does not show it: {wide}");
        kubectl(self.cluster, "admin", &["annotate", "aegisguard", "aegis", "aegis.io/pause-"]).await?;
        self.aegis.until_repaired("paused").await?;
        by_plugin(self.cluster, "admin", NAMESPACE, &["pause", "node/node1", "--reason", "memory test"]).await?;
        self.send("NodeFails", "paused-node", Cluster::NODE).await?;
        self.held("paused-node", "Paused").await?;
        by_plugin(self.cluster, "admin", NAMESPACE, &["resume", "node/node1"]).await?;
        self.aegis.until_repaired("paused-node").await.map(drop)
    }

    async fn window(&self) -> anyhow::Result<()> {
        let opened = Timestamp::now().to_zoned(TimeZone::UTC);
        let schedule = format!("{} {} * * *", opened.minute(), opened.hour());
        let frozen = json!([{"name": "now", "kind": "Freeze", "schedule": schedule, "duration": "1h"}]);
        self.policy(&json!({"windows": frozen})).await?;
        self.send("NodeFails", "frozen", Cluster::NODE).await?;
        self.held("frozen", "Frozen").await?;
        self.policy(&json!({"windows": null})).await?;
        self.aegis.until_repaired("frozen").await?;
        let impossible =
            json!({"windows": [{"name": "w", "kind": "Freeze", "schedule": "0 0 30 2 *", "duration": "1h"}]});
        self.policy(&impossible).await?;
        until("the policy is told to be impossible", || async {
            let words =
                ["get", "aegisguard", "aegis", "-o", "jsonpath={.status.status} {.status.conditions[0].message}"];
            let told = kubectl(self.cluster, "admin", &words).await?;
            ensure!(told.starts_with("Invalid") && told.contains("spec.windows[0]"), "it says {told}");
            Ok(Some(()))
        })
        .await?;
        self.send("NodeFails", "last-good", Cluster::NODE).await?;
        self.aegis.until_repaired("last-good").await?;
        self.policy(&json!({"windows": null})).await
    }

    async fn foreign_cordon(&self) -> anyhow::Result<()> {
        self.cluster.kubectl(&["cordon", Cluster::NODE]).await?;
        self.send("NodeFails", "cordoned", Cluster::NODE).await?;
        self.held("cordoned", "Cordoned").await?;
        self.cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
        self.aegis.until_repaired("cordoned").await.map(drop)
    }

    async fn busy_target_and_budget(&self) -> anyhow::Result<()> {
        self.policy(&json!({"budgets": {"unfinishedPerRule": 1}})).await?;
        self.send("NodeHangs", "hangs", "a").await?;
        self.aegis.until_alert("NodeHangs", "Triggered", "Running").await?;
        self.send("NodeFails", "busy", "a").await?;
        self.held("busy", "TargetBusy").await?;
        self.send("NodeHangs", "full", "b").await?;
        self.held("full", "BudgetFull").await?;
        let hangs = self.aegis.stored("hangs").await?;
        let action = hangs.status.iter().flat_map(|status| &status.actions).map(|action| action.name.clone()).next();
        let action = action.context("the alert tells of no action")?;
        kubectl(self.cluster, "admin", &["delete", "workflow", &action, "--wait=false"]).await?;
        self.aegis.until_repaired("busy").await?;
        until("the one that waited acts", || async {
            let status = serde_json::to_value(&self.aegis.stored("full").await?.status)?;
            ensure!(status.pointer("/opsStatus/alertOpsStatus").is_some(), "its status is {status}");
            Ok(Some(()))
        })
        .await
    }

    async fn approval(&self) -> anyhow::Result<()> {
        let [rule, template] = procedure::rule("grave", "^NodeGrave$", &procedure::echo());
        let mut rule = rule;
        if let Some(spec) = rule.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("approval".to_owned(), json!("Required"));
        }
        self.cluster.apply(NAMESPACE, &procedure::list([rule, template])).await?;
        for (user, role) in [("ann", "aegis-approver"), ("dan", "aegis-operator")] {
            let (name, role) = (format!("--user={user}"), format!("--clusterrole={role}"));
            self.cluster.kubectl(&["create", "rolebinding", user, &role, &name, "-n", NAMESPACE]).await?;
        }
        self.send("NodeGrave", "grave", Cluster::NODE).await?;
        let verdict = until("it asks for an approval that would count", || async {
            let verdict = self.held("grave", "NeedsApproval").await?;
            ensure!(!verdict.to_string().contains("not accepted"), "{verdict}");
            Ok(Some(verdict))
        })
        .await?;
        let plan = verdict.get("plan").and_then(Value::as_str).context("no plan is shown")?;
        let alert = self.aegis.stored("grave").await?.name_any();
        let forged = format!("aegis.io/approval={} by ann", "0".repeat(plan.len()));
        kubectl(self.cluster, "ann", &["annotate", "aegisalert", &alert, &forged]).await?;
        self.held("grave", "NeedsApproval").await.context("another plan's approval counts")?;
        let refused = by_plugin(self.cluster, "dan", NAMESPACE, &["approve", &alert]).await;
        ensure!(refused.is_err(), "one who may not approve could: {refused:?}");
        by_plugin(self.cluster, "ann", NAMESPACE, &["approve", &alert]).await?;
        let repaired = self.aegis.until_repaired("grave").await?;
        let by = repaired.status.and_then(|status| status.approval).map(|approval| approval.by);
        ensure!(by == Some(vec!["ann".to_owned()]), "the status tells of an approval by {by:?}");
        Ok(())
    }

    async fn undo(&self) -> anyhow::Result<()> {
        let rules = std::fs::read_to_string(repository("examples/quickstart/rule.yaml"))?;
        self.cluster.apply(NAMESPACE, &rules.replace("namespace: monitoring", "namespace: guard")).await?;
        self.send("NodeHasEmergencyEvent", "cordon", Cluster::NODE).await?;
        self.aegis.until_repaired("cordon").await?;
        let node = ["get", "node", Cluster::NODE, "-o", "jsonpath={.spec.unschedulable} {.metadata.annotations}"];
        until("the cordon is written down", || async {
            let told = self.cluster.kubectl(&node).await?;
            Ok((told.starts_with("true ") && told.contains("aegis.io/changes")).then_some(()))
        })
        .await?;
        by_plugin(self.cluster, "admin", NAMESPACE, &["undo", &format!("node/{}", Cluster::NODE)]).await?;
        let told = self.cluster.kubectl(&node).await?;
        ensure!(!told.starts_with("true") && !told.contains("aegis.io/changes"), "the node is left as {told}");
        Ok(())
    }
}
