//! A guarded cluster, and what people and alerts say in it.

use aegis_crds::AegisAlert;
use aegis_sandbox::Options;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::common::objects::{seed_rule, seed_template};
use crate::common::{Cluster, Controller, options, reads, settings, until};

pub async fn policy(cluster: &Cluster, spec: Value) {
    let replaced = json!({"spec": spec});
    cluster.guards().patch("aegis", &PatchParams::default(), &Patch::Merge(replaced)).await.unwrap();
}

/// A cluster with the default policy, the seed's rule and template.
pub async fn guarded() -> Cluster {
    guarded_on(&["dev1"]).await
}

/// The same with these nodes.
pub async fn guarded_on(nodes: &[&str]) -> Cluster {
    let nodes = nodes.iter().map(ToString::to_string).collect();
    let cluster = Cluster::with(Options { nodes, ..options() }).await;
    policy(&cluster, json!({"budgets": null, "breaker": null, "retries": null})).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    cluster
}

pub fn nodes(client: &Client) -> Api<Node> {
    Api::all(client.clone())
}

pub async fn cordon(cluster: &Cluster, node: &str, yes: bool) {
    let patch = json!({"spec": {"unschedulable": if yes { json!(true) } else { Value::Null }}});
    nodes(&cluster.client).patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

pub fn verdict(alert: &AegisAlert) -> (String, String) {
    let verdict = alert.status.as_ref().and_then(|status| status.verdict.clone()).unwrap_or_default();
    (verdict.reason, verdict.message)
}

/// The alert of that fingerprint once it is held for that reason; its message.
pub async fn held(cluster: &Cluster, fingerprint: &str, reason: &str) -> String {
    alert_that(cluster, fingerprint, &format!("held: {reason}"), |alert| verdict(alert).0 == reason).await
}

pub async fn succeeded(cluster: &Cluster, fingerprint: &str) {
    alert_that(cluster, fingerprint, "succeeded", |alert| reads(alert).1 == "Succeeded").await;
}

pub async fn alert_that(
    cluster: &Cluster,
    fingerprint: &str,
    what: &str,
    looks: impl Fn(&AegisAlert) -> bool,
) -> String {
    until(&format!("{fingerprint} is {what}"), async || {
        let alerts = cluster.all_alerts().await;
        let of = |alert: &AegisAlert| alert.spec.fingerprint.as_deref() == Some(fingerprint);
        let alert = alerts.into_iter().find(of).ok_or_else(|| "it is not there".to_owned())?;
        if looks(&alert) { Ok(verdict(&alert).1) } else { Err(format!("{:?}", alert.status)) }
    })
    .await
}

/// A replica that takes part in that election, ready.
pub async fn ready(component: &'static str, cluster: &Cluster, lease: &str) -> Controller {
    let mut settings = settings();
    settings.lease.name = lease.to_owned();
    let controller = Controller::named(component, cluster, settings);
    controller.until_ready().await;
    controller
}

pub async fn until_no_place_is_taken(cluster: &Cluster) {
    until("every place is given back", async || {
        let book = cluster.guards().get("aegis").await.unwrap().status.unwrap();
        if book.claims.is_empty() { Ok(()) } else { Err(book.claims) }
    })
    .await;
}

pub async fn is_cordoned(cluster: &Cluster) -> bool {
    nodes(&cluster.client).get("dev1").await.unwrap().spec.unwrap().unschedulable == Some(true)
}
