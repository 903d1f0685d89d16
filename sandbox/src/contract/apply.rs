//! Server-side apply.

use anyhow::ensure;
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{refused, same, text};

const APPLY: &str = "apply-patch+yaml";

fn body(cluster: &Cluster, rest: Value) -> Value {
    let mut body = json!({
        "apiVersion": format!("{}/v1", cluster.group()), "kind": "Widget", "metadata": {"name": "a"},
    });
    if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest) {
        body.extend(rest);
    }
    body
}

async fn apply(cluster: &Cluster, manager: &str, spec: Value) -> Result<Value, kube::Error> {
    let path = cluster.widget_path(&format!("/a?fieldManager={manager}"));
    cluster.patch(&path, APPLY, &body(cluster, json!({"spec": spec}))).await
}

pub(super) async fn an_apply_creates_what_is_missing(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let made = apply(cluster, "one", json!({"color": "red"})).await?;
    same("color", text(&made, "/spec/color"), "red")?;
    let entry = &made["metadata"]["managedFields"][0];
    same("manager", text(entry, "/manager"), "one")?;
    same("operation", text(entry, "/operation"), "Apply")?;
    ensure!(entry.pointer("/fieldsV1/f:spec/f:color").is_some(), "the field is not recorded: {entry}");
    Ok(())
}

pub(super) async fn an_apply_needs_a_manager(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let applied = cluster.patch(&cluster.widget_path("/a"), APPLY, &body(cluster, json!({"spec": {}}))).await;
    ensure!(applied.is_err(), "an apply without a manager was accepted");
    Ok(())
}

pub(super) async fn the_same_apply_twice_changes_nothing(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let one = apply(cluster, "one", json!({"color": "red", "tags": ["x"]})).await?;
    let two = apply(cluster, "one", json!({"color": "red", "tags": ["x"]})).await?;
    same("resourceVersion", &two["metadata"]["resourceVersion"], &one["metadata"]["resourceVersion"])
}

pub(super) async fn what_an_apply_no_longer_names_goes(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    apply(cluster, "one", json!({"color": "red", "code": "AB"})).await?;
    let new = apply(cluster, "one", json!({"color": "red"})).await?;
    ensure!(new["spec"].get("code").is_none(), "the field stayed: {}", new["spec"]);
    Ok(())
}

pub(super) async fn what_others_own_stays(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    apply(cluster, "one", json!({"color": "red", "code": "AB"})).await?;
    apply(cluster, "two", json!({"size": 5, "code": "AB"})).await?;
    let new = apply(cluster, "one", json!({"color": "green"})).await?;
    same("spec", &new["spec"], &json!({"color": "green", "size": 5, "code": "AB"}))
}

pub(super) async fn taking_a_field_from_another_manager_is_a_conflict(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    apply(cluster, "one", json!({"color": "red"})).await?;
    let status = refused(apply(cluster, "two", json!({"color": "green"})).await, 409, "Conflict")?;
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    let cause = causes.first().map(|cause| (cause.reason.as_str(), cause.field.as_str()));
    same("cause", cause, Some(("FieldManagerConflict", ".spec.color")))?;
    ensure!(status.message.contains("conflict with \"one\""), "{}", status.message);
    // The same value is no conflict: both own it then.
    apply(cluster, "two", json!({"color": "red"})).await?;
    Ok(())
}

pub(super) async fn a_forced_apply_takes_the_field(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    apply(cluster, "one", json!({"color": "red"})).await?;
    let path = cluster.widget_path("/a?fieldManager=two&force=true");
    let taken = cluster.patch(&path, APPLY, &body(cluster, json!({"spec": {"color": "green"}}))).await?;
    same("color", text(&taken, "/spec/color"), "green")?;
    refused(apply(cluster, "one", json!({"color": "red"})).await, 409, "Conflict")?;
    Ok(())
}

pub(super) async fn an_update_takes_ownership_of_what_it_changes(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    apply(cluster, "one", json!({"color": "red", "code": "AB"})).await?;
    let path = cluster.widget_path("/a?fieldManager=editor");
    cluster.patch(&path, "merge-patch+json", &json!({"spec": {"color": "blue"}})).await?;
    let status = refused(apply(cluster, "one", json!({"color": "red", "code": "AB"})).await, 409, "Conflict")?;
    ensure!(status.message.contains("conflict with \"editor\""), "{}", status.message);
    Ok(())
}

pub(super) async fn an_apply_to_status_owns_status_alone(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    apply(cluster, "one", json!({"color": "red"})).await?;
    let path = cluster.widget_path("/a/status?fieldManager=controller");
    let told =
        body(cluster, json!({"status": {"phase": "Ready", "conditions": [{"type": "Ready", "status": "True"}]}}));
    let new = cluster.patch(&path, APPLY, &told).await?;
    same("phase", text(&new, "/status/phase"), "Ready")?;
    same("color", text(&new, "/spec/color"), "red")?;
    let entries = new["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let entry = entries.iter().find(|entry| text(entry, "/manager") == "controller");
    same("subresource", entry.map(|entry| text(entry, "/subresource")), Some("status"))
}

pub(super) async fn lists_with_keys_are_owned_item_by_item(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    apply(cluster, "one", json!({"parts": [{"name": "a", "count": 1}]})).await?;
    apply(cluster, "two", json!({"parts": [{"name": "b", "count": 2}]})).await?;
    let new = apply(cluster, "one", json!({"parts": [{"name": "c", "count": 3}]})).await?;
    let mut names: Vec<&str> =
        new["spec"]["parts"].as_array().into_iter().flatten().map(|part| text(part, "/name")).collect();
    names.sort_unstable();
    same("parts", names, vec!["b", "c"])
}
