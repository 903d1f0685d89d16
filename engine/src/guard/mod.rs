//! Step 2 of the loop: may the action that a rule asks for be taken now?
//!
//! Each gate looks at a [`Case`] and gives a [`Verdict`]. The first refusal decides; all verdicts are kept, so that a
//! person can see at once everything that stands in the way.
//!
//! ```text
//! gates      what the alert itself says: phase, opt-out, age; at the end approvals and rehearsals
//! standing   what stands around it: policy, pauses, windows, the book, the nodes
//! book       the places that actions take; a place is taken only by a conditional write
//! changes    what an action changed on its node, and how that is put back
//! expiry     what of it is put back by itself, and when
//! ```

mod approval;
mod book;
pub mod changes;
pub mod expiry;
mod fleet;
mod gates;
mod line;
mod pause;
mod policy;
mod pools;
mod request;
mod retries;
mod schedule;
mod standing;
mod verdict;
mod windows;

use std::collections::BTreeSet;

use aegis_crds::alert::AlertStatus;
use jiff::{SignedDuration, Timestamp};

pub use approval::{Opinion, SAID};
pub use book::{Book, Ended};
pub use fleet::{Fleet, NodeFacts};
pub use line::{Answer, Line, Round};
pub use pause::{PauseHold, Pauses};
pub use policy::{ApprovalPolicy, BreakerPolicy, Policy, PolicyFlaw};
pub(crate) use policy::{in_range, length};
pub use pools::{DEFAULT_POOL, DomainBudget, Pool};
pub use request::{Place, Rank, Request, target};
pub use retries::{Retries, RuleRetries};
pub use standing::{Approvals, Guard, PolicyState, admit, differ_in_others_only};
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
    /// When the alert was last heard; for a Resolved action also when the action before it ended, if that is later.
    pub heard: Timestamp,
    /// For how long after that it is acted on.
    pub stale_after: SignedDuration,
    /// An action of the alert, or of an earlier one of the same key, that has not ended.
    pub earlier_action: Option<String>,
    /// The sign of a controller of an earlier version that may still act.
    pub old_controller: Option<&'a str>,
    /// What the action asks for.
    pub request: &'a Request,
    /// Everything beyond the alert.
    pub guard: &'a Guard,
    /// Whether the object was found to be another one than the alert was about; the reason.
    pub gone: Option<String>,
    /// Whether others come first for the room that there is.
    pub others_first: bool,
    /// The digest of the action, once it could be rendered.
    pub plan: Option<&'a str>,
    /// Whether its rule asks for an approval.
    pub approval_required: bool,
    /// What people said to it.
    pub opinion: Opinion,
    /// Whether its rule only observes.
    pub observes: bool,
    /// Whether the alert is marked as a test.
    pub test: bool,
    /// Whether the whole controller only says what it would do.
    pub dry_run: bool,
}

/// Asks every gate.
pub fn judge(case: &Case<'_>, now: Timestamp) -> Judgement {
    let own =
        |asked: &'static [gates::Named]| asked.iter().map(move |(gate, ask)| Finding { gate, verdict: ask(case, now) });
    let standing = standing::findings(case.request, case.guard, now);
    Judgement::new(own(gates::FIRST).chain(standing).chain(own(gates::LAST)).collect())
}

#[cfg(test)]
mod tests;
