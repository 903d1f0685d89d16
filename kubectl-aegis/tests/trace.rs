//! `trace`: the whole chain of an alert on one page, and what is shown to those who may not see all of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use aegis_sandbox::{Action, Match, Options, Rule, Sandbox};
use jiff::Timestamp;
use plugin::{Told, ago, asked, stored, told_by};
use serde_json::{Value, json};

const GROUP: &str = "/apis/aegis.io/v1alpha1/namespaces/monitoring";
const DAY: i64 = 86_400;

/// An alert that was acted on three days ago, with all that belongs to it.
async fn world() -> Sandbox {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let crds = aegis_crds::definitions().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let options =
        Options { crds, namespaces: vec!["monitoring".into()], nodes: vec!["dev1".into()], ..Options::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    for (name, type_) in [("cordon", "NodeDown"), ("other", "DiskFull")] {
        let rule = json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlertOpsRule", "metadata": {"name": name},
            "spec": {"alertConditions": [{"type": type_, "status": "Firing"}], "opsTemplate": {"name": "cordon"}},
        });
        stored(&sandbox, &format!("{GROUP}/aegisalertopsrules"), rule).await;
    }
    let manifest = "apiVersion: batch/v1\nkind: Job\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      \
                    containers: [{name: main, image: busybox, command: [echo, '{{.node}}']}]\n";
    let template = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisOpsTemplate", "metadata": {"name": "cordon"},
        "spec": {"manifest": manifest},
    });
    stored(&sandbox, &format!("{GROUP}/aegisopstemplates"), template).await;
    let alert = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": "a"},
        "spec": {
            "type": "NodeDown", "status": "Firing", "severity": "critical", "source": "alertmanager", "fingerprint": "f1",
            "involvedObject": {"kind": "Node", "name": "dev1", "node": "dev1"},
            "detials": {"node": "dev1", "summary": "it is\u{1b}[31m down\nreally"},
        },
        "status": {
            "status": "Firing", "count": 3, "startTime": ago(3 * DAY), "lastTime": ago(2 * DAY),
            "opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": "Succeeded"},
            "rule": {"namespace": "monitoring", "name": "cordon", "why": "the only rule that matches"},
            "conditions": [{"type": "Repaired", "status": "False", "reason": "StillFiring", "message": "reported again"}],
            "actions": [{
                "phase": "Firing", "attempt": 1, "kind": "Workflow", "name": "a-1", "rule": "monitoring/cordon",
                "template": "monitoring/cordon", "status": "Succeeded", "uid": "0b1d",
                "startTime": ago(3 * DAY - 2), "completionTime": ago(3 * DAY - 14),
            }],
        },
    });
    let alert = stored(&sandbox, &format!("{GROUP}/aegisalerts"), alert).await;
    let workflow = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": "a-1", "labels": {
            "aegis.io/alert-uid": alert["metadata"]["uid"], "app.kubernetes.io/managed-by": "aegis",
        }},
        "spec": {"entrypoint": "start", "templates": [{"name": "start", "container": {"image": "aegis-sop:0.1.0"}}]},
        "status": {"phase": "Succeeded", "nodes": {
            "a-1": {"id": "a-1", "name": "a-1", "displayName": "a-1", "type": "Steps", "phase": "Succeeded"},
            "a-1-7": {"id": "a-1-7", "name": "a-1.cordon", "displayName": "cordon", "type": "Pod", "phase": "Succeeded",
                      "startedAt": ago(3 * DAY - 4), "finishedAt": ago(3 * DAY - 12)},
        }},
    });
    stored(&sandbox, "/apis/argoproj.io/v1alpha1/namespaces/monitoring/workflows", workflow).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "a-1-start-7", "labels": {"workflows.argoproj.io/workflow": "a-1"},
            "annotations": {"workflows.argoproj.io/node-name": "a-1.cordon"},
        },
        "spec": {"containers": [{"name": "main", "image": "x"}]},
        "status": {"phase": "Succeeded"},
    });
    stored(&sandbox, "/api/v1/namespaces/monitoring/pods", pod).await;
    sandbox.logs().append("monitoring", "a-1-start-7", "main", "one\ntwo\u{1b}[2J\nnode/dev1 cordoned\n");
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "a.1"}, "reason": "Triggered", "type": "Normal",
        "message": "made Workflow a-1", "lastTimestamp": ago(3 * DAY - 3),
        "involvedObject": {"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "namespace": "monitoring", "name": "a"},
    });
    stored(&sandbox, "/api/v1/namespaces/monitoring/events", event).await;
    let changes = json!([{
        "field": "unschedulable", "after": "true", "alert": "a", "rule": "monitoring/cordon", "action": "a-1",
        "time": ago(3 * DAY - 15),
    }]);
    let patch = json!({"metadata": {"annotations": {"aegis.io/changes": changes.to_string()}}});
    let request = http::Request::patch("/api/v1/nodes/dev1").header("Content-Type", "application/merge-patch+json");
    let request = request.body(patch.to_string().into_bytes()).unwrap();
    sandbox.client_as("test").request::<Value>(request).await.unwrap();
    sandbox.requests().reset();
    sandbox
}

/// With one word for every moment.
fn timeless(page: &str) -> String {
    let word = |word: &str| if word.parse::<Timestamp>().is_ok() { "TIME".to_owned() } else { word.to_owned() };
    let lines = page.lines().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_chain_stands_on_one_page() {
    let sandbox = world().await;
    let Told { code, out, err } = told_by(&sandbox, &["trace", "alert/a"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(!out.contains('\u{1b}'), "a sender's text does not command the terminal: {out:?}");
    insta::assert_snapshot!("page", timeless(&out));
    let asked = asked(&sandbox);
    assert!(asked.iter().all(|one| one.starts_with("get") || one.starts_with("list")), "{asked:?}");

    let Told { out, .. } = told_by(&sandbox, &["trace", "a", "--logs", "1", "-o", "json"]).await;
    let story: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(story["actions"][0]["steps"][0]["log"], json!(["node/dev1 cordoned"]));
    assert_eq!(story["now"]["notMatching"][0]["name"], "monitoring/other");
    assert_eq!(story["touched"][0]["change"]["field"], "unschedulable");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_all_sees_the_rest() {
    let sandbox = world().await;
    for resource in ["pods", "events", "nodes", "workflows"] {
        let of = Match::any().resource(resource);
        sandbox.faults().add(Rule::new(of, Action::Status(403, None)));
    }
    let Told { code, out, err } = told_by(&sandbox, &["trace", "a"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Workflow a-1: Succeeded") && out.contains("the object was not read, see below"), "{out}");
    assert!(!out.contains("gone"), "it says more than it knows: {out}");
    assert!(out.contains("monitoring/other does not find DiskFull in NodeDown"), "the rules may be seen: {out}");
    for part in ["not shown actions: ", "          events: ", "changes of the node: "] {
        assert!(out.contains(part), "no {part:?} in {out}");
    }
    let Told { code, err, .. } = told_by(&sandbox, &["trace", "none"]).await;
    assert!(code == 5 && err.contains("there is no alert none in monitoring"), "{code} {err}");
}
