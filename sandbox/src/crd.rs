//! CustomResourceDefinitions: their own rules, and the kinds that they add to the server.

use serde_json::{Value, json};

use crate::jsonpath::JsonPath;
use crate::kind::{Column, Conversion, Kind, Nature, SchemaSource, Version};
use crate::object::{self, default_to, map_mut, text};
use crate::schema::compile_custom;
use crate::status::FieldError;

/// Keeps a definition until the objects of its kind are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The table in which definitions are kept.
pub(crate) const TABLE: &str = "customresourcedefinitions.apiextensions.k8s.io";

pub(crate) fn default(crd: &mut Value) {
    let spec = map_mut(crd, "spec");
    default_to(spec, "conversion", json!({"strategy": "None"}));
    let names = spec.entry("names").or_insert_with(|| json!({}));
    if let Value::Object(names) = names {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !kind.is_empty() {
            default_to(names, "singular", kind.to_lowercase());
            default_to(names, "listKind", format!("{kind}List"));
        }
    }
}

pub(crate) fn create(crd: &mut Value) {
    let created = object::meta_text(crd, "creationTimestamp").to_owned();
    let accepted = crd.pointer("/spec/names").cloned().unwrap_or_default();
    let stored: Vec<Value> = stored_version(crd).into_iter().map(Value::from).collect();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": created});
    if let Value::Object(crd) = crd {
        crd.insert(
            "status".into(),
            json!({
                "conditions": [
                    condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                    condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
                ],
                "acceptedNames": accepted,
                "storedVersions": stored,
            }),
        );
    }
}

pub(crate) fn update(new: &mut Value, _old: &Value) {
    let accepted = new.pointer("/spec/names").cloned().unwrap_or_default();
    let stored = stored_version(new).map(String::from);
    let status = map_mut(new, "status");
    status.insert("acceptedNames".into(), accepted);
    if let (Some(stored), Some(Value::Array(versions))) = (stored, status.get_mut("storedVersions"))
        && !versions.iter().any(|version| *version == stored)
    {
        versions.push(stored.into());
    }
}

fn stored_version(crd: &Value) -> Option<&str> {
    object::items(crd, "/spec/versions").find(|version| flag(version, "storage")).map(|version| text(version, "/name"))
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

pub(crate) fn validate(crd: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let plural = text(crd, "/spec/names/plural");
    let group = text(crd, "/spec/group");
    let name = object::name(crd);
    let wanted = format!("{plural}.{group}");
    if name != wanted {
        errors.push(FieldError::invalid(
            "metadata.name",
            &name.into(),
            format!("must be spec.names.plural+\".\"+spec.group: {wanted:?}"),
        ));
    }
    for (path, pointer) in [
        ("spec.group", "/spec/group"),
        ("spec.names.plural", "/spec/names/plural"),
        ("spec.names.kind", "/spec/names/kind"),
    ] {
        if text(crd, pointer).is_empty() {
            errors.push(FieldError::required(path, ""));
        }
    }
    if !group.is_empty() && !group.contains('.') {
        errors.push(FieldError::invalid("spec.group", &group.into(), "should be a domain with at least one dot"));
    }
    let scope = text(crd, "/spec/scope");
    if !matches!(scope, "Cluster" | "Namespaced") {
        errors.push(FieldError::not_supported(
            "spec.scope",
            &scope.into(),
            &["Cluster".to_owned(), "Namespaced".to_owned()],
        ));
    }
    if text(crd, "/spec/conversion/strategy") == "Webhook" {
        errors.push(FieldError::not_supported("spec.conversion.strategy", &"Webhook".into(), &["None".to_owned()]));
    }
    let storing = object::items(crd, "/spec/versions").filter(|version| flag(version, "storage")).count();
    if storing != 1 {
        errors.push(FieldError::invalid(
            "spec.versions",
            &crd.pointer("/spec/versions").cloned().unwrap_or_default(),
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in object::items(crd, "/spec/versions").enumerate() {
        errors.extend(version_of(version, &format!("spec.versions[{index}]")).err().unwrap_or_default());
    }
    if let Some(old) = old {
        for (path, pointer) in
            [("spec.scope", "/spec/scope"), ("spec.group", "/spec/group"), ("spec.names.plural", "/spec/names/plural")]
        {
            if text(crd, pointer) != text(old, pointer) {
                errors.push(FieldError::invalid(path, &text(crd, pointer).into(), "field is immutable"));
            }
        }
    }
    errors
}

fn version_of(version: &Value, path: &str) -> Result<Version, Vec<FieldError>> {
    let Some(published) = version.pointer("/schema/openAPIV3Schema") else {
        return Err(vec![FieldError::required(format!("{path}.schema.openAPIV3Schema"), "schemas are required")]);
    };
    let schema = compile_custom(published, &format!("{path}.schema.openAPIV3Schema"))?;
    let mut columns = Vec::new();
    for (index, column) in object::items(version, "/additionalPrinterColumns").enumerate() {
        let source = text(column, "/jsonPath");
        match JsonPath::parse(source) {
            Ok(path) => columns.push(Column {
                name: text(column, "/name").to_owned(),
                kind: text(column, "/type").to_owned(),
                format: text(column, "/format").to_owned(),
                description: text(column, "/description").to_owned(),
                priority: column.get("priority").and_then(Value::as_i64).unwrap_or(0),
                path,
            }),
            Err(error) => {
                return Err(vec![FieldError::invalid(
                    format!("{path}.additionalPrinterColumns[{index}].jsonPath"),
                    &source.into(),
                    error,
                )]);
            }
        }
    }
    if columns.is_empty() {
        columns.push(Column {
            name: "Age".to_owned(),
            kind: "date".to_owned(),
            format: String::new(),
            description: "CreationTimestamp is a timestamp representing the server time when this object was created."
                .to_owned(),
            priority: 0,
            path: JsonPath::parse(".metadata.creationTimestamp").unwrap_or_default(),
        });
    }
    Ok(Version {
        name: text(version, "/name").to_owned(),
        schema: SchemaSource::Ready(schema),
        status: version.pointer("/subresources/status").is_some(),
        columns,
        selectable: object::items(version, "/selectableFields")
            .map(|field| text(field, "/jsonPath").to_owned())
            .collect(),
        conversion: Conversion::ApiVersion,
        published: Some(published.clone()),
    })
}

/// The kind that a valid definition adds.
pub(crate) fn kind(crd: &Value) -> Result<Kind, Vec<FieldError>> {
    let words = |pointer: &str| -> Vec<String> {
        object::items(crd, pointer).filter_map(|word| Some(word.as_str()?.to_owned())).collect()
    };
    let group = text(crd, "/spec/group");
    let plural = text(crd, "/spec/names/plural");
    let mut versions = Vec::new();
    for (index, version) in object::items(crd, "/spec/versions").enumerate() {
        if flag(version, "served") {
            versions.push(version_of(version, &format!("spec.versions[{index}]"))?);
        }
    }
    Ok(Kind {
        group: group.to_owned(),
        kind: text(crd, "/spec/names/kind").to_owned(),
        list_kind: text(crd, "/spec/names/listKind").to_owned(),
        plural: plural.to_owned(),
        singular: text(crd, "/spec/names/singular").to_owned(),
        short_names: words("/spec/names/shortNames"),
        categories: words("/spec/names/categories"),
        namespaced: text(crd, "/spec/scope") == "Namespaced",
        table: format!("{plural}.{group}").into(),
        stored_api_version: format!("{group}/{}", stored_version(crd).unwrap_or_default()),
        versions,
        nature: Nature::Custom,
    })
}

/// The definition of Argo's Workflow as Argo itself installs it: any spec and status, status not a subresource.
pub(crate) fn argo_workflow() -> Value {
    let free =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-map-type": "atomic"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "workflows.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {
                "kind": "Workflow", "listKind": "WorkflowList", "plural": "workflows", "singular": "workflow", "shortNames": ["wf"],
            },
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": [
                    {"name": "Status", "type": "string", "jsonPath": ".status.phase", "description": "Status of the workflow"},
                    {"name": "Age", "type": "date", "format": "date-time", "jsonPath": ".status.startedAt", "description": "When the workflow was started"},
                    {"name": "Message", "type": "string", "jsonPath": ".status.message", "description": "Human readable message indicating details about why the workflow is in this condition."},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "required": ["metadata", "spec"],
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "kind": {"type": "string"},
                        "metadata": {"type": "object"},
                        "spec": free,
                        "status": free,
                    },
                }},
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd() -> Value {
        let mut crd = argo_workflow();
        default(&mut crd);
        crd
    }

    #[test]
    fn a_definition_is_checked_where_it_is_wrong() {
        assert_eq!(validate(&crd(), None), []);
        type Spoil = fn(&mut Value);
        let cases: [(&str, Spoil, &str); 5] = [
            ("another name", |crd| crd["metadata"]["name"] = "x".into(), "metadata.name"),
            ("no scope", |crd| crd["spec"]["scope"] = "".into(), "spec.scope"),
            ("nothing stored", |crd| crd["spec"]["versions"][0]["storage"] = false.into(), "spec.versions"),
            (
                "a bad pattern",
                |crd| {
                    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["x"] =
                        json!({"type": "string", "pattern": "("})
                },
                "spec.versions[0].schema.openAPIV3Schema.properties[x].pattern",
            ),
            (
                "a bad column",
                |crd| crd["spec"]["versions"][0]["additionalPrinterColumns"][0]["jsonPath"] = "spec".into(),
                "spec.versions[0].additionalPrinterColumns[0].jsonPath",
            ),
        ];
        for (why, spoil, want) in cases {
            let mut bad = crd();
            spoil(&mut bad);
            let found: Vec<String> = validate(&bad, None).into_iter().map(|error| error.field).collect();
            assert_eq!(found, [want], "{why}");
        }
    }
}
