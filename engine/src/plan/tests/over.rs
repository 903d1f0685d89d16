//! Alerts that are resolved, replaced, old, or to be deleted.

use super::*;

fn undo() -> crate::rules::testing::RuleBuilder {
    rule("uncordon").resolved("NodeDown")
}

fn resolve(scene: Scene, seconds: i64) -> Scene {
    scene.edit(|seen| seen.alert = AlertBuilder::from(&seen.alert).resolved(seconds).build().into())
}

#[test]
fn an_action_for_resolved_waits_for_the_firing_one() {
    let running = seen(alert("NodeDown")).rule(drain()).rule(undo()).action(workflow().argo("Running")).told(at(2));
    let resolved = resolve(running, 5);
    assert_eq!(decided(&resolved.plan(at(6))).0, "follow", "the firing action goes on");
    let ended = resolved.action(workflow().argo("Succeeded"));
    let first = ended.plan(at(9));
    assert_eq!(decided(&first).0, "follow", "its outcome is told first");
    assert!(!first.steps.iter().any(|step| matches!(step, Step::Create(_))));
    let plan = ended.told(at(9)).plan(at(9));
    let Decision::Start(remedy) = &plan.decision else { panic!("{plan:?}") };
    assert_eq!((remedy.phase, remedy.attempt, remedy.rule.name.as_str()), (AlertStatus::Resolved, 1, "uncordon"));
}

#[test]
fn an_action_for_resolved_is_not_stale_because_it_waited() {
    let day = 90_000;
    let scene =
        seen(alert("NodeDown")).rule(drain()).rule(undo()).settings(|all| all.action_timeout = seconds(10 * day));
    let scene = resolve(scene.action(workflow().argo("Running")).told(at(2)), 5);
    let ended = scene.action(workflow().argo("Succeeded")).told(at(day));
    assert_eq!(decided(&ended.plan(at(day + 1))).0, "start");
}

#[test]
fn a_resolution_withdraws_what_has_not_begun() {
    use TriggerStatus as T;
    let held = || seen(alert("NodeDown")).rule(drain()).opted_out("n1").told(at(1));
    let cases = [
        ("it was held", held(), Reason::Resolved, T::Withdrawn),
        (
            "it waited for its template",
            seen(alert("NodeDown")).bare_rule(drain()).told(at(1)),
            Reason::Resolved,
            T::Withdrawn,
        ),
        (
            "it was resolved before anybody looked",
            seen(alert("NodeDown")).rule(drain()),
            Reason::Resolved,
            T::Withdrawn,
        ),
        ("it had no rule", seen(alert("NodeDown")).told(at(1)), Reason::NoRuleForResolved, T::RuleNotFound),
        ("nobody had looked and there is no rule", seen(alert("NodeDown")), Reason::NoRuleForResolved, T::RuleNotFound),
        (
            "it was a test",
            seen(alert("NodeDown").label("aegis.io/test", "true")).rule(drain()).told(at(1)),
            Reason::NoRuleForResolved,
            T::DryRun,
        ),
        ("it has acted", acted("Succeeded", 3), Reason::NoRuleForResolved, T::Triggered),
    ];
    for (why, scene, reason, trigger) in cases {
        let resolved = resolve(scene, 5);
        assert_eq!(decided(&resolved.plan(at(6))), ("withdraw", Some(reason)), "{why}");
        let told = resolved.told(at(6));
        assert_eq!((words(&told).0, words(&told).2), (Some(trigger), Some(reason.to_string())), "{why}");
        let late = told.rule(undo()).edit(|seen| seen.opted_out = std::sync::Arc::default());
        let plan = late.plan(at(7));
        assert_eq!(plan.decision, Decision::Rest(Rest::Withdrawn(reason)), "{why}: a later rule changes nothing");
        assert!(plan.steps.is_empty());
    }
}

#[test]
fn an_action_for_resolved_that_is_held_acts_when_it_is_mended() {
    let held = resolve(acted("Succeeded", 3).bare_rule(undo()), 5).told(at(6));
    assert_eq!(words(&held).0, Some(TriggerStatus::TemplateNotFound));
    assert_eq!(decided(&held.template(template("uncordon")).plan(at(7))).0, "start");
}

#[test]
fn a_resolution_without_a_firing_alert_runs_its_rule() {
    let scene = seen(alert("NodeDown").edit(|alert| alert.spec.status = AlertStatus::Resolved)).rule(undo());
    assert_eq!(decided(&scene.plan(at(1))).0, "start");
}

#[test]
fn an_action_for_resolved_is_withdrawn_when_a_newer_incident_opens() {
    let newer = alert("NodeDown").named("newer").created(4);
    let scene = resolve(acted("Succeeded", 3).rule(undo()), 5).sibling(newer, &[]);
    assert_eq!(decided(&scene.plan(at(6))), ("withdraw", Some(Reason::NewerIncident)));
    let alone = scene.told(at(6)).edit(|seen| seen.siblings.clear());
    assert_eq!(alone.plan(at(7)).decision, Decision::Rest(Rest::Withdrawn(Reason::NewerIncident)), "for good");
    let begun = resolve(acted("Succeeded", 3).rule(undo()), 5)
        .action(workflow().phase(AlertStatus::Resolved).argo("Running"))
        .sibling(alert("NodeDown").named("newer").created(4), &[]);
    assert_eq!(decided(&begun.plan(at(6))).0, "follow", "what has begun goes on");
    let duplicate = alert("NodeDown").named("twin").created(4).with(json!({
        "status": "Resolved", "opsStatus": {"triggerStatus": "Withdrawn"}, "verdict": {"reason": "Duplicate"},
    }));
    let beside = resolve(acted("Succeeded", 3).rule(undo()), 5).sibling(duplicate, &[]);
    assert_eq!(decided(&beside.plan(at(6))).0, "start", "a duplicate is no incident");
}

#[test]
fn a_superseded_alert_starts_no_rule_for_resolved() {
    let superseded = |scene: Scene| {
        let scene = resolve(scene.rule(undo()), 5);
        scene.edit(|seen| {
            let alert = AlertBuilder::from(&seen.alert).status(|status| status.superseded_by = Some("next".into()));
            seen.alert = alert.build().into();
        })
    };
    let held = superseded(seen(alert("NodeDown")).rule(drain()).opted_out("n1").told(at(1)));
    assert_eq!(decided(&held.plan(at(6))), ("withdraw", Some(Reason::Superseded)));
    assert_eq!(words(&held.told(at(6))).0, Some(TriggerStatus::Withdrawn));
    let acted = superseded(acted("Succeeded", 3)).plan(at(6));
    assert_eq!(acted.decision, Decision::Rest(Rest::Withdrawn(Reason::Superseded)));
    assert!(acted.steps.is_empty());
}

/// An alert as the first version stored it.
fn old() -> AlertBuilder {
    alert("NodeDown").edit(|alert| alert.spec.fingerprint = None)
}

#[test]
fn an_alert_that_an_earlier_version_dealt_with_is_left_alone() {
    let cases = [
        json!({"opsStatus": {"triggerStatus": "RuleNotFound"}}),
        json!({"opsStatus": {"total": 1}}),
        json!({"conditions": [{"type": "Complete", "status": "True"}]}),
        json!({"conditions": [{"type": "FailedCreateWorkflow", "status": "True"}]}),
        json!({"opsStatus": {"triggerStatus": "Triggered", "total": 1, "alertOpsStatus": "Running"}}),
    ];
    for status in cases {
        let plan = seen(old().with(status.clone())).rule(drain()).plan(at(1));
        assert_eq!(plan.decision, Decision::Rest(Rest::EarlierVersion), "{status}");
        assert!(plan.steps.is_empty(), "{status}");
    }
    let untouched = seen(old().with(json!({"status": "Firing", "count": 3}))).rule(drain());
    assert_eq!(decided(&untouched.plan(at(1))).0, "start", "one that nobody dealt with acts");
    let ours = seen(old()).told(at(1)).rule(drain());
    assert_eq!(decided(&ours.plan(at(2))).0, "start", "what this version wrote is no sign of an earlier one");
}

#[test]
fn a_workflow_of_an_earlier_version_is_followed_to_its_end() {
    let legacy = |argo| {
        seen(old().with(json!({"opsStatus": {"triggerStatus": "Triggered", "total": 1}})))
            .rule(drain().repeat("1s", 5))
            .rule(undo())
            .action(workflow().argo(argo).whole("").released())
            .edit(|seen| {
                let action = &mut seen.actions[0];
                (action.identity, action.rule, action.template) = (None, None, None);
            })
    };
    let running = legacy("Running").told(at(9000));
    assert_eq!(words(&running).1, Some(AlertOpsStatus::Running), "without a limit of time, which it never had");
    let ended = running.action(workflow().argo("Succeeded").whole("").released()).told(at(9001));
    assert_eq!(words(&ended).1, Some(AlertOpsStatus::Succeeded));
    let again = ended.edit(|seen| seen.alert = AlertBuilder::from(&seen.alert).heard(9900).build().into());
    assert_eq!(again.told(at(9901)).plan(at(9902)).decision, Decision::Rest(Rest::EarlierVersion));
}

#[test]
fn an_alert_is_deleted_when_its_time_has_come() {
    let day = 86_400;
    let done = resolve(acted("Succeeded", 30).action(workflow().argo("Succeeded").released()), 40).told(at(41));
    let keeps = done.plan(at(50));
    assert!(keeps.steps.is_empty() && keeps.next_look == Some(at(2 * day + 40)), "{keeps:?}");
    let Step::DeleteAlert { uid, resource_version } = &done.plan(at(2 * day + 40)).steps[0] else { panic!() };
    assert_eq!(uid, "alert-uid");
    assert_eq!(Some(resource_version), done.seen.alert.metadata.resource_version.as_ref());

    let kept = resolve(acted("Succeeded", 30), 40).told(at(41)).plan(at(3 * day));
    assert!(matches!(kept.steps.as_slice(), [Step::Release(_)]), "its action is released first: {kept:?}");
    let unheard = seen(alert("NodeDown")).told(at(1));
    assert_eq!(
        unheard.plan(at(2 * day)).steps.len(),
        0,
        "one that still fires is remembered as long as its sender may be"
    );
    assert!(matches!(unheard.plan(at(5 * day)).steps.as_slice(), [Step::DeleteAlert { .. }]));
    let due = resolve(seen(alert("NodeDown")), 5).rule(undo()).edit(|seen| {
        let ttl = aegis_crds::alert::TtlStrategy { seconds_after_completion: Some(0), ..Default::default() };
        seen.alert = AlertBuilder::from(&seen.alert).edit(|alert| alert.spec.ttl_strategy = Some(ttl)).build().into();
    });
    assert_eq!(decided(&due.plan(at(6))).0, "start", "nothing is deleted that is still to act");
}
