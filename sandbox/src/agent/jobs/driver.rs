//! Carrying out a Job's [`Plan`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::plan::{Plan, plan};
use crate::agent::failure;

/// What the Job controller works with.
pub(crate) struct Jobs {
    pub(crate) client: Client,
    pub(crate) pods: Store<Pod>,
    pub(crate) longest_backoff: Duration,
}

/// What could not be done for a Job yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not create pod {pod}")]
    CreatePod { pod: String, source: kube::Error },
    #[error("could not delete pod {pod}")]
    DeletePod { pod: String, source: kube::Error },
    #[error("could not write the status of job {job}")]
    WriteStatus { job: String, source: kube::Error },
    #[error("could not delete job {job}")]
    DeleteJob { job: String, source: kube::Error },
}

/// Brings a Job one step further.
pub(crate) async fn reconcile(job: Arc<Job>, jobs: Arc<Jobs>) -> Result<Action, Error> {
    if job.metadata.deletion_timestamp.is_some() && job.metadata.finalizers.as_ref().is_none_or(Vec::is_empty) {
        return Ok(Action::await_change());
    }
    let now = Timestamp::now();
    let plan = plan(&job, &owned(&job, &jobs.pods), now, jobs.longest_backoff);
    let look_again = plan.look_again;
    carry_out(&job, &jobs, plan).await?;
    Ok(match look_again {
        Some(time) => Action::requeue(time.duration_since(now).unsigned_abs()),
        None => Action::await_change(),
    })
}

fn owned(job: &Job, pods: &Store<Pod>) -> Vec<Pod> {
    let owned = pods.state_filter(|pod: &Pod| {
        let owners = pod.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| owner.controller == Some(true) && Some(&owner.uid) == job.metadata.uid.as_ref())
    });
    owned.iter().map(|pod| (**pod).clone()).collect()
}

async fn carry_out(job: &Job, jobs: &Jobs, plan: Plan) -> Result<(), Error> {
    let Plan { make, delete, status, look_again: _, expired } = plan;
    let name = job.metadata.name.clone().unwrap_or_default();
    let namespace = job.metadata.namespace.clone().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(jobs.client.clone(), &namespace);
    let api: Api<Job> = Api::namespaced(jobs.client.clone(), &namespace);
    for pod in make {
        match pods.create(&PostParams::default(), &pod).await {
            Ok(_) => {}
            // The name is derived from the Job's UID, so it is our own pod that the cache does not show yet.
            Err(error) if failure::is_conflict(&error) => {}
            Err(source) => return Err(Error::CreatePod { pod: pod.metadata.name.unwrap_or_default(), source }),
        }
    }
    for pod in delete {
        match pods.delete(&pod, &DeleteParams::default()).await {
            Err(source) if !failure::is_missing(&source) => return Err(Error::DeletePod { pod, source }),
            _ => {}
        }
    }
    if let Some(status) = status {
        let patch = status_patch(job, json!(status));
        match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if failure::is_missing(&error) => {}
            Err(source) => return Err(Error::WriteStatus { job: name, source }),
            Ok(_) => {}
        }
    }
    if expired && job.metadata.deletion_timestamp.is_none() {
        let this_one = Preconditions { uid: job.metadata.uid.clone(), resource_version: None };
        match api.delete(&name, &DeleteParams::background().preconditions(this_one)).await {
            Err(source) if !failure::is_missing(&source) && !failure::is_conflict(&source) => {
                return Err(Error::DeleteJob { job: name, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// A merge patch that leaves the status as given: what it lacks is taken away. It carries the version that the plan
/// was made from, for a stale Job would be planned again from its beginning.
fn status_patch(job: &Job, mut status: Value) -> Value {
    let before = job.status.as_ref().map(|status| json!(status)).unwrap_or_default();
    if let (Some(before), Some(status)) = (before.as_object(), status.as_object_mut()) {
        for key in before.keys() {
            status.entry(key.as_str()).or_insert(Value::Null);
        }
    }
    json!({"metadata": {"resourceVersion": job.metadata.resource_version}, "status": status})
}
