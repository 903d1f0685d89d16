//! The life of an alert, request by request.

use super::cluster::Cluster;
use super::*;

const ENOUGH: usize = 1000;

fn scene() -> Scene {
    seen(alert("NodeDown")).rule(drain())
}

/// An alert whose Workflow succeeds, with the driver stopped dead once after `stop` requests of the `nth` look.
fn success(stop: Option<(usize, usize)>) -> Cluster {
    let scene = scene();
    let mut cluster = Cluster::of(&scene);
    let phases = ["", "Running", "Running", "Succeeded", "Succeeded"];
    let times = [1, 2, 3, 30, 60];
    for (nth, (phase, time)) in phases.into_iter().zip(times).enumerate() {
        if !phase.is_empty() {
            cluster.argo(phase);
        }
        if let Some((look, requests)) = stop
            && look == nth
        {
            cluster.run(cluster.look(&scene), at(time), requests);
        }
        cluster.run(cluster.look(&scene), at(time), ENOUGH);
    }
    cluster
}

#[test]
fn success_takes_five_writes_after_the_alert_is_stored_and_no_read() {
    let cluster = success(None);
    assert_eq!(cluster.requests, ["create", "status", "status", "status", "release"]);
    let status = cluster.alert().status.clone().unwrap();
    assert_eq!(status.ops_status.unwrap().alert_ops_status, Some(AlertOpsStatus::Succeeded));
}

#[test]
fn a_driver_that_stops_dead_anywhere_and_starts_again_comes_to_the_same_end() {
    let whole = success(None);
    for look in 0..5 {
        for requests in 0..3 {
            let cluster = success(Some((look, requests)));
            let why = format!("after {requests} requests of look {look}");
            assert_eq!(cluster.requests, whole.requests, "{why}");
            assert_eq!(cluster.alert().status, whole.alert().status, "{why}");
        }
    }
}

#[test]
fn a_workflow_deleted_between_its_creation_and_the_first_status_is_not_made_again() {
    let scene = scene();
    let mut cluster = Cluster::of(&scene);
    cluster.run(cluster.look(&scene), at(1), 1);
    cluster.delete_workflows(at(2));
    let mut lagging = cluster.look(&scene);
    lagging.actions.clear();
    cluster.run(lagging, at(3), ENOUGH);
    let hour = at(3600);
    cluster.run(cluster.look(&scene), hour, ENOUGH);
    assert_eq!(cluster.made, [(AlertStatus::Firing, 1, false)]);
    let status = cluster.alert().status.clone().unwrap();
    assert_eq!(status.actions[0].reason.as_deref(), Some("WorkflowDeleted"));
    assert!(cluster.requests.ends_with(&["release"]), "{:?}", cluster.requests);
}

#[test]
fn a_rule_edited_between_creation_and_status_makes_no_second_action() {
    let scene = scene();
    let mut cluster = Cluster::of(&scene);
    cluster.run(cluster.look(&scene), at(1), 1);
    let edited = scene.rule(rule("other").firing("NodeDown").priority(9)).template(template("other").manifest(CORDON));
    let mut lagging = cluster.look(&edited);
    lagging.actions.clear();
    cluster.run(lagging, at(2), ENOUGH);
    assert_eq!(cluster.made, [(AlertStatus::Firing, 1, false)]);
    let rule = cluster.alert().status.clone().unwrap().rule.unwrap();
    assert_eq!(rule.name, "cordon", "status tells the rule that the Workflow names");
}

#[test]
fn an_hour_without_a_controller_loses_no_outcome() {
    let scene = scene();
    let mut cluster = Cluster::of(&scene);
    cluster.run(cluster.look(&scene), at(1), 1);
    cluster.argo("Succeeded");
    cluster.delete_workflows(at(60));
    cluster.run(cluster.look(&scene), at(3700), ENOUGH);
    let action = cluster.alert().status.clone().unwrap().actions.remove(0);
    assert_eq!(action.status, Some(AlertOpsStatus::Succeeded), "Argo's TTL came first, the finalizer kept it");
    assert_eq!(cluster.requests, ["create", "status"], "pending, running and succeeded are told in one write");
}

#[test]
fn an_alert_that_lost_text_says_so_without_a_write_of_its_own() {
    let shortened = alert("NodeDown").edit(|alert| {
        let mark = (aegis_crds::names::SHORTENED_ANNOTATION.to_owned(), "true".to_owned());
        alert.metadata.annotations = Some([mark].into());
    });
    let scene = seen(shortened).rule(drain());
    let mut cluster = Cluster::of(&scene);
    cluster.run(cluster.look(&scene), at(1), ENOUGH);
    assert_eq!(cluster.requests, ["create", "status"]);
    let conditions = cluster.alert().status.clone().unwrap().conditions;
    assert!(aegis_crds::conditions::is_true(&conditions, "Shortened"), "{conditions:?}");
}
