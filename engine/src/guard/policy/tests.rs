use super::*;
use crate::guard::DEFAULT_POOL;
use proptest::prelude::*;
use serde_json::{Value, json};

fn spec(spec: Value) -> AegisGuardSpec {
    serde_json::from_value(spec).unwrap()
}

fn policy(written: Value) -> Policy {
    Policy::compile(&spec(written.clone())).unwrap_or_else(|flaws| panic!("{written}: {flaws:?}"))
}

fn flaws(written: Value) -> Vec<String> {
    Policy::compile(&spec(written)).unwrap_err().iter().map(ToString::to_string).collect()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn an_empty_spec_has_the_documented_defaults() {
    for policy in [Policy::default(), policy(json!({})), policy(json!({"budgets": {}, "limits": {}, "breaker": {}}))] {
        assert_eq!((policy.unfinished(), policy.unfinished_per_rule(None)), (30, 10));
        let pool = policy.pool_of(&labels(&[]));
        assert_eq!((pool.name.as_str(), pool.domain.is_none()), (DEFAULT_POOL, true));
        assert_eq!([0, 1, 20, 59, 60, 1000].map(|total| pool.nodes_limit(total, None)), [1, 1, 1, 2, 3, 50]);
        assert_eq!(policy.breaker().actions, 60);
        assert_eq!((policy.breaker().within.as_mins(), policy.breaker().calm.as_mins()), (10, 15));
        assert_eq!(policy.retries(&RuleRetries::default()), Retries::default());
        assert_eq!(policy.approval(), ApprovalPolicy::default());
        assert_eq!((policy.approval().expires.as_hours(), policy.approval().people), (4, 1));
    }
}

#[test]
fn a_rule_may_ask_for_less_and_for_more_only_within_the_limits() {
    let strict = policy(json!({"budgets": {"unfinishedPerRule": 8, "nodesOut": {"percent": 10}}}));
    assert_eq!([None, Some(3), Some(50)].map(|own| strict.unfinished_per_rule(own)), [8, 3, 8]);
    let nodes = |policy: &Policy, own| policy.pool_of(&labels(&[])).nodes_limit(100, own);
    assert_eq!([None, Some(3), Some(50)].map(|own| nodes(&strict, own)), [10, 3, 10]);

    let generous = policy(json!({"limits": {"unfinishedPerRule": 20, "nodesOutPercent": 30}}));
    assert_eq!([None, Some(3), Some(50)].map(|own| generous.unfinished_per_rule(own)), [10, 3, 20]);
    assert_eq!([None, Some(3), Some(50)].map(|own| nodes(&generous, own)), [5, 3, 30]);

    let tight = policy(json!({"limits": {"unfinishedPerRule": 4, "nodesOutPercent": 2}}));
    assert_eq!(tight.unfinished_per_rule(None), 4, "a default gives way to a limit");
    assert_eq!(nodes(&tight, None), 2);
}

#[test]
fn a_count_holds_where_it_is_smaller_than_the_share() {
    let both = policy(json!({"budgets": {"nodesOut": {"percent": 10, "count": 4}}}));
    let pool = both.pool_of(&labels(&[]));
    assert_eq!([5, 30, 40, 1000].map(|total| pool.nodes_limit(total, None)), [1, 3, 4, 4]);
    let counted = policy(json!({"budgets": {"nodesOut": {"count": 4}}}));
    let pool = counted.pool_of(&labels(&[]));
    assert_eq!([2, 1000].map(|total| pool.nodes_limit(total, None)), [2, 4]);
    assert_eq!(pool.nodes_limit(100, Some(2)), 2, "a rule may ask for a share below it");
}

#[test]
fn a_node_belongs_to_the_first_pool_that_selects_it() {
    let policy = policy(json!({"pools": [
        {"name": "gpu", "selector": {"matchLabels": {"gpu": "true"}}, "nodesOut": {"count": 2},
         "domain": {"label": "topology.kubernetes.io/rack", "count": 1}},
        {"name": "old", "selector": {"matchExpressions": [{"key": "generation", "operator": "In", "values": ["1", "2"]}]}},
    ]}));
    let name = |pairs: &[(&str, &str)]| policy.pool_of(&labels(pairs)).name.clone();
    assert_eq!(name(&[("gpu", "true"), ("generation", "1")]), "gpu");
    assert_eq!(name(&[("generation", "2")]), "old");
    assert_eq!(name(&[("generation", "3")]), DEFAULT_POOL);
    let gpu = policy.pool("gpu").unwrap();
    assert_eq!(gpu.nodes_limit(100, None), 2);
    let domain = gpu.domain.as_ref().unwrap();
    assert_eq!((domain.label.as_str(), domain.count), ("topology.kubernetes.io/rack", 1));
    assert_eq!(policy.pool("old").unwrap().nodes_limit(100, None), 5, "budgets.nodesOut, which has a default");
    assert!(policy.pool(DEFAULT_POOL).is_some() && policy.pool("gone").is_none());
}

#[test]
fn numbers_out_of_range_are_refused_with_field_and_range() {
    let cases = [
        (json!({"budgets": {"unfinished": 0}}), "spec.budgets.unfinished: found 0, expected 1 to 1000"),
        (json!({"budgets": {"unfinishedPerRule": -1}}), "spec.budgets.unfinishedPerRule: found -1, expected 1 to 1000"),
        (
            json!({"limits": {"unfinishedPerRule": 1_001}}),
            "spec.limits.unfinishedPerRule: found 1001, expected 1 to 1000",
        ),
        (json!({"limits": {"nodesOutPercent": 101}}), "spec.limits.nodesOutPercent: found 101, expected 1 to 100"),
        (
            json!({"budgets": {"nodesOut": {"percent": 120}}}),
            "spec.budgets.nodesOut.percent: found 120, expected 1 to 100",
        ),
        (json!({"budgets": {"nodesOut": {"count": 0}}}), "spec.budgets.nodesOut.count: found 0, expected at least 1"),
        (json!({"breaker": {"actions": 0}}), "spec.breaker.actions: found 0, expected 1 to 100000"),
        (json!({"breaker": {"within": "25h"}}), "spec.breaker.within: found \"25h\", expected at most 24h"),
        (json!({"approval": {"people": 3}}), "spec.approval.people: found 3, expected 1 to 2"),
        (json!({"approval": {"aboveNodesOut": 0}}), "spec.approval.aboveNodesOut: found 0, expected at least 1"),
        (json!({"retries": {"attempts": 0}}), "spec.retries.attempts: found 0, expected 1 to 100"),
    ];
    for (written, flaw) in cases {
        assert_eq!(flaws(written), [flaw]);
    }
}

#[test]
fn what_contradicts_itself_is_refused_with_the_field_to_change() {
    let pool = |name: &str, labels: Value| json!({"name": name, "selector": {"matchLabels": labels}});
    let cases = [
        (
            "a rule's budget above that of all",
            json!({"budgets": {"unfinished": 5, "unfinishedPerRule": 6}}),
            "spec.budgets.unfinishedPerRule",
        ),
        (
            "a limit below the budget",
            json!({"budgets": {"unfinishedPerRule": 6}, "limits": {"unfinishedPerRule": 5}}),
            "spec.limits.unfinishedPerRule",
        ),
        (
            "a share above the limit",
            json!({"budgets": {"nodesOut": {"percent": 20}}, "limits": {"nodesOutPercent": 10}}),
            "spec.budgets.nodesOut.percent",
        ),
        (
            "a pool's share above the limit",
            json!({"pools": [{"name": "a", "selector": {"matchLabels": {"a": "b"}}, "nodesOut": {"percent": 20}}], "limits": {"nodesOutPercent": 10}}),
            "spec.pools[0].nodesOut.percent",
        ),
        ("no number at all", json!({"budgets": {"nodesOut": {}}}), "spec.budgets.nodesOut"),
        ("a wait above the longest", json!({"retries": {"wait": "2h", "longestWait": "1h"}}), "spec.retries.wait"),
        ("no time", json!({"breaker": {"within": "0s"}}), "spec.breaker.within"),
        (
            "two of a name",
            json!({"pools": [pool("a", json!({"x": "1"})), pool("a", json!({"x": "2"}))]}),
            "spec.pools[1].name",
        ),
        ("no name", json!({"pools": [pool("", json!({"x": "1"}))]}), "spec.pools[0].name"),
        ("a name that is taken", json!({"pools": [pool("default", json!({}))]}), "spec.pools[0].name"),
        (
            "two that select the same",
            json!({"pools": [pool("a", json!({"x": "1"})), pool("b", json!({"x": "1"}))]}),
            "spec.pools[1].selector",
        ),
        (
            "one after all are taken",
            json!({"pools": [pool("a", json!({})), pool("b", json!({"x": "1"}))]}),
            "spec.pools[1].selector",
        ),
        ("no label value", json!({"pools": [pool("a", json!({"x": "a b"}))]}), "spec.pools[0].selector.matchLabels[x]"),
        (
            "no label",
            json!({"pools": [{"name": "a", "selector": {"matchLabels": {"a": "b"}}, "domain": {"label": "a b", "count": 1}}]}),
            "spec.pools[0].domain.label",
        ),
        (
            "no node of a domain",
            json!({"pools": [{"name": "a", "selector": {"matchLabels": {"a": "b"}}, "domain": {"label": "a", "count": 0}}]}),
            "spec.pools[0].domain.count",
        ),
        (
            "a pause of nothing known",
            json!({"pauses": [{"target": "all"}, {"target": "node"}]}),
            "spec.pauses[1].target",
        ),
        (
            "a resumption of nothing known",
            json!({"resumed": {"breaker": "2026-11-22T12:00:00Z", "nod/n1": "2026-11-22T12:00:00Z"}}),
            "spec.resumed[\"nod/n1\"]",
        ),
        (
            "a window of an unknown pool",
            json!({"windows": [{"name": "w", "kind": "Freeze", "schedule": "0 1 * * *", "duration": "1h", "pools": ["gpu", "default"]}]}),
            "spec.windows[0].pools[0]",
        ),
    ];
    for (why, written, field) in cases {
        let flaws = flaws(written);
        assert!(flaws.len() == 1 && flaws[0].starts_with(&format!("{field}: found ")), "{why}: {flaws:?}");
        assert!(flaws[0].contains(", expected "), "{why}: {flaws:?}");
    }
}

#[test]
fn all_flaws_are_told_at_once() {
    let flaws = flaws(json!({
        "budgets": {"unfinished": 0, "nodesOut": {"percent": 0}},
        "pools": [{"name": "default", "selector": {"matchLabels": {"x": "a b"}}, "nodesOut": {"percent": 120}}],
        "windows": [{"name": "w", "kind": "Freeze", "schedule": "never", "duration": "0s", "timeZone": "Mars/Olympus"}],
        "breaker": {"calm": "soon"},
    }));
    let fields: Vec<&str> = flaws.iter().map(|flaw| flaw.split_once(": ").unwrap().0).collect();
    assert_eq!(
        fields,
        [
            "spec.budgets.unfinished",
            "spec.budgets.nodesOut.percent",
            "spec.pools[0].name",
            "spec.pools[0].selector.matchLabels[x]",
            "spec.pools[0].nodesOut.percent",
            "spec.windows[0].duration",
            "spec.windows[0].timeZone",
            "spec.windows[0].schedule",
            "spec.breaker.calm",
        ]
    );
}

proptest! {
    #[test]
    fn no_pool_gets_above_its_share_or_count_unless_it_is_a_single_node(
        total in 0usize..3000,
        percent in proptest::option::of(1i32..=100),
        count in proptest::option::of(1i32..=50),
        own in proptest::option::of(1i32..=100),
        limit in proptest::option::of(1i32..=100),
    ) {
        prop_assume!(percent.is_some() || count.is_some());
        prop_assume!(percent.zip(limit).is_none_or(|(percent, limit)| percent <= limit));
        let policy = policy(json!({
            "budgets": {"nodesOut": {"percent": percent, "count": count}},
            "limits": {"nodesOutPercent": limit},
        }));
        let nodes = policy.pool_of(&labels(&[])).nodes_limit(total, own);
        let most = own.and(limit).or(percent).unwrap_or(100);
        prop_assert!(nodes >= 1);
        prop_assert!(nodes == 1 || nodes * 100 <= total * usize::try_from(most).unwrap());
        prop_assert!(count.is_none_or(|count| nodes <= usize::try_from(count).unwrap()));
        if let Some(own) = own {
            prop_assert!(nodes == 1 || nodes * 100 <= total * usize::try_from(own).unwrap());
        }
    }

    #[test]
    fn a_rule_never_gets_more_than_the_administrator_allows(
        budget in proptest::option::of(1i32..=50),
        limit in proptest::option::of(1i32..=50),
        own in proptest::option::of(1i32..=1_000),
    ) {
        prop_assume!(budget.zip(limit).is_none_or(|(budget, limit)| budget <= limit));
        let policy = policy(json!({
            "budgets": {"unfinishedPerRule": budget},
            "limits": {"unfinishedPerRule": limit},
        }));
        let most = limit.or(budget).unwrap_or(10);
        prop_assert!(policy.unfinished_per_rule(own) <= usize::try_from(most).unwrap());
        prop_assert!(policy.unfinished_per_rule(own) >= 1);
    }
}
