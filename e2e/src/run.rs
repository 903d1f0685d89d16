//! Runs scenarios one after the other, tells how each ended, and sees to it that nothing is left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::aegis;
use crate::cluster::Cluster;
use crate::parts;
use crate::report;
use crate::scenarios::{self, Scenario};

/// The longest that one scenario may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What to run, and how.
pub struct Plan {
    /// Names of scenarios; none means all, or those of the smoke test.
    pub names: Vec<String>,
    /// Only those that always run.
    pub smoke: bool,
    /// Leave the cluster running.
    pub keep: bool,
    /// Where a page with the results is written.
    pub report: Option<PathBuf>,
}

/// How a scenario ended.
pub(crate) struct Ended {
    pub(crate) scenario: &'static Scenario,
    pub(crate) failure: Option<String>,
    pub(crate) took: Duration,
}

/// Runs them on the cluster of that folder. One that runs already is used and left running.
pub async fn run(folder: &Path, plan: &Plan) -> anyhow::Result<()> {
    let chosen = choose(plan)?;
    for recipe in chosen.iter().flat_map(|scenario| scenario.parts) {
        parts::ensure(recipe).await?;
    }
    let (cluster, ours) = match Cluster::open(folder).await? {
        Some(cluster) => (cluster, false),
        None => {
            eprintln!("starting the cluster");
            (Cluster::start(folder).await?, true)
        }
    };
    let cluster = Arc::new(cluster);
    let (ended, interrupted) = run_each(&chosen, &cluster).await;
    let failed = ended.iter().filter(|ended| ended.failure.is_some()).count();
    if failed > 0 || interrupted {
        eprintln!("the logs of every part are in {}", cluster.keep_logs()?.display());
    }
    let written = plan.report.as_ref().map(|file| report::write(file, &ended, &cluster)).transpose();
    if ours && !plan.keep {
        // A scenario that was aborted may hold it for a moment more.
        let cluster = crate::wait::until("the scenarios let go of the cluster", || async {
            Ok((Arc::strong_count(&cluster) == 1).then_some(()))
        })
        .await
        .map(|()| cluster)?;
        Arc::into_inner(cluster).context("the cluster is still in use")?.stop().await?;
    }
    written?;
    if interrupted {
        bail!("interrupted");
    }
    if failed > 0 {
        bail!("{failed} of {} scenarios failed", ended.len());
    }
    println!("all {} scenarios passed", ended.len());
    Ok(())
}

async fn run_each(chosen: &[&'static Scenario], cluster: &Arc<Cluster>) -> (Vec<Ended>, bool) {
    let mut ended = Vec::new();
    for scenario in chosen {
        let since = Instant::now();
        // A task of its own, so that a panic ends no more than the scenario.
        let task = tokio::spawn((scenario.run)(cluster.clone()));
        let stop = task.abort_handle();
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(PATIENCE, task) => outcome,
            () = crate::interrupted() => {
                stop.abort();
                return (ended, true);
            }
        };
        stop.abort();
        let failure = match outcome {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(format!("{error:#}")),
            Ok(Err(panic)) => Some(panic.to_string()),
            Err(_) => Some(format!("it did not end within {} s", PATIENCE.as_secs())),
        };
        let took = since.elapsed();
        let word = if failure.is_some() { "FAILED" } else { "ok" };
        println!("{:<20} {word:<6} {:>6.1} s", scenario.name, took.as_secs_f64());
        if let Some(failure) = &failure {
            println!("  {}", failure.replace('\n', "\n  "));
            // Its controllers ended with it, and what they held would keep later scenarios from taking Argo away.
            if let Err(error) = aegis::release_all(cluster, None).await {
                println!("  what it left behind could not be released: {error:#}");
            }
        }
        ended.push(Ended { scenario, failure, took });
    }
    (ended, false)
}

fn choose(plan: &Plan) -> anyhow::Result<Vec<&'static Scenario>> {
    let known = &scenarios::ALL;
    for name in &plan.names {
        if !known.iter().any(|scenario| scenario.name == name) {
            let names: Vec<&str> = known.iter().map(|scenario| scenario.name).collect();
            bail!("no scenario is called {name:?}; there are {}", names.join(", "));
        }
    }
    let chosen = |scenario: &&Scenario| {
        (plan.names.is_empty() || plan.names.iter().any(|name| name == scenario.name))
            && (!plan.smoke || scenario.smoke)
    };
    Ok(known.iter().filter(chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(names: &[&str], smoke: bool) -> Plan {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Plan { names, smoke, keep: false, report: None }
    }

    #[test]
    fn one_scenario_can_be_run_alone() {
        let chosen: Vec<&str> = choose(&plan(&["kill-9"], false)).unwrap().iter().map(|chosen| chosen.name).collect();
        assert_eq!(chosen, ["kill-9"]);
    }

    #[test]
    fn the_smoke_test_is_a_part_of_all() {
        let (smoke, all) = (choose(&plan(&[], true)).unwrap(), choose(&plan(&[], false)).unwrap());
        assert!(!smoke.is_empty() && smoke.len() < all.len(), "{} of {}", smoke.len(), all.len());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = choose(&plan(&["seed"], false)).err().unwrap().to_string();
        assert!(error.contains("seed-loop"), "{error}");
    }
}
