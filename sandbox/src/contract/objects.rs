//! Create, get and update.

use anyhow::ensure;
use http::Method;
use kube::ResourceExt as _;
use kube::api::PostParams;
use serde_json::json;

use super::Cluster;
use super::cluster::{names_field, refused, same, text};

pub(super) async fn a_create_answers_the_object_with_its_identity(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    let made = widgets.create(&PostParams::default(), &cluster.widget("a", json!({"color": "red"}))).await?;
    ensure!(made.uid().is_some_and(|uid| uid.len() == 36), "no uid: {:?}", made.metadata);
    ensure!(made.creation_timestamp().is_some(), "no creation time");
    ensure!(made.resource_version().is_some_and(|version| !version.is_empty()), "no resourceVersion");
    same("namespace", made.namespace(), Some(cluster.namespace.clone()))?;
    same("generation", made.metadata.generation, Some(1))?;
    let read = widgets.get("a").await?;
    same("what is read", read, made)
}

pub(super) async fn a_second_create_of_a_name_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let path = cluster.core("configmaps");
    let object = json!({"metadata": {"name": "a"}});
    cluster.post(&path, &object).await?;
    let status = refused(cluster.post(&path, &object).await, 409, "AlreadyExists")?;
    same("message", status.message.as_str(), "configmaps \"a\" already exists")?;
    same("name", status.details.map(|details| details.name), Some("a".to_owned()))
}

pub(super) async fn a_name_can_be_generated(cluster: &Cluster) -> anyhow::Result<()> {
    let path = cluster.core("configmaps");
    let object = json!({"metadata": {"generateName": "made-"}});
    let (one, two) = (cluster.post(&path, &object).await?, cluster.post(&path, &object).await?);
    let (one, two) = (text(&one, "/metadata/name"), text(&two, "/metadata/name"));
    ensure!(one != two, "the same name twice: {one}");
    ensure!(one.starts_with("made-") && one.len() == 10, "an odd name: {one}");
    Ok(())
}

pub(super) async fn a_create_without_a_name_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let made = cluster.post(&cluster.core("configmaps"), &json!({"metadata": {}})).await;
    names_field(&refused(made, 422, "Invalid")?, "metadata.name")
}

pub(super) async fn a_create_in_a_missing_namespace_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let made = cluster.post("/api/v1/namespaces/nowhere-at-all/configmaps", &json!({"metadata": {"name": "a"}})).await;
    let status = refused(made, 404, "NotFound")?;
    same("message", status.message.as_str(), "namespaces \"nowhere-at-all\" not found")
}

pub(super) async fn a_get_of_nothing_says_what_is_missing(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    let status = refused(widgets.get("nothing").await, 404, "NotFound")?;
    let group = cluster.group();
    same("message", status.message, format!("widgets.{group} \"nothing\" not found"))?;
    let found = status.details.map(|details| (details.name, details.group, details.kind));
    same("details", found, Some(("nothing".to_owned(), group, "widgets".to_owned())))
}

pub(super) async fn an_update_with_an_old_resource_version_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    let made = widgets.create(&PostParams::default(), &cluster.widget("a", json!({"color": "red"}))).await?;
    let mut newer = made.clone();
    newer.labels_mut().insert("l".into(), "1".into());
    widgets.replace("a", &PostParams::default(), &newer).await?;
    let status = refused(widgets.replace("a", &PostParams::default(), &made).await, 409, "Conflict")?;
    ensure!(
        status
            .message
            .ends_with("the object has been modified; please apply your changes to the latest version and try again"),
        "{}",
        status.message
    );
    Ok(())
}

pub(super) async fn an_update_of_a_custom_resource_needs_a_resource_version(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    let widget = cluster.widget("a", json!({"color": "red"}));
    widgets.create(&PostParams::default(), &widget).await?;
    let status = refused(widgets.replace("a", &PostParams::default(), &widget).await, 422, "Invalid")?;
    names_field(&status, "metadata.resourceVersion")
}

pub(super) async fn an_update_of_a_built_in_kind_may_do_without_a_resource_version(
    cluster: &Cluster,
) -> anyhow::Result<()> {
    cluster.post(&cluster.core("configmaps"), &json!({"metadata": {"name": "a"}})).await?;
    let new = json!({"metadata": {"name": "a"}, "data": {"x": "y"}});
    let made = cluster.put(&cluster.core("configmaps/a"), &new).await?;
    same("data", &made["data"], &json!({"x": "y"}))
}

pub(super) async fn an_update_that_changes_nothing_keeps_the_resource_version(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    let made = widgets.create(&PostParams::default(), &cluster.widget("a", json!({"color": "red"}))).await?;
    let again = widgets.replace("a", &PostParams::default(), &made).await?;
    same("resourceVersion", again.resource_version(), made.resource_version())
}

pub(super) async fn an_update_of_another_uid_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    let mut made = widgets.create(&PostParams::default(), &cluster.widget("a", json!({"color": "red"}))).await?;
    made.metadata.uid = Some("00000000-0000-4000-8000-000000000000".into());
    made.labels_mut().insert("l".into(), "1".into());
    let status = refused(widgets.replace("a", &PostParams::default(), &made).await, 409, "Conflict")?;
    ensure!(status.message.contains("UID in precondition"), "{}", status.message);
    Ok(())
}

pub(super) async fn an_update_of_nothing_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    let mut widget = cluster.widget("nothing", json!({"color": "red"}));
    widget.metadata.resource_version = Some("1".into());
    refused(widgets.replace("nothing", &PostParams::default(), &widget).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn the_servers_own_metadata_cannot_be_set(cluster: &Cluster) -> anyhow::Result<()> {
    let forged = json!({
        "name": "a", "uid": "00000000-0000-4000-8000-000000000000", "generation": 99,
        "creationTimestamp": "2001-01-01T00:00:00Z", "deletionTimestamp": "2001-01-01T00:00:00Z",
    });
    let made = cluster.post(&cluster.core("configmaps"), &json!({"metadata": forged})).await?;
    ensure!(made["metadata"]["uid"] != forged["uid"], "the uid was taken over");
    ensure!(made["metadata"]["creationTimestamp"] != forged["creationTimestamp"], "the time was taken over");
    ensure!(made["metadata"].get("deletionTimestamp").is_none(), "the deletion was taken over");
    let new = json!({"metadata": {"name": "a", "creationTimestamp": "2001-01-01T00:00:00Z"}, "data": {"x": "y"}});
    let changed = cluster.put(&cluster.core("configmaps/a"), &new).await?;
    same("creation time", &changed["metadata"]["creationTimestamp"], &made["metadata"]["creationTimestamp"])
}

pub(super) async fn a_resource_version_cannot_be_set_on_a_new_object(cluster: &Cluster) -> anyhow::Result<()> {
    let object = json!({"metadata": {"name": "a", "resourceVersion": "5"}});
    match cluster.post(&cluster.core("configmaps"), &object).await {
        Err(kube::Error::Api(status)) => {
            same("message", status.message.as_str(), "resourceVersion should not be set on objects to be created")
        }
        other => anyhow::bail!("expected a refusal, found {other:?}"),
    }
}

pub(super) async fn bad_names_and_labels_are_refused_with_their_fields(cluster: &Cluster) -> anyhow::Result<()> {
    for (metadata, field) in [
        (json!({"name": "Not_Valid"}), "metadata.name"),
        (json!({"name": "a", "labels": {"x": "not valid"}}), "metadata.labels"),
        (json!({"name": "a", "labels": {"a b": "x"}}), "metadata.labels"),
        (json!({"name": "a", "annotations": {"a b": "x"}}), "metadata.annotations"),
        (json!({"name": "a", "finalizers": ["not valid"]}), "metadata.finalizers"),
        (
            json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}]}),
            "metadata.ownerReferences.uid",
        ),
    ] {
        let made = cluster.post(&cluster.core("configmaps"), &json!({"metadata": metadata})).await;
        names_field(&refused(made, 422, "Invalid")?, field)?;
    }
    Ok(())
}

pub(super) async fn the_body_must_name_what_the_path_names(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.post(&cluster.core("configmaps"), &json!({"metadata": {"name": "a"}})).await?;
    let renamed = cluster.put(&cluster.core("configmaps/a"), &json!({"metadata": {"name": "b"}})).await;
    refused(renamed, 400, "BadRequest")?;
    let elsewhere = json!({"metadata": {"name": "c", "namespace": "default"}});
    refused(cluster.post(&cluster.core("configmaps"), &elsewhere).await, 400, "BadRequest")?;
    Ok(())
}

pub(super) async fn the_body_must_be_of_the_kind_of_the_path(cluster: &Cluster) -> anyhow::Result<()> {
    for (api_version, kind) in [("v1", "Secret"), ("v2", "ConfigMap"), ("apps/v1", "Deployment")] {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        refused(cluster.post(&cluster.core("configmaps"), &object).await, 400, "BadRequest")?;
    }
    Ok(())
}

pub(super) async fn a_body_that_is_not_json_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let headers = [("content-type", "application/json")];
    let sent = cluster.send(Method::POST, &cluster.core("configmaps"), &headers, b"{\"metadata\":".to_vec()).await;
    refused(sent, 400, "BadRequest")?;
    let headers = [("content-type", "text/csv")];
    let sent = cluster.send(Method::POST, &cluster.core("configmaps"), &headers, b"a,b".to_vec()).await;
    refused(sent, 415, "UnsupportedMediaType")?;
    Ok(())
}

pub(super) async fn unknown_fields_are_refused_dropped_or_warned_of(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let widget = |name: &str| {
        json!({
            "apiVersion": format!("{}/v1", cluster.group()), "kind": "Widget",
            "metadata": {"name": name}, "spec": {"color": "red", "colour": "x"},
        })
    };
    let strict = cluster.post(&cluster.widget_path("?fieldValidation=Strict"), &widget("a")).await;
    let status = refused(strict, 400, "BadRequest")?;
    ensure!(status.message.contains("unknown field \"spec.colour\""), "{}", status.message);
    for how in ["Ignore", "Warn"] {
        let name = how.to_lowercase();
        let made = cluster.post(&cluster.widget_path(&format!("?fieldValidation={how}")), &widget(&name)).await?;
        ensure!(made["spec"].get("colour").is_none(), "{how} kept the unknown field");
    }
    let map = json!({"metadata": {"name": "a"}, "dataa": {}});
    let strict = cluster.post(&cluster.core("configmaps?fieldValidation=Strict"), &map).await;
    ensure!(refused(strict, 400, "BadRequest")?.message.contains("unknown field \"dataa\""), "no field named");
    let made = cluster.post(&cluster.core("configmaps"), &map).await?;
    ensure!(made.get("dataa").is_none(), "a built-in kind kept an unknown field");
    Ok(())
}

pub(super) async fn a_field_of_the_wrong_type_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let map = json!({"metadata": {"name": "a"}, "data": {"x": 1}});
    refused(cluster.post(&cluster.core("configmaps"), &map).await, 400, "BadRequest")?;
    let labelled = json!({"metadata": {"name": "a", "labels": {"x": 1}}});
    refused(cluster.post(&cluster.core("configmaps"), &labelled).await, 400, "BadRequest")?;
    Ok(())
}

pub(super) async fn a_dry_run_stores_nothing(cluster: &Cluster) -> anyhow::Result<()> {
    let (all, one) = (cluster.core("configmaps?dryRun=All"), cluster.core("configmaps/a"));
    let object = json!({"metadata": {"name": "a"}});
    let made = cluster.post(&all, &object).await?;
    ensure!(!text(&made, "/metadata/uid").is_empty(), "a dry run answers the object as it would be");
    refused(cluster.get(&one).await, 404, "NotFound")?;
    let real = cluster.post(&cluster.core("configmaps"), &object).await?;
    refused(cluster.post(&all, &object).await, 409, "AlreadyExists")?;
    let dry = format!("{one}?dryRun=All");
    cluster.put(&dry, &json!({"metadata": {"name": "a"}, "data": {"x": "y"}})).await?;
    cluster.patch(&dry, "merge-patch+json", &json!({"data": {"x": "y"}})).await?;
    cluster.delete(&one, &json!({"dryRun": ["All"]})).await?;
    same("what is stored", cluster.get(&one).await?, real)
}
