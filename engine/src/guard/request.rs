//! What an action asks of the guard, and who comes first when there is not room for all.

use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertStatus, InvolvedObject};
use aegis_crds::guard::Claim;
use aegis_crds::rule::{OnCordoned, RuleBudget};
use aegis_crds::template::ActsOn;
use jiff::Timestamp;

use super::retries::Retries;
use crate::scope::ObjectName;

/// An action that is due, as far as the guard needs to know it. It can be judged again later, against a newer book.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The place that it would take.
    pub place: Place,
    /// The alert's name.
    pub alert: String,
    /// The rule that asks for it.
    pub rule: ObjectName,
    /// What it acts on, as "node/NAME" or "kind/NAMESPACE/NAME".
    pub target: String,
    /// The node that it takes out, if any.
    pub node: Option<String>,
    /// Whether it puts back what Aegis did.
    pub recovery: bool,
    /// What its rule says to nodes that somebody else cordoned.
    pub on_cordoned: OnCordoned,
    /// What its rule asks for of the budgets.
    pub budget: RuleBudget,
    /// When its rule acts again on a target.
    pub retries: Retries,
    /// Where it stands among others.
    pub rank: Rank,
}

/// One place in the book: an alert's action of a phase and attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The alert's UID.
    pub uid: String,
    /// The phase that it is for.
    pub phase: AlertStatus,
    /// The attempt, from 1.
    pub attempt: i32,
}

/// The order among those who wait: the gravest first, of these the one that has waited longest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    severity: u8,
    since: Timestamp,
    alert: String,
}

impl Rank {
    /// Of an alert, which waits since it was stored.
    pub fn of(alert: &AegisAlert) -> Self {
        let metadata = &alert.metadata;
        let since = metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
        Self::new(alert.spec.severity.as_deref(), since, metadata.name.as_deref().unwrap_or_default())
    }

    /// Of an alert's severity in its sender's words, since when it waits, and its name.
    pub fn new(severity: Option<&str>, since: Timestamp, alert: &str) -> Self {
        Self { severity: severity_rank(severity.unwrap_or_default()), since, alert: alert.to_owned() }
    }
}

impl Place {
    /// Whether a claim took this place.
    pub fn is_of(&self, claim: &Claim) -> bool {
        (claim.uid.as_str(), claim.phase, claim.attempt) == (self.uid.as_str(), self.phase, self.attempt)
    }

    /// The place that a claim took.
    pub fn of(claim: &Claim) -> Self {
        Self { uid: claim.uid.clone(), phase: claim.phase, attempt: claim.attempt }
    }
}

impl Request {
    /// The claim that it becomes.
    pub fn claim(&self, now: Timestamp) -> Claim {
        Claim {
            alert: self.alert.clone(),
            uid: self.place.uid.clone(),
            phase: self.place.phase,
            attempt: self.place.attempt,
            rule: self.rule.to_string(),
            target: self.target.clone(),
            node: self.node.clone(),
            recovery: self.recovery,
            since: Some(now),
        }
    }

    /// Its target, and its node as a target.
    pub fn targets(&self) -> Vec<String> {
        targets(&self.target, self.node.as_deref())
    }
}

/// What a claim works on: its target, and its node as a target.
pub fn targets_of(claim: &Claim) -> Vec<String> {
    targets(&claim.target, claim.node.as_deref())
}

fn targets(target: &str, node: Option<&str>) -> Vec<String> {
    let node = node.map(|node| format!("node/{node}")).filter(|node| node != target);
    std::iter::once(target.to_owned()).chain(node).collect()
}

/// What an action on this object acts on, and the node that it takes out. An alert about nothing in particular is a
/// target of its own.
pub fn target(object: &InvolvedObject, acts_on: ActsOn, alert: &str) -> (String, Option<String>) {
    let kind = object.kind.to_lowercase();
    if object.name.is_empty() {
        return (format!("alert/{alert}"), None);
    }
    if kind == "node" {
        return (format!("node/{}", object.name), Some(object.name.clone()));
    }
    let node = (acts_on == ActsOn::Node && !object.node.is_empty()).then(|| object.node.clone());
    (format!("{kind}/{}/{}", object.namespace, object.name), node)
}

/// The words that alerting rules commonly use; 0 is the gravest. A word that nobody knows comes after a warning, since
/// whoever wanted more said so.
fn severity_rank(word: &str) -> u8 {
    match word.to_lowercase().as_str() {
        "emergency" | "page" | "fatal" | "p0" => 0,
        "critical" | "crit" | "disaster" | "p1" => 1,
        "error" | "major" | "high" | "p2" => 2,
        "warning" | "warn" | "minor" | "average" | "p3" => 3,
        "info" | "information" | "notice" | "low" | "none" | "debug" | "p4" | "p5" => 5,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_come_first_and_then_those_who_waited_longest() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut ranks = [
            Rank::new(Some("info"), at(0), "a"),
            Rank::new(None, at(0), "b"),
            Rank::new(Some("Critical"), at(9), "c"),
            Rank::new(Some("critical"), at(3), "d"),
            Rank::new(Some("warning"), at(1), "e"),
        ];
        ranks.sort();
        let order: Vec<&str> = ranks.iter().map(|rank| rank.alert.as_str()).collect();
        assert_eq!(order, ["d", "c", "e", "b", "a"]);
    }

    #[test]
    fn a_pods_action_takes_its_node_out_only_if_its_procedure_acts_on_the_node() {
        let pod = InvolvedObject { kind: "Pod".into(), name: "p".into(), namespace: "ns".into(), node: "n1".into() };
        let node = InvolvedObject { kind: "Node".into(), name: "n1".into(), ..InvolvedObject::default() };
        let cases = [
            (&pod, ActsOn::Object, "pod/ns/p", None),
            (&pod, ActsOn::Node, "pod/ns/p", Some("n1")),
            (&node, ActsOn::Object, "node/n1", Some("n1")),
            (&InvolvedObject::default(), ActsOn::Node, "alert/a", None),
        ];
        for (object, acts_on, want, want_node) in cases {
            let (target, node) = target(object, acts_on, "a");
            assert_eq!((target.as_str(), node.as_deref()), (want, want_node));
        }
    }
}
