//! Diagnoses.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, created, failures, faint, name, namespace, standing, time};
use crate::view::field::{Datum, Field, Place};

pub(super) const FIELDS: &[Field] = &[
    namespace(),
    name(),
    Field::text("object", "OBJECT", object).or(&["obj"]),
    Field::text("phase", "PHASE", |diagnosis| Datum::at(diagnosis, "/status/phase")).or(&["status"]).toned(standing),
    Field::number("failures", "FAILURES", |diagnosis| count(diagnosis, "/status/result/failures")).toned(failures),
    Field::number("warnings", "WARNINGS", |diagnosis| count(diagnosis, "/status/result/warnings")),
    age(),
    Field::text("node", "NODE", |diagnosis| Datum::at(diagnosis, "/spec/object/node")).at(Place::Wide),
    Field::text("message", "MESSAGE", message).at(Place::Wide).toned(faint),
];

/// When it ended, or began, or was made.
pub(super) fn last(diagnosis: &Value) -> Option<Timestamp> {
    let at = |pointer: &str| time(diagnosis, pointer);
    at("/status/completionTime").or_else(|| at("/status/startTime")).or_else(|| created(diagnosis))
}

fn object(diagnosis: &Value) -> Datum {
    let word =
        |name: &str| diagnosis.pointer(&format!("/spec/object/{name}")).and_then(Value::as_str).unwrap_or_default();
    let parts = [word("kind"), word("namespace"), word("name")];
    Datum::of_text(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

fn count(diagnosis: &Value, list: &str) -> Datum {
    let list = diagnosis.pointer(list).and_then(Value::as_array);
    list.and_then(|list| i64::try_from(list.len()).ok()).map_or(Datum::Nothing, Datum::Number)
}

fn message(diagnosis: &Value) -> Datum {
    Datum::at(diagnosis, "/status/errorResult")
        .or_else(|| Datum::at(diagnosis, "/status/result/failures/0"))
        .or_else(|| Datum::at(diagnosis, "/status/explain"))
}
