//! What the rendered object is and which rights it asks for, for the planner to judge.

use serde_json::{Map, Value};

use super::Flaw;
use super::setting::{self, Step};

/// What carries a rendered object out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// A `Workflow` of `argoproj.io`.
    Argo,
    /// A `Job` of `batch/v1`.
    Job,
}

/// One ServiceAccount that a rendered object asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// The field that names it, such as `spec.templates[0].serviceAccountName`.
    pub field: String,
    /// Its name. It may be one of Argo's tags, which is on no list.
    pub name: String,
}

/// The executor of a rendered object.
///
/// # Errors
/// The object is neither a Workflow nor a Job, or its metadata or spec is not a mapping.
pub fn object(object: &Value) -> Result<Executor, Flaw> {
    let Value::Object(map) = object else {
        return Err(Flaw::new("the template renders no object").hint("it must render one mapping"));
    };
    let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let executor = match (kind, api_version.split_once('/')) {
        ("Workflow", Some(("argoproj.io", _))) => Executor::Argo,
        ("Job", Some(("batch", "v1"))) => Executor::Job,
        _ => {
            return Err(Flaw::new(format!(
                "found kind {kind:?} of apiVersion {api_version:?}, expected a Workflow of argoproj.io/v1alpha1 or \
                 a Job of batch/v1"
            ))
            .field("kind"));
        }
    };
    for key in ["metadata", "spec"] {
        match map.get(key) {
            Some(Value::Object(_)) => {}
            None if key == "metadata" => {}
            None => {
                return Err(Flaw::new(format!("the {kind} has no {key}")).field(key));
            }
            Some(other) => {
                return Err(Flaw::new(format!("found {}, expected a mapping", noun(other))).field(key));
            }
        }
    }
    Ok(executor)
}

/// The namespace that a rendered object names itself, if any.
pub fn namespace(object: &Value) -> Option<&str> {
    object.pointer("/metadata/namespace")?.as_str()
}

/// Every ServiceAccount that a rendered object asks for, in patches of pods too. An object that names none runs
/// as the one called `default`, which is then in the list with the field that should name another.
///
/// # Errors
/// A patch speaks of a ServiceAccount but cannot be read.
pub fn service_accounts(object: &Value) -> Result<Vec<ServiceAccount>, Flaw> {
    let mut found = Vec::new();
    let mut path = Vec::new();
    if let Some(spec) = object.get("spec") {
        path.push(Step::Key("spec"));
        collect(spec, &mut path, &mut found)?;
    }
    let main = match object.get("kind").and_then(Value::as_str) {
        Some("Job") => ["spec.template.spec.serviceAccountName", "spec.template.spec.serviceAccount"],
        _ => ["spec.serviceAccountName", "spec.serviceAccountName"],
    };
    if !found.iter().any(|account| main.contains(&account.field.as_str())) {
        found.push(ServiceAccount {
            field: main.first().copied().unwrap_or_default().to_owned(),
            name: "default".to_owned(),
        });
    }
    Ok(found)
}

fn collect<'v>(value: &'v Value, path: &mut Vec<Step<'v>>, found: &mut Vec<ServiceAccount>) -> Result<(), Flaw> {
    match value {
        Value::Object(map) => collect_mapping(map, path, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Index(index));
                collect(item, path, found)?;
                path.pop();
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn collect_mapping<'v>(
    map: &'v Map<String, Value>,
    path: &mut Vec<Step<'v>>,
    found: &mut Vec<ServiceAccount>,
) -> Result<(), Flaw> {
    for (key, value) in map {
        path.push(Step::Key(key));
        match (key.as_str(), value) {
            // Keys that people choose say nothing.
            ("labels" | "annotations" | "matchLabels" | "nodeSelector", _) => {}
            ("serviceAccountName" | "serviceAccount", Value::String(name)) if !name.is_empty() => {
                found.push(ServiceAccount { field: setting::path(path), name: name.clone() });
            }
            ("podSpecPatch", Value::String(patch)) => patched(patch, path, found)?,
            _ => collect(value, path, found)?,
        }
        path.pop();
    }
    Ok(())
}

fn patched(patch: &str, path: &[Step<'_>], found: &mut Vec<ServiceAccount>) -> Result<(), Flaw> {
    // Escapes in quoted keys are legal YAML, so what cannot be read is not searched as text alone.
    match serde_saphyr::from_str::<Value>(patch) {
        Ok(value) => collect(&value, &mut path.to_vec(), found),
        Err(_) if !patch.contains("erviceAccount") && !patch.contains('\\') => Ok(()),
        Err(error) => Err(Flaw::new(format!("the patch speaks of a ServiceAccount but is not readable YAML: {error}"))
            .field(setting::path(path))
            .hint("quote Argo's tags, or name the ServiceAccount in the template")),
    }
}

fn noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_workflows_and_jobs_are_carried_out() {
        let of = |api_version: &str, kind: &str| object(&json!({"apiVersion": api_version, "kind": kind, "spec": {}}));
        assert_eq!(of("argoproj.io/v1alpha1", "Workflow"), Ok(Executor::Argo));
        assert_eq!(of("batch/v1", "Job"), Ok(Executor::Job));
        for (api_version, kind) in [
            ("v1", "Pod"),
            ("argoproj.io/v1alpha1", "CronWorkflow"),
            ("batch/v1beta1", "Job"),
            ("evil.io/v1", "Workflow"),
            ("argoproj.io", "Workflow"),
        ] {
            let flaw = of(api_version, kind).unwrap_err();
            assert!(flaw.to_string().contains("expected a Workflow"), "{flaw}");
        }
        assert!(object(&json!([])).is_err());
        let spec = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": "text"});
        assert_eq!(object(&spec).unwrap_err().field.as_deref(), Some("spec"));
    }

    #[test]
    fn every_service_account_is_found() {
        let workflow = json!({
            "kind": "Workflow",
            "metadata": {"labels": {"serviceAccountName": "label"}},
            "spec": {
                "serviceAccountName": "main",
                "executor": {"serviceAccountName": "executor"},
                "podSpecPatch": "{\"serviceAccountName\": \"patch\"}",
                "artifactGC": {"serviceAccountName": "gc"},
                "templates": [{
                    "serviceAccountName": "{{workflow.parameters.sa}}",
                    "podSpecPatch": "\"serviceAccoun\\u0074\": inner",
                }],
            },
        });
        let names: Vec<(String, String)> =
            service_accounts(&workflow).unwrap().into_iter().map(|account| (account.field, account.name)).collect();
        let expected = [
            ("spec.serviceAccountName", "main"),
            ("spec.executor.serviceAccountName", "executor"),
            ("spec.podSpecPatch.serviceAccountName", "patch"),
            ("spec.artifactGC.serviceAccountName", "gc"),
            ("spec.templates[0].serviceAccountName", "{{workflow.parameters.sa}}"),
            ("spec.templates[0].podSpecPatch.serviceAccount", "inner"),
        ];
        assert_eq!(names.len(), expected.len(), "{names:?}");
        for (field, name) in expected {
            assert!(names.contains(&(field.to_owned(), name.to_owned())), "{field} in {names:?}");
        }
    }

    #[test]
    fn an_object_without_a_service_account_runs_as_default() {
        let names = |object: &Value| -> Vec<String> {
            let accounts = service_accounts(object).unwrap();
            accounts.into_iter().map(|account| account.name).collect()
        };
        assert_eq!(names(&json!({"kind": "Workflow", "spec": {}})), ["default"]);
        let job = json!({"kind": "Job", "spec": {"template": {"spec": {"serviceAccountName": "a"}}}});
        assert_eq!(names(&job), ["a"]);
    }

    #[test]
    fn a_patch_that_hides_a_service_account_is_refused() {
        let hiding = json!({"kind": "Workflow", "spec": {"podSpecPatch": "{serviceAccountName: {{x}}"}});
        assert!(service_accounts(&hiding).is_err());
        let other = json!({"kind": "Workflow", "spec": {"podSpecPatch": "{hostname: {{x}}"}});
        assert!(service_accounts(&other).is_ok());
    }
}
