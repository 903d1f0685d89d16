//! A Resolved signal ends the open alerts of its fingerprint.

use std::sync::Arc;

use aegis_crds::AegisAlert;
use aegis_engine::incident::{Ending, IncidentId, Resolve, resolve, status};
use aegis_engine::intake::alert_object;
use aegis_engine::rules::AlertFacts;
use aegis_engine::signal::Signal;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::info;

use super::Inner;
use super::answer::{NotNow, Outcome};
use super::store::{Done, ROUNDS, Step};

impl Inner {
    /// Ends what a Resolved signal ends. The caller holds the fingerprint's lock.
    pub(super) async fn resolved(&self, signal: &Signal, deadline: Instant) -> Result<Done, NotNow> {
        // Reports that were heard before the resolution are counted before it, or they would look like later ones.
        self.flush_fingerprint(&signal.fingerprint, deadline).await?;
        let mut known = self.list(signal, None, deadline).await?;
        let mut met = Vec::new();
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            let stored: Vec<&AegisAlert> = known.iter().map(Arc::as_ref).collect();
            let step = match resolve(signal, &stored) {
                Resolve::End(endings) => self.end(signal, &endings, now, deadline).await?,
                Resolve::Duplicate => nothing("this resolution is recorded already"),
                Resolve::NothingOpen => nothing("no alert of this fingerprint is open"),
                Resolve::NothingStored { incident } => {
                    if self.a_rule_wants(signal, &incident)? {
                        self.open(signal, &incident, Vec::new(), &mut met, now, deadline).await?
                    } else {
                        nothing("no alert of this fingerprint is stored, and no rule for Resolved matches")
                    }
                }
            };
            match step {
                Step::Done(done) => return Ok(done),
                Step::Again(found) => known = self.list(signal, found, deadline).await?,
            }
        }
        Err(NotNow::new("KeptChanging", "the alerts of this fingerprint kept changing while they were resolved"))
    }

    async fn end(
        &self,
        signal: &Signal,
        endings: &[Ending<'_>],
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Step, NotNow> {
        let mut names = Vec::new();
        for ending in endings {
            let (alert, patch) = match ending {
                Ending::Resolved(alert) => (alert, status::resolved(alert, signal, now)),
                Ending::Duplicate { alert, of } => (alert, status::withdrawn_duplicate(alert, &of.name_any(), now)),
            };
            let name = alert.name_any();
            match self.api.patch_status(&name, &patch, deadline).await {
                Ok(alert) => {
                    info!(alert = %name, "{name} is resolved");
                    self.alerts.insert(alert);
                    names.push(name);
                }
                Err(refused) => return self.again(refused, alert, "resolve the alert"),
            }
        }
        Ok(Step::Done(Done::new(Outcome::Resolved, names.join(","), "")))
    }

    /// Whether a rule for Resolved matches the alert that would be stored.
    fn a_rule_wants(&self, signal: &Signal, incident: &IncidentId) -> Result<bool, NotNow> {
        if !self.rules.ready() {
            return Err(NotNow::new("Starting", "the rules have not been read yet"));
        }
        let alert = alert_object(signal, "", self.api.namespace(), incident, &self.ttl);
        let facts = AlertFacts { type_: &signal.type_, phase: signal.status, labels: alert.labels() };
        Ok(self.rules.book().pick(&facts).is_some())
    }
}

fn nothing(why: &str) -> Step {
    Step::Done(Done::new(Outcome::Nothing, "", why))
}
