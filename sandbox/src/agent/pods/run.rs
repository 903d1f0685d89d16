//! One pod's life on its node: its containers one after the other or side by side, and its status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Kubelet;
use super::command::Command;
use super::environment::{self, Source, Sources};
use super::status::{Ended, Standing, State};
use crate::agent::argo::names::WORKFLOW_LABEL;
use crate::agent::argo::pod_view::OUTPUTS_ANNOTATION;
use crate::agent::failure;
use crate::agent::scenario::{Cast, Ending};

/// Between two tries at a configuration that lacks a ConfigMap or Secret.
const MISSING_SOURCE: Duration = Duration::from_secs(1);
/// The pause before a container is started again; it doubles each time.
const FIRST_RESTART: Duration = Duration::from_secs(1);
const DEADLINE: &str = "Pod was active on the node longer than the specified deadline";
/// What a container exits with that was ended from outside.
const KILLED: i32 = 137;

/// A pod on its node.
pub(super) struct Run {
    kubelet: Arc<Kubelet>,
    pod: Pod,
    standing: Mutex<Standing>,
    /// One writer of its status at a time, so that the last state is the last written.
    writing: tokio::sync::Mutex<()>,
    /// Ends its containers.
    stop: CancellationToken,
    /// The labels of what owns it, for the scenario.
    owner_labels: BTreeMap<String, String>,
}

/// Which of a pod's lists a container stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Init(usize),
    Main(usize),
}

/// What one run of a container came to.
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) reason: String,
    pub(super) message: String,
    /// What it printed on its standard output, without the last line break.
    pub(super) result: String,
}

impl Outcome {
    /// Of a container that could not be started.
    #[cfg_attr(not(unix), allow(dead_code, reason = "containers are executed on Unix alone"))]
    pub(super) fn not_started(message: String) -> Self {
        Self { code: 128, reason: "StartError".to_owned(), message, result: String::new() }
    }
}

impl Run {
    /// Runs `pod` to its end or until `stop`, which the agent cancels when the pod is deleted or the agent ends.
    pub(super) async fn pod(kubelet: Arc<Kubelet>, pod: Pod, updates: watch::Receiver<Pod>, stop: CancellationToken) {
        let now = Timestamp::now();
        let resumed = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        let mut standing = Standing::new(&pod, now);
        if let Some(started) = pod.status.as_ref().and_then(|status| status.start_time.as_ref()) {
            standing.started = started.0;
        }
        let owner_labels = kubelet.owner_labels(&pod).await;
        let ended = stop.child_token();
        let run = Self {
            kubelet,
            pod,
            standing: Mutex::new(standing),
            writing: tokio::sync::Mutex::default(),
            stop: ended.clone(),
            owner_labels,
        };
        if resumed && run.must_not_run_again() {
            run.evict("ContainerStatusUnknown", "The container could not be located when the node agent was started");
        } else {
            let containers = run.containers();
            tokio::pin!(containers);
            tokio::select! {
                () = &mut containers => {}
                () = run.deadline(updates) => {
                    ended.cancel();
                    containers.await;
                    run.evict("DeadlineExceeded", DEADLINE);
                }
            }
        }
        // A deleted pod's ending is written too, before it goes; an agent that ends leaves the status as it is.
        if !run.kubelet.stop.is_cancelled() {
            run.write().await;
        }
    }

    /// Whether an execution that an earlier agent began would be repeated.
    fn must_not_run_again(&self) -> bool {
        let spec = self.pod.spec.clone().unwrap_or_default();
        let never = spec.restart_policy.as_deref() == Some("Never");
        never && spec.containers.iter().any(|container| self.kubelet.may_execute(&self.pod, container).is_ok())
    }

    async fn containers(&self) {
        let spec = self.pod.spec.clone().unwrap_or_default();
        for (index, container) in spec.init_containers.iter().flatten().enumerate() {
            let ended = self.container(Place::Init(index), container).await;
            if ended != Some(0) {
                return;
            }
        }
        let all = spec.containers.iter().enumerate();
        join_all(all.map(|(index, container)| self.container(Place::Main(index), container))).await;
    }

    /// Waits until the pod has been active for longer than it may.
    async fn deadline(&self, mut updates: watch::Receiver<Pod>) {
        loop {
            let seconds = updates.borrow_and_update().spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
            let due = seconds.and_then(|seconds| {
                let since = Timestamp::now().duration_since(self.locked(|standing| standing.started)).as_secs_f64();
                #[expect(clippy::cast_precision_loss, reason = "a deadline of 2^52 seconds may be off by one")]
                let left = seconds as f64 - since;
                Duration::try_from_secs_f64(left.max(0.0)).ok()
            });
            let wait = due.unwrap_or(Duration::from_secs(24 * 3600));
            tokio::select! {
                () = tokio::time::sleep(wait) => {
                    if due.is_some() {
                        return;
                    }
                }
                changed = updates.changed() => {
                    if changed.is_err() {
                        // Nobody is left to change it; what stands still counts.
                        match due {
                            Some(due) => return tokio::time::sleep(due).await,
                            None => std::future::pending().await,
                        }
                    }
                }
            }
        }
    }

    /// Runs a container as often as its pod's restart policy says. Returns how it ended; None if it was stopped
    /// before it did.
    async fn container(&self, place: Place, container: &Container) -> Option<i32> {
        let policy =
            self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.clone()).unwrap_or_else(|| "Always".to_owned());
        let mut pause = FIRST_RESTART.min(self.kubelet.options.longest_backoff);
        loop {
            let environment = self.environment(place, container).await?;
            let command = Command::of(container, &environment);
            let started = Timestamp::now();
            let outcome = self.once(place, container, &command, &environment, &policy).await;
            let outcome = match outcome {
                Some(outcome) => outcome,
                None => {
                    Outcome { code: KILLED, reason: "Error".to_owned(), message: String::new(), result: String::new() }
                }
            };
            let Outcome { code, reason, message, result } = outcome;
            let ended = Ended { code, reason, message, started, finished: Timestamp::now() };
            let again = !self.stop.is_cancelled()
                && match policy.as_str() {
                    "Never" => false,
                    "OnFailure" => code != 0,
                    _ => code != 0 || matches!(place, Place::Main(_)),
                };
            if !again {
                if place == Place::Main(0) {
                    self.write_outputs(&result, code).await;
                }
                self.set(place, State::Ended(ended));
                return Some(code);
            }
            self.restart(place, ended);
            self.write().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return None,
            }
            pause = pause.saturating_mul(2).min(self.kubelet.options.longest_backoff);
        }
    }

    /// Runs a container once; None when it was stopped.
    async fn once(
        &self,
        place: Place,
        container: &Container,
        command: &Command,
        environment: &[(String, String)],
        policy: &str,
    ) -> Option<Outcome> {
        let script = command.script();
        let (name, namespace) = self.name();
        let own = self.pod.metadata.labels.iter().flatten();
        let cast = Cast {
            namespace: &namespace,
            pod: &name,
            container: &container.name,
            image: container.image.as_deref().unwrap_or_default(),
            script: &script,
            labels: own.chain(&self.owner_labels).map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        };
        let scene = self.kubelet.stage.play(&cast);
        if let Some(Ending::Waits { reason, message }) = scene.map(|scene| &scene.ending) {
            self.set(place, State::Waiting { reason: reason.clone(), message: message.clone() });
            self.write().await;
            self.stop.cancelled().await;
            return None;
        }
        self.set(place, State::Running { since: Timestamp::now() });
        self.write().await;
        let log = |text: &str| self.kubelet.logs.append(&namespace, &name, &container.name, text);
        if scene.is_none() {
            match self.kubelet.may_execute(&self.pod, container) {
                Ok(()) => {
                    let grace =
                        self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
                    let mut outcome = self.kubelet.execute(command, environment, grace, &self.stop, log).await?;
                    let tells = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
                    if tells && outcome.code != 0 && outcome.message.is_empty() {
                        outcome.message = last_words(&self.kubelet.logs.text(&namespace, &name, &container.name));
                    }
                    return Some(outcome);
                }
                Err(Some(why)) => self.kubelet.tell_not_executed(&self.pod, container, &why).await,
                Err(None) => {}
            }
        }
        let output = scene.and_then(|scene| scene.output.clone());
        let printed = output.clone().unwrap_or(script);
        if !printed.is_empty() {
            log(&printed);
            if !printed.ends_with('\n') {
                log("\n");
            }
        }
        let runs_for_ever = match scene.map(|scene| &scene.ending) {
            Some(ending) => *ending == Ending::Never,
            // What is to be started again whenever it ends is a service, and a service runs.
            None => policy == "Always" && matches!(place, Place::Main(_)),
        };
        let delay = scene.and_then(|scene| scene.delay()).unwrap_or(self.kubelet.options.run_time);
        tokio::select! {
            () = self.stop.cancelled() => return None,
            () = tokio::time::sleep(delay), if !runs_for_ever => {}
        }
        let (code, message) = match scene.map(|scene| &scene.ending) {
            Some(Ending::Exit { code, message }) => (*code, message.clone().unwrap_or_default()),
            _ => (0, String::new()),
        };
        let reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        let result = output.unwrap_or_default();
        let result = result.strip_suffix('\n').unwrap_or(&result).to_owned();
        Some(Outcome { code, reason, message, result })
    }

    /// The container's environment, as soon as all that it names is there; None when the pod was stopped.
    async fn environment(&self, place: Place, container: &Container) -> Option<Vec<(String, String)>> {
        loop {
            let sources = self.sources(container).await;
            match environment::resolve(&self.pod, container, &sources) {
                Ok(environment) => return Some(environment),
                Err(message) => {
                    let changed =
                        self.set(place, State::Waiting { reason: "CreateContainerConfigError".to_owned(), message });
                    if changed {
                        self.write().await;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(MISSING_SOURCE) => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }

    async fn sources(&self, container: &Container) -> Sources {
        let mut found = Sources::new();
        let (_, namespace) = self.name();
        for source in environment::sources(container) {
            let entries = match &source {
                Source::ConfigMap(name) => self.kubelet.config_map(&namespace, name).await,
                Source::Secret(name) => self.kubelet.secret(&namespace, name).await,
            };
            if let Some(entries) = entries {
                found.insert(source, entries);
            }
        }
        found
    }

    /// Leaves on a Workflow's pod what its main container printed, where Argo's executor leaves it.
    async fn write_outputs(&self, result: &str, code: i32) {
        let of_workflow = self.pod.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(WORKFLOW_LABEL));
        if !of_workflow || result.is_empty() {
            return;
        }
        let outputs = json!({"result": result, "exitCode": code.to_string()}).to_string();
        let patch = json!({"metadata": {"uid": self.pod.metadata.uid, "annotations": {OUTPUTS_ANNOTATION: outputs}}});
        self.until_written(|pods, name| {
            let patch = patch.clone();
            async move { pods.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ()) }
        })
        .await;
    }

    /// Writes how the pod stands.
    async fn write(&self) {
        let _one_at_a_time = self.writing.lock().await;
        self.until_written(|pods, name| {
            let patch = self.locked(|standing| standing.patch(&self.pod, Timestamp::now()));
            async move { pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ()) }
        })
        .await;
    }

    /// Repeats a write until it succeeds, can never succeed, or the pod is stopped by deletion or the agent's end.
    async fn until_written<F: Future<Output = kube::Result<()>>>(&self, write: impl Fn(Api<Pod>, String) -> F) {
        let (name, namespace) = self.name();
        let pods: Api<Pod> = Api::namespaced(self.kubelet.client.clone(), &namespace);
        let mut pause = Duration::from_millis(50);
        loop {
            match write(pods.clone(), name.clone()).await {
                Ok(()) => return,
                // Another pod of that name, or none.
                Err(error) if failure::is_missing(&error) || failure::is_conflict(&error) => return,
                Err(error) if failure::refusal(&error).is_some() => {
                    tracing::warn!(pod = %name, %namespace, %error, "the status of pod {name} was refused");
                    return;
                }
                Err(error) => tracing::debug!(pod = %name, %error, "could not write the status of pod {name} yet"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.kubelet.stop.cancelled() => return,
            }
            pause = pause.saturating_mul(2).min(Duration::from_secs(1));
        }
    }

    fn name(&self) -> (String, String) {
        let meta = &self.pod.metadata;
        (meta.name.clone().unwrap_or_default(), meta.namespace.clone().unwrap_or_default())
    }

    fn locked<T>(&self, with: impl FnOnce(&mut Standing) -> T) -> T {
        with(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether that is another state than before.
    fn set(&self, place: Place, state: State) -> bool {
        self.locked(|standing| {
            let record = match place {
                Place::Init(index) => standing.init.get_mut(index),
                Place::Main(index) => standing.main.get_mut(index),
            };
            record.is_some_and(|record| std::mem::replace(&mut record.state, state.clone()) != state)
        })
    }

    fn restart(&self, place: Place, ended: Ended) {
        self.locked(|standing| {
            let record = match place {
                Place::Init(index) => standing.init.get_mut(index),
                Place::Main(index) => standing.main.get_mut(index),
            };
            if let Some(record) = record {
                let message = format!("back-off restarting failed container {}", record.name);
                record.restarts += 1;
                record.before = Some(State::Ended(ended));
                record.state = State::Waiting { reason: "CrashLoopBackOff".to_owned(), message };
            }
        });
    }

    /// Ends the whole pod, with all that still runs in it.
    fn evict(&self, reason: &str, message: &str) {
        let now = Timestamp::now();
        self.locked(|standing| {
            for record in standing.init.iter_mut().chain(&mut standing.main) {
                if let State::Running { since } = record.state {
                    let ended = Ended {
                        code: KILLED,
                        reason: "Error".to_owned(),
                        message: String::new(),
                        started: since,
                        finished: now,
                    };
                    record.state = State::Ended(ended);
                }
            }
            standing.evicted = Some((reason.to_owned(), message.to_owned()));
        });
    }
}

/// The end of a log that is a failed container's termination message: at most 80 lines and 2048 bytes, as kubelet
/// takes.
fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let text = lines.get(lines.len().saturating_sub(80)..).unwrap_or_default().concat();
    let mut start = text.len().saturating_sub(2048);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default().to_owned()
}
