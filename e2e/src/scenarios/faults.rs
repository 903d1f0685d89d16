//! Faults on the way between two replicas and the API server, one kind after the other, while incidents come in.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;

use super::Scenario;
use crate::aegis::{Aegis, Controller};
use crate::cluster::Cluster;
use crate::proxy::{Fault, Hits, Proxy};
use crate::sender::{Incident, Sender};
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "faults",
    about: "every kind of fault on the way to the API server: one Workflow for each incident, nothing lost, answers in 5 s",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "faults";
/// So many begin with each kind of fault.
const INCIDENTS: usize = 4;
/// Short, so that the lead changes often under faults of the Lease.
const LEASE: [&str; 6] = ["--lease.duration", "5s", "--lease.renew-deadline", "4s", "--lease.retry-period", "1s"];

/// What a fault meets, and what it must have met before it ends.
struct Round {
    name: &'static str,
    fault: Fault,
    /// The requests; none means all that it can meet.
    on: &'static [&'static str],
    must: &'static [&'static str],
}

const WRITES: &[&str] = &["create aegisalerts", "create workflows", "patch aegisalerts/status"];
const WATCHES: &[&str] = &["watch aegisalerts", "watch workflows"];
/// Requests that hang cost a replica its lead, so these rounds leave the Lease and lists to a round of their own.
const HANGING: &[&str] =
    &["create aegisalerts", "create workflows", "patch aegisalerts/status", "get aegisalerts", "get workflows"];
const LATE: Duration = Duration::from_secs(10);

const fn round(name: &'static str, fault: Fault, on: &'static [&'static str], must: &'static [&'static str]) -> Round {
    Round { name, fault, on, must }
}

const ROUNDS: [Round; 12] = [
    round("429 with Retry-After", Fault::Refuse(429, Some(1)), &[], WRITES),
    round("500", Fault::Refuse(500, None), &[], WRITES),
    round("503", Fault::Refuse(503, None), &[], WRITES),
    round("500 after the commit", Fault::FailAfter(500), &[], WRITES),
    round("504 after the commit", Fault::FailAfter(504), &[], WRITES),
    round("a connection that is reset", Fault::Reset, &[], WRITES),
    round("an answer that is lost", Fault::LoseAnswer, &[], WRITES),
    round("10 s on the way", Fault::Delay(LATE), HANGING, WRITES),
    round("a half-open connection", Fault::Swallow, HANGING, WRITES),
    round("a half-open connection for the Lease", Fault::Swallow, &["update leases"], &["update leases"]),
    round("a watch that is frozen", Fault::Freeze, &[], WATCHES),
    round("a watch that has expired", Fault::Expire, &[], WATCHES),
];

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, super::WAIT).await?;
    let proxies = [Proxy::start(cluster).await?, Proxy::start(cluster).await?];
    let [first, second] = &proxies;
    let one = aegis.start_through(&first.server(), 8080, &LEASE).await?;
    let mut other = aegis.start_through(&second.server(), 8081, &LEASE).await?;
    let sender = Sender::default();
    let mut all: Vec<Incident> = Vec::new();
    for (number, round) in ROUNDS.iter().enumerate() {
        let begin = all.len().saturating_sub(INCIDENTS);
        let new: Vec<Incident> =
            (0..INCIDENTS).map(|nth| Incident::new("NodeFails", format!("f{number}-{nth}"))).collect();
        let ending = all.get(begin..).unwrap_or_default();
        meet(&aegis, round, &proxies, &sender, [&one, &other], ending, &new)
            .await
            .with_context(|| format!("under {}", round.name))?;
        all.extend(new);
    }
    let sent = sender.experience();
    for incident in &all {
        let alert = aegis.until_repaired(&incident.fingerprint).await?;
        let count = alert.status.and_then(|status| status.count).unwrap_or_default();
        let sent = sender.fired(incident);
        ensure!((1..=sent).contains(&count), "{} was sent {sent} times and counts {count}", incident.fingerprint);
    }
    aegis.one_workflow_each(all.len()).await?;
    println!("  {} incidents: {sent}", all.len());
    other.running.stop().await?;
    aegis.uninstall(one).await
}

/// One kind of fault: new incidents fire and those before are resolved while it lasts, and all comes to rest after it.
async fn meet(
    aegis: &Aegis<'_>,
    round: &Round,
    proxies: &[Proxy; 2],
    sender: &Sender,
    [one, other]: [&Controller; 2],
    ending: &[Incident],
    new: &[Incident],
) -> anyhow::Result<()> {
    for proxy in proxies {
        proxy.arm(round.fault, round.on);
    }
    // Half of them are sent to the other replica first.
    let replicas = |nth: usize| if nth.is_multiple_of(2) { [one, other] } else { [other, one] };
    try_join_all(new.iter().enumerate().map(async |(nth, incident)| {
        sender.fire(&replicas(nth), incident).await?;
        aegis.stored(&incident.fingerprint).await.context("it was acknowledged").map(drop)
    }))
    .await?;
    try_join_all(ending.iter().enumerate().map(async |(nth, incident)| {
        sender.resolve(&replicas(nth), incident).await?;
        let status = serde_json::to_value(aegis.stored(&incident.fingerprint).await?.status)?;
        let word = status.get("status").and_then(|word| word.as_str());
        ensure!(word == Some("Resolved"), "the end of {} was acknowledged: {status}", incident.fingerprint);
        Ok(())
    }))
    .await?;
    let met = until("the fault has met what it should", || async {
        let met = hits(proxies);
        let missing: Vec<&&str> = round.must.iter().filter(|name| !met.contains_key(**name)).collect();
        ensure!(missing.is_empty(), "it has not met {missing:?}, but {met:?}");
        Ok(Some(met))
    })
    .await?;
    for proxy in proxies {
        proxy.disarm();
    }
    let since = Timestamp::now();
    for incident in new {
        aegis.until_repaired(&incident.fingerprint).await?;
    }
    // A renewal that was swallowed may cost the lead only after all is repaired.
    until("the Lease is renewed again", || async {
        let renewed = aegis.lease().await?.renew_time;
        Ok(renewed.filter(|renewed| renewed.0 > since))
    })
    .await?;
    let count: u64 = met.values().sum();
    let rest = Timestamp::now().duration_since(since).as_secs_f64();
    println!("  {}: {count} requests met, all at rest {rest:.1} s later", round.name);
    Ok(())
}

fn hits(proxies: &[Proxy; 2]) -> Hits {
    let mut all = Hits::new();
    for (request, count) in proxies.iter().flat_map(Proxy::hits) {
        *all.entry(request).or_default() += count;
    }
    all
}
