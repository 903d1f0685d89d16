//! Places in the book: taken right before an action is made, given back once its outcome stands.

use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertOpsStatus, AlertStatus, VerificationStatus};
use aegis_crds::guard::Claim;
use aegis_crds::names::CORDON_FOR_ANNOTATION;
use aegis_crds::template::ActsOn;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::action::ActionKind;
use super::decide::Decided;
use super::ledger::{Entry, Ledger};
use super::snapshot::{Settings, Snapshot};
use super::template::CompiledTemplate;
use super::{Decision, GiveBack, LastLook, Step};
use crate::duration;
use crate::guard::{self, Ended, Guard, Place, Rank, Reason, Refusal, Request, SAID};
use crate::incident::Stored;
use crate::rules::CompiledRule;
use crate::scope::ObjectName;

/// What an action asks for.
pub(super) fn request(
    seen: &Snapshot,
    phase: AlertStatus,
    attempt: i32,
    rule: Result<&CompiledRule, ObjectName>,
    template: Option<&CompiledTemplate>,
) -> Request {
    let metadata = &seen.alert.metadata;
    let alert = metadata.name.clone().unwrap_or_default();
    let acts_on = template.map_or(ActsOn::Object, |template| template.acts_on);
    let (target, node) = guard::target(&seen.alert.spec.involved_object, acts_on, &alert);
    let known = rule.as_ref().ok().copied();
    let of_template = template.is_some_and(|template| template.recovery);
    let own = known.map(|rule| rule.terms.retries).unwrap_or_default();
    let mut retries = seen.guard.policy().map(|policy| policy.retries(&own)).unwrap_or_default();
    if let Some(rule) = known.filter(|rule| !rule.escalation.is_empty()) {
        // Each step of a ladder is tried before a person is asked for.
        retries.attempts = retries.attempts.max(usize::try_from(rule.attempts()).unwrap_or(usize::MAX));
    }
    Request {
        place: Place { uid: metadata.uid.clone().unwrap_or_default(), phase, attempt },
        rank: Rank::of(&seen.alert),
        alert,
        target,
        node,
        recovery: known.map_or(of_template, |rule| rule.terms.is_recovery(of_template)),
        on_cordoned: known.map(|rule| rule.terms.on_cordoned).unwrap_or_default(),
        budget: known.map(|rule| rule.terms.budget.clone()).unwrap_or_default(),
        retries,
        rule: rule.map_or_else(|name| name, |rule| rule.name.clone()),
    }
}

/// The steps that take and give back places, and the action in between.
pub(super) fn steps(seen: &Snapshot, ledger: &Ledger<'_>, decided: &Decided, now: Timestamp) -> Vec<Step> {
    let mut steps = Vec::new();
    if seen.guard.has_book {
        if let Some(entry) = ledger.under_way() {
            let place = Place { uid: String::new(), phase: entry.record.phase, attempt: entry.record.attempt };
            // A check is under way in the place of the action that it checks.
            steps.extend(adopted(seen, ledger.find(&place).unwrap_or(entry)).map(Step::Adopt));
        }
        let free = claims_to_give_back(seen, ledger, decided);
        steps.extend(
            free.filter_map(|claim| give_back(seen, ledger, claim, now)).map(|one| Step::GiveBack(Box::new(one))),
        );
    }
    if let Decision::Start(remedy) = &decided.decision
        && remedy.check
    {
        steps.push(Step::LastLook(LastLook { node: None, pod: None, approved: false }));
        steps.push(Step::Create(remedy.clone()));
    } else if let (Decision::Start(remedy), Some(request)) = (&decided.decision, &decided.request) {
        if seen.guard.has_book && seen.guard.book.find(&request.place).is_none() {
            steps.push(Step::Claim(Box::new(request.clone())));
        }
        steps.push(Step::LastLook(last_look(seen, request)));
        steps.push(Step::Create(remedy.clone()));
    }
    steps
}

/// The places that the next action does not need.
fn claims_to_give_back<'a>(
    seen: &'a Snapshot,
    ledger: &Ledger<'_>,
    decided: &Decided,
) -> impl Iterator<Item = &'a Claim> {
    let is_needed = match &decided.decision {
        Decision::Start(_) => true,
        // It is tried again in a moment; others of its kind would fare no better.
        Decision::Hold(refusal) => refusal.reason == Reason::CreateFailed,
        _ => false,
    };
    let needed = decided.request.as_ref().filter(|_| is_needed).map(|request| &request.place);
    let is_settled = seen.guard.has_book && ledger.is_settled();
    claims(seen).filter(move |claim| is_settled && !needed.is_some_and(|needed| needed.is_of(claim)))
}

/// A place that nobody needs and of whose action nothing is known. A leader that is gone may have made it a moment before
/// it went, where this one's watch does not show it yet: its place must not go to another one, and what it changes is
/// written down only when it ends in a place. So the API server is asked, once no earlier leader can make it any more.
pub(super) fn to_look_into(seen: &Snapshot, ledger: &Ledger<'_>, decided: &Decided, now: Timestamp) -> Option<Place> {
    in_doubt(seen, ledger, decided).find(|(_, from)| *from <= now).map(|(claim, _)| Place::of(claim))
}

/// Places of whose actions nothing is known, and from when on it is known to all who may ask.
fn in_doubt<'a>(
    seen: &'a Snapshot,
    ledger: &'a Ledger<'_>,
    decided: &Decided,
) -> impl Iterator<Item = (&'a Claim, Timestamp)> {
    let unknown = claims_to_give_back(seen, ledger, decided).filter(|claim| {
        let place = Place::of(claim);
        ledger.find(&place).is_none() && !seen.unused.contains(&place)
    });
    unknown.map(|claim| (claim, known_from(claim, &seen.settings)))
}

/// From when on whatever was made in a place shows to those who ask the API server.
pub fn known_from(claim: &Claim, settings: &Settings) -> Timestamp {
    claim.since.map_or(Timestamp::MIN, |since| settings.known_to_all(since))
}

/// What actions changed is written down when they end, also where they keep their places. It comes before their end
/// stands in status: what stands there was noted, and is not noted again, since others may have changed the node since.
pub(super) fn notes(seen: &Snapshot, ledger: &Ledger<'_>, now: Timestamp) -> Vec<Step> {
    let places = ledger.verified_from_now().map(|entry| (&entry.record, lasts(Some(entry))));
    let noted = places.filter_map(|(record, cordon_for)| {
        let at = |claim: &&Claim| (claim.phase, claim.attempt) == (record.phase, record.attempt);
        let claim = claims(seen).find(at)?.clone();
        let action = (ActionKind::parse(&record.kind)?, record.name.clone());
        let ended = Ended::Succeeded(record.completion_time.unwrap_or(now));
        let cooldown = cooldown(seen, &claim);
        Some(Step::Note(Box::new(GiveBack { claim, ended, cooldown, action: Some(action), cordon_for })))
    });
    noted.collect()
}

/// When a place comes free that no event tells of: an action that cannot be stopped is waited for only so long, and so
/// is one of which nothing is known.
pub(super) fn wakes(seen: &Snapshot, ledger: &Ledger<'_>, decided: &Decided, now: Timestamp) -> Vec<Timestamp> {
    let entries = claims(seen).filter_map(|claim| ledger.find(&Place::of(claim)));
    let ends = entries.filter_map(|entry| entry.goes_on_until()).filter(|end| *end > now);
    ends.chain(in_doubt(seen, ledger, decided).map(|(_, from)| from)).collect()
}

fn claims(seen: &Snapshot) -> impl Iterator<Item = &Claim> {
    let uid = seen.alert.metadata.uid.as_deref().unwrap_or_default();
    seen.guard.book.claims().filter(move |claim| claim.uid == uid)
}

/// An action that was made without a place, by an earlier version or before the book was lost.
fn adopted(seen: &Snapshot, entry: &Entry<'_>) -> Option<Box<Request>> {
    let record = &entry.record;
    let rule = ObjectName::parse(&record.rule).unwrap_or_default();
    let template = ObjectName::parse(&record.template).and_then(|name| seen.templates.get(&name));
    let template = template.and_then(|template| template.as_ref().ok());
    let request =
        request(seen, record.phase, record.attempt, seen.rules.get(&rule).map(AsRef::as_ref).ok_or(rule), template);
    seen.guard.book.find(&request.place).is_none().then(|| Box::new(request))
}

/// Whether the end of the action of that place stands in the alert's status, and nothing keeps its place any more: who
/// wrote it there gave the place back.
pub fn keeps_no_place(alert: &AegisAlert, place: &Place) -> bool {
    let actions = alert.status.as_ref().map(|status| status.actions.as_slice()).unwrap_or_default();
    let mut of_place =
        actions.iter().filter(|action| !action.check && (action.phase, action.attempt) == (place.phase, place.attempt));
    of_place.any(|action| action.completion_time.is_some() && action.verification != Some(VerificationStatus::Waiting))
}

fn give_back(seen: &Snapshot, ledger: &Ledger<'_>, claim: &Claim, now: Timestamp) -> Option<GiveBack> {
    let entry = ledger.find(&Place::of(claim));
    let ended = match entry.and_then(|entry| Some((entry, entry.record.completion_time?))) {
        Some((entry, _)) if entry.goes_on_until().is_some_and(|end| end > now) => return None,
        Some((entry, _)) if entry.record.verification == Some(VerificationStatus::Waiting) => return None,
        Some((entry, time)) => {
            let time = ledger.over_at(&entry.record).unwrap_or(time);
            match (entry.record.status, entry.record.verification) {
                (Some(AlertOpsStatus::Succeeded), Some(VerificationStatus::Failed)) => Ended::Failed(time),
                (Some(AlertOpsStatus::Succeeded), _) => Ended::Succeeded(time),
                _ => Ended::Failed(time),
            }
        }
        None if entry.is_some() || !seen.unused.contains(&Place::of(claim)) => return None,
        None => Ended::NeverBegan,
    };
    let made = entry.map(|entry| &entry.record).filter(|record| record.uid.is_some() && record.verification.is_none());
    let action = made.and_then(|record| Some((ActionKind::parse(&record.kind)?, record.name.clone())));
    let cooldown = cooldown(seen, claim);
    Some(GiveBack { claim: claim.clone(), ended, cooldown, action, cordon_for: lasts(entry) })
}

/// For how long a cordon of this action stands, as stands on the action since it was made.
fn lasts(entry: Option<&Entry<'_>>) -> Option<SignedDuration> {
    entry.and_then(|entry| entry.seen?.cordon_for)
}

/// For how long a cordon of the action that is due is to stand: what the alert says goes before what the rule does, and
/// recovery leaves none. The error says what is wrong with the alert.
pub(super) fn cordon_for(
    seen: &Snapshot,
    rule: &CompiledRule,
    request: &Request,
) -> Result<Option<SignedDuration>, Refusal> {
    let annotations = seen.alert.metadata.annotations.as_ref();
    match annotations.and_then(|all| all.get(CORDON_FOR_ANNOTATION)) {
        _ if request.recovery => Ok(None),
        None => Ok(rule.terms.cordon_for),
        Some(text) => duration::parse(text).map(Some).map_err(|flaw| {
            Refusal::new(Reason::BadAlert, format!("annotation {CORDON_FOR_ANNOTATION} of the alert: {flaw}"))
        }),
    }
}

fn cooldown(seen: &Snapshot, claim: &Claim) -> SignedDuration {
    let rule = ObjectName::parse(&claim.rule).and_then(|name| seen.rules.get(&name));
    let own = rule.map(|rule| rule.terms.retries).unwrap_or_default();
    seen.guard.policy().map_or(SignedDuration::ZERO, |policy| policy.retries(&own).cooldown)
}

fn last_look(seen: &Snapshot, request: &Request) -> LastLook {
    let node = request.node.as_ref().map(|name| (name.clone(), seen.guard.fleet.get(name).cloned()));
    let object = &seen.alert.spec.involved_object;
    let is_pod = object.kind.eq_ignore_ascii_case("pod") && !object.name.is_empty() && !object.namespace.is_empty();
    let heard = Stored::new(&seen.alert).last_heard().filter(|_| request.place.phase == AlertStatus::Firing);
    let pod = heard.filter(|_| is_pod).map(|heard| (ObjectName::new(&object.namespace, &object.name), heard));
    let approved = SAID.iter().any(|annotation| seen.alert.annotations().contains_key(*annotation));
    LastLook { node, pod, approved }
}

/// Why the node is not the one that the alert is about.
pub(super) fn newer_node(guard: &Guard, request: &Request, heard: Timestamp) -> Option<String> {
    let name = request.node.as_ref().filter(|_| request.place.phase == AlertStatus::Firing)?;
    let created = guard.fleet.get(name)?.created?;
    (created > heard).then(|| {
        format!(
            "node {name} was made at {created}, after the alert was last heard; it is tried when it is reported again"
        )
    })
}
