//! `kubectl aegis rule test`: what rules make of alerts, offline, against what is expected of them.

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use super::against::Against;
use crate::cluster::ClusterArgs;
use crate::commands::get::length;
use crate::commands::plan::known::Known;
use crate::failure::{Failure, Kind};
use crate::manifests;
use crate::output;
use crate::replay::cases::{self, Case};
use crate::replay::expectation::{self, diff, yaml};
use crate::replay::{self, Outcome, Word};

/// Put alerts through rules, offline, and say what would come of them and why
///
/// The alerts are bodies in files, as senders post them (--alert), or those that are stored in the cluster (--since), each
/// as it fired and, where it was resolved, as it was then. They go through the very functions that the controller
/// decides by: which rule wins and why, which gate holds the action, and the object that would be made. With -f and
/// --alert no cluster is needed, so this runs in the pipeline of a repository of rules.
///
/// --expect compares the outcomes with a file. A report printed with -o yaml is such a file; what is deleted from it is
/// not compared.
#[derive(Args)]
#[command(after_help = "Examples:
  # What a rule makes of an alert
  kubectl aegis rule test -f examples/quickstart/rule.yaml --alert examples/quickstart/alert.json

  # Write down that this is right, and check it from then on
  kubectl aegis rule test -f examples/hpc --alert examples/hpc/nodecriticalissue.json -o yaml > expect.yaml
  kubectl aegis rule test -f examples/hpc --alert examples/hpc/nodecriticalissue.json --expect expect.yaml

  # In what the objects differ from those of the rules as they were
  kubectl aegis rule test -f examples/hpc --base examples/quickstart --alert examples/hpc/nodecriticalissue.json

  # What new rules would have made of the alerts of the last day
  kubectl aegis rule test -f examples/quickstart/rule.yaml --since 24h

Exit codes: 0 if all is as expected, or without --expect if every rule and template that is asked can be used; \
1 if not.")]
pub(crate) struct Test {
    #[command(flatten)]
    against: Against,
    /// A file with an alert: what Alertmanager posts, or one alert in the custom format; repeat it for more
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "since")]
    alert: Vec<String>,
    /// The alerts of -n that were stored within that time, such as 24h or 7d
    #[arg(long, value_name = "DURATION", value_parser = length, conflicts_with = "alert")]
    since: Option<SignedDuration>,
    /// What is expected of each alert, in the form of -o yaml
    #[arg(long, value_name = "FILE")]
    expect: Option<String>,
    /// Other rules and templates; only in what the outcomes differ from theirs is shown
    #[arg(long, value_name = "PATH", num_args = 1..)]
    base: Vec<String>,
    /// Say of each rule that does not match why
    #[arg(long)]
    why_not: bool,
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

/// What it prints with `-o json`.
#[cfg(test)]
pub(crate) fn schema() -> serde_json::Value {
    crate::schemas::of::<Vec<Outcome>>()
}

impl Test {
    pub(super) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let needs_cluster = self.since.is_some() || self.against.filename.is_empty();
        let client = if needs_cluster { Some(cluster.client().await?) } else { None };
        let manifests = self.against.manifests(cluster, client.as_ref()).await?;
        let known = self.against.known(cluster, &manifests)?;
        let (cases, refused) = match (self.since, &client) {
            (Some(since), Some(client)) => {
                (cases::of_cluster(client, Some(&cluster.namespace), since, now).await?, Vec::new())
            }
            _ => cases::of_files(&self.alert, &cluster.namespace, now)?,
        };
        let outcomes: Vec<Outcome> = cases.iter().map(|case| replay::outcome(&known, case)).collect();
        let base = self.base(cluster, &cases)?;
        match self.output {
            Format::Json => output::line(&serde_json::to_string_pretty(&outcomes)?),
            Format::Yaml => output::line(serde_saphyr::to_string(&outcomes)?.trim_end()),
            Format::Text => self.tell(&outcomes, base.as_deref()),
        }
        for refusal in &refused {
            eprintln!("rejected  {refusal}");
        }
        if let Some(file) = &self.expect {
            let differences = expectation::differences(&expectation::read(file)?, &outcomes)?;
            if self.output == Format::Text {
                differences.iter().for_each(|difference| output::text(difference));
            } else {
                differences.iter().for_each(|difference| eprint!("{difference}"));
            }
            if !differences.is_empty() {
                let count = differences.len();
                return Err(Failure::new(Kind::Findings, format!("{count} of the outcomes are not as expected")).into());
            }
            eprintln!("all {} outcomes are as expected", outcomes.len());
            return Ok(());
        }
        let fails = outcomes.iter().filter(|outcome| outcome.result == Word::Fails).count();
        if fails > 0 || !refused.is_empty() {
            return Err(Failure::new(Kind::Findings, "not every alert could be judged; the lines above say why").into());
        }
        Ok(())
    }

    /// What other rules make of the same alerts, where they are given.
    fn base(&self, cluster: &ClusterArgs, cases: &[Case]) -> Result<Option<Vec<Outcome>>, Failure> {
        if self.base.is_empty() {
            return Ok(None);
        }
        let manifests = manifests::read(&self.base, &cluster.namespace)?;
        let known: Known = self.against.known(cluster, &manifests)?;
        Ok(Some(cases.iter().map(|case| replay::outcome(&known, case)).collect()))
    }

    fn tell(&self, outcomes: &[Outcome], base: Option<&[Outcome]>) {
        let mut counts = std::collections::BTreeMap::new();
        for (nth, outcome) in outcomes.iter().enumerate() {
            *counts.entry(outcome.result).or_insert(0_usize) += 1;
            let before = base.and_then(|base| base.get(nth));
            if let Some(before) = before
                && (before.result, &before.rule, &before.object) == (outcome.result, &outcome.rule, &outcome.object)
            {
                continue;
            }
            output::text(&self.one(outcome, before));
        }
        let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {}", word.as_str())).collect();
        output::line(&format!("{} in all: {}", outcomes.len(), counts.join(", ")));
    }

    /// One outcome as text, with its object as a diff to that of the base, or to none.
    fn one(&self, outcome: &Outcome, before: Option<&Outcome>) -> String {
        let coloured = output::coloured();
        let word = match outcome.result {
            Word::Fires => output::painted("Fires", output::GOOD, coloured),
            Word::Fails => output::painted("Fails", output::BAD, coloured),
            other => output::painted(other.as_str(), output::BUSY, coloured),
        };
        let Outcome { alert, type_, phase, rule, why, others, reason, gate, message, object, not_matching, .. } =
            outcome;
        let mut text = format!("{alert}: {type_} {phase}: {word}\n");
        if let (Some(rule), Some(why)) = (rule, why) {
            text.push_str(&format!("  rule      {rule}: {why}\n"));
        }
        for other in others {
            text.push_str(&format!("            {other} matches too\n"));
        }
        if self.why_not || rule.is_none() {
            for (name, why) in not_matching {
                text.push_str(&format!("            {name} {why}\n"));
            }
        }
        let reason = reason.as_ref().map(|reason| format!("{reason}: ")).unwrap_or_default();
        let gate = gate.as_ref().map(|gate| format!(" (gate {gate})")).unwrap_or_default();
        text.push_str(&format!("  outcome   {reason}{message}{gate}\n"));
        if let Some(before) = before {
            let rule = before.rule.as_deref().unwrap_or("no rule");
            text.push_str(&format!("  before    {} by {rule}\n", before.result.as_str()));
        }
        let old = before.and_then(|before| before.object.as_ref()).map(yaml).unwrap_or_default();
        let new = object.as_ref().map(yaml).unwrap_or_default();
        for line in diff(if before.is_some() { "base" } else { "nothing" }, &old, "rendered", &new).lines() {
            let style = match line.chars().next() {
                Some('+') => output::GOOD,
                Some('-') => output::BAD,
                _ => output::FAINT,
            };
            text.push_str(&format!("  {}\n", output::painted(line, style, coloured)));
        }
        text
    }
}
