//! `alert send` and `alert resolve`: make the body, deliver it, show what became of each alert.

use aegis_crds::AegisAlert;
use aegis_crds::alert::AlertStatus;
use aegis_engine::incident::IncidentId;
use clap::Args;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde::Deserialize;

use super::body::{self, Phase, Words};
use super::delivery::{Answer, Delivery};
use crate::cluster::ClusterArgs;
use crate::dry_run::DryRun;
use crate::failure::{Failure, Kind};
use crate::guard::FIELD_MANAGER;
use crate::output;
use crate::replay::cases::{taken_in, to_be_stored};

#[derive(Args, Debug)]
pub(crate) struct Report {
    #[command(flatten)]
    words: Words,
    /// Send this file as it is ("-" for standard input): what Alertmanager posts, or one alert in the custom format
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["type_", "node", "pod", "object", "details", "fingerprint", "test"])]
    filename: Option<String>,
    /// client: print the body instead of sending it; server: let the API server judge the alerts that the webhook would
    /// store, and send nothing to the webhook
    #[arg(long, value_name = "none|client|server", default_value = "none", hide_possible_values = true)]
    dry_run: DryRun,
    #[command(flatten)]
    delivery: Delivery,
}

impl Report {
    pub(super) async fn run(self, cluster: &ClusterArgs, phase: Phase) -> anyhow::Result<()> {
        let bytes = match &self.filename {
            Some(file) => body::read(file)?,
            None => serde_json::to_vec_pretty(&body::custom(&self.words, phase)?)?,
        };
        let route = body::route(&bytes)?;
        match self.dry_run {
            DryRun::Client => {
                output::line(&String::from_utf8_lossy(&bytes));
                return Ok(());
            }
            DryRun::Server => return rehearse(cluster, &bytes).await,
            DryRun::None => {}
        }
        let answer = self.delivery.post(cluster, route, bytes).await?;
        show(&answer).map_err(Into::into)
    }
}

/// Has the API server judge each alert that the webhook would make of the body. The webhook itself cannot rehearse: it
/// would store.
async fn rehearse(cluster: &ClusterArgs, bytes: &[u8]) -> anyhow::Result<()> {
    let intake = taken_in(bytes)?;
    let client = cluster.client().await?;
    let alerts: Api<AegisAlert> = Api::namespaced(client, &cluster.namespace);
    let remark = DryRun::Server.remark();
    let parameters = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
    for refusal in &intake.rejected {
        output::line(&format!("alert rejected: {refusal}{remark}"));
    }
    for (_, signal) in &intake.signals {
        if signal.status == AlertStatus::Resolved {
            output::line(&format!("open alerts of fingerprint {} resolved{remark}", signal.fingerprint));
            continue;
        }
        let mut alert = to_be_stored(signal, &cluster.namespace, &IncidentId::First);
        alert.metadata.uid = None;
        let name = alert.name_any();
        match alerts.create(&parameters, &alert).await {
            Ok(_) => output::line(&format!("aegisalert.aegis.io/{name} stored{remark}")),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                output::line(&format!("aegisalert.aegis.io/{name} is there already{remark}"));
            }
            Err(error) => return Err(Failure::of_aegis_call(format!("alert {name} would not be stored"), error).into()),
        }
    }
    if intake.rejected.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Kind::Findings, "some alerts would be rejected; the lines above say why").into())
}

/// The webhook's answer, as far as it is shown.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    message: String,
    #[serde(default)]
    results: Vec<Outcome>,
}

/// What was done with one alert; `name` and `message` may be empty.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    name: String,
    #[serde(default)]
    result: String,
    #[serde(default)]
    message: String,
}

fn show(answer: &Answer) -> Result<(), Failure> {
    let told: Told = serde_json::from_slice(&answer.body)
        .unwrap_or_else(|_| Told { message: String::from_utf8_lossy(&answer.body).into_owned(), results: Vec::new() });
    for Outcome { name, result, message } in &told.results {
        let subject = if name.is_empty() { "alert".to_owned() } else { format!("aegisalert.aegis.io/{name}") };
        let why = if message.is_empty() { String::new() } else { format!(": {message}") };
        output::line(&format!("{subject} {result}{why}"));
    }
    let refused = told.results.iter().any(|outcome| outcome.result == "rejected");
    match answer.code {
        200..=299 if refused => Err(Failure::new(Kind::Findings, "some alerts were rejected; the lines above say why")),
        200..=299 => Ok(()),
        401 => Err(Failure::new(Kind::Cluster, "the webhook asks for a token, or for another one")
            .hint("give it with --token-file")),
        503 => Err(Failure::new(Kind::Cluster, format!("the webhook could not store the alert now: {}", told.message))
            .hint("send it again: what was stored already is not stored twice")),
        code => Err(Failure::new(Kind::Usage, format!("the webhook answered {code}: {}", told.message))),
    }
}
