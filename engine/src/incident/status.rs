//! What ingest writes into an alert's status, as merge patches for the status subresource.
//!
//! Every patch carries the resourceVersion of the alert that it was computed from: it is applied to exactly that
//! alert or it meets a conflict, and then the decision is taken again. The first status write of an alert, whoever
//! makes it, also says what the report that stored it meant; [`first_write`] gives that part.

use aegis_crds::AegisAlert;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{DUPLICATE, Stored};
use crate::signal::Signal;

/// The fields of status that are still missing because nobody has written them: status as in spec, count 1 for the
/// report that stored the alert, startTime now, lastTime when it was stored. Empty once they all stand.
pub fn first_write(alert: &AegisAlert, now: Timestamp) -> Map<String, Value> {
    let status = alert.status.as_ref();
    let mut fields = Map::new();
    if status.and_then(|status| status.status).is_none() {
        fields.insert("status".to_owned(), json!(alert.spec.status));
    }
    if status.and_then(|status| status.count).is_none() {
        fields.insert("count".to_owned(), json!(1));
    }
    if status.and_then(|status| status.start_time).is_none() {
        fields.insert("startTime".to_owned(), json!(now));
    }
    if status.and_then(|status| status.last_time).is_none() {
        fields.insert("lastTime".to_owned(), json!(Stored::new(alert).last_heard().unwrap_or(now)));
    }
    fields
}

/// The alert was reported again, `by` times, the last time by this signal: count, lastTime and lastStartsAt. The same
/// for a late report, which changes nothing else.
pub fn counted(alert: &AegisAlert, by: u32, signal: &Signal, now: Timestamp) -> Value {
    let stored = Stored::new(alert);
    let count = alert.status.as_ref().and_then(|status| status.count).unwrap_or(1);
    let mut fields = first_write(alert, now);
    fields.insert("count".to_owned(), json!(count.saturating_add(i64::from(by))));
    fields.insert("lastTime".to_owned(), json!(stored.last_heard().max(Some(now))));
    if let Some(latest) = stored.heard_starts_at().chain(signal.starts_at).max() {
        fields.insert("lastStartsAt".to_owned(), json!(latest));
    }
    patch(alert, fields)
}

/// The sender says that the problem has gone: status and resolution.
pub fn resolved(alert: &AegisAlert, signal: &Signal, now: Timestamp) -> Value {
    let mut resolution = Map::new();
    resolution.insert("startsAt".to_owned(), json!(signal.starts_at));
    resolution.insert("endsAt".to_owned(), json!(signal.ends_at));
    resolution.insert("time".to_owned(), json!(now));
    let mut fields = first_write(alert, now);
    fields.insert("status".to_owned(), json!("Resolved"));
    fields.insert("resolution".to_owned(), Value::Object(resolution));
    patch(alert, fields)
}

/// A new incident of the key begins while this alert is open: it is Resolved, and names the alert that took its
/// place. Nobody said that its problem had gone, so it has no resolution and starts no rule for Resolved.
pub fn superseded(alert: &AegisAlert, by_name: &str, now: Timestamp) -> Value {
    let mut fields = first_write(alert, now);
    fields.insert("status".to_owned(), json!("Resolved"));
    fields.insert("supersededBy".to_owned(), json!(by_name));
    patch(alert, fields)
}

/// Another alert stands for the same incident: this one is closed, and withdrawn before it could act.
pub fn withdrawn_duplicate(alert: &AegisAlert, of_name: &str, now: Timestamp) -> Value {
    let message = format!("{of_name} stands for the same incident; this alert was stored beside it and does not act");
    let mut fields = first_write(alert, now);
    fields.insert("status".to_owned(), json!("Resolved"));
    fields.insert("supersededBy".to_owned(), json!(of_name));
    fields.insert("opsStatus".to_owned(), json!({"triggerStatus": "Withdrawn"}));
    fields.insert("verdict".to_owned(), json!({"reason": DUPLICATE, "message": message, "nextTry": null}));
    patch(alert, fields)
}

fn patch(alert: &AegisAlert, status: Map<String, Value>) -> Value {
    let mut metadata = Map::new();
    if let Some(version) = &alert.metadata.resource_version {
        metadata.insert("resourceVersion".to_owned(), json!(version));
    }
    json!({"metadata": metadata, "status": status})
}
