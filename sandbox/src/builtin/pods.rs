//! Pods: defaults, what may change once they exist, and what their templates elsewhere share with them.

use serde_json::{Map, Value, json};

use crate::metadata::{NameRule, name_flaw};
use crate::object::{self, default_to, map_mut};
use crate::status::FieldError;

pub(super) const SELECTABLE: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

pub(super) fn fields(pod: &Value) -> Vec<(String, String)> {
    SELECTABLE
        .iter()
        .map(|path| {
            let pointer = format!("/{}", path.replace('.', "/"));
            let value = match (pod.pointer(&pointer), *path) {
                (Some(Value::String(text)), _) => text.clone(),
                (Some(Value::Bool(flag)), _) => flag.to_string(),
                (_, "spec.hostNetwork") => "false".to_owned(),
                _ => String::new(),
            };
            ((*path).to_owned(), value)
        })
        .collect()
}

pub(super) fn default(pod: &mut Value) {
    let spec = map_mut(pod, "spec");
    default_spec(spec);
    default_to(spec, "serviceAccountName", "default");
    let account = spec.get("serviceAccountName").cloned().unwrap_or_default();
    default_to(spec, "serviceAccount", account);
    default_to(spec, "enableServiceLinks", true);
    default_to(spec, "preemptionPolicy", "PreemptLowerPriority");
    default_to(spec, "priority", 0);
    let seconds = 300;
    let waits =
        |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    if let Value::Array(list) = tolerations {
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let tolerated = list.iter().any(|toleration| {
                let of = object::text(toleration, "/key");
                of == key || (of.is_empty() && object::text(toleration, "/operator") == "Exists")
            });
            if !tolerated {
                list.push(waits(key));
            }
        }
    }
}

/// The defaults that a pod and a pod template share.
pub(super) fn default_spec(spec: &mut Map<String, Value>) {
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "securityContext", json!({}));
    default_to(spec, "schedulerName", "default-scheduler");
    for key in ["containers", "initContainers"] {
        if let Some(Value::Array(containers)) = spec.get_mut(key) {
            containers.iter_mut().for_each(default_container);
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        for (source, member, value) in [
            ("secret", "defaultMode", json!(420)),
            ("configMap", "defaultMode", json!(420)),
            ("projected", "defaultMode", json!(420)),
            ("downwardAPI", "defaultMode", json!(420)),
            ("hostPath", "type", json!("")),
        ] {
            if let Some(Value::Object(source)) = volume.get_mut(source) {
                default_to(source, member, value);
            }
        }
    }
}

fn default_container(container: &mut Value) {
    let Value::Object(container) = container else {
        return;
    };
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let pull = match image.rsplit('/').next().and_then(|last| last.split_once(':')) {
        _ if image.contains('@') => "IfNotPresent",
        Some((_, tag)) if tag != "latest" => "IfNotPresent",
        _ => "Always",
    };
    default_to(container, "imagePullPolicy", pull);
    default_to(container, "resources", json!({}));
    default_to(container, "terminationMessagePath", "/dev/termination-log");
    default_to(container, "terminationMessagePolicy", "File");
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(port) = port {
            default_to(port, "protocol", "TCP");
        }
    }
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(Value::Object(reference)) = variable.pointer_mut("/valueFrom/fieldRef") {
            default_to(reference, "apiVersion", "v1");
        }
    }
}

pub(super) fn create(pod: &mut Value) {
    let class = quality_of_service(pod);
    if let Value::Object(pod) = pod {
        pod.insert("status".into(), json!({"phase": "Pending", "qosClass": class}));
    }
}

fn quality_of_service(pod: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for container in object::items(pod, "/spec/containers").chain(object::items(pod, "/spec/initContainers")) {
        for resource in ["cpu", "memory"] {
            let limit = container.pointer(&format!("/resources/limits/{resource}"));
            let request = container.pointer(&format!("/resources/requests/{resource}"));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

pub(super) fn update(new: &mut Value, old: &Value) {
    // A defaulted field that a client with an older type does not send is not a change.
    if let (Value::Object(new), Some(spec)) = (new, old.get("spec"))
        && new.get("spec").is_none_or(Value::is_null)
    {
        new.insert("spec".into(), spec.clone());
    }
}

pub(super) fn validate(pod: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(old) = old else {
        return validate_spec(pod.get("spec").unwrap_or(&Value::Null), "spec");
    };
    if comparable_spec(pod) == comparable_spec(old) {
        Vec::new()
    } else {
        vec![FieldError::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        )]
    }
}

/// The part of a pod's spec that never changes.
fn comparable_spec(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    if let Value::Object(spec) = &mut spec {
        spec.remove("activeDeadlineSeconds");
        spec.remove("tolerations");
        spec.remove("schedulingGates");
        for key in ["containers", "initContainers"] {
            for container in spec.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Value::Object(container) = container {
                    container.remove("image");
                }
            }
        }
    }
    spec
}

/// What is wrong with the spec of a pod or of a pod template.
pub(super) fn validate_spec(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for key in ["containers", "initContainers"] {
        let field = format!("{path}.{key}");
        if key == "containers" && object::items(spec, "/containers").next().is_none() {
            errors.push(FieldError::required(field.as_str(), ""));
        }
        for (index, container) in object::items(spec, &format!("/{key}")).enumerate() {
            let name = object::text(container, "/name");
            let field = format!("{field}[{index}]");
            if name.is_empty() {
                errors.push(FieldError::required(format!("{field}.name"), ""));
            } else if let Some(flaw) = name_flaw(NameRule::Label, name) {
                errors.push(FieldError::invalid(format!("{field}.name"), &name.into(), flaw));
            } else if names.contains(&name) {
                errors.push(FieldError::duplicate(format!("{field}.name"), &name.into()));
            }
            names.push(name);
            if object::text(container, "/image").is_empty() {
                errors.push(FieldError::required(format!("{field}.image"), ""));
            }
            for (at, mount) in object::items(container, "/volumeMounts").enumerate() {
                let volume = object::text(mount, "/name");
                let known = object::items(spec, "/volumes").any(|known| object::text(known, "/name") == volume);
                if !known {
                    errors.push(FieldError::not_found(format!("{field}.volumeMounts[{at}].name"), &volume.into()));
                }
            }
        }
    }
    let one_of = |field: &str, words: &[&str]| {
        let found = object::text(spec, &format!("/{field}"));
        (!found.is_empty() && !words.contains(&found)).then(|| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            FieldError::not_supported(format!("{path}.{field}"), &found.into(), &words)
        })
    };
    errors.extend(one_of("restartPolicy", &["Always", "OnFailure", "Never"]));
    errors.extend(one_of("dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        let mut pod = json!({"spec": {"containers": [{"name": "a", "image": "busybox"}]}});
        default(&mut pod);
        pod
    }

    #[test]
    fn the_default_pull_policy_follows_from_the_tag() {
        for (image, want) in [
            ("busybox", "Always"),
            ("busybox:latest", "Always"),
            ("host:5000/busybox", "Always"),
            ("host:5000/busybox:1.36", "IfNotPresent"),
            ("busybox@sha256:ab", "IfNotPresent"),
        ] {
            let mut container = json!({"image": image});
            default_container(&mut container);
            assert_eq!(container["imagePullPolicy"], want, "{image}");
        }
    }

    #[test]
    fn a_pod_may_change_its_image_but_not_its_command() {
        let old = pod();
        let mut image = old.clone();
        image["spec"]["containers"][0]["image"] = "busybox:2".into();
        assert_eq!(validate(&image, Some(&old)), []);
        let mut command = old.clone();
        command["spec"]["containers"][0]["command"] = json!(["sh"]);
        assert_eq!(validate(&command, Some(&old)).len(), 1);
    }

    #[test]
    fn a_pod_without_containers_or_with_an_undeclared_volume_is_refused() {
        assert_eq!(validate(&json!({"spec": {}}), None)[0].field, "spec.containers");
        let mut unmounted = pod();
        unmounted["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
        assert_eq!(validate(&unmounted, None)[0].field, "spec.containers[0].volumeMounts[0].name");
    }
}
