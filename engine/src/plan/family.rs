//! The other alerts of the same key: does one of them stand in this one's place, come after it, or still act?

use aegis_crds::AegisAlert;
use jiff::Timestamp;

use super::ledger;
use super::snapshot::{Sibling, Snapshot};
use crate::incident::{self, Stored};

/// The alert that stands for the same incident in this one's place, by name.
pub(super) fn stands_instead(seen: &Snapshot) -> Option<String> {
    // An action that was made but not written down yet counts as well.
    let siblings: Vec<AegisAlert> = seen.siblings.iter().map(acted).collect();
    let known: Vec<&AegisAlert> = siblings.iter().collect();
    incident::duplicate_of(&seen.alert, &known).and_then(|other| other.metadata.name.clone())
}

/// An alert of the same key that was stored later, by name. Duplicates do not count.
pub(super) fn newer(seen: &Snapshot) -> Option<String> {
    of_key(seen)
        .filter(|other| !incident::is_marked_duplicate(&other.alert))
        .find(|other| is_before(&seen.alert, &other.alert))
        .and_then(|other| other.alert.metadata.name.clone())
}

/// An action of an earlier alert of the same key that has not ended.
pub(super) fn earlier_action(seen: &Snapshot, now: Timestamp) -> Option<String> {
    of_key(seen)
        .filter(|other| !Stored::new(&other.alert).is_going() && is_before(&other.alert, &seen.alert))
        .find_map(|other| ledger::unfinished(&other.alert, &other.actions, now))
}

fn of_key(seen: &Snapshot) -> impl Iterator<Item = &Sibling> {
    let this = Stored::new(&seen.alert);
    seen.siblings.iter().filter(move |other| {
        other.alert.metadata.uid != seen.alert.metadata.uid && Stored::new(&other.alert).is_of_key_of(this)
    })
}

fn is_before(one: &AegisAlert, other: &AegisAlert) -> bool {
    let (one, other) = (Stored::new(one), Stored::new(other));
    other.follows(one) || (!one.follows(other) && one.order() < other.order())
}

fn acted(sibling: &Sibling) -> AegisAlert {
    let mut alert = AegisAlert::clone(&sibling.alert);
    let records = ledger::recorded(&alert, &sibling.actions);
    if !records.is_empty() {
        alert.status.get_or_insert_default().actions = records;
    }
    alert
}
