//! `kubectl aegis template`: procedures, as text with places for an alert's values.

mod convert;
mod create;
mod render;

use clap::Subcommand;
use kubectl_aegis::view::kinds::TEMPLATE;

use super::get::List;
use super::list;
use super::manifest::apply::Apply;
use super::manifest::delete::Delete;
use super::manifest::lint::Lint;
use crate::cluster::ClusterArgs;

/// Templates: list, create, check, try, convert, apply, delete
#[derive(Subcommand)]
pub(crate) enum Template {
    /// List templates; `kubectl aegis get templates` does the same
    #[command(after_help = "Examples:
  kubectl aegis template get -o wide
  kubectl aegis template get nodehasemergencyevent -o jsonpath='{.spec.manifest}'")]
    Get {
        /// Which by name; all without
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        list: List,
    },
    Create(create::Create),
    /// Say what is wrong with templates, and what would hurt once they act
    ///
    /// Those of files, or without -f those that are stored. An error keeps a template from being used; a warning is
    /// advice.
    #[command(after_help = "Examples:
  kubectl aegis template lint -f examples/quickstart/rule.yaml
  kubectl aegis template lint -o json

Exit codes: 0 without errors, 1 with errors, or with --strict with warnings.")]
    Lint(Lint),
    Render(render::Render),
    Convert(convert::Convert),
    /// Bring the templates of the cluster to what files say, by server-side apply
    ///
    /// All of them are checked before the first is written.
    #[command(after_help = "Examples:
  kubectl aegis template apply -f examples/quickstart/rule.yaml --dry-run=server
  kubectl aegis template apply -f examples/hpc

Exit codes: 0 if they stand so, 1 if one cannot be used, 4 if you may not, 6 if somebody else set the same fields.")]
    Apply(Apply),
    /// Delete templates
    #[command(after_help = "Examples:
  kubectl aegis template delete nodehasemergencyevent --dry-run=server
  kubectl aegis template delete -f examples/hpc --ignore-not-found

Exit codes: 0 if they are gone, 4 if you may not, 5 if one was not there.")]
    Delete(Delete),
}

impl Template {
    /// Whether -A means something to it.
    pub(crate) fn lists(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Lint(_))
    }

    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        match self {
            Self::Get { names, list } => list::of(cluster, "templates", &names, &list).await,
            Self::Create(create) => create.run(cluster).await,
            Self::Lint(lint) => lint.run(cluster, &TEMPLATE).await,
            Self::Render(render) => render.run(cluster).await,
            Self::Convert(convert) => convert.run(cluster),
            Self::Apply(apply) => apply.run(cluster, &[TEMPLATE]).await.map(drop),
            Self::Delete(delete) => delete.run(cluster, &[TEMPLATE]).await,
        }
    }
}
