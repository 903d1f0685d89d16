//! A cluster without Argo: a template that is a Job runs, and one that is a Workflow says what is missing and mends
//! itself once Argo is there.

use anyhow::ensure;

use super::Scenario;
use crate::aegis::{Aegis, Controller, node_alert};
use crate::cluster::Cluster;
use crate::parts;
use crate::procedure;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "job-without-argo",
    about: "without Argo's definitions a Job template runs; a Workflow waits, and runs once they are installed",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "job-without-argo";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let definitions = parts::ensure(&parts::ARGO).await?.kept("crds").display().to_string();
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.kubectl(&["delete", "--wait", "-k", &definitions]).await?;
    let shown = without_argo(cluster, &aegis).await;
    // Whatever came of it, the next scenario finds Argo again.
    cluster.kubectl(&["apply", "--server-side", "-k", &definitions]).await?;
    let controller = shown?;
    aegis.until_alert("WantsWorkflow", "Triggered", "Succeeded").await?;
    aegis.uninstall(controller).await
}

async fn without_argo(cluster: &Cluster, aegis: &Aegis<'_>) -> anyhow::Result<Controller> {
    let job = procedure::rule("job", "^WantsJob$", &procedure::echo_job());
    let workflow = procedure::rule("workflow", "^WantsWorkflow$", &procedure::echo());
    cluster.apply(NAMESPACE, &procedure::list(job.into_iter().chain(workflow))).await?;
    let controller = aegis.start(8080, &[]).await?;
    for type_ in ["WantsJob", "WantsWorkflow"] {
        controller.send(&node_alert(type_, type_, Cluster::NODE)).await?;
    }
    aegis.until_alert("WantsJob", "Triggered", "Succeeded").await?;
    until("the other alert says that Argo is missing", || async {
        let status = serde_json::to_value(&aegis.alert("WantsWorkflow").await?.status)?;
        let reason = status.pointer("/verdict/reason").and_then(|word| word.as_str());
        ensure!(reason == Some("ExecutorMissing"), "its status is {status}");
        Ok(Some(()))
    })
    .await?;
    Ok(controller)
}
