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
