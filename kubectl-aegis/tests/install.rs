//! Installing, upgrading and uninstalling with the real binary, against an API server in memory: what is there afterwards,
//! and that nothing is written where something stands in the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use std::time::Duration;

use aegis_sandbox::{Action, Match, Options, Rule, Sandbox};
use plugin::{Told, stored, told_by};
use serde_json::{Value, json};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/monitoring/deployments/aegis";
const ALERTS: &str = "/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisalerts";
const JOBS: &str = "/apis/batch/v1/namespaces/monitoring/jobs";

/// An API server that does not know Aegis.
async fn empty() -> Sandbox {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let namespaces = vec!["default".to_owned(), "ops".to_owned()];
    Sandbox::start(Options { namespaces, ..Options::default() }).await.unwrap()
}

/// One in which Aegis is installed; its controller does not run.
async fn installed() -> Sandbox {
    let sandbox = empty().await;
    let Told { code, out, err } = told_by(&sandbox, &["install"]).await;
    assert_eq!(code, 0, "{out}{err}");
    sandbox
}

async fn read(sandbox: &Sandbox, path: &str) -> Option<Value> {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    sandbox.client_as("test").request(request).await.ok()
}

async fn patch(sandbox: &Sandbox, path: &str, patch: Value) {
    let request = http::Request::patch(path).header("Content-Type", "application/merge-patch+json");
    let request = request.body(patch.to_string().into_bytes()).unwrap();
    sandbox.client_as("test").request::<Value>(request).await.unwrap();
}

/// Says of the Deployment that all of it runs.
async fn ready(sandbox: &Sandbox) {
    let found = read(sandbox, DEPLOYMENT).await.unwrap();
    let (generation, replicas) = (&found["metadata"]["generation"], &found["spec"]["replicas"]);
    let status = json!({"status": {"observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": replicas, "availableReplicas": replicas}});
    patch(sandbox, &format!("{DEPLOYMENT}/status"), status).await;
}

async fn refused(sandbox: &Sandbox, words: &[&str], want: i32, part: &str) {
    sandbox.requests().reset();
    let Told { code, out, err } = told_by(sandbox, words).await;
    assert_eq!(code, want, "{words:?}: {out}{err}");
    assert!(err.contains(part), "{words:?}: no {part:?} in {err}");
    assert_eq!(out, "", "{words:?} tells of nothing that was done");
    let sent = sandbox.requests().matching(&Match::any().component("kubectl-aegis").writes());
    let sent: Vec<_> = sent.iter().map(|entry| (&entry.request.resource, &entry.request.name)).collect();
    assert!(sent.is_empty(), "{words:?} sent {sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_looked_at_without_a_cluster() {
    let sandbox = empty().await;
    let words = ["install", "--dry-run=client", "-o", "yaml", "-n", "ops", "--replicas", "1", "--image", "r/aegis:9"];
    let Told { code, out, err } = told_by(&sandbox, &words).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(sandbox.requests().matching(&Match::any().component("kubectl-aegis")).len(), 0, "no cluster is asked");
    let objects: Vec<Value> = serde_saphyr::from_multiple(&out).unwrap();
    assert_eq!(objects[0]["kind"], "CustomResourceDefinition");
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    assert_eq!(deployment["metadata"]["namespace"], "ops");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "r/aegis:9");
    let Told { code, out, .. } = told_by(&sandbox, &["install", "--receiver", "-n", "ops"]).await;
    assert!(code == 0 && out.contains("url: http://aegis.ops:8080/alertmanager/alert"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_made_once_and_found_again() {
    let sandbox = empty().await;
    let Told { code, out, err } = told_by(&sandbox, &["install", "--dry-run=server"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(read(&sandbox, DEPLOYMENT).await.is_none() && out.contains("namespace/monitoring created"), "{out}");
    let unjudged = "deployment.apps/aegis created (not judged: what it belongs to is not there)";
    assert!(out.contains(unjudged), "{out}");
    assert!(out.contains("clusterrole.rbac.authorization.k8s.io/aegis-viewer created (server dry run)"), "{out}");

    let Told { code, out, err } = told_by(&sandbox, &["install", "--replicas", "3", "--image", "r/aegis:1"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        err.contains("url: http://aegis.monitoring:8080/alertmanager/alert"),
        "it says what Alertmanager takes: {err}"
    );
    let definitions: Vec<&str> = out.lines().take(7).collect();
    assert!(definitions.iter().all(|line| line.starts_with("customresourcedefinition.")), "{out}");
    let deployment = read(&sandbox, DEPLOYMENT).await.unwrap();
    assert_eq!(
        (&deployment["spec"]["replicas"], &deployment["metadata"]["labels"]["app.kubernetes.io/version"]),
        (&json!(3), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert!(read(&sandbox, "/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisguards/aegis").await.is_some());
    let binding =
        read(&sandbox, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/aegis-workflow").await.unwrap();
    assert_eq!(binding["subjects"][0]["namespace"], "monitoring");

    // A policy that people wrote is theirs.
    let guard = "/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisguards/aegis";
    patch(&sandbox, guard, json!({"spec": {"budgets": {"unfinished": 7}}})).await;
    let Told { code, out, err } = told_by(&sandbox, &["install"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.lines().all(|line| line.ends_with(" unchanged")) && err.contains("nothing changes"), "{out}{err}");
    assert_eq!(read(&sandbox, guard).await.unwrap()["spec"]["budgets"]["unfinished"], 7);

    refused(&sandbox, &["install", "-n", "ops"], 6, "Aegis is installed in monitoring").await;
    refused(&sandbox, &["install", "--with-monitoring"], 6, "knows no ServiceMonitor").await;

    // A binding outlives an installation that somebody deleted with its namespace.
    let request = http::Request::delete(DEPLOYMENT).body(Vec::new()).unwrap();
    sandbox.client_as("test").request::<Value>(request).await.unwrap();
    let Told { code, out, err } = told_by(&sandbox, &["install", "-n", "ops"]).await;
    assert!(code == 0 && out.contains("clusterrolebinding.rbac.authorization.k8s.io/aegis configured"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_says_first_what_changes_and_keeps_what_was_deployed() {
    let sandbox = empty().await;
    refused(&sandbox, &["upgrade"], 7, "not installed in monitoring").await;
    let Told { code, out, err } = told_by(&sandbox, &["install", "--image", "r/aegis:1"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let Told { code, out, err } = told_by(&sandbox, &["upgrade", "--replicas", "4", "--dry-run=client"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("deployment.apps/aegis configured (dry run)"), "{out}");
    let Told { code, out, err } = told_by(&sandbox, &["upgrade", "--replicas", "4"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("    spec.replicas: 2 -> 4"), "{err}");
    assert!(out.contains("deployment.apps/aegis configured") && out.contains("service/aegis unchanged"), "{out}");
    let deployment = read(&sandbox, DEPLOYMENT).await.unwrap();
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "r/aegis:1");

    let later = json!({"metadata": {"labels": {"app.kubernetes.io/version": "99.1.0"}}});
    patch(&sandbox, DEPLOYMENT, later).await;
    refused(&sandbox, &["upgrade"], 7, "what is installed is 99.1.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_mounted_as_asked_and_stay_until_somebody_says_otherwise() {
    let sandbox = empty().await;
    let secrets = "/api/v1/namespaces/monitoring/secrets";
    let monitoring = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}});
    stored(&sandbox, "/api/v1/namespaces", monitoring).await;
    let asked = ["install", "--token-secret", "senders", "--tls-secret", "web"];
    refused(&sandbox, &asked, 6, "there is no Secret senders in monitoring").await;
    for name in ["senders", "web"] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        stored(&sandbox, secrets, secret).await;
    }
    let Told { code, out, err } = told_by(&sandbox, &asked).await;
    assert_eq!(code, 0, "{out}{err}");
    for part in ["https://aegis.monitoring:8080", "credentials_file", "ca_file"] {
        assert!(err.contains(part), "the receiver fits what is deployed: {part} is not in {err}");
    }
    let mounted = async || {
        let pod = read(&sandbox, DEPLOYMENT).await.unwrap()["spec"]["template"]["spec"].clone();
        let volumes = pod["volumes"].as_array().unwrap().iter();
        let names = volumes.map(|volume| volume["secret"]["secretName"].as_str().unwrap().to_owned());
        let names: std::collections::BTreeSet<String> = names.collect();
        let token =
            pod["containers"][0]["env"].as_array().unwrap().iter().any(|one| one["name"] == "AEGIS_HTTP_TOKEN_FILE");
        (names.into_iter().collect::<Vec<_>>().join(" "), token)
    };
    assert_eq!(mounted().await, ("aegis-notify senders web".to_owned(), true));

    let Told { code, out, err } = told_by(&sandbox, &["upgrade"]).await;
    assert!(code == 0 && out.contains("deployment.apps/aegis unchanged"), "no door opens by itself: {out}{err}");
    assert_eq!(mounted().await, ("aegis-notify senders web".to_owned(), true));

    let words = ["upgrade", "--token-secret", "", "--notify-secret", "people"];
    let Told { code, out, err } = told_by(&sandbox, &words).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(mounted().await, ("people web".to_owned(), false));

    let Told { code, err, .. } = told_by(&sandbox, &["install", "--tls-secret", "Not_A_Name"]).await;
    assert!(code == 2 && err.contains("--tls-secret") && err.contains("expected the name of a Secret"), "{code} {err}");
}

/// As the Prometheus Operator defines them, as far as it matters here.
async fn knows_monitors(sandbox: &Sandbox) {
    for (plural, kind) in [("servicemonitors", "ServiceMonitor"), ("prometheusrules", "PrometheusRule")] {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {
                "group": "monitoring.coreos.com", "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
            },
        });
        stored(sandbox, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_verifies_the_certificate_where_its_secret_names_the_authority() {
    let sandbox = empty().await;
    knows_monitors(&sandbox).await;
    let monitoring = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}});
    stored(&sandbox, "/api/v1/namespaces", monitoring).await;
    let certificate = include_str!("data/tls/tls.crt");
    for (name, data) in [
        ("from-kubectl", json!({"tls.crt": certificate})),
        ("from-cert-manager", json!({"tls.crt": certificate, "ca.crt": include_str!("data/tls/ca.crt")})),
    ] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        stored(&sandbox, "/api/v1/namespaces/monitoring/secrets", secret).await;
    }
    let monitor = "/apis/monitoring.coreos.com/v1/namespaces/monitoring/servicemonitors/aegis";
    let endpoint = async || read(&sandbox, monitor).await.unwrap()["spec"]["endpoints"][0].clone();

    let Told { code, out, err } = told_by(&sandbox, &["install", "--with-monitoring"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!((&endpoint().await["scheme"], &endpoint().await["tlsConfig"]), (&Value::Null, &Value::Null));

    let Told { code, out, err } =
        told_by(&sandbox, &["upgrade", "--with-monitoring", "--tls-secret", "from-kubectl"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("will not verify the certificate of secret/from-kubectl: it has no key ca.crt"), "{err}");
    assert_eq!(endpoint().await["tlsConfig"], json!({"insecureSkipVerify": true}));

    let words = ["upgrade", "--with-monitoring", "--tls-secret", "from-cert-manager"];
    let Told { code, out, err } = told_by(&sandbox, &words).await;
    assert!(code == 0 && !err.contains("will not verify"), "{out}{err}");
    let ca = json!({"secret": {"name": "from-cert-manager", "key": "ca.crt"}});
    assert_eq!(endpoint().await["scheme"], "https");
    assert_eq!(endpoint().await["tlsConfig"], json!({"ca": ca, "serverName": "aegis.monitoring.svc"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_the_first_versions_controller_runs() {
    let sandbox = installed().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "old", "labels": {"component": "aegis"}},
        "spec": {"containers": [{"name": "main", "image": "underdogs/aegis"}]}});
    stored(&sandbox, "/api/v1/namespaces/ops/pods", pod).await;
    for verb in ["install", "upgrade"] {
        refused(&sandbox, &[verb], 6, "the controller of the first version still runs: ops/old").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_or_a_missing_right_is_found_before_anything_is_written() {
    let sandbox = installed().await;
    let request = http::Request::patch(format!("{DEPLOYMENT}?fieldManager=ann&force=true"))
        .header("Content-Type", "application/apply-patch+yaml");
    let env = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "aegis"},
        "spec": {"template": {"spec": {"terminationGracePeriodSeconds": 77}}}});
    let request = request.body(env.to_string().into_bytes()).unwrap();
    sandbox.client_as("test").request::<Value>(request).await.unwrap();
    let before = read(&sandbox, DEPLOYMENT).await.unwrap();
    let Told { code, out, err } = told_by(&sandbox, &["upgrade", "--replicas", "5"]).await;
    assert!(code == 6 && out.is_empty() && err.contains("--force-conflicts"), "{code} {out}{err}");
    assert_eq!(read(&sandbox, DEPLOYMENT).await.unwrap(), before);
    let Told { code, out, err } = told_by(&sandbox, &["upgrade", "--replicas", "5", "--force-conflicts"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(read(&sandbox, DEPLOYMENT).await.unwrap()["spec"]["replicas"], 5);

    // Nobody else has a say in what keeps people honest.
    let policy = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/aegis-approval";
    let request = http::Request::patch(format!("{policy}?fieldManager=ann&force=true"))
        .header("Content-Type", "application/apply-patch+yaml");
    let lax = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "aegis-approval"}, "spec": {"failurePolicy": "Ignore"}});
    let request = request.body(lax.to_string().into_bytes()).unwrap();
    sandbox.client_as("test").request::<Value>(request).await.unwrap();
    let Told { code, out, err } = told_by(&sandbox, &["upgrade"]).await;
    assert!(code == 0 && err.contains("spec.failurePolicy: Ignore -> Fail"), "{code} {out}{err}");
    assert_eq!(read(&sandbox, policy).await.unwrap()["spec"]["failurePolicy"], "Fail");

    let fault =
        sandbox.faults().add(Rule::new(Match::any().resource("clusterroles").writes(), Action::Status(403, None)));
    let Told { code, out, err } = told_by(&sandbox, &["upgrade", "--replicas", "2"]).await;
    fault.remove();
    assert!(code == 4 && out.is_empty() && err.contains("could not apply clusterrole"), "{code} {out}{err}");
    assert_eq!(read(&sandbox, DEPLOYMENT).await.unwrap()["spec"]["replicas"], 5, "nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rollout_is_waited_for_and_no_longer_than_asked() {
    let sandbox = installed().await;
    let Told { code, err, .. } = told_by(&sandbox, &["upgrade", "--wait", "--timeout", "1s"]).await;
    assert!(code == 124 && err.contains("waiting: ") && err.contains("not within 1 s"), "{code} {err}");
    ready(&sandbox).await;
    let Told { code, err, .. } = told_by(&sandbox, &["upgrade", "--wait", "--timeout", "60s"]).await;
    assert!(code == 0 && err.contains("all replicas of deployment/aegis are ready"), "{code} {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_installed_goes_and_what_is_stored_stays() {
    let sandbox = installed().await;
    let mine = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mine"}});
    stored(&sandbox, "/api/v1/namespaces/monitoring/serviceaccounts", mine).await;
    let alert = json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": "a"},
        "spec": {"type": "T", "status": "Firing", "involvedObject": {"kind": "Node", "name": "n"}}});
    stored(&sandbox, ALERTS, alert).await;
    let unlabelled = json!({"metadata": {"labels": {"app.kubernetes.io/name": null}}});
    patch(&sandbox, "/apis/rbac.authorization.k8s.io/v1/clusterroles/aegis-plan", unlabelled).await;

    let Told { code, out, err } = told_by(&sandbox, &["uninstall", "--dry-run=client"]).await;
    assert!(code == 0 && out.contains("deployment.apps/aegis deleted (dry run)"), "{code} {out}{err}");
    assert!(read(&sandbox, DEPLOYMENT).await.is_some());
    let Told { code, out, err } = told_by(&sandbox, &["uninstall"]).await;
    assert_eq!(code, 0, "{out}{err}");
    let at = |part: &str| out.lines().position(|line| line.contains(part)).unwrap();
    assert!(
        at("deployment.apps/aegis") < at("validatingadmissionpolicy")
            && at("deployment.apps/aegis") < at("serviceaccount/aegis")
    );
    assert!(err.contains("aegis-plan is left alone"), "{err}");
    assert!(read(&sandbox, DEPLOYMENT).await.is_none() && read(&sandbox, &format!("{ALERTS}/a")).await.is_some());
    assert!(read(&sandbox, "/api/v1/namespaces/monitoring/serviceaccounts/mine").await.is_some());
    assert!(read(&sandbox, "/apis/rbac.authorization.k8s.io/v1/clusterroles/aegis-plan").await.is_some());

    let Told { code, err, .. } = told_by(&sandbox, &["uninstall"]).await;
    assert!(code == 7 && err.contains("not installed"), "{code} {err}");
    let Told { code, err, .. } = told_by(&sandbox, &["uninstall", "--delete-data"]).await;
    assert!(code == 2 && err.contains("     1 AegisAlert") && err.contains("--yes"), "{code} {err}");
    let Told { code, out, err } = told_by(&sandbox, &["uninstall", "--delete-data", "--yes"]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(read(&sandbox, ALERTS).await.is_none(), "the definitions are gone");
}

fn held(name: &str) -> Value {
    json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "aegis"},
            "finalizers": ["aegis.io/outcome", "example.org/theirs"]},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_that_nobody_could_delete() {
    let sandbox = installed().await;
    stored(&sandbox, JOBS, held("kept")).await;
    refused(&sandbox, &["uninstall"], 6, "no controller runs that would let go of them").await;
    // With a controller it is waited for.
    ready(&sandbox).await;
    refused(
        &sandbox,
        &["uninstall", "--timeout", "1s"],
        124,
        "the controller lets go of 1 actions, such as job.batch/kept",
    )
    .await;
    let job = format!("{JOBS}/kept");
    let uninstall = told_by(&sandbox, &["uninstall", "--timeout", "60s"]);
    let let_go = async {
        while sandbox.requests().matching(&Match::any().component("kubectl-aegis").resource("jobs")).len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        patch(&sandbox, &job, json!({"metadata": {"finalizers": ["example.org/theirs"]}})).await;
    };
    sandbox.requests().reset();
    let (Told { code, out, err }, ()) = tokio::join!(uninstall, let_go);
    assert_eq!(code, 0, "{out}{err}");

    let sandbox = installed().await;
    stored(&sandbox, JOBS, held("kept")).await;
    let Told { code, out, err } = told_by(&sandbox, &["uninstall", "--release"]).await;
    assert!(code == 0 && out.contains("job.batch/kept released"), "{code} {out}{err}");
    let kept = read(&sandbox, &job).await.unwrap();
    assert_eq!(kept["metadata"]["finalizers"], json!(["example.org/theirs"]), "what others keep it for stays");
}
