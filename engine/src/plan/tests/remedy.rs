//! The object that is created.

use super::*;
use serde_json::Value;

fn object(scene: &Scene) -> Value {
    scene.plan(at(1)).remedy.expect("an action is due").object.clone()
}

fn flaw(scene: &Scene) -> String {
    match scene.plan(at(1)).decision {
        Decision::Hold(refusal) => refusal.message,
        other => panic!("{other:?}"),
    }
}

fn with(manifest: &str) -> Scene {
    seen(alert("NodeDown")).rule(drain()).template(template("cordon").manifest(manifest))
}

#[test]
fn the_object_carries_its_marks_its_owner_and_its_alerts_labels() {
    let scene = seen(alert("NodeDown").label("team", "gpu").label("sop", "sender's")).rule(drain());
    let plan = scene.plan(at(1));
    let remedy = plan.remedy.unwrap();
    let metadata = &remedy.object["metadata"];
    assert!(remedy.name.starts_with("default-nodedown-x-") && remedy.name.len() <= 63);
    assert_eq!(
        *metadata,
        json!({
            "name": remedy.name, "namespace": "monitoring",
            "labels": {
                "sop": "cordon", "fingerprint": "f1", "team": "gpu",
                "app.kubernetes.io/managed-by": "aegis", "aegis.io/alert": "default-nodedown-x",
                "aegis.io/alert-uid": "alert-uid", "aegis.io/phase": "Firing", "aegis.io/attempt": "1",
            },
            "annotations": {"aegis.io/rule": "monitoring/cordon", "aegis.io/template": "monitoring/cordon"},
            "finalizers": ["aegis.io/outcome"],
            "ownerReferences": [{"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "name": "default-nodedown-x",
                                 "uid": "alert-uid", "controller": true}],
        })
    );
    let seen_again = SeenAction::workflow_metadata(&serde_json::from_value(metadata.clone()).unwrap());
    assert!(seen_again.is_of("alert-uid") && seen_again.is_kept(), "what is made is known again");
}

#[test]
fn nobody_but_aegis_sets_the_marks_that_decisions_read() {
    let scene =
        seen(alert("NodeDown").label("aegis.io/attempt", "9").label("workflows.argoproj.io/phase", "Succeeded"));
    let manifest = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: mine
  generateName: mine-
  uid: mine
  labels: {aegis.io/alert-uid: x, workflows.argoproj.io/phase: Succeeded, workflows.argoproj.io/controller-instanceid: two}
  annotations: {aegis.io/stopped: x, aegis.io/rule: x, note: kept}
  finalizers: [example.com/keep]
  ownerReferences: [{uid: x}]
spec: {}
status: {phase: Succeeded}
";
    let object = object(&scene.rule(drain()).template(template("cordon").manifest(manifest)));
    let metadata = &object["metadata"];
    assert_eq!(object.get("status"), None);
    assert_eq!((metadata.get("generateName"), metadata.get("uid")), (None, None));
    assert_ne!(metadata["name"], "mine");
    assert_eq!(metadata["labels"]["aegis.io/alert-uid"], "alert-uid");
    assert_eq!(metadata["labels"]["aegis.io/attempt"], "1");
    assert_eq!(metadata["labels"].get("workflows.argoproj.io/phase"), None);
    assert_eq!(metadata["labels"]["workflows.argoproj.io/controller-instanceid"], "two", "Argo needs this one");
    assert_eq!(metadata["annotations"]["aegis.io/rule"], "monitoring/cordon");
    assert_eq!(metadata["annotations"].get("aegis.io/stopped"), None);
    assert_eq!(metadata["annotations"]["note"], "kept");
    assert_eq!(metadata["finalizers"], json!(["example.com/keep", "aegis.io/outcome"]));
    assert_eq!(metadata["ownerReferences"][0]["uid"], "alert-uid");
}

#[test]
fn an_action_runs_under_a_service_account_of_the_list() {
    let workflow = |spec: &str| with(&format!("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec: {spec}\n"));
    assert_eq!(object(&workflow("{}"))["spec"]["serviceAccountName"], "aegis-workflow", "left out means the first");
    assert_eq!(object(&with(JOB))["spec"]["template"]["spec"]["serviceAccountName"], "aegis-workflow");
    let allowed = [
        "{serviceAccountName: aegis-workflow}",
        "{templates: [{name: a, serviceAccountName: aegis-workflow}]}",
        "{podSpecPatch: 'terminationGracePeriodSeconds: 5'}",
    ];
    for spec in allowed {
        assert_eq!(decided(&workflow(spec).plan(at(1))).0, "start", "{spec}");
    }
    let refused = [
        ("{serviceAccountName: admin}", "spec.serviceAccountName"),
        ("{serviceAccountName: '{{workflow.parameters.x}}'}", "spec.serviceAccountName"),
        ("{templates: [{name: a, serviceAccountName: admin}]}", "spec.templates[0].serviceAccountName"),
        ("{executor: {serviceAccountName: admin}}", "spec.executor.serviceAccountName"),
        ("{templateDefaults: {podSpecPatch: 'serviceAccountName: admin'}}", "spec.templateDefaults.podSpecPatch"),
        (r#"{podSpecPatch: '{"\u0073erviceAccountName": "admin"}'}"#, "spec.podSpecPatch"),
    ];
    for (spec, field) in refused {
        let flaw = flaw(&workflow(spec));
        assert!(flaw.contains(field) && flaw.contains(": found ServiceAccount"), "{spec}: {flaw}");
    }
    let any = workflow("{serviceAccountName: admin}").settings(|all| all.service_accounts = vec!["*".into()]);
    assert_eq!(object(&any)["spec"]["serviceAccountName"], "admin");
}

#[test]
fn details_never_pass_for_what_the_administrator_or_aegis_says() {
    let details = [("AlertName", "evil"), ("registry", "evil"), ("InvolvedObjectNode", "evil"), ("disk", "sda")];
    let details = details.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let alert = alert("NodeDown").edit(|alert| alert.spec.detials = Some(details.into())).build();
    let settings = Settings { system_parameters: [("registry".into(), "r.io".into())].into(), ..Settings::default() };
    let parameters = parameters(&alert, &settings).unwrap();
    let all: Vec<(&str, &str)> = parameters.iter().collect();
    assert_eq!(
        all,
        [
            ("AlertName", "default-nodedown-x"),
            ("AlertNamespace", "monitoring"),
            ("InvolvedObjectKind", "Node"),
            ("InvolvedObjectName", "n1"),
            ("InvolvedObjectNamespace", ""),
            ("InvolvedObjectNode", ""),
            ("disk", "sda"),
            ("registry", "r.io"),
        ]
    );
}

#[test]
fn a_name_that_a_foreign_object_holds_is_passed_over_and_the_next_one_stands_in_status_first() {
    let foreign = |salt| {
        let mut action = workflow().salt(salt).of(&alert("NodeDown").build());
        action.owner = Some("somebody else".into());
        action
    };
    let scene = seen(alert("NodeDown")).rule(drain()).edit(|seen| seen.saw(foreign(0)));
    let plan = scene.plan(at(1));
    let [Step::WriteStatus(patch), Step::LastLook(_), Step::Create(remedy)] = plan.steps.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(remedy.salt, 1);
    assert_eq!(patch["status"]["actions"][0]["name"], remedy.name.as_str());
    assert_eq!(patch["status"]["actions"][0].get("uid"), None, "it does not exist yet");
    assert_eq!(patch["status"].get("opsStatus"), None, "and nothing was triggered yet");

    let told = scene.told(at(1));
    let restarted = told.clone().edit(|seen| seen.actions.clear());
    let plan = restarted.plan(at(2));
    let [Step::LastLook(_), Step::Create(again)] = plan.steps.as_slice() else { panic!("{plan:?}") };
    assert_eq!(again.name, remedy.name, "a restart that has not met the foreign object uses that name and no other");
    let taken = told.clone().edit(|seen| seen.saw(foreign(1)));
    let plan = taken.plan(at(2));
    let [Step::WriteStatus(_), Step::LastLook(_), Step::Create(third)] = plan.steps.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(third.salt, 2);

    let made = told.action(workflow().salt(1)).told(at(3)).status();
    assert_eq!((made.actions.len(), made.actions[0].salt, made.actions[0].uid.is_some()), (1, 1, true));
}

#[test]
fn a_name_set_aside_is_dropped_with_the_phase_it_was_for() {
    let aside = json!({"actions": [{"phase": "Firing", "attempt": 1, "kind": "Workflow", "name": "w", "salt": 1}]});
    let scene = seen(alert("NodeDown").with(aside).resolved(5)).rule(drain()).told(at(6));
    assert!(scene.status().actions.is_empty());
}
