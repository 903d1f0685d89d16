//! Delete, finalizers, preconditions, and what goes with an object.

use anyhow::ensure;
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{names_field, refused, same, text};

async fn config_map(cluster: &Cluster, name: &str, metadata: Value) -> anyhow::Result<Value> {
    let mut object = json!({"metadata": {"name": name}});
    if let (Some(Value::Object(own)), Value::Object(more)) = (object.get_mut("metadata"), metadata) {
        own.extend(more);
    }
    Ok(cluster.post(&cluster.core("configmaps"), &object).await?)
}

fn owned_by(owner: &Value) -> Value {
    json!({"ownerReferences": [reference(owner)]})
}

fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": text(owner, "/metadata/name"),
        "uid": text(owner, "/metadata/uid"), "blockOwnerDeletion": true,
    })
}

pub(super) async fn a_delete_answers_success_and_the_object_is_gone(cluster: &Cluster) -> anyhow::Result<()> {
    let made = config_map(cluster, "a", json!({})).await?;
    let path = cluster.core("configmaps/a");
    let answer = cluster.delete(&path, &json!({})).await?;
    same("kind", text(&answer, "/kind"), "Status")?;
    same("status", text(&answer, "/status"), "Success")?;
    same("uid", &answer["details"]["uid"], &made["metadata"]["uid"])?;
    refused(cluster.get(&path).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn a_delete_of_nothing_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    refused(cluster.delete(&cluster.core("configmaps/nothing"), &json!({})).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn finalizers_hold_an_object_back(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let widget = json!({
        "apiVersion": format!("{}/v1", cluster.group()), "kind": "Widget",
        "metadata": {"name": "a", "finalizers": ["aegis.test/hold"]}, "spec": {"color": "red"},
    });
    cluster.post(&cluster.widget_path(""), &widget).await?;
    let path = cluster.widget_path("/a");
    let marked = cluster.delete(&path, &json!({})).await?;
    same("kind", text(&marked, "/kind"), "Widget")?;
    ensure!(!text(&marked, "/metadata/deletionTimestamp").is_empty(), "no deletionTimestamp");
    same("generation", &marked["metadata"]["generation"], &json!(2))?;
    let held = cluster.get(&path).await?;
    same("what is read", held, marked)?;
    // It can still be changed, and goes with its last finalizer.
    cluster.patch(&path, "merge-patch+json", &json!({"spec": {"color": "blue"}})).await?;
    cluster.patch(&path, "merge-patch+json", &json!({"metadata": {"finalizers": null}})).await?;
    refused(cluster.get(&path).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn no_finalizer_can_be_added_to_what_is_being_deleted(cluster: &Cluster) -> anyhow::Result<()> {
    config_map(cluster, "a", json!({"finalizers": ["aegis.test/hold"]})).await?;
    let path = cluster.core("configmaps/a");
    cluster.delete(&path, &json!({})).await?;
    let patch = json!({"metadata": {"finalizers": ["aegis.test/hold", "aegis.test/more"]}});
    let added = cluster.patch(&path, "merge-patch+json", &patch).await;
    let released = cluster.patch(&path, "merge-patch+json", &json!({"metadata": {"finalizers": null}})).await;
    names_field(&refused(added, 422, "Invalid")?, "metadata.finalizers")?;
    released?;
    Ok(())
}

pub(super) async fn a_delete_may_insist_on_a_uid(cluster: &Cluster) -> anyhow::Result<()> {
    let made = config_map(cluster, "a", json!({})).await?;
    let path = cluster.core("configmaps/a");
    let other = json!({"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}});
    refused(cluster.delete(&path, &other).await, 409, "Conflict")?;
    cluster.delete(&path, &json!({"preconditions": {"uid": made["metadata"]["uid"]}})).await?;
    refused(cluster.get(&path).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn a_delete_may_insist_on_a_resource_version(cluster: &Cluster) -> anyhow::Result<()> {
    let made = config_map(cluster, "a", json!({})).await?;
    let path = cluster.core("configmaps/a");
    let new = cluster.patch(&path, "merge-patch+json", &json!({"data": {"x": "y"}})).await?;
    let old = json!({"preconditions": {"resourceVersion": made["metadata"]["resourceVersion"]}});
    refused(cluster.delete(&path, &old).await, 409, "Conflict")?;
    let new = json!({"preconditions": {"resourceVersion": new["metadata"]["resourceVersion"]}});
    cluster.delete(&path, &new).await?;
    Ok(())
}

pub(super) async fn a_second_delete_keeps_the_deletion_time(cluster: &Cluster) -> anyhow::Result<()> {
    config_map(cluster, "a", json!({"finalizers": ["aegis.test/hold"]})).await?;
    let path = cluster.core("configmaps/a");
    let one = cluster.delete(&path, &json!({})).await?;
    let two = cluster.delete(&path, &json!({})).await?;
    cluster.patch(&path, "merge-patch+json", &json!({"metadata": {"finalizers": null}})).await?;
    same("object", two, one)
}

pub(super) async fn a_collection_is_deleted_by_its_labels(cluster: &Cluster) -> anyhow::Result<()> {
    for (name, label) in [("a", "go"), ("b", "stay"), ("c", "go")] {
        config_map(cluster, name, json!({"labels": {"x": label}})).await?;
    }
    cluster.delete(&cluster.core("configmaps?labelSelector=x%3Dgo"), &json!({})).await?;
    let left = cluster.get(&cluster.core("configmaps?labelSelector=x")).await?;
    let names: Vec<&str> =
        left["items"].as_array().into_iter().flatten().map(|item| text(item, "/metadata/name")).collect();
    same("left", names, vec!["b"])
}

pub(super) async fn dependents_go_after_their_owner(cluster: &Cluster) -> anyhow::Result<()> {
    let owner = config_map(cluster, "owner", json!({})).await?;
    let child = config_map(cluster, "child", owned_by(&owner)).await?;
    config_map(cluster, "grandchild", owned_by(&child)).await?;
    cluster.delete(&cluster.core("configmaps/owner"), &json!({"propagationPolicy": "Background"})).await?;
    refused(cluster.get(&cluster.core("configmaps/owner")).await, 404, "NotFound")?;
    cluster.until_gone(&cluster.core("configmaps/child")).await?;
    cluster.until_gone(&cluster.core("configmaps/grandchild")).await
}

pub(super) async fn dependents_go_before_their_owner_in_the_foreground(cluster: &Cluster) -> anyhow::Result<()> {
    let owner = config_map(cluster, "owner", json!({})).await?;
    let mut held = owned_by(&owner);
    held["finalizers"] = json!(["aegis.test/hold"]);
    config_map(cluster, "child", held).await?;
    let path = cluster.core("configmaps/owner");
    let marked = cluster.delete(&path, &json!({"propagationPolicy": "Foreground"})).await?;
    same("finalizers", &marked["metadata"]["finalizers"], &json!(["foregroundDeletion"]))?;
    let child = cluster.core("configmaps/child");
    cluster
        .until("the child is being deleted", || async {
            let child = cluster.get(&child).await?;
            Ok((!text(&child, "/metadata/deletionTimestamp").is_empty()).then_some(()))
        })
        .await?;
    ensure!(cluster.get(&path).await.is_ok(), "the owner went before its child");
    cluster.patch(&child, "merge-patch+json", &json!({"metadata": {"finalizers": null}})).await?;
    cluster.until_gone(&path).await
}

pub(super) async fn orphans_stay_and_forget_their_owner(cluster: &Cluster) -> anyhow::Result<()> {
    let owner = config_map(cluster, "owner", json!({})).await?;
    config_map(cluster, "child", owned_by(&owner)).await?;
    cluster.delete(&cluster.core("configmaps/owner"), &json!({"propagationPolicy": "Orphan"})).await?;
    cluster.until_gone(&cluster.core("configmaps/owner")).await?;
    let child = cluster.get(&cluster.core("configmaps/child")).await?;
    ensure!(child["metadata"].get("ownerReferences").is_none(), "the child still names its owner");
    Ok(())
}

pub(super) async fn an_object_whose_owner_never_was_is_collected(cluster: &Cluster) -> anyhow::Result<()> {
    let ghost = json!({"metadata": {"name": "ghost", "uid": "00000000-0000-4000-8000-000000000000"}});
    config_map(cluster, "child", owned_by(&ghost)).await?;
    cluster.until_gone(&cluster.core("configmaps/child")).await
}

pub(super) async fn a_dependent_with_another_owner_stays(cluster: &Cluster) -> anyhow::Result<()> {
    let one = config_map(cluster, "one", json!({})).await?;
    let two = config_map(cluster, "two", json!({})).await?;
    let both = json!({"ownerReferences": [reference(&one), reference(&two)]});
    config_map(cluster, "child", both).await?;
    cluster.delete(&cluster.core("configmaps/one"), &json!({"propagationPolicy": "Background"})).await?;
    cluster
        .until("the child names one owner", || async {
            let child = cluster.get(&cluster.core("configmaps/child")).await?;
            let owners = child["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
            Ok((owners == 1).then_some(()))
        })
        .await
}

pub(super) async fn a_namespace_takes_its_content_along(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    config_map(cluster, "a", json!({})).await?;
    let widget = json!({
        "apiVersion": format!("{}/v1", cluster.group()), "kind": "Widget",
        "metadata": {"name": "a"}, "spec": {"color": "red"},
    });
    cluster.post(&cluster.widget_path(""), &widget).await?;
    let path = format!("/api/v1/namespaces/{}", cluster.namespace);
    let marked = cluster.delete(&path, &json!({})).await?;
    same("phase", text(&marked, "/status/phase"), "Terminating")?;
    cluster.until_gone(&path).await?;
    refused(cluster.get(&cluster.core("configmaps/a")).await, 404, "NotFound")?;
    refused(cluster.get(&cluster.widget_path("/a")).await, 404, "NotFound")?;
    Ok(())
}

pub(super) async fn a_namespace_that_is_being_deleted_takes_nothing_new(cluster: &Cluster) -> anyhow::Result<()> {
    config_map(cluster, "a", json!({"finalizers": ["aegis.test/hold"]})).await?;
    let path = format!("/api/v1/namespaces/{}", cluster.namespace);
    cluster.delete(&path, &json!({})).await?;
    let made = cluster.post(&cluster.core("configmaps"), &json!({"metadata": {"name": "b"}})).await;
    // What is there can still be changed, or nothing would ever be released.
    let released = cluster
        .patch(&cluster.core("configmaps/a"), "merge-patch+json", &json!({"metadata": {"finalizers": null}}))
        .await;
    let status = refused(made, 403, "Forbidden")?;
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    ensure!(causes.iter().any(|cause| cause.reason == "NamespaceTerminating"), "no cause: {}", status.message);
    released?;
    cluster.until_gone(&path).await
}

pub(super) async fn the_default_namespace_cannot_be_deleted(cluster: &Cluster) -> anyhow::Result<()> {
    refused(cluster.delete("/api/v1/namespaces/default", &json!({})).await, 403, "Forbidden")?;
    Ok(())
}

pub(super) async fn a_job_leaves_what_it_owns_unless_told_otherwise(cluster: &Cluster) -> anyhow::Result<()> {
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", cluster.namespace);
    for (name, options, stays) in
        [("left", json!({}), true), ("taken", json!({"propagationPolicy": "Background"}), false)]
    {
        let job = json!({
            "metadata": {"name": name},
            "spec": {
                "suspend": true,
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
            },
        });
        let made = cluster.post(&jobs, &job).await?;
        let owner = json!({
            "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": text(&made, "/metadata/uid"),
        });
        config_map(cluster, name, json!({"ownerReferences": [owner]})).await?;
        let path = format!("{jobs}/{name}");
        cluster.delete(&path, &options).await?;
        cluster.until_gone(&path).await?;
        let owned = cluster.core(&format!("configmaps/{name}"));
        if stays {
            let left = cluster.get(&owned).await?;
            ensure!(left["metadata"].get("ownerReferences").is_none(), "it still names the job");
        } else {
            cluster.until_gone(&owned).await?;
        }
    }
    Ok(())
}
