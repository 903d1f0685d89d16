//! Step 2 of the loop: may the action that a rule asks for be taken now?
//!
//! Each gate looks at a [`Case`] and gives a [`Verdict`]. The first refusal decides; all verdicts are kept, so that a
//! person can see at once everything that stands in the way.

mod gates;
mod pause;
mod policy;
mod pools;
mod retries;
mod schedule;
mod verdict;
mod windows;

use std::collections::BTreeSet;

use aegis_crds::alert::AlertStatus;
use jiff::{SignedDuration, Timestamp};

pub use pause::{PauseHold, Pauses};
pub use policy::{ApprovalPolicy, BreakerPolicy, Policy, PolicyFlaw};
pub(crate) use policy::{in_range, length};
pub use pools::{DEFAULT_POOL, DomainBudget, Pool};
pub use retries::{Retries, RuleRetries};
pub use verdict::{Finding, Judgement, Reason, Refusal, Verdict};
pub use windows::{WindowHold, Windows};

/// What the gates look at: one action that is due, and what surrounds it.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// The phase that the action is for.
    pub phase: AlertStatus,
    /// The phase that the alert is in now.
    pub phase_now: AlertStatus,
    /// Every node that the alert names.
    pub nodes: BTreeSet<&'a str>,
    /// The nodes that their owners keep Aegis away from.
    pub opted_out: &'a BTreeSet<String>,
    /// When the alert was last heard; for a Resolved action also when the action before it ended, if that is later.
    pub heard: Timestamp,
    /// For how long after that it is acted on.
    pub stale_after: SignedDuration,
    /// An action of the alert, or of an earlier one of the same key, that has not ended.
    pub earlier_action: Option<String>,
    /// The sign of a controller of an earlier version that may still act.
    pub old_controller: Option<&'a str>,
    /// Whether the alert is marked as a test.
    pub test: bool,
    /// Whether the whole controller only says what it would do.
    pub dry_run: bool,
}

/// Asks every gate.
pub fn judge(case: &Case<'_>, now: Timestamp) -> Judgement {
    Judgement::new(gates::ALL.iter().map(|(gate, ask)| Finding { gate, verdict: ask(case, now) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn hours(hours: i64) -> SignedDuration {
        SignedDuration::from_hours(hours)
    }

    /// A case that every gate clears.
    fn case(opted_out: &BTreeSet<String>) -> Case<'_> {
        Case {
            phase: AlertStatus::Firing,
            phase_now: AlertStatus::Firing,
            nodes: BTreeSet::from(["n1"]),
            opted_out,
            heard: noon(),
            stale_after: hours(24),
            earlier_action: None,
            old_controller: None,
            test: false,
            dry_run: false,
        }
    }

    #[test]
    fn the_first_refusal_decides() {
        let none = BTreeSet::new();
        let n1 = BTreeSet::from(["n1".to_owned()]);
        let clear = case(&none);
        let cases = [
            ("nothing stands in the way", clear.clone(), None),
            (
                "the alert was resolved",
                Case { phase_now: AlertStatus::Resolved, ..clear.clone() },
                Some(Reason::Resolved),
            ),
            ("the node's owner opted out", case(&n1), Some(Reason::OptedOut)),
            ("another node opted out", Case { nodes: BTreeSet::from(["n2"]), ..case(&n1) }, None),
            ("not heard for a day", Case { heard: noon() - hours(25), ..clear.clone() }, Some(Reason::Stale)),
            ("heard just in time", Case { heard: noon() - hours(24), ..clear.clone() }, None),
            (
                "an earlier incident is still being repaired",
                Case { earlier_action: Some("w".into()), ..clear.clone() },
                Some(Reason::EarlierAction),
            ),
            (
                "the controller of an earlier version still runs",
                Case { old_controller: Some("it runs"), test: true, ..clear.clone() },
                Some(Reason::OldController),
            ),
            ("a test", Case { test: true, ..clear.clone() }, Some(Reason::TestAlert)),
            ("the controller acts on nothing", Case { dry_run: true, ..clear.clone() }, Some(Reason::DryRun)),
            ("a test on a node that opted out", Case { test: true, ..case(&n1) }, Some(Reason::OptedOut)),
        ];
        for (why, case, want) in cases {
            let judgement = judge(&case, noon());
            assert_eq!(judgement.refusal().map(|refusal| refusal.reason), want, "{why}");
            assert_eq!(judgement.findings().len(), gates::ALL.len(), "{why}: all verdicts are kept");
        }
    }

    #[test]
    fn a_refusal_says_what_would_change_it() {
        let n1 = BTreeSet::from(["n1".to_owned()]);
        let judgement = judge(&case(&n1), noon());
        assert_eq!(
            judgement.refusal().unwrap().message,
            "node n1 is labelled aegis.io/disable=true; remove the label to let Aegis act on it"
        );
    }
}
