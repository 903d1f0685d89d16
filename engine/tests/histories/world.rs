//! A cluster that stores alerts, replicas that read it through caches which lag, and a controller that acts.

use std::collections::BTreeMap;

use aegis_crds::alert::{ActionStatus, AlertOpsStatus, AlertStatus, TtlStrategy};
use aegis_crds::{AegisAlert, names};
use aegis_engine::incident::{
    Ending, Judgement, Resolve, Stored, Windows, duplicate_of, is_marked_duplicate, judge, resolve, same_identity,
    status,
};
use aegis_engine::intake::alert_object;
use aegis_engine::signal::Signal;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use crate::sender::{Delivery, What};

/// How often a decision may be taken again before it counts as going round.
const MOST_ROUNDS: usize = 8;
const TTL_RESOLVED: i64 = 2 * 24 * 3_600_000;
const TTL_FIRING: i64 = 120 * 3_600_000;

/// The point in time that many milliseconds after the beginning of a history.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_767_225_600_000 + millis).unwrap()
}

/// The type of an alert; all of a history share their source and fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    pub fn of_type(number: usize) -> Self {
        Self(format!("Type{number}"))
    }

    pub fn type_(&self) -> &str {
        &self.0
    }

    fn of(alert: &AegisAlert) -> Self {
        Self(alert.spec.type_.clone())
    }
}

pub struct Action {
    pub key: Key,
    alert: String,
    ends: i64,
}

pub struct EverStored {
    pub key: Key,
    pub withdrawn: bool,
    uid: String,
}

pub struct World {
    now: i64,
    alerts: Vec<AegisAlert>,
    /// What was stored since when, for caches that lag.
    past: Vec<(i64, Vec<AegisAlert>)>,
    versions: u64,
    action_lasts: i64,
    reconciler_waits: i64,
    reconcile_at: Option<i64>,
    counted_on_deleted: i64,
    pub actions: Vec<Action>,
    pub ever_stored: Vec<EverStored>,
    story: Vec<String>,
}

/// Why a write did not happen: the object has another resourceVersion, or there is none.
struct Conflict;

impl World {
    pub fn new(action_lasts: i64, reconciler_waits: i64) -> Self {
        Self {
            now: 0,
            alerts: Vec::new(),
            past: vec![(i64::MIN, Vec::new())],
            versions: 0,
            action_lasts,
            reconciler_waits,
            reconcile_at: None,
            counted_on_deleted: 0,
            actions: Vec::new(),
            ever_stored: Vec::new(),
            story: Vec::new(),
        }
    }

    pub fn now(&self) -> i64 {
        self.now
    }

    pub fn story(&self) -> String {
        self.story.join("\n")
    }

    /// How many reports all counts together tell of.
    pub fn counted(&self) -> i64 {
        self.alerts.iter().map(count).sum::<i64>() + self.counted_on_deleted
    }

    /// The open alerts that nothing was done about.
    pub fn waiting(&self) -> Vec<String> {
        let idle = |alert: &&AegisAlert| {
            Stored::new(alert).is_open() && !Stored::new(alert).has_acted() && !is_marked_duplicate(alert)
        };
        self.alerts.iter().filter(idle).map(|alert| name(alert).to_owned()).collect()
    }

    /// A replica takes a report, as ingest does.
    pub fn deliver(&mut self, delivery: &Delivery) {
        self.advance(delivery.at);
        self.tell(format!("{delivery:?}"));
        match &delivery.what {
            What::Firing => self.fires(&delivery.signal, delivery.lag),
            What::Resolved { crash } => {
                if *crash {
                    // The replica dies after its first write, and the sender sends the body again.
                    self.resolves(&delivery.signal, 1);
                }
                self.resolves(&delivery.signal, usize::MAX);
            }
            What::Deleted { place } => self.delete(*place),
        }
        self.reconcile_at.get_or_insert(self.now + self.reconciler_waits);
    }

    fn fires(&mut self, signal: &Signal, lag: i64) {
        let mut seen = self.seen(signal, lag);
        let mut salt = 0;
        for _ in 0..MOST_ROUNDS {
            let known: Vec<&AegisAlert> = seen.iter().collect();
            match judge(signal, &known, at(self.now), &Windows::default()) {
                Judgement::Repeat { of, late } => {
                    let (of, patch) = (name(of).to_owned(), status::counted(of, 1, signal, at(self.now)));
                    if self.patch(&of, &patch).is_ok() {
                        self.tell(format!("  repeat of {of}{}", if late { ", late" } else { "" }));
                        return;
                    }
                    seen = self.seen(signal, 0);
                }
                Judgement::Open { incident, ends } => {
                    let new = incident.alert_name(&signal.key(), salt);
                    let refused = ends.iter().any(|alert| {
                        let patch = status::superseded(alert, &new, at(self.now));
                        self.patch(name(alert), &patch).is_err()
                    });
                    if refused {
                        seen = self.seen(signal, 0);
                        continue;
                    }
                    match self.alerts.iter().find(|alert| name(alert) == new) {
                        None => {
                            let alert = alert_object(signal, &new, "monitoring", &incident, &TtlStrategy::default());
                            self.create(alert);
                            return;
                        }
                        Some(other) if same_identity(other, signal, &incident) && !is_marked_duplicate(other) => {
                            seen = self.seen(signal, 0);
                        }
                        Some(_) => salt += 1,
                    }
                }
            }
        }
        panic!("the decision goes round\n{}", self.story());
    }

    fn resolves(&mut self, signal: &Signal, most_writes: usize) {
        let known = self.alerts.clone();
        let known: Vec<&AegisAlert> =
            known.iter().filter(|alert| Stored::new(alert).has_fingerprint(&signal.fingerprint)).collect();
        let decision = resolve(signal, &known);
        let Resolve::End(endings) = decision else { return };
        for ending in endings.into_iter().take(most_writes) {
            let (alert, patch) = match ending {
                Ending::Resolved(alert) => (alert, status::resolved(alert, signal, at(self.now))),
                Ending::Duplicate { alert, of } => (alert, status::withdrawn_duplicate(alert, name(of), at(self.now))),
            };
            self.tell(format!("  ends {}", name(alert)));
            assert!(self.patch(name(alert), &patch).is_ok(), "listed a moment ago");
        }
    }

    /// Lets time pass: actions end, the controller looks, old alerts go.
    pub fn advance(&mut self, to: i64) {
        loop {
            let ends = self.actions.iter().map(|action| action.ends).filter(|ends| *ends > self.now);
            let Some(next) = ends.chain(self.reconcile_at).min().filter(|next| *next <= to) else { break };
            self.now = self.now.max(next);
            self.reconcile_at = None;
            self.reconcile();
        }
        self.now = self.now.max(to);
        self.collect();
    }

    fn reconcile(&mut self) {
        for place in 0..self.alerts.len() {
            self.follow(place);
        }
        for place in 0..self.alerts.len() {
            let alert = self.alerts[place].clone();
            if !Stored::new(&alert).is_open() || Stored::new(&alert).has_acted() || is_marked_duplicate(&alert) {
                continue;
            }
            let known = self.alerts.clone();
            let known: Vec<&AegisAlert> = known.iter().collect();
            if let Some(of) = duplicate_of(&alert, &known) {
                let patch = status::withdrawn_duplicate(&alert, name(of), at(self.now));
                assert!(self.patch(name(&alert), &patch).is_ok(), "the controller sees it as it is");
                self.tell(format!("  {} is a duplicate of {}", name(&alert), name(of)));
                continue;
            }
            let earlier = known.iter().map(|other| Stored::new(other)).any(|other| {
                other.is_of_key_of(Stored::new(&alert))
                    && other.order() < Stored::new(&alert).order()
                    && other.action_is_unfinished(at(self.now))
            });
            if !earlier {
                self.act(place);
            }
        }
        let mut open: Vec<Key> = self
            .alerts
            .iter()
            .filter(|alert| Stored::new(alert).is_open() && !is_marked_duplicate(alert))
            .map(Key::of)
            .collect();
        open.sort();
        assert!(open.windows(2).all(|two| two[0] != two[1]), "one alert of a key is open\n{}", self.story());
    }

    fn act(&mut self, place: usize) {
        let alert = &self.alerts[place];
        let (key, alert_name) = (Key::of(alert), name(alert).to_owned());
        let fields = Value::Object(status::first_write(alert, at(self.now)));
        let patch = serde_json::json!({
            "metadata": {"resourceVersion": alert.metadata.resource_version},
            "status": fields,
        });
        assert!(self.patch(&alert_name, &patch).is_ok());
        let action = ActionStatus {
            attempt: 1,
            name: format!("{alert_name}-w"),
            status: Some(AlertOpsStatus::Running),
            ..ActionStatus::default()
        };
        self.write(place, |alert| alert.status.get_or_insert_default().actions.push(action));
        self.tell(format!("  acts for {alert_name}"));
        self.actions.push(Action { key, alert: alert_name, ends: self.now + self.action_lasts });
    }

    /// Writes down that the alert's action has ended, once it has.
    fn follow(&mut self, place: usize) {
        let ended = self
            .actions
            .iter()
            .filter(|action| action.alert == name(&self.alerts[place]))
            .any(|action| action.ends <= self.now && action.ends > self.now - self.action_lasts.max(1_000));
        let unfinished = Stored::new(&self.alerts[place]).action_is_unfinished(at(self.now));
        if ended && unfinished {
            self.write(place, |alert| {
                for action in &mut alert.status.get_or_insert_default().actions {
                    action.status = Some(AlertOpsStatus::Succeeded);
                }
            });
        }
    }

    /// Deletes what is past its time.
    fn collect(&mut self) {
        let now = self.now;
        let past_its_time = |alert: &AegisAlert| {
            let stored = Stored::new(alert);
            let last = stored.last_heard().max(stored.resolved_at()).unwrap().as_millisecond() - at(0).as_millisecond();
            let ttl = if stored.phase() == AlertStatus::Resolved { TTL_RESOLVED } else { TTL_FIRING };
            now - last > ttl && !stored.action_is_unfinished(at(now))
        };
        while let Some(place) = self.alerts.iter().position(past_its_time) {
            self.delete(place);
        }
    }

    fn delete(&mut self, place: usize) {
        if place < self.alerts.len() {
            let gone = self.alerts.remove(place);
            self.counted_on_deleted += count(&gone);
            self.tell(format!("  {} is deleted", name(&gone)));
            self.remember();
        }
    }

    fn create(&mut self, mut alert: AegisAlert) {
        let uid = format!("uid-{}", self.ever_stored.len());
        alert.metadata.uid = Some(uid.clone());
        // The API server tells no more than seconds.
        alert.metadata.creation_timestamp = Some(Time(Timestamp::from_second(at(self.now).as_second()).unwrap()));
        self.tell(format!("  opens {}", name(&alert)));
        self.ever_stored.push(EverStored { key: Key::of(&alert), withdrawn: false, uid });
        self.alerts.push(alert);
        self.write(self.alerts.len() - 1, |_| {});
    }

    fn patch(&mut self, alert: &str, patch: &Value) -> Result<(), Conflict> {
        let place = self.alerts.iter().position(|stored| name(stored) == alert).ok_or(Conflict)?;
        let version = patch["metadata"]["resourceVersion"].as_str().expect("every patch carries it");
        if self.alerts[place].metadata.resource_version.as_deref() != Some(version) {
            return Err(Conflict);
        }
        self.write(place, |alert| {
            let mut whole = serde_json::to_value(&*alert).unwrap();
            merge(&mut whole["status"], &patch["status"]);
            *alert = serde_json::from_value(whole).expect("what is written can be read");
        });
        let withdrawn = is_marked_duplicate(&self.alerts[place]);
        let uid = self.alerts[place].metadata.uid.clone();
        for stored in self.ever_stored.iter_mut().filter(|stored| Some(&stored.uid) == uid.as_ref()) {
            stored.withdrawn = withdrawn;
        }
        Ok(())
    }

    fn write(&mut self, place: usize, change: impl FnOnce(&mut AegisAlert)) {
        change(&mut self.alerts[place]);
        self.versions += 1;
        self.alerts[place].metadata.resource_version = Some(self.versions.to_string());
        self.remember();
    }

    fn remember(&mut self) {
        self.past.push((self.now, self.alerts.clone()));
    }

    /// What a replica sees whose cache lags by that much. Where the API server contradicts it, it asks that: no lag.
    fn seen(&self, signal: &Signal, lag: i64) -> Vec<AegisAlert> {
        let (_, then) = self.past.iter().rev().find(|(since, _)| *since <= self.now - lag).unwrap();
        let label = names::fingerprint_label(&signal.fingerprint);
        let labelled = |alert: &&AegisAlert| {
            alert.metadata.labels.as_ref().and_then(|all| all.get(names::FINGERPRINT_LABEL)) == Some(&label)
        };
        then.iter().filter(labelled).cloned().collect()
    }

    fn tell(&mut self, line: String) {
        self.story.push(format!("{:>12.3}  {line}", self.now as f64 / 1_000.0));
    }
}

fn name(alert: &AegisAlert) -> &str {
    alert.metadata.name.as_deref().unwrap()
}

fn count(alert: &AegisAlert) -> i64 {
    alert.status.as_ref().and_then(|status| status.count).unwrap_or(1)
}

/// A merge patch, RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(BTreeMap::<String, Value>::new().into_iter().collect());
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().shift_remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}
