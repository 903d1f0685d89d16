//! What a leader remembers of alerts beyond what stands in their status. All of it may be lost: it saves time and
//! writes, no decision is wrong without it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_engine::plan::{ActionKind, Trouble, TroubleKind};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::execute::Obstacle;
use crate::backoff::chance;
use crate::cache::Key;

/// The first wait after an error; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// The longest wait after an error.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// An object that was rejected is tried again at once when it is another one; the same one only in case the reason
/// was a policy that has changed.
const REJECTED_RETRY: Duration = Duration::from_secs(600);
/// A missing kind is watched for, and its alerts are woken when it is there; this is the safety net.
const MISSING_RETRY: Duration = Duration::from_secs(300);

/// For how long at least a verdict stands of which only the others in it have changed. Up to as much is added, so that
/// what one storm held is not told anew in one moment.
const RETOLD: Duration = Duration::from_secs(60);

/// Everything remembered.
#[derive(Debug, Default)]
pub struct Memory {
    alerts: Mutex<HashMap<Key, Remembered>>,
    /// Alerts by the version that our own last write made, until the cache has told of it.
    own_alerts: Own<Key>,
    /// The same for Workflows and Jobs.
    own_actions: Own<(ActionKind, Key)>,
    missing: Mutex<HashSet<ActionKind>>,
    missing_grew: Notify,
}

#[derive(Debug, Default)]
struct Remembered {
    uid: String,
    trouble: Option<Trouble>,
    failures: u32,
    doubt: Option<Doubt>,
    /// When a verdict that is hardly another one may be written.
    retold: Option<Instant>,
}

/// A status write whose answer was lost.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// The alert as it was before.
    pub before: Arc<AegisAlert>,
    /// What was sent.
    pub patch: Value,
}

impl Memory {
    /// What the last attempt to create the alert's action met.
    pub fn trouble(&self, alert: &AegisAlert) -> Option<Trouble> {
        self.of(alert, |remembered| remembered.trouble.clone())
    }

    /// Remembers that an action could not be made, and when it is tried again: not before `at_least` has passed.
    pub fn met(
        &self,
        alert: &AegisAlert,
        obstacle: Obstacle,
        kind: ActionKind,
        at_least: Duration,
        now: Timestamp,
    ) -> Trouble {
        let Obstacle { kind: trouble, message, digest } = obstacle;
        if trouble == TroubleKind::ExecutorMissing {
            lock(&self.missing).insert(kind);
            self.missing_grew.notify_one();
        }
        self.of(alert, |remembered| {
            let wait = match trouble {
                TroubleKind::Rejected => REJECTED_RETRY,
                TroubleKind::ExecutorMissing => MISSING_RETRY,
                TroubleKind::Forbidden | TroubleKind::Unavailable => {
                    FIRST_RETRY.saturating_mul(1 << remembered.failures.min(16)).min(LONGEST_RETRY)
                }
            };
            remembered.failures = remembered.failures.saturating_add(1);
            let wait = SignedDuration::try_from(wait.max(at_least)).unwrap_or(SignedDuration::MAX);
            let retry_at = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
            let met = Trouble { kind: trouble, message, digest, retry_at };
            remembered.trouble = Some(met.clone());
            met
        })
    }

    /// An action was made: whatever stood in its way is over.
    pub fn made(&self, alert: &AegisAlert) {
        self.of(alert, |remembered| {
            remembered.trouble = None;
            remembered.failures = 0;
            remembered.retold = None;
        });
    }

    /// Remembers that nobody knows whether that status was written.
    pub fn doubt(&self, before: &Arc<AegisAlert>, patch: &Value) {
        self.of(before, |remembered| {
            remembered.doubt = Some(Doubt { before: before.clone(), patch: patch.clone() });
        });
    }

    /// Takes the doubt back once the alert shows whether it was written: its version is another one.
    pub fn settle(&self, alert: &AegisAlert) -> Option<Doubt> {
        self.of(alert, |remembered| {
            let moved = |doubt: &mut Doubt| doubt.before.resource_version() != alert.resource_version();
            remembered.doubt.take_if(moved)
        })
    }

    /// How long the alert's verdict is still to be left as it stands, when only the others in it have changed. `None`
    /// once it may be written, after which the time begins anew.
    pub fn retold_in(&self, alert: &AegisAlert) -> Option<Duration> {
        self.of(alert, |remembered| {
            let now = Instant::now();
            let anew = now + RETOLD.mul_f64(1.0 + chance());
            match remembered.retold {
                Some(due) if due <= now => {
                    remembered.retold = Some(anew);
                    None
                }
                known => Some(*remembered.retold.insert(known.unwrap_or(anew)) - now),
            }
        })
    }

    /// Forgets an alert that is gone.
    pub fn forget(&self, key: &Key) {
        lock(&self.alerts).remove(key);
    }

    /// Is told before the cache is that our own write made this version of the alert.
    pub fn wrote_alert(&self, alert: &AegisAlert) {
        self.own_alerts.wrote(Key::of(alert), alert.resource_version());
    }

    /// The cache had that version, or a later one, before our own write was answered: there may be no further word of it.
    pub fn heard_of_alert(&self, alert: &AegisAlert) {
        self.own_alerts.take(&Key::of(alert), alert.resource_version().as_deref());
    }

    /// Whether that version of the alert is our own write, which whoever wrote it has seen already.
    pub fn is_own_alert(&self, key: &Key, version: Option<&str>) -> bool {
        self.own_alerts.take(key, version)
    }

    /// Is told before the cache is that our own write or read showed this version of an action.
    pub fn saw_action(&self, kind: ActionKind, key: Key, version: Option<String>) {
        self.own_actions.wrote((kind, key), version);
    }

    /// The cache had that version of the action, or a later one, before.
    pub fn heard_of_action(&self, kind: ActionKind, key: Key, version: Option<&str>) {
        self.own_actions.take(&(kind, key), version);
    }

    /// Whether that version of the action was seen already by whoever works on its alert.
    pub fn is_own_action(&self, kind: ActionKind, key: &Key, version: Option<&str>) -> bool {
        self.own_actions.take(&(kind, key.clone()), version)
    }

    /// The kinds that the cluster was found not to know; waits until there is one.
    pub async fn missing(&self) -> Vec<ActionKind> {
        loop {
            let grew = self.missing_grew.notified();
            let missing: Vec<ActionKind> = lock(&self.missing).iter().copied().collect();
            if !missing.is_empty() {
                return missing;
            }
            grew.await;
        }
    }

    /// The cluster knows that kind now: what waits for it may be tried at once.
    pub fn appeared(&self, kind: ActionKind) {
        lock(&self.missing).remove(&kind);
        for remembered in lock(&self.alerts).values_mut() {
            remembered.trouble.take_if(|trouble| trouble.kind == TroubleKind::ExecutorMissing);
        }
    }

    /// Works on what is remembered of one alert. What belongs to an earlier one of its name is dropped, and so is an
    /// entry that holds nothing.
    fn of<T>(&self, alert: &AegisAlert, work: impl FnOnce(&mut Remembered) -> T) -> T {
        let (key, uid) = (Key::of(alert), alert.uid().unwrap_or_default());
        let mut alerts = lock(&self.alerts);
        let mut remembered = alerts.remove(&key).filter(|known| known.uid == uid).unwrap_or_default();
        let result = work(&mut remembered);
        let Remembered { uid: _, trouble, failures, doubt, retold } = &remembered;
        if trouble.is_some() || doubt.is_some() || *failures > 0 || retold.is_some() {
            alerts.insert(key, Remembered { uid, ..remembered });
        }
        result
    }
}

/// Versions that our own writes made. Each is taken by the first word of a cache about its object.
#[derive(Debug)]
struct Own<K>(Mutex<HashMap<K, String>>);

impl<K> Default for Own<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Own<K> {
    fn wrote(&self, key: K, version: Option<String>) {
        if let Some(version) = version {
            lock(&self.0).insert(key, version);
        }
    }

    fn take(&self, key: &K, version: Option<&str>) -> bool {
        let own = lock(&self.0).remove(key);
        own.is_some() && own.as_deref() == version
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_crds::alert::AegisAlertSpec;

    fn alert(uid: &str, version: &str) -> AegisAlert {
        let mut alert = AegisAlert::new("a", AegisAlertSpec::default());
        alert.metadata.namespace = Some("monitoring".into());
        alert.metadata.uid = Some(uid.into());
        alert.metadata.resource_version = Some(version.into());
        alert
    }

    fn obstacle(kind: TroubleKind) -> Obstacle {
        Obstacle { kind, message: "no".into(), digest: "d".into() }
    }

    fn wait(memory: &Memory, kind: TroubleKind) -> i64 {
        let now = Timestamp::UNIX_EPOCH;
        let met = memory.met(&alert("u", "1"), obstacle(kind), ActionKind::Workflow, Duration::ZERO, now);
        met.retry_at.duration_since(now).as_millis() as i64
    }

    #[test]
    fn waits_grow_with_each_error_and_begin_again_after_a_success() {
        let memory = Memory::default();
        let waits: Vec<i64> = (0..3).map(|_| wait(&memory, TroubleKind::Unavailable)).collect();
        assert!(waits[0] <= 200 && waits[1] > 200 && waits[1] <= 400 && waits[2] > 600, "{waits:?}");
        memory.made(&alert("u", "1"));
        assert_eq!(memory.trouble(&alert("u", "1")), None);
        assert!(wait(&memory, TroubleKind::Unavailable) <= 200);
        assert!(wait(&memory, TroubleKind::Rejected) > 500_000, "the same object is as wrong as before");
    }

    #[test]
    fn what_was_met_belongs_to_one_alert_and_not_to_its_name() {
        let memory = Memory::default();
        wait(&memory, TroubleKind::Forbidden);
        assert!(memory.trouble(&alert("u", "9")).is_some());
        assert_eq!(memory.trouble(&alert("other", "1")), None);
    }

    #[tokio::test]
    async fn a_kind_that_appears_frees_the_alerts_that_wait_for_it() {
        let memory = Memory::default();
        wait(&memory, TroubleKind::ExecutorMissing);
        assert_eq!(memory.missing().await, [ActionKind::Workflow]);
        memory.appeared(ActionKind::Workflow);
        assert_eq!(memory.trouble(&alert("u", "1")), None);
        assert!(futures::FutureExt::now_or_never(memory.missing()).is_none());
    }

    #[test]
    fn a_doubt_is_settled_when_the_alert_has_moved_on() {
        let memory = Memory::default();
        memory.doubt(&Arc::new(alert("u", "1")), &Value::Null);
        assert!(memory.settle(&alert("u", "1")).is_none());
        assert!(memory.settle(&alert("u", "2")).is_some());
        assert!(memory.settle(&alert("u", "3")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_that_is_hardly_another_one_is_written_about_once_a_minute() {
        let memory = Memory::default();
        let mut written = 0;
        for _ in 0..600 {
            // As whoever looks at an alert does first.
            memory.trouble(&alert("u", "1"));
            match memory.retold_in(&alert("u", "1")) {
                None => written += 1,
                Some(left) => assert!(left <= RETOLD * 2),
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((4..10).contains(&written), "{written} times in ten minutes");
        assert!(memory.retold_in(&alert("another", "1")).is_some(), "nobody is told anew at the first look");
    }

    #[test]
    fn an_own_write_is_known_once_and_only_in_its_version() {
        let memory = Memory::default();
        let key = Key::new("monitoring", "a");
        memory.wrote_alert(&alert("u", "5"));
        assert!(memory.is_own_alert(&key, Some("5")));
        assert!(!memory.is_own_alert(&key, Some("5")), "the second word may be of anything");
        memory.wrote_alert(&alert("u", "5"));
        assert!(!memory.is_own_alert(&key, Some("6")), "somebody wrote after us");
        memory.wrote_alert(&alert("u", "7"));
        memory.heard_of_alert(&alert("u", "7"));
        assert!(lock(&memory.own_alerts.0).is_empty(), "no word may come that would take it");
    }
}
