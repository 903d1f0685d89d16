//! Schema pieces that the derive cannot express.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::{Schema, SchemaGenerator, json_schema};

/// A point in time, RFC 3339 with any precision, as the API server checks it.
pub(crate) fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// A pod template that is kept as written. Its own schema would take a CRD beyond what client-side
/// `kubectl apply` can store in its annotation, so the controller validates it instead.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A list of any JSON values. A diagnosis' failure may be a text or an object.
pub(crate) fn list_of_anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": true}})
}

/// A length of time as Kubernetes writes it: "90s", "5m", "1h30m".
pub(crate) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"})
}

/// The same where it may be left out.
pub(crate) fn optional_duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$", "nullable": true})
}

/// Points in time by name.
pub(crate) fn timestamps(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": {"type": "string", "format": "date-time"}})
}

/// An object that is kept as written.
pub(crate) fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "nullable": true})
}

/// What the derive leaves out: every kind shows in `kubectl get aegis`.
pub(crate) fn completed(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.spec.names.categories.get_or_insert_default().push("aegis".to_owned());
    crd
}
