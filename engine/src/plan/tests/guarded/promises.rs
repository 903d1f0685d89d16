//! What is promised at any moment, checked against what stands in the API server.

use std::collections::BTreeSet;

use aegis_crds::guard::{AegisGuardSpec, Claim};

use super::*;

/// Every pause here is of everything, and without an end.
pub(super) fn is_paused(spec: &AegisGuardSpec, recovery: bool) -> bool {
    spec.pauses.iter().any(|pause| pause.recovery_too || !recovery)
}

/// The place that a Workflow was made in.
fn place_of(workflow: &Value) -> Place {
    let identity = whole(workflow).identity.unwrap();
    Place { uid: identity.alert_uid, phase: identity.phase, attempt: identity.attempt }
}

impl World {
    /// Everything that goes on has its place, and is alone on its node.
    pub(super) fn check_what_goes_on(&self) {
        let book = Book::of(self.truth.guard.status.as_ref());
        let mut busy = BTreeSet::new();
        for (name, workflow) in self.truth.workflows.iter().filter(|(_, one)| !ended(one) && !checks(one)) {
            assert!(book.find(&place_of(workflow)).is_some(), "{name} goes on without a place in the book");
            assert!(busy.insert(text(workflow, "/about").to_owned()), "{name} is a second action on its node");
        }
    }

    /// A place that is about to be taken whatever the gates say: it must be that of an action that lost it, and here
    /// none does.
    pub(super) fn check_adopted(&self, place: &Place) {
        let book = Book::of(self.truth.guard.status.as_ref());
        assert!(book.find(place).is_some(), "{place:?} lost its place");
    }

    /// What stands in an action as the node before it: what it changed is told from that.
    pub(super) fn check_picture(&self, node: &str, before: &Picture) {
        let now = Picture::of(&self.truth.nodes[node]);
        assert_eq!(before.to_text(), now.to_text(), "{node} is written down as it was before another action");
    }

    /// A place that is about to be given back for nothing: what was made in it would never be written down.
    pub(super) fn check_unused(&self, place: &Place) {
        let mut made = self.truth.workflows.values().map(place_of);
        assert!(!made.any(|made_in| made_in == *place), "{place:?} is given back as if nothing had been made in it");
    }

    /// A place that was taken just now, by what stood in the AegisGuard in that very moment.
    pub(super) fn check_place(&self, leader: usize, book: &Book, claim: &Claim) {
        let spec = &self.truth.guard.spec;
        assert!(!is_paused(spec, claim.recovery), "a place was taken while paused: {claim:?}");
        let mut others = book.claims().filter(|other| Place::of(other) != Place::of(claim));
        assert!(others.all(|other| other.target != claim.target), "two actions on {}", claim.target);
        if claim.recovery {
            return;
        }
        let counted: Vec<&Claim> = book.claims().filter(|claim| !claim.recovery).collect();
        let budgets = spec.budgets.clone().unwrap();
        assert!(
            counted.len() <= usize::try_from(budgets.unfinished.unwrap()).unwrap(),
            "the budget of all: {counted:?}"
        );
        let of_rule = counted.iter().filter(|other| other.rule == claim.rule).count();
        assert!(of_rule <= usize::try_from(budgets.unfinished_per_rule.unwrap()).unwrap(), "the budget of a rule");
        let known = self.leaders[leader].view.nodes.iter();
        let out = known.filter(|(_, node)| node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)));
        let mut out: BTreeSet<&str> = out.map(|(name, _)| name.as_str()).collect();
        out.extend(counted.iter().filter_map(|claim| claim.node.as_deref()));
        assert!(out.len() <= 2, "too many nodes are out: {out:?}");
        let theirs = self.leaders[leader].view.nodes.get(claim.node.as_deref().unwrap()).is_some_and(|node| {
            let facts = NodeFacts::of(node, &Policy::default());
            facts.cordoned && !facts.cordon_is_ours
        });
        assert!(!theirs, "an action on a node that somebody else cordoned");
        let policy = Policy::compile(spec).unwrap();
        assert_eq!(book.breaker_open(&policy, None, at(self.now)), None, "a place was taken past the breaker");
        let begun = self.truth.guard.status.iter().flat_map(|status| &status.starts);
        let lately = begun.filter(|starts| at(self.now).duration_since(starts.minute.unwrap()) < seconds(600));
        let lately: i32 = lately.map(|starts| starts.count).sum();
        assert!(lately <= 4, "{lately} actions began within the breaker's time");
    }
}
