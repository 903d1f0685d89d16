//! Step 1 of the loop: the webhooks. Bytes become signals, signals become stored alerts, and the answer says 2xx only
//! when all that can be stored is stored.
//!
//! `routes` reads a body, `store` and `resolve` bring one signal to the API server, `answer` says what came of it.

mod answer;
mod api;
mod auth;
mod body;
mod listen;
mod locks;
mod pod_node;
mod rejects;
mod repeats;
mod resolve;
mod routes;
mod serve;
mod store;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aegis_crds::alert::TtlStrategy;
use aegis_engine::incident::Windows;
use kube::Client;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::cache::{Alerts, Rules};
use crate::clock::Clock;
use crate::context;
use crate::events::Recorder;
use crate::metrics::Metrics;
use crate::settings::{Http, Settings};

pub use auth::TOKEN_HEADER;
pub use rejects::{REJECTED_CONFIGMAP, REJECTED_KEY, Rejection};
pub use serve::{Error, serve};

/// Everything that the webhooks work with. Clones share it.
#[derive(Clone)]
pub struct Ingest {
    inner: Arc<Inner>,
}

/// What the webhooks look at before they ask the API server.
pub struct Caches {
    /// All alerts.
    pub alerts: Alerts,
    /// All rules.
    pub rules: Rules,
}

struct Inner {
    clock: Clock,
    http: Http,
    windows: Windows,
    ttl: TtlStrategy,
    api: api::Api,
    alerts: Alerts,
    rules: Rules,
    recorder: Recorder,
    metrics: Metrics,
    ready: Box<dyn Fn() -> bool + Send + Sync>,
    draining: AtomicBool,
    /// How many alerts are stored at the same time.
    workers: Semaphore,
    queue: body::Queue,
    memory: body::Memory,
    locks: locks::Locks,
    repeats: repeats::Repeats,
    rejects: rejects::Rejects,
    /// The requests in hand: a sender that hangs up does not stop the work on its body.
    tasks: TaskTracker,
}

impl Ingest {
    /// Webhooks as the settings say. `ready` says whether this replica may be sent requests.
    pub fn new(
        settings: &Settings,
        clock: Clock,
        client: &Client,
        caches: Caches,
        recorder: Recorder,
        metrics: &Metrics,
        ready: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let namespace = &settings.alert.publish_namespace;
        let Caches { alerts, rules } = caches;
        let inner = Inner {
            clock,
            http: settings.http.clone(),
            windows: context::windows(settings),
            ttl: ttl(settings),
            api: api::Api::new(client.clone(), namespace),
            alerts,
            rules,
            recorder,
            metrics: metrics.clone(),
            ready: Box::new(ready),
            draining: AtomicBool::new(false),
            workers: Semaphore::new(settings.alert.workers),
            queue: body::Queue::new(settings.http.queue, metrics.queued().clone()),
            memory: body::Memory::for_bodies_of(settings.http.body_limit),
            locks: locks::Locks::default(),
            repeats: repeats::Repeats::default(),
            rejects: rejects::Rejects::new(client.clone(), namespace),
            tasks: TaskTracker::new(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// The kept times that stand on each alert, so that a person sees them and a later change of the settings does not
/// shorten what was promised.
fn ttl(settings: &Settings) -> TtlStrategy {
    let seconds = |span: std::time::Duration| Some(i32::try_from(span.as_secs()).unwrap_or(i32::MAX));
    TtlStrategy {
        seconds_after_completion: None,
        seconds_after_success: seconds(settings.alert.ttl_after_success),
        seconds_after_failure: seconds(settings.alert.ttl_after_failure),
        seconds_after_no_ops: seconds(settings.alert.ttl_after_no_ops),
    }
}
