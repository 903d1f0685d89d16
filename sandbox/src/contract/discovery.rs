//! What the server says about itself.

use anyhow::ensure;
use http::Method;
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{refused, same, text};

pub(super) async fn groups_and_resources_are_listed(cluster: &Cluster) -> anyhow::Result<()> {
    let api = cluster.get("/api").await?;
    same("versions", &api["versions"], &json!(["v1"]))?;
    let groups = cluster.get("/apis").await?;
    let names: Vec<&str> =
        groups["groups"].as_array().into_iter().flatten().map(|group| text(group, "/name")).collect();
    for group in ["apps", "batch", "coordination.k8s.io", "events.k8s.io", "apiextensions.k8s.io"] {
        ensure!(names.contains(&group), "{group} is not among {names:?}");
    }
    let core = cluster.get("/api/v1").await?;
    let resources: Vec<&Value> = core["resources"].as_array().into_iter().flatten().collect();
    let find = |name: &str| resources.iter().find(|resource| text(resource, "/name") == name);
    for name in ["pods", "pods/log", "pods/eviction", "nodes", "nodes/status", "namespaces", "events", "secrets"] {
        ensure!(find(name).is_some(), "{name} is not listed");
    }
    let pods = find("pods").map(|pods| (*pods).clone()).unwrap_or_default();
    same("shortNames", &pods["shortNames"], &json!(["po"]))?;
    let verbs = pods["verbs"].as_array().cloned().unwrap_or_default();
    ensure!(verbs.contains(&json!("watch")), "pods cannot be watched: {verbs:?}");
    Ok(())
}

pub(super) async fn the_version_is_told(cluster: &Cluster) -> anyhow::Result<()> {
    let version = cluster.get("/version").await?;
    same("major", text(&version, "/major"), "1")?;
    ensure!(text(&version, "/gitVersion").starts_with("v1."), "an odd version: {version}");
    Ok(())
}

pub(super) async fn an_unknown_path_is_not_found(cluster: &Cluster) -> anyhow::Result<()> {
    for path in ["/apis/nothing.example.com/v1", "/api/v1/nonsense", "/nonsense"] {
        match cluster.get(path).await {
            Err(kube::Error::Api(status)) => same(path, status.code, 404)?,
            other => anyhow::bail!("{path}: expected 404, found {other:?}"),
        }
    }
    Ok(())
}

pub(super) async fn an_unknown_verb_is_not_allowed(cluster: &Cluster) -> anyhow::Result<()> {
    let sent = cluster
        .send(Method::POST, &cluster.core("configmaps/a"), &[("content-type", "application/json")], b"{}".to_vec())
        .await;
    refused(sent, 405, "MethodNotAllowed")?;
    Ok(())
}

pub(super) async fn a_form_that_cannot_be_given_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    let sent = cluster.send(Method::GET, &cluster.core("configmaps"), &[("accept", "text/csv")], Vec::new()).await;
    refused(sent, 406, "NotAcceptable")?;
    Ok(())
}

pub(super) async fn openapi_describes_kinds(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let index = cluster.get("/openapi/v3").await?;
    let url = text(&index["paths"]["api/v1"], "/serverRelativeURL").to_owned();
    let core = cluster.get(&url).await?;
    let pod = &core["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
    same("type", text(pod, "/type"), "object")?;
    same("kind", text(pod, "/x-kubernetes-group-version-kind/0/kind"), "Pod")?;
    let path = format!("apis/{}/v1", cluster.group());
    cluster
        .until("the widget is described", || async {
            let index = cluster.get("/openapi/v3").await?;
            Ok(index["paths"].get(&path).map(|_| ()))
        })
        .await
}
