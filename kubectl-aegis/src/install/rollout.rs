//! How far a Deployment's rollout is: judged as kubectl judges it, and followed with a word on stderr at each turn.

use std::time::Duration;

use kube::Client;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::shipped::OURS;
use super::survey;
use crate::apply;
use crate::failure::{Failure, Kind};

/// How often the cluster is asked.
const PERIOD: Duration = Duration::from_millis(500);

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rollout {
    Done,
    /// And for what it waits.
    Waits(String),
    /// The Deployment controller gave up, and why.
    Stuck(String),
}

/// Until when something is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    end: Instant,
    length: Duration,
}

impl Deadline {
    pub(crate) fn after(length: Duration) -> Self {
        Self { end: Instant::now() + length, length }
    }

    /// Waits a moment before the next look.
    ///
    /// # Errors
    /// Timeout if it is over, with what was waited for.
    pub(crate) async fn pause(&self, what: &str) -> Result<(), Failure> {
        if Instant::now() >= self.end {
            return Err(Failure::new(Kind::Timeout, format!("not within {} s: {what}", self.length.as_secs())));
        }
        tokio::time::sleep(PERIOD.min(self.end - Instant::now())).await;
        Ok(())
    }
}

/// How the Deployment stands.
pub(crate) fn standing(deployment: &Value) -> Rollout {
    let number = |path: &str| deployment.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Rollout::Waits("the Deployment controller has not seen the change yet".to_owned());
    }
    let conditions = deployment.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let stuck = conditions
        .filter(|one| one.get("reason").is_some_and(|reason| reason == "ProgressDeadlineExceeded"))
        .find_map(|one| one.get("message").and_then(Value::as_str));
    if let Some(message) = stuck {
        return Rollout::Stuck(message.to_owned());
    }
    let wanted = deployment.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let (updated, all) = (number("/status/updatedReplicas"), number("/status/replicas"));
    let available = number("/status/availableReplicas");
    if updated < wanted {
        return Rollout::Waits(format!("{updated} of {wanted} replicas are of the new version"));
    }
    if all > updated {
        return Rollout::Waits(format!("{} replicas of the old version are ending", all - updated));
    }
    if available < updated {
        return Rollout::Waits(format!("{available} of {updated} replicas are ready"));
    }
    Rollout::Done
}

/// Returns when the Deployment aegis of that namespace has rolled out.
///
/// # Errors
/// Timeout with what it waited for, also where the Deployment controller gave up before.
pub(crate) async fn until_done(client: &Client, namespace: &str, deadline: Deadline) -> Result<(), Failure> {
    let mut deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "aegis"}});
    apply::place(&mut deployment, namespace);
    let mut last = String::new();
    loop {
        let found = survey::get(client, &deployment).await?.ok_or_else(|| survey::not_installed(namespace))?;
        let mut how = match standing(&found) {
            Rollout::Done => return Ok(()),
            Rollout::Waits(how) => how,
            Rollout::Stuck(why) => {
                let why = [Some(why), trouble(client, namespace).await].into_iter().flatten().collect::<Vec<_>>();
                return Err(Failure::new(Kind::Timeout, format!("the rollout is stuck: {}", why.join("; "))));
            }
        };
        if let Some(trouble) = trouble(client, namespace).await {
            how = format!("{how}; {trouble}");
        }
        if how != last {
            eprintln!("waiting: {how}");
            last.clone_from(&how);
        }
        deadline.pause(&how).await.map_err(|failure| {
            failure.hint(format!("it goes on by itself; `kubectl describe pods -n {namespace} -l {OURS}` says more"))
        })?;
    }
}

/// What keeps a pod from running, of the first one that says so. Whoever may not see pods is not told.
async fn trouble(client: &Client, namespace: &str) -> Option<String> {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}});
    apply::place(&mut pod, namespace);
    let pods = apply::api(client, &pod).list(&ListParams::default().labels(OURS)).await.ok()?;
    pods.items.iter().find_map(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        trouble_of(&pod.data).map(|trouble| format!("pod {name}: {trouble}"))
    })
}

/// What keeps that pod from running; nothing where it only takes its time.
pub(crate) fn trouble_of(pod: &Value) -> Option<String> {
    let word = |object: &Value, key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let waits = |status: &Value| {
        let waiting = status.pointer("/state/waiting")?;
        let (reason, message) = (word(waiting, "reason"), word(waiting, "message"));
        let takes_its_time = matches!(reason.as_str(), "" | "ContainerCreating" | "PodInitializing");
        (!takes_its_time).then(|| if message.is_empty() { reason } else { format!("{reason}: {message}") })
    };
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let unscheduled = conditions
        .filter(|one| word(one, "type") == "PodScheduled" && word(one, "status") == "False")
        .map(|one| format!("{}: {}", word(one, "reason"), word(one, "message")));
    statuses.filter_map(waits).chain(unscheduled).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_done_when_all_that_run_are_new_and_ready() {
        let deployment =
            |status: Value| json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        let status = |updated: u64, all: u64, available: u64| {
            deployment(
                json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": all, "availableReplicas": available}),
            )
        };
        let waits = |text: &str| Rollout::Waits(text.to_owned());
        let cases = [
            (
                "nobody looked",
                deployment(json!({"observedGeneration": 1})),
                waits("the Deployment controller has not seen the change yet"),
            ),
            ("it began", status(1, 2, 2), waits("1 of 2 replicas are of the new version")),
            ("old ones are left", status(2, 3, 2), waits("1 replicas of the old version are ending")),
            ("one is not ready", status(2, 2, 1), waits("1 of 2 replicas are ready")),
            ("done", status(2, 2, 2), Rollout::Done),
            (
                "it gave up",
                deployment(
                    json!({"observedGeneration": 2, "conditions": [{"reason": "ProgressDeadlineExceeded", "message": "no"}]}),
                ),
                Rollout::Stuck("no".into()),
            ),
        ];
        for (why, deployment, want) in cases {
            assert_eq!(standing(&deployment), want, "{why}");
        }
    }

    #[test]
    fn a_pod_says_what_keeps_it_from_running() {
        let waiting = |reason: &str| json!({"status": {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": "m"}}}]}});
        assert_eq!(trouble_of(&waiting("ImagePullBackOff")).as_deref(), Some("ImagePullBackOff: m"));
        assert_eq!(trouble_of(&waiting("ContainerCreating")), None);
        let full = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}});
        assert_eq!(trouble_of(&full).as_deref(), Some("Unschedulable: 0/3 nodes"));
    }
}
