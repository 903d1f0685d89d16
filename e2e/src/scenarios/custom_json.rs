//! The custom format, sent by curl as users do: the keys' case is theirs, and so is the content type.

use anyhow::ensure;
use kube::ResourceExt as _;

use super::Scenario;
use crate::aegis::{Aegis, repository};
use crate::cluster::Cluster;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "custom-json",
    about: "curl posts the custom format and a rule's procedure runs",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, "custom-json").await?;
    let controller = aegis.start(8080, &[]).await?;
    let rules = std::fs::read_to_string(repository("examples/quickstart/rule.yaml"))?;
    cluster.apply(aegis.namespace(), &rules.replace("namespace: monitoring", "namespace: custom-json")).await?;
    let body = std::fs::read_to_string(repository("kubectl-aegis/tests/data/seed-curl.json"))?;
    let body = body.replace("dev1", Cluster::NODE);
    let url = controller.url("/default/alert");
    let curl = ["--silent", "--show-error", "--fail-with-body", "-X", "POST", &url, "-d", &body];
    let answer = cluster.machine.run("curl", curl).await?;
    ensure!(answer.contains("\"code\":200"), "the answer is {answer}");
    let alert = aegis.until_alert("NodeHasEmergencyEvent", "Triggered", "Succeeded").await?;
    ensure!(alert.name_any().starts_with("default-nodehasemergencyevent-"), "the alert is called {}", alert.name_any());
    cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
    aegis.uninstall(controller).await
}
