//! Verification of what an action achieved, and the ladder of templates that is climbed while it says that the problem
//! stays.

use aegis_crds::alert::VerificationStatus;
use aegis_crds::conditions;

use super::cluster::Cluster;
use super::*;
use crate::guard::Book;
use crate::rules::testing::RuleBuilder;

const ENOUGH: usize = 1000;

/// The rule that cordons, with more.
fn drain_with(more: serde_json::Value) -> RuleBuilder {
    drain().with(more)
}

fn scene(rule: RuleBuilder) -> Scene {
    let templates = ["reboot", "replace", "check"].into_iter();
    templates
        .fold(seen(alert("NodeDown")).rule(rule), |scene, name| scene.template(template(name)))
        .book(Book::default())
}

fn checked() -> Scene {
    scene(drain_with(json!({"verification": {"template": "check", "within": "5m"}})))
}

fn waited() -> Scene {
    scene(drain_with(json!({"verification": {"within": "5m"}})))
}

/// The alert's Workflow was made at once, and ended so after half a minute; what follows from that was done.
fn ended(scene: &Scene, argo: &str) -> Cluster {
    let mut cluster = Cluster::of(scene);
    cluster.run(cluster.look(scene), at(1), ENOUGH);
    cluster.argo(argo);
    cluster.run(cluster.look(scene), at(30), ENOUGH);
    cluster
}

fn run(cluster: &mut Cluster, scene: &Scene, seconds: i64) {
    cluster.run(cluster.look(scene), at(seconds), ENOUGH);
}

fn then(cluster: &mut Cluster, scene: &Scene, argo: &str, seconds: i64) {
    cluster.argo(argo);
    run(cluster, scene, seconds);
}

fn verification(cluster: &Cluster) -> Option<VerificationStatus> {
    cluster.alert().status.as_ref()?.actions.first()?.verification
}

/// Status and reason of the condition Repaired.
fn repaired(cluster: &Cluster) -> Option<(String, String)> {
    let found = conditions::find(&cluster.alert().status.as_ref()?.conditions, "Repaired").cloned()?;
    Some((found.status, found.reason?))
}

fn word(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.to_owned(), reason.to_owned()))
}

fn places(cluster: &Cluster) -> usize {
    cluster.book().claims().count()
}

fn failures(cluster: &Cluster, scene: &Scene) -> Option<i32> {
    let seen = cluster.look(scene);
    let request = plan(&scene.seen, at(1)).request.unwrap();
    seen.guard.book.ending(&request).and_then(|ending| ending.failures)
}

#[test]
fn an_action_without_verification_is_over_when_it_ends() {
    let scene = scene(drain());
    let cluster = ended(&scene, "Succeeded");
    assert_eq!((verification(&cluster), places(&cluster)), (None, 0));
    assert_eq!(cluster.requests, ["claim", "create", "status", "status", "give back"]);
}

#[test]
fn a_check_follows_an_action_that_succeeded_in_the_place_of_that_action() {
    let scene = checked();
    let mut cluster = ended(&scene, "Succeeded");
    assert_eq!(cluster.made, [(AlertStatus::Firing, 1, false), (AlertStatus::Firing, 1, true)]);
    assert_eq!((verification(&cluster), places(&cluster)), (Some(VerificationStatus::Waiting), 1));
    assert_eq!(
        cluster.requests,
        ["claim", "create", "status", "note", "status", "create", "status"],
        "what the action changed is noted before its end stands in status"
    );
    let actions = cluster.alert().status.clone().unwrap().actions;
    assert_eq!((actions[1].template.as_str(), actions[1].check), ("monitoring/check", true));
    let ops = cluster.alert().status.clone().unwrap().ops_status.unwrap();
    assert_eq!((ops.total, ops.alert_ops_status), (Some(1), Some(AlertOpsStatus::Succeeded)), "it counts as no action");
    assert_eq!(repaired(&cluster), None, "nobody knows yet");

    then(&mut cluster, &scene, "Succeeded", 60);
    assert_eq!((verification(&cluster), places(&cluster)), (Some(VerificationStatus::Passed), 0));
    assert_eq!((repaired(&cluster), failures(&cluster, &scene)), (word("True", "Verified"), None));
    cluster.change(|alert| alert.heard(90));
    run(&mut cluster, &scene, 9000);
    assert_eq!(cluster.made.len(), 2, "it is cured, whatever its sender has not noticed yet");
}

#[test]
fn a_check_that_fails_or_takes_too_long_says_that_the_problem_stays() {
    let too_long = |cluster: &mut Cluster, scene: &Scene| run(cluster, scene, 400);
    let fails = |cluster: &mut Cluster, scene: &Scene| then(cluster, scene, "Failed", 60);
    for check in [&too_long as &dyn Fn(&mut Cluster, &Scene), &fails] {
        let scene = checked();
        let mut cluster = ended(&scene, "Succeeded");
        check(&mut cluster, &scene);
        then(&mut cluster, &scene, "Failed", 401);
        assert_eq!((verification(&cluster), places(&cluster)), (Some(VerificationStatus::Failed), 0));
        assert_eq!(repaired(&cluster), word("False", "CheckFailed"));
        assert_eq!(failures(&cluster, &scene), Some(1), "it counts as a failure of its action");
        let plan = plan(&cluster.look(&scene), at(402));
        assert_eq!(decided(&plan), ("hold", Some(Reason::NeedsPerson)), "its rule has nothing further to try");
        assert_eq!(cluster.made.len(), 2);
    }
}

#[test]
fn an_alert_has_to_be_resolved_in_time_where_no_template_checks() {
    let scene = waited();
    let cluster = ended(&scene, "Succeeded");
    assert_eq!((verification(&cluster), places(&cluster)), (Some(VerificationStatus::Waiting), 1));
    let plan = plan(&cluster.look(&scene), at(31));
    assert_eq!((plan.decision, plan.next_look), (Decision::Rest(Rest::Verifies { until: at(330) }), Some(at(60))));

    let mut late = cluster.clone();
    run(&mut late, &scene, 330);
    assert_eq!((verification(&late), places(&late)), (Some(VerificationStatus::Failed), 0));
    assert_eq!((repaired(&late), failures(&late, &scene)), (word("False", "StillFiring"), Some(1)));

    let mut resolved = cluster.clone();
    resolved.change(|alert| alert.resolved(100));
    run(&mut resolved, &scene, 101);
    assert_eq!((verification(&resolved), places(&resolved)), (Some(VerificationStatus::Passed), 0));
    assert_eq!((repaired(&resolved), failures(&resolved, &scene)), (word("True", "Resolved"), None));

    let mut superseded = cluster.clone();
    superseded.change(|alert| alert.resolved(100).status(|status| status.superseded_by = Some("next".into())));
    run(&mut superseded, &scene, 101);
    assert_eq!((verification(&superseded), places(&superseded)), (Some(VerificationStatus::Dropped), 0));

    let unasked = scene.rule(drain());
    let mut dropped = cluster;
    run(&mut dropped, &unasked, 101);
    assert_eq!((verification(&dropped), places(&dropped)), (Some(VerificationStatus::Dropped), 0));
    assert_eq!(repaired(&dropped), None, "nobody can tell");
}

#[test]
fn a_failed_action_is_not_verified() {
    let scene = checked();
    let cluster = ended(&scene, "Failed");
    assert_eq!((cluster.made.len(), verification(&cluster), places(&cluster)), (1, None, 0));
}

#[test]
fn what_people_stopped_stops_checks_too_and_a_budget_does_not() {
    let mut cluster = Cluster::of(&checked());
    run(&mut cluster, &checked(), 1);
    cluster.argo("Succeeded");
    let out = checked().opted_out("n1");
    run(&mut cluster, &out, 30);
    let held = plan(&cluster.look(&out), at(31));
    assert_eq!((decided(&held), held.next_look), (("hold", Some(Reason::OptedOut)), Some(at(60))));
    assert_eq!(places(&cluster), 1, "the place is kept for it");
    let stale = checked().settings(|all| all.stale_after = seconds(1));
    assert_eq!(decided(&plan(&cluster.look(&stale), at(31))).0, "start", "it belongs to what was begun in time");
}

#[test]
fn an_action_whose_check_could_not_be_made_is_not_taken() {
    let rule = || drain_with(json!({"verification": {"template": "missing"}}));
    let missing = scene(rule()).plan(at(1));
    assert_eq!(decided(&missing), ("hold", Some(Reason::NoTemplate)));
    let broken = scene(rule()).template(template("missing").manifest("{{.disk}}")).plan(at(1));
    assert_eq!(decided(&broken), ("hold", Some(Reason::BadTemplate)));
    let Decision::Hold(refusal) = broken.decision else { panic!() };
    assert!(refusal.message.contains("is verified with template monitoring/missing"), "{}", refusal.message);
}

#[test]
fn a_driver_that_stops_dead_anywhere_makes_one_check() {
    for requests in 0..12 {
        let scene = checked();
        let mut cluster = Cluster::of(&scene);
        run(&mut cluster, &scene, 1);
        cluster.argo("Succeeded");
        cluster.run(cluster.look(&scene), at(30), requests);
        run(&mut cluster, &scene, 31);
        cluster.argo("Failed");
        cluster.run(cluster.look(&scene), at(60), requests);
        run(&mut cluster, &scene, 61);
        assert_eq!(cluster.made.len(), 2, "after {requests} requests");
        assert_eq!((verification(&cluster), places(&cluster)), (Some(VerificationStatus::Failed), 0));
        assert_eq!(failures(&cluster, &scene), Some(1), "counted once, after {requests} requests");
    }
}

#[test]
fn an_action_for_resolved_waits_for_a_check_that_goes_on() {
    let scene = checked().rule(rule("uncordon").resolved("NodeDown"));
    let mut cluster = ended(&scene, "Succeeded");
    cluster.change(|alert| alert.resolved(40));
    run(&mut cluster, &scene, 41);
    assert_eq!(cluster.made.len(), 2);
    then(&mut cluster, &scene, "Succeeded", 60);
    assert_eq!(cluster.made.last(), Some(&(AlertStatus::Resolved, 1, false)));
}

/// The templates that were tried, checks apart.
fn tried(cluster: &Cluster) -> Vec<String> {
    let actions = cluster.alert().status.clone().unwrap().actions;
    actions.iter().filter(|action| !action.check).map(|action| action.template.clone()).collect()
}

const LADDER: [&str; 3] = ["monitoring/cordon", "monitoring/reboot", "monitoring/replace"];

fn ladder(more: serde_json::Value) -> Scene {
    let mut spec = json!({"escalation": [{"name": "reboot", "after": "10m"}, {"name": "replace"}]});
    merge(&mut spec, &more);
    scene(drain_with(spec))
}

#[test]
fn each_step_of_a_ladder_is_tried_once_its_check_said_that_the_problem_stays() {
    let scene = ladder(json!({"verification": {"template": "check"}}));
    let mut cluster = ended(&scene, "Succeeded");
    then(&mut cluster, &scene, "Failed", 60);
    run(&mut cluster, &scene, 659);
    assert_eq!(tried(&cluster), LADDER[..1], "ten minutes after the check ended, not before");
    run(&mut cluster, &scene, 660);
    assert_eq!(tried(&cluster), LADDER[..2]);
    then(&mut cluster, &scene, "Succeeded", 700);
    then(&mut cluster, &scene, "Succeeded", 760);
    run(&mut cluster, &scene, 20_000);
    assert_eq!(tried(&cluster), LADDER[..2], "the second one cured it");
}

#[test]
fn after_the_last_step_of_a_ladder_a_person_is_asked_for() {
    let ways = [
        ("a check of its own", json!({"verification": {"template": "check"}}), "Succeeded"),
        ("the alert being resolved in time", json!({"verification": {"within": "1m"}}), "Succeeded"),
        ("actions that fail, and a check", json!({"verification": {"template": "check"}}), "Failed"),
        ("being reported again", json!({}), "Succeeded"),
        ("being reported again after a failure", json!({}), "Failed"),
    ];
    for (why, more, argo) in ways {
        let scene = ladder(more);
        let mut cluster = Cluster::of(&scene);
        for time in (0..200).map(|step| 1 + 60 * step) {
            cluster.change(|alert| alert.heard(time));
            run(&mut cluster, &scene, time);
            let acting = plan(&cluster.look(&scene), at(time)).decision;
            let checks = matches!(&acting, Decision::Follow(action) if action.check);
            then(&mut cluster, &scene, if checks { "Failed" } else { argo }, time + 5);
        }
        assert_eq!(tried(&cluster), LADDER, "{why}: each step once, in order");
        let last = plan(&cluster.look(&scene), at(20_000));
        assert_eq!(decided(&last), ("hold", Some(Reason::NeedsPerson)), "{why}");
        let verdict = cluster.alert().status.clone().unwrap().verdict.unwrap();
        assert_eq!(
            verdict.message,
            "all 3 actions that rule monitoring/cordon has for one alert did not cure it, the last of template \
             monitoring/replace: somebody has to look",
            "{why}"
        );
        assert_eq!(places(&cluster), 0, "{why}");
    }
}
