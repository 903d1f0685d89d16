//! What an incident is called, and whether a stored alert is that incident.

use std::fmt;

use aegis_crds::AegisAlert;
use aegis_crds::names::{self, AlertIdentity};
use jiff::Timestamp;

use super::Stored;
use crate::signal::{Key, Signal};

/// What tells one incident from the others of its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IncidentId {
    /// It began at the time that the sender gives.
    StartsAt(Timestamp),
    /// It came after the alert of this UID, where its startsAt cannot tell it: there is none, or it was used before.
    After(String),
    /// Nothing of its key was stored, and it has no startsAt.
    First,
}

impl IncidentId {
    /// The value of [`names::PREDECESSOR_ANNOTATION`] on the incident's alert; none if its startsAt tells it.
    pub fn annotation(&self) -> Option<&str> {
        match self {
            Self::StartsAt(_) => None,
            Self::After(uid) => Some(uid),
            Self::First => Some("first"),
        }
    }

    /// The name of the incident's alert. `salt` is 0, and counts up as long as the name is held by an alert of
    /// another identity.
    pub fn alert_name(&self, key: &Key, salt: u32) -> String {
        let Key { source, type_, fingerprint, test } = key;
        let incident = self.to_string();
        // No fingerprint holds a line break, so a test's is no real one's.
        let of_test = format!("test\n{fingerprint}");
        let fingerprint = if *test { &of_test } else { fingerprint };
        names::alert(AlertIdentity { source, type_, fingerprint, incident: &incident }, salt)
    }

    /// The incident of a stored alert; none if its annotation and its startsAt say nothing.
    pub fn of(alert: &AegisAlert) -> Option<Self> {
        let annotations = alert.metadata.annotations.as_ref();
        match annotations.and_then(|all| all.get(names::PREDECESSOR_ANNOTATION)).map(String::as_str) {
            None => alert.spec.starts_at.map(Self::StartsAt),
            Some("first") => Some(Self::First),
            Some(uid) => Some(Self::After(uid.to_owned())),
        }
    }
}

/// What goes into the alert's name: the startsAt as RFC 3339, the predecessor's UID, or "first".
impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartsAt(time) => time.fmt(f),
            Self::After(uid) => f.write_str(uid),
            Self::First => f.write_str("first"),
        }
    }
}

/// Whether a stored alert that holds the incident's name is that incident: the same key and the same incident.
/// An alert that was not made by an intake of this version is never the same.
pub fn same_identity(alert: &AegisAlert, signal: &Signal, incident: &IncidentId) -> bool {
    alert.spec.fingerprint.is_some()
        && Stored::new(alert).is_of(&signal.key())
        && IncidentId::of(alert).as_ref() == Some(incident)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::testing::{signal, signal_since, stored, stored_as};

    #[test]
    fn a_stored_alert_is_the_incident_that_opened_it_and_no_other() {
        let after = |uid: &str| IncidentId::After(uid.into());
        let since = |seconds| IncidentId::of(&stored(&signal_since(seconds), 0).build()).unwrap();
        let incidents = [since(0), since(1), after("u1"), after("u2"), IncidentId::First];
        for stored_as_this in &incidents {
            let alert = stored_as(&signal_since(0), stored_as_this, 5);
            let alert = if let IncidentId::StartsAt(time) = stored_as_this {
                stored(&Signal { starts_at: Some(*time), ..signal() }, 5).build()
            } else {
                alert.build()
            };
            for asked in &incidents {
                let same = same_identity(&alert, &signal_since(0), asked);
                assert_eq!(same, asked == stored_as_this, "{stored_as_this:?} is {asked:?}");
            }
        }
    }

    #[test]
    fn every_part_of_the_key_is_part_of_identity_and_name() {
        let alert = stored(&signal(), 5).build();
        assert!(same_identity(&alert, &signal(), &IncidentId::First));
        let name = |signal: &Signal| IncidentId::First.alert_name(&signal.key(), 0);
        let others = [
            Signal { source: "alertmanager".into(), ..signal() },
            Signal { type_: "NodeSlow".into(), ..signal() },
            Signal { fingerprint: "f2".into(), ..signal() },
            Signal { test: true, ..signal() },
        ];
        for other in others {
            assert!(!same_identity(&alert, &other, &IncidentId::First), "{other:?}");
            assert_ne!(name(&other), name(&signal()));
        }
        let old = stored(&signal(), 5).legacy().build();
        assert!(!same_identity(&old, &signal(), &IncidentId::First), "its name was not derived");
    }
}
