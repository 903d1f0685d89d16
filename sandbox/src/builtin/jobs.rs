//! Jobs and cron jobs: defaults, and the selector and labels by which a job finds its pods.

use serde_json::{Map, Value, json};

use super::pods;
use crate::object::{self, default_to, map_mut, metadata};
use crate::status::FieldError;

pub(super) fn fields(job: &Value) -> Vec<(String, String)> {
    let succeeded = job.pointer("/status/succeeded").and_then(Value::as_i64).unwrap_or(0);
    vec![("status.successful".into(), succeeded.to_string())]
}

pub(super) fn default(job: &mut Value) {
    default_job_spec(map_mut(job, "spec"));
}

fn default_job_spec(spec: &mut Map<String, Value>) {
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        default_to(spec, "completions", 1);
        default_to(spec, "parallelism", 1);
    }
    default_to(spec, "parallelism", 1);
    default_to(spec, "backoffLimit", 6);
    default_to(spec, "completionMode", "NonIndexed");
    default_to(spec, "suspend", false);
    default_to(spec, "manualSelector", false);
    default_to(spec, "podReplacementPolicy", "TerminatingOrFailed");
    if let Some(Value::Object(pod)) = spec.get_mut("template").and_then(|template| template.get_mut("spec")) {
        pods::default_spec(pod);
    }
}

pub(super) fn default_cron(cron: &mut Value) {
    let spec = map_mut(cron, "spec");
    default_to(spec, "concurrencyPolicy", "Allow");
    default_to(spec, "suspend", false);
    default_to(spec, "successfulJobsHistoryLimit", 3);
    default_to(spec, "failedJobsHistoryLimit", 1);
    if let Some(Value::Object(pod)) = spec.get_mut("jobTemplate").and_then(|job| job.pointer_mut("/spec/template/spec"))
    {
        pods::default_spec(pod);
    }
}

pub(super) fn create(job: &mut Value) {
    let manual = job.pointer("/spec/manualSelector").and_then(Value::as_bool) == Some(true);
    let uid = object::meta_text(job, "uid").to_owned();
    let name = object::name(job).to_owned();
    if manual {
        return;
    }
    let spec = map_mut(job, "spec");
    let template = spec.entry("template").or_insert_with(|| json!({}));
    let labels = map_mut(map_entry(template, "metadata"), "labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        default_to(labels, key, value.as_str());
    }
    let labels = labels.clone();
    default_to(spec, "selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    // A job without labels takes those of its pods.
    default_to(object::metadata_mut(job), "labels", Value::Object(labels));
    map_mut(job, "status");
}

fn map_entry<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map.entry(key).or_insert_with(|| json!({})),
        other => other,
    }
}

pub(super) fn validate(job: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        for field in ["template", "selector", "completionMode"] {
            let pointer = format!("/spec/{field}");
            let (new, old) = (job.pointer(&pointer), old.pointer(&pointer));
            // A suspended job that has not started may change its template.
            if new != old {
                errors.push(FieldError::invalid(
                    format!("spec.{field}"),
                    new.unwrap_or(&Value::Null),
                    "field is immutable",
                ));
            }
        }
        return errors;
    }
    let spec = job.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    errors.extend(pods::validate_spec(spec, "spec.template.spec"));
    let policy = object::text(spec, "/restartPolicy");
    if !matches!(policy, "OnFailure" | "Never") {
        errors.push(FieldError::not_supported(
            "spec.template.spec.restartPolicy",
            &policy.into(),
            &["OnFailure".to_owned(), "Never".to_owned()],
        ));
    }
    for field in ["completions", "parallelism", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"] {
        let found = job.pointer(&format!("/spec/{field}"));
        if let Some(number) = found.and_then(Value::as_i64).filter(|number| *number < 0) {
            errors.push(FieldError::invalid(
                format!("spec.{field}"),
                &number.into(),
                "must be greater than or equal to 0",
            ));
        }
    }
    if metadata(job).get("name").and_then(Value::as_str).is_some_and(|name| name.len() > 63) {
        errors.push(FieldError::invalid(
            "spec.template.labels",
            &object::name(job).into(),
            "must be no more than 63 bytes",
        ));
    }
    errors
}
