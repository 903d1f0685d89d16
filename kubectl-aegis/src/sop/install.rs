//! `kubectl aegis sop install`: apply procedures of the library.

use clap::Args;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::Sop;
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::guard::FIELD_MANAGER;
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
                apply(client, object, dry_run, self.force).await?;
            }
            output::line(&format!("{} serverside-applied{}", label(object), dry_run.remark()));
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

async fn apply(client: &Client, object: &Value, dry_run: DryRun, force: bool) -> Result<(), Failure> {
    let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = word("/apiVersion").split_once('/').unwrap_or(("", word("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, word("/kind")));
    let api: Api<DynamicObject> = match word("/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let parameters = PatchParams {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        force,
        ..PatchParams::default()
    };
    let done = api.patch(word("/metadata/name"), &parameters, &Patch::Apply(object)).await;
    done.map(drop).map_err(|error| failure(object, error))
}

fn failure(object: &Value, error: kube::Error) -> Failure {
    let doing = format!("could not apply {}", label(object));
    match &error {
        kube::Error::Api(status) if status.code == 409 => Failure::new(Kind::Refused, doing)
            .because(error)
            .hint("somebody else set the same field: --force takes it over"),
        kube::Error::Api(status) if status.code == 404 && label(object).starts_with("aegis") => {
            Failure::new(Kind::NotInstalled, doing)
                .because(error)
                .hint("is Aegis installed (`kubectl apply -f manifest/install/`), and is -n its namespace?")
        }
        _ => Failure::of_call(doing, error),
    }
}

/// As kubectl names an object.
fn label(object: &Value) -> String {
    let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let kind = word("/kind").to_lowercase();
    let group = word("/apiVersion").split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
    format!("{kind}{group}/{}", word("/metadata/name"))
}
