//! How many actions of each rule and each template ended well, and how many did not.
//!
//! Every ending is counted in memory when the status write that tells it has succeeded, which happens once for an
//! action; the sums are written every few seconds, each with the completion of the last action in it. A leader that
//! takes over counts from the alerts' status what ended after that. So nothing is counted twice, and nothing is missed
//! but an alert that was deleted within those seconds, or what two leaders at once count past each other.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_crds::alert::{ActionStatus, AlertOpsStatus};
use aegis_crds::rule::Tally;
use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisOpsTemplate};
use aegis_engine::scope::ObjectName;
use jiff::Timestamp;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::warn;

use crate::cache::{Kept, Objects};
use crate::context::{FIELD_MANAGER, Failure, Lead};

/// How often sums are written. Each write costs one request for each rule and template with a new ending.
pub const FLUSH: Duration = Duration::from_secs(3);
/// How many alerts are gone through in one go.
const AT_ONCE: usize = 64;
/// Conflicts in a row before the rest is left for the next time.
const TRIES: usize = 3;

/// Endings that are not written yet.
#[derive(Debug, Default)]
pub struct Counts {
    rules: Mutex<Pending>,
    templates: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    /// Not sent yet.
    sums: HashMap<ObjectName, Endings>,
    /// Sent, and the answer was lost: whether they were stored shows in what is stored now.
    doubtful: Vec<(ObjectName, Endings)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Endings {
    succeeded: i64,
    failed: i64,
    until: Option<Timestamp>,
}

/// A kind whose status counts endings.
pub trait Counted:
    Kept + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
    /// The field of its status that does.
    const FIELD: &'static str;

    /// What stands there.
    fn tally(&self) -> Tally;
}

impl Counted for AegisAlertOpsRule {
    const FIELD: &'static str = "triggerStatus";

    fn tally(&self) -> Tally {
        self.status.as_ref().and_then(|status| status.trigger_status).unwrap_or_default()
    }
}

impl Counted for AegisOpsTemplate {
    const FIELD: &'static str = "executeStatus";

    fn tally(&self) -> Tally {
        self.status.as_ref().and_then(|status| status.execute_status).unwrap_or_default()
    }
}

impl Counts {
    /// Counts an action whose end has just been told in its alert's status.
    pub fn ended(&self, action: &ActionStatus) {
        let Some(endings) = Endings::of(action) else { return };
        if !action.check {
            add(&self.rules, ObjectName::parse(&action.rule), endings);
        }
        add(&self.templates, ObjectName::parse(&action.template), endings);
    }

    /// Counts what a leader before us told and did not live to count, by alerts as they were before we told anything.
    pub async fn recover(
        &self,
        alerts: impl IntoIterator<Item = Arc<AegisAlert>>,
        rules: &Objects<AegisAlertOpsRule>,
        templates: &Objects<AegisOpsTemplate>,
    ) {
        let (rules, templates) = (tallies(rules), tallies(templates));
        for (number, alert) in alerts.into_iter().enumerate() {
            // There may be very many, and others have work to do.
            if number % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            for action in alert.status.iter().flat_map(|status| &status.actions) {
                let Some(endings) = Endings::of(action) else { continue };
                // What a check found is no ending of its rule's actions.
                let of_rule = (!action.check).then_some((&action.rule, &rules, &self.rules));
                let of_template = (&action.template, &templates, &self.templates);
                for (name, tallies, pending) in of_rule.into_iter().chain([of_template]) {
                    let name = ObjectName::parse(name);
                    let tally = name.as_ref().and_then(|name| tallies.get(name));
                    if tally.is_some_and(|tally| endings.is_after(tally)) {
                        add(pending, name, endings);
                    }
                }
            }
        }
    }

    /// Writes every sum that changed. What could not be written is kept for the next time.
    pub async fn flush(&self, lead: &Lead) {
        write_all(lead, &self.rules, lead.context.rules.objects()).await;
        write_all(lead, &self.templates, lead.templates.objects()).await;
    }
}

impl Endings {
    fn of(action: &ActionStatus) -> Option<Self> {
        let until = Some(action.completion_time?);
        match action.status? {
            AlertOpsStatus::Succeeded => Some(Self { succeeded: 1, failed: 0, until }),
            AlertOpsStatus::Failed => Some(Self { succeeded: 0, failed: 1, until }),
            AlertOpsStatus::Pending | AlertOpsStatus::Running => None,
        }
    }

    fn is_after(&self, tally: &Tally) -> bool {
        self.until > tally.counted_until
    }

    fn plus(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_add(other.succeeded),
            failed: self.failed.saturating_add(other.failed),
            until: self.until.max(other.until),
        }
    }

    fn added_to(self, tally: &Tally) -> Tally {
        let before = Self {
            succeeded: tally.succeeded.unwrap_or(0),
            failed: tally.failed.unwrap_or(0),
            until: tally.counted_until,
        };
        let sum = self.plus(before);
        Tally { succeeded: Some(sum.succeeded), failed: Some(sum.failed), counted_until: sum.until }
    }
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stands in all of them, read once: there are many more alerts.
fn tallies<K: Counted>(objects: &Objects<K>) -> HashMap<ObjectName, Tally> {
    objects.all().map(|object| (ObjectName::of(object.as_ref()), object.tally())).collect()
}

fn add(pending: &Mutex<Pending>, name: Option<ObjectName>, endings: Endings) {
    let Some(name) = name else { return };
    let mut pending = lock(pending);
    let sum = pending.sums.entry(name).or_default();
    *sum = sum.plus(endings);
}

async fn write_all<K: Counted>(lead: &Lead, pending: &Mutex<Pending>, cache: &Objects<K>) {
    let doubtful = std::mem::take(&mut lock(pending).doubtful);
    for (name, endings) in doubtful {
        let api: Api<K> = Api::namespaced(lead.context.client.clone(), &name.namespace);
        match lead.request(api.get_opt(&name.name)).await {
            Ok(Some(stored)) if endings.is_after(&stored.tally()) => add(pending, Some(name), endings),
            Ok(_) => {}
            Err(_) => lock(pending).doubtful.push((name, endings)),
        }
    }
    let sums = std::mem::take(&mut lock(pending).sums);
    for (name, endings) in sums {
        let Err(failure) = write(lead, cache, &name, endings).await else { continue };
        warn!(object = %name, "could not write how many actions of {name} ended: {failure}");
        if failure.leaves_doubt() {
            lock(pending).doubtful.push((name, endings));
        } else {
            add(pending, Some(name), endings);
        }
    }
}

async fn write<K: Counted>(
    lead: &Lead,
    cache: &Objects<K>,
    name: &ObjectName,
    endings: Endings,
) -> Result<(), Failure> {
    let api: Api<K> = Api::namespaced(lead.context.client.clone(), &name.namespace);
    let held = cache.get(&name.namespace, &name.name);
    let Some(mut before) = held.map(|held| (held.tally(), held.resource_version())) else { return Ok(()) };
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let mut tries = 1;
    loop {
        let (tally, resource_version) = &before;
        let patch = json!({
            "metadata": {"resourceVersion": resource_version},
            "status": {K::FIELD: endings.added_to(tally)},
        });
        match lead.request(api.patch_status(&name.name, &parameters, &Patch::Merge(&patch))).await {
            Ok(written) => {
                cache.insert(written);
                return Ok(());
            }
            Err(failure) if failure.code() == Some(404) => return Ok(()),
            Err(failure) if failure.code() == Some(409) && tries < TRIES => tries += 1,
            Err(failure) => return Err(failure),
        }
        let Some(now) = lead.request(api.get_opt(&name.name)).await? else { return Ok(()) };
        before = (now.tally(), now.resource_version());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn action(status: AlertOpsStatus, ended: Option<i64>) -> ActionStatus {
        ActionStatus {
            rule: "monitoring/r".into(),
            template: "monitoring/t".into(),
            status: Some(status),
            completion_time: ended.map(at),
            ..ActionStatus::default()
        }
    }

    fn pending(counts: &Counts) -> Option<Endings> {
        lock(&counts.templates).sums.get(&ObjectName::new("monitoring", "t")).copied()
    }

    #[test]
    fn only_endings_count_and_the_last_one_is_remembered() {
        let counts = Counts::default();
        counts.ended(&action(AlertOpsStatus::Running, None));
        assert_eq!(pending(&counts), None);
        counts.ended(&action(AlertOpsStatus::Succeeded, Some(9)));
        counts.ended(&action(AlertOpsStatus::Failed, Some(7)));
        assert_eq!(pending(&counts), Some(Endings { succeeded: 1, failed: 1, until: Some(at(9)) }));
    }

    #[test]
    fn what_is_stored_grows_by_what_is_pending() {
        let stored = Tally { succeeded: Some(4), failed: None, counted_until: Some(at(5)) };
        let endings = Endings { succeeded: 2, failed: 1, until: Some(at(9)) };
        let want = Tally { succeeded: Some(6), failed: Some(1), counted_until: Some(at(9)) };
        assert_eq!(endings.added_to(&stored), want);
        assert_eq!(endings.added_to(&Tally::default()).succeeded, Some(2));
    }

    #[test]
    fn a_new_leader_counts_what_ended_after_the_last_count() {
        let counted = Tally { counted_until: Some(at(5)), ..Tally::default() };
        let ended = |second| Endings::of(&action(AlertOpsStatus::Succeeded, Some(second))).unwrap();
        assert!(!ended(5).is_after(&counted));
        assert!(ended(6).is_after(&counted));
        assert!(ended(1).is_after(&Tally::default()), "nothing was counted yet");
    }
}
