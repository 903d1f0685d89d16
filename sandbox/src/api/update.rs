//! Update: a PUT, or the outcome of a patch, takes the place of what is stored.

use serde_json::{Map, Value};

use super::{Api, Owners, Part, Target, WriteOptions, Written, admit::admit, unsaved};
use crate::object::{self, metadata, metadata_mut};
use crate::ownership;
use crate::status::{ApiError, FieldError};
use crate::store::{Action, Document, Expect, Refused};

/// Metadata that belongs to the server.
const SYSTEM: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
];

impl Api {
    /// Replaces an object by the body of a PUT.
    pub(crate) fn update(
        &self,
        target: Target<'_>,
        part: Part,
        body: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let kind = &target.endpoint.kind;
        let missing = self.store.get(&kind.table, target.namespace, target.name).is_none();
        if missing && part == Part::Main && kind.create_on_update() {
            let mut body = body;
            metadata_mut(&mut body).insert("name".into(), target.name.into());
            return self.create(target.endpoint, target.namespace, body, options);
        }
        let stated = object::meta_text(&body, "resourceVersion").to_owned();
        if matches!(stated.as_str(), "" | "0") && !kind.unconditional_update() && !missing {
            return Err(ApiError::invalid(
                &kind.subject(target.name),
                &[FieldError::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update")],
            ));
        }
        self.change(target, part, options, |_| Ok(body.clone()))
    }

    /// Changes an object by a function of its present state, both in the version of the endpoint. Tried again when
    /// somebody else was faster, unless the outcome names a resourceVersion of its own.
    pub(crate) fn change(
        &self,
        target: Target<'_>,
        part: Part,
        options: &WriteOptions,
        change: impl Fn(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        loop {
            let document = self.stored(target)?;
            let old = document.value();
            let mut shown = old.clone();
            target.endpoint.show(&mut shown);
            let new = change(&shown)?;
            match self.replace(target, part, &document, &old, new, options)? {
                Ok(written) => return Ok(written),
                // The next round meets the new state, and with it the conflict if a resourceVersion was given.
                Err(Refused::Changed) => {}
                Err(refused) => return Err(self.refusal(refused, target)),
            }
        }
    }

    fn replace(
        &self,
        target: Target<'_>,
        part: Part,
        document: &std::sync::Arc<Document>,
        old: &Value,
        mut new: Value,
        options: &WriteOptions,
    ) -> Result<Result<Written, Refused>, ApiError> {
        let endpoint = target.endpoint;
        let managed = metadata(&new).get("managedFields").cloned();
        let warnings = admit(endpoint, &mut new, options.validation)?;
        self.check_identity(target, document, old, &new)?;
        settle_metadata(target, old, &mut new);
        settle_parts(target, part, old, &mut new);
        if let Some(schema) = endpoint.schema() {
            schema.default(&mut new);
        }
        if let Some(builtin) = endpoint.kind.builtin() {
            (builtin.default)(&mut new);
            if part == Part::Main {
                (builtin.update)(&mut new, old);
            }
            if let Some(schema) = endpoint.schema() {
                schema.fill_status(&mut new);
            }
        }
        settle_generation(target, old, &mut new);
        match (&options.owners, managed) {
            (Owners::AsChanged, Some(owners)) => {
                metadata_mut(&mut new).insert("managedFields".into(), owners);
            }
            _ => ownership::after_update(endpoint, part, old, &mut new, options),
        }
        let mut errors = match part {
            // A binding changes what nobody else may change.
            Part::Binding => Vec::new(),
            _ => self.flaws(endpoint, &new, Some(old)),
        };
        errors.extend(new_finalizers(old, &new));
        if !errors.is_empty() {
            return Err(ApiError::invalid(&endpoint.kind.subject(target.name), &errors));
        }
        if same(old, &new) {
            return Ok(Ok(Written { document: document.clone(), created: false, warnings }));
        }
        let done = document.facts().deleting && is_released(&new, &endpoint.kind.table);
        let draft = endpoint.draft(&new);
        if options.dry_run {
            return Ok(Ok(Written { document: unsaved(draft), created: false, warnings }));
        }
        let action = if done { Action::Remove(Some(draft)) } else { Action::Put(draft) };
        Ok(self.commit(target, Expect::Revision(document.revision()), action).map(|document| Written {
            document,
            created: false,
            warnings,
        }))
    }

    fn check_identity(
        &self,
        target: Target<'_>,
        document: &Document,
        old: &Value,
        new: &Value,
    ) -> Result<(), ApiError> {
        let subject = target.endpoint.kind.subject(target.name);
        let name = object::name(new);
        if !name.is_empty() && name != target.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )));
        }
        let namespace = object::meta_text(new, "namespace");
        if !namespace.is_empty() && namespace != target.namespace {
            return Err(ApiError::bad_request(format!(
                "the namespace of the object ({namespace}) does not match the namespace on the URL ({})",
                target.namespace
            )));
        }
        let (stated, held) = (object::meta_text(new, "uid"), object::meta_text(old, "uid"));
        if !stated.is_empty() && stated != held {
            return Err(ApiError::conflict(
                &subject,
                &format!("Precondition failed: UID in precondition: {stated}, UID in object meta: {held}"),
            ));
        }
        match object::meta_text(new, "resourceVersion") {
            "" | "0" => Ok(()),
            stated => match stated.parse::<u64>() {
                Ok(stated) if stated == document.revision() => Ok(()),
                Ok(_) => Err(ApiError::modified(&subject)),
                Err(error) => Err(ApiError::invalid(
                    &subject,
                    &[FieldError::invalid("metadata.resourceVersion", &stated.into(), error)],
                )),
            },
        }
    }
}

fn settle_metadata(target: Target<'_>, old: &Value, new: &mut Value) {
    let old = metadata(old);
    let new = metadata_mut(new);
    new.insert("name".into(), target.name.into());
    if !target.namespace.is_empty() {
        new.insert("namespace".into(), target.namespace.into());
    }
    new.shift_remove("resourceVersion");
    for key in SYSTEM {
        match old.get(key) {
            Some(value) => new.insert(key.to_owned(), value.clone()),
            None => new.shift_remove(key),
        };
    }
    // Empty and absent are one to the Go type, and should not count as a change.
    for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = match new.get(key) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            _ => false,
        };
        if empty {
            new.shift_remove(key);
        }
    }
    in_order_of(old, new);
}

/// Brings the members into the order of the stored object, so that text does not change where content does not.
fn in_order_of(old: &Map<String, Value>, new: &mut Map<String, Value>) {
    let mut taken = std::mem::take(new);
    for key in old.keys() {
        if let Some(value) = taken.shift_remove(key) {
            new.insert(key.clone(), value);
        }
    }
    new.extend(taken);
}

fn settle_parts(target: Target<'_>, part: Part, old: &Value, new: &mut Value) {
    let keep = |new: &mut Map<String, Value>, key: &str| match old.get(key) {
        Some(value) => {
            new.insert(key.to_owned(), value.clone());
        }
        None => {
            new.shift_remove(key);
        }
    };
    let Value::Object(new) = new else {
        return;
    };
    match part {
        Part::Main if target.endpoint.has_status() => keep(new, "status"),
        Part::Main | Part::Binding => {}
        Part::Status => {
            let status = new.shift_remove("status");
            *new = old.as_object().cloned().unwrap_or_default();
            if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.shift_remove("resourceVersion");
            }
            match status {
                Some(status) => new.insert("status".into(), status),
                None => new.shift_remove("status"),
            };
        }
        Part::Finalize => {
            let finalizers = new
                .get("spec")
                .and_then(|spec| spec.get("finalizers"))
                .cloned()
                .unwrap_or_else(|| Value::Array(Vec::new()));
            keep(new, "status");
            keep(new, "spec");
            if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) {
                spec.insert("finalizers".into(), finalizers);
            }
        }
    }
}

fn settle_generation(target: Target<'_>, old: &Value, new: &mut Value) {
    if !target.endpoint.kind.counts_generations() {
        return;
    }
    let counts = |key: &str| key != "metadata" && !(key == "status" && target.endpoint.has_status());
    let members = |object: &Value| -> Vec<(String, Value)> {
        let mut members: Vec<_> = object
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| counts(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        members.sort_by(|(one, _), (two, _)| one.cmp(two));
        members
    };
    if members(old) != members(new) {
        let generation = metadata(old).get("generation").and_then(Value::as_i64).unwrap_or(0);
        metadata_mut(new).insert("generation".into(), (generation + 1).into());
    }
}

fn new_finalizers(old: &Value, new: &Value) -> Vec<FieldError> {
    if !metadata(old).contains_key("deletionTimestamp") {
        return Vec::new();
    }
    let held = object::finalizers(old);
    let added: Vec<&str> = object::finalizers(new).into_iter().filter(|finalizer| !held.contains(finalizer)).collect();
    if added.is_empty() {
        return Vec::new();
    }
    let added: Vec<String> = added.iter().map(|finalizer| format!("{finalizer:?}")).collect();
    vec![FieldError::forbidden(
        "metadata.finalizers",
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        ),
    )]
}

/// Whether nothing holds back an object that is being deleted.
fn is_released(object: &Value, table: &str) -> bool {
    let grace = metadata(object).get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    object::finalizers(object).is_empty()
        && grace == 0
        && (table != "namespaces" || object::items(object, "/spec/finalizers").next().is_none())
}

/// Whether two states differ in nothing but their resourceVersion.
fn same(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else {
        return false;
    };
    let members = |object: &Map<String, Value>| object.keys().filter(|key| *key != "metadata").count();
    let metadata_same = match (old.get("metadata"), new.get("metadata")) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            old.iter().filter(|(key, _)| *key != "resourceVersion").count()
                == new.iter().filter(|(key, _)| *key != "resourceVersion").count()
                && old
                    .iter()
                    .filter(|(key, _)| *key != "resourceVersion")
                    .all(|(key, value)| new.get(key) == Some(value))
        }
        _ => false,
    };
    metadata_same
        && members(old) == members(new)
        && old.iter().filter(|(key, _)| *key != "metadata").all(|(key, value)| new.get(key) == Some(value))
}
