//! The leader is halted while it acts, another takes over, and much later the old one goes on where it was.

use anyhow::{Context as _, ensure};
use kube::api::ListParams;

use super::Scenario;
use crate::aegis::Aegis;
use crate::cluster::Cluster;
use crate::sender::{Incident, Sender};
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "frozen-leader",
    about: "the leader is halted with SIGSTOP while it acts and goes on much later: one Workflow for each incident",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "frozen-leader";
/// So many begin before the leader is halted, and so many after it.
const INCIDENTS: usize = 4;
/// Short, so that a successor need not wait long.
const LEASE: [&str; 6] = ["--lease.duration", "3s", "--lease.renew-deadline", "2s", "--lease.retry-period", "500ms"];

/// Whether a moment has come, by how many Workflows are made and how many have ended, of those that belong to it.
type Come = fn(usize, usize) -> bool;

const MOMENTS: [(&str, Come); 3] = [
    ("the first Workflow is made", |made, _| made >= 1),
    ("all Workflows are made", |made, _| made >= INCIDENTS),
    ("the first Workflow has ended", |_, ended| ended >= 1),
];

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, super::WAIT).await?;
    let replicas = [aegis.start(8080, &LEASE).await?, aegis.start(8081, &LEASE).await?];
    let sender = Sender::default();
    let mut all: Vec<Incident> = Vec::new();
    for (number, (what, come)) in MOMENTS.iter().enumerate() {
        let holder = leader(&aegis).await?;
        let leads = replicas.iter().position(|replica| holder.starts_with(replica.name()));
        let [leader, other] = match leads.with_context(|| format!("{holder} leads"))? {
            0 => replicas.each_ref(),
            _ => {
                let [first, second] = replicas.each_ref();
                [second, first]
            }
        };
        let incident = |nth: usize| Incident::new("NodeFails", format!("f{number}-{nth}"));
        let before: Vec<Incident> = (0..INCIDENTS).map(incident).collect();
        let after: Vec<Incident> = (INCIDENTS..2 * INCIDENTS).map(incident).collect();
        sender.fire_all(&[leader], &before).await?;
        until(what, || async {
            let list = ListParams::default();
            let (old, made) = (all.len(), aegis.workflows().list_metadata(&list).await?.items.len());
            let ended = list.labels("workflows.argoproj.io/phase=Succeeded");
            let ended = aegis.workflows().list_metadata(&ended).await?.items.len();
            Ok(come(made.saturating_sub(old), ended.saturating_sub(old)).then_some(()))
        })
        .await?;
        leader.running.freeze()?;
        sender.fire_all(&[other], &after).await?;
        for incident in before.iter().chain(&after) {
            aegis.until_repaired(&incident.fingerprint).await.with_context(|| format!("halted when {what}"))?;
        }
        leader.running.resume()?;
        all.extend(before.into_iter().chain(after));
        // It takes alerts again, and leaves it to the other one to act.
        let late = Incident::new("NodeFails", format!("f{number}-late"));
        sender.fire(&[leader], &late).await?;
        aegis.until_repaired(&late.fingerprint).await?;
        all.push(late);
        let now = self::leader(&aegis).await?;
        ensure!(now.starts_with(other.name()), "{now} leads after {} has gone on", leader.name());
    }
    for incident in &all {
        aegis.until_repaired(&incident.fingerprint).await?;
    }
    aegis.one_workflow_each(all.len()).await?;
    println!("  {} incidents: {}", all.len(), sender.experience());
    let [one, mut other] = replicas;
    other.running.stop().await?;
    aegis.uninstall(one).await
}

/// Who holds the Lease.
async fn leader(aegis: &Aegis<'_>) -> anyhow::Result<String> {
    until("a replica leads", || async { Ok(aegis.lease().await?.holder_identity.filter(|holder| !holder.is_empty())) })
        .await
}
