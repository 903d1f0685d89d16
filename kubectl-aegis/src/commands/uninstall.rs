//! `kubectl aegis uninstall`: take away what install made, in the reverse order.

use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use aegis_controller::ingest::REJECTED_CONFIGMAP;
use aegis_engine::duration;
use clap::Args;
use futures::future;
use jiff::SignedDuration;
use kube::Client;
use serde_json::{Value, json};

use crate::apply;
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::install::remove;
use crate::install::rollout::Deadline;
use crate::install::shipped::kind;
use crate::install::survey::{self, Found};

/// Take Aegis away
///
/// It removes what install made, in the reverse order: monitoring, controller, policies, roles. What is only called the
/// same, and does not carry our label, is left alone, and so is the namespace. Definitions and stored objects stay too, so
/// that a later installation goes on from them; with --delete-data they go, in the whole cluster.
///
/// Workflows and Jobs of actions are kept by a finalizer until their outcome stands in their alert's status. So it first
/// waits until the controller has let go of them all. Where no controller runs, or it takes too long, nothing is taken
/// away; --release then takes our finalizer off, and leaves all others there.
#[derive(Args)]
#[command(after_help = "Examples:
  # What would go
  kubectl aegis uninstall --dry-run=client

  # The same with everything that is stored
  kubectl aegis uninstall --delete-data --dry-run=server

Exit codes: 0 if it is gone, 2 if --delete-data is not confirmed, 4 if you may not, 6 if actions are held and no controller \
runs, 7 if Aegis is not installed in the namespace of -n, 124 if something did not go in time.")]
pub(crate) struct Uninstall {
    /// Delete the definitions too, and with them every alert, rule, template and guard of the cluster
    #[arg(long)]
    delete_data: bool,
    /// Do not ask whether --delete-data is meant
    #[arg(long)]
    yes: bool,
    /// Take our finalizer off what is still held, instead of waiting for the controller
    #[arg(long)]
    release: bool,
    /// For how long it waits
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    timeout: SignedDuration,
    #[command(flatten)]
    dry_run: DryRunArg,
}

impl Uninstall {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let (client, namespace) = (cluster.client().await?, cluster.namespace.as_str());
        let found = Found::look(&client, namespace).await?;
        let there = present(&client, namespace).await?;
        let data_goes = self.delete_data && !found.definitions.is_empty();
        if there.is_empty() && !data_goes {
            return Err(survey::not_installed(namespace).into());
        }
        if self.delete_data {
            self.confirmed(&client, &found).await?;
        }
        let timeout = Duration::try_from(self.timeout)
            .map_err(|_| Failure::new(Kind::Usage, "--timeout: expected a length of time that is not negative"))?;
        let deadline = Deadline::after(timeout);
        self.let_go(&client, &found, namespace, deadline).await?;
        self.take_away(&client, &there, namespace, deadline).await?;
        if self.delete_data {
            self.delete_definitions(&client, &found, namespace, deadline).await?;
        } else if !found.definitions.is_empty() {
            eprintln!(
                "The definitions stay, with all that is stored: `kubectl aegis uninstall --delete-data` takes them too."
            );
        }
        eprintln!("The namespace {namespace} is left as it is.");
        Ok(())
    }

    /// Says what would be lost, and asks.
    async fn confirmed(&self, client: &Client, found: &Found) -> Result<(), Failure> {
        if let Some(other) = &found.elsewhere {
            let what = format!("Aegis is installed in {other}, which --delete-data would leave without its objects");
            return Err(Failure::new(Kind::Refused, what).hint(format!("take that one away: -n {other}")));
        }
        let stored = remove::stored(client, found).await?;
        eprintln!("--delete-data deletes, in the whole cluster and for good:");
        stored.iter().for_each(|(kind, count)| eprintln!("  {count:>6} {kind}"));
        if self.yes || self.dry_run.dry_run != DryRun::None {
            return Ok(());
        }
        let no = Failure::new(Kind::Usage, "not confirmed: nothing was taken away");
        if !io::stdin().is_terminal() {
            return Err(no.hint("say --yes if that is meant"));
        }
        eprint!("Delete all of it? [y/N] ");
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        let yes = read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
        if yes { Ok(()) } else { Err(no) }
    }

    /// Sees to it that nothing is held any more once the controller is gone.
    async fn let_go(&self, client: &Client, found: &Found, namespace: &str, deadline: Deadline) -> Result<(), Failure> {
        let (dry_run, runs) = (self.dry_run.dry_run, remove::has_controller(found));
        if self.delete_data && !found.definitions.is_empty() {
            if dry_run == DryRun::None && !runs && !self.release {
                self.nothing_held(client, namespace).await?;
            }
            remove::delete_alerts(client, namespace, dry_run).await?;
        }
        if dry_run != DryRun::None || self.release {
            return Ok(());
        }
        if runs {
            remove::until_let_go(client, namespace, deadline).await?;
        }
        self.nothing_held(client, namespace).await
    }

    /// Where held actions matter: with the definitions go the alerts of the whole cluster, and their actions after them.
    fn scope<'a>(&self, namespace: &'a str) -> Option<&'a str> {
        (!self.delete_data).then_some(namespace)
    }

    async fn nothing_held(&self, client: &Client, namespace: &str) -> Result<(), Failure> {
        let held = remove::held(client, self.scope(namespace)).await?;
        if held.is_empty() { Ok(()) } else { Err(remove::held_by_nobody(&held)) }
    }

    async fn take_away(
        &self,
        client: &Client,
        there: &[Value],
        namespace: &str,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let dry_run = self.dry_run.dry_run;
        for object in there {
            remove::delete(client, object, dry_run).await?;
            if kind(object) == "Deployment" && dry_run == DryRun::None {
                remove::until_gone(client, object, deadline).await?;
                remove::until_pods_are_gone(client, namespace, deadline).await?;
            }
        }
        if self.release {
            let held = remove::held(client, self.scope(namespace)).await?;
            remove::release(client, &held, dry_run).await?;
        }
        Ok(())
    }

    async fn delete_definitions(
        &self,
        client: &Client,
        found: &Found,
        namespace: &str,
        deadline: Deadline,
    ) -> Result<(), Failure> {
        let dry_run = self.dry_run.dry_run;
        let mut rejected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": REJECTED_CONFIGMAP}});
        apply::place(&mut rejected, namespace);
        if survey::get(client, &rejected).await?.is_some() {
            remove::delete(client, &rejected, dry_run).await?;
        }
        for definition in &found.definitions {
            remove::delete(client, definition, dry_run).await?;
        }
        if dry_run == DryRun::None {
            for definition in &found.definitions {
                remove::until_gone(client, definition, deadline).await?;
            }
        }
        Ok(())
    }
}

/// What stands there of an installation, in the order in which it goes.
async fn present(client: &Client, namespace: &str) -> Result<Vec<Value>, Failure> {
    let parts = remove::parts(namespace)?;
    let standing = future::try_join_all(parts.iter().map(|part| survey::get(client, part))).await?;
    let mut there = Vec::new();
    for (part, standing) in parts.into_iter().zip(standing) {
        match standing {
            Some(standing) if remove::is_shipped(&standing) => there.push(part),
            Some(_) => eprintln!("{} is left alone: it does not carry our label", apply::label(&part)),
            None => {}
        }
    }
    Ok(there)
}
