//! How soon a replica acts in the place of one that was asked to end, or that was killed.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;

use super::bed::{Bed, PORT};
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::sender::Sender;
use super::times::rounds;
use crate::aegis::Controller;

/// What the lease's duration is unless it is set.
const LEASE: Duration = Duration::from_secs(15);
/// A failover that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(60);

/// With few alerts there.
pub(super) async fn with_few(bed: &Bed<'_>) -> anyhow::Result<Vec<Figure>> {
    // Kills cost a lease each.
    let [terminated, killed] = measure(bed, "few", 3, 2).await?;
    Ok(vec![
        figure("failover on SIGTERM", &terminated)
            .target(Target::AtMost(1.0))
            .note(format!("the longest that any alert waited for its Workflow; {}", rounds(&terminated, 2))),
        figure("failover on kill -9", &killed).target(Target::AtMost(LEASE.as_secs_f64() + 2.0)).note(format!(
            "the same, with a lease of {} s; {}",
            LEASE.as_secs(),
            rounds(&killed, 1)
        )),
    ])
}

/// With all that there is, which a new leader lists before it acts.
pub(super) async fn with_many(bed: &Bed<'_>) -> anyhow::Result<Vec<Figure>> {
    let there = bed.observer.counts().ended;
    let [terminated, killed] = measure(bed, "many", 2, 1).await?;
    Ok(vec![
        figure(&format!("failover on SIGTERM with {there} alerts"), &terminated).note(rounds(&terminated, 2)),
        figure(&format!("failover on kill -9 with {there} alerts"), &killed).note(rounds(&killed, 1)),
    ])
}

/// The slowest.
fn figure(name: &str, times: &[f64]) -> Figure {
    Figure::new(name, times.iter().copied().fold(0.0, f64::max), "s")
}

/// Seconds of each round with the one end, and with the other. Two replicas take turns in leading.
async fn measure(bed: &Bed<'_>, name: &str, asked: usize, killed: usize) -> anyhow::Result<[Vec<f64>; 2]> {
    let mut leader = bed.aegis.start(PORT, &[]).await?;
    crate::wait::until("it leads", || async { Ok(leads(bed, &leader).await?.then_some(())) }).await?;
    let (mut port, mut times) = (PORT, [Vec::new(), Vec::new()]);
    let ends = std::iter::repeat_n(End::Asked, asked).chain(std::iter::repeat_n(End::Killed, killed));
    for (round, end) in ends.enumerate() {
        port = PORT + 1 - (port - PORT);
        let standby = bed.aegis.start(port, &[]).await?;
        let took = failover(bed, &mut leader, &standby, &format!("{name}-{round}"), end).await?;
        let [of_asked, of_killed] = &mut times;
        match end {
            End::Asked => of_asked.push(took),
            End::Killed => of_killed.push(took),
        }
        leader = standby;
    }
    leader.running.stop().await?;
    Ok(times)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Asked,
    Killed,
}

/// Ends the leader while alerts come in at the other one, and tells how long any of them waited for its Workflow.
async fn failover(
    bed: &Bed<'_>,
    leader: &mut Controller,
    standby: &Controller,
    name: &str,
    end: End,
) -> anyhow::Result<f64> {
    let sender = Sender::to(standby);
    let pause = Duration::from_millis(if end == End::Asked { 50 } else { 250 });
    let begun = Instant::now();
    let ending = async {
        match end {
            End::Asked => leader.running.stop().await,
            End::Killed => leader.running.kill().await,
        }
    };
    let sending = async {
        let mut sent: Vec<(String, Instant)> = Vec::new();
        for number in 0.. {
            anyhow::ensure!(begun.elapsed() < LONGEST, "nobody took over within {LONGEST:?}");
            let at = Instant::now();
            for body in bodies(&format!("{name}-{number}"), 1, 1) {
                sent.extend(sender.deliver(body).await?.names.into_iter().map(|name| (name, at)));
            }
            tokio::time::sleep(pause).await;
            let made = |name: &str| bed.observer.workflow_of(name).is_some();
            if sent.iter().all(|(name, _)| made(name)) && leads(bed, standby).await? {
                break;
            }
        }
        Ok(sent)
    };
    let (ended, sent) = tokio::join!(ending, sending);
    ended?;
    let waits =
        sent?.into_iter().filter_map(|(name, at)| Some((bed.observer.workflow_of(&name)?.made - at).as_secs_f64()));
    Ok(waits.fold(0.0, f64::max))
}

/// Whether that controller holds the Lease.
async fn leads(bed: &Bed<'_>, controller: &Controller) -> anyhow::Result<bool> {
    let leases: Api<Lease> = Api::namespaced(bed.cluster.client.clone(), bed.aegis.namespace());
    let lease = leases.get("aegis-controller").await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    Ok(holder.rsplit_once('_').is_some_and(|(name, _)| name == controller.name()))
}
