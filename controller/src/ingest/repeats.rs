//! Repeats that are counted in memory for up to a second.
//!
//! Senders send duplicates by design. The first repeat of an alert in each second is written before it is answered;
//! further ones in that second wait here and are added to the next write. A crash loses these counts and nothing else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::names::fingerprint_label;
use aegis_engine::incident::{Stored, status};
use aegis_engine::signal::Signal;
use futures::StreamExt;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Inner;
use super::answer::NotNow;
use super::api::Refused;
use super::store::ROUNDS;

/// How long a write keeps the next one away.
const APART: Duration = Duration::from_secs(1);
/// How often held counts are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How many alerts may have held counts, and how many bytes of details each may hold.
const MOST: usize = 1024;
const LARGEST: usize = 16 << 10;
/// How long one round of writing held counts may take, and how many are written at the same time.
const DEADLINE: Duration = Duration::from_secs(4);
/// How long the requests for one alert may take at least.
const REQUEST: Duration = Duration::from_secs(2);
const WRITERS: usize = 8;

/// The alerts that were written within the last second, by UID, and what is counted on them since.
#[derive(Default)]
pub(super) struct Repeats {
    entries: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    name: String,
    fingerprint: String,
    until: Instant,
    held: Option<Held>,
    doubt: Option<Doubt>,
}

/// Reports that are not written yet.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) by: u32,
    /// The last of them.
    signal: Signal,
    heard: Timestamp,
}

/// Held reports that were sent to the API server in a write whose answer was lost.
#[derive(Clone, Debug)]
struct Doubt {
    held: Held,
    /// The version of the alert that the write was for.
    version: Option<String>,
    /// The lastTime that it wrote, if that is another one than before.
    wrote: Option<Timestamp>,
}

/// One alert whose held counts are due.
struct Due {
    uid: String,
    name: String,
    fingerprint: String,
}

impl Repeats {
    /// Counts a report in memory, if the alert was written within the last second and there is room.
    pub(super) fn hold(&self, alert: &AegisAlert, signal: &Signal, heard: Timestamp) -> bool {
        let size: usize = signal.details.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut entries = self.all();
        let room = entries.len() < MOST && size <= LARGEST;
        let Some(entry) = entries.get_mut(&uid(alert)).filter(|entry| entry.until > Instant::now() && room) else {
            return false;
        };
        let by = entry.held.as_ref().map_or(0, |held| held.by).saturating_add(1);
        entry.held = Some(Held { by, signal: signal.clone(), heard });
        true
    }

    /// The counts held for an alert, which the caller will write.
    pub(super) fn take(&self, alert: &AegisAlert) -> Option<Held> {
        self.all().get_mut(&uid(alert)).and_then(|entry| entry.held.take())
    }

    /// What [`Repeats::take`] gave was not written. The alert is named by its UID and its name.
    pub(super) fn put_back(&self, uid: &str, name: &str, held: Option<Held>) {
        let Some(held) = held else { return };
        let mut entries = self.all();
        entry(&mut entries, uid, name, &held.signal.fingerprint).put_back(held);
    }

    /// Nobody knows whether what [`Repeats::take`] gave was written with that patch.
    pub(super) fn doubt(&self, alert: &AegisAlert, held: Option<Held>, patch: &Value) {
        let Some(held) = held else { return };
        let wrote = patch.pointer("/status/lastTime").and_then(Value::as_str).and_then(|text| text.parse().ok());
        // Where another replica had heard it later, the write left no mark.
        let wrote = wrote.filter(|wrote| Stored::new(alert).last_heard().is_none_or(|heard| heard < *wrote));
        let mut entries = self.all();
        let entry = entry(&mut entries, &uid(alert), &alert.name_any(), &held.signal.fingerprint);
        // An older doubt can no longer be settled: what was acknowledged is counted rather once too often.
        if let Some(older) = entry.doubt.replace(Doubt { held, version: alert.resource_version(), wrote }) {
            entry.put_back(older.held);
        }
    }

    fn doubted(&self, uid: &str) -> Option<Doubt> {
        self.all().get(uid).and_then(|entry| entry.doubt.clone())
    }

    /// Ends the doubt about an alert now that it is known whether the write was carried out.
    fn settle(&self, uid: &str, written: bool) {
        if let Some(entry) = self.all().get_mut(uid)
            && let Some(doubt) = entry.doubt.take().filter(|_| !written)
        {
            entry.put_back(doubt.held);
        }
    }

    /// A count on that alert was just written.
    pub(super) fn wrote(&self, alert: &AegisAlert) {
        let mut entries = self.all();
        if entries.len() >= MOST && !entries.contains_key(&uid(alert)) {
            return;
        }
        let fingerprint = alert.spec.fingerprint.as_deref().unwrap_or_default();
        let entry = entry(&mut entries, &uid(alert), &alert.name_any(), fingerprint);
        entry.until = Instant::now() + APART;
    }

    /// The alerts whose counts are to be written: those of a fingerprint, or those whose second is over, or all.
    /// What has no counts and is over is forgotten.
    fn due(&self, which: Which<'_>) -> Vec<Due> {
        let now = Instant::now();
        let mut entries = self.all();
        entries.retain(|_, entry| entry.holds() || entry.until > now);
        let wanted = entries.iter().filter(|(_, entry)| entry.is_due(which, now));
        let due = wanted.map(|(uid, entry)| Due {
            uid: uid.clone(),
            name: entry.name.clone(),
            fingerprint: entry.fingerprint.clone(),
        });
        due.collect()
    }

    /// Whether the counts of that alert are to be written still.
    fn is_due(&self, uid: &str, which: Which<'_>) -> bool {
        self.all().get(uid).is_some_and(|entry| entry.is_due(which, Instant::now()))
    }

    fn take_of(&self, uid: &str) -> Option<Held> {
        self.all().get_mut(uid).and_then(|entry| entry.held.take())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn holds(&self) -> bool {
        self.held.is_some() || self.doubt.is_some()
    }

    fn is_due(&self, which: Which<'_>, now: Instant) -> bool {
        self.holds()
            && match which {
                Which::Over => self.until <= now,
                Which::All => true,
                Which::Of(fingerprint) => fingerprint_label(&self.fingerprint) == fingerprint_label(fingerprint),
            }
    }

    fn put_back(&mut self, held: Held) {
        // What came in meanwhile is the later word.
        self.held = Some(match self.held.take() {
            Some(later) => Held { by: later.by.saturating_add(held.by), ..later },
            None => held,
        });
        self.until = Instant::now() + APART;
    }
}

impl Doubt {
    /// Whether the alert shows that the write was carried out. Once somebody else has counted on it nobody can tell;
    /// then it counts as not: what was acknowledged is counted rather once too often.
    fn is_written(&self, alert: &AegisAlert) -> bool {
        let heard = alert.status.as_ref().and_then(|status| status.last_time);
        self.version != alert.resource_version() && self.wrote.is_some() && self.wrote == heard
    }
}

#[derive(Clone, Copy)]
enum Which<'a> {
    Over,
    All,
    Of(&'a str),
}

impl Inner {
    /// Writes held counts when their second is over, until `stop`, and then all that are left.
    pub(super) async fn write_repeats(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            self.flush(Which::Over).await;
        }
        self.flush(Which::All).await;
    }

    async fn flush(&self, which: Which<'_>) {
        let end = Instant::now() + DEADLINE;
        let due = futures::stream::iter(self.repeats.due(which));
        let write = |due: Due| async move {
            let _held = self.locks.hold(&fingerprint_label(&due.fingerprint)).await;
            // A request that is given up halfway may be carried out all the same, so none is begun at the last moment.
            let now = Instant::now();
            // And a report that was written meanwhile has taken the counts along: what is held since waits for its second.
            if now > end || !self.repeats.is_due(&due.uid, which) {
                return;
            }
            if let Err(not_now) = self.write_held(&due, end.max(now + REQUEST)).await {
                warn!(alert = %due.name, reason = not_now.reason, "could not count reports on {} yet", due.name);
            }
        };
        due.for_each_concurrent(WRITERS, write).await;
    }

    /// Writes what is held for a fingerprint. The caller holds its lock.
    pub(super) async fn flush_fingerprint(&self, fingerprint: &str, deadline: Instant) -> Result<(), NotNow> {
        for due in self.repeats.due(Which::Of(fingerprint)) {
            self.write_held(&due, deadline).await?;
        }
        Ok(())
    }

    /// Writes what is held for an alert. What could not be written is held on.
    async fn write_held(&self, due: &Due, deadline: Instant) -> Result<(), NotNow> {
        self.settle(due, deadline).await?;
        let Some(held) = self.repeats.take_of(&due.uid) else { return Ok(()) };
        let mut alert = self.alerts.get(self.api.namespace(), &due.name).map(|alert| (*alert).clone());
        for _ in 0..ROUNDS {
            let Some(found) = alert.filter(|alert| takes_counts(alert, &due.uid, held.heard)) else {
                // The alert has gone or was resolved before these were heard: what are they, then?
                debug!(alert = %due.name, "deciding again on reports for {}", due.name);
                let decided = self.firing(&held.signal, held.by, deadline).await;
                return decided.map(drop).inspect_err(|_| self.repeats.put_back(&due.uid, &due.name, Some(held)));
            };
            let patch = status::counted(&found, held.by, &held.signal, held.heard);
            match self.api.patch_status(&due.name, &patch, deadline).await {
                Ok(written) => {
                    self.metrics.repair(&found, &written);
                    self.repeats.wrote(&written);
                    self.alerts.insert(written);
                    return Ok(());
                }
                Err(Refused::Conflict | Refused::Missing) => {
                    alert = match self.api.get(&due.name, deadline).await {
                        Ok(alert) => alert,
                        Err(Refused::Missing) => {
                            self.forget(&found);
                            None
                        }
                        Err(refused) => {
                            self.repeats.put_back(&due.uid, &due.name, Some(held));
                            return Err(refused.into_not_now("read the alert"));
                        }
                    };
                }
                Err(Refused::Never(why)) => {
                    warn!(alert = %due.name, "reports on {} cannot be counted: {why}", due.name);
                    return Ok(());
                }
                Err(refused) => {
                    if refused.leaves_doubt() {
                        self.repeats.doubt(&found, Some(held), &patch);
                    } else {
                        self.repeats.put_back(&due.uid, &due.name, Some(held));
                    }
                    return Err(refused.into_not_now("count the reports"));
                }
            }
        }
        self.repeats.put_back(&due.uid, &due.name, Some(held));
        Err(NotNow::new("KeptChanging", "the alert kept changing while reports on it were counted"))
    }

    /// Finds out whether a write whose answer was lost was carried out.
    async fn settle(&self, due: &Due, deadline: Instant) -> Result<(), NotNow> {
        let Some(doubt) = self.repeats.doubted(&due.uid) else { return Ok(()) };
        let stored = match self.api.get(&due.name, deadline).await {
            Ok(stored) => stored.filter(|stored| uid(stored) == due.uid),
            Err(Refused::Missing) => None,
            Err(refused) => return Err(refused.into_not_now("read the alert")),
        };
        self.repeats.settle(&due.uid, stored.is_some_and(|stored| doubt.is_written(&stored)));
        Ok(())
    }
}

/// The entry of that alert, made if need be: one that holds nothing is forgotten when its second is over, also while
/// what it held is being written.
fn entry<'a>(entries: &'a mut HashMap<String, Entry>, uid: &str, name: &str, fingerprint: &str) -> &'a mut Entry {
    entries.entry(uid.to_owned()).or_insert_with(|| Entry {
        name: name.to_owned(),
        fingerprint: fingerprint.to_owned(),
        until: Instant::now(),
        held: None,
        doubt: None,
    })
}

/// Whether reports heard then are counted on the alert: it is the same one, and not resolved before.
fn takes_counts(alert: &AegisAlert, uid: &str, heard: Timestamp) -> bool {
    let stored = Stored::new(alert);
    let resolved_before = stored.resolved_at().is_some_and(|resolved| resolved < heard);
    alert.uid().is_some_and(|own| own == uid) && !stored.is_going() && !resolved_before
}

fn uid(alert: &AegisAlert) -> String {
    alert.uid().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use aegis_engine::intake;

    use super::*;

    fn alert() -> AegisAlert {
        let mut alert = AegisAlert::default();
        alert.metadata.name = Some("a".into());
        alert.metadata.uid = Some("u".into());
        alert
    }

    fn signal() -> Signal {
        let body = br#"{"type":"A","status":"Firing","involvedObject":{"name":"n"},"fingerprint":"f"}"#;
        intake::custom(body).unwrap().signals.into_iter().next().unwrap().1
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_report_took_along_is_not_written_once_more_in_its_second() {
        let (repeats, alert, signal) = (Repeats::default(), alert(), signal());
        repeats.wrote(&alert);
        assert!(repeats.hold(&alert, &signal, Timestamp::UNIX_EPOCH));
        tokio::time::advance(APART).await;
        let due: Vec<String> = repeats.due(Which::Over).into_iter().map(|due| due.uid).collect();
        assert_eq!(due, ["u"], "its second is over");
        // While that waits for the alert's lock, a report is written with what is held, and a further one comes.
        repeats.take(&alert);
        repeats.wrote(&alert);
        assert!(repeats.hold(&alert, &signal, Timestamp::UNIX_EPOCH));
        assert!(!repeats.is_due("u", Which::Over), "this second has just begun");
        assert!(repeats.is_due("u", Which::All), "at the end nothing waits");
    }
}
