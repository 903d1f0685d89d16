//! An installation by the plugin alone: looked at before, made, checked with a test alert, upgraded, and taken away with
//! all that was stored.

use anyhow::ensure;

use super::Scenario;
use crate::aegis::Aegis;
use crate::cluster::Cluster;
use crate::person::{ADMIN, Person};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "plugin-install",
    about: "the plugin checks, installs, proves with a test alert that all is well, upgrades and uninstalls",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "plugin-install";

/// A rule for every alert, whose action is a Job: a test alert is rehearsed by it, and any other acts.
const CATCH_ALL: &str = "\
apiVersion: aegis.io/v1alpha1
kind: AegisOpsTemplate
metadata: {name: all}
spec:
  manifest: |
    apiVersion: batch/v1
    kind: Job
    spec:
      template:
        spec:
          serviceAccountName: aegis-workflow
          restartPolicy: Never
          containers: [{name: main, image: 'busybox:latest', command: [echo, done]}]
---
apiVersion: aegis.io/v1alpha1
kind: AegisAlertOpsRule
metadata: {name: all}
spec:
  alertConditions: [{type: ., status: Firing}]
  opsTemplate: {kind: AegisOpsTemplate, name: all}
";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::fresh(cluster, NAMESPACE).await?;
    cluster.delete_namespace(NAMESPACE).await?;
    let admin = Person::new(cluster, NAMESPACE, ADMIN)?;
    let told = admin.aegis(&["check", "--pre"]).await?;
    ensure!(told.contains("`kubectl aegis install` would install it"), "{told}");
    admin.aegis(&["install", "--dry-run=server", "--force-conflicts"]).await?;
    // Roles for the whole cluster may be left from other scenarios, made by kubectl for other namespaces.
    let told = admin.aegis(&["install", "--replicas", "1", "--force-conflicts", "--wait", "--timeout", "2m"]).await?;
    ensure!(told.contains("all replicas of deployment/aegis are ready"), "{told}");
    let told = admin.aegis(&["install"]).await?;
    ensure!(told.contains("nothing changes") && !told.contains(" configured"), "installed again: {told}");
    let told = admin.aegis(&["check", "--wait", "--timeout", "1m"]).await?;
    ensure!(told.contains("controller / leader") && !told.contains("FAILED"), "{told}");

    cluster.apply(NAMESPACE, CATCH_ALL).await?;
    let fire = ["check", "--fire-test", "--fire-test-node", Cluster::NODE, "--timeout", "1m"];
    let told = crate::wait::until("a test alert is rehearsed", || async {
        let told = admin.aegis(&fire).await?;
        Ok(told.contains("took it, and nothing was made").then_some(told))
    })
    .await?;
    for hop in ["accepted", "stored", "matched", "rehearsed"] {
        ensure!(told.contains(&format!("test alert {hop} after")), "no {hop} in {told}");
    }
    ensure!(cluster.kubectl(&["get", "jobs", "-n", NAMESPACE, "-o", "name"]).await?.is_empty(), "a test alert acted");
    admin.aegis(&["alert", "send", "Real", "--node", Cluster::NODE]).await?;
    aegis.until_alert("Real", "Triggered", "Succeeded").await?;

    let told = admin.aegis(&["upgrade", "--replicas", "2", "--wait", "--timeout", "2m"]).await?;
    ensure!(
        told.contains("spec.replicas: 1 -> 2") && told.contains("poddisruptionbudget.policy/aegis (new)"),
        "{told}"
    );

    let told = admin.aegis(&["uninstall", "--timeout", "3m"]).await?;
    ensure!(told.contains("deployment.apps/aegis deleted"), "{told}");
    let left = ["get", "deployments,roles,rolebindings,jobs", "-n", NAMESPACE, "-o", "name"];
    let left = cluster.kubectl(&left).await?;
    ensure!(left.lines().all(|line| line.starts_with("job.")), "this is left: {left}");
    let told = admin.aegis(&["uninstall", "--delete-data", "--yes", "--timeout", "2m"]).await?;
    ensure!(told.contains("customresourcedefinition.apiextensions.k8s.io/aegisalerts.aegis.io deleted"), "{told}");
    let definitions = cluster.kubectl(&["get", "crd", "-o", "name"]).await?;
    ensure!(!definitions.contains("aegis.io"), "these are left: {definitions}");
    aegis.delete().await
}
