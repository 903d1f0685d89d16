//! `rule` and `template`: lint, create, apply, delete, render, convert and report; logs, top and completion.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use aegis_sandbox::{Action, Match, Rule, Sandbox};
use plugin::{Told, ago, in_the_sandbox, sandbox, stored, told, told_by};
use serde_json::{Value, json};

const NOWHERE: &str = "apiVersion: v1\nkind: Config\n";
const GROUP: &str = "/apis/aegis.io/v1alpha1/namespaces/monitoring";

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_templates_are_applied_once_and_deleted() {
    let sandbox = sandbox().await;
    let apply: &[&str] = &["rule", "apply", "-f", "examples/quickstart/rule.yaml"];
    let template = "aegisopstemplate.aegis.io/nodehasemergencyevent";
    let rule = "aegisalertopsrule.aegis.io/nodehasemergencyevent";
    let Told { code, out, err } = told_by(&sandbox, &[apply, &["--dry-run=server"]].concat()).await;
    assert_eq!(
        (code, out),
        (0, format!("{template} created (server dry run)\n{rule} created (server dry run)\n")),
        "{err}"
    );
    assert_eq!(told_by(&sandbox, apply).await.out, format!("{template} created\n{rule} created\n"));
    assert_eq!(told_by(&sandbox, apply).await.out, format!("{template} unchanged\n{rule} unchanged\n"));
    let (code, told) = in_the_sandbox(&sandbox, &["rule", "delete", "nodehasemergencyevent", "none"]).await;
    assert!(
        code == 5
            && told.contains(&format!("{rule} deleted"))
            && told.contains("not found: aegisalertopsrule.aegis.io/none"),
        "{told}"
    );
    let folder = tempfile::tempdir().unwrap();
    let bad = "kind: AegisAlertOpsRule\napiVersion: aegis.io/v1alpha1\nmetadata: {name: bad}\nspec: {alertConditions: [], opsTemplate: {name: x}}\n";
    let bad = file(&folder, "bad.yaml", bad);
    let (code, told) = in_the_sandbox(&sandbox, &["rule", "apply", "-f", "examples/hpc", "-f", &bad]).await;
    assert!(code == 1 && told.contains("spec.alertConditions: found none"), "{code} {told}");
    let (_, told) = in_the_sandbox(&sandbox, &["get", "rules"]).await;
    assert!(told.contains("no rules in monitoring"), "nothing was written: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_says_which_alerts_it_acts_on() {
    let sandbox = sandbox().await;
    let alert = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": "a"},
        "spec": {
            "type": "NodeHasEmergencyEvent", "status": "Firing", "detials": {"node": "dev1"},
            "involvedObject": {"kind": "Node", "name": "dev1", "node": "dev1"},
        },
        "status": {"status": "Firing", "startTime": ago(60), "lastTime": ago(5), "count": 1,
                   "opsStatus": {"triggerStatus": "RuleNotFound"}, "verdict": {"reason": "NoRule", "message": "none"}},
    });
    stored(&sandbox, &format!("{GROUP}/aegisalerts"), alert).await;
    let words = ["rule", "apply", "-f", "examples/quickstart/rule.yaml", "--dry-run=client"];
    let Told { code, err, .. } = told_by(&sandbox, &words).await;
    assert!(code == 0 && err.contains("1 of the stored alerts that are open would be acted on: a"), "{code} {err}");
}

#[test]
fn lint_tells_what_is_wrong_and_what_may_not_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let rule = |name: &str, type_: &str, template: &str| {
        format!(
            "kind: AegisAlertOpsRule\nmetadata: {{name: {name}}}\nspec:\n  alertConditions: [{{type: '{type_}', status: Firing}}]\n  opsTemplate: {{name: {template}}}\n---\n"
        )
    };
    let good = "kind: AegisOpsTemplate\nmetadata: {name: t}\nspec:\n  manifest: |\n    apiVersion: batch/v1\n    kind: Job\n    spec: {template: {spec: {containers: []}}}\n";
    let overlap =
        file(&folder, "overlap.yaml", &(rule("a", "NodeDown", "t") + &rule("b", "NodeDownAgain", "t") + good));
    let Told { code, out, .. } = told(NOWHERE, &["rule", "lint", "-f", &overlap]);
    assert!(code == 0 && out.contains("warning: monitoring/a also matches alerts of monitoring/b"), "{code} {out}");
    assert_eq!(told(NOWHERE, &["rule", "lint", "--strict", "-f", &overlap]).code, 1);
    let broken = file(&folder, "broken.yaml", &(rule("a", "Node(", "none") + &rule("b", "X", "none") + good));
    let Told { code, out, .. } = told(NOWHERE, &["rule", "lint", "-f", &broken]);
    assert!(
        code == 1
            && out
                .contains("broken.yaml, document 1: aegisalertopsrule.aegis.io/a: error: spec.alertConditions[0].type"),
        "{out}"
    );
    assert!(out.contains("template monitoring/none is not among what was read"), "{out}");
    let verified =
        rule("a", "X", "t") + &good.replace("name: t", "name: check").replace("[]", "[{name: \"{{.device}}\"}]");
    let with = |template: &str| {
        let asked = format!("opsTemplate: {{name: t}}\n  verification: {{template: {template}, within: 5m}}");
        let text = verified.replace("opsTemplate: {name: t}", &asked) + "---\n" + good;
        told(NOWHERE, &["rule", "lint", "-f", &file(&folder, "verified.yaml", &text)])
    };
    let cases = [
        ("t", "", "the same parameters"),
        ("none", "spec.verification.template: template monitoring/none is not among what was read", "not there"),
        ("check", "spec.verification.template: template monitoring/check takes device, which", "one parameter more"),
    ];
    for (template, want, why) in cases {
        let Told { code, out, err } = with(template);
        assert!(code == 0 && out.contains(want) && out.is_empty() == want.is_empty(), "{why}: {code} {out}{err}");
    }
    let template = file(&folder, "template.yaml", &good.replace("kind: Job", "kind: Pod"));
    let Told { code, out, .. } = told(NOWHERE, &["template", "lint", "-f", &template, "-o", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &findings[0]["level"]), (1, &json!("error")));
}

#[test]
fn a_template_is_created_rendered_and_converted() {
    let folder = tempfile::tempdir().unwrap();
    let create =
        ["template", "create", "cordon", "--script", "kubectl cordon {{.node}}", "--dry-run=client", "-o", "yaml"];
    let Told { code, out, err } = told(NOWHERE, &create);
    assert_eq!(code, 0, "{err}");
    let template = file(&folder, "template.yaml", &out);
    let render = ["template", "render", "cordon", "-f", &template, "NodeDown", "--node", "n1"];
    let Told { code, out, err } = told(NOWHERE, &render);
    assert!(code == 0 && out.contains("kubectl cordon n1"), "{out}{err}");
    let workflow = file(&folder, "workflow.yaml", &out);
    let convert = ["template", "convert", "again", "-f", &workflow, "--parameter", "node=n1"];
    let Told { code, out, err } = told(NOWHERE, &convert);
    assert!(code == 0 && out.contains("kubectl cordon {{.node}}") && !out.contains("ownerReferences"), "{out}{err}");
    let again = file(&folder, "again.yaml", &out);
    let Told { out, .. } = told(NOWHERE, &["template", "render", "again", "-f", &again, "X", "--node", "n2"]);
    assert!(out.contains("kubectl cordon n2"), "{out}");
    let Told { code, err, .. } =
        told(NOWHERE, &["template", "render", "cordon", "-f", &template, "X", "--object", "Disk/sda"]);
    assert!(code == 1 && err.contains("node"), "a parameter is missing: {code} {err}");
    let Told { code, err, .. } =
        told(NOWHERE, &["template", "create", "x", "--script", "echo {{if}}", "--dry-run=client"]);
    assert!(code == 1 && err.contains("could not be used"), "{code} {err}");
}

/// Alerts of one type, each so many minutes after the first.
async fn storm(sandbox: &Sandbox, times: &[i64]) {
    for (nth, _) in times.iter().enumerate() {
        let node = format!("n{nth}");
        let alert = json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": format!("a-{nth}")},
            "spec": {
                "type": "NodeHasEmergencyEvent", "status": "Firing", "detials": {"node": node},
                "involvedObject": {"kind": "Node", "name": node, "node": node},
            },
        });
        stored(sandbox, &format!("{GROUP}/aegisalerts"), alert).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_what_a_rule_would_have_done_and_how_much_at_once() {
    let sandbox = sandbox().await;
    storm(&sandbox, &[0, 0, 0]).await;
    let folder = tempfile::tempdir().unwrap();
    let rule =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart/rule.yaml")).unwrap();
    let rule = file(&folder, "rule.yaml", &rule.replacen("spec:\n", "spec:\n  mode: Observe\n", 1));
    let words = ["rule", "report", "--since", "7d", "-f", &rule, "-o", "json"];
    let Told { code, out, err } = told_by(&sandbox, &words).await;
    assert_eq!(code, 0, "{err}");
    let report: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(report[0]["rule"], "monitoring/nodehasemergencyevent");
    assert_eq!((&report[0]["mode"], &report[0]["actions"]), (&json!("Observe"), &json!(3)), "{out}");
    assert_eq!((&report[0]["mostAtOnce"], &report[0]["targets"]), (&json!(3), &json!(3)));
    let Told { out, .. } = told_by(&sandbox, &words[..6]).await;
    assert!(
        out.contains("which only observes, is the rule of 3 alerts") && out.contains("at most 3, if each takes the 1h"),
        "{out}"
    );
    let nodes = Match::any().resource("nodes");
    sandbox.faults().add(Rule::new(nodes, Action::Status(403, None)));
    let Told { code, err, .. } = told_by(&sandbox, &words).await;
    assert!(code == 0 && err.contains("no gate looks at the nodes: could not list nodes (ask for a role"), "{err}");
    let (code, told) = in_the_sandbox(&sandbox, &["rule", "report", "none"]).await;
    assert!(code == 5 && told.contains("there is no rule monitoring/none"), "{code} {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_are_told_verbs_flags_and_live_names() {
    let sandbox = sandbox().await;
    storm(&sandbox, &[0]).await;
    let cases: [(&[&str], &str); 9] = [
        (&["ge"], "get\t"),
        (&["rule", ""], "test\t"),
        (&["get", "a"], "alerts\tAegisAlert"),
        (&["get", "alerts", ""], "a-0\tNodeHasEmergencyEvent Node/n0 Firing"),
        (&["trace", "a"], "a-0\t"),
        (&["get", "alert/"], "alert/a-0\t"),
        (&["get", "alerts", "--filter", "sev"], "severity=\t"),
        (&["get", "alerts", "--no"], "--no-headers\t"),
        (&["-n", "t"], "team-a"),
    ];
    for (words, want) in cases {
        let Told { code, out, err } = told_by(&sandbox, &[&["__complete"], words].concat()).await;
        assert!(code == 0 && out.lines().any(|line| line.starts_with(want)), "{words:?}: no {want:?} in {out}{err}");
        assert!(out.trim_end().ends_with(":4"), "{words:?}: {out}");
    }
    let Told { out, .. } = told_by(&sandbox, &["__complete", "rule", "test", "-f", ""]).await;
    assert_eq!(out, ":0\n", "a file is the shell's to complete");
    let Told { code, out, .. } = told(NOWHERE, &["__complete", "get", "alerts", ""]);
    assert_eq!((code, out.as_str()), (0, ":4\n"), "no cluster is no failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_those_of_the_alerts_steps() {
    let sandbox = sandbox().await;
    storm(&sandbox, &[0]).await;
    let (code, told) = in_the_sandbox(&sandbox, &["logs", "a-0"]).await;
    assert!(code == 5 && told.contains("nothing was made for a-0"), "{code} {told}");
    let client = sandbox.client_as("test");
    let get = http::Request::get(format!("{GROUP}/aegisalerts/a-0")).body(Vec::new()).unwrap();
    let alert: Value = client.request(get).await.unwrap();
    let container = json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]});
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "j", "labels": {"aegis.io/alert-uid": alert["metadata"]["uid"]}},
        "spec": {"template": {"spec": container}},
        "status": {"conditions": [{"type": "Complete", "status": "True"}]},
    });
    stored(&sandbox, "/apis/batch/v1/namespaces/monitoring/jobs", job).await;
    for name in ["j-1", "j-2"] {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"job-name": "j"}},
            "spec": {"containers": [{"name": "main", "image": "x"}]}, "status": {"phase": "Succeeded"},
        });
        stored(&sandbox, "/api/v1/namespaces/monitoring/pods", pod).await;
        sandbox.logs().append("monitoring", name, "main", &format!("one of {name}\ntwo\n"));
    }
    let Told { code, out, err } = told_by(&sandbox, &["logs", "alert/a-0", "--tail", "2"]).await;
    assert_eq!((code, out.as_str()), (0, "[j-1] one of j-1\n[j-1] two\n[j-2] one of j-2\n[j-2] two\n"), "{err}");
    assert_eq!(told_by(&sandbox, &["logs", "a-0", "--step", "j-2", "--tail", "1"]).await.out, "two\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_in_a_pipe_is_printed_once() {
    let sandbox = sandbox().await;
    storm(&sandbox, &[0, 0]).await;
    let Told { code, out, err } = told_by(&sandbox, &["top"]).await;
    assert!(code == 0 && out.starts_with("2 alerts in monitoring\nNAME ") && !out.contains('\u{1b}'), "{out}{err}");
    let Told { out, .. } = told_by(&sandbox, &["top", "alerts", "nodes", "--filter", "a-1", "--once"]).await;
    assert!(out.starts_with("1 alerts in monitoring\n") && out.contains("\n0 nodes"), "{out}");
}
