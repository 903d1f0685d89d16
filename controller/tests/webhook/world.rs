//! One API server in memory and one or more replicas of the webhooks in front of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use aegis_controller::cache::{Alerts, Objects, Options, Rules, Source};
use aegis_controller::clock::Clock;
use aegis_controller::ingest::{self, Caches, Ingest};
use aegis_controller::{Metrics, Settings, events};
use aegis_crds::alert::AegisAlertStatus;
use aegis_crds::{AegisAlert, AegisAlertOpsRule};
use aegis_engine::rules::RuleBook;
use aegis_engine::scope::Namespaces;
use aegis_sandbox::{Match, Sandbox, Verb};
use kube::api::{ListParams, PostParams};
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const NAMESPACE: &str = "monitoring";

/// How long a test waits for what must happen before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub sandbox: Sandbox,
    pub http: reqwest::Client,
    pub replicas: Vec<Replica>,
}

pub struct Replica {
    pub url: String,
    pub address: SocketAddr,
    pub alerts: Alerts,
    pub rules: Rules,
    pub metrics: Metrics,
    pub stop: CancellationToken,
    serving: JoinHandle<Result<(), ingest::Error>>,
}

pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

/// The world as a test asks for it.
pub struct Builder {
    options: aegis_sandbox::Options,
    settings: Settings,
    replicas: usize,
}

pub fn crds() -> Vec<Value> {
    aegis_crds::definitions().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect()
}

impl Default for Builder {
    fn default() -> Self {
        let options = aegis_sandbox::Options { crds: crds(), argo: false, ..Default::default() };
        Self { options, settings: Settings::default(), replicas: 1 }
    }
}

impl Builder {
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn crds(mut self, crds: Vec<Value>) -> Self {
        self.options.crds = crds;
        self
    }

    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    pub async fn start(self) -> World {
        // Somebody has to choose, since several libraries use TLS; whoever comes first has.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = Sandbox::start(self.options).await.unwrap();
        let http = reqwest::Client::builder().danger_accept_invalid_certs(true).build().unwrap();
        let mut world = World { sandbox, http, replicas: Vec::new() };
        for number in 0..self.replicas {
            let replica = world.replica(&format!("aegis{number}"), &self.settings).await;
            world.replicas.push(replica);
        }
        world
    }
}

impl World {
    pub async fn new() -> Self {
        Builder::default().start().await
    }

    /// A replica of that user agent, ready to be asked.
    pub async fn replica(&self, component: &str, settings: &Settings) -> Replica {
        let client = self.sandbox.client_as(component);
        let (stop, metrics) = (CancellationToken::new(), Metrics::new());
        let namespace = &settings.alert.publish_namespace;
        let alerts: Api<DeserializeGuard<AegisAlert>> = Api::namespaced(client.clone(), namespace);
        let alerts = Objects::start(vec![Source::from(alerts)], &Options::default(), &metrics, &stop);
        let rules: Api<DeserializeGuard<AegisAlertOpsRule>> = Api::all(client.clone());
        let rules = Objects::start(vec![Source::from(rules)], &Options::default(), &metrics, &stop);
        let namespaces = Namespaces::of(namespace, settings.rule_namespaces.clone());
        let rules = Rules::start(rules, RuleBook::of(namespaces, []), &stop);
        let (recorder, writer) = events::recorder(client.clone(), component);
        tokio::spawn(writer.run());
        let ready = {
            let (alerts, rules) = (alerts.clone(), rules.clone());
            move || alerts.ready() && rules.ready()
        };
        let caches = Caches { alerts: alerts.clone(), rules: rules.clone() };
        let ingest = Ingest::new(settings, Clock::default(), &client, caches, recorder, &metrics, ready);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if settings.http.tls_cert_file.is_some() { "https" } else { "http" };
        let serving = tokio::spawn(ingest::serve(listener, ingest, stop.clone()));
        patiently("the caches are filled", async { (alerts.until_ready().await, rules.until_ready().await) }).await;
        Replica { url: format!("{scheme}://{address}"), address, alerts, rules, metrics, stop, serving }
    }

    pub fn client(&self) -> kube::Client {
        self.sandbox.client()
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.post_to(0, path, body).await
    }

    /// Posts as curl -d does, which calls everything a form.
    pub async fn post_to(&self, replica: usize, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .http
            .post(format!("{}{path}", self.replicas[replica].url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        answer(request).await
    }

    /// Sends again as a sender does, and gives the name of the alert that was stored in the end.
    pub async fn send_until_taken(&self, replica: usize, body: Value) -> String {
        patiently("the alert is taken", async {
            loop {
                let answer = self.post_to(replica, "/alert", body.to_string()).await;
                match answer.code {
                    200 => return answer.body["results"][0]["name"].as_str().unwrap().to_owned(),
                    503 => tokio::time::sleep(Duration::from_millis(50)).await,
                    code => panic!("{code}: {}", answer.body),
                }
            }
        })
        .await
    }

    pub fn api(&self) -> Api<AegisAlert> {
        Api::namespaced(self.client(), NAMESPACE)
    }

    /// Every stored alert, by name.
    pub async fn stored(&self) -> Vec<AegisAlert> {
        self.api().list(&ListParams::default()).await.unwrap().items
    }

    /// The one alert that is stored.
    pub async fn only(&self) -> AegisAlert {
        let mut stored = self.stored().await;
        assert_eq!(stored.len(), 1, "{:?}", stored.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
        stored.remove(0)
    }

    pub async fn create_rule(&self, name: &str, type_: &str, phase: &str) {
        let rule = json!({
            "apiVersion": "aegis.io/v1alpha1",
            "kind": "AegisAlertOpsRule",
            "metadata": {"name": name},
            "spec": {"alertConditions": [{"type": type_, "status": phase}], "opsTemplate": {"name": "t"}},
        });
        let api: Api<AegisAlertOpsRule> = Api::namespaced(self.client(), NAMESPACE);
        api.create(&PostParams::default(), &serde_json::from_value(rule).unwrap()).await.unwrap();
    }

    /// Waits until the alert's cache of a replica holds as many objects.
    pub async fn until_cached(&self, replica: usize, count: usize) {
        let alerts = &self.replicas[replica].alerts;
        let mut changes = alerts.subscribe();
        patiently("the cache holds the alerts", async {
            while alerts.len() != count {
                changes.next().await;
            }
        })
        .await;
    }

    /// Waits until something about the stored alerts is so.
    pub async fn until(&self, what: &str, holds: impl Fn(&[AegisAlert]) -> bool) {
        patiently(what, async {
            while !holds(&self.stored().await) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Stops every replica and waits until each has written what it held.
    pub async fn stop_replicas(&mut self) {
        for replica in self.replicas.drain(..) {
            replica.stop.cancel();
            patiently("the replica stops", replica.serving).await.unwrap().unwrap();
        }
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = patiently("the webhook answers", request.send()).await.unwrap();
    let (code, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer { code, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: still not after {PATIENCE:?}"))
}

impl Replica {
    /// Waits until it has ended by itself.
    pub async fn end(self) -> Result<(), ingest::Error> {
        patiently("the replica ends", self.serving).await.unwrap()
    }
}

impl Answer {
    /// The words of what was done, in the body's order.
    pub fn results(&self) -> Vec<&str> {
        self.body["results"].as_array().unwrap().iter().map(|line| line["result"].as_str().unwrap()).collect()
    }
}

/// A custom alert about node dev1 with that fingerprint.
pub fn firing(fingerprint: &str) -> Value {
    json!({
        "type": "NodeHasEmergencyEvent",
        "status": "Firing",
        "involvedObject": {"kind": "Node", "name": "dev1"},
        "details": {"node": "dev1"},
        "fingerprint": fingerprint,
    })
}

/// The same, said to be over.
pub fn over(fingerprint: &str) -> Value {
    let mut alert = firing(fingerprint);
    alert["status"] = json!("Resolved");
    alert
}

/// The alert with a startsAt.
pub fn since(mut alert: Value, starts_at: &str) -> Value {
    alert["startsAt"] = json!(starts_at);
    alert
}

/// Requests for alerts with that verb.
pub fn of_alerts(verb: Verb) -> Match {
    Match::any().resource("aegisalerts").verb(verb)
}

pub fn status(alert: &AegisAlert) -> AegisAlertStatus {
    alert.status.clone().unwrap_or_default()
}

pub fn labels(alert: &AegisAlert) -> &BTreeMap<String, String> {
    alert.labels()
}
