//! The plugin as the real kubectl finds, calls and completes it, beside what kubectl itself says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::Sandbox;

#[test]
fn kubectl_finds_calls_and_completes_the_plugin() {
    let sandbox = Sandbox::start();
    let Some(kubectl) = sandbox.kubectl() else { return };
    for node in ["dev1", "dev2"] {
        let (ok, told) = sandbox.aegis(&["alert", "send", "Unheard", "--node", node]);
        assert!(ok, "{told}");
    }
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-aegis"), bin.path().join("kubectl-aegis")).unwrap();
    let run = |words: &[&str]| {
        let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
        let done = Command::new("kubectl")
            .args(words)
            .env("PATH", path)
            .env("KUBECONFIG", sandbox.kubeconfig())
            .env("HOME", bin.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        (done.status.code(), told)
    };

    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (code, ours) = run(&["aegis", "get", "alerts", "-o", "name"]);
    assert_eq!((code, lines(&ours)), (Some(0), lines(&kubectl.run(&["get", "aegisalerts", "-o", "name"]))));
    let path = "-o=jsonpath={.items[*].spec.involvedObject.name}";
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
    let (_, ours) = run(&["aegis", "get", "alerts", path]);
    assert_eq!(words(&ours), words(&kubectl.run(&["get", "aegisalerts", path])));

    let (code, told) = run(&["aegis", "get", "pods"]);
    assert_eq!(code, Some(2), "kubectl passes the exit code on: {told}");

    let folder = bin.path().display().to_string();
    let (code, told) = run(&["aegis", "completion", "install", "--folder", &folder]);
    assert!(code == Some(0) && told.contains("kubectl completes the words of this plugin"), "{told}");
    let (_, told) = run(&["__complete", "aegis", "trace", ""]);
    assert!(told.contains("\tUnheard Node/dev1 Firing"), "live names with how they stand: {told}");
}
