//! `kubectl aegis alert`: report alerts.

pub(crate) mod body;
mod delivery;
mod report;

use clap::Subcommand;

use crate::cluster::ClusterArgs;

/// Report alerts, as a monitoring system would
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
  kubectl aegis alert send -f body.json --url http://127.0.0.1:8080")]
    Send(report::Report),
    /// Report that a problem has gone
    ///
    /// Give the same words as for `send`: the fingerprint derived from them is the same.
    #[command(after_help = "Example:
  kubectl aegis alert resolve NodeHasEmergencyEvent --node dev1")]
    Resolve(report::Report),
}

impl Alert {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        match self {
            Self::Send(report) => report.run(cluster, body::Phase::Firing).await,
            Self::Resolve(report) => report.run(cluster, body::Phase::Resolved).await,
        }
    }
}
