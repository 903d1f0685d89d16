//! What the loop costs on the real control plane: real API server, etcd and watches, for one row the real Argo and
//! kubelet too.
//!
//! In the flow: [`raw`] measures the API server alone, which is the yardstick; then [`idle`], [`burst`], [`rate`],
//! [`answer`], [`repeats`], [`many`] and [`failover`] measure a controller, as a process under its own ServiceAccount and roles, on a [`bed`];
//! [`argo`] the whole way; [`lists`] times the plugin beside kubectl. What can be counted is counted in the API server's audit log. See docs/performance.md.

mod answer;
mod argo;
mod bed;
#[path = "../../../controller/benches/loop/bodies.rs"]
mod bodies;
mod burst;
mod disk;
mod failover;
#[path = "../../../engine/benches/figures/mod.rs"]
mod figures;
mod idle;
mod lists;
mod many;
mod observer;
#[path = "../../../controller/benches/loop/proc.rs"]
mod proc;
mod rate;
mod raw;
mod repeats;
mod sender;
mod times;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use futures::FutureExt as _;

use self::bed::{Bed, SHORT_LEASE};
use self::figures::{Arguments, Figure};
use self::sender::Sender;
use crate::aegis;
use crate::cluster::Cluster;

/// The parts that can be run alone. The yardstick is always measured where it is needed.
pub const PARTS: [&str; 6] = ["idle", "failover", "load", "many", "argo", "lists"];

/// Those that need no yardstick.
const ALONE: [&str; 2] = ["argo", "lists"];

/// What to measure, and where to tell it.
pub struct Plan {
    /// Some of [`PARTS`]; all if there is none.
    pub only: Vec<String>,
    /// Where the figures are written as JSON.
    pub json: Option<PathBuf>,
    /// Leave the cluster running.
    pub keep: bool,
}

/// Measures on the cluster of that folder. One that runs already is used and left running.
pub async fn run(folder: &Path, plan: &Plan) -> anyhow::Result<()> {
    for part in &plan.only {
        if !PARTS.contains(&part.as_str()) {
            bail!("no part is called {part:?}; there are {}", PARTS.join(", "));
        }
    }
    eprintln!("the controller is {}", aegis::program()?.display());
    let (cluster, ours) = match Cluster::open(folder).await? {
        Some(cluster) => (cluster, false),
        None => {
            eprintln!("starting the cluster");
            (Cluster::start(folder).await?, true)
        }
    };
    let mut figures = Vec::new();
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(Box::pin(measure(&cluster, plan, &mut figures))).catch_unwind() => {
            outcome.unwrap_or_else(|_| Err(anyhow!("the benchmark panicked")))
        }
        () = crate::interrupted() => Err(anyhow!("interrupted")),
    };
    if outcome.is_err() {
        eprintln!("the logs of every part are in {}", cluster.keep_logs()?.display());
    }
    let published =
        figures::publish("cluster", &figures, &Arguments { json: plan.json.clone(), ..Arguments::default() });
    if ours && !plan.keep {
        cluster.stop().await?;
    }
    published?;
    outcome
}

async fn measure(cluster: &Cluster, plan: &Plan, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    let wants = |part: &str| plan.only.is_empty() || plan.only.iter().any(|one| one == part);
    figures.push(disk::measure(cluster.machine.folder())?);
    if PARTS.iter().any(|part| !ALONE.contains(part) && wants(part)) {
        eprintln!("measuring the API server alone");
        raw::prepare(cluster).await?;
        let bed = Bed::make(cluster).await?;
        let simulator = bed.simulate();
        if wants("many") {
            figures.push(many::idle(&bed).await?);
        }
        bed.warm("raw", &[]).await?.running.stop().await?;
        let mut raw = raw::measure(&bed).await?;
        if wants("idle") {
            eprintln!("measuring one alert at a time");
            figures.extend(idle::measure(&bed, &raw).await?);
        }
        if wants("failover") {
            eprintln!("measuring failovers");
            figures.extend(failover::with_few(&bed).await?);
        }
        let bursts = if wants("load") {
            eprintln!("measuring bursts");
            Some(burst::measure(&bed).await?)
        } else {
            None
        };
        let controller = bed.warm("load", &SHORT_LEASE).await?;
        if let Some(bursts) = bursts {
            let sender = Sender::to(&controller);
            eprintln!("measuring the sustained rate");
            let sustained = rate::sustained(&bed, &controller).await?;
            bed.until_released().await?;
            raw.again().await?;
            figures.extend(sustained.figures(&raw));
            figures.push(bursts.figure(sustained.writes, &raw));
            eprintln!("measuring the webhook");
            figures.extend(answer::measure(&bed, &sender, &raw, sustained.rate).await?);
            figures.extend(repeats::measure(&bed, &sender).await?);
        }
        figures.extend(raw.figures());
        if wants("many") {
            eprintln!("measuring with {} alerts", many::ALERTS);
            figures.push(many::full(&bed, controller).await?);
            figures.extend(many::restarts(&bed).await?);
            figures.extend(failover::with_many(&bed).await?);
        }
        simulator.stop().await;
    }
    if wants("argo") {
        eprintln!("measuring with the real Argo and kubelet");
        figures.extend(argo::measure(cluster).await?);
    }
    if wants("lists") {
        eprintln!("measuring the plugin's list beside kubectl's");
        figures.extend(lists::measure(cluster).await?);
    }
    Ok(())
}
