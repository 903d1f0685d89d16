//! Faults on demand, expired watches, the record of requests, and the logs of pods: what only a sandbox can do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use aegis_sandbox::{Action, Match, Odds, Options, Rule, Sandbox, Verb, WatchBreak, When};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

async fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).await.unwrap()
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn maps(sandbox: &Sandbox, component: &str) -> Api<ConfigMap> {
    Api::namespaced(sandbox.client_as(component), "default")
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> Result<ConfigMap, kube::Error> {
    maps.create(&PostParams::default(), &map(name)).await
}

fn code<T: std::fmt::Debug>(outcome: Result<T, kube::Error>) -> u16 {
    match outcome {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("expected a status, found {other:?}"),
    }
}

fn creates() -> Match {
    Match::any().verb(Verb::Create).resource("configmaps")
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it did not happen")
}

#[tokio::test]
async fn a_request_can_be_refused_before_it_is_carried_out() {
    let sandbox = sandbox().await;
    let maps = maps(&sandbox, "one");
    for (status, retry_after) in [(429, Some(7)), (500, None), (503, None), (504, None)] {
        let fault = sandbox.faults().add(Rule::new(creates(), Action::Status(status, retry_after)).times(1));
        let refused = create(&maps, "a").await;
        if let (Err(kube::Error::Api(told)), Some(seconds)) = (&refused, retry_after) {
            assert_eq!(told.details.as_ref().unwrap().retry_after_seconds, seconds);
        }
        assert_eq!(code(refused), status);
        assert_eq!(fault.hits(), 1);
        assert!(maps.get_opt("a").await.unwrap().is_none());
    }
    create(&maps, "a").await.unwrap();
}

#[tokio::test]
async fn a_review_says_no_to_what_a_fault_forbids() {
    let sandbox = sandbox().await;
    let client = sandbox.client_as("one");
    let reviews = "/apis/authorization.k8s.io/v1";
    let allowed = async |plural: &str, kind: &str, user: &str, verb: &str| {
        let attributes = json!({"verb": verb, "resource": "configmaps", "namespace": "default"});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": kind,
            "spec": {"resourceAttributes": attributes, "user": user},
        });
        let request = http::Request::post(format!("{reviews}/{plural}")).header("Content-Type", "application/json");
        let request = request.body(review.to_string().into_bytes()).unwrap();
        let answer: serde_json::Value = client.request(request).await.unwrap();
        answer["status"]["allowed"].as_bool().unwrap()
    };
    let own = async |verb: &str| allowed("selfsubjectaccessreviews", "SelfSubjectAccessReview", "", verb).await;
    let of = async |user: &str| allowed("subjectaccessreviews", "SubjectAccessReview", user, "create").await;
    let fault = sandbox.faults().add(Rule::new(creates().component("one"), Action::Status(403, None)));
    assert!(!own("create").await && own("get").await);
    assert!(!of("one").await && of("two").await);
    assert_eq!(fault.hits(), 0, "asking is no such request");
    fault.remove();
    assert!(own("create").await);
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_change_was_made() {
    let sandbox = sandbox().await;
    let maps = maps(&sandbox, "one");
    sandbox.faults().add(Rule::new(creates(), Action::Reset).when(When::After).times(1));
    let lost = create(&maps, "a").await;
    assert!(matches!(lost, Err(kube::Error::Service(_) | kube::Error::HyperError(_))), "{lost:?}");
    assert!(maps.get_opt("a").await.unwrap().is_some());
    sandbox.faults().add(Rule::new(creates(), Action::Status(500, None)).when(When::After).times(1));
    assert_eq!(code(create(&maps, "b").await), 500);
    assert!(maps.get_opt("b").await.unwrap().is_some());
    sandbox.faults().add(Rule::new(creates(), Action::Reset).times(1));
    assert!(create(&maps, "c").await.is_err());
    assert!(maps.get_opt("c").await.unwrap().is_none());
}

#[tokio::test]
async fn a_request_can_be_held_and_let_go() {
    let sandbox = sandbox().await;
    let maps = maps(&sandbox, "one");
    for when in [When::Before, When::After] {
        let name = format!("{when:?}").to_lowercase();
        let fault = sandbox.faults().add(Rule::new(creates(), Action::Hang).when(when).times(1));
        let (held, named) = (maps.clone(), name.clone());
        let task = tokio::spawn(async move { create(&held, &named).await });
        soon(fault.reached(1)).await;
        if when == When::After {
            // The fault is decided on arrival; the change is made before the answer is held.
            while maps.get_opt(&name).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        } else {
            assert!(maps.get_opt(&name).await.unwrap().is_none());
        }
        assert!(!task.is_finished());
        fault.release();
        soon(task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_fault_meets_only_the_requests_it_names() {
    let sandbox = sandbox().await;
    let (one, two) = (maps(&sandbox, "one"), maps(&sandbox, "two"));
    sandbox.faults().add(Rule::new(creates().component("one"), Action::Status(503, None)).nth(2));
    create(&one, "a").await.unwrap();
    create(&two, "b").await.unwrap();
    assert_eq!(code(create(&one, "c").await), 503);
    create(&one, "c").await.unwrap();
    let slow = sandbox.faults().add(Rule::new(Match::any().name("a"), Action::Delay(Duration::from_millis(1))));
    one.get("a").await.unwrap();
    two.get("b").await.unwrap();
    assert_eq!(slow.hits(), 1);
    slow.remove();
    one.get("a").await.unwrap();
    assert_eq!(slow.hits(), 1);
}

#[tokio::test]
async fn a_component_stops_dead_at_its_nth_request_and_goes_on_when_resumed() {
    for (when, stored) in [(When::Before, false), (When::After, true)] {
        let sandbox = sandbox().await;
        let (one, two) = (maps(&sandbox, "one"), maps(&sandbox, "two"));
        let stop = sandbox.faults().stop_at("one", 2, when);
        create(&one, "a").await.unwrap();
        assert!(!stop.is_reached());
        let held = one.clone();
        let task = tokio::spawn(async move { create(&held, "b").await });
        soon(stop.reached()).await;
        assert_eq!(two.get_opt("b").await.unwrap().is_some(), stored, "{when:?}");
        assert!(create(&one, "c").await.is_err(), "a dead component was served");
        create(&two, "d").await.unwrap();
        assert!(!task.is_finished());
        stop.resume();
        assert!(soon(task).await.unwrap().is_err(), "the request at which it died was answered");
        create(&one, "c").await.unwrap();
    }
}

#[tokio::test]
async fn a_watch_can_be_cut_ended_frozen_and_expired() {
    let sandbox = sandbox().await;
    let maps = maps(&sandbox, "one");
    create(&maps, "a").await.unwrap();
    create(&maps, "b").await.unwrap();
    let watches = Match::any().verb(Verb::Watch);
    let open = async || maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    for how in [WatchBreak::Cut, WatchBreak::End, WatchBreak::Expire] {
        sandbox.faults().add(Rule::new(watches.clone(), Action::Watch(1, how)).times(1));
        let mut watch = open().await;
        assert!(matches!(soon(watch.next()).await, Some(Ok(WatchEvent::Added(_)))), "{how:?}");
        let next = soon(watch.next()).await;
        match how {
            WatchBreak::Cut => assert!(matches!(next, Some(Err(_)) | None), "{next:?}"),
            WatchBreak::End => assert!(next.is_none(), "{next:?}"),
            _ => match next {
                Some(Ok(WatchEvent::Error(status))) => assert_eq!(status.code, 410),
                other => panic!("expected 410, found {other:?}"),
            },
        }
    }
    // One that is open already, twice: one whose connection breaks down at last, and one that is given up.
    for cut in [true, false] {
        let mut watch = open().await;
        for _ in 0..2 {
            soon(watch.next()).await.unwrap().unwrap();
        }
        until_open(&sandbox, &watches, 1).await;
        assert_eq!(sandbox.faults().break_watches(&watches, WatchBreak::Freeze), 1);
        create(&maps, "c").await.unwrap();
        let silent = tokio::time::timeout(Duration::from_millis(200), watch.next()).await;
        assert!(silent.is_err(), "a frozen watch told {silent:?}");
        if cut {
            assert_eq!(sandbox.faults().break_watches(&watches, WatchBreak::Cut), 1);
            let next = soon(watch.next()).await;
            assert!(matches!(next, Some(Err(_)) | None), "{next:?}");
        }
        drop(watch);
        until_open(&sandbox, &watches, 0).await;
        maps.delete("c", &DeleteParams::default()).await.unwrap();
    }
}

async fn until_open(sandbox: &Sandbox, watches: &Match, wanted: usize) {
    soon(async {
        while sandbox.faults().open_watches(watches) != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_compacted_resource_version_is_expired() {
    let sandbox = sandbox().await;
    let maps = maps(&sandbox, "one");
    for name in ["a", "b", "c"] {
        create(&maps, name).await.unwrap();
    }
    let page = maps.list(&ListParams::default().limit(1)).await.unwrap();
    let version = page.metadata.resource_version.clone().unwrap();
    sandbox.compact();
    let params = ListParams::default().limit(1).continue_token(page.metadata.continue_.as_deref().unwrap());
    let expired = maps.list(&params).await;
    let token = match &expired {
        Err(kube::Error::Api(status)) => status.metadata.clone().unwrap().continue_.unwrap(),
        other => panic!("expected 410, found {other:?}"),
    };
    assert_eq!(code(expired), 410);
    // One can go on all the same, without consistency.
    let rest = maps.list(&ListParams::default().continue_token(&token)).await.unwrap();
    assert_eq!(rest.items.len(), 2);
    let mut watch = maps.watch(&WatchParams::default(), &version).await.unwrap().boxed();
    match soon(watch.next()).await {
        Some(Ok(WatchEvent::Error(status))) => assert_eq!((status.code, status.reason.as_str()), (410, "Expired")),
        other => panic!("expected 410, found {other:?}"),
    }
}

#[tokio::test]
async fn a_watch_that_falls_behind_the_history_is_expired() {
    let sandbox = Sandbox::start(Options { history: 3, ..Options::default() }).await.unwrap();
    let maps = maps(&sandbox, "one");
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    for name in ["a", "b", "c"] {
        create(&maps, name).await.unwrap();
    }
    let events = async || {
        let params = WatchParams::default().timeout(1).disable_bookmarks();
        let watch = maps.watch(&params, &version).await.unwrap();
        soon(watch.try_collect::<Vec<_>>()).await.unwrap()
    };
    assert_eq!(events().await.len(), 3);
    create(&maps, "d").await.unwrap();
    assert!(matches!(events().await.as_slice(), [WatchEvent::Error(status)] if status.code == 410));
}

#[tokio::test]
async fn a_watcher_of_kube_survives_every_kind_of_break() {
    let sandbox = Sandbox::start(Options { history: 5, ..Options::default() }).await.unwrap();
    let writer = maps(&sandbox, "writer");
    let watches = Match::any().component("reader").verb(Verb::Watch);
    for streaming in [false, true] {
        let mut config = watcher::Config::default();
        if streaming {
            config = config.streaming_lists();
        }
        let prefix = if streaming { "s" } else { "l" };
        let reader = maps(&sandbox, "reader");
        let mut events = Box::pin(watcher(reader, config));
        let mut seen = std::collections::BTreeSet::new();
        let breaks = [WatchBreak::Cut, WatchBreak::End, WatchBreak::Expire, WatchBreak::Cut];
        for (round, how) in breaks.into_iter().enumerate() {
            for n in 0..7 {
                create(&writer, &format!("{prefix}-{round}-{n}")).await.unwrap();
            }
            let want = 7 * (round + 1);
            soon(async {
                while seen.len() < want {
                    // Errors are part of it; the watcher goes on after them.
                    if let Some(Ok(watcher::Event::Apply(map) | watcher::Event::InitApply(map))) = events.next().await {
                        seen.extend(map.metadata.name.filter(|name| name.starts_with(prefix)));
                    }
                }
            })
            .await;
            sandbox.faults().break_watches(&watches, how);
        }
    }
}

#[tokio::test]
async fn random_faults_can_be_replayed() {
    let outcomes = async |seed: u64| {
        let sandbox = sandbox().await;
        let odds = Odds {
            components: vec!["one".into()],
            refuse: 0.2,
            fail_after_commit: 0.1,
            lose_answer: 0.1,
            ..Odds::default()
        };
        sandbox.faults().random(seed, odds);
        let (one, two) = (maps(&sandbox, "one"), maps(&sandbox, "two"));
        let mut outcomes = Vec::new();
        for n in 0..60 {
            let name = format!("n{n}");
            let answered = create(&one, &name).await.is_ok();
            outcomes.push((answered, two.get_opt(&name).await.unwrap().is_some()));
        }
        outcomes
    };
    let first = outcomes(7).await;
    assert_eq!(first, outcomes(7).await);
    assert_ne!(first, outcomes(8).await);
    for combination in [(true, true), (false, false), (false, true)] {
        assert!(first.contains(&combination), "{combination:?} never happened");
    }
    assert!(!first.contains(&(true, false)), "something was answered and not stored");
}

#[tokio::test]
async fn requests_are_counted_by_component() {
    let sandbox = sandbox().await;
    let (one, two) = (maps(&sandbox, "one"), maps(&sandbox, "two"));
    create(&one, "a").await.unwrap();
    create(&one, "a").await.unwrap_err();
    one.get("a").await.unwrap();
    one.list(&ListParams::default()).await.unwrap();
    two.delete("a", &DeleteParams::default()).await.unwrap();
    let events: Api<Event> = Api::namespaced(sandbox.client_as("one"), "default");
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default", "name": "a"}});
    events.create(&PostParams::default(), &serde_json::from_value(event).unwrap()).await.unwrap();
    let log = sandbox.requests();
    assert_eq!(log.writes(Some("one")), 1, "neither the refused create nor the event counts");
    assert_eq!(log.reads("one"), 2);
    assert_eq!(log.writes(None), 2);
    assert_eq!(log.count(&creates().component("one")), 2);
    assert_eq!(log.succeeded(&creates().component("one")), 1);
    let entries = log.matching(&Match::any().component("one").resource("configmaps"));
    let statuses: Vec<u16> = entries.iter().filter_map(|entry| entry.status).collect();
    assert_eq!(statuses, [201, 409, 200, 200]);
    log.reset();
    assert_eq!(log.count(&Match::any()), 0);
}

#[tokio::test]
async fn logs_are_served_and_go_with_their_pod() {
    let sandbox = sandbox().await;
    let pods: Api<Pod> = Api::namespaced(sandbox.client(), "default");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    sandbox.logs().append("default", "p", "a", "one\ntwo\n");
    assert_eq!(code(pods.logs("p", &LogParams::default()).await), 400);
    let of = |container: &str| LogParams { container: Some(container.into()), ..LogParams::default() };
    assert_eq!(pods.logs("p", &of("a")).await.unwrap(), "one\ntwo\n");
    assert_eq!(pods.logs("p", &LogParams { tail_lines: Some(1), ..of("a") }).await.unwrap(), "two\n");
    assert_eq!(pods.logs("p", &LogParams { limit_bytes: Some(5), ..of("a") }).await.unwrap(), "one\nt");
    let stamped = pods.logs("p", &LogParams { timestamps: true, ..of("a") }).await.unwrap();
    assert!(stamped.lines().all(|line| line.split(' ').next().unwrap().parse::<jiff::Timestamp>().is_ok()));
    assert_eq!(code(pods.logs("p", &of("b")).await), 400);
    let ended = json!({"status": {"phase": "Failed"}});
    let follow = tokio::spawn({
        let pods = pods.clone();
        async move { pods.logs("p", &LogParams { follow: true, ..of("a") }).await }
    });
    pods.patch_status("p", &PatchParams::default(), &Patch::Merge(&ended)).await.unwrap();
    assert_eq!(soon(follow).await.unwrap().unwrap(), "one\ntwo\n");
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    assert_eq!(sandbox.logs().text("default", "p", "a"), "");
}

#[tokio::test]
async fn a_stopped_server_closes_its_connections() {
    let sandbox = sandbox().await;
    let maps = maps(&sandbox, "one");
    create(&maps, "a").await.unwrap();
    let mut watch = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    soon(watch.next()).await.unwrap().unwrap();
    soon(sandbox.stop()).await;
    assert!(matches!(soon(watch.next()).await, None | Some(Err(_))));
    assert!(maps.get("a").await.is_err());
}

#[tokio::test]
async fn ten_thousand_objects_are_no_burden() {
    let sandbox = sandbox().await;
    let maps = maps(&sandbox, "one");
    let names = futures::stream::iter(0..10_000);
    names
        .map(|n| {
            let maps = maps.clone();
            async move { create(&maps, &format!("n{n}")).await.unwrap() }
        })
        .buffer_unordered(16)
        .for_each(|_| async {})
        .await;
    let all = maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(all.items.len(), 10_000);
    let mut paged = 0;
    let mut params = ListParams::default().limit(500);
    loop {
        let page = maps.list(&params).await.unwrap();
        paged += page.items.len();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(paged, 10_000);
}

#[tokio::test]
async fn time_that_is_let_pass_shows_on_what_is_created_and_deleted_then() {
    let sandbox = sandbox().await;
    let maps = maps(&sandbox, "test");
    let held = json!({"metadata": {"name": "before", "finalizers": ["example.com/hold"]}});
    let before = maps.create(&PostParams::default(), &serde_json::from_value(held).unwrap()).await.unwrap();
    let hour = Duration::from_secs(3600);
    sandbox.advance(hour);
    let after = create(&maps, "after").await.unwrap();
    maps.delete("before", &DeleteParams::default()).await.unwrap();
    let deleted = maps.get("before").await.unwrap().metadata.deletion_timestamp.unwrap();
    let began = before.metadata.creation_timestamp.unwrap().0;
    let hour = jiff::SignedDuration::try_from(hour).unwrap();
    assert!(after.metadata.creation_timestamp.unwrap().0.duration_since(began) >= hour);
    assert!(deleted.0.duration_since(began) >= hour);
}
