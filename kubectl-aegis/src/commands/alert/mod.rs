//! `kubectl aegis alert`: report alerts, list them, and see what was rejected.

pub(crate) mod body;
pub(crate) mod delivery;
mod rejected;
mod report;

use clap::Subcommand;

use super::get::List;
use super::list;
use crate::cluster::ClusterArgs;

/// Alerts: report them as a monitoring system would, list them, see what was rejected
#[derive(Subcommand)]
pub(crate) enum Alert {
    /// Report that a problem is there
    ///
    /// The alert goes through the webhook, so everything happens to it that happens to a real one: send one of a type
    /// that no rule matches, or mark it with --test, if nothing is to be done.
    #[command(after_help = "Examples:
  # Node dev1 has an emergency, through the API server's proxy to the service aegis in monitoring
  kubectl aegis alert send NodeHasEmergencyEvent --node dev1

  # The same, but only say what would be done
  kubectl aegis alert send NodeHasEmergencyEvent --node dev1 --test

  # A recorded body, straight to a webhook
  kubectl aegis alert send -f examples/quickstart/alert.json --url \"$AEGIS_URL\"")]
    Send(report::Report),
    /// Report that a problem has gone
    ///
    /// Give the same words as for `send`: the fingerprint derived from them is the same.
    #[command(after_help = "Example:
  kubectl aegis alert resolve NodeHasEmergencyEvent --node dev1")]
    Resolve(report::Report),
    /// List alerts; `kubectl aegis get alerts` does the same
    #[command(after_help = "Examples:
  kubectl aegis alert list
  kubectl aegis alert list --since 1h --filter 'status=Firing !action=Succeeded' -o wide")]
    List {
        /// Which by name; all without
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        list: List,
    },
    Rejected(rejected::Rejected),
}

impl Alert {
    /// Whether -A means something to it.
    pub(crate) fn lists(&self) -> bool {
        matches!(self, Self::List { .. })
    }

    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        match self {
            Self::Send(report) => report.run(cluster, body::Phase::Firing).await,
            Self::Resolve(report) => report.run(cluster, body::Phase::Resolved).await,
            Self::List { names, list } => list::of(cluster, "alerts", &names, &list).await,
            Self::Rejected(rejected) => rejected.run(cluster).await,
        }
    }
}
