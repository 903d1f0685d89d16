//! Too many actions in a short time trip the breaker: all further ones wait, where everybody sees it. What Aegis did is
//! put back all the same, also while everything is paused, unless a pause says otherwise.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Scenario, WAIT};
use crate::aegis::{Aegis, Controller, node_alert};
use crate::cluster::Cluster;
use crate::held::Event;
use crate::parts;
use crate::person::Person;
use crate::procedure;
use crate::simulated::SimulatedNodes;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "guard-breaker",
    about: "the breaker trips and holds; recovery goes through while it is open and while all is paused",
    smoke: false,
    parts: &[&parts::KWOK],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "guard-breaker";
/// So many may begin. Each of them cordons a node.
const ACTIONS: usize = 3;

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let cordon = procedure::kubectl("kubectl cordon {{.node}}\n");
    let cordon = procedure::rule("cordon", "^NodeSick$", &cordon);
    let uncordon = procedure::kubectl("kubectl uncordon {{.node}}\n");
    let uncordon = procedure::recovery("uncordon", "^NodeSick$", &uncordon);
    cluster.apply(NAMESPACE, WAIT).await?;
    cluster.apply(NAMESPACE, &procedure::list(cordon.into_iter().chain(uncordon))).await?;
    aegis.policy(&json!({"breaker": {"actions": ACTIONS, "within": "10m", "calm": "1h"}})).await?;
    let nodes = SimulatedNodes::start(cluster, ACTIONS, |_| Vec::new()).await?;
    let controller = aegis.start(8080, &[]).await?;
    let scene = Scene { aegis: &aegis, controller: &controller, admin: aegis.admin()? };
    for number in 0..ACTIONS {
        scene.report("Firing", number).await?;
    }
    for number in 0..ACTIONS {
        scene.until_cordoned(number, true).await?;
    }
    scene.trips().await.context("it trips")?;
    scene.recovery().await.context("recovery")?;
    scene.closed_by_a_person().await.context("closed by a person")?;
    scene.closes_by_itself().await.context("closes by itself")?;
    nodes.stop(cluster).await?;
    aegis.uninstall(controller).await
}

struct Scene<'a> {
    aegis: &'a Aegis<'a>,
    controller: &'a Controller,
    admin: Person<'a>,
}

impl Scene<'_> {
    async fn report(&self, status: &str, number: usize) -> anyhow::Result<()> {
        let alert = node_alert("NodeSick", &format!("sick-{number}"), &SimulatedNodes::name(number));
        self.controller.send(&procedure::with(alert, "status", status.into())).await
    }

    async fn send(&self, fingerprint: &str) -> anyhow::Result<()> {
        self.controller.send(&node_alert("NodeFails", fingerprint, fingerprint)).await
    }

    async fn until_cordoned(&self, number: usize, cordoned: bool) -> anyhow::Result<()> {
        let node = SimulatedNodes::name(number);
        until(&format!("{node} is cordoned: {cordoned}"), || async {
            let words = ["get", "node", &node, "-o", "jsonpath={.spec.unschedulable}"];
            let told = self.admin.kubectl(&words).await?;
            ensure!((told == "true") == cordoned, "it says {told:?}");
            Ok(Some(()))
        })
        .await
    }

    async fn trips(&self) -> anyhow::Result<()> {
        self.send("one-more").await?;
        let part = "3 actions began within 10m";
        self.aegis.until_read("one-more", "BreakerOpen", part, Event::Told).await?;
        self.aegis.plan_tells("NodeFails", "another", "BreakerOpen").await?;
        self.aegis.until_guard("that the breaker is open", is_open).await?;
        let table = self.admin.kubectl(&["get", "aegisguard"]).await?;
        ensure!(table.contains("Open"), "kubectl get shows {table}");
        let page = self.admin.aegis(&["guard"]).await?;
        ensure!(page.to_lowercase().contains("open"), "`kubectl aegis guard` shows {page}");
        Ok(())
    }

    async fn recovery(&self) -> anyhow::Result<()> {
        self.report("Resolved", 0).await?;
        self.until_cordoned(0, false).await.context("while the breaker is open")?;
        self.admin.aegis(&["pause", "--reason", "a storm"]).await?;
        self.report("Resolved", 1).await?;
        self.until_cordoned(1, false).await.context("while all is paused")?;
        self.admin.aegis(&["pause", "--reason", "hands off", "--recovery-too"]).await?;
        self.report("Resolved", 2).await?;
        self.aegis.until_read("sick-2", "Paused", "hands off", Event::Told).await?;
        self.admin.aegis(&["resume"]).await?;
        self.until_cordoned(2, false).await.context("after the pause of recovery too")?;
        self.aegis.until_held("one-more", "BreakerOpen").await.map(drop)
    }

    async fn closed_by_a_person(&self) -> anyhow::Result<()> {
        self.admin.aegis(&["resume", "breaker"]).await?;
        self.aegis.until_repaired("one-more").await?;
        self.aegis.until_guard("that the breaker is closed", |guard| !is_open(guard)).await.map(drop)
    }

    async fn closes_by_itself(&self) -> anyhow::Result<()> {
        // What began in the minute in which it tripped is forgotten with it.
        self.aegis.policy(&json!({"breaker": {"actions": 1, "within": "10m", "calm": "5s"}})).await?;
        for fingerprint in ["calm-0", "calm-1"] {
            self.send(fingerprint).await?;
        }
        let guard = self.aegis.until_guard("that the breaker is open again", is_open).await?;
        let closes: Timestamp =
            serde_json::from_value(guard.pointer("/status/breaker/closes").cloned().unwrap_or_default())?;
        let mut last = Timestamp::MIN;
        for fingerprint in ["calm-0", "calm-1"] {
            let alert = self.aegis.until_repaired(fingerprint).await?;
            let begun =
                alert.status.iter().flat_map(|status| &status.actions).filter_map(|action| action.start_time).max();
            last = last.max(begun.context("its action never began")?);
        }
        ensure!(
            last.as_second() >= closes.as_second(),
            "the last began at {last}, and the breaker was open until {closes}"
        );
        Ok(())
    }
}

fn is_open(guard: &Value) -> bool {
    guard.pointer("/status/breaker/state") == Some(&json!("Open"))
}
