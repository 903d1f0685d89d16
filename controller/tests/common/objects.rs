//! Objects and bodies that begin valid: a test states only what matters to it.

use serde_json::{Value, json};

/// The rule of the seed: NodeHasEmergencyEvent runs the template of the same name.
pub fn seed_rule() -> Value {
    rule("nodehasemergencyevent", "NodeHasEmergencyEvent", "nodehasemergencyevent")
}

/// The template of the seed: a Workflow that cordons the alert's node.
pub fn seed_template() -> Value {
    template("nodehasemergencyevent", SEED_MANIFEST)
}

/// The manifest of the seed.
pub const SEED_MANIFEST: &str = "\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  serviceAccountName: aegis-workflow
  ttlSecondsAfterFinished: 60
  entrypoint: start
  templates:
  - name: start
    retryStrategy:
      limit: 1
    container:
      image: bitnami/kubectl:latest
      command:
      - /bin/bash
      - -c
      - |
        kubectl cordon {{.node}}
";

/// A manifest of a Job.
pub const JOB_MANIFEST: &str = "\
apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      serviceAccountName: aegis-workflow
      restartPolicy: Never
      containers:
      - name: main
        image: busybox
        command: [echo, done]
";

/// A rule for firing alerts of a type.
pub fn rule(name: &str, type_: &str, template: &str) -> Value {
    rule_for(name, type_, "Firing", template)
}

/// A rule for alerts of a type in a phase.
pub fn rule_for(name: &str, type_: &str, phase: &str, template: &str) -> Value {
    json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlertOpsRule",
        "metadata": {"name": name, "namespace": "monitoring"},
        "spec": {
            "alertConditions": [{"type": type_, "status": phase}],
            "opsTemplate": {
                "kind": "AegisOpsTemplate", "apiVersion": "aegis.io/v1alpha1",
                "namespace": "monitoring", "name": template,
            },
        },
    })
}

/// A template.
pub fn template(name: &str, manifest: &str) -> Value {
    json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisOpsTemplate",
        "metadata": {"name": name, "namespace": "monitoring"},
        "spec": {"manifest": manifest},
    })
}

/// The body of the seed's curl.
pub fn seed_alert() -> Value {
    alert("NodeHasEmergencyEvent", "Firing", "5f972974ccf1ee9b")
}

/// The seed's alert, resolved.
pub fn seed_resolved() -> Value {
    alert("NodeHasEmergencyEvent", "Resolved", "5f972974ccf1ee9b")
}

/// A body for /default/alert about node dev1.
pub fn alert(type_: &str, status: &str, fingerprint: &str) -> Value {
    alert_on("dev1", type_, status, fingerprint)
}

/// A firing alert of the seed's type about a node of its own, since on one node one action goes on at a time.
pub fn alert_of(incident: usize) -> Value {
    alert_on(&format!("node-{incident}"), "NodeHasEmergencyEvent", "Firing", &format!("f{incident}"))
}

/// A body for /default/alert about a node.
pub fn alert_on(node: &str, type_: &str, status: &str, fingerprint: &str) -> Value {
    json!({
        "type": type_,
        "status": status,
        "involvedObject": {"Kind": "Node", "Name": node},
        "details": {"startAt": "2022021122", "node": node},
        "fingerprint": fingerprint,
    })
}
