//! Workflows are deleted while they run: with a controller there, without one, and by force.

use anyhow::ensure;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, words};
use crate::cluster::Cluster;
use crate::sender::{Incident, Sender};
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "workflow-deleted",
    about: "a Workflow is deleted while it runs, also without a controller or by force: its alert says so, once",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "workflow-deleted";
/// Short, because a Workflow is kept for two of its durations.
const LEASE: [&str; 6] = ["--lease.duration", "3s", "--lease.renew-deadline", "2s", "--lease.retry-period", "500ms"];

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, super::WAIT).await?;
    let mut controller = aegis.start(8080, &LEASE).await?;
    let sender = Sender::default();
    let incidents = ["here", "away", "by-force"].map(|name| Incident::new("NodeHangs", name));
    for incident in &incidents {
        sender.fire(&[&controller], incident).await?;
    }
    let mut names = Vec::new();
    for incident in &incidents {
        names.push(until_running(&aegis, incident).await?);
    }
    let [here, away, by_force] = names.as_slice() else { anyhow::bail!("not three Workflows: {names:?}") };

    aegis.workflows().delete(here, &DeleteParams::default()).await?;
    until_gone(&aegis, here).await?;
    controller.running.stop().await?;
    aegis.workflows().delete(away, &DeleteParams::default()).await?;
    aegis.workflows().delete(by_force, &DeleteParams::default()).await?;
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    aegis.workflows().patch_metadata(by_force, &PatchParams::default(), &release).await?;
    until_gone(&aegis, by_force).await?;
    let kept = aegis.workflows().get_opt(away).await?.is_some_and(|kept| kept.metadata.deletion_timestamp.is_some());
    ensure!(kept, "{away} is not kept until a controller has seen its end");

    let controller = aegis.start(8080, &LEASE).await?;
    for incident in &incidents {
        until_told(&aegis, incident).await?;
    }
    until_gone(&aegis, away).await?;
    // What fires on is heard, and is no reason to begin again.
    for incident in &incidents {
        sender.fire(&[&controller], incident).await?;
        let alert = until_told(&aegis, incident).await?;
        let count = alert.pointer("/status/count").and_then(Value::as_i64);
        ensure!(count == Some(2), "{} was reported twice: {alert}", incident.fingerprint);
    }
    // An incident that comes later is dealt with after them.
    let last = Incident::new("NodeFails", "last");
    sender.fire(&[&controller], &last).await?;
    aegis.until_repaired(&last.fingerprint).await?;
    aegis.one_workflow_each(incidents.len() + 1).await?;
    aegis.uninstall(controller).await
}

/// Waits until the Workflow of an incident runs, and tells its name.
async fn until_running(aegis: &Aegis<'_>, incident: &Incident) -> anyhow::Result<String> {
    until(&format!("the Workflow of {} runs", incident.fingerprint), || async {
        let status = serde_json::to_value(aegis.stored(&incident.fingerprint).await?.status)?;
        ensure!(words(&status) == ("Triggered", "Running"), "the status is {status}");
        Ok(status.pointer("/actions/0/name").and_then(Value::as_str).map(str::to_owned))
    })
    .await
}

/// Waits until the alert says that its one Workflow was deleted.
async fn until_told(aegis: &Aegis<'_>, incident: &Incident) -> anyhow::Result<Value> {
    until(&format!("the alert {} says that its Workflow was deleted", incident.fingerprint), || async {
        let alert = aegis.stored(&incident.fingerprint).await?;
        let (name, alert) = (alert.name_any(), serde_json::to_value(&alert)?);
        let status = alert.get("status").cloned().unwrap_or_default();
        let actions = status.get("actions").and_then(Value::as_array).map_or(0, Vec::len);
        let reason = status.pointer("/actions/0/reason").and_then(Value::as_str);
        let told = words(&status) == ("Triggered", "Failed") && actions == 1 && reason == Some("WorkflowDeleted");
        ensure!(told, "the status of {name} is {status}");
        Ok(Some(alert))
    })
    .await
}

async fn until_gone(aegis: &Aegis<'_>, name: &str) -> anyhow::Result<()> {
    until(&format!("{name} is gone"), || async {
        Ok(aegis.workflows().get_metadata_opt(name).await?.is_none().then_some(()))
    })
    .await
}
