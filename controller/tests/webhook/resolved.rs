//! Resolutions: what they end, and when one is stored itself.

use aegis_crds::alert::AlertStatus;
use aegis_sandbox::{Action, Rule, Verb};
use serde_json::json;

use crate::world::{World, firing, of_alerts, over, patiently, since, status};

#[tokio::test]
async fn a_resolution_of_what_was_never_stored_is_stored_only_for_a_rule_that_wants_it() {
    let world = World::new().await;
    world.create_rule("firing", "NodeHasEmergencyEvent", "Firing").await;
    world.create_rule("uncordon", "NodeRecovered", "Resolved").await;
    let mut rules = world.replicas[0].rules.clone();
    patiently("the rules are read", async {
        while rules.book().len() < 2 {
            rules.changed().await;
        }
    })
    .await;
    assert_eq!(world.post("/alert", over("f1").to_string()).await.results(), ["nothing"]);
    let mut recovered = over("f2");
    recovered["type"] = json!("NodeRecovered");
    assert_eq!(world.post("/alert", recovered.to_string()).await.results(), ["stored"]);
    assert_eq!(world.only().await.spec.status, AlertStatus::Resolved);
    assert_eq!(world.post("/alert", recovered.to_string()).await.results(), ["nothing"], "it is there now");
    world.only().await;
}

#[tokio::test]
async fn a_resolution_ends_every_open_alert_of_its_fingerprint_and_only_once() {
    let world = World::new().await;
    let mut other_type = firing("f");
    other_type["type"] = json!("NodeOutOfDiskSpace");
    world.post("/alert", firing("f").to_string()).await;
    world.post("/alert", other_type.to_string()).await;
    world.post("/alert", firing("g").to_string()).await;
    let mut resolution = since(over("f"), "2026-11-22T11:00:00Z");
    resolution["endsAt"] = json!("2026-11-22T11:00:00Z");
    assert_eq!(world.post("/alert", resolution.to_string()).await.results(), ["resolved"]);
    let phases: Vec<_> = world
        .stored()
        .await
        .iter()
        .map(|alert| (alert.spec.fingerprint.clone().unwrap(), status(alert).status.unwrap_or(alert.spec.status)))
        .collect();
    let ended = phases.iter().filter(|(_, phase)| *phase == AlertStatus::Resolved).count();
    assert_eq!(ended, 2, "{phases:?}");

    let writes = world.sandbox.requests().succeeded(&of_alerts(Verb::Patch));
    assert_eq!(world.post("/alert", resolution.to_string()).await.results(), ["nothing"], "sent twice");
    assert_eq!(world.sandbox.requests().succeeded(&of_alerts(Verb::Patch)), writes, "and nothing changes");
}

#[tokio::test]
async fn a_resolution_that_could_not_be_written_is_asked_for_again() {
    for verb in [Verb::List, Verb::Patch] {
        let world = World::new().await;
        world.post("/alert", firing("f").to_string()).await;
        let fault = world.sandbox.faults().add(Rule::new(of_alerts(verb), Action::Status(503, None)).nth(1));
        let answer = world.post("/alert", over("f").to_string()).await;
        assert_eq!((answer.code, answer.results(), fault.hits()), (503, vec!["unstored"], 1), "{verb}");
        assert_eq!(world.post("/alert", over("f").to_string()).await.results(), ["resolved"]);
    }
}
