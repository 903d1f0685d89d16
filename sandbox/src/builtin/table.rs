//! How `kubectl get` shows the built-in kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::BuiltinColumn;
use crate::object::{self, text};
use crate::table::age;

pub(super) const NAME_AND_AGE: &[BuiltinColumn] = &[("Name", "string", "name", 0), ("Age", "string", "", 0)];
pub(super) const NAME_AND_CREATED: &[BuiltinColumn] = &[("Name", "string", "name", 0), ("Created At", "date", "", 0)];
pub(super) const NAMESPACE: &[BuiltinColumn] =
    &[("Name", "string", "name", 0), ("Status", "string", "", 0), ("Age", "string", "", 0)];
pub(super) const NODE: &[BuiltinColumn] = &[
    ("Name", "string", "name", 0),
    ("Status", "string", "", 0),
    ("Roles", "string", "", 0),
    ("Age", "string", "", 0),
    ("Version", "string", "", 0),
    ("Internal-IP", "string", "", 1),
    ("External-IP", "string", "", 1),
    ("OS-Image", "string", "", 1),
    ("Kernel-Version", "string", "", 1),
    ("Container-Runtime", "string", "", 1),
];
pub(super) const POD: &[BuiltinColumn] = &[
    ("Name", "string", "name", 0),
    ("Ready", "string", "", 0),
    ("Status", "string", "", 0),
    ("Restarts", "string", "", 0),
    ("Age", "string", "", 0),
    ("IP", "string", "", 1),
    ("Node", "string", "", 1),
    ("Nominated Node", "string", "", 1),
    ("Readiness Gates", "string", "", 1),
];
pub(super) const CONFIG_MAP: &[BuiltinColumn] =
    &[("Name", "string", "name", 0), ("Data", "string", "", 0), ("Age", "string", "", 0)];
pub(super) const SECRET: &[BuiltinColumn] =
    &[("Name", "string", "name", 0), ("Type", "string", "", 0), ("Data", "string", "", 0), ("Age", "string", "", 0)];
pub(super) const SERVICE: &[BuiltinColumn] = &[
    ("Name", "string", "name", 0),
    ("Type", "string", "", 0),
    ("Cluster-IP", "string", "", 0),
    ("External-IP", "string", "", 0),
    ("Port(s)", "string", "", 0),
    ("Age", "string", "", 0),
    ("Selector", "string", "", 1),
];
pub(super) const EVENT: &[BuiltinColumn] = &[
    ("Last Seen", "string", "", 0),
    ("Type", "string", "", 0),
    ("Reason", "string", "", 0),
    ("Object", "string", "", 0),
    ("Subobject", "string", "", 1),
    ("Source", "string", "", 1),
    ("Message", "string", "", 0),
    ("First Seen", "string", "", 1),
    ("Count", "string", "", 1),
    ("Name", "string", "name", 1),
];
pub(super) const DEPLOYMENT: &[BuiltinColumn] = &[
    ("Name", "string", "name", 0),
    ("Ready", "string", "", 0),
    ("Up-to-date", "string", "", 0),
    ("Available", "string", "", 0),
    ("Age", "string", "", 0),
];
pub(super) const JOB: &[BuiltinColumn] = &[
    ("Name", "string", "name", 0),
    ("Status", "string", "", 0),
    ("Completions", "string", "", 0),
    ("Duration", "string", "", 0),
    ("Age", "string", "", 0),
    ("Containers", "string", "", 1),
    ("Images", "string", "", 1),
    ("Selector", "string", "", 1),
];
pub(super) const LEASE: &[BuiltinColumn] =
    &[("Name", "string", "name", 0), ("Holder", "string", "", 0), ("Age", "string", "", 0)];
pub(super) const BINDING: &[BuiltinColumn] =
    &[("Name", "string", "name", 0), ("Role", "string", "", 0), ("Age", "string", "", 0)];

fn name(object: &Value) -> Value {
    object::name(object).into()
}

fn created(object: &Value, now: Timestamp) -> Value {
    age(object::meta_text(object, "creationTimestamp"), now)
}

fn or_none(text: &str) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

fn size(object: &Value, members: &[&str]) -> Value {
    let count: usize =
        members.iter().filter_map(|member| object.get(*member)?.as_object()).map(serde_json::Map::len).sum();
    count.into()
}

pub(super) fn name_and_age(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), created(object, now)]
}

pub(super) fn name_and_created(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(object), object::meta_text(object, "creationTimestamp").into()]
}

pub(super) fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/status/phase").into(), created(object, now)]
}

pub(super) fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = object::items(object, "/status/conditions").find(|one| text(one, "/type") == "Ready");
    let mut status = match ready.map(|one| text(one, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = object::metadata(object)
        .get("labels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    roles.sort_unstable();
    let address = |kind: &str| {
        object::items(object, "/status/addresses")
            .find(|one| text(one, "/type") == kind)
            .map_or("", |one| text(one, "/address"))
    };
    let info = |key: &str| text(object, &format!("/status/nodeInfo/{key}")).into();
    vec![
        name(object),
        status.into(),
        or_none(&roles.join(",")),
        created(object, now),
        info("kubeletVersion"),
        or_none(address("InternalIP")),
        or_none(address("ExternalIP")),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

pub(super) fn pod(object: &Value, now: Timestamp) -> Vec<Value> {
    let statuses = || object::items(object, "/status/containerStatuses");
    let ready = statuses().filter(|one| one.get("ready").and_then(Value::as_bool) == Some(true)).count();
    let total = object::items(object, "/spec/containers").count();
    let restarts: i64 = statuses().filter_map(|one| one.get("restartCount")?.as_i64()).sum();
    vec![
        name(object),
        format!("{ready}/{total}").into(),
        pod_status(object).into(),
        restarts.to_string().into(),
        created(object, now),
        or_none(text(object, "/status/podIP")),
        or_none(text(object, "/spec/nodeName")),
        or_none(text(object, "/status/nominatedNodeName")),
        "<none>".into(),
    ]
}

/// The one word in which `kubectl get pods` tells how a pod is.
fn pod_status(pod: &Value) -> String {
    let mut status = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    for (index, container) in object::items(pod, "/status/initContainerStatuses").enumerate() {
        let state = container.get("state").cloned().unwrap_or_default();
        if let Some(done) = state.get("terminated") {
            if done.get("exitCode").and_then(Value::as_i64) == Some(0) {
                continue;
            }
            return format!("Init:{}", ended(done));
        }
        let waiting = text(&state, "/waiting/reason");
        if !waiting.is_empty() && waiting != "PodInitializing" {
            return format!("Init:{waiting}");
        }
        let total = object::items(pod, "/spec/initContainers").count();
        return format!("Init:{index}/{total}");
    }
    let mut running = false;
    for container in object::items(pod, "/status/containerStatuses") {
        let waiting = text(container, "/state/waiting/reason");
        if !waiting.is_empty() {
            status = waiting.to_owned();
        } else if let Some(done) = container.pointer("/state/terminated") {
            status = ended(done);
        } else if container.pointer("/state/running").is_some() {
            running |= container.get("ready").and_then(Value::as_bool) == Some(true);
        }
    }
    if status == "Completed" && running {
        status = "Running".to_owned();
    }
    if object::metadata(pod).contains_key("deletionTimestamp") {
        status = "Terminating".to_owned();
    }
    status
}

fn ended(terminated: &Value) -> String {
    match text(terminated, "/reason") {
        "" => match terminated.get("signal").and_then(Value::as_i64) {
            Some(signal) if signal != 0 => format!("Signal:{signal}"),
            _ => format!("ExitCode:{}", terminated.get("exitCode").and_then(Value::as_i64).unwrap_or(0)),
        },
        reason => reason.to_owned(),
    }
}

pub(super) fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), size(object, &["data", "binaryData"]), created(object, now)]
}

pub(super) fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/type").into(), size(object, &["data"]), created(object, now)]
}

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = object::items(object, "/spec/ports")
        .map(|port| {
            let number = port.get("port").cloned().unwrap_or_default();
            format!("{number}/{}", text(port, "/protocol"))
        })
        .collect();
    vec![
        name(object),
        text(object, "/spec/type").into(),
        or_none(text(object, "/spec/clusterIP")),
        "<none>".into(),
        or_none(&ports.join(",")),
        created(object, now),
        or_none(&pairs(object.pointer("/spec/selector"))),
    ]
}

fn pairs(map: Option<&Value>) -> String {
    let pairs: Vec<String> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.join(",")
}

pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |pointers: &[&str]| {
        pointers
            .iter()
            .map(|pointer| text(object, pointer))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    let last = first_of(&["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]);
    let first = first_of(&["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"]);
    let count = object.pointer("/series/count").or_else(|| object.get("count")).and_then(Value::as_i64).unwrap_or(1);
    let involved =
        format!("{}/{}", text(object, "/involvedObject/kind").to_lowercase(), text(object, "/involvedObject/name"));
    let mut source = first_of(&["/source/component", "/reportingComponent"]);
    let host = first_of(&["/source/host", "/reportingInstance"]);
    if !host.is_empty() {
        source = format!("{source}, {host}");
    }
    vec![
        age(&last, now),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        involved.into(),
        text(object, "/involvedObject/fieldPath").into(),
        source.into(),
        text(object, "/message").trim().into(),
        age(&first, now),
        count.into(),
        name(object),
    ]
}

pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    vec![
        name(object),
        format!("{}/{}", number("/status/readyReplicas"), number("/spec/replicas")).into(),
        number("/status/updatedReplicas").into(),
        number("/status/availableReplicas").into(),
        created(object, now),
    ]
}

pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let holds = |kind: &str| {
        object::items(object, "/status/conditions")
            .any(|one| text(one, "/type") == kind && text(one, "/status") == "True")
    };
    let status = if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if object::metadata(object).contains_key("deletionTimestamp") {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else {
        "Running"
    };
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let succeeded = number("/status/succeeded").unwrap_or(0);
    let wanted = number("/spec/completions").or_else(|| number("/spec/parallelism")).unwrap_or(1);
    let started = text(object, "/status/startTime").parse::<Timestamp>().ok();
    let ended = text(object, "/status/completionTime").parse::<Timestamp>().unwrap_or(now);
    let duration = match started {
        Some(started) => age(&started.to_string(), ended),
        None => "".into(),
    };
    let containers = |key: &str| {
        let words: Vec<&str> =
            object::items(object, "/spec/template/spec/containers").map(|container| text(container, key)).collect();
        Value::from(words.join(","))
    };
    vec![
        name(object),
        status.into(),
        format!("{succeeded}/{wanted}").into(),
        duration,
        created(object, now),
        containers("/name"),
        containers("/image"),
        or_none(&pairs(object.pointer("/spec/selector/matchLabels"))),
    ]
}

pub(super) fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/spec/holderIdentity").into(), created(object, now)]
}

pub(super) fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name"));
    vec![name(object), role.into(), created(object, now)]
}
