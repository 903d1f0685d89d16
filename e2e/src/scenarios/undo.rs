//! What an ordinary kubectl in a procedure changed on a node is written down there, put back on demand, and left alone
//! where somebody else has changed it since; a cordon of somebody else stays.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, Controller, node_alert};
use crate::cluster::Cluster;
use crate::held::Event;
use crate::parts;
use crate::person::Person;
use crate::procedure;
use crate::simulated::SimulatedNodes;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "undo",
    about: "a cordon, a taint and labels of a procedure are put back, a cordon for a while by itself; what moved on and a foreign cordon stay",
    smoke: false,
    parts: &[&parts::KWOK],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "undo";
/// What people write in procedures.
const SCRIPT: &str = "\
kubectl cordon {{.node}}
kubectl taint node {{.node}} gpu=broken:NoSchedule
kubectl label node {{.node}} --overwrite gpu=broken ticket=4711
";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let isolate = procedure::rule("isolate", "^NodeBroken$", &procedure::kubectl(SCRIPT));
    let label = procedure::kubectl("kubectl label node {{.node}} --overwrite gpu=broken\n");
    let label = procedure::where_rule(procedure::rule("label", "^NodeOdd$", &label), "onCordoned", json!("Act"));
    let brief = procedure::kubectl("kubectl cordon {{.node}}\nkubectl label node {{.node}} --overwrite gpu=tested\n");
    let brief = procedure::where_rule(procedure::rule("brief", "^NodeTested$", &brief), "cordonFor", json!("20s"));
    let release = procedure::kubectl("kubectl uncordon {{.node}}\n");
    let release = procedure::recovery("release", "^NodeBroken$", &release);
    cluster.apply(NAMESPACE, &procedure::list(isolate.into_iter().chain(label).chain(brief).chain(release))).await?;
    let nodes = SimulatedNodes::start(cluster, 3, |_| vec![("gpu", "ok".to_owned())]).await?;
    let controller = aegis.start(8080, &[]).await?;
    let scene = Scene { aegis: &aegis, controller: &controller, admin: aegis.admin()? };
    scene.put_back("sim-0").await.context("put back")?;
    scene.moved_on("sim-1").await.context("moved on")?;
    scene.foreign_cordon("sim-2").await.context("a foreign cordon")?;
    scene.resolved("sim-0").await.context("put back by a rule")?;
    scene.expired("sim-1").await.context("put back by itself")?;
    nodes.stop(cluster).await?;
    aegis.uninstall(controller).await
}

struct Scene<'a> {
    aegis: &'a Aegis<'a>,
    controller: &'a Controller,
    admin: Person<'a>,
}

impl Scene<'_> {
    /// Fires, and waits until the procedure has done its work on the node and it is written down; the alert's name.
    async fn isolated(&self, fingerprint: &str, node: &str) -> anyhow::Result<String> {
        self.controller.send(&node_alert("NodeBroken", fingerprint, node)).await?;
        let alert = self.aegis.until_repaired(fingerprint).await?.name_any();
        until(&format!("what changed on {node} is written down"), || async {
            let noted: Vec<String> = self.noted(node).await?;
            let want = ["label/gpu", "label/ticket", "taint/gpu:NoSchedule", "unschedulable"];
            ensure!(noted == want, "it tells of {noted:?}");
            Ok(Some(()))
        })
        .await?;
        Ok(alert)
    }

    /// What stands on the node of changes of ours.
    async fn noted(&self, node: &str) -> anyhow::Result<Vec<String>> {
        let field = |change: &Value| change.get("field").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(self.changes(node).await?.iter().map(field).collect())
    }

    async fn changes(&self, node: &str) -> anyhow::Result<Vec<Value>> {
        let node = self.node(node).await?;
        let text = node.pointer("/metadata/annotations/aegis.io~1changes").and_then(Value::as_str);
        Ok(text.map(serde_json::from_str).transpose()?.unwrap_or_default())
    }

    async fn node(&self, node: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.admin.kubectl(&["get", "node", node, "-o", "json"]).await?)?)
    }

    /// What people and procedures set on a node.
    async fn state(&self, node: &str) -> anyhow::Result<Value> {
        let node = self.node(node).await?;
        let part = |path: &str| node.pointer(path).cloned().unwrap_or(Value::Null);
        // Kubernetes itself adds one for a cordon, a moment later, and dates it.
        let taints: Vec<Value> = part("/spec/taints").as_array().into_iter().flatten().cloned().collect();
        let own = |taint: &&Value| !taint.to_string().contains("node.kubernetes.io/");
        let taints: Vec<&Value> = taints.iter().filter(own).collect();
        let cordoned = part("/spec/unschedulable") == json!(true);
        Ok(json!({"labels": part("/metadata/labels"), "taints": taints, "cordoned": cordoned}))
    }

    async fn put_back(&self, node: &str) -> anyhow::Result<()> {
        let before = self.state(node).await?;
        let alert = self.isolated("one", node).await?;
        let after = self.state(node).await?;
        ensure!(after.get("cordoned") == Some(&json!(true)), "the procedure left {node} as {after}");

        let viewer = self.aegis.person("vic")?;
        viewer.is_given("--clusterrole=view").await?;
        let (ended, told) = viewer.tries(&["undo", &format!("node/{node}")]).await?;
        ensure!(ended == Some(4), "one who may not change nodes is answered with {ended:?}: {told}");
        let shown = self.admin.aegis(&["undo", &alert, "--dry-run=client"]).await?;
        for part in ["unschedulable", "taint/gpu:NoSchedule", "label/gpu", "label/ticket"] {
            ensure!(shown.contains(part), "what would be put back lacks {part}: {shown}");
        }
        ensure!(self.state(node).await? == after, "a dry run changed {node}");
        self.admin.aegis(&["undo", &alert]).await?;
        let back = self.state(node).await?;
        ensure!(back == before, "{node} was {before}, and is put back to {back}");
        ensure!(self.noted(node).await?.is_empty(), "something is still noted on {node}");
        let again = self.admin.aegis(&["undo", &alert]).await?;
        ensure!(again.contains("nothing"), "a second time it says {again}");
        Ok(())
    }

    async fn moved_on(&self, node: &str) -> anyhow::Result<()> {
        let before = self.state(node).await?;
        self.isolated("two", node).await?;
        self.admin.kubectl(&["label", "node", node, "--overwrite", "gpu=replaced"]).await?;
        let moved = self.state(node).await?;
        let (ended, told) = self.admin.tries(&["undo", &format!("node/{node}")]).await?;
        ensure!(ended == Some(6), "it is not refused but ends with {ended:?}: {told}");
        ensure!(told.contains("label/gpu is \"replaced\" now and no longer \"broken\""), "it is refused with {told}");
        ensure!(self.state(node).await? == moved, "a part of it was put back");
        self.admin.kubectl(&["label", "node", node, "--overwrite", "gpu=broken"]).await?;
        self.admin.aegis(&["undo", &format!("node/{node}")]).await?;
        let back = self.state(node).await?;
        ensure!(back == before, "{node} was {before}, and is put back to {back}");
        Ok(())
    }

    /// Neither recovery nor undo lifts what somebody else did, not even beside a change of ours.
    async fn foreign_cordon(&self, node: &str) -> anyhow::Result<()> {
        self.admin.kubectl(&["cordon", node]).await?;
        let before = self.state(node).await?;
        self.controller.send(&node_alert("NodeBroken", "three", node)).await?;
        self.aegis.until_held("three", "Cordoned").await?;
        self.controller
            .send(&procedure::with(node_alert("NodeBroken", "three", node), "status", "Resolved".into()))
            .await?;
        self.aegis.until_read("three", "NotOurs", "cordoned by somebody else", Event::Told).await?;

        self.controller.send(&node_alert("NodeOdd", "four", node)).await?;
        self.aegis.until_repaired("four").await?;
        until("the label is written down", || async {
            let noted = self.noted(node).await?;
            ensure!(noted == ["label/gpu"], "it tells of {noted:?}");
            Ok(Some(()))
        })
        .await?;
        self.admin.aegis(&["undo", &format!("node/{node}")]).await?;
        let back = self.state(node).await?;
        ensure!(back == before, "{node} was {before}, and is put back to {back}");
        let nothing = self.admin.aegis(&["undo", &format!("node/{node}")]).await?;
        ensure!(nothing.contains("nothing"), "undo says of somebody else's cordon: {nothing}");
        self.aegis.until_held("three", "NotOurs").await?;
        self.admin.kubectl(&["uncordon", node]).await?;
        self.aegis.until_repaired("three").await.map(drop)
    }

    /// A cordon for a while ends by itself, not before what holds recovery does, and alone of what the procedure did; one
    /// that a person has set in between stays.
    async fn expired(&self, node: &str) -> anyhow::Result<()> {
        let before = self.state(node).await?;
        let target = format!("node/{node}");
        let end = self.cordoned_for_a_while("six", node).await?;
        self.admin.aegis(&["pause", &target, "--reason", "a trial", "--recovery-too"]).await?;
        until("its time is over", || async { Ok((Timestamp::now() > end).then_some(())) }).await?;
        ensure!(self.state(node).await?.get("cordoned") == Some(&json!(true)), "it was lifted while that is paused");
        self.admin.aegis(&["resume", &target]).await?;
        until("the cordon is lifted by itself", || async {
            let noted = self.noted(node).await?;
            Ok((noted == ["label/gpu"]).then_some(()))
        })
        .await?;
        ensure!(self.state(node).await?.get("cordoned") == Some(&json!(false)), "{node} is still cordoned");
        let told = self.admin.kubectl(&["describe", "node", node]).await?;
        ensure!(told.contains("ChangeExpired") && told.contains("it was to stand until"), "it is told as {told}");
        self.admin.aegis(&["undo", &target]).await?;
        ensure!(self.state(node).await? == before, "{node} is not as it was");

        let end = self.cordoned_for_a_while("seven", node).await?;
        let shown = self.admin.aegis(&["get", "nodes", "-o", "wide"]).await?;
        ensure!(shown.contains(&end.to_string()), "until when is shown nowhere: {shown}");
        self.admin.kubectl(&["uncordon", node]).await?;
        self.admin.kubectl(&["cordon", node]).await?;
        until("the cordon is known as somebody else's", || async {
            let noted = self.noted(node).await?;
            Ok((noted == ["label/gpu"]).then_some(()))
        })
        .await?;
        ensure!(self.state(node).await?.get("cordoned") == Some(&json!(true)), "a person's cordon was lifted");
        self.admin.aegis(&["undo", &target]).await?;
        self.admin.kubectl(&["uncordon", node]).await?;
        let back = self.state(node).await?;
        ensure!(back == before, "{node} was {before}, and is put back to {back}");
        Ok(())
    }

    /// Fires for a cordon that is to stand for a while; until when.
    async fn cordoned_for_a_while(&self, fingerprint: &str, node: &str) -> anyhow::Result<Timestamp> {
        self.controller.send(&node_alert("NodeTested", fingerprint, node)).await?;
        self.aegis.until_repaired(fingerprint).await?;
        until("the end of the cordon is written down", || async {
            let changes = self.changes(node).await?;
            let end = changes.iter().find_map(|change| change.get("expires")?.as_str()?.parse().ok());
            Ok(end)
        })
        .await
    }

    /// The rule's own recovery lifts the cordon; what it leaves is still known as ours.
    async fn resolved(&self, node: &str) -> anyhow::Result<()> {
        self.isolated("five", node).await?;
        self.controller
            .send(&procedure::with(node_alert("NodeBroken", "five", node), "status", "Resolved".into()))
            .await?;
        until("the recovery has ended and is noted", || async {
            let noted = self.noted(node).await?;
            ensure!(noted == ["label/gpu", "label/ticket", "taint/gpu:NoSchedule"], "it tells of {noted:?}");
            Ok(Some(()))
        })
        .await?;
        let left = self.state(node).await?;
        ensure!(left.get("cordoned") == Some(&json!(false)), "{node} is left as {left}");
        Ok(())
    }
}
