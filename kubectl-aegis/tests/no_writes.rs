//! Looking is free: no verb that only reads sends a write, nothing is sent by --dry-run=client, and nothing is stored by
//! --dry-run=server. Every verb of docs/cli.md has a place here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;
#[path = "common/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use aegis_sandbox::{Match, Sandbox};
use plugin::{Told, told_by};
use serde_json::Value;
use world::{quoted, world};

/// What each verb is called with: verbs that read.
const READS: &[(&str, &[&str])] = &[
    (
        "get",
        &["get alerts -o wide", "get nodes", "get workflows -A", "get rule/down -o yaml", "get inspections -o json"],
    ),
    ("trace", &["trace waiting", "trace alert/waiting -o json --logs 5"]),
    ("top", &["top --once", "top rules templates --once --wide"]),
    ("logs", &["logs waiting"]),
    ("alert list", &["alert list --since 1d"]),
    ("alert rejected", &["alert rejected"]),
    ("rule get", &["rule get down"]),
    (
        "rule test",
        &["rule test --since 7d", "rule test -f examples/quickstart/rule.yaml --alert examples/quickstart/alert.json"],
    ),
    ("rule report", &["rule report --since 7d"]),
    ("rule lint", &["rule lint", "rule lint -f examples/hpc"]),
    ("template get", &["template get -o name"]),
    ("template lint", &["template lint"]),
    ("template render", &["template render down NodeDown --node n1", "template render down --of waiting"]),
    ("template convert", &["template convert x -f manifest/deploy/deployment.yaml"]),
    ("plan", &["plan NodeDown --node n1"]),
    ("check", &["check", "check --pre", "check -o junit --alertmanager-config configmap/monitoring/x/y"]),
    ("sop list", &["sop list"]),
    ("sop show", &["sop show drain", "sop show cordon -o yaml"]),
    ("guard", &["guard"]),
    ("version", &["version", "version --client"]),
    ("options", &["options"]),
];

/// Verbs that write, each without --dry-run.
const WRITES: &[(&str, &[&str])] = &[
    ("alert send", &["alert send NodeDown --node n2", "alert send -f examples/quickstart/alert.json"]),
    ("alert resolve", &["alert resolve NodeDown --node n2"]),
    ("rule apply", &["rule apply -f examples/quickstart/rule.yaml"]),
    ("rule create", &["rule create new --type X --template down"]),
    ("rule delete", &["rule delete down"]),
    ("template apply", &["template apply -f examples/quickstart/rule.yaml"]),
    ("template create", &["template create new --script 'kubectl cordon {{.node}}'"]),
    ("template delete", &["template delete down"]),
    ("pause", &["pause --reason x", "pause node/n1 --for 2h"]),
    ("resume", &["resume all", "resume breaker"]),
    ("approve", &["approve waiting --reason x"]),
    ("reject", &["reject waiting"]),
    ("undo", &["undo node/n1"]),
    ("install", &["install --replicas 3 --force-conflicts", "install --image x --force-conflicts -o yaml"]),
    ("upgrade", &["upgrade --replicas 3 --force-conflicts"]),
    ("uninstall", &["uninstall", "uninstall --delete-data --release"]),
    ("sop install", &["sop install drop-caches", "sop install cordon uncordon"]),
    ("sop run", &["sop run cordon --node n2 --reason x"]),
    ("cordon", &["cordon node/n2 --reason x"]),
    ("uncordon", &["uncordon node/n2 --reason x"]),
];

/// Verbs that are about no cluster that anybody has.
const ELSEWHERE: &[&str] = &["demo", "sandbox", "image build", "completion"];

/// Everything that stands in the cluster, by path and name, with its version.
async fn state(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let client = sandbox.client_as("test");
    let mut state = BTreeMap::new();
    let aegis = ["aegisalerts", "aegisalertopsrules", "aegisopstemplates", "aegisguards"];
    let aegis = aegis.iter().map(|plural| format!("/apis/aegis.io/v1alpha1/{plural}"));
    let others = [
        "/api/v1/nodes",
        "/api/v1/configmaps",
        "/api/v1/pods",
        "/api/v1/serviceaccounts",
        "/apis/apps/v1/deployments",
        "/apis/batch/v1/jobs",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    ];
    for path in aegis.chain(others.map(str::to_owned)) {
        let list: Value = client.request(http::Request::get(&path).body(Vec::new()).unwrap()).await.unwrap();
        for item in list["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            state.insert(format!("{path}/{name}"), item["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
        }
    }
    state
}

/// What the plugin sent since that would change something. Asking who one is, or what one may, stores nothing.
fn writes(sandbox: &Sandbox) -> Vec<String> {
    let sent = sandbox.requests().matching(&Match::any().component("kubectl-aegis").writes()).into_iter();
    let sent =
        sent.filter(|entry| !matches!(entry.request.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io"));
    sent.map(|entry| format!("{} {} {}", entry.request.verb, entry.request.resource, entry.request.name)).collect()
}

async fn run(sandbox: &Sandbox, line: &str, more: &[&str]) -> Told {
    let words = quoted(line);
    let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
    told_by(sandbox, &words).await
}

#[test]
fn every_verb_has_its_place() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md")).unwrap();
    let heads = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let all: BTreeSet<&str> = heads.filter_map(|head| head.strip_prefix("kubectl aegis ")).collect();
    let groups: BTreeSet<&str> = all.iter().filter_map(|head| head.split_once(' ')).map(|(group, _)| group).collect();
    let here: BTreeSet<&str> =
        READS.iter().chain(WRITES).map(|(verb, _)| *verb).chain(ELSEWHERE.iter().copied()).collect();
    let missing: Vec<_> = all.iter().filter(|verb| !here.contains(*verb) && !groups.contains(*verb)).collect();
    assert!(missing.is_empty(), "say of {missing:?} whether they read or write");
    let gone: Vec<_> = here.iter().filter(|verb| !all.contains(*verb)).collect();
    assert!(gone.is_empty(), "{gone:?} are no verbs any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_reads_sends_no_write() {
    let sandbox = world().await;
    let before = state(&sandbox).await;
    for line in READS.iter().flat_map(|(_, lines)| *lines) {
        sandbox.requests().reset();
        let Told { code, out, err } = run(&sandbox, line, &[]).await;
        assert!(!err.contains("unexpected argument") && !err.contains("unrecognized"), "{line}: {code} {out}{err}");
        assert_eq!(writes(&sandbox), [""; 0], "{line}");
    }
    assert_eq!(state(&sandbox).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_a_real_one_does() {
    let sandbox = world().await;
    let before = state(&sandbox).await;
    for line in WRITES.iter().flat_map(|(_, lines)| *lines) {
        sandbox.requests().reset();
        let Told { code, out, err } = run(&sandbox, line, &["--dry-run=client"]).await;
        assert_eq!(code, 0, "{line} --dry-run=client: {out}{err}");
        assert_eq!(writes(&sandbox), [""; 0], "{line}: nothing is sent");
        let Told { code, out, err } = run(&sandbox, line, &["--dry-run", "server"]).await;
        assert_eq!(code, 0, "{line} --dry-run=server: {out}{err}");
        assert_eq!(state(&sandbox).await, before, "{line} --dry-run=server stores nothing");
    }
    // The same without it changes something, so what was compared is what changes. Alerts go through the webhook, which
    // is not here.
    for line in WRITES.iter().filter(|(verb, _)| !verb.starts_with("alert")).flat_map(|(_, lines)| lines.first()) {
        let sandbox = world().await;
        let before = state(&sandbox).await;
        let Told { code, out, err } = run(&sandbox, line, &[]).await;
        assert_eq!(code, 0, "{line}: {out}{err}");
        assert_ne!(state(&sandbox).await, before, "{line}");
    }
}
