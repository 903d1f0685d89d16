//! The nodes as the gates see them: which pool and failure domain each is in, whether it is out, and by whom.

use std::collections::{BTreeMap, BTreeSet};

use aegis_crds::names::OPT_OUT_LABEL;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use super::changes;
use super::policy::Policy;

/// All nodes. Counted once, when a node or the policy changes, so that a decision only looks up.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    nodes: BTreeMap<String, NodeFacts>,
    pools: BTreeMap<String, PoolCount>,
    opted_out: BTreeSet<String>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its UID.
    pub uid: String,
    /// Which start of the machine it is.
    pub boot_id: String,
    /// The pool that it counts in.
    pub pool: String,
    /// Its failure domain, where its pool has such.
    pub domain: Option<String>,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// Whether that cordon is ours.
    pub cordon_is_ours: bool,
    /// Whether it is ready.
    pub ready: bool,
    /// When the node was made.
    pub created: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct PoolCount {
    total: usize,
    out: BTreeSet<String>,
    domains: BTreeMap<String, BTreeSet<String>>,
}

/// Nodes of one pool or failure domain that would be out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// How many nodes the pool has.
    pub total: usize,
    /// Those that would be out.
    pub nodes: BTreeSet<String>,
}

impl NodeFacts {
    /// What a node shows.
    pub fn of(node: &Node, policy: &Policy) -> Self {
        let pool = policy.pool_of(node.labels());
        let domain = pool.domain.as_ref().and_then(|domain| node.labels().get(&domain.label)).cloned();
        let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
        let status = node.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_ref());
        Self {
            uid: node.uid().unwrap_or_default(),
            boot_id: status.and_then(|s| s.node_info.as_ref()).map(|info| info.boot_id.clone()).unwrap_or_default(),
            pool: pool.name.clone(),
            domain,
            cordoned,
            cordon_is_ours: cordoned && changes::cordon_is_ours(&changes::recorded(node)),
            // A node that says nothing of its readiness is a simulated one.
            ready: conditions.into_iter().flatten().all(|one| one.type_ != "Ready" || one.status == "True"),
            created: node.creation_timestamp().map(|time| time.0),
        }
    }

    /// Whether it is out whatever Aegis does.
    pub fn is_out(&self) -> bool {
        self.cordoned || !self.ready
    }
}

impl Fleet {
    /// Counts the nodes by the pools of the policy.
    pub fn of<'a>(nodes: impl IntoIterator<Item = &'a Node>, policy: &Policy) -> Self {
        let mut fleet = Self::default();
        for node in nodes {
            fleet.add(node, policy);
        }
        fleet
    }

    fn add(&mut self, node: &Node, policy: &Policy) {
        let name = node.name_any();
        let facts = NodeFacts::of(node, policy);
        let count = self.pools.entry(facts.pool.clone()).or_default();
        count.total += 1;
        if facts.is_out() {
            count.out.insert(name.clone());
            if let Some(domain) = &facts.domain {
                count.domains.entry(domain.clone()).or_default().insert(name.clone());
            }
        }
        if opts_out(node) {
            self.opted_out.insert(name.clone());
        }
        self.nodes.insert(name, facts);
    }

    /// The nodes whose owners keep Aegis away from them.
    pub fn opted_out(&self) -> &BTreeSet<String> {
        &self.opted_out
    }

    /// The node of that name.
    pub fn get(&self, name: &str) -> Option<&NodeFacts> {
        self.nodes.get(name)
    }

    /// Whether the node is here as it shows itself: most of what changes on a node is nobody's business here.
    pub fn shows(&self, node: &Node, policy: &Policy) -> bool {
        let name = node.name_any();
        self.nodes.get(&name) == Some(&NodeFacts::of(node, policy)) && self.opted_out.contains(&name) == opts_out(node)
    }

    /// Whether the node's owner keeps Aegis away from it.
    pub fn is_opted_out(&self, name: &str) -> bool {
        self.opted_out.contains(name)
    }

    /// How many nodes the pool has, and how many of them are out at most while so many actions are under way: enough to
    /// see that there is room, without a list.
    pub fn at_most_out(&self, pool: &str, under_action: usize) -> (usize, usize) {
        let count = self.pools.get(pool);
        count.map_or((0, 0), |count| (count.total, count.out.len().saturating_add(under_action)))
    }

    /// The nodes of this one's pool that are out, those under action, and the node itself.
    pub fn out_with<'a>(&self, name: &str, under_action: impl Iterator<Item = &'a str>) -> Option<Out> {
        let node = self.nodes.get(name)?;
        let count = self.pools.get(&node.pool)?;
        let mut nodes = count.out.clone();
        nodes.extend(under_action.filter(|other| self.of_pool(other, &node.pool)).map(ToOwned::to_owned));
        nodes.insert(name.to_owned());
        Some(Out { total: count.total, nodes })
    }

    /// The same of its failure domain; `None` if it is in none.
    pub fn out_of_domain<'a>(&self, name: &str, under_action: impl Iterator<Item = &'a str>) -> Option<Out> {
        let node = self.nodes.get(name)?;
        let domain = node.domain.as_ref()?;
        let count = self.pools.get(&node.pool)?;
        let mut nodes = count.domains.get(domain).cloned().unwrap_or_default();
        let beside = |other: &&str| {
            self.nodes.get(*other).is_some_and(|other| other.pool == node.pool && other.domain.as_ref() == Some(domain))
        };
        nodes.extend(under_action.filter(beside).map(ToOwned::to_owned));
        nodes.insert(name.to_owned());
        Some(Out { total: count.total, nodes })
    }

    /// How many nodes of each pool are out or under action, where any are; of more than `most` only that many are told.
    pub fn out_by_pool<'a>(&self, under_action: impl Iterator<Item = &'a str>, most: usize) -> BTreeMap<String, usize> {
        let mut pools: BTreeMap<&str, usize> =
            self.pools.iter().map(|(pool, count)| (pool.as_str(), count.out.len())).collect();
        let busy: BTreeSet<&str> = under_action.collect();
        for node in busy.into_iter().filter_map(|name| self.nodes.get(name)).filter(|node| !node.is_out()) {
            *pools.entry(&node.pool).or_default() += 1;
        }
        let told = pools.into_iter().filter(|(_, out)| *out > 0);
        told.map(|(pool, out)| (pool.to_owned(), out.min(most))).collect()
    }

    fn of_pool(&self, name: &str, pool: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.pool == pool)
    }
}

fn opts_out(node: &Node) -> bool {
    node.labels().get(OPT_OUT_LABEL).is_some_and(|value| value == "true")
}
