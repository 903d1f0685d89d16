//! `kubectl aegis pause`: stop everything, a rule, or what is done to an object.

pub(crate) mod resume;
mod target;

use aegis_crds::AegisAlertOpsRule;
use aegis_crds::guard::Pause as Entry;
use aegis_crds::names::PAUSE_ANNOTATION;
use aegis_engine::duration;
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, DynamicObject};
use serde_json::{Value, json};

use self::target::Target;
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::guard::Guard;
use crate::output;
use crate::person::Person;

/// Keep Aegis from acting: at all, by one rule, or on one object
///
/// Nothing begins from then on that the pause holds; what is under way goes on. Alerts are taken and judged as always,
/// and what was held is looked at again when the pause ends. Recovery, such as uncordoning what Aegis cordoned, goes on
/// unless --recovery-too is given. A target that is paused already gets the new reason and end.
///
/// The pause stands in the AegisGuard "aegis" of -n, in spec.pauses.
#[derive(Args)]
#[command(after_help = "Examples:
  # Everything, until somebody resumes it
  kubectl aegis pause --reason 'network work'

  # One node for two hours
  kubectl aegis pause node/dev1 --reason 'memory test' --for 2h

  # One rule
  kubectl aegis pause rule/nodehasemergencyevent --reason 'too eager'

  # What is done to a pod, recovery included
  kubectl aegis pause pod/web/web-0 --reason 'being debugged' --recovery-too

Without the plugin, everything is paused by
  kubectl annotate aegisguard aegis -n monitoring aegis.io/pause='network work'")]
pub(crate) struct Pause {
    /// all, rule/NAME, rule/NAMESPACE/NAME, node/NAME, pod/NAMESPACE/NAME, or another object as KIND/NAMESPACE/NAME
    #[arg(value_name = "TARGET", default_value = "all")]
    target: String,
    /// Why, for whoever finds it paused
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// For how long, such as 30m or 2h; by default until somebody resumes it
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    length: Option<SignedDuration>,
    /// Pause recovery too
    #[arg(long)]
    recovery_too: bool,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    output: OutputArg,
}

/// How the guard is shown after a change.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArg {
    /// json, yaml: print the AegisGuard as it stands then; name: print what is paused then, one target a line
    #[arg(short, long, value_name = "json|yaml|name", hide_possible_values = true)]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
    Name,
}

impl Pause {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let target = Target::paused(&self.target, &cluster.namespace)?;
        let client = cluster.client().await?;
        let dry_run = self.dry_run.dry_run;
        let person = Person::known(&client, cluster, dry_run).await;
        let pause = self.pause(&target, &person)?;
        let entry = serde_json::to_value(&pause)?;
        let guard = Guard::new(&client, &cluster.namespace);
        let written = guard.change(dry_run, |found| Some(added(found, &target, &entry, person.now))).await?;
        if self.reason.is_none() {
            eprintln!("no reason was given: --reason tells whoever finds it paused");
        }
        let until = pause.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let recovery = if pause.recovery_too { ", recovery too," } else { "" };
        let told = format!("{target} paused{recovery}{until}").trim_end_matches(',').to_owned();
        show(self.output.output, written, &told, dry_run, person.now)?;
        warn_of_missing(&client, &target).await;
        Ok(())
    }

    fn pause(&self, target: &Target, person: &Person) -> Result<Entry, Failure> {
        let until = match self.length {
            None => None,
            Some(length) => Some(person.now.checked_add(length).map_err(|error| {
                Failure::new(Kind::Usage, "--for: the end of the pause is out of reach").because(error)
            })?),
        };
        Ok(Entry {
            target: target.to_string(),
            reason: self.reason.clone(),
            by: Some(person.name.clone()),
            since: Some(person.now),
            until,
            recovery_too: self.recovery_too,
        })
    }
}

/// The patch that adds a pause, in the place of one of the same target. Pauses that have run out go with it.
fn added(guard: &Value, target: &Target, entry: &Value, now: Timestamp) -> Value {
    let mut pauses: Vec<Value> = others(guard, target, now).cloned().collect();
    pauses.push(entry.clone());
    json!({"spec": {"pauses": pauses}})
}

/// The pauses of other targets that have not run out.
fn others<'a>(guard: &'a Value, target: &'a Target, now: Timestamp) -> impl Iterator<Item = &'a Value> {
    pauses(guard).filter(move |pause| !is_of(pause, target) && in_force(pause, now))
}

/// The pauses as they were written.
pub(super) fn pauses(guard: &Value) -> impl Iterator<Item = &Value> {
    guard.pointer("/spec/pauses").and_then(Value::as_array).into_iter().flatten()
}

fn in_force(pause: &Value, now: Timestamp) -> bool {
    let until = pause.get("until").and_then(Value::as_str).and_then(|until| until.parse::<Timestamp>().ok());
    until.is_none_or(|until| now < until)
}

fn is_of(pause: &Value, target: &Target) -> bool {
    pause.get("target").and_then(Value::as_str).is_some_and(|written| target.is_of(written))
}

/// The reason of a pause of everything that was made by the annotation.
pub(super) fn annotation(guard: &Value) -> Option<&str> {
    let value = guard.get("metadata")?.get("annotations")?.get(PAUSE_ANNOTATION)?.as_str()?.trim();
    (!matches!(value, "" | "false")).then_some(value)
}

/// The targets of all pauses in force.
fn targets(guard: &Value, now: Timestamp) -> Vec<&str> {
    let mut targets: Vec<&str> = pauses(guard)
        .filter(|pause| in_force(pause, now))
        .filter_map(|pause| pause.get("target").and_then(Value::as_str))
        .collect();
    if annotation(guard).is_some() && !targets.contains(&"all") {
        targets.insert(0, "all");
    }
    targets
}

/// Prints what came of it: the sentence, or the guard.
fn show(
    format: Option<Format>,
    guard: Option<DynamicObject>,
    told: &str,
    dry_run: DryRun,
    now: Timestamp,
) -> anyhow::Result<()> {
    let Some(format) = format else {
        output::line(&format!("{told}{}", dry_run.remark()));
        return Ok(());
    };
    let Some(mut guard) = guard else { return Ok(()) };
    guard.metadata.managed_fields = None;
    match format {
        Format::Json => output::line(&serde_json::to_string_pretty(&guard)?),
        Format::Yaml => output::line(serde_saphyr::to_string(&guard)?.trim_end()),
        Format::Name => {
            let guard = serde_json::to_value(&guard)?;
            targets(&guard, now).into_iter().for_each(output::line);
        }
    }
    Ok(())
}

/// A pause of what is not there may be meant for later, or be a slip.
async fn warn_of_missing(client: &Client, target: &Target) {
    let missing = match target {
        Target::Node(name) => matches!(Api::<Node>::all(client.clone()).get_metadata_opt(name).await, Ok(None)),
        Target::Rule { namespace, name } => {
            let rules: Api<AegisAlertOpsRule> = Api::namespaced(client.clone(), namespace);
            matches!(rules.get_metadata_opt(name).await, Ok(None))
        }
        Target::All | Target::Breaker | Target::Other(_) => false,
    };
    if missing {
        eprintln!("warning: there is no {target}; the pause holds if there will be");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_pause_takes_the_place_of_its_own_kind_and_of_what_has_run_out() {
        let guard = json!({"spec": {"pauses": [
            {"target": "node/n1", "reason": "old"},
            {"target": "node/n2", "until": "2026-11-22T11:59:59Z"},
            {"target": "node/n3", "until": "2026-11-22T12:00:01Z", "later": "field"},
        ]}});
        let node = Target::Node("n1".to_owned());
        let patch = added(&guard, &node, &json!({"target": "node/n1", "reason": "new"}), noon());
        let want = json!({"spec": {"pauses": [
            {"target": "node/n3", "until": "2026-11-22T12:00:01Z", "later": "field"},
            {"target": "node/n1", "reason": "new"},
        ]}});
        assert_eq!(patch, want);
        let patch = added(&Value::Null, &Target::All, &json!({"target": "all"}), noon());
        assert_eq!(patch, json!({"spec": {"pauses": [{"target": "all"}]}}), "where there is no guard yet");
    }
}
