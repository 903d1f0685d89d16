//! `kubectl aegis rule`: which alerts lead to what.

mod against;
mod create;
mod outlook;
mod report;
mod test;

use clap::Subcommand;
use kubectl_aegis::view::kinds::{RULE, TEMPLATE};

use super::get::List;
use super::list;
use super::manifest::apply::Apply;
use super::manifest::delete::Delete;
use super::manifest::lint::Lint;
use crate::cluster::ClusterArgs;

#[cfg(test)]
pub(crate) use self::{report::schema as report_schema, test::schema as test_schema};

/// Rules: list, create, check, test, report, apply, delete
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
    Create(create::Create),
    /// Say what is wrong with rules, and what may not be meant
    ///
    /// Those of files, or without -f those that are stored. An error keeps a rule from being used; a warning tells of a
    /// type that is part of another rule's, or of a template that is not there.
    #[command(after_help = "Examples:
  kubectl aegis rule lint -f examples/quickstart/rule.yaml --strict
  kubectl aegis rule lint

Exit codes: 0 without errors, 1 with errors, or with --strict with warnings.")]
    Lint(Lint),
    Test(test::Test),
    Report(report::Report),
    /// Bring the rules and templates of the cluster to what files say, by server-side apply
    ///
    /// All of them are checked before the first is written, and templates come first. Then it says which of the stored
    /// alerts that are open would be acted on.
    #[command(after_help = "Examples:
  kubectl aegis rule apply -f examples/quickstart/rule.yaml --dry-run=server
  kubectl aegis rule apply -f examples/hpc

Exit codes: 0 if they stand so, 1 if one cannot be used, 4 if you may not, 6 if somebody else set the same fields.")]
    Apply(Apply),
    /// Delete rules
    #[command(after_help = "Examples:
  kubectl aegis rule delete nodehasemergencyevent --dry-run=server
  kubectl aegis rule delete -f examples/hpc --ignore-not-found

Exit codes: 0 if they are gone, 4 if you may not, 5 if one was not there.")]
    Delete(Delete),
}

impl Rule {
    /// Whether -A means something to it.
    pub(crate) fn lists(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Lint(_))
    }

    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        match self {
            Self::Get { names, list } => list::of(cluster, "rules", &names, &list).await,
            Self::Create(create) => create.run(cluster).await,
            Self::Lint(lint) => lint.run(cluster, &RULE).await,
            Self::Test(test) => Box::pin(test.run(cluster)).await,
            Self::Report(report) => Box::pin(report.run(cluster)).await,
            Self::Apply(apply) => {
                let applied = apply.run(cluster, &[TEMPLATE, RULE]).await?;
                outlook::tell(cluster, &applied).await;
                Ok(())
            }
            Self::Delete(delete) => delete.run(cluster, &[RULE]).await,
        }
    }
}
