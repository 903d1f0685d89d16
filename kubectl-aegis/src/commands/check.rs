//! `kubectl aegis check`: is it well, and can it be installed.

use std::time::{Duration, Instant};

use aegis_engine::duration;
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use super::alert::delivery::Delivery;
use crate::check::finding::{Finding, Status, verdict};
use crate::check::fire::{self, Test};
use crate::check::report::Report;
use crate::check::{self, World};
use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};
use crate::output;

/// How often it is looked again with --wait.
const PERIOD: Duration = Duration::from_secs(2);

/// Check whether Aegis is well, or with --pre whether it can be installed
///
/// It looks at the API server and the definitions, at the rights of the controller and of procedures, at the controller and
/// who leads, at the webhook, at Argo, at Alertmanager's receiver, at the guard and its policies, and at what was rejected.
/// Whatever fails is told with its cause and the command that mends it. What you may not see is unknown, with the verb that
/// is missing, and what nobody can tell is unknown too.
///
/// --fire-test sends one alert through the real route and times each hop. It is marked as a test, so it can only ever be
/// rehearsed; that nothing was made of it is checked, and it is removed in the end.
#[derive(Args)]
#[command(after_help = "Examples:
  # What installing takes
  kubectl aegis check --pre

  kubectl aegis check
  kubectl aegis check -o json

  # Until all is well, such as after an installation
  kubectl aegis check --wait --timeout 2m

  # With a test alert of a type that your rules know, about a node
  kubectl aegis check --fire-test --fire-test-type NodeHasEmergencyEvent --fire-test-node dev1

Exit codes: 0 if all is well, or what is not is a warning; 1 if something failed, 3 if the API server cannot be reached, 4 if \
nothing failed and something may not be seen, 7 if Aegis is not installed or of another version, 124 if it was not well in time.")]
pub(crate) struct Check {
    /// Only what installing takes
    #[arg(long, conflicts_with_all = ["fire_test", "alertmanager_config"])]
    pre: bool,
    /// Look again until nothing fails
    #[arg(long)]
    wait: bool,
    /// For how long --wait looks, and --fire-test follows its alert
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    timeout: SignedDuration,
    /// Send a marked test alert through the real route
    #[arg(long)]
    fire_test: bool,
    /// The type of that alert
    #[arg(long, value_name = "TYPE", default_value = "AegisFireTest", requires = "fire_test")]
    fire_test_type: String,
    /// The node that it is about; by default it is about nothing that exists
    #[arg(long, value_name = "NAME", requires = "fire_test")]
    fire_test_node: Option<String>,
    /// Where Alertmanager's configuration is: secret/NAMESPACE/NAME/KEY or configmap/NAMESPACE/NAME/KEY
    #[arg(long, value_name = "PLACE")]
    alertmanager_config: Option<String>,
    /// How to print it
    #[arg(short, long, default_value = "table")]
    output: Format,
    #[command(flatten)]
    delivery: Delivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Junit,
}

impl Check {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let patience = Duration::try_from(self.timeout)
            .map_err(|_| Failure::new(Kind::Usage, "--timeout: expected a length of time that is not negative"))?;
        let (world, mut findings, late) = Box::pin(self.until_well(cluster, patience)).await?;
        let mut hops = Vec::new();
        if self.fire_test {
            let test = Test { type_: self.fire_test_type.clone(), node: self.fire_test_node.clone() };
            let fired = fire::run(&world, cluster, &self.delivery, &test, patience).await;
            findings.extend(fired.findings);
            hops = fired.hops;
        }
        let report = Report::new(&cluster.namespace, findings, hops);
        match self.output {
            Format::Json => output::line(&serde_json::to_string_pretty(&report)?),
            Format::Table => output::text(&report.table(output::coloured())),
            Format::Junit => output::text(&report.junit()),
        }
        match verdict(&report.checks) {
            None => Ok(()),
            Some(_) if late => {
                let what = format!("not well within {} s: {}", patience.as_secs(), report.summary);
                Err(Failure::new(Kind::Timeout, what).into())
            }
            Some(kind) => Err(Failure::new(kind, report.summary.to_string()).into()),
        }
    }

    /// What was found last, and whether it was waited for in vain.
    async fn until_well(
        &self,
        cluster: &ClusterArgs,
        patience: Duration,
    ) -> Result<(World, Vec<Finding>, bool), Failure> {
        let began = Instant::now();
        let mut last = String::new();
        loop {
            let looked = Box::pin(self.look(cluster)).await;
            let again = self.wait && began.elapsed() < patience;
            let waits = match looked {
                Ok((world, findings)) => {
                    let failed: Vec<String> = findings
                        .iter()
                        .filter(|finding| finding.status == Status::Failed)
                        .map(|finding| format!("{} / {}", finding.family, finding.name))
                        .collect();
                    if failed.is_empty() || !again {
                        return Ok((world, findings, self.wait && !failed.is_empty()));
                    }
                    failed.join(", ")
                }
                Err(failure) if again && failure.kind() == Kind::Cluster => failure.to_string(),
                Err(failure) => return Err(failure),
            };
            if waits != last {
                eprintln!("waiting: {waits}");
                last = waits;
            }
            tokio::time::sleep(PERIOD.min(patience.saturating_sub(began.elapsed()))).await;
        }
    }

    async fn look(&self, cluster: &ClusterArgs) -> Result<(World, Vec<Finding>), Failure> {
        let client = cluster.client_that_asks_once().await?;
        let world = World::look(client, cluster, &self.delivery, Timestamp::now()).await?;
        let findings = match self.pre {
            true => Box::pin(check::before(&world)).await?,
            false => Box::pin(check::health(&world, self.alertmanager_config.as_deref())).await?,
        };
        Ok((world, findings))
    }
}
