//! A signal as the object that is stored for it.

use std::collections::BTreeMap;

use aegis_crds::alert::{AegisAlertSpec, AlertStatus, TtlStrategy};
use aegis_crds::{AegisAlert, names};
use kube::api::ObjectMeta;
use sha2::{Digest, Sha256};

use crate::incident::IncidentId;
use crate::signal::Signal;

/// How many details are copied to labels at most, in the order of their names; our own labels come on top.
pub const MOST_LABELS: usize = 32;

/// Details that are never labels: they change while the alert fires, or say where it was measured.
const NO_LABELS: [&str; 12] = [
    "alertname",
    "pod",
    "namespace",
    "instance",
    "cluster",
    "description",
    "container",
    "endpoint",
    "env",
    "job",
    "prometheus",
    "service",
];

/// The object to create for an alert that opens an incident. It has no status: whoever writes that first says what
/// happened.
///
/// - Labels are the details that are valid as labels (see [`MOST_LABELS`]), then our own, which no detail can set.
/// - The uuid label is derived from namespace and name, so that two replicas make the same object.
/// - An incident that is not told by its startsAt stands in an annotation.
pub fn alert_object(
    signal: &Signal,
    name: &str,
    namespace: &str,
    incident: &IncidentId,
    ttl: &TtlStrategy,
) -> AegisAlert {
    let Signal { source, type_, status, severity, object, details, fingerprint, starts_at, ends_at, shortened, test } =
        signal;
    let mut labels = labels_of(details);
    let own = [
        (names::SOURCE_LABEL, label_text(source)),
        (names::TYPE_LABEL, label_text(type_)),
        (names::STATUS_LABEL, status.as_str().to_owned()),
        (names::FINGERPRINT_LABEL, names::fingerprint_label(fingerprint)),
        (names::UUID_LABEL, uuid(namespace, name)),
    ];
    labels.extend(own.map(|(label, value)| (label.to_owned(), value)));
    if *test {
        labels.insert(names::TEST_LABEL.to_owned(), "true".to_owned());
    }
    let mut annotations = BTreeMap::new();
    if let Some(predecessor) = incident.annotation() {
        annotations.insert(names::PREDECESSOR_ANNOTATION.to_owned(), predecessor.to_owned());
    }
    // Its status has no place for this until somebody resolves it, which nobody does.
    if let (AlertStatus::Resolved, Some(ends_at)) = (*status, ends_at) {
        annotations.insert(names::ENDS_AT_ANNOTATION.to_owned(), ends_at.to_string());
    }
    if *shortened {
        annotations.insert(names::SHORTENED_ANNOTATION.to_owned(), "true".to_owned());
    }
    AegisAlert {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        },
        spec: AegisAlertSpec {
            selector: None,
            source: source.clone(),
            type_: type_.clone(),
            severity: severity.clone(),
            status: *status,
            involved_object: object.clone(),
            detials: Some(details.clone()),
            details: None,
            ttl_strategy: (*ttl != TtlStrategy::default()).then(|| ttl.clone()),
            fingerprint: Some(fingerprint.clone()),
            starts_at: *starts_at,
        },
        status: None,
    }
}

fn labels_of(details: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    // A name without '/' follows the rules of a label's value, except that it may not be empty.
    let is_label = |name: &str, value: &str| {
        !name.is_empty() && names::is_label_value(name) && names::is_label_value(value) && !NO_LABELS.contains(&name)
    };
    details
        .iter()
        .filter(|(name, value)| is_label(name, value))
        .take(MOST_LABELS)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The text as a label's value: every run of characters that may not stand in one is a '-', and it is cut to 63.
fn label_text(text: &str) -> String {
    if names::is_label_value(text) {
        return text.to_owned();
    }
    let mut label = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            label.push(c);
        } else if !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(63);
    label.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// A UUID (version 8) over namespace and name.
fn uuid(namespace: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("uuid/{namespace}/{name}"));
    let mut bits = digest.iter().take(16).fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte));
    bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use aegis_crds::alert::InvolvedObject;
    use serde_json::json;

    use super::*;

    fn signal(details: &[(&str, &str)]) -> Signal {
        Signal {
            source: "default".into(),
            type_: "NodeDown".into(),
            status: AlertStatus::Firing,
            severity: None,
            object: InvolvedObject { kind: "Node".into(), name: "n1".into(), ..Default::default() },
            details: details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            fingerprint: "f1".into(),
            starts_at: None,
            ends_at: None,
            shortened: false,
            test: false,
        }
    }

    fn object(signal: &Signal) -> AegisAlert {
        alert_object(signal, "default-nodedown-x", "monitoring", &IncidentId::First, &TtlStrategy::default())
    }

    fn labels(signal: &Signal) -> BTreeMap<String, String> {
        object(signal).metadata.labels.unwrap()
    }

    #[test]
    fn the_object_says_what_the_signal_says() {
        let ttl = TtlStrategy { seconds_after_success: Some(60), ..TtlStrategy::default() };
        let signal = Signal {
            severity: Some("page".into()),
            starts_at: Some("2026-01-01T12:00:00Z".parse().unwrap()),
            ..signal(&[("node", "n1")])
        };
        let incident = IncidentId::StartsAt(signal.starts_at.unwrap());
        let object = alert_object(&signal, "default-nodedown-x", "monitoring", &incident, &ttl);
        let mut written = serde_json::to_value(&object).unwrap();
        let uuid = written["metadata"]["labels"]["uuid"].take();
        assert_eq!(
            written,
            json!({
                "apiVersion": "aegis.io/v1alpha1",
                "kind": "AegisAlert",
                "metadata": {
                    "name": "default-nodedown-x",
                    "namespace": "monitoring",
                    "labels": {
                        "alert-source-type": "default",
                        "alert-status": "Firing",
                        "alert-type": "NodeDown",
                        "fingerprint": "f1",
                        "node": "n1",
                        "uuid": null,
                    },
                },
                "spec": {
                    "source": "default",
                    "type": "NodeDown",
                    "severity": "page",
                    "status": "Firing",
                    "involvedObject": {"kind": "Node", "name": "n1"},
                    "detials": {"node": "n1"},
                    "ttlStrategy": {"secondsAfterSuccess": 60},
                    "fingerprint": "f1",
                    "startsAt": "2026-01-01T12:00:00Z",
                },
            })
        );
        let groups: Vec<usize> = uuid.as_str().unwrap().split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
    }

    #[test]
    fn two_replicas_make_the_same_object() {
        let signal = signal(&[("node", "n1")]);
        assert_eq!(object(&signal), object(&signal));
        let other = alert_object(&signal, "other", "monitoring", &IncidentId::First, &TtlStrategy::default());
        assert_ne!(other.metadata.labels.unwrap()["uuid"], labels(&signal)["uuid"]);
    }

    #[test]
    fn details_that_are_valid_labels_become_labels() {
        let cases = [
            ("an ordinary one", "zone", "eu-1", true),
            ("an empty value is valid", "zone", "", true),
            ("a value with spaces", "zone", "eu 1", false),
            ("a value that is too long", "zone", &*"x".repeat(64), false),
            ("a value that begins badly", "zone", "-1", false),
            ("a name with a prefix could be one of ours", "aegis.io/disable", "true", false),
            ("a name that ends badly", "zone_", "eu", false),
            ("no name", "", "eu", false),
            ("a name that says where it was measured", "instance", "n1", false),
        ];
        for (why, name, value, want) in cases {
            let labels = labels(&signal(&[(name, value)]));
            assert_eq!(labels.get(name).is_some_and(|label| label == value), want, "{why}");
        }
    }

    #[test]
    fn no_detail_sets_a_label_of_ours() {
        let forged = signal(&[
            ("fingerprint", "other"),
            ("uuid", "1"),
            ("alert-status", "Resolved"),
            ("alert-type", "Other"),
            ("alert-source-type", "ai"),
            ("aegis.io/test", "true"),
        ]);
        assert_eq!(labels(&forged), labels(&signal(&[])));
        let test = Signal { test: true, ..signal(&[]) };
        assert_eq!(labels(&test)[names::TEST_LABEL], "true");
    }

    #[test]
    fn labels_are_bounded_and_ours_come_on_top() {
        let many: Vec<String> = (0..100).map(|number| format!("k{number:03}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (&**name, "v")).collect();
        let labels = labels(&signal(&many));
        assert_eq!(labels.len(), MOST_LABELS + 5);
        assert!(labels.contains_key("k031") && !labels.contains_key("k032") && labels.contains_key("uuid"));
    }

    #[test]
    fn every_label_is_valid_whatever_the_type_and_fingerprint_are() {
        for odd in ["a b/c", "节点故障", "-x-", "...", &*"Long".repeat(100)] {
            let labels = labels(&Signal { type_: odd.into(), fingerprint: odd.into(), ..signal(&[]) });
            assert!(labels.values().all(|value| names::is_label_value(value)), "{labels:?}");
        }
        assert_eq!(labels(&Signal { type_: "Node (eu) down".into(), ..signal(&[]) })["alert-type"], "Node-eu-down");
    }

    #[test]
    fn what_the_spec_has_no_place_for_stands_in_annotations() {
        let annotations = |signal: &Signal, incident: IncidentId| {
            alert_object(signal, "x", "y", &incident, &TtlStrategy::default()).metadata.annotations
        };
        let since = IncidentId::StartsAt("2026-01-01T12:00:00Z".parse().unwrap());
        assert_eq!(annotations(&signal(&[]), since.clone()), None, "a startsAt stands in spec");
        let after = annotations(&signal(&[]), IncidentId::After("uid".into())).unwrap();
        assert_eq!(after[names::PREDECESSOR_ANNOTATION], "uid");
        let first = annotations(&signal(&[]), IncidentId::First).unwrap();
        assert_eq!(first[names::PREDECESSOR_ANNOTATION], "first");
        let cut = annotations(&Signal { shortened: true, ..signal(&[]) }, since.clone()).unwrap();
        assert_eq!(cut[names::SHORTENED_ANNOTATION], "true");
        let ends_at = Some("2026-01-01T12:30:00Z".parse().unwrap());
        let gone = Signal { status: AlertStatus::Resolved, ends_at, ..signal(&[]) };
        assert_eq!(annotations(&gone, since).unwrap()[names::ENDS_AT_ANNOTATION], "2026-01-01T12:30:00Z");
    }
}
