//! The controller stopped dead at every request of an alert's life, before and after the server has carried it out,
//! and started again: one alert, one Workflow, a true status, whatever else happened in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aegis_controller::Settings;
use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertOpsStatus, AlertStatus};
use aegis_sandbox::{Match, Request, When};
use futures::{FutureExt, StreamExt};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use common::mirror::Mirror;
use common::objects::{self, seed_rule, seed_template};
use common::{COMPONENT, Cluster, Controller, reads, until};

/// How many lives are lived at the same time: mostly they wait.
static PLACES: Semaphore = Semaphore::const_new(32);

/// What happens while the controller is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
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

/// The request at which the controller dies.
#[derive(Clone, Debug)]
struct Death {
    request: Request,
    /// Which of those requests, counted from 1.
    nth: u64,
    when: When,
    meanwhile: Meanwhile,
}

impl Death {
    fn kind(&self) -> String {
        format!("{:?} {}", self.when, kind(&self.request))
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, nth, when, meanwhile } = self;
        write!(f, "{when:?} the {nth}. {}, meanwhile {meanwhile:?}", kind(request))
    }
}

fn kind(request: &Request) -> String {
    let slash = if request.subresource.is_empty() { "" } else { "/" };
    format!("{} {}{slash}{}", request.verb, request.resource, request.subresource)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_dies_at_any_request_is_followed_by_one_that_finishes_its_work() {
    die_everywhere(Meanwhile::Nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_is_deleted_while_nobody_looks_is_not_made_again() {
    die_everywhere(Meanwhile::WorkflowDeleted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_edited_while_nobody_looks_starts_no_second_action() {
    die_everywhere(Meanwhile::RuleEdited).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_without_a_controller_costs_no_outcome_and_makes_no_second_action() {
    die_everywhere(Meanwhile::AnHour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_resolved_while_nobody_looks_ends_as_resolved() {
    die_everywhere(Meanwhile::Resolved).await;
}

/// Lives the whole life once, then once for each of its requests and each side of the commit with a death there.
async fn die_everywhere(meanwhile: Meanwhile) {
    let requests = record().await;
    let mut deaths = Vec::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut alive = meanwhile == Meanwhile::Nothing;
    for request in requests {
        alive |= kind(&request) == "create aegisalerts";
        let nth = counts.entry(kind(&request)).or_default();
        *nth += 1;
        // One renewal of the Lease is like the other, and how many there are depends on the machine.
        let is_renewal = request.resource == "leases" && (*nth > 2 || meanwhile != Meanwhile::Nothing);
        // As long as there is no alert, nothing that happens meanwhile is of interest to it.
        if is_renewal || !alive {
            continue;
        }
        let nth = *nth;
        deaths.extend([When::Before, When::After].map(|when| Death { request: request.clone(), nth, when, meanwhile }));
    }
    let all = deaths.len();
    let mut kinds: BTreeSet<String> = deaths.iter().map(Death::kind).collect();
    let lives = deaths.into_iter().map(|death| async move {
        let _place = PLACES.acquire().await.unwrap();
        let life = Box::pin(die_once(death.clone()));
        (death, AssertUnwindSafe(life).catch_unwind().await)
    });
    let mut lives = futures::stream::iter(lives).buffer_unordered(all);
    let mut failed = Vec::new();
    while let Some((death, life)) = lives.next().await {
        match life {
            Ok(true) => drop(kinds.remove(&death.kind())),
            Ok(false) => {}
            Err(_) => failed.push(death.to_string()),
        }
    }
    assert!(failed.is_empty(), "{} of {all} lives went wrong: {failed:#?}", failed.len());
    assert!(kinds.is_empty(), "the controller did not come to die at {kinds:#?}");
}

/// The requests of a life without a death.
async fn record() -> Vec<Request> {
    let life = Life::new(Meanwhile::Nothing).await;
    life.cluster.sandbox.requests().reset();
    let controller = Controller::without_waiting(&life.cluster, settings());
    let mut sender = Sender::default();
    life.with_executor(life.through(&controller, &mut sender)).await;
    controller.kill().await;
    let entries = life.cluster.sandbox.requests().matching(&Match::any().component(COMPONENT));
    entries.into_iter().map(|entry| entry.request).collect()
}

/// Lives one life with that death. Says whether the controller came to die.
async fn die_once(death: Death) -> bool {
    let life = Life::new(death.meanwhile).await;
    let Request { verb, group, resource, subresource, .. } = &death.request;
    let of = Match::any().verb(*verb).group(group).resource(resource).subresource(subresource);
    let stop = life.cluster.sandbox.faults().stop_at_match(COMPONENT, of, death.nth, death.when);
    let mut sender = Sender::default();
    let story = async {
        let first = Controller::without_waiting(&life.cluster, settings());
        let died = tokio::select! {
            biased;
            () = stop.reached() => true,
            () = life.through(&first, &mut sender) => false,
        };
        first.kill().await;
        if died {
            life.meanwhile(&mut sender).await;
            stop.resume();
            let second = Controller::without_waiting(&life.cluster, settings());
            life.through(&second, &mut sender).await;
            second.kill().await;
        }
        life.judge(&sender, died).await;
        died
    };
    life.with_executor(story).await
}

fn settings() -> Settings {
    let mut settings = common::settings();
    settings.lease.duration = Duration::from_secs(1);
    settings.lease.renew_deadline = Duration::from_millis(900);
    settings.lease.retry_period = Duration::from_millis(150);
    settings
}

/// Who sends the alert: again and again until it is told that it was taken.
#[derive(Debug)]
struct Sender {
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
        self.body = body("Resolved");
        self.taken = 0;
    }

    fn resolved(&self) -> bool {
        self.body["status"] == "Resolved"
    }
}

/// An alert's life in a cluster of its own.
struct Life {
    meanwhile: Meanwhile,
    alerts: Mirror<AegisAlert>,
    workflows: Mirror<DynamicObject>,
    cluster: Cluster,
}

impl Life {
    async fn new(meanwhile: Meanwhile) -> Self {
        let cluster = Cluster::start().await;
        cluster.apply(seed_rule()).await;
        cluster.apply(seed_template()).await;
        cluster.apply(objects::template("another", objects::SEED_MANIFEST)).await;
        let (alerts, workflows) = (Mirror::start(cluster.alerts()), Mirror::start(cluster.workflows()));
        Self { meanwhile, cluster, alerts, workflows }
    }

    /// Tells the story while an executor moves Workflows on: one step each time that the alert's status has told of the
    /// step before, so that every step of an alert is lived through.
    async fn with_executor<T>(&self, story: impl Future<Output = T>) -> T {
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
            let _is_there = match ops {
                AlertOpsStatus::Pending => self.cluster.set_phase(&name, "Running", "").await,
                AlertOpsStatus::Running => self.cluster.set_phase(&name, "Succeeded", "").await,
                AlertOpsStatus::Succeeded | AlertOpsStatus::Failed => true,
            };
            told.push((name, ops));
        }
    }

    /// From the sender's words to the end of all that follows from them.
    async fn through(&self, controller: &Controller, sender: &mut Sender) {
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
        let template = alert.status.unwrap().actions[0].template.trim_start_matches("monitoring/").to_owned();
        until("the ending is counted", async || {
            let rule = self.cluster.rules().get("nodehasemergencyevent").await.unwrap().status.unwrap_or_default();
            let template = self.cluster.templates().get(&template).await.unwrap().status.unwrap_or_default();
            let tallies = [rule.trigger_status, template.execute_status].map(Option::unwrap_or_default);
            let counted = tallies.map(|tally| (tally.succeeded.unwrap_or(0), tally.failed.unwrap_or(0)));
            if counted.iter().all(|counted| *counted != (0, 0)) { Ok(()) } else { Err(counted) }
        })
        .await;
    }

    async fn meanwhile(&self, sender: &mut Sender) {
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
                for workflow in self.cluster.all_workflows().await {
                    let name = workflow.name_any();
                    self.cluster.set_phase(&name, "Succeeded", "").await;
                    self.cluster.workflows().delete(&name, &DeleteParams::default()).await.unwrap();
                }
                self.cluster.sandbox.advance(Duration::from_secs(3600));
            }
            Meanwhile::Resolved => sender.resolve(),
        }
    }

    /// What must hold in the end.
    async fn judge(&self, sender: &Sender, died: bool) {
        let made = self.cluster.workflows_ever(&self.workflows).await;
        let alerts = self.cluster.all_alerts().await;
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
            assert_eq!(ended, AlertOpsStatus::Succeeded);
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
        let rule = self.cluster.rules().get("nodehasemergencyevent").await.unwrap().status.unwrap();
        let template = self.cluster.templates().get(action.template.trim_start_matches("monitoring/")).await.unwrap();
        for tally in [rule.trigger_status.unwrap(), template.status.unwrap().execute_status.unwrap()] {
            assert_eq!((tally.succeeded, tally.failed), (Some(succeeded.into()), Some(failed.into())));
        }
    }
}
