//! What tags may name: the workflow, a template's inputs, the results of what ran before, the item of a loop.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::execute::Place;
use super::manifest::{Call, Over, Template, Workflow};
use super::names;
use super::node::{Kind, Node, Nodes, Phase, Value};
use super::tags::Scope;

/// The most items that one call is repeated over.
const MOST_ITEMS: usize = 1_000;

/// What every template of the workflow may name.
pub(super) fn globals(workflow: &Workflow) -> Scope {
    let mut scope = Scope::default();
    let spec = &workflow.spec;
    scope.set("workflow.name", &*workflow.name);
    scope.set("workflow.namespace", &*workflow.namespace);
    scope.set("workflow.uid", &*workflow.uid);
    scope.set("workflow.mainEntrypoint", &*spec.entrypoint);
    let account = spec.pod.spec.get("serviceAccountName").and_then(Json::as_str).unwrap_or("default");
    scope.set("workflow.serviceAccountName", account);
    let created = workflow.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    scope.set("workflow.creationTimestamp.RFC3339", &*created);
    scope.set("workflow.creationTimestamp", created);
    scope.set("workflow.creationTimestamp.s", workflow.created.as_second().to_string());
    for (prefix, entries) in [("labels", &workflow.labels), ("annotations", &workflow.annotations)] {
        for (key, value) in entries {
            scope.set(format!("workflow.{prefix}.{key}"), &**value);
        }
    }
    let parameters: Vec<Json> =
        spec.arguments.iter().map(|parameter| json!({"name": parameter.name, "value": parameter.value})).collect();
    scope.set("workflow.parameters", Json::Array(parameters).to_string());
    for parameter in &spec.arguments {
        // An argument may name the workflow, but not another argument.
        let value = parameter.value.as_deref().unwrap_or_default();
        let value = scope.fill(value).unwrap_or_else(|_| value.to_owned());
        scope.set(format!("workflow.parameters.{}", parameter.name), value);
    }
    scope
}

/// The workflow's own arguments, with which its entrypoint and exit handler are called.
pub(super) fn workflow_arguments(workflow: &Workflow, globals: &Scope) -> Vec<(String, String)> {
    let names = workflow.spec.arguments.iter().map(|parameter| parameter.name.clone());
    names
        .filter_map(|name| globals.fill(&format!("{{{{workflow.parameters.{name}}}}}")).ok().map(|value| (name, value)))
        .collect()
}

/// What an exit handler may name besides.
pub(super) fn add_outcome(
    scope: &mut Scope,
    nodes: &Nodes,
    workflow: &Workflow,
    phase: Phase,
    started: Timestamp,
    now: Timestamp,
) {
    let exit = Place::exit_handler(&workflow.name).name;
    let failures: Vec<Json> = nodes
        .values()
        .filter(|node| node.kind == Kind::Pod && node.phase.is_bad() && !node.name.starts_with(&exit))
        .map(|node| {
            json!({
                "displayName": node.display_name,
                "message": node.message,
                "templateName": node.template_name,
                "phase": node.phase.word(),
                "podName": names::pod_name(&workflow.name, &node.name, &node.template_name),
                "finishedAt": node.finished_at,
            })
        })
        .collect();
    // The exit handler is read again at every step; its own running must not change what it was told.
    let ended = nodes.get(&workflow.name).and_then(|root| root.finished_at.as_ref()).map_or(now, |time| time.0);
    scope.set("workflow.status", phase.word());
    scope.set("workflow.failures", Json::Array(failures).to_string());
    scope.set("workflow.duration", format!("{:.6}", ended.duration_since(started).as_secs_f64()));
}

/// A template's inputs with the values that a call gives them; the template's own are used where it gives none.
pub(super) fn inputs(
    template: &Template,
    arguments: &[(String, String)],
    globals: &Scope,
) -> Result<Vec<Value>, String> {
    let given = |name: &str| arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    template
        .inputs
        .iter()
        .map(|input| {
            let value = match given(&input.name) {
                Some(value) => Some(value),
                None => input.value.as_deref().map(|value| globals.fill(value)).transpose()?,
            };
            match value {
                Some(value) => Ok(Value { name: input.name.clone(), value }),
                None => Err(format!("inputs.parameters.{} was not supplied", input.name)),
            }
        })
        .collect()
}

/// What a template with these inputs may name.
pub(super) fn of_template(globals: &Scope, inputs: &[Value]) -> Scope {
    let mut scope = globals.clone();
    for input in inputs {
        scope.set(format!("inputs.parameters.{}", input.name), &*input.value);
    }
    let all: Vec<Json> = inputs.iter().map(|input| json!({"name": input.name, "value": input.value})).collect();
    scope.set("inputs.parameters", Json::Array(all).to_string());
    scope
}

/// A template's outputs, read with the scope of its last step.
pub(super) fn outputs(template: &Template, scope: &Scope) -> Result<Vec<Value>, String> {
    template
        .outputs
        .iter()
        .map(|output| match (scope.fill(&output.value), &output.default) {
            (Ok(value), _) => Ok(Value { name: output.name.clone(), value }),
            (Err(_), Some(default)) => Ok(Value { name: output.name.clone(), value: default.clone() }),
            (Err(why), None) => Err(format!("output parameter {}: {why}", output.name)),
        })
        .collect()
}

/// The names and scopes that a call becomes: itself, or one for each of its items.
pub(super) fn expand(call: &Call, scope: &Scope) -> Result<Vec<(String, Scope)>, String> {
    let items = match &call.over {
        None => return Ok(vec![(call.name.clone(), scope.clone())]),
        Some(Over::Items(items)) => {
            items.iter().map(|item| scope.fill_value(item)).collect::<Result<Vec<Json>, String>>()?
        }
        Some(Over::Param(text)) => {
            let text = scope.fill(text)?;
            let wrong = || format!("withParam value could not be parsed as a JSON list: {}", shortened(text.trim()));
            serde_json::from_str::<Vec<Json>>(text.trim()).map_err(|_| wrong())?
        }
    };
    if items.len() > MOST_ITEMS {
        return Err(format!("{} items; the sandbox repeats a call at most {MOST_ITEMS} times", items.len()));
    }
    let named = items
        .iter()
        .enumerate()
        .map(|(index, item)| (names::expanded(&call.name, index, item), with_item(scope, item)));
    Ok(named.collect())
}

fn with_item(scope: &Scope, item: &Json) -> Scope {
    let mut scope = scope.with("item", names::plain_or_json(item));
    for (key, value) in item.as_object().into_iter().flatten() {
        scope.set(format!("item.{key}"), names::plain_or_json(value));
    }
    scope
}

fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(200).collect();
    if shown.len() < text.len() { format!("{shown}...") } else { shown }
}

/// Adds what the nodes of a step or task produced, under `prefix` ("steps.a" or "tasks.a"). An expanded one's
/// results stand together as JSON lists.
pub(super) fn add_results(scope: &mut Scope, prefix: &str, nodes: &[Node], expanded: bool) {
    if expanded {
        return add_lists(scope, prefix, nodes);
    }
    let Some(node) = nodes.first() else { return };
    scope.set(format!("{prefix}.id"), &*node.id);
    scope.set(format!("{prefix}.status"), node.phase.word());
    scope.set(format!("{prefix}.startedAt"), time(node.started_at.0));
    if let Some(ended) = &node.finished_at {
        scope.set(format!("{prefix}.finishedAt"), time(ended.0));
    }
    if let Some(result) = &node.outputs.result {
        scope.set(format!("{prefix}.outputs.result"), &**result);
    }
    if let Some(code) = &node.outputs.exit_code {
        scope.set(format!("{prefix}.exitCode"), &**code);
    }
    for parameter in &node.outputs.parameters {
        scope.set(format!("{prefix}.outputs.parameters.{}", parameter.name), &*parameter.value);
    }
}

fn add_lists(scope: &mut Scope, prefix: &str, nodes: &[Node]) {
    let results: Vec<Json> = nodes
        .iter()
        .filter_map(|node| node.outputs.result.as_deref())
        .map(|result| serde_json::from_str(result).unwrap_or_else(|_| Json::String(result.to_owned())))
        .collect();
    scope.set(format!("{prefix}.outputs.result"), Json::Array(results).to_string());
    let mut by_name: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    let mut all: Vec<Json> = Vec::new();
    for node in nodes.iter().filter(|node| !node.outputs.parameters.is_empty()) {
        let mut of_node = serde_json::Map::new();
        for Value { name, value } in &node.outputs.parameters {
            by_name.entry(name).or_default().push(value);
            of_node.insert(name.clone(), Json::String(value.clone()));
        }
        all.push(Json::Object(of_node));
    }
    scope.set(format!("{prefix}.outputs.parameters"), Json::Array(all).to_string());
    for (name, values) in by_name {
        scope.set(format!("{prefix}.outputs.parameters.{name}"), json!(values).to_string());
    }
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
