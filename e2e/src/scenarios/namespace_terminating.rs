//! The namespace that alerts are stored in is deleted under a controller that acts, and made again.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};

use super::Scenario;
use crate::aegis::Aegis;
use crate::cluster::Cluster;
use crate::sender::{Incident, Sender};
use crate::wait::{until, within};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "namespace-terminating",
    about: "the namespace is deleted under a running Workflow: no alert is taken that would be lost, and it can go",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "namespace-terminating";
/// How long a controller that was stopped may need to let the namespace go, if it still had its rights.
const PATIENCE: Duration = Duration::from_secs(15);

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, super::WAIT).await?;
    let mut controller = aegis.start(8080, &[]).await?;
    let sender = Sender::default();
    let (running, during) = (Incident::new("NodeHangs", "running"), Incident::new("NodeFails", "during"));
    sender.fire(&[&controller], &running).await?;
    aegis.until_alert("NodeHangs", "Triggered", "Running").await?;
    let alert = aegis.stored(&running.fingerprint).await?.name_any();

    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]).await?;
    until("the alert is deleted with its namespace", || async {
        Ok(aegis.alerts().get_opt(&alert).await?.is_none().then_some(()))
    })
    .await?;
    for _ in 0..3 {
        let taken = sender.try_to_fire(&controller, &during).await?;
        ensure!(!taken, "an alert was acknowledged in a namespace that goes away");
    }
    controller.running.stop().await?;
    let by_itself = within(PATIENCE, "the namespace goes", || gone(cluster)).await.is_ok();
    if !by_itself {
        // The controller's rights were deleted before what it held: the guide's line for that.
        let held = "app.kubernetes.io/managed-by=aegis";
        let held =
            cluster.kubectl(&["get", "workflows.argoproj.io,jobs", "-n", NAMESPACE, "-l", held, "-o", "name"]).await?;
        let release = r#"{"metadata":{"finalizers":null}}"#;
        for name in held.lines() {
            cluster.kubectl(&["patch", name, "-n", NAMESPACE, "--type=merge", "-p", release]).await?;
        }
        until("the namespace goes", || gone(cluster)).await?;
    }
    let made = aegis.workflows_made()?;
    ensure!(made.get(&alert) == Some(&1) && made.len() == 1, "these Workflows were made: {made:?}");

    // The sender has not given up, and finds what is installed anew.
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, super::WAIT).await?;
    let controller = aegis.start(8080, &[]).await?;
    sender.fire(&[&controller], &during).await?;
    aegis.until_repaired(&during.fingerprint).await?;
    aegis.one_workflow_each(1).await?;
    let how = if by_itself { "when the controller was stopped" } else { "by the line of the guide" };
    println!("  the namespace went {how}; {}", sender.experience());
    aegis.uninstall(controller).await
}

async fn gone(cluster: &Cluster) -> anyhow::Result<Option<()>> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    Ok(namespaces.get_opt(NAMESPACE).await?.is_none().then_some(()))
}
