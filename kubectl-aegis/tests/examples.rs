//! Every example of the manuals, run as it stands there: docs/cli.md has all of them, and another test keeps that page
//! equal to what --help prints. And those of the pages that people read first, of which the Chinese ones show the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Sandbox, repository};

/// What is not run here, by how it begins, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("kubectl aegis demo", "a test of its own runs it"),
    ("kubectl aegis sandbox", "it runs until it is interrupted; this very test runs in one"),
    ("export ", "what the sandbox prints is set already"),
    ("kubectl apply", "the real kubectl"),
    ("kubectl annotate", "the real kubectl"),
    ("kubectl get", "the real kubectl"),
    ("kubectl explain", "the real kubectl"),
    ("docker ", "another program"),
    ("kind ", "another program"),
    ("ctr ", "another program"),
    ("skopeo ", "another program"),
    ("curl ", "another program"),
];

/// The examples that do not end with 0, by how they begin, and why.
const OTHERWISE: &[(&str, i32, &str)] = &[
    ("kubectl aegis check --pre", 0, "that sandbox has all that it takes"),
    ("kubectl aegis check", 1, "the Deployment of that sandbox is stored and nothing runs it"),
    ("kubectl aegis plan NodeDown --node n1", 1, "no rule of that sandbox matches"),
    ("kubectl aegis sop run restart-pod", 5, "there is no such pod in that sandbox"),
];

/// What the pages that people read first have for names of their own, and what it is in that sandbox. Nothing runs a
/// Deployment there.
const FILLED: &[(&str, &str)] = &[
    ("NODE", "dev1"),
    ("ALERT", "default-nodedown-4vwzmc2dq5ylk"),
    ("kubectl aegis install --wait", "kubectl aegis install"),
];

#[test]
fn every_example_of_the_manuals_runs() {
    let page = std::fs::read_to_string(repository("docs/cli.md")).unwrap();
    let run = run_all(&examples(&page));
    assert!(run.is_none_or(|run| run > 20), "the page has examples: {run:?}");
}

#[test]
fn every_line_of_the_plugins_on_the_first_pages_runs() {
    for page in ["README.md", "docs/sops/README.md"] {
        let text = std::fs::read_to_string(repository(page)).unwrap();
        let ours = examples(&text).into_iter().filter(|line| line.starts_with("kubectl aegis "));
        let filled = |line: String| FILLED.iter().fold(line, |line, (word, is)| line.replace(word, is));
        let lines: Vec<String> = ours.map(filled).collect();
        let run = run_all(&lines);
        assert!(run.is_none_or(|run| run > 5), "{page} has examples: {run:?}");
    }
}

/// Runs those lines in a sandbox of their own, and says how many. None without a shell.
fn run_all(lines: &[String]) -> Option<usize> {
    if Command::new("sh").args(["-c", "true"]).status().is_err() {
        assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "sh is required here and was not found");
        eprintln!("skipped: no sh on the PATH");
        return None;
    }
    let sandbox = Sandbox::start();
    let folder = tempfile::tempdir().unwrap();
    for name in ["examples", "manifest"] {
        std::os::unix::fs::symlink(repository(name).canonicalize().unwrap(), folder.path().join(name)).unwrap();
    }
    prepare(&sandbox, folder.path());
    programs(folder.path());
    let mut failures = Vec::new();
    let mut run = 0;
    for line in lines {
        if NOT_RUN.iter().any(|(start, _)| line.starts_with(start)) {
            continue;
        }
        run += 1;
        let want = OTHERWISE.iter().find(|(start, _, _)| line.starts_with(start)).map_or(0, |(_, code, _)| *code);
        let goes_on = goes_on(line);
        let within = if goes_on { Duration::from_millis(800) } else { Duration::from_secs(30) };
        let (code, said) = sandbox.shell(line, folder.path(), within);
        let fine = code == Some(want) || (goes_on && code.is_none());
        if !fine {
            failures.push(format!("$ {line}\n{said}-> {code:?}, expected {want}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    Some(run)
}

/// Whether the command runs until it is interrupted.
fn goes_on(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    words.contains(&"-w")
        || line.starts_with("kubectl aegis check --wait")
        || words.contains(&"--follow")
        || (words.contains(&"logs") && words.contains(&"-f"))
        || (words.contains(&"top") && !words.contains(&"--once"))
}

/// The commands of the page's shell blocks, each on one line.
fn examples(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("  ")).collect()
}

/// What goes into images: a script, and programs that are static as far as their headers tell.
fn programs(folder: &Path) {
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(64, 0);
    program[18] = 62; // x86-64
    for name in ["sop/drain-gpu.sh", "root/bin/collect", "busybox", "kubectl-aegis"] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &program).unwrap();
    }
}

/// Rules, and alerts of the names that examples give: one that was acted on, one that waits for a person.
fn prepare(sandbox: &Sandbox, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kubeconfig = kube::config::Kubeconfig::read_from(sandbox.kubeconfig()).unwrap();
    runtime.block_on(async {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        // Of two nodes one may be out, unless somebody says otherwise.
        let both = serde_json::json!({"spec": {"budgets": {"nodesOut": {"percent": 100}}}});
        let guard = "/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisguards/aegis";
        for _ in 0..600 {
            let request = http::Request::patch(guard).header("Content-Type", "application/merge-patch+json");
            let request = request.body(both.to_string().into_bytes()).unwrap();
            if client.request_text(request).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let rules = std::fs::read_to_string(folder.join("examples/quickstart/rule.yaml")).unwrap();
        let down = rules.replace("NodeHasEmergencyEvent", "^NodeDown$").replace("nodehasemergencyevent", "nodedown");
        let down = down.replacen("spec:\n", "spec:\n  approval: Required\n", 1);
        let all = format!("{rules}\n---\n{down}");
        for object in serde_saphyr::from_multiple::<serde_json::Value>(&all).unwrap() {
            let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
            post(&client, &plural, object).await;
        }
        for (name, type_, node) in [
            ("default-nodehasemergencyevent-4vwzmc2dq5ylk", "NodeHasEmergencyEvent", "dev1"),
            ("default-nodedown-4vwzmc2dq5ylk", "NodeDown", "dev2"),
        ] {
            let alert = serde_json::json!({
                "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
                "metadata": {"name": name, "labels": {"alert-type": type_, "fingerprint": name}},
                "spec": {
                    "source": "default", "type": type_, "status": "Firing", "fingerprint": name,
                    "involvedObject": {"kind": "Node", "name": node, "node": node}, "detials": {"node": node},
                },
            });
            post(&client, "aegisalerts", alert).await;
        }
        let until = async |name: &str, part: &str| {
            let path = format!("/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisalerts/{name}");
            for _ in 0..600 {
                let request = http::Request::get(&path).body(Vec::new()).unwrap();
                if client.request_text(request).await.unwrap().contains(part) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("{name} never came to {part}");
        };
        until("default-nodehasemergencyevent-4vwzmc2dq5ylk", "\"alertOpsStatus\":\"Succeeded\"").await;
        until("default-nodedown-4vwzmc2dq5ylk", "NeedsApproval").await;
    });
}

async fn post(client: &kube::Client, plural: &str, object: serde_json::Value) {
    let path = format!("/apis/aegis.io/v1alpha1/namespaces/monitoring/{plural}");
    let request = http::Request::post(path).header("Content-Type", "application/json");
    client.request::<serde_json::Value>(request.body(object.to_string().into_bytes()).unwrap()).await.unwrap();
}
