//! `rule test`: what it says of alerts from files and from a cluster, against what is expected, and how it fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use plugin::{Told, ago, sandbox, stored, told, told_by};
use serde_json::{Value, json};

const NOWHERE: &str = "apiVersion: v1\nkind: Config\n";
const QUICK: [&str; 6] =
    ["rule", "test", "-f", "examples/quickstart/rule.yaml", "--alert", "examples/quickstart/alert.json"];

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

#[test]
fn an_alert_of_a_file_needs_no_cluster() {
    let Told { code, out, err } = told(NOWHERE, &QUICK);
    assert_eq!(code, 0, "{err}");
    insta::assert_snapshot!("rule_test_quickstart", out);
}

#[test]
fn a_report_is_an_expectation_and_a_change_is_a_mismatch() {
    let files = Files::new();
    let Told { out, .. } = told(NOWHERE, &[&QUICK[..], &["-o", "yaml"]].concat());
    let expect = files.write("expect.yaml", &out);
    let Told { code, err, .. } = told(NOWHERE, &[&QUICK[..], &["--expect", &expect]].concat());
    assert_eq!((code, err.as_str()), (0, "all 1 outcomes are as expected\n"));

    let rule =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart/rule.yaml")).unwrap();
    let changed = files.write(
        "rule.yaml",
        &rule.replace("kubectl, cordon", "kubectl, drain").replace("kubectl cordon", "kubectl drain"),
    );
    let words = ["rule", "test", "-f", &changed, "--alert", "examples/quickstart/alert.json", "--expect", &expect];
    let Told { code, out, err } = told(NOWHERE, &words);
    assert!(code == 1 && err.contains("1 of the outcomes are not as expected"), "{code} {err}");
    assert!(out.contains("--- expected\n+++ found\n") && out.contains("drain"), "{out}");

    let base = ["rule", "test", "-f", &changed, "--alert", "examples/quickstart/alert.json"];
    let Told { code, out, .. } = told(NOWHERE, &[&base[..], &["--base", "examples/quickstart/rule.yaml"]].concat());
    assert!(code == 0 && out.contains("--- base\n") && out.contains("before    Fires by monitoring/"), "{out}");
    let same = [&QUICK[..], &["--base", "examples/quickstart/rule.yaml"]].concat();
    assert_eq!(told(NOWHERE, &same).out, "1 in all: 1 Fires\n", "only in what they differ is shown");
}

#[test]
fn why_an_alert_is_not_acted_on_is_told() {
    let files = Files::new();
    let rule = |spec: &str| {
        format!(
            "apiVersion: aegis.io/v1alpha1\nkind: AegisAlertOpsRule\nmetadata: {{name: down}}\nspec:\n  \
             alertConditions: [{{type: NodeDown, status: Firing}}]\n  opsTemplate: {{name: down}}\n{spec}"
        )
    };
    let template = "---\napiVersion: aegis.io/v1alpha1\nkind: AegisOpsTemplate\nmetadata: {name: down}\nspec:\n  manifest: |\n    \
                    apiVersion: batch/v1\n    kind: Job\n    spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: x, command: [echo, '{{.node}}']}]}}}\n";
    let guard = "---\napiVersion: aegis.io/v1alpha1\nkind: AegisGuard\nmetadata: {name: aegis}\nspec: {pauses: [{target: all, reason: work}]}\n";
    let alert = |type_: &str, more: &str| {
        let body = format!(
            r#"{{"type": "{type_}", "status": "Firing", "involvedObject": {{"kind": "Node", "name": "n1"}}, "fingerprint": "f", "details": {{{more}}}}}"#
        );
        files.write(&format!("{type_}{}.json", more.len()), &body)
    };
    let node = r#""node": "n1""#;
    let cases = [
        ("fires", rule("") + template, alert("NodeDown", node), 0, "NodeDown Firing: Fires"),
        ("another type", rule("") + template, alert("Other", node), 0, "Other Firing: Skipped"),
        (
            "says why not",
            rule("") + template,
            alert("Other", node),
            0,
            "monitoring/down does not find NodeDown in Other",
        ),
        ("paused", rule("") + template + guard, alert("NodeDown", node), 0, "(gate pause)"),
        (
            "only observes",
            rule("  mode: Observe\n") + template,
            alert("NodeDown", node),
            0,
            "NodeDown Firing: Observes",
        ),
        ("no template", rule(""), alert("NodeDown", node), 1, "NoTemplate"),
        ("a parameter is missing", rule("") + template, alert("NodeDown", ""), 1, "BadTemplate"),
        (
            "a broken rule",
            rule("  repeat: {after: soon, limit: 1}\n") + template,
            alert("NodeDown", node),
            1,
            "BrokenRule",
        ),
    ];
    for (why, text, alert, want, part) in cases {
        let rules = files.write("rules.yaml", &text);
        let Told { code, out, err } = told(NOWHERE, &["rule", "test", "-f", &rules, "--alert", &alert]);
        assert!(code == want && out.contains(part), "{why}: {code}, no {part:?} in {out}{err}");
    }
    let bad = files.write("bad.json", r#"{"type": "X", "status": "Firing", "fingerprint": "f"}"#);
    let rules = files.write("rules.yaml", &(rule("") + template));
    let Told { code, err, .. } = told(NOWHERE, &["rule", "test", "-f", &rules, "--alert", &bad]);
    assert!(code == 1 && err.contains("involvedObject: found nothing"), "{code} {err}");
    let none = files.write("none.yaml", template);
    let Told { code, err, .. } = told(NOWHERE, &["rule", "test", "-f", &none, "--alert", &bad]);
    assert!(code == 2 && err.contains("no AegisAlertOpsRule in"), "{code} {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_alerts_are_replayed_as_they_were() {
    let sandbox = sandbox().await;
    let alert = |name: &str, type_: &str, status: Value| {
        json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": name},
            "spec": {
                "type": type_, "status": "Firing", "involvedObject": {"kind": "Node", "name": "dev1", "node": "dev1"},
                "detials": {"node": "dev1"},
            },
            "status": status,
        })
    };
    let path = "/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisalerts";
    let over =
        json!({"status": "Resolved", "opsStatus": {"triggerStatus": "RuleNotFound"}, "resolution": {"time": ago(1)}});
    stored(&sandbox, path, alert("a", "NodeHasEmergencyEvent", over)).await;
    stored(&sandbox, path, alert("b", "Unheard", json!({"status": "Firing"}))).await;
    let words = ["rule", "test", "-f", "examples/quickstart/rule.yaml", "--since", "24h", "-o", "json"];
    let Told { code, out, err } = told_by(&sandbox, &words).await;
    assert_eq!(code, 0, "{err}");
    let outcomes: Vec<Value> = serde_json::from_str(&out).unwrap();
    let told: Vec<String> = outcomes
        .iter()
        .map(|one| format!("{} {} {}", one["alert"], one["phase"], one["result"]).replace('"', ""))
        .collect();
    assert_eq!(told, ["a Firing Fires", "a Resolved Skipped", "b Firing Skipped"]);
    assert_eq!(outcomes[0]["object"]["metadata"]["namespace"], "monitoring");
    let Told { code, out, .. } = told_by(&sandbox, &["rule", "test", "--since", "24h"]).await;
    assert!(code == 0 && out.ends_with("3 in all: 3 Skipped\n"), "the cluster itself has no rule: {out}");
}
