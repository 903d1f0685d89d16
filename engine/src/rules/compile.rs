//! A rule as written becomes one that can be matched, or one that says what is wrong with it.

use std::collections::BTreeMap;
use std::fmt;

use aegis_crds::AegisAlertOpsRule;
use aegis_crds::alert::AlertStatus;
use aegis_crds::names::GROUP;
use jiff::SignedDuration;

use super::RuleFlaw;
use super::pattern::{Condition, Fit, Pattern};
use super::selector::CompiledSelector;
use super::terms::{self, Step, Terms, Verification};
use crate::duration;
use crate::flaw::shown;
use crate::scope::ObjectName;

/// What a rule may look at in an alert.
#[derive(Clone, Copy, Debug)]
pub struct AlertFacts<'a> {
    /// The alert's type.
    pub type_: &'a str,
    /// The phase that it is in now.
    pub phase: AlertStatus,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// A rule that can be matched.
#[derive(Debug)]
pub struct CompiledRule {
    /// The rule's namespace and name.
    pub name: ObjectName,
    /// The template that it asks for.
    pub template: ObjectName,
    /// Among matching rules the highest wins.
    pub priority: i32,
    /// When it acts again on an alert that keeps firing.
    pub repeat: Option<RepeatAfter>,
    /// What it says to the guard.
    pub terms: Terms,
    /// The templates for the attempts after the first.
    pub escalation: Vec<Step>,
    /// How it is found out that an action cured the problem, if it is to be.
    pub verification: Option<Verification>,
    pub(super) conditions: Vec<Condition>,
    pub(super) selector: CompiledSelector,
}

/// When an alert that keeps firing is acted on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatAfter {
    /// From the end of one action to the earliest start of the next.
    pub after: SignedDuration,
    /// How many actions an alert gets in all.
    pub limit: i32,
}

/// A rule that cannot be used: everything that is wrong with it, and what of it can still be read, so that an alert
/// can say that its rule is broken rather than that it has none.
#[derive(Debug)]
pub struct BrokenRule {
    /// The rule's namespace and name.
    pub name: ObjectName,
    /// At least one.
    pub flaws: Vec<RuleFlaw>,
    pub(super) conditions: Vec<Condition>,
    selector: Option<CompiledSelector>,
}

impl fmt::Display for BrokenRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flaws: Vec<String> = self.flaws.iter().map(ToString::to_string).collect();
        f.write_str(&flaws.join("; "))
    }
}

impl std::error::Error for BrokenRule {}

impl CompiledRule {
    /// Checks and compiles a rule.
    pub fn compile(rule: &AegisAlertOpsRule) -> Result<Self, Box<BrokenRule>> {
        let name = ObjectName::of(rule);
        let spec = &rule.spec;
        let mut flaws = Vec::new();

        let mut conditions = Vec::new();
        for (index, condition) in spec.alert_conditions.iter().enumerate() {
            match Pattern::parse(&condition.type_) {
                Ok(pattern) => conditions.push(Condition { status: condition.status, pattern }),
                Err(expected) => flaws.push(RuleFlaw::new(
                    format!("spec.alertConditions[{index}].type"),
                    shown(&condition.type_),
                    expected,
                )),
            }
        }
        if spec.alert_conditions.is_empty() {
            flaws.push(RuleFlaw::new(
                "spec.alertConditions",
                "none",
                "at least one condition with type and status: without one the rule matches nothing",
            ));
        }
        let selector = CompiledSelector::compile(spec.selector.as_ref(), "spec.selector")
            .map_err(|found| flaws.extend(found))
            .ok();
        let template = template(rule, &name, &mut flaws);
        let repeat = spec.repeat.as_ref().and_then(|repeat| {
            if !(1..=100).contains(&repeat.limit) {
                flaws.push(RuleFlaw::new("spec.repeat.limit", repeat.limit.to_string(), "1 to 100"));
            }
            match duration::parse(&repeat.after) {
                Ok(after) => Some(RepeatAfter { after, limit: repeat.limit }),
                Err(_) => {
                    let expected = "a length of time such as \"90s\", \"30m\" or \"1h30m\"";
                    flaws.push(RuleFlaw::new("spec.repeat.after", shown(&repeat.after), expected));
                    None
                }
            }
        });

        let terms = Terms::compile(spec, &mut flaws);
        let escalation = terms::escalation(spec, &name, &mut flaws);
        let verification = terms::verification(spec, &name, &mut flaws);

        match selector {
            Some(selector) if flaws.is_empty() => {
                let priority = spec.priority.unwrap_or(0);
                Ok(Self { name, template, priority, repeat, terms, escalation, verification, conditions, selector })
            }
            selector => Err(Box::new(BrokenRule { name, flaws, conditions, selector })),
        }
    }

    /// How many terms its selector has.
    pub fn selector_terms(&self) -> usize {
        self.selector.terms()
    }

    /// How well its best condition fits, if the rule matches.
    pub(super) fn fit(&self, facts: &AlertFacts<'_>) -> Option<Fit> {
        let fit = best_fit(&self.conditions, facts)?;
        self.selector.selects(facts.labels).then_some(fit)
    }

    /// Why the rule does not match, as the end of a sentence; `None` if it does.
    pub fn why_not(&self, facts: &AlertFacts<'_>) -> Option<String> {
        let AlertFacts { type_, phase, labels } = *facts;
        if !self.conditions.iter().any(|condition| condition.status == phase) {
            return Some(format!("has no condition for {phase}"));
        }
        if best_fit(&self.conditions, facts).is_none() {
            let patterns: Vec<&str> = self
                .conditions
                .iter()
                .filter(|condition| condition.status == phase)
                .map(|condition| condition.pattern.text())
                .collect();
            return Some(format!("does not find {} in {type_}", patterns.join(" or ")));
        }
        (!self.selector.selects(labels)).then(|| "does not select the alert's labels".to_owned())
    }
}

impl BrokenRule {
    /// Whether what can still be read of the rule matches the alert.
    pub(super) fn would_match(&self, facts: &AlertFacts<'_>) -> bool {
        best_fit(&self.conditions, facts).is_some()
            && self.selector.as_ref().is_none_or(|selector| selector.selects(facts.labels))
    }
}

fn best_fit(conditions: &[Condition], facts: &AlertFacts<'_>) -> Option<Fit> {
    conditions
        .iter()
        .filter(|condition| condition.status == facts.phase)
        .filter_map(|condition| condition.pattern.fit(facts.type_))
        .max()
}

fn template(rule: &AegisAlertOpsRule, name: &ObjectName, flaws: &mut Vec<RuleFlaw>) -> ObjectName {
    let reference = &rule.spec.ops_template;
    if let Some(kind) = reference.kind.as_deref().filter(|kind| !matches!(*kind, "" | "AegisOpsTemplate")) {
        flaws.push(RuleFlaw::new("spec.opsTemplate.kind", shown(kind), "AegisOpsTemplate"));
    }
    let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned());
    if let Some(version) = reference.api_version.as_deref().filter(|version| !version.is_empty())
        && group(version).as_deref() != Some(GROUP)
    {
        flaws.push(RuleFlaw::new("spec.opsTemplate.apiVersion", shown(version), "aegis.io/v1alpha1"));
    }
    let template = reference.name.clone().unwrap_or_default();
    if template.is_empty() {
        flaws.push(RuleFlaw::new("spec.opsTemplate.name", "none", "the name of an AegisOpsTemplate"));
    }
    let namespace = reference.namespace.clone().filter(|namespace| !namespace.is_empty());
    ObjectName::new(namespace.unwrap_or_else(|| name.namespace.clone()), template)
}

#[cfg(test)]
mod tests {
    use super::super::testing::rule;
    use super::*;
    use aegis_crds::rule::Repeat;

    fn flaws(rule: &AegisAlertOpsRule) -> Vec<String> {
        CompiledRule::compile(rule).unwrap_err().flaws.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_template_is_looked_for_beside_its_rule_unless_it_says_otherwise() {
        let mut written = rule("cordon").firing("NodeDown").build();
        assert_eq!(CompiledRule::compile(&written).unwrap().template, ObjectName::new("monitoring", "cordon"));
        written.spec.ops_template.namespace = Some("sops".into());
        assert_eq!(CompiledRule::compile(&written).unwrap().template, ObjectName::new("sops", "cordon"));
    }

    #[test]
    fn every_flaw_names_its_field_what_was_found_and_what_is_expected() {
        let mut written = rule("cordon").firing("Node(").firing("NodeDown").build();
        written.spec.ops_template.name = None;
        written.spec.ops_template.kind = Some("Workflow".into());
        written.spec.ops_template.api_version = Some("argoproj.io/v1alpha1".into());
        written.spec.repeat = Some(Repeat { after: "soon".into(), limit: 0 });
        let flaws = flaws(&written);
        let fields: Vec<&str> = flaws.iter().map(|flaw| flaw.split_once(": ").unwrap().0).collect();
        assert_eq!(
            fields,
            [
                "spec.alertConditions[0].type",
                "spec.opsTemplate.kind",
                "spec.opsTemplate.apiVersion",
                "spec.opsTemplate.name",
                "spec.repeat.limit",
                "spec.repeat.after",
            ]
        );
        assert_eq!(
            flaws[0],
            "spec.alertConditions[0].type: found \"Node(\", expected a regular expression: unclosed group"
        );
    }

    #[test]
    fn a_rule_without_conditions_is_broken_since_it_matches_nothing() {
        assert!(flaws(&rule("cordon").build())[0].starts_with("spec.alertConditions: found none"));
    }

    #[test]
    fn a_rule_says_why_it_does_not_match() {
        let labels = BTreeMap::from([("team".to_owned(), "gpu".to_owned())]);
        let facts = AlertFacts { type_: "NodeDown", phase: AlertStatus::Firing, labels: &labels };
        let cases = [
            (rule("r").resolved("NodeDown"), Some("has no condition for Firing")),
            (rule("r").firing("Disk").firing("Mem"), Some("does not find Disk or Mem in NodeDown")),
            (rule("r").firing("Node").label("team", "cpu"), Some("does not select the alert's labels")),
            (rule("r").firing("Node").label("team", "gpu"), None),
        ];
        for (rule, why) in cases {
            assert_eq!(CompiledRule::compile(&rule.build()).unwrap().why_not(&facts).as_deref(), why);
        }
    }
}
