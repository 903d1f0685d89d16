//! Verdicts as values: a reason, a sentence, and when it is worth asking again.

use std::fmt;

use aegis_crds::alert::{TriggerStatus, VerdictStatus};
use jiff::Timestamp;

/// What one gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stands in the way.
    Clear,
    /// Not now.
    Refuse(Refusal),
}

/// Why an alert is not acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One word.
    pub reason: Reason,
    /// The reason as a sentence without a full stop, with what would change it.
    pub message: String,
    /// When it is looked at again even if nothing changes.
    pub next_try: Option<Timestamp>,
}

/// What one gate said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The gate's name.
    pub gate: &'static str,
    /// What it said.
    pub verdict: Verdict,
}

/// What all gates said, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement(Vec<Finding>);

/// Why an alert is not acted on, in one word. The words stand in `status.verdict.reason` and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No rule matches.
    NoRule,
    /// The rule that is meant for it is broken.
    BrokenRule,
    /// The rule's template does not exist, or not where templates count.
    NoTemplate,
    /// The template is broken, or cannot be rendered for this alert.
    BadTemplate,
    /// The alert itself contradicts itself.
    BadAlert,
    /// A node that the alert names is kept from Aegis by its owner.
    OptedOut,
    /// It was not heard for so long that it may no longer be true.
    Stale,
    /// An action of it, or of an earlier alert of the same key, has not ended.
    EarlierAction,
    /// A controller of an earlier version may still act.
    OldController,
    /// A person paused it, its rule, or everything.
    Paused,
    /// A freeze window is open.
    Frozen,
    /// No maintenance window is open.
    OutsideWindow,
    /// Another action works on the same target.
    TargetBusy,
    /// Somebody else cordoned the node.
    Cordoned,
    /// It would put back what somebody else did.
    NotOurs,
    /// The last action of the rule on the target ended too short a time ago.
    CoolingDown,
    /// Actions of the rule on the target failed so often that a person has to look.
    NeedsPerson,
    /// As many actions are under way as may be.
    BudgetFull,
    /// As many nodes are out as may be.
    TooManyNodesOut,
    /// So many actions began lately that all further ones are held back.
    BreakerOpen,
    /// A person has to approve it first.
    NeedsApproval,
    /// A person declined it.
    Declined,
    /// The policy cannot be read.
    NoPolicy,
    /// The node or pod is not the one that the alert was about.
    TargetGone,
    /// Its rule only observes.
    Observed,
    /// It is marked as a test.
    TestAlert,
    /// The whole controller only says what it would do.
    DryRun,
    /// The cluster does not know the kind of the action.
    ExecutorMissing,
    /// The API server will not take the action as it is.
    Rejected,
    /// Aegis may not create the action.
    Forbidden,
    /// The action could not be created for now.
    CreateFailed,
    /// It was resolved before its action began.
    Resolved,
    /// It was resolved and no rule asks for an action then.
    NoRuleForResolved,
    /// A new incident took its place.
    Superseded,
    /// A newer incident of the same key opened before the action for Resolved began.
    NewerIncident,
    /// Another alert stands for the same incident.
    Duplicate,
}

impl Refusal {
    /// A refusal that only a change can lift.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), next_try: None }
    }

    /// The refusal as it stands in an alert's status.
    pub fn to_status(&self) -> VerdictStatus {
        VerdictStatus {
            reason: self.reason.as_str().to_owned(),
            message: self.message.clone(),
            next_try: self.next_try,
            ..VerdictStatus::default()
        }
    }

    /// The refusal, to be looked at again at that time.
    #[must_use]
    pub fn until(mut self, next_try: Option<Timestamp>) -> Self {
        self.next_try = next_try;
        self
    }
}

impl Judgement {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self(findings)
    }

    /// What every gate said.
    pub fn findings(&self) -> &[Finding] {
        &self.0
    }

    /// Every refusal with its gate, in their order.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, &Refusal)> {
        self.0.iter().filter_map(|finding| match &finding.verdict {
            Verdict::Clear => None,
            Verdict::Refuse(refusal) => Some((finding.gate, refusal)),
        })
    }

    /// The first refusal; `None` if all gates are clear.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusals().next().map(|(_, refusal)| refusal)
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 36] = [
        Self::NoRule,
        Self::BrokenRule,
        Self::NoTemplate,
        Self::BadTemplate,
        Self::BadAlert,
        Self::OptedOut,
        Self::Stale,
        Self::EarlierAction,
        Self::OldController,
        Self::Paused,
        Self::Frozen,
        Self::OutsideWindow,
        Self::TargetBusy,
        Self::Cordoned,
        Self::NotOurs,
        Self::CoolingDown,
        Self::NeedsPerson,
        Self::BudgetFull,
        Self::TooManyNodesOut,
        Self::BreakerOpen,
        Self::NeedsApproval,
        Self::Declined,
        Self::NoPolicy,
        Self::TargetGone,
        Self::Observed,
        Self::TestAlert,
        Self::DryRun,
        Self::ExecutorMissing,
        Self::Rejected,
        Self::Forbidden,
        Self::CreateFailed,
        Self::Resolved,
        Self::NoRuleForResolved,
        Self::Superseded,
        Self::NewerIncident,
        Self::Duplicate,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRule => "NoRule",
            Self::BrokenRule => "BrokenRule",
            Self::NoTemplate => "NoTemplate",
            Self::BadTemplate => "BadTemplate",
            Self::BadAlert => "BadAlert",
            Self::OptedOut => "OptedOut",
            Self::Stale => "Stale",
            Self::EarlierAction => "EarlierAction",
            Self::OldController => "OldController",
            Self::Paused => "Paused",
            Self::Frozen => "Frozen",
            Self::OutsideWindow => "OutsideWindow",
            Self::TargetBusy => "TargetBusy",
            Self::Cordoned => "Cordoned",
            Self::NotOurs => "NotOurs",
            Self::CoolingDown => "CoolingDown",
            Self::NeedsPerson => "NeedsPerson",
            Self::BudgetFull => "BudgetFull",
            Self::TooManyNodesOut => "TooManyNodesOut",
            Self::BreakerOpen => "BreakerOpen",
            Self::NeedsApproval => "NeedsApproval",
            Self::Declined => "Declined",
            Self::NoPolicy => "NoPolicy",
            Self::TargetGone => "TargetGone",
            Self::Observed => "Observed",
            Self::TestAlert => "TestAlert",
            Self::DryRun => "DryRun",
            Self::ExecutorMissing => "ExecutorMissing",
            Self::Rejected => "Rejected",
            Self::Forbidden => "Forbidden",
            Self::CreateFailed => "CreateFailed",
            Self::Resolved => "Resolved",
            Self::NoRuleForResolved => "NoRuleForResolved",
            Self::Superseded => "Superseded",
            Self::NewerIncident => "NewerIncident",
            Self::Duplicate => "Duplicate",
        }
    }

    /// The reason of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The triggerStatus of an alert that was never acted on.
    pub fn trigger_status(self) -> TriggerStatus {
        match self {
            Self::NoRule | Self::NoRuleForResolved => TriggerStatus::RuleNotFound,
            Self::BrokenRule => TriggerStatus::RuleErrorFound,
            Self::NoTemplate => TriggerStatus::TemplateNotFound,
            Self::BadTemplate | Self::BadAlert => TriggerStatus::TemplateInvalid,
            Self::OptedOut
            | Self::Stale
            | Self::EarlierAction
            | Self::OldController
            | Self::Paused
            | Self::Frozen
            | Self::OutsideWindow
            | Self::TargetBusy
            | Self::Cordoned
            | Self::NotOurs
            | Self::CoolingDown
            | Self::NeedsPerson
            | Self::BudgetFull
            | Self::TooManyNodesOut
            | Self::BreakerOpen
            | Self::NeedsApproval
            | Self::Declined
            | Self::NoPolicy
            | Self::TargetGone => TriggerStatus::Held,
            Self::TestAlert | Self::DryRun | Self::Observed => TriggerStatus::DryRun,
            Self::ExecutorMissing | Self::Rejected | Self::Forbidden | Self::CreateFailed => {
                TriggerStatus::TriggerFailed
            }
            Self::Resolved | Self::Superseded | Self::NewerIncident | Self::Duplicate => TriggerStatus::Withdrawn,
        }
    }

    /// Whether it lies in what stands around the action, so that a change of the AegisGuard, of the nodes, or the end of
    /// another action may lift it.
    pub fn is_standing(self) -> bool {
        matches!(
            self,
            Self::NoPolicy
                | Self::Paused
                | Self::Frozen
                | Self::OutsideWindow
                | Self::TargetBusy
                | Self::Cordoned
                | Self::NotOurs
                | Self::CoolingDown
                | Self::NeedsPerson
                | Self::BudgetFull
                | Self::TooManyNodesOut
                | Self::BreakerOpen
        )
    }

    /// Whether the action is only shown.
    pub fn is_rehearsal(self) -> bool {
        self.trigger_status() == TriggerStatus::DryRun
    }

    /// Whether the alert is never acted on again once this stands in its status.
    pub fn is_final(self) -> bool {
        self == Self::NoRuleForResolved || self.trigger_status() == TriggerStatus::Withdrawn
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("Nonsense"), None);
    }
}
