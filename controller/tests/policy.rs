//! The AegisGuard from the leader's hand and from people's: what its status says, and what stays in force.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use aegis_crds::AegisGuard;
use aegis_crds::guard::{AegisGuardSpec, AegisGuardStatus};
use aegis_sandbox::{Action, Match, Rule, Verb};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use common::{COMPONENT, Cluster, Controller, NAMESPACE, options, until};

fn guards(cluster: &Cluster) -> Api<AegisGuard> {
    Api::namespaced(cluster.client.clone(), NAMESPACE)
}

async fn write(cluster: &Cluster, name: &str, spec: Value) {
    let guard = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisGuard",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    });
    cluster.apply(guard).await;
}

/// The AegisGuard of that name, once its present generation was judged to be that.
async fn judged(cluster: &Cluster, name: &str, word: &str) -> AegisGuard {
    until(&format!("{name} is {word}"), async || {
        let Some(guard) = guards(cluster).get_opt(name).await.unwrap() else { return Err(None) };
        let status = guard.status.clone().unwrap_or_default();
        let present = status.observed_generation == guard.metadata.generation;
        if present && status.status.as_deref() == Some(word) { Ok(guard) } else { Err(Some(status)) }
    })
    .await
}

fn message(guard: &AegisGuard) -> String {
    guard.status.as_ref().unwrap().conditions[0].message.clone().unwrap_or_default()
}

fn in_force(guard: &AegisGuard) -> Option<AegisGuardSpec> {
    guard.status.as_ref()?.in_force.as_deref().cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_makes_the_guard_that_nobody_wrote_and_again_when_it_is_deleted() {
    let cluster = Cluster::unguarded().await;
    let controller = Controller::start(&cluster).await;
    let made = judged(&cluster, "aegis", "Recorded").await;
    assert_eq!(made.spec, AegisGuardSpec::default());
    assert_eq!(in_force(&made), Some(AegisGuardSpec::default()));
    guards(&cluster).delete("aegis", &DeleteParams::default()).await.unwrap();
    let again = judged(&cluster, "aegis", "Recorded").await;
    assert_ne!(again.metadata.uid, made.metadata.uid);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_wrote_before_is_left_as_it_is() {
    let cluster = Cluster::unguarded().await;
    write(&cluster, "aegis", json!({"budgets": {"unfinished": 7}})).await;
    let controller = Controller::start(&cluster).await;
    let judged = judged(&cluster, "aegis", "Recorded").await;
    assert_eq!(judged.spec.budgets.as_ref().unwrap().unfinished, Some(7));
    assert_eq!(in_force(&judged), Some(judged.spec.clone()));
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_policy_is_invalid_the_last_valid_one_stands_for_whoever_leads_next() {
    let cluster = Cluster::unguarded().await;
    write(&cluster, "aegis", json!({"budgets": {"unfinished": 7}, "breaker": {"actions": 3}})).await;
    let controller = Controller::start(&cluster).await;
    let good = judged(&cluster, "aegis", "Recorded").await;

    let never = json!([{"name": "w", "kind": "Freeze", "schedule": "0 0 30 2 *", "duration": "1h"}]);
    let spec = json!({"spec": {"windows": never, "breaker": null}});
    guards(&cluster).patch("aegis", &PatchParams::default(), &Patch::Merge(&spec)).await.unwrap();
    let broken = judged(&cluster, "aegis", "Invalid").await;
    let told = message(&broken);
    assert!(told.starts_with("spec.windows[0].schedule: found \"0 0 30 2 *\""), "{told}");
    assert!(told.ends_with("the last policy that was valid stays in force"), "{told}");
    assert_eq!(in_force(&broken), in_force(&good));
    controller.stop().await;

    let next = Controller::start(&cluster).await;
    let mended = json!({"spec": {"windows": null}});
    guards(&cluster).patch("aegis", &PatchParams::default(), &Patch::Merge(&mended)).await.unwrap();
    let mended = judged(&cluster, "aegis", "Recorded").await;
    assert_eq!(mended.spec.breaker, None);
    assert_eq!(in_force(&mended), Some(mended.spec.clone()), "what is no longer written is no longer in force");
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_guard_says_that_it_does_not_count() {
    let cluster = Cluster::unguarded().await;
    write(&cluster, "mine", json!({"pauses": [{"target": "all"}]})).await;
    let controller = Controller::start(&cluster).await;
    let other = judged(&cluster, "mine", "Invalid").await;
    assert!(message(&other).contains("only the one named aegis in namespace monitoring counts"));
    judged(&cluster, "aegis", "Recorded").await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_are_told_in_the_status_also_those_of_an_annotation() {
    let cluster = Cluster::unguarded().await;
    let controller = Controller::start(&cluster).await;
    judged(&cluster, "aegis", "Recorded").await;
    let paused = async |want: Option<&str>| {
        until("the status tells what is paused", async || {
            let status: AegisGuardStatus = guards(&cluster).get("aegis").await.unwrap().status.unwrap_or_default();
            if status.paused.as_deref() == want { Ok(()) } else { Err(status.paused) }
        })
        .await;
    };
    let annotate = async |value: Value| {
        let patch = json!({"metadata": {"annotations": {"aegis.io/pause": value}}});
        guards(&cluster).patch("aegis", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    annotate(json!("new switches")).await;
    paused(Some("everything")).await;
    annotate(Value::Null).await;
    paused(None).await;
    write(&cluster, "aegis", json!({"pauses": [{"target": "node/n1"}]})).await;
    paused(Some("node n1")).await;
    assert_eq!(in_force(&judged(&cluster, "aegis", "Recorded").await), Some(AegisGuardSpec::default()));
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_written_once_and_after_a_conflict() {
    let cluster = Cluster::unguarded().await;
    let ours = || Match::any().component(COMPONENT).verb(Verb::Patch).resource("aegisguards");
    cluster.sandbox.faults().add(Rule::new(ours(), Action::Status(409, None)).times(1));
    let controller = Controller::start(&cluster).await;
    judged(&cluster, "aegis", "Recorded").await;
    // The controller has seen its own write when it has told of a later one.
    write(&cluster, "mine", json!({})).await;
    judged(&cluster, "mine", "Invalid").await;
    let writes = cluster.sandbox.requests().matching(&ours());
    assert_eq!(writes.len(), 3, "refused once, written, and that of the other: {writes:#?}");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_made_once_its_definition_is_installed() {
    let mut without = options();
    let is_guard = |crd: &Value| crd["spec"]["names"]["kind"] == "AegisGuard";
    let definition = without.crds.iter().find(|crd| is_guard(crd)).unwrap().clone();
    without.crds.retain(|crd| !is_guard(crd));
    let cluster = Cluster::with(without).await;
    let controller = Controller::start(&cluster).await;
    let create = Match::any().component(COMPONENT).verb(Verb::Create).resource("aegisguards");
    until("it was tried", async || match cluster.sandbox.requests().count(&create) {
        0 => Err(0),
        tries => Ok(tries),
    })
    .await;
    cluster.install(definition).await;
    judged(&cluster, "aegis", "Recorded").await;
    controller.stop().await;
}
