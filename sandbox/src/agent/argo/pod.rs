//! The pod that runs a container or script template, as Argo makes it: same name, labels, annotations and owner.

use serde_json::{Map, Value, json};

use super::execute::Place;
use super::manifest::{Body, PodFields, Template, Workflow};
use super::names::{self, COMPLETED_LABEL, WORKFLOW_LABEL};
use super::tags::Scope;
use crate::agent::duration;

/// Where a script stands in its pod.
pub(crate) const SCRIPT_PATH: &str = "/argo/staging/script";
/// The variable that tells a pod its template, and with it the script's source.
pub(crate) const TEMPLATE_VARIABLE: &str = "ARGO_TEMPLATE";
/// On the pods of an exit handler.
const ON_EXIT_LABEL: &str = "workflows.argoproj.io/on-exit";

/// The pod called `name` for the template at `place`, every tag filled in. The error is why one could not be.
pub(super) fn manifest(
    workflow: &Workflow,
    place: &Place,
    template: &Template,
    name: &str,
    scope: &Scope,
    exit_handler: bool,
) -> Result<Value, String> {
    let main = main_container(template, scope)?;
    let of_workflow = filled(&workflow.spec.pod, scope)?;
    let of_template = filled(&template.pod, scope)?;
    let mut spec = of_workflow.spec;
    for (key, value) in of_template.spec {
        join(&mut spec, key, value);
    }
    if let Some(deadline) = &template.deadline {
        let text = scope.fill(deadline)?;
        let deadline = duration::parse(&text).map_err(|why| format!("activeDeadlineSeconds: {why}"))?;
        spec.insert("activeDeadlineSeconds".to_owned(), json!(deadline.as_secs().max(1)));
    }
    spec.insert("restartPolicy".to_owned(), json!("Never"));
    spec.insert("containers".to_owned(), json!([main]));

    let mut labels = of_workflow.labels;
    labels.extend(of_template.labels);
    labels.insert(WORKFLOW_LABEL.to_owned(), json!(workflow.name));
    labels.insert(COMPLETED_LABEL.to_owned(), json!("false"));
    if exit_handler {
        labels.insert(ON_EXIT_LABEL.to_owned(), json!("true"));
    }
    let mut annotations = of_workflow.annotations;
    annotations.extend(of_template.annotations);
    annotations.insert("kubectl.kubernetes.io/default-container".to_owned(), json!("main"));
    annotations.insert("workflows.argoproj.io/node-name".to_owned(), json!(place.name));
    annotations.insert("workflows.argoproj.io/node-id".to_owned(), json!(names::node_id(&workflow.name, &place.name)));
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": workflow.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "name": workflow.name,
                "uid": workflow.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": spec,
    }))
}

fn main_container(template: &Template, scope: &Scope) -> Result<Map<String, Value>, String> {
    let (container, source) = match &template.body {
        Body::Container(container) => (container, None),
        Body::Script { container, source } => (container, Some(scope.fill(source)?)),
        Body::Steps(_) | Body::Dag { .. } => {
            return Err(format!("template '{}' makes no pod of its own", template.name));
        }
    };
    let mut container = filled_map(container, scope)?;
    container.insert("name".to_owned(), json!("main"));
    if let Some(source) = source {
        let takes_path = if container.contains_key("command") { "command" } else { "args" };
        append(&mut container, takes_path, json!(SCRIPT_PATH));
        let variable = json!({"script": {"source": source}}).to_string();
        append(&mut container, "env", json!({"name": TEMPLATE_VARIABLE, "value": variable}));
    }
    Ok(container)
}

fn append(container: &mut Map<String, Value>, key: &str, item: Value) {
    match container.get_mut(key) {
        Some(Value::Array(items)) => items.push(item),
        _ => {
            container.insert(key.to_owned(), json!([item]));
        }
    }
}

/// Tolerations and volumes of workflow and template add up; of everything else the template's stands.
fn join(spec: &mut Map<String, Value>, key: String, value: Value) {
    match (spec.get_mut(&key), value) {
        (Some(Value::Array(known)), Value::Array(more)) if key == "tolerations" || key == "volumes" => {
            known.extend(more)
        }
        (_, value) => {
            spec.insert(key, value);
        }
    }
}

fn filled(fields: &PodFields, scope: &Scope) -> Result<PodFields, String> {
    Ok(PodFields {
        spec: filled_map(&fields.spec, scope)?,
        labels: filled_map(&fields.labels, scope)?,
        annotations: filled_map(&fields.annotations, scope)?,
    })
}

fn filled_map(map: &Map<String, Value>, scope: &Scope) -> Result<Map<String, Value>, String> {
    map.iter().map(|(key, value)| Ok((key.clone(), scope.fill_value(value)?))).collect()
}
