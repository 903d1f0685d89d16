//! What would change about an object, field by field, so that people see it before it happens.

use serde_json::{Map, Value};

/// How many characters of a value are shown.
const LONGEST: usize = 60;

/// One field that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The way to the field; elements of lists by their names.
    pub(super) path: String,
    /// What stands there; `None` if nothing does.
    pub(super) before: Option<String>,
    /// What will stand there; `None` if nothing will.
    pub(super) after: Option<String>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "{}: {after} (new)", self.path),
            (Some(before), None) => write!(f, "{}: {before} (removed)", self.path),
            (before, after) => {
                let shown = |value: &Option<String>| value.clone().unwrap_or_default();
                write!(f, "{}: {} -> {}", self.path, shown(before), shown(after))
            }
        }
    }
}

/// What of people's is changed, between the object as it stands and as it would stand. What the API server keeps for
/// itself is left out.
pub(super) fn between(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(&essence(before), &essence(after), "", &mut changes);
    changes
}

/// The object that stands there with what is wanted laid over it: what it would come to, as far as can be told without
/// asking the API server.
pub(super) fn laid_over(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let mut merged = live.clone();
            for (key, value) in wanted {
                let under = live.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), laid_over(under, value));
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(wanted)) if is_named(live) && is_named(wanted) => {
            let mut merged = live.clone();
            for item in wanted {
                match merged.iter_mut().find(|one| one.get("name") == item.get("name")) {
                    Some(found) => *found = laid_over(found, item),
                    None => merged.push(item.clone()),
                }
            }
            Value::Array(merged)
        }
        (Value::Array(live), Value::Array(wanted)) if live.len() == wanted.len() => {
            Value::Array(live.iter().zip(wanted).map(|(live, wanted)| laid_over(live, wanted)).collect())
        }
        (live, Value::Null) => live.clone(),
        (_, wanted) => wanted.clone(),
    }
}

fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| key == "labels" || key == "annotations");
        }
    }
    object
}

fn compare(before: &Value, after: &Value, path: &str, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in after {
                compare(before.get(key).unwrap_or(&Value::Null), value, &join(path, key), changes);
            }
            for (key, value) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
                compare(value, &Value::Null, &join(path, key), changes);
            }
        }
        (Value::Array(one), Value::Array(other)) if is_named(one) && is_named(other) => {
            compare_named(one, other, path, changes);
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (nth, (one, other)) in one.iter().zip(other).enumerate() {
                compare(one, other, &format!("{path}[{nth}]"), changes);
            }
        }
        _ => {
            let shown = |value: &Value| (!value.is_null()).then(|| shortened(value));
            changes.push(Change { path: path.to_owned(), before: shown(before), after: shown(after) });
        }
    }
}

fn compare_named(before: &[Value], after: &[Value], path: &str, changes: &mut Vec<Change>) {
    let name = |item: &Value| item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let find = |list: &[Value], wanted: &str| list.iter().find(|item| name(item) == wanted).cloned();
    for item in after {
        let before = find(before, &name(item)).unwrap_or_default();
        compare(&before, item, &format!("{path}[{}]", name(item)), changes);
    }
    for item in before.iter().filter(|item| find(after, &name(item)).is_none()) {
        compare(item, &Value::Null, &format!("{path}[{}]", name(item)), changes);
    }
}

fn is_named(list: &[Value]) -> bool {
    let named = |item: &Value| item.get("name").is_some_and(Value::is_string);
    !list.is_empty() && list.iter().all(named)
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn shortened(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Value::Object(fields) if fields.len() > 3 => Value::Object(gist(fields)).to_string(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Its first fields: more would not be shown.
fn gist(fields: &Map<String, Value>) -> Map<String, Value> {
    fields.iter().take(3).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: Value, after: Value) -> Vec<String> {
        between(&before, &after).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_change_is_told_by_its_field() {
        let cases = [
            ("nothing", json!({"spec": {"a": 1}}), json!({"spec": {"a": 1}}), vec![]),
            (
                "a value",
                json!({"spec": {"replicas": 2}}),
                json!({"spec": {"replicas": 3}}),
                vec!["spec.replicas: 2 -> 3"],
            ),
            ("a new field", json!({"spec": {}}), json!({"spec": {"a": "x"}}), vec!["spec.a: x (new)"]),
            ("a field less", json!({"spec": {"a": "x"}}), json!({"spec": {}}), vec!["spec.a: x (removed)"]),
            (
                "an element by its name",
                json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
                json!({"env": [{"name": "B", "value": "3"}, {"name": "A", "value": "1"}]}),
                vec!["env[B].value: 2 -> 3"],
            ),
            (
                "what the API server keeps for itself",
                json!({"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}, "status": {"x": 1}}),
                json!({"metadata": {"resourceVersion": "2", "labels": {"a": "c"}}}),
                vec!["metadata.labels.a: b -> c"],
            ),
        ];
        for (why, before, after, want) in cases {
            assert_eq!(told(before, after), want, "{why}");
        }
    }

    #[test]
    fn what_others_set_stays_where_nothing_is_wanted() {
        let live = json!({"spec": {"replicas": 2, "paused": true, "ports": [{"port": 80, "protocol": "TCP"}],
            "env": [{"name": "MINE", "value": "x"}, {"name": "B", "value": "2"}]}});
        let wanted = json!({"spec": {"replicas": 3, "ports": [{"port": 80}], "env": [{"name": "B", "value": "3"}]}});
        let after = laid_over(&live, &wanted);
        assert_eq!(told(live, after), ["spec.replicas: 2 -> 3", "spec.env[B].value: 2 -> 3"]);
    }
}
