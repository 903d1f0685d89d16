//! When a rule acts again on a target: after a cool-down, after a wait that grows with each failure, with the next
//! template of a ladder, and after too many failures only when a person says so.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, Controller, node_alert, words};
use crate::cluster::Cluster;
use crate::held::Event;
use crate::procedure;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "guard-retries",
    about: "cool-down, waits that grow with each failure, the next template of a ladder, and a person after the last",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "guard-retries";
const WAIT: SignedDuration = SignedDuration::from_secs(5);

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let fails = procedure::rule("fails", "^NodeFails$", &procedure::fail());
    let cools = procedure::rule("cools", "^NodeCools$", &procedure::wait());
    let cools = procedure::where_rule(cools, "retries", json!({"cooldown": format!("{}s", WAIT.as_secs())}));
    let ladder = procedure::rule("light", "^NodeClimbs$", &procedure::wait());
    let ladder = procedure::where_rule(ladder, "escalation", json!([{"name": "heavy", "after": "1s"}]));
    let [_, heavy] = procedure::rule("heavy", "", &procedure::wait());
    cluster.apply(NAMESPACE, &procedure::list(fails.into_iter().chain(cools).chain(ladder).chain([heavy]))).await?;
    let retries = json!({"wait": format!("{}s", WAIT.as_secs()), "longestWait": "1h", "attempts": 3});
    aegis.policy(&json!({"retries": retries})).await?;
    let controller = aegis.start(8080, &[]).await?;
    let scene = Scene { aegis: &aegis, controller: &controller };
    scene.failures().await.context("failures")?;
    scene.cool_down().await.context("cool-down")?;
    scene.ladder().await.context("ladder")?;
    aegis.uninstall(controller).await
}

struct Scene<'a> {
    aegis: &'a Aegis<'a>,
    controller: &'a Controller,
}

impl Scene<'_> {
    async fn send(&self, type_: &str, fingerprint: &str) -> anyhow::Result<()> {
        self.controller.send(&node_alert(type_, fingerprint, Cluster::NODE)).await
    }

    /// Waits until the alert's only action has ended so; when it began, and when it ended.
    async fn ended(&self, fingerprint: &str, want: &str) -> anyhow::Result<(Timestamp, Timestamp)> {
        until(&format!("{fingerprint} has {want}"), || async {
            let status = self.aegis.stored(fingerprint).await?.status;
            let told = serde_json::to_value(&status)?;
            ensure!(words(&told) == ("Triggered", want), "its status is {told}");
            let [action] = &status.unwrap_or_default().actions[..] else { anyhow::bail!("its status is {told}") };
            Ok(action.start_time.zip(action.completion_time))
        })
        .await
    }

    /// Alerts about one node whose actions all fail.
    async fn failures(&self) -> anyhow::Result<()> {
        self.send("NodeFails", "first").await?;
        let (_, mut before) = self.ended("first", "Failed").await?;
        for (fingerprint, wait, why) in
            [("second", WAIT, "it failed: it waits 5s"), ("third", WAIT * 2, "2 in a row failed: it waits 10s")]
        {
            self.send("NodeFails", fingerprint).await?;
            let verdict = self.aegis.until_read(fingerprint, "CoolingDown", why, Event::Told).await?;
            let next: Timestamp = serde_json::from_value(verdict.get("nextTry").cloned().unwrap_or_default())?;
            ensure!(next == before + wait, "{fingerprint} is tried at {next}, and the last one failed at {before}");
            self.aegis.plan_tells("NodeFails", Cluster::NODE, "CoolingDown").await?;
            let (begun, ended) = self.ended(fingerprint, "Failed").await?;
            // The API server tells when it was made in whole seconds.
            ensure!(
                begun.as_second() >= next.as_second(),
                "{fingerprint} began at {begun}, and was to wait until {next}"
            );
            before = ended;
        }
        self.send("NodeFails", "fourth").await?;
        let part = "3 actions of rule guard-retries/fails on node/node1 failed in a row";
        // First it waits, and then a person is asked for all the same.
        self.aegis.until_held("fourth", "CoolingDown").await?;
        let others = self.aegis.stored("fourth").await?.status.and_then(|status| status.verdict).unwrap_or_default();
        ensure!(
            others.others.iter().any(|other| serde_json::to_string(other).unwrap_or_default().contains("NeedsPerson")),
            "its verdict does not tell that a person has to look: {others:?}"
        );
        self.aegis.policy(&json!({"retries": {"wait": "10ms"}})).await?;
        self.aegis.until_read("fourth", "NeedsPerson", part, Event::Told).await?;
        self.aegis.plan_tells("NodeFails", Cluster::NODE, "NeedsPerson").await?;
        self.send("NodeCools", "other-rule").await?;
        self.ended("other-rule", "Succeeded").await.context("the failures of one rule hold another")?;
        self.aegis.admin()?.aegis(&["resume", "node/node1"]).await?;
        self.ended("fourth", "Failed").await.map(drop)
    }

    /// A rule that waits between its actions, however well they end.
    async fn cool_down(&self) -> anyhow::Result<()> {
        self.aegis.admin()?.aegis(&["resume", "rule/cools"]).await?;
        self.send("NodeCools", "warm").await?;
        let (_, before) = self.ended("warm", "Succeeded").await?;
        self.send("NodeCools", "cool").await?;
        let part = "its rule waits that long between actions: it waits 5s";
        let verdict = self.aegis.until_read("cool", "CoolingDown", part, Event::Told).await?;
        let next: Timestamp = serde_json::from_value(verdict.get("nextTry").cloned().unwrap_or_default())?;
        ensure!(next == before + WAIT, "it is tried at {next}, and the last one ended at {before}");
        let (begun, _) = self.ended("cool", "Succeeded").await?;
        ensure!(begun.as_second() >= next.as_second(), "it began at {begun}, and was to wait until {next}");
        Ok(())
    }

    /// The alert keeps firing after the first template did its work, so the next one is tried; after that no other.
    async fn ladder(&self) -> anyhow::Result<()> {
        self.send("NodeClimbs", "climbs").await?;
        self.ended("climbs", "Succeeded").await?;
        let sent = AtomicI64::new(1);
        let templates = until("the next template was tried", || async {
            self.send("NodeClimbs", "climbs").await?;
            sent.fetch_add(1, Ordering::Relaxed);
            let actions = self.aegis.stored("climbs").await?.status.unwrap_or_default().actions;
            let done = actions.len() == 2 && actions.iter().all(|action| action.completion_time.is_some());
            let told: Value = actions.iter().map(|action| json!([action.attempt, action.template])).collect();
            ensure!(done, "its actions are {told}");
            Ok(Some(told))
        })
        .await?;
        let want = json!([[1, "guard-retries/light"], [2, "guard-retries/heavy"]]);
        ensure!(templates == want, "its attempts and their templates are {templates}");
        // One that is on its way to an alert that is deleted would be stored anew.
        let sent = sent.into_inner();
        until("all its reports are counted", || async {
            let counted = self.aegis.stored("climbs").await?.status.and_then(|status| status.count);
            ensure!(counted == Some(sent), "{counted:?} of {sent} are");
            Ok(Some(()))
        })
        .await
    }
}
