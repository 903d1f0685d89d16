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
/// - (d) startsAt is more than the settle window later than when that one was last heard, unless the sender's clock is
///   that far ahead: a startsAt within the settle window of this one was heard for that alert, and is as far ahead;
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
    let ahead = |time: Timestamp| last.last_heard().is_some_and(|heard| time.duration_since(heard) > windows.settle);
    let near = |time: Timestamp| starts_at.duration_since(time).abs() <= windows.settle;
    ahead(starts_at) && !last.heard_starts_at().any(|heard| ahead(heard) && near(heard))
}

/// Whether an alert of the key bears the name that this startsAt gives.
fn is_used(starts_at: Timestamp, of_key: &[Stored<'_>]) -> bool {
    of_key.iter().any(|stored| IncidentId::of(stored.alert()) == Some(IncidentId::StartsAt(starts_at)))
}

#[cfg(test)]
mod tests {
    use aegis_crds::alert::{AlertOpsStatus, OpsStatus, TriggerStatus};

    use super::*;
    use crate::incident::testing::{StoredAlert, at, gone, signal, signal_since, stored, stored_as};

    /// What a row expects; `After(i)` and `repeats(i)` count the stored alerts from 0.
    #[derive(Debug, PartialEq)]
    enum Is {
        StartsAt,
        After(usize),
        First,
        Repeat(usize),
        Late(usize),
    }

    fn judged(signal: &Signal, known: &[AegisAlert], now: i64) -> (Is, usize) {
        let refs: Vec<&AegisAlert> = known.iter().collect();
        let place = |alert: &AegisAlert| known.iter().position(|other| other == alert).unwrap();
        match judge(signal, &refs, at(now), &Windows::default()) {
            Judgement::Open { incident: IncidentId::First, ends } => (Is::First, ends.len()),
            Judgement::Open { incident: IncidentId::StartsAt(time), ends } => {
                assert_eq!(Some(time), signal.starts_at);
                (Is::StartsAt, ends.len())
            }
            Judgement::Open { incident: IncidentId::After(uid), ends } => {
                let after = known.iter().position(|alert| alert.metadata.uid.as_deref() == Some(&uid)).unwrap();
                (Is::After(after), ends.len())
            }
            Judgement::Repeat { of, late: false } => (Is::Repeat(place(of)), 0),
            Judgement::Repeat { of, late: true } => (Is::Late(place(of)), 0),
        }
    }

    #[test]
    fn a_report_with_startsat_is_judged_against_the_last_alert_of_its_key() {
        let first = || stored(&signal_since(0), 5);
        let ended = || first().resolved(600, Some(0), Some(590));
        let cases: Vec<(&str, Signal, Vec<StoredAlert>, i64, Is)> = vec![
            ("(a) nothing is stored", signal_since(0), vec![], 5, Is::StartsAt),
            ("the sender repeats itself after 12 hours", signal_since(0), vec![first()], 43_200, Is::Repeat(0)),
            ("another Prometheus saw it a minute later", signal_since(60), vec![first()], 70, Is::Repeat(0)),
            ("and another one a minute earlier", signal_since(-60), vec![first()], 6, Is::Repeat(0)),
            (
                "the startsAt that was heard in between is a repeat still",
                signal_since(60),
                vec![first().heard(43_200).heard_starts_at(100)],
                43_210,
                Is::Repeat(0),
            ),
            ("(b) it begins after the end of the one before", signal_since(591), vec![ended()], 601, Is::StartsAt),
            ("(b) also a week later", signal_since(604_800), vec![ended()], 604_805, Is::StartsAt),
            ("a report on its way when the other one ended", signal_since(0), vec![ended()], 605, Is::Late(0)),
            ("it begins when the other one had not ended", signal_since(590), vec![ended()], 605, Is::Late(0)),
            (
                "a later startsAt was heard for the one that ended",
                signal_since(550),
                vec![first().heard_starts_at(550).resolved(600, Some(0), Some(500))],
                605,
                Is::Late(0),
            ),
            (
                "the resolution itself told a later startsAt",
                signal_since(550),
                vec![first().resolved(600, Some(550), Some(500))],
                605,
                Is::Late(0),
            ),
            ("at the edge of the settle window it is late", signal_since(0), vec![ended()], 720, Is::Late(0)),
            ("(c) beyond it the sender takes back what it said", signal_since(0), vec![ended()], 721, Is::After(0)),
            (
                "(c) as a repeat of the alert that it opened",
                signal_since(0),
                vec![ended(), stored_as(&signal_since(0), &IncidentId::After("uid".into()), 721)],
                725,
                Is::Repeat(1),
            ),
            (
                "(d) the resolution was lost and it began anew",
                signal_since(1_000),
                vec![first().heard(600)],
                1_005,
                Is::StartsAt,
            ),
            ("(d) heard means stored, before any repeat", signal_since(126), vec![first()], 130, Is::StartsAt),
            ("not (d) at the edge of the settle window", signal_since(125), vec![first()], 130, Is::Repeat(0)),
            (
                "not (d) for a startsAt that is always ahead, as the sender's clock is",
                signal_since(400),
                vec![stored(&signal_since(400), 5)],
                10,
                Is::Repeat(0),
            ),
            (
                "nor for the second Prometheus with that clock",
                signal_since(450),
                vec![stored(&signal_since(400), 5)],
                10,
                Is::Repeat(0),
            ),
            (
                "an alert that said nothing of its start, heard by chance a moment ago",
                signal_since(0),
                vec![stored(&signal(), 5)],
                10,
                Is::Repeat(0),
            ),
            (
                "one that is being deleted would take the report with it",
                signal_since(0),
                vec![first().going()],
                10,
                Is::StartsAt,
            ),
            (
                "a startsAt that an earlier alert is named by cannot name another",
                signal_since(300),
                vec![
                    stored(&signal_since(300), 305).resolved(310, None, None),
                    stored_as(&signal_since(0), &IncidentId::After("uid".into()), 900).resolved(
                        950,
                        Some(0),
                        Some(200),
                    ),
                ],
                960,
                Is::After(1),
            ),
        ];
        for (why, signal, known, now, want) in cases {
            let known: Vec<AegisAlert> = known.into_iter().map(StoredAlert::build).collect();
            assert_eq!(judged(&signal, &known, now).0, want, "{why}");
        }
    }

    #[test]
    fn a_report_without_startsat_is_judged_by_what_was_done_about_the_last() {
        use AlertOpsStatus::{Failed, Running, Succeeded};
        let first = || stored(&signal(), 0);
        let cases: Vec<(&str, Vec<StoredAlert>, i64, Is)> = vec![
            ("(a) nothing is stored", vec![], 0, Is::First),
            ("a retry", vec![first()], 1, Is::Repeat(0)),
            ("nothing was done about it yet", vec![first()], 100_000, Is::Repeat(0)),
            ("its action is under way", vec![first().acted(Running)], 100_000, Is::Repeat(0)),
            ("its action ended, but it was just heard", vec![first().acted(Succeeded).heard(100)], 160, Is::Repeat(0)),
            (
                "(e) its action ended and it was silent since",
                vec![first().acted(Succeeded).heard(100)],
                161,
                Is::After(0),
            ),
            ("(e) also if the action failed", vec![first().acted(Failed)], 61, Is::After(0)),
            (
                "one action ended and the next is under way",
                vec![first().acted(Failed).acted(Running)],
                100_000,
                Is::Repeat(0),
            ),
            ("(e) the one before is Resolved", vec![first().resolved(10, None, None)], 11, Is::After(0)),
            (
                "(e) of two, the last counts",
                vec![
                    first().resolved(10, None, None),
                    stored_as(&signal(), &IncidentId::After("uid".into()), 20).resolved(30, None, None),
                ],
                31,
                Is::After(1),
            ),
        ];
        for (why, known, now, want) in cases {
            let known: Vec<AegisAlert> = known.into_iter().map(StoredAlert::build).collect();
            assert_eq!(judged(&signal(), &known, now).0, want, "{why}");
        }
    }

    #[test]
    fn a_new_incident_ends_the_one_that_is_open() {
        let open = stored(&signal_since(0), 5).heard(600).build();
        assert_eq!(judged(&signal_since(1_000), std::slice::from_ref(&open), 1_005), (Is::StartsAt, 1), "(d)");
        let done = stored(&signal(), 5).acted(AlertOpsStatus::Succeeded).build();
        assert_eq!(judged(&signal(), &[done], 100), (Is::After(0), 1), "(e)");
        let ended = stored(&signal_since(0), 5).resolved(600, Some(0), Some(590)).build();
        assert_eq!(judged(&signal_since(700), &[ended], 705), (Is::StartsAt, 0), "(b) has nothing to end");
    }

    #[test]
    fn alerts_of_other_keys_do_not_count() {
        let strangers = [
            Signal { type_: "NodeSlow".into(), ..signal_since(0) },
            Signal { source: "alertmanager".into(), ..signal_since(0) },
            Signal { fingerprint: "f2".into(), ..signal_since(0) },
            Signal { test: true, ..signal_since(0) },
        ];
        for stranger in &strangers {
            let known = stored(stranger, 5).build();
            assert_eq!(judged(&signal_since(0), &[known], 10).0, Is::StartsAt, "{stranger:?}");
        }
    }

    #[test]
    fn of_two_that_lagging_caches_stored_the_one_that_stands_takes_the_repeats() {
        let older = stored(&signal_since(0), 5);
        let newer = stored(&signal_since(30), 6);
        let known = [older.clone().build(), newer.clone().build()];
        assert_eq!(judged(&signal_since(30), &known, 100).0, Is::Repeat(0), "the older");
        let known = [older.clone().build(), newer.clone().acted(AlertOpsStatus::Running).build()];
        assert_eq!(judged(&signal_since(0), &known, 100).0, Is::Repeat(1), "the one that acted");

        let older = older.resolved(600, Some(0), Some(20)).build();
        let patch = crate::incident::status::withdrawn_duplicate(&newer.clone().build(), "x", at(7));
        let newer = newer.patched(&patch).build();
        assert_eq!(
            judged(&signal_since(30), &[older, newer], 605).0,
            Is::StartsAt,
            "nothing is judged against an alert that was withdrawn"
        );
    }

    #[test]
    fn within_one_second_the_successor_is_the_last() {
        for names in [("a", "b"), ("b", "a")] {
            let before = stored(&signal(), 5).named(names.0).resolved(5, None, None).build();
            let uid = before.metadata.uid.clone().unwrap();
            let next = stored_as(&signal(), &IncidentId::After(uid), 5).named(names.1).resolved(5, None, None).build();
            assert_eq!(judged(&signal(), &[before, next], 6).0, Is::After(1), "{names:?}");

            let before = stored(&signal_since(0), 5).named(names.0).superseded_by(names.1).build();
            let next = stored(&signal_since(-10), 5).named(names.1).resolved(6, Some(-10), Some(5)).build();
            assert_eq!(judged(&signal_since(3), &[before, next], 7).0, Is::Late(1), "{names:?}");
        }
    }

    #[test]
    fn alerts_of_the_first_version_are_known_by_their_label() {
        let old = || stored(&signal(), 0).legacy();
        let ops = |state| OpsStatus {
            trigger_status: Some(TriggerStatus::Triggered),
            alert_ops_status: Some(state),
            total: Some(1),
            start_time: Some(at(1)),
            ..OpsStatus::default()
        };
        let mut loud = old().build();
        loud.spec.source = "Default".into();
        assert_eq!(judged(&signal(), &[loud], 100).0, Is::Repeat(0), "in whatever case it wrote the source");
        let done = old().ops(ops(AlertOpsStatus::Succeeded)).build();
        assert_eq!(judged(&signal(), &[done], 100).0, Is::After(0), "its action ended");
        let running = || old().ops(ops(AlertOpsStatus::Running)).build();
        assert_eq!(judged(&signal(), &[running()], 100).0, Is::Repeat(0), "its action may be under way");
        assert_eq!(judged(&signal(), &[running()], 3_700).0, Is::After(0), "nobody follows it for ever");
        assert_eq!(judged(&signal_since(-500), &[running()], 100).0, Is::Repeat(0), "it began before that was stored");
    }

    #[test]
    fn a_late_firing_report_does_not_undo_a_resolution_that_came_first() {
        let resolution = gone(signal_since(0), Some(50));
        let known = [stored(&resolution, 60).build()];
        assert_eq!(judged(&signal_since(0), &known, 65).0, Is::Late(0));
        assert_eq!(judged(&signal_since(40), &known, 65).0, Is::Late(0), "it began before the end");
        assert_eq!(judged(&signal_since(51), &known, 65).0, Is::StartsAt, "it is the next one");
        assert_eq!(judged(&signal_since(0), &known, 181).0, Is::After(0), "it still fires");
    }
}
