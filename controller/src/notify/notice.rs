//! What is worth telling of a status that was written: pure, and in words that a receiver's form cannot change.

use aegis_crds::AegisAlert;
use aegis_crds::alert::{ActionStatus, AlertOpsStatus};
use aegis_crds::conditions::{self, ConditionType};
use aegis_engine::guard::Reason;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The longest name, type or word of a notice, in characters.
const LONGEST_WORD: usize = 64;
/// The longest message of a notice, in characters.
const LONGEST_MESSAGE: usize = 200;

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

/// One outcome of one alert. Every text in it is of one line and of bounded length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// The same for the same outcome, whoever tells it and however often.
    pub id: String,
    /// What became of the alert.
    pub outcome: Outcome,
    /// When that was seen.
    pub time: Timestamp,
    /// The alert.
    pub alert: About,
    /// What the alert is about.
    pub object: Object,
    /// The rule that was chosen, as namespace/name; empty if there is none.
    pub rule: String,
    /// The action, where one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// One word on why.
    pub reason: String,
    /// A sentence on why.
    pub message: String,
}

/// The alert that a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its type, as its sender calls it.
    #[serde(rename = "type")]
    pub type_: String,
    /// Its severity; empty if its sender gave none.
    pub severity: String,
    /// Firing or Resolved.
    pub status: String,
    /// Who sent it.
    pub source: String,
}

/// The object that an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty if it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node that it is on; empty if nobody said.
    pub node: String,
}

/// The action that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// Workflow or Job.
    pub kind: String,
    /// Its name; its namespace is the alert's.
    pub name: String,
    /// Counts from 1.
    pub attempt: i32,
    /// How long it took, such as 2m5s; empty if nobody knows.
    pub took: String,
}

/// What became of an alert, not yet in a notice's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// What became of it.
    pub outcome: Outcome,
    action: Option<&'a ActionStatus>,
    reason: &'a str,
    message: &'a str,
    /// Tells two of the same outcome apart.
    mark: &'a str,
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

    fn headline(self) -> &'static str {
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

/// The notice of it, as seen at that time.
pub fn notice(alert: &AegisAlert, told: &Told<'_>, time: Timestamp) -> Notice {
    let Told { outcome, action, reason, message, mark } = *told;
    let spec = &alert.spec;
    let status = alert.status.as_ref();
    let chosen = status.and_then(|status| status.rule.as_ref()).map(|rule| format!("{}/{}", rule.namespace, rule.name));
    let rule = action.map(|action| action.rule.clone()).filter(|rule| !rule.is_empty()).or(chosen);
    let object = &spec.involved_object;
    let phase = status.and_then(|status| status.status).unwrap_or(spec.status);
    Notice {
        id: id(&alert.uid().unwrap_or_default(), outcome, mark),
        outcome,
        time,
        alert: About {
            namespace: alert.namespace().unwrap_or_default(),
            name: alert.name_any(),
            type_: one_line(&spec.type_, LONGEST_WORD),
            severity: one_line(spec.severity.as_deref().unwrap_or_default(), LONGEST_WORD),
            status: format!("{phase:?}"),
            source: one_line(&spec.source, LONGEST_WORD),
        },
        object: Object {
            kind: one_line(&object.kind, LONGEST_WORD),
            namespace: one_line(&object.namespace, LONGEST_WORD),
            name: one_line(&object.name, LONGEST_WORD),
            node: one_line(&object.node, LONGEST_WORD),
        },
        rule: one_line(&rule.unwrap_or_default(), 2 * LONGEST_WORD),
        action: action.map(|action| Action {
            kind: one_line(&action.kind, LONGEST_WORD),
            name: one_line(&action.name, LONGEST_WORD),
            attempt: action.attempt,
            took: match (action.start_time, action.completion_time) {
                (Some(start), Some(end)) => aegis_engine::duration::brief(end.duration_since(start)),
                _ => String::new(),
            },
        }),
        reason: one_line(reason, LONGEST_WORD),
        message: one_line(message, LONGEST_MESSAGE),
    }
}

impl Notice {
    /// What happened to what, in a few words.
    pub fn headline(&self) -> String {
        let About { type_, severity, .. } = &self.alert;
        let severity = if severity.is_empty() { String::new() } else { format!(" ({severity})") };
        format!("{}: {type_} on {}{severity}", self.outcome.headline(), self.object.label())
    }

    /// The rest, a line for each thing to know; the last says what to type.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let why = [&self.reason, &self.message].into_iter().filter(|text| !text.is_empty());
        let why = why.map(String::as_str).collect::<Vec<_>>().join(": ");
        if let Some(Action { kind, name, attempt, took }) = &self.action {
            let took = if took.is_empty() { String::new() } else { format!(" after {took}") };
            lines.push(format!("{kind} {name}, attempt {attempt}, ended{took}"));
        }
        if !why.is_empty() {
            lines.push(why);
        }
        let About { namespace, name, .. } = &self.alert;
        if !self.rule.is_empty() {
            lines.push(format!("rule {}", self.rule));
        }
        let verb = if self.outcome == Outcome::NeedsApproval { "approve" } else { "trace" };
        lines.push(format!("kubectl aegis {verb} alert/{name} -n {namespace}"));
        lines
    }
}

impl Object {
    fn label(&self) -> String {
        let Self { kind, namespace, name, node } = self;
        let place = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
        let on = if node.is_empty() || node == name { String::new() } else { format!(" (node {node})") };
        if kind.is_empty() { format!("{place}{on}") } else { format!("{kind} {place}{on}") }
    }
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

fn id(uid: &str, outcome: Outcome, mark: &str) -> String {
    let mut hash = Sha256::new();
    for part in [uid, outcome.as_str(), mark] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// One line of so many characters at most. What turns the direction of text or hides in it is left out: it could make
/// one text read as another.
fn one_line(text: &str, most: usize) -> String {
    let hidden =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let spaced = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    let mut kept = text.chars().filter(|c| !hidden(*c)).map(spaced);
    let line: String = kept.by_ref().take(most).collect();
    let line = line.trim_end();
    if kept.next().is_some() { format!("{line}...") } else { line.to_owned() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use Outcome::{Failed, Held, NeedsApproval, NeedsPerson, NotRepaired, Succeeded};
    use aegis_crds::alert::{AegisAlertSpec, AlertStatus, InvolvedObject, VerdictStatus};
    use aegis_crds::conditions::Condition;

    /// An alert about dev1, with that text where its sender may write any.
    pub fn alert(text: &str) -> AegisAlert {
        let involved_object = InvolvedObject { kind: "Node".into(), name: "dev1".into(), ..InvolvedObject::default() };
        let spec = AegisAlertSpec {
            source: "default".into(),
            type_: format!("NodeDown{text}"),
            severity: Some(format!("critical{text}")),
            involved_object,
            ..AegisAlertSpec::default()
        };
        let mut alert = AegisAlert::new("default-nodedown-abc", spec);
        alert.metadata.namespace = Some("monitoring".into());
        alert.metadata.uid = Some("u1".into());
        alert
    }

    /// The same after its first action ended, with that reason if it failed.
    pub fn ended(text: &str, failure: Option<&str>) -> AegisAlert {
        let mut alert = alert(text);
        let action = ActionStatus {
            phase: AlertStatus::Firing,
            attempt: 1,
            kind: "Workflow".into(),
            name: "default-nodedown-abc-1".into(),
            uid: Some("w1".into()),
            rule: "monitoring/cordon".into(),
            status: Some(if failure.is_some() { AlertOpsStatus::Failed } else { AlertOpsStatus::Succeeded }),
            reason: failure.map(str::to_owned),
            message: failure.map(|_| format!("exit code 1{text}")),
            start_time: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            completion_time: Some("2026-01-02T03:06:10Z".parse().unwrap()),
            ..ActionStatus::default()
        };
        alert.status.get_or_insert_default().actions.push(action);
        alert
    }

    /// What the alert's status tells first, as a notice.
    pub fn first(alert: &AegisAlert) -> Notice {
        let none = AegisAlert::new("x", AegisAlertSpec::default());
        notice(alert, told(&none, alert).first().unwrap(), "2026-01-02T03:06:11Z".parse().unwrap())
    }

    fn holds(reason: Reason, message: &str) -> AegisAlert {
        let mut alert = alert("");
        let verdict =
            VerdictStatus { reason: reason.as_str().into(), message: message.into(), ..VerdictStatus::default() };
        alert.status.get_or_insert_default().verdict = Some(verdict);
        alert
    }

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

    #[test]
    fn a_notice_says_what_happened_to_what_and_what_to_type() {
        let notice = first(&ended("", Some("WorkflowFailed")));
        assert_eq!(notice.headline(), "Repair failed: NodeDown on Node dev1 (critical)");
        let want = [
            "Workflow default-nodedown-abc-1, attempt 1, ended after 2m5s",
            "WorkflowFailed: exit code 1",
            "rule monitoring/cordon",
            "kubectl aegis trace alert/default-nodedown-abc -n monitoring",
        ];
        assert_eq!(notice.lines(), want);
        let approval = first(&holds(Reason::NeedsApproval, "x"));
        assert_eq!(approval.lines().last().unwrap(), "kubectl aegis approve alert/default-nodedown-abc -n monitoring");
    }

    #[test]
    fn the_same_outcome_has_the_same_id_and_another_has_another() {
        let one = first(&ended("", Some("Timeout")));
        assert_eq!(one.id, first(&ended("", Some("Timeout"))).id);
        assert_ne!(one.id, first(&ended("", None)).id);
    }

    #[test]
    fn a_text_of_a_notice_is_one_short_line_that_reads_as_it_is() {
        let cases = [
            ("a\nb\r\tc\u{2028}d", "a b  c d", "lines"),
            ("safe\u{202e}txet", "safetxet", "text that runs backwards"),
            ("a\u{200b}b\u{feff}", "ab", "what nobody sees"),
            ("节点", "节点", "other scripts"),
        ];
        for (text, want, why) in cases {
            assert_eq!(one_line(text, 50), want, "{why}");
        }
        assert_eq!(one_line(&"节".repeat(99), 3), "节节节...");
        let long = first(&ended(&"x\n".repeat(9999), Some("Timeout")));
        assert!(serde_json::to_string(&long).unwrap().len() < 1500, "{long:?}");
    }
}
