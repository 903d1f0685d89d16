//! `undo`: what is put back on a node, and what is not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use aegis_engine::guard::changes::{Author, Picture, record};
use aegis_sandbox::Sandbox;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use plugin::{Told, in_the_sandbox, sandbox, told_by};
use serde_json::{Value, json};

fn nodes(sandbox: &Sandbox) -> Api<Node> {
    Api::all(sandbox.client_as("test"))
}

async fn patch(sandbox: &Sandbox, patch: Value) -> Node {
    nodes(sandbox).patch("n1", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
}

/// Node n1, cordoned, tainted and labelled for alert "a", with that written down as the controller does.
async fn changed(sandbox: &Sandbox) -> (Node, Node) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"gpu": "ok"}}});
    let before = nodes(sandbox).create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let after = patch(
        sandbox,
        json!({
            "metadata": {"labels": {"gpu": "broken"}},
            "spec": {"unschedulable": true, "taints": [{"key": "gpu", "value": "broken", "effect": "NoSchedule"}]},
        }),
    )
    .await;
    let author =
        Author { alert: "a", rule: "monitoring/drain", action: "w", time: Timestamp::UNIX_EPOCH, cordon_for: None };
    let changes = record(&Picture::of(&before), &after, author).unwrap();
    let annotations = json!({"aegis.io/changes": json!(changes).to_string()});
    (before, patch(sandbox, json!({"metadata": {"annotations": annotations}})).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_as_it_was_before_the_action() {
    let sandbox = sandbox().await;
    let (before, _) = changed(&sandbox).await;
    let (code, told) = in_the_sandbox(&sandbox, &["undo", "node/n1", "--dry-run=client"]).await;
    assert!(code == 0 && told.contains("put back (dry run)"), "{told}");
    let Told { code, out, err } = told_by(&sandbox, &["undo", "node/n1"]).await;
    assert_eq!((code, out.as_str()), (0, "node/n1 put back\n"), "{err}");
    assert!(err.contains("unschedulable: true -> not set (set for alert a, rule monitoring/drain)"), "{err}");
    let after = nodes(&sandbox).get("n1").await.unwrap();
    assert_eq!(Picture::of(&after), Picture::of(&before));
    let (code, told) = in_the_sandbox(&sandbox, &["undo", "node/n1"]).await;
    assert!(code == 0 && told.contains("nothing there that still stands"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_since_is_left_to_them() {
    let sandbox = sandbox().await;
    changed(&sandbox).await;
    patch(&sandbox, json!({"metadata": {"labels": {"gpu": "replaced"}}})).await;
    let (code, told) = in_the_sandbox(&sandbox, &["undo", "node/n1"]).await;
    assert!(code == 6 && told.contains("label/gpu is \"replaced\" now and no longer \"broken\""), "{code} {told}");
    let node = nodes(&sandbox).get("n1").await.unwrap();
    assert_eq!(node.spec.unwrap().unschedulable, Some(true), "nothing is put back");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_names_what_is_put_back() {
    let sandbox = sandbox().await;
    changed(&sandbox).await;
    let alerts: Api<aegis_crds::AegisAlert> = Api::namespaced(sandbox.client_as("test"), "monitoring");
    for name in ["a", "b"] {
        let alert = json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": name},
            "spec": {"type": "NodeDown", "status": "Firing", "involvedObject": {"kind": "Node", "name": "n1"}},
        });
        alerts.create(&PostParams::default(), &serde_json::from_value(alert).unwrap()).await.unwrap();
    }
    let (code, told) = in_the_sandbox(&sandbox, &["undo", "b"]).await;
    assert!(code == 0 && told.contains("nothing there"), "another alert changed it: {told}");
    let (code, told) = in_the_sandbox(&sandbox, &["undo", "a"]).await;
    assert!(code == 0 && told.contains("node/n1 put back"), "{told}");
    for (target, part) in [("c", "there is no alert c in monitoring"), ("node/n9", "there is no node n9")] {
        let (code, told) = in_the_sandbox(&sandbox, &["undo", target]).await;
        assert!(code == 5 && told.contains(part), "{code} {told}");
    }
}
