//! What an administrator writes, as scenarios need it: rules with their templates, and the smallest procedure there is.

use aegis_crds::names::GROUP;
use serde_json::{Value, json};

/// A rule for firing alerts whose type matches, and a template of the same name that it leads to.
pub fn rule(name: &str, type_: &str, manifest: &Value) -> [Value; 2] {
    let version = format!("{GROUP}/v1alpha1");
    [
        json!({
            "apiVersion": version, "kind": "AegisAlertOpsRule", "metadata": {"name": name},
            "spec": {
                "alertConditions": [{"type": type_, "status": "Firing"}],
                "opsTemplate": {"kind": "AegisOpsTemplate", "apiVersion": version, "name": name},
            },
        }),
        json!({
            "apiVersion": version, "kind": "AegisOpsTemplate", "metadata": {"name": name},
            "spec": {"manifest": manifest.to_string()},
        }),
    ]
}

/// A Workflow with these templates of Argo, of which `main` is the first to run.
pub fn workflow(templates: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "spec": {"serviceAccountName": "aegis-workflow", "entrypoint": "main", "templates": templates},
    })
}

/// A Workflow that says the alert's node and ends well.
pub fn echo() -> Value {
    let container = json!({"image": "busybox:latest", "command": ["echo", "{{.node}}"]});
    workflow(&json!([{"name": "main", "container": container}]))
}

/// A Workflow that ends well after a second, without a pod.
pub fn wait() -> Value {
    about_node(&json!({"duration": "1s"}))
}

/// A Workflow that fails after a second, without a pod.
pub fn fail() -> Value {
    let mut workflow = about_node(&json!({}));
    if let Some(spec) = workflow.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("activeDeadlineSeconds".to_owned(), json!(1));
    }
    workflow
}

fn about_node(suspend: &Value) -> Value {
    let mut workflow = workflow(&json!([{"name": "main", "suspend": suspend}]));
    if let Some(spec) = workflow.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("arguments".to_owned(), json!({"parameters": [{"name": "node", "value": "{{.node}}"}]}));
    }
    workflow
}

/// A Workflow in whose one pod the real kubectl runs this script.
pub fn kubectl(script: &str) -> Value {
    let script = json!({"image": "bitnami/kubectl:latest", "command": ["sh"], "source": script});
    workflow(&json!([{"name": "main", "script": script}]))
}

/// A Job that does the same as [`echo`].
pub fn echo_job() -> Value {
    let container = json!({"name": "main", "image": "busybox:latest", "command": ["echo", "{{.node}}"]});
    let pod = json!({"serviceAccountName": "aegis-workflow", "restartPolicy": "Never", "containers": [container]});
    json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}})
}

/// The same rule and template, with this in the rule's spec.
pub fn where_rule(objects: [Value; 2], field: &str, value: Value) -> [Value; 2] {
    let [mut rule, template] = objects;
    if let Some(spec) = rule.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(field.to_owned(), value);
    }
    [rule, template]
}

/// The rule of a recovery, which is for resolved alerts whose type matches, and its template.
pub fn recovery(name: &str, type_: &str, manifest: &Value) -> [Value; 2] {
    let resolved = where_rule(rule(name, type_, manifest), "recovery", json!(true));
    where_rule(resolved, "alertConditions", json!([{"type": type_, "status": "Resolved"}]))
}

/// An object with another value in one of its fields.
pub fn with(mut object: Value, field: &str, value: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    object
}

/// Objects as one text for kubectl.
pub fn list(objects: impl IntoIterator<Item = Value>) -> String {
    let items: Vec<Value> = objects.into_iter().collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}
