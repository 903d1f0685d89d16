//! Watch: what is told, in which order, and where it can be taken up again.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::{AsyncBufReadExt as _, StreamExt as _, stream::BoxStream};
use http::Request;
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{refused, same, text};

/// How long a case waits for an event.
const PATIENCE: Duration = Duration::from_secs(20);

struct Watch(BoxStream<'static, std::io::Result<String>>);

impl Watch {
    async fn open(cluster: &Cluster, path: &str, accept: &str) -> anyhow::Result<Self> {
        let request = Request::get(path).header("accept", accept).body(Vec::new())?;
        let stream = cluster.client.request_stream(request).await.with_context(|| format!("watch {path}"))?;
        Ok(Self(stream.lines().boxed()))
    }

    async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        match tokio::time::timeout(PATIENCE, self.0.next()).await {
            Err(_) => bail!("no event came"),
            Ok(None) => Ok(None),
            Ok(Some(line)) => Ok(Some(serde_json::from_str(&line?)?)),
        }
    }

    /// The next event as its type and the name of its object.
    async fn told(&mut self) -> anyhow::Result<String> {
        let event = self.next().await?.context("the watch ended")?;
        Ok(format!("{} {}", text(&event, "/type"), text(&event, "/object/metadata/name")))
    }
}

const JSON: &str = "application/json";

async fn make(cluster: &Cluster, name: &str, label: &str) -> anyhow::Result<Value> {
    let object = json!({"metadata": {"name": name, "labels": {"x": label}}});
    Ok(cluster.post(&cluster.core("configmaps"), &object).await?)
}

async fn change(cluster: &Cluster, name: &str, patch: Value) -> anyhow::Result<Value> {
    Ok(cluster.patch(&cluster.core(&format!("configmaps/{name}")), "merge-patch+json", &patch).await?)
}

async fn remove(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    cluster.delete(&cluster.core(&format!("configmaps/{name}")), &json!({})).await?;
    Ok(())
}

async fn listed(cluster: &Cluster) -> anyhow::Result<String> {
    let list = cluster.get(&cluster.core("configmaps")).await?;
    Ok(text(&list, "/metadata/resourceVersion").to_owned())
}

pub(super) async fn a_watch_from_a_list_tells_what_happened_since(cluster: &Cluster) -> anyhow::Result<()> {
    make(cluster, "before", "1").await?;
    let version = listed(cluster).await?;
    make(cluster, "a", "1").await?;
    let path = cluster.core(&format!("configmaps?watch=true&labelSelector=x&resourceVersion={version}"));
    let mut watch = Watch::open(cluster, &path, JSON).await?;
    same("first", watch.told().await?, "ADDED a")?;
    change(cluster, "a", json!({"data": {"k": "v"}})).await?;
    remove(cluster, "a").await?;
    make(cluster, "b", "1").await?;
    for want in ["MODIFIED a", "DELETED a", "ADDED b"] {
        same("event", watch.told().await?, want)?;
    }
    Ok(())
}

pub(super) async fn a_watch_without_a_resource_version_begins_with_what_is_there(
    cluster: &Cluster,
) -> anyhow::Result<()> {
    make(cluster, "a", "1").await?;
    for query in ["", "&resourceVersion=0"] {
        let path = cluster.core(&format!("configmaps?watch=true&labelSelector=x{query}"));
        let mut watch = Watch::open(cluster, &path, JSON).await?;
        same("first", watch.told().await?, "ADDED a")?;
    }
    Ok(())
}

pub(super) async fn a_watch_can_ask_for_the_end_of_its_beginning(cluster: &Cluster) -> anyhow::Result<()> {
    make(cluster, "a", "1").await?;
    make(cluster, "b", "1").await?;
    let path = cluster.core(
        "configmaps?watch=true&labelSelector=x&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    );
    let mut watch = Watch::open(cluster, &path, JSON).await?;
    same("first", watch.told().await?, "ADDED a")?;
    same("second", watch.told().await?, "ADDED b")?;
    let end = watch.next().await?.context("the watch ended")?;
    same("type", text(&end, "/type"), "BOOKMARK")?;
    same("kind", text(&end, "/object/kind"), "ConfigMap")?;
    same("annotation", &end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], &json!("true"))?;
    let version = text(&end, "/object/metadata/resourceVersion").to_owned();
    make(cluster, "c", "1").await?;
    same("after", watch.told().await?, "ADDED c")?;
    // One can go on from the bookmark.
    let path = cluster.core(&format!("configmaps?watch=true&labelSelector=x&resourceVersion={version}"));
    let mut watch = Watch::open(cluster, &path, JSON).await?;
    same("from the bookmark", watch.told().await?, "ADDED c")
}

pub(super) async fn what_enters_or_leaves_the_selection_is_added_or_deleted(cluster: &Cluster) -> anyhow::Result<()> {
    make(cluster, "a", "out").await?;
    let version = listed(cluster).await?;
    let path = cluster.core(&format!("configmaps?watch=true&labelSelector=x%3Din&resourceVersion={version}"));
    let mut watch = Watch::open(cluster, &path, JSON).await?;
    change(cluster, "a", json!({"metadata": {"labels": {"x": "in"}}})).await?;
    change(cluster, "a", json!({"data": {"k": "v"}})).await?;
    change(cluster, "a", json!({"metadata": {"labels": {"x": "out"}}})).await?;
    change(cluster, "a", json!({"data": {"k": "w"}})).await?;
    change(cluster, "a", json!({"metadata": {"labels": {"x": "in"}}})).await?;
    for want in ["ADDED a", "MODIFIED a", "DELETED a", "ADDED a"] {
        same("event", watch.told().await?, want)?;
    }
    Ok(())
}

pub(super) async fn a_watch_ends_after_its_timeout(cluster: &Cluster) -> anyhow::Result<()> {
    let path = cluster.core("configmaps?watch=true&labelSelector=x&timeoutSeconds=1");
    let mut watch = Watch::open(cluster, &path, JSON).await?;
    same("end", watch.next().await?, None)
}

pub(super) async fn a_watch_can_be_of_metadata_alone(cluster: &Cluster) -> anyhow::Result<()> {
    make(cluster, "a", "1").await?;
    let path = cluster.core("configmaps?watch=true&labelSelector=x");
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let mut watch = Watch::open(cluster, &path, accept).await?;
    let event = watch.next().await?.context("the watch ended")?;
    same("kind", text(&event, "/object/kind"), "PartialObjectMetadata")?;
    same("name", text(&event, "/object/metadata/name"), "a")
}

pub(super) async fn a_watch_can_be_of_one_object(cluster: &Cluster) -> anyhow::Result<()> {
    make(cluster, "a", "1").await?;
    make(cluster, "b", "1").await?;
    let path = cluster.core("configmaps?watch=true&fieldSelector=metadata.name%3Db");
    let mut watch = Watch::open(cluster, &path, JSON).await?;
    same("first", watch.told().await?, "ADDED b")?;
    change(cluster, "a", json!({"data": {"k": "v"}})).await?;
    change(cluster, "b", json!({"data": {"k": "v"}})).await?;
    same("second", watch.told().await?, "MODIFIED b")
}

pub(super) async fn a_watch_of_one_namespace_tells_nothing_of_others(cluster: &Cluster) -> anyhow::Result<()> {
    let version = listed(cluster).await?;
    let path = cluster.core(&format!("configmaps?watch=true&resourceVersion={version}&labelSelector=x"));
    let mut watch = Watch::open(cluster, &path, JSON).await?;
    let elsewhere = json!({"metadata": {"name": cluster.namespace, "labels": {"x": "1"}}});
    cluster.post("/api/v1/namespaces/default/configmaps", &elsewhere).await?;
    cluster.delete(&format!("/api/v1/namespaces/default/configmaps/{}", cluster.namespace), &json!({})).await?;
    make(cluster, "a", "1").await?;
    same("first", watch.told().await?, "ADDED a")
}

pub(super) async fn a_watch_in_table_form_tells_rows(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    widgets.create(&Default::default(), &cluster.widget("a", json!({"color": "red"}))).await?;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watch = Watch::open(cluster, &cluster.widget_path("?watch=true"), accept).await?;
    let event = watch.next().await?.context("the watch ended")?;
    same("type", text(&event, "/type"), "ADDED")?;
    same("kind", text(&event, "/object/kind"), "Table")?;
    same("cell", text(&event, "/object/rows/0/cells/1"), "red")
}

pub(super) async fn a_watch_with_bad_options_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    for query in ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "resourceVersion=x"] {
        let watched = cluster.get(&cluster.core(&format!("configmaps?watch=true&{query}"))).await;
        ensure!(watched.is_err(), "{query} was accepted");
    }
    let future = cluster.get(&cluster.core("configmaps?watch=true&fieldSelector=data.x%3D1")).await;
    refused(future, 400, "BadRequest")?;
    Ok(())
}

pub(super) async fn a_deletion_is_told_with_a_new_resource_version(cluster: &Cluster) -> anyhow::Result<()> {
    let made = make(cluster, "a", "1").await?;
    let version = listed(cluster).await?;
    let path = cluster.core(&format!("configmaps?watch=true&labelSelector=x&resourceVersion={version}"));
    let mut watch = Watch::open(cluster, &path, JSON).await?;
    remove(cluster, "a").await?;
    let event = watch.next().await?.context("the watch ended")?;
    same("type", text(&event, "/type"), "DELETED")?;
    let number = |value: &Value| text(value, "/metadata/resourceVersion").parse::<u64>();
    ensure!(number(&event["object"])? > number(&made)?, "the deletion carries an old resourceVersion");
    Ok(())
}
