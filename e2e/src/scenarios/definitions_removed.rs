//! The definitions of Aegis are removed under a controller that runs, with all alerts and rules, and restored.

use anyhow::{Context as _, ensure};
use kube::ResourceExt as _;

use super::Scenario;
use crate::aegis::{Aegis, repository};
use crate::cluster::Cluster;
use crate::sender::{Incident, Sender};
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "definitions-removed",
    about: "the definitions are removed and restored under a controller: it asks for what it cannot store and recovers",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "definitions-removed";
/// Short, because a Workflow is kept for two of its durations.
const LEASE: [&str; 6] = ["--lease.duration", "3s", "--lease.renew-deadline", "2s", "--lease.retry-period", "500ms"];

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, super::WAIT).await?;
    let controller = aegis.start(8080, &LEASE).await?;
    let sender = Sender::default();
    let [repaired, running, during] = [("NodeFails", "repaired"), ("NodeHangs", "running"), ("NodeFails", "during")]
        .map(|(type_, name)| Incident::new(type_, name));
    sender.fire(&[&controller], &repaired).await?;
    aegis.until_repaired(&repaired.fingerprint).await?;
    sender.fire(&[&controller], &running).await?;
    aegis.until_alert("NodeHangs", "Triggered", "Running").await?;
    let mut alerts = Vec::new();
    for incident in [&repaired, &running] {
        alerts.push(aegis.stored(&incident.fingerprint).await?.name_any());
    }

    let definitions = Definitions::remove(cluster).await?;
    for _ in 0..3 {
        let taken = sender.try_to_fire(&controller, &during).await?;
        ensure!(!taken, "an alert was acknowledged that nobody could store");
    }
    definitions.restore().await?;
    cluster.apply(NAMESPACE, super::WAIT).await?;
    sender.fire(&[&controller], &during).await?;
    let alert = aegis.until_repaired(&during.fingerprint).await?;
    alerts.push(alert.name_any());
    until("the Workflows whose alerts are gone are let go", || async {
        let list = kube::api::ListParams::default();
        let left: Vec<String> =
            aegis.workflows().list_metadata(&list).await?.items.iter().map(|one| one.name_any()).collect();
        let [only] = left.as_slice() else { anyhow::bail!("{left:?} are left") };
        ensure!(only.starts_with(&alert.name_any()), "{only} is left");
        Ok(Some(()))
    })
    .await?;
    let made = aegis.workflows_made()?;
    let want = alerts.into_iter().map(|alert| (alert, 1)).collect();
    ensure!(made == want, "the API server accepted these creations of Workflows: {made:#?}");
    println!("  {}", sender.experience());
    aegis.uninstall(controller).await
}

/// The definitions, removed: nothing can be stored. Whatever comes of it, also Ctrl-C, the next scenario finds them again.
struct Definitions<'a> {
    cluster: &'a Cluster,
    folder: String,
    back: bool,
}

impl<'a> Definitions<'a> {
    async fn remove(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let folder = repository("manifest/install").display().to_string();
        let removed = Self { cluster, folder, back: false };
        let words = ["delete", "--wait", "-f", &removed.folder];
        cluster.kubectl(&words).await.context("the definitions could not be removed")?;
        Ok(removed)
    }

    async fn restore(mut self) -> anyhow::Result<()> {
        self.cluster.kubectl(&["apply", "-f", &self.folder]).await?;
        self.back = true;
        self.cluster.kubectl(&["wait", "--for=condition=Established", "-f", &self.folder]).await.map(drop)
    }
}

impl Drop for Definitions<'_> {
    fn drop(&mut self) {
        if !self.back {
            let mut again = self.cluster.kubectl_command().into_std();
            match again.args(["apply", "-f", &self.folder]).status() {
                Ok(status) if status.success() => {}
                other => eprintln!("could not restore the definitions: {other:?}"),
            }
        }
    }
}
