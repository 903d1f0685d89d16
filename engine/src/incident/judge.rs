//! A firing report: a new incident, or the repeat of one that is known.

use aegis_crds::AegisAlert;
use jiff::{SignedDuration, Timestamp};

use super::duplicate::{is_marked_duplicate, stands};
use super::{IncidentId, Stored};
use crate::signal::Signal;

/// How long is how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Two reports within it may tell of one incident though their times differ: clocks differ, two Prometheus
    /// evaluate up to a minute apart, and an Alertmanager that lost Prometheus for a while takes back what it said.
    pub settle: SignedDuration,
    /// A report without startsAt belongs to the incident before if that one was heard this recently.
    pub repeat: SignedDuration,
}

impl Default for Windows {
    fn default() -> Self {
        Self { settle: SignedDuration::from_mins(2), repeat: SignedDuration::from_secs(60) }
    }
}

/// What a firing report is.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement<'a> {
    /// A new incident: store an alert for it.
    Open {
        /// Which one; it gives the alert its name.
        incident: IncidentId,
        /// The open alerts of the key that it ends. They are ended before the new alert is stored: a crash in
        /// between leaves one incident too few, which the sender's retry mends, and not one too many.
        ends: Vec<&'a AegisAlert>,
    },
    /// A report of an incident that is known: count it.
    Repeat {
        /// The incident's alert.
        of: &'a AegisAlert,
        /// That alert is Resolved already. It is not opened again.
        late: bool,
    },
}

/// Judges a firing signal against the last stored alert of its key. `known` are the stored alerts that carry the
/// signal's fingerprint label; those of other keys do not count, nor do duplicates and alerts that are being deleted.
///
/// It opens a new incident when
/// - (a) there is none;
/// - (b) that one is Resolved, and startsAt is later than every startsAt heard for it and than the end of its
///   resolution;
/// - (c) that one has been Resolved for longer than the settle window, whatever startsAt;
/// - (d) startsAt is more than the settle window later than when that one was last heard, and is not within the settle
///   window of a startsAt heard for it (a sender's clock may be ahead);
/// - (e) there is no startsAt, and that one is Resolved, or its action has ended and it was not heard for the repeat
///   window.
///
/// All else is a repeat.
pub fn judge<'a>(signal: &Signal, known: &[&'a AegisAlert], now: Timestamp, windows: &Windows) -> Judgement<'a> {
    let key = signal.key();
    let of_key: Vec<Stored<'a>> = known
        .iter()
        .map(|alert| Stored::new(alert))
        .filter(|stored| stored.is_of(&key) && !stored.is_going() && !is_marked_duplicate(stored.alert()))
        .collect();
    let Some(last) = last(&of_key) else {
        let incident = signal.starts_at.map_or(IncidentId::First, IncidentId::StartsAt);
        return Judgement::Open { incident, ends: Vec::new() };
    };
    if !opens(signal, last, now, windows) {
        return Judgement::Repeat { of: last.alert(), late: !last.is_open() };
    }
    let after = || IncidentId::After(last.alert().metadata.uid.clone().unwrap_or_default());
    let incident = match signal.starts_at {
        Some(starts_at) if (last.is_open() || last.is_over_before(starts_at)) && !is_used(starts_at, &of_key) => {
            IncidentId::StartsAt(starts_at)
        }
        _ => after(),
    };
    let ends = of_key.iter().filter(|stored| stored.is_open()).map(|stored| stored.alert()).collect();
    Judgement::Open { incident, ends }
}

/// The alert to judge against: the open one, which stands if lagging caches stored two, else the last Resolved one.
fn last<'a>(of_key: &[Stored<'a>]) -> Option<Stored<'a>> {
    let open = of_key.iter().copied().filter(|stored| stored.is_open());
    if let Some(open) = open.reduce(|one, other| if stands(one.alert(), other.alert()) { one } else { other }) {
        return Some(open);
    }
    let mut last = of_key.iter().copied().max_by_key(|stored| stored.order())?;
    // Alerts of the same second are put in order by what they say of each other. Each step goes to another alert, and
    // there are no more steps than alerts, whatever they say.
    for _ in of_key {
        match of_key.iter().find(|stored| stored.follows(last)) {
            Some(next) => last = *next,
            None => break,
        }
    }
    Some(last)
}

fn opens(signal: &Signal, last: Stored<'_>, now: Timestamp, windows: &Windows) -> bool {
    let since =
        |time: Option<Timestamp>, window: SignedDuration| time.is_none_or(|time| now.duration_since(time) > window);
    let Some(starts_at) = signal.starts_at else {
        return !last.is_open() || (last.action_has_ended(now) && since(last.last_heard(), windows.repeat));
    };
    if !last.is_open() {
        return last.is_over_before(starts_at) || since(last.resolved_at(), windows.settle);
    }
    let beyond = |time: Timestamp| starts_at.duration_since(time) > windows.settle;
    let near = |time: Timestamp| starts_at.duration_since(time).abs() <= windows.settle;
    last.last_heard().is_some_and(beyond) && !last.heard_starts_at().any(near)
}

/// Whether an alert of the key bears the name that this startsAt gives.
fn is_used(starts_at: Timestamp, of_key: &[Stored<'_>]) -> bool {
    of_key.iter().any(|stored| IncidentId::of(stored.alert()) == Some(IncidentId::StartsAt(starts_at)))
}
