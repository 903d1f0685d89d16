//! Repeats: the first of a second is written before it is answered, the others soon after.

use std::time::Duration;

use aegis_sandbox::{Action, Match, Rule, Verb, When};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::world::{World, firing, of_alerts, over, patiently, since, status};

fn counting() -> Match {
    of_alerts(Verb::Patch).subresource("status")
}

#[tokio::test]
async fn a_repeat_is_answered_after_its_write() {
    let world = World::new().await;
    world.post("/alert", firing("f").to_string()).await;
    assert_eq!(world.post("/alert", firing("f").to_string()).await.results(), ["repeat"]);
    let alert = world.only().await;
    assert_eq!(status(&alert).count, Some(2));
    assert!(status(&alert).start_time.is_some() && status(&alert).last_time.is_some());
}

#[tokio::test]
async fn a_repeat_that_cannot_be_written_is_503() {
    let world = World::new().await;
    world.post("/alert", firing("f").to_string()).await;
    world.sandbox.faults().add(Rule::new(counting(), Action::Status(500, None)).nth(1));
    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (503, vec!["unstored"]));
    assert_eq!(world.post("/alert", firing("f").to_string()).await.code, 200);
    assert_eq!(status(&world.only().await).count, Some(2), "the refused one was not counted");
}

#[tokio::test]
async fn further_repeats_of_a_second_share_a_write() {
    let world = World::new().await;
    world.post("/alert", firing("f").to_string()).await;
    for _ in 0..20 {
        assert_eq!(world.post("/alert", firing("f").to_string()).await.results(), ["repeat"]);
    }
    world.until("all are counted", |alerts| status(&alerts[0]).count == Some(21)).await;
    let writes = world.sandbox.requests().succeeded(&counting());
    assert!(writes < 20, "{writes} writes for 20 repeats");
}

#[tokio::test]
async fn a_count_meets_somebody_elses_write_and_adds_to_what_is_there() {
    let world = World::new().await;
    world.post("/alert", firing("f").to_string()).await;
    let name = world.only().await.name_any();
    world.post("/alert", firing("f").to_string()).await;
    world.post("/alert", firing("f").to_string()).await;
    let other = json!({"status": {"opsStatus": {"triggerStatus": "Triggered"}}});
    world.api().patch_status(&name, &PatchParams::default(), &Patch::Merge(other)).await.unwrap();
    world.until("all are counted", |alerts| status(&alerts[0]).count == Some(3)).await;
    assert!(status(&world.only().await).ops_status.is_some(), "what others wrote stays");
}

#[tokio::test]
async fn what_was_counted_in_memory_on_an_alert_that_is_gone_by_then_is_stored_anew() {
    let mut world = World::new().await;
    world.post("/alert", firing("f").to_string()).await;
    world.post("/alert", firing("f").to_string()).await;
    world.post("/alert", firing("f").to_string()).await;
    let old = world.only().await;
    world.api().delete(&old.name_any(), &DeleteParams::default()).await.unwrap();
    world.stop_replicas().await;
    assert_ne!(world.only().await.uid(), old.uid(), "it was told that its alert is stored");
}

#[tokio::test]
async fn what_was_counted_in_memory_is_written_once_also_when_the_answer_to_its_write_was_lost() {
    for when in [When::Before, When::After] {
        let mut world = World::new().await;
        for _ in 0..4 {
            assert_eq!(world.post("/alert", firing("f").to_string()).await.code, 200);
        }
        let lost = world.sandbox.faults().add(Rule::new(counting(), Action::Reset).when(when).times(1));
        patiently("what is held is written", lost.reached(1)).await;
        world.stop_replicas().await;
        assert_eq!(status(&world.only().await).count, Some(4), "{when:?} the commit");
    }
}

#[tokio::test]
async fn what_was_counted_in_memory_outlives_a_write_that_takes_long_and_fails() {
    let mut world = World::new().await;
    for _ in 0..4 {
        assert_eq!(world.post("/alert", firing("f").to_string()).await.code, 200);
    }
    // Longer than the second for which the alert is remembered without a held report.
    let slow = world.sandbox.faults().add(Rule::new(counting(), Action::Delay(Duration::from_millis(1500))).times(1));
    let fails = world.sandbox.faults().add(Rule::new(counting(), Action::Status(429, None)).times(1));
    patiently("what is held is written", slow.reached(1)).await;
    world.until("all are counted", |alerts| status(&alerts[0]).count == Some(4)).await;
    assert_eq!(fails.hits(), 1);
    world.stop_replicas().await;
    assert_eq!(status(&world.only().await).count, Some(4));
}

#[tokio::test]
async fn what_was_counted_in_memory_on_an_alert_that_is_gone_outlives_an_outage() {
    let mut world = World::new().await;
    for _ in 0..3 {
        assert_eq!(world.post("/alert", firing("f").to_string()).await.code, 200);
    }
    let down = world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), Action::Status(503, None)).times(1));
    let old = world.only().await;
    world.api().delete(&old.name_any(), &DeleteParams::default()).await.unwrap();
    patiently("it is stored anew", down.reached(1)).await;
    world.stop_replicas().await;
    assert_ne!(world.only().await.uid(), old.uid(), "it was told that its alert is stored");
}

#[tokio::test]
async fn a_resolution_takes_along_what_was_counted_before_it() {
    let mut world = World::new().await;
    for _ in 0..3 {
        world.post("/alert", firing("f").to_string()).await;
    }
    assert_eq!(world.post("/alert", over("f").to_string()).await.results(), ["resolved"]);
    world.stop_replicas().await;
    let alert = world.only().await;
    assert_eq!(status(&alert).count, Some(3), "and no incident was made of a report that came before the end");
}

#[tokio::test]
async fn a_repeat_remembers_the_latest_start_that_it_told() {
    let world = World::new().await;
    world.post("/alert", since(firing("f"), "2026-11-22T11:00:00Z").to_string()).await;
    world.post("/alert", since(firing("f"), "2026-11-22T11:00:40Z").to_string()).await;
    let alert = world.only().await;
    assert_eq!(status(&alert).last_starts_at, Some("2026-11-22T11:00:40Z".parse().unwrap()));
}
