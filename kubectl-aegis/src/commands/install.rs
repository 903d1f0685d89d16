//! `kubectl aegis install` and `upgrade`: bring manifest/ to a cluster, and keep the order in which that is safe.

use std::time::Duration;

use aegis_engine::duration;
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::apply;
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::install::bring::{self, Manner};
use crate::install::receiver::Webhook;
use crate::install::scrape::Trust;
use crate::install::secrets::Secrets;
use crate::install::shipped::{VERSION, Wanted};
use crate::install::survey::{self, Found};
use crate::output;

/// Install Aegis: definitions, roles, policies and the controller
///
/// It applies what manifest/install and manifest/deploy hold, which this plugin carries, to the namespace of -n: first
/// the definitions, then, once they are established, the namespace if it is missing, the roles, a guard with all
/// defaults if there is none, the policies, and the controller at last. It is server-side apply, so what others set stays;
/// where somebody else set the same field to something else it is refused before anything is written, definitions and
/// policies apart.
///
/// It can be run again: what is there already is brought to this version, with the image, the number of replicas and the
/// Secrets that stand there. Nothing is written while a controller of the first version of Aegis runs, over a later version, or where
/// stored objects would lose something.
///
/// It takes the rights of an administrator. At the end it says, on stderr, what goes into Alertmanager's configuration.
#[derive(Args)]
#[command(after_help = "Examples:
  # Look at what would be applied; no cluster is asked
  kubectl aegis install --dry-run=client -o yaml

  # Let the API server judge it, and store nothing
  kubectl aegis install --dry-run=server

  kubectl aegis install --image registry.example/aegis:0.1.0

  # Senders must show a token, which a Secret holds, and HTTPS is served
  kubectl aegis install --token-secret aegis-webhook --tls-secret aegis-tls --dry-run=client -o yaml

  # What goes into Alertmanager's configuration
  kubectl aegis install --receiver --token-secret aegis-webhook

Exit codes: 0 if all of it is there, 4 if you may not, 6 if something stands in the way: a controller of the first version, \
another installation, fields that somebody else set; 7 if what is there is of a later version; 124 if the controller does \
not run in time.")]
pub(crate) struct Install {
    #[command(flatten)]
    bringing: Bringing,
    /// Only print the receiver for Alertmanager's configuration; nothing is installed
    #[arg(long, conflicts_with_all = ["image", "replicas", "notify_secret", "with_monitoring", "without_policies", "without_workflow_role", "force_conflicts", "wait", "output"])]
    receiver: bool,
}

/// Bring an installation to the version of this plugin
///
/// It says first, on stderr, which objects change and how, field by field. Then it keeps the order that is safe: definitions
/// before the controller that needs them. Image, number of replicas and Secrets stay as they stand there unless you say
/// otherwise.
///
/// Nothing is written while a controller of the first version of Aegis runs (docs/guides/migrate.md), over a later version,
/// or where stored objects would lose something.
#[derive(Args)]
#[command(after_help = "Examples:
  # What would change
  kubectl aegis upgrade --dry-run=server

  kubectl aegis upgrade --image registry.example/aegis:0.1.0

  # Without the token from now on
  kubectl aegis upgrade --token-secret '' --dry-run=server

Exit codes: 0 if all of it is there, 4 if you may not, 6 if something stands in the way, 7 if Aegis is not installed in the \
namespace of -n or is of a later version, 124 if the controller does not run in time.")]
pub(crate) struct Upgrade {
    #[command(flatten)]
    bringing: Bringing,
}

/// What is brought to the cluster, and how.
#[derive(Args)]
struct Bringing {
    /// The controller's image; by default the one that is deployed, else that of manifest/deploy
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// How many replicas of the controller; by default as many as are deployed, else 2
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    replicas: Option<u32>,
    /// The Secret whose key `token` senders must show, in the namespace of -n; '' for none. By default the one that is
    /// deployed
    #[arg(long, value_name = "NAME", value_parser = secret_name)]
    token_secret: Option<String>,
    /// The Secret of type kubernetes.io/tls to serve HTTPS with; '' for none. By default the one that is deployed
    #[arg(long, value_name = "NAME", value_parser = secret_name)]
    tls_secret: Option<String>,
    /// The Secret whose key `notify.yaml` says who is told what became of alerts, which need not exist
    /// (docs/guides/notifications.md); '' for none. By default the one that is deployed, else aegis-notify
    #[arg(long, value_name = "NAME", value_parser = secret_name)]
    notify_secret: Option<String>,
    /// With what a Prometheus Operator and a Grafana take: ServiceMonitor, PrometheusRule, dashboard
    #[arg(long)]
    with_monitoring: bool,
    /// Without the policies that keep approvals and requests honest, which take Kubernetes 1.30: approvals do not count then
    #[arg(long)]
    without_policies: bool,
    /// Without the ServiceAccount aegis-workflow and its roles, where you have your own
    #[arg(long)]
    without_workflow_role: bool,
    /// Take over fields that somebody else set
    #[arg(long)]
    force_conflicts: bool,
    /// Wait until the controller runs
    #[arg(long)]
    wait: bool,
    /// For how long definitions, and with --wait the controller, are waited for
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    timeout: SignedDuration,
    /// json, yaml: print the objects
    #[arg(short, long, value_name = "json|yaml", hide_possible_values = true)]
    output: Option<Format>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

impl Install {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        if self.receiver {
            let secrets = self.bringing.secrets();
            let webhook = Webhook { tls: secrets.encrypts(), token: secrets.guards(), ..Webhook::default() };
            output::text(&webhook.receiver(&cluster.namespace));
            return Ok(());
        }
        let Bringing { output, dry_run, .. } = &self.bringing;
        if let (Some(format), DryRun::Client) = (output, dry_run.dry_run) {
            return format.print(&self.bringing.wanted(cluster, None).objects()?);
        }
        self.bringing.run(cluster, false).await
    }
}

impl Upgrade {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        self.bringing.run(cluster, true).await
    }
}

impl Bringing {
    async fn run(&self, cluster: &ClusterArgs, must_be_there: bool) -> anyhow::Result<()> {
        let client = cluster.client().await?;
        let found = Found::look(&client, &cluster.namespace).await?;
        let is_foreign = found.deployment.is_some() || !found.old_pods.is_empty();
        if must_be_there && !found.is_installed() && !is_foreign {
            return Err(survey::not_installed(&cluster.namespace).into());
        }
        let mut wanted = self.wanted(cluster, Some(&found));
        self.secrets().must_exist(&client, &cluster.namespace).await?;
        if let Some(secret) = wanted.secrets.tls.as_ref().filter(|name| wanted.monitoring && !name.is_empty()) {
            match Trust::of(&client, &cluster.namespace, secret).await? {
                Ok(trust) => wanted.trust = Some(trust),
                Err(why) => eprintln!("Prometheus will not verify the certificate of secret/{secret}: {why}"),
            }
        }
        let was = found.version().unwrap_or("unknown").to_owned();
        if found.is_installed() {
            eprintln!("Aegis is installed in {} (version {was}); this plugin carries {VERSION}", cluster.namespace);
        }
        let timeout = Duration::try_from(self.timeout)
            .map_err(|_| Failure::new(Kind::Usage, "--timeout: expected a length of time that is not negative"))?;
        let manner = Manner {
            dry_run: self.dry_run.dry_run,
            force: self.force_conflicts,
            wait: self.wait,
            timeout,
            quiet: self.output.is_some(),
        };
        let objects = bring::bring(&client, &found, &wanted, manner).await?;
        if let Some(format) = self.output {
            format.print(&objects)?;
        }
        if manner.dry_run == DryRun::None && !must_be_there {
            next_steps(&objects, &wanted);
        }
        Ok(())
    }

    /// Those that were asked for.
    fn secrets(&self) -> Secrets {
        let Self { token_secret, tls_secret, notify_secret, .. } = self;
        Secrets { token: token_secret.clone(), tls: tls_secret.clone(), notify: notify_secret.clone() }
    }

    /// What is to be there; what was deployed stays as it is where nothing else is said.
    fn wanted(&self, cluster: &ClusterArgs, found: Option<&Found>) -> Wanted {
        Wanted {
            namespace: cluster.namespace.clone(),
            image: self.image.clone().or_else(|| found?.image()),
            replicas: self.replicas.or_else(|| found?.replicas()),
            secrets: self.secrets().or(found.map(Found::secrets).unwrap_or_default()),
            workflow_role: !self.without_workflow_role,
            policies: !self.without_policies,
            monitoring: self.with_monitoring,
            trust: None,
        }
    }
}

impl Format {
    fn print(self, objects: &[Value]) -> anyhow::Result<()> {
        match self {
            Self::Json => {
                let list =
                    json!({"apiVersion": "v1", "kind": "List", "items": objects.iter().map(bare).collect::<Vec<_>>()});
                output::line(&serde_json::to_string_pretty(&list)?);
            }
            Self::Yaml => {
                for object in objects {
                    output::text(&format!("---\n{}\n", serde_saphyr::to_string(&bare(object))?.trim_end()));
                }
            }
        }
        Ok(())
    }
}

/// Without what the API server keeps for itself.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

fn secret_name(text: &str) -> Result<String, String> {
    let label = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        part.chars().all(plain) && edge(part.chars().next()) && edge(part.chars().next_back())
    };
    if text.is_empty() || (text.len() <= 253 && text.split('.').all(label)) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a Secret, at most 253 of a-z, 0-9, '-' and '.'; or '' for none".to_owned())
    }
}

fn next_steps(objects: &[Value], wanted: &Wanted) {
    let deployment = objects.iter().find(|object| apply::label(object) == "deployment.apps/aegis");
    let webhook = deployment.map(Webhook::of).unwrap_or_default();
    let namespace = &wanted.namespace;
    eprintln!("\nThis goes into Alertmanager's configuration (`kubectl aegis install --receiver` prints it alone):\n");
    eprint!("{}", webhook.receiver(namespace));
    eprintln!("\nLook whether all is well: kubectl aegis check -n {namespace} --wait");
}
