//! What the gates are shown: the AegisGuard and the nodes as the caches hold them, read once for each version.

use std::sync::{Arc, Mutex, PoisonError};

use aegis_crds::AegisGuard;
use aegis_crds::names::GUARD_NAME;
use aegis_engine::guard::{Approvals, Fleet, Guard, PolicyState};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, NodeSystemInfo};
use kube::ResourceExt;
use tokio::sync::watch;

use super::Nodes;
use crate::cache::{Guards, Kept, Key};

/// The sources, and what was last read from them.
pub struct View {
    namespace: String,
    guards: Guards,
    nodes: Nodes,
    /// Grows with every change of a node that anybody told.
    nodes_version: watch::Sender<u64>,
    approvals: Mutex<Approvals>,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    policy: Option<(PolicyKey, PolicyState)>,
    fleet: Option<(u64, PolicyKey, Arc<Fleet>)>,
    guard: Option<(GuardKey, Arc<Guard>)>,
}

/// The policy changes with the spec, and with the one that was last in force.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PolicyKey {
    uid: String,
    generation: Option<i64>,
    observed: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GuardKey {
    uid: String,
    version: Option<String>,
    nodes: u64,
    approvals: Approvals,
}

impl Kept for Node {
    const KIND: &'static str = "Node";

    /// Keeps what the gates look at: labels, what Aegis changed, cordon, taints, readiness and which start it is.
    fn trim(&mut self) {
        crate::cache::shrink(&mut self.metadata);
        self.metadata.managed_fields = None;
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.retain(|name, _| name == aegis_crds::names::CHANGES_ANNOTATION);
        }
        self.status = self.status.take().map(|status| NodeStatus {
            conditions: status.conditions.map(|all| all.into_iter().filter_map(readiness).collect()),
            node_info: status
                .node_info
                .map(|info| NodeSystemInfo { boot_id: info.boot_id, ..NodeSystemInfo::default() }),
            ..NodeStatus::default()
        });
    }
}

/// When it was last heard moves all the time and decides nothing.
fn readiness(condition: NodeCondition) -> Option<NodeCondition> {
    let kept = NodeCondition { last_heartbeat_time: None, message: None, ..condition };
    (kept.type_ == "Ready").then_some(kept)
}

impl View {
    /// Of the AegisGuard in that namespace and these nodes.
    pub fn new(namespace: &str, guards: Guards, nodes: Nodes) -> Self {
        Self {
            namespace: namespace.to_owned(),
            guards,
            nodes,
            nodes_version: watch::Sender::new(0),
            approvals: Mutex::new(Approvals::Unknown(
                "nobody has looked yet whether the cluster keeps them honest".to_owned(),
            )),
            read: Mutex::default(),
        }
    }

    /// The AegisGuard that counts, as the cache shows it.
    pub fn guard_object(&self) -> Option<Arc<AegisGuard>> {
        self.guards.get(&self.namespace, GUARD_NAME)
    }

    /// Takes in a node as the API server returned it.
    pub fn saw_node(&self, node: Node) {
        if !self.is_shown(&node) {
            self.nodes.insert(node);
            self.nodes_changed();
        }
    }

    /// Takes in a node as the API server returned it, also where nothing has changed that the gates look at.
    pub fn learn_node(&self, node: Node) {
        let shown = self.is_shown(&node);
        self.nodes.insert(node);
        if !shown {
            self.nodes_changed();
        }
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = Arc<Node>> + use<> {
        self.nodes.all()
    }

    /// Whether the gates are shown the node as it is. To count a whole fleet anew takes a while.
    fn is_shown(&self, node: &Node) -> bool {
        let guard = self.guard();
        guard.fleet.shows(node, &guard.policy.or_default())
    }

    /// Takes in that there is no such node any more.
    pub fn missed_node(&self, name: &str, uid: &str) {
        self.nodes.remove_if("", name, uid);
        self.nodes_changed();
    }

    fn nodes_changed(&self) {
        self.nodes_version.send_modify(|version| *version += 1);
    }

    /// Follows the changes of nodes, and counts the fleet anew when one changes in what the gates look at.
    pub async fn follow_nodes(&self) {
        let mut changes = self.nodes.subscribe();
        loop {
            let first = changes.next().await;
            let all: Vec<Key> = std::iter::once(first).chain(std::iter::from_fn(|| changes.try_next())).collect();
            let is_new = |key: &Key| match self.nodes.find(key) {
                Some(node) => !self.is_shown(&node),
                None => self.guard().fleet.get(&key.name).is_some(),
            };
            if all.iter().any(is_new) {
                self.nodes_changed();
            }
        }
    }

    /// Tells when the fleet has changed.
    pub fn fleet_changes(&self) -> watch::Receiver<u64> {
        self.nodes_version.subscribe()
    }

    /// Whether approvals can be trusted from now on; says whether that is another answer than before.
    pub fn set_approvals(&self, approvals: Approvals) -> bool {
        let mut known = self.approvals.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *known != approvals;
        *known = approvals;
        changed
    }

    /// Everything that the gates know beyond one alert.
    pub fn guard(&self) -> Arc<Guard> {
        self.guard_of(self.guard_object())
    }

    /// The same, as of this very AegisGuard: what is decided by it may be written on the condition that it still stands.
    pub fn guard_of(&self, object: Option<Arc<AegisGuard>>) -> Arc<Guard> {
        let nodes = *self.nodes_version.borrow();
        let approvals = self.approvals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let uid = object.as_ref().and_then(|guard| guard.uid()).unwrap_or_default();
        let version = object.as_ref().and_then(|guard| guard.resource_version());
        let key = GuardKey { uid: uid.clone(), version, nodes, approvals };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, guard)) = read.guard.as_ref().filter(|(known, _)| *known == key) {
            return guard.clone();
        }
        let policy_key = PolicyKey {
            uid,
            generation: object.as_ref().and_then(|guard| guard.metadata.generation),
            observed: object.as_ref().and_then(|guard| guard.status.as_ref()?.observed_generation),
        };
        let policy = match read.policy.as_ref().filter(|(known, _)| *known == policy_key) {
            Some((_, policy)) => policy.clone(),
            None => {
                let policy = PolicyState::of(object.as_deref());
                read.policy = Some((policy_key.clone(), policy.clone()));
                policy
            }
        };
        let fleet = match read.fleet.as_ref().filter(|(at, known, _)| *at == nodes && *known == policy_key) {
            Some((_, _, fleet)) => fleet.clone(),
            None => {
                let all: Vec<Arc<Node>> = self.nodes.all().collect();
                let fleet = Arc::new(policy.fleet(all.iter().map(Arc::as_ref)));
                read.fleet = Some((nodes, policy_key, fleet.clone()));
                fleet
            }
        };
        let guard =
            Guard { policy, fleet, approvals: key.approvals.clone(), ..Guard::without_policy(object.as_deref()) };
        let guard = Arc::new(guard);
        read.guard = Some((key, guard.clone()));
        guard
    }
}
