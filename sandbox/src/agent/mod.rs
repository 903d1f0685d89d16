//! The simulated node agent and workflow runner: what kubelet, the scheduler, the Job controller and Argo's workflow
//! controller do in a cluster, done through an API server as they do it.
//!
//! [`Agent`] runs pods, Jobs and Workflows. Nothing is executed on this machine unless [`Execution::Scripts`] asks for
//! it, and what could reach the machine (privileged, hostPID, hostNetwork, hostIPC, hostPath and every volume that is
//! not the cluster's own data) never is: its script is its log. [`Simulator`] ends Workflows and Jobs without pods.
//!
//! What differs from a cluster: images are not pulled and volumes not mounted; a container that is executed sees the
//! files of the machine with the rights of nobody (of the user who started the sandbox, unless that is root). Of Argo
//! it runs container, script, steps and dag templates with parameters, conditions, loops over items, retries, exit
//! handlers, deadlines, parallelism and time to live. A Workflow that asks for anything else (suspend, http, resource,
//! artifacts, hooks, synchronization, expressions and so on) ends in phase Error with a message that names the field.

mod argo;
mod duration;
mod failure;
mod jobs;
mod pods;
mod scenario;
mod simulator;
mod watches;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::runtime::applier;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{self, ObjectRef, store::Writer};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::argo::driver::{Runner, workflow_resource};
use self::jobs::driver::Jobs;
use self::pods::desk::Heard;
use self::pods::{Kubelet, PodOptions};
use self::scenario::Stage;
use self::watches::{Seen, watch};
use crate::PodLogs;

pub use self::scenario::{Ending, Scenario, Scene};
pub use self::simulator::{Simulator, SimulatorOptions, Writes};

/// Whether containers are executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Execution {
    /// No: a container's log is its rendered script, and it succeeds or ends as the scenario says.
    #[default]
    Never,
    /// Yes, where it is safe and no scene of the scenario is about it.
    Scripts {
        /// Programs for the containers' PATH, by the name of the command that each stands in for.
        stand_ins: Vec<(String, PathBuf)>,
    },
}

/// How the agent behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentOptions {
    /// Whether containers are executed.
    pub execution: Execution,
    /// How containers end that are not executed.
    pub scenario: Scenario,
    /// From a Workflow's creation until it is picked up; default none.
    pub start_delay: Duration,
    /// How long a container runs that is not executed; default none. A scene may say otherwise.
    pub run_time: Duration,
    /// The longest pause between attempts, whatever a retryStrategy, Job or restart policy asks for; default 5 s.
    pub longest_backoff: Duration,
    /// The longest that a container is executed; default 10 min.
    pub execution_timeout: Duration,
    /// The most bytes that an executed container may print; default 1 MiB.
    pub output_limit: usize,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            execution: Execution::Never,
            scenario: Scenario::default(),
            start_delay: Duration::ZERO,
            run_time: Duration::ZERO,
            longest_backoff: Duration::from_secs(5),
            execution_timeout: Duration::from_secs(600),
            output_limit: 1024 * 1024,
        }
    }
}

/// Why an agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server does not answer.
    #[error("the node agent cannot list the cluster's nodes")]
    Unreachable {
        /// What the client says.
        source: kube::Error,
    },
    /// Containers cannot be executed as asked.
    #[error("containers cannot be executed: {why}")]
    Execution {
        /// What is wrong, and what would mend it.
        why: String,
    },
}

/// A running agent. Dropping it stops it too, without waiting for its containers to end.
#[derive(Debug)]
pub struct Agent {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Agent {
    /// Starts an agent for all nodes and namespaces of the cluster that `client` reaches. Containers write to `logs`;
    /// an executed one finds `kubeconfig`, the text of a file, at $KUBECONFIG.
    ///
    /// # Errors
    /// When the API server does not answer, or containers cannot be executed as asked.
    pub async fn start(
        client: Client,
        logs: PodLogs,
        kubeconfig: String,
        options: AgentOptions,
    ) -> Result<Self, Error> {
        let nodes: Api<Node> = Api::all(client.clone());
        nodes.list(&ListParams::default().limit(1)).await.map_err(|source| Error::Unreachable { source })?;
        let workshop = match options.execution {
            Execution::Never => None,
            Execution::Scripts { stand_ins } => {
                // Copying a stand-in of many megabytes takes a moment.
                let opened = tokio::task::spawn_blocking(move || pods::open_workshop(&stand_ins, kubeconfig)).await;
                let opened = opened.map_err(|error| error.to_string()).and_then(|opened| opened);
                Some(opened.map_err(|why| Error::Execution { why })?)
            }
        };
        let stop = CancellationToken::new();
        let pod_options = PodOptions {
            run_time: options.run_time,
            longest_backoff: options.longest_backoff,
            execution_timeout: options.execution_timeout,
            output_limit: options.output_limit,
        };
        let stage = Stage::new(options.scenario);
        let kubelet = Kubelet::new(client.clone(), logs, stage, pod_options, workshop, stop.clone());
        let tasks = TaskTracker::new();
        let agent = Self { stop, tasks };
        agent.run(client, kubelet, options.start_delay, options.longest_backoff);
        Ok(agent)
    }

    /// Stops the agent; its containers are ended, and their pods keep the status that they have.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn run(&self, client: Client, kubelet: Arc<Kubelet>, start_delay: Duration, longest_backoff: Duration) {
        let resource = workflow_resource();
        let (pod_store, pod_writer) = reflector::store::<Pod>();
        let (node_store, node_writer) = reflector::store::<Node>();
        let (job_store, job_writer) = reflector::store::<Job>();
        let workflow_writer: Writer<DynamicObject> = Writer::new(resource.clone());
        let workflow_store = workflow_writer.as_reader();
        let (heard, hears) = mpsc::unbounded_channel();
        let (job_queue, jobs_due) = futures::channel::mpsc::unbounded::<ObjectRef<Job>>();
        let (workflow_queue, workflows_due) = futures::channel::mpsc::unbounded::<ObjectRef<DynamicObject>>();

        let owners = Owners { jobs: job_queue.clone(), workflows: workflow_queue.clone(), kind: resource.clone() };
        let to_kubelet = heard.clone();
        let config = watcher::Config::default();
        self.tasks.spawn(watch(Api::all(client.clone()), config.clone(), pod_writer, self.stop.clone(), move |seen| {
            // A receiver that has gone has stopped, and so will this watch.
            let _ = match seen {
                Seen::Changed(pod) => {
                    owners.tell(pod);
                    to_kubelet.send(Heard::Pod(Box::new(pod.clone())))
                }
                Seen::Gone(pod) => {
                    owners.tell(pod);
                    to_kubelet.send(Heard::PodGone(pod.metadata.uid.clone().unwrap_or_default()))
                }
                Seen::All(pods) => {
                    pods.iter().for_each(|pod| owners.tell(pod));
                    to_kubelet.send(Heard::AllPods(pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect()))
                }
            };
        }));
        self.tasks.spawn(watch(
            Api::all(client.clone()),
            config.clone(),
            node_writer,
            self.stop.clone(),
            move |seen| {
                let told: Vec<Node> = match seen {
                    Seen::Changed(node) => vec![node.clone()],
                    Seen::Gone(_) => Vec::new(),
                    Seen::All(nodes) => nodes.iter().map(|node| (**node).clone()).collect(),
                };
                for node in told {
                    let _ = heard.send(Heard::Node(Box::new(node)));
                }
            },
        ));
        self.tasks.spawn(watch(
            Api::all(client.clone()),
            config.clone(),
            job_writer,
            self.stop.clone(),
            requeue(job_queue, ()),
        ));
        let all = Api::all_with(client.clone(), &resource);
        self.tasks.spawn(watch(all, config, workflow_writer, self.stop.clone(), requeue(workflow_queue, resource)));

        let jobs = Arc::new(Jobs { client: client.clone(), pods: pod_store.clone(), longest_backoff });
        let retry = |_: Arc<Job>, error: &jobs::driver::Error, _: Arc<Jobs>| again(error);
        let job_controller = applier(
            |job, jobs| Box::pin(jobs::driver::reconcile(job, jobs)),
            retry,
            jobs,
            job_store,
            jobs_due.map(Ok::<_, std::convert::Infallible>),
            kube::runtime::Config::default(),
        );
        self.tasks.spawn(until(self.stop.clone(), job_controller.for_each(|_| std::future::ready(()))));

        let runner = Arc::new(Runner {
            client,
            pods: pod_store.clone(),
            workflows: workflow_store.clone(),
            start_delay,
            longest_backoff,
            memory: Mutex::new(HashMap::new()),
        });
        let retry = |_: Arc<DynamicObject>, error: &argo::driver::Error, _: Arc<Runner>| again(error);
        let workflow_controller = applier(
            |workflow, runner| Box::pin(argo::driver::reconcile(workflow, runner)),
            retry,
            runner,
            workflow_store,
            workflows_due.map(Ok::<_, std::convert::Infallible>),
            kube::runtime::Config::default(),
        );
        self.tasks.spawn(until(self.stop.clone(), workflow_controller.for_each(|_| std::future::ready(()))));
        self.tasks.spawn(kubelet.serve(hears, pod_store, node_store));
    }
}

/// Tells the controllers of the pods that belong to them.
struct Owners {
    jobs: futures::channel::mpsc::UnboundedSender<ObjectRef<Job>>,
    workflows: futures::channel::mpsc::UnboundedSender<ObjectRef<DynamicObject>>,
    kind: kube::core::ApiResource,
}

impl Owners {
    fn tell(&self, pod: &Pod) {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        for owner in pod.metadata.owner_references.iter().flatten() {
            // A receiver that has gone has stopped, and so will this watch.
            if owner.kind == "Job" {
                let _ = self.jobs.unbounded_send(ObjectRef::new(&owner.name).within(namespace));
            } else if owner.kind == self.kind.kind {
                let reference = ObjectRef::new_with(&owner.name, self.kind.clone()).within(namespace);
                let _ = self.workflows.unbounded_send(reference);
            }
        }
    }
}

/// Puts what changed on a controller's queue.
fn requeue<K>(
    queue: futures::channel::mpsc::UnboundedSender<ObjectRef<K>>,
    kind: K::DynamicType,
) -> impl FnMut(Seen<'_, K>)
where
    K: Resource,
    K::DynamicType: Clone + std::hash::Hash + Eq,
{
    move |seen| {
        let told: Vec<ObjectRef<K>> = match seen {
            Seen::Changed(object) => vec![ObjectRef::from_obj_with(object, kind.clone())],
            Seen::Gone(_) => Vec::new(),
            Seen::All(objects) => {
                objects.iter().map(|object| ObjectRef::from_obj_with(&**object, kind.clone())).collect()
            }
        };
        for reference in told {
            let _ = queue.unbounded_send(reference);
        }
    }
}

fn again(error: &dyn std::error::Error) -> Action {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::debug!(%error, %cause, "the workflow runner tries again");
    Action::requeue(Duration::from_millis(200))
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}
