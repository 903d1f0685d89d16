//! Alertmanager's webhook body, version 4.
//!
//! The version is not checked, the shape is: a relay that leaves it out, or a later version that keeps the fields
//! that are read here, still gets its alerts through.

use std::collections::BTreeMap;

use aegis_crds::alert::InvolvedObject;

use super::json::{self, Object, Value};
use super::limits::{self, Draft};
use super::{Fault, Intake, Rejected, Unreadable};
use crate::signal::{self, Signal};

const EXPECTED: &str = "Alertmanager's webhook body, a JSON object";

/// Reads a body that Alertmanager sent. Fields that are not mentioned here are not looked at.
///
/// - `labels.alertname` is the type, `labels.severity` the severity, `status` counts in any case.
/// - The details are the labels and the annotation `description`, which stands even where a label has that name.
/// - A missing `fingerprint` is computed from the labels: see [`labels_fingerprint`].
/// - Times of year 1 mean that there is none.
pub fn alertmanager(body: &[u8]) -> Result<Intake, Unreadable> {
    let body = json::body(body);
    let document = json::document(&body, EXPECTED)?;
    let alerts = match document.get("alerts") {
        Some(alerts) => alerts.list().map_err(|found| Unreadable::new("alerts", found, "a list of alerts"))?,
        None => return Err(Unreadable::new("alerts", no_alerts(&document), "a list of alerts, as in version \"4\"")),
    };
    let truncated = document.get("truncatedAlerts").and_then(|value| value.scalar().ok()?.parse().ok()).unwrap_or(0);
    let mut intake = Intake { truncated, ..Intake::default() };
    for (index, alert) in alerts.into_iter().enumerate() {
        match read(alert) {
            Ok(signal) => intake.signals.push((index, signal)),
            Err(fault) => intake.rejected.push(name(fault, index, alert)),
        }
    }
    Ok(intake)
}

/// The fingerprint that Alertmanager gives to a set of labels: FNV-1a, 64 bits, over every name and value in the
/// order of the names, each followed by the byte 0xff; 16 hex digits.
pub fn labels_fingerprint(labels: &BTreeMap<String, String>) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = labels.iter().flat_map(|(name, value)| [name, value]).flat_map(|text| text.bytes().chain([0xff]));
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

fn no_alerts(document: &Object<'_>) -> String {
    match document.get("version") {
        Some(version) => format!("nothing (in a body of version {})", version.found()),
        None => "nothing".to_owned(),
    }
}

fn read(alert: Value<'_>) -> Result<Signal, Fault> {
    let alert = alert.object().map_err(|found| Fault::new("alert", found, "an object"))?;
    let labels = alert.texts("labels")?;
    let type_ = labels.get("alertname").cloned().unwrap_or_default();
    let type_ = limits::required("labels.alertname", type_, "the alert's name")?;
    let status = limits::status("status", &alert.text("status", "status")?)?;
    let object = object(&labels)?;
    let fingerprint = match alert.text("fingerprint", "fingerprint")? {
        none if none.trim().is_empty() => labels_fingerprint(&labels),
        given => limits::word("fingerprint", given)?,
    };
    let starts_at = alert.time("startsAt")?;
    let ends_at = alert.time("endsAt")?;
    let severity = labels.get("severity").cloned();
    let mut details = labels;
    if let Some(description) = alert.object("annotations")?.get("description") {
        let text = description.scalar().map_err(|found| Fault::new("annotations.description", found, "text"))?;
        if !text.is_empty() {
            details.insert("description".to_owned(), text);
        }
    }
    let source = signal::ALERTMANAGER;
    Ok(Draft { source, type_, status, severity, object, details, fingerprint, starts_at, ends_at }.finish())
}

/// What the labels say that the alert is about. An alert about no single object, such as one about the cluster, has
/// no name; a Pod or a Node must have one.
fn object(labels: &BTreeMap<String, String>) -> Result<InvolvedObject, Fault> {
    let label = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
    let kind = limits::kind(label("kind").unwrap_or_default());
    let named = label("involved_object_name");
    let (name, namespace) = match kind.as_str() {
        "Pod" => {
            let name = named.or_else(|| label("pod")).unwrap_or_default();
            let name = limits::required("labels.pod", name, "the Pod's name, since the label kind is Pod")?;
            let namespace = label("involved_object_namespace").or_else(|| label("namespace")).unwrap_or_default();
            let expected = "the Pod's namespace, since the label kind is Pod";
            (name, limits::required("labels.namespace", namespace, expected)?)
        }
        "Node" => {
            let name = named.or_else(|| label("node")).or_else(|| label("instance")).unwrap_or_default();
            let expected = "the node's name (or a label instance), since the label kind is Node";
            (limits::required("labels.node", name, expected)?, String::new())
        }
        _ => match named {
            Some(name) => {
                let namespace = label("involved_object_namespace").or_else(|| label("namespace"));
                (limits::word("labels.involved_object_name", name)?, namespace.unwrap_or_default())
            }
            None => {
                let name = label("instance").or_else(|| label("job")).unwrap_or_default();
                (limits::word("labels.instance", name)?, String::new())
            }
        },
    };
    Ok(InvolvedObject {
        kind: limits::word("labels.kind", kind)?,
        name,
        namespace: limits::word("labels.namespace", namespace)?,
        node: limits::word("labels.node", label("node").unwrap_or_default())?,
    })
}

/// The fault with what can be said of the alert that it is in.
fn name(fault: Fault, index: usize, alert: Value<'_>) -> Rejected {
    let alert = alert.object().ok();
    let text = |object: &Object<'_>, name: &str| object.get(name)?.text().ok().filter(|text| !text.is_empty());
    let type_ = alert.as_ref().and_then(|alert| text(&alert.get("labels")?.object().ok()?, "alertname"));
    let fingerprint = alert.as_ref().and_then(|alert| text(alert, "fingerprint"));
    fault.reject(index, type_, fingerprint)
}
