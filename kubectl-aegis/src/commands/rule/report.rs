//! `kubectl aegis rule report`: what rules would have done about the alerts of some time, and how much at once.

mod peak;

use std::collections::{BTreeMap, BTreeSet};

use aegis_crds::AegisAlert;
use aegis_crds::rule::Mode;
use aegis_engine::duration;
use aegis_engine::plan;
use aegis_engine::rules::CompiledRule;
use aegis_engine::scope::ObjectName;
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use kubectl_aegis::view::kinds::ALERT;
use serde::Serialize;

use self::peak::{Span, most_at_once, most_within};
use super::against::Against;
use crate::cluster::ClusterArgs;
use crate::commands::get::length;
use crate::failure::{Failure, Kind};
use crate::fetch::{self, Wanted};
use crate::manifests::Manifests;
use crate::output;
use crate::replay::cases;
use crate::replay::{self, Outcome, Word};

/// Say what rules would have done about the alerts of some time, and at most how much at once
///
/// The stored alerts go through the rules as `kubectl aegis rule test --since` puts them. A rule in mode Observe is taken
/// to act. The policy of the cluster's AegisGuard holds as it stands, but no pause, and no place that is taken now.
///
/// How much at once is counted with each action lasting as long as its template lets it, and as long as its actions
/// lasted on average so far. Alerts that were deleted already are not known any more: those without an action are kept
/// for a day.
#[derive(Args)]
#[command(after_help = "Examples:
  # All rules of the cluster
  kubectl aegis rule report --since 7d

  # A rule that is not applied yet, among those of its file
  kubectl aegis rule report --since 7d -f examples/quickstart/rule.yaml

  # One rule
  kubectl aegis rule report nodehasemergencyevent --since 24h -o json

Exit codes: 0 if every rule could be judged, 1 if a rule or template that is asked cannot be used, \
5 if there is no such rule.")]
pub(crate) struct Report {
    /// The rule, by name; all without
    #[arg(value_name = "RULE")]
    rule: Option<String>,
    /// The alerts that were stored within that time
    #[arg(long, value_name = "DURATION", value_parser = length, default_value = "7d")]
    since: SignedDuration,
    #[command(flatten)]
    against: Against,
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

/// What one rule would have done.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct RuleReport {
    rule: String,
    mode: String,
    /// Alerts that it is the rule of.
    alerts: usize,
    /// Actions that would have been made.
    actions: usize,
    /// Held by the policy, by gate.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    held: BTreeMap<String, usize>,
    /// What could not be made: the reason, once each.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    failures: BTreeSet<String>,
    /// What it would have acted on.
    targets: usize,
    /// At most so many under way, each as long as its template lets it.
    most_at_once: usize,
    /// And how long that is.
    longest: String,
    /// At most so many under way, each as long as they lasted so far; nothing if none has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    likely_at_once: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average: Option<String>,
    /// At most so many began within ten minutes, the time of the breaker.
    most_within_ten_minutes: usize,
}

/// What it prints with `-o json`.
#[cfg(test)]
pub(crate) fn schema() -> serde_json::Value {
    crate::schemas::of::<Vec<RuleReport>>()
}

impl Report {
    pub(super) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let now = Timestamp::now();
        let client = cluster.client().await?;
        let mut manifests = self.against.manifests(cluster, Some(&client)).await?;
        let modes = act(&mut manifests);
        let known = self.against.known(cluster, &manifests)?;
        let cases = cases::of_cluster(&client, Some(&cluster.namespace), self.since, now).await?;
        let alerts = fetch::list(&client, &ALERT, &Wanted::all_in(Some(&cluster.namespace))).await?;
        let alerts: Vec<AegisAlert> =
            alerts.items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect();
        let outcomes: Vec<(Outcome, Timestamp, String)> = cases
            .iter()
            .map(|case| {
                let object = &case.alert.spec.involved_object;
                let target = format!("{}/{}/{}", object.kind, object.namespace, object.name);
                (replay::outcome(&known, case), case.now, target)
            })
            .collect();
        let wanted = self
            .rule
            .as_deref()
            .map(|name| if name.contains('/') { name.to_owned() } else { format!("{}/{name}", cluster.namespace) });
        let mut reports = Vec::new();
        for (rule, mode) in modes.iter().filter(|(rule, _)| wanted.as_ref().is_none_or(|wanted| wanted == *rule)) {
            let longest = longest(&manifests, rule);
            reports.push(one(rule, mode, longest, average(&alerts, rule), &outcomes));
        }
        if let (Some(wanted), true) = (&wanted, reports.is_empty()) {
            return Err(Failure::new(Kind::NotFound, format!("there is no rule {wanted}"))
                .hint("`kubectl aegis get rules` lists them")
                .into());
        }
        let oldest = cases.iter().map(|case| case.now).min();
        let unmatched = outcomes.iter().filter(|(outcome, _, _)| outcome.rule.is_none()).count();
        match self.output {
            Format::Json => output::line(&serde_json::to_string_pretty(&reports)?),
            Format::Yaml => output::line(serde_saphyr::to_string(&reports)?.trim_end()),
            Format::Text => {
                for report in &reports {
                    output::text(&text(report));
                }
                let oldest = oldest.map(|oldest| format!(", the oldest of {oldest}")).unwrap_or_default();
                output::line(&format!("{} reports of alerts{oldest}; {unmatched} follow no rule", outcomes.len()));
            }
        }
        if reports.iter().any(|report| !report.failures.is_empty()) {
            return Err(Failure::new(Kind::Findings, "some actions could not have been made").into());
        }
        Ok(())
    }
}

/// Has every rule act; how each was meant, by name.
fn act(manifests: &mut Manifests) -> BTreeMap<String, String> {
    let mut modes = BTreeMap::new();
    for rule in &mut manifests.rules {
        let name = ObjectName::of(&*rule).to_string();
        let mode = if rule.spec.mode == Some(Mode::Observe) { "Observe" } else { "Act" };
        modes.insert(name, mode.to_owned());
        rule.spec.mode = None;
    }
    modes
}

/// How long an action of the rule may take: as its template says, or as the controller does.
fn longest(manifests: &Manifests, rule: &str) -> SignedDuration {
    let rules = manifests.rules.iter().filter_map(|rule| CompiledRule::compile(rule).ok());
    let wanted = rules.into_iter().find(|one| one.name.to_string() == rule).map(|one| one.template);
    let template = manifests.templates.iter().find(|one| Some(ObjectName::of(*one)) == wanted);
    let written = template.and_then(|template| duration::parse(template.spec.timeout.as_deref()?).ok());
    written.unwrap_or(plan::Settings::default().action_timeout)
}

/// How long actions of the rule lasted on average.
fn average(alerts: &[AegisAlert], rule: &str) -> Option<SignedDuration> {
    let actions = alerts.iter().filter_map(|alert| alert.status.as_ref()).flat_map(|status| &status.actions);
    let lasted: Vec<i64> = actions
        .filter(|action| action.rule == rule)
        .filter_map(|action| Some(action.completion_time?.duration_since(action.start_time?).as_secs()))
        .collect();
    let count = i64::try_from(lasted.len()).ok().filter(|count| *count > 0)?;
    Some(SignedDuration::from_secs((lasted.iter().sum::<i64>() / count).max(1)))
}

fn one(
    rule: &str,
    mode: &str,
    longest: SignedDuration,
    average: Option<SignedDuration>,
    outcomes: &[(Outcome, Timestamp, String)],
) -> RuleReport {
    let own: Vec<_> = outcomes.iter().filter(|(outcome, _, _)| outcome.rule.as_deref() == Some(rule)).collect();
    let fired: Vec<_> = own.iter().filter(|(outcome, _, _)| outcome.result == Word::Fires).collect();
    let mut held = BTreeMap::new();
    for (outcome, _, _) in own.iter().filter(|(outcome, _, _)| outcome.result == Word::Held) {
        let gate = outcome.gate.clone().or_else(|| outcome.reason.clone()).unwrap_or_default();
        *held.entry(gate).or_insert(0) += 1;
    }
    let failed = own.iter().filter(|(outcome, _, _)| outcome.result == Word::Fails);
    let spans =
        |length: SignedDuration| -> Vec<Span> { fired.iter().map(|(_, at, _)| Span::new(*at, length)).collect() };
    RuleReport {
        rule: rule.to_owned(),
        mode: mode.to_owned(),
        alerts: own.len(),
        actions: fired.len(),
        held,
        failures: failed.map(|(outcome, _, _)| outcome.message.clone()).collect(),
        targets: fired.iter().map(|(_, _, target)| target).collect::<BTreeSet<_>>().len(),
        most_at_once: most_at_once(&spans(longest)),
        longest: duration::brief(longest),
        likely_at_once: average.map(|average| most_at_once(&spans(average))),
        average: average.map(duration::brief),
        most_within_ten_minutes: most_within(
            &fired.iter().map(|(_, at, _)| *at).collect::<Vec<_>>(),
            SignedDuration::from_mins(10),
        ),
    }
}

fn text(report: &RuleReport) -> String {
    let RuleReport { rule, mode, alerts, actions, held, failures, targets, most_at_once, longest, .. } = report;
    let would = if mode == "Observe" { ", which only observes," } else { "" };
    let mut text = format!("{rule}{would} is the rule of {alerts} alerts\n");
    text.push_str(&format!("  actions   {actions} on {targets} targets\n"));
    if *actions > 0 {
        text.push_str(&format!("  at once   at most {most_at_once}, if each takes the {longest} that it may take\n"));
        if let (Some(likely), Some(average)) = (report.likely_at_once, &report.average) {
            text.push_str(&format!("            {likely}, if each takes {average} as on average so far\n"));
        }
        let burst = report.most_within_ten_minutes;
        text.push_str(&format!("            {burst} begin within ten minutes; the breaker opens at 60 by default\n"));
    }
    for (gate, count) in held {
        text.push_str(&format!("  held      {count} by the gate {gate}\n"));
    }
    for failure in failures {
        text.push_str(&format!("  fails     {failure}\n"));
    }
    text
}
