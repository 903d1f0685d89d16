//! The whole loop, as a user drives it: real processes, the real kubectl, the recorded bodies byte for byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;

use assert_cmd::Command;
use common::{Sandbox, repository};

fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}

/// A path as an argument.
fn path(path: &str) -> String {
    repository(path).display().to_string()
}

#[test]
fn the_demo_ends_by_itself_with_a_cordoned_node() {
    let folder = tempfile::tempdir().unwrap();
    let done = Command::cargo_bin("kubectl-aegis")
        .unwrap()
        .arg("demo")
        .env("HOME", folder.path())
        .env("KUBECONFIG", folder.path().join("none"))
        .assert()
        .success();
    let told = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    for part in [
        "rule      nodehasemergencyevent Recorded",
        "Firing Triggered Succeeded",
        "node/dev1 cordoned",
        "dev1 Ready,SchedulingDisabled",
    ] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "a pipe gets plain lines: {told}");
}

#[test]
fn the_watch_of_the_real_kubectl_shows_the_sequence_that_users_know() {
    let sandbox = Sandbox::start();
    let Some(kubectl) = sandbox.kubectl() else { return };
    let applied = kubectl.run(&["apply", "-f", &path("kubectl-aegis/tests/data/seed.yaml")]);
    assert_eq!(
        applied,
        "aegisalertopsrule.aegis.io/nodehasemergencyevent created\naegisopstemplate.aegis.io/nodehasemergencyevent created\n"
    );
    kubectl.until(&["get", "aegisalertopsrule"], "nodehasemergencyevent   Recorded");
    kubectl.until(&["get", "aegisopstemplate"], "nodehasemergencyevent   Recorded");

    // Once kubectl has shown an alert that was there before, nothing that comes later escapes its watch.
    let (ok, told) = sandbox.aegis(&["alert", "send", "Earlier", "--node", "dev2"]);
    assert!(ok, "{told}");
    let mut watch = kubectl.start(&["get", "aegisalert", "--watch"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("default-earlier-")));
    let (code, answer) = sandbox.post("/default/alert", data("seed-curl.json"));
    assert_eq!(code, 200, "{answer}");
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in lines {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if !words[0].starts_with("default-nodehasemergencyevent-") {
            continue;
        }
        let ended = words.contains(&"Succeeded".to_owned());
        rows.push(words);
        if ended {
            break;
        }
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    // Without the name, the age and repetitions of a row.
    let mut seen: Vec<String> = rows
        .iter()
        .map(|words| words[1..].iter().filter(|word| !is_age(word)).cloned().collect::<Vec<_>>().join(" "))
        .collect();
    seen.dedup();
    let first = "NodeHasEmergencyEvent Node dev1";
    assert_eq!(
        seen,
        [
            first.to_owned(),
            format!("{first} Firing 1 Triggered Pending"),
            format!("{first} Firing 1 Triggered Running"),
            format!("{first} Firing 1 Triggered Succeeded"),
        ]
    );

    let alert = &rows[0][0];
    kubectl.until(&["get", "node", "dev1"], "SchedulingDisabled");
    assert!(kubectl.run(&["get", "workflow"]).contains(alert.as_str()), "the Workflow's name begins with the alert's");
    let pods = kubectl.run(&["get", "pods", "-o", "name"]);
    let pod = pods.lines().find(|pod| pod.contains(alert.as_str())).expect("the pod's name begins with the alert's");
    assert_eq!(kubectl.run(&["logs", pod]), "node/dev1 cordoned\n");
    assert_eq!(sandbox.stand_in(&["logs", pod, "-n", "monitoring"]), (true, "node/dev1 cordoned\n".to_owned()));
    kubectl.until(&["get", "aegisopstemplate"], "Recorded   1");
}

#[test]
fn recorded_alertmanager_bodies_drive_the_loop() {
    let sandbox = Sandbox::start();
    let Some(kubectl) = sandbox.kubectl() else { return };
    kubectl.run(&["apply", "-f", &path("examples/quickstart/rule.yaml")]);
    // Of two nodes one may be out, unless somebody says otherwise.
    kubectl.until(&["get", "aegisguard"], "Recorded");
    let both = r#"{"spec": {"budgets": {"nodesOut": {"percent": 100}}}}"#;
    kubectl.run(&["patch", "aegisguard", "aegis", "--type=merge", "-p", both]);
    for name in ["alertmanager-0.31-1.json", "alertmanager-0.31-2.json"] {
        let (code, answer) = sandbox.post("/alertmanager/alert", data(name));
        assert_eq!(code, 200, "{name}: {answer}");
    }
    kubectl.until(&["get", "node", "dev1"], "SchedulingDisabled");
    kubectl.until(&["get", "node", "dev2"], "SchedulingDisabled");
    kubectl.until(&["get", "aegisalert", "-l", "alert-type=PodCrashLooping"], "RuleNotFound");
    kubectl.until(&["get", "aegisalert", "-l", "fingerprint=0effba0cd51bfc13"], "Succeeded");
    let (code, answer) = sandbox.post("/alertmanager/alert", data("alertmanager-0.31-3.json"));
    assert_eq!(code, 200, "{answer}");
    kubectl.until(&["get", "aegisalert", "-l", "fingerprint=0effba0cd51bfc13"], "Resolved   1");
    kubectl.until(&["get", "aegisalert", "-l", "fingerprint=c223747b24aa2654"], "Firing   2");
    assert_eq!(kubectl.run(&["get", "workflow", "-o", "name"]).lines().count(), 2, "one for each node");
}

#[test]
fn the_hpc_example_takes_a_node_out_and_back_in() {
    let sandbox = Sandbox::start();
    let Some(kubectl) = sandbox.kubectl() else { return };
    kubectl.run(&["apply", "-f", &path("examples/hpc/rules.yaml")]);
    let send = |file: &str| {
        let (ok, told) = sandbox.aegis(&["alert", "send", "-f", &path(file)]);
        assert!(ok, "{told}");
    };
    send("examples/hpc/nodecriticalissue.json");
    kubectl.until(&["get", "node", "dev1"], "SchedulingDisabled");
    send("examples/hpc/nodecriticalissuedisappeared.json");
    kubectl.until(&["get", "aegisalert", "-l", "alert-type=NodeCriticalIssueDisappeared"], "Succeeded");
    assert!(!kubectl.run(&["get", "node", "dev1"]).contains("SchedulingDisabled"));
}

#[test]
fn a_privileged_container_is_shown_and_never_run() {
    let sandbox = Sandbox::start();
    let Some(kubectl) = sandbox.kubectl() else { return };
    kubectl.run(&["apply", "-f", &path("examples/dropcache/rule.yaml")]);
    let (ok, told) = sandbox.aegis(&["alert", "send", "-f", &path("examples/dropcache/alert.json")]);
    assert!(ok, "{told}");
    kubectl.until(&["get", "aegisalert"], "Succeeded");
    let pods = kubectl.run(&["get", "pods", "-o", "wide"]);
    assert!(pods.contains("dev1") && !pods.contains("dev2"), "the pod is pinned to the alert's node: {pods}");
    let pod = kubectl.run(&["get", "pods", "-o", "name"]);
    let log = kubectl.run(&["logs", pod.trim()]);
    assert!(log.contains("echo 3 > /proc/sys/vm/drop_caches"), "its script is its log: {log}");
    assert!(!log.contains("MemFree:"), "it was not run: {log}");
}

/// A length of time as kubectl shows it.
fn is_age(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.ends_with(['s', 'm'])
}
