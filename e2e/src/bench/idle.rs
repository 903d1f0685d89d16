//! One alert at a time on a system that does nothing else: how long until its Workflow is there, and what it costs.

use std::time::{Duration, Instant};

use super::bed::Bed;
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::raw::Raw;
use super::sender::{Sender, answers};
use super::times::{Times, number};
use crate::audit;

/// The 99th percentile of fewer is decided by two or three of them.
const ALERTS: usize = 600;
/// What follows an alert's end (Events, counts) has this long before anything else is timed.
const PAUSE: Duration = Duration::from_millis(50);

/// With the usual lease: finalizers are released long after the last alert, and disturb none. Two raw creates come after
/// each alert: what else happens in the API server meanwhile, it happens to both.
pub(super) async fn measure(bed: &Bed<'_>, raw: &Raw) -> anyhow::Result<Vec<Figure>> {
    let mut controller = bed.warm("idle", &[]).await?;
    // Those that warmed it are not counted.
    bed.until_released().await?;
    let sender = Sender::to(&controller);
    let before = bed.mark()?;
    let (mut taken, mut seen, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for body in bodies("idle", ALERTS, 1) {
        let counts = bed.observer.counts();
        let begun = Instant::now();
        let (answer, made) = tokio::join!(
            sender.deliver(body),
            bed.observer.until("its Workflow is made", |now| now.made > counts.made)
        );
        made?;
        taken.push(answer?);
        seen.push(bed.observer.last_made()? - begun);
        bed.observer.until("the alert has ended", |now| now.ended > counts.ended).await?;
        tokio::time::sleep(PAUSE).await;
        pairs.push(raw.pair().await?);
        tokio::time::sleep(PAUSE).await;
    }
    bed.until_released().await?;
    let mut figures = latency(&Times::of(seen), &answers(&taken), &Times::of(pairs));
    figures.extend(cost(bed, before)?);
    controller.running.stop().await?;
    Ok(figures)
}

fn latency(seen: &Times, answered: &Times, pair: &Times) -> Vec<Figure> {
    let times = |percent: usize| seen.percentile(percent) / pair.median();
    let of_their_p99 = seen.percentile(99) / pair.percentile(99);
    vec![
        Figure::new("two raw creates, one after the other", pair.median(), "ms")
            .note(format!("99 % within {:.1} ms; after each of those alerts", pair.percentile(99))),
        Figure::new("one alert, until its Workflow is seen, p50", times(50), "x two raw creates")
            .target(Target::AtMost(3.0))
            .note(format!("{:.1} ms; the webhook answers within {:.1} ms", seen.median(), answered.median())),
        Figure::new("the same, p99", times(99), "x two raw creates").target(Target::AtMost(5.0)).note(format!(
            "{:.1} ms, of {} alerts, {of_their_p99:.1} x the p99 of two raw creates; the webhook answers within {:.1} ms",
            seen.percentile(99),
            seen.len(),
            answered.percentile(99)
        )),
    ]
}

/// What Aegis's own user asked of the API server.
fn cost(bed: &Bed<'_>, before: audit::Mark) -> anyhow::Result<Vec<Figure>> {
    let user = bed.user();
    let mut requests = audit::since(bed.cluster, before)?;
    requests.retain(|request| request.user() == user && request.target().0 != "leases");
    let each = |count: usize| number(count) / number(ALERTS);
    let writes = |resource: &str| {
        let of = |request: &&audit::Request| request.is_write() && request.target().0 == resource;
        each(requests.iter().filter(of).count())
    };
    let (alerts, workflows, events) = (writes("aegisalerts"), writes("workflows"), writes("events"));
    let guard = writes("aegisguards");
    let reads = requests.iter().filter(|request| matches!(request.verb.as_str(), "get" | "list")).count();
    let sums = writes("aegisalertopsrules") + writes("aegisopstemplates");
    Ok(vec![
        Figure::new("object writes for one alert", alerts + workflows + guard, "").target(Target::AtMost(8.0)).note(
            format!(
                "{alerts:.2} of the alert, {workflows:.2} of the Workflow, {guard:.2} of the guard's book; beside them \
                 {events:.2} Events, and {sums:.2} of the sums in rule and template, which are written every few seconds"
            ),
        ),
        Figure::new("reads for one alert", each(reads), "").target(Target::AtMost(3.0)).note("gets and lists"),
    ])
}
