//! `pause`, `resume` and `guard`: what they leave in the AegisGuard, what they say, and how they fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "common/plugin.rs"]
mod plugin;

use aegis_crds::AegisGuard;
use aegis_crds::guard::Pause;
use aegis_crds::names::{GUARD_NAME, PAUSE_ANNOTATION};
use aegis_sandbox::{Action, Match, Options, Rule, Sandbox, Verb};
use futures::future::join_all;
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use plugin::{Told, in_the_sandbox, sandbox, told_by};
use serde_json::{Value, json};

fn guards(sandbox: &Sandbox) -> Api<AegisGuard> {
    Api::namespaced(sandbox.client_as("test"), "monitoring")
}

async fn pauses(sandbox: &Sandbox) -> Vec<Pause> {
    guards(sandbox).get(GUARD_NAME).await.unwrap().spec.pauses
}

async fn targets(sandbox: &Sandbox) -> Vec<String> {
    pauses(sandbox).await.into_iter().map(|pause| pause.target).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stands_in_the_guard_with_who_why_and_until_when() {
    let sandbox = sandbox().await;
    let began = Timestamp::now();
    let words = ["pause", "--reason", "network work", "--for", "2h"];
    let Told { code, out, err } = told_by(&sandbox, &words).await;
    assert_eq!((code, err.as_str()), (0, ""), "no controller has run here yet: {out}");

    let [pause] = pauses(&sandbox).await.try_into().unwrap();
    let (since, until) = (pause.since.unwrap(), pause.until.unwrap());
    assert_eq!((pause.target.as_str(), pause.reason.as_deref()), ("all", Some("network work")));
    assert_eq!(pause.by.as_deref(), Some("sandbox"), "the name that the API server knows");
    assert!(!pause.recovery_too);
    assert!(began.as_second() <= since.as_second() && since <= Timestamp::now(), "{since}");
    assert_eq!(until.as_second() - since.as_second(), 7200);
    assert_eq!(out, format!("all paused until {until}\n"));

    let words = ["pause", "--reason", "still at it", "--recovery-too"];
    let Told { code, out, .. } = told_by(&sandbox, &words).await;
    assert_eq!((code, out.as_str()), (0, "all paused, recovery too\n"));
    let [pause] = pauses(&sandbox).await.try_into().unwrap();
    assert_eq!((pause.reason.as_deref(), pause.until, pause.recovery_too), (Some("still at it"), None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_target_is_paused_and_resumed_by_itself() {
    let sandbox = sandbox().await;
    for target in ["all", "rule/drain", "rule/team-a/drain", "node/n1", "pod/web/web-0"] {
        let (code, told) = in_the_sandbox(&sandbox, &["pause", target, "--reason", "x"]).await;
        assert_eq!(code, 0, "{told}");
    }
    let all = ["all", "rule/monitoring/drain", "rule/team-a/drain", "node/n1", "pod/web/web-0"];
    assert_eq!(targets(&sandbox).await, all);

    let Told { code, out, err } = told_by(&sandbox, &["resume", "rule/drain"]).await;
    assert_eq!((code, out.as_str()), (0, "rule/monitoring/drain resumed\n"));
    assert_eq!(err, "still paused: all, rule/team-a/drain, node/n1, pod/web/web-0\n");
    let Told { out, err, .. } = told_by(&sandbox, &["resume", "-o", "name"]).await;
    assert_eq!(out, "rule/team-a/drain\nnode/n1\npod/web/web-0\n", "{err}");
    for target in ["rule/team-a/drain", "node/n1", "pod/web/web-0"] {
        in_the_sandbox(&sandbox, &["resume", target]).await;
    }
    assert_eq!(targets(&sandbox).await, [""; 0]);
    let resumed = guards(&sandbox).get(GUARD_NAME).await.unwrap().spec.resumed;
    let names: Vec<&str> = resumed.keys().map(String::as_str).collect();
    assert_eq!(names, ["node/n1", "pod/web/web-0", "rule/monitoring/drain", "rule/team-a/drain"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_paused_is_told_and_no_error() {
    let sandbox = sandbox().await;
    for words in [&["resume"][..], &["resume", "breaker"], &["resume", "node/n1"]] {
        let Told { code, out, err } = told_by(&sandbox, words).await;
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        assert!(err.contains(" is not "), "{err}");
        assert!(guards(&sandbox).get_opt(GUARD_NAME).await.unwrap().is_none(), "{words:?} makes no guard");
    }
    guards(&sandbox).create(&PostParams::default(), &AegisGuard::new(GUARD_NAME, Default::default())).await.unwrap();
    let Told { code, out, err } = told_by(&sandbox, &["resume", "node/n1"]).await;
    assert_eq!((code, out.as_str()), (0, "node/n1 resumed\n"));
    assert_eq!(err, "node/n1 was not paused; what failed there before no longer counts\n");
    let Told { code, out, err } = told_by(&sandbox, &["resume"]).await;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "all is not paused\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_by_kubectl_alone_is_ended_by_resume() {
    let sandbox = sandbox().await;
    let mut guard = AegisGuard::new(GUARD_NAME, Default::default());
    guard.metadata.annotations = Some([(PAUSE_ANNOTATION.to_owned(), "why".to_owned())].into());
    guards(&sandbox).create(&PostParams::default(), &guard).await.unwrap();
    let (code, told) = in_the_sandbox(&sandbox, &["guard"]).await;
    assert!(code == 0 && told.contains("all      why"), "{told}");
    let (code, told) = in_the_sandbox(&sandbox, &["resume"]).await;
    assert_eq!((code, told.as_str()), (0, "all resumed\n"));
    assert!(guards(&sandbox).get(GUARD_NAME).await.unwrap().metadata.annotations.unwrap_or_default().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_a_pause_to_somebody_who_writes_at_the_same_time() {
    let sandbox = sandbox().await;
    let nodes: Vec<String> = (0..6).map(|nth| format!("node/n{nth}")).collect();
    let runs = nodes.iter().map(|node| {
        let words = ["pause", node, "--reason", "x"];
        let sandbox = &sandbox;
        async move { in_the_sandbox(sandbox, &words).await }
    });
    for (code, told) in join_all(runs).await {
        assert_eq!(code, 0, "{told}");
    }
    let mut paused = targets(&sandbox).await;
    paused.sort_unstable();
    assert_eq!(paused, nodes);

    let beaten = sandbox
        .faults()
        .add(Rule::new(Match::any().verb(Verb::Patch).resource("aegisguards"), Action::Status(409, None)).times(3));
    let (code, told) = in_the_sandbox(&sandbox, &["pause"]).await;
    assert_eq!((code, beaten.hits()), (0, 3), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_everything_as_it_is() {
    let sandbox = sandbox().await;
    let writes = || {
        let of = |resource| sandbox.requests().succeeded(&Match::any().writes().resource(resource));
        (of("aegisguards"), of("selfsubjectreviews"))
    };
    let all = [&["pause", "node/n1", "--reason", "x"][..], &["resume", "node/n0"], &["resume", "breaker"]];
    for guard in [None, Some(json!({"pauses": [{"target": "node/n0"}]}))] {
        if let Some(spec) = &guard {
            let object = AegisGuard::new(GUARD_NAME, serde_json::from_value(spec.clone()).unwrap());
            guards(&sandbox).create(&PostParams::default(), &object).await.unwrap();
        }
        let before = guards(&sandbox).get_opt(GUARD_NAME).await.unwrap();
        for words in all {
            let made = writes();
            let Told { code, out, err } = told_by(&sandbox, &[words, &["--dry-run=client"]].concat()).await;
            assert_eq!(code, 0, "{err}");
            assert_eq!(writes(), made, "{words:?} sends nothing: {out}");
            assert!(out.is_empty() || out.ends_with(" (dry run)\n"), "{out}");
            let Told { code, out, err } = told_by(&sandbox, &[words, &["--dry-run=server"]].concat()).await;
            assert_eq!(code, 0, "{err}");
            assert!(out.is_empty() || out.ends_with(" (server dry run)\n"), "{out}");
        }
        assert_eq!(guards(&sandbox).get_opt(GUARD_NAME).await.unwrap(), before);
    }
    let words = ["pause", "node/n1", "--dry-run=client", "-o", "json"];
    let shown: Value = serde_json::from_str(&told_by(&sandbox, &words).await.out).unwrap();
    assert_eq!(shown["kind"], "AegisGuard");
    assert_eq!(shown["spec"]["pauses"][1]["target"], "node/n1", "what would stand there: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_is_told_and_a_failure_has_its_exit_code() {
    let sandbox = sandbox().await;
    let Told { code, err, .. } = told_by(&sandbox, &["pause", "node/n1", "--reason", "x"]).await;
    assert_eq!((code, err.as_str()), (0, "warning: there is no node/n1; the pause holds if there will be\n"));
    let Told { code, err, .. } = told_by(&sandbox, &["pause", "rule/drain"]).await;
    let want = "no reason was given: --reason tells whoever finds it paused\n\
                warning: there is no rule/monitoring/drain; the pause holds if there will be\n";
    assert_eq!((code, err.as_str()), (0, want));

    for (words, part) in [
        (&["pause", "n1"][..], "TARGET: found \"n1\", expected all"),
        (&["pause", "breaker"], "cannot be paused"),
        (&["pause", "--for", "1d"], "expected a length of time"),
        (&["resume", "pod/web-0"], "pod/NAMESPACE/NAME"),
    ] {
        let (code, told) = in_the_sandbox(&sandbox, words).await;
        assert!(code == 2 && told.contains(part), "{words:?}: {code} {told}");
    }
    let (code, told) = in_the_sandbox(&sandbox, &["pause", "-n", "nowhere"]).await;
    assert!(code == 5 && told.contains("there is no namespace nowhere"), "{code} {told}");
    let (code, told) = in_the_sandbox(&sandbox, &["guard", "-n", "team-a"]).await;
    assert!(code == 5 && told.contains("there is no AegisGuard in team-a yet"), "{code} {told}");

    let refused = sandbox.faults().add(Rule::new(Match::any().writes(), Action::Status(403, None)));
    let (code, told) = in_the_sandbox(&sandbox, &["pause", "--reason", "x"]).await;
    assert!(code == 4 && told.contains("the verbs patch and create on aegisguards are needed"), "{code} {told}");
    refused.remove();

    let bare = Sandbox::start(Options { namespaces: vec!["monitoring".into()], ..Options::default() }).await.unwrap();
    for words in [&["pause"][..], &["resume"], &["guard"]] {
        let (code, told) = in_the_sandbox(&bare, words).await;
        assert!(code == 7 && told.contains("kubectl aegis install"), "{code} {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_who_they_are_is_called_as_in_the_kubeconfig() {
    let sandbox = sandbox().await;
    sandbox.faults().add(Rule::new(Match::any().resource("selfsubjectreviews"), Action::Status(403, None)));
    let (code, told) = in_the_sandbox(&sandbox, &["pause", "--reason", "x"]).await;
    assert_eq!(code, 0, "{told}");
    assert_eq!(pauses(&sandbox).await[0].by.as_deref(), Some("aegis-sandbox"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_is_shown_on_one_page() {
    let sandbox = sandbox().await;
    let guard = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisGuard", "metadata": {"name": GUARD_NAME},
        "spec": {
            "budgets": {"unfinished": 5},
            "pauses": [{"target": "node/n1", "reason": "memory\ntest", "by": "ann", "recoveryToo": true}],
        },
    });
    let guard: AegisGuard = serde_json::from_value(guard).unwrap();
    guards(&sandbox).create(&PostParams::default(), &guard).await.unwrap();
    let status = json!({"status": {
        "status": "Recorded",
        "breaker": {"state": "Open", "opened": "2026-11-22T12:00:00Z", "closes": "2026-11-22T12:15:00Z"},
        "claims": [{"alert": "a-1", "uid": "u", "phase": "Firing", "attempt": 2, "rule": "monitoring/drain", "target": "node/n2"}],
    }});
    guards(&sandbox).patch_status(GUARD_NAME, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let Told { code, out, err } = told_by(&sandbox, &["guard"]).await;
    assert_eq!(code, 0, "{err}");
    insta::assert_snapshot!("guard_page", out);
    let shown: Value = serde_json::from_str(&told_by(&sandbox, &["guard", "-o", "json"]).await.out).unwrap();
    assert_eq!(shown["spec"]["budgets"]["unfinished"], 5);
}
