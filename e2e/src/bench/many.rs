//! With ten thousand alerts and their Workflows there: memory, and how soon a controller acts that was started, or that
//! takes over from one that ended.

use std::time::{Duration, Instant};

use aegis_crds::AegisAlert;
use aegis_crds::names::FINGERPRINT_LABEL;
use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};

use super::bed::{Bed, PORT, RELEASED, SHORT_LEASE};
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::proc::Memory;
use super::sender::Sender;
use super::times::{number, rounds};
use crate::aegis::Controller;

pub(super) const ALERTS: usize = 10_000;
/// Memory is read when nothing has happened for so long.
pub(super) const SETTLED: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
/// Kills cost a lease each.
const KILLS: usize = 2;
/// What the lease's duration is unless it is set.
const LEASE: Duration = Duration::from_secs(15);
/// A failover that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(60);

/// What a controller holds that has only just started.
pub(super) async fn idle(bed: &Bed<'_>) -> anyhow::Result<Figure> {
    let mut controller = bed.aegis.start(PORT, &[]).await?;
    tokio::time::sleep(SETTLED).await;
    let memory = Memory::of(controller.running.pid()?);
    controller.running.stop().await?;
    Ok(mib("memory, idle", memory.resident)
        .target(Target::AtMost(20.0))
        .note("resident, with what is mapped of the binary"))
}

/// Has that controller work off alerts until there are ten thousand, and tells what it holds then.
pub(super) async fn full(bed: &Bed<'_>, mut controller: Controller) -> anyhow::Result<Figure> {
    let there = bed.observer.counts().ended;
    let missing = ALERTS.saturating_sub(there);
    bed.work_off(&Sender::to(&controller), bodies("more", missing, 50)).await?;
    tokio::time::sleep(RELEASED + SETTLED).await;
    bed.until_released().await?;
    let memory = Memory::of(controller.running.pid()?);
    controller.running.stop().await?;
    let there = bed.observer.counts().ended;
    Ok(mib(&format!("memory with {there} alerts and their Workflows"), memory.resident)
        .target(Target::AtMost(60.0))
        .note(format!("of the process that has done the rows above; at most {:.1} MiB so far", in_mib(memory.peak))))
}

/// How soon a controller acts that starts with all of that there, and what it holds at most while it lists.
pub(super) async fn restarts(bed: &Bed<'_>) -> anyhow::Result<Vec<Figure>> {
    let (mut first, mut ready, mut peak, mut resident) = (Vec::new(), Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        let name = plant(bed, round).await?;
        let mut controller = bed.aegis.launch(PORT, &SHORT_LEASE).await?;
        bed.observer.until("its Workflow is made", |_| bed.observer.workflow_of(&name).is_some()).await?;
        let made = bed.observer.workflow_of(&name).context("it was seen")?.made;
        first.push((made - controller.since).as_secs_f64());
        controller.until_ready().await?;
        ready.push(controller.since.elapsed().as_secs_f64());
        bed.observer.until("the alert has ended", |_| bed.observer.alert_ended(&name).is_some()).await?;
        tokio::time::sleep(SETTLED).await;
        let memory = Memory::of(controller.running.pid()?);
        (peak, resident) = (peak.max(memory.peak), resident.max(memory.resident));
        controller.running.stop().await?;
    }
    let worst = first.iter().copied().fold(0.0, f64::max);
    Ok(vec![
        Figure::new(format!("restart with {ALERTS} alerts, until the first action"), worst, "s")
            .target(Target::AtMost(2.0))
            .note(format!("the slowest; {}", rounds(&first, 2))),
        mib("memory, peak at a relist", peak).target(Target::AtMost(90.0)).note(format!(
            "of a process that lists all twice, at its start and when it leads; {:.1} MiB once it has settled",
            in_mib(resident)
        )),
    ])
}

/// How soon a replica acts in the place of one that was asked to end, and of one that was killed.
pub(super) async fn failovers(bed: &Bed<'_>) -> anyhow::Result<Vec<Figure>> {
    let (mut leader, mut terminated) = (bed.aegis.start(PORT, &[]).await?, Vec::new());
    until_leading(bed, &leader).await?;
    let mut port = PORT;
    for round in 0..ROUNDS {
        port = PORT + 1 - (port - PORT);
        let standby = bed.aegis.start(port, &[]).await?;
        terminated.push(failover(bed, &mut leader, &standby, &format!("term-{round}"), End::Asked).await?);
        leader = standby;
    }
    let mut killed = Vec::new();
    for round in 0..KILLS {
        port = PORT + 1 - (port - PORT);
        let standby = bed.aegis.start(port, &[]).await?;
        killed.push(failover(bed, &mut leader, &standby, &format!("kill-{round}"), End::Killed).await?);
        leader = standby;
    }
    leader.running.stop().await?;
    let worst = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    Ok(vec![
        Figure::new("failover on SIGTERM", worst(&terminated), "s").target(Target::AtMost(1.0)).note(format!(
            "the longest that any alert waited for its Workflow, with {ALERTS} there; {}",
            rounds(&terminated, 2)
        )),
        Figure::new("failover on kill -9", worst(&killed), "s")
            .target(Target::AtMost(LEASE.as_secs_f64() + 2.0))
            .note(format!("the lease is {} s; {}", LEASE.as_secs(), rounds(&killed, 1))),
    ])
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

async fn until_leading(bed: &Bed<'_>, controller: &Controller) -> anyhow::Result<()> {
    crate::wait::until("it leads", || async { Ok(leads(bed, controller).await?.then_some(())) }).await
}

/// Whether that controller holds the Lease.
async fn leads(bed: &Bed<'_>, controller: &Controller) -> anyhow::Result<bool> {
    let leases: Api<Lease> = Api::namespaced(bed.cluster.client.clone(), bed.aegis.namespace());
    let lease = leases.get("aegis-controller").await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    Ok(holder.rsplit_once('_').is_some_and(|(name, _)| name == controller.name()))
}

/// Stores an alert as a webhook does that has nobody beside it to act on it, and returns its name.
async fn plant(bed: &Bed<'_>, round: usize) -> anyhow::Result<String> {
    let pattern = bed.aegis.alerts().list(&ListParams::default().limit(1)).await?.items.into_iter().next();
    let pattern = pattern.context("there is no alert to copy")?;
    let (name, fingerprint) = (format!("planted-{round}"), format!("planted{round}"));
    let mut labels = pattern.metadata.labels.unwrap_or_default();
    labels.insert(FINGERPRINT_LABEL.to_owned(), fingerprint.clone());
    let mut spec = pattern.spec;
    spec.fingerprint = Some(fingerprint);
    spec.starts_at = Some(jiff::Timestamp::now());
    let metadata = ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() };
    let alert = AegisAlert { metadata, spec, status: None };
    bed.aegis.alerts().create(&PostParams::default(), &alert).await?;
    Ok(name)
}

fn mib(name: &str, bytes: u64) -> Figure {
    Figure::new(name, in_mib(bytes), "MiB")
}

fn in_mib(bytes: u64) -> f64 {
    number(usize::try_from(bytes).unwrap_or(usize::MAX)) / f64::from(1 << 20)
}
