//! A plan for people: what would happen to an alert, and why.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::snapshot::Snapshot;
use super::{Decision, Look, Plan, Step, decide, phase, plan};
use crate::guard::{Place, Verdict};
use crate::scope::ObjectName;

/// A plan with everything that led to it. Prints as text; serialises for scripts.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The alert, as namespace/name.
    pub alert: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_: String,
    /// The phase that it is in.
    pub phase: String,
    /// The rule that it follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<ExplainedRule>,
    /// Other rules that match, best first, as namespace/name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// The rules that do not match, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_matching: Vec<ExplainedRule>,
    /// What each gate says; none were asked where no action is due.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<ExplainedGate>,
    /// What would happen.
    pub decision: ExplainedDecision,
    /// When the alert is looked at again even if nothing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub next_look: Option<Timestamp>,
    /// The requests that would be sent, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// The object that is, or would be, created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
}

/// A rule and why it matches or does not.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ExplainedRule {
    /// The rule, as namespace/name.
    pub name: String,
    /// The reason.
    pub why: String,
}

/// What one gate says.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ExplainedGate {
    /// The gate.
    pub gate: String,
    /// Clear, or the reason of the refusal.
    pub verdict: String,
    /// The reason as a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ExplainedDecision {
    /// Start, Hold, Follow, Withdraw, Rest, Look or Leave.
    pub kind: String,
    /// The reason, where there is one word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The decision as a sentence.
    pub message: String,
}

/// Plans and explains the plan.
pub fn explain(seen: &Snapshot, now: Timestamp) -> Explanation {
    let Plan { decision, steps, next_look, choice, judgement, remedy, .. } = plan(seen, now);
    let alert = ObjectName::of(seen.alert.as_ref());
    let phase = phase(&seen.alert);
    let facts = decide::facts(seen, phase);
    let rule = |(name, why): (ObjectName, String)| ExplainedRule { name: name.to_string(), why };
    // The rules are told about even where the plan had no need to ask them.
    let choice = choice.or_else(|| seen.rules.pick(&facts));
    Explanation {
        alert: alert.to_string(),
        type_: seen.alert.spec.type_.clone(),
        phase: phase.to_string(),
        others: choice.iter().flat_map(|choice| &choice.others).map(ToString::to_string).collect(),
        rule: choice.map(|choice| rule((choice.winner.name.clone(), choice.why))),
        not_matching: seen.rules.why_not(&facts).into_iter().map(rule).collect(),
        gates: judgement
            .findings()
            .iter()
            .map(|finding| match &finding.verdict {
                Verdict::Clear => {
                    ExplainedGate { gate: finding.gate.to_owned(), verdict: "Clear".to_owned(), message: String::new() }
                }
                Verdict::Refuse(refusal) => ExplainedGate {
                    gate: finding.gate.to_owned(),
                    verdict: refusal.reason.to_string(),
                    message: refusal.message.clone(),
                },
            })
            .collect(),
        decision: explained(&decision),
        next_look,
        steps: steps.iter().map(step).collect(),
        object: remedy.map(|remedy| remedy.object.clone()),
    }
}

impl Explanation {
    /// What stands in the way, gate by gate; that a gate is clear interests nobody.
    fn write_gates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut heading = "gates";
        for gate in self.gates.iter().filter(|gate| !gate.message.is_empty()) {
            writeln!(f, "{heading:<10}{}: {}, {}", gate.gate, gate.verdict, gate.message)?;
            heading = "";
        }
        let clear = self.gates.iter().filter(|gate| gate.message.is_empty()).count();
        match (clear, heading) {
            (0, _) => Ok(()),
            (all, "gates") => writeln!(f, "{heading:<10}all {all} are clear"),
            (others, _) => writeln!(f, "{heading:<10}the {others} others are clear"),
        }
    }
}

fn explained(decision: &Decision) -> ExplainedDecision {
    let (kind, reason, message) = match decision {
        Decision::Look(Look::Action { kind, name }) => {
            ("Look", None, format!("ask the API server how {kind} {name} stands"))
        }
        Decision::Look(Look::Siblings) => {
            ("Look", None, "ask the API server which other alerts tell of the same incident".to_owned())
        }
        Decision::Look(Look::Actions(place)) => {
            let Place { phase, attempt, .. } = place;
            (
                "Look",
                None,
                format!("ask the API server whether action {attempt} for {phase} was made, whose place is taken"),
            )
        }
        Decision::Follow(action) => {
            let status = action.status.map_or("unknown".to_owned(), |status| format!("{status:?}"));
            let reason = action.reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
            ("Follow", action.reason.clone(), format!("{} {} stands at {status}{reason}", action.kind, action.name))
        }
        Decision::Start(remedy) => {
            let template = &remedy.template;
            ("Start", None, format!("create {} {} from template {template}", remedy.kind, remedy.name))
        }
        Decision::Hold(refusal) => ("Hold", Some(refusal.reason.to_string()), refusal.message.clone()),
        Decision::Withdraw(refusal, _) => ("Withdraw", Some(refusal.reason.to_string()), refusal.message.clone()),
        Decision::Rest(rest) => ("Rest", None, rest.to_string()),
        Decision::Leave => ("Leave", None, "the alert is being deleted".to_owned()),
    };
    ExplainedDecision { kind: kind.to_owned(), reason, message }
}

fn step(step: &Step) -> String {
    match step {
        Step::Look(Look::Action { kind, name }) => format!("read {kind} {name}"),
        Step::Look(Look::Siblings) => "list alerts of the same fingerprint".to_owned(),
        Step::Look(Look::Actions(_)) => "list the Workflows and Jobs of the alert".to_owned(),
        Step::WriteStatus(patch) => format!("write status {}", patch.get("status").unwrap_or(&Value::Null)),
        Step::Stop(patch) => format!("stop {} {}", patch.kind, patch.name),
        Step::Release(patch) => format!("release {} {}", patch.kind, patch.name),
        Step::Claim(request) => format!("take a place for {} in the book", request.target),
        Step::Adopt(request) => format!("take a place for the action on {} that is there already", request.target),
        Step::LastLook(_) => "read the alert and its target once more".to_owned(),
        Step::Note(back) => format!("write down what the action changed on {}", back.claim.target),
        Step::GiveBack(back) => format!("give back the place for {}", back.claim.target),
        Step::Create(remedy) => format!("create {} {}", remedy.kind, remedy.name),
        Step::DeleteAlert { .. } => "delete the alert, which has been kept long enough".to_owned(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "alert     {}: {} in phase {}", self.alert, self.type_, self.phase)?;
        match &self.rule {
            Some(rule) => writeln!(f, "rule      {}: {}", rule.name, rule.why)?,
            None => writeln!(f, "rule      none matches")?,
        }
        for name in &self.others {
            writeln!(f, "          {name} matches too")?;
        }
        for rule in &self.not_matching {
            writeln!(f, "          {} {}", rule.name, rule.why)?;
        }
        self.write_gates(f)?;
        let ExplainedDecision { kind, reason, message } = &self.decision;
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        writeln!(f, "decision  {kind}{reason}: {message}")?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:<10}{step}", if number == 0 { "steps" } else { "" })?;
        }
        if let Some(next) = self.next_look {
            writeln!(f, "next look {next}")?;
        }
        if let Some(object) = &self.object {
            let yaml = serde_saphyr::to_string(object).map_err(|_| fmt::Error)?;
            writeln!(f, "object")?;
            for line in yaml.lines() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
