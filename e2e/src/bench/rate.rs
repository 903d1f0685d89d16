//! How many alerts a second go the whole way, and how soon a burst has its Workflows: against what the API server can take.
//!
//! raw / W would be the rate of alerts if nothing but their writes took time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::bed::{Bed, RELEASED};
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::proc::processor_time;
use super::raw::Raw;
use super::sender::Sender;
use super::times::{median, number, rounds};
use crate::aegis::Controller;

/// How many alerts come in one body.
const GROUP: usize = 10;
/// How many alerts are under way at most.
const UNDER_WAY: usize = 300;
/// Until finalizers are released as fast as alerts come in.
const WARM_UP: Duration = RELEASED;
const MEASURED: Duration = Duration::from_secs(30);

const BURSTS: usize = 3;
const BURST: usize = 1_000;
const BURST_GROUP: usize = 20;
const SENDERS: usize = 8;

pub(super) struct Sustained {
    /// Alerts per second.
    pub(super) rate: f64,
    /// Writes per alert, by all clients.
    writes: f64,
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
    let (begun, mut sent, mut from) = (Instant::now(), 0, None);
    let mut posts = JoinSet::new();
    while begun.elapsed() < WARM_UP + MEASURED {
        let room = move |ended: usize| ended - before + UNDER_WAY >= sent + GROUP;
        bed.observer.until("alerts end", |counts| room(counts.ended)).await?;
        if from.is_none() && begun.elapsed() >= WARM_UP {
            from = Some((bed.mark()?, Instant::now(), bed.observer.counts().ended, processor_time(pid)));
        }
        let (sender, body) = (sender.clone(), bodies(&format!("sustained-{sent}"), GROUP, GROUP));
        posts.spawn(async move { sender.deliver_all(body, 1).await.map(drop) });
        sent += GROUP;
    }
    let (to, end, ended) = (bed.mark()?, Instant::now(), bed.observer.counts().ended);
    let used = processor_time(pid);
    let (from, start, ended_before, used_before) = from.context("nothing was measured")?;
    posts.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    bed.observer.until("all alerts have ended", |counts| counts.ended >= before + sent).await?;

    let done = number(ended - ended_before);
    let writes = bed.writes(from, to)?;
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
        rate: done / (end - start).as_secs_f64(),
        writes: number(writes.len()) / done,
        creates: number(creates) / done,
        events: number(events) / done,
        simulator: number(others) / done,
        processor: (used - used_before).as_secs_f64() * 1e6 / done,
    })
}

impl Sustained {
    pub(super) fn figures(&self, raw: &Raw) -> Vec<Figure> {
        let Self { rate, writes, creates, events, simulator, processor } = self;
        let by_itself = creates / raw.rate + (writes - creates) / raw.patches;
        vec![
            Figure::new("W: writes for one alert, by all clients", *writes, "").note(format!(
                "counted at the server while the rate is sustained: {creates:.2} creates, {events:.2} Events and \
                 {simulator:.2} by the simulator among them"
            )),
            Figure::new("sustained rate, received to finished", *rate, "alerts/s")
                .target(Target::AtLeast(0.6 * raw.rate / writes))
                .note(format!(
                    "{:.0} % of raw / W, {:.0} % of the rate that as many raw creates and raw patches would allow; for {} s \
                     with at most {UNDER_WAY} alerts under way",
                    100.0 * rate * writes / raw.rate,
                    100.0 * rate * by_itself,
                    MEASURED.as_secs()
                )),
            Figure::new("processor time for each of these alerts", *processor, "us").note("of the controller alone"),
        ]
    }

    /// How fast a burst has all its Workflows.
    pub(super) async fn bursts(&self, bed: &Bed<'_>, sender: &Sender, raw: &Raw) -> anyhow::Result<Figure> {
        let (mut made, mut ended) = (Vec::new(), Vec::new());
        for round in 0..BURSTS {
            // What is left of the alerts before is out of the way.
            tokio::time::sleep(RELEASED).await;
            let (before, begun) = (bed.observer.counts(), Instant::now());
            let bodies = bodies(&format!("burst-{round}"), BURST, BURST_GROUP);
            let (sent, all) = tokio::join!(
                sender.deliver_all(bodies, SENDERS),
                bed.observer.until("all have a Workflow", |now| now.made >= before.made + BURST)
            );
            sent?;
            all?;
            made.push((bed.observer.last_made()? - begun).as_secs_f64());
            bed.observer.until("all have ended", |now| now.ended >= before.ended + BURST).await?;
            ended.push(begun.elapsed().as_secs_f64());
        }
        let ideal = number(BURST) * self.writes / raw.rate;
        let name = format!("burst of {BURST} alerts, until the last Workflow");
        Ok(Figure::new(name, median(&made), "s").target(Target::AtMost(1.5 * ideal)).note(format!(
            "{:.2} x {BURST} W / raw; {}; until the last success {:.1} s",
            median(&made) / ideal,
            rounds(&made, 1),
            median(&ended)
        )))
    }
}
