//! The library of procedures as people use it: installed, asked for, followed to its end, in a sandbox where unprivileged
//! steps really run and what would touch a node is only ever shown.
#![cfg(unix)]
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and uses what it needs of the common module"
)]

mod common;

use std::time::{Duration, Instant};

use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisOpsTemplate};
use common::Sandbox;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::json;

const NAMESPACE: &str = "monitoring";
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks for a procedure and waits; fails the test unless it succeeds. What was said.
fn done(sandbox: &Sandbox, words: &[&str]) -> String {
    let all: Vec<&str> = [words, &["--reason", "a test", "--wait", "--timeout", "60s"]].concat();
    let (code, told) = sandbox.told(&all);
    assert_eq!(code, 0, "{words:?}: {told}");
    assert!(told.contains(" created\n") && told.contains(" succeeded\n"), "{words:?}: {told}");
    told
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Asks again until there is an answer.
async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "not seen: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a pod in the namespace default, as part of one of these kinds if any is named.
async fn run_pod(client: &Client, name: &str, node: &str, owner: Option<&str>) -> Api<Pod> {
    let mut owners = Vec::new();
    if let Some(kind) = owner {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
        let labels = json!({"app": name});
        let containers = json!([{"name": "main", "image": "web:1"}]);
        let whole = json!({
            "metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}},
        });
        let made = api.create(&PostParams::default(), &serde_json::from_value(whole).unwrap()).await.unwrap();
        let uid = made.metadata.uid;
        owners.push(json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true}));
    }
    let pod = json!({
        "metadata": {"name": name, "ownerReferences": owners},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [
            {"name": "main", "image": "web:1", "command": ["sh", "-c", "sleep 600"]}]},
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    pods
}

async fn is_cordoned(client: &Client, node: &str) -> bool {
    let node = Api::<Node>::all(client.clone()).get(node).await.unwrap();
    node.spec.unwrap_or_default().unschedulable == Some(true)
}

/// The logs of the pods that a procedure made, by the template that each was made from.
fn log(sandbox: &Sandbox, client: &Client, runtime: &tokio::runtime::Runtime, sop: &str) -> String {
    let alerts: Api<AegisAlert> = Api::namespaced(client.clone(), NAMESPACE);
    let found = runtime.block_on(alerts.list(&ListParams::default().labels(&format!("sop={sop}")))).unwrap().items;
    let action = found.last().unwrap().status.clone().unwrap().actions.last().unwrap().name.clone();
    let of_action = ListParams::default().labels(&format!("workflows.argoproj.io/workflow={action}"));
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pods = runtime.block_on(pods.list(&of_action)).unwrap().items;
    pods.iter().map(|pod| sandbox.stand_in(&["logs", &pod.name_any(), "-n", NAMESPACE]).1).collect()
}

#[test]
fn the_library_is_told_of_without_a_cluster() {
    let pages: [(&str, &[&str]); 9] = [
        ("sop", &["sop", "--help"]),
        ("sop_list", &["sop", "list", "--help"]),
        ("sop_show", &["sop", "show", "--help"]),
        ("sop_install", &["sop", "install", "--help"]),
        ("sop_run", &["sop", "run", "--help"]),
        ("cordon", &["cordon", "--help"]),
        ("uncordon", &["uncordon", "--help"]),
        ("the_list", &["sop", "list"]),
        ("drain", &["sop", "show", "drain"]),
    ];
    for (name, words) in pages {
        let mut plugin = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"));
        let done = plugin.args(words).env_remove("COLUMNS").env("KUBECONFIG", "/no/such/file").output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        insta::assert_snapshot!(name, String::from_utf8(done.stdout).unwrap());
    }
}

#[test]
fn a_node_is_taken_out_and_back_in_with_who_asked_and_why() {
    let sandbox = Sandbox::start();
    let (code, told) = sandbox.told(&["sop", "install", "cordon", "uncordon"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("aegisopstemplate.aegis.io/sop-cordon serverside-applied\n"), "{told}");
    let runtime = runtime();
    let client = runtime.block_on(sandbox.client());
    done(&sandbox, &["cordon", "node/dev1"]);
    assert!(runtime.block_on(is_cordoned(&client, "dev1")));
    let alerts: Api<AegisAlert> = Api::namespaced(client.clone(), NAMESPACE);
    let alert = runtime.block_on(alerts.list(&ListParams::default())).unwrap().items.remove(0);
    assert_eq!(alert.annotations()["aegis.io/request"], "sandbox: a test");
    assert_eq!(alert.spec.source, "manual");
    let (_, told) = sandbox.told(&["get", "alerts"]);
    assert!(told.contains("Resolved") && told.contains("Succeeded"), "a request that is done does not fire: {told}");
    // It is written down on the node, and so it is ours to lift.
    done(&sandbox, &["uncordon", "dev1"]);
    assert!(!runtime.block_on(is_cordoned(&client, "dev1")));
    done(&sandbox, &["cordon", "no/dev2", "--for", "90m"]);
    let shown = async || {
        let (code, told) = sandbox.told(&["get", "node", "dev2", "-o", "wide"]);
        assert_eq!(code, 0, "{told}");
        let node = Api::<Node>::all(client.clone()).get("dev2").await.unwrap();
        let text = node.annotations().get("aegis.io/changes")?;
        let end = serde_json::from_str::<serde_json::Value>(text).unwrap()[0]["expires"].as_str()?.to_owned();
        assert!(told.contains(&end), "{end}: {told}");
        let alert = serde_json::from_str::<serde_json::Value>(text).unwrap()[0]["alert"].as_str()?.to_owned();
        let (code, told) = sandbox.told(&["trace", &format!("alert/{alert}")]);
        assert!(code == 0 && told.contains(&format!("until {end}")), "{end}: {told}");
        Some(())
    };
    runtime.block_on(until("until when is shown", shown));
    let undone = async || {
        let (code, told) = sandbox.told(&["undo", "node/dev2"]);
        assert_eq!(code, 0, "{told}");
        (!is_cordoned(&client, "dev2").await).then_some(())
    };
    runtime.block_on(until("the cordon is put back", undone));
}

#[test]
fn what_would_touch_a_node_is_shown_on_that_node_and_never_run() {
    let sandbox = Sandbox::start();
    let names = ["collect-diagnostics", "drop-caches", "reset-gpu", "restart-kubelet", "restart-runtime"];
    let (code, told) = sandbox.told(&[&["sop", "install"], &names[..]].concat());
    assert_eq!(code, 0, "{told}");
    let runtime = runtime();
    let client = runtime.block_on(sandbox.client());
    let shown = [
        ("journalctl", "[load]\n"),
        ("sysctl -w vm.drop_caches", "MemFree was 1"),
        ("nvidia-smi --gpu-reset", "finds no GPU at all"),
        ("systemctl restart", "kubelet is active\n"),
        ("systemctl restart", "containerd is active\n"),
    ];
    for (name, (part, ran)) in names.into_iter().zip(shown) {
        done(&sandbox, &["sop", "run", name, "--node", "dev1"]);
        let log = log(&sandbox, &client, &runtime, name);
        assert!(log.contains(part) && !log.contains(ran), "{name}: {log}");
        let ready = name.starts_with("restart-");
        assert_eq!(log.contains("node dev1 is ready"), ready, "{name}: an unprivileged step runs: {log}");
    }
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    for pod in runtime.block_on(pods.list(&ListParams::default())).unwrap().items {
        let spec = pod.spec.unwrap();
        let context = spec.containers[0].security_context.clone().unwrap();
        assert!(context.privileged != Some(true) || spec.node_name.as_deref() == Some("dev1"));
    }
}

#[test]
fn pods_are_moved_restarted_and_cleared_away() {
    let sandbox = Sandbox::start();
    let (code, told) = sandbox.told(&["sop", "install", "drain", "restart-pod", "delete-stuck-pod", "uncordon"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("clusterrolebinding.rbac.authorization.k8s.io/aegis-sop-drain serverside-applied"), "{told}");
    assert!(told.contains("only where --action.service-accounts lists it"), "{told}");
    let runtime = runtime();
    let client = runtime.block_on(sandbox.client());

    let pods = runtime.block_on(run_pod(&client, "web-0", "dev1", Some("ReplicaSet")));
    runtime.block_on(run_pod(&client, "lonely", "dev1", None));
    runtime.block_on(run_pod(&client, "agent", "dev1", Some("DaemonSet")));
    runtime.block_on(run_pod(&client, "web-1", "dev2", Some("ReplicaSet")));
    let names = || {
        let mut names: Vec<String> = runtime
            .block_on(pods.list(&ListParams::default()))
            .unwrap()
            .items
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        names.sort();
        names
    };

    // Nobody would make it again.
    let (code, told) = sandbox.told(&[
        "sop",
        "run",
        "restart-pod",
        "--pod",
        "default/lonely",
        "--reason",
        "x",
        "--wait",
        "--timeout",
        "60s",
    ]);
    assert!(code == 1 && told.contains("refused: pod default/lonely has no controller"), "{code} {told}");
    done(&sandbox, &["sop", "run", "restart-pod", "--pod", "default/web-1", "--param", "gracePeriod=0"]);
    assert_eq!(names(), ["agent", "lonely", "web-0"]);

    // The lonely one holds the drain up, unless that is accepted.
    let drain = ["sop", "run", "drain", "--node", "dev1", "--reason", "x", "--wait", "--timeout", "60s"];
    let (code, told) = sandbox.told(&drain);
    assert!(code == 1 && told.contains("default/lonely"), "{code} {told}");
    assert!(runtime.block_on(is_cordoned(&client, "dev1")), "it stays out");
    let (code, told) = sandbox.told(&["resume", "node/dev1"]);
    assert_eq!(code, 0, "{told}");
    done(&sandbox, &["sop", "run", "drain", "--node", "dev1", "--param", "force=true", "--param", "gracePeriod=0"]);
    assert_eq!(names(), ["agent"]);

    // What is cleared away by force must have been deleted before: here every pod that is ends in time.
    let (code, told) = sandbox.told(&[
        "sop",
        "run",
        "delete-stuck-pod",
        "--pod",
        "default/agent",
        "--reason",
        "x",
        "--wait",
        "--timeout",
        "60s",
    ]);
    assert!(code == 1 && told.contains("nobody has deleted pod default/agent"), "{code} {told}");
    assert_eq!(names(), ["agent"]);
}

#[test]
fn a_node_that_restarts_is_drained_before_and_taken_back_in_after() {
    let sandbox = Sandbox::start();
    let (code, told) = sandbox.told(&["sop", "install", "reboot"]);
    assert_eq!(code, 0, "{told}");
    let runtime = runtime();
    let client = runtime.block_on(sandbox.client());
    let nodes: Api<Node> = Api::all(client.clone());
    let boot = async |id: &str| {
        let status = json!({"status": {"nodeInfo": {"bootID": id}}});
        nodes.patch_status("dev1", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    };
    runtime.block_on(boot("boot-1"));
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| done(&sandbox, &["sop", "run", "reboot", "--node", "dev1"]));
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let on_the_node = async || {
            let all = pods.list(&ListParams::default()).await.unwrap().items;
            all.into_iter().find(|pod| {
                let ended = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded");
                ended && pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some("dev1")
            })
        };
        let step = runtime.block_on(until("the step on the node has ended", on_the_node));
        assert!(runtime.block_on(is_cordoned(&client, "dev1")), "it was drained before");
        let log = sandbox.stand_in(&["logs", &step.name_any(), "-n", NAMESPACE]).1;
        assert!(log.contains("shutdown -r +1") && !log.contains("restarts in a minute;\n"), "{log}");
        runtime.block_on(boot("boot-2"));
        asked.join().unwrap();
    });
    assert!(!runtime.block_on(is_cordoned(&client, "dev1")), "it is taken back in");
}

#[test]
fn an_alert_leads_to_a_procedure_once_its_rule_no_longer_only_observes() {
    let sandbox = Sandbox::start();
    let (code, told) = sandbox.told(&["sop", "install", "cordon", "--rule"]);
    assert_eq!(code, 0, "{told}");
    let runtime = runtime();
    let client = runtime.block_on(sandbox.client());
    let alerts: Api<AegisAlert> = Api::namespaced(client.clone(), NAMESPACE);
    let send = |fingerprint: &str| {
        let words = ["alert", "send", "NodeCriticalIssue", "--node", "dev1", "--fingerprint", fingerprint];
        let (code, told) = sandbox.told(&words);
        assert_eq!(code, 0, "{told}");
    };
    let stands = async |fingerprint: &str, words: &[&str]| {
        until(&format!("{fingerprint}: {words:?}"), async || {
            let found =
                alerts.list(&ListParams::default().labels(&format!("fingerprint={fingerprint}"))).await.unwrap();
            let status = serde_json::to_string(&found.items.first()?.status).unwrap();
            words.iter().all(|word| status.contains(word)).then_some(())
        })
        .await;
    };
    send("one");
    runtime.block_on(stands("one", &["Observed"]));
    assert!(!runtime.block_on(is_cordoned(&client, "dev1")));
    let rules: Api<AegisAlertOpsRule> = Api::namespaced(client.clone(), NAMESPACE);
    let act = Patch::Merge(json!({"spec": {"mode": null}}));
    runtime.block_on(rules.patch("sop-cordon-on-alert", &PatchParams::default(), &act)).unwrap();
    send("two");
    runtime.block_on(stands("two", &["Succeeded"]));
    assert!(runtime.block_on(is_cordoned(&client, "dev1")));
}

#[test]
fn what_cannot_be_asked_for_is_told_with_the_remedy() {
    let sandbox = Sandbox::start();
    let run = ["sop", "run", "cordon", "--node", "dev1", "--reason", "x"];
    let (code, told) = sandbox.told(&run);
    assert!(code == 5 && told.contains("kubectl aegis sop install cordon -n monitoring"), "{code} {told}");
    let (code, told) = sandbox.told(&["sop", "install", "cordon", "--dry-run=client"]);
    assert!(code == 0 && told.contains("sop-cordon serverside-applied (dry run)"), "{code} {told}");
    let (code, _) = sandbox.told(&run);
    assert_eq!(code, 5, "nothing was installed");
    let (code, told) = sandbox.told(&["sop", "install", "cordon", "restart-pod"]);
    assert_eq!(code, 0, "{told}");

    let cases: [(&str, &[&str], i32, &str); 10] = [
        ("no reason", &["sop", "run", "cordon", "--node", "dev1"], 2, "--reason"),
        ("an empty one", &["sop", "run", "cordon", "--node", "dev1", "--reason", " "], 2, "say why"),
        ("no such procedure", &["sop", "install", "fly"], 5, "it has collect-diagnostics, cordon"),
        ("no such node", &["cordon", "node/dev9", "--reason", "x"], 5, "there is no node \"dev9\""),
        ("not a node", &["cordon", "pod/x", "--reason", "x"], 2, "expected node/NAME"),
        ("for no time", &["cordon", "node/dev1", "--reason", "x", "--for", "a while"], 2, "such as"),
        (
            "nothing that ends",
            &["sop", "run", "restart-pod", "--pod", "default/x", "--reason", "x", "--for", "2h"],
            2,
            "restart-pod leaves no cordon",
        ),
        ("it is about a pod", &["sop", "run", "restart-pod", "--node", "dev1", "--reason", "x"], 2, "--pod"),
        (
            "no such parameter",
            &["sop", "run", "restart-pod", "--pod", "default/x", "--reason", "x", "--param", "force=true"],
            2,
            "it has gracePeriod",
        ),
        (
            "a value that would be an option",
            &["sop", "run", "restart-pod", "--pod", "default", "--reason", "x"],
            2,
            "expected NAMESPACE/NAME",
        ),
    ];
    for (why, words, want, part) in cases {
        let (code, told) = sandbox.told(words);
        assert!(code == want && told.contains(part), "{why}: {code} {told}");
    }

    let runtime = runtime();
    let client = runtime.block_on(sandbox.client());
    let alerts: Api<AegisAlert> = Api::namespaced(client.clone(), NAMESPACE);
    for dry_run in ["--dry-run=client", "--dry-run=server"] {
        let (code, told) = sandbox.told(&[&run[..], &[dry_run]].concat());
        assert!(code == 0 && told.contains("aegis.io/request: 'sandbox: x'") | told.contains("sandbox: x"), "{told}");
    }
    assert!(runtime.block_on(alerts.list(&ListParams::default())).unwrap().items.is_empty());

    // Held, and told so.
    let (code, told) = sandbox.told(&["pause", "--reason", "network work"]);
    assert_eq!(code, 0, "{told}");
    let (code, told) = sandbox.told(&[&run[..], &["--wait", "--timeout", "2s"]].concat());
    assert!(code == 124 && told.contains("Paused") && told.contains("network work"), "{code} {told}");

    // Another rule would take it.
    let rule: AegisAlertOpsRule = serde_json::from_value(json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlertOpsRule", "metadata": {"name": "all"},
        "spec": {"priority": 2000, "alertConditions": [{"type": ".", "status": "Firing"}], "opsTemplate": {"name": "sop-restart-pod"}},
    }))
    .unwrap();
    let rules: Api<AegisAlertOpsRule> = Api::namespaced(client.clone(), NAMESPACE);
    runtime.block_on(rules.create(&PostParams::default(), &rule)).unwrap();
    let (code, told) = sandbox.told(&run);
    assert!(code == 6 && told.contains("the rule monitoring/all would take it"), "{code} {told}");
    let templates: Api<AegisOpsTemplate> = Api::namespaced(client, NAMESPACE);
    assert_eq!(runtime.block_on(templates.list(&ListParams::default())).unwrap().items.len(), 2);
}
