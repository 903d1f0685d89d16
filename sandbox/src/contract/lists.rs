//! List: order, selection, pages, and the forms of a list.

use anyhow::ensure;
use http::Method;
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{refused, same, text};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn config_maps(cluster: &Cluster) -> anyhow::Result<()> {
    for (name, label) in [("c", "1"), ("a", "2"), ("b", "1")] {
        let object = json!({"metadata": {"name": name, "labels": {"x": label, "of": "case"}}, "data": {"k": "v"}});
        cluster.post(&cluster.core("configmaps"), &object).await?;
    }
    Ok(())
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().into_iter().flatten().map(|item| text(item, "/metadata/name")).collect()
}

pub(super) async fn a_list_tells_its_resource_version_and_is_in_order(cluster: &Cluster) -> anyhow::Result<()> {
    config_maps(cluster).await?;
    let list = cluster.get(&cluster.core("configmaps?labelSelector=of")).await?;
    same("kind", text(&list, "/kind"), "ConfigMapList")?;
    same("names", names(&list), vec!["a", "b", "c"])?;
    let version: u64 = text(&list, "/metadata/resourceVersion").parse()?;
    for item in list["items"].as_array().into_iter().flatten() {
        ensure!(text(item, "/metadata/resourceVersion").parse::<u64>()? <= version, "an item from the future");
    }
    Ok(())
}

pub(super) async fn labels_select(cluster: &Cluster) -> anyhow::Result<()> {
    config_maps(cluster).await?;
    for (selector, want) in [
        ("x=1", vec!["b", "c"]),
        ("x%3D%3D2", vec!["a"]),
        ("of,x!=1", vec!["a"]),
        ("x+in+(1,2)", vec!["a", "b", "c"]),
        ("of,x+notin+(2)", vec!["b", "c"]),
        ("of,!x", vec![]),
        ("x=1,of=other", vec![]),
    ] {
        let list = cluster.get(&cluster.core(&format!("configmaps?labelSelector={selector}"))).await?;
        same(selector, names(&list), want)?;
    }
    Ok(())
}

pub(super) async fn names_select(cluster: &Cluster) -> anyhow::Result<()> {
    config_maps(cluster).await?;
    for (selector, want) in [
        ("metadata.name%3Db", vec!["b"]),
        ("metadata.name!%3Db", vec!["a", "c"]),
        ("metadata.namespace%3Dother", vec![]),
    ] {
        let query = format!("configmaps?labelSelector=of&fieldSelector={selector}");
        same(selector, names(&cluster.get(&cluster.core(&query)).await?), want)?;
    }
    Ok(())
}

pub(super) async fn fields_of_pods_select(cluster: &Cluster) -> anyhow::Result<()> {
    for name in ["a", "b"] {
        let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        if name == "b" {
            pod["spec"]["nodeName"] = "some-node".into();
        }
        cluster.post(&cluster.core("pods"), &pod).await?;
    }
    for (selector, want) in [
        ("spec.nodeName%3Dsome-node", vec!["b"]),
        ("spec.nodeName!%3Dsome-node", vec!["a"]),
        ("status.phase%3DPending", vec!["a", "b"]),
        ("status.phase%3DRunning", vec![]),
    ] {
        let list = cluster.get(&cluster.core(&format!("pods?fieldSelector={selector}"))).await?;
        same(selector, names(&list), want)?;
    }
    Ok(())
}

pub(super) async fn a_field_that_cannot_select_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    for path in [
        cluster.core("configmaps?fieldSelector=data.k%3Dv"),
        cluster.core("pods?fieldSelector=spec.dnsPolicy%3Dx"),
        cluster.widget_path("?fieldSelector=spec.size%3D3"),
    ] {
        refused(cluster.get(&path).await, 400, "BadRequest")?;
    }
    Ok(())
}

pub(super) async fn a_selector_that_cannot_be_read_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    for query in ["labelSelector=a%20b", "labelSelector=x%20in%20y", "fieldSelector=nothing"] {
        refused(cluster.get(&cluster.core(&format!("configmaps?{query}"))).await, 400, "BadRequest")?;
    }
    Ok(())
}

pub(super) async fn selectable_fields_of_a_definition_select(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    for (name, color) in [("a", "red"), ("b", "green"), ("c", "red")] {
        widgets.create(&Default::default(), &cluster.widget(name, json!({"color": color}))).await?;
    }
    let list = cluster.get(&cluster.widget_path("?fieldSelector=spec.color%3Dred")).await?;
    same("names", names(&list), vec!["a", "c"])
}

pub(super) async fn pages_tell_of_one_moment(cluster: &Cluster) -> anyhow::Result<()> {
    config_maps(cluster).await?;
    let base = cluster.core("configmaps?labelSelector=of&limit=1");
    let first = cluster.get(&base).await?;
    same("first page", names(&first), vec!["a"])?;
    let token = text(&first, "/metadata/continue").to_owned();
    ensure!(!token.is_empty(), "no continue token");
    // What happens in between does not show.
    cluster.delete(&cluster.core("configmaps/b"), &json!({})).await?;
    let late = json!({"metadata": {"name": "bb", "labels": {"of": "case"}}});
    cluster.post(&cluster.core("configmaps"), &late).await?;
    let second = cluster.get(&format!("{base}&continue={token}")).await?;
    same("second page", names(&second), vec!["b"])?;
    same("resourceVersion", &second["metadata"]["resourceVersion"], &first["metadata"]["resourceVersion"])?;
    let mut page = second;
    let mut rest = Vec::new();
    // A page may be the last without knowing it: what comes after it may not be selected.
    loop {
        let token = text(&page, "/metadata/continue").to_owned();
        if token.is_empty() {
            break;
        }
        page = cluster.get(&format!("{base}&continue={token}")).await?;
        rest.extend(names(&page).into_iter().map(String::from));
    }
    same("third page", rest, vec!["c"])
}

pub(super) async fn a_bad_continue_token_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    refused(cluster.get(&cluster.core("configmaps?limit=1&continue=nonsense")).await, 400, "BadRequest")?;
    Ok(())
}

pub(super) async fn an_exact_resource_version_tells_of_the_past(cluster: &Cluster) -> anyhow::Result<()> {
    config_maps(cluster).await?;
    let before = cluster.get(&cluster.core("configmaps?labelSelector=of")).await?;
    let version = text(&before, "/metadata/resourceVersion").to_owned();
    cluster.delete(&cluster.core("configmaps/a"), &json!({})).await?;
    cluster.patch(&cluster.core("configmaps/b"), "merge-patch+json", &json!({"data": {"k": "w"}})).await?;
    let query = format!("configmaps?labelSelector=of&resourceVersion={version}&resourceVersionMatch=Exact");
    let past = cluster.get(&cluster.core(&query)).await?;
    same("the past", &past["items"], &before["items"])?;
    let alone = cluster.core("configmaps?resourceVersionMatch=Exact");
    ensure!(cluster.get(&alone).await.is_err(), "a match without a version was accepted");
    Ok(())
}

pub(super) async fn a_resource_version_of_the_future_times_out(cluster: &Cluster) -> anyhow::Result<()> {
    let query = "configmaps?resourceVersion=999999999999&resourceVersionMatch=NotOlderThan";
    let status = refused(cluster.get(&cluster.core(query)).await, 504, "Timeout")?;
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    ensure!(causes.iter().any(|cause| cause.reason == "ResourceVersionTooLarge"), "no cause: {}", status.message);
    Ok(())
}

pub(super) async fn metadata_can_be_listed_alone(cluster: &Cluster) -> anyhow::Result<()> {
    config_maps(cluster).await?;
    let list = cluster.config_maps().list_metadata(&kube::api::ListParams::default().labels("x=2")).await?;
    same("types", list.items.len(), 1)?;
    let accept = [("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")];
    let raw = cluster.send(Method::GET, &cluster.core("configmaps?labelSelector=x%3D2"), &accept, Vec::new()).await?;
    same("kind", text(&raw, "/kind"), "PartialObjectMetadataList")?;
    same("item", text(&raw, "/items/0/metadata/name"), "a")?;
    ensure!(raw["items"][0].get("data").is_none(), "data came along");
    let one = cluster.config_maps().get_metadata("a").await?;
    same("one", one.metadata.name.as_deref(), Some("a"))
}

pub(super) async fn a_table_has_the_columns_of_the_definition(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    widgets.create(&Default::default(), &cluster.widget("a", json!({"color": "red", "size": 7}))).await?;
    let ready =
        json!({"status": {"conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}]}});
    cluster.patch(&cluster.widget_path("/a/status"), "merge-patch+json", &ready).await?;
    let table = cluster.send(Method::GET, &cluster.widget_path(""), &[("accept", TABLE)], Vec::new()).await?;
    same("kind", text(&table, "/kind"), "Table")?;
    let columns: Vec<(&str, i64)> = table["columnDefinitions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|column| (text(column, "/name"), column["priority"].as_i64().unwrap_or(-1)))
        .collect();
    same("columns", columns, vec![("Name", 0), ("Color", 0), ("Size", 1), ("Ready", 0), ("Age", 0)])?;
    let mut cells = table["rows"][0]["cells"].as_array().cloned().unwrap_or_default();
    let age = cells.pop().unwrap_or_default();
    same("cells", cells, vec![json!("a"), json!("red"), json!(7), json!("True")])?;
    ensure!(age.as_str().is_some_and(|age| age.ends_with('s')), "an odd age: {age}");
    same("object", text(&table, "/rows/0/object/kind"), "PartialObjectMetadata")
}

pub(super) async fn a_table_of_nodes_shows_what_is_cordoned(cluster: &Cluster) -> anyhow::Result<()> {
    let name = format!("node-{}", cluster.namespace);
    cluster.post("/api/v1/nodes", &json!({"metadata": {"name": name}, "spec": {"unschedulable": true}})).await?;
    let path = format!("/api/v1/nodes?fieldSelector=metadata.name%3D{name}");
    let table = cluster.send(Method::GET, &path, &[("accept", TABLE)], Vec::new()).await;
    cluster.delete(&format!("/api/v1/nodes/{name}"), &json!({})).await?;
    let status = text(&table?, "/rows/0/cells/1").to_owned();
    ensure!(status.ends_with(",SchedulingDisabled"), "an odd status: {status}");
    Ok(())
}

pub(super) async fn one_list_spans_all_namespaces(cluster: &Cluster) -> anyhow::Result<()> {
    let widgets = cluster.widgets().await?;
    widgets.create(&Default::default(), &cluster.widget("a", json!({}))).await?;
    let mut elsewhere = cluster.widget("b", json!({}));
    elsewhere.metadata.namespace = Some("default".into());
    let group = cluster.group();
    let path = format!("/apis/{group}/v1/namespaces/default/widgets");
    cluster.post(&path, &serde_json::to_value(&elsewhere)?).await?;
    let everywhere = cluster.get(&format!("/apis/{group}/v1/widgets")).await?;
    let here = cluster.get(&cluster.widget_path("")).await?;
    cluster.delete(&format!("{path}/b"), &json!({})).await?;
    let mut found = names(&everywhere);
    found.sort_unstable();
    same("everywhere", found, vec!["a", "b"])?;
    same("here", names(&here), vec!["a"])
}
