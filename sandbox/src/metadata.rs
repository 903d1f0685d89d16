//! What the metadata of any object may hold: names, labels, annotations, owners, finalizers.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use regex::Regex;
use serde_json::{Map, Value};

use crate::builtin::compiled;
use crate::object;
use crate::schema::{Schema, Strictness};
use crate::status::FieldError;

/// Which names a kind takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// DNS subdomain, as most kinds.
    Subdomain,
    /// DNS label: namespaces.
    Label,
    /// DNS label that begins with a letter: services.
    Label1035,
    /// Anything that can be one segment of a path: RBAC.
    PathSegment,
}

static SUBDOMAIN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").ok());
static LABEL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").ok());
static LABEL_1035: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[a-z]([-a-z0-9]*[a-z0-9])?$").ok());
static QUALIFIED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$").ok());
static LABEL_VALUE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$").ok());

static OBJECT_META: LazyLock<Schema> = LazyLock::new(compiled::<ObjectMeta>);

const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

fn fits(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Drops what metadata does not have and nulls. Returns the paths of unknown fields, or why the metadata cannot be
/// decoded at all.
pub(crate) fn decode(object: &mut Value) -> Result<Vec<String>, String> {
    let Some(metadata) = object.get_mut("metadata") else {
        return Ok(Vec::new());
    };
    object::drop_nulls(metadata);
    let unknown = OBJECT_META.prune(metadata);
    if let Some(error) = OBJECT_META
        .validate(metadata, Strictness::Builtin)
        .into_iter()
        .find(|error| !error.to_string().contains("Required value"))
    {
        return Err(format!("metadata.{error}"));
    }
    Ok(unknown.into_iter().map(|path| format!("metadata.{path}")).collect())
}

/// What is wrong with a name, if anything.
pub(crate) fn name_flaw(rule: NameRule, name: &str) -> Option<String> {
    let (pattern, words, limit) = match rule {
        NameRule::Subdomain => (&SUBDOMAIN, SUBDOMAIN_RULE, 253),
        NameRule::Label => (&LABEL, LABEL_RULE, 63),
        NameRule::Label1035 => (&LABEL_1035, LABEL_1035_RULE, 63),
        NameRule::PathSegment => {
            return match name {
                "." | ".." => Some(format!("may not be '{name}'")),
                _ if name.contains('/') => Some("may not contain '/'".to_owned()),
                _ if name.contains('%') => Some("may not contain '%'".to_owned()),
                _ => None,
            };
        }
    };
    if name.len() > limit {
        Some(format!("must be no more than {limit} characters"))
    } else if fits(pattern, name) {
        None
    } else {
        Some(words.to_owned())
    }
}

/// Whether this is a valid value of a label.
pub(crate) fn is_label_value(value: &str) -> bool {
    value.len() <= 63 && fits(&LABEL_VALUE, value)
}

/// Whether this is a valid key of a label or annotation.
pub(crate) fn qualified_name_flaw(key: &str) -> Option<String> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if prefix.is_empty() {
                return Some("prefix part must be non-empty".to_owned());
            }
            if let Some(flaw) = name_flaw(NameRule::Subdomain, prefix) {
                return Some(format!("prefix part {flaw}"));
            }
            name
        }
        None => key,
    };
    if name.is_empty() {
        Some("name part must be non-empty".to_owned())
    } else if name.len() > 63 {
        Some("name part must be no more than 63 characters".to_owned())
    } else if fits(&QUALIFIED, name) {
        None
    } else {
        Some(QUALIFIED_RULE.to_owned())
    }
}

/// Labels at a field path, as on metadata or in a pod template.
pub(crate) fn label_flaws(labels: Option<&Value>, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        if let Some(flaw) = qualified_name_flaw(key) {
            errors.push(FieldError::invalid(path, &Value::from(key.as_str()), flaw));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            errors.push(FieldError::invalid(path, value, "must be no more than 63 bytes"));
        } else if !is_label_value(text) {
            errors.push(FieldError::invalid(path, value, LABEL_VALUE_RULE));
        }
    }
    errors
}

/// All that is wrong with the metadata of an object that is about to be stored.
pub(crate) fn flaws(metadata: &Map<String, Value>, rule: NameRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    let generate = metadata.get("generateName").and_then(Value::as_str).unwrap_or_default();
    if !generate.is_empty() {
        // The real server checks the prefix as if it were a whole name, with a trailing '-' allowed.
        let trimmed = format!("{}a", generate);
        if let Some(flaw) = name_flaw(rule, &trimmed) {
            errors.push(FieldError::invalid("metadata.generateName", &generate.into(), flaw));
        }
    }
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if let Some(flaw) = name_flaw(rule, name) {
        errors.push(FieldError::invalid("metadata.name", &name.into(), flaw));
    }
    errors.extend(label_flaws(metadata.get("labels"), "metadata.labels"));
    errors.extend(annotation_flaws(metadata.get("annotations")));
    errors.extend(owner_flaws(metadata.get("ownerReferences")));
    for finalizer in list(metadata.get("finalizers")) {
        let text = finalizer.as_str().unwrap_or_default();
        if let Some(flaw) = qualified_name_flaw(text) {
            errors.push(FieldError::invalid("metadata.finalizers", finalizer, flaw));
        }
    }
    errors
}

fn annotation_flaws(annotations: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        if let Some(flaw) = qualified_name_flaw(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", &key.as_str().into(), flaw));
        }
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS_LIMIT as u64));
    }
    errors
}

fn owner_flaws(owners: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<String> = None;
    for owner in list(owners) {
        // The real server leaves out the index.
        let path = "metadata.ownerReferences";
        for key in ["apiVersion", "kind", "name", "uid"] {
            let text = owner.get(key).and_then(Value::as_str).unwrap_or_default();
            if text.is_empty() {
                let found = owner.get(key).cloned().unwrap_or_else(|| "".into());
                errors.push(FieldError::invalid(
                    format!("{path}.{key}"),
                    &found,
                    if key == "apiVersion" { "version must not be empty" } else { "must not be empty" },
                ));
            }
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            let named = format!("{}/{}", object::text(owner, "/kind"), object::text(owner, "/name"));
            if let Some(first) = &controller {
                errors.push(FieldError::invalid(
                    "metadata.ownerReferences",
                    &Value::Array(list(owners).cloned().collect()),
                    format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {named}"),
                ));
            }
            controller.get_or_insert(named);
        }
    }
    errors
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_checked_field_by_field() {
        let cases = [
            ("valid", json!({"name": "a.b-c", "labels": {"example.com/x": "Y_z"}}), vec![]),
            ("no name", json!({}), vec!["metadata.name"]),
            ("capitals", json!({"name": "Abc"}), vec!["metadata.name"]),
            ("a label value with a space", json!({"name": "a", "labels": {"x": "a b"}}), vec!["metadata.labels"]),
            ("a label key with two slashes", json!({"name": "a", "labels": {"a/b/c": ""}}), vec!["metadata.labels"]),
            (
                "an owner without uid",
                json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
                vec!["metadata.ownerReferences.uid"],
            ),
            (
                "two controllers",
                json!({"name": "a", "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": true},
                    {"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "2", "controller": true}]}),
                vec!["metadata.ownerReferences"],
            ),
            ("a finalizer with a space", json!({"name": "a", "finalizers": ["x y"]}), vec!["metadata.finalizers"]),
        ];
        for (why, metadata, want) in cases {
            let found: Vec<String> = flaws(metadata.as_object().unwrap(), NameRule::Subdomain)
                .into_iter()
                .map(|error| error.field)
                .collect();
            assert_eq!(found, want, "{why}");
        }
    }

    #[test]
    fn metadata_of_the_wrong_type_cannot_be_decoded() {
        let mut object = json!({"metadata": {"labels": {"a": 1}}});
        assert!(decode(&mut object).unwrap_err().starts_with("metadata.labels.a"));
        let mut object = json!({"metadata": {"name": "a", "creationTimestamp": null, "nmae": "b"}});
        assert_eq!(decode(&mut object), Ok(vec!["metadata.nmae".to_owned()]));
        assert_eq!(object["metadata"], json!({"name": "a"}));
    }
}
