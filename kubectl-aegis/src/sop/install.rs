//! `kubectl aegis sop install`: apply procedures of the library.

use clap::Args;
use serde_json::Value;

use super::Sop;
use crate::apply::{self, How};
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::output;

/// The ServiceAccount that comes with Aegis itself.
const COMMON: &str = "aegis-workflow";

/// Install procedures of the library, or bring them up to date
///
/// For each: its template, the rule by which people ask for it, and, where it needs more than the ServiceAccount
/// aegis-workflow has, a ServiceAccount with the roles for it. They are applied to the namespace of -n by server-side
/// apply, so what others set on them stays; where somebody else changed the same field it is refused.
///
/// It takes the rights to write rules and templates (the ClusterRole aegis-author), and for roles those of an
/// administrator.
#[derive(Args)]
#[command(after_help = "Examples:
  # Let the API server judge it, and store nothing
  kubectl aegis sop install cordon uncordon drain --dry-run=server

  kubectl aegis sop install cordon uncordon drain

  # With the example of a rule for alerts, which only observes at first
  kubectl aegis sop install collect-diagnostics --rule

Exit codes: 0 if all of it is applied, 4 if you may not, 5 if there is no such procedure, 6 if somebody else changed the
same, 7 if Aegis is not installed.")]
pub(crate) struct Install {
    /// The procedures
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// All of the library
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Apply the example of a rule for alerts too
    #[arg(long)]
    rule: bool,
    /// Take over fields that somebody else set
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    dry_run: DryRunArg,
}

impl Install {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let sops: Vec<&Sop> = if self.all {
            super::LIBRARY.iter().collect()
        } else {
            self.names.iter().map(|name| Sop::named(name)).collect::<Result<_, _>>()?
        };
        let mut objects: Vec<Value> = Vec::new();
        let mut accounts: Vec<String> = Vec::new();
        for sop in sops {
            accounts.extend(sop.accounts()?.into_iter().filter(|account| account != COMMON));
            for object in sop.objects(&cluster.namespace, self.rule)? {
                if !objects.contains(&object) {
                    objects.push(object);
                }
            }
        }
        let dry_run = self.dry_run.dry_run;
        let client = if dry_run == DryRun::Client { None } else { Some(cluster.client().await?) };
        for object in &objects {
            if let Some(client) = &client {
                let how = How::new(dry_run, self.force, "somebody else set the same field: --force takes it over");
                apply::object(client, object, how).await?;
            }
            output::line(&format!("{} serverside-applied{}", apply::label(object), dry_run.remark()));
        }
        accounts.sort();
        accounts.dedup();
        if !accounts.is_empty() {
            eprintln!(
                "The controller lets templates run as {} only where --action.service-accounts lists it, as the Deployment \
                 in manifest/deploy does.",
                accounts.join(" and ")
            );
        }
        Ok(())
    }
}
