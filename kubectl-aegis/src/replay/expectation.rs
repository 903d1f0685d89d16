//! What alerts are expected to lead to, and in what they differ. An expectation has the form of the report itself, so
//! that a report which is right becomes one; what it leaves out is not compared.

use serde_json::{Map, Value};
use similar::TextDiff;

use super::Outcome;
use crate::commands::alert::body;
use crate::failure::{Failure, Kind};

/// The expected outcomes of a file, in their order.
pub(crate) fn read(file: &str) -> Result<Vec<Value>, Failure> {
    let wrong = |why: anyhow::Error| Failure::new(Kind::Usage, format!("could not use --expect {file}")).because(why);
    let text = String::from_utf8(body::read(file)?).map_err(|error| wrong(error.into()))?;
    match serde_saphyr::from_str::<Value>(&text).map_err(|error| wrong(error.into()))? {
        Value::Array(expected) if expected.iter().all(Value::is_object) => Ok(expected),
        _ => Err(wrong(anyhow::anyhow!("expected a list of outcomes, as `rule test -o yaml` prints them"))),
    }
}

/// In what each outcome differs from what is expected of it, as a text; nothing where all is as expected.
///
/// An expectation that names an alert, and a phase if that is not enough, is about that one; any other is about the next
/// that no earlier one was about.
pub(crate) fn differences(expected: &[Value], outcomes: &[Outcome]) -> Result<Vec<String>, serde_json::Error> {
    let mut left: Vec<(&Outcome, Value)> = Vec::new();
    for outcome in outcomes {
        left.push((outcome, serde_json::to_value(outcome)?));
    }
    let mut differences = Vec::new();
    for (nth, expectation) in expected.iter().enumerate() {
        let names =
            |field: &str, value: &Value| expectation.get(field).is_none_or(|wanted| value.get(field) == Some(wanted));
        let Some(at) = left.iter().position(|(_, value)| names("alert", value) && names("phase", value)) else {
            let who = expectation.get("alert").map_or_else(|| format!("number {}", nth + 1), Value::to_string);
            differences.push(format!("expected an outcome for alert {who}, found none\n"));
            continue;
        };
        let (outcome, value) = left.remove(at);
        let found = part(&value, expectation);
        if found != *expectation {
            differences.push(format!(
                "{} ({})\n{}",
                outcome.alert,
                outcome.phase,
                diff("expected", &yaml(expectation), "found", &yaml(&found))
            ));
        }
    }
    for (outcome, _) in left {
        differences.push(format!("{} ({}): nothing is expected of it\n", outcome.alert, outcome.phase));
    }
    Ok(differences)
}

/// As much of the value as the expectation speaks of, in its order.
fn part(value: &Value, expectation: &Value) -> Value {
    match (value, expectation) {
        (Value::Object(value), Value::Object(wanted)) => {
            let fields =
                wanted.iter().filter_map(|(name, wanted)| Some((name.clone(), part(value.get(name)?, wanted))));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        (Value::Array(values), Value::Array(wanted)) if values.len() == wanted.len() => {
            values.iter().zip(wanted).map(|(value, wanted)| part(value, wanted)).collect()
        }
        _ => value.clone(),
    }
}

/// The lines in which two texts differ, with those around them.
pub(crate) fn diff(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    TextDiff::from_lines(old, new).unified_diff().header(old_name, new_name).to_string()
}

/// The value as YAML.
pub(crate) fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Word;
    use super::*;

    fn outcome(alert: &str, phase: &str, result: Word) -> Outcome {
        Outcome {
            alert: alert.into(),
            type_: "X".into(),
            phase: phase.into(),
            result,
            rule: Some("m/r".into()),
            why: None,
            others: Vec::new(),
            reason: None,
            gate: None,
            message: "create".into(),
            object: Some(json!({"kind": "Job", "metadata": {"name": "j", "labels": {"a": "1"}}})),
            not_matching: Vec::new(),
        }
    }

    #[test]
    fn what_an_expectation_leaves_out_is_not_compared() {
        let outcomes = [outcome("a", "Firing", Word::Fires), outcome("a", "Resolved", Word::Skipped)];
        let agrees = |expected: Value| differences(expected.as_array().unwrap(), &outcomes).unwrap().is_empty();
        assert!(agrees(json!([{"result": "Fires"}, {"result": "Skipped"}])), "in their order");
        assert!(agrees(json!([{"alert": "a", "phase": "Resolved", "result": "Skipped"}, {"result": "Fires"}])));
        assert!(agrees(json!([{"object": {"metadata": {"name": "j"}}}, {}])));
        assert!(!agrees(json!([{"object": {"metadata": {"name": "k"}}}, {}])));
        assert!(!agrees(json!([{"reason": "Paused"}, {}])), "what is expected has to be there");
        assert!(!agrees(json!([{}])), "every outcome is expected");
        assert!(!agrees(json!([{}, {}, {}])), "every expectation is met");
    }

    #[test]
    fn a_difference_is_shown_line_by_line() {
        let told = differences(&[json!({"result": "Held", "rule": "m/r"})], &[outcome("a", "Firing", Word::Fires)]);
        let told = told.unwrap().concat();
        assert!(told.starts_with("a (Firing)\n--- expected\n+++ found\n"), "{told}");
        assert!(told.contains("-result: Held\n+result: Fires\n"), "{told}");
    }
}
