//! Status as a subresource, and the generation that counts changes of the rest.

use anyhow::ensure;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{refused, same, text};

async fn widget(cluster: &Cluster) -> anyhow::Result<(Api<DynamicObject>, DynamicObject)> {
    let widgets = cluster.widgets().await?;
    let made = widgets.create(&PostParams::default(), &cluster.widget("a", json!({"color": "red"}))).await?;
    Ok((widgets, made))
}

fn phase(object: &DynamicObject) -> &str {
    text(&object.data, "/status/phase")
}

fn with(object: &DynamicObject, color: &str, phase: &str) -> DynamicObject {
    let mut new = object.clone();
    new.data = json!({"spec": {"color": color}, "status": {"phase": phase}});
    new
}

pub(super) async fn a_create_drops_status(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    let mut object = cluster.widget("a", json!({"color": "red"}));
    object.data["status"] = json!({"phase": "Forged"});
    let made = widgets.create(&PostParams::default(), &object).await?;
    ensure!(made.data.get("status").is_none(), "status was kept: {}", made.data);
    Ok(())
}

pub(super) async fn an_update_ignores_status(cluster: &Cluster) -> anyhow::Result<()> {
    let (widgets, made) = widget(cluster).await?;
    let changed = widgets.replace("a", &PostParams::default(), &with(&made, "green", "Forged")).await?;
    same("color", text(&changed.data, "/spec/color"), "green")?;
    same("phase", phase(&changed), "")?;
    let patch = json!({"status": {"phase": "Forged"}});
    let changed = widgets.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await?;
    same("phase", phase(&changed), "")
}

pub(super) async fn an_update_of_status_ignores_the_rest(cluster: &Cluster) -> anyhow::Result<()> {
    let (widgets, made) = widget(cluster).await?;
    let mut new = with(&made, "green", "Ready");
    new.labels_mut().insert("l".into(), "1".into());
    let changed = widgets.replace_status("a", &PostParams::default(), &new).await?;
    same("phase", phase(&changed), "Ready")?;
    same("color", text(&changed.data, "/spec/color"), "red")?;
    ensure!(changed.labels().is_empty(), "labels were changed: {:?}", changed.labels());
    Ok(())
}

pub(super) async fn a_patch_of_status_changes_status_alone(cluster: &Cluster) -> anyhow::Result<()> {
    let (widgets, made) = widget(cluster).await?;
    let patch = json!({
        "metadata": {"resourceVersion": made.resource_version()},
        "spec": {"color": "green"}, "status": {"phase": "Ready"},
    });
    let changed = widgets.patch_status("a", &PatchParams::default(), &Patch::Merge(&patch)).await?;
    same("phase", phase(&changed), "Ready")?;
    same("color", text(&changed.data, "/spec/color"), "red")?;
    let late = widgets.patch_status("a", &PatchParams::default(), &Patch::Merge(&patch)).await;
    refused(late, 409, "Conflict")?;
    Ok(())
}

pub(super) async fn an_update_of_status_with_an_old_resource_version_is_refused(
    cluster: &Cluster,
) -> anyhow::Result<()> {
    let (widgets, made) = widget(cluster).await?;
    widgets.replace_status("a", &PostParams::default(), &with(&made, "red", "One")).await?;
    let late = widgets.replace_status("a", &PostParams::default(), &with(&made, "red", "Two")).await;
    refused(late, 409, "Conflict")?;
    Ok(())
}

pub(super) async fn the_generation_counts_changes_of_the_spec(cluster: &Cluster) -> anyhow::Result<()> {
    let (widgets, _) = widget(cluster).await?;
    let params = PatchParams::default();
    let patch = |patch: Value| Patch::Merge(patch);
    let labelled = widgets.patch("a", &params, &patch(json!({"metadata": {"labels": {"l": "1"}}}))).await?;
    same("after a label", labelled.metadata.generation, Some(1))?;
    let told = widgets.patch_status("a", &params, &patch(json!({"status": {"phase": "x"}}))).await?;
    same("after a status", told.metadata.generation, Some(1))?;
    let changed = widgets.patch("a", &params, &patch(json!({"spec": {"color": "blue"}}))).await?;
    same("after the spec", changed.metadata.generation, Some(2))?;
    let same_again = widgets.patch("a", &params, &patch(json!({"spec": {"color": "blue"}}))).await?;
    same("after nothing", same_again.metadata.generation, Some(2))
}

pub(super) async fn without_the_subresource_status_is_a_field_like_others(cluster: &Cluster) -> anyhow::Result<()> {
    let mut definition = cluster.widget_definition();
    if let Some(Value::Object(version)) = definition.pointer_mut("/spec/versions/0") {
        version.remove("subresources");
    }
    cluster.install(definition).await?;
    let widgets: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &cluster.widget_resource());
    let mut object = cluster.widget("a", json!({"color": "red"}));
    object.data["status"] = json!({"phase": "Given"});
    let made = widgets.create(&PostParams::default(), &object).await?;
    same("phase", phase(&made), "Given")?;
    let patch = json!({"status": {"phase": "Changed"}});
    let changed = widgets.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await?;
    same("phase", phase(&changed), "Changed")?;
    same("generation", changed.metadata.generation, Some(2))?;
    let through = widgets.patch_status("a", &PatchParams::default(), &Patch::Merge(&patch)).await;
    refused(through, 404, "NotFound")?;
    Ok(())
}
