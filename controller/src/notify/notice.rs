//! An outcome in words, each of one line and of bounded length, so that no receiver's form can be changed by them.

use aegis_crds::AegisAlert;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::outcome::{Outcome, Told};

/// The longest name, type or word of a notice, in characters.
const LONGEST_WORD: usize = 64;
/// The longest message of a notice, in characters.
const LONGEST_MESSAGE: usize = 200;

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
    use super::super::outcome::told;
    use super::*;
    use aegis_crds::alert::{ActionStatus, AegisAlertSpec, AlertOpsStatus, AlertStatus, InvolvedObject, VerdictStatus};
    use aegis_engine::guard::Reason;

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

    /// The same while it waits for that.
    pub fn holds(reason: Reason, message: &str) -> AegisAlert {
        let mut alert = alert("");
        let verdict =
            VerdictStatus { reason: reason.as_str().into(), message: message.into(), ..VerdictStatus::default() };
        alert.status.get_or_insert_default().verdict = Some(verdict);
        alert
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
