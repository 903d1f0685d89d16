//! Signals and stored alerts for tests. Builders begin with an alert that fires and was just stored.

use std::collections::BTreeMap;

use aegis_crds::AegisAlert;
use aegis_crds::alert::{
    ActionStatus, AegisAlertStatus, AlertOpsStatus, AlertStatus, InvolvedObject, OpsStatus, Resolution, TtlStrategy,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::IncidentId;
use crate::intake::alert_object;
use crate::signal::Signal;

/// That many seconds after noon.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + seconds).unwrap()
}

/// A firing signal without startsAt.
pub(super) fn signal() -> Signal {
    Signal {
        source: "default".into(),
        type_: "NodeDown".into(),
        status: AlertStatus::Firing,
        severity: None,
        object: InvolvedObject { kind: "Node".into(), name: "n1".into(), node: "n1".into(), ..Default::default() },
        details: BTreeMap::from([("node".into(), "n1".into())]),
        fingerprint: "f1".into(),
        starts_at: None,
        ends_at: None,
        shortened: false,
        test: false,
    }
}

/// A firing signal that says when it began.
pub(super) fn signal_since(seconds: i64) -> Signal {
    Signal { starts_at: Some(at(seconds)), ..signal() }
}

/// The same signal as a Resolved one.
pub(super) fn gone(signal: Signal, ends_at: Option<i64>) -> Signal {
    Signal { status: AlertStatus::Resolved, ends_at: ends_at.map(at), ..signal }
}

#[derive(Clone, Debug)]
pub(super) struct StoredAlert(AegisAlert);

/// What is stored for a signal that opened an incident then.
pub(super) fn stored(signal: &Signal, seconds: i64) -> StoredAlert {
    let incident = signal.starts_at.map_or(IncidentId::First, IncidentId::StartsAt);
    stored_as(signal, &incident, seconds)
}

/// The same for an incident that is known.
pub(super) fn stored_as(signal: &Signal, incident: &IncidentId, seconds: i64) -> StoredAlert {
    let name = incident.alert_name(&signal.key(), 0);
    let mut alert = alert_object(signal, &name, "monitoring", incident, &TtlStrategy::default());
    alert.metadata.uid = Some(format!("uid-of-{name}"));
    alert.metadata.resource_version = Some("7".into());
    alert.metadata.creation_timestamp = Some(Time(at(seconds)));
    StoredAlert(alert)
}

impl StoredAlert {
    fn status(&mut self) -> &mut AegisAlertStatus {
        self.0.status.get_or_insert_default()
    }

    pub(super) fn heard(mut self, seconds: i64) -> Self {
        self.status().last_time = Some(at(seconds));
        self
    }

    pub(super) fn heard_starts_at(mut self, seconds: i64) -> Self {
        self.status().last_starts_at = Some(at(seconds));
        self
    }

    /// Resolved then, by a report that gives these times.
    pub(super) fn resolved(mut self, seconds: i64, starts_at: Option<i64>, ends_at: Option<i64>) -> Self {
        let (starts_at, ends_at) = (starts_at.map(at), ends_at.map(at));
        self.status().status = Some(AlertStatus::Resolved);
        self.status().resolution = Some(Resolution { starts_at, ends_at, time: Some(at(seconds)) });
        self
    }

    pub(super) fn acted(mut self, outcome: AlertOpsStatus) -> Self {
        let action = ActionStatus { attempt: 1, name: "w".into(), status: Some(outcome), ..Default::default() };
        self.status().actions.push(action);
        self
    }

    pub(super) fn superseded_by(mut self, name: &str) -> Self {
        self.status().status = Some(AlertStatus::Resolved);
        self.status().superseded_by = Some(name.into());
        self
    }

    pub(super) fn going(mut self) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(at(0)));
        self
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        self.0.metadata.name = Some(name.into());
        self.0.metadata.uid = Some(format!("uid-of-{name}"));
        self
    }

    /// As the first version of the API stored it: known by its label alone.
    pub(super) fn legacy(mut self) -> Self {
        self.0.spec.fingerprint = None;
        self.0.spec.starts_at = None;
        self.0.metadata.annotations = None;
        self
    }

    pub(super) fn without_annotations(mut self) -> Self {
        self.0.metadata.annotations = None;
        self
    }

    pub(super) fn unlabelled(mut self) -> Self {
        self.0.metadata.labels = None;
        self
    }

    pub(super) fn ops(mut self, ops: OpsStatus) -> Self {
        self.status().ops_status = Some(ops);
        self
    }

    pub(super) fn counted_to(mut self, count: i64) -> Self {
        self.status().count = Some(count);
        self
    }

    pub(super) fn patched(mut self, patch: &serde_json::Value) -> Self {
        let mut whole = serde_json::to_value(&self.0).unwrap();
        merge(&mut whole["status"], &patch["status"]);
        self.0 = serde_json::from_value(whole).unwrap();
        self
    }

    pub(super) fn build(self) -> AegisAlert {
        self.0
    }
}

/// RFC 7386.
fn merge(target: &mut serde_json::Value, patch: &serde_json::Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = serde_json::json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().shift_remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}
