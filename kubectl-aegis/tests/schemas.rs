//! What the verbs print with `-o json`, by the real binary, is what docs/schemas says.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and uses what it needs of the common modules"
)]

#[path = "common/plugin.rs"]
mod plugin;
#[path = "common/schema.rs"]
mod schema;
#[path = "common/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use plugin::{Told, ago, stored, told_by};
use schema::flaws;
use serde_json::{Value, json};
use world::{quoted, world};

/// What each verb is called with.
const LINES: &[(&str, &[&str])] = &[
    ("alert list", &["alert list -o json"]),
    ("alert rejected", &["alert rejected -o json"]),
    ("check", &["check -o json", "check --pre -o json"]),
    (
        "get",
        &[
            "get alerts -o json",
            "get alert waiting -o json",
            "get nodes -o json",
            "get workflows -o json",
            "get diagnoses -o json",
        ],
    ),
    ("guard", &["guard -o json"]),
    ("install", &["install --dry-run=client -o json"]),
    ("pause", &["pause node/n1 --reason x --dry-run=client -o json"]),
    (
        "plan",
        &[
            "plan NodeDown --node n1 -o json",
            "plan Another --node n2 -o json",
            "plan -f examples/quickstart/alert.json -o json",
            "plan NodeDown --node n1 --resolved -o json",
        ],
    ),
    ("resume", &["resume all --dry-run=client -o json"]),
    ("rule create", &["rule create new --type NodeDown --template down --dry-run=client -o json"]),
    ("rule get", &["rule get -o json", "rule get down -o json"]),
    ("rule lint", &["rule lint -o json", "rule lint -f examples/hpc -o json"]),
    ("rule report", &["rule report --since 7d -o json"]),
    (
        "rule test",
        &[
            "rule test --since 7d -o json",
            "rule test -f examples/quickstart/rule.yaml --alert examples/quickstart/alert.json -o json",
        ],
    ),
    ("sop list", &["sop list -o json"]),
    ("sop show", &["sop show drain -o json"]),
    ("template create", &["template create new --script 'kubectl cordon {{.node}}' --dry-run=client -o json"]),
    ("template get", &["template get -o json"]),
    ("template lint", &["template lint -o json"]),
    ("template render", &["template render down NodeDown --node n1 -o json"]),
    ("trace", &["trace waiting -o json"]),
    ("upgrade", &["upgrade --replicas 3 --force-conflicts --dry-run=client -o json"]),
    ("version", &["version -o json", "version --client -o json"]),
];

fn folder() -> String {
    format!("{}/../docs/schemas", env!("CARGO_MANIFEST_DIR"))
}

/// The schema of each verb, as the page says.
fn listed() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(format!("{}/README.md", folder())).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `kubectl aegis "));
    let parts = rows.map(|row| {
        let (verb, rest) = row.split_once("` | [").unwrap();
        (verb.to_owned(), rest.split_once(']').unwrap().0.to_owned())
    });
    parts.collect()
}

fn read(schema: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{}/{schema}", folder())).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_what_its_schema_says() {
    let sandbox = world().await;
    let rejected =
        json!([{"first": ago(60), "last": ago(60), "count": 1, "route": "/alert", "message": "type: found nothing"}]);
    let rejected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aegis-rejected"},
        "data": {"rejected.json": rejected.to_string()}});
    stored(&sandbox, "/api/v1/namespaces/monitoring/configmaps", rejected).await;
    let schemas = listed();
    let tried: BTreeSet<&str> = LINES.iter().map(|(verb, _)| *verb).collect();
    let untried: Vec<&String> = schemas.keys().filter(|verb| !tried.contains(verb.as_str())).collect();
    assert!(untried.is_empty(), "nothing is printed by {untried:?}");
    for (verb, lines) in LINES {
        let schema = schemas.get(*verb).unwrap_or_else(|| panic!("{verb} has no schema"));
        let written = read(schema);
        for line in *lines {
            let words = quoted(line);
            let Told { out, err, .. } = told_by(&sandbox, &words.iter().map(String::as_str).collect::<Vec<_>>()).await;
            let documents = serde_json::Deserializer::from_str(&out).into_iter::<Value>();
            let documents: Vec<Value> =
                documents.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{line}: {error}: {out}{err}"));
            assert!(!documents.is_empty(), "{line} prints nothing: {err}");
            for document in &documents {
                let flaws = flaws(&written, document);
                assert!(flaws.is_empty(), "{line}, {schema}: {flaws:#?}");
            }
        }
    }
}

#[test]
fn what_is_printed_otherwise_is_refused() {
    let alert = |status: &str| {
        json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": "a"},
        "spec": {"type": "T", "status": status, "involvedObject": {"kind": "Node", "name": "n"}}})
    };
    let check = |status: &str| {
        json!({"namespace": "m", "summary": {"ok": 1, "warnings": 0, "unknown": 0, "failed": 0},
        "checks": [{"family": "api", "name": "server", "status": status, "message": "m"}]})
    };
    let list = |item: Value| json!({"apiVersion": "v1", "kind": "List", "items": [item]});
    let cases = [
        ("objects.json", alert("Firing"), true),
        ("objects.json", alert("Burning"), false),
        ("objects.json", list(alert("Resolved")), true),
        ("objects.json", list(alert("Burning")), false),
        ("objects.json", json!({"kind": "Node", "metadata": {}}), false),
        ("check.json", check("ok"), true),
        ("check.json", check("fine"), false),
        ("version.json", json!({"client": "0.1.0"}), true),
        ("version.json", json!({"client": "0.1.0", "colour": "red"}), false),
        ("plan.json", json!({"repeats": "a"}), true),
        ("plan.json", json!({"repeats": 1}), false),
    ];
    for (schema, document, fits) in cases {
        let flaws = flaws(&read(schema), &document);
        assert_eq!(flaws.is_empty(), fits, "{schema}: {document}: {flaws:?}");
    }
}
