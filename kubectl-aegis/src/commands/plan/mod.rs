//! `kubectl aegis plan`: what would happen to an alert and why, by the controller's own functions.

pub(crate) mod known;
pub(super) mod settings;

use aegis_controller::context;
use aegis_crds::AegisAlert;
use aegis_crds::alert::AlertStatus;
use aegis_engine::incident::{IncidentId, Judgement, judge};
use aegis_engine::intake::Intake;
use aegis_engine::plan;
use aegis_engine::signal::Signal;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use self::known::Known;
use super::alert::body::{self, Phase, Words};
use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};
use crate::output;
use crate::replay::cases::{taken_in, to_be_stored};

/// Tell what would happen to an alert and why, without doing it
///
/// The alert is given in words or as a file, as for `kubectl aegis alert send`. Rules, templates and what is known of
/// the alert already are read from the cluster; with --rules from files alone, and then no cluster is needed. Nothing
/// is written anywhere. The decision is made by the function that the controller calls; how the controller was set up is
/// not seen from here, so say it where it matters.
#[derive(Args)]
#[command(after_help = "Examples:
  # What would happen now, in this cluster
  kubectl aegis plan NodeHasEmergencyEvent --node dev1

  # Try rules before they are applied; no cluster is needed
  kubectl aegis plan -f examples/quickstart/alert.json --rules examples/quickstart/rule.yaml

  # The controller reads rules of another team too, and gives templates a parameter
  kubectl aegis plan NodeDown --node n1 --rule-namespaces team-a --parameter cluster=c1

Exit codes: 0 if every alert would be acted on or is known already, 1 if one would not be.")]
pub(crate) struct Plan {
    #[command(flatten)]
    words: Words,
    /// A file with the alert ("-" for standard input): what Alertmanager posts, or one alert in the custom format
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["type_", "node", "pod", "object", "details", "fingerprint", "test"])]
    filename: Option<String>,
    /// Say that the alert is Resolved
    #[arg(long, conflicts_with = "filename")]
    resolved: bool,
    /// Take rules and templates from these files instead of the cluster
    #[arg(long, value_name = "FILE", num_args = 1..)]
    rules: Vec<String>,
    #[command(flatten)]
    given: settings::Given,
    /// How to print it
    #[arg(short, long, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Yaml,
}

/// The plan of one alert, as it is printed with `-o json`.
#[cfg(test)]
pub(crate) fn schema() -> Value {
    crate::schemas::of::<plan::Explanation>()
}

impl Plan {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let phase = if self.resolved { Phase::Resolved } else { Phase::Firing };
        let bytes = match &self.filename {
            Some(file) => body::read(file)?,
            None => serde_json::to_vec(&body::custom(&self.words, phase)?)?,
        };
        let Intake { signals, rejected, .. } = taken_in(&bytes)?;
        let settings = self.given.settings(&cluster.namespace)?;
        let known = Known::gather(cluster, settings, &self.rules, &signals).await?;
        let now = Timestamp::now();
        let mut all_act = rejected.is_empty();
        let mut told = Vec::new();
        for refusal in &rejected {
            told.push(self.shown(&json!({"rejected": refusal.to_string()}), &format!("rejected  {refusal}\n"))?);
        }
        for (_, signal) in &signals {
            let (acts, text) = self.one(&known, &cluster.namespace, signal, now)?;
            all_act &= acts;
            told.push(text);
        }
        output::line(told.join(if self.output == Format::Yaml { "---\n" } else { "\n" }).trim_end());
        if all_act { Ok(()) } else { Err(Failure::new(Kind::Findings, "not every alert would be acted on").into()) }
    }

    /// One alert: whether it would be acted on or is known, and the text for it.
    fn one(&self, known: &Known, namespace: &str, signal: &Signal, now: Timestamp) -> anyhow::Result<(bool, String)> {
        let stored = known.of_signal(signal);
        if signal.status == AlertStatus::Resolved {
            return self.resolution(known, namespace, signal, &stored, now);
        }
        match judge(signal, &stored, now, &context::windows(&known.settings)) {
            Judgement::Open { incident, .. } => {
                let alert = to_be_stored(signal, namespace, &incident);
                let explained = plan::explain(&known.snapshot(alert), now);
                let acts = matches!(explained.decision.kind.as_str(), "Start");
                let text = format!(
                    "incident  a new one: an AegisAlert would be stored; its UID, which it gets then, ends its Workflow's name\n{explained}"
                );
                Ok((acts, self.shown(&serde_json::to_value(&explained)?, &text)?))
            }
            Judgement::Repeat { of, .. } => {
                let name = of.name_any();
                let text = format!("incident  known: {name} would be counted once more, and nothing else done\n");
                Ok((true, self.shown(&json!({"repeats": name}), &text)?))
            }
        }
    }

    /// A resolution: what it sets off on the open alerts of its fingerprint, or as an alert of its own.
    fn resolution(
        &self,
        known: &Known,
        namespace: &str,
        signal: &Signal,
        stored: &[&AegisAlert],
        now: Timestamp,
    ) -> anyhow::Result<(bool, String)> {
        let phase = |alert: &AegisAlert| alert.status.as_ref().and_then(|status| status.status);
        let open = stored.iter().filter(|alert| phase(alert) != Some(AlertStatus::Resolved));
        let mut resolved: Vec<AegisAlert> = open.map(|alert| (*alert).clone()).collect();
        for alert in &mut resolved {
            alert.status.get_or_insert_default().status = Some(AlertStatus::Resolved);
        }
        if resolved.is_empty() {
            if !stored.is_empty() {
                return Ok((
                    true,
                    self.shown(&json!({"resolves": []}), "incident  over already: nothing would be done\n")?,
                ));
            }
            resolved.push(to_be_stored(signal, namespace, &IncidentId::First));
        }
        let mut text = String::new();
        let mut values = Vec::new();
        for alert in resolved {
            let explained = plan::explain(&known.snapshot(alert), now);
            text.push_str(&format!("incident  {} would be Resolved\n{explained}", explained.alert));
            values.push(serde_json::to_value(&explained)?);
        }
        Ok((true, self.shown(&Value::from(values), &text)?))
    }

    fn shown(&self, value: &Value, text: &str) -> anyhow::Result<String> {
        Ok(match self.output {
            Format::Text => text.to_owned(),
            Format::Json => format!("{}\n", serde_json::to_string_pretty(value)?),
            Format::Yaml => serde_saphyr::to_string(value)?,
        })
    }
}
