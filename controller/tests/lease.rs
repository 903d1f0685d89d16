//! Who leads: one of many, the next when it is gone, and nobody beyond the deadline.
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

use aegis_controller::leader::{self, Election, Leadership};
use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Action, Match, Rule, Verb};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use tokio_util::sync::CancellationToken;

use common::objects::{self, seed_alert, seed_rule, seed_template};
use common::{Cluster, Controller, NAMESPACE, settings, until};

struct Candidate {
    leadership: Leadership,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

impl Candidate {
    fn start(cluster: &Cluster, identity: &str, duration: Duration) -> Self {
        let election = Election {
            namespace: NAMESPACE.into(),
            name: "aegis-controller".into(),
            identity: identity.into(),
            lease_duration: duration,
            renew_deadline: duration * 2 / 3,
            retry_period: duration / 10,
        };
        let (terms, leadership) = Leadership::elected();
        let stop = CancellationToken::new();
        let client = cluster.sandbox.client_as(identity);
        let ended = tokio::spawn(leader::take_part(client, election, terms, stop.clone()));
        Self { leadership, stop, ended }
    }

    async fn leads(&mut self) -> leader::Term {
        let begun = tokio::time::timeout(common::PATIENCE, self.leadership.begun());
        begun.await.expect("it leads in time").expect("the election goes on")
    }
}

async fn lease(cluster: &Cluster) -> LeaseSpec {
    let api: Api<Lease> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    api.get("aegis-controller").await.unwrap().spec.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_next_takes_over_at_once_when_it_gives_the_lease_back() {
    let cluster = Cluster::start().await;
    let long = Duration::from_secs(20);
    let mut one = Candidate::start(&cluster, "one", long);
    one.leads().await;
    let mut two = Candidate::start(&cluster, "two", long);
    until("the other has asked", async || {
        let asked = cluster.sandbox.requests().count(&Match::any().component("two").verb(Verb::Get));
        if asked > 0 { Ok(()) } else { Err(asked) }
    })
    .await;
    assert!(!two.leadership.leads());
    assert_eq!(lease(&cluster).await.holder_identity.as_deref(), Some("one"));

    one.stop.cancel();
    one.ended.await.unwrap();
    assert!(!one.leadership.leads());
    // Waiting for the lease to run out would take longer than this test does.
    two.leads().await;
    let spec = lease(&cluster).await;
    assert_eq!(spec.holder_identity.as_deref(), Some("two"));
    assert_eq!(spec.lease_transitions, Some(1));
    assert_eq!(spec.lease_duration_seconds, Some(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_stopped_while_it_takes_the_lease_does_not_keep_it() {
    let cluster = Cluster::start().await;
    let long = Duration::from_secs(20);
    let slow = Rule::new(Match::any().component("one").verb(Verb::Create), Action::Delay(Duration::from_millis(300)));
    let fault = cluster.sandbox.faults().add(slow.when(aegis_sandbox::When::After).times(1));
    let one = Candidate::start(&cluster, "one", long);
    fault.reached(1).await;
    one.stop.cancel();
    one.ended.await.unwrap();
    assert_eq!(lease(&cluster).await.holder_identity.as_deref(), Some(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_vanished_is_followed_when_its_lease_has_run_out() {
    let cluster = Cluster::start().await;
    let mut one = Candidate::start(&cluster, "one", Duration::from_secs(2));
    one.leads().await;
    one.ended.abort();
    let begun = std::time::Instant::now();
    let mut two = Candidate::start(&cluster, "two", Duration::from_secs(2));
    two.leads().await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "it believes the other for the whole lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_stops_before_another_can_begin() {
    let cluster = Cluster::start().await;
    let mut one = Candidate::start(&cluster, "one", Duration::from_secs(3));
    let term = one.leads().await;
    assert!(one.leadership.remaining(term).unwrap() <= Duration::from_secs(2), "the deadline is nearer than the lease");
    let writes = Match::any().component("one").resource("leases");
    let fault = cluster.sandbox.faults().add(Rule::new(writes, Action::Hang));
    let mut two = Candidate::start(&cluster, "two", Duration::from_secs(3));
    tokio::time::timeout(common::PATIENCE, one.leadership.ended(term)).await.expect("its term ends");
    assert_eq!(one.leadership.remaining(term), None);
    assert!(!two.leadership.leads(), "the lease has not run out yet");
    two.leads().await;

    // What hung comes through late: it was written for a version that is gone.
    fault.remove();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!one.leadership.leads());
    assert_eq!(lease(&cluster).await.holder_identity.as_deref(), Some("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_renewal_does_not_end_the_term() {
    let cluster = Cluster::start().await;
    let mut one = Candidate::start(&cluster, "one", Duration::from_secs(3));
    let term = one.leads().await;
    let renewals = Match::any().component("one").verb(Verb::Update);
    let rule = Rule::new(renewals.clone(), Action::Reset).when(aegis_sandbox::When::After).times(1);
    let fault = cluster.sandbox.faults().add(rule);
    fault.reached(1).await;
    let before = cluster.sandbox.requests().succeeded(&renewals);
    until("it has renewed again", async || {
        let now = cluster.sandbox.requests().succeeded(&renewals);
        if now > before + 1 { Ok(()) } else { Err(now) }
    })
    .await;
    assert!(one.leadership.remaining(term).is_some(), "the same term goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_lost_its_lease_acts_again_when_it_has_it_back() {
    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let controller = Controller::start(&cluster).await;
    controller.send("/default/alert", seed_alert()).await;
    cluster.alert_reads("Triggered", "Pending").await;

    let leases = Match::any().component(common::COMPONENT).resource("leases");
    let fault = cluster.sandbox.faults().add(Rule::new(leases, Action::Status(500, None)));
    until("the term is over", async || {
        let page = reqwest::get(format!("{}/metrics", controller.url())).await.unwrap().text().await.unwrap();
        if page.contains("\naegis_leader 0") { Ok(()) } else { Err(()) }
    })
    .await;
    controller.send("/default/alert", objects::alert("NodeHasEmergencyEvent", "Firing", "second")).await;
    assert_eq!(common::settled(&cluster, async || cluster.all_workflows().await.len()).await, 1, "it does not lead");
    fault.remove();
    let _simulator = cluster.simulate(SimulatorOptions::default());
    until("both have succeeded", async || {
        let words: Vec<_> = cluster.all_alerts().await.iter().map(common::reads).collect();
        if words.iter().all(|(_, ops)| ops == "Succeeded") { Ok(()) } else { Err(words) }
    })
    .await;
    assert_eq!(cluster.all_workflows().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_its_last_day_a_namespace_is_not_held_up() {
    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let controller = Controller::with(&cluster, settings()).await;
    controller.send("/default/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Triggered", "Pending").await;
    let name = alert.status.unwrap().actions[0].name.clone();
    cluster.set_phase(&name, "Succeeded", "").await;
    cluster.alert_reads("Triggered", "Succeeded").await;
    assert_eq!(cluster.all_workflows().await.len(), 1, "two lease durations are not over");
    // Only what is let go on the way out counts here, not what is let go because its alert was seen to be gone.
    let alerts = Match::any().component(common::COMPONENT).verb(Verb::Get).resource("aegisalerts");
    cluster.sandbox.faults().add(Rule::new(alerts, Action::Status(500, None)));
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.unwrap();
    controller.stop().await;
    until("the namespace is gone", async || match namespaces.get_opt(NAMESPACE).await.unwrap() {
        None => Ok(()),
        Some(namespace) => Err((namespace, cluster.all_workflows().await.len())),
    })
    .await;
}
