//! The desk at which all pods are heard of: the only place that gives them a node, starts them and lets them go.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::reflector::Store;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::run::Run;
use super::{Kubelet, insist, schedule};

/// What the kubelet hears of.
#[derive(Debug)]
pub(in crate::agent) enum Heard {
    Pod(Box<Pod>),
    PodGone(String),
    /// The UIDs of all pods that there are.
    AllPods(Vec<String>),
    Node(Box<Node>),
}

/// A pod that runs here.
struct Running {
    updates: watch::Sender<Pod>,
    stop: CancellationToken,
}

impl Kubelet {
    /// Runs pods until the agent stops; returns when the last container has ended.
    pub(in crate::agent) async fn serve(
        self: Arc<Self>,
        mut heard: mpsc::UnboundedReceiver<Heard>,
        pods: Store<Pod>,
        nodes: Store<Node>,
    ) {
        let tasks = TaskTracker::new();
        let mut desk = Desk {
            kubelet: Arc::clone(&self),
            pods,
            nodes,
            running: HashMap::new(),
            bound: HashMap::new(),
            leaving: HashSet::new(),
            tasks: tasks.clone(),
        };
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                heard = heard.recv() => match heard {
                    Some(heard) => desk.hear(heard),
                    None => break,
                },
            }
        }
        for running in desk.running.values() {
            running.stop.cancel();
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// What is known of all pods.
struct Desk {
    kubelet: Arc<Kubelet>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    running: HashMap<String, Running>,
    /// Pods given to a node that the cache does not show there yet.
    bound: HashMap<String, String>,
    /// Deleted pods whose end was or is being confirmed.
    leaving: HashSet<String>,
    tasks: TaskTracker,
}

impl Desk {
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Pod(pod) => self.pod(&pod),
            Heard::PodGone(uid) => self.forget(&uid),
            Heard::AllPods(uids) => {
                let known: Vec<String> = self.running.keys().chain(self.bound.keys()).cloned().collect();
                for uid in known.iter().filter(|uid| !uids.contains(uid)) {
                    self.forget(uid);
                }
                for pod in self.pods.state() {
                    self.pod(&pod);
                }
            }
            Heard::Node(node) => {
                let kubelet = Arc::clone(&self.kubelet);
                let ready = node.clone();
                self.tasks.spawn(async move { kubelet.make_ready(&ready).await });
                self.node_changed(&node);
            }
        }
    }

    fn node_changed(&mut self, node: &Node) {
        let name = node.metadata.name.as_deref();
        for pod in self.pods.state() {
            let on = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            if on.is_none() || (on == name && !self.running.contains_key(&uid(&pod))) {
                self.pod(&pod);
            }
        }
    }

    fn forget(&mut self, uid: &str) {
        if let Some(running) = self.running.remove(uid) {
            running.stop.cancel();
        }
        self.bound.remove(uid);
        self.leaving.remove(uid);
    }

    fn pod(&mut self, pod: &Pod) {
        let uid = uid(pod);
        if pod.metadata.deletion_timestamp.is_some() {
            return self.leave(pod, uid);
        }
        if has_ended(pod) {
            self.running.remove(&uid);
            self.bound.remove(&uid);
            return;
        }
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|node| !node.is_empty());
        match node {
            None => self.schedule(pod, uid),
            Some(node) => {
                self.bound.remove(&uid);
                if let Some(running) = self.running.get(&uid) {
                    // Nobody hears it once the pod has run to its end.
                    let _ = running.updates.send(pod.clone());
                } else if self.knows(&node) {
                    self.start(pod, uid);
                }
            }
        }
    }

    fn knows(&self, node: &str) -> bool {
        self.nodes.find(|known| known.metadata.name.as_deref() == Some(node)).is_some()
    }

    fn start(&mut self, pod: &Pod, uid: String) {
        let (updates, receiver) = watch::channel(pod.clone());
        let stop = self.kubelet.stop.child_token();
        self.running.insert(uid, Running { updates, stop: stop.clone() });
        self.tasks.spawn(Run::pod(Arc::clone(&self.kubelet), pod.clone(), receiver, stop));
    }

    fn leave(&mut self, pod: &Pod, uid: String) {
        if let Some(running) = self.running.get(&uid) {
            running.stop.cancel();
        }
        if !self.leaving.insert(uid.clone()) {
            return;
        }
        let kubelet = Arc::clone(&self.kubelet);
        let pod = pod.clone();
        // The run holds the receiving end for as long as its containers live.
        let updates = self.running.get(&uid).map(|running| running.updates.clone());
        self.tasks.spawn(async move {
            if let Some(updates) = updates {
                updates.closed().await;
            }
            insist(&kubelet.stop, || kubelet.let_go(&pod)).await;
        });
    }

    fn schedule(&mut self, pod: &Pod, uid: String) {
        let gated =
            pod.spec.as_ref().is_some_and(|spec| spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()));
        if gated || self.bound.contains_key(&uid) {
            return;
        }
        let nodes: Vec<Node> = self.nodes.state().iter().map(|node| (**node).clone()).collect();
        let kubelet = Arc::clone(&self.kubelet);
        let pod = pod.clone();
        match schedule::place(&pod, &nodes, &self.load()) {
            Ok(node) => {
                self.bound.insert(uid, node.clone());
                self.tasks.spawn(async move { insist(&kubelet.stop, || kubelet.bind(&pod, &node)).await });
            }
            Err(message) => {
                let said =
                    pod.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
                        conditions.iter().any(|condition| condition.message.as_deref() == Some(message.as_str()))
                    });
                if !said {
                    self.tasks.spawn(async move { kubelet.write_unschedulable(&pod, &message).await });
                }
            }
        }
    }

    fn load(&self) -> BTreeMap<String, usize> {
        let mut load: BTreeMap<String, usize> = BTreeMap::new();
        for pod in self.pods.state().iter().filter(|pod| !has_ended(pod)) {
            if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
                *load.entry(node).or_default() += 1;
            }
        }
        for node in self.bound.values() {
            *load.entry(node.clone()).or_default() += 1;
        }
        load
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}
