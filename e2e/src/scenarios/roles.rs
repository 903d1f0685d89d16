//! The API server's record of the whole run against the roles of manifest/deploy: nothing was forbidden to our accounts,
//! and nothing that their roles grant was left unused. It comes last, and first does everything that the roles are for
//! itself, also what seldom happens: so it can be run alone, and what the other scenarios do is judged with it.

use std::fs;

use aegis_crds::alert::AlertStatus;
use aegis_crds::names;
use anyhow::{Context as _, ensure};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::Scenario;
use crate::aegis::{Aegis, Controller, node_alert, repository};
use crate::audit;
use crate::cluster::Cluster;
use crate::procedure;
use crate::rights;
use crate::wait::{until, until_equal};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "roles",
    about: "over the whole run nothing was forbidden to our accounts, and no verb of their roles was left unused",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "roles";
/// An alert is deleted a second after its action succeeded and it was resolved.
const FLAGS: [&str; 2] = ["--alert.ttl-after-success", "1s"];

/// Stays until it is asked to go.
const STAY: &str = "trap exit TERM; sleep 600 & wait";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    use_all(cluster).await?;
    let faults = rights::judge(&audit::requests(cluster)?)?;
    ensure!(faults.is_empty(), "the roles are not what was needed:\n  {}", faults.join("\n  "));
    Ok(())
}

/// Does what every right is for.
async fn use_all(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.kubectl(&["delete", "aegisguard", names::GUARD_NAME, "-n", NAMESPACE]).await?;
    let controller = aegis.start(8080, &FLAGS).await?;
    let guard = api(cluster, names::GROUP, "v1alpha1", "AegisGuard");
    until("the guard is made, since nobody did", || async { Ok(guard.get_opt(names::GUARD_NAME).await?) }).await?;
    cluster.apply(NAMESPACE, include_str!("data/guard.yaml")).await?;
    rejections(cluster, &controller).await?;
    taken_name(cluster, &aegis, &controller).await?;
    cordon(cluster, &aegis, &controller).await?;
    failure(cluster, &aegis, &controller).await?;
    let controller = told_again(cluster, &aegis, controller).await?;
    conflicts(cluster, &aegis, &controller).await?;
    aegis.uninstall(controller).await
}

/// The list of rejections is made, read and written.
async fn rejections(cluster: &Cluster, controller: &Controller) -> anyhow::Result<()> {
    for type_ in ["One", "Other"] {
        let (code, answer) = controller.post(&json!({"type": type_})).await?;
        ensure!(code == 400, "an alert without an object was answered with {code}: {answer}");
        until_equal("the rejection is listed", true, || async {
            let words = ["get", "configmap", "aegis-rejected", "-n", NAMESPACE, "-o", "jsonpath={.data}"];
            Ok(cluster.kubectl(&words).await?.contains(type_))
        })
        .await?;
    }
    Ok(())
}

/// Somebody else's Job has the name that an alert's should have: the controller looks at it and takes another name. Once
/// the alert is over it is deleted.
async fn taken_name(cluster: &Cluster, aegis: &Aegis<'_>, controller: &Controller) -> anyhow::Result<()> {
    let alert = node_alert("Taken", "taken", Cluster::NODE);
    controller.send(&alert).await?;
    let stored = aegis.until_alert("Taken", "RuleNotFound", "").await?;
    let uid = stored.uid().context("an alert without a UID")?;
    let name = names::action(&stored.name_any(), &uid, AlertStatus::Firing, 1, 0);
    let mut job = procedure::with(procedure::echo_job(), "metadata", json!({"name": name}));
    let image = "/spec/template/spec/containers/0/command/1";
    *job.pointer_mut(image).context("a Job without a command")? = json!("somebody else's");
    api(cluster, "batch", "v1", "Job").create(&PostParams::default(), &serde_json::from_value(job)?).await?;
    let rule = procedure::rule("taken", "^(Taken|Again.*)$", &procedure::echo_job());
    cluster.apply(NAMESPACE, &procedure::list(rule)).await?;
    aegis.until_alert("Taken", "Triggered", "Succeeded").await?;
    controller.send(&procedure::with(alert, "status", json!("Resolved"))).await?;
    until("an alert past its time is deleted", || async {
        Ok(aegis.alerts().get_opt(&stored.name_any()).await?.is_none().then_some(()))
    })
    .await
}

/// A procedure changes the node, and Argo's executor reports its result.
async fn cordon(cluster: &Cluster, aegis: &Aegis<'_>, controller: &Controller) -> anyhow::Result<()> {
    let rules = fs::read_to_string(repository("examples/quickstart/rule.yaml"))?;
    cluster.apply(NAMESPACE, &rules.replace("namespace: monitoring", &format!("namespace: {NAMESPACE}"))).await?;
    controller.send(&node_alert("NodeHasEmergencyEvent", "cordon", Cluster::NODE)).await?;
    aegis.until_alert("NodeHasEmergencyEvent", "Triggered", "Succeeded").await?;
    cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
    Ok(())
}

/// The node of a pod is looked up, and so is why a Workflow failed. Another alert is deleted while its Workflow runs.
async fn failure(cluster: &Cluster, aegis: &Aegis<'_>, controller: &Controller) -> anyhow::Result<()> {
    let script = |name: &str, script: &str| {
        let container = json!({"image": "busybox:latest", "command": ["sh", "-c", script]});
        procedure::rule(
            name,
            &format!("^{name}$"),
            &procedure::workflow(&json!([{"name": "main", "container": container}])),
        )
    };
    let rules = script("fails", "exit 1").into_iter().chain(script("stays", STAY));
    cluster.apply(NAMESPACE, &procedure::list(rules)).await?;
    let stay = ["--", "sh", "-c", STAY];
    cluster.kubectl(&[&["run", "web", "-n", NAMESPACE, "--image=busybox:latest"], &stay[..]].concat()).await?;
    cluster.kubectl(&["wait", "pod/web", "-n", NAMESPACE, "--for=jsonpath={.spec.nodeName}=node1"]).await?;
    let pod = json!({"kind": "Pod", "namespace": NAMESPACE, "name": "web"});
    controller.send(&procedure::with(node_alert("fails", "fails", "web"), "involvedObject", pod)).await?;
    let alert = aegis.until_alert("fails", "Triggered", "Failed").await?;
    ensure!(alert.spec.involved_object.node == Cluster::NODE, "the pod's node was not looked up");
    controller.send(&node_alert("stays", "stays", Cluster::NODE)).await?;
    let alert = aegis.until_alert("stays", "Triggered", "Running").await?;
    aegis.alerts().delete(&alert.name_any(), &Default::default()).await?;
    until("the Workflow of a deleted alert is let go", || async {
        let left = aegis.workflows().list_metadata(&Default::default()).await?.items;
        Ok((!left.iter().any(|one| one.name_any().starts_with(&alert.name_any()))).then_some(()))
    })
    .await
}

/// An Event that was told before is told again by the controller's successor.
async fn told_again(cluster: &Cluster, aegis: &Aegis<'_>, mut controller: Controller) -> anyhow::Result<Controller> {
    let broken = procedure::list(procedure::rule("broken", "^Broken$", &json!({"kind": "Strange"})));
    let told = |reason: &'static str| async move {
        until(&format!("the alert is held for {reason}"), || async {
            let status = serde_json::to_value(aegis.alert("Broken").await?.status)?;
            ensure!(status.pointer("/verdict/reason") == Some(&json!(reason)), "its status is {status}");
            Ok(Some(()))
        })
        .await
    };
    cluster.apply(NAMESPACE, &broken).await?;
    controller.send(&node_alert("Broken", "broken", Cluster::NODE)).await?;
    told("BadTemplate").await?;
    controller.running.stop().await?;
    let controller = aegis.start(8080, &FLAGS).await?;
    cluster.kubectl(&["delete", "aegisopstemplate", "broken", "-n", NAMESPACE]).await?;
    told("NoTemplate").await?;
    cluster.apply(NAMESPACE, &broken).await?;
    told("BadTemplate").await?;
    until_equal("an Event was told twice", true, || async {
        let words = ["get", "events", "-n", NAMESPACE, "-o", "jsonpath={.items[?(@.reason=='BadTemplate')].count}"];
        Ok(cluster.kubectl(&words).await?.split(' ').any(|count| count == "2"))
    })
    .await?;
    Ok(controller)
}

/// Somebody writes a rule, its template and the guard all the while, until the controller's own count of endings and its
/// book of places have met a conflict on each: it then reads them from the API server.
async fn conflicts(cluster: &Cluster, aegis: &Aegis<'_>, controller: &Controller) -> anyhow::Result<()> {
    let account = format!("system:serviceaccount:{NAMESPACE}:aegis");
    let met = async {
        for nth in 0..20 {
            let type_ = format!("Again{nth}");
            controller.send(&node_alert(&type_, &type_, Cluster::NODE)).await?;
            aegis.until_alert(&type_, "Triggered", "Succeeded").await?;
            let log = audit::requests(cluster)?;
            let read = |kind| log.iter().any(|one| one.user() == account && one.is("get", kind, NAMESPACE));
            if ["aegisalertopsrules", "aegisopstemplates", "aegisguards"].into_iter().all(read) {
                return Ok(());
            }
        }
        anyhow::bail!("20 endings were counted without a conflict")
    };
    tokio::select! {
        met = met => met,
        failed = write(cluster, "AegisAlertOpsRule", "taken") => failed,
        failed = write(cluster, "AegisOpsTemplate", "taken") => failed,
        failed = write(cluster, "AegisGuard", names::GUARD_NAME) => failed,
    }
}

/// Writes the object of that kind and name as fast as it goes, and returns only if that fails.
async fn write(cluster: &Cluster, kind: &str, name: &str) -> anyhow::Result<()> {
    let objects = api(cluster, names::GROUP, "v1alpha1", kind);
    for nth in 0_u64.. {
        let patch = json!({"metadata": {"annotations": {"nth": nth.to_string()}}});
        objects.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    Ok(())
}

fn api(cluster: &Cluster, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(cluster.client.clone(), NAMESPACE, &resource)
}
