//! OpenAPI v3 documents: what kubectl needs to check a manifest, to apply it and to explain a kind.

use std::sync::Arc;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::builtin::merge_key;
use crate::kind::{Kind, Nature};
use crate::registry::Index;
use crate::status::ApiError;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// /openapi/v3
pub(super) fn index(index: &Index) -> Value {
    let mut paths = Map::new();
    for kind in index.kinds() {
        for version in &kind.versions {
            let path = if kind.group.is_empty() {
                format!("api/{}", version.name)
            } else {
                format!("apis/{}/{}", kind.group, version.name)
            };
            let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
            paths.insert(path, url);
        }
    }
    json!({"paths": paths})
}

/// /openapi/v3/api/v1 and /openapi/v3/apis/GROUP/VERSION
pub(super) fn document(index: &Index, group: &str, version: &str) -> Result<Value, ApiError> {
    let kinds: Vec<&Arc<Kind>> = index
        .kinds()
        .iter()
        .filter(|kind| kind.group == group && kind.versions.iter().any(|served| served.name == version))
        .collect();
    if kinds.is_empty() {
        return Err(ApiError::no_such_page());
    }
    let mut generator = SchemaSettings::openapi3().into_generator();
    let mut named: Vec<(&Kind, String)> = Vec::new();
    let mut custom = Map::new();
    for kind in kinds {
        match kind.nature {
            Nature::Builtin(builtin) => {
                let schema = (builtin.publish)(&mut generator).to_value();
                let reference = schema.get("$ref").and_then(Value::as_str).unwrap_or_default();
                named.push((kind, reference.rsplit('/').next().unwrap_or_default().to_owned()));
            }
            Nature::Custom => {
                // Custom resources refer to ObjectMeta, so it must be there.
                generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>();
                let mut parts: Vec<&str> = kind.group.split('.').collect();
                parts.reverse();
                let name = format!("{}.{version}.{}", parts.join("."), kind.kind);
                custom.insert(name.clone(), published(kind, version));
                named.push((kind, name));
            }
        }
    }
    let mut schemas = generator.take_definitions(true);
    for (name, schema) in &mut schemas {
        add_merge_keys(name, schema);
    }
    schemas.extend(custom);
    for (kind, name) in &named {
        if let Some(Value::Object(schema)) = schemas.get_mut(name) {
            schema.insert("x-kubernetes-group-version-kind".into(), json!([gvk(kind, version)]));
        }
    }
    let mut paths = Map::new();
    for (kind, name) in &named {
        let (path, item) = path(kind, version, name);
        paths.insert(path, item);
    }
    Ok(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": crate::VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn gvk(kind: &Kind, version: &str) -> Value {
    json!({"group": kind.group, "version": version, "kind": kind.kind})
}

fn published(kind: &Kind, version: &str) -> Value {
    let mut schema = kind
        .versions
        .iter()
        .find(|served| served.name == version)
        .and_then(|served| served.published.clone())
        .unwrap_or_else(|| json!({"type": "object"}));
    if let Value::Object(map) = &mut schema {
        let properties = map.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            properties.insert("apiVersion".into(), json!({"type": "string"}));
            properties.insert("kind".into(), json!({"type": "string"}));
            properties.insert(
                "metadata".into(),
                json!({"allOf": [{"$ref": format!("#/components/schemas/{OBJECT_META}")}], "default": {}}),
            );
        }
    }
    schema
}

fn path(kind: &Kind, version: &str, name: &str) -> (String, Value) {
    let root =
        if kind.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", kind.group) };
    let namespace = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let path = format!("{root}{namespace}/{}/{{name}}", kind.plural);
    let schema = json!({"$ref": format!("#/components/schemas/{name}")});
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let written = json!([parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")]);
    let mut patches =
        vec!["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
    if matches!(kind.nature, Nature::Builtin(_)) {
        patches.push("application/strategic-merge-patch+json");
    }
    let content: Map<String, Value> =
        patches.into_iter().map(|patch| (patch.to_owned(), json!({"schema": {"type": "object"}}))).collect();
    let answers = json!({"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}});
    let operation = |action: &str, parameters: Value, body: Option<Value>| {
        let mut operation = json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk(kind, version),
            "parameters": parameters,
            "responses": answers,
        });
        if let (Some(body), Value::Object(operation)) = (body, &mut operation) {
            operation.insert("requestBody".into(), json!({"content": body}));
        }
        operation
    };
    let item = json!({
        "get": operation("get", json!([]), None),
        "put": operation("put", written.clone(), Some(json!({"application/json": {"schema": schema}}))),
        "patch": operation("patch", written, Some(Value::Object(content))),
    });
    (path, item)
}

/// Tells how the lists of a type are merged.
fn add_merge_keys(type_name: &str, schema: &mut Value) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    for (field, property) in properties {
        let (Some(key), Value::Object(property)) = (merge_key(type_name, field), property) else {
            continue;
        };
        property.insert("x-kubernetes-patch-strategy".into(), "merge".into());
        if !key.is_empty() {
            property.insert("x-kubernetes-patch-merge-key".into(), key.into());
        }
    }
}
