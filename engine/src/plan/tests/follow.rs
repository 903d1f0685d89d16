//! An action that was made: how it stands, and what becomes of the object.

use super::*;

fn running() -> Scene {
    seen(alert("NodeDown")).rule(drain()).action(workflow().argo("Running")).told(at(2))
}

fn condition(scene: &Scene, type_: &str) -> Option<(String, String)> {
    let status = scene.status();
    let found = aegis_crds::conditions::find(&status.conditions, type_)?;
    Some((found.status.clone(), found.reason.clone().unwrap_or_default()))
}

#[test]
fn the_first_write_after_the_action_was_made_tells_all_at_once() {
    let scene = seen(alert("NodeDown")).rule(drain()).action(workflow()).told(at(2));
    let status = serde_json::to_value(scene.status()).unwrap();
    let name = scene.seen.actions[0].name.clone();
    assert_eq!(
        status,
        json!({
            "status": "Firing", "count": 1, "startTime": at(2), "lastTime": at(0),
            "opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": "Pending", "startTime": at(1),
                          "total": 1, "active": 1, "succeeded": 0, "failed": 0},
            "rule": {"namespace": "monitoring", "name": "cordon", "why": "the only rule that matches"},
            "actions": [{"phase": "Firing", "attempt": 1, "kind": "Workflow", "name": name,
                         "uid": format!("uid-of-{name}"), "rule": "monitoring/cordon",
                         "template": "monitoring/cordon", "status": "Pending", "startTime": at(1)}],
        })
    );
}

#[test]
fn an_outcome_is_told_with_the_executors_words() {
    let cases = [
        (workflow().argo("Succeeded"), AlertOpsStatus::Succeeded, None, None),
        (
            workflow().argo("Failed").whole("exit code 1"),
            AlertOpsStatus::Failed,
            Some("WorkflowFailed"),
            Some("exit code 1"),
        ),
        (workflow().argo("Error").whole("no pod"), AlertOpsStatus::Failed, Some("WorkflowError"), Some("no pod")),
    ];
    for (action, status, reason, message) in cases {
        let told = running().action(action).told(at(30)).status();
        let action = &told.actions[0];
        assert_eq!(
            (action.status, action.reason.as_deref(), action.message.as_deref()),
            (Some(status), reason, message)
        );
        assert_eq!(told.ops_status.unwrap().completion_time, Some(at(30)));
    }
}

#[test]
fn the_message_of_a_failure_is_read_before_it_is_told() {
    let failed = running().action(workflow().argo("Failed"));
    let name = failed.seen.actions[0].name.clone();
    let look = Look::Action { kind: ActionKind::Workflow, name: name.clone() };
    assert_eq!(failed.plan(at(30)).steps, [Step::Look(look)]);
    let gone = failed.edit(|seen| seen.missed(ActionKind::Workflow, &name)).told(at(30));
    assert_eq!(
        gone.status().actions[0].reason.as_deref(),
        Some("WorkflowFailed"),
        "its end was seen, its words were not"
    );
}

#[test]
fn an_action_that_is_gone_or_going_without_an_end_has_failed_and_is_not_made_again() {
    let name = running().seen.actions[0].name.clone();
    let vanished = running().edit(|seen| seen.actions.clear());
    let look = Look::Action { kind: ActionKind::Workflow, name: name.clone() };
    assert_eq!(vanished.plan(at(30)).steps, [Step::Look(look)], "the cache may lag");
    let cases = [
        ("the API server knows it no more", vanished.clone().edit(|seen| seen.missed(ActionKind::Workflow, &name))),
        ("somebody deletes it", running().action(workflow().argo("Running").deleted())),
        ("somebody deletes it before Argo saw it", running().action(workflow().deleted())),
        (
            "another object bears its name",
            running().edit(|seen| {
                seen.actions[0].uid = "other".into();
                seen.actions[0].identity = None;
            }),
        ),
    ];
    for (why, scene) in cases {
        let told = scene.told(at(30));
        let action = &told.status().actions[0];
        assert_eq!(action.status, Some(AlertOpsStatus::Failed), "{why}");
        assert_eq!(action.reason.as_deref(), Some("WorkflowDeleted"), "{why}");
        assert_eq!(told.plan(at(31)).decision, Decision::Rest(Rest::Acted), "{why}");
    }
    let ended = running().action(workflow().argo("Succeeded").deleted()).told(at(30));
    assert_eq!(ended.status().actions[0].status, Some(AlertOpsStatus::Succeeded), "deleted after its end");
}

#[test]
fn an_action_that_takes_too_long_fails_and_is_stopped() {
    let slow = running().template(template("cordon").timeout("10m"));
    assert_eq!(slow.plan(at(300)).next_look, Some(at(601)), "looked at again when its time is up");
    let late = slow.plan(at(601));
    let [Step::WriteStatus(_), Step::Stop(stop)] = late.steps.as_slice() else { panic!("{late:?}") };
    assert_eq!(stop.patch["spec"], json!({"shutdown": "Terminate"}));
    let told = slow.told(at(601));
    assert_eq!(told.status().actions[0].reason.as_deref(), Some("Timeout"));
    let stopped = told.clone().edit(|seen| seen.actions[0].stopped = true);
    assert!(matches!(told.plan(at(602)).steps.as_slice(), [Step::Stop(_)]), "tried until it is stopped");
    assert!(stopped.plan(at(602)).steps.is_empty());
    let default = running().plan(at(300)).next_look;
    assert_eq!(default, Some(at(3601)), "a template that does not say gets an hour");
}

#[test]
fn of_a_workflow_and_a_job_in_one_place_the_one_in_status_goes_on_and_the_other_is_stopped() {
    let twin = |scene: Scene, kind: ActionKind| {
        scene.edit(|seen| {
            let mut twin = seen.actions[0].clone();
            twin.uid = "uid-of-the-twin".into();
            twin.kind = kind;
            seen.actions.push(twin);
        })
    };
    let both = twin(running(), ActionKind::Job);
    let plan = both.plan(at(3));
    let [Step::Stop(stop)] = plan.steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!((stop.kind, &stop.patch["metadata"]["uid"]), (ActionKind::Job, &json!("uid-of-the-twin")));
    assert_eq!(stop.patch["spec"], json!({"activeDeadlineSeconds": 1}));
    assert_eq!(both.clone().told(at(3)).status().actions.len(), 1);

    let nobody_told = twin(seen(alert("NodeDown")).rule(drain()).action(workflow()), ActionKind::Job);
    let first = &nobody_told.plan(at(2)).steps[0];
    assert!(
        matches!(first, Step::WriteStatus(_)),
        "status decides which of them stands before one is stopped: {first:?}"
    );
    let stopped = both.edit(|seen| seen.actions[1].stopped = true);
    assert!(stopped.plan(at(4)).steps.is_empty(), "once is enough");
}

#[test]
fn what_was_stopped_is_waited_for_but_not_for_ever() {
    let repeating = running().rule(drain().repeat("1s", 2)).template(template("cordon").timeout("10m"));
    let told = repeating.told(at(601)).edit(|seen| {
        seen.actions[0].stopped = true;
        seen.alert = AlertBuilder::from(&seen.alert).heard(605).build().into();
    });
    let told = told.told(at(605));
    assert_eq!(decided(&told.plan(at(610))), ("hold", Some(Reason::EarlierAction)));
    assert_eq!(
        words(&told).0,
        Some(TriggerStatus::Triggered),
        "it was triggered, whatever becomes of the second action"
    );
    assert_eq!(decided(&told.plan(at(902))).0, "start");
}

#[test]
fn an_action_is_released_two_leases_after_its_outcome_stands() {
    let ended = acted("Succeeded", 30);
    let waiting = ended.plan(at(40));
    assert!(waiting.steps.is_empty() && waiting.next_look == Some(at(60)), "{waiting:?}");
    let due = ended.plan(at(60));
    let [Step::Release(release)] = due.steps.as_slice() else { panic!("{due:?}") };
    assert_eq!(release.patch["metadata"]["finalizers"], json!([]));
    assert_eq!(release.patch["metadata"]["resourceVersion"], json!("5"));
    let released = ended.action(workflow().argo("Succeeded").released());
    assert!(released.plan(at(61)).steps.is_empty());
}

#[test]
fn an_alert_that_is_being_deleted_holds_nothing_back() {
    let going = |scene: Scene| {
        scene.edit(|seen| {
            let mut alert = aegis_crds::AegisAlert::clone(&seen.alert);
            alert.metadata.deletion_timestamp = alert.metadata.creation_timestamp.clone();
            seen.alert = alert.into();
        })
    };
    assert!(matches!(going(running()).plan(at(3)).steps.as_slice(), [Step::Release(_)]));
    let unmade = going(seen(alert("NodeDown")).rule(drain())).plan(at(3));
    assert!(unmade.steps.is_empty(), "and starts nothing");
}

#[test]
fn an_action_that_nobody_picks_up_says_so_with_the_likely_cause() {
    let pending = seen(alert("NodeDown")).rule(drain()).action(workflow()).told(at(2));
    assert_eq!(pending.plan(at(2)).next_look, Some(at(121)));
    let told = pending.told(at(121));
    assert_eq!(condition(&told, "PickedUp"), Some(("False".into(), "NotPickedUp".into())));
    let message = told.status().conditions[0].message.clone().unwrap();
    assert!(message.contains("workflow-controller running") && message.contains("namespace monitoring"), "{message}");
    let picked = told.action(workflow().argo("Running")).told(at(200));
    assert_eq!(condition(&picked, "PickedUp"), Some(("True".into(), "PickedUp".into())));
    assert_eq!(condition(&running().told(at(500)), "PickedUp"), None, "one that is picked up in time needs no words");
}

#[test]
fn success_is_judged_by_what_is_reported_afterwards() {
    let with = |edit: fn(AlertBuilder) -> AlertBuilder| {
        let scene = acted("Succeeded", 30);
        scene.edit(|seen| seen.alert = edit(AlertBuilder::from(&seen.alert)).build().into()).told(at(90))
    };
    let repaired = |scene: &Scene| condition(scene, "Repaired");
    assert_eq!(repaired(&with(|alert| alert)), None, "nothing was reported since");
    assert_eq!(repaired(&with(|alert| alert.heard(20))), None, "the report is older than the end");
    let still = with(|alert| alert.heard(60));
    assert_eq!(repaired(&still), Some(("False".into(), "StillFiring".into())));
    let again = still.clone().edit(|seen| seen.alert = AlertBuilder::from(&seen.alert).heard(80).build().into());
    assert_eq!(status_patch(&again.plan(at(90))), None, "told once, however often it is reported");
    assert_eq!(repaired(&with(|alert| alert.resolved(60))), Some(("True".into(), "Resolved".into())));
    let superseded = with(|alert| alert.resolved(60).status(|status| status.superseded_by = Some("x".into())));
    assert_eq!(repaired(&superseded), None, "nobody said that the problem had gone");
    let finally =
        still.edit(|seen| seen.alert = AlertBuilder::from(&seen.alert).resolved(99).build().into()).told(at(99));
    assert_eq!(repaired(&finally), Some(("True".into(), "Resolved".into())));
}

#[test]
fn a_report_after_success_says_in_its_own_write_that_the_action_did_not_help() {
    let body = br#"{"type":"NodeDown","status":"Firing","involvedObject":{"name":"n1"},"fingerprint":"f1"}"#;
    let signal = crate::intake::custom(body).unwrap().signals.remove(0).1;
    let counted = |scene: &Scene, second| crate::incident::status::counted(&scene.seen.alert, 1, &signal, at(second));
    let heard = |scene: Scene, second| {
        let Value::Object(fields) = counted(&scene, second)["status"].take() else { panic!("it has a status") };
        let mut alert = serde_json::to_value(&*scene.seen.alert).unwrap();
        alert["status"].as_object_mut().unwrap().extend(fields);
        scene.edit(|seen| seen.alert = serde_json::from_value::<aegis_crds::AegisAlert>(alert).unwrap().into())
    };
    let conditions = |patch: &Value| patch.pointer("/status/conditions").cloned();

    let still = heard(acted("Succeeded", 30), 60);
    assert_eq!(condition(&still, "Repaired"), Some(("False".into(), "StillFiring".into())));
    assert_eq!(status_patch(&still.plan(at(60))), None, "nothing is left for the reconciler to write");
    assert_eq!(conditions(&counted(&still, 70)), None, "told once, however often it is reported");

    let cases = [
        ("it failed", acted("Failed", 30), 60),
        ("the report is older than the end", acted("Succeeded", 30), 20),
        ("it goes on", running(), 60),
    ];
    for (why, scene, second) in cases {
        assert_eq!(conditions(&counted(&scene, second)), None, "{why}");
    }
    let resolved = acted("Succeeded", 30)
        .edit(|seen| seen.alert = AlertBuilder::from(&seen.alert).resolved(50).build().into())
        .told(at(50));
    assert_eq!(conditions(&counted(&resolved, 60)), None, "a late report does not undo the resolution");
}

#[test]
fn an_action_found_without_a_record_is_taken_over_whatever_the_rules_say_now() {
    let edited = seen(alert("NodeDown")).rule(rule("other").firing("NodeDown")).action(workflow());
    assert_eq!(decided(&edited.plan(at(2))).0, "follow");
    let rule = edited.clone().told(at(2)).status().rule.unwrap();
    assert_eq!((rule.name.as_str(), rule.why.as_str()), ("cordon", "its action names it; the rules were edited since"));
    let deleted = seen(alert("NodeDown")).rule(drain()).action(workflow().deleted()).told(at(2));
    assert_eq!(
        deleted.status().actions[0].reason.as_deref(),
        Some("WorkflowDeleted"),
        "also while it is being deleted"
    );
    let resolved = seen(alert("NodeDown").resolved(1)).rule(drain()).action(workflow());
    assert_eq!(decided(&resolved.plan(at(2))).0, "follow", "a resolution does not stop it");
}
