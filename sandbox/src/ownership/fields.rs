//! Sets of fields, in memory as paths and on the wire as FieldsV1.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::schema::{Cursor, ListKind};

/// One step of a path, in the notation of FieldsV1: `f:name`, `k:{"key":"value"}` or `v:value`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step(String);

impl Step {
    fn field(name: &str) -> Self {
        Self(format!("f:{name}"))
    }

    fn keyed(item: &Value, keys: &[String]) -> Self {
        let named: Map<String, Value> =
            keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect();
        Self(format!("k:{}", Value::Object(named)))
    }

    fn value(value: &Value) -> Self {
        Self(format!("v:{value}"))
    }

    /// Whether the step names an item of a keyed list.
    pub(super) fn is_item(&self) -> bool {
        self.0.starts_with("k:")
    }

    fn take<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        let (kind, rest) = self.0.split_once(':')?;
        match kind {
            "f" => value.get(rest),
            _ => value.as_array()?.iter().find(|item| self.names(item)),
        }
    }

    fn names(&self, item: &Value) -> bool {
        let Some((kind, rest)) = self.0.split_once(':') else {
            return false;
        };
        match (kind, serde_json::from_str::<Value>(rest)) {
            ("k", Ok(Value::Object(keys))) => keys.iter().all(|(key, value)| item.get(key) == Some(value)),
            ("v", Ok(value)) => *item == value,
            _ => false,
        }
    }
}

/// What stands at a path.
pub(super) fn find<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, step| step.take(value))
}

/// Takes away what stands at a path, and what holds nothing any more because of it.
pub(super) fn remove(object: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    match object {
        Value::Object(map) => {
            let Some(name) = step.0.strip_prefix("f:") else {
                return;
            };
            if rest.is_empty() {
                map.shift_remove(name);
            } else if let Some(child) = map.get_mut(name) {
                remove(child, rest);
                if child.as_object().is_some_and(Map::is_empty) || child.as_array().is_some_and(Vec::is_empty) {
                    map.shift_remove(name);
                }
            }
        }
        Value::Array(list) => {
            if rest.is_empty() {
                list.retain(|item| !step.names(item));
            } else if let Some(item) = list.iter_mut().find(|item| step.names(item)) {
                remove(item, rest);
            }
        }
        _ => {}
    }
}

/// A path as it stands in a message: `.spec.containers[name="a"].image`.
pub(super) fn display(path: &[Step]) -> String {
    let mut text = String::new();
    for Step(step) in path {
        match step.split_once(':') {
            Some(("f", name)) => {
                text.push('.');
                text.push_str(name);
            }
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let named: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                text.push_str(&format!("[{}]", named.join(",")));
            }
            Some((_, value)) => text.push_str(&format!("[={value}]")),
            None => text.push_str(step),
        }
    }
    text
}

/// A set of fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet(BTreeSet<Vec<Step>>);

impl FieldSet {
    /// All fields that an object states.
    pub(super) fn of(object: &Value, cursor: Option<Cursor<'_>>) -> Self {
        let mut set = Self::default();
        set.collect(object, cursor, &mut Vec::new());
        set
    }

    fn collect(&mut self, value: &Value, cursor: Option<Cursor<'_>>, path: &mut Vec<Step>) {
        match value {
            Value::Object(map) if !map.is_empty() && !cursor.is_some_and(Cursor::atomic_map) => {
                for (key, member) in map {
                    path.push(Step::field(key));
                    self.collect(member, cursor.map(|cursor| cursor.member(key)), path);
                    path.pop();
                }
            }
            Value::Array(items) if !items.is_empty() => match cursor.map(Cursor::list) {
                Some(ListKind::Set) => {
                    for item in items {
                        path.push(Step::value(item));
                        self.0.insert(path.clone());
                        path.pop();
                    }
                }
                Some(ListKind::Map(keys)) => {
                    for item in items {
                        path.push(Step::keyed(item, keys));
                        self.0.insert(path.clone());
                        self.collect(item, cursor.map(Cursor::item), path);
                        path.pop();
                    }
                }
                Some(ListKind::Atomic) | None => {
                    self.0.insert(path.clone());
                }
            },
            _ if path.is_empty() => {}
            _ => {
                self.0.insert(path.clone());
            }
        }
    }

    /// From FieldsV1.
    pub(super) fn read(fields: &Value) -> Self {
        let mut set = Self::default();
        set.read_into(fields, &mut Vec::new());
        set
    }

    fn read_into(&mut self, fields: &Value, path: &mut Vec<Step>) {
        for (key, inner) in fields.as_object().into_iter().flatten() {
            if key == "." {
                self.0.insert(path.clone());
                continue;
            }
            path.push(Step(key.clone()));
            if inner.as_object().is_none_or(Map::is_empty) {
                self.0.insert(path.clone());
            } else {
                self.read_into(inner, path);
            }
            path.pop();
        }
    }

    /// To FieldsV1.
    pub(super) fn write(&self) -> Value {
        let mut root = json!({});
        for path in &self.0 {
            let mut here = &mut root;
            for Step(step) in path {
                if !here.is_object() {
                    *here = json!({});
                }
                let Value::Object(map) = here else {
                    break;
                };
                here = map.entry(step.clone()).or_insert_with(|| json!({}));
            }
        }
        // A path that is a member and also leads on is marked with a dot.
        for path in &self.0 {
            if let Some(Value::Object(inner)) = path.iter().try_fold(&mut root, |value, Step(step)| value.get_mut(step))
                && !inner.is_empty()
            {
                inner.insert(".".into(), json!({}));
            }
        }
        root
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, path: &[Step]) -> bool {
        self.0.contains(path)
    }

    /// Whether the set holds this path or one below it.
    pub(super) fn reaches(&self, path: &[Step]) -> bool {
        self.0.iter().any(|held| held.starts_with(path))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Vec<Step>> {
        self.0.iter()
    }

    pub(super) fn insert(&mut self, path: Vec<Step>) {
        self.0.insert(path);
    }

    pub(super) fn remove(&mut self, path: &[Step]) {
        self.0.remove(path);
    }

    /// The fields of both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::compiled;
    use k8s_openapi::api::core::v1::Pod;

    #[test]
    fn a_set_of_fields_survives_its_wire_form() {
        let schema = compiled::<Pod>();
        let pod = json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x/y"]},
            "spec": {"containers": [{"name": "one", "args": ["a", "b"]}], "nodeSelector": {}}});
        let set = FieldSet::of(&pod, Some(schema.cursor()));
        let wire = set.write();
        assert_eq!(
            wire,
            json!({
                "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"one\"}": {".": {}, "f:args": {}, "f:name": {}}}, "f:nodeSelector": {}},
            })
        );
        assert_eq!(FieldSet::read(&wire), set);
    }

    #[test]
    fn paths_lead_to_values_and_are_printed_as_kubectl_prints_them() {
        let schema = compiled::<Pod>();
        let pod = json!({"spec": {"containers": [{"name": "one", "image": "i"}]}});
        let set = FieldSet::of(&pod, Some(schema.cursor()));
        let image = set.iter().find(|path| path.last() == Some(&Step::field("image"))).unwrap();
        assert_eq!(find(&pod, image), Some(&json!("i")));
        assert_eq!(display(image), ".spec.containers[name=\"one\"].image");
        let mut pod = pod.clone();
        remove(&mut pod, image);
        assert_eq!(pod, json!({"spec": {"containers": [{"name": "one"}]}}));
    }
}
