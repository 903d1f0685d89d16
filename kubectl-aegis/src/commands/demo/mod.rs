//! `kubectl aegis demo`: the whole loop once, on a cluster in memory, shown as it happens.

mod scene;
mod timeline;

use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertOpsStatus, TriggerStatus};
use clap::Args;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;

use self::scene::Sight;
use self::timeline::Timeline;
use crate::failure::{Failure, Kind};
use crate::local::{self, Local, NAMESPACE};

/// How long the loop may take on a slow machine. It takes about a second.
const PATIENCE: Duration = Duration::from_secs(60);
const NODE: &str = "dev1";
const RULE_AND_TEMPLATE: &str = include_str!("../../../../examples/quickstart/rule.yaml");
const ALERT: &str = include_str!("../../../../examples/quickstart/alert.json");

/// Watch an alert become a repair, in a cluster that lives in memory and ends by itself
///
/// An API server in memory, a simulated node and workflow runner, and the real controller: a rule and a template are
/// applied, an alert is posted to the webhook, and what follows is shown as it happens. The exit code is 0 only if the
/// node was really cordoned and the status really says Succeeded. Nothing on this machine is touched.
#[derive(Args)]
#[command(after_help = "Example:
  kubectl aegis demo")]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut timeline = Timeline::start();
        timeline
            .title("Aegis turns an alert into a repair, on a cluster in memory. Nothing on this machine is touched.");
        let options = local::Options { nodes: vec![NODE.to_owned(), "dev2".to_owned()], execute: true };
        let local = Local::start(options).await?;
        timeline.tell("cluster", &format!("API server in memory at {}, nodes dev1 and dev2", local.api_url()));
        timeline.tell("aegis", &format!("controller ready, webhook at {}", local.webhook_url()));
        let client = local.client("kubectl-aegis");
        let ended = match tokio::time::timeout(PATIENCE, play(&local, &client, &mut timeline)).await {
            Ok(ended) => ended,
            Err(_) => Err(failed(format!("the loop did not close within {} s", PATIENCE.as_secs()))),
        };
        let verdict = match ended {
            Ok(()) => check(&client).await,
            Err(error) => Err(error),
        };
        local.stop().await;
        verdict?;
        timeline.title("The loop closed: one alert, one workflow, one cordoned node, and a status that tells of it.");
        timeline.hint(
            "Play on: `kubectl aegis sandbox` keeps such a cluster running and prints how to point kubectl at it.",
        );
        Ok(())
    }
}

/// Applies the example, posts its alert and shows what is seen until the action has ended.
async fn play(local: &Local, client: &Client, timeline: &mut Timeline) -> anyhow::Result<()> {
    let mut sights = scene::watch(client, NAMESPACE);
    local::apply(client, NAMESPACE, RULE_AND_TEMPLATE).await?;
    timeline.tell("apply", "examples/quickstart/rule.yaml: a rule and its template");
    let mut posted = false;
    let mut seen = scene::Seen::default();
    while let Some(sight) = sights.next().await {
        let sight = sight?;
        for (subject, text) in seen.news(&sight) {
            timeline.tell(subject, &text);
        }
        if !posted && seen.rule_and_template_recorded() {
            posted = true;
            let answer = local.post("/default/alert", ALERT).await?;
            timeline.tell("alert", &format!("examples/quickstart/alert.json posted to /default/alert: {answer}"));
        }
        if let Sight::Alert(alert) = &sight
            && has_ended(alert)
        {
            for line in scene::logs(client, NAMESPACE, alert).await? {
                timeline.tell("log", &line);
            }
            // The node's own watch may lag behind the alert's.
            let node = Api::<Node>::all(client.clone()).get(NODE).await?;
            for (subject, text) in seen.news(&Sight::Node(Box::new(node))) {
                timeline.tell(subject, &text);
            }
            return Ok(());
        }
    }
    Err(failed("the watches ended before the loop closed"))
}

/// Whether nothing more will happen to the alert by itself.
fn has_ended(alert: &AegisAlert) -> bool {
    let Some(ops) = alert.status.as_ref().and_then(|status| status.ops_status.as_ref()) else { return false };
    match ops.trigger_status {
        Some(TriggerStatus::Triggered) => {
            matches!(ops.alert_ops_status, Some(AlertOpsStatus::Succeeded | AlertOpsStatus::Failed))
        }
        Some(_) => true,
        None => false,
    }
}

/// What must be true for the demo to have succeeded, read from the API server and not from what was shown.
async fn check(client: &Client) -> anyhow::Result<()> {
    let alerts = Api::<AegisAlert>::namespaced(client.clone(), NAMESPACE).list(&Default::default()).await?.items;
    let [alert] = alerts.as_slice() else {
        return Err(failed(format!("expected one alert, found {}", alerts.len())));
    };
    let ops = alert.status.as_ref().and_then(|status| status.ops_status.clone()).unwrap_or_default();
    if ops.alert_ops_status != Some(AlertOpsStatus::Succeeded) {
        return Err(failed(format!("the alert's status is {:?}, not Succeeded", ops.alert_ops_status)));
    }
    let node = Api::<Node>::all(client.clone()).get(NODE).await?;
    if node.spec.and_then(|spec| spec.unschedulable) != Some(true) {
        return Err(failed(format!("the node {NODE} is not cordoned")));
    }
    Ok(())
}

fn failed(message: impl Into<String>) -> anyhow::Error {
    Failure::new(Kind::Findings, message).into()
}
