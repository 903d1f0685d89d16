//! Start-up and stop: caches, webhooks and election begin together and end in the order that loses nothing.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aegis_crds::{AegisAlert, AegisAlertOpsRule};
use aegis_engine::rules::RuleBook;
use kube::Client;
use kube::api::Api;
use kube::core::DeserializeGuard;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cache::{Objects, Rules};
use crate::clock::Clock;
use crate::context::{self, Context};
use crate::ingest::{self, Caches, Ingest};
use crate::leader::{self, Election, Leadership};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::patience::{self, Patience};
use crate::settings::Settings;
use crate::{events, term};

/// How long Events may take to be written after everything else has stopped.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Why the controller cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the webhooks cannot be listened on.
    #[error("could not listen on {address} (http.listen); is another program using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The webhooks cannot be served.
    #[error(transparent)]
    Ingest(#[from] ingest::Error),
    /// The webhooks' own code failed.
    #[error("the webhooks ended badly")]
    Ended(#[from] tokio::task::JoinError),
}

/// A controller that is about to run.
pub struct Controller {
    /// What the administrator set.
    pub settings: Settings,
    /// The API server. The client should send a request once: whoever asks knows whether to ask again.
    pub client: Client,
    /// What is counted; `client` may count its requests there too.
    pub metrics: Metrics,
    /// The time of day.
    pub clock: Clock,
}

/// Runs the controller until `shutdown`, then stops gracefully: webhooks are drained, what is in hand is finished, and
/// the Lease is given back. Dropping the future stops it dead.
pub async fn run(settings: Settings, client: Client, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    Controller { settings, client, metrics: Metrics::new(), clock: Clock::default() }.run(shutdown).await
}

impl Controller {
    /// As [`run`], on the address that the settings give.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let address = self.settings.listen();
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        self.run_on(listener, shutdown).await
    }

    /// As [`run`], on a listener that is open already.
    pub async fn run_on(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { settings, client, metrics, clock } = self;
        let identity = identity(&settings);
        let patience = Patience::default();
        let client = patience::observed(client, &patience);
        let feeds = CancellationToken::new();
        let _ended = feeds.clone().drop_guard();
        let (events, writer) = events::recorder(client.clone(), &identity);
        let writer = tokio::spawn(writer.run());

        let (notifier, keeper) = Notifier::new(settings.notify.file.clone(), clock, &metrics);
        let quiet = CancellationToken::new();
        let _quiet = quiet.clone().drop_guard();
        let telling = tokio::spawn(keeper.run(quiet.clone()));

        let namespaces = context::namespaces(&settings);
        let alerts = Api::<DeserializeGuard<AegisAlert>>::namespaced(client.clone(), &settings.alert.publish_namespace);
        let alerts = Objects::start(vec![alerts.into()], &context::telling::<AegisAlert>(&events), &metrics, &feeds);
        let rules = context::sources::<DeserializeGuard<AegisAlertOpsRule>>(&client, &namespaces);
        let rules = Objects::start(rules, &context::telling::<AegisAlertOpsRule>(&events), &metrics, &feeds);
        let rules = Rules::start(rules, RuleBook::of(namespaces, []), &feeds);

        let ready = {
            let (alerts, rules) = (alerts.clone(), rules.clone());
            move || alerts.ready() && rules.ready()
        };
        let caches = Caches { alerts: alerts.clone(), rules: rules.clone() };
        let ingest = Ingest::new(&settings, clock, &client, caches, events.clone(), &metrics, ready);
        let stop = CancellationToken::new();
        let mut webhooks = tokio::spawn(ingest::serve(listener, ingest, stop.clone()));

        let (terms, leadership) = Leadership::elected();
        let resign = CancellationToken::new();
        let election = Election {
            namespace: settings.lease_namespace().to_owned(),
            name: settings.lease.name.clone(),
            identity,
            lease_duration: settings.lease.duration,
            renew_deadline: settings.lease.renew_deadline,
            retry_period: settings.lease.retry_period,
        };
        let election = tokio::spawn(leader::take_part(client.clone(), election, terms, resign.clone()));
        let context = Context {
            settings: Arc::new(settings),
            clock,
            client,
            metrics,
            patience,
            alerts,
            rules,
            events,
            notifier,
            leadership,
        };
        let mut terms = tokio::spawn(serve_terms(context, stop.clone()));

        let mut served = None;
        tokio::select! {
            () = shutdown => info!("stopping"),
            result = &mut webhooks => served = Some(result),
        }
        stop.cancel();
        let served = match served {
            Some(served) => served,
            None => webhooks.await,
        };
        // What the leader has in hand is bounded by its own grace period.
        if let Err(error) = (&mut terms).await {
            warn!("the leader's work ended badly: {error}");
        }
        resign.cancel();
        let _ = election.await;
        quiet.cancel();
        // The caches tell Events too, and the writer ends with the last of those who do.
        feeds.cancel();
        if tokio::time::timeout(LAST_EVENTS, writer).await.is_err() {
            warn!("some Events were still to be written at the end");
        }
        if let Err(error) = telling.await {
            warn!("telling people ended badly: {error}");
        }
        Ok(served??)
    }
}

/// Leads whenever this replica holds the Lease, until `stop`.
async fn serve_terms(context: Context, stop: CancellationToken) {
    let mut leadership = context.leadership.clone();
    let grace = context.settings.grace_period;
    while let Some(Some(term)) = stop.run_until_cancelled(leadership.begun()).await {
        context.metrics.leads(true);
        let end = CancellationToken::new();
        let mut work = tokio::spawn(term::serve(context.clone(), term, end.clone()));
        tokio::select! {
            () = leadership.ended(term) => {}
            () = stop.cancelled() => {}
        }
        end.cancel();
        if tokio::time::timeout(grace, &mut work).await.is_err() {
            warn!("some actions were still in hand at the end of the grace period");
            work.abort();
        }
        context.metrics.leads(false);
    }
}

/// Another word for every process that ever runs, so that nobody takes an earlier one's Lease for their own.
fn identity(settings: &Settings) -> String {
    use std::hash::{BuildHasher, RandomState};
    let host = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let name = settings.lease.identity.clone().or(host).unwrap_or_else(|| "aegis-controller".to_owned());
    format!("{name}_{:016x}", RandomState::new().hash_one(std::process::id()))
}
