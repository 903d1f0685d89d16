//! The leader is killed, without a chance to tidy up, while it acts; another takes over; each incident gets one Workflow.

use anyhow::ensure;
use kube::api::ListParams;

use super::Scenario;
use crate::aegis::{Aegis, Controller, node_alert, words};
use crate::cluster::Cluster;
use crate::procedure;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "kill-9",
    about: "the leader is killed with SIGKILL while it acts, three times over: one Workflow for each incident",
    smoke: true,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "kill-9";
const INCIDENTS: usize = 6;
/// Short, so that a successor need not wait long.
const LEASE: [&str; 6] = ["--lease.duration", "3s", "--lease.renew-deadline", "2s", "--lease.retry-period", "500ms"];

/// Whether a moment has come, by how many Workflows are made and how many alerts have succeeded.
type Come = fn(usize, usize) -> bool;

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, &procedure::list(procedure::rule("wait", "NodeFails", &procedure::echo()))).await?;
    let mut controller = aegis.start(8080, &LEASE).await?;
    send(&controller).await?;
    // Killed at three moments: when the first Workflow has just been made, when all have, and when the first has ended.
    let moments: [(&str, Come); 3] = [
        ("the first Workflow is made", |made, _| made >= 1),
        ("all Workflows are made", |made, _| made >= INCIDENTS),
        ("the first outcome stands in status", |_, ended| ended >= 1),
    ];
    for (what, come) in moments {
        until(what, || async {
            let made = aegis.workflows().list_metadata(&ListParams::default()).await?.items.len();
            let ended = ended(&aegis).await?;
            Ok(come(made, ended).then_some(()))
        })
        .await?;
        controller.running.kill().await?;
        controller = aegis.start(8080, &LEASE).await?;
        // A sender that got no answer sends again.
        send(&controller).await?;
    }
    until("every incident has succeeded", || async {
        let ended = ended(&aegis).await?;
        ensure!(ended == INCIDENTS, "{ended} of {INCIDENTS} have");
        Ok(Some(()))
    })
    .await?;

    aegis.one_workflow_each(INCIDENTS).await?;
    aegis.uninstall(controller).await
}

async fn send(controller: &Controller) -> anyhow::Result<()> {
    for nth in 0..INCIDENTS {
        controller.send(&node_alert("NodeFails", &format!("f{nth}"), &format!("n{nth}"))).await?;
    }
    Ok(())
}

/// How many alerts have succeeded.
async fn ended(aegis: &Aegis<'_>) -> anyhow::Result<usize> {
    let alerts = aegis.alerts().list(&ListParams::default()).await?.items;
    let mut ended = 0;
    for alert in alerts {
        let status = serde_json::to_value(&alert.status)?;
        if words(&status).1 == "Succeeded" {
            ended += 1;
        }
    }
    Ok(ended)
}
