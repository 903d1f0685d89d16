//! `get`: what it shows of each kind, in each form, with how many requests, and how it fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use aegis_sandbox::{Action, Match, Options, Rule, Sandbox};
use plugin::{Told, ago, asked, in_the_sandbox, sandbox, stored, told_by};
use serde_json::{Value, json};

const DAY: i64 = 86_400;
const GROUP: &str = "/apis/aegis.io/v1alpha1/namespaces";

/// An alert that began so many days ago.
async fn alert(sandbox: &Sandbox, namespace: &str, name: &str, days: i64, more: Value) {
    let mut alert = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
        "metadata": {"name": name, "labels": {"alert-type": name}},
        "spec": {
            "type": "NodeDown", "status": "Firing", "severity": "critical", "source": "default",
            "involvedObject": {"kind": "Node", "name": "n1", "node": "n1"},
        },
        "status": {
            "status": "Firing", "count": 2, "startTime": ago(days * DAY), "lastTime": ago(days * DAY),
            "opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": "Succeeded"},
            "rule": {"namespace": "monitoring", "name": "down"},
        },
    });
    for (pointer, value) in more.as_object().unwrap() {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        alert.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    stored(sandbox, &format!("{GROUP}/{namespace}/aegisalerts"), alert).await;
}

/// Alerts, a rule, templates, a Job, a diagnosis, inspections and nodes.
async fn world() -> Sandbox {
    let crds = aegis_crds::definitions().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    let namespaces = ["default", "monitoring", "team-a"].map(String::from).to_vec();
    let nodes = ["n1", "n2"].map(String::from).to_vec();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sandbox = Sandbox::start(Options { crds, namespaces, nodes, ..Options::default() }).await.unwrap();
    alert(&sandbox, "monitoring", "old", 9, json!({"/status/status": "Resolved"})).await;
    let held = json!({
        "/spec/type": "PodStuck", "/spec/severity": "warning",
        "/spec/involvedObject": {"kind": "Pod", "namespace": "web", "name": "a-0", "node": "n2"},
        "/status/opsStatus": {"triggerStatus": "Held"},
        "/status/verdict": {"reason": "Paused", "message": "all is paused by ann"},
    });
    alert(&sandbox, "monitoring", "held", 3, held).await;
    alert(&sandbox, "monitoring", "odd\u{2d}text", 4, json!({"/spec/type": "Bell\u{1b}[2J", "/spec/severity": "info"}))
        .await;
    alert(&sandbox, "team-a", "other", 5, json!({})).await;
    let rule = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlertOpsRule", "metadata": {"name": "down"},
        "spec": {
            "alertConditions": [{"type": "NodeDown", "status": "Firing"}, {"type": "NodeUp", "status": "Resolved"}],
            "mode": "Observe", "opsTemplate": {"name": "cordon"},
        },
        "status": {"status": "Recorded", "triggerStatus": {"succeeded": 4, "failed": 1}},
    });
    stored(&sandbox, &format!("{GROUP}/monitoring/aegisalertopsrules"), rule).await;
    let template = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisOpsTemplate", "metadata": {"name": "cordon"},
        "spec": {"manifest": "apiVersion: batch/v1\nkind: Job\nspec: {}\n"},
        "status": {"status": "Invalid", "conditions": [{"type": "Valid", "status": "False", "message": "spec.manifest: bad"}]},
    });
    stored(&sandbox, &format!("{GROUP}/monitoring/aegisopstemplates"), template).await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "old-1", "labels": {
            "app.kubernetes.io/managed-by": "aegis", "aegis.io/alert": "old", "aegis.io/phase": "Firing",
        }},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}},
    });
    let jobs = "/apis/batch/v1/namespaces/monitoring/jobs";
    let mut foreign = job.clone();
    foreign["metadata"] = json!({"name": "foreign"});
    stored(&sandbox, jobs, job).await;
    stored(&sandbox, jobs, foreign).await;
    let diagnosis = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisDiagnosis", "metadata": {"name": "why"},
        "spec": {"object": {"kind": "Node", "name": "n1"}},
        "status": {"phase": "Completed", "result": {"failures": ["NotReady"], "warnings": []}},
    });
    stored(&sandbox, &format!("{GROUP}/monitoring/aegisdiagnosises"), diagnosis).await;
    let container = json!({"spec": {"containers": [{"name": "main", "image": "x"}]}});
    let check = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisNodeHealthCheck", "metadata": {"name": "n1-check"},
        "spec": {"node": "n1", "template": container},
        "status": {"status": "Succeeded", "results": {"disk": [
            {"item": "a", "status": true, "message": "sda is full"}, {"item": "b", "status": false},
        ]}},
    });
    stored(&sandbox, &format!("{GROUP}/monitoring/aegisnodehealthchecks"), check).await;
    sandbox.requests().reset();
    sandbox
}

/// Without the ages of what was just made.
fn ageless(text: &str) -> String {
    let young = |word: &str| {
        word.strip_suffix('s').is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
    };
    let lines = text
        .lines()
        .map(|line| line.split(' ').map(|word| if young(word) { "0s" } else { word }).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_a_table_from_at_most_two_requests() {
    let sandbox = world().await;
    let mut page = String::new();
    for words in [
        &["get", "alerts"][..],
        &["get", "alerts", "-o", "wide"],
        &["-A", "get", "aegisalerts"],
        &["get", "alert/held"],
        &["get", "alerts", "old", "held"],
        &["get", "alerts", "--no-headers", "-l", "alert-type=old"],
        &["get", "rules", "-o", "wide"],
        &["get", "templates", "-o", "wide"],
        &["get", "workflows"],
        &["get", "diagnoses"],
        &["get", "inspections"],
        &["get", "nodes", "-o", "wide"],
        &["get", "rules", "-n", "team-a"],
    ] {
        sandbox.requests().reset();
        let Told { code, out, err } = told_by(&sandbox, words).await;
        assert_eq!(code, 0, "{words:?}: {err}");
        let asked = asked(&sandbox);
        assert!(asked.len() <= 2, "{words:?} asked {asked:?}");
        assert!(!out.contains('\u{1b}'), "{words:?}: {out}");
        page.push_str(&format!("$ kubectl aegis {}\n{}\n{}\n", words.join(" "), ageless(&out), err.trim_end()));
    }
    insta::assert_snapshot!("tables", page);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_and_a_time_pick_what_is_shown() {
    let sandbox = world().await;
    let cases: [(&[&str], &str); 8] = [
        (&["--filter", "sev=critical"], "old"),
        (&["--filter", "!status=Resolved sev!=info"], "held"),
        (&["--filter", "age>3d age<8d"], "odd-text held"),
        (&["--filter", "n2"], "held"),
        (&["--filter", "\"paused by\""], "held"),
        (&["--since", "5d"], "held odd-text"),
        (&["--since", "5d", "--filter", "reason=Paused"], "held"),
        (&["--field-selector", "metadata.name=old"], "old"),
    ];
    for (flags, want) in cases {
        let words = [&["get", "alerts", "-o", "name"], flags].concat();
        let Told { code, out, err } = told_by(&sandbox, &words).await;
        let mut names: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("aegisalert.aegis.io/")).collect();
        let mut want: Vec<&str> = want.split(' ').collect();
        names.sort_unstable();
        want.sort_unstable();
        assert_eq!((code, names), (0, want), "{flags:?}: {err}");
    }
    let Told { code, out, err } = told_by(&sandbox, &["get", "alerts", "--filter", "sev=none"]).await;
    assert_eq!((code, out.as_str()), (0, ""));
    assert_eq!(err, "none of the 3 alerts in monitoring is meant by --filter and --since\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forms_for_programs_are_kubectls() {
    let sandbox = world().await;
    let out = async |words: &[&str]| {
        let Told { code, out, err } = told_by(&sandbox, words).await;
        assert_eq!(code, 0, "{words:?}: {err}");
        out
    };
    let one: Value = serde_json::from_str(&out(&["get", "alert", "held", "-o", "json"]).await).unwrap();
    assert_eq!((&one["kind"], &one["metadata"]["name"]), (&json!("AegisAlert"), &json!("held")));
    assert!(one["metadata"].get("managedFields").is_none());
    let list: Value = serde_json::from_str(&out(&["get", "nodes", "-o", "json"]).await).unwrap();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("List"), 2));
    assert_eq!(list["items"][0]["kind"], "Node", "a list of the core leaves it out");
    assert!(list["items"][0].get("aegis.io/open-alerts").is_none(), "what a table adds is not the object's");
    let empty: Value = serde_json::from_str(&out(&["get", "rules", "-n", "team-a", "-o", "json"]).await).unwrap();
    assert_eq!(empty["items"], json!([]));
    assert!(out(&["get", "rule/down", "-o", "yaml"]).await.contains("\nkind: AegisAlertOpsRule\n"));
    assert_eq!(out(&["get", "nodes", "-o", "name"]).await, "node/n1\nnode/n2\n");
    let path = "jsonpath={range .items[*]}{.metadata.name}={.spec.severity} {end}";
    assert_eq!(out(&["get", "alerts", "-o", path]).await, "held=warning odd-text=info old=critical ");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_fetched_until_the_last() {
    let sandbox = sandbox().await;
    for n in 0..7 {
        alert(&sandbox, "monitoring", &format!("a-{n}"), 1, json!({})).await;
    }
    sandbox.requests().reset();
    let Told { out, .. } = told_by(&sandbox, &["get", "alerts", "-o", "name", "--chunk-size", "3"]).await;
    assert_eq!((out.lines().count(), asked(&sandbox).len()), (7, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_it_fails_can_be_told_by_a_script() {
    let sandbox = world().await;
    let cases: [(&[&str], i32, &str); 9] = [
        (&["get", "pods"], 2, "expected one of alerts, rules"),
        (&["get", "alerts", "--filter", "colour=red"], 2, "--filter: found \"colour=red\", expected one of the fields"),
        (&["get", "alerts", "--since", "soon"], 2, "a length of time such as 30m, 2h or 7d"),
        (&["get", "alerts", "-o", "table2"], 2, "expected table, wide, json"),
        (&["get", "alerts", "--field-selector", "spec.type=x"], 2, "field"),
        (&["get", "alert/none"], 5, "alert not found: none"),
        (&["get", "alerts", "old", "none"], 5, "alert not found: none"),
        (&["get", "-A", "alert/old"], 2, "a name means an object of one namespace"),
        (&["get", "alert/old", "rule/down"], 2, "one kind at a time"),
    ];
    for (words, want, part) in cases {
        let (code, told) = in_the_sandbox(&sandbox, words).await;
        assert!(code == want && told.contains(part), "{words:?}: {code}, no {part:?} in {told}");
    }
    let refused = sandbox.faults().add(Rule::new(Match::any().resource("aegisalerts"), Action::Status(403, None)));
    let (code, told) = in_the_sandbox(&sandbox, &["get", "alerts"]).await;
    assert!(code == 4 && told.contains("could not list aegisalerts in monitoring"), "{code} {told}");
    let Told { code, out, err } = told_by(&sandbox, &["get", "nodes"]).await;
    assert!(code == 0 && out.contains("n1") && err.contains("the open alerts are not shown"), "{code} {out}{err}");
    refused.remove();
    let bare = Sandbox::start(Options { namespaces: vec!["monitoring".into()], argo: false, ..Options::default() });
    let bare = bare.await.unwrap();
    let (code, told) = in_the_sandbox(&bare, &["get", "alerts"]).await;
    assert!(code == 7 && told.contains("kubectl aegis install"), "{code} {told}");
    let (code, told) = in_the_sandbox(&bare, &["get", "workflows"]).await;
    assert!(code == 0 && told.contains("no workflows in monitoring"), "a cluster without Argo has none: {code} {told}");
    let (code, told) = in_the_sandbox(&bare, &["get", "nodes"]).await;
    assert_eq!(code, 0, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_a_timeout() {
    let sandbox = world().await;
    let held = sandbox.faults().add(Rule::new(Match::any().resource("aegisalerts"), Action::Hang));
    let (code, told) = in_the_sandbox(&sandbox, &["get", "alerts", "--request-timeout", "100ms"]).await;
    held.remove();
    assert_eq!(code, 124, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_what_changes_and_goes_on_after_the_server_forgot() {
    let sandbox = world().await;
    let watching = Match::any().verb(aegis_sandbox::Verb::Watch).resource("aegisalerts");
    sandbox.faults().add(Rule::new(watching.clone(), Action::Watch(2, aegis_sandbox::WatchBreak::Expire)).times(1));
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"))
        .args(["get", "alerts", "-w", "-o", "json", "--output-watch-events", "--filter", "!old"])
        .env("KUBECONFIG", &kubeconfig)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (lines, mut arriving) = tokio::sync::mpsc::unbounded_channel();
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let name = event["object"]["metadata"]["name"].as_str().unwrap().to_owned();
            let _ = lines.send(format!("{} {name}", event["type"].as_str().unwrap()));
        }
    });
    let mut next = async || arriving.recv().await.unwrap();
    assert_eq!([next().await, next().await], ["ADDED held", "ADDED odd-text"], "the list comes first, latest first");
    while sandbox.requests().count(&watching) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    alert(&sandbox, "monitoring", "new", 1, json!({})).await;
    assert_eq!([next().await, next().await], ["ADDED new", "MODIFIED new"], "made, then its status written");
    // By now the server has told it that it forgot.
    let client = sandbox.client_as("test");
    let delete = http::Request::delete(format!("{GROUP}/monitoring/aegisalerts/new")).body(Vec::new()).unwrap();
    client.request::<Value>(delete).await.unwrap();
    assert_eq!(next().await, "DELETED new");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130), "whoever ends it by Ctrl-C");
    reader.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_failure() {
    let sandbox = world().await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sandbox.kubeconfig()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"))
        .args(["get", "alerts", "-o", "yaml"])
        .env("KUBECONFIG", &kubeconfig)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flag_of_kubectl_holds_anywhere_on_the_line() {
    let sandbox = world().await;
    let url = sandbox.url();
    let nowhere = "apiVersion: v1\nkind: Config\n";
    let cases: [&[&str]; 3] = [
        &["-s", &url, "get", "alerts", "-o", "name"],
        &[
            "get",
            "--server",
            &url,
            "--token",
            "t",
            "alerts",
            "-o",
            "name",
            "--as",
            "ann",
            "--as-group=ops",
            "--as-uid",
            "7",
        ],
        &["get", "alerts", "-o", "name", "--insecure-skip-tls-verify", "--request-timeout=10s", "--server", &url],
    ];
    for words in cases {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let run = move || plugin::told(nowhere, &words.iter().map(String::as_str).collect::<Vec<_>>());
        let Told { code, out, err } = tokio::task::spawn_blocking(run).await.unwrap();
        assert_eq!((code, out.lines().count()), (0, 3), "{err}");
    }
    let (code, told) = in_the_sandbox(&sandbox, &["pause", "-A"]).await;
    assert!(code == 2 && told.contains("about one namespace"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_do_not_go_together_are_told() {
    let sandbox = world().await;
    let Told { code, out, err } = told_by(&sandbox, &["version"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let own = env!("CARGO_PKG_VERSION");
    assert!(out.starts_with(&format!("client       {own}\ncontroller   not to be seen: ")), "{out}");
    assert!(
        out.contains("\nkubernetes   v1.33.0+aegis-sandbox\ndefinitions  7 of 7 as this plugin knows them\n"),
        "{out}"
    );
    let bare = Sandbox::start(Options::default()).await.unwrap();
    let Told { code, err, .. } = told_by(&bare, &["version"]).await;
    assert!(code == 7 && err.contains("the cluster does not know AegisAlert"), "{code} {err}");
    let Told { code, out, .. } = told_by(&bare, &["version", "--client", "-o", "json"]).await;
    assert_eq!((code, out), (0, format!("{{\n  \"client\": \"{own}\"\n}}\n")));
}
