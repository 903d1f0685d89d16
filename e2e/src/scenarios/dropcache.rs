//! The dropcache example on two nodes: its script runs on the alert's node, however ill that is, and on no other.

use std::fs;

use anyhow::{Context as _, ensure};
use kube::ResourceExt as _;
use serde_json::Value;

use super::Scenario;
use crate::aegis::{Aegis, repository};
use crate::cluster::{Cluster, SecondNode};
use crate::procedure;
use crate::wait::until_equal;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "dropcache",
    about: "the dropcache example runs on the alert's node and on no other of two, each with a kubelet of its own",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "dropcache";
/// What the example writes. Containers find a file of their node's in its place.
const SETTING: &str = "vm/drop_caches";
const NODES: [&str; 2] = [Cluster::NODE, SecondNode::NAME];

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let second = SecondNode::start(cluster).await?;
    let shown = on_both(cluster, aegis).await;
    // Whatever came of it, later pods find one node.
    second.stop(cluster).await?;
    shown
}

async fn on_both(cluster: &Cluster, aegis: Aegis<'_>) -> anyhow::Result<()> {
    let controller = aegis.start(8080, &[]).await?;
    cluster.apply(NAMESPACE, &fs::read_to_string(repository("examples/dropcache/rule.yaml"))?).await?;
    // Who cordons the nodes below is somebody else.
    let act = r#"{"spec": {"onCordoned": "Act"}}"#;
    cluster.kubectl(&["patch", "arule", "dropcache", "-n", NAMESPACE, "--type=merge", "-p", act]).await?;
    let example = fs::read_to_string(repository("examples/dropcache/alert.json"))?;
    for node in NODES {
        for one in NODES {
            cluster.set_kernel_setting(one, SETTING, "0")?;
        }
        // Nothing else may run there, and what runs is to leave: the example's pod goes there all the same.
        cluster.kubectl(&["cordon", node]).await?;
        cluster.kubectl(&["taint", "node", node, "ailing=very:NoExecute"]).await?;
        let alert = procedure::with(serde_json::from_str(&example.replace("dev1", node))?, "fingerprint", node.into());
        controller.send(&alert).await?;
        let workflow = finished(&aegis, node).await?;
        judge(cluster, &workflow, node).await?;
        let written = NODES.map(|one| cluster.kernel_setting(one, SETTING));
        let written = written.into_iter().collect::<anyhow::Result<Vec<String>>>()?;
        let want = NODES.map(|one| if one == node { "3" } else { "0" });
        ensure!(written == want, "for {node}, {SETTING} reads {written:?} on {NODES:?}");
        cluster.kubectl(&["taint", "node", node, "ailing-"]).await?;
        cluster.kubectl(&["uncordon", node]).await?;
    }
    aegis.uninstall(controller).await
}

/// Waits until the alert about a node has succeeded; returns its Workflow's name.
async fn finished(aegis: &Aegis<'_>, node: &str) -> anyhow::Result<String> {
    let label = kube::api::ListParams::default().labels(&format!("fingerprint={node}"));
    let mut name = String::new();
    until_equal(&format!("the alert about {node} has succeeded"), "Succeeded".to_owned(), || async {
        let found = aegis.alerts().list(&label).await?.items;
        let alert = found.first().context("the alert is not stored")?;
        let status = serde_json::to_value(&alert.status)?;
        Ok(status.pointer("/opsStatus/alertOpsStatus").and_then(Value::as_str).unwrap_or_default().to_owned())
    })
    .await?;
    for workflow in aegis.workflows().list_metadata(&Default::default()).await?.items {
        if workflow.labels().get("fingerprint").is_some_and(|own| own == node) {
            ensure!(name.is_empty(), "{name} and {} are of one alert", workflow.name_any());
            name = workflow.name_any();
        }
    }
    ensure!(!name.is_empty(), "no Workflow is of the alert about {node}");
    Ok(name)
}

/// Its one pod ran there, and its script to the end.
async fn judge(cluster: &Cluster, workflow: &str, node: &str) -> anyhow::Result<()> {
    let selector = format!("workflows.argoproj.io/workflow={workflow}");
    let output = "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.phase}{\"\\n\"}{end}";
    let pods = cluster.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", &selector, "-o", output]).await?;
    let [pod, place, _] = pods.split_whitespace().collect::<Vec<_>>()[..] else {
        anyhow::bail!("expected one pod of {workflow}, found {pods:?}")
    };
    ensure!(place == node, "the pod for {node} ran on {place}");
    let log = cluster.kubectl(&["logs", "-n", NAMESPACE, pod]).await?;
    let told: Vec<&str> = log.lines().filter_map(|line| line.split_once(':').map(|(word, _)| word)).collect();
    ensure!(told.starts_with(&["MemFree", "Cached"]), "the log of {pod} is {log:?}");
    Ok(())
}
