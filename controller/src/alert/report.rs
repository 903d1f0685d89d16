//! Tell: the only place of the reconciler that writes an alert's status, and what goes with a status that is written:
//! counts, metrics, Events, the log.

use std::sync::Arc;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::alert::{ActionStatus, AlertOpsStatus, AlertStatus, VerdictStatus};
use aegis_engine::guard::{Reason, differ_in_others_only};
use aegis_engine::plan::{SeenAction, Snapshot};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::execute::Done;
use super::gather;
use crate::context::{FIELD_MANAGER, Failure, Lead};
use crate::events::{self, Note, Weight};
use crate::metrics::{self, Stage};

/// What came of a status that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It stands there.
    Written,
    /// It says nothing that people or programs need to read.
    NotWorthIt,
    /// It says little that is new, and may be written in so long.
    Later(Duration),
    /// The alert has changed since: decide again.
    Changed,
    /// The alert is gone.
    Gone,
}

/// A status could not be written. It is tried again with the next plan.
#[derive(Debug, thiserror::Error)]
#[error("could not write the status")]
pub struct Error(#[source] pub Failure);

/// Writes the status that a plan asked for, now that all before it is done.
pub async fn publish(lead: &Lead, seen: &mut Snapshot, done: &Done) -> Result<Told, Error> {
    if only_moves_the_next_try(done.patch()) {
        return Ok(Told::NotWorthIt);
    }
    let before = seen.alert.clone();
    if only_tells_of_others(&before, done.patch())
        && let Some(left) = lead.memory.retold_in(&before)
    {
        return Ok(Told::Later(left));
    }
    let (namespace, name) = (before.namespace().unwrap_or_default(), before.name_any());
    let api: Api<AegisAlert> = Api::namespaced(lead.context.client.clone(), &namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match lead.request(api.patch_status(&name, &parameters, &Patch::Merge(done.patch()))).await {
        Ok(after) => {
            lead.memory.wrote_alert(&after);
            if !lead.context.alerts.insert(after.clone()) {
                lead.memory.heard_of_alert(&after);
            }
            seen.alert = Arc::new(after);
            tell_changes(lead, &before, &seen.alert);
            Ok(Told::Written)
        }
        Err(failure) if failure.code() == Some(404) => {
            lead.context.alerts.remove_if(&namespace, &name, &before.uid().unwrap_or_default());
            Ok(Told::Gone)
        }
        Err(failure) if failure.code() == Some(409) => match gather::fresh(lead, &before).await.map_err(Error)? {
            Some(fresh) => {
                settle_doubt(lead, &fresh);
                seen.alert = Arc::new(fresh);
                Ok(Told::Changed)
            }
            None => Ok(Told::Gone),
        },
        Err(failure) => {
            if failure.leaves_doubt() {
                lead.memory.doubt(&before, done.patch());
            }
            Err(Error(failure))
        }
    }
}

/// If the answer to a status write was lost, and the alert shows now that it was written, tells what goes with it.
pub fn settle_doubt(lead: &Lead, alert: &AegisAlert) {
    if let Some(doubt) = lead.memory.settle(alert).filter(|doubt| was_ours(&doubt.patch, alert)) {
        tell_changes(lead, &doubt.before, alert);
    }
}

/// Whether a patch says nothing but when the next try is. An action that cannot be made is told once, not with every
/// try: a burst of alerts must not turn an outage of the API server into a storm of writes.
fn only_moves_the_next_try(patch: &Value) -> bool {
    patch
        .get("status")
        .and_then(|status| only(status, "verdict"))
        .and_then(|verdict| only(verdict, "nextTry"))
        .is_some()
}

/// Whether a patch says nothing but which other nodes are out. After every action that ends in a storm, and with every
/// leader that takes over in one, that is so for all the alerts that wait.
fn only_tells_of_others(before: &AegisAlert, patch: &Value) -> bool {
    let new = patch.get("status").and_then(|status| only(status, "verdict")).and_then(Value::as_object);
    let old = before.status.as_ref().and_then(|status| status.verdict.as_ref());
    let (Some(new), Some(old)) = (new, old) else { return false };
    let mut verdict = json!(old);
    if let Some(fields) = verdict.as_object_mut() {
        fields.extend(new.clone());
    }
    serde_json::from_value(verdict).is_ok_and(|new: VerdictStatus| differ_in_others_only(old, &new))
}

/// The value of that key, if there is no other.
fn only<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.as_object().filter(|map| map.len() == 1)?.get(key)
}

/// Whether the actions that the patch carries are those that stand in status, ends and all.
fn was_ours(patch: &Value, alert: &AegisAlert) -> bool {
    let Some(actions) = patch.pointer("/status/actions") else { return false };
    let stored = alert.status.as_ref().map(|status| &status.actions);
    stored.and_then(|stored| serde_json::to_value(stored).ok()).is_some_and(|stored| stored == *actions)
}

/// Counts, times, logs and tells what is new in a status that was written.
fn tell_changes(lead: &Lead, before: &AegisAlert, after: &AegisAlert) {
    lead.context.metrics.repair(before, after);
    lead.context.notifier.tell(before, after, lead.context.clock.now());
    let known = |uid: &str| actions(before).iter().find(|action| action.uid.as_deref() == Some(uid));
    for action in actions(after) {
        let Some(uid) = action.uid.as_deref() else { continue };
        let old = known(uid);
        if old.is_none() {
            begun(lead, after, action);
        }
        let ran = |action: &ActionStatus| action.status == Some(AlertOpsStatus::Running);
        if !action.check && ran(action) && !old.is_some_and(ran) {
            lead.stages.runs(&lead.context.metrics, uid, action, lead.context.clock.now());
        }
        if action.completion_time.is_some() && old.is_none_or(|old| old.completion_time.is_none()) {
            ended(lead, after, uid, action);
        }
    }
    let reason = |alert: &AegisAlert| {
        let verdict = alert.status.as_ref().and_then(|status| status.verdict.as_ref());
        verdict.map(|verdict| (verdict.reason.clone(), verdict.message.clone()))
    };
    if let Some((word, message)) = reason(after).filter(|now| reason(before).is_none_or(|old| old.0 != now.0)) {
        held(lead, after, &word, &message);
    }
}

fn actions(alert: &AegisAlert) -> &[ActionStatus] {
    alert.status.as_ref().map(|status| status.actions.as_slice()).unwrap_or_default()
}

fn begun(lead: &Lead, alert: &AegisAlert, action: &ActionStatus) {
    let (name, kind, id) = (alert.name_any(), &action.kind, &action.name);
    info!(alert = %name, action = %id, rule = %action.rule, "{kind} {id} is there for {name}");
    // For an attempt after the first, or for Resolved, the alert was stored long before.
    let first = action.attempt == 1 && !action.check && action.phase == alert.spec.status;
    if let (true, Some(made), Some(stored)) = (first, action.start_time, alert.creation_timestamp()) {
        lead.context.metrics.stage(Stage::Triggered, made.duration_since(stored.0));
    }
}

fn ended(lead: &Lead, alert: &AegisAlert, uid: &str, action: &ActionStatus) {
    let ActionStatus { kind, name: id, rule, status, reason, message, .. } = action;
    let name = alert.name_any();
    lead.counts.ended(action);
    if action.check {
        checked(lead, alert, action);
        return;
    }
    lead.stages.ended(&lead.context.metrics, uid, action);
    let took = match (action.start_time, action.completion_time) {
        (Some(start), Some(end)) => aegis_engine::duration::brief(end.duration_since(start)),
        _ => "an unknown time".to_owned(),
    };
    if *status == Some(AlertOpsStatus::Succeeded) {
        lead.context.metrics.action("Succeeded", "");
        info!(alert = %name, action = %id, rule = %rule, "{kind} {id} for {name} succeeded after {took}");
        let message = format!("{kind} {id} succeeded after {took} (rule {rule})");
        note(lead, events::alert(alert), Weight::Normal, "ActionSucceeded", message);
        return;
    }
    lead.context.metrics.action("Failed", word(reason.as_deref()));
    let why = match (reason.as_deref(), message.as_deref()) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "for no reason given".to_owned(),
    };
    warn!(alert = %name, action = %id, rule = %rule, "{kind} {id} for {name} failed after {took}: {why}");
    let message = format!("{kind} {id} failed after {took} (rule {rule}): {why}");
    note(lead, events::alert(alert), Weight::Warning, "ActionFailed", message.clone());
    if let Some(involved) = events::involved(alert) {
        note(lead, involved, Weight::Warning, "ActionFailed", format!("for alert {name}, {message}"));
    }
}

/// A check has ended. That it failed says that the problem stays.
fn checked(lead: &Lead, alert: &AegisAlert, check: &ActionStatus) {
    let ActionStatus { kind, name: id, rule, status, reason, message, .. } = check;
    let name = alert.name_any();
    let (weight, word, said) = match status {
        Some(AlertOpsStatus::Succeeded) => (Weight::Normal, "CheckPassed", "the problem is gone".to_owned()),
        _ => {
            let why = message.as_deref().or(reason.as_deref()).unwrap_or("for no reason given");
            (Weight::Warning, "CheckFailed", format!("the problem stays: {why}"))
        }
    };
    info!(alert = %name, action = %id, rule = %rule, "{kind} {id} for {name}: {said}");
    note(lead, events::alert(alert), weight, word, format!("{kind} {id} says that {said} (rule {rule})"));
}

fn held(lead: &Lead, alert: &AegisAlert, word: &str, message: &str) {
    let name = alert.name_any();
    info!(alert = %name, reason = word, "alert {name} leads to no action now: {message}");
    let Some(reason) = Reason::parse(word) else { return };
    lead.context.metrics.held(reason.as_str());
    if let Some(weight) = weight(reason) {
        note(lead, events::alert(alert), weight, reason.as_str(), message.to_owned());
    }
}

/// Whether anybody but a reader of the status needs to know that an alert waits for that.
pub fn worth_telling(reason: Reason) -> bool {
    weight(reason).is_some()
}

/// What an Event about it weighs: a warning where somebody has to do something before the alert can be acted on, none
/// where its status says all that there is to know.
fn weight(reason: Reason) -> Option<Weight> {
    match reason {
        Reason::BrokenRule
        | Reason::NoTemplate
        | Reason::BadTemplate
        | Reason::BadAlert
        | Reason::ExecutorMissing
        | Reason::Rejected
        | Reason::Forbidden
        | Reason::CreateFailed
        | Reason::OldController
        | Reason::NoPolicy
        | Reason::NeedsPerson
        | Reason::NeedsApproval
        | Reason::NotOurs
        | Reason::BreakerOpen => Some(Weight::Warning),
        Reason::Paused
        | Reason::Frozen
        | Reason::OutsideWindow
        | Reason::TargetBusy
        | Reason::Cordoned
        | Reason::CoolingDown
        | Reason::BudgetFull
        | Reason::TooManyNodesOut
        | Reason::Declined
        | Reason::TargetGone
        | Reason::Observed => Some(Weight::Normal),
        Reason::NoRule
        | Reason::OptedOut
        | Reason::Stale
        | Reason::EarlierAction
        | Reason::TestAlert
        | Reason::DryRun
        | Reason::Resolved
        | Reason::NoRuleForResolved
        | Reason::Superseded
        | Reason::NewerIncident
        | Reason::Duplicate => None,
    }
}

/// Tells the object that the alert is about, so that whoever looks at it knows who works on it.
pub fn started(lead: &Lead, alert: &AegisAlert, action: &SeenAction) {
    let (name, phase) = (alert.name_any(), aegis_engine::plan::phase(alert));
    let rule = action.rule.as_deref().unwrap_or("unknown");
    if action.identity.as_ref().is_some_and(|identity| identity.check) {
        info!(alert = %name, action = %action.name, rule, "{} {} checks what was done for {name}", action.kind, action.name);
        let message = format!("{} {} checks whether the problem is gone (rule {rule})", action.kind, action.name);
        note(lead, events::alert(alert), Weight::Normal, "CheckStarted", message);
        return;
    }
    info!(alert = %name, action = %action.name, rule, "started {} {} for {name}", action.kind, action.name);
    if let Some(involved) = events::involved(alert) {
        let what = match phase {
            AlertStatus::Firing => "alert",
            AlertStatus::Resolved => "the end of alert",
        };
        let message = format!("{} {} was started for {what} {name} (rule {rule})", action.kind, action.name);
        note(lead, involved, Weight::Normal, "ActionStarted", message);
    }
}

/// Tells that a name which an action should have is held by an object that is not it.
pub fn name_taken(lead: &Lead, alert: &AegisAlert, holder: &SeenAction) {
    let (name, kind, id) = (alert.name_any(), holder.kind, &holder.name);
    warn!(alert = %name, action = %id, "{kind} {id} is not an action of {name}, whose action should have that name");
    let message =
        format!("{kind} {id} is not an action of this alert, whose action should have that name; it gets another");
    note(lead, events::alert(alert), Weight::Warning, "NameTaken", message);
}

fn note(lead: &Lead, regarding: ObjectReference, weight: Weight, reason: &'static str, message: String) {
    lead.context.events.record(Note { regarding, weight, reason, message });
}

/// The word as metrics know it: only words of our own may be labels.
fn word(reason: Option<&str>) -> &'static str {
    let known = reason.and_then(|reason| metrics::FAILURES.into_iter().find(|known| *known == reason));
    known.unwrap_or(metrics::OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_that_only_moves_the_next_try_is_not_written() {
        let cases = [
            (json!({"metadata": {"resourceVersion": "1"}, "status": {"verdict": {"nextTry": "x"}}}), true),
            (json!({"status": {"verdict": {"nextTry": null}}}), true),
            (json!({"status": {"verdict": {"nextTry": "x", "message": "y"}}}), false),
            (json!({"status": {"verdict": {"nextTry": "x"}, "count": 1}}), false),
            (json!({"status": {"verdict": null}}), false),
            (json!({"status": {}}), false),
        ];
        for (patch, want) in cases {
            assert_eq!(only_moves_the_next_try(&patch), want, "{patch}");
        }
    }

    #[test]
    fn a_patch_that_only_tells_of_other_nodes_out_is_known() {
        let out = |others: &str| format!("of the 9 nodes of pool default 3 may be out, and {others} already are");
        let mut alert = AegisAlert::default();
        let busy = json!([{"gate": "domain", "reason": "TooManyNodesOut", "message": out("n4")}]);
        let verdict = json!({"reason": "TooManyNodesOut", "gate": "nodes out", "message": out("n1"), "others": busy});
        alert.status = Some(serde_json::from_value(json!({"status": "Firing", "verdict": verdict})).unwrap());
        let other = |field: &str, value: &str| {
            let mut others = busy.clone();
            others[0][field] = json!(value);
            json!({"verdict": {"others": others}})
        };
        let cases = [
            ("others are out now", json!({"verdict": {"message": out("n2 and 7 more")}}), true),
            (
                "and there is a time",
                json!({"verdict": {"message": out("n2"), "nextTry": "2026-01-01T00:00:00Z"}}),
                true,
            ),
            ("another gate says so", other("message", &out("n5")), true),
            ("another gate says something else", other("reason", "Paused"), false),
            ("no other gate says anything", json!({"verdict": {"others": null}}), false),
            ("more may be out", json!({"verdict": {"message": out("n1").replace('3', "4")}}), false),
            ("it is about something else", json!({"verdict": {"message": "paused by ann"}}), false),
            ("it is held for something else", json!({"verdict": {"message": out("n2"), "reason": "Paused"}}), false),
            ("it is held no longer", json!({"verdict": null}), false),
            ("there is more to tell", json!({"verdict": {"message": out("n2")}, "count": 2}), false),
        ];
        for (why, status, want) in cases {
            assert_eq!(only_tells_of_others(&alert, &json!({"status": status})), want, "{why}");
        }
        let patch = json!({"status": {"verdict": {"reason": "TooManyNodesOut", "message": out("n2")}}});
        assert!(!only_tells_of_others(&AegisAlert::default(), &patch), "nothing was told before");
    }

    #[test]
    fn metrics_never_carry_an_executors_own_words() {
        assert_eq!(word(Some("Timeout")), "Timeout");
        assert_eq!(word(Some("exit code 1")), "Other");
        assert_eq!(word(None), "Other");
    }
}
