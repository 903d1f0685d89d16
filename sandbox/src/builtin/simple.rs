//! The small peculiarities of the remaining built-in kinds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pods;
use crate::object::{self, default_to, map_mut, metadata_mut};
use crate::status::FieldError;

pub(super) fn namespace_fields(namespace: &Value) -> Vec<(String, String)> {
    vec![
        ("status.phase".into(), object::text(namespace, "/status/phase").into()),
        ("name".into(), object::name(namespace).into()),
    ]
}

pub(super) fn default_namespace(namespace: &mut Value) {
    let name = object::name(namespace).to_owned();
    if !name.is_empty() {
        let labels = metadata_mut(namespace).entry("labels").or_insert_with(|| json!({}));
        if let Value::Object(labels) = labels {
            labels.insert("kubernetes.io/metadata.name".into(), name.into());
        }
    }
}

pub(super) fn create_namespace(namespace: &mut Value) {
    let finalizers = map_mut(namespace, "spec").entry("finalizers").or_insert_with(|| json!([]));
    if let Value::Array(list) = finalizers
        && !list.iter().any(|one| one == "kubernetes")
    {
        list.push("kubernetes".into());
    }
    if let Value::Object(namespace) = namespace {
        namespace.insert("status".into(), json!({"phase": "Active"}));
    }
}

pub(super) fn update_namespace(new: &mut Value, old: &Value) {
    // spec.finalizers changes through the finalize subresource alone.
    if let (Value::Object(new), Some(spec)) = (new, old.get("spec")) {
        new.insert("spec".into(), spec.clone());
    }
}

pub(super) fn validate_config_map(map: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = key_flaws(map, &["data", "binaryData"]);
    errors.extend(immutable(map, old, &["data", "binaryData"]));
    errors
}

pub(super) fn secret_fields(secret: &Value) -> Vec<(String, String)> {
    vec![("type".into(), object::text(secret, "/type").into())]
}

pub(super) fn default_secret(secret: &mut Value) {
    let Value::Object(map) = secret else {
        return;
    };
    default_to(map, "type", "Opaque");
    if let Some(Value::Object(plain)) = map.shift_remove("stringData") {
        let data = map_mut(secret, "data");
        for (key, value) in plain {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(key, encoded.into());
        }
    }
}

pub(super) fn validate_secret(secret: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = key_flaws(secret, &["data"]);
    errors.extend(immutable(secret, old, &["data"]));
    if let Some(old) = old
        && secret.get("type") != old.get("type")
    {
        let found = secret.get("type").cloned().unwrap_or_default();
        errors.push(FieldError::invalid("type", &found, "field is immutable"));
    }
    errors
}

fn key_flaws(object: &Value, members: &[&str]) -> Vec<FieldError> {
    let fits = |key: &str| {
        key.len() <= 253
            && !matches!(key, "" | "." | "..")
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    members
        .iter()
        .flat_map(|member| {
            object
                .get(*member)
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|map| map.keys())
                .filter(|key| !fits(key))
                .map(move |key| {
                    FieldError::invalid(
                        format!("{member}[{key}]"),
                        &key.as_str().into(),
                        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                    )
                })
        })
        .collect()
}

fn immutable(new: &Value, old: Option<&Value>, members: &[&str]) -> Vec<FieldError> {
    let Some(old) = old.filter(|old| old.get("immutable").and_then(Value::as_bool) == Some(true)) else {
        return Vec::new();
    };
    let mut errors = Vec::new();
    if new.get("immutable").and_then(Value::as_bool) != Some(true) {
        errors.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
    }
    for member in members {
        if new.get(*member) != old.get(*member) {
            errors.push(FieldError::forbidden(*member, "field is immutable when `immutable` is set"));
        }
    }
    errors
}

pub(super) fn default_service(service: &mut Value) {
    let spec = map_mut(service, "spec");
    default_to(spec, "type", "ClusterIP");
    default_to(spec, "sessionAffinity", "None");
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(port) = port {
            default_to(port, "protocol", "TCP");
            let number = port.get("port").cloned().unwrap_or_default();
            default_to(port, "targetPort", number);
        }
    }
}

pub(super) fn create_service(service: &mut Value) {
    // The address leads nowhere; it is there so that what reads it finds one.
    let uid = object::meta_text(service, "uid");
    let sum = uid.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let address = format!("10.96.{}.{}", (sum >> 8) % 256, sum % 254 + 1);
    let spec = map_mut(service, "spec");
    if spec.get("type").and_then(Value::as_str) != Some("ExternalName") {
        default_to(spec, "clusterIP", address);
        let address = spec.get("clusterIP").cloned().unwrap_or_default();
        default_to(spec, "clusterIPs", json!([address]));
        default_to(spec, "ipFamilies", json!(["IPv4"]));
        default_to(spec, "ipFamilyPolicy", "SingleStack");
        default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    default_to(map_mut(service, "status"), "loadBalancer", json!({}));
}

pub(super) fn update_service(new: &mut Value, old: &Value) {
    let spec = map_mut(new, "spec");
    for member in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
        if let Some(kept) = old.get("spec").and_then(|spec| spec.get(member)) {
            default_to(spec, member, kept.clone());
        }
    }
}

pub(super) fn validate_service(service: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let headless = object::text(service, "/spec/clusterIP") == "None";
    let external = object::text(service, "/spec/type") == "ExternalName";
    if !headless && !external && object::items(service, "/spec/ports").next().is_none() {
        vec![FieldError::required("spec.ports", "")]
    } else {
        Vec::new()
    }
}

pub(super) fn default_workload(workload: &mut Value) {
    let stateless = !matches!(object::text(workload, "/kind"), "DaemonSet");
    let spec = map_mut(workload, "spec");
    if stateless {
        default_to(spec, "replicas", 1);
    }
    default_to(spec, "revisionHistoryLimit", 10);
    if let Some(Value::Object(pod)) = spec.get_mut("template").and_then(|template| template.get_mut("spec")) {
        pods::default_spec(pod);
    }
}

pub(super) fn validate_workload(workload: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let template = workload.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    errors.extend(pods::validate_spec(template, "spec.template.spec"));
    let selector = workload.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels = workload.pointer("/spec/template/metadata/labels");
    let selects =
        selector.into_iter().flatten().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value));
    if !selects {
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            labels.unwrap_or(&Value::Null),
            "`selector` does not match template `labels`",
        ));
    }
    if let Some(old) = old
        && old.pointer("/spec/selector") != workload.pointer("/spec/selector")
    {
        let found = workload.pointer("/spec/selector").unwrap_or(&Value::Null);
        errors.push(FieldError::invalid("spec.selector", found, "field is immutable"));
    }
    errors
}

pub(super) fn default_network_policy(policy: &mut Value) {
    let egress = policy.pointer("/spec/egress").is_some();
    let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    default_to(map_mut(policy, "spec"), "policyTypes", types);
}

pub(super) fn validate_lease(lease: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, least, detail) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        let found = lease.pointer(&format!("/spec/{field}")).and_then(Value::as_i64);
        if let Some(number) = found.filter(|number| *number < least) {
            errors.push(FieldError::invalid(format!("spec.{field}"), &number.into(), detail));
        }
    }
    errors
}

/// Everybody may do everything here, but for what was refused already.
pub(super) fn answer_access_review(review: &mut Value) {
    if review.pointer("/status/allowed").and_then(Value::as_bool) == Some(false) {
        return;
    }
    set_status(review, json!({"allowed": true, "reason": "the sandbox allows everything"}));
}

pub(super) fn answer_rules_review(review: &mut Value) {
    set_status(
        review,
        json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        }),
    );
}

pub(super) fn answer_token_review(review: &mut Value) {
    set_status(review, json!({"authenticated": true, "user": user()}));
}

pub(super) fn answer_self(review: &mut Value) {
    set_status(review, json!({"userInfo": user()}));
}

fn user() -> Value {
    json!({"username": "sandbox", "groups": ["system:masters", "system:authenticated"]})
}

fn set_status(object: &mut Value, status: Value) {
    if let Value::Object(map) = object {
        map.insert("status".into(), status);
    }
}
