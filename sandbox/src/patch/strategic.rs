//! Strategic merge patch: a merge patch that merges lists by the keys of their items, with directives for the rest.

use serde_json::{Map, Value};

use crate::schema::{Cursor, ListKind};

/// A patch that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StrategicError {
    #[error("unknown $patch directive: found {0:?}, expected replace, delete or merge")]
    Directive(String),
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoKey { item: String, key: String },
}

const DIRECTIVE: &str = "$patch";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";
const RETAIN: &str = "$retainKeys";

/// Applies a patch to an object whose schema tells how its lists are merged.
pub(crate) fn apply(target: &mut Value, patch: &Value, cursor: Option<Cursor<'_>>) -> Result<(), StrategicError> {
    match patch {
        Value::Object(patch) => merge_map(target, patch, cursor),
        other => {
            *target = other.clone();
            Ok(())
        }
    }
}

fn merge_map(target: &mut Value, patch: &Map<String, Value>, cursor: Option<Cursor<'_>>) -> Result<(), StrategicError> {
    match patch.get(DIRECTIVE).map(|word| word.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            let mut new = patch.clone();
            new.shift_remove(DIRECTIVE);
            *target = Value::Object(new);
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => return Err(StrategicError::Directive(other.to_owned())),
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return Ok(());
    };
    if let Some(Value::Array(kept)) = patch.get(RETAIN) {
        target.retain(|key, _| kept.iter().any(|one| one == key));
    }
    for (key, value) in patch {
        if key == DIRECTIVE || key == RETAIN || key.starts_with(SET_ORDER) {
            continue;
        }
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            if let (Some(Value::Array(list)), Value::Array(gone)) = (target.get_mut(field), value) {
                list.retain(|one| !gone.contains(one));
            }
            continue;
        }
        let child = cursor.map(|cursor| cursor.member(key));
        match value {
            Value::Null => {
                target.shift_remove(key);
            }
            Value::Object(member) => {
                if member.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                    target.shift_remove(key);
                } else {
                    merge_map(target.entry(key.clone()).or_insert(Value::Null), member, child)?;
                }
            }
            Value::Array(items) => {
                let slot = target.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new()));
                merge_list(slot, items, child)?;
            }
            plain => {
                target.insert(key.clone(), plain.clone());
            }
        }
    }
    for (key, order) in patch {
        if let (Some(field), Value::Array(order)) = (key.strip_prefix(SET_ORDER), order)
            && let Some(Value::Array(list)) = target.get_mut(field)
        {
            let kind = cursor.map(|cursor| cursor.member(field).list().clone()).unwrap_or_default();
            set_order(list, order, &kind);
        }
    }
    Ok(())
}

fn merge_list(slot: &mut Value, items: &[Value], cursor: Option<Cursor<'_>>) -> Result<(), StrategicError> {
    let kind = cursor.map(Cursor::list).unwrap_or(&ListKind::Atomic);
    let replaces = items.iter().any(|item| item.get(DIRECTIVE).and_then(Value::as_str) == Some("replace"));
    let Value::Array(list) = slot else {
        *slot = Value::Array(Vec::new());
        return merge_list(slot, items, cursor);
    };
    match kind {
        _ if replaces => {
            *list = items.iter().filter(|item| item.get(DIRECTIVE).is_none()).cloned().collect();
        }
        ListKind::Atomic => *list = items.to_vec(),
        ListKind::Set => {
            for item in items {
                if !list.contains(item) {
                    list.push(item.clone());
                }
            }
        }
        ListKind::Map(keys) => {
            let Some(key) = keys.first() else {
                return Ok(());
            };
            for item in items {
                merge_item(list, item, key, cursor.map(Cursor::item))?;
            }
        }
    }
    Ok(())
}

fn merge_item(
    list: &mut Vec<Value>,
    item: &Value,
    key: &str,
    cursor: Option<Cursor<'_>>,
) -> Result<(), StrategicError> {
    let Some(id) = item.get(key) else {
        return Err(StrategicError::NoKey { item: item.to_string(), key: key.to_owned() });
    };
    if item.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
        list.retain(|one| one.get(key) != Some(id));
        return Ok(());
    }
    match list.iter_mut().find(|one| one.get(key) == Some(id)) {
        Some(found) => apply(found, item, cursor),
        None => {
            let mut new = Value::Object(Map::new());
            apply(&mut new, item, cursor)?;
            list.push(new);
            Ok(())
        }
    }
}

/// Sorts a list as the patch says; items that it does not name keep their place behind those that they followed.
fn set_order(list: &mut Vec<Value>, order: &[Value], kind: &ListKind) {
    let same = |item: &Value, named: &Value| match kind {
        ListKind::Map(keys) => keys.iter().all(|key| item.get(key) == named.get(key)),
        ListKind::Atomic | ListKind::Set => item == named,
    };
    let place = |item: &Value| order.iter().position(|named| same(item, named));
    let mut last = 0;
    let mut keyed: Vec<(usize, Value)> = std::mem::take(list)
        .into_iter()
        .map(|item| {
            last = place(&item).map_or(last, |at| at + 1);
            (last, item)
        })
        .collect();
    keyed.sort_by_key(|(at, _)| *at);
    *list = keyed.into_iter().map(|(_, item)| item).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::compiled;
    use k8s_openapi::api::core::v1::{Node, Pod};
    use serde_json::json;

    #[test]
    fn lists_are_merged_by_their_keys_and_directives_are_followed() {
        let schema = compiled::<Pod>();
        let pod = json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {"restartPolicy": "Never", "containers": [
            {"name": "one", "image": "i1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "two", "image": "i2"}]}});
        let cases = [
            (
                "an item of a keyed list",
                json!({"spec": {"containers": [{"name": "two", "image": "i3"}]}}),
                "/spec/containers/1",
                json!({"name": "two", "image": "i3"}),
            ),
            (
                "a deeper keyed list",
                json!({"spec": {"containers": [{"name": "one", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]}}),
                "/spec/containers/0/env",
                json!([{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]),
            ),
            (
                "an item is deleted",
                json!({"spec": {"containers": [{"name": "one", "$patch": "delete"}]}}),
                "/spec/containers",
                json!([{"name": "two", "image": "i2"}]),
            ),
            (
                "the list is replaced",
                json!({"spec": {"containers": [{"name": "x"}, {"$patch": "replace"}]}}),
                "/spec/containers",
                json!([{"name": "x"}]),
            ),
            (
                "a value leaves a plain list",
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
                "/metadata/finalizers",
                json!(["b"]),
            ),
            (
                "a value joins a plain list",
                json!({"metadata": {"finalizers": ["c"]}}),
                "/metadata/finalizers",
                json!(["a", "b", "c"]),
            ),
            (
                "an order is given",
                json!({"spec": {"$setElementOrder/containers": [{"name": "two"}, {"name": "one"}], "containers": [{"name": "two", "image": "i9"}]}}),
                "/spec/containers/0",
                json!({"name": "two", "image": "i9"}),
            ),
            (
                "only some keys are retained",
                json!({"spec": {"$retainKeys": ["containers"]}}),
                "/spec/restartPolicy",
                Value::Null,
            ),
        ];
        for (why, patch, pointer, want) in cases {
            let mut target = pod.clone();
            apply(&mut target, &patch, Some(schema.cursor())).unwrap();
            assert_eq!(target.pointer(pointer).cloned().unwrap_or_default(), want, "{why}");
        }
    }

    #[test]
    fn taints_are_replaced_and_conditions_are_merged() {
        let schema = compiled::<Node>();
        let mut node = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "True"}]}});
        let patch = json!({"spec": {"taints": [{"key": "b", "effect": "NoExecute"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}]}});
        apply(&mut node, &patch, Some(schema.cursor())).unwrap();
        assert_eq!(node["spec"]["taints"], json!([{"key": "b", "effect": "NoExecute"}]));
        assert_eq!(
            node["status"]["conditions"],
            json!([{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}])
        );
    }

    #[test]
    fn an_item_without_its_key_is_refused() {
        let schema = compiled::<Pod>();
        let patch = json!({"spec": {"containers": [{"image": "x"}]}});
        assert!(apply(&mut json!({}), &patch, Some(schema.cursor())).is_err());
    }
}
