//! The kinds of patch, apart from server-side apply.

use anyhow::ensure;
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{refused, same, text};

const MERGE: &str = "merge-patch+json";
const JSON: &str = "json-patch+json";
const STRATEGIC: &str = "strategic-merge-patch+json";

async fn config_map(cluster: &Cluster) -> anyhow::Result<(String, Value)> {
    let object = json!({"metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"x": "1", "y": "2"}});
    let made = cluster.post(&cluster.core("configmaps"), &object).await?;
    Ok((cluster.core("configmaps/a"), made))
}

pub(super) async fn a_merge_patch_merges_and_null_removes(cluster: &Cluster) -> anyhow::Result<()> {
    let (path, _) = config_map(cluster).await?;
    let patched = cluster.patch(&path, MERGE, &json!({"data": {"x": null, "z": "3"}})).await?;
    same("data", &patched["data"], &json!({"y": "2", "z": "3"}))?;
    same("labels", &patched["metadata"]["labels"], &json!({"l": "1"}))
}

pub(super) async fn a_json_patch_changes_what_it_names(cluster: &Cluster) -> anyhow::Result<()> {
    let (path, _) = config_map(cluster).await?;
    let patch = json!([
        {"op": "test", "path": "/data/x", "value": "1"},
        {"op": "replace", "path": "/data/x", "value": "9"},
        {"op": "remove", "path": "/data/y"},
        {"op": "add", "path": "/metadata/labels/m~1n", "value": "2"},
    ]);
    let patched = cluster.patch(&path, JSON, &patch).await?;
    same("data", &patched["data"], &json!({"x": "9"}))?;
    same("labels", &patched["metadata"]["labels"], &json!({"l": "1", "m/n": "2"}))
}

pub(super) async fn a_json_patch_whose_test_fails_changes_nothing(cluster: &Cluster) -> anyhow::Result<()> {
    let (path, made) = config_map(cluster).await?;
    let patch = json!([
        {"op": "replace", "path": "/data/x", "value": "9"},
        {"op": "test", "path": "/data/y", "value": "other"},
    ]);
    refused(cluster.patch(&path, JSON, &patch).await, 422, "Invalid")?;
    same("what is stored", cluster.get(&path).await?, made)
}

pub(super) async fn a_strategic_merge_patch_merges_lists_by_key(cluster: &Cluster) -> anyhow::Result<()> {
    let deployment = json!({
        "metadata": {"name": "a"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [
                    {"name": "one", "image": "i:1", "env": [{"name": "A", "value": "1"}]},
                    {"name": "two", "image": "i:2"},
                ]},
            },
        },
    });
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", cluster.namespace);
    cluster.post(&path, &deployment).await?;
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "one", "env": [{"name": "B", "value": "2"}]},
        {"name": "two", "$patch": "delete"},
    ]}}}});
    let patched = cluster.patch(&format!("{path}/a"), STRATEGIC, &patch).await?;
    let containers = &patched["spec"]["template"]["spec"]["containers"];
    same("containers", containers.as_array().map(Vec::len), Some(1))?;
    same("image", text(containers, "/0/image"), "i:1")?;
    let mut names: Vec<&str> =
        containers[0]["env"].as_array().into_iter().flatten().map(|variable| text(variable, "/name")).collect();
    names.sort_unstable();
    same("env", names, vec!["A", "B"])
}

pub(super) async fn a_strategic_merge_patch_replaces_taints(cluster: &Cluster) -> anyhow::Result<()> {
    let name = format!("node-{}", cluster.namespace);
    let node = json!({"metadata": {"name": name}, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    cluster.post("/api/v1/nodes", &node).await?;
    let path = format!("/api/v1/nodes/{name}");
    let patch = json!({"spec": {"taints": [{"key": "b", "effect": "NoExecute"}]}});
    let patched = cluster.patch(&path, STRATEGIC, &patch).await;
    cluster.delete(&path, &json!({})).await?;
    let keys: Vec<String> = patched?["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        // A cluster with a node controller adds its own.
        .filter(|taint| !text(taint, "/key").contains('/'))
        .map(|taint| text(taint, "/key").to_owned())
        .collect();
    same("taints", keys, vec!["b".to_owned()])
}

pub(super) async fn a_custom_resource_takes_no_strategic_merge_patch(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    widgets.create(&Default::default(), &cluster.widget("a", json!({"color": "red"}))).await?;
    let patched = cluster.patch(&cluster.widget_path("/a"), STRATEGIC, &json!({"spec": {"color": "green"}})).await;
    refused(patched, 415, "UnsupportedMediaType")?;
    Ok(())
}

pub(super) async fn a_patch_may_insist_on_a_resource_version(cluster: &Cluster) -> anyhow::Result<()> {
    let (path, made) = config_map(cluster).await?;
    let version = &made["metadata"]["resourceVersion"];
    let patch = json!({"metadata": {"resourceVersion": version}, "data": {"x": "9"}});
    cluster.patch(&path, MERGE, &patch).await?;
    let again = json!({"metadata": {"resourceVersion": version}, "data": {"x": "10"}});
    refused(cluster.patch(&path, MERGE, &again).await, 409, "Conflict")?;
    same("data", text(&cluster.get(&path).await?, "/data/x"), "9")
}

pub(super) async fn a_patch_of_nothing_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let patched = cluster.patch(&cluster.core("configmaps/nothing"), MERGE, &json!({"data": {}})).await;
    refused(patched, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn a_patch_that_changes_nothing_keeps_the_resource_version(cluster: &Cluster) -> anyhow::Result<()> {
    let (path, made) = config_map(cluster).await?;
    let patched = cluster.patch(&path, MERGE, &json!({"data": {"x": "1"}})).await?;
    same("resourceVersion", &patched["metadata"]["resourceVersion"], &made["metadata"]["resourceVersion"])
}

pub(super) async fn a_patch_in_an_unknown_format_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let (path, _) = config_map(cluster).await?;
    refused(cluster.patch(&path, "json", &json!({})).await, 415, "UnsupportedMediaType")?;
    refused(cluster.patch(&path, JSON, &json!({"op": "add"})).await, 400, "BadRequest")?;
    Ok(())
}

pub(super) async fn a_patch_cannot_rename(cluster: &Cluster) -> anyhow::Result<()> {
    let (path, _) = config_map(cluster).await?;
    let patched = cluster.patch(&path, MERGE, &json!({"metadata": {"name": "b"}})).await;
    ensure!(patched.is_err(), "the object was renamed");
    ensure!(cluster.get(&path).await.is_ok(), "the object is gone");
    Ok(())
}
