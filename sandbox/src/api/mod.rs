//! The operations of the API on objects, apart from HTTP: each takes what a request says and answers a document or a
//! refusal. All writes of the server, its own housekeeping included, go through here.

mod admit;
mod create;
mod delete;
mod patch;
mod read;
mod update;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::crd;
use crate::ids::Dice;
use crate::kind::Endpoint;
use crate::pod_logs::PodLogs;
use crate::registry::Registry;
use crate::status::ApiError;
use crate::store::{Action, Document, Draft, Expect, Refused, Store, Write};

pub(crate) use delete::{DeleteOptions, Propagation};
pub(crate) use patch::Patch;
pub(crate) use read::{ContinueToken, ListQuery, Page, VersionMatch};

/// The cluster.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) logs: PodLogs,
    pub(crate) dice: Dice,
    pub(crate) clock: Clock,
}

/// The time that the server gives to what is created and deleted.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead_ms: AtomicI64,
}

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now().saturating_add(self.ahead()).unwrap_or(Timestamp::MAX)
    }

    /// How far it is ahead of the machine's.
    pub(crate) fn ahead(&self) -> SignedDuration {
        SignedDuration::from_millis(self.ahead_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: std::time::Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let _ =
            self.ahead_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ahead| Some(ahead.saturating_add(by)));
    }
}

/// The object that a request is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// Empty for cluster-scoped kinds.
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

/// Which part of an object an update may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but status, if status is a subresource.
    Main,
    /// Status alone.
    Status,
    /// The finalizers in a namespace's spec.
    Finalize,
    /// Where a pod runs, its status included.
    Binding,
}

/// What becomes of fields that the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    /// Dropped in silence.
    Ignore,
    /// Dropped with a warning.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// How a write is to be carried out.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteOptions {
    /// Do everything but store.
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    /// Who makes the change, for field ownership.
    pub(crate) manager: String,
    /// Whether server-side apply takes fields from other managers.
    pub(crate) force: bool,
    pub(crate) owners: Owners,
}

/// Where metadata.managedFields of the new state comes from.
#[derive(Debug, Clone, Default)]
pub(crate) enum Owners {
    /// From the old state, less what this write changes.
    #[default]
    Follow,
    /// From this list (an apply that creates).
    Given(Value),
    /// From the changed object itself (an apply that changes).
    AsChanged,
}

/// What a write led to.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) document: Arc<Document>,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

impl Api {
    /// The object as it is stored.
    fn stored(&self, target: Target<'_>) -> Result<Arc<Document>, ApiError> {
        self.store
            .get(&target.endpoint.kind.table, target.namespace, target.name)
            .ok_or_else(|| ApiError::not_found(&target.endpoint.kind.subject(target.name)))
    }

    /// Commits a write and does what must happen with it at once.
    fn commit(&self, target: Target<'_>, expect: Expect, action: Action) -> Result<Arc<Document>, Refused> {
        let removes = matches!(action, Action::Remove(_));
        let document = self.store.commit(Write {
            table: &target.endpoint.kind.table,
            namespace: target.namespace,
            name: target.name,
            expect,
            action,
        })?;
        match &*target.endpoint.kind.table {
            crd::TABLE => self.definition_changed(&document.value(), removes),
            "pods" if removes => self.logs.forget(target.namespace, target.name),
            "namespaces" if expect == Expect::Absent => self.furnish(target.name),
            _ => {}
        }
        Ok(document)
    }

    fn definition_changed(&self, definition: &Value, removed: bool) {
        let Ok(kind) = crd::kind(definition) else {
            // A definition is validated before it is stored.
            return;
        };
        if removed {
            self.store.close(&kind.table);
            self.registry.remove(&kind.group, &kind.plural);
        } else {
            self.registry.install(kind);
        }
    }

    /// Gives a new namespace the ServiceAccount that pods use when they name none.
    fn furnish(&self, namespace: &str) {
        let Some(accounts) = self.registry.endpoint("", "v1", "serviceaccounts") else {
            return;
        };
        let account = serde_json::json!({"metadata": {"name": "default"}});
        if let Err(error) = self.create(&accounts, namespace, account, &WriteOptions::default()) {
            tracing::debug!(namespace, %error, "could not create the default ServiceAccount");
        }
    }

    fn refusal(&self, refused: Refused, target: Target<'_>) -> ApiError {
        let subject = target.endpoint.kind.subject(target.name);
        match refused {
            Refused::Exists => ApiError::already_exists(&subject),
            Refused::Changed => ApiError::modified(&subject),
            Refused::NoNamespace => ApiError::not_found(&crate::status::Subject {
                group: "",
                resource: "namespaces",
                kind: "Namespace",
                name: target.namespace,
            }),
            Refused::Terminating => ApiError::namespace_terminating(&subject, target.namespace),
        }
    }
}

/// The document that a dry run answers.
fn unsaved(draft: Draft) -> Arc<Document> {
    Arc::new(draft.unsaved())
}
