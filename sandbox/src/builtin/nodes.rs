//! Nodes, and the ready node that a sandbox starts with.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::{self, map_mut};
use crate::status::FieldError;

pub(super) fn fields(node: &Value) -> Vec<(String, String)> {
    let unschedulable = node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true);
    vec![("spec.unschedulable".into(), unschedulable.to_string())]
}

pub(super) fn default(node: &mut Value) {
    // A false that is written out and one that is absent are the same to the Go type.
    let spec = map_mut(node, "spec");
    if spec.get("unschedulable").and_then(Value::as_bool) == Some(false) {
        spec.remove("unschedulable");
    }
}

pub(super) fn validate(node: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for (index, taint) in object::items(node, "/spec/taints").enumerate() {
        let (key, effect) = (object::text(taint, "/key"), object::text(taint, "/effect"));
        let path = format!("spec.taints[{index}]");
        if let Some(flaw) = crate::metadata::qualified_name_flaw(key) {
            errors.push(FieldError::invalid(format!("{path}.key"), &key.into(), flaw));
        }
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if !effects.contains(&effect) {
            errors.push(FieldError::not_supported(
                format!("{path}.effect"),
                &effect.into(),
                &effects.map(String::from),
            ));
        }
        if seen.contains(&(key, effect)) {
            errors.push(FieldError::duplicate(path, taint));
        }
        seen.push((key, effect));
    }
    errors
}

/// A node that is ready, as a kubelet would have registered it.
pub(crate) fn ready_node(name: &str, now: Timestamp) -> Value {
    let now = object::time(now);
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let room = json!({"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"});
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux",
                "beta.kubernetes.io/arch": "amd64",
            },
        },
        "spec": {},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "capacity": room,
            "allocatable": room,
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
            ],
            "nodeInfo": {
                "machineID": "", "systemUUID": "", "bootID": "",
                "kernelVersion": "sandbox", "osImage": "Aegis sandbox", "containerRuntimeVersion": "sandbox://1",
                "kubeletVersion": crate::VERSION, "kubeProxyVersion": "",
                "operatingSystem": "linux", "architecture": "amd64",
            },
        },
    })
}
