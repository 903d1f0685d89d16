//! What manifest/monitoring asks Prometheus for is what the controller tells it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aegis_controller::metrics::{Delivery, GuardReading, Metrics, Rejected, Stage};
use aegis_crds::AegisAlert;
use aegis_crds::alert::AegisAlertSpec;
use aegis_crds::conditions::{Condition, ConditionType};
use aegis_engine::guard::Reason;
use regex::Regex;
use serde_json::Value;

/// The names of what is told, each with its labels.
fn told() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::new();
    metrics.stage(Stage::Stored, jiff::SignedDuration::from_millis(1));
    metrics.alert("stored", "");
    metrics.rejected(Rejected::Invalid);
    metrics.shortened("details", 1);
    metrics.action("Failed", "Failed");
    metrics.held("NoRule");
    let before = AegisAlert::new("a", AegisAlertSpec::default());
    let mut after = before.clone();
    let in_vain = Condition::new(ConditionType::Repaired, false, "StillFiring", "");
    after.status.get_or_insert_default().conditions.push(in_vain);
    metrics.repair(&before, &after);
    metrics.answered("/alert", 200, Duration::from_millis(1));
    metrics.cache_objects("AegisAlert").set(1);
    metrics.cache_unreadable("AegisAlert", 1);
    metrics.watch_restarted("AegisAlert");
    metrics.api_request("get", "nodes", 200);
    metrics.guard(&GuardReading {
        places_of_rule: [("monitoring/rule".to_owned(), 1)].into(),
        waiting: [("Paused", 1)].into(),
        ..GuardReading::default()
    });
    metrics.notified("oncall", Delivery::Failed, 1);
    metrics.receivers_readable(false);
    let sample = Regex::new(r"(?m)^(aegis_\w+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r#"(\w+)=""#).unwrap();
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for found in sample.captures_iter(&metrics.text().unwrap()) {
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        let labels = label.captures_iter(labels).map(|label| label[1].to_owned());
        told.entry(found[1].to_owned()).or_default().extend(labels);
    }
    told
}

fn read(file: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifest/monitoring/");
    std::fs::read_to_string(format!("{folder}{file}")).unwrap()
}

/// Every value of a key of that name, at any depth.
fn all_of<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| all_of(one, key, found)),
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|one| all_of(one, key, found));
        }
        _ => {}
    }
}

/// The queries of the alerting rules and of the dashboard.
fn queries() -> Vec<String> {
    let rules: Value = serde_saphyr::from_str(&read("prometheusrule.yaml")).unwrap();
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let mut found = Vec::new();
    all_of(&rules, "expr", &mut found);
    all_of(&dashboard, "expr", &mut found);
    assert!(found.len() > 15, "{found:?}");
    found.into_iter().map(ToOwned::to_owned).collect()
}

#[test]
fn every_query_asks_for_what_is_told_with_labels_that_it_has() {
    let told = told();
    let metric = Regex::new(r"aegis_\w+").unwrap();
    let selected = Regex::new(r#"(\w+)(?:=~|!~|!=|=)""#).unwrap();
    let grouped = Regex::new(r"by \(([^)]*)\)").unwrap();
    for query in queries() {
        let names: Vec<&str> = metric.find_iter(&query).map(|name| name.as_str()).collect();
        assert!(!names.is_empty(), "{query}");
        let mut labels: BTreeSet<&str> = BTreeSet::new();
        for name in names {
            labels.extend(
                told.get(name).unwrap_or_else(|| panic!("{query}: nobody tells {name}")).iter().map(String::as_str),
            );
        }
        let groups = grouped.captures_iter(&query).flat_map(|group| group.extract::<1>().1[0].split(", "));
        for label in groups.chain(selected.captures_iter(&query).map(|label| label.extract::<1>().1[0])) {
            assert!(labels.contains(label), "{query}: what it asks for has no label {label}");
        }
        let count = |bracket| query.matches(bracket).count();
        assert_eq!((count('('), count('{'), count('[')), (count(')'), count('}'), count(']')), "{query}");
    }
}

#[test]
fn every_reason_that_a_query_names_is_one_that_is_given() {
    let reasons = Regex::new(r#"aegis_alerts_(?:held_total|waiting)\{reason[=!]~?"([^"]*)""#).unwrap();
    let mut named = 0;
    for query in queries() {
        for found in reasons.captures_iter(&query) {
            for reason in found[1].split('|') {
                assert!(Reason::parse(reason).is_some(), "{query}: {reason}");
                named += 1;
            }
        }
    }
    assert!(named > 0);
}

/// Prometheus sees no increase in a number that begins with its first event: the first failure would wake nobody.
#[test]
fn what_a_rule_asks_the_increase_of_is_told_before_it_happens_for_the_first_time() {
    let metrics = Metrics::new();
    metrics.receiver("oncall");
    let page = metrics.text().unwrap();
    let rules: Value = serde_saphyr::from_str(&read("prometheusrule.yaml")).unwrap();
    let mut found = Vec::new();
    all_of(&rules, "expr", &mut found);
    let increase = Regex::new(r"increase\((aegis_\w+)(?:\{([^}]*)\})?\[").unwrap();
    let selector = Regex::new(r#"(\w+)(=~|!=|=)"([^"]*)""#).unwrap();
    let mut asked = 0;
    for query in found.iter().filter(|query| query.contains("increase(")) {
        let parts = increase.captures(query).unwrap_or_else(|| panic!("{query}"));
        let samples: Vec<&str> = page.lines().filter(|line| line.starts_with(&format!("{}{{", &parts[1]))).collect();
        assert!(!samples.is_empty(), "{query}: {} begins with its first event", &parts[1]);
        assert!(samples.iter().all(|sample| sample.ends_with(" 0")), "{samples:?}");
        for selected in selector.captures_iter(parts.get(2).map_or("", |found| found.as_str())) {
            let (label, words) = (&selected[1], selected[3].split('|').filter(|_| &selected[2] != "!="));
            for word in words {
                let one = format!("{label}=\"{word}\"");
                assert!(
                    samples.iter().any(|sample| sample.contains(&one)),
                    "{query}: {one} begins with its first event"
                );
            }
        }
        asked += 1;
    }
    assert!(asked > 5, "{found:?}");
}
