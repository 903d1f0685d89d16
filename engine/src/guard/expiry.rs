//! Changes that end by themselves: a cordon that was to stand for a while. When its time is over Aegis puts back exactly
//! that, as recovery, in a place of its own in the book; what somebody has set anew since is theirs.

use aegis_crds::alert::AlertStatus;
use aegis_crds::guard::Claim;
use aegis_crds::names::CHANGES_ANNOTATION;
use aegis_crds::rule::{OnCordoned, RuleBudget};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use serde_json::Value;

use super::changes::{self, Change, Picture};
use super::request::{Place, Rank, Request};
use super::retries::Retries;
use crate::scope::ObjectName;

/// What the UID of a place begins with that is taken to put something back. No object has such a UID.
const MARK: &str = "expiry/";

/// What becomes of the changes on a node that are due.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The merge patch that does it. It holds for the node as it was read.
    pub patch: Value,
    /// Those that are put back.
    pub back: Vec<Change>,
    /// Those that somebody else has changed or set anew since: they are left as they are, and forgotten.
    pub moved_on: Vec<Change>,
}

/// When something on the node is due: at its end, or at once where it no longer stands. `None` if nothing there ends by
/// itself.
pub fn due_at(node: &Node) -> Option<Timestamp> {
    // Of thousands of nodes few have any.
    node.annotations().get(CHANGES_ANNOTATION).filter(|text| text.contains("\"expires\""))?;
    let now = Picture::of(node);
    let ends = |change: Change| change.expires.map(|end| if change.stands(&now) { end } else { Timestamp::MIN });
    changes::recorded(node).into_iter().filter_map(ends).min()
}

/// What is asked of the guard for putting back what is due on the node; `None` if nothing is.
///
/// It is recovery in the name of the rule that led to the change: a pause of that rule or node that is of recovery too
/// holds it, and so does whatever works on the node.
pub fn request(node: &Node, now: Timestamp) -> Option<Request> {
    let picture = Picture::of(node);
    let change = changes::recorded(node).into_iter().find(|change| is_due(change, change.stands(&picture), now))?;
    let target = format!("node/{}", node.name_any());
    Some(Request {
        place: Place {
            uid: format!("{MARK}{}", node.uid().unwrap_or_default()),
            phase: AlertStatus::Firing,
            attempt: 1,
        },
        rank: Rank::new(None, change.expires.unwrap_or(now), &target),
        // The alert may be gone by then, and looks after its own places alone.
        alert: target.clone(),
        rule: ObjectName::parse(&change.rule).unwrap_or_default(),
        target,
        node: Some(node.name_any()),
        recovery: true,
        on_cordoned: OnCordoned::Hold,
        budget: RuleBudget::default(),
        // That an action of the rule failed is no reason to wait.
        retries: Retries { wait: SignedDuration::ZERO, longest_wait: SignedDuration::ZERO, ..Retries::default() },
    })
}

/// Whether that place was taken to put back what had expired.
pub fn took(claim: &Claim) -> bool {
    claim.uid.starts_with(MARK)
}

/// What becomes of what is due on the node, as it was read from the API server; `None` if nothing is.
pub fn settle(node: &Node, now: Timestamp) -> Option<Settled> {
    let (due, kept): (Vec<Change>, Vec<Change>) =
        changes::recorded(node).into_iter().partition(|change| is_due(change, change.is_as_left(node), now));
    let (back, moved_on): (Vec<Change>, Vec<Change>) = due.into_iter().partition(|change| change.is_as_left(node));
    let patch = changes::put_back(node, &back, &kept);
    (!back.is_empty() || !moved_on.is_empty()).then_some(Settled { patch, back, moved_on })
}

fn is_due(change: &Change, stands: bool, now: Timestamp) -> bool {
    change.expires.is_some_and(|end| end <= now || !stands)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegis_crds::AegisGuard;
    use serde_json::json;

    use super::super::changes::{Author, UNSCHEDULABLE, annotate, record, recorded};
    use super::super::{Book, Guard, Reason, admit};
    use super::*;
    use crate::plan::testing::merge;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    /// A node that was cordoned at that minute, by whoever kubectl wrote for.
    fn node(cordoned: Option<i64>) -> Node {
        let mut node = json!({
            "metadata": {"name": "n1", "uid": "u1", "resourceVersion": "7", "labels": {"gpu": "broken"}}, "spec": {},
        });
        if let Some(minute) = cordoned {
            node["spec"]["unschedulable"] = json!(true);
            let fields = json!({"f:spec": {"f:unschedulable": {}}});
            node["metadata"]["managedFields"] = json!([
                {"manager": "kubectl-label", "operation": "Update", "time": at(9999), "fieldsV1": {"f:metadata": {}}},
                {"manager": "kubectl", "operation": "Update", "time": at(minute), "fieldsV1": fields},
            ]);
        }
        serde_json::from_value(node).unwrap()
    }

    fn patched(node: &Node, patch: &Value) -> Node {
        let mut value = json!(node);
        merge(&mut value, patch);
        serde_json::from_value(value).unwrap()
    }

    /// The node after an action that ended at the tenth minute; it was so before.
    fn acted(before: &Node, after: &Node, cordon_for: Option<SignedDuration>) -> Node {
        let author = Author { alert: "a", rule: "m/r", action: "w", time: at(10), cordon_for };
        match record(&Picture::of(before), after, author) {
            Some(changes) => patched(after, &annotate(after, &changes)),
            None => after.clone(),
        }
    }

    fn for_an_hour() -> Node {
        acted(&node(None), &node(Some(5)), Some(HOUR))
    }

    #[test]
    fn a_cordon_for_a_while_is_lifted_when_its_time_is_over_and_not_before() {
        let node = for_an_hour();
        assert_eq!(due_at(&node), Some(at(70)), "an hour after the action ended");
        assert_eq!((request(&node, at(69)), settle(&node, at(69))), (None, None));
        assert!(request(&node, at(70)).is_some());
        let settled = settle(&node, at(70)).unwrap();
        assert_eq!((settled.back.len(), settled.moved_on.len()), (1, 0));
        assert_eq!(settled.patch["metadata"]["resourceVersion"], "7", "it holds for this version alone");
        let back = patched(&node, &settled.patch);
        assert_eq!(Picture::of(&back), Picture::of(&super::tests::node(None)));
        assert!(recorded(&back).is_empty() && due_at(&back).is_none());
    }

    #[test]
    fn nothing_else_that_the_action_did_is_put_back() {
        let mut before = node(None);
        before.metadata.labels = None;
        let node = acted(&before, &node(Some(5)), Some(HOUR));
        let back = patched(&node, &settle(&node, at(70)).unwrap().patch);
        let left: Vec<String> = recorded(&back).into_iter().map(|change| change.field).collect();
        assert_eq!((left, back.labels()["gpu"].as_str()), (vec!["label/gpu".to_owned()], "broken"));
    }

    #[test]
    fn what_somebody_set_anew_or_lifted_since_is_theirs() {
        let ours = for_an_hour();
        let again = Node { metadata: ours.metadata.clone(), ..node(Some(30)) };
        let mut again = Node { spec: node(Some(30)).spec, ..again };
        again.metadata.managed_fields = node(Some(30)).metadata.managed_fields;
        assert_eq!(due_at(&again), Some(at(70)), "its value is the same");
        let settled = settle(&again, at(70)).unwrap();
        assert_eq!((settled.back.len(), settled.moved_on.len()), (0, 1), "but it was written since");
        let left = patched(&again, &settled.patch);
        assert!(Picture::of(&left) == Picture::of(&again) && recorded(&left).is_empty());

        let lifted = Node { spec: node(None).spec, ..ours };
        assert_eq!(due_at(&lifted), Some(Timestamp::MIN), "what no longer stands is forgotten at once");
        assert!(request(&lifted, at(20)).is_some());
        assert_eq!(settle(&lifted, at(20)).unwrap().moved_on.len(), 1);
    }

    #[test]
    fn a_server_that_does_not_tell_who_wrote_is_believed_by_the_value() {
        let mut silent = node(Some(5));
        silent.metadata.managed_fields = None;
        let node = acted(&node(None), &silent, Some(HOUR));
        assert_eq!(settle(&node, at(70)).unwrap().back.len(), 1);
    }

    #[test]
    fn an_end_only_ever_moves_to_a_later_time() {
        let ends =
            |node: &Node| recorded(node).iter().find(|one| one.field == UNSCHEDULABLE).and_then(|one| one.expires);
        let cases = [
            ("a longer one", Some(HOUR), Some(HOUR * 2), Some(at(130))),
            ("a shorter one", Some(HOUR), Some(HOUR / 2), Some(at(70))),
            ("an action that says nothing of it", Some(HOUR), None, Some(at(70))),
            ("one after a cordon that nobody ends", None, Some(HOUR), None),
        ];
        for (why, first, second, want) in cases {
            let stood = acted(&node(None), &node(Some(5)), first);
            assert_eq!(ends(&acted(&stood, &stood, second)), want, "{why}");
        }
        let foreign = node(Some(5));
        assert_eq!(recorded(&acted(&foreign, &foreign, Some(HOUR))), [], "somebody else's cordon stays theirs");
    }

    #[test]
    fn it_waits_for_whatever_works_on_the_node_and_for_a_pause_of_recovery_too() {
        let asked = request(&for_an_hour(), at(70)).unwrap();
        let refused = |guard: &Guard| admit(&asked, guard, at(70)).map_err(|refusal| refusal.reason);
        assert_eq!(refused(&Guard::default()), Ok(()));

        let other = Request { place: Place { uid: "u2".into(), ..asked.place.clone() }, ..asked.clone() };
        let policy = Guard::default().policy.or_default();
        let book = Arc::new(Book::default().with(&other, &policy, at(60)));
        assert_eq!(refused(&Guard { book, ..Guard::default() }), Err(Reason::TargetBusy));

        for (target, recovery_too, want) in [
            ("all", true, Err(Reason::Paused)),
            ("all", false, Ok(())),
            ("node/n1", true, Err(Reason::Paused)),
            ("rule/m/r", true, Err(Reason::Paused)),
            ("rule/m/other", true, Ok(())),
        ] {
            let spec = json!({"pauses": [{"target": target, "recoveryToo": recovery_too}]});
            let guard = AegisGuard::new("aegis", serde_json::from_value(spec).unwrap());
            assert_eq!(refused(&Guard::of(Some(&guard), [])), want, "{target} {recovery_too}");
        }
    }

    #[test]
    fn its_place_is_known_from_an_alerts() {
        let asked = request(&for_an_hour(), at(70)).unwrap();
        assert!(took(&asked.claim(at(70))));
        let of_alert = Request { place: Place { uid: "5b1f".into(), ..asked.place.clone() }, ..asked };
        assert!(!took(&of_alert.claim(at(70))));
    }
}
