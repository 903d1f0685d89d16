//! `kubectl aegis sop run`: ask for a procedure.

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_engine::duration;
use clap::Args;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::request::Request;
use super::{follow, is_about_a_pod};
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::guard::FIELD_MANAGER;
use crate::output;
use crate::person::Person;

/// Ask for a procedure that is installed
///
/// It goes through the same loop as an alert: an AegisAlert from the source manual is stored, in your name and with your
/// reason, and the procedure's own rule takes it. So the guard may hold it, a person may have to approve it, its status
/// and logs stand on it, and what it changes on a node can be put back with `kubectl aegis undo`.
///
/// It takes the right to create aegisalerts, which the ClusterRole aegis-operator grants.
#[derive(Args)]
#[command(after_help = "Examples:
  # Which there are, and what they take
  kubectl aegis sop list
  kubectl aegis sop show drain

  # Look at what would be stored, and store nothing
  kubectl aegis sop run drain --node dev1 --reason 'fan 3 is loud' --dry-run=client

  # Ask for it; with --wait it is followed until it has ended
  kubectl aegis sop run cordon --node dev1 --reason 'fan 3 is loud'

  # A cordon that Aegis lifts by itself after two hours
  kubectl aegis sop run cordon --node dev1 --reason 'fan 3 is loud' --for 2h

  # With a value for a parameter
  kubectl aegis sop run restart-pod --pod shop/web-0 --reason 'hangs' --param gracePeriod=5

Exit codes: 0 if it is asked for, and with --wait if it succeeded. With --wait 1 if it failed, 6 if a person
rejected it, 124 if it has not ended in time. 4 if you may not, 5 if it is not installed or its target is
not there, 6 if another rule would take it, 7 if Aegis is not installed.")]
pub(crate) struct Run {
    /// The procedure
    #[arg(value_name = "NAME")]
    name: String,
    /// The node that it is about
    #[arg(long, value_name = "NAME", required_unless_present = "pod", conflicts_with = "pod")]
    node: Option<String>,
    /// The pod that it is about
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pod: Option<String>,
    /// A value for a parameter; repeat it for more
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    #[command(flatten)]
    lasting: Lasting,
    #[command(flatten)]
    asking: Asking,
}

/// What a request of something that cordons may say.
#[derive(Args, Debug)]
pub(crate) struct Lasting {
    /// For how long the cordon that it leaves stands; Aegis lifts it then, unless somebody has set it anew
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    cordon_for: Option<SignedDuration>,
}

/// What every request says.
#[derive(Args, Debug)]
pub(crate) struct Asking {
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Wait until it has ended
    #[arg(long)]
    wait: bool,
    /// For how long to wait
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration::parse, requires = "wait")]
    timeout: SignedDuration,
    #[command(flatten)]
    dry_run: DryRunArg,
}

impl Lasting {
    /// The length of time, if one was given.
    pub(crate) fn length(&self) -> Option<SignedDuration> {
        self.cordon_for
    }
}

impl Run {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let mut parameters = BTreeMap::new();
        for pair in &self.parameters {
            let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Failure::new(Kind::Usage, format!("--param {pair}: expected NAME=VALUE")).into());
            };
            parameters.insert(name.to_owned(), value.to_owned());
        }
        let target = match (self.node, self.pod) {
            (_, Some(pod)) => match pod.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                    Target::Pod(namespace.to_owned(), name.to_owned())
                }
                _ => return Err(Failure::new(Kind::Usage, format!("--pod {pod}: expected NAMESPACE/NAME")).into()),
            },
            (node, None) => Target::Node(node.unwrap_or_default()),
        };
        ask(cluster, &self.name, target, parameters, self.lasting.length(), self.asking).await
    }
}

/// What a procedure is asked for.
pub(crate) enum Target {
    Node(String),
    /// Namespace and name.
    Pod(String, String),
}

/// Asks for the procedure, and follows it if that is wanted.
pub(crate) async fn ask(
    cluster: &ClusterArgs,
    sop: &str,
    target: Target,
    parameters: BTreeMap<String, String>,
    cordon_for: Option<SignedDuration>,
    asking: Asking,
) -> anyhow::Result<()> {
    if asking.reason.trim().is_empty() {
        return Err(Failure::new(Kind::Usage, "--reason: say why, for whoever asks later").into());
    }
    let dry_run = asking.dry_run.dry_run;
    let client = cluster.client().await?;
    let namespace = cluster.namespace.as_str();
    let reason = asking.reason.trim().to_owned();
    let mut request = Request { sop: sop.to_owned(), object: Value::Null, parameters, cordon_for, reason };
    let template = request.template(&client, namespace).await?;
    if cordon_for.is_some() && (is_about_a_pod(&template) || template.spec.recovery == Some(true)) {
        return Err(Failure::new(Kind::Usage, format!("--for: {sop} leaves no cordon on a node that could end"))
            .hint("it is for what cordons a node, such as cordon and drain")
            .into());
    }
    request.object = match (&target, is_about_a_pod(&template)) {
        (Target::Node(node), false) => of_node(&client, node).await?,
        (Target::Pod(namespace, name), _) => of_pod(&client, namespace, name).await?,
        (Target::Node(_), true) => {
            return Err(Failure::new(Kind::Usage, format!("{sop} is about a pod"))
                .hint("say which one with --pod NAMESPACE/NAME")
                .into());
        }
    };
    let person = Person::known(&client, cluster, dry_run).await;
    let nonce = format!("{:?} {}", std::time::SystemTime::now(), std::process::id());
    let alert = request.alert(&person, &nonce, namespace)?;
    Request::check_rule(&client, namespace, &alert, &template).await?;
    let alerts: Api<AegisAlert> = Api::namespaced(client.clone(), namespace);
    let name = alert.name_any();
    let stored = match dry_run {
        DryRun::Client => None,
        _ => {
            let parameters =
                PostParams { dry_run: dry_run == DryRun::Server, field_manager: Some(FIELD_MANAGER.to_owned()) };
            let stored = alerts.create(&parameters, &alert).await;
            Some(stored.map_err(|error| refused(&name, namespace, &person, error))?)
        }
    };
    output::line(&format!("aegisalert.aegis.io/{name} created{}", dry_run.remark()));
    match (stored, dry_run) {
        (Some(_), DryRun::None) if asking.wait => {
            let patience = Duration::try_from(asking.timeout).unwrap_or(Duration::ZERO);
            let alerts = Api::namespaced(cluster.client_that_waits().await?, namespace);
            follow::until_ended(&alerts, &name, patience).await
        }
        (Some(_), DryRun::None) => {
            eprintln!("how it stands: kubectl aegis trace alert/{name} -n {namespace}");
            Ok(())
        }
        _ => {
            eprintln!("{}", serde_saphyr::to_string(&alert)?.trim_end());
            Ok(())
        }
    }
}

/// The node, which must be there as far as may be seen.
async fn of_node(client: &Client, name: &str) -> Result<Value, Failure> {
    let there = Api::<Node>::all(client.clone()).get_metadata(name).await.map(drop);
    present(there, &format!("there is no node {name:?}"), "`kubectl get nodes` lists them")?;
    Ok(json!({"kind": "Node", "name": name, "node": name}))
}

async fn of_pod(client: &Client, namespace: &str, name: &str) -> Result<Value, Failure> {
    let mut object = json!({"kind": "Pod", "namespace": namespace, "name": name});
    let found = Api::<Pod>::namespaced(client.clone(), namespace).get(name).await;
    let node = found.as_ref().ok().and_then(|pod| pod.spec.as_ref()?.node_name.clone());
    let hint = format!("`kubectl get pods -n {namespace}` lists them");
    present(found.map(drop), &format!("there is no pod {name:?} in {namespace}"), &hint)?;
    if let (Some(node), Some(fields)) = (node, object.as_object_mut()) {
        fields.insert("node".to_owned(), node.into());
    }
    Ok(object)
}

/// Whoever may not look is believed.
fn present(found: Result<(), kube::Error>, missing: &str, hint: &str) -> Result<(), Failure> {
    match found {
        Ok(()) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Err(Failure::new(Kind::NotFound, missing).because(kube::Error::Api(status)).hint(hint))
        }
        Err(error) => Err(Failure::of_call("could not look for the target", error)),
    }
}

fn refused(name: &str, namespace: &str, person: &Person, error: kube::Error) -> Failure {
    let doing = format!("could not store the alert {name}");
    match &error {
        kube::Error::Api(status) if status.code == 404 => Failure::new(Kind::NotInstalled, doing)
            .because(error)
            .hint("is -n the namespace that Aegis publishes alerts in?"),
        kube::Error::Api(status) if status.code == 403 && !status.message.contains("ValidatingAdmissionPolicy") => {
            Failure::of_call(doing, error).hint(format!(
                "the verb create on aegisalerts is needed: kubectl create rolebinding operator \
                 --clusterrole=aegis-operator --user='{}' -n {namespace}",
                person.name
            ))
        }
        _ => Failure::of_call(doing, error),
    }
}
