//! `kubectl aegis rule`: which alerts lead to what.

mod against;
mod test;

use clap::Subcommand;

use crate::cluster::ClusterArgs;
use crate::commands::get::List;
use crate::commands::list;

/// Rules: list, test
#[derive(Subcommand)]
pub(crate) enum Rule {
    /// List rules; `kubectl aegis get rules` does the same
    #[command(after_help = "Examples:
  kubectl aegis rule get
  kubectl aegis rule get nodehasemergencyevent -o yaml")]
    Get {
        /// Which by name; all without
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        list: List,
    },
    Test(test::Test),
}

impl Rule {
    /// Whether -A means something to it.
    pub(crate) fn lists(&self) -> bool {
        match self {
            Self::Get { .. } => true,
            Self::Test(_) => false,
        }
    }

    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        match self {
            Self::Get { names, list } => list::of(cluster, "rules", &names, &list).await,
            Self::Test(test) => test.run(cluster).await,
        }
    }
}
