//! Nodes, as far as they matter to Aegis.

use aegis_crds::names::{CHANGES_ANNOTATION, OPT_OUT_LABEL};
use serde_json::Value;

use super::{age, failures, name};
use crate::view::field::{Datum, Field, Place, Tone};

/// Where a list of nodes puts how many open alerts each has, since the object itself does not say.
pub const OPEN_ALERTS: &str = "aegis.io/open-alerts";

pub(super) const FIELDS: &[Field] = &[
    name(),
    Field::text("status", "STATUS", status).toned(tone),
    Field::number("alerts", "ALERTS", |node| {
        node.get(OPEN_ALERTS).and_then(Value::as_i64).map_or(Datum::Nothing, Datum::Number)
    })
    .toned(failures),
    Field::text("changed", "CHANGED", |node| changes(node, "field")),
    age(),
    Field::text("for", "FOR", |node| changes(node, "alert")).or(&["alert"]).at(Place::Wide),
    Field::text("until", "UNTIL", |node| changes(node, "expires")).at(Place::Wide),
    Field::text("disabled", "DISABLED", opted_out).at(Place::Wide),
    Field::text("kubelet", "KUBELET", |node| Datum::at(node, "/status/nodeInfo/kubeletVersion")).at(Place::Wide),
];

/// In kubectl's words.
fn status(node: &Value) -> Datum {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let mut ready = conditions.filter(|one| one.get("type").and_then(Value::as_str) == Some("Ready"));
    let ready = ready.next().and_then(|one| one.get("status")).and_then(Value::as_str);
    let word = match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true);
    Datum::Text(format!("{word}{}", if cordoned { ",SchedulingDisabled" } else { "" }))
}

fn tone(datum: &Datum) -> Tone {
    match datum {
        Datum::Text(text) if text == "Ready" => Tone::Good,
        Datum::Text(text) if text.starts_with("Ready") => Tone::Busy,
        _ => Tone::Bad,
    }
}

/// What Aegis changed on it, for which alerts, or until when.
fn changes(node: &Value, part: &str) -> Datum {
    let text = node.pointer("/metadata/annotations").and_then(|all| all.get(CHANGES_ANNOTATION)?.as_str());
    let changes: Vec<Value> = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut words: Vec<&str> = changes.iter().filter_map(|change| change.get(part)?.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    Datum::of_text(&words.join(","))
}

fn opted_out(node: &Value) -> Datum {
    let label = node.pointer("/metadata/labels").and_then(|all| all.get(OPT_OUT_LABEL)?.as_str());
    Datum::of_text(label.unwrap_or_default())
}
