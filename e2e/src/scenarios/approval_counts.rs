//! Which approvals count: those for the very plan that would run, of as many people as are asked for, for as long as the
//! policy says, and only where the cluster keeps them honest.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, Controller, node_alert, repository};
use crate::cluster::Cluster;
use crate::held::Event;
use crate::procedure;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "approval-counts",
    about: "an approval counts for one plan and a while, of two people where asked, not where nobody keeps it honest",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "approval-counts";
const POLICY: &str = "manifest/deploy/approval-policy.yaml";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let policy = repository(POLICY).display().to_string();
    cluster.kubectl(&["delete", "-f", &policy, "--ignore-not-found"]).await?;
    apply(&aegis, &procedure::wait()).await?;
    for (user, role) in [("ann", "aegis-approver"), ("ben", "aegis-approver"), ("dan", "aegis-operator")] {
        aegis.person(user)?.is_given(&format!("--clusterrole={role}")).await?;
    }
    let controller = aegis.start(8080, &[]).await?;
    let scene = Scene { aegis: &aegis, controller: &controller };
    scene.not_kept_honest(&policy).await.context("without the policy")?;
    scene.one_person().await.context("one person")?;
    scene.rejected().await.context("rejected")?;
    scene.two_people_and_another_plan().await.context("two people")?;
    scene.expired().await.context("expired")?;
    aegis.uninstall(controller).await
}

/// The rule that asks, with a template that leads to this.
async fn apply(aegis: &Aegis<'_>, manifest: &Value) -> anyhow::Result<()> {
    let asks = procedure::where_rule(procedure::rule("grave", "^NodeGrave$", manifest), "approval", json!("Required"));
    aegis.cluster().apply(NAMESPACE, &procedure::list(asks)).await
}

struct Scene<'a> {
    aegis: &'a Aegis<'a>,
    controller: &'a Controller,
}

impl Scene<'_> {
    /// Fires; the alert's name once it asks.
    async fn asks(&self, fingerprint: &str, part: &str) -> anyhow::Result<String> {
        self.controller.send(&node_alert("NodeGrave", fingerprint, fingerprint)).await?;
        self.aegis.until_read(fingerprint, "NeedsApproval", part, Event::Told).await?;
        Ok(self.aegis.stored(fingerprint).await?.name_any())
    }

    /// Waits until what it says when it asks holds that; the plan that it asks for.
    async fn until_asks(&self, fingerprint: &str, part: &str) -> anyhow::Result<String> {
        let verdict = until(&format!("{fingerprint} says that {part}"), || async {
            let verdict = self.aegis.until_held(fingerprint, "NeedsApproval").await?;
            ensure!(verdict.to_string().contains(part), "it says {verdict}");
            Ok(Some(verdict))
        })
        .await?;
        Ok(verdict.get("plan").and_then(Value::as_str).context("no plan is shown")?.to_owned())
    }

    /// Who approved, as the status tells.
    async fn by(&self, fingerprint: &str) -> anyhow::Result<Vec<String>> {
        let status = self.aegis.stored(fingerprint).await?.status.unwrap_or_default();
        Ok(status.approval.map(|approval| approval.by).unwrap_or_default())
    }

    async fn annotate(&self, user: &str, alert: &str, annotation: &str) -> anyhow::Result<()> {
        self.aegis.person(user)?.kubectl(&["annotate", "aegisalert", alert, annotation]).await.map(drop)
    }

    async fn not_acted(&self, fingerprint: &str) -> anyhow::Result<()> {
        let actions = self.aegis.stored(fingerprint).await?.status.unwrap_or_default().actions;
        ensure!(actions.is_empty(), "{fingerprint} led to {actions:?}");
        Ok(())
    }

    async fn not_kept_honest(&self, policy: &str) -> anyhow::Result<()> {
        let part = "approvals are not accepted: ValidatingAdmissionPolicy aegis-approval is not in force";
        self.controller.send(&node_alert("NodeGrave", "unkept", "unkept")).await?;
        // The controller asks for the policy when it has begun to lead.
        self.until_asks("unkept", part).await?;
        self.aegis.until_read("unkept", "NeedsApproval", part, Event::Told).await?;
        let alert = self.aegis.stored("unkept").await?.name_any();
        self.aegis.plan_tells("NodeGrave", "another", "NeedsApproval").await?;
        let plan = self.until_asks("unkept", part).await?;
        self.annotate("ann", &alert, &format!("aegis.io/approval={plan} by ann")).await?;
        until("the approval was seen", || async {
            let approval = self.aegis.stored("unkept").await?.status.and_then(|status| status.approval);
            Ok(approval.map(drop))
        })
        .await?;
        self.until_asks("unkept", part).await?;
        // Once the policy is bound, what anybody could have written before does not begin to count.
        self.aegis.cluster().kubectl(&["apply", "-f", policy]).await?;
        self.until_asks("unkept", "was given where anybody could have written it").await?;
        self.not_acted("unkept").await?;
        self.aegis.person("ann")?.aegis(&["approve", &alert]).await?;
        self.aegis.until_repaired("unkept").await.map(drop)
    }

    async fn one_person(&self) -> anyhow::Result<()> {
        let alert = self.asks("one", "a person has to approve it: `kubectl aegis approve").await?;
        let plan = self.until_asks("one", "a person").await?;
        let other = "0".repeat(plan.len());
        self.annotate("ann", &alert, &format!("aegis.io/approval={other} by ann")).await?;
        let (ended, told) = self.aegis.person("dan")?.tries(&["approve", &alert]).await?;
        ensure!(ended == Some(4), "one who may not approve is answered with {ended:?}: {told}");
        let shown = self.aegis.person("ann")?.aegis(&["approve", &alert, "--dry-run=client"]).await?;
        ensure!(shown.contains(&plan) && shown.contains("approval-counts/grave"), "the plan is not shown: {shown}");
        self.until_asks("one", "a person").await.context("the approval of another plan counts")?;
        self.not_acted("one").await?;
        self.aegis.person("ann")?.aegis(&["approve", &alert, "--reason", "the rack is empty"]).await?;
        self.aegis.until_repaired("one").await?;
        let by = self.by("one").await?;
        ensure!(by == ["ann"], "the status tells of an approval by {by:?}");
        Ok(())
    }

    async fn rejected(&self) -> anyhow::Result<()> {
        let alert = self.asks("no", "a person").await?;
        self.aegis.person("ann")?.aegis(&["reject", &alert, "--reason", "somebody is at it"]).await?;
        self.aegis.until_read("no", "Declined", "ann declined it: somebody is at it", Event::Told).await?;
        let (ended, told) = self.aegis.person("ben")?.tries(&["approve", &alert]).await?;
        ensure!(ended == Some(6), "an approval of what was declined is answered with {ended:?}: {told}");
        self.annotate("ben", &alert, "aegis.io/rejection-").await?;
        self.until_asks("no", "a person").await?;
        self.aegis.person("ben")?.aegis(&["approve", &alert]).await?;
        self.aegis.until_repaired("no").await.map(drop)
    }

    /// After the first of two has approved, the template changes: both are asked for the plan that would run now.
    async fn two_people_and_another_plan(&self) -> anyhow::Result<()> {
        self.aegis.policy(&json!({"approval": {"people": 2}})).await?;
        let alert = self.asks("two", "2 people have to approve it").await?;
        let first = self.until_asks("two", "2 people").await?;
        self.aegis.person("ann")?.aegis(&["approve", &alert]).await?;
        self.until_asks("two", "a second person has to approve it after ann").await?;
        let again = self.aegis.person("ann")?.aegis(&["approve", &alert]).await?;
        ensure!(again.contains("ann has approved this plan already"), "a second time she is told {again}");
        let mut changed = procedure::wait();
        if let Some(fields) = changed.as_object_mut() {
            fields.insert("metadata".to_owned(), json!({"labels": {"changed": "yes"}}));
        }
        apply(self.aegis, &changed).await?;
        let second = self.until_asks("two", "2 people have to approve it").await?;
        ensure!(second != first, "another plan has the same digest");
        self.aegis.person("ben")?.aegis(&["approve", &alert]).await?;
        self.until_asks("two", "a second person has to approve it after ben").await?;
        self.not_acted("two").await?;
        self.aegis.person("ann")?.aegis(&["approve", &alert]).await?;
        let repaired = self.aegis.until_repaired("two").await?;
        let by = self.by("two").await?;
        ensure!(by == ["ann", "ben"], "the status tells of an approval by {by:?}");
        let action = repaired.status.unwrap_or_default().actions.into_iter().next().context("no action")?.name;
        let made = self.aegis.workflows().get(&action).await?;
        ensure!(made.labels().contains_key("changed"), "the plan that was approved is not the one that ran");
        self.aegis.policy(&json!({"approval": null})).await
    }

    /// It was approved, and could not begin for so long that the approval counts no more.
    async fn expired(&self) -> anyhow::Result<()> {
        self.aegis.policy(&json!({"approval": {"expires": "3s"}})).await?;
        let alert = self.asks("late", "a person").await?;
        let plan = self.until_asks("late", "a person").await?;
        self.aegis.admin()?.aegis(&["pause"]).await?;
        self.annotate("ann", &alert, &format!("aegis.io/approval={plan} by ann")).await?;
        self.aegis.until_held("late", "Paused").await?;
        until("the approval is older than it may be", || async {
            let approval = self.aegis.stored("late").await?.status.and_then(|status| status.approval);
            let since = approval.and_then(|approval| approval.time).context("it is not in the status")?;
            Ok((Timestamp::now().duration_since(since).as_secs() >= 3).then_some(()))
        })
        .await?;
        self.aegis.admin()?.aegis(&["resume"]).await?;
        self.until_asks("late", "its approval no longer counts: it is older than 3s").await?;
        self.not_acted("late").await?;
        self.aegis.person("ann")?.aegis(&["approve", &alert]).await?;
        self.aegis.until_repaired("late").await.context("approved anew")?;
        self.aegis.policy(&json!({"approval": null})).await
    }
}
