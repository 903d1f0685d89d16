//! The chart, installed by the real helm: the controller becomes ready and acts, an upgrade changes what its values say,
//! and what helm takes away is gone, but for the definitions.

use anyhow::ensure;
use serde_json::Value;
use tokio::process::Command;

use super::Scenario;
use crate::aegis::{Aegis, node_alert, repository};
use crate::cluster::Cluster;
use crate::parts::{self, Part};
use crate::wait::until_equal;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "chart",
    about: "the real helm installs the chart, upgrades it with other settings, and takes it away",
    smoke: false,
    parts: &[&parts::HELM],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "chart";
/// What stands in the whole cluster, and may be there from an installation by kubectl.
const SHARED: [&str; 3] =
    ["clusterroles,clusterrolebindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings"];
const OURS: &str = "app.kubernetes.io/name=aegis";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let helm = parts::ensure(&parts::HELM).await?;
    let aegis = Aegis::fresh(cluster, NAMESPACE).await?;
    for kinds in SHARED {
        cluster.kubectl(&["delete", kinds, "-l", OURS]).await?;
    }
    let chart = repository("manifest/chart").display().to_string();
    let told = run_helm(cluster, &helm, &["install", "aegis", &chart, "--wait", "--timeout=120s"]).await?;
    ensure!(told.contains("http://aegis.chart:8080/alertmanager/alert"), "helm does not say where alerts go: {told}");
    send(cluster, "Installed").await?;
    aegis.until_alert("Installed", "RuleNotFound", "").await?;

    let words = [
        "upgrade",
        "aegis",
        &chart,
        "--wait",
        "--timeout=120s",
        "--set=replicas=1",
        "--set-json=settings={\"dry-run\":true}",
    ];
    run_helm(cluster, &helm, &words).await?;
    until_equal("one replica is left, with its settings", 1, || async {
        let pods = cluster.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", OURS, "-o", "json"]).await?;
        let pods: Value = serde_json::from_str(&pods)?;
        let pods = pods.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        ensure!(
            pods.iter().all(|pod| pod.to_string().contains("/etc/aegis/settings/settings.yaml")),
            "an older pod is left"
        );
        Ok(pods.len())
    })
    .await?;
    let rules = std::fs::read_to_string(repository("examples/quickstart/rule.yaml"))?;
    cluster.apply(NAMESPACE, &rules.replace("namespace: monitoring", &format!("namespace: {NAMESPACE}"))).await?;
    send(cluster, "NodeHasEmergencyEvent").await?;
    aegis.until_alert("NodeHasEmergencyEvent", "DryRun", "").await?;

    aegis.let_go().await?;
    run_helm(cluster, &helm, &["uninstall", "aegis", "--wait"]).await?;
    for kinds in SHARED {
        let left = cluster.kubectl(&["get", kinds, "-l", OURS, "-o", "name"]).await?;
        ensure!(left.trim().is_empty(), "helm left {left}");
    }
    let definitions =
        cluster.kubectl(&["get", "-f", &repository("manifest/install").display().to_string(), "-o", "name"]).await?;
    ensure!(definitions.contains("/aegisalerts.aegis.io"), "helm took the definitions: {definitions}");
    aegis.delete().await
}

async fn run_helm(cluster: &Cluster, helm: &Part, words: &[&str]) -> anyhow::Result<String> {
    let home = cluster.machine.folder().join("helm");
    std::fs::create_dir_all(&home)?;
    let mut command = Command::new(helm.program("helm"));
    command.env_clear().env("HOME", home).env("KUBECONFIG", cluster.kubeconfig());
    let output = command.args(words).args(["--namespace", NAMESPACE]).kill_on_drop(true).output().await?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm {words:?} failed: {told}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// As from a laptop: through the API server's proxy.
async fn send(cluster: &Cluster, type_: &str) -> anyhow::Result<()> {
    let body = cluster.machine.folder().join("alert.json");
    std::fs::write(&body, node_alert(type_, &type_.to_lowercase(), Cluster::NODE).to_string())?;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/services/aegis:8080/proxy/default/alert");
    let answer = cluster.kubectl(&["create", "--raw", &path, "-f", &body.display().to_string()]).await?;
    ensure!(answer.contains("\"code\":200"), "the answer through the proxy is {answer}");
    Ok(())
}
