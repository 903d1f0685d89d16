//! The policy that the gates judge by: an AegisGuard's spec with its defaults, checked as a whole.

use std::collections::BTreeMap;

use aegis_crds::guard::{AegisGuardSpec, Approvals, Breaker, Budgets, Limits};
use jiff::SignedDuration;

use super::pause::unreadable;
use super::pools::{Pool, Share, compile_pools};
use super::retries::{Retries, RuleRetries};
use super::windows::Windows;
use crate::duration;
use crate::flaw::{SpecFlaw, shown};

/// One thing that is wrong with a policy.
pub type PolicyFlaw = SpecFlaw;

/// How many actions may be under way, of all rules together, if the policy does not say.
const UNFINISHED: i32 = 30;
/// And of one rule.
const UNFINISHED_PER_RULE: i32 = 10;
/// As many as a policy can allow: the places stand in one object, of which etcd takes 1.5 MiB.
const MOST_UNFINISHED: i32 = 1_000;
/// The share of a pool's nodes that may be out, in percent, if the policy does not say.
const NODES_OUT_PERCENT: i32 = 5;

/// A policy without a contradiction; whatever its author left out has its default.
///
/// It is compiled when the spec changes, not each time the AegisGuard's status does.
#[derive(Clone, Debug)]
pub struct Policy {
    unfinished: usize,
    unfinished_per_rule: usize,
    unfinished_limit: Option<usize>,
    pools: Vec<Pool>,
    rest: Pool,
    breaker: BreakerPolicy,
    retries: Retries,
    approval: ApprovalPolicy,
    windows: Windows,
}

/// How many actions may begin within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// This many may; one more trips the breaker.
    pub actions: usize,
    /// The time, at most 24 h.
    pub within: SignedDuration,
    /// For how long the breaker stays open once it has tripped.
    pub calm: SignedDuration,
}

/// When people are asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalPolicy {
    /// Every action asks once so many of its pool's nodes are out; `None`: only those whose rule says so ask.
    pub above_nodes_out: Option<usize>,
    /// For how long an approval counts.
    pub expires: SignedDuration,
    /// How many different people must approve: 1 or 2.
    pub people: usize,
}

impl Policy {
    /// Checks and compiles a policy. The error holds everything that is wrong with it, at least one flaw.
    pub fn compile(spec: &AegisGuardSpec) -> Result<Self, Vec<PolicyFlaw>> {
        let AegisGuardSpec { pauses, resumed, budgets, pools, windows, breaker, retries, limits, approval } = spec;
        let mut flaws = Vec::new();
        for (index, pause) in pauses.iter().enumerate() {
            flaws.extend(unreadable(&pause.target, &format!("spec.pauses[{index}].target"), "it pauses everything"));
        }
        for key in resumed.keys().filter(|key| !matches!(key.as_str(), "breaker")) {
            flaws.extend(unreadable(key, &format!("spec.resumed[{}]", shown(key)), "or \"breaker\""));
        }
        let budgets = budgets.clone().unwrap_or_default();
        let limits = limits.clone().unwrap_or_default();
        let counts = unfinished(&budgets, &limits, &mut flaws);
        let rest = Share::compile(
            budgets.nodes_out.as_ref(),
            Share::default_of(limits.nodes_out_percent.unwrap_or(NODES_OUT_PERCENT).clamp(1, NODES_OUT_PERCENT)),
            limits.nodes_out_percent,
            "spec.budgets.nodesOut",
            &mut flaws,
        );
        in_range(limits.nodes_out_percent, 1, 100, "spec.limits.nodesOutPercent", &mut flaws);
        let pools = compile_pools(pools, rest, limits.nodes_out_percent, &mut flaws);
        let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
        let windows = Windows::compile(windows, &names, &mut flaws);
        let policy = Self {
            unfinished: counts.all,
            unfinished_per_rule: counts.per_rule,
            unfinished_limit: counts.limit,
            rest: Pool::rest(rest, limits.nodes_out_percent),
            pools,
            breaker: BreakerPolicy::compile(breaker.as_ref(), &mut flaws),
            retries: Retries::compile(retries.as_ref(), &mut flaws),
            approval: ApprovalPolicy::compile(approval.as_ref(), &mut flaws),
            windows,
        };
        if flaws.is_empty() { Ok(policy) } else { Err(flaws) }
    }

    /// How many actions may be under way, of all rules together.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// How many actions of one rule may be under way, where `own` is what the rule asks for: as much as the limits
    /// give, or less than the budget where no limit is set.
    pub fn unfinished_per_rule(&self, own: Option<i32>) -> usize {
        let most = self.unfinished_limit.unwrap_or(self.unfinished_per_rule);
        own.map_or(self.unfinished_per_rule, |own| count(own).min(most))
    }

    /// The pool of a node with these labels: the first that selects it, else "default".
    pub fn pool_of(&self, labels: &BTreeMap<String, String>) -> &Pool {
        self.pools.iter().find(|pool| pool.selects(labels)).unwrap_or(&self.rest)
    }

    /// The pool of that name.
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().chain([&self.rest]).find(|pool| pool.name == name)
    }

    /// How many actions may begin within a time.
    pub fn breaker(&self) -> BreakerPolicy {
        self.breaker
    }

    /// When a rule that says `own` acts again on a target.
    pub fn retries(&self, own: &RuleRetries) -> Retries {
        self.retries.with(own)
    }

    /// When people are asked first.
    pub fn approval(&self) -> ApprovalPolicy {
        self.approval
    }

    /// When actions are held back, or when alone they may begin.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }
}

impl Default for Policy {
    /// The policy of an empty spec.
    fn default() -> Self {
        let rest = Share::default_of(NODES_OUT_PERCENT);
        Self {
            unfinished: count(UNFINISHED),
            unfinished_per_rule: count(UNFINISHED_PER_RULE),
            unfinished_limit: None,
            pools: Vec::new(),
            rest: Pool::rest(rest, None),
            breaker: BreakerPolicy::default(),
            retries: Retries::default(),
            approval: ApprovalPolicy::default(),
            windows: Windows::default(),
        }
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { actions: 60, within: SignedDuration::from_mins(10), calm: SignedDuration::from_mins(15) }
    }
}

impl BreakerPolicy {
    const LONGEST: SignedDuration = SignedDuration::from_hours(24);

    fn compile(breaker: Option<&Breaker>, flaws: &mut Vec<PolicyFlaw>) -> Self {
        let default = Self::default();
        let Some(Breaker { actions, within, calm }) = breaker else { return default };
        let written = within.as_deref().unwrap_or_default();
        let within = length(within.as_deref(), "spec.breaker.within", flaws).unwrap_or(default.within);
        if within > Self::LONGEST {
            flaws.push(PolicyFlaw::new("spec.breaker.within", shown(written), "at most 24h"));
        }
        Self {
            actions: in_range(*actions, 1, 100_000, "spec.breaker.actions", flaws).map_or(default.actions, count),
            within,
            calm: length(calm.as_deref(), "spec.breaker.calm", flaws).unwrap_or(default.calm),
        }
    }
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        Self { above_nodes_out: None, expires: SignedDuration::from_hours(4), people: 1 }
    }
}

impl ApprovalPolicy {
    fn compile(approval: Option<&Approvals>, flaws: &mut Vec<PolicyFlaw>) -> Self {
        let default = Self::default();
        let Some(Approvals { above_nodes_out, expires, people }) = approval else { return default };
        Self {
            above_nodes_out: in_range(*above_nodes_out, 1, i32::MAX, "spec.approval.aboveNodesOut", flaws).map(count),
            expires: length(expires.as_deref(), "spec.approval.expires", flaws).unwrap_or(default.expires),
            people: in_range(*people, 1, 2, "spec.approval.people", flaws).map_or(default.people, count),
        }
    }
}

struct Counts {
    all: usize,
    per_rule: usize,
    limit: Option<usize>,
}

/// The budgets of actions under way. What is left out gives way to what is said, and two that are said must agree.
fn unfinished(budgets: &Budgets, limits: &Limits, flaws: &mut Vec<PolicyFlaw>) -> Counts {
    let all = in_range(budgets.unfinished, 1, MOST_UNFINISHED, "spec.budgets.unfinished", flaws);
    let per_rule = in_range(budgets.unfinished_per_rule, 1, MOST_UNFINISHED, "spec.budgets.unfinishedPerRule", flaws);
    let limit = in_range(limits.unfinished_per_rule, 1, MOST_UNFINISHED, "spec.limits.unfinishedPerRule", flaws);
    if let (Some(per_rule), Some(all)) = (per_rule, all)
        && per_rule > all
    {
        flaws.push(PolicyFlaw::new(
            "spec.budgets.unfinishedPerRule",
            per_rule.to_string(),
            format!("at most spec.budgets.unfinished, which is {all}: one rule never gets more than all together"),
        ));
    }
    if let (Some(limit), Some(per_rule)) = (limit, per_rule)
        && limit < per_rule
    {
        flaws.push(PolicyFlaw::new(
            "spec.limits.unfinishedPerRule",
            limit.to_string(),
            format!(
                "at least spec.budgets.unfinishedPerRule, which is {per_rule}: a rule that asks for nothing gets that"
            ),
        ));
    }
    let per_rule = per_rule.unwrap_or_else(|| UNFINISHED_PER_RULE.min(limit.unwrap_or(UNFINISHED_PER_RULE)));
    Counts { all: count(all.unwrap_or(UNFINISHED.max(per_rule))), per_rule: count(per_rule), limit: limit.map(count) }
}

/// The number, with a flaw if it is out of range.
pub(crate) fn in_range(
    number: Option<i32>,
    least: i32,
    most: i32,
    field: &str,
    flaws: &mut Vec<PolicyFlaw>,
) -> Option<i32> {
    if let Some(number) = number.filter(|number| !(least..=most).contains(number)) {
        let expected = if most == i32::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
        flaws.push(PolicyFlaw::new(field, number.to_string(), expected));
    }
    number
}

/// The length of time, with a flaw if it is none.
pub(crate) fn length(text: Option<&str>, field: &str, flaws: &mut Vec<SpecFlaw>) -> Option<SignedDuration> {
    let text = text?;
    let length = duration::parse(text).ok();
    if length.is_none() {
        let expected = "a length of time above zero such as \"90s\", \"30m\" or \"1h30m\"";
        flaws.push(SpecFlaw::new(field, shown(text), expected));
    }
    length
}

/// A number that was checked to be positive.
pub(super) fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or_default().max(1)
}

#[cfg(test)]
mod tests;
