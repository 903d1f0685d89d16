//! How soon a burst has all its Workflows, against what the API server can take.

use std::time::Instant;

use super::bed::Bed;
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::raw::Raw;
use super::sender::Sender;
use super::times::{median, number, rounds};

const BURSTS: usize = 3;
const BURST: usize = 1_000;
const GROUP: usize = 20;
const SENDERS: usize = 8;

/// The seconds that each burst took.
pub(super) struct Bursts {
    until_made: Vec<f64>,
    until_ended: Vec<f64>,
}

/// With the usual lease: as in an installation, finalizers are released after the burst, which is waited for.
pub(super) async fn measure(bed: &Bed<'_>) -> anyhow::Result<Bursts> {
    let mut controller = bed.warm("burst", &[]).await?;
    let sender = Sender::to(&controller);
    let (mut until_made, mut until_ended) = (Vec::new(), Vec::new());
    for round in 0..BURSTS {
        bed.until_released().await?;
        let (before, begun) = (bed.observer.counts(), Instant::now());
        let bodies = bodies(&format!("burst-{round}"), BURST, GROUP);
        let (sent, all) = tokio::join!(
            sender.deliver_all(bodies, SENDERS),
            bed.observer.until("all have a Workflow", |now| now.made >= before.made + BURST)
        );
        sent?;
        all?;
        until_made.push((bed.observer.last_made()? - begun).as_secs_f64());
        bed.observer.until("all have ended", |now| now.ended >= before.ended + BURST).await?;
        until_ended.push(begun.elapsed().as_secs_f64());
    }
    bed.until_released().await?;
    controller.running.stop().await?;
    Ok(Bursts { until_made, until_ended })
}

impl Bursts {
    /// Where one alert takes so many writes.
    pub(super) fn figure(&self, writes: f64, raw: &Raw) -> Figure {
        let ideal = number(BURST) * writes / raw.rate();
        let made = median(&self.until_made);
        Figure::new(format!("burst of {BURST} alerts, until the last Workflow"), made, "s")
            .target(Target::AtMost(1.5 * ideal))
            .note(format!(
                "{:.2} x {BURST} W / raw; {}; until the last success {:.1} s",
                made / ideal,
                rounds(&self.until_made, 1),
                median(&self.until_ended)
            ))
    }
}
