//! Jobs from creation to deletion.

use std::time::Duration;

use aegis_sandbox::agent::{AgentOptions, Scenario, Scene};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::{World, patch, until, until_gone};

impl World {
    async fn job(&self, spec: Value) {
        let mut all = json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "i", "command": ["sh", "-c", "sync"]}]}}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let job = json!({"metadata": {"name": "j"}, "spec": all});
        self.jobs().create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
    }

    /// Waits for a true condition of the job; returns its reason.
    async fn job_has(&self, condition: &str) -> (Job, String) {
        let job = until(&self.jobs(), "j", |job| reason(job, condition).is_some()).await;
        let reason = reason(&job, condition).unwrap();
        (job, reason)
    }

    async fn pods_of_job(&self) -> usize {
        self.pods().list(&ListParams::default().labels("batch.kubernetes.io/job-name=j")).await.unwrap().items.len()
    }
}

fn reason(job: &Job, condition: &str) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|known| known.type_ == condition && known.status == "True")?;
    found.reason.clone()
}

fn options(scenes: impl IntoIterator<Item = Scene>) -> AgentOptions {
    AgentOptions {
        scenario: Scenario::of(scenes),
        longest_backoff: Duration::from_millis(50),
        ..AgentOptions::default()
    }
}

#[tokio::test]
async fn a_job_completes() {
    let world = World::start(options([])).await;
    world.job(json!({"completions": 3, "parallelism": 2})).await;
    let (job, reason) = world.job_has("Complete").await;
    assert_eq!(reason, "CompletionsReached");
    let status = job.status.unwrap();
    assert_eq!((status.succeeded, status.active, status.failed), (Some(3), None, None));
    assert!(status.start_time.is_some() && status.completion_time.is_some());
    assert!(status.conditions.unwrap().iter().any(|condition| condition.type_ == "SuccessCriteriaMet"));
    assert_eq!(world.pods_of_job().await, 3);
}

#[tokio::test]
async fn a_job_is_tried_again_up_to_its_limit() {
    let world = World::start(options([Scene::script("sync").exits(1)])).await;
    world.job(json!({"backoffLimit": 2})).await;
    let (job, reason) = world.job_has("Failed").await;
    assert_eq!(reason, "BackoffLimitExceeded");
    assert_eq!(job.status.unwrap().failed, Some(3));
    assert_eq!(world.pods_of_job().await, 3);
}

#[tokio::test]
async fn a_job_that_hangs_meets_its_deadline() {
    let world = World::start(options([Scene::any().hangs()])).await;
    world.job(json!({"activeDeadlineSeconds": 1})).await;
    let (_, reason) = world.job_has("Failed").await;
    assert_eq!(reason, "DeadlineExceeded");
    assert_eq!(world.pods_of_job().await, 0, "its pods are deleted");
}

#[tokio::test]
async fn a_suspended_job_waits_and_goes_on() {
    let world = World::start(options([])).await;
    world.job(json!({"suspend": true})).await;
    world.job_has("Suspended").await;
    assert_eq!(world.pods_of_job().await, 0);
    patch(&world.jobs(), "j", json!({"spec": {"suspend": false}})).await;
    world.job_has("Complete").await;
}

#[tokio::test]
async fn an_ended_job_goes_when_its_time_is_over() {
    let world = World::start(options([])).await;
    world.job(json!({"ttlSecondsAfterFinished": 0})).await;
    until_gone(&world.jobs(), "j").await;
}
