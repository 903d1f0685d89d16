//! The cache says one thing and the API server another; and several senders or replicas say the same at once.

use aegis_crds::alert::AlertStatus;
use aegis_sandbox::{Action, Match, Rule, Verb, WatchBreak};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::world::{Builder, NAMESPACE, World, firing, of_alerts, over, patiently, since, status};

#[tokio::test]
async fn a_body_posted_nine_times_at_once_is_one_alert_that_counts_nine() {
    for body in [firing("f"), since(firing("f"), "2026-11-22T11:43:28.416923757Z")] {
        let mut world = World::new().await;
        let answers = join_all((0..9).map(|_| world.post("/alert", body.to_string()))).await;
        assert!(answers.iter().all(|answer| answer.code == 200));
        world.stop_replicas().await;
        assert_eq!(status(&world.only().await).count, Some(9), "what was counted in memory is written at the stop");
    }
}

#[tokio::test]
async fn three_replicas_that_hear_it_at_once_store_one_alert_and_lose_no_count() {
    for body in [firing("f"), since(firing("f"), "2026-11-22T11:43:28.416923757Z")] {
        let mut world = Builder::default().replicas(3).start().await;
        let posts = (0..9).map(|number| world.post_to(number % 3, "/alert", body.to_string()));
        let codes: Vec<u16> = join_all(posts).await.iter().map(|answer| answer.code).collect();
        assert_eq!(codes, [200; 9]);
        world.stop_replicas().await;
        assert_eq!(status(&world.only().await).count, Some(9));
    }
}

#[tokio::test]
async fn an_alert_that_was_deleted_behind_the_caches_back_is_stored_anew() {
    let world = World::new().await;
    world.post("/alert", firing("f").to_string()).await;
    world.until_cached(0, 1).await;
    let old = world.only().await;
    freeze(&world).await;
    world.api().delete(&old.name_any(), &DeleteParams::default()).await.unwrap();
    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["stored"]));
    assert_ne!(world.only().await.uid(), old.uid());
}

#[tokio::test]
async fn an_alert_that_is_being_deleted_takes_no_reports() {
    let world = World::new().await;
    world.post("/alert", firing("f").to_string()).await;
    let old = world.only().await;
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    world.api().patch(&old.name_any(), &PatchParams::default(), &Patch::Merge(held)).await.unwrap();
    world.api().delete(&old.name_any(), &DeleteParams::default()).await.unwrap();
    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["stored"]), "beside the one that is going");
    assert_eq!(world.stored().await.len(), 2);
}

#[tokio::test]
async fn an_alert_resolved_behind_the_caches_back_is_judged_as_it_is() {
    let world = World::new().await;
    let body = since(firing("f"), "2026-11-22T11:00:00Z");
    world.post("/alert", body.to_string()).await;
    world.until_cached(0, 1).await;
    freeze(&world).await;
    let old = world.only().await;
    let ended = json!({"status": {
        "status": "Resolved",
        "resolution": {"startsAt": "2026-11-22T11:00:00Z", "endsAt": "2026-11-22T11:30:00Z", "time": jiff::Timestamp::now()},
    }});
    world.api().patch_status(&old.name_any(), &PatchParams::default(), &Patch::Merge(ended)).await.unwrap();

    let late = world.post("/alert", body.to_string()).await;
    assert_eq!((late.code, late.results()), (200, vec!["late"]), "it tells of what is over");
    let fresh = since(firing("f"), "2026-11-22T12:00:00Z");
    let answer = world.post("/alert", fresh.to_string()).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["stored"]), "it began after the end of the one before");
    assert_eq!(world.stored().await.len(), 2);
}

#[tokio::test]
async fn a_cache_that_has_not_seen_its_own_alert_finds_it_by_its_name() {
    let world = Builder::default().replicas(2).start().await;
    freeze(&world).await;
    assert_eq!(world.post_to(0, "/alert", firing("f").to_string()).await.results(), ["stored"]);
    assert_eq!(world.post_to(1, "/alert", firing("f").to_string()).await.results(), ["repeat"]);
    assert_eq!(status(&world.only().await).count, Some(2));
}

#[tokio::test]
async fn a_name_that_another_alert_holds_is_not_taken_for_ones_own() {
    let world = World::new().await;
    let first = world.post("/alert", firing("f").to_string()).await;
    let name = first.body["results"][0]["name"].as_str().unwrap().to_owned();
    let mut squatter = world.only().await;
    world.api().delete(&name, &DeleteParams::default()).await.unwrap();
    world.until_cached(0, 0).await;
    squatter.spec.fingerprint = Some("another".into());
    squatter.metadata = kube::api::ObjectMeta { name: Some(name.clone()), ..Default::default() };
    world.api().create(&PostParams::default(), &squatter).await.unwrap();

    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["stored"]));
    assert_ne!(answer.body["results"][0]["name"].as_str(), Some(name.as_str()));
    let events: Api<Event> = Api::namespaced(world.client(), NAMESPACE);
    patiently("an Event tells of it", async {
        let told = |event: &Event| event.reason.as_deref() == Some("NameTaken");
        while !events.list(&ListParams::default()).await.unwrap().items.iter().any(told) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_new_incident_ends_the_open_one_before_it_is_stored() {
    let world = World::new().await;
    world.post("/alert", since(firing("f"), "2026-11-22T11:00:00Z").to_string()).await;
    let before = world.only().await;
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let body = since(firing("f"), &later.to_string()).to_string();

    let fault = world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), Action::Status(500, None)).nth(1));
    assert_eq!(world.post("/alert", body.clone()).await.code, 503);
    assert_eq!(fault.hits(), 1);
    let ended = world.only().await;
    assert_eq!(status(&ended).status, Some(AlertStatus::Resolved), "never two open ones, rather none for a moment");

    let answer = world.post("/alert", body).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["stored"]));
    let name = answer.body["results"][0]["name"].as_str();
    assert_eq!(status(&ended).superseded_by.as_deref(), name);
    assert_eq!(status(&ended).resolution, None, "nobody said that it was over");
    assert_eq!((ended.uid(), world.stored().await.len()), (before.uid(), 2));
}

#[tokio::test]
async fn a_resolution_is_not_missed_because_a_cache_lags() {
    let world = Builder::default().replicas(2).start().await;
    freeze(&world).await;
    world.post_to(0, "/alert", firing("f").to_string()).await;
    assert!(world.replicas[1].alerts.is_empty());
    assert_eq!(world.post_to(1, "/alert", over("f").to_string()).await.results(), ["resolved"]);
    assert_eq!(status(&world.only().await).status, Some(AlertStatus::Resolved));
}

/// From now on the caches of alerts learn nothing more.
async fn freeze(world: &World) {
    let watches = Match::any().resource("aegisalerts").verb(Verb::Watch);
    patiently("the watches are open", async {
        while world.sandbox.faults().open_watches(&watches) < world.replicas.len() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    world.sandbox.faults().break_watches(&watches, WatchBreak::Freeze);
}
