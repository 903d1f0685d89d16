//! How fast a burst of alerts is worked off, as a part of what the server can take.
//!
//! raw is the rate at which the sandbox takes creates of the same objects from one client and nothing else happens.
//! W is the number of writes that the server sees for each alert, whoever makes them. raw / W would be the rate of
//! alerts if nothing but those writes took time; server, controller, Argo's stand-in and sender share the machine.

use std::time::{Duration, Instant};

use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Match, Sandbox};
use futures::{StreamExt, stream};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, ResourceExt};

use crate::bodies::bodies;
use crate::common::{COMPONENT, Controller, NAMESPACE, options, reads};
use crate::figures::{Figure, Target};

/// How many alerts fire at once.
const ALERTS: usize = 1_000;
/// How many of them come in one body.
const GROUP: usize = 20;
/// How many bodies are on their way at a time.
const SENDERS: usize = 8;
/// How many creates are on their way at a time: as many as the controller has workers for alerts.
const CREATES: usize = 32;
const ROUNDS: usize = 3;

struct Round {
    /// Creates per second that the server takes.
    raw: f64,
    /// Alerts per second, from the first body's sending to the last alert's success.
    rate: f64,
    /// Writes per alert in that time, Events among them.
    writes: f64,
    events: f64,
}

impl Round {
    fn share(&self) -> f64 {
        self.rate / (self.raw / self.writes)
    }
}

/// The median of some rounds, each with a server of its own.
pub async fn measure() -> Vec<Figure> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round().await);
    }
    rounds.sort_by(|one, other| one.share().total_cmp(&other.share()));
    let all: Vec<String> = rounds.iter().map(|round| format!("{:.0} %", 100.0 * round.share())).collect();
    let median = rounds.swap_remove(ROUNDS / 2);
    vec![
        Figure::new("raw: creates of the same objects", median.raw, "/s").note(format!("{CREATES} at a time")),
        Figure::new("W: writes for each alert of a burst", median.writes, "")
            .note(format!("by all components, {:.2} Events among them; finalizers are released later", median.events)),
        Figure::new(format!("burst of {ALERTS} alerts, to the last success"), median.rate, "alerts/s")
            .note(format!("{:.2} s; bodies of {GROUP}, {SENDERS} at a time", per_alerts(1.0) / median.rate)),
        Figure::new("its rate as a part of raw / W", 100.0 * median.share(), "%")
            .target(Target::AtLeast(60.0))
            .note(format!("rounds: {}", all.join(", "))),
    ]
}

async fn round() -> Round {
    let cluster = crate::seeded().await;
    let controller = Controller::with(&cluster, aegis_controller::Settings::default()).await;
    let simulator = cluster.simulate(SimulatorOptions::default());
    let url = format!("{}/alertmanager/alert", controller.url());
    let client = reqwest::Client::new();
    // Connections are open and code is warm before it counts.
    send(&client, &url, bodies("warm", 2 * GROUP, GROUP)).await;
    let alerts = Match::any().component(COMPONENT).writes().resource("aegisalerts");
    crate::quiet(&cluster.sandbox, &alerts, Duration::from_millis(500)).await;

    let bodies = bodies("node", ALERTS, GROUP);
    let log = cluster.sandbox.requests();
    log.reset();
    let begun = Instant::now();
    send(&client, &url, bodies).await;
    let ended = crate::quiet(&cluster.sandbox, &alerts, Duration::from_millis(500)).await;
    let events = log.succeeded(&Match::any().writes().resource("events"));
    let leases = log.succeeded(&Match::any().writes().resource("leases"));
    let writes = log.succeeded(&Match::any().writes()) - leases;

    let stored = cluster.all_alerts().await;
    let succeeded = stored.iter().filter(|alert| reads(alert) == ("Triggered".into(), "Succeeded".into())).count();
    assert_eq!((stored.len(), succeeded), (ALERTS + 2 * GROUP, ALERTS + 2 * GROUP), "every alert succeeds once");
    let workflow = cluster.all_workflows().await.remove(0);
    let alert = serde_json::from_value(serde_json::to_value(&stored[0]).unwrap()).unwrap();
    drop(simulator);
    controller.kill().await;

    let raw = raw(vec![alert, workflow]).await;
    #[allow(clippy::cast_precision_loss, reason = "counts here are small")]
    let [writes, events] = [writes, events].map(|count| count as f64 / per_alerts(1.0));
    Round { raw, rate: per_alerts(1.0) / (ended - begun).as_secs_f64(), writes, events }
}

#[allow(clippy::cast_precision_loss, reason = "a thousand")]
fn per_alerts(value: f64) -> f64 {
    value * ALERTS as f64
}

async fn send(client: &reqwest::Client, url: &str, bodies: Vec<String>) {
    let post = |body: String| async {
        let answer = client.post(url).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    };
    stream::iter(bodies).map(post).buffer_unordered(SENDERS).collect::<Vec<()>>().await;
}

/// Creates per second of these objects in turn, under other names, on a server that does nothing else.
async fn raw(objects: Vec<DynamicObject>) -> f64 {
    let sandbox = Sandbox::start(options()).await.unwrap();
    let apis: Vec<Api<DynamicObject>> = objects
        .iter()
        .map(|object| {
            let types = object.types.as_ref().unwrap();
            let kind = kube::core::GroupVersionKind::try_from(types).unwrap();
            let plural = format!("{}s", types.kind.to_lowercase());
            let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
            Api::namespaced_with(sandbox.client_as("raw"), NAMESPACE, &resource)
        })
        .collect();
    let create = |number: usize| {
        let (object, api) = (&objects[number % objects.len()], &apis[number % objects.len()]);
        let mut object = object.clone();
        object.metadata = kube::core::ObjectMeta {
            name: Some(format!("{}-{number}", object.name_any())),
            labels: object.metadata.labels.take(),
            annotations: object.metadata.annotations.take(),
            ..Default::default()
        };
        async move {
            api.create(&PostParams::default(), &object).await.unwrap();
        }
    };
    let creates = |numbers: std::ops::Range<usize>| {
        stream::iter(numbers).map(create).buffer_unordered(CREATES).collect::<Vec<()>>()
    };
    creates(0..200).await;
    let begun = Instant::now();
    creates(200..200 + 2 * ALERTS).await;
    per_alerts(2.0) / begun.elapsed().as_secs_f64()
}
