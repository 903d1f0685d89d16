//! `kubectl aegis check` with the real binary: a cluster in memory that is well, each way in which it can fail, and the
//! test alert through a real controller.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and uses what it needs of the common modules"
)]

mod common;
#[path = "common/plugin.rs"]
mod plugin;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use aegis_sandbox::{Action, Match, Options, Rule, Sandbox, Verb};
use plugin::{Told, stored, told, told_by};
use serde_json::{Value, json};

const MONITORING: &str = "/api/v1/namespaces/monitoring";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/monitoring/deployments/aegis";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/monitoring/leases";
const GROUP: &str = "/apis/aegis.io/v1alpha1/namespaces/monitoring";

/// A controller's webhook as far as checks ask it; it says that Alertmanager got through so many times. Its address.
fn webhook(reports: u32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = format!(
        "aegis_build_info{{version=\"{}\"}} 1\naegis_webhook_answers_total{{route=\"/alertmanager/alert\",code=\"200\"}} {reports}\n",
        env!("CARGO_PKG_VERSION")
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") && stream.read_line(&mut request).unwrap() > 0 {}
            let body = if request.starts_with("GET /metrics") { metrics.as_str() } else { "ok" };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = write!(stream.get_mut(), "{head}{body}");
        }
    });
    format!("http://{address}")
}

async fn empty() -> Sandbox {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let namespaces = ["default", "monitoring", "argo"].map(str::to_owned).to_vec();
    Sandbox::start(Options { namespaces, ..Options::default() }).await.unwrap()
}

async fn send(sandbox: &Sandbox, method: http::Method, path: &str, body: Value) -> Result<Value, kube::Error> {
    let kind = if method == http::Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = http::Request::builder().method(method).uri(path).header("Content-Type", kind);
    sandbox.client_as("test").request(request.body(body.to_string().into_bytes()).unwrap()).await
}

async fn patch(sandbox: &Sandbox, path: &str, change: Value) {
    send(sandbox, http::Method::PATCH, path, change).await.unwrap();
}

/// Says of the Deployment that all of it runs.
fn ready() -> Value {
    json!({"status": {"observedGeneration": 9, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}})
}

fn argo_pod(name: &str, words: &[&str]) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "workflow-controller"}},
        "spec": {"nodeName": "elsewhere", "containers": [{"name": "main", "image": "workflow-controller:v3", "args": words}]}})
}

/// A cluster in which Aegis is installed and all is well, and the address of its webhook.
async fn well() -> (Sandbox, String) {
    let sandbox = empty().await;
    let Told { code, out, err } = told_by(&sandbox, &["install"]).await;
    assert_eq!(code, 0, "{out}{err}");
    patch(&sandbox, &format!("{DEPLOYMENT}/status"), ready()).await;
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "aegis-controller"},
        "spec": {"holderIdentity": "aegis-1", "leaseDurationSeconds": 600, "renewTime": jiff::Timestamp::now().to_string()}});
    stored(&sandbox, LEASES, lease).await;
    patch(&sandbox, &format!("{GROUP}/aegisguards/aegis/status"), json!({"status": {"status": "Recorded"}})).await;
    stored(&sandbox, "/api/v1/namespaces/argo/pods", argo_pod("workflow-controller-1", &[])).await;
    let is_ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    patch(&sandbox, "/api/v1/namespaces/argo/pods/workflow-controller-1/status", is_ready).await;
    (sandbox, webhook(3))
}

/// The exit code and the report.
async fn checked(sandbox: &Sandbox, words: &[&str]) -> (i32, Value) {
    let all: Vec<&str> = ["check", "-o", "json"].iter().chain(words).copied().collect();
    let Told { code, out, err } = told_by(sandbox, &all).await;
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{words:?}: {code} {out}{err}"));
    (code, report)
}

/// The finding of that name that is not fine.
fn flaw<'a>(report: &'a Value, family: &str, name: &str) -> &'a Value {
    let all = report["checks"].as_array().unwrap();
    let found = all.iter().find(|one| one["family"] == family && one["name"] == name && one["status"] != "ok");
    found.unwrap_or_else(|| panic!("{family} / {name} is fine: {report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_which_all_is_well_passes_and_is_only_read() {
    let (sandbox, url) = well().await;
    sandbox.requests().reset();
    let (code, report) = checked(&sandbox, &["--url", &url]).await;
    let odd: Vec<&Value> = report["checks"].as_array().unwrap().iter().filter(|one| one["status"] != "ok").collect();
    assert!(code == 0 && odd.is_empty(), "{code} {odd:#?}");
    let sent = sandbox.requests().matching(&Match::any().component("kubectl-aegis").writes());
    assert!(sent.iter().all(|entry| entry.request.group == "authorization.k8s.io"), "{sent:?}");
    let Told { code, out, .. } = told_by(&sandbox, &["check", "--url", &url]).await;
    assert!(code == 0 && out.contains("controller / leader") && out.contains("aegis-1 leads"), "{out}");
    let Told { code, out, .. } = told_by(&sandbox, &["check", "-o", "junit", "--url", &url]).await;
    assert!(code == 0 && out.contains("failures=\"0\" skipped=\"0\""), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_an_installation_only_what_it_takes_is_asked() {
    let sandbox = empty().await;
    let (code, report) = checked(&sandbox, &["--pre"]).await;
    assert_eq!((code, &report["summary"]["failed"]), (0, &json!(0)), "{report:#}");
    assert_eq!(flaw(&report, "argo", "controller")["status"], "warning", "Jobs need no Argo");

    let no = Rule::new(
        Match::any().component("kubectl-aegis").resource("clusterroles").verb(Verb::Patch),
        Action::Status(403, None),
    );
    let fault = sandbox.faults().add(no);
    let (code, report) = checked(&sandbox, &["--pre"]).await;
    fault.remove();
    let missing = flaw(&report, "rights", "you");
    assert!(code == 1 && missing["message"].as_str().unwrap().contains("patch on clusterroles"), "{report:#}");

    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "old", "labels": {"component": "aegis"}},
        "spec": {"containers": [{"name": "main", "image": "underdogs/aegis"}]}});
    stored(&sandbox, &format!("{MONITORING}/pods"), pod).await;
    let (code, report) = checked(&sandbox, &["--pre"]).await;
    let found = flaw(&report, "install", "in the way");
    assert!(code == 1 && found["remedy"].as_str().unwrap().contains("kubectl delete deployment aegis"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_by_the_exit_code() {
    let sandbox = empty().await;
    let (code, report) = checked(&sandbox, &[]).await;
    assert_eq!(code, 7, "{report:#}");
    assert_eq!(flaw(&report, "definitions", "schemas")["remedy"], "kubectl aegis install");
    assert_eq!(flaw(&report, "controller", "Deployment")["remedy"], "kubectl aegis install -n monitoring");
    assert!(flaw(&report, "webhook", "ready")["message"].as_str().unwrap().contains("no Service aegis:8080"));
    assert!(flaw(&report, "argo", "ServiceAccount")["message"].as_str().unwrap().contains("no ServiceAccount"));

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kubeconfig = sandbox.kubeconfig().replace(&sandbox.url(), &format!("http://{nobody}"));
    let run = move || told(&kubeconfig, &["check", "--request-timeout", "2s"]);
    let Told { code, err, .. } = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(code == 3 && err.contains("could not ask the API server its version"), "{code} {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_is_found_with_what_mends_it() {
    let (sandbox, url) = well().await;
    let lease = format!("{LEASES}/aegis-controller");
    let guard = format!("{GROUP}/aegisguards/aegis");
    let renewed = |time: &str| json!({"spec": {"renewTime": time, "leaseDurationSeconds": 15}});
    let workflow = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {}\n";
    let template = json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisOpsTemplate", "metadata": {"name": "t"}, "spec": {"manifest": workflow}});
    let rejected = json!([{"last": plugin::ago(60), "message": "type: found nothing"}]).to_string();
    let rejected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aegis-rejected"}, "data": {"rejected.json": rejected}});
    stored(&sandbox, &format!("{GROUP}/aegisopstemplates"), template).await;

    patch(&sandbox, &lease, renewed("2020-01-01T00:00:00.000000Z")).await;
    patch(&sandbox, &guard, json!({"metadata": {"annotations": {"aegis.io/pause": "network work"}}})).await;
    patch(&sandbox, &format!("{guard}/status"), json!({"status": {"breaker": {"state": "Open"}}})).await;
    stored(&sandbox, &format!("{MONITORING}/configmaps"), rejected).await;
    let another = json!({"metadata": {"labels": {"app": "another"}}});
    patch(&sandbox, "/api/v1/namespaces/argo/pods/workflow-controller-1", another).await;
    stored(&sandbox, "/api/v1/namespaces/argo/pods", argo_pod("workflow-controller-2", &["--namespaced"])).await;
    patch(&sandbox, &format!("{DEPLOYMENT}/status"), json!({"status": {"availableReplicas": 1}})).await;
    let binding = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/aegis-approval";
    send(&sandbox, http::Method::DELETE, binding, json!({})).await.unwrap();
    let rights =
        Match::any().component("system:serviceaccount:monitoring:aegis").resource("workflows").verb(Verb::Create);
    let fault = sandbox.faults().add(Rule::new(rights, Action::Status(403, None)));
    let (code, report) = checked(&sandbox, &["--url", &url]).await;
    fault.remove();
    assert_eq!(code, 1, "{report:#}");
    let cases = [
        (
            "rights",
            "ServiceAccount aegis",
            "failed",
            "create on workflows.argoproj.io in namespace monitoring",
            "kubectl aegis upgrade",
        ),
        ("controller", "Deployment", "failed", "1 of 2 replicas are ready", "kubectl describe pods"),
        ("controller", "leader", "failed", "nobody leads", "kubectl logs"),
        (
            "argo",
            "controller",
            "failed",
            "its controller is not ready",
            "kubectl describe pod workflow-controller-2 -n argo",
        ),
        ("guard", "pauses", "failed", "everything is paused", "kubectl aegis resume"),
        ("guard", "breaker", "failed", "it is open", "kubectl aegis guard"),
        ("admission", "aegis-approval", "warning", "approvals do not count", "kubectl aegis upgrade"),
        ("rejections", "last day", "failed", "1 kinds of report", "kubectl aegis alert rejected"),
    ];
    for (family, name, status, message, remedy) in cases {
        let found = flaw(&report, family, name);
        let word = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(word("status"), status, "{found:#}");
        assert!(word("message").contains(message) && word("remedy").starts_with(remedy), "{found:#}");
    }

    let is_ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    patch(&sandbox, "/api/v1/namespaces/argo/pods/workflow-controller-2/status", is_ready).await;
    patch(&sandbox, &format!("{guard}/status"), json!({"status": {"status": "Invalid"}})).await;
    let config = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "am"}, "stringData": {"alertmanager.yaml": "receivers: []\n"}});
    stored(&sandbox, &format!("{MONITORING}/secrets"), config).await;
    let quiet = webhook(0);
    let place = "secret/monitoring/am/alertmanager.yaml";
    let (_, report) = checked(&sandbox, &["--url", &quiet, "--alertmanager-config", place]).await;
    assert!(flaw(&report, "argo", "namespace")["message"].as_str().unwrap().contains("watches argo alone"));
    assert_eq!(flaw(&report, "guard", "policy")["message"], "it is invalid");
    assert!(flaw(&report, "alertmanager", "receiver")["message"].as_str().unwrap().contains("no receiver"));
    let (_, report) = checked(&sandbox, &["--url", &quiet]).await;
    assert_eq!(flaw(&report, "alertmanager", "receiver")["status"], "unknown", "nobody can tell");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_seen_is_unknown_and_never_fine() {
    let (sandbox, url) = well().await;
    let plugin = || Match::any().component("kubectl-aegis");
    let cases = [
        (
            plugin().resource("leases"),
            "controller",
            "leader",
            "get on leases.coordination.k8s.io in namespace monitoring",
        ),
        (
            plugin().resource("deployments"),
            "controller",
            "Deployment",
            "get on deployments.apps in namespace monitoring",
        ),
        (
            plugin().resource("subjectaccessreviews"),
            "rights",
            "ServiceAccount aegis",
            "create on subjectaccessreviews.authorization.k8s.io",
        ),
        (plugin().resource("aegisguards"), "guard", "policy", "get on aegisguards.aegis.io in namespace monitoring"),
        (plugin().resource("pods"), "argo", "controller", "list on pods in the whole cluster"),
        (plugin().resource("configmaps"), "rejections", "last day", "get on configmaps in namespace monitoring"),
        (
            plugin().resource("validatingadmissionpolicies"),
            "admission",
            "aegis-request",
            "get on validatingadmissionpolicies",
        ),
        (
            plugin().resource("serviceaccounts"),
            "argo",
            "ServiceAccount",
            "get on serviceaccounts in namespace monitoring",
        ),
    ];
    for (of, family, name, right) in cases {
        let fault = sandbox.faults().add(Rule::new(of, Action::Status(403, None)));
        let (code, report) = checked(&sandbox, &["--url", &url]).await;
        fault.remove();
        let found = flaw(&report, family, name);
        assert_eq!((code, &found["status"]), (4, &json!("unknown")), "{found:#}");
        assert!(found["missing"].as_str().unwrap().starts_with(right), "{found:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_waited_for_until_all_is_well() {
    let (sandbox, url) = well().await;
    patch(&sandbox, &format!("{DEPLOYMENT}/status"), json!({"status": {"availableReplicas": 0}})).await;
    let Told { code, out, err } = told_by(&sandbox, &["check", "--wait", "--timeout", "4s", "--url", &url]).await;
    assert!(
        code == 124 && err.contains("waiting: controller / Deployment") && out.contains("FAILED"),
        "{code} {out}{err}"
    );
    let words = ["check", "--wait", "--timeout", "60s", "--url", &url];
    let waits = told_by(&sandbox, &words);
    sandbox.requests().reset();
    let mended = async {
        while sandbox.requests().matching(&Match::any().component("kubectl-aegis").resource("leases")).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        patch(&sandbox, &format!("{DEPLOYMENT}/status"), ready()).await;
    };
    let (Told { code, out, err }, ()) = tokio::join!(waits, mended);
    assert!(code == 0 && !out.contains("FAILED"), "{code} {out}{err}");
}

/// A rule for every alert, and a template that needs nothing of it.
const CATCH_ALL: &str = "apiVersion: aegis.io/v1alpha1\nkind: AegisOpsTemplate\nmetadata: {name: all}\nspec:\n  manifest: |\n    \
    apiVersion: batch/v1\n    kind: Job\n    spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: x, command: [echo]}]}}}\n\
    ---\napiVersion: aegis.io/v1alpha1\nkind: AegisAlertOpsRule\nmetadata: {name: all}\nspec:\n  alertConditions: [{type: ., status: Firing}]\n  \
    opsTemplate: {kind: AegisOpsTemplate, name: all}\n";

#[test]
fn a_test_alert_goes_all_the_way_and_nothing_is_made_of_it() {
    let sandbox = common::Sandbox::start();
    let fire = || sandbox.told(&["check", "--fire-test", "-o", "json", "--timeout", "60s"]);
    let report = |said: &str| -> Value {
        let end = said.rfind('}').unwrap();
        serde_json::from_str(&said[..=end]).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    let hops = |report: &Value| -> Vec<String> {
        report["hops"].as_array().into_iter().flatten().map(|hop| hop["name"].as_str().unwrap().to_owned()).collect()
    };
    let of_test = |report: &Value| -> Vec<Value> {
        let all = report["checks"].as_array().unwrap().iter();
        all.filter(|one| one["family"] == "fire test").cloned().collect()
    };
    let (_, said) = fire();
    let first = report(&said);
    assert_eq!(hops(&first), ["accepted", "stored"], "{first:#}");
    assert!(of_test(&first)[0]["message"].as_str().unwrap().contains("no rule is for it"), "{first:#}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    std::fs::write(&file, CATCH_ALL).unwrap();
    let (code, said) = sandbox.told(&["rule", "apply", "-f", file_name(&file)]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = sandbox.told(&["template", "apply", "-f", file_name(&file)]);
    assert_eq!(code, 0, "{said}");
    let rehearsed = (0..50).map(|_| report(&fire().1)).find(|report| hops(report).len() == 4);
    let rehearsed = rehearsed.expect("the rule is taken up at once");
    assert_eq!(hops(&rehearsed), ["accepted", "stored", "matched", "rehearsed"]);
    let found = of_test(&rehearsed);
    assert!(found.len() == 1 && found[0]["status"] == "ok", "{found:#?}");
    assert_eq!(found[0]["message"], "rule monitoring/all took it, and nothing was made");

    let (_, jobs) = sandbox.told(&["get", "workflows", "-o", "name"]);
    assert!(!jobs.contains("job"), "{jobs}");
    let (_, alerts) = sandbox.told(&["get", "alerts", "-o", "name"]);
    assert!(!alerts.contains("aegisalert"), "the test alerts are removed: {alerts}");
    // The same alert without its mark is acted on: what was proven is the mark's doing.
    let (code, said) = sandbox.told(&["alert", "send", "AegisFireTest", "--object", "Check/fire-test"]);
    assert_eq!(code, 0, "{said}");
    let made = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        sandbox.told(&["get", "workflows", "-o", "name"]).1.contains("job")
    });
    assert!(made, "an alert without the mark leads to a Job");
}

fn file_name(path: &Path) -> &str {
    path.to_str().unwrap()
}
