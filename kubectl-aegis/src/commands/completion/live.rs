//! Names from the cluster, with how they stand: as many as come within a moment, and none where that is too long.

use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;
use kube::config::Kubeconfig;
use kubectl_aegis::view::kinds::Resource;
use kubectl_aegis::view::{Kind, Place};
use serde_json::Value;

use super::line::Line;
use crate::cluster::ClusterArgs;
use crate::fetch::{self, Wanted};

/// Somebody holds the Tab key.
const PATIENCE: Duration = Duration::from_millis(280);
/// How many columns tell how something stands.
const TOLD: usize = 3;

const NAMESPACE: Resource = Resource {
    group: "",
    version: "v1",
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    namespaced: false,
};

#[derive(Parser)]
#[command(no_binary_name = true)]
struct OnlyCluster {
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// The names of a kind's objects.
pub(super) async fn names(line: &Line, kind: &str) -> Vec<(String, String)> {
    let Some(kind) = Kind::parse(kind) else { return Vec::new() };
    let read = async {
        let OnlyCluster { cluster } = OnlyCluster::try_parse_from(&line.cluster).ok()?;
        let client = cluster.client_that_asks_once().await.ok()?;
        let wanted = Wanted::all_in(Some(&cluster.namespace)).labelled(kind.selector);
        let lists = kind.resources.iter().map(|resource| fetch::list(&client, resource, &wanted));
        let lists = futures::future::join_all(lists).await;
        Some(lists.into_iter().filter_map(Result::ok).flat_map(|list| list.items).collect::<Vec<Value>>())
    };
    let items = tokio::time::timeout(PATIENCE, read).await.ok().flatten().unwrap_or_default();
    let now = Timestamp::now();
    let name = |item: &Value| item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    items.iter().map(|item| (name(item), standing(kind, item, now))).collect()
}

/// The first columns beside the name.
fn standing(kind: &Kind, item: &Value, now: Timestamp) -> String {
    let fields = kind.fields.iter().filter(|field| field.place == Place::Always && field.name != "name");
    let words = fields.map(|field| (field.read)(item).shown(now)).filter(|word| !word.is_empty());
    words.take(TOLD).collect::<Vec<_>>().join(" ")
}

/// The namespaces.
pub(super) async fn namespaces(line: &Line) -> Vec<(String, String)> {
    let read = async {
        let OnlyCluster { cluster } = OnlyCluster::try_parse_from(&line.cluster).ok()?;
        let client = cluster.client_that_asks_once().await.ok()?;
        Some(fetch::list(&client, &NAMESPACE, &Wanted::all_in(None)).await.ok()?.items)
    };
    let items = tokio::time::timeout(PATIENCE, read).await.ok().flatten().unwrap_or_default();
    let name = |item: &Value| Some(item.pointer("/metadata/name")?.as_str()?.to_owned());
    items.iter().filter_map(name).map(|name| (name, String::new())).collect()
}

/// The contexts of the kubeconfig.
pub(super) fn contexts(line: &Line) -> Vec<(String, String)> {
    let cluster = OnlyCluster::try_parse_from(&line.cluster).map(|only| only.cluster).unwrap_or_default();
    let kubeconfig = match &cluster.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let contexts = kubeconfig.map(|kubeconfig| kubeconfig.contexts).unwrap_or_default();
    contexts.into_iter().map(|one| (one.name, one.context.map(|context| context.cluster).unwrap_or_default())).collect()
}
