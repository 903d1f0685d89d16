//! `kubectl aegis resume`: end a pause, close the breaker, begin anew after failures.

use aegis_crds::names::PAUSE_ANNOTATION;
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::target::Target;
use super::{OutputArg, annotation, is_of, others, pauses, show, targets};
use crate::cluster::ClusterArgs;
use crate::dry_run::DryRunArg;
use crate::guard::Guard;
use crate::person::Person;

/// Let Aegis act again: end a pause, or close the breaker
///
/// What was held by the pause is looked at again at once. Resuming a rule, a node or another object also forgives what
/// failed there before: it is acted on again where Aegis had given up and asked for a person. Resuming "all" ends the
/// pause of everything, by whatever means it was made; pauses of single targets stay, and are told.
///
/// What was not paused is told on stderr and is no error.
#[derive(Args)]
#[command(after_help = "Examples:
  # End the pause of everything
  kubectl aegis resume

  # A node was repaired by hand: act on it again, and forget what failed before
  kubectl aegis resume node/dev1

  # The storm is over: do not wait until the breaker closes by itself
  kubectl aegis resume breaker")]
pub(crate) struct Resume {
    /// all, breaker, rule/NAME, rule/NAMESPACE/NAME, node/NAME, pod/NAMESPACE/NAME, or another object as
    /// KIND/NAMESPACE/NAME
    #[arg(value_name = "TARGET", default_value = "all")]
    target: String,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    output: OutputArg,
}

impl Resume {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let target = Target::resumed(&self.target, &cluster.namespace)?;
        let client = cluster.client().await?;
        let dry_run = self.dry_run.dry_run;
        let person = Person::known(&client, cluster, dry_run).await;
        let guard = Guard::new(&client, &cluster.namespace);
        let was_held = std::cell::Cell::new(false);
        let change = |found: &Value| {
            was_held.set(holds(found, &target));
            patch(found, &target, person.now)
        };
        let Some(written) = guard.change(dry_run, change).await? else {
            eprintln!("{target} is not {}", if target == Target::Breaker { "open" } else { "paused" });
            if self.output.output.is_some() {
                show(self.output.output, guard.read().await?, "", dry_run, person.now)?;
            }
            return Ok(());
        };
        if !was_held.get() {
            eprintln!("{target} was not paused; what failed there before no longer counts");
        }
        let left = serde_json::to_value(&written)?;
        let left = targets(&left, person.now).join(", ");
        if !left.is_empty() {
            eprintln!("still paused: {left}");
        }
        show(self.output.output, Some(written), &format!("{target} resumed"), dry_run, person.now)
    }
}

/// Whether the target is held back: paused, or for the breaker, open.
fn holds(guard: &Value, target: &Target) -> bool {
    let paused = || pauses(guard).any(|pause| is_of(pause, target));
    match target {
        Target::Breaker => guard.pointer("/status/breaker/state").and_then(Value::as_str) == Some("Open"),
        Target::All => paused() || annotation(guard).is_some(),
        Target::Rule { .. } | Target::Node(_) | Target::Other(_) => paused(),
    }
}

/// The patch that ends the pauses of a target and says since when its failures count; `None` if there is nothing to end.
fn patch(guard: &Value, target: &Target, now: Timestamp) -> Option<Value> {
    let held = holds(guard, target);
    // Nothing can have failed where there is no book.
    if guard.is_null() || (!held && matches!(target, Target::All | Target::Breaker)) {
        return None;
    }
    let mut spec = Map::new();
    if pauses(guard).any(|pause| is_of(pause, target)) {
        let left: Vec<&Value> = others(guard, target, now).collect();
        spec.insert("pauses".to_owned(), if left.is_empty() { Value::Null } else { json!(left) });
    }
    if *target == Target::All {
        return Some(json!({"metadata": {"annotations": {PAUSE_ANNOTATION: null}}, "spec": spec}));
    }
    // Whoever writes the book has another clock: what stands there must be over by this time too.
    let since = latest(guard, target).map_or(now, |latest| latest.max(now));
    spec.insert("resumed".to_owned(), json!({target.to_string(): since}));
    Some(json!({"spec": spec}))
}

/// When the last of what is forgiven happened, as far as the book tells.
fn latest(guard: &Value, target: &Target) -> Option<Timestamp> {
    let time = |value: Option<&Value>| value.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    let of_endings = |field: &str, name: &str| {
        let endings = guard.pointer("/status/endings").and_then(Value::as_array).into_iter().flatten();
        let of_it = endings.filter(|ending| ending.get(field).and_then(Value::as_str) == Some(name));
        of_it.filter_map(|ending| time(ending.get("time"))).max()
    };
    match target {
        Target::All => None,
        Target::Breaker => time(guard.pointer("/status/breaker/opened")),
        Target::Rule { namespace, name } => of_endings("rule", &format!("{namespace}/{name}")),
        Target::Node(_) | Target::Other(_) => of_endings("target", &target.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn node() -> Target {
        Target::Node("n1".to_owned())
    }

    #[test]
    fn a_pause_ends_and_others_stay() {
        let guard = json!({"spec": {"pauses": [{"target": "all"}, {"target": "node/n1"}]}});
        let ended = patch(&guard, &node(), noon()).unwrap();
        let want = json!({"spec": {"pauses": [{"target": "all"}], "resumed": {"node/n1": "2026-11-22T12:00:00Z"}}});
        assert_eq!(ended, want);
        let last = json!({"spec": {"pauses": [{"target": "all"}]}});
        let ended = patch(&last, &Target::All, noon()).unwrap();
        assert_eq!(ended["spec"], json!({"pauses": null}), "an empty list would stay in the object");
        assert_eq!(patch(&json!({}), &Target::All, noon()), None);
    }

    #[test]
    fn a_pause_that_was_made_with_kubectl_ends_too() {
        let guard = json!({"metadata": {"annotations": {PAUSE_ANNOTATION: "why"}}, "spec": {}});
        let ended = patch(&guard, &Target::All, noon()).unwrap();
        assert_eq!(ended, json!({"metadata": {"annotations": {PAUSE_ANNOTATION: null}}, "spec": {}}));
    }

    #[test]
    fn what_the_book_tells_of_is_over_by_whichever_clock() {
        let ahead = json!({"status": {
            "endings": [{"rule": "m/r", "target": "node/n1", "time": "2026-11-22T12:00:07Z", "failures": 3}],
            "breaker": {"state": "Open", "opened": "2026-11-22T12:00:09Z"},
        }});
        let rule = Target::Rule { namespace: "m".to_owned(), name: "r".to_owned() };
        let cases = [(node(), "node/n1", "07"), (rule, "rule/m/r", "07"), (Target::Breaker, "breaker", "09")];
        for (target, name, second) in cases {
            let ended = patch(&ahead, &target, noon()).unwrap();
            assert_eq!(ended["spec"]["resumed"][name], format!("2026-11-22T12:00:{second}Z"), "{name}");
        }
        let other = Target::Node("n2".to_owned());
        assert_eq!(patch(&ahead, &other, noon()).unwrap()["spec"]["resumed"]["node/n2"], "2026-11-22T12:00:00Z");
    }

    #[test]
    fn a_breaker_that_is_closed_is_left_alone() {
        let guard = json!({"status": {"breaker": {"state": "Closed"}}});
        assert_eq!(patch(&guard, &Target::Breaker, noon()), None);
        assert_eq!(patch(&Value::Null, &node(), noon()), None, "there is no book yet");
    }
}
