//! The definitions that the API server serves, against those that this plugin was built with.

use std::collections::BTreeSet;

use kube::Client;
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Failure, is_unknown_kind};

/// The schemas of a group's version, which everybody who is logged in may read.
const SCHEMAS: &str = "/openapi/v3/apis/aegis.io/v1alpha1";

/// How one definition stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Definition {
    pub(crate) kind: String,
    pub(crate) standing: Standing,
    /// Fields that this plugin knows and the cluster does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lacks: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum Standing {
    /// The fields are the same.
    Same,
    /// The cluster has fields that this plugin does not know, and lacks none.
    Newer,
    /// The cluster lacks fields.
    Older,
    /// The cluster does not have it.
    Missing,
}

impl Definition {
    /// What does not go together, as a sentence.
    pub(crate) fn skew(&self) -> Option<String> {
        let kind = &self.kind;
        match self.standing {
            Standing::Same => None,
            Standing::Missing => Some(format!("the cluster does not know {kind}")),
            Standing::Newer => Some(format!("the cluster's {kind} has fields that this plugin does not know")),
            Standing::Older => {
                let some = self.lacks.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
                Some(format!("the cluster's {kind} lacks {some}"))
            }
        }
    }
}

/// How every definition stands in the cluster.
pub(crate) async fn served(client: &Client) -> Result<Vec<Definition>, Failure> {
    let failed = |error| Failure::of_call("could not read the schemas of aegis.io", error);
    let request =
        http::Request::get(SCHEMAS).body(Vec::new()).map_err(|error| failed(kube::Error::HttpError(error)))?;
    let schemas: Value = match client.request(request).await {
        Ok(schemas) => schemas,
        Err(kube::Error::Api(status)) if status.code == 404 || is_unknown_kind(&status) => Value::Null,
        Err(error) => return Err(failed(error)),
    };
    compared(&schemas).map_err(|error| failed(kube::Error::SerdeError(error)))
}

fn compared(schemas: &Value) -> Result<Vec<Definition>, serde_json::Error> {
    let served: Vec<&Value> = schemas
        .pointer("/components/schemas")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|all| all.values())
        .collect();
    let mut definitions = Vec::new();
    for definition in aegis_crds::definitions() {
        let kind = definition.spec.names.kind.clone();
        let known = serde_json::to_value(&definition)?;
        let known = known.pointer("/spec/versions/0/schema/openAPIV3Schema").map(fields).unwrap_or_default();
        let found = served.iter().find(|schema| {
            let is = |gvk: &Value| gvk.get("kind").and_then(Value::as_str) == Some(kind.as_str());
            let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            kinds.is_some_and(|kinds| kinds.iter().any(is))
        });
        definitions.push(match found.map(|schema| fields(schema)) {
            None => Definition { kind, standing: Standing::Missing, lacks: Vec::new() },
            Some(found) => {
                let lacks: Vec<String> = known.difference(&found).cloned().collect();
                let standing = match (lacks.is_empty(), found.is_subset(&known)) {
                    (false, _) => Standing::Older,
                    (true, false) => Standing::Newer,
                    (true, true) => Standing::Same,
                };
                Definition { kind, standing, lacks }
            }
        });
    }
    Ok(definitions)
}

/// The paths of all fields below spec and status.
fn fields(schema: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for part in ["spec", "status"] {
        if let Some(inner) = schema.pointer(&format!("/properties/{part}")) {
            collect(inner, part, &mut paths);
        }
    }
    paths
}

fn collect(schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        collect(inner, &path, paths);
        paths.insert(path);
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|part| schema.get(part)) {
        collect(inner, path, paths);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The schemas as an API server of this version serves them.
    fn schemas() -> Value {
        let mut all = serde_json::Map::new();
        for definition in aegis_crds::definitions() {
            let kind = definition.spec.names.kind.clone();
            let definition = serde_json::to_value(&definition).unwrap();
            let mut schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
            schema["x-kubernetes-group-version-kind"] =
                json!([{"group": "aegis.io", "kind": kind, "version": "v1alpha1"}]);
            all.insert(format!("io.aegis.v1alpha1.{kind}"), schema);
        }
        json!({"components": {"schemas": all}})
    }

    fn alert(schemas: &Value) -> Definition {
        compared(schemas).unwrap().into_iter().find(|one| one.kind == "AegisAlert").unwrap()
    }

    #[test]
    fn a_definition_is_compared_field_by_field() {
        let same = schemas();
        assert!(compared(&same).unwrap().iter().all(|one| one.standing == Standing::Same && one.skew().is_none()));
        let spec = "/components/schemas/io.aegis.v1alpha1.AegisAlert/properties/spec/properties";
        let mut older = same.clone();
        older.pointer_mut(spec).unwrap().as_object_mut().unwrap().remove("startsAt");
        assert_eq!(alert(&older).skew().unwrap(), "the cluster's AegisAlert lacks spec.startsAt");
        let mut newer = same.clone();
        newer.pointer_mut(spec).unwrap()["colour"] = json!({"type": "string"});
        assert_eq!(alert(&newer).standing, Standing::Newer);
        assert_eq!(alert(&Value::Null).standing, Standing::Missing);
    }
}
