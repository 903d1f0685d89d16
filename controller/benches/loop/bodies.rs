//! Bodies as Alertmanager sends them, with as many labels as alerts of real clusters have.

use jiff::Timestamp;
use serde_json::{Value, json};

/// Bodies of `group` alerts each, `count` alerts in all, each about a node of its own.
pub fn bodies(name: &str, count: usize, group: usize) -> Vec<String> {
    let all: Vec<usize> = (0..count).collect();
    all.chunks(group).map(|numbers| body(name, numbers)).collect()
}

fn body(name: &str, numbers: &[usize]) -> String {
    let alerts: Vec<Value> = numbers.iter().map(|number| alert(name, *number)).collect();
    json!({
        "receiver": "Aegis", "status": "firing", "alerts": alerts,
        "groupLabels": {"alertname": "NodeHasEmergencyEvent"},
        "commonLabels": {"alertname": "NodeHasEmergencyEvent", "cluster": "c1", "kind": "Node", "severity": "critical"},
        "commonAnnotations": {}, "externalURL": "http://alertmanager.monitoring:9093", "version": "4",
        "groupKey": "{}:{alertname=\"NodeHasEmergencyEvent\"}", "truncatedAlerts": 0,
    })
    .to_string()
}

fn alert(name: &str, number: usize) -> Value {
    let node = format!("{name}-{number:05}");
    let fingerprint = name
        .bytes()
        .fold(number as u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23));
    json!({
        "status": "firing",
        "labels": {
            "alertname": "NodeHasEmergencyEvent", "cluster": "c1", "kind": "Node", "node": node,
            "severity": "critical", "team": "accelerators", "region": "north", "zone": "north-2",
            "instance": format!("{node}:9100"), "job": "node-exporter", "prometheus": "monitoring/main",
            "runbook": "emergency-events", "reason": "EccError",
        },
        "annotations": {
            "description": format!("Node {node} has reported an emergency event: an uncorrectable memory error on GPU 3"),
            "summary": "NodeHasEmergencyEvent",
        },
        "startsAt": Timestamp::now().to_string(), "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.monitoring:9090/graph?g0.expr=up",
        "fingerprint": format!("{fingerprint:016x}"),
    })
}
