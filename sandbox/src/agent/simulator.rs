//! Ending Workflows and Jobs without pods or processes: for benchmarks, and for tests of what follows from an ending.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::argo::driver::workflow_resource;
use super::argo::names::{COMPLETED_LABEL, PHASE_LABEL};
use super::failure;
use super::watches::{Seen, watch};

/// Which patches a simulated run writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writes {
    /// One: the ending.
    Ending,
    /// Two: Running, then the ending.
    #[default]
    RunningAndEnding,
    /// Running, and no ending: for what waits.
    Running,
}

/// How simulated runs go.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatorOptions {
    /// From creation until it runs; default none.
    pub start_delay: Duration,
    /// How long it runs; default none.
    pub run_time: Duration,
    /// The share that fails, from 0 (default) to 1. Which ones follows from their names, so a run can be repeated.
    pub failing: f64,
    /// The message of those that fail.
    pub message: String,
    /// Which patches are written.
    pub writes: Writes,
    /// How many requests may be under way at once; default 64.
    pub concurrency: usize,
    /// Only objects with these labels; default all.
    pub selector: Option<String>,
    /// Whether Jobs are ended too; default yes.
    pub jobs: bool,
}

impl Default for SimulatorOptions {
    fn default() -> Self {
        Self {
            start_delay: Duration::ZERO,
            run_time: Duration::ZERO,
            failing: 0.0,
            message: "Error (exit code 1)".to_owned(),
            writes: Writes::default(),
            concurrency: 64,
            selector: None,
            jobs: true,
        }
    }
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Simulator {
    /// Starts to end every Workflow (and Job) that has not ended, those that are there and those to come.
    pub fn start(client: Client, options: SimulatorOptions) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let config = match &options.selector {
            Some(selector) => watcher::Config::default().labels(selector),
            None => watcher::Config::default(),
        };
        let shared = Arc::new(Shared {
            requests: Semaphore::new(options.concurrency.max(1)),
            begun: Mutex::default(),
            stop: stop.clone(),
            tasks: tasks.clone(),
            options,
        });
        let resource = workflow_resource();
        let workflows = Api::all_with(client.clone(), &resource);
        let of_workflows = Arc::clone(&shared);
        let (writer, of) = (Writer::new(resource.clone()), client.clone());
        tasks.spawn(watch(workflows, config.clone(), writer, stop.clone(), move |seen| {
            of_workflows.hear(seen, has_ended, |object: &DynamicObject| {
                let namespace = object.namespace().unwrap_or_default();
                let api: Api<DynamicObject> = Api::namespaced_with(of.clone(), &namespace, &resource);
                (api, Target::Workflow)
            });
        }));
        if shared.options.jobs {
            let jobs: Api<Job> = Api::all(client.clone());
            let of_jobs = Arc::clone(&shared);
            tasks.spawn(watch(jobs, config, Writer::new(()), stop.clone(), move |seen| {
                of_jobs.hear(seen, job_has_ended, |job: &Job| {
                    (Api::namespaced(client.clone(), &job.namespace().unwrap_or_default()), Target::Job)
                });
            }));
        }
        Self { stop, tasks }
    }

    /// Stops it and waits for the requests that are under way.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Workflow,
    Job,
}

struct Shared {
    options: SimulatorOptions,
    requests: Semaphore,
    /// The UIDs of those under way or ended, so that each runs once.
    begun: Mutex<HashSet<String>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Shared {
    fn hear<K>(self: &Arc<Self>, seen: Seen<'_, K>, ended: impl Fn(&K) -> bool, api: impl Fn(&K) -> (Api<K>, Target))
    where
        K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    {
        let begin = |object: &K| {
            let uid = object.meta().uid.clone().unwrap_or_default();
            if !ended(object) && self.begun.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone()) {
                let (api, target) = api(object);
                let name = object.meta().name.clone().unwrap_or_default();
                self.tasks.spawn(Arc::clone(self).run(api, target, name, uid));
            }
        };
        match seen {
            Seen::Changed(object) => begin(object),
            Seen::All(objects) => objects.iter().for_each(|object| begin(object)),
            Seen::Gone(object) => {
                let uid = object.meta().uid.as_deref().unwrap_or_default();
                self.begun.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
            }
        }
    }

    async fn run<K>(self: Arc<Self>, api: Api<K>, target: Target, name: String, uid: String)
    where
        K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        let work = async {
            tokio::time::sleep(self.options.start_delay).await;
            let started = Timestamp::now();
            if self.options.writes != Writes::Ending {
                self.write(&api, target, &name, running(target, &uid, started)).await;
            }
            if self.options.writes != Writes::Running {
                tokio::time::sleep(self.options.run_time).await;
                let failure = fails(&name, self.options.failing).then_some(self.options.message.as_str());
                self.write(&api, target, &name, ending(target, &uid, started, Timestamp::now(), failure)).await;
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = work => {}
        }
    }

    async fn write<K>(&self, api: &Api<K>, target: Target, name: &str, patch: Value)
    where
        K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        let mut pause = Duration::from_millis(50);
        loop {
            let written = {
                let Ok(_turn) = self.requests.acquire().await else { return };
                match target {
                    Target::Workflow => api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await,
                    Target::Job => api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await,
                }
            };
            match written {
                Ok(_) => return,
                Err(error) if failure::is_conflict(&error) || failure::refusal(&error).is_some() => {
                    tracing::debug!(%name, %error, "a simulated ending was refused");
                    return;
                }
                Err(error) => tracing::debug!(%name, %error, "a simulated ending is tried again"),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(Duration::from_secs(1));
        }
    }
}

fn running(target: Target, uid: &str, started: Timestamp) -> Value {
    match target {
        Target::Workflow => json!({
            "metadata": {"uid": uid, "labels": {PHASE_LABEL: "Running", COMPLETED_LABEL: "false"}},
            "status": {"phase": "Running", "startedAt": Time(started), "progress": "0/1"},
        }),
        Target::Job => {
            json!({"metadata": {"uid": uid}, "status": {"active": 1, "ready": 1, "startTime": Time(started)}})
        }
    }
}

fn ending(target: Target, uid: &str, started: Timestamp, now: Timestamp, failure: Option<&str>) -> Value {
    match target {
        Target::Workflow => {
            let phase = if failure.is_some() { "Failed" } else { "Succeeded" };
            json!({
                "metadata": {"uid": uid, "labels": {PHASE_LABEL: phase, COMPLETED_LABEL: "true"}},
                "status": {"phase": phase, "message": failure, "startedAt": Time(started), "finishedAt": Time(now), "progress": "1/1"},
            })
        }
        Target::Job => {
            let condition = |type_: &str, reason: &str, message: &str| {
                json!({"type": type_, "status": "True", "reason": reason, "message": message,
                    "lastProbeTime": Time(now), "lastTransitionTime": Time(now)})
            };
            let status = match failure {
                Some(message) => json!({
                    "active": null, "ready": 0, "failed": 1, "startTime": Time(started),
                    "conditions": [condition("FailureTarget", "BackoffLimitExceeded", message), condition("Failed", "BackoffLimitExceeded", message)],
                }),
                None => {
                    let message = "Reached expected number of succeeded pods";
                    json!({
                        "active": null, "ready": 0, "succeeded": 1, "startTime": Time(started), "completionTime": Time(now),
                        "conditions": [condition("SuccessCriteriaMet", "CompletionsReached", message), condition("Complete", "CompletionsReached", message)],
                    })
                }
            };
            json!({"metadata": {"uid": uid}, "status": status})
        }
    }
}

fn has_ended(object: &DynamicObject) -> bool {
    let phase = object.data.pointer("/status/phase").and_then(Value::as_str);
    matches!(phase, Some("Succeeded" | "Failed" | "Error"))
}

fn job_has_ended(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions
        .iter()
        .any(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True")
}

/// Whether the object of this name is among the share that fails.
fn fails(name: &str, share: f64) -> bool {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    f64::from(hash % 10_000) < share * 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_asked_share_fails_and_always_the_same() {
        let names: Vec<String> = (0..2_000).map(|number| format!("workflow-{number}")).collect();
        let failing = |share: f64| names.iter().filter(|name| fails(name, share)).count();
        assert_eq!((failing(0.0), failing(1.0)), (0, 2_000));
        assert!((300..500).contains(&failing(0.2)), "{}", failing(0.2));
        assert_eq!(failing(0.2), failing(0.2));
    }

    #[test]
    fn what_is_written_counts_as_ended() {
        let now = Timestamp::UNIX_EPOCH;
        for failure in [None, Some("broken")] {
            let job: Job = serde_json::from_value(ending(Target::Job, "u", now, now, failure)).unwrap();
            assert!(job_has_ended(&job));
            let mut workflow = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"});
            let patch = ending(Target::Workflow, "u", now, now, failure);
            workflow.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
            assert!(has_ended(&serde_json::from_value(workflow).unwrap()));
        }
        let job: Job = serde_json::from_value(running(Target::Job, "u", now)).unwrap();
        assert!(!job_has_ended(&job));
    }
}
