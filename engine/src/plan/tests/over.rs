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
        let late = told.rule(undo()).nodes(&[]);
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
            .action(workflow().argo(argo).whole("").released().legacy())
    };
    let running = legacy("Running").told(at(9000));
    assert_eq!(words(&running).1, Some(AlertOpsStatus::Running), "without a limit of time, which it never had");
    let ended = running.action(workflow().argo("Succeeded").whole("").released().legacy()).told(at(9001));
    assert_eq!(words(&ended).1, Some(AlertOpsStatus::Succeeded));
    let again = ended.edit(|seen| seen.alert = AlertBuilder::from(&seen.alert).heard(9900).build().into());
    assert_eq!(again.told(at(9901)).plan(at(9902)).decision, Decision::Rest(Rest::EarlierVersion));
}

#[test]
fn a_workflow_that_was_adopted_is_kept_until_its_end_stands_and_let_go_then() {
    let adopted = |argo| seen(old()).rule(drain()).action(workflow().argo(argo).whole("").legacy());
    let running = adopted("Running");
    assert_eq!(decided(&running.plan(at(2))).0, "follow", "it was made before its alert said so: no second one");
    let running = running.told(at(2));
    assert_eq!(words(&running), (Some(TriggerStatus::Triggered), Some(AlertOpsStatus::Running), None));
    assert!(running.plan(at(9000)).steps.is_empty(), "it is neither stopped nor let go");
    let ended = running.action(workflow().argo("Failed").whole("exit code 1").legacy()).told(at(9000));
    assert_eq!(words(&ended).1, Some(AlertOpsStatus::Failed));
    let waits = ended.plan(at(9029));
    assert!(waits.steps.is_empty() && waits.next_look == Some(at(9030)), "two lease durations: {waits:?}");
    let plan = ended.plan(at(9030));
    assert!(matches!(plan.steps.as_slice(), [Step::Release(_)]), "{plan:?}");

    let going = adopted("Running").edit(|seen| {
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(5));
        let alert = AlertBuilder::from(&seen.alert).edit(|alert| alert.metadata.deletion_timestamp = Some(now));
        seen.alert = alert.build().into();
    });
    let plan = going.plan(at(6));
    assert!(matches!(plan.steps.as_slice(), [Step::Release(_)]), "with its alert: {plan:?}");
}

#[test]
fn every_workflow_that_an_earlier_version_made_for_an_alert_is_followed() {
    let scene = seen(old()).rule(drain()).action(workflow().argo("Succeeded").whole("").legacy()).told(at(2));
    assert_eq!(words(&scene).1, Some(AlertOpsStatus::Succeeded));
    let again = scene.action(workflow().attempt(2).argo("Running").legacy());
    assert_eq!(decided(&again.plan(at(3))).0, "follow", "found later");
    let status = again.told(at(3)).status();
    assert_eq!(status.actions.iter().map(|action| action.attempt).collect::<Vec<_>>(), [1, 2]);
    let told = seen(old().with(json!({"opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": "Failed"}})));
    let plan = told.rule(drain()).action(workflow().argo("Failed").whole("").legacy()).plan(at(3));
    assert_eq!(plan.decision, Decision::Rest(Rest::EarlierVersion));
    assert!(matches!(plan.steps.as_slice(), [Step::Release(_)]), "nobody waits for what was told: {plan:?}");
}

#[test]
fn actions_of_an_earlier_version_are_looked_for_where_one_may_be_under_way() {
    let trigger = |trigger: &str| json!({"opsStatus": {"triggerStatus": trigger}});
    let state = |state: &str| json!({"opsStatus": {"triggerStatus": "Triggered", "total": 1, "alertOpsStatus": state}});
    let cases = [
        (old(), true, "the first version may have stopped before it wrote that it acted"),
        (old().with(state("Pending")), true, "under way"),
        (old().with(state("Running")), true, "under way"),
        (old().with(state("Succeeded")), false, "its end is told"),
        (old().with(state("Failed")), false, "its end is told"),
        (old().with(trigger("Held")), true, "this version held it back, and the other one may have acted meanwhile"),
        (alert("NodeDown"), false, "this version stored it"),
        (seen(old()).rule(drain()).action(workflow()).told(at(2)).into_alert(), false, "this version acts on it"),
        (
            seen(old()).action(workflow().argo("Running").legacy()).told(at(2)).into_alert(),
            true,
            "adopted before, perhaps in vain",
        ),
    ];
    for (alert, want, why) in cases {
        assert_eq!(may_have_legacy_action(&alert.build()), want, "{why}");
    }
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

/// An alert that a person made to ask for a procedure.
fn asked_for() -> AlertBuilder {
    alert("NodeDown").edit(|alert| alert.spec.source = crate::signal::MANUAL.to_owned())
}

/// What was requested for the alert until its action ended so and all that follows from that was done.
fn run_to_the_end(alert: AlertBuilder, rule: crate::rules::testing::RuleBuilder, argo: &str) -> cluster::Cluster {
    let templates = ["check", "reboot"].into_iter();
    let scene = templates.fold(seen(alert).rule(rule).rule(undo()), |scene, name| scene.template(template(name)));
    let scene = scene.book(crate::guard::Book::default());
    let mut cluster = cluster::Cluster::of(&scene);
    for (seconds, phase) in [(1, "Running"), (20, argo), (30, argo), (300, argo)] {
        cluster.run(cluster.look(&scene), at(seconds), 1000);
        cluster.argo(phase);
    }
    cluster
}

#[test]
fn what_a_person_asked_for_is_over_when_nothing_more_is_tried() {
    let phase = |cluster: &cluster::Cluster| crate::incident::Stored::new(cluster.alert()).phase();
    let (firing, resolved) = (AlertStatus::Firing, AlertStatus::Resolved);
    let again = json!({"repeat": {"after": "10m", "limit": 3}});
    let ladder = json!({"escalation": [{"name": "reboot", "after": "10m"}]});
    let checked = json!({"verification": {"template": "check", "within": "5m"}});
    let cases = [
        ("it is done", json!({}), "Succeeded", resolved),
        ("it failed, and that is all", json!({}), "Failed", resolved),
        ("it is done, and only a report would begin another attempt", again.clone(), "Succeeded", resolved),
        ("it failed, and its rule has another attempt", again, "Failed", firing),
        ("it failed, and its rule has another template", ladder, "Failed", firing),
        ("it is verified, and that succeeds too", checked, "Succeeded", resolved),
        ("nobody could report that it helped", json!({"verification": {"within": "5m"}}), "Succeeded", resolved),
    ];
    for (why, more, argo, want) in cases {
        let cluster = run_to_the_end(asked_for(), drain().with(more), argo);
        assert_eq!(phase(&cluster), want, "{why}");
        let made: Vec<AlertStatus> = cluster.made.iter().map(|(phase, ..)| *phase).collect();
        assert!(!made.contains(&resolved), "{why}: no rule for Resolved hears of it: {made:?}");
    }
    assert_eq!(phase(&run_to_the_end(alert("NodeDown"), drain(), "Succeeded")), firing, "a sender's is the sender's");
}

#[test]
fn that_a_request_is_over_takes_no_write_of_its_own_and_claims_no_repair() {
    let [asked, sent] = [asked_for(), alert("NodeDown")].map(|alert| run_to_the_end(alert, drain(), "Succeeded"));
    assert_eq!(asked.requests, sent.requests);
    let status = asked.alert().status.as_ref().unwrap();
    assert_eq!(status.conditions, [], "nobody said that a problem went away");
    assert_eq!((&status.resolution, &status.verdict), (&None, &None));
}
