//! What a rule says to the guard, and the templates that it goes through if the problem stays.

use aegis_crds::alert::AlertStatus;
use aegis_crds::rule::{self, AegisAlertOpsRuleSpec, Escalation, Mode, OnCordoned, RuleApproval, RuleBudget};
use jiff::SignedDuration;

use super::{CompiledRule, RuleFlaw};
use crate::flaw::shown;
use crate::guard::{RuleRetries, in_range, length};
use crate::scope::ObjectName;

/// How long an alert must still fire after an attempt ended before the next step of an escalation, unless it says so.
const STEP_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// How long a check may take, or an alert until it is resolved, unless the rule says so.
const VERIFIED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What a rule says to the guard. Numbers are in range; the policy decides how much of what is asked for is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whether it acts, or only records what it would have done.
    pub mode: Mode,
    /// Whether its actions put back what Aegis did; `None`: as the template says.
    pub recovery: Option<bool>,
    /// What to do about a node that somebody else cordoned.
    pub on_cordoned: OnCordoned,
    /// Whether a person approves each action first.
    pub approval: RuleApproval,
    /// Its own share of the budgets, if it asks for one.
    pub budget: RuleBudget,
    /// When it acts again on a target.
    pub retries: RuleRetries,
    /// For how long a cordon that its action leaves stands, if not until somebody lifts it.
    pub cordon_for: Option<SignedDuration>,
}

/// One step of an escalation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The template that is tried.
    pub template: ObjectName,
    /// How long after the attempt before ended the alert must still fire.
    pub after: SignedDuration,
}

/// How it is found out that an action which succeeded cured the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The template whose action checks it; without one the alert must be resolved.
    pub template: Option<ObjectName>,
    /// How long the check may take; without one, how long after the action's end the alert must be resolved.
    pub within: SignedDuration,
}

impl Terms {
    pub(super) fn compile(spec: &AegisAlertOpsRuleSpec, flaws: &mut Vec<RuleFlaw>) -> Self {
        let budget = spec.budget.clone().unwrap_or_default();
        in_range(budget.unfinished, 1, 10_000, "spec.budget.unfinished", flaws);
        in_range(budget.nodes_out_percent, 1, 100, "spec.budget.nodesOutPercent", flaws);
        let approval = spec.approval.unwrap_or_default();
        if spec.recovery == Some(true) {
            let mut contradicts = |field: &str, found: &str, expected: &str| {
                flaws.push(RuleFlaw::new(field, format!("{found} beside recovery: true"), expected));
            };
            if approval == RuleApproval::Required {
                let expected = "NotRequired: recovery goes on when nobody is there to ask";
                contradicts("spec.approval", "Required", expected);
            }
            if budget != RuleBudget::default() {
                contradicts("spec.budget", "a budget", "none: recovery takes no place in a budget");
            }
            if let Some(length) = &spec.cordon_for {
                let expected = "none: recovery lifts cordons and sets none";
                contradicts("spec.cordonFor", &shown(length), expected);
            }
            if !spec.escalation.is_empty() {
                let expected = "none: a further step would act past the budgets; give it a rule of its own";
                contradicts("spec.escalation", "steps", expected);
            }
        }
        Self {
            mode: spec.mode.unwrap_or_default(),
            recovery: spec.recovery,
            on_cordoned: spec.on_cordoned.unwrap_or_default(),
            approval,
            budget,
            retries: RuleRetries::compile(spec.retries.as_ref(), flaws),
            cordon_for: length(spec.cordon_for.as_deref(), "spec.cordonFor", flaws),
        }
    }

    /// Whether an action puts back what Aegis did, where `template` says whether its template does.
    pub fn is_recovery(&self, template: bool) -> bool {
        self.recovery.unwrap_or(template)
    }
}

/// Compiles the steps of an escalation, whose templates are beside the rule unless they say otherwise.
pub(super) fn escalation(spec: &AegisAlertOpsRuleSpec, rule: &ObjectName, flaws: &mut Vec<RuleFlaw>) -> Vec<Step> {
    let steps = spec.escalation.len();
    if steps > 0 {
        if let Some(repeat) = spec.repeat.as_ref().filter(|repeat| repeat.limit >= 1)
            && usize::try_from(repeat.limit).is_ok_and(|limit| limit <= steps)
        {
            let expected = format!("at least {}: the first action and {steps} of spec.escalation", steps + 1);
            flaws.push(RuleFlaw::new("spec.repeat.limit", repeat.limit.to_string(), expected));
        }
        let firing = |condition: &aegis_crds::rule::AlertCondition| condition.status == AlertStatus::Firing;
        if !spec.alert_conditions.is_empty() && !spec.alert_conditions.iter().any(firing) {
            let expected = "none in a rule without a condition for Firing: what was resolved needs no further step";
            flaws.push(RuleFlaw::new("spec.escalation", format!("{steps} steps"), expected));
        }
        let attempts = spec.retries.as_ref().and_then(|retries| retries.attempts).filter(|attempts| *attempts >= 1);
        if let Some(attempts) = attempts.filter(|attempts| usize::try_from(*attempts).is_ok_and(|some| some <= steps)) {
            let expected = format!("at least {}: the first action and {steps} of spec.escalation", steps + 1);
            flaws.push(RuleFlaw::new("spec.retries.attempts", attempts.to_string(), expected));
        }
    }
    let step = |(index, step): (usize, &Escalation)| {
        let Escalation { name, namespace, after } = step;
        let field = |below: &str| format!("spec.escalation[{index}].{below}");
        if name.trim().is_empty() {
            flaws.push(RuleFlaw::new(field("name"), shown(name), "the name of an AegisOpsTemplate"));
        }
        let namespace = namespace.clone().filter(|namespace| !namespace.is_empty());
        Step {
            template: ObjectName::new(namespace.unwrap_or_else(|| rule.namespace.clone()), name),
            after: length(after.as_deref(), &field("after"), flaws).unwrap_or(STEP_AFTER),
        }
    };
    spec.escalation.iter().enumerate().map(step).collect()
}

/// Compiles what a rule says at `spec.verification`, whose template is beside the rule unless it says otherwise.
pub(super) fn verification(
    spec: &AegisAlertOpsRuleSpec,
    rule: &ObjectName,
    flaws: &mut Vec<RuleFlaw>,
) -> Option<Verification> {
    let rule::Verification { template, namespace, within } = spec.verification.as_ref()?;
    if !spec.alert_conditions.is_empty()
        && !spec.alert_conditions.iter().any(|condition| condition.status == AlertStatus::Firing)
    {
        let expected = "none in a rule without a condition for Firing: only what fires can be cured";
        flaws.push(RuleFlaw::new("spec.verification", "one", expected));
    }
    if let Some(name) = template.as_ref().filter(|name| name.trim().is_empty()) {
        let expected = "the name of an AegisOpsTemplate, or none to wait until the alert is resolved";
        flaws.push(RuleFlaw::new("spec.verification.template", shown(name), expected));
    }
    let namespace = namespace.as_deref().filter(|namespace| !namespace.is_empty());
    if let (None, Some(namespace)) = (template, namespace) {
        let expected = "none without spec.verification.template";
        flaws.push(RuleFlaw::new("spec.verification.namespace", shown(namespace), expected));
    }
    let namespace = namespace.unwrap_or(&rule.namespace);
    Some(Verification {
        template: template.as_ref().map(|name| ObjectName::new(namespace, name)),
        within: length(within.as_deref(), "spec.verification.within", flaws).unwrap_or(VERIFIED_WITHIN),
    })
}

impl CompiledRule {
    /// The template of an attempt, counted from 1: the rule's own, then step by step of its escalation; attempts
    /// beyond that have the last one's.
    pub fn template_of(&self, attempt: i32) -> &ObjectName {
        let steps = usize::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(self.escalation.len());
        let step = steps.checked_sub(1).and_then(|index| self.escalation.get(index));
        step.map_or(&self.template, |step| &step.template)
    }

    /// How many actions an alert gets in all, where it keeps firing.
    pub fn attempts(&self) -> i32 {
        let steps = i32::try_from(self.escalation.len()).unwrap_or(i32::MAX).saturating_add(1);
        self.repeat.map_or(steps, |repeat| repeat.limit.max(steps))
    }

    /// How long after the attempt before ended this one may begin, counted from 1; `None` if there is none before it,
    /// or if an alert gets no such attempt.
    pub fn wait_before(&self, attempt: i32) -> Option<SignedDuration> {
        if attempt < 2 || attempt > self.attempts() {
            return None;
        }
        let step = usize::try_from(attempt - 2).ok().and_then(|index| self.escalation.get(index));
        step.map(|step| step.after).or(self.repeat.map(|repeat| repeat.after))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{RuleBuilder, rule};
    use super::*;
    use aegis_crds::guard::Retries;
    use serde_json::{Value, json};

    fn cordon(more: Value) -> RuleBuilder {
        rule("cordon").firing("NodeDown").with(more)
    }

    fn compile(more: Value) -> CompiledRule {
        CompiledRule::compile(&cordon(more).build()).unwrap()
    }

    fn flaws(rule: RuleBuilder) -> Vec<String> {
        CompiledRule::compile(&rule.build()).unwrap_err().flaws.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_that_says_nothing_acts_within_the_policy() {
        assert_eq!(compile(json!({})).terms, Terms::default());
        assert_eq!((Terms::default().mode, Terms::default().on_cordoned), (Mode::Act, OnCordoned::Hold));
        assert_eq!(Terms::default().approval, RuleApproval::NotRequired);
    }

    #[test]
    fn what_a_rule_says_is_kept() {
        let compiled = compile(json!({
            "mode": "Observe", "onCordoned": "Act", "approval": "Required",
            "budget": {"unfinished": 3, "nodesOutPercent": 2}, "retries": {"cooldown": "10m", "attempts": 5}, "cordonFor": "2h",
        }));
        let Terms { mode, recovery, on_cordoned, approval, budget, retries, cordon_for } = compiled.terms;
        assert_eq!(cordon_for, Some(SignedDuration::from_hours(2)));
        assert_eq!((mode, recovery), (Mode::Observe, None));
        assert_eq!((on_cordoned, approval), (OnCordoned::Act, RuleApproval::Required));
        assert_eq!(budget, RuleBudget { unfinished: Some(3), nodes_out_percent: Some(2) });
        let written = Retries { cooldown: Some("10m".into()), attempts: Some(5), ..Retries::default() };
        assert_eq!(retries, RuleRetries::compile(Some(&written), &mut Vec::new()));
        assert_ne!(retries, RuleRetries::default());
    }

    #[test]
    fn the_rule_says_whether_it_is_recovery_and_else_its_template_does() {
        let cases = [(None, true, true), (None, false, false), (Some(false), true, false), (Some(true), false, true)];
        for (rule, template, recovery) in cases {
            let terms = Terms { recovery: rule, ..Terms::default() };
            assert_eq!(terms.is_recovery(template), recovery, "{rule:?} {template}");
        }
    }

    #[test]
    fn an_escalation_goes_step_by_step_and_stays_at_the_last() {
        let steps = json!([{"name": "reboot"}, {"name": "replace", "namespace": "sops", "after": "1h"}]);
        let templates = |rule: &CompiledRule| -> Vec<String> {
            (1..=rule.attempts()).map(|attempt| rule.template_of(attempt).to_string()).collect()
        };
        let waits = |rule: &CompiledRule| -> Vec<Option<i64>> {
            (1..=rule.attempts() + 1).map(|attempt| rule.wait_before(attempt).map(|wait| wait.as_mins())).collect()
        };
        let ladder = compile(json!({"escalation": steps}));
        assert_eq!(templates(&ladder), ["monitoring/cordon", "monitoring/reboot", "sops/replace"]);
        assert_eq!(waits(&ladder), [None, Some(5), Some(60), None]);

        let longer = compile(json!({"escalation": steps, "repeat": {"after": "2h", "limit": 4}}));
        assert_eq!(templates(&longer)[2..], ["sops/replace", "sops/replace"]);
        assert_eq!(waits(&longer), [None, Some(5), Some(60), Some(120), None]);

        let plain = compile(json!({"repeat": {"after": "2h", "limit": 2}}));
        assert_eq!(templates(&plain), ["monitoring/cordon", "monitoring/cordon"]);
        assert_eq!(waits(&plain), [None, Some(120), None]);

        let once = compile(json!({}));
        assert_eq!((once.attempts(), once.wait_before(2)), (1, None));
        assert_eq!(once.template_of(i32::MIN), once.template_of(i32::MAX));
    }

    #[test]
    fn a_check_is_beside_its_rule_and_has_ten_minutes_unless_the_rule_says_otherwise() {
        let compiled = |more| compile(json!({"verification": more})).verification.unwrap();
        let plain = Verification { template: None, within: SignedDuration::from_mins(10) };
        assert_eq!(compiled(json!({})), plain);
        let check = compiled(json!({"template": "check", "within": "30s"}));
        assert_eq!((check.template.unwrap().to_string().as_str(), check.within.as_secs()), ("monitoring/check", 30));
        let elsewhere = compiled(json!({"template": "check", "namespace": "sops"}));
        assert_eq!(elsewhere.template, Some(ObjectName::new("sops", "check")));
    }

    #[test]
    fn terms_that_contradict_each_other_are_refused_with_the_field_to_change() {
        let cases = [
            (
                json!({"verification": {"template": ""}}),
                "spec.verification.template: found \"\", expected the name of an AegisOpsTemplate, or none to wait until \
                 the alert is resolved",
            ),
            (
                json!({"verification": {"namespace": "sops"}}),
                "spec.verification.namespace: found \"sops\", expected none without spec.verification.template",
            ),
            (
                json!({"verification": {"within": "soon"}}),
                "spec.verification.within: found \"soon\", expected a length of time above zero such as \"90s\", \"30m\" \
                 or \"1h30m\"",
            ),
            (json!({"budget": {"unfinished": 0}}), "spec.budget.unfinished: found 0, expected 1 to 10000"),
            (json!({"budget": {"nodesOutPercent": 120}}), "spec.budget.nodesOutPercent: found 120, expected 1 to 100"),
            (
                json!({"recovery": true, "approval": "Required"}),
                "spec.approval: found Required beside recovery: true, expected NotRequired: recovery goes on when nobody is \
                 there to ask",
            ),
            (
                json!({"recovery": true, "budget": {"unfinished": 3}}),
                "spec.budget: found a budget beside recovery: true, expected none: recovery takes no place in a budget",
            ),
            (
                json!({"recovery": true, "cordonFor": "2h"}),
                "spec.cordonFor: found \"2h\" beside recovery: true, expected none: recovery lifts cordons and sets none",
            ),
            (
                json!({"cordonFor": "a while"}),
                "spec.cordonFor: found \"a while\", expected a length of time above zero such as \"90s\", \"30m\" or \
                 \"1h30m\"",
            ),
            (
                json!({"recovery": true, "escalation": [{"name": "reboot"}]}),
                "spec.escalation: found steps beside recovery: true, expected none: a further step would act past the \
                 budgets; give it a rule of its own",
            ),
            (
                json!({"retries": {"wait": "2h", "longestWait": "30m"}}),
                "spec.retries.wait: found \"2h\", expected at most spec.retries.longestWait, which is 30m",
            ),
            (
                json!({"repeat": {"after": "1h", "limit": 2}, "escalation": [{"name": "a"}, {"name": "b"}]}),
                "spec.repeat.limit: found 2, expected at least 3: the first action and 2 of spec.escalation",
            ),
            (
                json!({"retries": {"attempts": 1}, "escalation": [{"name": "a"}]}),
                "spec.retries.attempts: found 1, expected at least 2: the first action and 1 of spec.escalation",
            ),
            (
                json!({"escalation": [{"name": "a"}, {"name": " "}]}),
                "spec.escalation[1].name: found \" \", expected the name of an AegisOpsTemplate",
            ),
            (
                json!({"escalation": [{"name": "a", "after": "soon"}]}),
                "spec.escalation[0].after: found \"soon\", expected a length of time above zero such as \"90s\", \"30m\" or \
                 \"1h30m\"",
            ),
        ];
        for (more, flaw) in cases {
            assert_eq!(flaws(cordon(more)), [flaw]);
        }
        let resolved = rule("uncordon").resolved("NodeDown").with(json!({"escalation": [{"name": "a"}]}));
        let found = flaws(resolved);
        assert!(found.len() == 1 && found[0].starts_with("spec.escalation: found 1 steps, expected none"), "{found:?}");
        let resolved = rule("uncordon").resolved("NodeDown").with(json!({"verification": {}}));
        assert!(flaws(resolved)[0].starts_with("spec.verification: found one, expected none"));
        let sound = json!({"recovery": false, "approval": "Required", "budget": {"unfinished": 1}});
        assert!(CompiledRule::compile(&cordon(sound).build()).is_ok());
    }
}
