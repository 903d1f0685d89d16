//! The independent observer: watches of its own, from the API server, that miss no change and ask Aegis nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aegis_crds::AegisGuard;
use aegis_crds::names::{ARGO_PHASE_LABEL, PHASE_LABEL, RULE_ANNOTATION};
use anyhow::{Context as _, bail};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::RACK;
use super::judge::{Observation, Seen, Workflow};
use crate::simulated::SimulatedNodes;

/// Watches until it is asked for its record.
pub(super) struct Observer {
    record: Arc<Mutex<Vec<Observation>>>,
    watches: JoinSet<anyhow::Result<()>>,
}

impl Observer {
    /// Begins with what is there.
    pub(super) async fn start(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"));
        let workflows: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let guards: Api<AegisGuard> = Api::namespaced(client.clone(), namespace);
        let record: Arc<Mutex<Vec<Observation>>> = Arc::default();
        let mut watches = JoinSet::new();
        let mut known = HashMap::new();
        let nodes = Watch { api: Api::all(client.clone()), selector: SimulatedNodes::SELECTOR, record: record.clone() };
        watches.spawn(nodes.begin().await?.follow(move |node: &Node, gone| {
            let seen = node_out(node, gone);
            // Heartbeats say nothing.
            let new = known.insert(node.name_any(), seen.clone()) != Some(seen.clone());
            let (rack, out) = seen;
            new.then(|| Seen::Node { name: node.name_any(), rack, out })
        }));
        let workflows = Watch { api: workflows, selector: "", record: record.clone() };
        watches.spawn(workflows.begin().await?.follow(|object: &DynamicObject, gone| {
            Some(if gone { Seen::NoWorkflow(object.name_any()) } else { Seen::Workflow(workflow(object)) })
        }));
        let guards = Watch { api: guards, selector: "", record: record.clone() };
        watches
            .spawn(guards.begin().await?.follow(|guard: &AegisGuard, gone| (!gone).then(|| Seen::Book(places(guard)))));
        Ok(Self { record, watches })
    }

    /// Everything up to now; fails if a watch has ended, and so may have missed something.
    pub(super) fn end(mut self) -> anyhow::Result<Vec<Observation>> {
        if let Some(ended) = self.watches.try_join_next() {
            ended?.context("the observer has missed something")?;
            bail!("the observer has stopped");
        }
        Ok(std::mem::take(&mut *self.record.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

struct Watch<K> {
    api: Api<K>,
    selector: &'static str,
    record: Arc<Mutex<Vec<Observation>>>,
}

struct Begun<K> {
    watch: Watch<K>,
    there: Vec<K>,
    version: String,
}

impl<K> Watch<K>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    async fn begin(self) -> anyhow::Result<Begun<K>> {
        let list = self.api.list(&ListParams::default().labels(self.selector)).await?;
        let version = list.metadata.resource_version.context("a list without a version")?;
        Ok(Begun { watch: self, there: list.items, version })
    }
}

impl<K> Begun<K>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    /// Records every change, one after the other; a watch that breaks off is begun again where it ended.
    async fn follow(self, mut see: impl FnMut(&K, bool) -> Option<Seen> + Send) -> anyhow::Result<()> {
        let Self { watch: Watch { api, selector, record }, there, mut version } = self;
        let mut note = |object: &K, gone: bool| {
            let revision: u64 = object.meta().resource_version.as_deref().unwrap_or_default().parse()?;
            if let Some(seen) = see(object, gone) {
                record.lock().unwrap_or_else(PoisonError::into_inner).push(Observation { revision, seen });
            }
            anyhow::Ok(())
        };
        for object in &there {
            note(object, false)?;
        }
        let parameters = WatchParams::default().labels(selector);
        loop {
            let Ok(events) = api.watch(&parameters, &version).await else { continue };
            let mut events = std::pin::pin!(events);
            while let Ok(Some(event)) = events.try_next().await {
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        note(&object, false)?;
                        version = object.meta().resource_version.clone().context("an object without a version")?;
                    }
                    WatchEvent::Deleted(object) => {
                        note(&object, true)?;
                        version = object.meta().resource_version.clone().context("an object without a version")?;
                    }
                    WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                    WatchEvent::Error(status) => bail!("the API server ended a watch: {status}"),
                }
            }
        }
    }
}

/// Its rack, and whether it is out whatever Aegis does.
fn node_out(node: &Node, gone: bool) -> (String, bool) {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    (node.labels().get(RACK).cloned().unwrap_or_default(), !gone && (cordoned || !ready))
}

fn workflow(object: &DynamicObject) -> Workflow {
    let label = |name: &str| object.labels().get(name).map(String::as_str).unwrap_or_default();
    Workflow {
        name: object.name_any(),
        rule: object.annotations().get(RULE_ANNOTATION).cloned().unwrap_or_default(),
        node: label("node").to_owned(),
        recovery: label(PHASE_LABEL) == "Resolved",
        ended: matches!(label(ARGO_PHASE_LABEL), "Succeeded" | "Failed" | "Error"),
    }
}

fn places(guard: &AegisGuard) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    for claim in guard.status.iter().flat_map(|status| &status.claims).filter(|claim| !claim.recovery) {
        *places.entry(claim.rule.clone()).or_default() += 1;
    }
    places
}
