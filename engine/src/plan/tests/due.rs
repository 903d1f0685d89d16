//! An alert of which nothing is under way: is an action due, and if not, why not?

use super::*;

#[test]
fn an_alert_that_is_not_acted_on_says_why() {
    use Reason::*;
    use TriggerStatus as T;
    let down = || alert("NodeDown");
    let manifest = |text: &str| seen(down()).rule(drain()).template(template("cordon").manifest(text));
    let pod = "apiVersion: v1\nkind: Pod\nspec: {}\n";
    let elsewhere = "apiVersion: batch/v1\nkind: Job\nmetadata: {namespace: kube-system}\nspec: {}\n";
    let mut broken = drain().build();
    broken.spec.repeat = Some(aegis_crds::rule::Repeat { after: "soon".into(), limit: 1 });
    let trouble = |kind| {
        let scene = seen(down()).rule(drain());
        let digest = scene.plan(at(1)).remedy.unwrap().digest();
        scene.edit(|seen| seen.trouble = Some(Trouble { kind, message: "no".into(), digest, retry_at: at(60) }))
    };
    let cases = [
        ("nobody wrote a rule", seen(down()), NoRule, T::RuleNotFound),
        ("no rule matches", seen(down()).rule(rule("r").firing("Disk")), NoRule, T::RuleNotFound),
        (
            "its rule is broken",
            seen(down()).edit(|seen| seen.rules = seen.rules.with(&broken).into()),
            BrokenRule,
            T::RuleErrorFound,
        ),
        ("its template does not exist", seen(down()).bare_rule(drain()), NoTemplate, T::TemplateNotFound),
        ("its template is empty", manifest(" "), BadTemplate, T::TemplateInvalid),
        ("its template cannot be an action", manifest(pod), BadTemplate, T::TemplateInvalid),
        (
            "its template asks for a parameter that the alert lacks",
            manifest("{{.disk}}"),
            BadTemplate,
            T::TemplateInvalid,
        ),
        ("its manifest runs in another namespace", manifest(elsewhere), BadTemplate, T::TemplateInvalid),
        (
            "its template runs in another namespace",
            seen(down()).rule(drain()).template(template("cordon").runs_in("kube-system")),
            BadTemplate,
            T::TemplateInvalid,
        ),
        (
            "both spellings of its details are there and differ",
            seen(down().edit(|alert| alert.spec.details = Some([("node".into(), "n2".into())].into()))).rule(drain()),
            BadAlert,
            T::TemplateInvalid,
        ),
        ("the owner opted the node out", seen(down()).rule(drain()).opted_out("n1"), OptedOut, T::Held),
        (
            "the owner opted out the node that a pod is on",
            seen(down().edit(|alert| {
                alert.spec.involved_object.kind = "Pod".into();
                alert.spec.involved_object.node = "n7".into();
            }))
            .rule(drain())
            .opted_out("n7"),
            OptedOut,
            T::Held,
        ),
        (
            "the owner opted out the node that only a detail names",
            seen(down().edit(|alert| alert.spec.detials = Some([("node".into(), "n9".into())].into())))
                .rule(drain())
                .opted_out("n9"),
            OptedOut,
            T::Held,
        ),
        ("not heard for a day", seen(down().created(-90_000)).rule(drain()), Stale, T::Held),
        (
            "the controller of an earlier version still runs",
            seen(down()).rule(drain()).edit(|seen| seen.old_controller = Some("it runs".into())),
            OldController,
            T::Held,
        ),
        ("a test", seen(down().label("aegis.io/test", "true")).rule(drain()), TestAlert, T::DryRun),
        (
            "the controller acts on nothing",
            seen(down()).rule(drain()).settings(|all| all.dry_run = true),
            DryRun,
            T::DryRun,
        ),
        (
            "an action of an earlier incident goes on",
            seen(down())
                .rule(drain())
                .sibling(alert("NodeDown").named("before").created(-60).resolved(-10), &[workflow().argo("Running")]),
            EarlierAction,
            T::Held,
        ),
        ("Argo is not installed", trouble(TroubleKind::ExecutorMissing), ExecutorMissing, T::TriggerFailed),
        ("a policy refuses the Workflow", trouble(TroubleKind::Rejected), Rejected, T::TriggerFailed),
        ("Aegis lacks the right", trouble(TroubleKind::Forbidden), Forbidden, T::TriggerFailed),
        ("the API server was away", trouble(TroubleKind::Unavailable), CreateFailed, T::TriggerFailed),
    ];
    for (why, scene, reason, trigger) in cases {
        assert_eq!(decided(&scene.plan(at(1))), ("hold", Some(reason)), "{why}");
        let told = scene.told(at(1));
        assert_eq!(words(&told), (Some(trigger), None, Some(reason.to_string())), "{why}");
        assert_eq!(told.status().count, Some(1), "{why}: the first write says what was reported");
        assert!(told.plan(at(1)).steps.is_empty(), "{why}: told once");
    }
}

#[test]
fn an_alert_acts_when_what_held_it_is_mended() {
    let down = || seen(alert("NodeDown"));
    let started = |scene: Scene, why: &str| assert_eq!(decided(&scene.plan(at(100))).0, "start", "{why}");
    started(down().told(at(1)).rule(drain()), "a rule appears late");
    started(down().bare_rule(drain()).told(at(1)).template(template("cordon")), "a template appears late");
    let broken = down().rule(drain()).template(template("cordon").manifest("kind: Pod")).told(at(1));
    started(broken.template(template("cordon")), "a template is mended");
    let away = down().rule(drain()).opted_out("n1").told(at(1));
    started(away.nodes(&[]), "the label is taken off the node");
    let stale = seen(alert("NodeDown").created(-90_000)).rule(drain()).told(at(1));
    started(stale.edit(|seen| seen.alert = alert("NodeDown").created(-90_000).heard(50).build().into()), "heard again");
}

#[test]
fn trouble_holds_back_only_the_object_that_met_it_and_only_for_a_while() {
    let scene = seen(alert("NodeDown")).rule(drain());
    let digest = scene.plan(at(1)).remedy.unwrap().digest();
    let trouble = Trouble { kind: TroubleKind::Rejected, message: "no".into(), digest, retry_at: at(60) };
    let scene = scene.edit(|seen| seen.trouble = Some(trouble));
    let held = scene.plan(at(1));
    assert_eq!((decided(&held).0, held.next_look), ("hold", Some(at(60))));
    assert_eq!(decided(&scene.plan(at(60))).0, "start", "the time has come");
    let edited = scene.template(template("cordon").manifest(JOB));
    assert_eq!(decided(&edited.plan(at(1))).0, "start", "another object");
}

#[test]
fn a_test_alert_never_starts_anything_and_says_what_it_would_have_done() {
    let scene = seen(alert("NodeDown").label("aegis.io/test", "true")).rule(drain()).told(at(1));
    let message = scene.status().verdict.unwrap().message;
    assert!(message.starts_with("would create Workflow default-nodedown-x-"), "{message}");
    assert!(message.contains("from template monitoring/cordon for rule monitoring/cordon"), "{message}");
    let resolved = scene.rule(rule("undo").resolved("NodeDown"));
    let resolved = resolved.edit(|seen| {
        let alert = AlertBuilder::from(&seen.alert).resolved(5).build();
        seen.alert = alert.into();
    });
    assert_eq!(decided(&resolved.plan(at(9))), ("hold", Some(Reason::TestAlert)));
}

#[test]
fn the_chosen_rule_and_what_beat_it_stand_in_status() {
    let scene = seen(alert("NodeDown")).rule(drain()).rule(rule("other").firing("Node")).opted_out("n1").told(at(1));
    let rule = scene.status().rule.unwrap();
    assert_eq!((rule.namespace.as_str(), rule.name.as_str()), ("monitoring", "cordon"));
    assert_eq!(rule.why, "its condition equals the alert's type, that of monitoring/other does not");
    assert_eq!(rule.others, ["monitoring/other"]);
}

#[test]
fn an_earlier_incident_is_waited_for_only_while_its_action_goes_on() {
    let before = |edit: fn(AlertBuilder) -> AlertBuilder, actions: &[ActionBuilder]| {
        let sibling = edit(alert("NodeDown").named("before").created(-60).resolved(-10));
        seen(alert("NodeDown")).rule(drain()).sibling(sibling, actions)
    };
    let running = || [workflow().argo("Running")];
    let cases = [
        ("it goes on", before(|alert| alert, &running()), "hold"),
        ("it has ended", before(|alert| alert, &[workflow().argo("Succeeded")]), "start"),
        ("there was none", before(|alert| alert, &[]), "start"),
        (
            "the earlier alert is about something else",
            before(|one| one.edit(|a| a.spec.type_ = "Disk".into()), &running()),
            "start",
        ),
        ("it is not earlier", before(|alert| alert.created(60), &running()), "start"),
        (
            "it is recorded, and its object was not looked for",
            before(
                |one| one.with(json!({"actions": [{"phase": "Firing", "attempt": 1, "name": "w", "uid": "u"}]})),
                &[],
            ),
            "hold",
        ),
        (
            "only a name was set aside for it",
            before(
                |one| one.with(json!({"actions": [{"phase": "Firing", "attempt": 1, "name": "w", "salt": 1}]})),
                &[],
            ),
            "start",
        ),
    ];
    for (why, scene, want) in cases {
        let plan = scene.plan(at(1));
        assert_eq!(decided(&plan).0, want, "{why}");
        assert!(want == "start" || plan.next_look == Some(at(31)), "{why}: its end may come without an event");
    }
}

#[test]
fn of_two_alerts_for_one_incident_one_acts() {
    let twin = |name: &str, created| alert("NodeDown").named(name).created(created);
    let younger = seen(twin("b", 1)).rule(drain()).sibling(twin("a", 0), &[]);
    assert_eq!(
        younger.plan(at(2)).steps,
        [Step::Look(Look::Siblings)],
        "a lagging cache shows two where one was ended"
    );
    let confirmed = younger.edit(|seen| seen.siblings_confirmed = true);
    assert_eq!(decided(&confirmed.plan(at(2))), ("withdraw", Some(Reason::Duplicate)));
    let told = confirmed.told(at(2));
    assert_eq!(words(&told), (Some(TriggerStatus::Withdrawn), None, Some("Duplicate".into())));
    assert_eq!(told.plan(at(3)).decision, Decision::Rest(Rest::Withdrawn(Reason::Duplicate)));

    let older = seen(twin("a", 0)).rule(drain()).sibling(twin("b", 1), &[]);
    assert_eq!(decided(&older.plan(at(2))).0, "start");
    let outrun = seen(twin("a", 0)).rule(drain()).sibling(twin("b", 1), &[workflow()]);
    let outrun = outrun.edit(|seen| seen.siblings_confirmed = true);
    assert_eq!(decided(&outrun.plan(at(2))), ("withdraw", Some(Reason::Duplicate)), "the one that has acted stands");
}

#[test]
fn a_rule_acts_again_only_if_it_says_so_and_the_alert_is_reported_again() {
    let repeats = |scene: Scene| scene.rule(drain().repeat("10m", 2));
    let heard = |scene: Scene, seconds| {
        scene.edit(|seen| seen.alert = AlertBuilder::from(&seen.alert).heard(seconds).build().into())
    };
    let once = acted("Failed", 30);
    assert_eq!(heard(once.clone(), 700).plan(at(800)).decision, Decision::Rest(Rest::Acted), "no rule says so");
    let twice = repeats(once);
    let due = at(630);
    assert_eq!(
        twice.plan(at(800)).decision,
        Decision::Rest(Rest::Repeats { due, heard_since: false }),
        "nobody said that it still fires"
    );
    let early = heard(twice.clone(), 60).told(at(60)).plan(at(60));
    assert_eq!(early.decision, Decision::Rest(Rest::Repeats { due, heard_since: true }));
    assert_eq!(early.next_look, Some(due));
    let second = heard(twice, 60).told(at(60)).plan(due);
    let Decision::Start(remedy) = &second.decision else { panic!("{second:?}") };
    assert_eq!((remedy.phase, remedy.attempt), (AlertStatus::Firing, 2));
    let ended =
        heard(repeats(acted("Failed", 30)), 60).action(workflow().attempt(2).argo("Failed").whole("")).told(due);
    assert_eq!(ended.plan(at(9000)).decision, Decision::Rest(Rest::LimitReached(2)));
    let stays = heard(ended, 2000).plan(at(9000));
    assert_eq!(decided(&stays), ("hold", Some(Reason::NeedsPerson)), "all was tried, and it still fires");
}
