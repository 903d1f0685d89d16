//! The actions that stand in an alert's status, brought up to date with those that were seen in the cluster.

use aegis_crds::AegisAlert;
use aegis_crds::alert::{ActionStatus, AegisAlertStatus, AlertOpsStatus, AlertStatus, VerificationStatus};
use jiff::{SignedDuration, Timestamp};

use super::action::{ActionKind, Identity, SeenAction};
use super::snapshot::{Settings, Snapshot};
use super::{Look, later};
use crate::duration;
use crate::guard::Place;
use crate::incident::Stored;
use crate::rules::Verification;
use crate::scope::ObjectName;
use crate::signal;

/// The reason of an action that took too long.
pub(super) const TIMEOUT: &str = "Timeout";
/// Why an object is stopped in whose place another one stands.
const SECOND: &str = "SecondAction";
/// For so long after it was stopped an action that goes on is waited for. One that cannot be stopped must not hold
/// back its incident for ever.
const STOPPING_TAKES: SignedDuration = SignedDuration::from_mins(5);

/// Every action of an alert, oldest first.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    entries: Vec<Entry<'a>>,
    /// Objects in whose place another one stands in status: a Workflow and a Job do not collide by name.
    seconds: Vec<&'a SeenAction>,
    /// Whether the outcomes here are those that stand in status.
    settled: bool,
}

/// One action: what is to stand in status, and the object.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) record: ActionStatus,
    pub(super) seen: Option<&'a SeenAction>,
    /// Whether its end does not stand in status yet.
    ended_now: bool,
}

impl<'a> Ledger<'a> {
    /// Reads what happened. Where only the API server can tell what did, says what to ask it.
    pub(super) fn read(seen: &'a Snapshot, now: Timestamp) -> Result<Self, Look> {
        let mut ledger = Self::matched(&seen.alert, &seen.actions, now);
        for entry in &mut ledger.entries {
            if entry.is_under_way() {
                entry.update(seen, now)?;
                ledger.settled &= entry.is_under_way();
            }
        }
        ledger.verify(seen, now);
        Ok(ledger)
    }

    /// Has actions verified that ended just now, and finds out what came of it for those that are being verified.
    fn verify(&mut self, seen: &Snapshot, now: Timestamp) {
        let phase = Stored::new(&seen.alert).phase();
        let superseded = seen.alert.status.as_ref().is_some_and(|status| status.superseded_by.is_some());
        let made = self.entries.iter().filter(|entry| entry.record.check && entry.record.uid.is_some());
        let checks: Vec<(AlertStatus, i32, Option<AlertOpsStatus>)> = made
            .map(|entry| {
                let ended = entry.record.completion_time.and(entry.record.status);
                (entry.record.phase, entry.record.attempt, ended)
            })
            .collect();
        for Entry { record, ended_now, .. } in &mut self.entries {
            let asked = asked(seen, record);
            if *ended_now {
                let counts = !record.check && record.phase == phase && phase == AlertStatus::Firing;
                let succeeded = record.status == Some(AlertOpsStatus::Succeeded);
                record.verification = asked.filter(|_| counts && succeeded).map(|_| VerificationStatus::Waiting);
            } else if record.verification == Some(VerificationStatus::Waiting) {
                let check =
                    checks.iter().find(|(phase, attempt, _)| (*phase, *attempt) == (record.phase, record.attempt));
                let over = match (check, asked) {
                    (Some((.., None)), _) => None,
                    (Some((.., Some(AlertOpsStatus::Succeeded))), _) => Some(VerificationStatus::Passed),
                    (Some(_), _) => Some(VerificationStatus::Failed),
                    (None, _) if superseded => Some(VerificationStatus::Dropped),
                    (None, _) if phase == AlertStatus::Resolved => Some(VerificationStatus::Passed),
                    (None, None) => Some(VerificationStatus::Dropped),
                    (None, Some(asked)) => {
                        verified_by(record, asked).is_some_and(|due| due <= now).then_some(VerificationStatus::Failed)
                    }
                };
                if over.is_some() {
                    record.verification = over;
                    self.settled = false;
                }
            }
        }
    }

    /// Puts records and objects together. An object without a record was made by a leader that could not write it down.
    fn matched(alert: &AegisAlert, actions: &'a [SeenAction], now: Timestamp) -> Self {
        let stored = Stored::new(alert);
        let uid = alert.metadata.uid.as_deref().unwrap_or_default();
        let recorded = alert.status.as_ref().map(|status| status.actions.clone()).unwrap_or_default();
        let mut entries: Vec<Entry<'a>> = recorded
            .into_iter()
            .map(|record| {
                let seen = actions.iter().find(|action| record.uid.as_ref() == Some(&action.uid));
                Entry { record, seen, ended_now: false }
            })
            .collect();
        let mut loose: Vec<&SeenAction> = actions
            .iter()
            .filter(|action| !entries.iter().any(|entry| entry.record.uid.as_ref() == Some(&action.uid)))
            .collect();
        loose.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
        let told = alert.status.as_ref().and_then(|status| status.ops_status.as_ref()?.alert_ops_status);
        let told = matches!(told, Some(AlertOpsStatus::Succeeded | AlertOpsStatus::Failed));
        // What an earlier version told the end of needs no following; what we follow for it counts in full.
        let all_legacy = entries.iter().all(|entry| entry.record.uid.is_some() && entry.is_legacy());
        let may_be_legacy = stored.is_legacy() && if entries.is_empty() { !told } else { all_legacy };
        let mut seconds = Vec::new();
        for action in loose {
            if let Some(identity) = action.identity.as_ref().filter(|_| action.is_of(uid)) {
                let Identity { phase, attempt, check, .. } = *identity;
                let place = |entry: &Entry<'_>| {
                    let ActionStatus { phase: of, attempt: nth, check: checks, .. } = entry.record;
                    (of, nth, checks) == (phase, attempt, check)
                };
                let found = || {
                    let mut entry = Entry::found(action, phase, attempt, now);
                    entry.record.check = check;
                    entry
                };
                match entries.iter_mut().find(|entry| place(entry)) {
                    None => entries.push(found()),
                    Some(entry) if entry.record.uid.is_none() => {
                        let salt = entry.record.salt;
                        *entry = found();
                        entry.record.salt = salt;
                    }
                    // It is never followed, and its finalizer is released with the first one's.
                    Some(_) => seconds.push(action),
                }
            } else if may_be_legacy && action.is_legacy_of(uid) {
                let attempt = i32::try_from(entries.len()).unwrap_or(i32::MAX).saturating_add(1);
                entries.push(Entry::found(action, alert.spec.status, attempt, now));
            }
        }
        // A name that was set aside for an action of a phase that is over is not used any more.
        entries.retain(|entry| entry.record.uid.is_some() || entry.record.phase == stored.phase());
        Self { entries, seconds, settled: true }
    }

    /// The actions as they are to stand in status.
    pub(super) fn records(&self) -> Vec<ActionStatus> {
        self.entries.iter().map(|entry| entry.record.clone()).collect()
    }

    /// The actions that exist or existed, without those that only check what another one achieved.
    pub(super) fn made(&self) -> impl DoubleEndedIterator<Item = &Entry<'a>> {
        self.objects().filter(|entry| !entry.record.check)
    }

    fn objects(&self) -> impl DoubleEndedIterator<Item = &Entry<'a>> {
        self.entries.iter().filter(|entry| entry.record.uid.is_some())
    }

    /// Those of one phase.
    pub(super) fn made_for(&self, phase: AlertStatus) -> impl DoubleEndedIterator<Item = &Entry<'a>> {
        self.made().filter(move |entry| entry.record.phase == phase)
    }

    /// What checks, or checked, what that action achieved.
    pub(super) fn check_of(&self, action: &ActionStatus) -> Option<&Entry<'a>> {
        let place = |entry: &&Entry<'_>| (entry.record.phase, entry.record.attempt) == (action.phase, action.attempt);
        self.objects().filter(|entry| entry.record.check).find(place)
    }

    /// Actions that are verified from now on: from here on status says that they have ended, and that they keep their
    /// places.
    pub(super) fn verified_from_now(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.made().filter(|entry| entry.ended_now && entry.record.verification.is_some())
    }

    /// When an action has ended with all that belongs to it.
    pub(super) fn over_at(&self, action: &ActionStatus) -> Option<Timestamp> {
        let ended = action.completion_time?;
        Some(self.check_of(action).and_then(|check| check.record.completion_time).map_or(ended, |end| end.max(ended)))
    }

    /// The last action that is under way.
    pub(super) fn under_way(&self) -> Option<&Entry<'a>> {
        self.entries.iter().rev().find(|entry| entry.is_under_way())
    }

    /// The action of that place.
    pub(super) fn find(&self, place: &Place) -> Option<&Entry<'a>> {
        self.made().find(|entry| (entry.record.phase, entry.record.attempt) == (place.phase, place.attempt))
    }

    /// Whether every outcome stands in status already. Nothing new may begin before that.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// A name that was written to status for an action of this phase, or for what checks one, before it is used.
    pub(super) fn set_aside(&self, phase: AlertStatus, check: bool) -> Option<&ActionStatus> {
        let mut records = self.entries.iter().map(|entry| &entry.record);
        records.find(|record| record.uid.is_none() && (record.phase, record.check) == (phase, check))
    }

    /// Whether an action of an earlier version is among them.
    pub(super) fn is_legacy(&self) -> bool {
        self.made().any(Entry::is_legacy)
    }

    /// The actions to stop: ended for their alert, but not for their executor, which nobody has told yet; and those
    /// in whose place another one stands.
    pub(super) fn to_stop(&self) -> impl Iterator<Item = (&'a SeenAction, &str)> {
        let ended = self.objects().filter(|entry| !entry.is_legacy()).filter_map(|entry| {
            let action = entry.seen?;
            entry.record.completion_time?;
            Some((action, entry.record.reason.as_deref().unwrap_or(TIMEOUT)))
        });
        let all = ended.chain(self.seconds.iter().map(|action| (*action, SECOND)));
        all.filter(|(action, _)| !action.standing.ended() && !action.stopped)
    }

    /// The end of the action in this place, if it stands in status or will now.
    fn ended_at(&self, identity: &Identity) -> Option<Timestamp> {
        let Identity { phase, attempt, check, .. } = *identity;
        let place = |entry: &&Entry<'_>| {
            let ActionStatus { phase: of, attempt: nth, check: checks, .. } = entry.record;
            (of, nth, checks) == (phase, attempt, check)
        };
        self.entries.iter().find(place)?.record.completion_time
    }

    /// From when on the object of an action need not be kept: once its end stands in status or will now; at once if it
    /// is none of these, as nobody waits for it. `None` while it is under way.
    pub(super) fn over_since(&self, action: &SeenAction) -> Option<Timestamp> {
        let entry = match &action.identity {
            Some(identity) => return self.ended_at(identity),
            None => self.entries.iter().find(|entry| entry.record.uid.as_ref() == Some(&action.uid)),
        };
        entry.map_or(Some(Timestamp::MIN), |entry| entry.record.completion_time)
    }

    /// The times at which something is due that no event tells: a sign of the executor, the end, or that of the time in
    /// which an alert must be resolved.
    pub(super) fn wakes(&self, seen: &Snapshot) -> Vec<Timestamp> {
        let of = |entry: &Entry<'_>| {
            if entry.is_under_way() {
                return [entry.missed_at(&seen.settings), entry.deadline(seen)];
            }
            let waits = entry.record.verification == Some(VerificationStatus::Waiting);
            [asked(seen, &entry.record).filter(|_| waits).and_then(|asked| verified_by(&entry.record, asked)), None]
        };
        self.objects().flat_map(of).flatten().collect()
    }
}

impl<'a> Entry<'a> {
    fn found(action: &'a SeenAction, phase: AlertStatus, attempt: i32, now: Timestamp) -> Self {
        let record = ActionStatus {
            phase,
            attempt,
            kind: action.kind.as_str().to_owned(),
            name: action.name.clone(),
            uid: Some(action.uid.clone()),
            rule: match (&action.rule, &action.identity) {
                (Some(rule), _) => rule.clone(),
                // Only an action of an earlier version names no rule at all.
                (None, Some(_)) => "unknown".to_owned(),
                (None, None) => String::new(),
            },
            template: action.template.clone().unwrap_or_default(),
            status: Some(AlertOpsStatus::Pending),
            start_time: Some(action.created.unwrap_or(now)),
            ..ActionStatus::default()
        };
        Self { record, seen: Some(action), ended_now: false }
    }

    /// Whether it exists and has not ended.
    pub(super) fn is_under_way(&self) -> bool {
        self.record.uid.is_some() && self.record.completion_time.is_none()
    }

    /// Until when an action that has ended for its alert is waited for, since its executor goes on with it.
    pub(super) fn goes_on_until(&self) -> Option<Timestamp> {
        let ended = self.record.completion_time?;
        let goes_on = self.seen.is_some_and(|action| !action.standing.ended());
        goes_on.then(|| later(ended, STOPPING_TAKES))
    }

    /// Made by an earlier version, which named no rule.
    fn is_legacy(&self) -> bool {
        self.record.rule.is_empty()
    }

    /// When a sign of its executor is overdue; `None` once there was one.
    pub(super) fn missed_at(&self, settings: &Settings) -> Option<Timestamp> {
        let silent = self.seen.is_some_and(|action| !action.standing.picked_up);
        self.record.start_time.filter(|_| silent).map(|start| later(start, settings.pick_up_after))
    }

    fn kind(&self) -> ActionKind {
        ActionKind::parse(&self.record.kind).unwrap_or(ActionKind::Workflow)
    }

    fn timeout(&self, seen: &Snapshot) -> SignedDuration {
        if let Some(asked) = asked(seen, &self.record).filter(|_| self.record.check) {
            return asked.within;
        }
        let template = ObjectName::parse(&self.record.template).and_then(|name| seen.templates.get(&name));
        let own = template.and_then(|template| template.as_ref().ok()).and_then(|template| template.timeout);
        own.unwrap_or(seen.settings.action_timeout)
    }

    fn deadline(&self, seen: &Snapshot) -> Option<Timestamp> {
        // Earlier versions had no limit: an upgrade does not end what they began.
        let start = self.record.start_time.filter(|_| !self.is_legacy())?;
        Some(later(start, self.timeout(seen)))
    }

    fn update(&mut self, seen: &Snapshot, now: Timestamp) -> Result<(), Look> {
        let kind = self.kind();
        let look = || Look::Action { kind, name: self.record.name.clone() };
        let deleted = || (AlertOpsStatus::Failed, Some(format!("{kind}Deleted")));
        let Some(action) = self.seen else {
            let replaced = seen.actions.iter().any(|other| other.kind == kind && other.name == self.record.name);
            if !replaced && !seen.absent.contains(&(kind, self.record.name.clone())) {
                return Err(look());
            }
            let (status, reason) = deleted();
            self.end(status, reason, Some("it was deleted before it ended".to_owned()), now);
            return Ok(());
        };
        let standing = &action.standing;
        if standing.ended() {
            if standing.status == AlertOpsStatus::Failed && !action.whole {
                return Err(look());
            }
            self.end(standing.status, standing.reason.clone(), standing.message.clone(), now);
        } else if action.deleted.is_some() {
            let (status, reason) = deleted();
            self.end(status, reason, Some("it was deleted before it ended".to_owned()), now);
        } else if self.deadline(seen).is_some_and(|deadline| deadline <= now) {
            let limit = duration::brief(self.timeout(seen));
            let message = format!("it did not end within {limit} and is stopped");
            self.end(AlertOpsStatus::Failed, Some(TIMEOUT.to_owned()), Some(message), now);
        } else {
            self.record.status = Some(standing.status);
        }
        Ok(())
    }

    fn end(&mut self, status: AlertOpsStatus, reason: Option<String>, message: Option<String>, now: Timestamp) {
        self.record.status = Some(status);
        self.record.reason = reason;
        self.record.message = message;
        self.record.completion_time = Some(now);
        self.ended_now = true;
    }
}

/// How the rule of an action has it verified, if it does. Nobody reports that what a person asked for is over, so only a
/// check can tell of that.
pub(super) fn asked<'a>(seen: &'a Snapshot, action: &ActionStatus) -> Option<&'a Verification> {
    let rule = ObjectName::parse(&action.rule)?;
    let verification = seen.rules.get(&rule)?.verification.as_ref()?;
    (verification.template.is_some() || seen.alert.spec.source != signal::MANUAL).then_some(verification)
}

/// By when the alert must be resolved; `None` if a check tells.
pub(super) fn verified_by(action: &ActionStatus, asked: &Verification) -> Option<Timestamp> {
    let ended = action.completion_time.filter(|_| asked.template.is_none())?;
    Some(later(ended, asked.within))
}

/// An alert that an earlier version acted on or gave up. This version writes no triggerStatus without a verdict or an
/// action beside it.
pub(super) fn is_of_earlier_version(alert: &AegisAlert) -> bool {
    let stored = Stored::new(alert);
    let ours = |status: &AegisAlertStatus| !status.actions.is_empty() || status.verdict.is_some();
    stored.is_legacy() && stored.has_acted() && !alert.status.as_ref().is_some_and(ours)
}

/// Whether an earlier version may have made an action for this alert whose end it has not told: it is looked for, so
/// that it is followed to its end and no second one is made.
pub fn may_have_legacy_action(alert: &AegisAlert) -> bool {
    let stored = Stored::new(alert);
    let status = alert.status.as_ref();
    let told = status.and_then(|status| status.ops_status.as_ref()?.alert_ops_status);
    let told = matches!(told, Some(AlertOpsStatus::Succeeded | AlertOpsStatus::Failed));
    let ours = status.is_some_and(|status| status.actions.iter().any(|action| !action.rule.is_empty()));
    stored.is_legacy() && !stored.is_going() && !told && !ours
}

/// An action of the alert that has not ended for its executor, whatever stands in status.
pub(super) fn unfinished(alert: &AegisAlert, actions: &[SeenAction], now: Timestamp) -> Option<String> {
    let ledger = Ledger::matched(alert, actions, now);
    let goes_on = |entry: &&Entry<'_>| match (entry.record.completion_time, entry.seen) {
        (None, Some(action)) => !action.standing.ended(),
        (None, None) => true,
        (Some(_), _) => entry.goes_on_until().is_some_and(|end| now < end),
    };
    if let Some(entry) = ledger.objects().find(goes_on) {
        return Some(format!("{} {}", entry.kind(), entry.record.name));
    }
    let waits =
        ledger.entries.is_empty() && is_of_earlier_version(alert) && Stored::new(alert).action_is_unfinished(now);
    let name = alert.metadata.name.as_deref().unwrap_or_default();
    waits.then(|| format!("the action of alert {name}"))
}

/// The actions of an alert as they will stand in its status once it is looked at.
pub(super) fn recorded(alert: &AegisAlert, actions: &[SeenAction]) -> Vec<ActionStatus> {
    Ledger::matched(alert, actions, Timestamp::UNIX_EPOCH).records()
}
