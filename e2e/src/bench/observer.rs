//! An independent watcher: it tells when a Workflow was there, and when an alert's status said that it had ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aegis_crds::AegisAlert;
use aegis_crds::alert::AlertOpsStatus;
use aegis_crds::names::ARGO_PHASE_LABEL;
use anyhow::{Context as _, ensure};
use futures::{Stream, TryStreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(400);

/// Watches one namespace until it is dropped.
pub(super) struct Observer {
    seen: Arc<Mutex<Seen>>,
    counts: watch::Receiver<Counts>,
    _feeds: JoinSet<anyhow::Result<()>>,
}

/// What was seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Lists that are complete.
    listed: usize,
    /// Workflows that were made.
    pub(super) made: usize,
    /// Alerts whose status says Succeeded.
    pub(super) ended: usize,
    /// Alerts whose status says Failed.
    failed: usize,
}

#[derive(Default)]
struct Seen {
    /// By the Workflow's name.
    workflows: HashMap<String, Moments>,
    /// Workflows by their alert's name.
    of_alert: HashMap<String, String>,
    /// By the alert's name.
    alerts: HashMap<String, Instant>,
    last_made: Option<Instant>,
}

/// When a Workflow was first seen, and first seen as ended well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) made: Instant,
    pub(super) ended: Option<Instant>,
}

impl Observer {
    /// Begins to watch, and returns once what is there is known.
    pub(super) async fn start(client: &Client, namespace: &str) -> anyhow::Result<Self> {
        let alerts: Api<AegisAlert> = Api::namespaced(client.clone(), namespace);
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"));
        let workflows: Api<PartialObjectMeta<DynamicObject>> =
            Api::namespaced_with(client.clone(), namespace, &resource);
        let (sender, counts) = watch::channel(Counts::default());
        let (sender, seen) = (Arc::new(sender), Arc::<Mutex<Seen>>::default());
        let mut feeds = JoinSet::new();
        let (told, of) = (sender.clone(), seen.clone());
        let stream = watcher::watcher(workflows, watcher::Config::default());
        feeds.spawn(follow(stream, sender.clone(), move |object: PartialObjectMeta<DynamicObject>| {
            workflow(&of, &told, &object.metadata)
        }));
        let (told, of) = (sender.clone(), seen.clone());
        let stream = watcher::watcher(alerts, watcher::Config::default());
        feeds.spawn(follow(stream, sender, move |object: AegisAlert| alert(&of, &told, &object)));
        let observer = Self { seen, counts, _feeds: feeds };
        observer.until("what is there is known", |counts| counts.listed == 2).await?;
        Ok(observer)
    }

    /// What was seen so far.
    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until that is so.
    pub(super) async fn until(&self, what: &str, so: impl Fn(Counts) -> bool) -> anyhow::Result<Counts> {
        let mut counts = self.counts.clone();
        let wait = tokio::time::timeout(PATIENCE, counts.wait_for(|counts| so(*counts))).await;
        let seen = wait.map(|seen| seen.map(|counts| *counts));
        let seen = seen.with_context(|| format!("waited in vain until {what}: {:?}", self.counts()))?;
        let seen = seen.context("the watch has ended")?;
        ensure!(seen.failed == 0, "{} alerts say that they failed", seen.failed);
        Ok(seen)
    }

    /// When the last of all Workflows was made.
    pub(super) fn last_made(&self) -> anyhow::Result<Instant> {
        self.seen().last_made.context("no Workflow was seen")
    }

    /// The Workflow of that alert.
    pub(super) fn workflow_of(&self, alert: &str) -> Option<Moments> {
        let seen = self.seen();
        seen.of_alert.get(alert).and_then(|name| seen.workflows.get(name)).copied()
    }

    /// The Workflow of that name.
    pub(super) fn workflow(&self, name: &str) -> Option<Moments> {
        self.seen().workflows.get(name).copied()
    }

    /// When the status of that alert said that it had ended well.
    pub(super) fn alert_ended(&self, alert: &str) -> Option<Instant> {
        self.seen().alerts.get(alert).copied()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

async fn follow<K>(
    stream: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    counts: Arc<watch::Sender<Counts>>,
    hear: impl Fn(K) + Send,
) -> anyhow::Result<()>
where
    K: kube::Resource + Clone + Send + 'static,
{
    let mut stream = std::pin::pin!(stream.default_backoff());
    loop {
        match stream.try_next().await {
            Ok(Some(watcher::Event::Apply(object) | watcher::Event::InitApply(object))) => hear(object),
            Ok(Some(watcher::Event::InitDone)) => counts.send_modify(|counts| counts.listed += 1),
            Ok(Some(watcher::Event::Init | watcher::Event::Delete(_))) => {}
            Ok(None) => return Ok(()),
            Err(error) => eprintln!("the independent watcher: {error}"),
        }
    }
}

fn workflow(seen: &Mutex<Seen>, counts: &watch::Sender<Counts>, metadata: &ObjectMeta) {
    let now = Instant::now();
    let Some(name) = metadata.name.clone() else { return };
    let ended = metadata.labels.as_ref().and_then(|labels| labels.get(ARGO_PHASE_LABEL));
    let ended = ended.is_some_and(|phase| phase == "Succeeded");
    let mut seen = lock(seen);
    if let Some(known) = seen.workflows.get_mut(&name) {
        if ended && known.ended.is_none() {
            known.ended = Some(now);
            drop(seen);
            counts.send_modify(|_| ());
        }
        return;
    }
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.kind == "AegisAlert");
    if let Some(owner) = owner {
        seen.of_alert.insert(owner.name.clone(), name.clone());
    }
    seen.workflows.insert(name, Moments { made: now, ended: ended.then_some(now) });
    seen.last_made = Some(now);
    drop(seen);
    counts.send_modify(|counts| counts.made += 1);
}

fn alert(seen: &Mutex<Seen>, counts: &watch::Sender<Counts>, alert: &AegisAlert) {
    let now = Instant::now();
    let status = alert.status.as_ref().and_then(|status| status.ops_status.as_ref());
    let failed = match status.and_then(|status| status.alert_ops_status) {
        Some(AlertOpsStatus::Succeeded) => false,
        Some(AlertOpsStatus::Failed) => true,
        _ => return,
    };
    // Later changes, as by a repeat, are no second end.
    let first = {
        let mut seen = lock(seen);
        let before = seen.alerts.len();
        seen.alerts.entry(alert.name_any()).or_insert(now);
        seen.alerts.len() > before
    };
    if first {
        counts.send_modify(|counts| if failed { counts.failed += 1 } else { counts.ended += 1 });
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
