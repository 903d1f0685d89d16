//! Alerts put through the controller's own engine offline: which rule each follows, what stands in the way, and the very
//! object that would be made.

pub(crate) mod cases;
pub(crate) mod expectation;

use aegis_engine::plan::{self, Explanation};
use serde::Serialize;
use serde_json::Value;

use crate::commands::plan::known::Known;
use cases::Case;

/// What came of an alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// The alert, by the name of its case.
    pub(crate) alert: String,
    #[serde(rename = "type")]
    pub(crate) type_: String,
    pub(crate) phase: String,
    pub(crate) result: Word,
    /// The rule that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// What made that rule win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// Other rules that match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<String>,
    /// Why it is not acted on, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The gate that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gate: Option<String>,
    /// What would happen, as a sentence.
    pub(crate) message: String,
    /// The object that would be made, also where it is held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<Value>,
    /// Why each other rule does not match.
    #[serde(skip)]
    pub(crate) not_matching: Vec<(String, String)>,
}

/// An outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum Word {
    /// Its action would be made.
    Fires,
    /// Its action would be shown and not made.
    Observes,
    /// A gate holds its action back.
    Held,
    /// No rule asks for an action.
    Skipped,
    /// A rule asks for one, and it cannot be made.
    Fails,
}

impl Word {
    /// The word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fires => "Fires",
            Self::Observes => "Observes",
            Self::Held => "Held",
            Self::Skipped => "Skipped",
            Self::Fails => "Fails",
        }
    }
}

/// What would become of the alert at its time.
pub(crate) fn outcome(known: &Known, case: &Case) -> Outcome {
    let Explanation { type_, phase, rule, others, not_matching, gates, decision, object, .. } = explained(known, case);
    let gate = gates.into_iter().find(|gate| Some(&gate.verdict) == decision.reason.as_ref());
    let (rule, why) = rule.map(|rule| (rule.name, rule.why)).unzip();
    Outcome {
        alert: case.name.clone(),
        type_,
        phase,
        result: word(&decision.kind, decision.reason.as_deref()),
        rule,
        why,
        others,
        reason: decision.reason,
        gate: gate.map(|gate| gate.gate),
        message: decision.message,
        object,
        not_matching: not_matching.into_iter().map(|rule| (rule.name, rule.why)).collect(),
    }
}

fn explained(known: &Known, case: &Case) -> Explanation {
    plan::explain(&known.snapshot(case.alert.clone()), case.now)
}

fn word(kind: &str, reason: Option<&str>) -> Word {
    match (kind, reason) {
        ("Start", _) => Word::Fires,
        ("Hold", Some("NoRule")) => Word::Skipped,
        ("Hold", Some("BrokenRule" | "NoTemplate" | "BadTemplate" | "BadAlert")) => Word::Fails,
        ("Hold", Some("Observed" | "TestAlert" | "DryRun")) => Word::Observes,
        ("Hold", _) => Word::Held,
        _ => Word::Skipped,
    }
}
