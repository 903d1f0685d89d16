use super::*;
use aegis_crds::guard::{AegisGuardSpec, AegisGuardStatus};
use aegis_crds::rule::{OnCordoned, RuleBudget};
use k8s_openapi::api::core::v1::Node;
use serde_json::json;
use std::sync::Arc;

use crate::scope::ObjectName;

fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn node(name: &str) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.to_owned());
    node
}

fn cordoned(name: &str) -> Node {
    let mut node = node(name);
    node.spec.get_or_insert_default().unschedulable = Some(true);
    node
}

fn not_ready(name: &str) -> Node {
    let mut node = node(name);
    let status = json!({"conditions": [{"type": "Ready", "status": "Unknown"}]});
    node.status = Some(serde_json::from_value(status).unwrap());
    node
}

fn labelled(mut node: Node, key: &str, value: &str) -> Node {
    node.metadata.labels.get_or_insert_default().insert(key.into(), value.into());
    node
}

/// A hundred healthy nodes, n0 to n99.
fn hundred() -> Vec<Node> {
    (0..100).map(|number| node(&format!("n{number}"))).collect()
}

/// What is known, with these nodes.
fn guard(spec: &AegisGuardSpec, nodes: &[Node]) -> Guard {
    let policy = Policy::compile(spec).unwrap();
    Guard {
        fleet: Arc::new(Fleet::of(nodes, &policy)),
        pauses: Arc::new(Pauses::of(spec, None)),
        resumed: Arc::new(spec.resumed.clone()),
        policy: PolicyState::InForce(Arc::new(policy)),
        ..Guard::default()
    }
}

fn place(uid: &str) -> Place {
    Place { uid: uid.to_owned(), phase: AlertStatus::Firing, attempt: 1 }
}

/// An action of rule m/r on that node for an alert of the node's name.
fn on(node: &str) -> Request {
    Request {
        place: place(node),
        alert: format!("alert-{node}"),
        rule: ObjectName::new("m", "r"),
        target: format!("node/{node}"),
        node: Some(node.to_owned()),
        recovery: false,
        on_cordoned: OnCordoned::Hold,
        budget: RuleBudget::default(),
        retries: Retries::default(),
        rank: Rank::new(None, noon(), node),
    }
}

fn pod(name: &str) -> Request {
    Request { target: format!("pod/ns/{name}"), node: None, ..on(name) }
}

fn recovery(request: Request) -> Request {
    Request { recovery: true, ..request }
}

/// The guard once these have taken their places.
fn busy(mut guard: Guard, requests: impl IntoIterator<Item = Request>) -> Guard {
    let policy = guard.policy().unwrap().clone();
    let book =
        requests.into_iter().fold(Book::clone(&guard.book), |book, request| book.with(&request, &policy, noon()));
    guard.book = Arc::new(book);
    guard
}

fn reason(request: &Request, guard: &Guard) -> Option<Reason> {
    reason_at(request, guard, noon())
}

fn reason_at(request: &Request, guard: &Guard, now: Timestamp) -> Option<Reason> {
    admit(request, guard, now).err().map(|refusal| refusal.reason)
}

fn message(request: &Request, guard: &Guard) -> String {
    admit(request, guard, noon()).unwrap_err().message
}

fn spec(value: serde_json::Value) -> AegisGuardSpec {
    serde_json::from_value(value).unwrap()
}

/// A case that every gate clears.
fn case<'a>(request: &'a Request, guard: &'a Guard) -> Case<'a> {
    Case {
        phase: AlertStatus::Firing,
        phase_now: AlertStatus::Firing,
        nodes: BTreeSet::from(["n1"]),
        heard: noon(),
        stale_after: SignedDuration::from_hours(24),
        earlier_action: None,
        old_controller: None,
        request,
        guard,
        gone: None,
        others_first: false,
        plan: Some("0123"),
        approval_required: false,
        opinion: Opinion::default(),
        observes: false,
        test: false,
        dry_run: false,
    }
}

fn decides(case: &Case<'_>) -> Option<Reason> {
    let judgement = judge(case, noon());
    assert_eq!(
        judgement.findings().len(),
        judge(&self::case(&on("n1"), &Guard::default()), noon()).findings().len(),
        "all verdicts are kept"
    );
    judgement.refusal().map(|refusal| refusal.reason)
}

#[test]
fn the_first_refusal_decides() {
    let request = on("n1");
    let none = Guard::default();
    let n1 = guard(&AegisGuardSpec::default(), &[labelled(node("n1"), "aegis.io/disable", "true")]);
    let clear = case(&request, &none);
    let hours = SignedDuration::from_hours;
    let cases = [
        ("nothing stands in the way", clear.clone(), None),
        ("the alert was resolved", Case { phase_now: AlertStatus::Resolved, ..clear.clone() }, Some(Reason::Resolved)),
        ("the node's owner opted out", case(&request, &n1), Some(Reason::OptedOut)),
        ("another node opted out", Case { nodes: BTreeSet::from(["n2"]), ..case(&request, &n1) }, None),
        ("not heard for a day", Case { heard: noon() - hours(25), ..clear.clone() }, Some(Reason::Stale)),
        ("heard just in time", Case { heard: noon() - hours(24), ..clear.clone() }, None),
        (
            "an earlier incident is still being repaired",
            Case { earlier_action: Some("w".into()), ..clear.clone() },
            Some(Reason::EarlierAction),
        ),
        (
            "the controller of an earlier version still runs",
            Case { old_controller: Some("it runs"), test: true, ..clear.clone() },
            Some(Reason::OldController),
        ),
        (
            "another node of that name",
            Case { gone: Some("it is new".into()), ..clear.clone() },
            Some(Reason::TargetGone),
        ),
        ("graver ones wait", Case { others_first: true, ..clear.clone() }, Some(Reason::BudgetFull)),
        ("nobody approved", Case { approval_required: true, ..clear.clone() }, Some(Reason::NeedsApproval)),
        ("a test", Case { test: true, ..clear.clone() }, Some(Reason::TestAlert)),
        ("a rule that observes", Case { observes: true, ..clear.clone() }, Some(Reason::Observed)),
        ("the controller acts on nothing", Case { dry_run: true, ..clear.clone() }, Some(Reason::DryRun)),
        ("a test on a node that opted out", Case { test: true, ..case(&request, &n1) }, Some(Reason::OptedOut)),
    ];
    for (why, case, want) in cases {
        assert_eq!(decides(&case), want, "{why}");
    }
}

#[test]
fn a_refusal_says_what_would_change_it() {
    let n1 = guard(&AegisGuardSpec::default(), &[labelled(node("n1"), "aegis.io/disable", "true")]);
    let judgement = judge(&case(&on("n1"), &n1), noon());
    assert_eq!(
        judgement.refusal().unwrap().message,
        "node n1 is labelled aegis.io/disable=true; remove the label to let Aegis act on it"
    );
}

#[test]
fn an_approval_counts_for_this_action_by_enough_people_and_for_a_while() {
    let request = on("n1");
    let two = guard(&spec(json!({"approval": {"people": 2, "expires": "1h"}})), &[]);
    let by = |people: &[&str], since: Option<Timestamp>| Opinion {
        approved: people.iter().map(|&user| user.to_owned()).collect(),
        since,
        ..Opinion::default()
    };
    let asked = Case { approval_required: true, ..case(&request, &two) };
    let cases = [
        ("nobody", by(&[], None), Some(Reason::NeedsApproval)),
        ("one of two", by(&["ann"], None), Some(Reason::NeedsApproval)),
        ("two", by(&["ann", "bob"], None), None),
        ("two, long ago", by(&["ann", "bob"], Some(noon() - minutes(61))), Some(Reason::NeedsApproval)),
        ("two, a while ago", by(&["ann", "bob"], Some(noon() - minutes(59))), None),
        (
            "one said no",
            Opinion { declined: Some(("eve".into(), Some("not now".into()))), ..by(&["ann", "bob"], None) },
            Some(Reason::Declined),
        ),
    ];
    for (why, opinion, want) in cases {
        assert_eq!(decides(&Case { opinion, ..asked.clone() }), want, "{why}");
    }
    let mut open = two.clone();
    open.approvals = Approvals::NotKept("the policy is not bound".into());
    let opinion = by(&["ann", "bob"], None);
    let judgement = judge(&Case { opinion, approval_required: true, ..case(&request, &open) }, noon());
    assert!(judgement.refusal().unwrap().message.contains("the policy is not bound"));
}

#[test]
fn many_nodes_out_ask_for_an_approval() {
    let spec = spec(json!({"approval": {"aboveNodesOut": 2}, "budgets": {"nodesOut": {"percent": 50}}}));
    let request = on("n1");
    let with = |out: &[&str]| {
        let mut nodes = hundred();
        nodes.truncate(10);
        nodes.extend(out.iter().map(|name| not_ready(name)));
        guard(&spec, &nodes)
    };
    assert_eq!(decides(&case(&request, &with(&["x"]))), None);
    assert_eq!(decides(&case(&request, &with(&["x", "y"]))), Some(Reason::NeedsApproval));
}

#[test]
fn without_a_policy_only_recovery_begins() {
    let blind = Guard { policy: PolicyState::Missing("it cannot be read".into()), ..Guard::default() };
    assert_eq!(reason(&on("n1"), &blind), Some(Reason::NoPolicy));
    assert_eq!(reason(&recovery(on("n1")), &blind), None);
}

#[test]
fn a_pause_holds_all_but_recovery_unless_it_says_so() {
    let paused = |more: serde_json::Value| {
        let mut pause = json!({"target": "all", "reason": "upgrade"});
        pause.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        guard(&spec(json!({"pauses": [pause]})), &[])
    };
    assert_eq!(reason(&on("n1"), &paused(json!({}))), Some(Reason::Paused));
    assert_eq!(reason(&recovery(on("n1")), &paused(json!({}))), None);
    assert_eq!(reason(&recovery(on("n1")), &paused(json!({"recoveryToo": true}))), Some(Reason::Paused));
    let until = paused(json!({"until": "2026-11-22T13:00:00Z"}));
    assert_eq!(admit(&on("n1"), &until, noon()).unwrap_err().next_try, Some(noon() + minutes(60)));
    assert_eq!(reason_at(&on("n1"), &until, noon() + minutes(60)), None);
}

#[test]
fn one_action_works_on_a_target_and_on_a_node() {
    let spec = AegisGuardSpec::default();
    let works = busy(guard(&spec, &hundred()), [on("n1")]);
    let other = |request: Request| Request { place: place("other"), ..request };
    assert_eq!(reason(&other(on("n1")), &works), Some(Reason::TargetBusy));
    assert_eq!(reason(&on("n1"), &works), None, "it does not stand in its own way");
    assert_eq!(reason(&other(recovery(on("n1"))), &works), Some(Reason::TargetBusy));
    let pod_on_n1 = Request { node: Some("n1".into()), ..other(pod("p")) };
    assert_eq!(reason(&pod_on_n1, &works), Some(Reason::TargetBusy));
    assert_eq!(reason(&other(pod("p")), &works), None, "a procedure for the pod alone leaves the node alone");
    assert_eq!(
        message(&other(on("n1")), &works),
        "an action for alert alert-n1 works on node/n1; it is tried when that has ended"
    );
}

#[test]
fn somebody_elses_cordon_is_respected() {
    let spec = AegisGuardSpec::default();
    let theirs = guard(&spec, &[cordoned("n1")]);
    assert_eq!(reason(&on("n1"), &theirs), Some(Reason::Cordoned));
    assert_eq!(reason(&Request { on_cordoned: OnCordoned::Act, ..on("n1") }, &theirs), None);
    assert_eq!(reason(&recovery(on("n1")), &theirs), Some(Reason::NotOurs), "it is not ours to lift");
    let mut ours = cordoned("n1");
    let author = changes::Author { alert: "a", rule: "m/r", action: "w", time: noon(), cordon_for: None };
    let changes = changes::record(&changes::Picture::of(&node("n1")), &ours, author).unwrap();
    ours.metadata.annotations =
        Some([("aegis.io/changes".to_owned(), json!(changes).to_string())].into_iter().collect());
    let ours = guard(&spec, &[ours]);
    assert_eq!((reason(&on("n1"), &ours), reason(&recovery(on("n1")), &ours)), (None, None));
    let mut tainted = node("n1");
    let taint = json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]});
    tainted.spec = Some(serde_json::from_value(taint).unwrap());
    assert_eq!(reason(&on("n1"), &guard(&spec, &[tainted])), None, "a taint alone holds nothing");
}

#[test]
fn a_freeze_holds_all_but_recovery() {
    let noons = json!([{"name": "noon", "kind": "Freeze", "schedule": "0 * * * *", "duration": "30m"}]);
    let frozen = guard(&spec(json!({"windows": noons})), &hundred());
    assert_eq!(reason(&on("n1"), &frozen), Some(Reason::Frozen));
    assert_eq!(reason(&recovery(on("n1")), &frozen), None);
}

#[test]
fn the_wait_grows_with_each_failure_until_a_person_has_to_look() {
    let spec = AegisGuardSpec::default();
    let policy = Policy::default();
    let after = |failures: usize| {
        let mut guard = guard(&spec, &hundred());
        let mut book = Book::default();
        for _ in 0..failures {
            book = book.with(&on("n1"), &policy, noon());
            book = book.without(&place("n1"), Ended::Failed(noon()), SignedDuration::ZERO, noon());
        }
        guard.book = Arc::new(book);
        guard
    };
    let due = |guard: &Guard| admit(&on("n1"), guard, noon()).unwrap_err().next_try;
    assert_eq!(due(&after(1)), Some(noon() + minutes(1)));
    assert_eq!(due(&after(2)), Some(noon() + minutes(2)));
    assert_eq!(reason_at(&on("n1"), &after(2), noon() + minutes(2)), None);
    assert_eq!(reason_at(&on("n1"), &after(3), noon() + minutes(59)), Some(Reason::NeedsPerson));
    assert_eq!(reason(&on("n2"), &after(3)), None, "another target is another matter");
    assert_eq!(reason(&recovery(on("n1")), &after(3)), Some(Reason::CoolingDown), "it is not tried without a pause");
    let mut resumed = after(3);
    resumed.resumed = Arc::new([("node/n1".to_owned(), noon())].into());
    assert_eq!(reason_at(&on("n1"), &resumed, noon()), None, "a person looked");
    let healed = Book::clone(&after(2).book).with(&on("n1"), &policy, noon());
    let healed = healed.without(&place("n1"), Ended::Succeeded(noon()), SignedDuration::ZERO, noon());
    assert_eq!(healed.ending(&on("n1")), None, "a success ends the row");
}

#[test]
fn a_rule_that_waits_between_actions_waits_after_a_success_too() {
    let mut guard = guard(&AegisGuardSpec::default(), &hundred());
    let retries = Retries { cooldown: minutes(10), ..Retries::default() };
    let request = Request { retries, ..on("n1") };
    let book = Book::default().with(&request, &Policy::default(), noon());
    guard.book = Arc::new(book.without(&place("n1"), Ended::Succeeded(noon()), minutes(10), noon()));
    assert_eq!(reason_at(&request, &guard, noon() + minutes(9)), Some(Reason::CoolingDown));
    assert_eq!(reason_at(&request, &guard, noon() + minutes(10)), None);
}

#[test]
fn no_more_than_ten_of_a_rule_and_thirty_in_all_are_under_way() {
    let spec = AegisGuardSpec::default();
    let pods = |rule: &'static str, count: usize| {
        (0..count).map(move |number| Request { rule: ObjectName::new("m", rule), ..pod(&format!("{rule}-{number}")) })
    };
    let nine = busy(guard(&spec, &[]), pods("r", 9));
    assert_eq!(reason(&pod("p"), &nine), None);
    let ten = busy(guard(&spec, &[]), pods("r", 10));
    assert_eq!(reason(&pod("p"), &ten), Some(Reason::BudgetFull));
    assert_eq!(reason(&recovery(pod("p")), &ten), None);
    assert_eq!(reason(&pod("r-3"), &ten), None, "one that has its place already keeps it");
    let all = busy(guard(&spec, &[]), pods("a", 10).chain(pods("b", 10)).chain(pods("c", 10)));
    assert_eq!(reason(&pod("p"), &all), Some(Reason::BudgetFull));
    let recovering = busy(guard(&spec, &[]), pods("r", 30).map(recovery));
    assert_eq!(reason(&pod("p"), &recovering), None, "recovery takes no room");
    let small = Request { budget: RuleBudget { unfinished: Some(2), nodes_out_percent: None }, ..pod("p") };
    assert_eq!(reason(&small, &busy(guard(&spec, &[]), pods("r", 2))), Some(Reason::BudgetFull));
}

#[test]
fn no_more_than_five_percent_of_a_pool_are_out() {
    let spec = AegisGuardSpec::default();
    let four = busy(guard(&spec, &hundred()), (0..4).map(|number| on(&format!("n{number}"))));
    assert_eq!(reason(&on("n50"), &four), None);
    let five = busy(guard(&spec, &hundred()), (0..5).map(|number| on(&format!("n{number}"))));
    assert_eq!(reason(&on("n50"), &five), Some(Reason::TooManyNodesOut));
    assert_eq!(
        message(&on("n50"), &five),
        "of the 100 nodes of pool default 5 may be out, and n0, n1, n2 and 2 more already are or are under action"
    );
    let mut nodes = hundred();
    nodes[0] = not_ready("n0");
    nodes[1] = cordoned("n1");
    let two_out = guard(&spec, &nodes);
    assert_eq!(reason(&on("n9"), &busy(two_out.clone(), [on("n2"), on("n3")])), None);
    assert_eq!(
        reason(&on("n9"), &busy(two_out.clone(), [on("n2"), on("n3"), on("n4")])),
        Some(Reason::TooManyNodesOut)
    );
    let full = busy(two_out, [on("n2"), on("n3"), on("n4")]);
    assert_eq!(reason(&on("n0"), &full), None, "a node that is out already takes no more out");
    assert_eq!(reason(&recovery(on("n50")), &full), None);
}

#[test]
fn one_node_may_always_be_out_so_that_small_pools_are_not_stuck() {
    let spec = AegisGuardSpec::default();
    let two = guard(&spec, &[node("n1"), node("n2")]);
    assert_eq!(reason(&on("n1"), &two), None);
    assert_eq!(reason(&on("n2"), &busy(two, [on("n1")])), Some(Reason::TooManyNodesOut));
    assert_eq!(reason(&on("switch-7"), &guard(&spec, &[])), None, "what is no node of the cluster counts in no pool");
}

#[test]
fn a_failure_domain_has_a_budget_of_its_own() {
    let spec = spec(json!({"pools": [{
        "name": "gpu", "selector": {"matchLabels": {"pool": "gpu"}}, "nodesOut": {"percent": 50},
        "domain": {"label": "rack", "count": 1},
    }]}));
    let racked = |name: &str, rack: &str| labelled(labelled(node(name), "pool", "gpu"), "rack", rack);
    let nodes = [racked("a1", "a"), racked("a2", "a"), racked("b1", "b"), racked("b2", "b"), node("other")];
    let works = busy(guard(&spec, &nodes), [on("a1")]);
    assert_eq!(reason(&on("a2"), &works), Some(Reason::TooManyNodesOut));
    assert_eq!(reason(&on("b1"), &works), None);
    assert_eq!(reason(&on("other"), &works), None, "another pool");
}

#[test]
fn the_breaker_trips_at_one_too_many_and_closes_by_itself_or_by_a_person() {
    let spec = spec(json!({"breaker": {"actions": 3, "within": "10m", "calm": "15m"}}));
    let policy = Policy::compile(&spec).unwrap();
    let ended = |mut book: Book, count: usize, at: Timestamp| {
        for number in 0..count {
            let request = pod(&format!("p{number}"));
            book = book.with(&request, &policy, at);
            book = book.without(&request.place, Ended::Succeeded(at), SignedDuration::ZERO, at);
        }
        book
    };
    let with = |book: Book| Guard { book: Arc::new(book), ..guard(&spec, &[]) };
    let two = ended(Book::default(), 2, noon());
    assert_eq!(reason(&pod("p"), &with(two)), None);
    let three = ended(Book::default(), 3, noon());
    assert_eq!(reason(&pod("p"), &with(three.clone())), Some(Reason::BreakerOpen));
    assert_eq!(reason(&recovery(pod("p")), &with(three.clone())), None, "a storm never stops recovery");
    assert_eq!(reason_at(&pod("p"), &with(three.clone()), noon() + minutes(11)), None, "it was not asked for in time");
    let tripped = three.with_breaker(&policy, None, true, noon());
    assert_eq!(reason_at(&pod("p"), &with(tripped.clone()), noon() + minutes(14)), Some(Reason::BreakerOpen));
    assert_eq!(reason_at(&pod("p"), &with(tripped.clone()), noon() + minutes(15)), None);
    let mut person = with(tripped);
    person.resumed = Arc::new([("breaker".to_owned(), noon() + minutes(1))].into());
    assert_eq!(reason_at(&pod("p"), &person, noon() + minutes(2)), None);
}

#[test]
fn once_the_breaker_was_closed_the_next_actions_count_though_they_begin_in_the_minute_in_which_it_tripped() {
    let spec = spec(json!({"breaker": {"actions": 1, "within": "10m", "calm": "15m"}}));
    let policy = Policy::compile(&spec).unwrap();
    let seconds = |seconds: i64| noon() + SignedDuration::from_secs(seconds);
    let resumed = Some(seconds(20));
    let tripped = Book::default().with(&pod("p1"), &policy, noon()).with_breaker(&policy, None, true, seconds(10));
    let closed = tripped.with_breaker(&policy, resumed, false, seconds(21));
    assert_eq!(closed.begun(&policy, resumed, seconds(22)), 0, "what began before no longer counts");
    let again = closed.with(&pod("p2"), &policy, seconds(30)).with_breaker(&policy, resumed, true, seconds(40));
    assert!(again.breaker_open(&policy, resumed, seconds(50)).is_some());
}

#[test]
fn one_that_waits_in_line_trips_the_breaker_too() {
    let spec = spec(json!({"breaker": {"actions": 1, "within": "10m", "calm": "15m"}}));
    let policy = Policy::compile(&spec).unwrap();
    let one = Book::default().with(&pod("p1"), &policy, noon());
    let guard = Guard { book: Arc::new(one), ..guard(&spec, &[]) };
    let mut line = Line::default();
    assert!(!line.round(&guard, &[], noon()).too_many, "nobody is one too many");
    line.wait("second", pod("p2"));
    assert!(line.round(&guard, &[], noon()).too_many);
}

#[test]
fn what_is_written_of_the_book_is_read_as_it_was() {
    let policy = Policy::default();
    let empty = Book::default();
    let one = empty.clone().with(&on("n1"), &policy, noon()).with(&recovery(pod("p")), &policy, noon());
    let failed = one.clone().without(&place("n1"), Ended::Failed(noon()), SignedDuration::ZERO, noon());
    let mut stands = json!({});
    for (from, to) in [(&empty, &one), (&one, &failed), (&failed, &empty)] {
        for (field, value) in to.status_since(from).as_object().unwrap() {
            match value.is_null() {
                true => stands.as_object_mut().unwrap().remove(field),
                false => stands.as_object_mut().unwrap().insert(field.clone(), value.clone()),
            };
        }
        let status: AegisGuardStatus = serde_json::from_value(stands.clone()).unwrap();
        assert_eq!(Book::of(Some(&status)), *to);
    }
}

fn ranked(name: &str, severity: &str, waited: i64) -> Request {
    Request { rank: Rank::new(Some(severity), noon() - minutes(waited), name), ..pod(name) }
}

#[test]
fn room_goes_to_the_gravest_and_then_to_those_who_waited_longest() {
    let one_at_once = spec(json!({"budgets": {"unfinished": 1, "unfinishedPerRule": 1}}));
    let guard = guard(&one_at_once, &[]);
    let mut line = Line::default();
    line.wait("old", ranked("old", "warning", 60));
    line.wait("grave", ranked("grave", "critical", 1));
    let asks = [ranked("late", "warning", 0)];
    let round = line.round(&guard, &asks, noon());
    assert_eq!((round.answers.as_slice(), round.wake.as_slice()), (&[Answer::OthersFirst][..], &["grave"][..]));
    assert!(round.book.claims().next().is_none());

    let round = line.round(&guard, &[ranked("late", "warning", 0), ranked("grave", "critical", 1)], noon());
    assert_eq!(round.answers, [Answer::Refused, Answer::Taken], "it comes for what was kept for it");
    line.leave(&"grave");
    line.leave(&"old");
    assert!(line.is_empty());
    assert_eq!(line.round(&guard, &asks, noon()).answers, [Answer::Taken]);
}

#[test]
fn a_place_that_was_taken_before_is_told_from_one_that_is_given_now() {
    let guard = guard(&spec(json!({"pauses": [{"target": "pod/ns/paused"}]})), &[]);
    let line: Line<&str> = Line::default();
    let asks = [pod("paused"), pod("x")];
    let taken = line.round(&guard, &asks, noon());
    assert_eq!(taken.answers, [Answer::Refused, Answer::Taken]);
    let guard = Guard { book: taken.book.into(), ..guard };
    assert_eq!(line.round(&guard, &asks, noon()).answers, [Answer::Refused, Answer::TakenBefore]);
}

#[test]
fn whoever_waited_for_room_is_looked_at_again_when_what_holds_it_by_then_ends_by_itself() {
    let until = noon() + minutes(5);
    let paused = guard(&spec(json!({"pauses": [{"target": "all", "until": until}]})), &[]);
    let mut line = Line::default();
    line.wait("waits", ranked("waits", "critical", 60));
    assert_eq!(line.round(&paused, &[], noon()).again, Some(until));
    assert_eq!(line.round(&paused, &[], until).wake, ["waits"]);
    assert_eq!(line.round(&paused, &[], until).again, None);
}

#[test]
fn room_that_nobody_before_it_can_use_is_not_kept_from_it() {
    let guard = guard(&spec(json!({"pauses": [{"target": "pod/ns/paused"}]})), &[]);
    let mut line = Line::default();
    line.wait("paused", ranked("paused", "critical", 60));
    assert_eq!(line.round(&guard, &[ranked("late", "info", 0)], noon()).answers, [Answer::Taken]);
}

#[test]
fn a_node_that_is_out_and_under_action_counts_once_in_its_pool() {
    let mut nodes = hundred();
    nodes.extend([not_ready("x"), not_ready("y")]);
    let guard = guard(&spec(json!({})), &nodes);
    let out = |busy: &[&str], most: usize| guard.fleet.out_by_pool(busy.iter().copied(), most);
    let default = |count: usize| std::collections::BTreeMap::from([(DEFAULT_POOL.to_owned(), count)]);
    assert_eq!(out(&[], 9), default(2));
    assert_eq!(out(&["x", "n1", "n1", "unknown"], 9), default(3));
    assert_eq!(out(&["n1", "n2"], 3), default(3), "beyond that it makes no difference");
}
