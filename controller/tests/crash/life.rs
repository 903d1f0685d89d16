//! One alert's life in a cluster of its own: who sends, who executes, what happens meanwhile, and what must hold in the
//! end.

use std::collections::BTreeSet;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::alert::{ActionStatus, AlertOpsStatus, AlertStatus};
use aegis_crds::rule::Tally;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::common::mirror::Mirror;
use crate::common::objects::{self, seed_rule, seed_template};
use crate::common::{self, Cluster, Controller, reads, until};

/// What happens while the controller is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meanwhile {
    Nothing,
    /// Somebody deletes the Workflow, if there is one.
    WorkflowDeleted,
    /// The rule asks for another template now.
    RuleEdited,
    /// An hour passes. Argo goes on without anybody looking, and then deletes what has lived its time.
    AnHour,
    /// The problem goes away, and the sender says so in place of what it said before.
    Resolved,
}

/// How much of an alert's life is lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// It fires, and a rule acts on that.
    Firing,
    /// It fires and is resolved, and a rule acts on either.
    Whole,
}

/// Who sends the alert: again and again until it is told that it was taken.
#[derive(Debug)]
pub struct Sender {
    body: Value,
    sent: i64,
    taken: i64,
    /// The name of the alert in the answer.
    alert: Option<String>,
}

impl Default for Sender {
    fn default() -> Self {
        Self { body: body("Firing"), sent: 0, taken: 0, alert: None }
    }
}

/// The seed's alert with a start, as Alertmanager gives it.
fn body(status: &str) -> Value {
    let mut alert = objects::alert("NodeHasEmergencyEvent", status, "5f972974ccf1ee9b");
    alert["startsAt"] = json!("2026-11-22T11:43:28.416923757Z");
    if status == "Resolved" {
        alert["endsAt"] = json!("2026-11-22T11:53:28.416923757Z");
    }
    alert
}

impl Sender {
    async fn send(&mut self, controller: &Controller) {
        if self.taken > 0 {
            return;
        }
        controller.until_ready().await;
        let client = common::http();
        until("the alert is taken", async || {
            self.sent += 1;
            let answer = client.post(format!("{}/alert", controller.url())).body(self.body.to_string()).send().await;
            let answer = answer.map_err(|error| error.to_string())?;
            match answer.status().as_u16() {
                200 => {
                    let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
                    self.taken += 1;
                    self.alert =
                        answer["results"][0]["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
                    Ok(())
                }
                503 => Err(answer.text().await.unwrap_or_default()),
                code => panic!("{code}: {}", answer.text().await.unwrap_or_default()),
            }
        })
        .await;
    }

    /// Says that the problem has gone away, and no longer that it is there.
    fn resolve(&mut self) {
        if !self.resolved() {
            self.body = body("Resolved");
            self.taken = 0;
        }
    }

    fn resolved(&self) -> bool {
        self.body["status"] == "Resolved"
    }
}

/// An alert's life in a cluster of its own.
pub struct Life {
    span: Span,
    meanwhile: Meanwhile,
    alerts: Mirror<AegisAlert>,
    workflows: Mirror<DynamicObject>,
    /// The Workflows that ended without the alert's status having told of the step before.
    finished: Mutex<BTreeSet<String>>,
    pub cluster: Cluster,
}

impl Life {
    pub async fn new(span: Span, meanwhile: Meanwhile) -> Self {
        let cluster = Cluster::start().await;
        cluster.apply(seed_rule()).await;
        cluster.apply(seed_template()).await;
        cluster.apply(objects::template("another", objects::SEED_MANIFEST)).await;
        if span == Span::Whole {
            cluster.apply(objects::rule_for("over", "NodeHasEmergencyEvent", "Resolved", "another")).await;
        }
        let (alerts, workflows) = (Mirror::start(cluster.alerts()), Mirror::start(cluster.workflows()));
        Self { span, meanwhile, cluster, alerts, workflows, finished: Mutex::default() }
    }

    /// Tells the story while an executor moves Workflows on: one step each time that the alert's status has told of the
    /// step before, so that every step of an alert is lived through.
    pub async fn with_executor<T>(&self, story: impl Future<Output = T>) -> T {
        tokio::select! {
            told = story => told,
            () = self.execute() => unreachable!("an executor goes on"),
        }
    }

    async fn execute(&self) {
        let mut told = Vec::new();
        loop {
            let (name, ops) = self
                .alerts
                .whenever(|seen| {
                    let actions =
                        seen.now.values().flat_map(|alert| alert.status.iter().flat_map(|status| &status.actions));
                    let mut steps = actions.filter_map(|action| Some((action.name.clone(), action.status?)));
                    steps.find(|step| !told.contains(step))
                })
                .await;
            let next = match ops {
                AlertOpsStatus::Pending => Some("Running"),
                AlertOpsStatus::Running => Some("Succeeded"),
                AlertOpsStatus::Succeeded | AlertOpsStatus::Failed => None,
            };
            let finished = self.finished.lock().await;
            if let Some(phase) = next.filter(|_| !finished.contains(&name)) {
                self.cluster.set_phase(&name, phase, "").await;
            }
            told.push((name, ops));
        }
    }

    /// From the sender's words to the end of all that follows from them.
    pub async fn through(&self, controller: &Controller, sender: &mut Sender) {
        let ends = self.span == Span::Whole;
        if !(ends && sender.resolved()) {
            self.fire(controller, sender).await;
        }
        if ends {
            sender.resolve();
            self.end(controller, sender).await;
        }
    }

    async fn fire(&self, controller: &Controller, sender: &mut Sender) {
        sender.send(controller).await;
        if sender.resolved() && sender.alert.is_none() && self.alerts.seen().now.is_empty() {
            return;
        }
        let alert = self
            .alerts
            .until("the alert has come to its end", |seen| {
                let alert = seen.now.values().next()?;
                let (trigger, ops) = reads(alert);
                let ended = trigger == "Withdrawn" || ops == "Succeeded" || ops == "Failed";
                // Only the verdict on a resolution is the last word on it.
                let status = alert.status.as_ref()?;
                let said = !sender.resolved() || status.verdict.is_some();
                (ended && said).then(|| alert.clone())
            })
            .await;
        if alert.status.as_ref().unwrap().actions.is_empty() {
            return;
        }
        self.workflows
            .until("the Workflow is let go", |seen| {
                seen.now.values().all(|workflow| workflow.finalizers().is_empty()).then_some(())
            })
            .await;
        self.counted(&alert.status.unwrap().actions[0]).await;
    }

    async fn end(&self, controller: &Controller, sender: &mut Sender) {
        sender.send(controller).await;
        let action = self
            .alerts
            .until("the end was acted on", |seen| {
                let action = seen.now.values().next()?.status.as_ref()?.actions.get(1)?;
                action.completion_time.map(|_| action.clone())
            })
            .await;
        self.workflows
            .until("every Workflow is let go", |seen| {
                seen.now.values().all(|workflow| workflow.finalizers().is_empty()).then_some(())
            })
            .await;
        self.counted(&action).await;
    }

    /// Waits until the end of an action is counted by its rule and its template.
    async fn counted(&self, action: &ActionStatus) {
        until("the ending is counted", async || {
            let counted = self.tallies(action).await.map(|tally| (tally.succeeded, tally.failed));
            if counted.iter().all(|counted| *counted != (None, None)) { Ok(()) } else { Err(counted) }
        })
        .await;
    }

    async fn tallies(&self, action: &ActionStatus) -> [Tally; 2] {
        let name = |name: &str| name.trim_start_matches("monitoring/").to_owned();
        let rule = self.cluster.rules().get(&name(&action.rule)).await.unwrap().status.unwrap_or_default();
        let template = self.cluster.templates().get(&name(&action.template)).await.unwrap().status.unwrap_or_default();
        [rule.trigger_status, template.execute_status].map(Option::unwrap_or_default)
    }

    pub async fn meanwhile(&self, sender: &mut Sender) {
        match self.meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::WorkflowDeleted => {
                for workflow in self.cluster.all_workflows().await {
                    self.cluster.workflows().delete(&workflow.name_any(), &DeleteParams::default()).await.unwrap();
                }
            }
            Meanwhile::RuleEdited => {
                self.cluster.apply(objects::rule("nodehasemergencyevent", "NodeHasEmergencyEvent", "another")).await;
            }
            Meanwhile::AnHour => {
                let mut finished = self.finished.lock().await;
                for workflow in self.cluster.all_workflows().await {
                    let name = workflow.name_any();
                    self.cluster.set_phase(&name, "Succeeded", "").await;
                    self.cluster.workflows().delete(&name, &DeleteParams::default()).await.unwrap();
                    finished.insert(name);
                }
                self.cluster.sandbox.advance(Duration::from_secs(3600));
            }
            Meanwhile::Resolved => sender.resolve(),
        }
    }

    /// What must hold in the end.
    pub async fn judge(&self, sender: &Sender, died: bool) {
        let made = self.cluster.workflows_ever(&self.workflows).await;
        let alerts = self.cluster.all_alerts().await;
        if self.span == Span::Whole {
            return self.judge_whole(&alerts, made).await;
        }
        assert!(alerts.len() <= 1 && made <= 1, "{} alerts, {made} Workflows", alerts.len());
        if sender.resolved() && alerts.is_empty() {
            assert_eq!(made, 0);
            return;
        }
        let alert = &alerts[0];
        let status = alert.status.clone().unwrap();
        if let Some(name) = &sender.alert {
            assert_eq!(*name, alert.name_any(), "the sender was told of another alert");
        }
        if sender.resolved() {
            assert_eq!(status.status, Some(AlertStatus::Resolved));
            if made == 0 {
                assert_eq!(reads(alert), ("Withdrawn".into(), String::new()));
                return;
            }
        } else {
            assert_eq!(made, 1);
            assert_eq!(status.status, Some(AlertStatus::Firing));
            let count = status.count.unwrap();
            assert!((sender.taken..=sender.sent).contains(&count), "{count} is not what was sent: {sender:?}");
        }

        assert_eq!(status.actions.len(), 1);
        let action = &status.actions[0];
        assert!(self.workflows.seen().ever.contains(action.uid.as_ref().unwrap()));
        let ended = action.status.unwrap();
        if self.meanwhile == Meanwhile::WorkflowDeleted && died && ended == AlertOpsStatus::Failed {
            assert_eq!(action.reason.as_deref(), Some("WorkflowDeleted"));
        } else {
            assert_eq!(ended, AlertOpsStatus::Succeeded, "{action:?}");
        }
        let ops = status.ops_status.unwrap();
        assert_eq!(ops.alert_ops_status, Some(ended));
        let (succeeded, failed) = if ended == AlertOpsStatus::Succeeded { (1, 0) } else { (0, 1) };
        let counted = (ops.total, ops.active, ops.succeeded, ops.failed);
        assert_eq!(counted, (Some(1), Some(0), Some(succeeded), Some(failed)));
        assert_eq!((ops.start_time, ops.completion_time), (action.start_time, action.completion_time));
        assert!(alert.creation_timestamp().map(|time| time.0) <= action.start_time);
        assert!(action.start_time.is_some() && action.start_time <= action.completion_time);
        let verdict = status.verdict.map(|verdict| verdict.reason);
        let waits_for_nothing = if sender.resolved() { Some("NoRuleForResolved") } else { None };
        assert_eq!(verdict.as_deref(), waits_for_nothing);
        assert_eq!(status.rule.unwrap().name, "nodehasemergencyevent");

        let workflow = self.workflows.seen().now.remove(&action.name);
        if let Some(workflow) = workflow {
            assert_eq!(workflow.uid(), action.uid);
            assert_eq!(workflow.annotations()["aegis.io/template"], action.template);
        }
        let edited = action.template == "monitoring/another";
        assert!(!edited || self.meanwhile == Meanwhile::RuleEdited);
        for tally in self.tallies(action).await {
            assert_eq!((tally.succeeded, tally.failed), (Some(succeeded.into()), Some(failed.into())));
        }
    }

    /// What must hold in the end of an alert whose end was acted on.
    async fn judge_whole(&self, alerts: &[AegisAlert], made: usize) {
        assert_eq!((alerts.len(), made), (1, 2));
        let status = alerts[0].status.as_ref().unwrap();
        assert_eq!(status.status, Some(AlertStatus::Resolved));
        assert_eq!(reads(&alerts[0]), ("Triggered".into(), "Succeeded".into()));
        let actions: Vec<_> = status.actions.iter().map(|action| (action.phase, action.rule.as_str())).collect();
        let of = |phase, rule| (phase, rule);
        let rules = ["monitoring/nodehasemergencyevent", "monitoring/over"];
        assert_eq!(actions, [of(AlertStatus::Firing, rules[0]), of(AlertStatus::Resolved, rules[1])]);
        // Actions start when their object was created, which is told in whole seconds.
        let second = |time: Option<Timestamp>| time.unwrap().as_second();
        let [first, then] = [&status.actions[0], &status.actions[1]];
        assert!(second(first.completion_time) <= second(then.start_time), "one after the other");
        for action in &status.actions {
            assert_eq!((action.status, action.attempt), (Some(AlertOpsStatus::Succeeded), 1));
            assert!(self.workflows.seen().ever.contains(action.uid.as_ref().unwrap()));
            for tally in self.tallies(action).await {
                assert_eq!((tally.succeeded, tally.failed), (Some(1), Some(0)));
            }
        }
    }
}
