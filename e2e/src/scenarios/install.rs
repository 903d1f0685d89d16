//! The installation as the README has it: the Deployment in the real kubelet, from the image that scripts/images makes;
//! and where Pod Security "restricted" is enforced, with the procedures in another namespace.

use anyhow::{Context as _, bail, ensure};
use serde_json::json;

use super::Scenario;
use crate::aegis::{Aegis, node_alert, repository};
use crate::cluster::Cluster;
use crate::wait::{until, until_equal};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "install",
    about: "installed as the README says: two replicas in the kubelet, one leader, also under Pod Security restricted",
    smoke: true,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

/// As the README has it.
const NAMESPACE: &str = "monitoring";
/// Where nothing but what Pod Security calls restricted may run.
const RESTRICTED: &str = "install-restricted";
/// Where the controller of that one publishes.
const PUBLISH: &str = "install-publish";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    in_one_namespace(cluster).await.context("in one namespace")?;
    apart(cluster).await.context("in a namespace that enforces restricted")
}

/// Everything in one namespace, as the compatible system's users have it: Pod Security can only warn there, since
/// procedures may need more than it calls restricted. The installation gives it no reason to.
async fn in_one_namespace(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::fresh(cluster, NAMESPACE).await?;
    let warn = "pod-security.kubernetes.io/warn=restricted";
    cluster.kubectl(&["label", "namespace", NAMESPACE, warn]).await?;
    let definitions = repository("manifest/install").display().to_string();
    told_nothing(cluster, &["apply", "-f", &definitions]).await?;
    let deploy = repository("manifest/deploy").display().to_string();
    told_nothing(cluster, &["apply", "-f", &deploy, "-n", NAMESPACE]).await?;
    ready(cluster, NAMESPACE).await?;
    one_leader(cluster, NAMESPACE, NAMESPACE).await?;

    let quickstart = repository("examples/quickstart/rule.yaml").display().to_string();
    cluster.kubectl(&["apply", "-n", NAMESPACE, "-f", &quickstart]).await?;
    send_through_service(cluster, NAMESPACE, "NodeHasEmergencyEvent").await?;
    aegis.until_alert("NodeHasEmergencyEvent", "Triggered", "Succeeded").await?;
    cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
    // As from a laptop: through the API server's proxy.
    let body = cluster.machine.folder().join("alert.json");
    std::fs::write(&body, node_alert("Laptop", "Laptop", Cluster::NODE).to_string())?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services/aegis:8080/proxy/default/alert");
    let answer = cluster.kubectl(&["create", "--raw", &path, "-f", &body.display().to_string()]).await?;
    ensure!(answer.contains("\"code\":200"), "the answer through the proxy is {answer}");
    aegis.until_alert("Laptop", "RuleNotFound", "").await?;
    remove(cluster, NAMESPACE, aegis).await
}

/// The controller where restricted is enforced; alerts and procedures in another namespace, where it has its Role.
async fn apart(cluster: &Cluster) -> anyhow::Result<()> {
    let own = Aegis::fresh(cluster, RESTRICTED).await?;
    let aegis = Aegis::install(cluster, PUBLISH).await?;
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    cluster.kubectl(&["label", "namespace", RESTRICTED, enforce]).await?;
    // The label does something: what is not restricted is refused.
    let trial = ["run", "trial", "-n", RESTRICTED, "--image=busybox:latest"];
    let Err(refused) = cluster.kubectl(&trial).await else { bail!("a pod that is not restricted was let in") };
    ensure!(refused.to_string().contains("violates PodSecurity \"restricted"), "it was refused otherwise: {refused}");

    for binding in [&["rolebinding", "-n", PUBLISH][..], &["clusterrolebinding"]] {
        let subject = json!([{"op": "add", "path": "/subjects/0/namespace", "value": RESTRICTED}]).to_string();
        let words = [&["patch"], binding, &["aegis", "--type=json", "-p", &subject]].concat();
        cluster.kubectl(&words).await?;
    }
    cluster.kubectl(&["create", "serviceaccount", "aegis", "-n", RESTRICTED]).await?;
    let deployment = std::fs::read_to_string(repository("manifest/deploy/deployment.yaml"))?;
    let own_namespace = "valueFrom:\n                fieldRef:\n                  fieldPath: metadata.namespace\n";
    ensure!(deployment.contains(own_namespace), "the Deployment does not publish where it runs");
    cluster.apply(RESTRICTED, &deployment.replace(own_namespace, &format!("value: {PUBLISH}\n"))).await?;
    ready(cluster, RESTRICTED).await?;
    one_leader(cluster, RESTRICTED, PUBLISH).await?;
    let rules = std::fs::read_to_string(repository("examples/quickstart/rule.yaml"))?;
    cluster.apply(PUBLISH, &rules.replace("namespace: monitoring", &format!("namespace: {PUBLISH}"))).await?;
    send_through_service(cluster, RESTRICTED, "NodeHasEmergencyEvent").await?;
    aegis.until_alert("NodeHasEmergencyEvent", "Triggered", "Succeeded").await?;
    cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
    remove(cluster, RESTRICTED, aegis).await?;
    own.delete().await
}

/// Runs kubectl, which must succeed without a warning.
async fn told_nothing(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<()> {
    let output = cluster.kubectl_command().args(arguments).kill_on_drop(true).output().await?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && told.is_empty(), "`kubectl {}` says {told}", arguments.join(" "));
    Ok(())
}

/// Waits until both replicas of the newest Deployment are ready, and no pod of an older one is left.
async fn ready(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let rollout = ["rollout", "status", "deployment/aegis", "-n", namespace, "--timeout=120s"];
    cluster.kubectl(&rollout).await?;
    until_equal("two pods are left, and ready", vec!["true".to_owned(), "true".to_owned()], || async {
        let words = "jsonpath={range .items[*]}{.status.containerStatuses[0].ready}{\"\\n\"}{end}";
        Ok(pods(cluster, namespace, words).await?.lines().map(str::to_owned).collect())
    })
    .await
}

/// The Lease is held by one of the pods, and nobody else leads.
async fn one_leader(cluster: &Cluster, namespace: &str, publish: &str) -> anyhow::Result<()> {
    let names = pods(cluster, namespace, "jsonpath={.items[*].metadata.name}").await?;
    let holder = until("a pod holds the lease", || async {
        let words = ["get", "lease", "aegis-controller", "-n", publish, "-o", "jsonpath={.spec.holderIdentity}"];
        let holder = cluster.kubectl(&words).await?;
        // Its identity is the pod's name, and a word of this very process.
        let pod =
            names.split_whitespace().find(|name| holder.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')));
        Ok(Some(pod.with_context(|| format!("{holder:?} holds it, and the pods are {names}"))?.to_owned()))
    })
    .await?;
    until_equal("that pod leads, and no other", vec![holder], || async {
        let mut leading = Vec::new();
        for name in names.split_whitespace() {
            let log = cluster.kubectl(&["logs", "-n", namespace, name]).await?;
            if log.contains("leading now") && !log.contains("leading no more") {
                leading.push(name.to_owned());
            }
        }
        Ok(leading)
    })
    .await
}

async fn pods(cluster: &Cluster, namespace: &str, output: &str) -> anyhow::Result<String> {
    let selector = "app.kubernetes.io/name=aegis";
    cluster.kubectl(&["get", "pods", "-n", namespace, "-l", selector, "-o", output]).await
}

async fn send_through_service(cluster: &Cluster, namespace: &str, type_: &str) -> anyhow::Result<()> {
    let words = ["get", "service", "aegis", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}"];
    let url = format!("http://{}:8080/default/alert", cluster.kubectl(&words).await?);
    let body = node_alert(type_, type_, Cluster::NODE).to_string();
    let answer = until("the Service takes an alert", || async {
        let curl = ["--silent", "--show-error", "--fail-with-body", &url, "-d", &body];
        Ok(Some(cluster.machine.run("curl", curl).await?))
    })
    .await?;
    ensure!(answer.contains("\"code\":200"), "the answer through the Service is {answer}");
    Ok(())
}

/// Takes it away again: alerts first, then the Deployment with its pods, and with the namespace its rights at last.
async fn remove(cluster: &Cluster, namespace: &str, aegis: Aegis<'_>) -> anyhow::Result<()> {
    aegis.let_go().await?;
    cluster.kubectl(&["delete", "deployment", "aegis", "-n", namespace]).await?;
    until("the pods have ended", || async {
        let left = pods(cluster, namespace, "name").await?;
        ensure!(left.trim().is_empty(), "{} are left", left.trim());
        Ok(Some(()))
    })
    .await?;
    aegis.delete().await
}
