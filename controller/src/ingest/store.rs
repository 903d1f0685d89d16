//! A firing signal becomes a stored alert, or one more count on the one that is stored for its incident.
//!
//! The decision is taken on the cache. Where the API server contradicts (a name is taken, an alert has changed or is
//! gone) it is taken again on what the API server says, so a lagging cache costs a request and never an alert.

use std::borrow::Cow;
use std::sync::Arc;

use aegis_crds::AegisAlert;
use aegis_engine::incident::{IncidentId, Judgement, Stored, is_marked_duplicate, judge, same_identity, status};
use aegis_engine::intake::alert_object;
use aegis_engine::signal::Signal;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{debug, info};

use super::Inner;
use super::answer::{NotNow, Outcome};
use super::api::Refused;
use crate::events::{self, Note, Weight};

/// How often a decision is taken again before the sender is asked to try later. Each time somebody else has got
/// further, so more than a few are needed only under a storm.
pub(super) const ROUNDS: usize = 8;
/// How many names of one incident may be held by other alerts.
const SALTS: u32 = 8;

/// What was done with a signal.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// The alert's name, if one is stored.
    pub(super) name: String,
    pub(super) message: String,
}

/// What one try came to.
pub(super) enum Step {
    Done(Done),
    /// To be decided again on what the API server says; this alert was met on the way.
    Again(Option<Box<AegisAlert>>),
}

impl Done {
    pub(super) fn new(outcome: Outcome, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { outcome, name: name.into(), message: message.into() }
    }
}

impl Inner {
    /// Stores a firing signal that was reported `by` times. The caller holds the fingerprint's lock.
    pub(super) async fn firing(&self, signal: &Signal, by: u32, deadline: Instant) -> Result<Done, NotNow> {
        let mut known = if self.alerts.ready() {
            self.alerts.of_fingerprint(&signal.fingerprint)
        } else {
            self.list(signal, None, deadline).await?
        };
        let mut met = Vec::new();
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            let stored: Vec<&AegisAlert> = known.iter().map(Arc::as_ref).collect();
            let step = match judge(signal, &stored, now, &self.windows) {
                Judgement::Repeat { of, late } => self.count(of, late, by, signal, now, deadline).await?,
                Judgement::Open { incident, ends } => {
                    let ends = ends.into_iter().cloned().collect();
                    self.open(signal, &incident, ends, &mut met, now, deadline).await?
                }
            };
            match step {
                Step::Done(done) => return Ok(done),
                Step::Again(found) => known = self.list(signal, found, deadline).await?,
            }
        }
        Err(NotNow::new("KeptChanging", "the alerts of this fingerprint kept changing while this one was stored"))
    }

    /// Stores an alert for a new incident, after ending those that it takes the place of. `met` are names that were
    /// found to be taken by the incident's own alert, which did not change the decision.
    pub(super) async fn open(
        &self,
        signal: &Signal,
        incident: &IncidentId,
        mut ends: Vec<AegisAlert>,
        met: &mut Vec<String>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Step, NotNow> {
        let signal = self.with_node(signal, deadline).await;
        for salt in 0..SALTS {
            let name = incident.alert_name(&signal.key(), salt);
            for ended in &mut ends {
                let patch = status::superseded(ended, &name, now);
                match self.api.patch_status(&ended.name_any(), &patch, deadline).await {
                    Ok(alert) => {
                        info!(alert = %alert.name_any(), by = %name, "{} is superseded by {name}", alert.name_any());
                        self.alerts.insert(alert.clone());
                        *ended = alert;
                    }
                    // What is wrong with the alert before must not cost this one.
                    Err(Refused::Never(why)) => return Err(NotNow::new("Refused", why)),
                    Err(refused) => return self.again(refused, ended, "end the alert before"),
                }
            }
            let object = alert_object(&signal, &name, self.api.namespace(), incident, &self.ttl);
            match self.api.create(&object, deadline).await {
                Ok(alert) => {
                    info!(alert = %name, "stored {name}");
                    if salt > 0 {
                        self.tell_of_salt(&alert);
                    }
                    self.alerts.insert(alert);
                    return Ok(Step::Done(Done::new(Outcome::Stored, name, "")));
                }
                Err(Refused::Exists) => {}
                Err(Refused::Never(why)) => return Ok(Step::Done(Done::new(Outcome::Rejected, "", why))),
                Err(refused) => return Err(refused.into_not_now("store the alert")),
            }
            match self.api.get(&name, deadline).await {
                Ok(Some(found)) if is_the_one(&found, &signal, incident) && !met.contains(&name) => {
                    debug!(alert = %name, "{name} is stored already");
                    self.alerts.insert(found.clone());
                    met.push(name);
                    return Ok(Step::Again(Some(Box::new(found))));
                }
                Ok(_) => debug!(alert = %name, "the name {name} is taken by another alert"),
                Err(Refused::Missing) => return Ok(Step::Again(None)),
                Err(refused) => return Err(refused.into_not_now("read the alert that holds the name")),
            }
        }
        Err(NotNow::new("NamesTaken", "every name that this alert could have is taken by another alert"))
    }

    /// Counts a signal on the alert of its incident.
    async fn count(
        &self,
        of: &AegisAlert,
        late: bool,
        by: u32,
        signal: &Signal,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Step, NotNow> {
        let name = of.name_any();
        let outcome = if late { Outcome::Late } else { Outcome::Repeat };
        if by == 1 && self.repeats.hold(of, signal, now) {
            return Ok(Step::Done(Done::new(outcome, name, "counted with the next write")));
        }
        let held = self.repeats.take(of);
        let all = by.saturating_add(held.as_ref().map_or(0, |held| held.by));
        let patch = status::counted(of, all, signal, now);
        match self.api.patch_status(&name, &patch, deadline).await {
            Ok(alert) => {
                debug!(alert = %name, by = all, "counted a report on {name}");
                self.metrics.repair(of, &alert);
                self.repeats.wrote(&alert);
                self.alerts.insert(alert);
                Ok(Step::Done(Done::new(outcome, name, "")))
            }
            Err(refused) => {
                if refused.leaves_doubt() {
                    self.repeats.doubt(of, held, &patch);
                } else if !matches!(refused, Refused::Missing) {
                    self.repeats.put_back(&of.uid().unwrap_or_default(), &name, held);
                }
                self.again(refused, of, "count the report")
            }
        }
    }

    /// The alerts of the signal's fingerprint as the API server holds them, and the one that was met on the way: a
    /// person may have taken its label away.
    pub(super) async fn list(
        &self,
        signal: &Signal,
        met: Option<Box<AegisAlert>>,
        deadline: Instant,
    ) -> Result<Vec<Arc<AegisAlert>>, NotNow> {
        let mut listed = self.api.list(&signal.fingerprint, deadline).await?;
        for alert in &listed {
            self.alerts.insert(alert.clone());
        }
        listed.extend(met.map(|met| *met).filter(|met| listed.iter().all(|alert| alert.uid() != met.uid())));
        Ok(listed.into_iter().map(Arc::new).collect())
    }

    /// What a refused change of an alert means: somebody was faster, or it cannot be done.
    pub(super) fn again(&self, refused: Refused, alert: &AegisAlert, doing: &str) -> Result<Step, NotNow> {
        match refused {
            Refused::Conflict => Ok(Step::Again(None)),
            Refused::Missing => {
                self.forget(alert);
                Ok(Step::Again(None))
            }
            Refused::Never(why) => Ok(Step::Done(Done::new(Outcome::Rejected, alert.name_any(), why))),
            refused => Err(refused.into_not_now(doing)),
        }
    }

    pub(super) fn forget(&self, alert: &AegisAlert) {
        let uid = alert.uid().unwrap_or_default();
        self.alerts.remove_if(&alert.namespace().unwrap_or_default(), &alert.name_any(), &uid);
    }

    /// The signal with the node that its Pod is on, as far as that can be found out.
    async fn with_node<'a>(&self, signal: &'a Signal, deadline: Instant) -> Cow<'a, Signal> {
        if signal.object.kind != "Pod" || !signal.object.node.is_empty() {
            return Cow::Borrowed(signal);
        }
        match self.node_of_pod(&signal.object, deadline).await {
            None => Cow::Borrowed(signal),
            Some(node) => {
                let mut signal = signal.clone();
                signal.object.node = node;
                Cow::Owned(signal)
            }
        }
    }

    fn tell_of_salt(&self, alert: &AegisAlert) {
        self.recorder.record(Note {
            regarding: events::alert(alert),
            weight: Weight::Warning,
            reason: "NameTaken",
            message: "another alert holds the name that this one should have, so it has the next one".to_owned(),
        });
    }
}

/// Whether the alert that holds the incident's name is the incident's, and can take reports.
fn is_the_one(found: &AegisAlert, signal: &Signal, incident: &IncidentId) -> bool {
    same_identity(found, signal, incident) && !Stored::new(found).is_going() && !is_marked_duplicate(found)
}
