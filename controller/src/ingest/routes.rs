//! The routes, and the way of a body through them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aegis_crds::alert::AlertStatus;
use aegis_crds::names::fingerprint_label;
use aegis_engine::intake::{self, Intake, Unreadable};
use aegis_engine::signal::Signal;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use jiff::SignedDuration;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::answer::{Answer, Line, NotNow, Outcome, Refusal};
use super::auth::Guard;
use super::rejects::Rejection;
use super::{Ingest, Inner};
use crate::metrics::{Rejected, Stage};

/// A body is answered within five seconds; this leaves time to write the answer.
const IN_HAND: Duration = Duration::from_millis(4500);
/// How much of that the body may take to arrive.
const ARRIVAL: Duration = Duration::from_millis(2500);
/// How many fingerprints of one body are worked on at the same time, each waiting for a worker.
const GROUPS: usize = 64;

const ALERTMANAGER: &str = "/alertmanager/alert";
const DEFAULT: &str = "/default/alert";
const ALERT: &str = "/alert";

#[derive(Clone)]
struct App {
    inner: Arc<Inner>,
    guard: Guard,
}

type Decoder = fn(&[u8]) -> Result<Intake, Unreadable>;

/// Everything that is served, with and without the prefix where one is set: probes and scrapes do not know it.
pub(super) fn router(ingest: &Ingest, guard: Guard) -> Router {
    let app = App { inner: ingest.inner.clone(), guard };
    let prefix = app.inner.http.prefix.clone();
    let pages =
        Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).route("/readyz", get(readyz));
    let hooks = Router::new()
        .route(ALERTMANAGER, post(alertmanager))
        .route(DEFAULT, post(default_alert))
        .route(ALERT, post(alert));
    let all = if prefix.is_empty() {
        pages.merge(hooks)
    } else {
        pages.clone().merge(Router::new().nest(&prefix, pages.merge(hooks)))
    };
    all.fallback(unknown_route).method_not_allowed_fallback(wrong_method).with_state(app)
}

async fn alertmanager(State(app): State<App>, request: Request) -> Answer {
    take(app, ALERTMANAGER, intake::alertmanager, request).await
}

async fn default_alert(State(app): State<App>, request: Request) -> Answer {
    take(app, DEFAULT, intake::custom, request).await
}

async fn alert(State(app): State<App>, request: Request) -> Answer {
    take(app, ALERT, intake::custom, request).await
}

async fn metrics(State(app): State<App>) -> Response {
    match app.inner.metrics.text() {
        Ok(page) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], page).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn healthz() -> &'static str {
    "ok"
}

async fn readyz(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.inner.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down")
    } else if (app.inner.ready)() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the caches are not filled yet")
    }
}

async fn unknown_route(State(app): State<App>, uri: Uri) -> Answer {
    refused(&app, Refusal::UnknownRoute(uri.path().chars().take(200).collect()))
}

async fn wrong_method(State(app): State<App>, method: Method) -> Answer {
    refused(&app, Refusal::WrongMethod(method.to_string()))
}

fn refused(app: &App, refusal: Refusal) -> Answer {
    let answer = Answer::from(refusal);
    app.inner.metrics.answered("other", answer.code(), Duration::ZERO);
    answer
}

/// Takes in a body and answers it.
async fn take(app: App, route: &'static str, decode: Decoder, request: Request) -> Answer {
    let arrived = Instant::now();
    let metrics = app.inner.metrics.clone();
    let answer = match admit(&app, route, decode, request, arrived).await {
        Ok(answer) => answer,
        Err(refusal) => {
            if let Refusal::NotNow(not_now) = &refusal {
                app.inner.metrics.alert(Outcome::Unstored.word(), not_now.reason);
            }
            refusal.into()
        }
    };
    metrics.answered(route, answer.code(), arrived.elapsed());
    answer
}

async fn admit(
    app: &App,
    route: &'static str,
    decode: Decoder,
    request: Request,
    arrived: Instant,
) -> Result<Answer, Refusal> {
    let inner = app.inner.clone();
    if !app.guard.admits(request.headers()) {
        return Err(Refusal::Unauthorized);
    }
    if inner.is_draining() {
        return Err(Refusal::NotNow(NotNow::new("ShuttingDown", "this replica is shutting down; send the body again")));
    }
    let (head, body) = request.into_parts();
    let body = inner.memory.read(&head.headers, body, inner.http.body_limit, arrived + ARRIVAL).await?;
    let intake = decode(&body.bytes).map_err(|unreadable| {
        inner.rejected(route, Rejected::Unreadable, Rejection::new(route, None, None, &unreadable.to_string()));
        Refusal::Unreadable(unreadable.to_string())
    })?;
    let place = inner.queue.enter(intake.signals.len()).map_err(Refusal::NotNow)?;
    // A sender that hangs up would stop a future that it waits for, and what is half done with it.
    let work = inner.tasks.spawn({
        let inner = inner.clone();
        async move {
            let answer = inner.store_all(route, intake, arrived).await;
            drop((place, body));
            answer
        }
    });
    let gave_up = |_| Refusal::NotNow(NotNow::new("Failed", "storing the alerts failed; send the body again"));
    work.await.map_err(gave_up)
}

impl Inner {
    /// Stores what a body held and says what came of it.
    async fn store_all(&self, route: &'static str, intake: Intake, arrived: Instant) -> Answer {
        let deadline = arrived + IN_HAND;
        let Intake { signals, rejected, truncated } = intake;
        if truncated > 0 {
            warn!(route, truncated, "the sender left {truncated} alerts out of its body, a limit of its own");
            self.metrics.shortened("sender", truncated);
        }
        let mut lines = Vec::with_capacity(signals.len() + rejected.len());
        let mut wait = 0;
        for rejected in rejected {
            let message = rejected.to_string();
            let entry = Rejection::new(route, rejected.type_.clone(), rejected.fingerprint.clone(), &message);
            self.rejected(route, Rejected::Invalid, entry);
            lines.push(Line { index: rejected.index, name: String::new(), result: Outcome::Rejected, message });
        }
        let groups = self.in_order(signals);
        let work = futures::stream::iter(groups).map(|group| self.store_group(route, group, arrived, deadline));
        let mut done = std::pin::pin!(work.buffer_unordered(GROUPS));
        while let Some(group) = done.next().await {
            for (line, asked) in group {
                lines.push(line);
                wait = wait.max(asked);
            }
        }
        Answer::of(lines, wait)
    }

    /// Signals by fingerprint, in the body's order within each: a resolution must not overtake its alert.
    ///
    /// What is not stored yet comes first. A body that is too much for one request then makes progress each time that
    /// it is sent, instead of counting repeats of its first alerts until the time is over.
    fn in_order(&self, signals: Vec<(usize, Signal)>) -> Vec<Vec<(usize, Signal)>> {
        let mut places = HashMap::new();
        let mut groups: Vec<Vec<(usize, Signal)>> = Vec::new();
        for (index, signal) in signals {
            let place = *places.entry(signal.fingerprint.clone()).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push((index, signal)),
                None => groups.push(vec![(index, signal)]),
            }
        }
        groups.sort_by_cached_key(|group| {
            group.first().is_some_and(|(_, signal)| !self.alerts.of_fingerprint(&signal.fingerprint).is_empty())
        });
        groups
    }

    async fn store_group(
        &self,
        route: &'static str,
        group: Vec<(usize, Signal)>,
        arrived: Instant,
        deadline: Instant,
    ) -> Vec<(Line, u32)> {
        let Some((_, first)) = group.first() else { return Vec::new() };
        let label = fingerprint_label(&first.fingerprint);
        let lock = timeout_at(deadline, self.locks.hold(&label)).await;
        let mut lines = Vec::with_capacity(group.len());
        for (index, signal) in &group {
            let done = match &lock {
                Err(_) => Err(NotNow::new("Busy", "earlier reports of this fingerprint are still being stored")),
                Ok(_) => self.store_one(signal, deadline).await,
            };
            lines.push(self.line(route, *index, signal, done, arrived));
        }
        lines
    }

    async fn store_one(&self, signal: &Signal, deadline: Instant) -> Result<super::store::Done, NotNow> {
        let Ok(_worker) = timeout_at(deadline, self.workers.acquire()).await else {
            return Err(NotNow::new("Busy", "too many alerts are being stored"));
        };
        match signal.status {
            AlertStatus::Firing => self.firing(signal, 1, deadline).await,
            AlertStatus::Resolved => self.resolved(signal, deadline).await,
        }
    }

    /// Counts and logs what was done with a signal, and says it.
    fn line(
        &self,
        route: &'static str,
        index: usize,
        signal: &Signal,
        done: Result<super::store::Done, NotNow>,
        arrived: Instant,
    ) -> (Line, u32) {
        match done {
            Ok(done) => {
                self.metrics.alert(done.outcome.word(), "");
                if done.outcome == Outcome::Rejected {
                    let (type_, fingerprint) = (Some(signal.type_.clone()), Some(signal.fingerprint.clone()));
                    self.rejected(route, Rejected::Refused, Rejection::new(route, type_, fingerprint, &done.message));
                }
                if done.outcome == Outcome::Stored {
                    self.time(signal, arrived);
                }
                (Line { index, name: done.name, result: done.outcome, message: done.message }, 0)
            }
            Err(not_now) => {
                self.metrics.alert(Outcome::Unstored.word(), not_now.reason);
                warn!(route, reason = not_now.reason, "an alert could not be stored now");
                let message = not_now.message;
                (Line { index, name: String::new(), result: Outcome::Unstored, message }, not_now.wait)
            }
        }
    }

    fn time(&self, signal: &Signal, arrived: Instant) {
        let in_hand = SignedDuration::try_from(arrived.elapsed()).unwrap_or(SignedDuration::MAX);
        if let Some(starts_at) = signal.starts_at {
            self.metrics.stage(Stage::Received, self.clock.now().duration_since(starts_at) - in_hand);
        }
        self.metrics.stage(Stage::Stored, in_hand);
        if signal.shortened {
            self.metrics.shortened("details", 1);
        }
    }

    fn rejected(&self, route: &'static str, reason: Rejected, entry: Rejection) {
        self.metrics.rejected(reason);
        // What a sender wrote stands in its answer and in the list, not in the log.
        info!(route, ?reason, "rejected an alert; the ConfigMap {} says why", super::REJECTED_CONFIGMAP);
        self.rejects.add(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use aegis_engine::rules::RuleBook;
    use aegis_engine::scope::Namespaces;
    use axum::body::Body;
    use axum::http::Response;
    use prometheus_client::metrics::gauge::Gauge;
    use tokio_util::sync::CancellationToken;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::cache::{Objects, Rules};
    use crate::clock::Clock;
    use crate::ingest::Caches;
    use crate::{Metrics, Settings, events};

    /// Webhooks in front of an API server that cannot be reached.
    fn ingest(ready: Arc<AtomicBool>) -> Ingest {
        let down = service_fn(|_| async { Err::<Response<Body>, _>(std::io::Error::other("down")) });
        let client = kube::Client::new(down, "default");
        let namespaces = Namespaces::of("monitoring", ["x"]);
        let rules = Objects::new(vec![None], Gauge::default());
        let rules = Rules::start(rules, RuleBook::of(namespaces, []), &CancellationToken::new());
        let alerts = Objects::new(vec![None], Gauge::default());
        let (recorder, _) = events::recorder(client.clone(), "test");
        let ready = move || ready.load(Ordering::Relaxed);
        let caches = Caches { alerts, rules };
        Ingest::new(&Settings::default(), Clock::default(), &client, caches, recorder, &Metrics::new(), ready)
    }

    async fn ask(ingest: &Ingest, method: Method, path: &str) -> Response<Body> {
        let guard = Guard::load(None).unwrap_or_else(|error| panic!("{error}"));
        let body = r#"{"type":"A","status":"Firing","involvedObject":{"name":"n"},"fingerprint":"f"}"#;
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        router(ingest, guard).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn whoever_shuts_down_sends_senders_elsewhere() {
        let ingest = ingest(Arc::new(AtomicBool::new(true)));
        assert_eq!(ask(&ingest, Method::GET, "/readyz").await.status(), 200);
        ingest.inner.draining.store(true, Ordering::Relaxed);
        let refused = ask(&ingest, Method::POST, "/alert").await;
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(ask(&ingest, Method::GET, "/readyz").await.status(), 503);
        assert_eq!(ask(&ingest, Method::GET, "/healthz").await.status(), 200, "there is no reason to be killed");
    }

    #[tokio::test]
    async fn a_replica_is_ready_when_its_caches_are_and_takes_alerts_before() {
        let ready = Arc::new(AtomicBool::new(false));
        let ingest = ingest(ready.clone());
        assert_eq!(ask(&ingest, Method::GET, "/readyz").await.status(), 503);
        assert_eq!(ask(&ingest, Method::POST, "/alert").await.status(), 503, "the API server cannot be reached");
        ready.store(true, Ordering::Relaxed);
        assert_eq!(ask(&ingest, Method::GET, "/readyz").await.status(), 200);
    }

    #[tokio::test]
    async fn what_is_not_stored_comes_first_and_one_fingerprint_keeps_its_order() {
        let ingest = ingest(Arc::new(AtomicBool::new(true)));
        let mut stored = aegis_crds::AegisAlert::default();
        stored.metadata.name = Some("stored".into());
        stored.metadata.resource_version = Some("1".into());
        stored.spec.fingerprint = Some("old".into());
        ingest.inner.alerts.insert(stored);
        let alert = |(index, fingerprint): (usize, &str)| {
            let alert =
                format!(r#"{{"status":"firing","labels":{{"alertname":"{index}"}},"fingerprint":"{fingerprint}"}}"#);
            let intake = intake::alertmanager(format!(r#"{{"alerts":[{alert}]}}"#).as_bytes()).unwrap();
            (index, intake.signals.into_iter().next().unwrap().1)
        };
        let signals = ["old", "b", "a", "old", "b"].into_iter().enumerate().map(alert).collect();
        let order: Vec<Vec<usize>> = ingest
            .inner
            .in_order(signals)
            .iter()
            .map(|group| group.iter().map(|(index, _)| *index).collect())
            .collect();
        assert_eq!(order, [vec![1, 4], vec![2], vec![0, 3]]);
    }
}
