//! Rules.

use serde_json::Value;

use super::{age, failures, faint, flaw, name, namespace, recorded};
use crate::view::field::{Datum, Field, Place, Tone};

pub(super) const FIELDS: &[Field] = &[
    namespace(),
    name(),
    Field::text("status", "STATUS", |rule| Datum::at(rule, "/status/status")).toned(recorded),
    Field::text("alerts", "ALERTS", alerts).or(&["type"]),
    Field::text("template", "TEMPLATE", |rule| Datum::at(rule, "/spec/opsTemplate/name")),
    Field::text("mode", "MODE", mode).toned(observes),
    Field::number("succeeded", "SUCCEEDED", |rule| Datum::at(rule, "/status/triggerStatus/succeeded")),
    Field::number("failed", "FAILED", |rule| Datum::at(rule, "/status/triggerStatus/failed")).toned(failures),
    age(),
    Field::number("priority", "PRIORITY", |rule| Datum::at(rule, "/spec/priority")).at(Place::Wide),
    Field::text("approval", "APPROVAL", |rule| Datum::at(rule, "/spec/approval")).at(Place::Wide),
    Field::text("recovery", "RECOVERY", |rule| Datum::at(rule, "/spec/recovery")).at(Place::Wide),
    Field::text("cordonfor", "CORDON FOR", |rule| Datum::at(rule, "/spec/cordonFor")).at(Place::Wide),
    Field::text("message", "MESSAGE", flaw).at(Place::Wide).toned(faint),
];

/// The types that it is for, each with its phase where that is not Firing.
fn alerts(rule: &Value) -> Datum {
    let conditions = rule.pointer("/spec/alertConditions").and_then(Value::as_array).into_iter().flatten();
    let word =
        |condition: &Value, name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let one = |condition: &Value| match word(condition, "status").as_str() {
        "Firing" => word(condition, "type"),
        phase => format!("{}:{phase}", word(condition, "type")),
    };
    Datum::of_text(&conditions.map(one).collect::<Vec<_>>().join(","))
}

fn mode(rule: &Value) -> Datum {
    Datum::at(rule, "/spec/mode").or_else(|| Datum::Text("Act".to_owned()))
}

fn observes(datum: &Datum) -> Tone {
    if *datum == Datum::Text("Observe".to_owned()) { Tone::Busy } else { Tone::Plain }
}
