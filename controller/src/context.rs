//! What everybody who acts shares: the client, the caches, and the proof that this replica leads.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aegis_engine::incident::Windows;
use aegis_engine::plan;
use aegis_engine::retention::Ttl;
use aegis_engine::scope::Namespaces;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use kube::core::NamespaceResourceScope;
use kube::core::error_boundary::InvalidObject;
use kube::{Api, Client, Resource};

use crate::alert::{Memory, Stages};
use crate::cache::{self, Alerts, Guards, Rules, Source, Templates};
use crate::clock::Clock;
use crate::events::{Note, Recorder, Weight};
use crate::executors::{Jobs, Workflows};
use crate::guard::{Desk, View};
use crate::leader::{Leadership, Term};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::patience::Patience;
use crate::settings::Settings;
use crate::takeover::Takeover;
use crate::tally::Counts;

/// Who writes, as managedFields show it.
pub const FIELD_MANAGER: &str = "aegis";

/// How long one request may take, where the end of the term is not nearer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A request is given up so long before the term ends, so that its answer is not waited for beyond it.
const MARGIN: Duration = Duration::from_millis(250);

/// What lives as long as the process.
#[derive(Clone)]
pub struct Context {
    /// What the administrator set.
    pub settings: Arc<Settings>,
    /// The time of day.
    pub clock: Clock,
    /// The API server.
    pub client: Client,
    /// What is counted.
    pub metrics: Metrics,
    /// How long the API server asked to be left alone.
    pub patience: Patience,
    /// All alerts.
    pub alerts: Alerts,
    /// All rules.
    pub rules: Rules,
    /// Who tells Events.
    pub events: Recorder,
    /// Who tells people.
    pub notifier: Notifier,
    /// Whether this replica leads.
    pub leadership: Leadership,
}

/// What lives as long as one term of leading. Its caches were filled in this term.
pub struct Lead {
    /// What lives longer.
    pub context: Context,
    /// The settings as decisions read them.
    pub settings: Arc<plan::Settings>,
    /// The term that every request is sent in.
    pub term: Term,
    /// All templates.
    pub templates: Templates,
    /// The AegisGuards of the publish namespace. They may not be listed yet when a term begins: without a definition
    /// nothing but recovery begins, and what has begun is followed all the same.
    pub guards: Guards,
    /// The Workflows that we made.
    pub workflows: Workflows,
    /// The Jobs that we made.
    pub jobs: Jobs,
    /// What the gates are shown.
    pub view: View,
    /// Where places in the book are taken.
    pub desk: Desk,
    /// Whether a controller of an earlier version is still there.
    pub takeover: Takeover,
    /// Endings that no rule or template counts yet.
    pub counts: Counts,
    /// What is remembered of alerts.
    pub memory: Memory,
    /// How long actions have been running.
    pub stages: Stages,
}

/// Why a request was not answered with success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was not sent: another replica may lead by now.
    #[error("this replica no longer leads")]
    NotLeading,
    /// It may or may not have been carried out.
    #[error("the API server did not answer within {0:?}")]
    NoAnswer(Duration),
    /// It was refused, or the connection broke.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl Failure {
    /// The status code that it was refused with, if it was.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status.code),
            Self::Api(_) | Self::NoAnswer(_) | Self::NotLeading => None,
        }
    }

    /// The same failure for another one who waited for the same request.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::NotLeading => Self::NotLeading,
            Self::NoAnswer(limit) => Self::NoAnswer(*limit),
            Self::Api(kube::Error::Api(status)) => Self::Api(kube::Error::Api(status.clone())),
            Self::Api(_) => Self::NoAnswer(Duration::ZERO),
        }
    }

    /// Whether nobody knows if it was carried out.
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::NotLeading => false,
            Self::NoAnswer(_) => true,
            // A gateway's timeout says nothing of what the server behind it did.
            Self::Api(kube::Error::Api(status)) => status.code >= 500,
            Self::Api(_) => true,
        }
    }
}

impl Lead {
    /// Sends one request, if this replica leads still, and gives it up before the term could end.
    ///
    /// The deadline is read right before the request is sent: a future does nothing until it is polled.
    pub async fn request<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        let left = self.context.leadership.remaining(self.term).ok_or(Failure::NotLeading)?;
        let limit = left.saturating_sub(MARGIN).min(TIMEOUT);
        if limit.is_zero() {
            return Err(Failure::NotLeading);
        }
        match tokio::time::timeout(limit, request).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::NoAnswer(limit)),
        }
    }

    /// Whether the namespace that alerts are stored in is going away. Not, if nobody can tell.
    pub async fn is_terminating(&self) -> bool {
        let namespaces: Api<Namespace> = Api::all(self.context.client.clone());
        match self.request(namespaces.get(&self.context.settings.alert.publish_namespace)).await {
            Ok(namespace) => namespace.metadata.deletion_timestamp.is_some(),
            Err(_) => false,
        }
    }
}

/// The namespaces in which rules and templates count.
pub fn namespaces(settings: &Settings) -> Namespaces {
    Namespaces::of(&settings.alert.publish_namespace, settings.rule_namespaces.iter().cloned())
}

/// The windows in which two reports tell of one incident.
pub fn windows(settings: &Settings) -> Windows {
    Windows { settle: signed(settings.alert.settle_window), repeat: signed(settings.alert.repeat_window) }
}

/// The settings that decisions read.
pub fn plan_settings(settings: &Settings) -> plan::Settings {
    let Settings { alert, action, lease, dry_run, .. } = settings;
    plan::Settings {
        system_parameters: alert.system_parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        service_accounts: action.service_accounts.clone(),
        action_timeout: signed(action.timeout),
        stale_after: signed(alert.stale_after),
        pick_up_after: signed(action.pick_up_after),
        lease_duration: signed(lease.duration),
        dry_run: *dry_run,
        ttl: Ttl {
            success: signed(alert.ttl_after_success),
            failure: signed(alert.ttl_after_failure),
            no_action: signed(alert.ttl_after_no_ops),
        },
    }
}

/// Where a cache of those namespaces is fed from.
pub fn sources<W>(client: &Client, namespaces: &Namespaces) -> Vec<Source<W>>
where
    W: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespaces {
        Namespaces::All => vec![Api::all(client.clone()).into()],
        Namespaces::Only(names) => names.iter().map(|name| Api::namespaced(client.clone(), name).into()).collect(),
    }
}

/// A cache of that kind which leaves an Event on every object that cannot be read.
pub fn telling<K: Resource<DynamicType = ()>>(events: &Recorder) -> cache::Options {
    let events = events.clone();
    let tell = move |invalid: &InvalidObject| {
        let meta = invalid.metadata.clone();
        let regarding = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            namespace: meta.namespace,
            name: meta.name,
            uid: meta.uid,
            ..ObjectReference::default()
        };
        let message = format!("the object cannot be read and is left out until it is mended: {}", invalid.error);
        events.record(Note { regarding, weight: Weight::Warning, reason: "Unreadable", message });
    };
    cache::Options { on_invalid: Some(Arc::new(tell)), ..cache::Options::default() }
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}
