//! What Aegis made for alerts: Workflows and Jobs.

use aegis_crds::names;
use serde_json::Value;

use super::{age, faint, name, namespace, standing};
use crate::view::field::{Datum, Field, Place};

pub(super) const FIELDS: &[Field] = &[
    namespace(),
    name(),
    Field::text("kind", "KIND", |action| Datum::at(action, "/kind")),
    Field::text("alert", "ALERT", |action| label(action, names::ALERT_LABEL)),
    Field::text("for", "FOR", |action| label(action, names::PHASE_LABEL)),
    Field::text("status", "STATUS", status).toned(standing),
    age(),
    Field::text("attempt", "ATTEMPT", |action| label(action, names::ATTEMPT_LABEL)).at(Place::Wide),
    Field::text("rule", "RULE", |action| annotation(action, names::RULE_ANNOTATION)).at(Place::Wide),
    Field::text("template", "TEMPLATE", |action| annotation(action, names::TEMPLATE_ANNOTATION)).at(Place::Wide),
    Field::text("message", "MESSAGE", message).at(Place::Wide).toned(faint),
];

fn label(action: &Value, name: &str) -> Datum {
    inner(action, "/metadata/labels", name)
}

fn annotation(action: &Value, name: &str) -> Datum {
    inner(action, "/metadata/annotations", name)
}

fn inner(action: &Value, map: &str, name: &str) -> Datum {
    let text = action.pointer(map).and_then(|map| map.get(name)).and_then(Value::as_str);
    Datum::of_text(text.unwrap_or_default())
}

/// Argo's phase; of a Job its last condition that holds, else whether it has pods.
fn status(action: &Value) -> Datum {
    Datum::at(action, "/status/phase").or_else(|| {
        if action.get("kind").and_then(Value::as_str) != Some("Job") {
            return label(action, names::ARGO_PHASE_LABEL).or_else(|| Datum::Text("Pending".to_owned()));
        }
        match ending(action) {
            Some(condition) => match Datum::at(condition, "/type") {
                Datum::Text(complete) if complete == "Complete" => Datum::Text("Succeeded".to_owned()),
                other => other,
            },
            None if action.pointer("/status/active").and_then(Value::as_i64) > Some(0) => {
                Datum::Text("Running".to_owned())
            }
            None => Datum::Text("Pending".to_owned()),
        }
    })
}

/// The condition in which a Job's end stands.
fn ending(job: &Value) -> Option<&Value> {
    let is = |condition: &Value, name: &str, value: &str| condition.get(name).and_then(Value::as_str) == Some(value);
    let conditions = job.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| {
        is(condition, "status", "True") && (is(condition, "type", "Complete") || is(condition, "type", "Failed"))
    })
}

fn message(action: &Value) -> Datum {
    Datum::at(action, "/status/message")
        .or_else(|| ending(action).map_or(Datum::Nothing, |end| Datum::at(end, "/message")))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workflow_and_a_job_stand_in_the_same_words() {
        let condition = |type_: &str| json!({"conditions": [{"type": type_, "status": "True"}]});
        let cases = [
            (json!({"kind": "Workflow", "status": {"phase": "Running"}}), "Running"),
            (json!({"kind": "Workflow"}), "Pending"),
            (json!({"kind": "Job"}), "Pending"),
            (json!({"kind": "Job", "status": {"active": 1}}), "Running"),
            (json!({"kind": "Job", "status": condition("Complete")}), "Succeeded"),
            (json!({"kind": "Job", "status": condition("Failed")}), "Failed"),
        ];
        for (action, want) in cases {
            assert_eq!(status(&action).shown(Timestamp::UNIX_EPOCH), want, "{action}");
        }
    }
}
