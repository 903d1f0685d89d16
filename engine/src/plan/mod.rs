//! The heart of the loop: what was seen becomes what to do, with the reason.
//!
//! [`plan`] reads a [`Snapshot`] and the time and nothing else. Whoever carries a plan out takes its steps in order,
//! stops at the first that fails, feeds what the API server answered back into the snapshot and plans again; a plan
//! of what was just done is empty. So a crash between any two steps, a retry, or a second leader meet the same plan.
//!
//! ```text
//! snapshot -> ledger   the actions that stand in status, brought up to date with those that were seen
//!          -> decide   nothing under way: what is due, by which rule, and what stands in its way
//!          -> status   what is to stand in status, as a patch
//!          -> Plan     steps in order, and when to look again
//! ```

mod action;
mod check;
mod claims;
mod decide;
mod explain;
mod family;
mod ledger;
mod remedy;
mod snapshot;
mod status;
mod template;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use aegis_crds::alert::{ActionStatus, AlertStatus};
use aegis_crds::guard::Claim;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub use action::{ActionKind, Identity, STOPPED_ANNOTATION, SeenAction};
pub use claims::{keeps_no_place, known_from};
pub use explain::{Explanation, explain};
pub use ledger::may_have_legacy_action;
pub use remedy::{Remedy, parameters};
pub use snapshot::{Settings, Sibling, Snapshot, Trouble, TroubleKind};
pub use template::{BrokenTemplate, CompiledTemplate, TemplateBook};

use crate::guard::{Ended, Judgement, NodeFacts, Place, Reason, Refusal, Request};
use crate::incident::Stored;
use crate::retention;
use crate::rules::Choice;
use crate::scope::ObjectName;
use decide::Decided;
use ledger::Ledger;

/// What to do about one alert, and why.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was decided.
    pub decision: Decision,
    /// What to do, in this order; what comes after a failed step is left for the next plan.
    pub steps: Vec<Step>,
    /// When to look again even if nothing changes.
    pub next_look: Option<Timestamp>,
    /// The rule that was picked, where one was asked for.
    pub choice: Option<Choice>,
    /// What the gates said, where they were asked.
    pub judgement: Judgement,
    /// The action that is due, also where it is held back.
    pub remedy: Option<Arc<Remedy>>,
    /// What that action asks of the guard.
    pub request: Option<Request>,
}

/// What was decided about an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// A cache may lag, and it matters here: ask the API server first, then plan again.
    Look(Look),
    /// An action is under way or has just ended: tell how it stands.
    Follow(ActionStatus),
    /// Create this object.
    Start(Arc<Remedy>),
    /// Leave the cluster alone for now, and say why.
    Hold(Refusal),
    /// Leave the cluster alone for good, and say why; for a duplicate with the name of the alert that stands.
    Withdraw(Refusal, Option<String>),
    /// All is done and told.
    Rest(Rest),
    /// The alert is being deleted: let go of what it holds.
    Leave,
}

/// Why there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Its action has ended.
    Acted,
    /// Its rule acts again from then on, if the alert is reported after the last action ended.
    Repeats {
        /// The earliest time.
        due: Timestamp,
        /// Whether it was reported since.
        heard_since: bool,
    },
    /// Its rule acts on one alert so many times and no more.
    LimitReached(i32),
    /// Its action has ended, and until then it is not known whether it cured the problem.
    Verifies {
        /// By when the alert must be resolved.
        until: Timestamp,
    },
    /// Its action was found to have cured the problem.
    Verified,
    /// An earlier version acted on it or gave it up.
    EarlierVersion,
    /// It was withdrawn, for this reason.
    Withdrawn(Reason),
}

/// What only the API server can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// GET this action; feed the answer to [`Snapshot::saw`], or a 404 to [`Snapshot::missed`].
    Action {
        /// Workflow or Job.
        kind: ActionKind,
        /// Its name, in the alert's namespace.
        name: String,
    },
    /// List the alerts of the same fingerprint label; feed them to [`Snapshot::confirmed`].
    Siblings,
    /// List the Workflows and Jobs that carry the alert's UID; feed them to [`Snapshot::listed`] with this place, which
    /// somebody took.
    Actions(Place),
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Ask the API server, then plan again. Always alone.
    Look(Look),
    /// Patch the alert's status: a merge patch for the status subresource. It carries the resourceVersion of the alert
    /// that it was computed from; at a conflict the plan is made again.
    WriteStatus(Value),
    /// Stop an action that took too long or was deleted: a merge patch. A 404 is success: feed it to
    /// [`Snapshot::missed`].
    Stop(ActionPatch),
    /// Take our finalizer off an action whose outcome is safe: a merge patch. A 404 is success: feed it to
    /// [`Snapshot::missed`].
    Release(ActionPatch),
    /// Take the place in the book that the next steps act under. If it is not to be had, or was taken before, plan again
    /// with the book as it is; if others come first, with [`Snapshot::others_first`].
    Claim(Box<Request>),
    /// Take the place of an action that is there already; but not if [`keeps_no_place`] says that it is over, of the alert
    /// read from the API server after the book was. Plan again then.
    Adopt(Box<Request>),
    /// Read from the API server that all is as the plan took it to be; plan again if not.
    LastLook(LastLook),
    /// POST the object, then plan again with the answer; at "already exists" with the object that is there. Always last.
    Create(Arc<Remedy>),
    /// Write down what an action changed on its node; it keeps its place until it was verified.
    Note(Box<GiveBack>),
    /// Write down what an action changed on its node, and give its place back.
    GiveBack(Box<GiveBack>),
    /// Delete the alert, with these as preconditions.
    DeleteAlert {
        /// Its UID.
        uid: String,
        /// The version that was judged.
        resource_version: String,
    },
}

/// What must still be so right before an action is made. The alert must still be in the phase of the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastLook {
    /// The node that it takes out, and what was known of it; `None` if the cluster has no such node.
    pub node: Option<(String, Option<NodeFacts>)>,
    /// The pod that it acts on, by namespace and name, and when the alert was last heard: a younger pod is another one.
    pub pod: Option<(ObjectName, Timestamp)>,
    /// Whether people approved it: whether the cluster keeps approvals honest is asked anew then.
    pub approved: bool,
}

/// A place that is not needed any more.
#[derive(Clone, Debug, PartialEq)]
pub struct GiveBack {
    /// The claim.
    pub claim: Claim,
    /// How the action ended.
    pub ended: Ended,
    /// How long its rule waits after a success.
    pub cooldown: SignedDuration,
    /// The action whose changes are to be written down; `None` if it was never made, or if that was done.
    pub action: Option<(ActionKind, String)>,
    /// For how long a cordon that it left stands, if not until somebody lifts it.
    pub cordon_for: Option<SignedDuration>,
}

/// A merge patch for an action in the alert's namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionPatch {
    /// Workflow or Job.
    pub kind: ActionKind,
    /// Its name.
    pub name: String,
    /// The patch.
    pub patch: Value,
}

/// How often an alert that waits for another one's action looks again. Not everything that ends the wait is an event
/// on this alert, and an action that cannot be stopped is waited for only so long.
const WAIT: SignedDuration = SignedDuration::from_secs(30);

/// Decides what to do about an alert.
pub fn plan(seen: &Snapshot, now: Timestamp) -> Plan {
    if seen.alert.metadata.deletion_timestamp.is_some() {
        return leave(seen);
    }
    let ledger = match Ledger::read(seen, now) {
        Ok(ledger) => ledger,
        Err(look) => return look_first(look),
    };
    let decided = match ledger.under_way() {
        Some(entry) => Decision::Follow(entry.record.clone()).into(),
        None if !ledger.is_settled() => {
            let last = ledger.made().next_back().map(|entry| entry.record.clone());
            Decision::Follow(last.unwrap_or_default()).into()
        }
        None => decide::decide(seen, &ledger, now),
    };
    if let Decision::Look(look) = decided.decision {
        return look_first(look);
    }
    if let Some(place) = claims::to_look_into(seen, &ledger, &decided, now) {
        return look_first(Look::Actions(place));
    }
    assemble(seen, &ledger, decided, now)
}

/// The steps that a decision takes, and when to look again.
fn assemble(seen: &Snapshot, ledger: &Ledger<'_>, decided: Decided, now: Timestamp) -> Plan {
    let mut wakes = ledger.wakes(seen);
    let mut steps = Vec::new();
    steps.extend(claims::notes(seen, ledger, now));
    steps.extend(status::write(seen, ledger, &decided, now).map(Step::WriteStatus));
    steps.extend(ledger.to_stop().map(|(action, reason)| Step::Stop(action_patch(action, action.stop(reason)))));
    for (action, due) in releases(seen, ledger) {
        if due <= now {
            steps.push(Step::Release(action_patch(action, action.release())));
        } else {
            wakes.push(due);
        }
    }
    steps.extend(claims::steps(seen, ledger, &decided, now));
    wakes.extend(claims::wakes(seen, ledger, &decided, now));
    match &decided.decision {
        Decision::Hold(refusal) => {
            wakes.extend(refusal.next_try);
            wakes.extend(stale_at(seen));
            let checks = decided.remedy.as_ref().is_some_and(|remedy| remedy.check);
            if refusal.reason == Reason::EarlierAction || checks {
                wakes.push(later(now, WAIT));
            }
        }
        Decision::Rest(Rest::Repeats { due, heard_since: true }) => wakes.push(*due),
        _ => {}
    }
    if let Some(expiry) = expiry(seen, ledger, &decided.decision) {
        if expiry > now {
            wakes.push(expiry);
        } else if steps.iter().all(|step| matches!(step, Step::WriteStatus(_))) && !is_kept(seen) {
            let metadata = &seen.alert.metadata;
            steps = vec![Step::DeleteAlert {
                uid: metadata.uid.clone().unwrap_or_default(),
                resource_version: metadata.resource_version.clone().unwrap_or_default(),
            }];
        }
    }
    let next_look = wakes.into_iter().filter(|wake| *wake > now).min();
    let Decided { decision, choice, judgement, remedy, request, .. } = decided;
    Plan { decision, steps, next_look, choice, judgement, remedy, request }
}

fn look_first(look: Look) -> Plan {
    Plan { steps: vec![Step::Look(look.clone())], ..only(Decision::Look(look)) }
}

/// An alert that is being deleted keeps nothing: what it holds would stay for ever.
fn leave(seen: &Snapshot) -> Plan {
    let kept = ours(seen).filter(|action| action.is_kept());
    let steps = kept.map(|action| Step::Release(action_patch(action, action.release()))).collect();
    Plan { steps, ..only(Decision::Leave) }
}

fn only(decision: Decision) -> Plan {
    let Decided { decision, choice, judgement, remedy, request, .. } = decision.into();
    Plan { decision, steps: Vec::new(), next_look: None, choice, judgement, remedy, request }
}

fn ours(seen: &Snapshot) -> impl Iterator<Item = &SeenAction> {
    let uid = seen.alert.metadata.uid.as_deref().unwrap_or_default();
    seen.actions.iter().filter(move |action| action.is_of(uid) || action.is_legacy_of(uid))
}

fn is_kept(seen: &Snapshot) -> bool {
    ours(seen).any(SeenAction::is_kept)
}

/// The actions that our finalizer keeps, each with the time from which on it need not be kept.
///
/// Two lease durations after its outcome stands no leader is left that may not know it: one that lost its lease
/// before would otherwise find neither the outcome nor the action, and make the action again.
fn releases<'a>(seen: &'a Snapshot, ledger: &Ledger<'_>) -> Vec<(&'a SeenAction, Timestamp)> {
    ours(seen)
        .filter(|action| action.is_kept())
        .filter_map(|action| {
            let over = ledger.over_since(action)?;
            Some((action, seen.settings.known_to_all(over)))
        })
        .collect()
}

/// From when on an alert that is held back counts as stale, which is told then.
fn stale_at(seen: &Snapshot) -> Option<Timestamp> {
    let heard = Stored::new(&seen.alert).last_heard()?;
    Some(later(heard, seen.settings.stale_after.saturating_add(SignedDuration::from_secs(1))))
}

/// When the alert may be deleted, unless something is due for it.
fn expiry(seen: &Snapshot, ledger: &Ledger<'_>, decision: &Decision) -> Option<Timestamp> {
    let until = retention::until(&seen.alert, &seen.settings.ttl).filter(|_| ledger.under_way().is_none())?;
    match decision {
        Decision::Rest(_) | Decision::Withdraw(..) => Some(until),
        // It may still be acted on until it is stale.
        Decision::Hold(_) => Some(stale_at(seen).map_or(until, |stale| until.max(stale))),
        Decision::Follow(_) | Decision::Start(_) | Decision::Look(_) | Decision::Leave => None,
    }
}

fn action_patch(action: &SeenAction, patch: Value) -> ActionPatch {
    ActionPatch { kind: action.kind, name: action.name.clone(), patch }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acted => f.write_str("its action has ended"),
            Self::Repeats { due, heard_since: true } => write!(f, "its rule acts again from {due} on"),
            Self::Repeats { due, heard_since: false } => {
                write!(f, "its rule acts again from {due} on, if the alert is reported again")
            }
            Self::Verifies { until } => write!(f, "its action has ended, and it should be resolved by {until}"),
            Self::Verified => f.write_str("its action was found to have cured the problem"),
            Self::LimitReached(limit) => write!(f, "its rule acts at most {limit} times on one alert"),
            Self::EarlierVersion => f.write_str("an earlier version of Aegis has dealt with it"),
            Self::Withdrawn(reason) => write!(f, "it was withdrawn: {reason}"),
        }
    }
}

/// The phase that the alert is in, for those who have only the alert.
pub fn phase(alert: &aegis_crds::AegisAlert) -> AlertStatus {
    Stored::new(alert).phase()
}
