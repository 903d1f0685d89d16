//! What holds an action back for what it is about: its node's owner, people's pauses, somebody else's cordon, another
//! action, and how much is under way or out already. Each by the means that people have, and read where they look.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{Scenario, WAIT};
use crate::aegis::{Aegis, Controller, node_alert};
use crate::cluster::Cluster;
use crate::held::Event;
use crate::parts;
use crate::person::Person;
use crate::procedure;
use crate::sender::{Incident, Sender};
use crate::simulated::SimulatedNodes;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "guard",
    about: "opt-out, pauses, busy targets, foreign cordons, budgets and nodes out hold actions back, and say so",
    smoke: false,
    parts: &[&parts::KWOK],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "guard";
/// Two in each rack.
const NODES: usize = 8;

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, WAIT).await?;
    let act = procedure::rule("act-on-cordoned", "^NodeUrgent$", &procedure::wait());
    let act = procedure::where_rule(act, "onCordoned", json!("Act"));
    let observe = procedure::rule("observe", "^NodeTried$", &procedure::wait());
    let observe = procedure::where_rule(observe, "mode", json!("Observe"));
    cluster.apply(NAMESPACE, &procedure::list(act.into_iter().chain(observe))).await?;
    let nodes = SimulatedNodes::start(cluster, NODES, |number| {
        vec![("rack", format!("r{}", number / 2)), ("pool", "sim".into())]
    })
    .await?;
    let mut controller = aegis.start(8080, &[]).await?;
    let scene = Scene { aegis: &aegis, controller: &controller, admin: aegis.admin()? };
    scene.opted_out().await.context("opt-out")?;
    scene.rehearsals().await.context("rehearsals")?;
    scene.pauses().await.context("pauses")?;
    scene.newer_node().await.context("a node that is another one")?;
    scene.busy_target_and_budgets().await.context("busy target and budgets")?;
    scene.earlier_action().await.context("earlier action")?;
    scene.foreign_cordon().await.context("foreign cordon")?;
    scene.nodes_out().await.context("nodes out")?;
    controller.running.stop().await?;
    let controller = aegis.start(8080, &["--alert.stale-after", "3s"]).await?;
    Scene { aegis: &aegis, controller: &controller, admin: aegis.admin()? }.stale().await.context("stale")?;
    nodes.stop(cluster).await?;
    aegis.uninstall(controller).await
}

struct Scene<'a> {
    aegis: &'a Aegis<'a>,
    controller: &'a Controller,
    admin: Person<'a>,
}

fn sim(number: usize) -> String {
    SimulatedNodes::name(number)
}

impl Scene<'_> {
    async fn send(&self, type_: &str, fingerprint: &str, node: &str) -> anyhow::Result<()> {
        self.controller.send(&node_alert(type_, fingerprint, node)).await
    }

    async fn repaired(&self, fingerprint: &str) -> anyhow::Result<()> {
        self.aegis.until_repaired(fingerprint).await.map(drop)
    }

    async fn opted_out(&self) -> anyhow::Result<()> {
        let node = sim(0);
        self.admin.kubectl(&["label", "node", &node, "aegis.io/disable=true"]).await?;
        self.send("NodeFails", "opted-out", &node).await?;
        self.aegis.until_read("opted-out", "OptedOut", "remove the label", Event::None).await?;
        self.aegis.plan_tells("NodeFails", &node, "OptedOut").await?;
        self.admin.kubectl(&["label", "node", &node, "aegis.io/disable-"]).await?;
        self.repaired("opted-out").await
    }

    /// A test alert, and a rule that only observes: what would be done is shown, and not done.
    async fn rehearsals(&self) -> anyhow::Result<()> {
        let url = self.controller.url("");
        let words =
            ["alert", "send", "NodeFails", "--node", "sim-0", "--fingerprint", "tried", "--test", "--url", &url];
        self.admin.aegis(&words).await?;
        self.aegis.until_read("tried", "TestAlert", "would create Workflow", Event::None).await?;
        self.send("NodeTried", "observed", &sim(0)).await?;
        self.aegis.until_read("observed", "Observed", "would create Workflow", Event::Told).await?;
        self.aegis.plan_tells("NodeTried", &sim(0), "Observed").await?;
        for fingerprint in ["tried", "observed"] {
            let actions = self.aegis.stored(fingerprint).await?.status.map(|status| status.actions.len());
            ensure!(actions == Some(0), "{fingerprint} led to {actions:?} actions");
        }
        Ok(())
    }

    async fn pauses(&self) -> anyhow::Result<()> {
        self.admin.kubectl(&["annotate", "aegisguard", "aegis", "aegis.io/pause=network work"]).await?;
        self.send("NodeFails", "paused", &sim(0)).await?;
        self.aegis.until_read("paused", "Paused", "network work", Event::Told).await?;
        self.aegis.plan_tells("NodeFails", &sim(0), "Paused").await?;
        self.aegis.until_guard("the pause", |guard| guard.pointer("/status/paused").is_some()).await?;
        self.admin.kubectl(&["annotate", "aegisguard", "aegis", "aegis.io/pause-"]).await?;
        self.repaired("paused").await?;

        self.admin.aegis(&["pause", "rule/wait", "--reason", "too eager"]).await?;
        self.send("NodeFails", "paused-rule", &sim(0)).await?;
        self.aegis.until_read("paused-rule", "Paused", "too eager", Event::Told).await?;
        self.send("NodeUrgent", "other-rule", &sim(1)).await?;
        self.repaired("other-rule").await.context("the pause of one rule holds another")?;
        self.admin.aegis(&["resume", "rule/wait"]).await?;
        self.repaired("paused-rule").await?;

        // This one ends by itself.
        self.admin.aegis(&["pause", "node/sim-0", "--reason", "memory test", "--for", "4s"]).await?;
        self.send("NodeFails", "paused-node", &sim(0)).await?;
        let verdict = self.aegis.until_held("paused-node", "Paused").await?;
        let until: Timestamp = serde_json::from_value(verdict.get("nextTry").cloned().unwrap_or_default())?;
        self.send("NodeFails", "other-node", &sim(1)).await?;
        self.repaired("other-node").await.context("the pause of one node holds another")?;
        self.repaired("paused-node").await?;
        let begun = self.began("paused-node").await?;
        ensure!(begun >= until, "it began at {begun}, and its node was paused until {until}");
        Ok(())
    }

    /// When its action began.
    async fn began(&self, fingerprint: &str) -> anyhow::Result<Timestamp> {
        let status = self.aegis.stored(fingerprint).await?.status.context("it has no status")?;
        let action = status.actions.into_iter().next().context("it tells of no action")?;
        action.start_time.context("its action never began")
    }

    /// The node was deleted and made again while its alert was held: it is not the one that was ill.
    async fn newer_node(&self) -> anyhow::Result<()> {
        let node = sim(7);
        self.admin.aegis(&["pause"]).await?;
        self.send("NodeFails", "replaced", &node).await?;
        self.aegis.until_held("replaced", "Paused").await?;
        let told = self.admin.kubectl(&["get", "node", &node, "-o", "json"]).await?;
        let mut again: Value = serde_json::from_str(&told)?;
        let metadata = again.get_mut("metadata").and_then(Value::as_object_mut).context("a node without metadata")?;
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "labels"));
        self.admin.kubectl(&["delete", "node", &node]).await?;
        let heard = Timestamp::now().as_second();
        // The API server tells when it was made in whole seconds.
        until("another second has begun", || async { Ok((Timestamp::now().as_second() > heard + 1).then_some(())) })
            .await?;
        self.aegis.cluster().apply(NAMESPACE, &again.to_string()).await?;
        self.admin.aegis(&["resume"]).await?;
        self.aegis.until_read("replaced", "TargetGone", "was made at", Event::Told).await?;
        self.send("NodeFails", "replaced", &node).await?;
        self.repaired("replaced").await
    }

    async fn busy_target_and_budgets(&self) -> anyhow::Result<()> {
        let (a, b, c) = (sim(0), sim(2), sim(4));
        self.aegis.policy(&json!({"budgets": {"unfinished": 2, "unfinishedPerRule": 1}})).await?;
        self.send("NodeHangs", "hangs", &a).await?;
        self.aegis.until_alert("NodeHangs", "Triggered", "Running").await?;
        self.send("NodeFails", "busy", &a).await?;
        self.aegis.until_read("busy", "TargetBusy", "works on node/sim-0", Event::Told).await?;
        self.aegis.plan_tells("NodeFails", &a, "TargetBusy").await?;
        self.send("NodeHangs", "full", &b).await?;
        self.aegis.until_read("full", "BudgetFull", "1 actions of rule guard/wait-for-ever", Event::Told).await?;
        self.aegis.plan_tells("NodeHangs", &c, "BudgetFull").await?;
        self.aegis.policy(&json!({"budgets": {"unfinished": 1}})).await?;
        self.send("NodeFails", "full-in-all", &c).await?;
        self.aegis.until_read("full-in-all", "BudgetFull", "1 actions are under way in all", Event::Told).await?;
        let guard = self.admin.aegis(&["guard"]).await?;
        ensure!(guard.contains("node/sim-0"), "`kubectl aegis guard` does not tell who holds the place: {guard}");

        self.end("hangs").await?;
        self.repaired("busy").await?;
        // Those two came within the same second, so either may be first.
        self.acts("full").await?;
        self.end("full").await?;
        self.repaired("full-in-all").await?;
        self.aegis.policy(&json!({"budgets": {"unfinished": 1000, "unfinishedPerRule": 1000}})).await
    }

    /// Ends the action of an alert that would go on for ever.
    async fn end(&self, fingerprint: &str) -> anyhow::Result<()> {
        let stored = self.aegis.stored(fingerprint).await?;
        let action = stored.status.iter().flat_map(|status| &status.actions).map(|action| action.name.clone()).next();
        let action = action.with_context(|| format!("{fingerprint} tells of no action"))?;
        self.admin.kubectl(&["delete", "workflow", &action, "--wait=false"]).await.map(drop)
    }

    async fn acts(&self, fingerprint: &str) -> anyhow::Result<()> {
        until(&format!("{fingerprint} acts"), || async {
            let status = serde_json::to_value(&self.aegis.stored(fingerprint).await?.status)?;
            ensure!(status.pointer("/opsStatus/alertOpsStatus").is_some(), "its status is {status}");
            Ok(Some(()))
        })
        .await
    }

    /// A new incident of the same fingerprint waits for the action of the one before.
    async fn earlier_action(&self) -> anyhow::Result<()> {
        let sender = Sender::default();
        let node = sim(3);
        let first = Incident::new("NodeHangs", &node);
        sender.fire(&[self.controller], &first).await?;
        let earlier = until("the first action is there", || async {
            let alert = self.aegis.stored(&node).await?;
            let made = alert.status.iter().any(|status| !status.actions.is_empty());
            Ok(made.then(|| alert.name_any()))
        })
        .await?;
        sender.resolve(&[self.controller], &first).await?;
        let second = Incident::new("NodeHangs", &node);
        sender.fire(&[self.controller], &second).await?;
        let newer = until("the second incident is held", || async {
            let list = kube::api::ListParams::default().labels(&format!("fingerprint={node}"));
            let alerts = self.aegis.alerts().list(&list).await?.items;
            let newer = alerts.into_iter().find(|alert| alert.name_any() != earlier).context("it is not there")?;
            let verdict = newer.status.as_ref().and_then(|status| status.verdict.clone()).unwrap_or_default();
            ensure!(verdict.reason == "EarlierAction", "its verdict is {verdict:?}");
            Ok(Some(newer.name_any()))
        })
        .await?;
        let wide = self.admin.kubectl(&["get", "aegisalert", &newer, "-o", "wide"]).await?;
        ensure!(wide.contains("EarlierAction"), "kubectl get -o wide shows {wide}");
        self.admin.kubectl(&["delete", "workflow", "-l", &format!("aegis.io/alert={earlier}"), "--wait=false"]).await?;
        until("the second incident acts", || async {
            let alert = self.aegis.alerts().get(&newer).await?;
            Ok(alert.status.filter(|status| !status.actions.is_empty()).map(drop))
        })
        .await?;
        self.admin
            .kubectl(&["delete", "workflow", "-l", &format!("aegis.io/alert={newer}"), "--wait=false"])
            .await
            .map(drop)
    }

    async fn foreign_cordon(&self) -> anyhow::Result<()> {
        let node = sim(0);
        self.admin.kubectl(&["taint", "node", &node, "ailing=very:NoExecute"]).await?;
        self.send("NodeFails", "tainted", &node).await?;
        self.repaired("tainted").await.context("a taint alone holds it")?;
        self.admin.kubectl(&["taint", "node", &node, "ailing-"]).await?;

        self.admin.kubectl(&["cordon", &node]).await?;
        self.send("NodeFails", "cordoned", &node).await?;
        self.aegis.until_read("cordoned", "Cordoned", "cordoned by somebody else", Event::Told).await?;
        self.aegis.plan_tells("NodeFails", &node, "Cordoned").await?;
        self.send("NodeUrgent", "urgent", &node).await?;
        self.repaired("urgent").await.context("a rule with onCordoned: Act is held")?;
        self.admin.kubectl(&["uncordon", &node]).await?;
        self.repaired("cordoned").await
    }

    async fn nodes_out(&self) -> anyhow::Result<()> {
        let pool = json!({
            "name": "sim", "selector": {"matchLabels": {"pool": "sim"}}, "nodesOut": {"count": 3},
            "domain": {"label": "rack", "count": 1},
        });
        self.aegis.policy(&json!({"pools": [pool]})).await?;
        // One in each of two racks, and so their racks are full, and a third may go.
        for number in [0, 2] {
            self.admin.kubectl(&["cordon", &sim(number)]).await?;
        }
        self.send("NodeFails", "rack", &sim(1)).await?;
        self.aegis.until_read("rack", "TooManyNodesOut", "of the nodes with rack=r0 1 may be out", Event::Told).await?;
        self.aegis.plan_tells("NodeFails", &sim(3), "TooManyNodesOut").await?;
        self.send("NodeFails", "third", &sim(4)).await?;
        self.repaired("third").await.context("a third node may be out")?;
        self.admin.kubectl(&["cordon", &sim(4)]).await?;
        self.send("NodeFails", "fourth", &sim(6)).await?;
        let part = "of the 8 nodes of pool sim 3 may be out, and sim-0, sim-2, sim-4 already are";
        self.aegis.until_read("fourth", "TooManyNodesOut", part, Event::Told).await?;
        self.send("NodeUrgent", "out-already", &sim(2)).await?;
        self.repaired("out-already").await.context("a node that is out stands in the way of its own repair")?;

        // Room comes, but only for the pool.
        self.admin.kubectl(&["uncordon", &sim(2)]).await?;
        self.repaired("fourth").await?;
        self.aegis.until_held("rack", "TooManyNodesOut").await?;
        self.admin.kubectl(&["uncordon", &sim(0)]).await?;
        self.repaired("rack").await?;

        self.aegis.policy(&json!({"approval": {"aboveNodesOut": 1}})).await?;
        self.send("NodeFails", "with-one-out", &sim(6)).await?;
        self.aegis.until_read("with-one-out", "NeedsApproval", "approv", Event::Told).await?;
        self.admin.kubectl(&["uncordon", &sim(4)]).await?;
        // A sender reports what still fires again and again.
        self.send("NodeFails", "with-one-out", &sim(6)).await?;
        self.repaired("with-one-out").await.context("it is asked although no node is out any more")?;
        self.aegis.policy(&json!({"pools": null, "approval": null})).await
    }

    async fn stale(&self) -> anyhow::Result<()> {
        self.admin.aegis(&["pause"]).await?;
        self.send("NodeFails", "stale", &sim(5)).await?;
        self.aegis.until_held("stale", "Paused").await?;
        until("it was not heard for longer than it counts", || async {
            let heard = self.aegis.stored("stale").await?.status.and_then(|status| status.last_time);
            let since = Timestamp::now().duration_since(heard.context("it was never heard")?);
            Ok((since.as_secs() >= 3).then_some(()))
        })
        .await?;
        self.admin.aegis(&["resume"]).await?;
        self.aegis.until_read("stale", "Stale", "reported again", Event::None).await?;
        self.send("NodeFails", "stale", &sim(5)).await?;
        self.repaired("stale").await
    }
}
