//! Taking over from the first version: its definitions, its alerts in every state, its Workflows, and its controller
//! while that still lives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use aegis_controller::Settings;
use aegis_crds::AegisAlert;
use aegis_sandbox::{Action, Match, Options, Rule, Verb};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use common::mirror::Mirror;
use common::objects::{self, seed_alert, seed_rule, seed_template};
use common::{COMPONENT, Cluster, Controller, NAMESPACE, options, reads, settings, settled, until};

/// What the first version left: an alert's status, and the phase of the Workflow that it made, if it is there still.
struct Left {
    name: &'static str,
    spec: Value,
    status: Value,
    workflow: Option<&'static str>,
}

fn left(name: &'static str, status: Value, workflow: Option<&'static str>) -> Left {
    Left { name, spec: json!({}), status, workflow }
}

fn triggered(ops: &str) -> Value {
    let active = i32::from(matches!(ops, "Pending" | "Running"));
    json!({
        "status": "Firing", "count": 2, "startTime": "2026-02-11T22:00:00Z",
        "opsStatus": {
            "startTime": "2026-02-11T22:00:00Z", "triggerStatus": "Triggered", "alertOpsStatus": ops,
            "total": 1, "active": active, "succeeded": i32::from(ops == "Succeeded"), "failed": i32::from(ops == "Failed"),
        },
    })
}

fn and(mut status: Value, more: Value) -> Value {
    status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    status
}

/// The definitions of the first version: status is a field like any other, and nothing is checked.
fn old_definitions() -> Options {
    let mut options = options();
    for definition in &mut options.crds {
        let version = definition["spec"]["versions"][0].as_object_mut().unwrap();
        version.remove("subresources");
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        version.insert("schema".into(), json!({"openAPIV3Schema": open}));
    }
    options
}

/// What `kubectl apply -f manifest/install/` does.
async fn install_ours(cluster: &Cluster) {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    for ours in options().crds {
        let name = ours["metadata"]["name"].as_str().unwrap().to_owned();
        let patch = Patch::Merge(json!({"spec": ours["spec"]}));
        definitions.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }
}

/// Stores an alert, and its Workflow, as the first version did, under its definitions.
async fn leave(cluster: &Cluster, what: &Left) -> AegisAlert {
    let mut alert = old_alert(what.name);
    alert["spec"].as_object_mut().unwrap().extend(what.spec.as_object().unwrap().clone());
    alert["status"] = what.status.clone();
    let alert: AegisAlert = serde_json::from_value(alert).unwrap();
    let alert = cluster.alerts().create(&PostParams::default(), &alert).await.unwrap();
    if let Some(phase) = what.workflow {
        old_workflow(cluster, &alert, phase).await;
    }
    alert
}

fn old_alert(name: &str) -> Value {
    // On one node one action goes on at a time.
    let node = format!("node-of-{name}");
    json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {
            "alert-source-type": "Default", "alert-type": "NodeHasEmergencyEvent", "alert-status": "Firing",
            "fingerprint": format!("f-{name}"), "node": node,
        }},
        "spec": {
            "source": "Default", "type": "NodeHasEmergencyEvent", "status": "Firing",
            "involvedObject": {"kind": "Node", "name": node}, "detials": {"node": node},
        },
    })
}

fn workflow_of(alert: &str) -> String {
    format!("{alert}-s82rh")
}

/// A Workflow as the first version made it: its alert's labels, and a reference to its alert.
async fn old_workflow(cluster: &Cluster, alert: &AegisAlert, phase: &str) {
    let mut labels = alert.labels().clone();
    labels.insert("workflows.argoproj.io/phase".into(), phase.into());
    let object = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {
            "name": workflow_of(&alert.name_any()), "namespace": NAMESPACE, "labels": labels,
            "finalizers": ["workflows.argoproj.io/artifact-gc"],
            "ownerReferences": [{
                "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "name": alert.name_any(),
                "uid": alert.uid(), "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"entrypoint": "start"},
        "status": {"phase": phase, "message": if phase == "Failed" { "exit code 1" } else { "" }},
    });
    cluster.workflows().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

async fn workflow(cluster: &Cluster, alert: &str) -> DynamicObject {
    cluster.workflows().get(&workflow_of(alert)).await.unwrap()
}

fn is_kept(workflow: &DynamicObject) -> bool {
    workflow.finalizers().iter().any(|name| name == "aegis.io/outcome")
}

async fn status(cluster: &Cluster, name: &str) -> Value {
    serde_json::to_value(cluster.alerts().get(name).await.unwrap().status).unwrap()
}

/// Waits until that alert reads so.
async fn alert_reads(cluster: &Cluster, name: &str, trigger: &str, ops: &str) -> AegisAlert {
    until(&format!("{name} {trigger} {ops}"), async || {
        let alert = cluster.alerts().get(name).await.unwrap();
        if reads(&alert) == (trigger.to_owned(), ops.to_owned()) { Ok(alert) } else { Err(alert.status) }
    })
    .await
}

async fn held(cluster: &Cluster, name: &str) -> String {
    let verdict = alert_reads(cluster, name, "Held", "").await.status.unwrap().verdict.unwrap();
    assert_eq!(verdict.reason, "OldController");
    verdict.message
}

async fn seed(cluster: &Cluster) {
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_in_place_finishes_what_runs_and_acts_on_nothing_twice() {
    let cluster = Cluster::with(old_definitions()).await;
    seed(&cluster).await;
    let condition = |type_: &str| json!({"conditions": [{"type": type_, "status": "True"}]});
    let untold = || json!({"status": "Firing", "count": 1, "startTime": "2026-02-11T22:00:00Z"});
    let trigger = |word: &str| and(untold(), json!({"opsStatus": {"triggerStatus": word}}));
    let under_way = [
        left("pending", triggered("Pending"), Some("Pending")),
        left("running", triggered("Running"), Some("Running")),
        // Its controller was stopped between the Workflow and the status that says so.
        left("interrupted", untold(), Some("Running")),
        left("resolved-meanwhile", and(triggered("Running"), json!({"status": "Resolved"})), Some("Running")),
    ];
    let over = [
        left("succeeded", and(triggered("Succeeded"), condition("Complete")), Some("Succeeded")),
        left("failed", and(triggered("Failed"), condition("Failed")), None),
        left("complete", and(untold(), condition("Complete")), None),
        left("not-created", and(untold(), condition("FailedCreateWorkflow")), None),
        left("counted", and(untold(), json!({"opsStatus": {"total": 1}})), None),
        left("no-rule", trigger("RuleNotFound"), None),
        left("too-many", trigger("TooManyRuletFound"), None),
        left("no-template", trigger("TemplateNotFound"), None),
        // Argo's TTL was faster than the upgrade: nobody knows how it ended.
        left("vanished", triggered("Running"), None),
    ];
    for one in under_way.iter().chain(&over) {
        leave(&cluster, one).await;
    }
    leave(&cluster, &left("ended-untold", triggered("Running"), Some("Failed"))).await;
    leave(&cluster, &left("due", untold(), None)).await;
    leave(&cluster, &left("never-looked-at", Value::Null, None)).await;
    leave(&cluster, &left("resolved-before", and(untold(), json!({"status": "Resolved"})), None)).await;
    let brief = json!({"ttlStrategy": {"secondsAfterCompletion": 0, "secondsAfterSuccess": 0}});
    let expired = and(triggered("Succeeded"), json!({"status": "Resolved"}));
    leave(&cluster, &Left { spec: brief.clone(), ..left("expired", expired, None) }).await;
    leave(&cluster, &Left { spec: brief, ..left("still-fires", triggered("Succeeded"), None) }).await;
    let strange = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": "strange", "namespace": NAMESPACE}, "spec": {"entrypoint": "start"},
    });
    cluster.apply(strange).await;
    let workflows = Mirror::start(cluster.workflows());
    let made_before = cluster.all_workflows().await.len();

    install_ours(&cluster).await;
    let controller = Controller::start(&cluster).await;
    for (name, ops) in
        [("pending", "Pending"), ("running", "Running"), ("interrupted", "Running"), ("resolved-meanwhile", "Running")]
    {
        let alert = until(&format!("{name} is followed"), async || {
            let alert = cluster.alerts().get(name).await.unwrap();
            if alert.status.as_ref().is_some_and(|status| status.actions.len() == 1) { Ok(alert) } else { Err(alert) }
        })
        .await;
        assert_eq!(reads(&alert), ("Triggered".into(), ops.into()), "{name}");
        assert_eq!(alert.status.unwrap().actions[0].name, workflow_of(name));
        let adopted = workflow(&cluster, name).await;
        assert!(is_kept(&adopted), "{name}: its end cannot vanish");
        assert_eq!(adopted.finalizers()[0], "workflows.argoproj.io/artifact-gc", "{name}: Argo's own stays");
        assert_eq!(adopted.labels()["alert-type"], "NodeHasEmergencyEvent", "{name}: its labels stay");
    }
    for (name, phase) in
        [("pending", "Succeeded"), ("running", "Failed"), ("interrupted", "Succeeded"), ("resolved-meanwhile", "Error")]
    {
        assert!(cluster.set_phase(&workflow_of(name), phase, "as told").await);
        let ops = if phase == "Succeeded" { "Succeeded" } else { "Failed" };
        let alert = alert_reads(&cluster, name, "Triggered", ops).await;
        let action = &alert.status.unwrap().actions[0];
        assert_eq!(action.message.as_deref(), (ops == "Failed").then_some("as told"), "{name}");
        until(&format!("the Workflow of {name} is let go"), async || {
            let workflow = workflow(&cluster, name).await;
            if is_kept(&workflow) { Err(workflow.metadata) } else { Ok(()) }
        })
        .await;
    }
    let untold = alert_reads(&cluster, "ended-untold", "Triggered", "Failed").await;
    assert_eq!(untold.status.unwrap().actions[0].message.as_deref(), Some("exit code 1"));
    for name in ["due", "never-looked-at"] {
        let alert = alert_reads(&cluster, name, "Triggered", "Pending").await;
        assert!(alert.status.unwrap().actions[0].name.starts_with(&format!("{name}-")), "{name} acts");
    }
    let withdrawn = alert_reads(&cluster, "resolved-before", "Withdrawn", "").await;
    assert_eq!(withdrawn.status.unwrap().verdict.unwrap().reason, "Resolved");
    until("the time to live of an old alert is kept", async || {
        match cluster.alerts().get_opt("expired").await.unwrap() {
            None => Ok(()),
            some => Err(some),
        }
    })
    .await;
    assert!(cluster.alerts().get_opt("still-fires").await.unwrap().is_some(), "its sender may send it again");

    // Whoever leads next finds the same, and repeats nothing either.
    controller.stop().await;
    let next = Controller::start(&cluster).await;
    next.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "f-running")).await;
    settled(&cluster, async || {}).await;
    for one in &over {
        assert_eq!(status(&cluster, one.name).await, one.status, "{}", one.name);
    }
    assert!(!is_kept(&workflow(&cluster, "succeeded").await), "what was told is left alone");
    let strange = cluster.workflows().get("strange").await.unwrap();
    assert!(strange.labels().is_empty() && strange.finalizers().is_empty(), "and so are others' Workflows");
    assert_eq!(status(&cluster, "running").await["count"], json!(3), "a report of an old alert is counted on it");
    assert_eq!(cluster.workflows_ever(&workflows).await, made_before + 2, "for the two that were due");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_fails_is_tried_again_before_anything_acts() {
    let cluster = Cluster::with(old_definitions()).await;
    seed(&cluster).await;
    leave(&cluster, &left("interrupted", json!({"status": "Firing"}), Some("Running"))).await;
    install_ours(&cluster).await;
    let workflows = Mirror::start(cluster.workflows());
    let faults = cluster.sandbox.faults();
    let patches = || Match::any().component(COMPONENT).verb(Verb::Patch).resource("workflows");
    for (code, nth) in [(503, 1), (409, 2)] {
        faults.add(Rule::new(patches(), Action::Status(code, None)).nth(nth));
    }
    let _controller = Controller::start(&cluster).await;
    alert_reads(&cluster, "interrupted", "Triggered", "Running").await;
    assert!(is_kept(&workflow(&cluster, "interrupted").await));
    assert_eq!(cluster.sandbox.requests().count(&patches()), 3);
    assert_eq!(cluster.workflows_ever(&workflows).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_may_not_be_adopted_is_not_made_again() {
    let cluster = Cluster::with(old_definitions()).await;
    seed(&cluster).await;
    leave(&cluster, &left("interrupted", json!({"status": "Firing"}), Some("Running"))).await;
    install_ours(&cluster).await;
    let workflows = Mirror::start(cluster.workflows());
    let patches = Match::any().component(COMPONENT).verb(Verb::Patch).resource("workflows");
    cluster.sandbox.faults().add(Rule::new(patches, Action::Status(422, None)));
    let controller = Controller::start(&cluster).await;
    alert_reads(&cluster, "interrupted", "Triggered", "Running").await;
    controller.stop().await;
    let _next = Controller::start(&cluster).await;
    settled(&cluster, async || {}).await;
    assert_eq!(cluster.workflows_ever(&workflows).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_begun_while_a_pod_of_an_earlier_version_is_there() {
    let cluster = Cluster::start().await;
    seed(&cluster).await;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let ours = json!({"component": "aegis", "app.kubernetes.io/name": "aegis"});
    for (name, labels) in [("aegis-old", json!({"component": "aegis"})), ("aegis-new", ours)] {
        pods.create(&PostParams::default(), &pod(name, labels)).await.unwrap();
    }
    pods.create(&PostParams::default(), &pod("aegis-evicted", json!({"component": "aegis"}))).await.unwrap();
    let evicted = Patch::Merge(json!({"status": {"phase": "Failed", "reason": "Evicted"}}));
    pods.patch_status("aegis-evicted", &PatchParams::default(), &evicted).await.unwrap();
    let workflows = Mirror::start(cluster.workflows());

    let controller = Controller::start(&cluster).await;
    let old: AegisAlert = serde_json::from_value(old_alert("old")).unwrap();
    let old = cluster.alerts().create(&PostParams::default(), &old).await.unwrap();
    controller.send("/default/alert", seed_alert()).await;
    let new = until("the new alert is stored", async || {
        let alerts = cluster.all_alerts().await;
        alerts.iter().map(ResourceExt::name_any).find(|name| name != "old").ok_or(())
    })
    .await;
    for name in ["old", &new] {
        let message = held(&cluster, name).await;
        assert!(message.contains("component=aegis") && message.contains(NAMESPACE), "{message}");
    }
    // The other one acts on what it knows, as long as it lives.
    old_workflow(&cluster, &old, "Running").await;
    settled(&cluster, async || {}).await;
    assert_eq!(cluster.all_workflows().await.len(), 1, "ours makes none");

    let now = DeleteParams::default().grace_period(0);
    pods.delete("aegis-old", &now).await.unwrap();
    alert_reads(&cluster, &new, "Triggered", "Pending").await;
    let followed = alert_reads(&cluster, "old", "Triggered", "Running").await.status.unwrap();
    assert_eq!(followed.actions[0].name, workflow_of("old"), "its own action was adopted");
    assert_eq!(followed.verdict, None);

    pods.create(&PostParams::default(), &pod("aegis-again", json!({"component": "aegis"}))).await.unwrap();
    let late = until("an alert that comes while it is there again is held", async || {
        // The watch of pods may lag behind the creation of this one, and then the alert acts: another one is sent.
        let number = cluster.all_alerts().await.len();
        let fingerprint = format!("late-{number}");
        controller
            .send("/default/alert", objects::alert_on(&fingerprint, "NodeHasEmergencyEvent", "Firing", &fingerprint))
            .await;
        let told = until("it is judged", async || {
            let alerts = cluster.all_alerts().await;
            let alert = alerts.into_iter().find(|alert| alert.spec.fingerprint.as_ref() == Some(&fingerprint));
            alert.filter(|alert| !reads(alert).0.is_empty()).ok_or(())
        })
        .await;
        if reads(&told).0 == "Held" { Ok(told.name_any()) } else { Err(reads(&told)) }
    })
    .await;
    held(&cluster, &late).await;
    let acted = cluster.all_alerts().await.iter().filter(|alert| reads(alert).0 == "Triggered").count();
    assert_eq!(cluster.workflows_ever(&workflows).await, acted, "one for each alert that acted");
}

fn pod(name: &str, labels: Value) -> Pod {
    let containers = json!([{"name": "aegis", "image": "aegis"}]);
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}}))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_begun_while_the_lease_of_an_earlier_version_is_renewed() {
    let cluster = Cluster::start().await;
    seed(&cluster).await;
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let lease = json!({
        "metadata": {"name": "aegis.io"}, "spec": {"holderIdentity": "aegis-7f-x_1", "leaseDurationSeconds": 1},
    });
    leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
    let renewing = tokio::spawn(async move {
        for transitions in 1.. {
            let renewed = Patch::Merge(json!({"spec": {"leaseTransitions": transitions}}));
            leases.patch("aegis.io", &PatchParams::default(), &renewed).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut settings: Settings = settings();
    settings.lease.predecessor = Some("aegis.io".into());
    let controller = Controller::with(&cluster, settings).await;
    controller.send("/default/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Held", "").await;
    let message = held(&cluster, &alert.name_any()).await;
    assert!(message.contains("Lease aegis.io"), "{message}");
    settled(&cluster, async || {}).await;
    assert_eq!(cluster.all_workflows().await, [], "it is renewed for longer than it lasts");
    renewing.abort();
    cluster.alert_reads("Triggered", "Pending").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_definitions_of_an_earlier_version_alerts_are_stored_and_wait_for_ours() {
    let cluster = Cluster::with(old_definitions()).await;
    seed(&cluster).await;
    let workflows = Mirror::start(cluster.workflows());
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", seed_alert()).await;
    settled(&cluster, async || {}).await;
    assert_eq!(cluster.all_workflows().await, []);
    let (code, answer) = controller.post("/default/alert", seed_alert()).await;
    assert_eq!(code, 503, "a repeat cannot be counted, so its sender is asked to send again: {answer}");
    install_ours(&cluster).await;
    cluster.alert_reads("Triggered", "Pending").await;
    assert_eq!(cluster.workflows_ever(&workflows).await, 1);
}
