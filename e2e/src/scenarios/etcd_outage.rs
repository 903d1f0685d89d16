//! etcd is stopped in the middle of everything, and started again on the data that it left.

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;

use super::Scenario;
use crate::aegis::{Aegis, Controller};
use crate::cluster::Cluster;
use crate::sender::{Incident, Sender};
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "etcd-outage",
    about: "etcd is stopped while alerts are acted on and started again: asked again for all that could not be stored",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "etcd-outage";
/// So many begin before it, and so many while it lasts.
const INCIDENTS: usize = 4;
/// So often each of those is refused before etcd comes back: long enough that a leader has lost its lead.
const REFUSALS: usize = 4;

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, super::WAIT).await?;
    let one = aegis.start(8080, &[]).await?;
    let mut other = aegis.start(8081, &[]).await?;
    let sender = Sender::default();
    let incident = |nth: usize| Incident::new("NodeFails", format!("f{nth}"));
    let before: Vec<Incident> = (0..INCIDENTS).map(incident).collect();
    let during: Vec<Incident> = (INCIDENTS..2 * INCIDENTS).map(incident).collect();
    sender.fire_all(&[&one, &other], &before).await?;
    until("the first Workflow is made", || async { Ok((!aegis.workflows_made()?.is_empty()).then_some(())) }).await?;

    let without = cluster.stop_etcd().await?;
    refused(&sender, [&one, &other], &during).await?;
    without.end().await?;
    // A Workflow whose update was answered 504 is not looked at again by Argo before it changes, or for twenty minutes.
    cluster.kubectl(&["annotate", "workflows", "--all", "-n", NAMESPACE, "aegis-e2e/etcd=back"]).await?;
    let since = std::time::Instant::now();
    sender.fire_all(&[&other, &one], &during).await?;
    for incident in before.iter().chain(&during) {
        aegis.until_repaired(&incident.fingerprint).await?;
    }
    println!(
        "  all repaired {:.1} s after the API server served again; {}",
        since.elapsed().as_secs_f64(),
        sender.experience()
    );
    aegis.one_workflow_each(2 * INCIDENTS).await?;
    other.running.stop().await?;
    aegis.uninstall(one).await
}

/// Nothing can be stored, and every sender is told so in time.
async fn refused(sender: &Sender, replicas: [&Controller; 2], incidents: &[Incident]) -> anyhow::Result<()> {
    for nth in 0..REFUSALS {
        let to = replicas.into_iter().cycle().nth(nth).context("there are two")?;
        let taken = try_join_all(incidents.iter().map(|incident| sender.try_to_fire(to, incident))).await?;
        ensure!(!taken.contains(&true), "an alert was acknowledged that nobody could store");
    }
    Ok(())
}
