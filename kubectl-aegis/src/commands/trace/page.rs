//! The page as text.

use std::fmt::Write as _;

use aegis_crds::alert::VerdictStatus;
use aegis_crds::names::REQUEST_ANNOTATION;
use aegis_engine::duration;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kubectl_aegis::view::Tone;
use kubectl_aegis::view::field::{age, one_line};

use super::gather::{Action, Story};
use crate::output;
use crate::work::Step;

/// The whole page.
pub(super) fn text(story: &Story, now: Timestamp, coloured: bool) -> String {
    let page = Page { now, coloured, out: String::new() };
    page.alert(story)
        .rule(story)
        .verdict(story)
        .actions(story)
        .rendered(story)
        .touched(story)
        .times(story)
        .hidden(story)
        .out
}

struct Page {
    now: Timestamp,
    coloured: bool,
    out: String,
}

impl Page {
    fn head(&mut self, title: &str, text: &str) {
        let title = output::painted(&format!("{title:<10}"), output::STRONG, self.coloured);
        self.line(&format!("{title}{text}"));
    }

    fn row(&mut self, label: &str, text: &str) {
        self.line(&format!("  {label:<10}{text}"));
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn word(&self, text: &str) -> String {
        let tone = match text {
            "Succeeded" | "Resolved" => Tone::Good,
            "Failed" | "Error" => Tone::Bad,
            _ => Tone::Busy,
        };
        output::toned(text, tone, self.coloured)
    }

    fn ago(&self, time: Timestamp) -> String {
        format!("{} ago", age(self.now.duration_since(time)))
    }

    fn alert(mut self, story: &Story) -> Self {
        let alert = &story.alert;
        let (spec, status) = (&alert.spec, alert.status.clone().unwrap_or_default());
        self.head("alert", &format!("{} in {}", alert.name_any(), alert.namespace().unwrap_or_default()));
        self.row("type", &one_line(&spec.type_));
        if let Some(severity) = &spec.severity {
            self.row("severity", &one_line(severity));
        }
        let object = &spec.involved_object;
        let parts = [&object.kind, &object.namespace, &object.name];
        let parts: Vec<&str> = parts.into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let on = if object.node.is_empty() || object.node == object.name {
            String::new()
        } else {
            format!(" on node {}", object.node)
        };
        self.row("object", &one_line(&format!("{}{on}", parts.join("/"))));
        let phase = status.status.unwrap_or(spec.status);
        let mut text = self.word(phase.as_str());
        let count = status.count.unwrap_or(1);
        let _ = write!(text, ", reported {count} time{}", if count == 1 { "" } else { "s" });
        if let Some(last) = status.last_time {
            let _ = write!(text, ", last {}", self.ago(last));
        }
        self.row("status", &text);
        if let Some(by) = &status.superseded_by {
            self.row("", &format!("superseded by {by}"));
        }
        if let Some(request) = alert.annotations().get(REQUEST_ANNOTATION) {
            self.row("asked by", &one_line(request));
        }
        let from = if spec.source.is_empty() { "unknown" } else { &spec.source };
        let print = spec.fingerprint.as_deref().unwrap_or("none");
        self.row("source", &one_line(&format!("{from}, fingerprint {print}")));
        if let Ok(details) = spec.details() {
            for (nth, (name, value)) in details.iter().enumerate() {
                self.row(if nth == 0 { "details" } else { "" }, &one_line(&format!("{name}={value}")));
            }
        }
        for condition in &story.conditions {
            let word = |text: &Option<String>| text.as_deref().map(one_line).unwrap_or_default();
            let (reason, message) = (word(&condition.reason), word(&condition.message));
            self.row("condition", &format!("{}={} {reason} {message}", condition.type_, condition.status));
        }
        self
    }

    fn rule(mut self, story: &Story) -> Self {
        match (&story.rule, &story.now) {
            (Some(rule), _) => {
                self.head("rule", &format!("{}/{}: {}", rule.namespace, rule.name, rule.why));
                rule.others.iter().for_each(|other| self.row("", &format!("{other} matched too")));
            }
            (None, Some(now)) => match &now.rule {
                Some(rule) => {
                    self.head("rule", &format!("{}: {} (none stands in the status yet)", rule.name, rule.why));
                    now.others.iter().for_each(|other| self.row("", &format!("{other} matches too")));
                }
                None => self.head("rule", "none matches"),
            },
            (None, None) => self.head("rule", "none stands in the status"),
        }
        if let Some(now) = &story.now {
            for rule in &now.not_matching {
                self.row("", &format!("{} {}", rule.name, one_line(&rule.why)));
            }
        }
        self
    }

    fn verdict(mut self, story: &Story) -> Self {
        match &story.verdict {
            None => self.head("verdict", "nothing stands in the way"),
            Some(VerdictStatus { reason, message, next_try, gate, others, plan }) => {
                let gate = gate.as_ref().map(|gate| format!(" (gate {gate})")).unwrap_or_default();
                self.head("verdict", &format!("{reason}{gate}: {}", one_line(message)));
                for other in others {
                    self.row("", &format!("{} (gate {}): {}", other.reason, other.gate, one_line(&other.message)));
                }
                if let Some(next) = next_try {
                    self.row("next try", &next.to_string());
                }
                if let Some(plan) = plan {
                    self.row(
                        "plan",
                        &format!("{plan}: `kubectl aegis approve {}` says yes to it", story.alert.name_any()),
                    );
                }
            }
        }
        if let Some(approval) = &story.approval {
            self.row("approved", &format!("by {} (plan {})", approval.by.join(" and "), approval.plan));
        }
        if let Some(now) = &story.now {
            let reason = now.decision.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let message = one_line(&now.decision.message);
            self.head("now", &format!("{}{reason}: {message}", now.decision.kind));
            let decides = now.decision.reason.as_deref().unwrap_or_default();
            for gate in now.gates.iter().filter(|gate| !gate.message.is_empty() && gate.verdict != decides) {
                self.row("", &format!("{} (gate {}): {}", gate.verdict, gate.gate, one_line(&gate.message)));
            }
        }
        self
    }

    fn actions(mut self, story: &Story) -> Self {
        if story.actions.is_empty() {
            self.head("action", "none was made");
        }
        for action in &story.actions {
            let Action {
                kind, name, phase, attempt, rule, template, status, reason, message, start, end, steps, ..
            } = action;
            let status = self.word(status);
            let reason = reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default();
            self.head("action", &format!("{kind} {name}: {status}{reason}{}", took(*start, *end)));
            let check = if action.check { ", to check what it achieved" } else { "" };
            self.row("for", &format!("{phase}, attempt {attempt}{check}"));
            if let Some(verification) = action.verification {
                self.row("cured it", &format!("{verification:?}"));
            }
            self.row("rule", rule);
            self.row("template", template);
            if let Some(message) = message {
                self.row("message", &one_line(message));
            }
            for step in steps {
                self.step(step);
            }
            match &action.spec {
                Some(spec) => self.yaml("spec", spec),
                None if action.unread => self.row("spec", "the object was not read, see below"),
                None => self.row("spec", "the object is gone"),
            }
        }
        self
    }

    fn step(&mut self, step: &Step) {
        let Step { name, status, start, end, message, pod, container: _, log } = step;
        let status = self.word(status);
        let pod = pod.as_ref().filter(|pod| *pod != name).map(|pod| format!(", pod {pod}")).unwrap_or_default();
        self.row("step", &format!("{name}: {status}{}{pod}", took(*start, *end)));
        if let Some(message) = message {
            self.row("", &one_line(message));
        }
        for line in log {
            self.row("", &format!("| {}", visible(line)));
        }
    }

    fn yaml(&mut self, label: &str, value: &serde_json::Value) {
        let yaml = serde_saphyr::to_string(value).unwrap_or_default();
        for (nth, line) in yaml.lines().enumerate() {
            self.row(if nth == 0 { label } else { "" }, &visible(line));
        }
    }

    /// Where nothing was made yet: what would be.
    fn rendered(mut self, story: &Story) -> Self {
        if let Some(object) =
            story.now.as_ref().and_then(|now| now.object.as_ref()).filter(|_| story.actions.is_empty())
        {
            self.head("rendered", "what would be made, or is held back");
            self.yaml("", object);
        }
        self
    }

    fn touched(mut self, story: &Story) -> Self {
        for (nth, touch) in story.touched.iter().enumerate() {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
            let change = &touch.change;
            let until = change.expires.map(|end| format!(", until {end}")).unwrap_or_default();
            let (before, after) = (value(&change.before), value(&change.after));
            let text = format!("node/{} {}: {before} -> {after}{until}", touch.node, change.field);
            self.head(if nth == 0 { "touched" } else { "" }, &one_line(&text));
        }
        if !story.touched.is_empty() {
            self.row("", &format!("still so; `kubectl aegis undo {}` puts it back", story.alert.name_any()));
        }
        self
    }

    fn times(mut self, story: &Story) -> Self {
        let first = story.times.first().map(|moment| moment.time);
        for (nth, moment) in story.times.iter().enumerate() {
            let since = first.map(|first| moment.time.duration_since(first)).unwrap_or(SignedDuration::ZERO);
            let second = Timestamp::from_second(moment.time.as_second()).unwrap_or(moment.time);
            let text = format!("{second}  +{:<7} {}", duration::brief(since), one_line(&moment.what));
            self.head(if nth == 0 { "times" } else { "" }, &text);
        }
        self
    }

    fn hidden(mut self, story: &Story) -> Self {
        for (nth, hidden) in story.hidden.iter().enumerate() {
            self.head(if nth == 0 { "not shown" } else { "" }, &one_line(hidden));
        }
        self
    }
}

fn took(start: Option<Timestamp>, end: Option<Timestamp>) -> String {
    match (start, end) {
        (Some(start), Some(end)) => format!(", {}", duration::brief(end.duration_since(start))),
        _ => String::new(),
    }
}

/// A line as it is, without what a terminal would take for a command.
fn visible(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}
