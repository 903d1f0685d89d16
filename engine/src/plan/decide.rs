//! What is due for an alert of which nothing is under way: an action, or a reason why there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aegis_crds::alert::{ActionStatus, AlertOpsStatus, AlertStatus, TriggerStatus, VerificationStatus};
use aegis_crds::names;
use aegis_crds::rule::{Mode, RuleApproval};
use jiff::Timestamp;

use super::action::ActionKind;
use super::ledger::{self, Ledger};
use super::remedy::{self, Naming, Remedy};
use super::snapshot::{Snapshot, TroubleKind};
use super::{Decision, Look, Rest, check, claims, family, later};
use crate::guard::{self, Case, Judgement, Opinion, Reason, Refusal, Request};
use crate::incident::Stored;
use crate::rules::{AlertFacts, Choice, CompiledRule};
use crate::scope::ObjectName;
use crate::signal;

/// A decision with all that led to it.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) choice: Option<Choice>,
    pub(super) judgement: Judgement,
    /// The action, also where it is held back.
    pub(super) remedy: Option<Arc<Remedy>>,
    /// What it asks of the guard.
    pub(super) request: Option<Request>,
    /// Its digest, where people are asked for it or have said something.
    pub(super) plan: Option<String>,
    /// What people said to it.
    pub(super) opinion: Opinion,
}

impl From<Decision> for Decided {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            choice: None,
            judgement: Judgement::default(),
            remedy: None,
            request: None,
            plan: None,
            opinion: Opinion::default(),
        }
    }
}

/// What rules may look at, in the phase given.
pub(super) fn facts(seen: &Snapshot, phase: AlertStatus) -> AlertFacts<'_> {
    static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();
    let labels = seen.alert.metadata.labels.as_ref().unwrap_or(&NO_LABELS);
    AlertFacts { type_: &seen.alert.spec.type_, phase, labels }
}

/// Decides. The ledger has nothing under way, and all its outcomes stand in status.
pub(super) fn decide(seen: &Snapshot, ledger: &Ledger<'_>, now: Timestamp) -> Decided {
    let phase = Stored::new(&seen.alert).phase();
    if let Some(rest) = over(seen, ledger, phase) {
        return Decision::Rest(rest).into();
    }
    match phase {
        AlertStatus::Firing => firing(seen, ledger, now),
        AlertStatus::Resolved => resolved(seen, ledger, now),
    }
}

/// Whether what a person asked for is done, and nothing more is tried: it succeeded and nobody verifies that any more,
/// or it failed and its rule has nothing else.
pub(super) fn is_answered(seen: &Snapshot, ledger: &Ledger<'_>) -> bool {
    let stored = Stored::new(&seen.alert);
    if seen.alert.spec.source != signal::MANUAL || !stored.is_open() || ledger.under_way().is_some() {
        return false;
    }
    let Some(last) = ledger.made_for(AlertStatus::Firing).next_back().map(|entry| &entry.record) else { return false };
    let acts_again = |rule: &Arc<CompiledRule>| rule.repeat.is_some() || !rule.escalation.is_empty();
    let rule = ObjectName::parse(&last.rule).and_then(|name| seen.rules.get(&name));
    match (last.status, last.verification) {
        (Some(AlertOpsStatus::Succeeded), None | Some(VerificationStatus::Passed | VerificationStatus::Dropped)) => {
            true
        }
        (Some(AlertOpsStatus::Failed), _) => !rule.is_some_and(acts_again),
        _ => false,
    }
}

/// Why nothing will ever be due again.
fn over(seen: &Snapshot, ledger: &Ledger<'_>, phase: AlertStatus) -> Option<Rest> {
    if Stored::new(&seen.alert).is_answered() {
        return Some(Rest::Acted);
    }
    let verdict = seen.alert.status.as_ref().and_then(|status| status.verdict.as_ref());
    let reason = verdict.and_then(|verdict| Reason::parse(&verdict.reason)).filter(|reason| reason.is_final());
    match reason {
        // Only a duplicate is withdrawn while it fires; every other final word belongs to a resolved alert.
        Some(reason) if phase == AlertStatus::Resolved || reason == Reason::Duplicate => {
            return Some(Rest::Withdrawn(reason));
        }
        _ => {}
    }
    (ledger.is_legacy() || ledger::is_of_earlier_version(&seen.alert)).then_some(Rest::EarlierVersion)
}

fn firing(seen: &Snapshot, ledger: &Ledger<'_>, now: Timestamp) -> Decided {
    let phase = AlertStatus::Firing;
    let choice = seen.rules.pick(&facts(seen, phase));
    let Some(last) = ledger.made_for(phase).next_back() else {
        if let Some(other) = family::stands_instead(seen) {
            if !seen.siblings_confirmed {
                return Decision::Look(Look::Siblings).into();
            }
            let message = format!("{other} stands for the same incident");
            return Decision::Withdraw(Refusal::new(Reason::Duplicate, message), Some(other)).into();
        }
        return match choice {
            Some(choice) => action(seen, ledger, phase, 1, choice, now),
            None => Decision::Hold(no_rule(seen, phase)).into(),
        };
    };
    match last.record.verification {
        Some(VerificationStatus::Waiting) => return check::decide(seen, ledger, &last.record, now),
        Some(VerificationStatus::Passed) => return Decision::Rest(Rest::Verified).into(),
        Some(VerificationStatus::Failed | VerificationStatus::Dropped) | None => {}
    }
    let over = ledger.over_at(&last.record);
    let heard_since = seen.alert.status.as_ref().and_then(|status| status.last_time) > over;
    let stays = heard_since || known_to_stay(seen, &last.record);
    let taken = ledger.made_for(phase).count();
    let acts_again = |choice: &Choice| choice.winner.repeat.is_some() || !choice.winner.escalation.is_empty();
    let verified = last.record.verification.is_some();
    let Some(choice) = choice.filter(|choice| acts_again(choice) || verified) else {
        return Decision::Rest(Rest::Acted).into();
    };
    let Some(after) = choice.winner.wait_before(i32::try_from(taken).unwrap_or(i32::MAX).saturating_add(1)) else {
        let limit = choice.winner.attempts();
        let decision = if stays {
            Decision::Hold(used_up(&choice, taken, &last.record))
        } else {
            Decision::Rest(Rest::LimitReached(limit))
        };
        return Decided { choice: Some(choice), ..decision.into() };
    };
    let due = over.map_or(now, |ended| later(ended, after));
    if !stays || now < due {
        return Decided { choice: Some(choice), ..Decision::Rest(Rest::Repeats { due, heard_since: stays }).into() };
    }
    let attempt = ledger.made_for(phase).map(|entry| entry.record.attempt).max().unwrap_or(0).saturating_add(1);
    action(seen, ledger, phase, attempt, choice, now)
}

/// Whether it is known without another report that the problem stays: where a rule has its actions verified, one that
/// failed did not cure it either.
fn known_to_stay(seen: &Snapshot, last: &ActionStatus) -> bool {
    match last.verification {
        Some(verification) => verification == VerificationStatus::Failed,
        None => last.status == Some(AlertOpsStatus::Failed) && ledger::asked(seen, last).is_some(),
    }
}

/// Everything that the rule has was tried.
fn used_up(choice: &Choice, taken: usize, last: &ActionStatus) -> Refusal {
    let rule = &choice.winner.name;
    let actions = if taken == 1 { "the one action".to_owned() } else { format!("all {taken} actions") };
    let message = format!(
        "{actions} that rule {rule} has for one alert did not cure it, the last of template {}: somebody has to look",
        last.template
    );
    Refusal::new(Reason::NeedsPerson, message)
}

fn resolved(seen: &Snapshot, ledger: &Ledger<'_>, now: Timestamp) -> Decided {
    let phase = AlertStatus::Resolved;
    if ledger.made_for(phase).next().is_some() {
        return Decision::Rest(Rest::Acted).into();
    }
    let status = seen.alert.status.as_ref();
    let withdraw = |reason, message: String| Decision::Withdraw(Refusal::new(reason, message), None).into();
    if let Some(by) = status.and_then(|status| status.superseded_by.as_ref()) {
        if ledger.made().next().is_some() {
            return Decision::Rest(Rest::Withdrawn(Reason::Superseded)).into();
        }
        return withdraw(Reason::Superseded, format!("a new incident, {by}, took its place"));
    }
    if let Some(by) = family::newer(seen) {
        return withdraw(Reason::NewerIncident, format!("a newer incident, {by}, opened before an action began"));
    }
    if let Some(choice) = seen.rules.pick(&facts(seen, phase)) {
        return action(seen, ledger, phase, 1, choice, now);
    }
    if !seen.rules.broken_for(&facts(seen, phase)).is_empty() {
        return Decision::Hold(no_rule(seen, phase)).into();
    }
    let was_due = ledger.made().next().is_none()
        && match trigger_status(seen) {
            None => {
                seen.alert.spec.status == AlertStatus::Firing
                    && seen.rules.pick(&facts(seen, AlertStatus::Firing)).is_some()
            }
            Some(trigger) => waits(trigger),
        };
    if was_due {
        return withdraw(Reason::Resolved, "the alert was resolved before its action began".to_owned());
    }
    withdraw(Reason::NoRuleForResolved, "the alert was resolved, and no rule asks for an action then".to_owned())
}

/// The triggerStatus that stands in status.
pub(super) fn trigger_status(seen: &Snapshot) -> Option<TriggerStatus> {
    seen.alert.status.as_ref()?.ops_status.as_ref()?.trigger_status
}

/// Whether an alert of that triggerStatus was about to be acted on.
pub(super) fn waits(trigger: TriggerStatus) -> bool {
    match trigger {
        TriggerStatus::Held
        | TriggerStatus::RuleErrorFound
        | TriggerStatus::TemplateNotFound
        | TriggerStatus::TemplateInvalid
        | TriggerStatus::TriggerFailed => true,
        TriggerStatus::Triggered
        | TriggerStatus::RuleNotFound
        | TriggerStatus::TooManyRuletFound
        | TriggerStatus::DryRun
        | TriggerStatus::Withdrawn => false,
    }
}

fn no_rule(seen: &Snapshot, phase: AlertStatus) -> Refusal {
    let facts = facts(seen, phase);
    let broken = seen.rules.broken_for(&facts);
    let Some(first) = broken.first() else {
        let message = format!("no rule matches type {} in phase {phase}; it is acted on once one does", facts.type_);
        return Refusal::new(Reason::NoRule, message);
    };
    Refusal::new(Reason::BrokenRule, format!("rule {} cannot be used: {first}", first.name))
}

/// An action that a rule asks for: rendered, then judged.
fn action(
    seen: &Snapshot,
    ledger: &Ledger<'_>,
    phase: AlertStatus,
    attempt: i32,
    choice: Choice,
    now: Timestamp,
) -> Decided {
    let attempt = ledger.set_aside(phase, false).map_or(attempt, |record| record.attempt);
    let wanted = choice.winner.template_of(attempt);
    let template = seen.templates.get(wanted).and_then(|template| template.as_ref().ok());
    let request = claims::request(seen, phase, attempt, Ok(&choice.winner), template);
    let rule = &choice.winner;
    let rendered = claims::cordon_for(seen, rule, &request).and_then(|cordon_for| {
        let naming = Naming { phase, attempt, check: false, rule: rule.name.clone(), cordon_for };
        let remedy = render(seen, ledger, naming, wanted)?;
        // An action that could not be verified afterwards is not taken either.
        if let Some(template) = rule.verification.as_ref().and_then(|asked| asked.template.as_ref()) {
            check::render(seen, ledger, phase, attempt, &rule.name, template)?;
        }
        Ok(Arc::new(remedy))
    });
    let plan = rendered.as_ref().ok().filter(|_| concerns_people(seen, rule)).map(|remedy| remedy.plan());
    let opinion = plan.as_deref().map(|plan| Opinion::of(&seen.alert, plan)).unwrap_or_default();
    let case =
        Case { plan: plan.as_deref(), opinion: opinion.clone(), ..case(seen, ledger, &request, &choice.winner, now) };
    let judgement = guard::judge(&case, now);
    let (decision, remedy) = match rendered {
        Err(refusal) => (Decision::Hold(refusal), None),
        Ok(remedy) => match judgement.refusal().cloned().or_else(|| trouble(seen, &remedy, now)) {
            Some(refusal) => (Decision::Hold(rehearsed(refusal, &remedy)), Some(remedy)),
            None => (Decision::Start(remedy.clone()), Some(remedy)),
        },
    };
    Decided { decision, choice: Some(choice), judgement, remedy, request: Some(request), plan, opinion }
}

/// Whether it matters which action people approve: of most, nobody is ever asked.
fn concerns_people(seen: &Snapshot, rule: &CompiledRule) -> bool {
    let annotations = seen.alert.metadata.annotations.as_ref();
    let said = annotations.is_some_and(|all| guard::SAID.iter().any(|annotation| all.contains_key(*annotation)));
    let policy = seen.guard.policy.or_default();
    said || rule.terms.approval == RuleApproval::Required || policy.approval().above_nodes_out.is_some()
}

/// A rehearsal says what would have been done.
fn rehearsed(mut refusal: Refusal, remedy: &Remedy) -> Refusal {
    if refusal.reason.trigger_status() == TriggerStatus::DryRun {
        let Remedy { kind, name, template, rule, .. } = remedy;
        refusal.message =
            format!("would create {kind} {name} from template {template} for rule {rule}: {}", refusal.message);
    }
    refusal
}

pub(super) fn case<'a>(
    seen: &'a Snapshot,
    ledger: &Ledger<'_>,
    request: &'a Request,
    rule: &CompiledRule,
    now: Timestamp,
) -> Case<'a> {
    let phase = request.place.phase;
    let stored = Stored::new(&seen.alert);
    let object = &seen.alert.spec.involved_object;
    let details = seen.alert.spec.details().ok();
    let itself = object.kind.eq_ignore_ascii_case("node").then_some(object.name.as_str());
    let detail = details.and_then(|details| details.get("node")).map(String::as_str);
    let nodes: BTreeSet<&str> = [Some(object.node.as_str()), itself, detail].into_iter().flatten().collect();
    let heard = stored.last_heard();
    let ended = ledger.made().filter_map(|entry| entry.record.completion_time).max();
    let heard = match phase {
        AlertStatus::Firing => heard,
        // It waited for that action; the wait does not make it stale.
        AlertStatus::Resolved => heard.max(stored.resolved_at()).max(ended),
    }
    .unwrap_or(now);
    Case {
        phase,
        phase_now: stored.phase(),
        nodes: nodes.into_iter().filter(|node| !node.is_empty()).collect(),
        heard,
        stale_after: seen.settings.stale_after,
        earlier_action: ledger::unfinished(&seen.alert, &seen.actions, now)
            .or_else(|| family::earlier_action(seen, now)),
        old_controller: seen.old_controller.as_deref(),
        gone: seen.gone.clone().or_else(|| claims::newer_node(&seen.guard, request, heard)),
        request,
        guard: &seen.guard,
        others_first: seen.others_first,
        plan: None,
        approval_required: rule.terms.approval == RuleApproval::Required,
        opinion: Opinion::default(),
        observes: rule.terms.mode == Mode::Observe,
        test: stored.is_test(),
        dry_run: seen.settings.dry_run,
    }
}

/// What the template makes of the alert, under the first name that is free.
pub(super) fn render(
    seen: &Snapshot,
    ledger: &Ledger<'_>,
    naming: Naming,
    wanted: &ObjectName,
) -> Result<Remedy, Refusal> {
    let Naming { phase, attempt, check, ref rule, .. } = naming;
    let template = match seen.templates.get(wanted) {
        Some(Ok(template)) => template,
        Some(Err(broken)) => {
            return Err(Refusal::new(Reason::BadTemplate, format!("template {wanted} cannot be used: {broken}")));
        }
        None => {
            let namespaces = seen.templates.namespaces();
            let message = if namespaces.allow(&wanted.namespace) {
                format!("rule {rule} asks for template {wanted}, which does not exist")
            } else {
                format!("rule {rule} asks for template {wanted}, but templates count only in {namespaces}")
            };
            return Err(Refusal::new(Reason::NoTemplate, message));
        }
    };
    if let Err(differ) = seen.alert.spec.details() {
        return Err(Refusal::new(Reason::BadAlert, differ.to_string()));
    }
    let first_salt = ledger.set_aside(phase, check).map_or(0, |record| record.salt);
    let derived = if check { names::check } else { names::action };
    let name = |kind| free_name(seen, kind, first_salt, |alert, uid, salt| derived(alert, uid, phase, attempt, salt));
    remedy::render(&seen.alert, template, &seen.settings, naming, name)
        .map_err(|flaw| Refusal::new(Reason::BadTemplate, format!("template {wanted}: {flaw}")))
}

/// The first name that nobody else was seen to hold. An action of ours under it would stand in the ledger.
fn free_name(
    seen: &Snapshot,
    kind: ActionKind,
    mut salt: i32,
    derived: impl Fn(&str, &str, i32) -> String,
) -> (String, i32) {
    let metadata = &seen.alert.metadata;
    let (alert, uid) = (metadata.name.as_deref().unwrap_or_default(), metadata.uid.as_deref().unwrap_or_default());
    loop {
        let name = derived(alert, uid, salt);
        if salt == i32::MAX || !seen.actions.iter().any(|other| other.kind == kind && other.name == name) {
            return (name, salt);
        }
        salt += 1;
    }
}

pub(super) fn trouble(seen: &Snapshot, remedy: &Remedy, now: Timestamp) -> Option<Refusal> {
    let trouble =
        seen.trouble.as_ref().filter(|trouble| now < trouble.retry_at && trouble.digest == remedy.digest())?;
    let Remedy { kind, name, .. } = remedy;
    let said = &trouble.message;
    let (reason, message) = match trouble.kind {
        TroubleKind::ExecutorMissing => {
            let missing = match kind {
                ActionKind::Workflow => "Argo Workflows is not installed",
                ActionKind::Job => "the cluster runs no Jobs",
            };
            let version = kind.api_version();
            (Reason::ExecutorMissing, format!("the cluster does not know {kind} of {version}: {missing} ({said})"))
        }
        TroubleKind::Rejected => (Reason::Rejected, format!("the API server does not take {kind} {name}: {said}")),
        TroubleKind::Forbidden => (Reason::Forbidden, format!("Aegis may not create {kind} {name}: {said}")),
        TroubleKind::Unavailable => (Reason::CreateFailed, format!("{kind} {name} could not be created: {said}")),
    };
    Some(Refusal { reason, message, next_try: Some(trouble.retry_at) })
}
