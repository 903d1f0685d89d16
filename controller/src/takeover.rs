//! Taking over from the first version of Aegis: nothing is begun while its controller may still act, and what it began
//! is adopted, so that it is followed to its end and not made a second time.
//!
//! That controller makes a Workflow for every alert whose status does not say that it acted, and it cannot write that
//! status any more once the definitions have a status subresource. No name is derived in the same way by both, so this
//! is the one case in which two controllers at once would act twice.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::names::{GROUP, MANAGED_BY, MANAGED_BY_LABEL, OUTCOME_FINALIZER};
use aegis_engine::plan::{SeenAction, may_have_legacy_action};
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::cache::Source;
use crate::clock::Moment;
use crate::context::{FIELD_MANAGER, Failure, Lead};
use crate::executors::{self, OldPods, Workflow};

/// How often the signs are looked for that no watch tells, while there is one.
const PERIOD: Duration = Duration::from_secs(2);
/// How often they are looked for while there is none: the other controller may be started again.
const CALM_PERIOD: Duration = Duration::from_secs(15);
/// How long a Lease is believed that does not say.
const LEASE_LASTS: Duration = Duration::from_secs(15);
const PAGE: u32 = 500;
const NOT_LOOKED: &str = "nobody has looked yet whether an earlier version still runs";
const OLD_DEFINITIONS: &str = "the definitions are those of an earlier version (kubectl apply -f manifest/install/)";

/// What is known of a controller of an earlier version.
pub struct Takeover {
    pods: OldPods,
    lease: Mutex<Option<SeenLease>>,
    /// Workflows that could not be adopted, as they were seen.
    refused: Mutex<Vec<SeenAction>>,
    sign: watch::Sender<Option<String>>,
}

/// A version of its Lease, and since when we have seen that one.
#[derive(Debug)]
struct SeenLease {
    version: Option<String>,
    since: Moment,
}

impl Takeover {
    /// Nothing is known yet but the pods.
    pub fn new(pods: OldPods) -> Self {
        let sign = watch::Sender::new(Some(NOT_LOOKED.to_owned()));
        Self { pods, lease: Mutex::default(), refused: Mutex::default(), sign }
    }

    /// The sign that a controller of an earlier version may still act, as a sentence; `None` if there is none.
    pub fn waits_for(&self) -> Option<String> {
        self.sign.borrow().clone()
    }

    /// The Workflows of that alert that could not be adopted and do not stand in its status: our watch does not show
    /// them. Those that stand there are asked for by name.
    pub fn refused(&self, alert: &AegisAlert) -> Vec<SeenAction> {
        let uid = alert.metadata.uid.as_deref().unwrap_or_default();
        let known = alert.status.as_ref().map(|status| status.actions.as_slice()).unwrap_or_default();
        let recorded = |action: &SeenAction| known.iter().any(|one| one.uid.as_ref() == Some(&action.uid));
        let refused = lock(&self.refused);
        refused.iter().filter(|action| action.is_legacy_of(uid) && !recorded(action)).cloned().collect()
    }

    /// Returns once there is no such sign, and all that was begun is adopted.
    pub async fn over(&self) {
        self.until(|sign| sign.is_none()).await;
    }

    /// Returns once there is such a sign.
    pub async fn begun(&self) {
        self.until(Option::is_some).await;
    }

    async fn until(&self, wanted: impl Fn(&Option<String>) -> bool) {
        // The sender lives as long as self.
        let _ = self.sign.subscribe().wait_for(|sign| wanted(sign)).await;
    }
}

/// The pods of a controller of an earlier version that may still run. Ours carry its label too, and one more.
pub fn old_pods(client: &Client, namespace: &str) -> Source<PartialObjectMeta<Pod>> {
    Source {
        api: Api::namespaced(client.clone(), namespace),
        labels: Some("component=aegis,app.kubernetes.io/name!=aegis".to_owned()),
        fields: Some("status.phase!=Succeeded,status.phase!=Failed".to_owned()),
    }
}

/// Looks for signs of a controller of an earlier version; without one, adopts what it began. Goes on until it could.
pub async fn look(lead: &Lead) {
    let sign = sign(lead).await;
    let changed = lead.takeover.waits_for() != sign;
    match sign {
        Some(sign) if changed => {
            let pods: Vec<String> = lead.takeover.pods.all().map(|pod| pod.name_any()).collect();
            warn!(pods = ?pods, "alerts are stored and not acted on: {sign}");
            lead.takeover.sign.send_replace(Some(sign));
        }
        None if changed => {
            if lead.takeover.waits_for().is_some_and(|before| before != NOT_LOOKED) {
                // Its last alerts may not be here yet, and a status that old definitions refused looked as if its alert
                // was gone.
                lead.context.alerts.refresh().await;
            }
            adopt(lead).await;
            // One may have come while this took long.
            if let Some(sign) = self::sign(lead).await {
                lead.takeover.sign.send_replace(Some(sign));
                return;
            }
            lead.takeover.sign.send_replace(None);
        }
        _ => {}
    }
}

/// Looks again whenever something may have changed, until `stop`.
pub async fn follow(lead: Arc<Lead>, stop: CancellationToken) {
    let mut pods = lead.takeover.pods.subscribe();
    let watch = async {
        loop {
            let waits = lead.takeover.waits_for().is_some();
            let period = if waits { PERIOD } else { CALM_PERIOD };
            let by_time = waits || lead.context.settings.lease.predecessor.is_some();
            tokio::select! {
                _ = pods.next() => {}
                () = tokio::time::sleep(period), if by_time => {}
            }
            look(&lead).await;
            if waits && lead.takeover.waits_for().is_none() {
                info!("no controller of an earlier version is left: acting now");
            }
        }
    };
    stop.run_until_cancelled(watch).await;
}

async fn sign(lead: &Lead) -> Option<String> {
    let namespace = &lead.context.settings.alert.publish_namespace;
    if !lead.takeover.pods.is_empty() {
        return Some(format!(
            "a pod of an earlier version's controller is there in namespace {namespace} (labelled component=aegis)"
        ));
    }
    if let Some(name) = &lead.context.settings.lease.predecessor
        && let Some(how) = held(lead, name).await
    {
        let namespace = lead.context.settings.lease_namespace();
        return Some(format!("Lease {name} of an earlier version's controller in namespace {namespace} {how}"));
    }
    // Whoever found the definitions good once does not ask again.
    if lead.takeover.waits_for().is_some() && !definitions_are_ours(lead).await {
        return Some(OLD_DEFINITIONS.to_owned());
    }
    None
}

/// How that Lease is held: it has a holder, and was renewed within its duration as far as we have seen. One that cannot
/// be read must not be taken for free.
async fn held(lead: &Lead, name: &str) -> Option<&'static str> {
    let leases: Api<Lease> = Api::namespaced(lead.context.client.clone(), lead.context.settings.lease_namespace());
    let lease = match lead.request(leases.get_opt(name)).await {
        Ok(lease) => lease,
        Err(failure) if failure.code() == Some(403) => return Some("may not be read, so it counts as held"),
        Err(_) => return Some("is held"),
    };
    let mut seen = lock(&lead.takeover.lease);
    let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
    if spec.and_then(|spec| spec.holder_identity.as_deref()).is_none_or(str::is_empty) {
        *seen = None;
        return None;
    }
    let lasts = spec.and_then(|spec| spec.lease_duration_seconds).and_then(|seconds| u64::try_from(seconds).ok());
    let lasts = lasts.map_or(LEASE_LASTS, Duration::from_secs);
    let version = lease.as_ref().and_then(ResourceExt::resource_version);
    let now = Moment::now();
    // By when we saw it change, as candidates do: clocks of two machines differ.
    let known = seen.take().filter(|known| known.version == version).unwrap_or(SeenLease { version, since: now });
    let held = !now.until(known.since.after(lasts)).is_zero();
    *seen = Some(known);
    held.then_some("is held")
}

/// Whether status is a subresource of alerts: without it every status that is written is refused. An API server that
/// does not answer this will not take an action either.
async fn definitions_are_ours(lead: &Lead) -> bool {
    let version = format!("{GROUP}/v1alpha1");
    let Ok(served) = lead.request(lead.context.client.list_api_group_resources(&version)).await else { return true };
    let serves = |name: &str| served.resources.iter().any(|resource| resource.name == name);
    !serves("aegisalerts") || serves("aegisalerts/status")
}

/// Adopts the Workflows that an earlier version made for stored alerts and has not told the end of. Goes on until it
/// could, since one that is overlooked would be made again.
async fn adopt(lead: &Lead) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));
    loop {
        match try_to_adopt(lead).await {
            Ok(()) => return,
            Err(failure) => {
                let wait = backoff.next_wait();
                if !matches!(failure, Failure::NotLeading) {
                    warn!("could not adopt the Workflows of an earlier version: {failure}; trying again in {wait:?}");
                }
                tokio::time::sleep(wait).await;
            }
        }
    }
}

async fn try_to_adopt(lead: &Lead) -> Result<(), Failure> {
    if lead.context.alerts.unfinished().all(|alert| !may_have_legacy_action(&alert)) {
        return Ok(());
    }
    let found = orphans(lead).await?;
    lock(&lead.takeover.refused).clear();
    let adopted = futures::stream::iter(found).map(|workflow| take(lead, workflow));
    let adopted = adopted.buffer_unordered(lead.context.settings.workers).collect::<Vec<_>>().await;
    adopted.into_iter().collect()
}

/// The Workflows that nobody of ours made and that one of those alerts controls.
async fn orphans(lead: &Lead) -> Result<Vec<PartialObjectMeta<Workflow>>, Failure> {
    let workflows = workflows(lead);
    let mut parameters = ListParams::default().labels(&executors::not_ours()).limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = match lead.request(workflows.list_metadata(&parameters)).await {
            Ok(page) => page,
            // Argo is not installed.
            Err(failure) if failure.code() == Some(404) => return Ok(Vec::new()),
            // The list grew old between two pages: in one piece, then.
            Err(failure) if failure.code() == Some(410) && parameters.limit.is_some() => {
                parameters = ListParams { limit: None, continue_token: None, ..parameters };
                found.clear();
                continue;
            }
            Err(failure) => return Err(failure),
        };
        found.extend(page.items.into_iter().filter(|workflow| owner_waits(lead, workflow)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

fn owner_waits(lead: &Lead, workflow: &PartialObjectMeta<Workflow>) -> bool {
    let Some(owner) = executors::owner(&workflow.metadata) else { return false };
    let namespace = workflow.namespace().unwrap_or_default();
    let alert = lead.context.alerts.get(&namespace, &owner.name);
    let is_it = |alert: &AegisAlert| alert.metadata.uid.as_deref() == Some(owner.uid.as_str());
    alert.is_some_and(|alert| is_it(&alert) && may_have_legacy_action(&alert))
}

/// Puts our label on a Workflow, by which our watch shows it, and our finalizer, which keeps it until its end is told.
async fn take(lead: &Lead, workflow: PartialObjectMeta<Workflow>) -> Result<(), Failure> {
    let name = workflow.name_any();
    let mut finalizers = workflow.finalizers().to_vec();
    // The API server takes no new finalizer on what is being deleted.
    if workflow.metadata.deletion_timestamp.is_none() {
        finalizers.push(OUTCOME_FINALIZER.to_owned());
    }
    let patch = json!({"metadata": {
        "uid": workflow.metadata.uid,
        "resourceVersion": workflow.metadata.resource_version,
        "labels": {MANAGED_BY_LABEL: MANAGED_BY},
        "finalizers": finalizers,
    }});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match lead.request(workflows(lead).patch_metadata(&name, &parameters, &Patch::Merge(&patch))).await {
        Ok(taken) => {
            info!(action = %name, "adopted Workflow {name}, which an earlier version made");
            lead.workflows.insert(taken);
        }
        Err(failure) if failure.code() == Some(404) => {}
        Err(failure) if is_refusal(&failure) => {
            // It counts at least, so that it is not made again; its end is asked for when its alert is looked at.
            warn!(action = %name, "Workflow {name}, which an earlier version made, could not be adopted: {failure}");
            lock(&lead.takeover.refused).push(SeenAction::workflow_metadata(&workflow.metadata));
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// Whether asking again would be answered in the same way.
fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.code(), Some(400 | 403 | 422))
}

fn workflows(lead: &Lead) -> Api<Workflow> {
    Api::namespaced(lead.context.client.clone(), &lead.context.settings.alert.publish_namespace)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
