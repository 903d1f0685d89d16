//! Procedures of the library on the real cluster, asked for by a person who may no more than ask: a node taken out and
//! back in, a pod restarted, a stuck one removed, another node's pods moved. Nobody asks in another's name.

mod on_the_node;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::Scenario;
use crate::aegis::{Aegis, Controller, repository};
use crate::cluster::Cluster;
use crate::person::{ADMIN, Person};
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "sops",
    about: "procedures that a person asks for act through the loop with their own roles, and nobody asks in another's name",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};
pub(super) use on_the_node::SCENARIO as ON_THE_NODE;

const NAMESPACE: &str = "sops";
const ACCOUNTS: &str = "aegis-workflow,aegis-sop-drain,aegis-sop-pods";
/// A node of which nothing but its object is there: what is moved from it need not have run.
const ABSENT: &str = "absent";

/// A pod that a controller makes again, and two on the absent node that nobody does.
const OBJECTS: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: 'busybox:latest', command: [sleep, '3600']}]
---
apiVersion: v1
kind: Node
metadata: {name: absent}
---
apiVersion: v1
kind: Pod
metadata: {name: moved}
spec:
  nodeName: absent
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: 'busybox:latest', command: [sleep, '3600']}]
---
apiVersion: v1
kind: Pod
metadata: {name: stuck}
spec:
  nodeName: absent
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  containers: [{name: main, image: 'busybox:latest', command: [sleep, '3600']}]
";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let (aegis, controller) = begin(cluster, NAMESPACE).await?;
    cluster.apply(NAMESPACE, OBJECTS).await?;
    let shown = show(cluster, &aegis).await;
    cluster.kubectl(&["delete", "node", ABSENT]).await?;
    shown?;
    aegis.uninstall(controller).await
}

/// An installation in which requests are kept honest, and dan may no more than ask.
async fn begin<'a>(cluster: &'a Cluster, namespace: &str) -> anyhow::Result<(Aegis<'a>, Controller)> {
    let aegis = Aegis::install(cluster, namespace).await?;
    let policy = repository("manifest/deploy/request-policy.yaml").display().to_string();
    cluster.kubectl(&["apply", "-f", &policy]).await?;
    Person::new(cluster, namespace, "dan")?.is_given("--clusterrole=aegis-operator").await?;
    let controller = aegis.start(8080, &["--action.service-accounts", ACCOUNTS]).await?;
    Ok((aegis, controller))
}

async fn show(cluster: &Cluster, aegis: &Aegis<'_>) -> anyhow::Result<()> {
    aegis.admin()?.aegis(&["sop", "install", "cordon", "uncordon", "drain", "restart-pod", "delete-stuck-pod"]).await?;
    node(cluster, aegis).await.context("cordon and uncordon")?;
    honest(cluster).await.context("requests")?;
    pod(cluster).await.context("restart-pod")?;
    stuck(cluster).await.context("delete-stuck-pod")?;
    drain(cluster).await.context("drain")
}

/// Asks for something as dan and waits for its end.
async fn ask(cluster: &Cluster, words: &[&str]) -> anyhow::Result<()> {
    ask_in(cluster, NAMESPACE, words).await
}

/// The same in another namespace.
async fn ask_in(cluster: &Cluster, namespace: &str, words: &[&str]) -> anyhow::Result<()> {
    let words = [words, &["--reason", "a trial", "--wait", "--timeout", "3m"]].concat();
    Person::new(cluster, namespace, "dan")?.aegis(&words).await.map(drop)
}

/// Asks in vain: the procedure itself refuses, with that reason.
async fn refused_in(cluster: &Cluster, namespace: &str, words: &[&str], reason: &str) -> anyhow::Result<()> {
    let refused = ask_in(cluster, namespace, words).await;
    let told = refused.err().with_context(|| format!("{words:?} was not refused"))?.to_string();
    ensure!(told.contains(reason), "{words:?} is told {told}, which lacks {reason:?}");
    Ok(())
}

async fn node(cluster: &Cluster, aegis: &Aegis<'_>) -> anyhow::Result<()> {
    let target = format!("node/{}", Cluster::NODE);
    let cordoned = ["get", "node", Cluster::NODE, "-o", "jsonpath={.spec.unschedulable}"];
    ask(cluster, &["cordon", &target]).await?;
    ensure!(cluster.kubectl(&cordoned).await? == "true", "the node is not cordoned");
    let alert = aegis.alert("Sop").await?;
    let request = alert.annotations().get("aegis.io/request").map(String::as_str);
    ensure!(request == Some("dan: a trial"), "it was asked for by {request:?}");
    // No other node takes its pod.
    ask(cluster, &["uncordon", &target]).await?;
    ensure!(cluster.kubectl(&cordoned).await?.is_empty(), "the node is still cordoned");
    ask(cluster, &["cordon", &target, "--for", "5s"]).await?;
    until("a cordon for a while is lifted by itself", || async {
        Ok(cluster.kubectl(&cordoned).await?.is_empty().then_some(()))
    })
    .await
}

/// What a person asks for is theirs and stays as it is.
async fn honest(cluster: &Cluster) -> anyhow::Result<()> {
    let alert = |request: Option<&str>, source: &str, label: &str| {
        json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
            "metadata": {"name": "asked", "labels": {"alert-source-type": label, "sop": "unknown"},
                "annotations": request.map(|request| json!({"aegis.io/request": request}))},
            "spec": {"type": "Sop", "status": "Firing", "source": source,
                "involvedObject": {"kind": "Node", "name": Cluster::NODE}},
        })
    };
    let file = cluster.machine.folder().join("sop-alert.json");
    let cases = [
        ("another's name", alert(Some("ann: why"), "manual", "manual"), Some("with the name of who asks")),
        ("no name", alert(None, "manual", "manual"), Some("with the name of who asks")),
        ("the label alone", alert(Some("dan: why"), "default", "manual"), Some("in spec.source and in the label")),
        ("the source alone", alert(Some("dan: why"), "manual", "default"), Some("in spec.source and in the label")),
        ("the name alone", alert(Some("ann: why"), "default", "default"), Some("with the name of who asks")),
        ("an alert like any other", alert(None, "default", "default"), None),
        ("the own name", alert(Some("dan: why"), "manual", "manual"), None),
    ];
    let create = ["create", "--dry-run=server", "-f", &file.display().to_string()].map(str::to_owned);
    let create: Vec<&str> = create.iter().map(String::as_str).collect();
    std::fs::write(&file, cases[0].1.to_string())?;
    let (dan, admin) = (Person::new(cluster, NAMESPACE, "dan")?, Person::new(cluster, NAMESPACE, ADMIN)?);
    until("the policy is in force", || async { Ok(dan.kubectl(&create).await.is_err().then_some(())) }).await?;
    for (why, alert, refused) in &cases {
        std::fs::write(&file, alert.to_string())?;
        match (dan.kubectl(&create).await, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) if error.to_string().contains(part) => {}
            (told, _) => anyhow::bail!("{why}: {told:?}"),
        }
    }
    dan.kubectl(&["create", "-f", &file.display().to_string()]).await?;
    for patch in [
        json!({"metadata": {"annotations": {"aegis.io/request": "ann: why"}}}),
        json!({"metadata": {"annotations": {"aegis.io/request": null}}}),
        json!({"metadata": {"annotations": {"aegis.io/cordon-for": "1s"}}}),
        json!({"metadata": {"labels": {"sop": "reboot"}}}),
        json!({"spec": {"involvedObject": {"name": ABSENT}}}),
    ] {
        let patch = patch.to_string();
        let words = ["patch", "aegisalert", "asked", "--type=merge", "-p", &patch];
        let told = admin.kubectl(&words).await;
        let refused = told.as_ref().is_err_and(|error| error.to_string().contains("stays as it was asked for"));
        ensure!(refused, "{patch} was answered with {told:?}");
    }
    admin.kubectl(&["label", "aegisalert", "asked", "team=gpu"]).await.map(drop)
}

async fn pod(cluster: &Cluster) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let running = || async {
        let found = pods.list(&ListParams::default().labels("app=web").fields("status.phase=Running")).await?.items;
        Ok(found.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none()).map(|pod| pod.name_any()))
    };
    let first = until("the pod runs", running).await?;
    ask(cluster, &["sop", "run", "restart-pod", "--pod", &format!("{NAMESPACE}/{first}")]).await?;
    let second = until("another pod runs", running).await?;
    ensure!(first != second && pods.get_opt(&first).await?.is_none(), "{first} is still there beside {second}");
    Ok(())
}

/// A pod whose node does not report is taken out of the API only once somebody says that the node is down.
async fn stuck(cluster: &Cluster) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let target = format!("{NAMESPACE}/stuck");
    let delete = ["sop", "run", "delete-stuck-pod", "--pod", &target, "--param", "overdue=1"];
    refused_in(cluster, NAMESPACE, &delete, "refused: nobody has deleted pod").await?;
    cluster.kubectl(&["delete", "pod", "stuck", "-n", NAMESPACE, "--wait=false"]).await?;
    until("the pod should have ended", || async {
        let end = pods.get("stuck").await?.metadata.deletion_timestamp.context("it is not being deleted")?;
        Ok((jiff::Timestamp::now() > end.0 + jiff::SignedDuration::from_secs(2)).then_some(()))
    })
    .await?;
    refused_in(cluster, NAMESPACE, &delete, "refused: node absent does not report").await?;
    ensure!(pods.get_opt("stuck").await?.is_some(), "it is gone all the same");
    ask(cluster, &[&delete[..], &["--param", "nodeIsDown=true"]].concat()).await?;
    ensure!(pods.get_opt("stuck").await?.is_none(), "the pod is still there");
    Ok(())
}

async fn drain(cluster: &Cluster) -> anyhow::Result<()> {
    let values = ["--param", "force=true", "--param", "gracePeriod=0"];
    ask(cluster, &[&["sop", "run", "drain", "--node", ABSENT][..], &values].concat()).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    ensure!(pods.get_opt("moved").await?.is_none(), "the pod is still there");
    Ok(())
}
