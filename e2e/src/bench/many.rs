//! With ten thousand alerts and their Workflows there: memory, and how soon a controller acts that was started.

use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::names::FINGERPRINT_LABEL;
use anyhow::Context as _;
use kube::api::{ListParams, ObjectMeta, PostParams};

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
/// An API server closes a connection that nobody has used for 90 s. A burst opens some two hundred of them, and each
/// keeps 30 KiB of buffers.
const CLOSED: Duration = Duration::from_secs(100);
const ROUNDS: usize = 3;

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
    let pid = controller.running.pid()?;
    let after = Memory::of(pid);
    tokio::time::sleep(CLOSED).await;
    let memory = Memory::of(pid);
    controller.running.stop().await?;
    let there = bed.observer.counts().ended;
    Ok(mib(&format!("memory with {there} alerts and their Workflows"), memory.resident)
        .target(Target::AtMost(60.0))
        .note(format!(
            "of the process that has done the rows above, once the connections of its last burst are closed; {:.1} MiB \
             right after that burst, at most {:.1} MiB so far",
            in_mib(after.resident),
            in_mib(memory.peak)
        )))
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
