//! What a stored alert says about its incident, whichever version of Aegis wrote it.

use aegis_crds::alert::{AegisAlertStatus, AlertOpsStatus, AlertStatus, Resolution};
use aegis_crds::{AegisAlert, conditions, names};
use jiff::{SignedDuration, Timestamp};

use crate::signal::{self, Key};

/// How long the action of an alert of the first version is waited for: nobody follows it any more, and this is the
/// default limit of an action.
pub const LEGACY_ACTION_LASTS: SignedDuration = SignedDuration::from_hours(1);

/// A stored alert, read for identity.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a>(&'a AegisAlert);

impl<'a> Stored<'a> {
    /// Looks at a stored alert.
    pub fn new(alert: &'a AegisAlert) -> Self {
        Self(alert)
    }

    /// The alert itself.
    pub fn alert(self) -> &'a AegisAlert {
        self.0
    }

    /// Whether the alert was stored by the first version of Aegis or by hand, without a fingerprint in its spec.
    pub fn is_legacy(self) -> bool {
        self.0.spec.fingerprint.is_none()
    }

    /// Whether it is a marked test.
    pub fn is_test(self) -> bool {
        self.label(names::TEST_LABEL) == Some("true")
    }

    /// Whether it carries that fingerprint: in its spec, or for an older alert in its label.
    pub fn has_fingerprint(self, fingerprint: &str) -> bool {
        match &self.0.spec.fingerprint {
            Some(own) => own == fingerprint,
            None => self.label(names::FINGERPRINT_LABEL) == Some(names::fingerprint_label(fingerprint).as_str()),
        }
    }

    /// Whether it is of that key. The first version wrote its sources in a case of its own.
    pub fn is_of(self, key: &Key) -> bool {
        let spec = &self.0.spec;
        let same_source =
            spec.source == key.source || (self.is_legacy() && spec.source.eq_ignore_ascii_case(&key.source));
        same_source && spec.type_ == key.type_ && self.is_test() == key.test && self.has_fingerprint(&key.fingerprint)
    }

    /// Whether the two are of one key; never if either has no fingerprint.
    pub fn is_of_key_of(self, other: Self) -> bool {
        let (one, other_spec) = (&self.0.spec, &other.0.spec);
        let fingerprint = other_spec.fingerprint.as_deref().or_else(|| other.label(names::FINGERPRINT_LABEL));
        let same_source = one.source == other_spec.source
            || ((self.is_legacy() || other.is_legacy()) && one.source.eq_ignore_ascii_case(&other_spec.source));
        let same_fingerprint = match fingerprint {
            None => false,
            Some(_) if self.is_legacy() || other.is_legacy() => self.fingerprint_label() == other.fingerprint_label(),
            Some(fingerprint) => self.has_fingerprint(fingerprint),
        };
        same_source && one.type_ == other_spec.type_ && self.is_test() == other.is_test() && same_fingerprint
    }

    /// The phase now.
    pub fn phase(self) -> AlertStatus {
        self.status().and_then(|status| status.status).unwrap_or(self.0.spec.status)
    }

    /// Whether it is open: it fires, and nobody is deleting it.
    pub fn is_open(self) -> bool {
        self.phase() == AlertStatus::Firing && !self.is_going()
    }

    /// Whether it is what a person asked for, and that is done: closed by nobody's report, since nobody sends it again.
    /// It starts no rule for Resolved, and says nothing of a problem that went away.
    pub fn is_answered(self) -> bool {
        self.0.spec.source == signal::MANUAL
            && self.phase() == AlertStatus::Resolved
            && self.0.spec.status == AlertStatus::Firing
            && self.status().is_some_and(|status| {
                status.resolution.is_none() && status.superseded_by.is_none() && !status.actions.is_empty()
            })
    }

    /// Whether it is being deleted. It takes no more reports then: they would be lost with it.
    pub fn is_going(self) -> bool {
        self.0.metadata.deletion_timestamp.is_some()
    }

    /// When it was stored.
    pub fn created(self) -> Option<Timestamp> {
        self.0.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    /// When it was last reported, as far as that is known: until its first repeat that is when it was stored.
    pub fn last_heard(self) -> Option<Timestamp> {
        let status = self.status();
        status.and_then(|status| status.last_time).or(self.created().max(status.and_then(|status| status.start_time)))
    }

    /// The first and the latest startsAt that were reported for it.
    pub fn heard_starts_at(self) -> impl Iterator<Item = Timestamp> {
        self.0.spec.starts_at.into_iter().chain(self.status().and_then(|status| status.last_starts_at))
    }

    /// The resolution that ended it, or that it was stored for.
    pub fn resolution(self) -> Option<Resolution> {
        if let Some(resolution) = self.status().and_then(|status| status.resolution.as_ref()) {
            return Some(resolution.clone());
        }
        let ends_at = self.annotation(names::ENDS_AT_ANNOTATION).and_then(|text| text.parse().ok());
        (self.0.spec.status == AlertStatus::Resolved).then(|| Resolution {
            starts_at: self.0.spec.starts_at,
            ends_at,
            time: self.created(),
        })
    }

    /// Whether an incident that begins then began after all that was heard of this one: after every startsAt, and
    /// after the end of its resolution.
    pub fn is_over_before(self, starts_at: Timestamp) -> bool {
        let resolution = self.resolution();
        let reported = resolution.into_iter().flat_map(|resolution| [resolution.starts_at, resolution.ends_at]);
        self.heard_starts_at().chain(reported.flatten()).all(|heard| starts_at > heard)
    }

    /// Since when it is Resolved; none if it is not.
    pub fn resolved_at(self) -> Option<Timestamp> {
        let heard = self.resolution().and_then(|resolution| resolution.time).or_else(|| self.last_heard());
        heard.filter(|_| self.phase() == AlertStatus::Resolved)
    }

    /// The place among the alerts of its key. Within one second, which is all that the API server tells apart, the
    /// later startsAt comes later.
    pub fn order(self) -> (Option<Timestamp>, Option<Timestamp>, Option<&'a str>) {
        (self.created(), self.0.spec.starts_at, self.0.metadata.name.as_deref())
    }

    /// Whether it says of itself, or the other of it, that it came next.
    pub fn follows(self, other: Self) -> bool {
        let predecessor = self.annotation(names::PREDECESSOR_ANNOTATION);
        let successor = other.status().and_then(|status| status.superseded_by.as_deref());
        (predecessor.is_some() && predecessor == other.0.metadata.uid.as_deref())
            || (successor.is_some() && successor == self.0.metadata.name.as_deref())
    }

    /// Whether an action was made for it, in whatever phase.
    pub fn has_acted(self) -> bool {
        let Some(status) = self.status() else { return false };
        let total = status.ops_status.as_ref().and_then(|ops| ops.total).unwrap_or(0);
        !status.actions.is_empty() || total > 0 || (self.is_legacy() && self.legacy_has_acted(status))
    }

    /// Whether an action was made for it and none is under way.
    pub fn action_has_ended(self, now: Timestamp) -> bool {
        let Some(status) = self.status() else { return false };
        if !self.has_acted() {
            return false;
        }
        let ended =
            |state: Option<AlertOpsStatus>| matches!(state, Some(AlertOpsStatus::Succeeded | AlertOpsStatus::Failed));
        if !status.actions.is_empty() {
            return status.actions.iter().all(|action| ended(action.status));
        }
        let ops = status.ops_status.as_ref();
        if ended(ops.and_then(|ops| ops.alert_ops_status)) {
            return true;
        }
        if !self.is_legacy() {
            return false;
        }
        let begun = ops.and_then(|ops| ops.start_time).or(status.start_time).or_else(|| self.created());
        ["Complete", "Failed", "FailedCreateWorkflow"].iter().any(|word| conditions::is_true(&status.conditions, word))
            || begun.is_none_or(|begun| now.duration_since(begun) > LEGACY_ACTION_LASTS)
    }

    /// Whether an action was made for it and is under way still.
    pub fn action_is_unfinished(self, now: Timestamp) -> bool {
        self.has_acted() && !self.action_has_ended(now)
    }

    fn legacy_has_acted(self, status: &AegisAlertStatus) -> bool {
        let triggered = status.ops_status.as_ref().is_some_and(|ops| ops.trigger_status.is_some());
        let conditions = ["Complete", "Failed", "FailedCreateWorkflow"];
        triggered || conditions.iter().any(|word| conditions::find(&status.conditions, word).is_some())
    }

    fn fingerprint_label(self) -> Option<String> {
        match &self.0.spec.fingerprint {
            Some(own) => Some(names::fingerprint_label(own)),
            None => self.label(names::FINGERPRINT_LABEL).map(str::to_owned),
        }
    }

    fn label(self, name: &str) -> Option<&'a str> {
        self.0.metadata.labels.as_ref()?.get(name).map(String::as_str)
    }

    fn annotation(self, name: &str) -> Option<&'a str> {
        self.0.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }

    fn status(self) -> Option<&'a AegisAlertStatus> {
        self.0.status.as_ref()
    }
}
