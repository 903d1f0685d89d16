//! A Resolved report: which stored alerts does it end?

use aegis_crds::AegisAlert;
use aegis_crds::alert::AlertStatus;

use super::duplicate::{duplicate_of, is_marked_duplicate, is_same_incident};
use super::{IncidentId, Stored};
use crate::signal::Signal;

/// What a Resolved report does.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolve<'a> {
    /// These alerts are ended, in this order. A crash in between leaves the report to be sent again, and what is
    /// left of it is then done.
    End(Vec<Ending<'a>>),
    /// It tells of the end of an alert that has ended; what is open now began later.
    Duplicate,
    /// There are alerts of its fingerprint, but none is open.
    NothingOpen,
    /// No alert of its fingerprint is stored. One is stored for the resolution itself if a rule wants to act on it.
    NothingStored {
        /// What that alert would be.
        incident: IncidentId,
    },
}

/// How one alert ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending<'a> {
    /// It is Resolved: see [`super::status::resolved`].
    Resolved(&'a AegisAlert),
    /// It is withdrawn, since another stands for the same incident: see [`super::status::withdrawn_duplicate`].
    Duplicate {
        /// The alert to withdraw.
        alert: &'a AegisAlert,
        /// The one that stands.
        of: &'a AegisAlert,
    },
}

/// Decides on a Resolved signal. `known` are the stored alerts that carry the signal's fingerprint label, listed from
/// the API server and not from a cache: what is missed here is not reported again.
///
/// It ends every open alert of the fingerprint, whatever its source, type and startsAt: senders change them. Only an
/// alert that came after the one that the report is about is left alone. It is about an earlier one
/// - if the same resolution (startsAt and endsAt) stands on that: the report was sent twice;
/// - or if it gives a startsAt that was heard for that one and not for the open one, and an end before the open one
///   began: another replica of the sender tells of the same end with a time of its own.
///
/// Without endsAt neither can be said.
pub fn resolve<'a>(signal: &Signal, known: &[&'a AegisAlert]) -> Resolve<'a> {
    let of_fingerprint: Vec<Stored<'a>> = known
        .iter()
        .map(|alert| Stored::new(alert))
        .filter(|stored| stored.has_fingerprint(&signal.fingerprint) && stored.is_test() == signal.test)
        .collect();
    if of_fingerprint.is_empty() {
        let incident = signal.starts_at.map_or(IncidentId::First, IncidentId::StartsAt);
        return Resolve::NothingStored { incident };
    }
    let open: Vec<Stored<'a>> = of_fingerprint
        .iter()
        .copied()
        .filter(|stored| stored.is_open() && !is_marked_duplicate(stored.alert()))
        .collect();
    if open.is_empty() {
        return Resolve::NothingOpen;
    }
    let meant = open.iter().filter(|open| {
        !of_fingerprint.iter().any(|ended| {
            (has_resolution_of(*ended, signal) || is_of_the_end_of(signal, *ended, **open))
                && came_after(**open, *ended)
        })
    });
    let mut endings: Vec<Ending<'a>> = meant
        .map(|stored| match duplicate_of(stored.alert(), known) {
            Some(of) => Ending::Duplicate { alert: stored.alert(), of },
            None => Ending::Resolved(stored.alert()),
        })
        .collect();
    if endings.is_empty() {
        return Resolve::Duplicate;
    }
    // Duplicates first: once the resolution stands on the alert that stands, an open one of its key counts as later.
    endings.sort_by_key(|ending| matches!(ending, Ending::Resolved(_)));
    Resolve::End(endings)
}

fn has_resolution_of(stored: Stored<'_>, signal: &Signal) -> bool {
    signal.ends_at.is_some()
        && stored
            .resolution()
            .is_some_and(|resolution| resolution.ends_at == signal.ends_at && resolution.starts_at == signal.starts_at)
}

/// Whether the report must be about the alert that has ended, and cannot be about the open one.
fn is_of_the_end_of(signal: &Signal, ended: Stored<'_>, open: Stored<'_>) -> bool {
    let (Some(starts_at), Some(ends_at)) = (signal.starts_at, signal.ends_at) else { return false };
    let resolution = ended.resolution().and_then(|resolution| resolution.starts_at);
    ended.phase() == AlertStatus::Resolved
        && ended.heard_starts_at().chain(resolution).any(|heard| heard == starts_at)
        && open.heard_starts_at().all(|heard| heard != starts_at)
        && open.alert().spec.starts_at.is_some_and(|began| ends_at < began)
}

/// Whether the open alert began after the other had ended.
fn came_after(open: Stored<'_>, ended: Stored<'_>) -> bool {
    if open.is_of_key_of(ended) {
        // One alert of a key is open at a time.
        return open.order() > ended.order() && !is_same_incident(open, ended);
    }
    let ended_at = ended.resolution().and_then(|resolution| resolution.time);
    ended_at.is_some_and(|ended_at| open.created().is_some_and(|created| created > ended_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::testing::{StoredAlert, at, gone, signal, signal_since, stored, stored_as};

    /// What a row expects; numbers are places among the stored alerts.
    #[derive(Debug, PartialEq)]
    enum Does {
        Ends(Vec<usize>),
        WithdrawsAndEnds(usize, usize),
        Duplicate,
        NothingOpen,
        Stores(IncidentId),
    }

    fn done(signal: &Signal, known: Vec<StoredAlert>) -> Does {
        let known: Vec<AegisAlert> = known.into_iter().map(StoredAlert::build).collect();
        let refs: Vec<&AegisAlert> = known.iter().collect();
        let place = |alert: &AegisAlert| known.iter().position(|other| other == alert).unwrap();
        match resolve(signal, &refs) {
            Resolve::Duplicate => Does::Duplicate,
            Resolve::NothingOpen => Does::NothingOpen,
            Resolve::NothingStored { incident } => Does::Stores(incident),
            Resolve::End(endings) => match endings[..] {
                [Ending::Duplicate { alert, of }, Ending::Resolved(stands)] => {
                    assert_eq!(of, stands);
                    Does::WithdrawsAndEnds(place(alert), place(stands))
                }
                _ => Does::Ends(
                    endings
                        .iter()
                        .map(|ending| match ending {
                            Ending::Resolved(alert) => place(alert),
                            Ending::Duplicate { alert, .. } => panic!("{:?} is withdrawn", alert.metadata.name),
                        })
                        .collect(),
                ),
            },
        }
    }

    #[test]
    fn a_resolution_ends_every_open_alert_of_its_fingerprint() {
        let first = || stored(&signal_since(0), 5);
        let ended = || first().resolved(600, Some(0), Some(590));
        let next = || stored(&signal_since(602), 603);
        let resolution = || gone(signal_since(0), Some(590));
        let slow = |seconds| stored(&Signal { type_: "NodeSlow".into(), ..signal_since(0) }, seconds);
        let cases: Vec<(&str, Signal, Vec<StoredAlert>, Does)> = vec![
            ("nothing is stored", resolution(), vec![], Does::Stores(IncidentId::StartsAt(at(0)))),
            ("nor without startsAt", gone(signal(), None), vec![], Does::Stores(IncidentId::First)),
            (
                "only another fingerprint is stored",
                resolution(),
                vec![stored(&Signal { fingerprint: "f2".into(), ..signal_since(0) }, 5)],
                Does::Stores(IncidentId::StartsAt(at(0))),
            ),
            (
                "a test does not end what is real",
                Signal { test: true, ..resolution() },
                vec![first()],
                Does::Stores(IncidentId::StartsAt(at(0))),
            ),
            ("it fires", resolution(), vec![first()], Does::Ends(vec![0])),
            (
                "its sender changed startsAt",
                gone(signal_since(-2_600), Some(-2_600)),
                vec![first()],
                Does::Ends(vec![0]),
            ),
            ("two types share the fingerprint", resolution(), vec![first(), slow(5)], Does::Ends(vec![0, 1])),
            (
                "an alert of the first version",
                gone(signal(), None),
                vec![stored(&signal(), 5).legacy()],
                Does::Ends(vec![0]),
            ),
            (
                "it has ended, by whatever resolution",
                resolution(),
                vec![first().resolved(20, None, None)],
                Does::NothingOpen,
            ),
            ("the report is sent twice", resolution(), vec![ended()], Does::NothingOpen),
            (
                "the report is sent twice, and the next incident fires",
                resolution(),
                vec![ended(), next()],
                Does::Duplicate,
            ),
            ("the next incident ends", gone(signal_since(602), Some(700)), vec![ended(), next()], Does::Ends(vec![1])),
            (
                "no two resolutions without endsAt are the same",
                gone(signal(), None),
                vec![
                    stored(&signal(), 5).resolved(600, None, None),
                    stored_as(&signal(), &IncidentId::After("uid".into()), 603),
                ],
                Does::Ends(vec![1]),
            ),
            (
                "a crash left the alert of the other type open",
                resolution(),
                vec![ended(), slow(5)],
                Does::Ends(vec![1]),
            ),
            (
                "the alert of the other type came after the resolution",
                resolution(),
                vec![ended(), slow(601)],
                Does::Duplicate,
            ),
            (
                "it was stored for itself, since a rule wants it, and the next incident fires",
                resolution(),
                vec![stored(&resolution(), 595), next()],
                Does::Duplicate,
            ),
            (
                "lagging caches stored two",
                resolution(),
                vec![first(), stored(&signal_since(30), 6)],
                Does::WithdrawsAndEnds(1, 0),
            ),
            ("someone deletes it already", resolution(), vec![first().going()], Does::NothingOpen),
        ];
        for (why, signal, known, want) in cases {
            assert_eq!(done(&signal, known), want, "{why}");
        }
    }
}
