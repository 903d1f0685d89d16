//! What of a status that was written is worth telling: pure, and in no words yet.

use aegis_crds::AegisAlert;
use aegis_crds::alert::{ActionStatus, AlertOpsStatus};
use aegis_crds::conditions::{self, ConditionType};
use aegis_engine::guard::Reason;
use serde::Serialize;

/// What became of an alert, as an administrator chooses who hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Outcome {
    /// An action succeeded.
    Succeeded,
    /// An action failed.
    Failed,
    /// An action succeeded and the problem stays.
    NotRepaired,
    /// An action waits for an approval.
    NeedsApproval,
    /// Actions failed so often that a person has to look.
    NeedsPerson,
    /// The alert has waited for long.
    Held,
}

/// How an outcome is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Somebody should look some time.
    Waiting,
    /// Somebody should look now.
    Bad,
}

/// What became of an alert, not yet in a notice's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// What became of it.
    pub outcome: Outcome,
    /// The action that ended, if one did.
    pub action: Option<&'a ActionStatus>,
    /// One word on why.
    pub reason: &'a str,
    /// A sentence on why.
    pub message: &'a str,
    /// Tells two of the same outcome apart.
    pub mark: &'a str,
}

impl Told<'static> {
    /// What no status tells, for trying things out.
    pub fn sample() -> Self {
        Self { outcome: Outcome::Failed, action: None, reason: "Timeout", message: "it took too long", mark: "" }
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Succeeded, Self::Failed, Self::NotRepaired, Self::NeedsApproval, Self::NeedsPerson, Self::Held];

    /// Those that ask something of a person: what is sent where nobody chose.
    pub const DEFAULT: [Self; 5] =
        [Self::Failed, Self::NotRepaired, Self::NeedsApproval, Self::NeedsPerson, Self::Held];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::NotRepaired => "NotRepaired",
            Self::NeedsApproval => "NeedsApproval",
            Self::NeedsPerson => "NeedsPerson",
            Self::Held => "Held",
        }
    }

    /// The outcome of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }

    /// How it is to be taken.
    pub fn tone(self) -> Tone {
        match self {
            Self::Succeeded => Tone::Good,
            Self::NeedsApproval | Self::Held => Tone::Waiting,
            Self::Failed | Self::NotRepaired | Self::NeedsPerson => Tone::Bad,
        }
    }

    /// What it is called in messages.
    pub fn headline(self) -> &'static str {
        match self {
            Self::Succeeded => "Repair succeeded",
            Self::Failed => "Repair failed",
            Self::NotRepaired => "Repair did not help",
            Self::NeedsApproval => "Repair waits for approval",
            Self::NeedsPerson => "Repair needs a person",
            Self::Held => "Alert waits for long",
        }
    }
}

/// What a status tells that the one before it did not.
pub fn told<'a>(before: &AegisAlert, after: &'a AegisAlert) -> Vec<Told<'a>> {
    let mut found = Vec::new();
    for action in actions(after).iter().filter(|action| !action.check && action.completion_time.is_some()) {
        let Some(uid) = action.uid.as_deref() else { continue };
        let old = actions(before).iter().find(|old| old.uid.as_deref() == Some(uid));
        if old.is_some_and(|old| old.completion_time.is_some()) {
            continue;
        }
        let succeeded = action.status == Some(AlertOpsStatus::Succeeded);
        found.push(Told {
            outcome: if succeeded { Outcome::Succeeded } else { Outcome::Failed },
            action: Some(action),
            reason: action.reason.as_deref().unwrap_or_default(),
            message: action.message.as_deref().unwrap_or_default(),
            mark: uid,
        });
    }
    if let Some((reason, message)) = in_vain(after).filter(|now| in_vain(before).as_ref() != Some(now)) {
        found.push(Told { outcome: Outcome::NotRepaired, action: None, reason, message, mark: message });
    }
    // Another plan asks for another approval; how long it still waits, and in which words, is no news.
    let question = |told: &Told<'_>, alert: &AegisAlert| (told.outcome, plan(alert).map(str::to_owned));
    let asked = asks(before).map(|told| question(&told, before));
    found.extend(asks(after).filter(|told| asked != Some(question(told, after))));
    found
}

/// An alert that waits for that reason, for so long that somebody should know.
pub fn held(alert: &AegisAlert, reason: Reason) -> Option<Told<'_>> {
    let verdict = alert.status.as_ref()?.verdict.as_ref().filter(|verdict| verdict.reason == reason.as_str())?;
    Some(Told {
        outcome: Outcome::Held,
        action: None,
        reason: &verdict.reason,
        message: &verdict.message,
        mark: &verdict.reason,
    })
}

fn actions(alert: &AegisAlert) -> &[ActionStatus] {
    alert.status.as_ref().map(|status| status.actions.as_slice()).unwrap_or_default()
}

/// That the last action did not cure the problem: the reason, and the message that names the action.
fn in_vain(alert: &AegisAlert) -> Option<(&str, &str)> {
    let conditions = alert.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let repaired = conditions::find(conditions, ConditionType::Repaired.as_str())?;
    let told = (repaired.reason.as_deref().unwrap_or_default(), repaired.message.as_deref().unwrap_or_default());
    (repaired.status == "False").then_some(told)
}

/// What the alert asks of a person.
fn asks(alert: &AegisAlert) -> Option<Told<'_>> {
    let verdict = alert.status.as_ref()?.verdict.as_ref()?;
    let outcome = match Reason::parse(&verdict.reason)? {
        Reason::NeedsApproval => Outcome::NeedsApproval,
        Reason::NeedsPerson => Outcome::NeedsPerson,
        _ => return None,
    };
    let mark = plan(alert).unwrap_or(&verdict.message);
    Some(Told { outcome, action: None, reason: &verdict.reason, message: &verdict.message, mark })
}

/// The plan that an alert waits to have approved.
fn plan(alert: &AegisAlert) -> Option<&str> {
    alert.status.as_ref()?.verdict.as_ref()?.plan.as_deref()
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::{alert, ended, holds};
    use super::*;
    use Outcome::{Failed, Held, NeedsApproval, NeedsPerson, NotRepaired, Succeeded};
    use aegis_crds::conditions::Condition;

    fn planned(plan: &str) -> AegisAlert {
        let mut alert = holds(Reason::NeedsApproval, "ask");
        alert.status.as_mut().unwrap().verdict.as_mut().unwrap().plan = Some(plan.into());
        alert
    }

    fn repaired(holds: bool, message: &str) -> AegisAlert {
        let mut alert = alert("");
        let condition = Condition::new(ConditionType::Repaired, holds, "StillFiring", message);
        alert.status.get_or_insert_default().conditions.push(condition);
        alert
    }

    #[test]
    fn each_outcome_is_told_once_when_it_is_new() {
        let mut checked = ended("", Some("WorkflowFailed"));
        checked.status.as_mut().unwrap().actions[0].check = true;
        let mut running = ended("", None);
        running.status.as_mut().unwrap().actions[0].completion_time = None;
        let cases = [
            ("an action has ended well", alert(""), ended("", None), vec![Succeeded]),
            ("an action that ran has ended", running.clone(), ended("", None), vec![Succeeded]),
            ("an action has failed", alert(""), ended("", Some("Timeout")), vec![Failed]),
            ("it had ended before", ended("", None), ended("", None), vec![]),
            ("it runs still", alert(""), running, vec![]),
            ("a check is no repair", alert(""), checked, vec![]),
            ("the problem stays", alert(""), repaired(false, "after w1"), vec![NotRepaired]),
            ("that is known", repaired(false, "after w1"), repaired(false, "after w1"), vec![]),
            ("it stays after the next action too", repaired(false, "w1"), repaired(false, "w2"), vec![NotRepaired]),
            ("the problem went away", alert(""), repaired(true, ""), vec![]),
            ("a person is asked", alert(""), holds(Reason::NeedsApproval, "ask"), vec![NeedsApproval]),
            ("asked in other words", holds(Reason::NeedsApproval, "a"), holds(Reason::NeedsApproval, "b"), vec![]),
            ("for another plan", planned("a"), planned("b"), vec![NeedsApproval]),
            ("it was given up", alert(""), holds(Reason::NeedsPerson, "five times"), vec![NeedsPerson]),
            ("a short wait is nobody's business", alert(""), holds(Reason::BudgetFull, "full"), vec![]),
        ];
        for (why, before, after, want) in cases {
            let outcomes: Vec<Outcome> = told(&before, &after).iter().map(|told| told.outcome).collect();
            assert_eq!(outcomes, want, "{why}");
        }
        assert_eq!(held(&holds(Reason::BudgetFull, "full"), Reason::BudgetFull).unwrap().outcome, Held);
        assert_eq!(held(&holds(Reason::Paused, ""), Reason::BudgetFull), None, "it waits for something else by now");
    }
}
