//! From the Workflow object to [`Workflow`]: the one place that decides what the runner runs. What it does not know
//! is refused by name, so that no part of a procedure is silently left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::{Map, Value};

use super::fields::{self, Fields, Flaw};
use super::manifest::{
    Backoff, Body, Output, Parameter, PodFields, Policy, Retry, Shutdown, Spec, Template, Ttl, Workflow,
};
use super::read_calls::{dag, steps};
use super::tags;
use crate::agent::duration;

/// Fields of a pod's spec that stand under the same name in a Workflow's.
const POD_OF_SPEC: &[&str] = &[
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "hostNetwork",
    "imagePullSecrets",
    "nodeSelector",
    "schedulerName",
    "securityContext",
    "serviceAccountName",
    "tolerations",
    "volumes",
];
/// Fields of a pod's spec that stand under the same name in a template.
const POD_OF_TEMPLATE: &[&str] = &[
    "affinity",
    "automountServiceAccountToken",
    "hostAliases",
    "initContainers",
    "nodeSelector",
    "priorityClassName",
    "schedulerName",
    "securityContext",
    "serviceAccountName",
    "tolerations",
    "volumes",
];
/// What is run.
const SPEC: &[&str] = &[
    "activeDeadlineSeconds",
    "arguments",
    "entrypoint",
    "onExit",
    "parallelism",
    "podMetadata",
    "podPriorityClassName",
    "retryStrategy",
    "shutdown",
    "templates",
    "ttlSecondsAfterFinished",
    "ttlStrategy",
];
const TEMPLATE: &[&str] = &[
    "activeDeadlineSeconds",
    "container",
    "dag",
    "inputs",
    "metadata",
    "name",
    "outputs",
    "parallelism",
    "retryStrategy",
    "script",
    "steps",
    "timeout",
];
/// Leaving these out changes nothing that a run of the sandbox could show: pods and logs are kept, no metrics kept.
const WITHOUT_EFFECT: &[&str] = &[
    "archiveLocation",
    "archiveLogs",
    "artifactGC",
    "artifactRepositoryRef",
    "executor",
    "metrics",
    "podDisruptionBudget",
    "podGC",
    "podPriority",
    "priority",
    "volumeClaimGC",
];

/// Reads a Workflow, or names the first field that cannot be run.
pub(crate) fn workflow(object: &DynamicObject) -> Result<Workflow, Flaw> {
    let meta = &object.metadata;
    let nothing = Value::Object(Map::new());
    let value = object.data.get("spec").unwrap_or(&nothing);
    Ok(Workflow {
        name: meta.name.clone().unwrap_or_default(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        labels: meta.labels.clone().unwrap_or_default(),
        annotations: meta.annotations.clone().unwrap_or_default(),
        created: meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        spec: spec(value)?,
    })
}

/// How long a finished Workflow is kept, whether or not the rest of it can be run.
pub(crate) fn ttl_of(object: &DynamicObject) -> Ttl {
    object
        .data
        .get("spec")
        .and_then(|value| Fields::of("spec", value).ok())
        .and_then(|spec| ttl(&spec).ok())
        .unwrap_or_default()
}

fn spec(value: &Value) -> Result<Spec, Flaw> {
    let spec = Fields::of("spec", value)?;
    spec.allow(&[SPEC, POD_OF_SPEC, WITHOUT_EFFECT])?;
    fields::each_string("spec", value, &mut |path, text| {
        if tags::has_expression(text) { Err(Flaw::Expression { field: path.to_owned() }) } else { Ok(()) }
    })?;
    let mut pod = PodFields { spec: spec.copied(POD_OF_SPEC), ..metadata(&spec, "podMetadata")? };
    if let Some(class) = spec.get("podPriorityClassName") {
        pod.spec.insert("priorityClassName".to_owned(), class.clone());
    }
    let read = Spec {
        entrypoint: spec.needed_text("entrypoint", "the name of a template")?,
        templates: templates(&spec)?,
        arguments: arguments(&spec)?,
        on_exit: spec.text("onExit")?.filter(|name| !name.is_empty()),
        deadline: seconds(&spec, "activeDeadlineSeconds")?,
        parallelism: count(&spec, "parallelism")?,
        retry: retry(&spec)?,
        shutdown: shutdown(&spec)?,
        ttl: ttl(&spec)?,
        pod,
    };
    for (field, name) in [("spec.entrypoint", Some(&read.entrypoint)), ("spec.onExit", read.on_exit.as_ref())] {
        known_template(field, name.map_or("", String::as_str), &read.templates)?;
    }
    Ok(read)
}

/// That `name` is a template's, when it can be told before the tags in it are filled in.
fn known_template(field: &str, name: &str, templates: &BTreeMap<String, Template>) -> Result<(), Flaw> {
    if name.is_empty() || tags::has_tag(name) || templates.contains_key(name) {
        return Ok(());
    }
    let names: Vec<&str> = templates.keys().map(String::as_str).collect();
    Err(Flaw::wrong(field, format!("{name:?}"), format!("the name of a template: {}", names.join(", "))))
}

fn templates(spec: &Fields<'_>) -> Result<BTreeMap<String, Template>, Flaw> {
    let mut templates = BTreeMap::new();
    let listed = spec.list("templates")?;
    for (path, value) in &listed {
        let template = template(&Fields::of(path.as_str(), value)?)?;
        let name = template.name.clone();
        if templates.insert(name.clone(), template).is_some() {
            return Err(Flaw::wrong(format!("{path}.name"), format!("{name:?}, again"), "a name of its own"));
        }
    }
    for (path, value) in &listed {
        let name = Fields::of(path.as_str(), value)?.text("name")?.unwrap_or_default();
        let calls: Vec<_> = match templates.get(&name).map(|template| &template.body) {
            Some(Body::Steps(groups)) => groups.iter().flatten().collect(),
            Some(Body::Dag { tasks, .. }) => tasks.iter().map(|task| &task.call).collect(),
            _ => continue,
        };
        for call in calls {
            known_template(&format!("{path}: the template of {:?}", call.name), &call.template, &templates)?;
        }
    }
    Ok(templates)
}

fn template(template: &Fields<'_>) -> Result<Template, Flaw> {
    template.allow(&[TEMPLATE, POD_OF_TEMPLATE, WITHOUT_EFFECT])?;
    let body = body(template)?;
    let is_pod = matches!(body, Body::Container(_) | Body::Script { .. });
    let [deadline, timeout] = ["activeDeadlineSeconds", "timeout"].map(|key| {
        let found = template.text(key)?;
        match found {
            Some(_) if !is_pod => {
                Err(Flaw::NotRun { field: format!("{} of a steps or dag template", template.at(key)) })
            }
            found => Ok(found),
        }
    });
    Ok(Template {
        name: template.needed_text("name", "a name for others to call it by")?,
        inputs: inputs(template)?,
        outputs: outputs(template, is_pod)?,
        body,
        retry: retry(template)?,
        deadline: deadline?,
        timeout: timeout?,
        parallelism: count(template, "parallelism")?,
        pod: PodFields { spec: template.copied(POD_OF_TEMPLATE), ..metadata(template, "metadata")? },
    })
}

fn body(template: &Fields<'_>) -> Result<Body, Flaw> {
    const KINDS: [&str; 4] = ["container", "script", "steps", "dag"];
    let mut found = KINDS.into_iter().filter_map(|kind| Some((kind, template.get(kind)?)));
    let expected = "exactly one of container, script, steps and dag";
    let Some((kind, value)) = found.next() else {
        return Err(Flaw::Missing { field: format!("{}: its body", template.path()), expected: expected.to_owned() });
    };
    if let Some((other, _)) = found.next() {
        return Err(Flaw::wrong(template.path(), format!("a template with both {kind} and {other}"), expected));
    }
    let path = template.at(kind);
    Ok(match kind {
        "container" => {
            Fields::of(&path, value)?;
            Body::Container(value.as_object().cloned().unwrap_or_default())
        }
        "script" => {
            let source = Fields::of(&path, value)?.needed_text("source", "the text of the script")?;
            let mut container = value.as_object().cloned().unwrap_or_default();
            container.remove("source");
            Body::Script { container, source }
        }
        "steps" => Body::Steps(steps(&path, value)?),
        _ => dag(&path, value)?,
    })
}

fn arguments(spec: &Fields<'_>) -> Result<Vec<Parameter>, Flaw> {
    let Some(arguments) = spec.fields("arguments")? else { return Ok(Vec::new()) };
    arguments.allow(&[&["parameters"]])?;
    let mut read = Vec::new();
    for (path, value) in arguments.list("parameters")? {
        let parameter = Fields::of(path, value)?;
        parameter.allow(&[&["name", "value", "default", "description", "enum"]])?;
        let value = parameter.text("value")?.or(parameter.text("default")?);
        if value.is_none() {
            return Err(Flaw::Missing { field: parameter.at("value"), expected: "a value, or a default".to_owned() });
        }
        read.push(Parameter { name: parameter.needed_text("name", "the parameter's name")?, value });
    }
    Ok(read)
}

fn inputs(template: &Fields<'_>) -> Result<Vec<Parameter>, Flaw> {
    let Some(inputs) = template.fields("inputs")? else { return Ok(Vec::new()) };
    inputs.allow(&[&["parameters"]])?;
    let mut read = Vec::new();
    for (path, value) in inputs.list("parameters")? {
        let parameter = Fields::of(path, value)?;
        parameter.allow(&[&["name", "value", "default", "description", "enum"]])?;
        read.push(Parameter {
            name: parameter.needed_text("name", "the parameter's name")?,
            value: parameter.text("value")?.or(parameter.text("default")?),
        });
    }
    Ok(read)
}

fn outputs(template: &Fields<'_>, is_pod: bool) -> Result<Vec<Output>, Flaw> {
    let Some(outputs) = template.fields("outputs")? else { return Ok(Vec::new()) };
    outputs.allow(&[&["parameters"]])?;
    let mut read = Vec::new();
    for (path, value) in outputs.list("parameters")? {
        let parameter = Fields::of(path, value)?;
        parameter.allow(&[&["name", "value", "valueFrom", "description"]])?;
        let name = parameter.needed_text("name", "the parameter's name")?;
        let (value, default) = match parameter.fields("valueFrom")? {
            None => (parameter.needed_text("value", "a value, or valueFrom.parameter")?, None),
            Some(from) if is_pod => {
                let source =
                    from.copied(&["path", "expression", "jsonPath", "jqFilter", "event", "parameter", "supplied"]);
                let field = source.keys().next().map_or_else(|| from.path().to_owned(), |key| from.at(key));
                return Err(Flaw::NotRun { field: format!("{field} (use outputs.result, what the script prints)") });
            }
            Some(from) => {
                from.allow(&[&["parameter", "default"]])?;
                (from.needed_text("parameter", "a tag, such as {{steps.a.outputs.result}}")?, from.text("default")?)
            }
        };
        read.push(Output { name, value, default });
    }
    Ok(read)
}

fn metadata(of: &Fields<'_>, key: &str) -> Result<PodFields, Flaw> {
    let Some(metadata) = of.fields(key)? else { return Ok(PodFields::default()) };
    metadata.allow(&[&["labels", "annotations"]])?;
    Ok(PodFields {
        spec: Map::new(),
        labels: metadata.text_map("labels")?,
        annotations: metadata.text_map("annotations")?,
    })
}

fn retry(of: &Fields<'_>) -> Result<Option<Retry>, Flaw> {
    let Some(retry) = of.fields("retryStrategy")? else { return Ok(None) };
    retry.allow(&[&["limit", "retryPolicy", "backoff"]])?;
    let policy = match retry.text("retryPolicy")?.as_deref() {
        None | Some("" | "OnFailure") => Policy::OnFailure,
        Some("Always") => Policy::Always,
        // Nothing here fails as a passing fault of a network would, so all that is left is OnError.
        Some("OnError" | "OnTransientError") => Policy::OnError,
        Some(other) => {
            let expected = "Always, OnFailure, OnError or OnTransientError";
            return Err(Flaw::wrong(retry.at("retryPolicy"), format!("{other:?}"), expected));
        }
    };
    let limit = retry.text("limit")?;
    if let Some(limit) = limit.as_deref().filter(|limit| !tags::has_tag(limit))
        && limit.parse::<u32>().is_err()
    {
        return Err(Flaw::wrong(retry.at("limit"), format!("{limit:?}"), "a whole number, at least 0"));
    }
    Ok(Some(Retry { limit, policy, backoff: backoff(&retry)? }))
}

fn backoff(retry: &Fields<'_>) -> Result<Option<Backoff>, Flaw> {
    let Some(backoff) = retry.fields("backoff")? else { return Ok(None) };
    backoff.allow(&[&["duration", "factor", "maxDuration", "cap"]])?;
    let length = |key: &str| {
        let found = backoff.text(key)?.filter(|text| !text.is_empty());
        let parsed = found.map(|text| duration::parse(&text)).transpose();
        parsed.map_err(|why| Flaw::wrong(backoff.at(key), why, "a duration"))
    };
    let factor = match backoff.text("factor")? {
        None => 1.0,
        Some(text) => match text.parse::<f64>() {
            Ok(factor) if factor >= 0.0 && factor.is_finite() => factor,
            _ => return Err(Flaw::wrong(backoff.at("factor"), format!("{text:?}"), "a number, at least 0")),
        },
    };
    Ok(Some(Backoff {
        duration: length("duration")?.unwrap_or_default(),
        factor,
        max_duration: length("maxDuration")?,
        cap: length("cap")?,
    }))
}

fn ttl(spec: &Fields<'_>) -> Result<Ttl, Flaw> {
    let mut ttl = Ttl { after_completion: seconds(spec, "ttlSecondsAfterFinished")?, ..Ttl::default() };
    if let Some(strategy) = spec.fields("ttlStrategy")? {
        strategy.allow(&[&["secondsAfterCompletion", "secondsAfterSuccess", "secondsAfterFailure"]])?;
        ttl = Ttl {
            after_completion: seconds(&strategy, "secondsAfterCompletion")?.or(ttl.after_completion),
            after_success: seconds(&strategy, "secondsAfterSuccess")?,
            after_failure: seconds(&strategy, "secondsAfterFailure")?,
        };
    }
    Ok(ttl)
}

fn shutdown(spec: &Fields<'_>) -> Result<Option<Shutdown>, Flaw> {
    match spec.text("shutdown")?.as_deref() {
        None | Some("") => Ok(None),
        Some("Stop") => Ok(Some(Shutdown::Stop)),
        Some("Terminate") => Ok(Some(Shutdown::Terminate)),
        Some(other) => Err(Flaw::wrong(spec.at("shutdown"), format!("{other:?}"), "Stop or Terminate")),
    }
}

fn seconds(of: &Fields<'_>, key: &str) -> Result<Option<Duration>, Flaw> {
    Ok(of.whole(key)?.map(Duration::from_secs))
}

fn count(of: &Fields<'_>, key: &str) -> Result<Option<usize>, Flaw> {
    Ok(of.whole(key)?.filter(|count| *count > 0).map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
}

/// The names of `names` must differ.
pub(super) fn distinct<'a>(path: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Flaw> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Flaw::wrong(path, format!("two entries named {name:?}"), "names that differ"));
        }
    }
    Ok(())
}
