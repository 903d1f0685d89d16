//! The first version is upgraded in place, step by step as the guide says: what it left in every state, Workflows that
//! run meanwhile, and its controller while that is still there.

use std::collections::BTreeMap;
use std::fs;

use aegis_crds::AegisAlert;
use anyhow::{Context as _, ensure};
use kube::ResourceExt as _;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, Controller, node_alert, repository, words};
use crate::cluster::Cluster;
use crate::procedure;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "upgrade",
    about: "the first version is upgraded in place: running Workflows are adopted, and nothing acts twice",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "upgrade";
const TYPE: &str = "NodeHasEmergencyEvent";

/// A stand-in for the controller of the first version: its Deployment's name and label, and a pod that does nothing.
const OLD_CONTROLLER: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: aegis, labels: {component: aegis}}
spec:
  selector: {matchLabels: {component: aegis}}
  template:
    metadata: {labels: {component: aegis}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: aegis, image: 'busybox:latest', command: [sleep, '3600']}]
";

/// What the first version left of an alert, and what is to become of it.
struct Left {
    name: &'static str,
    status: Value,
    /// The script of the Workflow that it made.
    script: Option<&'static str>,
    /// triggerStatus and alertOpsStatus in the end; `None` if its status stays as it is.
    becomes: Option<(&'static str, &'static str)>,
}

fn left() -> Vec<Left> {
    let untold = || json!({"status": "Firing", "count": 1, "startTime": "2026-02-11T22:00:00Z"});
    let with = |more: Value| {
        let mut status = untold();
        if let (Some(status), Some(more)) = (status.as_object_mut(), more.as_object()) {
            status.extend(more.clone());
        }
        status
    };
    let ops = |ops: &str| {
        with(json!({"opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": ops, "total": 1, "active": 1}}))
    };
    let condition = |type_: &str| with(json!({"conditions": [{"type": type_, "status": "True"}]}));
    let one = |name, status, script, becomes| Left { name, status, script, becomes };
    vec![
        one("running", ops("Running"), Some("sleep 25"), Some(("Triggered", "Succeeded"))),
        one("failing", ops("Pending"), Some("sleep 20; exit 3"), Some(("Triggered", "Failed"))),
        // Its controller was stopped between the Workflow and the status that says so.
        one("interrupted", untold(), Some("sleep 15"), Some(("Triggered", "Succeeded"))),
        one("ended-untold", ops("Running"), Some("exit 3"), Some(("Triggered", "Failed"))),
        one("due", untold(), None, Some(("Triggered", "Succeeded"))),
        one("resolved", with(json!({"status": "Resolved"})), None, Some(("Withdrawn", ""))),
        one("succeeded", ops("Succeeded"), None, None),
        one("failed", ops("Failed"), None, None),
        one("complete", condition("Complete"), None, None),
        one("not-created", condition("FailedCreateWorkflow"), None, None),
        one("counted", with(json!({"opsStatus": {"total": 1}})), None, None),
        one("no-rule", with(json!({"opsStatus": {"triggerStatus": "RuleNotFound"}})), None, None),
        one("vanished", ops("Running"), None, None),
    ]
}

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let shown = upgrade(cluster, &aegis).await;
    // Whatever came of it, the next scenario finds the definitions again.
    cluster.kubectl(&["apply", "-f", &definitions()]).await?;
    let controller = shown?;
    aegis.uninstall(controller).await
}

async fn upgrade(cluster: &Cluster, aegis: &Aegis<'_>) -> anyhow::Result<Controller> {
    cluster.apply(NAMESPACE, &old_definitions()?).await?;
    cluster.kubectl(&["wait", "--for=condition=Established", "-f", &definitions()]).await?;
    let served = cluster.kubectl(&["get", "--raw", "/apis/aegis.io/v1alpha1"]).await?;
    ensure!(!served.contains("aegisalerts/status"), "the definitions are not those of the first version: {served}");
    cluster.apply(NAMESPACE, &procedure::list(procedure::rule("emergency", TYPE, &procedure::echo()))).await?;
    cluster.apply(NAMESPACE, OLD_CONTROLLER).await?;
    cluster.kubectl(&["rollout", "status", "deployment/aegis", "-n", NAMESPACE, "--timeout=120s"]).await?;
    let left = left();
    for one in &left {
        leave(aegis, one).await?;
    }
    until("the old Workflows run", || async {
        let label = ListParams::default().labels("workflows.argoproj.io/phase in (Running,Failed,Succeeded)");
        let begun = aegis.workflows().list_metadata(&label).await?.items.len();
        let want = left.iter().filter(|one| one.script.is_some()).count();
        ensure!(begun == want, "{begun} of {want} run");
        Ok(Some(()))
    })
    .await?;

    stop_old_controller(cluster).await?;
    cluster.kubectl(&["apply", "-f", &definitions()]).await?;
    cluster.kubectl(&["wait", "--for=condition=Established", "crd/aegisalerts.aegis.io", "--timeout=60s"]).await?;
    let path = "jsonpath={.spec.versions[*].subresources}";
    let subresources = cluster.kubectl(&["get", "crd", "aegisalerts.aegis.io", "-o", path]).await?;
    ensure!(subresources == "{\"status\":{}}", "the subresources are {subresources}");
    let controller = aegis.start(8080, &[]).await?;

    for one in &left {
        match one.becomes {
            Some(words) => drop(reads(aegis, one.name, words).await?),
            None => ensure!(status(aegis, one.name).await? == one.status, "the status of {} has changed", one.name),
        }
    }
    for name in ["failing", "ended-untold"] {
        let status = status(aegis, name).await?;
        let message = status.pointer("/actions/0/message").and_then(Value::as_str).unwrap_or_default();
        ensure!(message.contains("exit code 3"), "{name} tells {message:?}");
    }
    until("every Workflow is let go", || async {
        let all = aegis.workflows().list_metadata(&ListParams::default()).await?.items;
        let kept = all.iter().filter(|one| one.finalizers().iter().any(|name| name == "aegis.io/outcome")).count();
        ensure!(kept == 0, "{kept} are kept");
        Ok(Some(()))
    })
    .await?;
    beside_the_old_controller(cluster, aegis, &controller).await?;

    let made = aegis.workflows_made()?;
    let late = aegis.alert("Late").await?.name_any();
    ensure!(made == BTreeMap::from([("due".to_owned(), 1), (late, 1)]), "these Workflows were made: {made:?}");
    Ok(controller)
}

/// Step 2 of the guide.
async fn stop_old_controller(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.kubectl(&["delete", "deployment", "aegis", "-n", NAMESPACE]).await?;
    let pods = ["pod", "-l", "component=aegis", "-n", NAMESPACE];
    cluster.kubectl(&[&["wait", "--for=delete", "--timeout=120s"], pods.as_slice()].concat()).await?;
    let there = cluster.kubectl(&[&["get", "-o", "name"], pods.as_slice()].concat()).await?;
    ensure!(there.is_empty(), "{there} is there still");
    Ok(())
}

/// The old controller is started again by mistake: alerts are stored and wait until it is gone.
async fn beside_the_old_controller(
    cluster: &Cluster,
    aegis: &Aegis<'_>,
    controller: &Controller,
) -> anyhow::Result<()> {
    cluster.apply(NAMESPACE, OLD_CONTROLLER).await?;
    cluster.kubectl(&["rollout", "status", "deployment/aegis", "-n", NAMESPACE, "--timeout=120s"]).await?;
    cluster.apply(NAMESPACE, &procedure::list(procedure::rule("late", "Late", &procedure::echo()))).await?;
    controller.send(&node_alert("Late", "late", "n1")).await?;
    let held = aegis.until_alert("Late", "Held", "").await?;
    let verdict = held.status.and_then(|status| status.verdict).context("no verdict")?;
    ensure!(verdict.reason == "OldController", "the reason is {}: {}", verdict.reason, verdict.message);
    stop_old_controller(cluster).await?;
    aegis.until_alert("Late", "Triggered", "Succeeded").await?;
    Ok(())
}

/// Stores an alert, and the Workflow that was made for it, as the first version did.
async fn leave(aegis: &Aegis<'_>, left: &Left) -> anyhow::Result<()> {
    let labels = json!({
        "alert-source-type": "Default", "alert-type": TYPE, "alert-status": "Firing",
        "fingerprint": format!("f-{}", left.name), "node": "n1",
    });
    let alert = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
        "metadata": {"name": left.name, "labels": labels},
        "spec": {
            "source": "Default", "type": TYPE, "status": "Firing",
            "involvedObject": {"kind": "Node", "name": "n1"}, "detials": {"node": "n1"},
        },
        "status": left.status,
    });
    let parameters = PostParams::default();
    let alert: AegisAlert = aegis.alerts().create(&parameters, &serde_json::from_value(alert)?).await?;
    let Some(script) = left.script else { return Ok(()) };
    let workflow = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {
            "generateName": format!("{}-", left.name), "labels": labels,
            "ownerReferences": [{
                "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "name": left.name, "uid": alert.uid(),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "serviceAccountName": "aegis-workflow", "entrypoint": "start",
            "templates": [{"name": "start", "container": {"image": "busybox:latest", "command": ["sh", "-c", script]}}],
        },
    });
    aegis.workflows().create(&parameters, &serde_json::from_value(workflow)?).await?;
    Ok(())
}

async fn status(aegis: &Aegis<'_>, name: &str) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(aegis.alerts().get(name).await?.status)?)
}

async fn reads(aegis: &Aegis<'_>, name: &str, (trigger, ops): (&str, &str)) -> anyhow::Result<Value> {
    until(&format!("{name} shows {trigger} {ops}"), || async {
        let status = status(aegis, name).await?;
        ensure!(words(&status) == (trigger, ops), "its status is {status}");
        Ok(Some(status))
    })
    .await
}

fn definitions() -> String {
    repository("manifest/install").display().to_string()
}

/// The definitions of the first version: status is a field like any other, and nothing is checked.
fn old_definitions() -> anyhow::Result<String> {
    let mut items = Vec::new();
    for file in fs::read_dir(repository("manifest/install"))? {
        let mut definition: Value = serde_saphyr::from_str(&fs::read_to_string(file?.path())?)?;
        let versions = definition.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
        for version in versions.context("a definition without versions")? {
            let version = version.as_object_mut().context("a version is no object")?;
            version.remove("subresources");
            let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            version.insert("schema".to_owned(), json!({"openAPIV3Schema": open}));
        }
        items.push(definition);
    }
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}
