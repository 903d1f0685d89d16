//! Two alerts for one incident, stored by replicas whose caches lagged: which one stands?

use aegis_crds::AegisAlert;
use aegis_crds::alert::TriggerStatus;

use super::{IncidentId, Stored};

/// The reason in status.verdict of an alert that was withdrawn because another one stands for its incident.
pub const DUPLICATE: &str = "Duplicate";

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
    withdrawn && status.verdict.as_ref().is_some_and(|verdict| verdict.reason == DUPLICATE)
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
