//! Two alerts for one incident, stored by replicas whose caches lagged: which one stands?

use aegis_crds::AegisAlert;
use aegis_crds::alert::TriggerStatus;

use super::{IncidentId, Stored};
use crate::guard::Reason;

/// Whether, of two alerts for one incident, the first stands: the one that has acted, else the older.
pub fn stands(one: &AegisAlert, other: &AegisAlert) -> bool {
    let (one, other) = (Stored::new(one), Stored::new(other));
    match (one.has_acted(), other.has_acted()) {
        (true, false) => true,
        (false, true) => false,
        _ => one.order() <= other.order(),
    }
}

/// Whether the alert has been withdrawn as a duplicate. It never acts, and nothing is judged against it.
pub fn is_marked_duplicate(alert: &AegisAlert) -> bool {
    let Some(status) = &alert.status else { return false };
    let withdrawn = status.ops_status.as_ref().and_then(|ops| ops.trigger_status) == Some(TriggerStatus::Withdrawn);
    withdrawn && status.verdict.as_ref().is_some_and(|verdict| verdict.reason == Reason::Duplicate.as_str())
}

/// The alert that stands for the same incident in this one's place, if there is one: this one is to be withdrawn and
/// must not act. `known` are the stored alerts of its fingerprint label; it may be among them.
///
/// Two alerts of a key tell of one incident if both are open, since only one is open at a time, or if the later one
/// shows no sign of having come next: it neither names the earlier as its predecessor, nor is named by it, nor begins
/// after all that was heard of it.
pub fn duplicate_of<'a>(alert: &AegisAlert, known: &[&'a AegisAlert]) -> Option<&'a AegisAlert> {
    let this = Stored::new(alert);
    if this.has_acted() || this.is_going() || is_marked_duplicate(alert) {
        return None;
    }
    let mut others: Vec<Stored<'a>> = known
        .iter()
        .map(|other| Stored::new(other))
        .filter(|other| {
            other.is_of_key_of(this)
                && other.alert().metadata.uid != alert.metadata.uid
                && !other.is_going()
                && !is_marked_duplicate(other.alert())
        })
        .collect();
    others.sort_by_key(|other| other.order());
    let before = others.partition_point(|other| other.order() < this.order());
    let neighbours = [before.checked_sub(1).and_then(|at| others.get(at)), others.get(before)];
    let open = others.iter().filter(|other| this.is_open() && other.is_open());
    let same = neighbours.into_iter().flatten().filter(|other| is_same_incident(this, **other));
    open.chain(same).map(|other| other.alert()).find(|other| stands(other, alert))
}

/// Whether two alerts of one key tell of one incident.
pub(super) fn is_same_incident(one: Stored<'_>, other: Stored<'_>) -> bool {
    let (earlier, later) = if one.order() <= other.order() { (one, other) } else { (other, one) };
    if earlier.is_open() && later.is_open() {
        return true;
    }
    // Only what an intake of this version stored can be told: an alert made by hand may repeat another on purpose.
    let (Some(_), Some(incident)) = (IncidentId::of(earlier.alert()), IncidentId::of(later.alert())) else {
        return false;
    };
    match incident {
        _ if later.follows(earlier) || earlier.follows(later) => false,
        IncidentId::First => true,
        // Its predecessor is another one: it was judged when this earlier alert was not to be seen.
        IncidentId::After(_) => false,
        IncidentId::StartsAt(starts_at) => !earlier.is_over_before(starts_at),
    }
}

#[cfg(test)]
mod tests {
    use aegis_crds::alert::AlertOpsStatus::Running;

    use super::*;
    use crate::incident::status;
    use crate::incident::testing::{StoredAlert, at, signal, signal_since, stored, stored_as};

    /// Which of two alerts is to be withdrawn, if any.
    fn withdrawn(one: StoredAlert, other: StoredAlert) -> Vec<usize> {
        let known = [one.build(), other.build()];
        let refs: Vec<&AegisAlert> = known.iter().collect();
        (0..2).filter(|place| duplicate_of(&known[*place], &refs) == Some(&known[1 - place])).collect()
    }

    #[test]
    fn of_two_alerts_for_one_incident_one_is_withdrawn() {
        let (first, second) = (|| stored(&signal_since(0), 5), || stored(&signal_since(30), 6));
        let cases = [
            ("the newer one", first(), second(), vec![1]),
            ("the one that has not acted", first(), second().acted(Running), vec![0]),
            ("none once both have acted", first().acted(Running), second().acted(Running), vec![]),
            ("nor beside one that is being deleted", first().going(), second(), vec![]),
            (
                "the newer one, though the resolution came before it was noticed",
                first().resolved(600, Some(0), Some(590)),
                second().resolved(600, Some(0), Some(590)),
                vec![1],
            ),
            (
                "the newer one, stored when the older one was Resolved and not to be seen",
                first().acted(Running).resolved(600, Some(0), Some(590)),
                stored(&signal_since(30), 601),
                vec![1],
            ),
            (
                "none, the newer one began after the older one ended",
                first().resolved(600, Some(0), Some(590)),
                stored(&signal_since(595), 601),
                vec![],
            ),
            (
                "none, the newer one was opened after the older one",
                first().named("a").resolved(600, Some(0), Some(590)),
                stored_as(&signal_since(0), &IncidentId::After("uid-of-a".into()), 721),
                vec![],
            ),
            (
                "none, the older one names the newer one as its successor",
                first().superseded_by("b"),
                stored(&signal_since(0), 721).named("b"),
                vec![],
            ),
            (
                "the newer one, opened after an alert that the older one had followed already",
                stored(&signal_since(30), 5),
                stored_as(&signal_since(0), &IncidentId::After("uid-of-a".into()), 6),
                vec![1],
            ),
            ("none, they are of two types", first(), stored(&other_type(), 6), vec![]),
            (
                "none, the newer one was made by hand after the older one ended",
                first().resolved(600, Some(0), Some(590)),
                by_hand(601),
                vec![],
            ),
            (
                "none, neither has a fingerprint",
                stored(&signal(), 5).legacy().unlabelled(),
                stored(&signal(), 6).legacy().unlabelled(),
                vec![],
            ),
        ];
        for (why, one, other, want) in cases {
            assert_eq!(withdrawn(one, other), want, "{why}");
        }
    }

    #[test]
    fn a_duplicate_is_withdrawn_once() {
        let (first, second) = (stored(&signal_since(0), 5), stored(&signal_since(30), 6));
        let patch = status::withdrawn_duplicate(&second.clone().build(), "first", at(7));
        let second = second.patched(&patch);
        assert!(is_marked_duplicate(&second.clone().build()));
        assert_eq!(withdrawn(first, second), vec![] as Vec<usize>);
    }

    #[test]
    fn two_incidents_with_a_third_between_them_are_not_compared() {
        // The third began before the first was last heard: next to each other they would look like one incident.
        let known = [
            stored(&signal_since(0), 5).named("a").heard_starts_at(50).resolved(60, Some(0), Some(55)).build(),
            stored_as(&signal_since(0), &IncidentId::After("uid-of-a".into()), 300)
                .resolved(310, Some(0), Some(20))
                .build(),
            stored(&signal_since(30), 320).build(),
        ];
        let refs: Vec<&AegisAlert> = known.iter().collect();
        assert_eq!(duplicate_of(&known[2], &refs), None);
    }

    fn other_type() -> crate::signal::Signal {
        crate::signal::Signal { type_: "NodeSlow".into(), ..signal_since(30) }
    }

    fn by_hand(seconds: i64) -> StoredAlert {
        stored(&signal(), seconds).named("by-hand").without_annotations()
    }
}
