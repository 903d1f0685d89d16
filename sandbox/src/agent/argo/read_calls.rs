//! The calls of a steps or dag template: names, arguments, conditions, loops and what waits for what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::depends::{Depends, Ending};
use super::fields::{self, Fields, Flaw};
use super::manifest::{Body, Call, Over, Task};
use super::read::distinct;

const CALL: &[&str] = &["arguments", "continueOn", "name", "template", "when", "withItems", "withParam"];

/// Reads the groups of a steps template.
pub(super) fn steps(path: &str, value: &Value) -> Result<Vec<Vec<Call>>, Flaw> {
    let mut groups = Vec::new();
    for (path, group) in fields::list(path, value)? {
        let calls = fields::list(&path, group)?
            .into_iter()
            .map(|(path, value)| {
                let fields = Fields::of(path, value)?;
                fields.allow(&[CALL])?;
                call(&fields)
            })
            .collect::<Result<Vec<Call>, Flaw>>()?;
        groups.push(calls);
    }
    distinct(path, groups.iter().flatten().map(|call| call.name.as_str()))?;
    Ok(groups)
}

/// Reads a dag template: every dependency is a task of it, and none waits for itself.
pub(super) fn dag(path: &str, value: &Value) -> Result<Body, Flaw> {
    let fields = Fields::of(path, value)?;
    fields.allow(&[&["tasks", "failFast", "target"]])?;
    // failFast false differs from an absent one, so it is read and not only allowed.
    let fail_fast = fields.flag("failFast")?.unwrap_or(true);
    let mut read = Vec::new();
    for (path, value) in fields.list("tasks")? {
        let fields = Fields::of(path, value)?;
        fields.allow(&[CALL, &["dependencies", "depends"]])?;
        read.push((fields.clone(), call(&fields)?));
    }
    distinct(&fields.at("tasks"), read.iter().map(|(_, call)| call.name.as_str()))?;
    let tolerated: BTreeMap<String, Vec<Ending>> =
        read.iter().map(|(_, call)| (call.name.clone(), tolerated(call))).collect();
    let mut tasks = Vec::new();
    for (fields, call) in read {
        let depends = depends(&fields, &tolerated)?;
        for name in depends.iter().flat_map(Depends::tasks) {
            if !tolerated.contains_key(name) {
                return Err(Flaw::wrong(
                    fields.path(),
                    format!("a task that waits for {name:?}"),
                    "a task of the same dag",
                ));
            }
        }
        tasks.push(Task { call, depends });
    }
    acyclic(&fields.at("tasks"), &tasks)?;
    let targets = targets(&fields, &tasks)?;
    Ok(Body::Dag { tasks, fail_fast, targets })
}

fn tolerated(call: &Call) -> Vec<Ending> {
    let failed = call.continue_on_failed.then_some(Ending::Failed);
    let errored = call.continue_on_error.then_some(Ending::Errored);
    failed.into_iter().chain(errored).collect()
}

fn depends(task: &Fields<'_>, tolerated: &BTreeMap<String, Vec<Ending>>) -> Result<Option<Depends>, Flaw> {
    let listed = task
        .list("dependencies")?
        .into_iter()
        .map(|(path, value)| fields::text(&path, value))
        .collect::<Result<Vec<String>, Flaw>>()?;
    let expression = task.text("depends")?.filter(|text| !text.trim().is_empty());
    match (listed.is_empty(), expression) {
        (true, None) => Ok(None),
        (false, None) => Ok(Some(Depends::list(listed.into_iter().map(|name| {
            let tolerated = tolerated.get(&name).cloned().unwrap_or_default();
            (name, tolerated)
        })))),
        (true, Some(text)) => {
            let parsed = Depends::parse(&text);
            parsed.map(Some).map_err(|why| {
                Flaw::wrong(task.at("depends"), why, "an expression such as a && (b.Succeeded || b.Failed)")
            })
        }
        (false, Some(_)) => Err(Flaw::wrong(task.path(), "a task with both depends and dependencies", "one of them")),
    }
}

fn targets(dag: &Fields<'_>, tasks: &[Task]) -> Result<Vec<String>, Flaw> {
    let names: BTreeSet<&str> = tasks.iter().map(|task| task.call.name.as_str()).collect();
    if let Some(text) = dag.text("target")?.filter(|text| !text.trim().is_empty()) {
        let listed: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        return match listed.iter().find(|name| !names.contains(name.as_str())) {
            Some(unknown) => Err(Flaw::wrong(dag.at("target"), format!("{unknown:?}"), "the name of a task")),
            None => Ok(listed),
        };
    }
    let waited_for: BTreeSet<&str> =
        tasks.iter().filter_map(|task| task.depends.as_ref()).flat_map(Depends::tasks).collect();
    Ok(names.difference(&waited_for).map(|name| (*name).to_owned()).collect())
}

fn acyclic(path: &str, tasks: &[Task]) -> Result<(), Flaw> {
    let mut waiting: BTreeMap<&str, BTreeSet<&str>> = tasks
        .iter()
        .map(|task| (task.call.name.as_str(), task.depends.as_ref().map(Depends::tasks).unwrap_or_default()))
        .collect();
    while !waiting.is_empty() {
        let free: Vec<&str> = waiting.iter().filter(|(_, on)| on.is_empty()).map(|(name, _)| *name).collect();
        if free.is_empty() {
            let names: Vec<&str> = waiting.keys().copied().collect();
            return Err(Flaw::wrong(path, format!("tasks that wait for each other: {}", names.join(", ")), "an order"));
        }
        for name in free {
            waiting.remove(name);
            waiting.values_mut().for_each(|on| {
                on.remove(name);
            });
        }
    }
    Ok(())
}

fn call(fields: &Fields<'_>) -> Result<Call, Flaw> {
    let continue_on = fields.fields("continueOn")?;
    if let Some(on) = &continue_on {
        on.allow(&[&["failed", "error"]])?;
    }
    let continues =
        |key: &str| continue_on.as_ref().map_or(Ok(None), |on| on.flag(key)).map(|flag| flag.unwrap_or(false));
    Ok(Call {
        name: fields.needed_text("name", "the name of this step or task")?,
        template: fields.needed_text("template", "the name of the template that it calls")?,
        arguments: arguments(fields)?,
        when: fields.text("when")?.unwrap_or_default(),
        over: over(fields)?,
        continue_on_failed: continues("failed")?,
        continue_on_error: continues("error")?,
    })
}

fn arguments(call: &Fields<'_>) -> Result<Vec<(String, String)>, Flaw> {
    let Some(arguments) = call.fields("arguments")? else { return Ok(Vec::new()) };
    arguments.allow(&[&["parameters"]])?;
    let mut read = Vec::new();
    for (path, value) in arguments.list("parameters")? {
        let parameter = Fields::of(path, value)?;
        parameter.allow(&[&["name", "value", "description"]])?;
        let name = parameter.needed_text("name", "the parameter's name")?;
        let value = parameter.text("value")?;
        let value =
            value.ok_or_else(|| Flaw::Missing { field: parameter.at("value"), expected: "a value".to_owned() })?;
        read.push((name, value));
    }
    Ok(read)
}

fn over(call: &Fields<'_>) -> Result<Option<Over>, Flaw> {
    let items = call.get("withItems").map(|_| call.list("withItems")).transpose()?;
    let param = call.text("withParam")?.filter(|text| !text.is_empty());
    match (items, param) {
        (None, None) => Ok(None),
        (Some(items), None) => Ok(Some(Over::Items(items.into_iter().map(|(_, item)| item.clone()).collect()))),
        (None, Some(param)) => Ok(Some(Over::Param(param))),
        (Some(_), Some(_)) => Err(Flaw::wrong(call.path(), "a call with both withItems and withParam", "one of them")),
    }
}
