//! Freeze and maintenance windows of the policy, what happens to those held when one ends, and policies that cannot be
//! used: refused when they are written, or told of while the last good one stays in force.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{Scenario, WAIT};
use crate::aegis::{Aegis, Controller, node_alert};
use crate::audit;
use crate::cluster::Cluster;
use crate::held::Event;
use crate::person::Person;
use crate::procedure;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "guard-windows",
    about: "freeze and maintenance windows hold actions, each once looked at when they end; bad policies change nothing",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "guard-windows";
/// Alerts that a window holds.
const HELD: usize = 5;

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, WAIT).await?;
    let other = procedure::rule("other", "^NodeOther$", &procedure::wait());
    cluster.apply(NAMESPACE, &procedure::list(other)).await?;
    let admin = aegis.admin()?;
    // Nobody has judged this one when the controller begins, and none before it was ever good.
    aegis.policy(&json!({"windows": [impossible()]})).await?;
    let controller = aegis.start(8080, &[]).await?;
    let scene = Scene { aegis: &aegis, controller: &controller, admin };
    scene.never_good().await.context("a policy that was never good")?;
    scene.freeze().await.context("freeze")?;
    scene.maintenance().await.context("maintenance")?;
    scene.refused().await.context("refused policies")?;
    scene.last_good().await.context("the last good policy")?;
    aegis.uninstall(controller).await
}

struct Scene<'a> {
    aegis: &'a Aegis<'a>,
    controller: &'a Controller,
    admin: Person<'a>,
}

/// A window that never opens.
fn impossible() -> Value {
    json!({"name": "w", "kind": "Freeze", "schedule": "0 0 30 2 *", "duration": "1h"})
}

/// A window that opens in that minute.
fn window(name: &str, kind: &str, minute: Timestamp, duration: SignedDuration) -> Value {
    let minute = minute.to_zoned(TimeZone::UTC);
    let schedule = format!("{} {} * * *", minute.minute(), minute.hour());
    json!({"name": name, "kind": kind, "schedule": schedule, "duration": format!("{}s", duration.as_secs())})
}

/// The beginning of a minute.
fn minute(of: Timestamp) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_second(of.as_second() - of.as_second().rem_euclid(60))?)
}

impl Scene<'_> {
    async fn send(&self, type_: &str, fingerprint: &str) -> anyhow::Result<()> {
        self.controller.send(&node_alert(type_, fingerprint, fingerprint)).await
    }

    async fn never_good(&self) -> anyhow::Result<()> {
        self.send("NodeFails", "no-policy").await?;
        self.aegis.until_read("no-policy", "NoPolicy", "spec.windows[0].schedule", Event::Told).await?;
        self.aegis.plan_tells("NodeFails", "no-policy", "NoPolicy").await?;
        self.aegis.policy(&json!({"windows": null})).await?;
        self.aegis.until_repaired("no-policy").await.map(drop)
    }

    async fn freeze(&self) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let (opens, closes) = (minute(now)?, Timestamp::from_second(now.as_second() + 15)?);
        self.aegis
            .policy(&json!({"windows": [window("launch", "Freeze", opens, closes.duration_since(opens))]}))
            .await?;
        let names: Vec<String> = (0..HELD).map(|number| format!("frozen-{number}")).collect();
        for name in &names {
            self.send("NodeFails", name).await?;
        }
        let verdict =
            self.aegis.until_read("frozen-0", "Frozen", "freeze window \"launch\" is open", Event::Told).await?;
        let next: Timestamp = serde_json::from_value(verdict.get("nextTry").cloned().unwrap_or_default())?;
        ensure!(next == closes, "it is tried again at {next}, and the window closes at {closes}");
        self.aegis.plan_tells("NodeFails", "another", "Frozen").await?;
        for name in &names {
            self.aegis.until_held(name, "Frozen").await?;
        }
        ensure!(Timestamp::now() < closes, "this machine is too slow: the window has closed already");
        let mark = audit::mark(self.aegis.cluster())?;
        let mut alerts = BTreeMap::new();
        for name in &names {
            let alert = self.aegis.until_repaired(name).await?;
            let begun =
                alert.status.iter().flat_map(|status| &status.actions).filter_map(|action| action.start_time).min();
            ensure!(begun >= Some(closes), "{name} began at {begun:?}, and the window closed at {closes}");
            alerts.insert(alert.name_any(), 0);
        }
        // The last look before an action reads its alert; nothing else does.
        let user = format!("system:serviceaccount:{NAMESPACE}:aegis");
        for request in audit::since(self.aegis.cluster(), mark)? {
            if request.user() == user && request.is("get", "aegisalerts", NAMESPACE) {
                let looks = request.name().and_then(|name| alerts.get_mut(name));
                *looks.context("an alert was read that no window held")? += 1;
            }
        }
        ensure!(
            alerts.values().all(|looks| *looks == 1),
            "when the window closed they were looked at so often: {alerts:?}"
        );
        self.aegis.policy(&json!({"windows": null})).await
    }

    async fn maintenance(&self) -> anyhow::Result<()> {
        let now = Timestamp::now();
        // There must be time to see it held.
        let ahead = if now.as_second().rem_euclid(60) < 50 { 60 } else { 120 };
        let opens = Timestamp::from_second(minute(now)?.as_second() + ahead)?;
        let mut night = window("night", "Maintenance", opens, SignedDuration::from_mins(5));
        if let Some(fields) = night.as_object_mut() {
            fields.insert("rules".to_owned(), json!(["wait"]));
        }
        self.aegis.policy(&json!({"windows": [night]})).await?;
        self.send("NodeFails", "outside").await?;
        let verdict =
            self.aegis.until_read("outside", "OutsideWindow", "the next, \"night\", opens at", Event::Told).await?;
        let next: Timestamp = serde_json::from_value(verdict.get("nextTry").cloned().unwrap_or_default())?;
        ensure!(next == opens, "it is tried again at {next}, and the window opens at {opens}");
        self.aegis.plan_tells("NodeFails", "another", "OutsideWindow").await?;
        self.send("NodeOther", "not-its-rule").await?;
        self.aegis.until_repaired("not-its-rule").await.context("a window that is for one rule holds another")?;
        ensure!(Timestamp::now() < opens, "this machine is too slow: the window has opened already");
        let alert = self.aegis.until_repaired("outside").await?;
        let begun = alert.status.iter().flat_map(|status| &status.actions).filter_map(|action| action.start_time).min();
        ensure!(begun >= Some(opens), "it began at {begun:?}, and the window opened at {opens}");
        self.aegis.policy(&json!({"windows": null})).await
    }

    /// What the API server itself sees to be wrong is not stored.
    async fn refused(&self) -> anyhow::Result<()> {
        let cases: [(Value, &str); 4] = [
            (json!({"budgets": {"nodesOut": {"percent": 101}}}), "spec.budgets.nodesOut.percent"),
            (json!({"budgets": {"unfinished": 1, "unfinishedPerRule": 2}}), "spec.budgets.unfinishedPerRule is above"),
            (json!({"pools": [{"name": "default", "selector": {}}]}), "give this pool another name"),
            (json!({"windows": [window("w", "Freeze", Timestamp::UNIX_EPOCH, SignedDuration::ZERO)]}), "spec.windows"),
        ];
        for (spec, part) in cases {
            let Err(error) = self.aegis.policy(&spec).await else {
                // A window without a length is told by the controller.
                self.until_told(part).await?;
                self.aegis.policy(&json!({"windows": null})).await?;
                continue;
            };
            ensure!(format!("{error:#}").contains(part), "{spec} is refused with {error:#}, which lacks {part:?}");
        }
        Ok(())
    }

    async fn until_told(&self, part: &str) -> anyhow::Result<()> {
        let told = |guard: &Value| {
            let invalid = guard.pointer("/status/status") == Some(&json!("Invalid"));
            invalid && guard.pointer("/status/conditions").is_some_and(|all| all.to_string().contains(part))
        };
        self.aegis.until_guard(&format!("that {part} is wrong"), told).await?;
        let wide = self.admin.kubectl(&["get", "aegisguard", "-o", "wide"]).await?;
        ensure!(wide.contains("Invalid") && wide.contains(part), "kubectl get -o wide shows {wide}");
        Ok(())
    }

    /// What only the controller can tell is stored and told, and the last good policy holds meanwhile.
    async fn last_good(&self) -> anyhow::Result<()> {
        self.aegis.policy(&json!({"breaker": {"actions": 100_000, "within": "1m"}})).await?;
        let mut nowhere = window("w", "Freeze", Timestamp::now(), SignedDuration::from_hours(1));
        if let Some(fields) = nowhere.as_object_mut() {
            fields.insert("pools".to_owned(), json!(["gpu"]));
        }
        for (window, part) in [(nowhere, "spec.windows[0].pools[0]"), (impossible(), "spec.windows[0].schedule")] {
            self.aegis.policy(&json!({"windows": [window]})).await?;
            self.until_told(part).await?;
            self.send("NodeFails", &format!("last-good-{}", part.len())).await?;
            self.aegis.until_repaired(&format!("last-good-{}", part.len())).await?;
        }
        // A pause counts all the same.
        self.admin.aegis(&["pause", "--reason", "even so"]).await?;
        self.send("NodeFails", "paused").await?;
        self.aegis.until_read("paused", "Paused", "even so", Event::Told).await?;
        self.admin.aegis(&["resume"]).await?;
        self.aegis.until_repaired("paused").await.map(drop)
    }
}
