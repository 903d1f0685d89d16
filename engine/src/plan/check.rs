//! The check of what an action achieved, where its rule asks for one: an action of the alert that acts on nothing.

use std::sync::Arc;

use aegis_crds::alert::{ActionStatus, AlertStatus};
use jiff::Timestamp;

use super::decide::{self, Decided};
use super::ledger::{self, Ledger};
use super::remedy::{Naming, Remedy};
use super::snapshot::Snapshot;
use super::{Decision, Rest, claims};
use crate::guard::{self, Reason, Refusal};
use crate::scope::ObjectName;

/// What is due for an alert whose last action has ended and is being verified, while no check of it is under way.
pub(super) fn decide(seen: &Snapshot, ledger: &Ledger<'_>, action: &ActionStatus, now: Timestamp) -> Decided {
    // Without a rule that asks for it the ledger has dropped it.
    let rule = ObjectName::parse(&action.rule).and_then(|name| seen.rules.get(&name));
    let Some((rule, asked)) = rule.and_then(|rule| Some((rule, rule.verification.as_ref()?))) else {
        return Decision::Rest(Rest::Acted).into();
    };
    let Some(template) = &asked.template else {
        let until = ledger::verified_by(action, asked).unwrap_or(now);
        return Decision::Rest(Rest::Verifies { until }).into();
    };
    let remedy = match render(seen, ledger, action.phase, action.attempt, &rule.name, template) {
        Ok(remedy) => Arc::new(remedy),
        Err(refusal) => return Decision::Hold(refusal).into(),
    };
    let compiled = seen.templates.get(template).and_then(|template| template.as_ref().ok());
    let request = claims::request(seen, action.phase, action.attempt, Ok(rule), compiled);
    let case = decide::case(seen, ledger, &request, rule, now);
    let judgement = guard::judge(&case, now);
    let held = judgement.refusals().map(|(_, refusal)| refusal).find(|refusal| holds(refusal)).cloned();
    let decision = match held.or_else(|| decide::trouble(seen, &remedy, now)) {
        Some(refusal) => Decision::Hold(refusal),
        None => Decision::Start(remedy.clone()),
    };
    Decided { remedy: Some(remedy), ..decision.into() }
}

/// The check of the action of that phase and attempt.
pub(super) fn render(
    seen: &Snapshot,
    ledger: &Ledger<'_>,
    phase: AlertStatus,
    attempt: i32,
    rule: &ObjectName,
    template: &ObjectName,
) -> Result<Remedy, Refusal> {
    let naming = Naming { phase, attempt, check: true, rule: rule.clone(), cordon_for: None };
    decide::render(seen, ledger, naming, template).map_err(|refusal| Refusal {
        message: format!("what rule {rule} asks for is verified with template {template}: {}", refusal.message),
        ..refusal
    })
}

/// Whether a gate that refuses an action holds its check too: what people stopped. The check has the action's place, so
/// that no budget, window or wait is asked again.
fn holds(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        Reason::Paused
            | Reason::OptedOut
            | Reason::OldController
            | Reason::TestAlert
            | Reason::Observed
            | Reason::DryRun
    )
}
