//! The webhook under load: how soon it answers, and whether anything is lost beyond what the cluster can take.

use std::collections::BTreeSet;

use kube::ResourceExt as _;
use kube::api::ListParams;

use super::bed::{Bed, RELEASED};
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::raw::Raw;
use super::sender::{Sender, answers};
use super::times::{Times, median, number, rounds};

const ROUNDS: usize = 3;
/// How long a round lasts, and how long the higher rate does.
const HALF_SECONDS: f64 = 8.0;
const TWICE_SECONDS: f64 = 15.0;

/// At half of that rate, and at twice as much; each alert comes in a body of its own.
pub(super) async fn measure(bed: &Bed<'_>, sender: &Sender, raw: &Raw, rate: f64) -> anyhow::Result<Vec<Figure>> {
    // What is left of the alerts before is out of the way.
    tokio::time::sleep(RELEASED).await;
    let mut half = Vec::new();
    for round in 0..ROUNDS {
        half.push(answers(&send(bed, sender, &format!("half-{round}"), 0.5 * rate, HALF_SECONDS).await?));
    }
    let p99s: Vec<f64> = half.iter().map(|round| round.percentile(99)).collect();
    let medians: Vec<f64> = half.iter().map(Times::median).collect();
    let yardstick = raw.paced();

    tokio::time::sleep(RELEASED).await;
    let taken = send(bed, sender, "twice", 2.0 * rate, TWICE_SECONDS).await?;
    let refused: usize = taken.iter().map(|taken| taken.refused).sum();
    let stored: BTreeSet<String> =
        bed.aegis.alerts().list_metadata(&ListParams::default()).await?.iter().map(|alert| alert.name_any()).collect();
    let lost = taken.iter().flat_map(|taken| &taken.names).filter(|name| !stored.contains(*name)).count();
    let twice = answers(&taken);
    Ok(vec![
        Figure::new("webhook's answer at half the sustained rate, p99", median(&p99s), "ms")
            .target(Target::AtMost(3.0 * yardstick))
            .note(format!(
                "{:.2} x raw's p99 at half its rate; half of them within {:.1} ms; {}",
                median(&p99s) / yardstick,
                median(&medians),
                rounds(&p99s, 1)
            )),
        Figure::new("alerts lost at twice the sustained rate", number(lost), "").target(Target::AtMost(0.0)).note(
            format!(
                "of {}; {refused} answers of 503, each sent again; answers' p99 {:.0} ms",
                twice.len(),
                twice.percentile(99)
            ),
        ),
    ])
}

/// Sends at that rate for so many seconds, and waits until all that were taken have ended.
async fn send(
    bed: &Bed<'_>,
    sender: &Sender,
    name: &str,
    rate: f64,
    seconds: f64,
) -> anyhow::Result<Vec<super::sender::Taken>> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    let count = (rate * seconds).max(1.0) as usize;
    let before = bed.observer.counts().ended;
    let taken = sender.deliver_at(bodies(name, count, 1), rate).await?;
    bed.observer.until("all that were sent have ended", |counts| counts.ended >= before + count).await?;
    Ok(taken)
}
