//! Three controllers on one cluster, a thousand incidents, and every body sent several times at once to whichever
//! replica: each incident becomes one alert and one Workflow, whatever goes wrong on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use aegis_controller::Settings;
use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertOpsStatus, AlertStatus};
use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Match, Odds, Options, WatchBreak};
use futures::StreamExt;
use futures::future::join_all;
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject};
use serde_json::{Value, json};

use common::mirror::Mirror;
use common::objects::{self, seed_rule, seed_template};
use common::{Cluster, Controller, reads};

const INCIDENTS: usize = 1_000;
/// Where three leaders get into each other's way, each incident takes many times as long.
const INCIDENTS_OF_MANY_LEADERS: usize = 150;
/// The replicas, as the API server knows them.
const REPLICAS: [&str; 3] = ["aegis0", "aegis1", "aegis2"];
/// How many incidents are told of at the same time.
const AT_ONCE: usize = 24;
/// A machine that does nothing else takes a fraction of that.
const LONGEST: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_incidents_with_a_start_are_a_thousand_actions() {
    Storm::new(|_| true).blow().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_incidents_without_a_start_are_a_thousand_actions_inside_the_repeat_window() {
    Storm::new(|_| false).blow().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_incidents_are_a_thousand_actions_when_much_goes_wrong() {
    Storm { odds: Some(trouble()), ..Storm::new(|incident| incident % 2 == 0) }.blow().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_leaders_at_once_make_no_second_action_when_much_goes_wrong() {
    let storm = Storm::new(|incident| incident % 2 == 0);
    let leases = ["one", "another", "third"];
    Storm { odds: Some(trouble()), incidents: INCIDENTS_OF_MANY_LEADERS, leases, short_lives: true, ..storm }
        .blow()
        .await;
}

fn trouble() -> Odds {
    Odds {
        components: REPLICAS.map(String::from).to_vec(),
        delay: 0.1,
        longest_delay: Duration::from_millis(50),
        refuse: 0.02,
        fail_after_commit: 0.02,
        lose_answer: 0.02,
        break_watch: 0.5,
    }
}

/// A storm. Everything random in it follows from the seed.
struct Storm {
    seed: u64,
    /// Whether the bodies of an incident say when it started.
    starts: fn(usize) -> bool,
    odds: Option<Odds>,
    incidents: usize,
    /// The Lease that each replica holds: with one for each, all of them lead.
    leases: [&'static str; 3],
    /// Whether Workflows are deleted as soon as they have ended, as with a time to live of nothing.
    short_lives: bool,
}

/// What came of the bodies of one incident.
#[derive(Debug)]
struct Told {
    /// How often one of them was sent.
    sent: i64,
    /// How often one of them was answered with 200.
    taken: i64,
    /// The alert that the answers named.
    alert: String,
}

impl Storm {
    /// With a seed of its own, or with the one that an earlier failure printed.
    fn new(starts: fn(usize) -> bool) -> Self {
        let seed = std::env::var("AEGIS_TEST_SEED").ok().map(|text| text.parse().expect("AEGIS_TEST_SEED is a number"));
        Self {
            seed: seed.unwrap_or_else(|| RandomState::new().hash_one(0)),
            starts,
            odds: None,
            incidents: INCIDENTS,
            leases: ["one"; 3],
            short_lives: false,
        }
    }

    async fn blow(self) {
        println!("to see the same again, set AEGIS_TEST_SEED={}", self.seed);
        let cluster = Cluster::with(Options { history: 200_000, seed: Some(self.seed), ..common::options() }).await;
        cluster.apply(seed_rule()).await;
        cluster.apply(seed_template()).await;
        let (alerts, workflows) = (Mirror::start(cluster.alerts()), Mirror::start(cluster.workflows()));
        let _simulator = cluster.simulate(SimulatorOptions::default());
        let replicas = [0, 1, 2].map(|at| Controller::named(REPLICAS[at], &cluster, settings(self.leases[at])));
        for replica in &replicas {
            replica.until_ready().await;
        }

        let client = common::http();
        let faults = cluster.sandbox.faults();
        if let Some(odds) = &self.odds {
            faults.random(self.seed, odds.clone());
        }
        let story = async {
            let told: Vec<Told> = {
                let incidents = (0..self.incidents).map(|incident| self.tell(&client, incident, &replicas));
                futures::stream::iter(incidents).buffered(AT_ONCE).collect().await
            };
            let done =
                tokio::time::timeout(LONGEST, alerts.whenever(|seen| all_done(self.incidents, seen.now.values())))
                    .await;
            let words = || words(alerts.seen().now.values());
            done.unwrap_or_else(|_| {
                panic!("they did not all succeed with AEGIS_TEST_SEED={}: {:?}", self.seed, words())
            });
            told
        };
        let told = tokio::select! {
            told = story => told,
            () = delete_what_has_ended(&cluster, &workflows), if self.short_lives => unreachable!(),
            () = cut_frozen_watches(&cluster), if self.odds.is_some() => unreachable!(),
        };
        faults.clear();
        self.judge(&cluster, &alerts, &workflows, &replicas, &told).await;
        for replica in replicas {
            replica.stop().await;
        }
    }

    /// Sends the body of an incident 3 to 9 times at once, each to any replica, and each until it is taken.
    async fn tell(&self, client: &reqwest::Client, incident: usize, replicas: &[Controller]) -> Told {
        let mut body = objects::alert_of(incident);
        if (self.starts)(incident) {
            body["startsAt"] = json!("2026-11-22T11:43:28.416923757Z");
        }
        let copies = 3 + self.draw(incident, 0) % 7;
        let sending = (0..copies).map(|copy| {
            send_until_taken(client, &body, replicas, move |try_| self.draw(incident, 1 + copy * 1000 + try_))
        });
        let sent = join_all(sending).await;
        let alert = sent[0].1.clone();
        assert!(
            sent.iter().all(|(_, name)| *name == alert),
            "the copies of incident {incident} were different alerts: {sent:?}"
        );
        Told { sent: sent.iter().map(|(sent, _)| sent).sum(), taken: i64::try_from(copies).unwrap(), alert }
    }

    fn draw(&self, incident: usize, nth: u64) -> u64 {
        // SplitMix64.
        let mut z =
            self.seed ^ (incident as u64).wrapping_mul(0xD1B5_4A32_D192_ED03) ^ nth.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    async fn judge(
        &self,
        cluster: &Cluster,
        alerts: &Mirror<AegisAlert>,
        workflows: &Mirror<DynamicObject>,
        replicas: &[Controller],
        told: &[Told],
    ) {
        let hint = format!("with AEGIS_TEST_SEED={}", self.seed);
        // What is counted in memory is written within moments, and what was acknowledged is among it.
        let uncounted = |alerts: &BTreeMap<String, AegisAlert>| -> Vec<String> {
            let lacks = told.iter().filter(|told| count(&alerts[&told.alert]) < told.taken);
            lacks.map(|told| format!("{told:?}, counted {}", count(&alerts[&told.alert]))).collect()
        };
        let counted = alerts.whenever(|seen| uncounted(&seen.now).is_empty().then_some(()));
        let counted = tokio::time::timeout(common::PATIENCE, counted).await;
        counted.unwrap_or_else(|_| panic!("{hint}: {:#?}", uncounted(&alerts.seen().now)));
        let stored = cluster.all_alerts().await;
        assert_eq!(stored.len(), self.incidents, "{hint}");
        let made = cluster.workflows_ever(workflows).await;
        assert_eq!(made, self.incidents, "{hint}");
        let by_name: BTreeMap<String, &AegisAlert> = stored.iter().map(|alert| (alert.name_any(), alert)).collect();
        for told in told {
            let alert = by_name[&told.alert];
            let status = alert.status.as_ref().unwrap();
            assert_eq!(status.actions.len(), 1, "{hint}: {alert:#?}");
            assert_eq!(status.status, Some(AlertStatus::Firing), "{hint}");
        }
        // A count whose write was carried out unheard is written again, rather once too often than not at all. Nothing
        // else counts twice, and each such write is of one alert.
        let over: Vec<&Told> = told.iter().filter(|told| count(by_name[told.alert.as_str()]) > told.sent).collect();
        let doubts: usize = replicas.iter().map(|replica| replica.in_doubt("aegisalerts")).sum();
        assert!(over.len() <= doubts, "{hint}: counted too often, with {doubts} requests in doubt: {over:#?}");
        let names: BTreeSet<&str> = told.iter().map(|told| told.alert.as_str()).collect();
        assert_eq!(names.len(), self.incidents, "{hint}: two incidents were told to be one alert");
        workflows
            .until("every Workflow is let go", |seen| {
                seen.now.values().all(|workflow| workflow.finalizers().is_empty()).then_some(())
            })
            .await;
    }
}

fn settings(lease: &str) -> Settings {
    let mut settings = common::settings();
    settings.lease.name = lease.to_owned();
    // The machine may be slow; the incidents are not to be told apart by that.
    settings.alert.repeat_window = Duration::from_secs(3600);
    settings
}

/// Sends a body until it is taken. Says how often it was sent, and which alert it was.
async fn send_until_taken(
    client: &reqwest::Client,
    body: &Value,
    replicas: &[Controller],
    draw: impl Fn(u64) -> u64,
) -> (i64, String) {
    let mut sent = 0;
    loop {
        let replica = &replicas[usize::try_from(draw(sent)).unwrap_or(0) % replicas.len()];
        sent += 1;
        let answer = client.post(format!("{}/alert", replica.url())).body(body.to_string()).send().await;
        // A connection that was closed as idle just now: whether the body arrived is not known.
        let Ok(answer) = answer else { continue };
        match answer.status().as_u16() {
            200 => {
                let answer: Value = answer.json().await.unwrap();
                let name = answer["results"][0]["name"].as_str().unwrap().to_owned();
                return (i64::try_from(sent).unwrap(), name);
            }
            503 => tokio::time::sleep(Duration::from_millis(100)).await,
            code => panic!("{code}: {}", answer.text().await.unwrap()),
        }
    }
}

/// Cuts every watch now and then, as a network does that forgets connections: one that was frozen is noticed then,
/// and not only when its time is over.
async fn cut_frozen_watches(cluster: &Cluster) {
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        for replica in REPLICAS {
            cluster.sandbox.faults().break_watches(&Match::any().component(replica), WatchBreak::Cut);
        }
    }
}

/// Deletes Workflows that have succeeded. Our finalizer keeps them until their outcome is safe.
async fn delete_what_has_ended(cluster: &Cluster, workflows: &Mirror<DynamicObject>) {
    loop {
        let ended = workflows
            .whenever(|seen| {
                let ended = |workflow: &&DynamicObject| {
                    workflow.metadata.deletion_timestamp.is_none() && workflow.data["status"]["phase"] == "Succeeded"
                };
                seen.now.values().find(ended).map(ResourceExt::name_any)
            })
            .await;
        cluster.workflows().delete(&ended, &DeleteParams::default()).await.unwrap();
        workflows
            .whenever(|seen| {
                let gone = |workflow: &DynamicObject| workflow.metadata.deletion_timestamp.is_some();
                seen.now.get(&ended).is_none_or(gone).then_some(())
            })
            .await;
    }
}

fn count(alert: &AegisAlert) -> i64 {
    alert.status.as_ref().and_then(|status| status.count).unwrap_or_default()
}

fn words<'a>(alerts: impl Iterator<Item = &'a AegisAlert>) -> BTreeMap<(String, String), usize> {
    let mut words = BTreeMap::new();
    for alert in alerts {
        *words.entry(reads(alert)).or_default() += 1;
    }
    words
}

fn all_done<'a>(incidents: usize, alerts: impl Iterator<Item = &'a AegisAlert>) -> Option<()> {
    let (mut all, mut done) = (0, 0);
    for alert in alerts {
        all += 1;
        let ops = alert.status.as_ref().and_then(|status| status.ops_status.as_ref());
        done += usize::from(ops.and_then(|ops| ops.alert_ops_status) == Some(AlertOpsStatus::Succeeded));
    }
    (all >= incidents && done == all).then_some(())
}
