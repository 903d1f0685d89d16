//! The list of what was rejected, for people: a ConfigMap, so that it can be read through the API server whichever
//! replica rejected it. It is bounded, written in aggregate, and lost without harm.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// The ConfigMap's name; its namespace is that of the alerts.
pub const REJECTED_CONFIGMAP: &str = "aegis-rejected";
/// The key under which the list stands, as JSON, latest first: see [`Rejection`].
pub const REJECTED_KEY: &str = "rejected.json";

/// How many entries the list holds, and how long a text in it may be, in characters.
const MOST: usize = 100;
const LONGEST: usize = 300;
/// Rejections of this span are written together.
const GATHER: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: usize = 5;

/// Something that a sender sent and that can never be stored. Reports that differ in nothing but time are one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// When it was first rejected.
    pub first: Timestamp,
    /// When it was last rejected.
    pub last: Timestamp,
    /// How often it was rejected.
    pub count: u64,
    /// The route that it came by.
    pub route: String,
    /// The alert's type, where it could be read.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// The alert's fingerprint, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What is wrong: the field, what was found, and what is expected.
    pub message: String,
}

impl Rejection {
    /// One rejection, now.
    pub(super) fn new(route: &str, type_: Option<String>, fingerprint: Option<String>, message: &str) -> Self {
        let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
        let now = Timestamp::now();
        Self {
            first: now,
            last: now,
            count: 1,
            route: route.to_owned(),
            type_: type_.as_deref().map(short),
            fingerprint: fingerprint.as_deref().map(short),
            message: short(message),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        (&self.route, &self.type_, &self.fingerprint, &self.message)
            == (&other.route, &other.type_, &other.fingerprint, &other.message)
    }
}

/// Rejections on their way to the list.
pub(super) struct Rejects {
    api: Api<ConfigMap>,
    unwritten: Mutex<Vec<Rejection>>,
    arrived: Notify,
}

impl Rejects {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), unwritten: Mutex::default(), arrived: Notify::new() }
    }

    /// Has it written soon.
    pub(super) fn add(&self, rejection: Rejection) {
        let mut unwritten = self.all();
        *unwritten = merged(std::mem::take(&mut unwritten), vec![rejection]);
        self.arrived.notify_one();
    }

    /// Writes until `stop`, and then what is left.
    pub(super) async fn write(&self, stop: CancellationToken) {
        let next = || async {
            self.arrived.notified().await;
            tokio::time::sleep(GATHER).await;
        };
        while stop.run_until_cancelled(next()).await.is_some() {
            self.flush().await;
        }
        self.flush().await;
    }

    async fn flush(&self) {
        let unwritten = std::mem::take(&mut *self.all());
        if unwritten.is_empty() {
            return;
        }
        for _ in 0..TRIES {
            match tokio::time::timeout(TIMEOUT, self.write_once(&unwritten)).await {
                Ok(Ok(())) => return,
                Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
                Ok(Err(error)) => {
                    debug!("could not write the list of rejected alerts: {error}");
                    break;
                }
                Err(_) => break,
            }
        }
        // They go with the next rejection.
        let mut all = self.all();
        *all = merged(unwritten, std::mem::take(&mut all));
    }

    async fn write_once(&self, new: &[Rejection]) -> kube::Result<()> {
        let Some(old) = self.api.get_opt(REJECTED_CONFIGMAP).await? else {
            let list = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(REJECTED_CONFIGMAP.to_owned()),
                    labels: Some([("app.kubernetes.io/managed-by".to_owned(), "aegis".to_owned())].into()),
                    ..ObjectMeta::default()
                },
                data: Some([(REJECTED_KEY.to_owned(), text(&merged(Vec::new(), new.to_vec())))].into()),
                ..ConfigMap::default()
            };
            return self.api.create(&PostParams::default(), &list).await.map(drop);
        };
        let held = old.data.as_ref().and_then(|data| serde_json::from_str(data.get(REJECTED_KEY)?).ok());
        let all = merged(held.unwrap_or_default(), new.to_vec());
        let patch = serde_json::json!({
            "metadata": {"resourceVersion": old.metadata.resource_version},
            "data": {REJECTED_KEY: text(&all)},
        });
        self.api.patch(REJECTED_CONFIGMAP, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    fn all(&self) -> MutexGuard<'_, Vec<Rejection>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The list with new entries in front; alike ones are one, and the oldest fall off.
fn merged(mut list: Vec<Rejection>, new: Vec<Rejection>) -> Vec<Rejection> {
    for mut entry in new.into_iter().rev() {
        if let Some(at) = list.iter().position(|old| old.is_like(&entry)) {
            let old = list.remove(at);
            entry.first = entry.first.min(old.first);
            entry.last = entry.last.max(old.last);
            entry.count = entry.count.saturating_add(old.count);
        }
        list.insert(0, entry);
    }
    list.truncate(MOST);
    list
}

fn text(list: &[Rejection]) -> String {
    // A list of texts and numbers always serialises.
    serde_json::to_string_pretty(list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(message: &str) -> Rejection {
        Rejection::new("/alert", None, None, message)
    }

    #[test]
    fn the_list_is_bounded_latest_first_and_counts_what_is_alike() {
        let many: Vec<_> = (0..150).map(|n| rejection(&n.to_string())).collect();
        let list = merged(Vec::new(), many);
        assert_eq!((list.len(), list[0].message.as_str()), (100, "0"));
        let again = merged(list, vec![rejection("42")]);
        assert_eq!((again.len(), again[0].message.as_str(), again[0].count), (100, "42", 2));
        assert_eq!(rejection(&"长".repeat(1000)).message.chars().count(), LONGEST);
    }
}
