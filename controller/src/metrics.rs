//! Metrics for Prometheus. Labels have few values, from code and, for places, the names of rules: nothing of an alert is
//! in them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::conditions::{self, ConditionType};
use aegis_engine::guard::Reason;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The stages of an alert's life. Each is timed from the end of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Stage {
    /// From startsAt, as the sender's clock says, until the body arrived.
    Received,
    /// From the body's arrival until the API server has stored the alert.
    Stored,
    /// From being stored until the action's object was made.
    Triggered,
    /// From then until its executor had begun.
    Running,
    /// From then until it ended.
    Done,
}

/// Everything that is counted. Clones share the numbers.
#[derive(Clone)]
pub struct Metrics {
    all: Arc<All>,
}

struct All {
    registry: Registry,
    stages: Family<StageLabel, Histogram, fn() -> Histogram>,
    alerts: Family<OutcomeLabels, Counter>,
    rejected: Family<RejectedLabel, Counter>,
    truncated: Family<ReasonLabel, Counter>,
    actions: Family<OutcomeLabels, Counter>,
    held: Family<ReasonLabel, Counter>,
    in_vain: Family<ReasonLabel, Counter>,
    answers: Family<AnswerLabels, Counter>,
    answer_seconds: Histogram,
    queued: Gauge,
    objects: Family<KindLabel, Gauge>,
    unreadable: Family<KindLabel, Gauge>,
    restarts: Family<KindLabel, Counter>,
    requests: Family<RequestLabels, Counter>,
    leader: Gauge,
    places: Gauge,
    places_of_rule: Family<RuleLabel, Gauge>,
    places_limit: Gauge,
    breaker_open: Gauge,
    paused: Gauge,
    waiting: Family<ReasonLabel, Gauge>,
    notifications: Family<ReceiverLabels, Counter>,
    receivers_unreadable: Gauge,
}

/// How the guard stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardReading {
    /// Places that are taken, recovery apart.
    pub places: usize,
    /// The same of each rule, as namespace/name.
    pub places_of_rule: BTreeMap<String, usize>,
    /// How many may be.
    pub limit: usize,
    /// Whether the breaker is open.
    pub breaker_open: bool,
    /// Whether anything is paused.
    pub paused: bool,
    /// How many alerts wait, by reason.
    pub waiting: BTreeMap<&'static str, usize>,
}

type Word = &'static str;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Word,
    reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabel {
    reason: Rejected,
}

/// Rules are few, and administrators name them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: String,
}

/// Receivers are few, and administrators name them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceiverLabels {
    receiver: String,
    result: Delivery,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    route: Word,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: Word,
    resource: Word,
    code: u16,
}

/// From a millisecond to an hour: an API request takes milliseconds, an action minutes.
const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 300.0, 900.0, 3600.0];

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Delivery {
    /// Its receiver has taken it.
    Sent,
    /// It was given up after its receiver refused it, or did not answer for long.
    Failed,
    /// It was never sent: too many waited, or its receiver is no longer told.
    Dropped,
}

/// Why a reported alert can never be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Rejected {
    /// Its body is not what the route takes.
    Unreadable,
    /// A field of it has a value that it cannot have.
    Invalid,
    /// The API server says that it can never be.
    Refused,
}

impl Rejected {
    const ALL: [Self; 3] = [Self::Unreadable, Self::Invalid, Self::Refused];
}

impl Delivery {
    const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Dropped];
}

/// How it is found out that an action did not cure the problem.
const IN_VAIN: [&str; 2] = ["StillFiring", "CheckFailed"];
/// Why an action failed; [`OTHER`] where none of them says it.
pub const FAILURES: [&str; 6] =
    ["WorkflowFailed", "WorkflowError", "WorkflowDeleted", "JobFailed", "JobDeleted", "Timeout"];
/// What stands in the place of a word that is not ours.
pub const OTHER: &str = "Other";
/// What holds an alert back until somebody does something.
const FOR_A_PERSON: [Reason; 14] = [
    Reason::BrokenRule,
    Reason::NoTemplate,
    Reason::BadTemplate,
    Reason::BadAlert,
    Reason::ExecutorMissing,
    Reason::Rejected,
    Reason::Forbidden,
    Reason::CreateFailed,
    Reason::OldController,
    Reason::NoPolicy,
    Reason::NotOurs,
    Reason::BreakerOpen,
    Reason::NeedsPerson,
    Reason::NeedsApproval,
];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("aegis");
        let stages = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        registry.register_with_unit(
            "alert_stage",
            "How long each stage of an alert took, from the end of the stage before it",
            Unit::Seconds,
            stages.clone(),
        );
        let answer_seconds = Histogram::new(SECONDS);
        registry.register_with_unit(
            "webhook_answer",
            "How long the webhook took to answer",
            Unit::Seconds,
            answer_seconds.clone(),
        );
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        let all = All {
            stages,
            answer_seconds,
            alerts: kept(&mut registry, "alerts", "Reported alerts by what was done with the report"),
            rejected: kept(&mut registry, "alerts_rejected", "Reported alerts that can never be stored, by reason"),
            truncated: kept(&mut registry, "alerts_shortened", "Alerts that lost text, by where it was lost"),
            actions: kept(&mut registry, "actions", "Actions that ended, by outcome and reason"),
            held: kept(&mut registry, "alerts_held", "Alerts that led to no action, by reason"),
            in_vain: kept(
                &mut registry,
                "repairs_in_vain",
                "Actions that succeeded and did not cure the problem, by how that was found out",
            ),
            answers: kept(&mut registry, "webhook_answers", "Answers of the webhook by route and status code"),
            queued: kept(&mut registry, "webhook_queued_alerts", "Alerts that are being stored or wait for it"),
            objects: kept(&mut registry, "cache_objects", "Objects in a cache"),
            unreadable: kept(&mut registry, "cache_unreadable_objects", "Objects that do not decode and are left out"),
            restarts: kept(&mut registry, "watch_restarts", "Times that a watch failed and was begun again"),
            requests: kept(
                &mut registry,
                "api_requests",
                "Requests to the API server; code 0: no answer, or none in time",
            ),
            leader: kept(&mut registry, "leader", "1 while this replica leads"),
            places: kept(&mut registry, "guard_places", "Places that actions take, recovery apart"),
            places_of_rule: kept(&mut registry, "guard_rule_places", "Places that actions of a rule take"),
            places_limit: kept(&mut registry, "guard_places_limit", "Places that all actions together may take"),
            breaker_open: kept(&mut registry, "guard_breaker_open", "1 while the breaker holds actions back"),
            paused: kept(&mut registry, "guard_paused", "1 while anything is paused"),
            waiting: kept(&mut registry, "alerts_waiting", "Alerts that wait to be acted on, by reason"),
            notifications: kept(&mut registry, "notifications", "Outcomes told to a receiver, by what became of that"),
            receivers_unreadable: kept(
                &mut registry,
                "notify_file_unreadable",
                "Whether the file that says who is told of outcomes cannot be used",
            ),
            registry,
        };
        all.begin();
        Self { all: Arc::new(all) }
    }

    /// Everything in the OpenMetrics text format.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.all.registry)?;
        Ok(page)
    }

    /// A stage of an alert took so long. A negative span (clocks differ) counts as none.
    pub fn stage(&self, stage: Stage, took: jiff::SignedDuration) {
        self.all.stages.get_or_create(&StageLabel { stage }).observe(took.as_secs_f64().max(0.0));
    }

    /// A reported alert was stored, counted as a repeat, and so on; the reason is a word from code.
    pub fn alert(&self, outcome: &'static str, reason: &'static str) {
        self.all.alerts.get_or_create(&OutcomeLabels { outcome, reason }).inc();
    }

    /// A reported alert can never be stored.
    pub fn rejected(&self, reason: Rejected) {
        self.all.rejected.get_or_create(&RejectedLabel { reason }).inc();
    }

    /// Alerts lost text, or were left out by their sender.
    pub fn shortened(&self, reason: &'static str, count: u64) {
        self.all.truncated.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    /// An action ended; the reason is a word from code, empty for a success.
    pub fn action(&self, outcome: &'static str, reason: &'static str) {
        self.all.actions.get_or_create(&OutcomeLabels { outcome, reason }).inc();
    }

    /// An alert led to no action for that reason.
    pub fn held(&self, reason: &'static str) {
        self.all.held.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// The alert's status was written: if it says now, and did not before, that the last action for it did not cure the
    /// problem, that counts.
    pub fn repair(&self, before: &AegisAlert, after: &AegisAlert) {
        let told = |alert: &AegisAlert| {
            let conditions = alert.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
            let repaired = conditions::find(conditions, ConditionType::Repaired.as_str())?;
            let told = (repaired.reason.clone().unwrap_or_default(), repaired.message.clone());
            (repaired.status == "False").then_some(told)
        };
        let Some((reason, message)) = told(after) else { return };
        if told(before) != Some((reason.clone(), message)) {
            let known = IN_VAIN.into_iter().find(|word| *word == reason);
            self.all.in_vain.get_or_create(&ReasonLabel { reason: known.unwrap_or(OTHER) }).inc();
        }
    }

    /// The webhook answered. `route` is one of the known routes.
    pub fn answered(&self, route: &'static str, code: u16, took: Duration) {
        self.all.answers.get_or_create(&AnswerLabels { route, code }).inc();
        self.all.answer_seconds.observe(took.as_secs_f64());
    }

    /// How many alerts are in hand.
    pub fn queued(&self) -> &Gauge {
        &self.all.queued
    }

    /// The size of the cache of that kind.
    pub fn cache_objects(&self, kind: &'static str) -> Gauge {
        self.all.objects.get_or_create_owned(&KindLabel { kind })
    }

    /// So many objects more, or less, of that kind do not decode.
    pub fn cache_unreadable(&self, kind: &'static str, more: i64) {
        self.all.unreadable.get_or_create(&KindLabel { kind }).inc_by(more);
    }

    /// A watch of that kind failed.
    pub fn watch_restarted(&self, kind: &'static str) {
        self.all.restarts.get_or_create(&KindLabel { kind }).inc();
    }

    /// The API server answered a request; code 0 if it did not, or not before the request was given up.
    pub fn api_request(&self, verb: &'static str, resource: &'static str, code: u16) {
        self.all.requests.get_or_create(&RequestLabels { verb, resource, code }).inc();
    }

    /// How the guard stands, as the leader sees it; by default that of a replica that does not lead.
    pub fn guard(&self, reading: &GuardReading) {
        let GuardReading { places, places_of_rule, limit, breaker_open, paused, waiting } = reading;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.all.places.set(number(*places));
        self.all.places_limit.set(number(*limit));
        self.all.breaker_open.set(i64::from(*breaker_open));
        self.all.paused.set(i64::from(*paused));
        self.all.places_of_rule.clear();
        for (rule, count) in places_of_rule {
            self.all.places_of_rule.get_or_create(&RuleLabel { rule: rule.clone() }).set(number(*count));
        }
        self.all.waiting.clear();
        for (reason, count) in waiting {
            self.all.waiting.get_or_create(&ReasonLabel { reason }).set(number(*count));
        }
    }

    /// That became of so many notifications for a receiver.
    pub fn notified(&self, receiver: &str, result: Delivery, count: usize) {
        if count > 0 {
            let labels = ReceiverLabels { receiver: receiver.to_owned(), result };
            self.all.notifications.get_or_create(&labels).inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// That receiver is told from now on.
    pub fn receiver(&self, receiver: &str) {
        for result in Delivery::ALL {
            let _ = self.all.notifications.get_or_create(&ReceiverLabels { receiver: receiver.to_owned(), result });
        }
    }

    /// Whether the file that says who is told of outcomes can be used.
    pub fn receivers_readable(&self, readable: bool) {
        self.all.receivers_unreadable.set(i64::from(!readable));
    }

    /// Whether this replica leads.
    pub fn leads(&self, leads: bool) {
        self.all.leader.set(i64::from(leads));
    }
}

impl All {
    /// Shows at zero what somebody should hear of when it happens for the first time: Prometheus sees no increase in a
    /// number that begins with its first event.
    fn begin(&self) {
        for reason in Rejected::ALL {
            let _ = self.rejected.get_or_create(&RejectedLabel { reason });
        }
        for reason in FAILURES.into_iter().chain([OTHER]) {
            let _ = self.actions.get_or_create(&OutcomeLabels { outcome: "Failed", reason });
        }
        for reason in IN_VAIN {
            let _ = self.in_vain.get_or_create(&ReasonLabel { reason });
        }
        for reason in FOR_A_PERSON {
            let _ = self.held.get_or_create(&ReasonLabel { reason: reason.as_str() });
        }
    }
}

fn kept<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: Default + Clone + prometheus_client::registry::Metric,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repair_in_vain_counts_once_by_how_that_was_found_out() {
        let alert = |told: Option<(bool, &str, &str)>| {
            let mut alert = AegisAlert::new("a", Default::default());
            if let Some((holds, reason, message)) = told {
                let condition = conditions::Condition::new(ConditionType::Repaired, holds, reason, message);
                alert.status.get_or_insert_default().conditions.push(condition);
            }
            alert
        };
        let metrics = Metrics::new();
        let history = [
            None,
            Some((false, "StillFiring", "after w1")),
            Some((false, "StillFiring", "after w1")),
            Some((false, "StillFiring", "after w2")),
            Some((false, "CheckFailed", "after w3")),
            Some((true, "Resolved", "after w3")),
        ];
        for two in history.windows(2) {
            metrics.repair(&alert(two[0]), &alert(two[1]));
        }
        let page = metrics.text().unwrap();
        for line in [
            "aegis_repairs_in_vain_total{reason=\"StillFiring\"} 2",
            "aegis_repairs_in_vain_total{reason=\"CheckFailed\"} 1",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn the_page_names_every_number_with_its_labels() {
        let metrics = Metrics::new();
        metrics.stage(Stage::Stored, jiff::SignedDuration::from_millis(3));
        metrics.stage(Stage::Received, jiff::SignedDuration::from_secs(-3));
        metrics.alert("stored", "New");
        metrics.rejected(Rejected::Invalid);
        metrics.shortened("details", 1);
        metrics.action("Failed", "Timeout");
        metrics.held("NoRule");
        metrics.answered("/alert", 503, Duration::from_millis(7));
        metrics.cache_objects("AegisAlert").set(5);
        metrics.cache_unreadable("AegisAlert", 2);
        metrics.watch_restarted("AegisAlert");
        metrics.api_request("create", "aegisalerts", 201);
        metrics.leads(true);
        metrics.notified("oncall", Delivery::Sent, 3);
        metrics.receivers_readable(false);
        metrics.guard(&GuardReading { places_of_rule: [("m/old".to_owned(), 1)].into(), ..GuardReading::default() });
        metrics.guard(&GuardReading {
            places: 2,
            places_of_rule: [("m/r".to_owned(), 2)].into(),
            limit: 30,
            breaker_open: true,
            paused: true,
            waiting: [("Paused", 7)].into(),
        });
        let page = metrics.text().unwrap();
        for line in [
            "aegis_alert_stage_seconds_bucket{le=\"0.005\",stage=\"Stored\"} 1",
            "aegis_alert_stage_seconds_sum{stage=\"Received\"} 0.0",
            "aegis_alerts_total{outcome=\"stored\",reason=\"New\"} 1",
            "aegis_alerts_rejected_total{reason=\"Invalid\"} 1",
            "aegis_alerts_shortened_total{reason=\"details\"} 1",
            "aegis_actions_total{outcome=\"Failed\",reason=\"Timeout\"} 1",
            "aegis_alerts_held_total{reason=\"NoRule\"} 1",
            "aegis_webhook_answers_total{route=\"/alert\",code=\"503\"} 1",
            "aegis_webhook_answer_seconds_count 1",
            "aegis_cache_objects{kind=\"AegisAlert\"} 5",
            "aegis_cache_unreadable_objects{kind=\"AegisAlert\"} 2",
            "aegis_watch_restarts_total{kind=\"AegisAlert\"} 1",
            "aegis_api_requests_total{verb=\"create\",resource=\"aegisalerts\",code=\"201\"} 1",
            "aegis_leader 1",
            "aegis_notifications_total{receiver=\"oncall\",result=\"Sent\"} 3",
            "\naegis_notify_file_unreadable 1\n",
            "aegis_guard_places 2",
            "aegis_guard_rule_places{rule=\"m/r\"} 2",
            "aegis_guard_places_limit 30",
            "aegis_guard_breaker_open 1",
            "aegis_guard_paused 1",
            "aegis_alerts_waiting{reason=\"Paused\"} 7",
            "aegis_build_info{version=",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        assert!(!page.contains("m/old"), "a rule that has no place any more is not told of");
    }
}
