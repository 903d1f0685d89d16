//! get, label, annotate and delete.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Timestamp, Unit};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{Change, Delete, Error, Get, target};
use crate::jsonpath::Template;
use crate::output;

/// How `get` shows objects.
#[derive(Clone, Debug)]
pub(super) enum Format {
    Json,
    Yaml,
    Name,
    Wide,
    JsonPath(Template),
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('=') {
            None if text == "json" => Ok(Self::Json),
            None if text == "yaml" => Ok(Self::Yaml),
            None if text == "name" => Ok(Self::Name),
            None if text == "wide" => Ok(Self::Wide),
            Some(("jsonpath", template)) => Ok(Self::JsonPath(Template::parse(template)?)),
            _ => Err(Error::Usage(format!(
                "unable to match a printer suitable for the output format \"{text}\": this kubectl knows json, yaml, name, wide and jsonpath={{...}}"
            ))),
        }
    }
}

/// Which map of the metadata is changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Labels,
    Annotations,
}

/// Shows the objects named, or all of a type.
pub(super) async fn get(client: &Client, namespace: &str, get: &Get) -> Result<(), Error> {
    let (type_, names) = target::parse(&get.words)?;
    let api = type_.api(client, Some(namespace).filter(|_| !get.all_namespaces));
    let single = names.len() == 1;
    let mut objects = Vec::new();
    if names.is_empty() {
        let mut params = ListParams::default();
        params.label_selector.clone_from(&get.selector);
        params.field_selector.clone_from(&get.field_selector);
        objects = api.list(&params).await?.items;
    }
    for name in &names {
        match api.get_opt(name).await? {
            Some(object) => objects.push(object),
            None if get.ignore_not_found => {}
            None => objects.push(api.get(name).await?),
        }
    }
    match &get.output {
        Some(Format::Name) => {
            for object in &objects {
                output::line(&format!("{}/{}", type_.label, object.name_any()));
            }
        }
        Some(format @ (Format::Json | Format::Yaml | Format::JsonPath(_))) => {
            let value = match objects.first() {
                Some(object) if single => json!(object),
                None if single => return Ok(()),
                _ => json!({"apiVersion": "v1", "kind": "List", "items": objects}),
            };
            match format {
                Format::JsonPath(template) => output::text(&template.fill(&value)?),
                Format::Yaml => output::text(&yaml(&value)?),
                _ => output::line(&pretty(&value)?),
            }
        }
        Some(Format::Wide) | None => table(&objects, !get.no_headers, get.all_namespaces),
    }
    Ok(())
}

/// Sets and removes labels or annotations.
pub(super) async fn set_metadata(client: &Client, namespace: &str, change: &Change, field: Field) -> Result<(), Error> {
    let is_change = |word: &String| word.contains('=') || word.ends_with('-');
    let split = change.words.iter().position(is_change).unwrap_or(change.words.len());
    let (objects, edits) = change.words.split_at(split);
    let (type_, names) = target::parse(objects)?;
    if names.is_empty() || edits.is_empty() {
        return Err(Error::Usage("name the objects and at least one change: TYPE NAME KEY=VALUE or KEY-".to_owned()));
    }
    let (key, set, unset) = match field {
        Field::Labels => ("labels", "labeled", "unlabeled"),
        Field::Annotations => ("annotations", "annotated", "annotated"),
    };
    let api = type_.api(client, Some(namespace));
    for name in names {
        let object = api.get(&name).await?;
        let old = match field {
            Field::Labels => object.labels(),
            Field::Annotations => object.annotations(),
        };
        let patch = edited(old, edits, change.overwrite)?;
        let done = if patch.values().all(Value::is_null) { unset } else { set };
        let body = json!({"metadata": {key: patch}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(body)).await?;
        output::line(&format!("{}/{name} {done}", type_.label));
    }
    Ok(())
}

/// Deletes the objects named or selected.
pub(super) async fn delete(client: &Client, namespace: &str, delete: &Delete) -> Result<(), Error> {
    let (type_, mut names) = target::parse(&delete.words)?;
    let selects = delete.all || delete.selector.is_some() || delete.field_selector.is_some();
    if names.is_empty() != selects {
        return Err(Error::Usage(
            "name what to delete (TYPE NAME or TYPE/NAME), or select it with -l, --field-selector or --all".to_owned(),
        ));
    }
    let api = type_.api(client, Some(namespace));
    if selects {
        let mut chosen = ListParams::default();
        chosen.label_selector.clone_from(&delete.selector);
        chosen.field_selector.clone_from(&delete.field_selector);
        names = api.list(&chosen).await?.items.iter().map(ResourceExt::name_any).collect();
    }
    let params =
        DeleteParams { grace_period_seconds: u32::try_from(delete.grace_period).ok(), ..DeleteParams::default() };
    for name in &names {
        match api.delete(name, &params).await {
            Ok(_) => {}
            // What was selected may be gone by itself meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 && (delete.ignore_not_found || selects) => continue,
            Err(error) => return Err(error.into()),
        }
        let forced = delete.force && delete.grace_period == 0;
        output::line(&format!("{} \"{name}\" {}deleted", type_.label, if forced { "force " } else { "" }));
        if delete.wait && !forced {
            wait_until_gone(&api, name).await?;
        }
    }
    if names.is_empty() {
        output::line("No resources found");
    }
    Ok(())
}

async fn wait_until_gone(api: &Api<DynamicObject>, name: &str) -> Result<(), Error> {
    let uid = api.get_opt(name).await?.and_then(|object| object.metadata.uid);
    while let Some(object) = api.get_opt(name).await? {
        if object.metadata.uid != uid {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// The merge patch that makes the edits; a value that is there already needs `--overwrite`.
fn edited(old: &BTreeMap<String, String>, edits: &[String], overwrite: bool) -> Result<BTreeMap<String, Value>, Error> {
    let mut patch = BTreeMap::new();
    for edit in edits {
        match edit.split_once('=') {
            Some((key, value)) => {
                if let Some(had) = old.get(key).filter(|had| *had != value && !overwrite) {
                    return Err(Error::Usage(format!("'{key}' already has a value ({had}), and --overwrite is false")));
                }
                patch.insert(key.to_owned(), json!(value));
            }
            None => {
                patch.insert(edit.trim_end_matches('-').to_owned(), Value::Null);
            }
        }
    }
    Ok(patch)
}

fn yaml(value: &Value) -> Result<String, Error> {
    serde_saphyr::to_string(value).map_err(|error| Error::Config(error.to_string()))
}

fn pretty(value: &Value) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|error| Error::Config(error.to_string()))
}

/// Name, a word of status and age. Procedures read -o json; this is for people who read their logs.
fn table(objects: &[DynamicObject], header: bool, namespaces: bool) {
    let mut rows = Vec::new();
    if header {
        rows.push(["NAMESPACE", "NAME", "STATUS", "AGE"].map(str::to_owned));
    }
    let now = Timestamp::now();
    for object in objects {
        rows.push([
            object.namespace().unwrap_or_default(),
            object.name_any(),
            status_word(&object.data),
            object.creation_timestamp().map_or_else(|| "<unknown>".to_owned(), |time| age(now, time.0)),
        ]);
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0) + 3;
    let widths = [width(0), width(1), width(2)];
    let [namespace_width, name_width, status_width] = widths;
    for [namespace, name, status, age] in &rows {
        let first = if namespaces { format!("{namespace:<namespace_width$}") } else { String::new() };
        output::line(&format!("{first}{name:<name_width$}{status:<status_width$}{age}"));
    }
}

fn status_word(data: &Value) -> String {
    let ready = data.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let ready = ready.filter(|c| c.get("type").is_some_and(|t| t == "Ready")).find_map(|c| c.get("status")?.as_str());
    let cordoned = data.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false);
    let word = match (data.pointer("/status/phase").and_then(Value::as_str), ready) {
        (Some(phase), _) => phase,
        (None, Some("True")) => "Ready",
        (None, Some(_)) => "NotReady",
        (None, None) => "",
    };
    if cordoned { format!("{word},SchedulingDisabled").trim_start_matches(',').to_owned() } else { word.to_owned() }
}

fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.since((Unit::Second, then)).map(|span| span.get_seconds()).unwrap_or(0).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_replaced_only_when_that_is_asked_for() {
        let old = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let edits = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(edited(&old, &edits("a=2"), false).is_err());
        assert_eq!(edited(&old, &edits("a=2"), true).unwrap()["a"], json!("2"));
        assert_eq!(edited(&old, &edits("a=1 b=2"), false).unwrap().len(), 2, "the same value is no change of mind");
        assert_eq!(edited(&old, &edits("a-"), false).unwrap()["a"], Value::Null);
    }

    #[test]
    fn a_cordoned_node_says_so() {
        let node =
            json!({"spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(status_word(&node), "Ready,SchedulingDisabled");
        assert_eq!(status_word(&json!({"status": {"phase": "Running"}})), "Running");
        assert_eq!(status_word(&json!({})), "");
    }
}
