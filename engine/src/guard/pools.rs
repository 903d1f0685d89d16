//! Pools: nodes that share a budget, and how many of them may be out.

use std::collections::{BTreeMap, BTreeSet};

use aegis_crds::guard;
use aegis_crds::names::is_label_value;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::policy::{PolicyFlaw, count, in_range};
use crate::flaw::shown;
use crate::rules::selector::{CompiledSelector, key_flaw};

/// The name of the pool of all nodes that no pool selects.
pub const DEFAULT_POOL: &str = "default";

/// Nodes that share a budget.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name; "default" for the nodes that no other selects.
    pub name: String,
    /// How many nodes of one failure domain may be out.
    pub domain: Option<DomainBudget>,
    selector: CompiledSelector,
    share: Share,
    most_percent: Option<i32>,
}

/// A budget for each failure domain of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainBudget {
    /// The node label that names the domain. Nodes without it are in none.
    pub label: String,
    /// How many nodes with the same value may be out.
    pub count: usize,
}

/// How many nodes of a pool may be out; the smaller of the two where both are given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    percent: Option<i32>,
    count: Option<usize>,
}

impl Pool {
    /// How many of the pool's `total` nodes may be out, where `own` is the share in percent that a rule asks for: as
    /// much as the limits give, or less than the pool's where no limit is set. At least one always may, so that small
    /// pools are not stuck.
    pub fn nodes_limit(&self, total: usize, own: Option<i32>) -> usize {
        let Share { percent, count } = self.share;
        let most = self.most_percent.or(percent).unwrap_or(100);
        let percent = own.map(|own| own.min(most)).or(percent).unwrap_or(100);
        let percent = usize::try_from(percent).unwrap_or_default();
        let share = total.saturating_mul(percent) / 100;
        count.map_or(share, |count| count.min(share)).max(1)
    }

    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector.selects(labels)
    }

    /// The pool of the nodes that no other selects.
    pub(super) fn rest(share: Share, most_percent: Option<i32>) -> Self {
        let selector = CompiledSelector::default();
        Self { name: DEFAULT_POOL.to_owned(), domain: None, selector, share, most_percent }
    }
}

impl Share {
    pub(super) fn default_of(percent: i32) -> Self {
        Self { percent: Some(percent), count: None }
    }

    /// What is written at `field`, or `otherwise`.
    pub(super) fn compile(
        written: Option<&guard::NodesOut>,
        otherwise: Self,
        most_percent: Option<i32>,
        field: &str,
        flaws: &mut Vec<PolicyFlaw>,
    ) -> Self {
        let Some(guard::NodesOut { percent, count: number }) = written else { return otherwise };
        if percent.is_none() && number.is_none() {
            flaws.push(PolicyFlaw::new(
                field,
                "neither percent nor count",
                "at least one of them, or no nodesOut at all",
            ));
        }
        in_range(*percent, 1, 100, &format!("{field}.percent"), flaws);
        in_range(*number, 1, i32::MAX, &format!("{field}.count"), flaws);
        if let (Some(percent), Some(most)) = (percent, most_percent)
            && *percent > most
        {
            flaws.push(PolicyFlaw::new(
                format!("{field}.percent"),
                percent.to_string(),
                format!("at most spec.limits.nodesOutPercent, which is {most}: a rule that asks for nothing gets that"),
            ));
        }
        Self { percent: *percent, count: number.map(count) }
    }
}

/// Compiles the pools, which have `share` where they do not say otherwise.
pub(super) fn compile_pools(
    pools: &[guard::Pool],
    share: Share,
    most_percent: Option<i32>,
    flaws: &mut Vec<PolicyFlaw>,
) -> Vec<Pool> {
    let mut names = BTreeSet::new();
    let mut compiled = Vec::with_capacity(pools.len());
    for (index, pool) in pools.iter().enumerate() {
        let guard::Pool { name, selector, nodes_out, domain } = pool;
        let field = |below: &str| format!("spec.pools[{index}].{below}");
        flaws.extend(name_flaw(name, &field("name")));
        if !names.insert(name) {
            flaws.push(PolicyFlaw::new(field("name"), shown(name), "a name that no pool before it has"));
        }
        let earlier = pools.iter().take(index);
        flaws.extend(never_reached(selector, earlier, &field("selector")));
        let selector = CompiledSelector::compile(Some(selector), &field("selector"));
        compiled.push(Pool {
            name: name.clone(),
            domain: domain.as_ref().map(|domain| compile_domain(domain, &field("domain"), flaws)),
            selector: selector.unwrap_or_else(|found| {
                flaws.extend(found);
                CompiledSelector::default()
            }),
            share: Share::compile(nodes_out.as_ref(), share, most_percent, &field("nodesOut"), flaws),
            most_percent,
        });
    }
    compiled
}

fn name_flaw(name: &str, field: &str) -> Option<PolicyFlaw> {
    if name == DEFAULT_POOL {
        return Some(PolicyFlaw::new(
            field,
            shown(name),
            "another name: \"default\" is the pool of the nodes that no pool selects, and spec.budgets.nodesOut is its \
             budget",
        ));
    }
    (name.is_empty() || !is_label_value(name)).then(|| {
        let expected = "1 to 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit";
        PolicyFlaw::new(field, shown(name), expected)
    })
}

/// A node belongs to the first pool that selects it, so one after a pool with the same selector, or after one that
/// selects all nodes, would have no nodes.
fn never_reached<'a>(
    selector: &LabelSelector,
    earlier: impl Iterator<Item = &'a guard::Pool>,
    field: &str,
) -> Option<PolicyFlaw> {
    let empty = |selector: &LabelSelector| {
        selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
            && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
    };
    let first = |pool: &guard::Pool| (empty(&pool.selector) || pool.selector == *selector).then(|| pool.clone());
    let pool = earlier.into_iter().find_map(first)?;
    let (found, expected) = if empty(&pool.selector) {
        ("a pool that gets no nodes", "it before that one: an empty selector takes all nodes that are left")
    } else {
        ("the same selector", "another one: a node belongs to the first pool that selects it")
    };
    Some(PolicyFlaw::new(field, format!("{found} after pool {}", shown(&pool.name)), expected))
}

fn compile_domain(domain: &guard::Domain, field: &str, flaws: &mut Vec<PolicyFlaw>) -> DomainBudget {
    let guard::Domain { label, count: number } = domain;
    flaws.extend(key_flaw(label, &format!("{field}.label")));
    in_range(Some(*number), 1, i32::MAX, &format!("{field}.count"), flaws);
    DomainBudget { label: label.clone(), count: count(*number) }
}
