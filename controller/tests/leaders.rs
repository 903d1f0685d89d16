//! Two leaders at once: each believes that it leads, and together they make no second action.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use aegis_controller::Settings;
use aegis_crds::AegisAlert;
use aegis_crds::alert::AlertOpsStatus;
use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Action, Match, Rule, Verb, WatchBreak};
use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use common::mirror::Mirror;
use common::objects::{self, seed_rule, seed_template};
use common::{Cluster, Controller, NAMESPACE, until};

const FIRST: &str = "first";
const SECOND: &str = "second";

/// A cluster, and what its watches show. What comes first is dropped first.
struct World {
    alerts: Mirror<AegisAlert>,
    workflows: Mirror<DynamicObject>,
    cluster: Cluster,
}

impl World {
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        cluster.apply(seed_rule()).await;
        cluster.apply(seed_template()).await;
        Self { alerts: Mirror::start(cluster.alerts()), workflows: Mirror::start(cluster.workflows()), cluster }
    }

    /// Waits until a replica leads and has listed everything.
    async fn leads(&self, component: &str) {
        // A leader opens a watch for Workflows when its lists are done, and asks for the definitions before it acts.
        let watches = Match::any().component(component).verb(Verb::Watch).resource("workflows");
        let definitions = Match::any().component(component).resource("/apis/aegis.io/v1alpha1");
        until(&format!("{component} leads"), async || {
            let watches = self.cluster.sandbox.faults().open_watches(&watches);
            let asked = self.cluster.sandbox.requests().succeeded(&definitions);
            if watches > 0 && asked > 0 { Ok(()) } else { Err((watches, asked)) }
        })
        .await;
    }

    fn creates(&self, component: &str) -> u64 {
        let creates = Match::any().component(component).verb(Verb::Create).resource("workflows");
        self.cluster.sandbox.requests().count(&creates)
    }

    /// Takes the Lease away from whoever holds it.
    async fn steal(&self) {
        let client: Client = self.cluster.client.clone();
        let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
        let free = json!({"spec": {"holderIdentity": ""}});
        leases.patch("aegis-controller", &PatchParams::default(), &Patch::Merge(free)).await.unwrap();
    }

    async fn all_succeed(&self, incidents: usize) {
        let succeeded = |alert: &AegisAlert| {
            let ops = alert.status.as_ref().and_then(|status| status.ops_status.as_ref());
            ops.and_then(|ops| ops.alert_ops_status) == Some(AlertOpsStatus::Succeeded)
        };
        self.alerts
            .until("all have succeeded", |seen| {
                (seen.now.len() == incidents && seen.now.values().all(succeeded)).then_some(())
            })
            .await;
        assert_eq!(self.cluster.workflows_ever(&self.workflows).await, incidents);
        for alert in self.alerts.seen().now.values() {
            let actions = &alert.status.as_ref().unwrap().actions;
            assert_eq!(actions.len(), 1, "{alert:#?}");
            assert!(self.workflows.seen().ever.contains(actions[0].uid.as_ref().unwrap()));
        }
    }
}

/// Times at which a leader that cannot renew goes on to believe in itself for long.
fn stubborn() -> Settings {
    let mut settings = common::settings();
    settings.lease.duration = Duration::from_secs(60);
    settings.lease.renew_deadline = Duration::from_secs(50);
    settings.lease.retry_period = Duration::from_millis(200);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_does_not_hear_that_it_was_replaced_makes_no_second_action() {
    const INCIDENTS: usize = 60;
    let world = World::new().await;
    let first = Controller::named(FIRST, &world.cluster, stubborn());
    world.leads(FIRST).await;
    // It renews no more, and what it sees of the cluster is out of date from now on.
    let faults = world.cluster.sandbox.faults();
    let renewals = Match::any().component(FIRST).resource("leases");
    let deaf = faults.add(Rule::new(renewals, Action::Hang));
    let watches = Match::any().component(FIRST);
    assert!(faults.break_watches(&watches, WatchBreak::Freeze) > 0);
    deaf.reached(1).await;
    world.steal().await;
    let second = Controller::named(SECOND, &world.cluster, stubborn());
    world.leads(SECOND).await;

    let _simulator = world.cluster.simulate(SimulatorOptions::default());
    let bodies: Vec<_> = (0..INCIDENTS).map(objects::alert_of).collect();
    // Each leader stores some, and acts on those before it hears of the other's.
    join_all(bodies.iter().enumerate().map(async |(number, body)| {
        let both = [&first, &second];
        both[number % 2].send("/alert", body).await;
        both[(number + 1) % 2].send("/alert", body).await;
    }))
    .await;
    world.all_succeed(INCIDENTS).await;
    let creates = [world.creates(FIRST), world.creates(SECOND)];
    assert!(creates.iter().all(|creates| *creates > 0), "both led: {creates:?}");
    first.kill().await;
    second.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_suspended_does_not_act_on_what_it_missed() {
    const INCIDENTS: usize = 20;
    let world = World::new().await;
    let mut settings = common::settings();
    settings.lease.duration = Duration::from_secs(1);
    settings.lease.renew_deadline = Duration::from_millis(900);
    settings.lease.retry_period = Duration::from_millis(150);
    // While its only worker waits for an answer, it knows of alerts that it has not acted on yet.
    let one_worker = Settings { workers: 1, ..settings.clone() };
    let first = Controller::named(FIRST, &world.cluster, one_worker);
    world.leads(FIRST).await;
    let faults = world.cluster.sandbox.faults();
    let creates = Match::any().component(FIRST).verb(Verb::Create).resource("workflows");
    let silent = faults.add(Rule::new(creates, Action::Hang).times(1));
    for number in 0..INCIDENTS {
        first.send("/alert", objects::alert_of(number)).await;
    }
    silent.reached(1).await;
    faults.break_watches(&Match::any().component(FIRST), WatchBreak::Freeze);
    let suspended = first.suspend().await;

    let second = Controller::named(SECOND, &world.cluster, settings);
    let _simulator = world.cluster.simulate(SimulatorOptions::default());
    world
        .workflows
        .until("every Workflow has ended and is let go", |seen| {
            let over = |workflow: &DynamicObject| {
                workflow.finalizers().is_empty() && workflow.data["status"]["phase"] == "Succeeded"
            };
            (seen.now.len() == INCIDENTS && seen.now.values().all(over)).then_some(())
        })
        .await;
    second.kill().await;
    // Argo deletes what has lived its time: nothing holds the actions' names any more.
    for name in world.workflows.seen().now.keys() {
        world.cluster.workflows().delete(name, &DeleteParams::default()).await.unwrap();
    }

    let requests = world.cluster.sandbox.requests();
    requests.reset();
    drop(suspended);
    until("it leads again", async || {
        let lists = Match::any().component(FIRST).resource("workflows").verb(Verb::List);
        if requests.succeeded(&lists) > 0 { Ok(()) } else { Err(requests.entries()) }
    })
    .await;
    first.send("/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "another")).await;
    world.all_succeed(INCIDENTS + 1).await;
    assert_eq!(world.creates(FIRST), 1, "it tries to make nothing but the other alert's");
    first.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_who_know_two_kinds_of_one_template_leave_one_action_in_status_and_stop_the_other() {
    let world = World::new().await;
    let first = Controller::named(FIRST, &world.cluster, stubborn());
    world.leads(FIRST).await;
    // The first leader goes on to know the template of a Workflow, and hears nothing of the second, which reads that
    // of a Job and does not see Workflows.
    let faults = world.cluster.sandbox.faults();
    let deaf = faults.add(Rule::new(Match::any().component(FIRST).resource("leases"), Action::Hang));
    faults.break_watches(&Match::any().component(FIRST), WatchBreak::Freeze);
    deaf.reached(1).await;
    world.steal().await;
    world.cluster.apply(objects::template("nodehasemergencyevent", objects::JOB_MANIFEST)).await;
    let second = Controller::named(SECOND, &world.cluster, stubborn());
    world.leads(SECOND).await;
    let blind = Match::any().component(SECOND).verb(Verb::Watch).resource("workflows");
    faults.break_watches(&blind, WatchBreak::Freeze);

    first.send("/alert", objects::seed_alert()).await;
    let creates = |component| Match::any().component(component).verb(Verb::Create);
    let made = async |component, resource| {
        until(&format!("{component} has made one of the {resource}"), async || {
            let count = world.cluster.sandbox.requests().succeeded(&creates(component).resource(resource));
            if count == 1 { Ok(()) } else { Err(count) }
        })
        .await;
    };
    made(FIRST, "workflows").await;
    made(SECOND, "jobs").await;
    faults.break_watches(&blind, WatchBreak::Cut);

    let jobs: Api<Job> = Api::namespaced(world.cluster.client.clone(), NAMESPACE);
    let stopped = until("one of them is stopped", async || {
        let workflow = &world.cluster.all_workflows().await[0];
        let job = &jobs.list(&ListParams::default()).await.unwrap().items[0];
        let of = [(workflow.uid(), workflow.annotations()), (job.uid(), job.annotations())];
        let stopped: Vec<_> =
            of.iter().filter_map(|(uid, marks)| Some((uid.clone()?, marks.get("aegis.io/stopped")?.clone()))).collect();
        if stopped.is_empty() { Err(format!("{:?}", world.alerts.seen().now)) } else { Ok(stopped) }
    })
    .await;
    let [(stopped, why)] = stopped.as_slice() else { panic!("both were stopped: {stopped:?}") };
    assert_eq!(why, "SecondAction");
    let alert = &world.cluster.all_alerts().await[0];
    let actions = &alert.status.as_ref().unwrap().actions;
    assert_eq!(actions.len(), 1, "{actions:#?}");
    assert_ne!(actions[0].uid.as_ref(), Some(stopped), "the one in status goes on");
    first.kill().await;
    second.kill().await;
}
