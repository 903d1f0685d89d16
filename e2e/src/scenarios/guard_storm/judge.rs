//! What a record of the API server's changes proves: how much was under way and out at every single moment, what began
//! and in which order. The changes of Workflows, nodes and the book come by watches of their own; their revisions, which
//! are etcd's and so the same for all kinds, put them into the one order in which they happened.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;

/// How much may be at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Actions of one rule that are under way.
    pub(super) of_a_rule: usize,
    /// Actions in all.
    pub(super) in_all: usize,
    /// Nodes that are cordoned, not ready or under action.
    pub(super) nodes_out: usize,
    /// The same, of one rack.
    pub(super) of_a_rack: usize,
}

/// A change.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    /// The revision of the store that made it.
    pub(super) revision: u64,
    /// What was seen.
    pub(super) seen: Seen,
}

/// What was seen of one object.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// A Workflow.
    Workflow(Workflow),
    /// A Workflow is gone.
    NoWorkflow(String),
    /// A node, and whether it is cordoned or not ready.
    Node { name: String, rack: String, out: bool },
    /// The places in the book, recovery apart, by rule.
    Book(BTreeMap<String, usize>),
}

/// What of a Workflow counts.
#[derive(Clone, Debug)]
pub(super) struct Workflow {
    pub(super) name: String,
    pub(super) rule: String,
    pub(super) node: String,
    pub(super) recovery: bool,
    pub(super) ended: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Every Workflow, in the order in which they began.
    pub(super) begun: Vec<Workflow>,
    pub(super) most_of_a_rule: usize,
    pub(super) most_in_all: usize,
    pub(super) most_nodes_out: usize,
    pub(super) most_of_a_rack: usize,
}

/// Goes through all changes in their order; fails at the first moment at which a limit is exceeded, or a node has two
/// actions.
pub(super) fn judge(mut observations: Vec<Observation>, limits: Limits) -> anyhow::Result<Judged> {
    observations.sort_by_key(|one| one.revision);
    let mut moment = Moment::default();
    let mut judged = Judged::default();
    for Observation { revision, seen } in observations {
        moment.take_in(seen, &mut judged.begun);
        let Judged { most_of_a_rule, most_in_all, most_nodes_out, most_of_a_rack, .. } = &mut judged;
        for (most, now, limit, what) in [
            (most_of_a_rule, moment.of_a_rule(), limits.of_a_rule, "actions of a rule"),
            (most_in_all, moment.in_all(), limits.in_all, "actions in all"),
            (most_nodes_out, moment.out().len(), limits.nodes_out, "nodes out"),
            (most_of_a_rack, moment.of_a_rack(), limits.of_a_rack, "nodes of a rack out"),
        ] {
            ensure!(now <= limit, "at revision {revision} there were {now} {what}, and {limit} may be: {moment:?}");
            *most = now.max(*most);
        }
        ensure!(!moment.is_crowded(), "at revision {revision} a node had two actions: {moment:?}");
    }
    Ok(judged)
}

/// How it stands at one revision.
#[derive(Debug, Default)]
struct Moment {
    /// Those that go on, by name.
    going: BTreeMap<String, Workflow>,
    seen: BTreeSet<String>,
    out: BTreeSet<String>,
    racks: BTreeMap<String, String>,
    book: BTreeMap<String, usize>,
}

impl Moment {
    fn take_in(&mut self, seen: Seen, begun: &mut Vec<Workflow>) {
        match seen {
            Seen::Workflow(workflow) => {
                if self.seen.insert(workflow.name.clone()) {
                    begun.push(workflow.clone());
                }
                if workflow.ended {
                    self.going.remove(&workflow.name);
                } else {
                    self.going.insert(workflow.name.clone(), workflow);
                }
            }
            Seen::NoWorkflow(name) => drop(self.going.remove(&name)),
            Seen::Node { name, rack, out } => {
                if out {
                    self.out.insert(name.clone());
                } else {
                    self.out.remove(&name);
                }
                self.racks.insert(name, rack);
            }
            Seen::Book(places) => self.book = places,
        }
    }

    /// Actions that are no recovery.
    fn acting(&self) -> impl Iterator<Item = &Workflow> {
        self.going.values().filter(|workflow| !workflow.recovery)
    }

    fn of_a_rule(&self) -> usize {
        let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
        for workflow in self.acting() {
            *rules.entry(&workflow.rule).or_default() += 1;
        }
        rules.into_values().chain(self.book.values().copied()).max().unwrap_or_default()
    }

    fn in_all(&self) -> usize {
        self.acting().count().max(self.book.values().sum())
    }

    fn out(&self) -> BTreeSet<&str> {
        self.out.iter().map(String::as_str).chain(self.acting().map(|workflow| workflow.node.as_str())).collect()
    }

    fn of_a_rack(&self) -> usize {
        let mut racks: BTreeMap<&str, usize> = BTreeMap::new();
        for node in self.out() {
            if let Some(rack) = self.racks.get(node) {
                *racks.entry(rack).or_default() += 1;
            }
        }
        racks.into_values().max().unwrap_or_default()
    }

    fn is_crowded(&self) -> bool {
        let nodes: BTreeSet<&str> = self.going.values().map(|workflow| workflow.node.as_str()).collect();
        nodes.len() < self.going.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { of_a_rule: 2, in_all: 3, nodes_out: 3, of_a_rack: 2 };

    fn at(revision: u64, seen: Seen) -> Observation {
        Observation { revision, seen }
    }

    fn action(rule: &str, node: &str) -> Seen {
        Seen::Workflow(Workflow {
            name: format!("{rule}-{node}"),
            rule: rule.to_owned(),
            node: node.to_owned(),
            recovery: rule == "recovery",
            ended: false,
        })
    }

    fn ended(seen: Seen) -> Seen {
        match seen {
            Seen::Workflow(workflow) => Seen::Workflow(Workflow { ended: true, ..workflow }),
            other => other,
        }
    }

    fn node(name: &str, rack: &str, out: bool) -> Seen {
        Seen::Node { name: name.to_owned(), rack: rack.to_owned(), out }
    }

    fn verdict(seen: impl IntoIterator<Item = Seen>) -> Result<Judged, String> {
        let record = seen.into_iter().zip(1..).map(|(seen, revision)| at(revision, seen)).collect();
        judge(record, LIMITS).map_err(|error| error.to_string())
    }

    #[test]
    fn each_limit_is_seen_to_be_exceeded() {
        let cases = [
            ("actions of a rule", vec![action("a", "1"), action("a", "2"), action("a", "3")]),
            ("actions in all", vec![action("a", "1"), action("a", "2"), action("b", "3"), action("c", "4")]),
            ("nodes out", vec![node("1", "x", true), node("2", "y", true), node("3", "z", true), action("a", "4")]),
            (
                "nodes of a rack out",
                vec![node("3", "x", false), node("1", "x", true), node("2", "x", true), action("a", "3")],
            ),
            ("a node had two actions", vec![action("a", "1"), action("recovery", "1")]),
            ("actions of a rule", vec![Seen::Book(BTreeMap::from([("a".to_owned(), 3)]))]),
            ("actions in all", vec![Seen::Book(BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 2)]))]),
        ];
        for (what, seen) in cases {
            let error = verdict(seen).unwrap_err();
            assert!(error.contains(what), "{what}: {error}");
        }
    }

    #[test]
    fn what_has_ended_makes_room_and_recovery_takes_none() {
        let one = || action("a", "1");
        let judged = verdict([
            one(),
            node("1", "x", true),
            ended(one()),
            action("a", "2"),
            action("a", "3"),
            action("recovery", "1"),
            Seen::NoWorkflow("a-2".to_owned()),
            action("a", "2"),
        ])
        .unwrap();
        assert_eq!((judged.most_of_a_rule, judged.most_in_all, judged.most_nodes_out), (2, 2, 3));
        let order: Vec<&str> = judged.begun.iter().map(|workflow| workflow.name.as_str()).collect();
        assert_eq!(order, ["a-1", "a-2", "a-3", "recovery-1"]);
    }

    #[test]
    fn changes_that_came_late_are_put_where_they_happened() {
        let record = vec![
            at(3, action("a", "2")),
            at(4, action("a", "3")),
            at(1, action("a", "1")),
            at(2, ended(action("a", "1"))),
        ];
        assert_eq!(judge(record, LIMITS).unwrap().most_of_a_rule, 2);
    }
}
