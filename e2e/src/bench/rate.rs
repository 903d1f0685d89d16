//! How many alerts a second go the whole way, against what the API server can take.
//!
//! raw / W would be the rate of alerts if nothing but their writes took time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::bed::{Bed, RELEASED};
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::observer::Counts;
use super::proc::processor_time;
use super::raw::Raw;
use super::sender::Sender;
use super::times::{number, rounds};
use crate::aegis::Controller;
use crate::audit::Mark;

/// How many alerts come in one body.
const GROUP: usize = 10;
/// How many alerts are under way at most.
const UNDER_WAY: usize = 300;
/// Until finalizers are released as fast as alerts come in.
const WARM_UP: Duration = RELEASED;
const MEASURED: Duration = Duration::from_secs(30);
const ROUNDS: u32 = 3;

/// The round whose rate is the median, and the rates of all.
pub(super) struct Sustained {
    /// Alerts per second.
    pub(super) rate: f64,
    rounds: Vec<f64>,
    /// Writes per alert, by all clients.
    pub(super) writes: f64,
    creates: f64,
    events: f64,
    simulator: f64,
    /// What the controller used of processors for one alert, in microseconds.
    processor: f64,
}

/// Sends as fast as alerts end.
pub(super) async fn sustained(bed: &Bed<'_>, controller: &Controller) -> anyhow::Result<Sustained> {
    let (sender, pid) = (Sender::to(controller), controller.running.pid()?);
    let before = bed.observer.counts().ended;
    let (begun, mut sent, mut moments) = (Instant::now(), 0, Vec::new());
    let mut posts = JoinSet::new();
    for round in 0..=ROUNDS {
        while begun.elapsed() < WARM_UP + MEASURED * round {
            let room = move |ended: usize| ended - before + UNDER_WAY >= sent + GROUP;
            bed.observer.until("alerts end", |counts| room(counts.ended)).await?;
            let (sender, body) = (sender.clone(), bodies(&format!("sustained-{sent}"), GROUP, GROUP));
            posts.spawn(async move { sender.deliver_all(body, 1).await.map(drop) });
            sent += GROUP;
        }
        moments.push(Moment::now(bed, pid)?);
    }
    posts.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    bed.observer.until("all alerts have ended", |counts| counts.ended >= before + sent).await?;

    let mut measured = Vec::new();
    for (from, to) in moments.iter().zip(moments.iter().skip(1)) {
        measured.push(between(bed, from, to)?);
    }
    measured.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let rounds = measured.iter().map(|round| round.rate).collect();
    let middle = measured.into_iter().nth(ROUNDS as usize / 2).context("nothing was measured")?;
    Ok(Sustained { rounds, ..middle })
}

/// What was known at the beginning or at the end of a round.
struct Moment {
    mark: Mark,
    at: Instant,
    counts: Counts,
    used: Duration,
}

impl Moment {
    fn now(bed: &Bed<'_>, pid: u32) -> anyhow::Result<Self> {
        Ok(Self { mark: bed.mark()?, at: Instant::now(), counts: bed.observer.counts(), used: processor_time(pid) })
    }
}

fn between(bed: &Bed<'_>, from: &Moment, to: &Moment) -> anyhow::Result<Sustained> {
    let done = number(to.counts.ended - from.counts.ended);
    let writes = bed.writes(from.mark, to.mark)?;
    let (user, mut creates, mut events, mut others) = (bed.user(), 0, 0, 0);
    for write in &writes {
        creates += usize::from(write.verb == "create");
        if write.user() != user {
            others += 1;
        } else if write.target().0 == "events" {
            events += 1;
        }
    }
    Ok(Sustained {
        rate: done / (to.at - from.at).as_secs_f64(),
        rounds: Vec::new(),
        writes: number(writes.len()) / done,
        creates: number(creates) / done,
        events: number(events) / done,
        simulator: number(others) / done,
        processor: (to.used - from.used).as_secs_f64() * 1e6 / done,
    })
}

impl Sustained {
    pub(super) fn figures(&self, raw: &Raw) -> Vec<Figure> {
        let Self { rate, rounds: all, writes, creates, events, simulator, processor } = self;
        let by_itself = creates / raw.rate() + (writes - creates) / raw.patches();
        vec![
            Figure::new("W: writes for one alert, by all clients", *writes, "").note(format!(
                "counted at the server while the rate is sustained: {creates:.2} creates, {events:.2} Events and \
                 {simulator:.2} by the simulator among them"
            )),
            Figure::new("sustained rate, received to finished", *rate, "alerts/s")
                .target(Target::AtLeast(0.6 * raw.rate() / writes))
                .note(format!(
                    "{:.0} % of raw / W, {:.0} % of the rate that as many raw creates and raw patches would allow; for {} s \
                     with at most {UNDER_WAY} alerts under way; {}",
                    100.0 * rate * writes / raw.rate(),
                    100.0 * rate * by_itself,
                    MEASURED.as_secs(),
                    rounds(all, 1)
                )),
            Figure::new("processor time for each of these alerts", *processor, "us").note("of the controller alone"),
        ]
    }
}
