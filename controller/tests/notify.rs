//! People are told what became of an alert, at no cost to the alert: as many writes and reads as without, whatever the
//! receivers do; and the log shows nothing of where they listen.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aegis_sandbox::Match;
use aegis_sandbox::agent::SimulatorOptions;
use axum::Router;
use axum::extract::State;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use common::objects::{seed_alert, seed_rule, seed_template};
use common::{COMPONENT, Cluster, Controller, PATIENCE, settings, until};

/// Everything that anybody in this process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A receiver that hears and answers 200, and one that hears and never answers.
async fn receivers() -> (String, mpsc::UnboundedReceiver<Value>) {
    let (sender, heard) = mpsc::unbounded_channel();
    let hear = |State(sender): State<mpsc::UnboundedSender<Value>>, body: String| async move {
        sender.send(serde_json::from_str(&body).unwrap()).unwrap();
        "ok"
    };
    let dead = || std::future::pending::<&'static str>();
    let app = Router::new()
        .route("/hook/s3cret", axum::routing::post(hear))
        .route("/dead/s3cret", axum::routing::post(dead))
        .with_state(sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_told_at_no_cost_to_the_alert_and_with_nothing_secret_in_the_log() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_env_filter("trace").with_writer(move || writer.clone()).init();
    let (url, mut heard) = receivers().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notify.yaml");
    let text = format!(
        "receivers:\n- {{name: dead, format: slack, outcomes: all, url: '{url}/dead/s3cret'}}\n\
         - {{name: alive, format: json, outcomes: all, url: '{url}/hook/s3cret', token: s3crettoken}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut settings = settings();
    settings.notify.file = Some(file);

    let cluster = Cluster::start().await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    let controller = Controller::with(&cluster, settings).await;
    let requests = cluster.sandbox.requests();
    let simulator = SimulatorOptions {
        start_delay: Duration::from_millis(300),
        run_time: Duration::from_millis(300),
        ..SimulatorOptions::default()
    };
    let _simulator = cluster.simulate(simulator);
    controller.send("/default/alert", seed_alert()).await;
    let alert = cluster.alert_reads("Triggered", "Succeeded").await;
    let told = tokio::time::timeout(PATIENCE, heard.recv()).await.expect("it is told").unwrap();
    let notice = &told["notices"][0];
    assert_eq!(notice["outcome"], "Succeeded");
    assert_eq!(notice["alert"]["name"], alert.metadata.name.unwrap());
    assert_eq!(notice["rule"], "monitoring/nodehasemergencyevent");
    assert_eq!(notice["action"]["attempt"], 1);

    until("the finalizer is released", async || {
        let workflow = cluster.all_workflows().await.remove(0);
        if workflow.metadata.finalizers.unwrap_or_default().is_empty() { Ok(()) } else { Err(()) }
    })
    .await;
    let writes = |resource: &str| requests.matching(&Match::any().component(COMPONENT).writes().resource(resource));
    assert_eq!(writes("aegisalerts").len(), 4, "as without any receiver: {:#?}", writes("aegisalerts"));
    assert_eq!(writes("workflows").len(), 2, "{:#?}", writes("workflows"));
    controller.stop().await;
    assert!(heard.try_recv().is_err(), "once");

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("outcomes are told to 2 receivers"), "the log is heard");
    let line = log.lines().find(|line| line.contains("s3cret"));
    assert_eq!(line, None, "an address or a token is in the log");
}
