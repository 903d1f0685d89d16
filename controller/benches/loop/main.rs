//! What the loop costs: requests of one alert, the rate of a burst, latency, and the process itself.
//!
//! Everything runs against the sandbox on this machine, so that figures tell of our own work and not of a network or of
//! etcd. What can be counted is counted at the server. See docs/performance.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a benchmark fails by panicking"
)]

mod bodies;
mod burst;
#[path = "../../tests/common/mod.rs"]
mod common;
mod cost;
#[path = "../../../engine/benches/figures/mod.rs"]
mod figures;
mod latency;
mod proc;
mod process;

use std::time::{Duration, Instant};

use aegis_sandbox::{Match, Sandbox};

use crate::common::Cluster;
use crate::common::objects::{seed_rule, seed_template};
use crate::figures::{Arguments, Figure};

fn main() -> std::io::Result<()> {
    let arguments = Arguments::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(async {
        let mut figures: Vec<Figure> = Vec::new();
        if arguments.wants("cost") {
            figures.extend(cost::measure().await);
        }
        if arguments.wants("burst") {
            figures.extend(burst::measure().await);
        }
        if arguments.wants("latency") {
            figures.extend(latency::measure().await);
        }
        if arguments.wants("process") {
            figures.extend(process::measure(arguments.binary.as_deref()).await);
        }
        figures
    });
    figures::publish("loop", &figures, &arguments)
}

/// How many actions may be under way at once: three times as many as where nobody says anything.
const PLACES: u32 = 100;

/// A cluster with the quick start's rule and template.
async fn seeded() -> Cluster {
    let cluster = Cluster::with_places(PLACES).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    cluster
}

/// Waits until requests of a kind have been coming and then stopped, and says when the last one was seen.
async fn quiet(sandbox: &Sandbox, of: &Match, long: Duration) -> Instant {
    let log = sandbox.requests();
    let (mut seen, mut since) = (log.succeeded(of), Instant::now());
    while seen == 0 || since.elapsed() < long {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = log.succeeded(of);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    since
}
