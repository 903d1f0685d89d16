//! What else holds an alert, until a person or the cluster changes it.

use aegis_sandbox::Options;
use aegis_sandbox::agent::SimulatorOptions;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::common::objects::{seed_rule, seed_template};
use crate::common::{Cluster, Controller, objects, options, reads, until};
use crate::world::{alert_that, cordon, guarded, held, policy, succeeded, verdict};

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_whose_actions_fail_again_and_again_asks_for_a_person() {
    let cluster = guarded().await;
    policy(&cluster, json!({"retries": {"wait": "10ms", "longestWait": "10ms", "attempts": 2}})).await;
    let _simulator = cluster.simulate(SimulatorOptions { failing: 1.0, ..SimulatorOptions::default() });
    let controller = Controller::start(&cluster).await;
    for fingerprint in ["one", "two"] {
        controller
            .send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", fingerprint))
            .await;
        alert_that(&cluster, fingerprint, "failed", |alert| reads(alert).1 == "Failed").await;
    }
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "three")).await;
    let message = held(&cluster, "three", "NeedsPerson").await;
    assert!(message.contains("kubectl aegis resume node/dev1"), "{message}");
    let now = jiff::Timestamp::now();
    policy(&cluster, json!({"resumed": {"node/dev1": now}})).await;
    alert_that(&cluster, "three", "failed", |alert| reads(alert).1 == "Failed").await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_trips_for_all_to_see_and_a_person_closes_it() {
    let cluster = guarded().await;
    policy(&cluster, json!({"breaker": {"actions": 1, "within": "10m", "calm": "1h"}})).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let controller = Controller::start(&cluster).await;
    for (fingerprint, node) in [("first", "dev1"), ("second", "dev2")] {
        controller
            .send("/default/alert", objects::alert_on(node, "NodeHasEmergencyEvent", "Firing", fingerprint))
            .await;
        if fingerprint == "first" {
            succeeded(&cluster, fingerprint).await;
        }
    }
    held(&cluster, "second", "BreakerOpen").await;
    until("the breaker is seen to be open", async || {
        let breaker = cluster.guards().get("aegis").await.unwrap().status.and_then(|status| status.breaker);
        if breaker.as_ref().is_some_and(|breaker| breaker.state == "Open") { Ok(()) } else { Err(breaker) }
    })
    .await;
    policy(&cluster, json!({"resumed": {"breaker": jiff::Timestamp::now()}})).await;
    succeeded(&cluster, "second").await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_definition_of_the_guard_nothing_begins_and_with_it_all_does() {
    let mut options = options();
    let guards = |crd: &Value| crd["spec"]["names"]["kind"] == "AegisGuard";
    let definition = options.crds.iter().find(|crd| guards(crd)).cloned().unwrap();
    options.crds.retain(|crd| !guards(crd));
    let cluster = Cluster::with(options).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "f")).await;
    let message = held(&cluster, "f", "NoPolicy").await;
    assert!(message.contains("manifest/install/aegisguards.yaml"), "{message}");
    cluster.install(definition).await;
    succeeded(&cluster, "f").await;
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_observes_shows_what_it_would_have_done() {
    let cluster = guarded().await;
    let mut observing = seed_rule();
    observing["spec"]["mode"] = json!("Observe");
    cluster.apply(observing).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "f")).await;
    let message = held(&cluster, "f", "Observed").await;
    assert!(message.starts_with("would create Workflow"), "{message}");
    assert!(cluster.all_workflows().await.is_empty());
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_does_not_count_once_anybody_can_write_it() {
    let cluster = guarded().await;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(cluster.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(cluster.client.clone());
    let policy = json!({"metadata": {"name": "aegis-approval"}, "spec": {"failurePolicy": "Fail"}});
    let bound = json!({"policyName": "aegis-approval", "validationActions": ["Deny"]});
    let binding = json!({"metadata": {"name": "aegis-approval"}, "spec": bound});
    policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let mut rule = seed_rule();
    rule["spec"]["approval"] = json!("Required");
    cluster.apply(rule).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "f")).await;
    alert_that(&cluster, "f", "held until somebody approves, and approvals count", |alert| {
        let (reason, message) = verdict(alert);
        reason == "NeedsApproval" && !message.contains("ValidatingAdmissionPolicy") && !message.contains("looked")
    })
    .await;

    bindings.delete("aegis-approval", &DeleteParams::default()).await.unwrap();
    let alert = cluster.all_alerts().await.remove(0);
    let plan = alert.status.clone().unwrap().verdict.unwrap().plan.unwrap();
    let forged = json!({"metadata": {"annotations": {"aegis.io/approval": format!("{plan} by someone")}}});
    cluster.alerts().patch(&alert.name_any(), &PatchParams::default(), &Patch::Merge(forged)).await.unwrap();
    alert_that(&cluster, "f", "waiting for an approval that counts", |alert| {
        let approval = alert.status.as_ref().and_then(|status| status.approval.as_ref());
        approval.is_some_and(|approval| approval.by.is_empty()) && verdict(alert).0 == "NeedsApproval"
    })
    .await;
    assert!(cluster.all_workflows().await.is_empty());
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_any_more_once_the_nodes_are_back() {
    let cluster = Cluster::with(Options { nodes: vec!["dev1".into(), "dev2".into()], ..options() }).await;
    policy(&cluster, json!({"approval": {"aboveNodesOut": 1}})).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    cordon(&cluster, "dev2", true).await;
    let _simulator = cluster.simulate(SimulatorOptions::default());
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", objects::alert_on("dev1", "NodeHasEmergencyEvent", "Firing", "f")).await;
    held(&cluster, "f", "NeedsApproval").await;
    cordon(&cluster, "dev2", false).await;
    succeeded(&cluster, "f").await;
    controller.stop().await;
}
