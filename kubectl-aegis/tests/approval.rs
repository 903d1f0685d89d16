//! `approve` and `reject`: what they write, for which plan, under whose name, and how they fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_sandbox::{Action, Match, Options, Rule, Sandbox, Verb};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use plugin::{Told, in_the_sandbox, sandbox, told_by};
use serde_json::{Value, json};

const PLAN: &str = "3f0cda5d8b4c8fb4ddc6b0a4d4f80a2a1f6de1d7a1bb2a3c0a4f1a4e7a0c9b21";
const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

fn alerts(sandbox: &Sandbox) -> Api<AegisAlert> {
    Api::namespaced(sandbox.client_as("test"), "monitoring")
}

/// An alert that waits for a person, with these annotations.
async fn waiting(sandbox: &Sandbox, name: &str, annotations: &Value) {
    let alert = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"type": "NodeDown", "status": "Firing", "involvedObject": {"kind": "Node", "name": "n1"}},
    });
    let alert: AegisAlert = serde_json::from_value(alert).unwrap();
    alerts(sandbox).create(&PostParams::default(), &alert).await.unwrap();
    judged(sandbox, name, &json!({"reason": "NeedsApproval", "message": "its rule asks first", "plan": PLAN})).await;
}

async fn judged(sandbox: &Sandbox, name: &str, verdict: &Value) {
    let status = json!({"status": {
        "rule": {"namespace": "monitoring", "name": "drain"}, "opsStatus": {"triggerStatus": "Held"}, "verdict": verdict,
    }});
    alerts(sandbox).patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn annotations(sandbox: &Sandbox, name: &str) -> BTreeMap<String, String> {
    alerts(sandbox).get(name).await.unwrap().metadata.annotations.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_takes_the_first_place_that_no_other_person_holds() {
    let sandbox = sandbox().await;
    let by = |plan: &str, user: &str| format!("{plan} by {user}");
    let (ann, old, ours) = (by(PLAN, "ann"), by(OTHER, "ann"), by(PLAN, "sandbox"));
    let cases = [
        ("nobody has answered", json!({}), [Some(&ours), None], "approved"),
        ("somebody else has", json!({"aegis.io/approval": ann}), [Some(&ann), Some(&ours)], "approved"),
        ("somebody approved an older plan", json!({"aegis.io/approval": old}), [Some(&ours), None], "approved"),
        (
            "the second place holds an older plan",
            json!({"aegis.io/approval": ann, "aegis.io/approval-2": old}),
            [Some(&ann), Some(&ours)],
            "approved",
        ),
        (
            "this person has already, at the second place",
            json!({"aegis.io/approval": old, "aegis.io/approval-2": ours}),
            [Some(&old), Some(&ours)],
            "sandbox has approved this plan already",
        ),
        (
            "two others have",
            json!({"aegis.io/approval": ann, "aegis.io/approval-2": by(PLAN, "ben")}),
            [Some(&ann), Some(&by(PLAN, "ben"))],
            "ann and ben have approved this plan already",
        ),
    ];
    for (nth, (why, before, want, word)) in cases.into_iter().enumerate() {
        let name = format!("a-{nth}");
        waiting(&sandbox, &name, &before).await;
        let (code, told) = in_the_sandbox(&sandbox, &["approve", &name]).await;
        assert!(code == 0 && told.contains(word), "{why}: {code} {told}");
        let after = annotations(&sandbox, &name).await;
        assert_eq!([after.get("aegis.io/approval"), after.get("aegis.io/approval-2")], want, "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_longer_counts_is_taken_back_and_seen_to_be_before_the_new_yes() {
    let sandbox = sandbox().await;
    let old =
        json!({"aegis.io/approval": format!("{PLAN} by sandbox"), "aegis.io/approval-2": format!("{PLAN} by ann")});
    waiting(&sandbox, "a", &old).await;
    let void = json!({"status": {"approval": {"plan": PLAN, "by": []}}});
    alerts(&sandbox).patch_status("a", &PatchParams::default(), &Patch::Merge(void)).await.unwrap();
    let controller = async {
        while annotations(&sandbox, "a").await.contains_key("aegis.io/approval") {
            tokio::task::yield_now().await;
        }
        let nothing = json!({"status": {"approval": null}});
        alerts(&sandbox).patch_status("a", &PatchParams::default(), &Patch::Merge(nothing)).await.unwrap();
        annotations(&sandbox, "a").await
    };
    let ((code, told), between) = tokio::join!(in_the_sandbox(&sandbox, &["approve", "a"]), controller);
    assert!(code == 0 && told.contains("approved"), "{code} {told}");
    assert!(!between.contains_key("aegis.io/approval-2"), "{between:?}");
    let after = annotations(&sandbox, "a").await;
    assert_eq!(after.get("aegis.io/approval"), Some(&format!("{PLAN} by sandbox")));
    assert_eq!(after.get("aegis.io/approval-2"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_is_shown_and_the_answer_stands_with_its_reason() {
    let sandbox = sandbox().await;
    waiting(&sandbox, "a", &json!({})).await;
    let words = ["approve", "aegisalert.aegis.io/a", "--reason", "the rack is empty"];
    let Told { code, out, err } = told_by(&sandbox, &words).await;
    assert_eq!((code, out.as_str()), (0, "aegisalert.aegis.io/a approved\n"), "{err}");
    let shown = "alert     a: NodeDown\ntarget    node/n1\nrule      monitoring/drain\n";
    assert!(err.starts_with(shown) && err.contains("its rule asks first") && err.contains(PLAN), "{err}");
    let after = annotations(&sandbox, "a").await;
    assert_eq!(after["aegis.io/approval-reason"], "sandbox: the rack is empty");

    for (reason, want) in [
        (&["--reason", "not on a Friday: no"][..], format!("{PLAN} by sandbox: not on a Friday: no")),
        (&[], format!("{PLAN} by sandbox")),
    ] {
        let Told { code, out, err } = told_by(&sandbox, &[&["reject", "a"], reason].concat()).await;
        assert_eq!((code, out.as_str()), (0, "aegisalert.aegis.io/a rejected\n"), "{err}");
        assert_eq!(annotations(&sandbox, "a").await["aegis.io/rejection"], want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_waits_for_no_person_is_refused_with_how_it_stands() {
    let sandbox = sandbox().await;
    waiting(&sandbox, "a", &json!({"aegis.io/rejection": format!("{PLAN} by ann: no")})).await;
    for (verdict, part) in [
        (json!({"reason": "Paused", "message": "node n1 is paused", "plan": PLAN}), "Paused: node n1 is paused"),
        (json!({"reason": "Declined", "message": "ann said no"}), "to take that back: kubectl annotate aegisalert a"),
        (json!({"reason": "NeedsApproval", "message": "x", "plan": null}), "shows no plan to approve"),
        (Value::Null, "waits for nobody: it has triggerStatus Held"),
    ] {
        judged(&sandbox, "a", &verdict).await;
        for verb in ["approve", "reject"] {
            let (code, told) = in_the_sandbox(&sandbox, &[verb, "a"]).await;
            assert!(code == 6 && told.contains(part), "{verb}: {code} {told}");
        }
    }
    assert_eq!(annotations(&sandbox, "a").await.len(), 1, "nothing was written");
    let (code, told) = in_the_sandbox(&sandbox, &["approve", "b"]).await;
    assert!(code == 5 && told.contains("there is no alert b in monitoring"), "{code} {told}");
    let bare = Sandbox::start(Options { namespaces: vec!["monitoring".into()], ..Options::default() }).await.unwrap();
    let (code, told) = in_the_sandbox(&bare, &["approve", "a"]).await;
    assert!(code == 7 && told.contains("kubectl aegis install"), "{code} {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_holds_for_the_plan_that_was_shown() {
    let sandbox = sandbox().await;
    waiting(&sandbox, "a", &json!({})).await;
    waiting(&sandbox, "b", &json!({})).await;
    let of = |name: &str| Match::any().verb(Verb::Patch).resource("aegisalerts").name(name);
    // Somebody else writes the alert between reading and answering.
    for (name, plan, want) in [("a", PLAN, 0), ("b", OTHER, 6)] {
        let held = sandbox.faults().add(Rule::new(of(name).subresource(""), Action::Hang).times(1));
        let changed = async {
            while held.hits() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let verdict = json!({"reason": "NeedsApproval", "message": "again", "plan": plan});
            judged(&sandbox, name, &verdict).await;
            held.release();
        };
        let words = ["approve", name];
        let ((code, told), ()) = tokio::join!(in_the_sandbox(&sandbox, &words), changed);
        assert_eq!(code, want, "{told}");
        assert_eq!(told.contains("has changed meanwhile"), want == 6, "{told}");
        assert_eq!(annotations(&sandbox, name).await.is_empty(), want == 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_the_missing_verb() {
    let sandbox = sandbox().await;
    waiting(&sandbox, "a", &json!({})).await;
    sandbox.faults().add(Rule::new(Match::any().verb(Verb::Patch), Action::Status(403, None)));
    let (code, told) = in_the_sandbox(&sandbox, &["approve", "a"]).await;
    assert_eq!(code, 4, "{told}");
    assert!(
        told.contains("the verbs patch and approve on aegisalerts are needed: kubectl create rolebinding"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_writes_nothing() {
    let sandbox = sandbox().await;
    waiting(&sandbox, "a", &json!({})).await;
    let sent = sandbox.requests().writes(None);
    for verb in ["approve", "reject"] {
        let Told { code, out, .. } = told_by(&sandbox, &[verb, "a", "--dry-run=client"]).await;
        assert!(code == 0 && out.ends_with(" (dry run)\n"), "{out}");
    }
    assert_eq!(sandbox.requests().writes(None), sent, "nothing is sent");
    for verb in ["approve", "reject"] {
        let Told { code, out, .. } = told_by(&sandbox, &[verb, "a", "--dry-run=server"]).await;
        assert!(code == 0 && out.ends_with(" (server dry run)\n"), "{out}");
    }
    assert_eq!(annotations(&sandbox, "a").await, BTreeMap::new());
}
