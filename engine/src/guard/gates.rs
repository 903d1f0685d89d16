//! The gates that look at the alert itself. Those that hold an action back come before those that only rehearse it, so
//! that a rehearsal shows what a real alert would meet.

use aegis_crds::names::OPT_OUT_LABEL;
use jiff::Timestamp;

use super::standing::Approvals;
use super::verdict::{Reason, Refusal, Verdict};
use super::{ApprovalPolicy, Case};
use crate::duration;

type Gate = fn(&Case<'_>, Timestamp) -> Verdict;
/// A gate with its name.
pub(super) type Named = (&'static str, Gate);

/// Asked before what stands around the action.
pub(super) const FIRST: &[Named] = &[
    ("phase", still_in_phase),
    ("opt-out", not_opted_out),
    ("stale", heard_lately),
    ("earlier action", earlier_action_ended),
    ("old controller", alone),
    ("target there", still_there),
];

/// Asked after it.
pub(super) const LAST: &[Named] = &[
    ("line", first_in_line),
    ("approval", approved),
    ("test alert", no_test),
    ("observe", not_observing),
    ("dry run", acting),
];

fn still_in_phase(case: &Case<'_>, _: Timestamp) -> Verdict {
    if case.phase == case.phase_now {
        return Verdict::Clear;
    }
    refuse(Reason::Resolved, format!("the alert is {} and no longer {}", case.phase_now, case.phase))
}

fn not_opted_out(case: &Case<'_>, _: Timestamp) -> Verdict {
    let opted_out = |node: &&&str| case.guard.fleet.is_opted_out(node);
    let Some(node) = case.nodes.iter().find(opted_out) else { return Verdict::Clear };
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

fn still_there(case: &Case<'_>, _: Timestamp) -> Verdict {
    let Some(why) = &case.gone else { return Verdict::Clear };
    refuse(Reason::TargetGone, why.clone())
}

fn first_in_line(case: &Case<'_>, _: Timestamp) -> Verdict {
    if !case.others_first {
        return Verdict::Clear;
    }
    refuse(
        Reason::BudgetFull,
        "the room that there is goes to alerts that are graver or have waited longer; it is tried after them"
            .to_owned(),
    )
}

fn approved(case: &Case<'_>, now: Timestamp) -> Verdict {
    let (Some(plan), Some(policy)) = (case.plan, case.guard.policy()) else { return Verdict::Clear };
    let ApprovalPolicy { above_nodes_out, expires, people } = policy.approval();
    let many_out = above_nodes_out.is_some_and(|above| nodes_out(case) >= above);
    if case.request.recovery || !(case.approval_required || many_out) {
        return Verdict::Clear;
    }
    let opinion = &case.opinion;
    if let Some((user, why)) = &opinion.declined {
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        return refuse(Reason::Declined, format!("{user} declined it{why}"));
    }
    let asks = |message: String| refuse(Reason::NeedsApproval, message);
    let alert = &case.request.alert;
    if let Approvals::NotKept(why) | Approvals::Unknown(why) = &case.guard.approvals {
        return asks(format!("it needs an approval, and approvals are not accepted: {why}"));
    }
    if opinion.is_void(case.guard, now) {
        let limit = duration::brief(expires);
        return asks(format!(
            "its approval no longer counts: it is older than {limit}, or was given where anybody could have written it; \
             `kubectl aegis approve {alert}` gives it anew (plan {plan})"
        ));
    }
    if opinion.approved.len() >= people {
        return Verdict::Clear;
    }
    let given = match opinion.approved.first() {
        Some(user) => format!("a second person has to approve it after {user}"),
        None if people > 1 => format!("{people} people have to approve it"),
        None => "a person has to approve it".to_owned(),
    };
    asks(format!("{given}: `kubectl aegis approve {alert}` (plan {plan})"))
}

/// Nodes of the target's pool that are out or under action, the target apart.
fn nodes_out(case: &Case<'_>) -> usize {
    let Some(node) = case.request.node.as_deref() else { return 0 };
    let out = case.guard.fleet.out_with(node, case.guard.book.nodes());
    out.map_or(0, |out| out.nodes.len().saturating_sub(1))
}

fn no_test(case: &Case<'_>, _: Timestamp) -> Verdict {
    if !case.test {
        return Verdict::Clear;
    }
    refuse(Reason::TestAlert, "the alert is marked as a test, so the action is shown and not taken".to_owned())
}

fn not_observing(case: &Case<'_>, _: Timestamp) -> Verdict {
    if !case.observes {
        return Verdict::Clear;
    }
    let rule = &case.request.rule;
    refuse(Reason::Observed, format!("rule {rule} has mode Observe, so the action is shown and not taken"))
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
