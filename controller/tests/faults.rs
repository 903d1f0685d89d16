//! Nothing is lost: whatever an API server does to the requests that store an alert, the sender is told the truth, and
//! when it sends again there is one alert with one action.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeSet;

use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertOpsStatus, AlertStatus};
use aegis_sandbox::agent::{SimulatorOptions, Writes};
use aegis_sandbox::{Action, Match, Options, Rule, Verb, WatchBreak, When};
use futures::future::{join, join_all};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use common::mirror::Mirror;
use common::objects::{self, seed_alert, seed_resolved, seed_rule, seed_template};
use common::{COMPONENT, Cluster, Controller, settings, until};

/// What an API server can do to a request that should store something, and on which side of the commit.
const FAILURES: [(Action, When); 12] = [
    (Action::Status(401, None), When::Before),
    (Action::Status(403, None), When::Before),
    (Action::Status(404, None), When::Before),
    (Action::Status(429, Some(1)), When::Before),
    (Action::Status(500, None), When::Before),
    (Action::Status(500, None), When::After),
    (Action::Status(502, None), When::Before),
    (Action::Status(503, None), When::Before),
    (Action::Status(504, None), When::After),
    (Action::Reset, When::Before),
    (Action::Reset, When::After),
    (Action::Hang, When::After),
];

/// What a sender does, and the request by which the webhooks do it.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Store,
    Repeat,
    Resolve,
    LookForResolved,
}

impl Deed {
    fn request(self) -> Match {
        let alerts = Match::any().component(COMPONENT).resource("aegisalerts");
        match self {
            Self::Store => alerts.verb(Verb::Create),
            Self::Repeat | Self::Resolve => alerts.verb(Verb::Patch).subresource("status"),
            Self::LookForResolved => alerts.verb(Verb::List),
        }
    }

    fn body(self, fingerprint: &str) -> Value {
        let status = match self {
            Self::Store | Self::Repeat => "Firing",
            Self::Resolve | Self::LookForResolved => "Resolved",
        };
        objects::alert("NodeHasEmergencyEvent", status, fingerprint)
    }

    /// Whether what the sender said stands in the alert.
    fn is_done(self, alert: &AegisAlert) -> bool {
        let status = alert.status.clone().unwrap_or_default();
        match self {
            Self::Store => true,
            Self::Repeat => status.count >= Some(2),
            Self::Resolve | Self::LookForResolved => status.status == Some(AlertStatus::Resolved),
        }
    }
}

/// A cluster with rule and template, and what its watches show. What comes first is dropped first.
struct World {
    alerts: Mirror<AegisAlert>,
    workflows: Mirror<DynamicObject>,
    cluster: Cluster,
}

impl World {
    async fn new() -> Self {
        let world = Self::of(Cluster::start().await);
        world.write_rules().await;
        world
    }

    fn of(cluster: Cluster) -> Self {
        Self { alerts: Mirror::start(cluster.alerts()), workflows: Mirror::start(cluster.workflows()), cluster }
    }

    async fn write_rules(&self) {
        self.cluster.apply(seed_rule()).await;
        self.cluster.apply(seed_template()).await;
    }

    /// The alert of that fingerprint once it looks like that.
    async fn alert(&self, fingerprint: &str, what: &str, looks: impl Fn(&AegisAlert) -> bool) -> AegisAlert {
        self.alerts
            .until(what, |seen| {
                let mut of = seen.now.values().filter(|alert| alert.spec.fingerprint.as_deref() == Some(fingerprint));
                let alert = of.next()?;
                assert!(of.next().is_none(), "two alerts of {fingerprint}");
                looks(alert).then(|| alert.clone())
            })
            .await
    }

    /// Waits until a replica leads and has listed everything: it watches Workflows then.
    async fn workflows_watched_by(&self, component: &str) {
        let watches = Match::any().component(component).verb(Verb::Watch).resource("workflows");
        until(&format!("{component} leads"), async || {
            if self.cluster.sandbox.faults().open_watches(&watches) > 0 { Ok(()) } else { Err(()) }
        })
        .await;
    }

    /// Waits until so many alerts are stored.
    async fn stored(&self, count: usize) {
        self.alerts.until("so many are stored", |seen| (seen.now.len() >= count).then_some(())).await;
    }

    /// Every alert has succeeded with one Workflow each, and no other was ever made.
    async fn all_succeed(&self, incidents: usize) {
        self.alerts
            .until("all have succeeded", |seen| {
                (seen.now.len() == incidents && seen.now.values().all(has_succeeded)).then_some(())
            })
            .await;
        assert_eq!(self.alerts.seen().ever.len(), incidents);
        assert_eq!(self.cluster.workflows_ever(&self.workflows).await, incidents);
        for alert in self.alerts.seen().now.values() {
            assert_eq!(alert.status.as_ref().unwrap().actions.len(), 1, "{alert:#?}");
        }
    }
}

fn has_succeeded(alert: &AegisAlert) -> bool {
    let ops = alert.status.as_ref().and_then(|status| status.ops_status.as_ref());
    ops.and_then(|ops| ops.alert_ops_status) == Some(AlertOpsStatus::Succeeded)
}

/// POSTs a body: true if it was taken, false if the sender was asked to send it again. Anything else is a lie.
async fn post(controller: &Controller, body: &Value) -> bool {
    let answer =
        common::http().post(format!("{}/alert", controller.url())).body(body.to_string()).send().await.unwrap();
    let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match answer.status().as_u16() {
        200 => true,
        503 => {
            assert!(wait.is_some_and(|wait| wait > 0), "503 says when to come back");
            false
        }
        code => panic!("{code}: {}", answer.text().await.unwrap()),
    }
}

async fn send_again(controller: &Controller, body: &Value) {
    until("it is taken", async || if post(controller, body).await { Ok(()) } else { Err(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_stored_is_asked_for_again_and_what_was_acknowledged_is_there() {
    join_all(FAILURES.map(async |(action, when)| {
        let world = World::new().await;
        let _simulator = world.cluster.simulate(SimulatorOptions::default());
        let controller = Controller::start(&world.cluster).await;
        let mut incidents = 0;
        for deed in [Deed::Store, Deed::Repeat, Deed::Resolve, Deed::LookForResolved] {
            let why = format!("{deed:?} meets {action:?} {when:?} the commit");
            let fingerprint = format!("f{incidents}");
            incidents += 1;
            if !matches!(deed, Deed::Store) {
                // The webhooks alone write the alert's status after that.
                controller.send("/alert", Deed::Store.body(&fingerprint)).await;
                world.alert(&fingerprint, "it has succeeded", has_succeeded).await;
            }
            let body = deed.body(&fingerprint);
            let fault = world.cluster.sandbox.faults().add(Rule::new(deed.request(), action).when(when).times(1));
            if post(&controller, &body).await {
                let stored = world.cluster.all_alerts().await;
                let stored = stored.iter().find(|alert| alert.spec.fingerprint.as_ref() == Some(&fingerprint));
                assert!(stored.is_some_and(|alert| deed.is_done(alert)), "{why}: it was acknowledged");
            }
            assert_eq!(fault.hits(), 1, "{why}");
            fault.remove();
            send_again(&controller, &body).await;
            world.alert(&fingerprint, &why, |alert| deed.is_done(alert) && has_succeeded(alert)).await;
        }
        world.all_succeed(incidents).await;
        controller.kill().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_in_the_middle_of_an_action_costs_neither_outcome_nor_alerts() {
    let outages =
        [(Action::Status(503, None), When::Before), (Action::Reset, When::Before), (Action::Reset, When::After)];
    join_all(outages.map(async |(action, when)| {
        let world = World::new().await;
        let controller = Controller::start(&world.cluster).await;
        controller.send("/alert", Deed::Store.body("before")).await;
        let before = world.workflows.until("it is under way", |seen| seen.now.keys().next().cloned()).await;
        let faults = world.cluster.sandbox.faults();
        let outage = faults.add(Rule::new(Match::any().component(COMPONENT), action).when(when));
        faults.break_watches(&Match::any().component(COMPONENT), WatchBreak::Cut);
        let during = Deed::Store.body("during");
        assert!(!post(&controller, &during).await, "{action:?}: nothing can be stored");
        world.cluster.set_phase(&before, "Succeeded", "").await;
        // Long enough that it has tried in vain, whatever it wanted.
        outage.reached(outage.hits() + 5).await;
        outage.remove();
        let _simulator = world.cluster.simulate(SimulatorOptions::default());
        send_again(&controller, &during).await;
        world.all_succeed(2).await;
        controller.kill().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_late_is_waited_for() {
    type Missing = fn(&mut Options);
    let cases: [(&str, Missing); 2] = [
        ("the definitions", |options| options.crds.clear()),
        ("the namespace", |options| options.namespaces.retain(|name| name != common::NAMESPACE)),
    ];
    join_all(cases.map(async |(what, take_away)| {
        let mut options = common::options();
        let crds = options.crds.clone();
        take_away(&mut options);
        let cluster = Cluster::with(options).await;
        let controller = Controller::without_waiting(&cluster, settings());
        assert!(!post(&controller, &seed_alert()).await, "without {what} nothing can be stored");
        match what {
            "the definitions" => {
                for definition in crds {
                    cluster.install(definition).await;
                }
            }
            _ => {
                let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
                let namespace = json!({"metadata": {"name": common::NAMESPACE}});
                let namespace = serde_json::from_value(namespace).unwrap();
                namespaces.create(&PostParams::default(), &namespace).await.unwrap();
            }
        }
        let world = World::of(cluster);
        let _simulator = world.cluster.simulate(SimulatorOptions::default());
        send_again(&controller, &seed_alert()).await;
        // Rule and template come later still.
        world.write_rules().await;
        world.all_succeed(1).await;
        controller.kill().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_appears_while_its_lack_is_being_told_is_not_missed() {
    let world = World::of(Cluster::start().await);
    world.cluster.apply(seed_rule()).await;
    let _simulator = world.cluster.simulate(SimulatorOptions::default());
    let statuses = Match::any().component(COMPONENT).verb(Verb::Patch).resource("aegisalerts").subresource("status");
    let held = world.cluster.sandbox.faults().add(Rule::new(statuses, Action::Hang));
    let controller = Controller::start(&world.cluster).await;
    controller.send("/alert", seed_alert()).await;
    held.reached(1).await;
    world.cluster.apply(seed_template()).await;
    until("the controller knows the template", async || {
        let template = world.cluster.templates().get("nodehasemergencyevent").await.unwrap();
        let status = template.status.and_then(|status| status.status);
        if status.is_some() { Ok(()) } else { Err(()) }
    })
    .await;
    held.remove();
    world.all_succeed(1).await;
    controller.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_cannot_be_made_for_a_while_is_made_when_it_can() {
    join_all(FAILURES.map(async |(action, when)| {
        let world = World::new().await;
        let _simulator = world.cluster.simulate(SimulatorOptions::default());
        let creates = Match::any().component(COMPONENT).verb(Verb::Create).resource("workflows");
        let fault = world.cluster.sandbox.faults().add(Rule::new(creates, action).when(when).times(2));
        let controller = Controller::start(&world.cluster).await;
        controller.send("/alert", seed_alert()).await;
        // A request that was carried out without an answer is met by the next one, and then all is well.
        fault.reached(if when == When::After { 1 } else { 2 }).await;
        if action == Action::Hang {
            fault.remove();
        }
        world.all_succeed(1).await;
        controller.kill().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolution_is_not_missed_by_a_replica_that_sees_nothing() {
    let world = World::new().await;
    let blind = "blind";
    let watches = Match::any().component(blind).verb(Verb::Watch);
    world.cluster.sandbox.faults().add(Rule::new(watches, Action::Watch(0, WatchBreak::Freeze)));
    let leader = Controller::start(&world.cluster).await;
    world.workflows_watched_by(COMPONENT).await;
    let other = Controller::named(blind, &world.cluster, settings());
    other.until_ready().await;

    leader.send("/alert", seed_alert()).await;
    let workflow = world.workflows.until("it is under way", |seen| seen.now.keys().next().cloned()).await;
    other.send("/alert", seed_resolved()).await;
    let resolved = |alert: &AegisAlert| Deed::Resolve.is_done(alert);
    world.alert("5f972974ccf1ee9b", "it is resolved", resolved).await;
    world.cluster.set_phase(&workflow, "Succeeded", "").await;
    world.all_succeed(1).await;
    assert!(resolved(&world.cluster.all_alerts().await[0]), "its action's end does not open it again");

    // And the other way round: what it stores, and nobody else has heard of yet, is resolved through the other.
    other.send("/alert", objects::alert("NobodyKnows", "Firing", "f2")).await;
    leader.send("/alert", objects::alert("NobodyKnows", "Resolved", "f2")).await;
    world.alert("f2", "it is resolved", resolved).await;
    join(leader.kill(), other.kill()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_replaced_one_after_the_other_lose_nothing_and_double_nothing() {
    const INCIDENTS: usize = 120;
    let world = World::new().await;
    let _simulator = world.cluster.simulate(SimulatorOptions { writes: Writes::Ending, ..SimulatorOptions::default() });
    let places = [COMPONENT, "other"].map(|name| Controller::named(name, &world.cluster, settings()));
    join_all(places.iter().map(Controller::until_ready)).await;
    let urls = tokio::sync::watch::Sender::new(places.each_ref().map(Controller::url));
    let replace = async {
        let mut replaced = Vec::new();
        for (place, controller) in places.into_iter().enumerate() {
            world.stored(INCIDENTS / 4 * (place + 1)).await;
            // As in a rolling update, the next one is ready before this one is told to stop.
            let next = Controller::named([COMPONENT, "other"][place], &world.cluster, settings());
            next.until_ready().await;
            controller.stop().await;
            urls.send_modify(|urls| urls[place] = next.url());
            replaced.push(next);
        }
        replaced
    };
    let send = async {
        for number in 0..INCIDENTS {
            let body = objects::alert_of(number).to_string();
            let mut attempt = number;
            until("it is taken", async || {
                attempt += 1;
                let url = urls.borrow()[attempt % 2].clone();
                let answer = common::http().post(format!("{url}/alert")).body(body.clone()).send().await;
                match answer.map(|answer| answer.status().as_u16()) {
                    Ok(200) => Ok(()),
                    Ok(503) => Err("not now".to_owned()),
                    Ok(code) => panic!("{code}"),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await;
        }
    };
    let (replaced, ()) = join(replace, send).await;
    world.all_succeed(INCIDENTS).await;
    drop(replaced);
    let told: BTreeSet<_> = world.alerts.seen().now.values().map(|alert| alert.spec.fingerprint.clone()).collect();
    assert_eq!(told.len(), INCIDENTS);
}
