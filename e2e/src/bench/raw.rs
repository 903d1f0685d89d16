//! The yardstick: how fast the API server takes creates of the same objects, from a client of the same kind with the
//! same rights, when nothing else happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::bed::{Bed, INSTANCE_LABEL};
use super::figures::Figure;
use super::sender::at_rate;
use super::times::{Times, median, number, rounds};
use crate::aegis::Aegis;
use crate::cluster::Cluster;

const NAMESPACE: &str = "bench-raw";
/// How many creates are on their way at a time: as many as the controller has workers for alerts.
const AT_A_TIME: usize = 32;
const ROUNDS: usize = 3;
const CREATES: usize = 2_000;
const WARM: usize = 300;
/// How many alerts have their status patched in a round: no more than were made.
const PATCHES: usize = 800;
/// How many creates are paced in a round.
const PACED: usize = 600;

/// What the API server does by itself.
pub(super) struct Raw {
    creates: Creates,
    /// Creates per second, of each round.
    rounds: Vec<f64>,
    /// Patches of the status of such alerts, per second, of each round.
    patch_rounds: Vec<f64>,
    /// Creates at half that rate, in rounds.
    paced: Vec<Times>,
}

/// Prepares the namespace. What is installed later has the rights in the whole cluster.
pub(super) async fn prepare(cluster: &Cluster) -> anyhow::Result<()> {
    Aegis::install(cluster, NAMESPACE).await.map(drop)
}

/// Measures with copies of an alert and its Workflow that the controller has made.
pub(super) async fn measure(bed: &Bed<'_>) -> anyhow::Result<Raw> {
    let creates = Creates::of(bed).await?;
    creates.many(WARM).await?;
    let (rounds, patch_rounds) = (creates.rates().await?, creates.patch_rates(0).await?);
    let rate = median(&rounds);
    let mut paced = Vec::new();
    for _ in 0..ROUNDS {
        let one = creates.clone();
        let begin = move |()| {
            let one = one.clone();
            async move { one.one().await }
        };
        paced.push(Times::of(at_rate(vec![(); PACED], rate / 2.0, begin).await?));
    }
    Ok(Raw { creates, rounds, patch_rounds, paced })
}

impl Raw {
    /// Measures the rates once more: a machine is not equally fast at all times, and what is measured between two looks
    /// at the yardstick is compared with both.
    pub(super) async fn again(&mut self) -> anyhow::Result<()> {
        self.rounds.extend(self.creates.rates().await?);
        self.patch_rounds.extend(self.creates.patch_rates(self.patch_rounds.len()).await?);
        Ok(())
    }

    /// How long an alert and then a Workflow take.
    pub(super) async fn pair(&self) -> anyhow::Result<Duration> {
        Ok(self.creates.one().await? + self.creates.one().await?)
    }

    /// Creates per second.
    pub(super) fn rate(&self) -> f64 {
        median(&self.rounds)
    }

    /// Patches of the status of such alerts, per second.
    pub(super) fn patches(&self) -> f64 {
        median(&self.patch_rounds)
    }

    /// The 99th percentile of creates at half that rate, in milliseconds: the median of the rounds, since one stall of a
    /// disk is a percent of a round.
    pub(super) fn paced(&self) -> f64 {
        median(&self.paced_rounds())
    }

    fn paced_rounds(&self) -> Vec<f64> {
        self.paced.iter().map(|round| round.percentile(99)).collect()
    }

    pub(super) fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("raw: creates of the same objects", self.rate(), "/s")
                .note(format!("{AT_A_TIME} at a time; {}", rounds(&self.rounds, 0))),
            Figure::new("raw: patches of the status of those alerts", self.patches(), "/s")
                .note(format!("{AT_A_TIME} at a time; {}", rounds(&self.patch_rounds, 0))),
            Figure::new("raw creates at half that rate, p99", self.paced(), "ms").note(format!(
                "half of them within {:.1} ms; {}",
                median(&self.paced.iter().map(Times::median).collect::<Vec<f64>>()),
                rounds(&self.paced_rounds(), 1)
            )),
        ]
    }
}

/// Makes one object after the other, alerts and Workflows in turn.
#[derive(Clone)]
struct Creates {
    patterns: Arc<[(Api<DynamicObject>, DynamicObject); 2]>,
    next: Arc<AtomicUsize>,
    /// Of the alert, once it had ended.
    status: Map<String, Value>,
}

impl Creates {
    async fn of(bed: &Bed<'_>) -> anyhow::Result<Self> {
        let client = bed.cluster.client_of_account(NAMESPACE, "aegis").await?;
        let alert = bed.aegis.alerts().list(&ListParams::default().limit(1)).await?.items.into_iter().next();
        let workflow = bed.aegis.workflows().list(&ListParams::default().limit(1)).await?.items.into_iter().next();
        let alert = serde_json::to_value(alert.context("there is no alert yet")?)?;
        let status = alert.get("status").and_then(Value::as_object).cloned().context("the alert has no status")?;
        let alert = serde_json::from_value(alert)?;
        let workflow = workflow.context("there is no Workflow yet")?;
        let pattern = |object: DynamicObject, group: &str, kind: &str| {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1alpha1", kind));
            (Api::namespaced_with(client.clone(), NAMESPACE, &resource), stripped(object, &resource))
        };
        let patterns = [pattern(alert, "aegis.io", "AegisAlert"), pattern(workflow, "argoproj.io", "Workflow")];
        Ok(Self { patterns: Arc::new(patterns), next: Arc::default(), status })
    }

    async fn many(&self, count: usize) -> anyhow::Result<()> {
        stream::iter(0..count).map(|_| self.one()).buffer_unordered(AT_A_TIME).try_collect::<Vec<_>>().await.map(drop)
    }

    /// Creates per second, of each round.
    async fn rates(&self) -> anyhow::Result<Vec<f64>> {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            self.many(CREATES).await?;
            rates.push(number(CREATES) / begun.elapsed().as_secs_f64());
        }
        Ok(rates)
    }

    /// Patches per second, of each round; so many rounds were before.
    async fn patch_rates(&self, before: usize) -> anyhow::Result<Vec<f64>> {
        let mut rates = Vec::new();
        for round in before..before + ROUNDS {
            let begun = Instant::now();
            self.statuses(round).await?;
            rates.push(number(PATCHES) / begun.elapsed().as_secs_f64());
        }
        Ok(rates)
    }

    /// Patches the status of alerts that were made, each once in a round.
    async fn statuses(&self, round: usize) -> anyhow::Result<()> {
        let [(api, pattern), _] = &*self.patterns;
        let (name, mut status) = (pattern.metadata.name.as_deref().unwrap_or_default(), self.status.clone());
        status.insert("count".to_owned(), (round + 2).into());
        let patch = Patch::Merge(json!({"status": status}));
        let parameters = PatchParams::default();
        let names = (0..PATCHES).map(|number| format!("{name}-{}", 2 * number));
        stream::iter(names)
            .map(|name| {
                let (patch, parameters) = (&patch, &parameters);
                async move { api.patch_status(&name, parameters, patch).await }
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(())
    }

    async fn one(&self) -> anyhow::Result<Duration> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let [even, odd] = &*self.patterns;
        let (api, pattern) = if number.is_multiple_of(2) { even } else { odd };
        let mut object = pattern.clone();
        object.metadata.name = pattern.metadata.name.as_ref().map(|name| format!("{name}-{number}"));
        let begun = Instant::now();
        api.create(&PostParams::default(), &object).await?;
        Ok(begun.elapsed())
    }
}

/// The object as it was sent, but for what binds it to others: neither the simulator nor Argo nor the collector of
/// garbage has to do with it.
fn stripped(mut object: DynamicObject, resource: &ApiResource) -> DynamicObject {
    let mut labels: BTreeMap<String, String> = object.metadata.labels.take().unwrap_or_default();
    labels.insert(INSTANCE_LABEL.to_owned(), "raw".to_owned());
    object.metadata = ObjectMeta {
        name: object.metadata.name.take(),
        labels: Some(labels),
        annotations: object.metadata.annotations.take(),
        ..ObjectMeta::default()
    };
    if let Some(fields) = object.data.as_object_mut() {
        fields.remove("status");
    }
    object.types =
        Some(kube::core::TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() });
    object
}
