//! An API server in memory, without a controller, in which something of every kind stands that verbs are about.

use aegis_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::plugin::{Told, ago, stored, told_by};

const GROUP: &str = "/apis/aegis.io/v1alpha1/namespaces/monitoring";
const PLAN: &str = "3f0cda5d8b4c8fb4ddc6b0a4d4f80a2a";

/// See the module's description: alert `waiting` of rule and template `down`, nodes n1 and n2, a guard that pauses all.
pub async fn world() -> Sandbox {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let crds = aegis_crds::definitions().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let nodes = ["n1", "n2"].map(String::from).to_vec();
    let sandbox = Sandbox::start(Options { crds, nodes, ..Options::default() }).await.unwrap();
    let rule = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlertOpsRule", "metadata": {"name": "down"},
        "spec": {"alertConditions": [{"type": "NodeDown", "status": "Firing"}], "opsTemplate": {"name": "down"}},
    });
    stored(&sandbox, &format!("{GROUP}/aegisalertopsrules"), rule).await;
    let manifest = "apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: {restartPolicy: Never, containers: \
                    [{name: main, image: x, command: [echo, '{{.node}}']}]}}}\n";
    let template = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisOpsTemplate", "metadata": {"name": "down"},
        "spec": {"manifest": manifest},
    });
    stored(&sandbox, &format!("{GROUP}/aegisopstemplates"), template).await;
    let alert = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": "waiting"},
        "spec": {
            "type": "NodeDown", "status": "Firing", "involvedObject": {"kind": "Node", "name": "n1", "node": "n1"},
            "detials": {"node": "n1"},
        },
        "status": {
            "status": "Firing", "startTime": ago(60), "lastTime": ago(1), "count": 1,
            "opsStatus": {"triggerStatus": "Held"},
            "verdict": {"reason": "NeedsApproval", "message": "its rule asks first", "plan": PLAN},
        },
    });
    let alert = stored(&sandbox, &format!("{GROUP}/aegisalerts"), alert).await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "waiting-1", "labels": {"aegis.io/alert-uid": alert["metadata"]["uid"]}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}},
    });
    stored(&sandbox, "/apis/batch/v1/namespaces/monitoring/jobs", job).await;
    let labels = json!({"app.kubernetes.io/name": "aegis"});
    let controller = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "aegis", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "aegis", "image": "x"}]}},
        },
    });
    stored(&sandbox, "/apis/apps/v1/namespaces/monitoring/deployments", controller).await;
    let Told { code, out, err } = told_by(&sandbox, &["sop", "install", "cordon", "uncordon"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let guard = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisGuard", "metadata": {"name": "aegis"},
        "spec": {"pauses": [{"target": "all", "reason": "work"}]}, "status": {"breaker": {"state": "Open"}},
    });
    stored(&sandbox, &format!("{GROUP}/aegisguards"), guard).await;
    let changes = json!([{
        "field": "unschedulable", "after": "true", "alert": "waiting", "rule": "monitoring/down", "action": "a",
        "time": ago(30),
    }]);
    let patch = json!({"spec": {"unschedulable": true}, "metadata": {"annotations": {"aegis.io/changes": changes.to_string()}}});
    let request = http::Request::patch("/api/v1/nodes/n1").header("Content-Type", "application/merge-patch+json");
    let request = request.body(patch.to_string().into_bytes()).unwrap();
    sandbox.client_as("test").request::<Value>(request).await.unwrap();
    sandbox
}

/// The words of a line; a quoted one is one.
pub fn quoted(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (nth, part) in line.split('\'').enumerate() {
        if nth % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
