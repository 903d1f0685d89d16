//! The gates, in the order in which they are asked. Those that hold an action back come before those that only
//! rehearse it, so that a rehearsal shows what a real alert would meet.

use aegis_crds::names::OPT_OUT_LABEL;
use jiff::Timestamp;

use super::Case;
use super::verdict::{Reason, Refusal, Verdict};
use crate::duration;

type Gate = fn(&Case<'_>, Timestamp) -> Verdict;

/// Every gate with its name.
pub(super) const ALL: &[(&str, Gate)] = &[
    ("phase", still_in_phase),
    ("opt-out", not_opted_out),
    ("stale", heard_lately),
    ("earlier action", earlier_action_ended),
    ("old controller", alone),
    ("test alert", no_test),
    ("dry run", acting),
];

fn still_in_phase(case: &Case<'_>, _: Timestamp) -> Verdict {
    if case.phase == case.phase_now {
        return Verdict::Clear;
    }
    refuse(Reason::Resolved, format!("the alert is {} and no longer {}", case.phase_now, case.phase))
}

fn not_opted_out(case: &Case<'_>, _: Timestamp) -> Verdict {
    let Some(node) = case.nodes.iter().find(|node| case.opted_out.contains(**node)) else { return Verdict::Clear };
    refuse(
        Reason::OptedOut,
        format!("node {node} is labelled {OPT_OUT_LABEL}=true; remove the label to let Aegis act on it"),
    )
}

fn heard_lately(case: &Case<'_>, now: Timestamp) -> Verdict {
    if now.duration_since(case.heard) <= case.stale_after {
        return Verdict::Clear;
    }
    let limit = duration::brief(case.stale_after);
    refuse(
        Reason::Stale,
        format!("last heard at {}, more than {limit} ago; it is acted on when it is reported again", case.heard),
    )
}

fn earlier_action_ended(case: &Case<'_>, _: Timestamp) -> Verdict {
    let Some(action) = &case.earlier_action else { return Verdict::Clear };
    refuse(
        Reason::EarlierAction,
        format!("{action}, an earlier action for the same source, type and fingerprint, has not ended"),
    )
}

fn alone(case: &Case<'_>, _: Timestamp) -> Verdict {
    let Some(sign) = case.old_controller else { return Verdict::Clear };
    refuse(
        Reason::OldController,
        format!("{sign}; two controllers would act twice, so this one waits until it is gone"),
    )
}

fn no_test(case: &Case<'_>, _: Timestamp) -> Verdict {
    if !case.test {
        return Verdict::Clear;
    }
    refuse(Reason::TestAlert, "the alert is marked as a test, so the action is shown and not taken".to_owned())
}

fn acting(case: &Case<'_>, _: Timestamp) -> Verdict {
    if !case.dry_run {
        return Verdict::Clear;
    }
    refuse(Reason::DryRun, "the controller runs with --dry-run, so the action is shown and not taken".to_owned())
}

fn refuse(reason: Reason, message: String) -> Verdict {
    Verdict::Refuse(Refusal::new(reason, message))
}
