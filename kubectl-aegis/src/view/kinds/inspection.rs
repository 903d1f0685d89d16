//! Inspections, of one node or of the cluster.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, created, failures, faint, name, namespace, standing, time};
use crate::view::field::{Datum, Field, Place};

pub(super) const FIELDS: &[Field] = &[
    namespace(),
    name(),
    Field::text("about", "ABOUT", about).or(&["node"]),
    Field::text("status", "STATUS", status).toned(standing),
    Field::number("problems", "PROBLEMS", problems).toned(failures),
    age(),
    Field::text("schedule", "SCHEDULE", |check| Datum::at(check, "/spec/schedule")).at(Place::Wide),
    Field::text("message", "MESSAGE", message).at(Place::Wide).toned(faint),
];

/// When it ended, or began, or was made.
pub(super) fn last(check: &Value) -> Option<Timestamp> {
    let at = |pointer: &str| time(check, pointer);
    at("/status/completionTime").or_else(|| at("/status/startTime")).or_else(|| created(check))
}

fn about(check: &Value) -> Datum {
    match check.pointer("/spec/node").and_then(Value::as_str) {
        Some(node) => Datum::of_text(&format!("node/{node}")),
        None => Datum::Text("cluster".to_owned()),
    }
}

fn status(check: &Value) -> Datum {
    Datum::at(check, "/status/status").or_else(|| Datum::at(check, "/status/phase"))
}

/// What is wrong on a node; of a cluster the nodes whose check failed.
fn problems(check: &Value) -> Datum {
    match check.pointer("/status/results").and_then(Value::as_object) {
        Some(_) => i64::try_from(found(check).count()).map_or(Datum::Nothing, Datum::Number),
        None => Datum::at(check, "/status/failed"),
    }
}

fn found(check: &Value) -> impl Iterator<Item = &Value> {
    let modules = check.pointer("/status/results").and_then(Value::as_object).into_iter().flatten();
    let results = modules.filter_map(|(_, results)| results.as_array()).flatten();
    results.filter(|result| result.get("status").and_then(Value::as_bool) == Some(true))
}

fn message(check: &Value) -> Datum {
    found(check)
        .next()
        .map_or(Datum::Nothing, |problem| Datum::at(problem, "/message").or_else(|| Datum::at(problem, "/condition")))
}
