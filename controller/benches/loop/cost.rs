//! How many requests one alert costs on its way to success, counted at the server.

use std::time::Duration;

use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Match, Verb};
use kube::ResourceExt;

use crate::common::objects::seed_alert;
use crate::common::{COMPONENT, Controller, until};
use crate::figures::{Figure, Target};

/// One alert about a node whose Workflow is slow enough for each of its phases to be seen.
pub async fn measure() -> Vec<Figure> {
    let cluster = crate::seeded().await;
    let controller = Controller::start(&cluster).await;
    until("rule and template are recorded", async || {
        let rule = cluster.rules().get("nodehasemergencyevent").await.unwrap();
        let template = cluster.templates().get("nodehasemergencyevent").await.unwrap();
        let words = [rule.status.and_then(|status| status.status), template.status.and_then(|status| status.status)];
        if words.iter().all(|word| word.as_deref() == Some("Recorded")) { Ok(()) } else { Err(words) }
    })
    .await;
    let log = cluster.sandbox.requests();
    log.reset();

    let phase = Duration::from_millis(300);
    let options = SimulatorOptions { start_delay: phase, run_time: phase, ..SimulatorOptions::default() };
    let _simulator = cluster.simulate(options);
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    until("the finalizer is released", async || {
        let workflows = cluster.all_workflows().await;
        let finalizers: Vec<_> = workflows.iter().map(|workflow| workflow.finalizers().to_vec()).collect();
        if finalizers == [Vec::<String>::new()] { Ok(()) } else { Err(finalizers) }
    })
    .await;
    until("two Events are told", async || {
        let events = log.count(&ours().resource("events"));
        if events >= 2 { Ok(()) } else { Err(events) }
    })
    .await;

    let writes = |resource: &str| log.count(&ours().writes().resource(resource));
    let (alerts, workflows, guard) = (writes("aegisalerts"), writes("workflows"), writes("aegisguards"));
    let read = |verb| log.count(&ours().verb(verb)) - log.count(&ours().verb(verb).resource("leases"));
    let reads = read(Verb::Get) + read(Verb::List);
    let simulator = log.count(&Match::any().component("simulator").writes());
    controller.stop().await;
    vec![
        Figure::new("object writes for one alert", count(alerts + workflows + guard), "")
            .target(Target::AtMost(8.0))
            .note(format!(
                "{alerts} of the alert, {workflows} of the Workflow (Argo's stand-in: {simulator}), {guard} of the guard's \
                 book; the system it replaces: 8"
            )),
        Figure::new("reads for one alert", count(reads), "")
            .target(Target::AtMost(3.0))
            .note("gets and lists; the system it replaces: 3"),
        Figure::new("Events for one alert", count(writes("events")), "")
            .target(Target::AtMost(2.0))
            .note("one on the node, one on the alert"),
    ]
}

fn ours() -> Match {
    Match::any().component(COMPONENT)
}

#[allow(clippy::cast_precision_loss, reason = "counts here are small")]
fn count(count: u64) -> f64 {
    count as f64
}
