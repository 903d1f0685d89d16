//! Server-side apply: who owns which field, and what an apply changes.
//!
//! Ownership is recorded from the first apply of an object on; what stood there before belongs to the manager
//! "before-first-apply", as on a real server for objects that carry no record.

mod fields;

use serde_json::{Value, json};

use crate::api::{Part, Target, WriteOptions};
use crate::kind::Endpoint;
use crate::object::{metadata, metadata_mut};
use crate::schema::{Cursor, ListKind};
use crate::status::ApiError;
use fields::{FieldSet, Step};

const BEFORE: &str = "before-first-apply";

/// One entry of metadata.managedFields.
#[derive(Debug, Clone, PartialEq)]
struct Owner {
    manager: String,
    operation: String,
    subresource: String,
    api_version: String,
    time: String,
    fields: FieldSet,
}

impl Owner {
    fn read(entry: &Value) -> Self {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            operation: text("operation"),
            subresource: text("subresource"),
            api_version: text("apiVersion"),
            time: text("time"),
            fields: FieldSet::read(entry.get("fieldsV1").unwrap_or(&Value::Null)),
        }
    }

    fn write(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.write(),
        });
        if let (false, Value::Object(entry)) = (self.subresource.is_empty(), &mut entry) {
            entry.insert("subresource".into(), self.subresource.as_str().into());
        }
        entry
    }

    fn is(&self, manager: &str, operation: &str, subresource: &str) -> bool {
        self.manager == manager && self.operation == operation && self.subresource == subresource
    }
}

fn owners(object: &Value) -> Vec<Owner> {
    metadata(object).get("managedFields").and_then(Value::as_array).into_iter().flatten().map(Owner::read).collect()
}

fn written(owners: &[Owner]) -> Value {
    owners.iter().filter(|owner| !owner.fields.is_empty()).map(Owner::write).collect()
}

fn now() -> String {
    crate::object::time(jiff::Timestamp::now())
}

fn subresource(part: Part) -> &'static str {
    match part {
        Part::Main => "",
        Part::Status => "status",
        Part::Finalize => "finalize",
        Part::Binding => "binding",
    }
}

/// Whether an apply may be carried out at all.
pub(crate) fn check(target: Target<'_>, applied: &Value, options: &WriteOptions) -> Result<(), ApiError> {
    if options.manager.is_empty() {
        return Err(ApiError::bad_request(
            "fieldManager is required for apply patch: found none, expected the query parameter fieldManager",
        ));
    }
    if metadata(applied).contains_key("managedFields") {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let stated = crate::object::name(applied);
    if !stated.is_empty() && stated != target.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({stated}) does not match the name on the URL ({})",
            target.name
        )));
    }
    Ok(())
}

/// The record of an object that an apply creates.
pub(crate) fn of_new(target: Target<'_>, applied: &Value, options: &WriteOptions) -> Value {
    written(&[Owner {
        manager: options.manager.clone(),
        operation: "Apply".to_owned(),
        subresource: String::new(),
        api_version: target.endpoint.api_version.clone(),
        time: now(),
        fields: owned_fields(target.endpoint, Part::Main, applied),
    }])
}

/// The state after an apply, its record included.
pub(crate) fn apply(
    target: Target<'_>,
    part: Part,
    current: &Value,
    applied: &Value,
    options: &WriteOptions,
) -> Result<Value, ApiError> {
    let endpoint = target.endpoint;
    let wanted = owned_fields(endpoint, part, applied);
    let mut owners = owners(current);
    if owners.is_empty() {
        owners.push(Owner {
            manager: BEFORE.to_owned(),
            operation: "Update".to_owned(),
            subresource: String::new(),
            api_version: endpoint.api_version.clone(),
            time: now(),
            fields: owned_fields(endpoint, Part::Main, current),
        });
    }
    let mine = |owner: &Owner| owner.is(&options.manager, "Apply", subresource(part));
    let mut conflicts: Vec<(String, String)> = Vec::new();
    for owner in owners.iter_mut().filter(|owner| !mine(owner)) {
        let contested: Vec<Vec<Step>> = owner
            .fields
            .iter()
            .filter(|path| wanted.contains(path) && fields::find(current, path) != fields::find(applied, path))
            // A list item that both name is shared; its fields are looked at one by one.
            .filter(|path| !path.last().is_some_and(Step::is_item))
            .cloned()
            .collect();
        for path in contested {
            if options.force {
                owner.fields.remove(&path);
            } else {
                conflicts.push((owner.manager.clone(), fields::display(&path)));
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(ApiError::apply_conflict(&conflicts));
    }
    let mut new = current.clone();
    let before = owners.iter().find(|owner| mine(owner)).cloned();
    if let Some(before) = &before {
        // Shortest first, so that an item goes as a whole, while it still has the key by which it is found.
        let mut dropped: Vec<&Vec<Step>> = before.fields.iter().filter(|path| !wanted.contains(path)).collect();
        dropped.sort_by_key(|path| path.len());
        for path in dropped {
            let shared = owners.iter().any(|owner| !mine(owner) && owner.fields.reaches(path)) || wanted.reaches(path);
            if !shared {
                fields::remove(&mut new, path);
            }
        }
    }
    let cursor = endpoint.schema().map(|schema| schema.cursor());
    let mut configuration = applied.clone();
    crate::object::drop_nulls(&mut configuration);
    restrict(endpoint, part, &mut configuration);
    merge(&mut new, &configuration, cursor);
    match owners.iter_mut().find(|owner| mine(owner)) {
        Some(owner) if owner.fields == wanted => {}
        Some(owner) => {
            owner.fields = wanted;
            owner.time = now();
        }
        None => owners.push(Owner {
            manager: options.manager.clone(),
            operation: "Apply".to_owned(),
            subresource: subresource(part).to_owned(),
            api_version: endpoint.api_version.clone(),
            time: now(),
            fields: wanted,
        }),
    }
    metadata_mut(&mut new).insert("managedFields".into(), written(&owners));
    Ok(new)
}

/// Brings the record up to date after a write that was no apply: what it changed belongs to its sender now.
pub(crate) fn after_update(endpoint: &Endpoint, part: Part, old: &Value, new: &mut Value, options: &WriteOptions) {
    let mut owners = owners(old);
    if owners.is_empty() {
        return;
    }
    let had = owned_fields(endpoint, Part::Main, old).and(owned_fields(endpoint, Part::Status, old));
    let has = owned_fields(endpoint, Part::Main, new).and(owned_fields(endpoint, Part::Status, new));
    let differs = |path: &[Step]| fields::find(old, path) != fields::find(new, path);
    let changed: Vec<Vec<Step>> = has
        .iter()
        .filter(|path| !path.last().is_some_and(Step::is_item) || !had.contains(path))
        .filter(|path| differs(path))
        .cloned()
        .collect();
    let gone: Vec<Vec<Step>> = had.iter().filter(|path| !has.contains(path)).cloned().collect();
    if changed.is_empty() && gone.is_empty() {
        return;
    }
    let manager = if options.manager.is_empty() { "unknown" } else { &options.manager };
    let mine = |owner: &Owner| owner.is(manager, "Update", subresource(part));
    for owner in &mut owners {
        for path in changed.iter().chain(&gone) {
            owner.fields.remove(path);
        }
    }
    if !changed.is_empty() {
        if !owners.iter().any(mine) {
            owners.push(Owner {
                manager: manager.to_owned(),
                operation: "Update".to_owned(),
                subresource: subresource(part).to_owned(),
                api_version: endpoint.api_version.clone(),
                time: String::new(),
                fields: FieldSet::default(),
            });
        }
        for owner in owners.iter_mut().filter(|owner| mine(owner)) {
            owner.time = now();
            for path in &changed {
                owner.fields.insert(path.clone());
            }
        }
    }
    metadata_mut(new).insert("managedFields".into(), written(&owners));
}

/// The fields that an object states and somebody can own.
fn owned_fields(endpoint: &Endpoint, part: Part, object: &Value) -> FieldSet {
    let mut configuration = object.clone();
    crate::object::drop_nulls(&mut configuration);
    restrict(endpoint, part, &mut configuration);
    if let Value::Object(map) = &mut configuration {
        map.shift_remove("apiVersion");
        map.shift_remove("kind");
        let empty = match map.get_mut("metadata") {
            Some(Value::Object(metadata)) => {
                metadata.retain(|key, _| {
                    matches!(key.as_str(), "labels" | "annotations" | "finalizers" | "ownerReferences")
                });
                metadata.is_empty()
            }
            _ => false,
        };
        if empty {
            map.shift_remove("metadata");
        }
    }
    FieldSet::of(&configuration, endpoint.schema().map(|schema| schema.cursor()))
}

/// Leaves what a request on this part of an object can change.
fn restrict(endpoint: &Endpoint, part: Part, object: &mut Value) {
    let Value::Object(map) = object else {
        return;
    };
    match part {
        Part::Main if endpoint.has_status() => {
            map.shift_remove("status");
        }
        Part::Main | Part::Binding => {}
        Part::Status => map.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status")),
        Part::Finalize => map.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "spec")),
    }
}

/// Puts what is applied over what is there.
fn merge(target: &mut Value, applied: &Value, cursor: Option<Cursor<'_>>) {
    match (target, applied) {
        (Value::Object(target), Value::Object(applied)) if !cursor.is_some_and(Cursor::atomic_map) => {
            for (key, value) in applied {
                let child = cursor.map(|cursor| cursor.member(key));
                match target.get_mut(key) {
                    Some(slot) => merge(slot, value, child),
                    None => {
                        target.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(target), Value::Array(applied)) => match cursor.map(Cursor::list).unwrap_or(&ListKind::Atomic) {
            ListKind::Atomic => *target = applied.clone(),
            ListKind::Set => {
                for value in applied {
                    if !target.contains(value) {
                        target.push(value.clone());
                    }
                }
            }
            ListKind::Map(keys) => {
                for item in applied {
                    let same = |other: &&mut Value| keys.iter().all(|key| other.get(key) == item.get(key));
                    match target.iter_mut().find(same) {
                        Some(slot) => merge(slot, item, cursor.map(Cursor::item)),
                        None => target.push(item.clone()),
                    }
                }
            }
        },
        (target, applied) => *target = applied.clone(),
    }
}
