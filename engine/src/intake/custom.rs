//! Our own JSON: one alert in one object, the form for scripts and for systems that are not Alertmanager.

use aegis_crds::alert::InvolvedObject;

use super::json::{self, Object};
use super::limits::{self, Draft};
use super::{Fault, Intake, Unreadable};
use crate::signal::{self, Signal};

const EXPECTED: &str = "one alert, a JSON object";

/// Reads one alert:
///
/// ```json
/// {"type": "NodeOutOfDiskSpace", "status": "Firing", "involvedObject": {"kind": "Node", "name": "node1"},
///  "details": {"node": "node1"}, "fingerprint": "5f972974ccf1ee9b"}
/// ```
///
/// - Names count in any case, except inside `details`; so does the status.
/// - Required are type, status, involvedObject.name, fingerprint, and involvedObject.namespace of a Pod.
/// - Optional are details, severity (else the detail of that name), startsAt and endsAt (RFC 3339); a detail
///   `startAt` is a detail like any other.
/// - A list of alerts is refused: an answer tells of one alert.
pub fn custom(body: &[u8]) -> Result<Intake, Unreadable> {
    let body = json::body(body);
    let alert = json::document(&body, EXPECTED)?;
    let mut intake = Intake::default();
    match read(&alert) {
        Ok(signal) => intake.signals.push((0, signal)),
        Err(fault) => {
            let text = |name| alert.get(name)?.text().ok().filter(|text| !text.is_empty());
            intake.rejected.push(fault.reject(0, text("type"), text("fingerprint")));
        }
    }
    Ok(intake)
}

fn read(alert: &Object<'_>) -> Result<Signal, Fault> {
    let type_ = limits::required("type", alert.text("type", "type")?, "the alert's type, such as NodeOutOfDiskSpace")?;
    let status = limits::status("status", &alert.text("status", "status")?)?;
    let object = object(alert)?;
    let details = alert.texts("details")?;
    let fingerprint = limits::required("fingerprint", alert.text("fingerprint", "fingerprint")?, "text")
        .map_err(|fault| fault.hint("send the same text with every report of the same problem, Resolved too"))?;
    let severity = match alert.text("severity", "severity")? {
        none if none.is_empty() => details.get("severity").cloned(),
        given => Some(given),
    };
    let starts_at = alert.time("startsAt")?;
    let ends_at = alert.time("endsAt")?;
    let source = signal::DEFAULT;
    Ok(Draft { source, type_, status, severity, object, details, fingerprint, starts_at, ends_at }.finish())
}

fn object(alert: &Object<'_>) -> Result<InvolvedObject, Fault> {
    if alert.get("involvedObject").is_none() {
        return Err(Fault::missing("involvedObject", "an object with kind and name"));
    }
    let object = alert.object("involvedObject")?;
    let kind = limits::word("involvedObject.kind", object.text("kind", "involvedObject.kind")?)?;
    let kind = limits::kind(kind);
    let name = object.text("name", "involvedObject.name")?;
    let name = limits::required("involvedObject.name", name, "the name of what the alert is about")?;
    let namespace = object.text("namespace", "involvedObject.namespace")?;
    let namespace = match kind.as_str() {
        "Pod" => limits::required("involvedObject.namespace", namespace, "the Pod's namespace, since the kind is Pod")?,
        _ => limits::word("involvedObject.namespace", namespace)?,
    };
    let node = limits::word("involvedObject.node", object.text("node", "involvedObject.node")?)?;
    Ok(InvolvedObject { kind, name, namespace, node })
}
