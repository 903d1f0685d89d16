//! The seed's own example under the real Argo and kubelet: how much of its time is Aegis's.

use std::time::Instant;

use anyhow::Context as _;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams, ObjectMeta, PostParams};
use serde_json::Value;

use super::bed::PORT;
use super::bodies::bodies;
use super::figures::{Figure, Target};
use super::observer::Observer;
use super::sender::Sender;
use super::times::{median, rounds};
use crate::aegis::{Aegis, repository};
use crate::cluster::Cluster;

/// The example's template names it.
const NAMESPACE: &str = "monitoring";
const ROUNDS: usize = 3;

pub(super) async fn measure(cluster: &Cluster) -> anyhow::Result<Vec<Figure>> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let rules = repository("kubectl-aegis/tests/data/seed.yaml").display().to_string();
    cluster.kubectl(&["apply", "-n", NAMESPACE, "-f", &rules]).await?;
    let observer = Observer::start(&cluster.client, NAMESPACE).await?;
    let mut controller = aegis.start(PORT, &[]).await?;
    let sender = Sender::to(&controller);
    // The first one is not counted: images are unpacked and rules are read.
    alert(cluster, &observer, &sender, 0).await?;
    let pattern = aegis.workflows().list(&ListParams::default().limit(1)).await?.items.into_iter().next();
    let pattern = pattern.context("there is no Workflow")?;
    let (mut shares, mut totals, mut own, mut by_hand) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (total, workflow) = alert(cluster, &observer, &sender, round).await?;
        shares.push(100.0 * (total - workflow) / total);
        totals.push(total);
        own.push(1e3 * (total - workflow));
        let hand = Workflow { api: &aegis.workflows(), pattern: &pattern };
        by_hand.push(hand.run(cluster, &observer, round).await?);
    }
    controller.running.stop().await?;
    Ok(vec![
        Figure::new("Aegis's part in the time of the seed's example", median(&shares), "%")
            .target(Target::AtMost(5.0))
            .note(format!(
                "{:.0} ms of {:.1} s, as a watcher saw them; {}; the same Workflow made by hand took {:.1} s",
                median(&own),
                median(&totals),
                rounds(&shares, 1),
                median(&by_hand)
            )),
    ])
}

/// Seconds from the webhook's request to the alert's success, and the part in which its Workflow was there and had not
/// ended.
async fn alert(cluster: &Cluster, observer: &Observer, sender: &Sender, round: usize) -> anyhow::Result<(f64, f64)> {
    let body = bodies(&format!("argo-{round}"), 1, 1).pop().context("one body was asked for")?;
    let mut body: Value = serde_json::from_str(&body)?;
    *body.pointer_mut("/alerts/0/labels/node").context("the alert names no node")? = Cluster::NODE.into();
    let begun = Instant::now();
    let taken = sender.deliver(body.to_string()).await?;
    let name = taken.names.into_iter().next().context("the answer names no alert")?;
    observer.until("the alert has succeeded", |_| observer.alert_ended(&name).is_some()).await?;
    let ended = observer.alert_ended(&name).context("it was seen")?;
    let workflow = observer.workflow_of(&name).context("its Workflow was not seen")?;
    let done = workflow.ended.context("its Workflow was not seen to end")?;
    // It cordons the node, and the next one's pod needs it.
    cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
    Ok(((ended - begun).as_secs_f64(), (done - workflow.made).as_secs_f64()))
}

/// A Workflow that is made as kubectl would.
struct Workflow<'a> {
    api: &'a kube::Api<DynamicObject>,
    pattern: &'a DynamicObject,
}

impl Workflow<'_> {
    /// Seconds from its creation until it has succeeded.
    async fn run(&self, cluster: &Cluster, observer: &Observer, round: usize) -> anyhow::Result<f64> {
        let mut object = self.pattern.clone();
        object.metadata = ObjectMeta { name: Some(format!("by-hand-{round}")), ..ObjectMeta::default() };
        if let Some(fields) = object.data.as_object_mut() {
            fields.remove("status");
        }
        let begun = Instant::now();
        self.api.create(&PostParams::default(), &object).await?;
        let (name, ended) = (object.name_any(), |name: &str| observer.workflow(name).and_then(|seen| seen.ended));
        observer.until("the Workflow has succeeded", |_| ended(&name).is_some()).await?;
        let ended = ended(&name).context("it was seen")?;
        cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
        Ok((ended - begun).as_secs_f64())
    }
}
