//! CustomResourceDefinitions and what their schemas do.

use anyhow::ensure;
use serde_json::{Value, json};

use super::Cluster;
use super::cluster::{names_field, refused, same, text};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn definition_path(cluster: &Cluster) -> String {
    format!("{DEFINITIONS}/widgets.{}", cluster.group())
}

fn widget(cluster: &Cluster, spec: Value) -> Value {
    json!({
        "apiVersion": format!("{}/v1", cluster.group()), "kind": "Widget", "metadata": {"name": "a"}, "spec": spec,
    })
}

async fn create(cluster: &Cluster, spec: Value) -> Result<Value, kube::Error> {
    cluster.post(&cluster.widget_path(""), &widget(cluster, spec)).await
}

pub(super) async fn a_definition_adds_endpoints_and_takes_them_away(cluster: &Cluster) -> anyhow::Result<()> {
    ensure!(cluster.get(&cluster.widget_path("")).await.is_err(), "widgets are served before they are defined");
    cluster.widgets().await?;
    let definition = cluster.get(&definition_path(cluster)).await?;
    let established = definition["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| text(condition, "/type") == "Established" && text(condition, "/status") == "True");
    ensure!(established, "not established: {}", definition["status"]);
    same("singular", text(&definition, "/spec/names/singular"), "widget")?;
    same("listKind", text(&definition, "/spec/names/listKind"), "WidgetList")?;
    cluster.delete(&definition_path(cluster), &json!({})).await?;
    cluster.until_gone(&definition_path(cluster)).await?;
    cluster.until_gone(&cluster.widget_path("")).await
}

pub(super) async fn a_definition_must_be_named_after_its_kind(cluster: &Cluster) -> anyhow::Result<()> {
    let mut definition = cluster.widget_definition();
    definition["metadata"]["name"] = format!("gadgets.{}", cluster.group()).into();
    names_field(&refused(cluster.post(DEFINITIONS, &definition).await, 422, "Invalid")?, "metadata.name")
}

pub(super) async fn a_definition_needs_a_structural_schema(cluster: &Cluster) -> anyhow::Result<()> {
    let mut definition = cluster.widget_definition();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["odd"] = json!({"minimum": 1});
    refused(cluster.post(DEFINITIONS, &definition).await, 422, "Invalid")?;
    let mut definition = cluster.widget_definition();
    if let Some(Value::Object(version)) = definition.pointer_mut("/spec/versions/0") {
        version.remove("schema");
    }
    refused(cluster.post(DEFINITIONS, &definition).await, 422, "Invalid")?;
    Ok(())
}

pub(super) async fn values_are_checked_against_the_schema(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    for (why, spec, field, message) in [
        (
            "a text for a number",
            json!({"size": "3"}),
            "spec.size",
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
        ),
        ("too small", json!({"size": 0}), "spec.size", "should be greater than or equal to 1"),
        ("too large", json!({"size": 11}), "spec.size", "should be less than or equal to 10"),
        ("no match", json!({"code": "ab"}), "spec.code", "spec.code in body should match '^[A-Z]{2}$'"),
        ("neither", json!({"port": true}), "spec.port", "must be of type integer,string"),
        ("a map value", json!({"labels": {"x": 1}}), "spec.labels.x", "must be of type string"),
        ("an item", json!({"tags": [1]}), "spec.tags[0]", "must be of type string"),
        ("twice", json!({"tags": ["a", "a"]}), "spec.tags[1]", "Duplicate value"),
        ("twice by key", json!({"parts": [{"name": "a"}, {"name": "a"}]}), "spec.parts[1]", "Duplicate value"),
        ("null", json!({"tags": [null]}), "spec.tags[0]", "must be of type string: \"null\""),
    ] {
        let status = refused(create(cluster, spec).await, 422, "Invalid")?;
        names_field(&status, field)?;
        ensure!(status.message.contains(message), "{why}: {}", status.message);
    }
    create(cluster, json!({"size": 3, "code": "AB", "port": "http", "maybe": null, "tags": ["a", "b"]})).await?;
    Ok(())
}

pub(super) async fn defaults_are_filled_in(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    // A null that is not allowed counts as missing.
    let made = create(cluster, json!({"inner": {"must": "x"}, "size": null, "color": null})).await?;
    same("spec", &made["spec"], &json!({"size": 3, "inner": {"must": "x", "mode": "auto"}}))
}

pub(super) async fn unknown_fields_are_pruned_unless_kept(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let made = create(
        cluster,
        json!({"unknown": 1, "free": {"any": {"thing": [1]}}, "inner": {"must": "x", "other": 2}, "parts": [{"name": "p", "y": 1}]}),
    )
    .await?;
    ensure!(made["spec"].get("unknown").is_none(), "an unknown field was kept");
    same("free", &made["spec"]["free"], &json!({"any": {"thing": [1]}}))?;
    same("inner", &made["spec"]["inner"], &json!({"must": "x", "mode": "auto"}))?;
    same("parts", &made["spec"]["parts"], &json!([{"name": "p"}]))
}

pub(super) async fn an_enum_lists_its_words_when_another_is_used(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let status = refused(create(cluster, json!({"color": "pink"})).await, 422, "Invalid")?;
    names_field(&status, "spec.color")?;
    let want = "spec.color: Unsupported value: \"pink\": supported values: \"red\", \"green\", \"blue\"";
    ensure!(status.message.contains(want), "{}", status.message);
    let group = cluster.group();
    ensure!(status.message.starts_with(&format!("Widget.{group} \"a\" is invalid: ")), "{}", status.message);
    Ok(())
}

pub(super) async fn required_fields_are_required(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let status = refused(create(cluster, json!({"inner": {}})).await, 422, "Invalid")?;
    names_field(&status, "spec.inner.must")?;
    ensure!(status.message.contains("spec.inner.must: Required value"), "{}", status.message);
    Ok(())
}

pub(super) async fn names_and_categories_are_discoverable(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    let list = cluster.get(&format!("/apis/{}/v1", cluster.group())).await?;
    let resources = list["resources"].as_array().cloned().unwrap_or_default();
    let find = |name: &str| resources.iter().find(|resource| text(resource, "/name") == name).cloned();
    let main = find("widgets").unwrap_or_default();
    same("shortNames", &main["shortNames"], &json!(["wd"]))?;
    same("categories", &main["categories"], &json!(["gadgets"]))?;
    same("singular", text(&main, "/singularName"), "widget")?;
    same("namespaced", &main["namespaced"], &json!(true))?;
    ensure!(find("widgets/status").is_some(), "the status subresource is not listed");
    Ok(())
}

pub(super) async fn a_cluster_scoped_kind_has_no_namespace(cluster: &Cluster) -> anyhow::Result<()> {
    let mut definition = cluster.widget_definition();
    definition["spec"]["scope"] = "Cluster".into();
    cluster.install(definition).await?;
    let path = format!("/apis/{}/v1/widgets", cluster.group());
    let made = cluster.post(&path, &widget(cluster, json!({}))).await?;
    ensure!(made["metadata"].get("namespace").is_none(), "it has a namespace");
    cluster.get(&format!("{path}/a")).await?;
    ensure!(cluster.get(&cluster.widget_path("/a")).await.is_err(), "it is found in a namespace");
    Ok(())
}

pub(super) async fn versions_differ_in_api_version_alone(cluster: &Cluster) -> anyhow::Result<()> {
    let mut definition = cluster.widget_definition();
    let mut second = definition["spec"]["versions"][0].clone();
    second["name"] = "v2".into();
    second["storage"] = false.into();
    if let Some(Value::Array(versions)) = definition.pointer_mut("/spec/versions") {
        versions.push(second);
    }
    cluster.install(definition).await?;
    create(cluster, json!({"color": "red"})).await?;
    let path = format!("/apis/{}/v2/namespaces/{}/widgets/a", cluster.group(), cluster.namespace);
    let read = cluster.until("the second version is served", || async { Ok(cluster.get(&path).await.ok()) }).await?;
    same("apiVersion", text(&read, "/apiVersion"), format!("{}/v2", cluster.group()).as_str())?;
    let changed = cluster.patch(&path, "merge-patch+json", &json!({"spec": {"color": "blue"}})).await?;
    same("apiVersion", text(&changed, "/apiVersion"), format!("{}/v2", cluster.group()).as_str())?;
    let first = cluster.get(&cluster.widget_path("/a")).await?;
    same("color", text(&first, "/spec/color"), "blue")?;
    same("apiVersion", text(&first, "/apiVersion"), format!("{}/v1", cluster.group()).as_str())
}

pub(super) async fn a_changed_schema_takes_effect(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    refused(create(cluster, json!({"color": "pink"})).await, 422, "Invalid")?;
    let patch = json!([{
        "op": "add",
        "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/color/enum/-",
        "value": "pink",
    }]);
    let changed = cluster.patch(&definition_path(cluster), "json-patch+json", &patch).await?;
    same("generation", &changed["metadata"]["generation"], &json!(2))?;
    cluster
        .until("the new schema is used", || async { Ok(create(cluster, json!({"color": "pink"})).await.ok()) })
        .await?;
    Ok(())
}

pub(super) async fn the_objects_go_with_their_definition(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.widgets().await?;
    create(cluster, json!({})).await?;
    cluster.delete(&definition_path(cluster), &json!({})).await?;
    cluster.until_gone(&definition_path(cluster)).await?;
    cluster.until_gone(&cluster.widget_path("")).await?;
    cluster.widgets().await?;
    refused(cluster.get(&cluster.widget_path("/a")).await, 404, "NotFound")?;
    Ok(())
}
