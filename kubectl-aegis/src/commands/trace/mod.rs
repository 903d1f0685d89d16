//! `kubectl aegis trace`: everything about one alert on one page.

mod gather;
mod page;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::cluster::ClusterArgs;
use crate::output;

/// Show everything about one alert on one page: what was reported, judged, done and changed, and when
///
/// The page has the alert, the rule that it follows and why the others do not match, what the gates said, each Workflow
/// or Job with its steps and the ends of their logs, what changed on the node, and all of it in the order of time. What
/// you may not see is left out, and a line says which right is missing.
///
/// Rules, templates and the guard are read as they are now; what was decided then stands in the alert's status.
#[derive(Args)]
#[command(after_help = "Examples:
  # The alert that was reported last
  kubectl aegis trace \"$(kubectl aegis get alerts -o name | head -n 1)\"

  # By name, with whole logs
  kubectl aegis trace alert/default-nodehasemergencyevent-4vwzmc2dq5ylk --logs -1

  # For a program
  kubectl aegis trace default-nodehasemergencyevent-4vwzmc2dq5ylk -o json

Exit codes: 0 if it could be shown, 5 if there is no such alert, 7 if Aegis is not installed.")]
pub(crate) struct Trace {
    /// The alert, by its name
    #[arg(value_name = "ALERT")]
    alert: String,
    /// How many lines of each step's log are shown; 0 for none, -1 for all
    #[arg(long, value_name = "LINES", default_value_t = 20, allow_negative_numbers = true)]
    logs: i64,
    /// How to print it
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Yaml,
}

/// What it prints with `-o json`.
#[cfg(test)]
pub(crate) fn schema() -> serde_json::Value {
    crate::schemas::of::<gather::Story>()
}

impl Trace {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let client = cluster.client().await?;
        let now = Timestamp::now();
        let name = self.alert.rsplit('/').next().unwrap_or_default();
        let lines = match u64::try_from(self.logs) {
            Ok(0) => gather::Logs::None,
            Ok(lines) => gather::Logs::Last(lines),
            Err(_) => gather::Logs::All,
        };
        let story = Box::pin(gather::story(&client, &cluster.namespace, name, lines, now)).await?;
        match self.output {
            Format::Text => output::text(&page::text(&story, now, output::coloured())),
            Format::Json => output::line(&serde_json::to_string_pretty(&story)?),
            Format::Yaml => output::line(serde_saphyr::to_string(&story)?.trim_end()),
        }
        Ok(())
    }
}
