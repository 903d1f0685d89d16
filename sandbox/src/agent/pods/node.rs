//! Nodes: a node that nobody reports on is made ready, as its kubelet would.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

/// The status patch for a node without a Ready condition; None when it has one.
pub(super) fn readiness(node: &Node, now: Timestamp) -> Option<Value> {
    let status = node.status.clone().unwrap_or_default();
    let known = status.conditions.unwrap_or_default();
    if known.iter().any(|condition| condition.type_ == "Ready") {
        return None;
    }
    let mut conditions: Vec<Value> =
        known.iter().filter_map(|condition| serde_json::to_value(condition).ok()).collect();
    let report = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ];
    for (type_, value, reason, message) in report {
        if !known.iter().any(|condition| condition.type_ == type_) {
            conditions.push(json!({
                "type": type_, "status": value, "reason": reason, "message": message,
                "lastHeartbeatTime": Time(now), "lastTransitionTime": Time(now),
            }));
        }
    }
    let mut patch = json!({"conditions": conditions});
    if let (None, Some(fields)) = (status.capacity, patch.as_object_mut()) {
        let room = json!({"cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "110"});
        fields.insert("capacity".to_owned(), room.clone());
        fields.insert("allocatable".to_owned(), room);
    }
    Some(json!({"metadata": {"uid": node.metadata.uid}, "status": patch}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(status: Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n1", "uid": "u"}, "status": status})).unwrap()
    }

    #[test]
    fn a_node_without_a_report_is_made_ready_and_another_is_left_alone() {
        let patch = readiness(&node(json!({})), Timestamp::UNIX_EPOCH).unwrap();
        let ready = patch.pointer("/status/conditions/3").unwrap();
        assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("True")));
        assert!(
            readiness(&node(json!({"conditions": [{"type": "Ready", "status": "False"}]})), Timestamp::UNIX_EPOCH)
                .is_none()
        );
    }

    #[test]
    fn what_a_node_already_says_stays() {
        let own = json!({"conditions": [{"type": "MemoryPressure", "status": "True"}], "capacity": {"pods": "3"}});
        let patch = readiness(&node(own), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(patch.pointer("/status/conditions/0/status"), Some(&json!("True")));
        assert_eq!(patch.pointer("/status/conditions").and_then(Value::as_array).map(Vec::len), Some(4));
        assert_eq!(patch.pointer("/status/capacity"), None);
    }
}
