//! Pauses: what people stopped, and until when.

use std::collections::BTreeMap;
use std::fmt;

use aegis_crds::guard::{AegisGuardSpec, Pause};
use aegis_crds::names::PAUSE_ANNOTATION;
use jiff::Timestamp;

use super::policy::PolicyFlaw;
use crate::flaw::shown;
use crate::scope::ObjectName;

/// All pauses that people wrote, in the spec and as annotation. Those that expired are among them and hold nothing.
#[derive(Clone, Debug, Default)]
pub struct Pauses(Vec<Entry>);

/// A pause that holds an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseHold {
    /// What is paused: "everything", "rule monitoring/cordon", "node n1".
    pub what: String,
    /// Why, if somebody said so.
    pub reason: Option<String>,
    /// Who paused it, as they say.
    pub by: Option<String>,
    /// Until when; `None`: until somebody resumes it.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Entry {
    target: Target,
    pause: Pause,
}

/// What a pause is of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    All,
    /// What nobody can read pauses everything: whoever wrote it wanted something stopped.
    Unreadable,
    Rule {
        namespace: Option<String>,
        name: String,
    },
    /// As claims name it: "node/NAME", "kind/NAMESPACE/NAME"; "alert/NAME" for an alert about nothing in particular.
    Object(String),
}

impl Pauses {
    /// The pauses of an AegisGuard. The annotation, whatever its value but "false" or nothing, pauses all but recovery.
    pub fn of(spec: &AegisGuardSpec, annotations: Option<&BTreeMap<String, String>>) -> Self {
        let annotation = annotations.and_then(|all| all.get(PAUSE_ANNOTATION)).map(|value| value.trim());
        let annotated = annotation.filter(|value| !matches!(*value, "" | "false")).map(|value| Pause {
            target: "all".to_owned(),
            reason: (value != "true").then(|| value.to_owned()),
            ..Pause::default()
        });
        let all = spec.pauses.iter().cloned().chain(annotated);
        Self(all.map(|pause| Entry { target: Target::read(&pause.target), pause }).collect())
    }

    /// The pause that holds an action of the rule on the targets, which are named as claims name them. `recovery`: it
    /// puts back what Aegis did, which only a pause of recovery too holds. Of several, the one that holds the longest.
    pub fn holding(&self, rule: &ObjectName, targets: &[&str], recovery: bool, now: Timestamp) -> Option<PauseHold> {
        let holds = |entry: &&Entry| {
            entry.in_force(now) && (entry.pause.recovery_too || !recovery) && entry.target.covers(rule, targets)
        };
        let longest = |entry: &&Entry| entry.pause.until.unwrap_or(Timestamp::MAX);
        // The last of equals wins: among pauses without an end that is whatever was written last.
        self.0.iter().filter(holds).max_by_key(longest).map(|entry| PauseHold {
            what: entry.what(),
            reason: entry.pause.reason.clone(),
            by: entry.pause.by.clone(),
            until: entry.pause.until,
        })
    }

    /// When the next pause that is in force ends; `None` if none does by itself.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().filter_map(|entry| entry.pause.until).filter(|until| now < *until).min()
    }

    /// What is paused now, in short: "everything, node n1"; `None` if nothing is.
    pub fn summary(&self, now: Timestamp) -> Option<String> {
        const SHOWN: usize = 3;
        let what: Vec<String> = self.0.iter().filter(|entry| entry.in_force(now)).map(Entry::what).collect();
        let more = what.len().saturating_sub(SHOWN);
        let shown = what.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        match (what.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(shown),
            (false, more) => Some(format!("{shown} and {more} more")),
        }
    }
}

impl fmt::Display for PauseHold {
    /// A sentence without a full stop: "everything is paused by ada until 2026-11-22T14:00:00Z: new switches".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, reason, by, until } = self;
        write!(f, "{what} is paused")?;
        if let Some(by) = by {
            write!(f, " by {by}")?;
        }
        match until {
            Some(until) => write!(f, " until {until}")?,
            None => f.write_str(" until somebody resumes it")?,
        }
        reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

impl Entry {
    fn in_force(&self, now: Timestamp) -> bool {
        self.pause.until.is_none_or(|until| now < until)
    }

    fn what(&self) -> String {
        match &self.target {
            Target::All => "everything".to_owned(),
            Target::Unreadable => {
                format!("everything (since nobody can tell what the pause of {} is of)", shown(&self.pause.target))
            }
            Target::Rule { namespace: Some(namespace), name } => format!("rule {namespace}/{name}"),
            Target::Rule { namespace: None, name } => format!("rule {name}"),
            Target::Object(target) => target.replacen('/', " ", 1),
        }
    }
}

impl Target {
    fn read(text: &str) -> Self {
        let parts: Vec<&str> = text.trim().split('/').collect();
        let readable = parts.iter().all(|part| is_name(part));
        match parts.as_slice() {
            ["all"] => Self::All,
            ["rule", name] if readable => Self::Rule { namespace: None, name: (*name).to_owned() },
            ["rule", namespace, name] if readable => {
                Self::Rule { namespace: Some((*namespace).to_owned()), name: (*name).to_owned() }
            }
            ["node", name] if readable => Self::Object(format!("node/{name}")),
            ["node", ..] => Self::Unreadable,
            ["alert", name] if readable => Self::Object(format!("alert/{name}")),
            // An object of no namespace, as an alert may be about: "switch//leaf-1".
            [kind, "", name] if is_name(kind) && is_name(name) => {
                Self::Object(format!("{}//{name}", kind.to_ascii_lowercase()))
            }
            [kind, namespace, name] if readable => {
                Self::Object(format!("{}/{namespace}/{name}", kind.to_ascii_lowercase()))
            }
            _ => Self::Unreadable,
        }
    }

    fn covers(&self, rule: &ObjectName, targets: &[&str]) -> bool {
        match self {
            Self::All | Self::Unreadable => true,
            Self::Rule { namespace, name } => {
                *name == rule.name && namespace.as_ref().is_none_or(|namespace| *namespace == rule.namespace)
            }
            Self::Object(target) => targets.contains(&target.as_str()),
        }
    }
}

/// What is wrong with a target that people wrote.
pub(super) fn unreadable(target: &str, field: &str, otherwise: &str) -> Option<PolicyFlaw> {
    (Target::read(target) == Target::Unreadable).then(|| {
        let expected = "\"all\", \"rule/NAMESPACE/NAME\", \"rule/NAME\", \"node/NAME\" or \"kind/NAMESPACE/NAME\"";
        PolicyFlaw::new(field, shown(target), format!("{expected}; {otherwise}"))
    })
}

/// Whether Kubernetes could give an object this name. Kinds are checked alike.
fn is_name(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    !text.is_empty() && text.len() <= 253 && text.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "2026-11-22T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn pause(target: &str) -> Pause {
        Pause { target: target.to_owned(), ..Pause::default() }
    }

    fn pauses(pauses: &[Pause]) -> Pauses {
        Pauses::of(&AegisGuardSpec { pauses: pauses.to_vec(), ..AegisGuardSpec::default() }, None)
    }

    fn held(pauses: &Pauses, recovery: bool) -> Option<PauseHold> {
        let rule = ObjectName::new("monitoring", "cordon");
        pauses.holding(&rule, &["pod/training/p1", "node/n1"], recovery, at(NOON))
    }

    #[test]
    fn a_pause_holds_what_it_is_of() {
        let cases = [
            ("all", true, "everything"),
            ("rule/monitoring/cordon", true, "this rule"),
            ("rule/cordon", true, "a rule of this name in any namespace"),
            ("rule/sops/cordon", false, "a rule of this name elsewhere"),
            ("rule/uncordon", false, "another rule"),
            ("node/n1", true, "the node"),
            ("node/n2", false, "another node"),
            ("node/n", false, "a node whose name is a part of it"),
            ("pod/training/p1", true, "the pod"),
            ("Pod/training/p1", true, "kinds are often written with a capital"),
            ("pod/other/p1", false, "a pod elsewhere"),
            (" all ", true, "with white space around it"),
        ];
        for (target, holds, why) in cases {
            assert_eq!(held(&pauses(&[pause(target)]), false).is_some(), holds, "{target}: {why}");
        }
    }

    #[test]
    fn whatever_a_claim_can_be_of_can_be_paused() {
        let rule = ObjectName::new("monitoring", "cordon");
        for target in ["node/n1", "pod/training/p1", "switch//leaf_1", "alert/default-x"] {
            let hold = pauses(&[pause(target)]).holding(&rule, &[target], false, at(NOON));
            assert_eq!(hold.unwrap().what, target.replacen('/', " ", 1));
            assert!(pauses(&[pause(target)]).holding(&rule, &["node/n2"], false, at(NOON)).is_none(), "{target} alone");
        }
    }

    #[test]
    fn a_pause_that_nobody_can_read_holds_everything_and_is_shown() {
        for target in ["", "All", "everything", "node", "node/", "node/a/b", "rule/", "pod/p1", "a/b/c/d", "node/n 1"] {
            let hold = held(&pauses(&[pause(target)]), false).expect(target);
            assert!(hold.what.starts_with("everything (since nobody can tell"), "{hold}");
            assert!(unreadable(target, "spec.pauses[0].target", "x").is_some(), "{target}: a flaw of the policy too");
        }
        assert_eq!(unreadable("node/n1", "f", "x"), None);
    }

    #[test]
    fn recovery_goes_on_unless_the_pause_says_so() {
        assert_eq!(held(&pauses(&[pause("all")]), true), None);
        let too = Pause { recovery_too: true, ..pause("all") };
        assert!(held(&pauses(&[pause("all"), too.clone()]), true).is_some());
        assert!(held(&pauses(&[too]), false).is_some());
    }

    #[test]
    fn an_expired_pause_holds_nothing_and_the_longest_one_decides() {
        let until = |target: &str, time: &str| Pause { until: Some(at(time)), ..pause(target) };
        assert_eq!(held(&pauses(&[until("all", NOON)]), false), None, "its last moment is over");
        let (short, long) = (until("all", "2026-11-22T13:00:00Z"), until("node/n1", "2026-11-22T14:00:00Z"));
        let hold = held(&pauses(&[short.clone(), long.clone()]), false).unwrap();
        assert_eq!((hold.what.as_str(), hold.until), ("node n1", Some(at("2026-11-22T14:00:00Z"))));
        let hold = held(&pauses(&[short, pause("rule/cordon"), long]), false).unwrap();
        assert_eq!((hold.what.as_str(), hold.until), ("rule cordon", None), "it has no end");
    }

    #[test]
    fn the_next_end_is_that_of_a_pause_in_force() {
        let until = |time: &str| Pause { until: Some(at(time)), ..pause("all") };
        let (over, later) = (until(NOON), until("2026-11-22T14:00:00Z"));
        let all = [over.clone(), later, until("2026-11-22T13:00:00Z"), pause("all")];
        assert_eq!(pauses(&all).next_end(at(NOON)), Some(at("2026-11-22T13:00:00Z")));
        assert_eq!(pauses(&[over, pause("all")]).next_end(at(NOON)), None);
    }

    #[test]
    fn the_annotation_pauses_all_and_its_value_is_the_reason() {
        let held_by = |value: &str| {
            let annotations = BTreeMap::from([(PAUSE_ANNOTATION.to_owned(), value.to_owned())]);
            held(&Pauses::of(&AegisGuardSpec::default(), Some(&annotations)), false)
        };
        assert_eq!(
            held_by("new switches").unwrap().to_string(),
            "everything is paused until somebody resumes it: new switches"
        );
        assert_eq!(held_by("true").unwrap().reason, None);
        assert!(held_by("False").is_some(), "in doubt it holds");
        assert_eq!(held_by("false"), None);
        assert_eq!(held_by(" "), None);
    }

    #[test]
    fn a_hold_says_who_paused_what_until_when_and_why() {
        let pause = Pause {
            by: Some("ada".into()),
            reason: Some("new switches".into()),
            until: Some(at("2026-11-22T14:00:00Z")),
            ..pause("node/n1")
        };
        let hold = held(&pauses(&[pause]), false).unwrap();
        assert_eq!(hold.to_string(), "node n1 is paused by ada until 2026-11-22T14:00:00Z: new switches");
    }

    #[test]
    fn the_summary_names_the_first_few() {
        assert_eq!(pauses(&[]).summary(at(NOON)), None);
        let expired = Pause { until: Some(at(NOON)), ..pause("node/n9") };
        assert_eq!(pauses(&[expired, pause("all")]).summary(at(NOON)).as_deref(), Some("everything"));
        let many: Vec<Pause> = (1..=5).map(|node| pause(&format!("node/n{node}"))).collect();
        assert_eq!(pauses(&many).summary(at(NOON)).as_deref(), Some("node n1, node n2, node n3 and 2 more"));
    }
}
