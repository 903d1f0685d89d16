//! The status that an alert should have, and the patch that brings it there.

use aegis_crds::alert::{
    ActionStatus, AegisAlertStatus, AlertOpsStatus, AlertStatus, GateRefusal, OpsStatus, RuleChoice, TriggerStatus,
    VerdictStatus, VerificationStatus,
};
use aegis_crds::conditions::{self, Condition, ConditionType};
use aegis_crds::names::SHORTENED_ANNOTATION;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::action::ActionKind;
use super::decide::{self, Decided};
use super::ledger::Ledger;
use super::snapshot::Snapshot;
use super::{Decision, Rest};
use crate::guard::{Reason, Refusal};
use crate::incident::{self, Stored};
use crate::rules::Choice;
use crate::scope::ObjectName;

/// How many of the other rules that match are named.
const MOST_OTHERS: usize = 10;

/// The merge patch for the status subresource that is due; `None` if status says it all already.
pub(super) fn write(seen: &Snapshot, ledger: &Ledger<'_>, decided: &Decided, now: Timestamp) -> Option<Value> {
    if let Decision::Withdraw(Refusal { reason: Reason::Duplicate, .. }, Some(of)) = &decided.decision {
        return Some(incident::status::withdrawn_duplicate(&seen.alert, of, now));
    }
    let current = seen.alert.status.clone().unwrap_or_default();
    let status = wanted(seen, ledger, decided, &current, now);
    let mut fields = difference(&json!(current), &json!(status))?;
    fields.extend(incident::status::first_write(&seen.alert, now));
    let mut metadata = Map::new();
    if let Some(version) = &seen.alert.metadata.resource_version {
        metadata.insert("resourceVersion".to_owned(), json!(version));
    }
    Some(json!({"metadata": metadata, "status": fields}))
}

fn wanted(
    seen: &Snapshot,
    ledger: &Ledger<'_>,
    decided: &Decided,
    current: &AegisAlertStatus,
    now: Timestamp,
) -> AegisAlertStatus {
    let mut status = current.clone();
    if matches!(decided.decision, Decision::Rest(Rest::EarlierVersion)) && ledger.made().next().is_none() {
        return status;
    }
    status.actions = ledger.records();
    count(&mut status, ledger);
    rule_of_last_action(&mut status, seen, ledger);
    match &decided.decision {
        Decision::Follow(_) => status.verdict = None,
        Decision::Start(remedy) => {
            if remedy.salt > 0 {
                set_aside(&mut status, remedy);
            }
        }
        Decision::Hold(refusal) => {
            let phase = Stored::new(&seen.alert).phase();
            if ledger.made_for(phase).next().is_none() {
                ops(&mut status).trigger_status = Some(refusal.reason.trigger_status());
                status.rule = decided.choice.as_ref().map(rule_choice);
            }
            status.verdict = Some(verdict(refusal, decided));
        }
        Decision::Withdraw(refusal, _) => {
            if ledger.made().next().is_none() {
                let trigger = withdrawn_from(decide::trigger_status(seen), refusal.reason);
                ops(&mut status).trigger_status = Some(trigger);
            }
            status.verdict = Some(refusal.to_status());
        }
        Decision::Rest(Rest::Withdrawn(_)) => {
            let word = |reason: &str| Reason::parse(reason).is_some_and(Reason::is_final);
            status.verdict = status.verdict.filter(|verdict| word(&verdict.reason));
        }
        Decision::Rest(_) => status.verdict = None,
        Decision::Look(_) | Decision::Leave => return current.clone(),
    }
    if decided.remedy.is_some() {
        let plan = decided.plan.as_deref();
        status.approval = plan.and_then(|plan| decided.opinion.to_status(plan, &seen.guard, now));
    }
    judge_pick_up(&mut status, seen, ledger, now);
    judge_repair(&mut status, seen, ledger, now);
    tell_shortened(&mut status, seen, now);
    // In the write that tells of the end: nobody will report that it is over.
    if decide::is_answered(seen, ledger) {
        status.status = Some(AlertStatus::Resolved);
    }
    status
}

/// The refusal that decided, with what other gates hold against the action, and for those who approve it, which one.
fn verdict(refusal: &Refusal, decided: &Decided) -> VerdictStatus {
    let mut refusals = decided.judgement.refusals();
    let decides = refusals.next().filter(|(_, first)| first.reason == refusal.reason);
    let others = refusals.filter(|(_, other)| !other.reason.is_rehearsal()).map(|(gate, other)| GateRefusal {
        gate: gate.to_owned(),
        reason: other.reason.to_string(),
        message: other.message.clone(),
    });
    let waits = refusal.reason == Reason::NeedsApproval;
    VerdictStatus {
        gate: decides.map(|(gate, _)| gate.to_owned()),
        others: others.collect(),
        plan: decided.plan.clone().filter(|_| waits),
        ..refusal.to_status()
    }
}

/// An alert that lost text says so, together with the first thing that there is to tell: it is not worth a write alone.
fn tell_shortened(status: &mut AegisAlertStatus, seen: &Snapshot, now: Timestamp) {
    let annotations = seen.alert.metadata.annotations.as_ref();
    let shortened = annotations.is_some_and(|all| all.contains_key(SHORTENED_ANNOTATION));
    if shortened && status.ops_status.is_some() {
        let message = "details were cut so that the alert fits into 256 KiB";
        conditions::set(
            &mut status.conditions,
            Condition::new(ConditionType::Shortened, true, "TooLarge", message),
            now,
        );
    }
}

fn ops(status: &mut AegisAlertStatus) -> &mut OpsStatus {
    status.ops_status.get_or_insert_default()
}

/// The actions in the words of the first version of the API.
fn count(status: &mut AegisAlertStatus, ledger: &Ledger<'_>) {
    let Some(last) = ledger.made().next_back() else { return };
    let number = |wanted: fn(&ActionStatus) -> bool| {
        i32::try_from(ledger.made().filter(|entry| wanted(&entry.record)).count()).unwrap_or(i32::MAX)
    };
    let trigger_status = Some(TriggerStatus::Triggered);
    status.ops_status = Some(OpsStatus {
        start_time: last.record.start_time,
        completion_time: last.record.completion_time,
        alert_ops_status: last.record.status,
        trigger_status,
        total: Some(number(|_| true)),
        active: Some(number(|record| record.completion_time.is_none())),
        succeeded: Some(number(|record| {
            record.completion_time.is_some() && record.status == Some(AlertOpsStatus::Succeeded)
        })),
        failed: Some(number(|record| {
            record.completion_time.is_some() && record.status == Some(AlertOpsStatus::Failed)
        })),
    });
}

/// The rule is the one that the action names, even if the rules were edited since.
fn rule_of_last_action(status: &mut AegisAlertStatus, seen: &Snapshot, ledger: &Ledger<'_>) {
    let Some(last) = ledger.made().next_back() else { return };
    let Some(named) = ObjectName::parse(&last.record.rule) else { return };
    let stands =
        status.rule.as_ref().is_some_and(|rule| (&rule.namespace, &rule.name) == (&named.namespace, &named.name));
    if stands {
        return;
    }
    let choice = seen.rules.pick(&decide::facts(seen, last.record.phase));
    status.rule = Some(match choice.filter(|choice| choice.winner.name == named) {
        Some(choice) => rule_choice(&choice),
        None => RuleChoice {
            namespace: named.namespace,
            name: named.name,
            why: "its action names it; the rules were edited since".to_owned(),
            others: Vec::new(),
        },
    });
}

fn rule_choice(choice: &Choice) -> RuleChoice {
    RuleChoice {
        namespace: choice.winner.name.namespace.clone(),
        name: choice.winner.name.name.clone(),
        why: choice.why.clone(),
        others: choice.others.iter().take(MOST_OTHERS).map(ToString::to_string).collect(),
    }
}

/// A salted name stands in status before it is used, so that a restart uses that one and no other.
fn set_aside(status: &mut AegisAlertStatus, remedy: &super::Remedy) {
    let record = ActionStatus {
        phase: remedy.phase,
        attempt: remedy.attempt,
        check: remedy.check,
        kind: remedy.kind.as_str().to_owned(),
        name: remedy.name.clone(),
        salt: remedy.salt,
        rule: remedy.rule.to_string(),
        template: remedy.template.to_string(),
        ..ActionStatus::default()
    };
    let place = |known: &ActionStatus| {
        (known.phase, known.attempt, known.check) == (remedy.phase, remedy.attempt, remedy.check)
    };
    match status.actions.iter_mut().find(|known| place(known)) {
        Some(known) => *known = record,
        None => status.actions.push(record),
    }
}

/// The triggerStatus of an alert that was never acted on and never will be.
fn withdrawn_from(before: Option<TriggerStatus>, reason: Reason) -> TriggerStatus {
    match before {
        Some(before) if !decide::waits(before) => before,
        Some(_) => TriggerStatus::Withdrawn,
        None => reason.trigger_status(),
    }
}

/// An action without a sign from its executor says so, with the likely cause; one that got its sign late says that.
fn judge_pick_up(status: &mut AegisAlertStatus, seen: &Snapshot, ledger: &Ledger<'_>, now: Timestamp) {
    let type_ = ConditionType::PickedUp;
    let Some(entry) = ledger.under_way() else { return };
    if entry.missed_at(&seen.settings).is_some_and(|missed| missed <= now) {
        let name = &entry.record.name;
        let namespace = seen.alert.metadata.namespace.as_deref().unwrap_or_default();
        let message = match ActionKind::parse(&entry.record.kind) {
            Some(ActionKind::Job) => {
                format!("the Job controller has not touched Job {name}: is kube-controller-manager running?")
            }
            _ => format!(
                "Argo has not touched Workflow {name}: is its workflow-controller running, does it watch namespace \
                 {namespace}, and does it ask for an instance ID that the template does not set?"
            ),
        };
        conditions::set(&mut status.conditions, Condition::new(type_, false, "NotPickedUp", message), now);
    } else if conditions::find(&status.conditions, type_.as_str()).is_some_and(|known| known.status == "False")
        && entry.seen.is_some_and(|action| action.standing.picked_up)
    {
        conditions::set(&mut status.conditions, Condition::new(type_, true, "PickedUp", ""), now);
    }
}

/// Whether the problem went away after the last action for it succeeded.
fn judge_repair(status: &mut AegisAlertStatus, seen: &Snapshot, ledger: &Ledger<'_>, now: Timestamp) {
    let type_ = ConditionType::Repaired;
    let Some(last) = ledger.made_for(AlertStatus::Firing).next_back() else { return };
    let Some(ended) = last.record.completion_time.filter(|_| last.record.status == Some(AlertOpsStatus::Succeeded))
    else {
        return;
    };
    let stored = Stored::new(&seen.alert);
    let action = format!("{} {}", last.record.kind, last.record.name);
    let known = conditions::find(&status.conditions, type_.as_str());
    let verified = last.record.verification;
    let checked = ledger.check_of(&last.record).map(|check| format!("{} {}", check.record.kind, check.record.name));
    let condition = match stored.phase() {
        AlertStatus::Firing if verified == Some(VerificationStatus::Waiting) => return,
        AlertStatus::Firing if verified == Some(VerificationStatus::Passed) => {
            let check = checked.unwrap_or_default();
            Condition::new(type_, true, "Verified", format!("{check} found that {action} cured the problem"))
        }
        AlertStatus::Firing if verified == Some(VerificationStatus::Failed) => match checked {
            Some(check) => {
                let message = format!("{check} found that the problem stays after {action} succeeded");
                Condition::new(type_, false, "CheckFailed", message)
            }
            None => {
                let message = format!("the alert was not resolved in time after {action} succeeded");
                Condition::new(type_, false, "StillFiring", message)
            }
        },
        AlertStatus::Firing if status.last_time.is_some_and(|heard| heard > ended) => {
            incident::status::still_firing(&last.record)
        }
        AlertStatus::Resolved
            if status.superseded_by.is_none()
                && !stored.is_answered()
                && (known.is_some() || stored.resolved_at().is_none_or(|resolved| resolved >= ended)) =>
        {
            Condition::new(type_, true, "Resolved", format!("the alert was resolved after {action} succeeded"))
        }
        AlertStatus::Firing | AlertStatus::Resolved => return,
    };
    conditions::set(&mut status.conditions, condition, now);
}

/// The merge patch (RFC 7386) from one object to another; `None` if they are equal.
fn difference(from: &Value, to: &Value) -> Option<Map<String, Value>> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return None };
    let gone = from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let mut patch: Map<String, Value> = gone.collect();
    for (key, value) in to {
        match from.get(key) {
            Some(old) if old == value => {}
            Some(old @ Value::Object(_)) if value.is_object() => {
                patch.extend(difference(old, value).map(|inner| (key.clone(), Value::Object(inner))));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    (!patch.is_empty()).then_some(patch)
}
