//! The few requests that the webhooks make, each with a deadline, and what their failures mean here.

use std::future::Future;

use aegis_crds::AegisAlert;
use aegis_crds::names::{FINGERPRINT_LABEL, fingerprint_label};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::DeserializeGuard;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::answer::NotNow;

/// Who writes, as managedFields show it.
const FIELD_MANAGER: &str = "aegis";

const TIMEOUT: &str = "Timeout";
const UNREACHABLE: &str = "Unreachable";
const SERVER_ERROR: &str = "ServerError";

/// The API server as the webhooks see it.
pub(super) struct Api {
    client: Client,
    namespace: String,
    alerts: kube::Api<AegisAlert>,
    guarded: kube::Api<DeserializeGuard<AegisAlert>>,
}

/// Why a request did not do what it should.
#[derive(Debug)]
pub(super) enum Refused {
    /// The name is taken.
    Exists,
    /// Somebody else has written the object since it was read.
    Conflict,
    /// There is no such object, or no such kind or namespace.
    Missing,
    /// It will never be taken, for that reason.
    Never(String),
    /// It may be taken later.
    NotNow(NotNow),
}

impl Api {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            alerts: kube::Api::namespaced(client.clone(), namespace),
            guarded: kube::Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            client,
        }
    }

    /// Where alerts are stored.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Stores an alert. Whoever stores under a name that is taken is told so and has stored nothing.
    pub(super) async fn create(&self, alert: &AegisAlert, deadline: Instant) -> Result<AegisAlert, Refused> {
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match within(deadline, self.alerts.create(&parameters, alert)).await {
            Err(Refused::Missing) => Err(Refused::NotNow(NotNow::new(
                "NotFound",
                format!("the namespace {} or the definition of AegisAlert does not exist", self.namespace),
            ))),
            answer => answer,
        }
    }

    /// The alert of that name; none if what is there cannot be read as an alert.
    pub(super) async fn get(&self, name: &str, deadline: Instant) -> Result<Option<AegisAlert>, Refused> {
        within(deadline, self.guarded.get(name)).await.map(|guarded| guarded.0.ok())
    }

    /// The alerts that carry the label of that fingerprint, as they are at this moment.
    pub(super) async fn list(&self, fingerprint: &str, deadline: Instant) -> Result<Vec<AegisAlert>, NotNow> {
        let labels = format!("{FINGERPRINT_LABEL}={}", fingerprint_label(fingerprint));
        let parameters = ListParams::default().labels(&labels);
        match within(deadline, self.guarded.list(&parameters)).await {
            Ok(list) => Ok(list.items.into_iter().filter_map(|guarded| guarded.0.ok()).collect()),
            Err(refused) => Err(refused.into_not_now("list the alerts of the fingerprint")),
        }
    }

    /// Changes the status of an alert that is still as it was read.
    pub(super) async fn patch_status(
        &self,
        name: &str,
        patch: &Value,
        deadline: Instant,
    ) -> Result<AegisAlert, Refused> {
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        within(deadline, self.alerts.patch_status(name, &parameters, &Patch::Merge(patch))).await
    }

    /// A Pod of any namespace.
    pub(super) async fn pod(&self, namespace: &str, name: &str, deadline: Instant) -> Result<Pod, Refused> {
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.client.clone(), namespace);
        within(deadline, pods.get(name)).await
    }
}

impl Refused {
    /// Whether nobody knows if it was done: the answer was lost, or came from a server that may have done it before it
    /// failed.
    pub(super) fn leaves_doubt(&self) -> bool {
        matches!(self, Self::NotNow(NotNow { reason: TIMEOUT | UNREACHABLE | SERVER_ERROR, .. }))
    }

    /// The same where every refusal means that it cannot be done now.
    pub(super) fn into_not_now(self, doing: &str) -> NotNow {
        match self {
            Self::NotNow(not_now) => not_now,
            Self::Missing => NotNow::new("NotFound", format!("could not {doing}: the API server does not know it")),
            Self::Exists | Self::Conflict => {
                NotNow::new("KeptChanging", format!("could not {doing}: somebody else kept changing it"))
            }
            Self::Never(why) => NotNow::new("Refused", format!("could not {doing}: {why}")),
        }
    }
}

async fn within<T>(deadline: Instant, request: impl Future<Output = kube::Result<T>>) -> Result<T, Refused> {
    match timeout_at(deadline, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(meaning(error)),
        Err(_) => Err(Refused::NotNow(NotNow::new(TIMEOUT, "the API server did not answer in time"))),
    }
}

fn meaning(error: kube::Error) -> Refused {
    let kube::Error::Api(status) = error else {
        // Only that it failed: the causes of these carry addresses at best and bodies at worst.
        return Refused::NotNow(NotNow::new(UNREACHABLE, "the API server could not be reached or understood"));
    };
    let not_now = |reason| {
        let wait = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let message = format!("the API server said {}: {}", status.code, status.message);
        Refused::NotNow(NotNow { reason, message, wait })
    };
    match status.code {
        409 if status.is_already_exists() => Refused::Exists,
        409 => Refused::Conflict,
        404 => Refused::Missing,
        400 | 413 | 422 => Refused::Never(format!("the API server said {}: {}", status.code, status.message)),
        401 => not_now("Unauthorized"),
        403 => not_now("Forbidden"),
        429 => not_now("TooManyRequests"),
        _ => not_now(SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn status(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(Status { code, reason: reason.into(), ..Status::default() }.boxed())
    }

    #[test]
    fn only_what_can_never_be_stored_is_given_up() {
        let cases = [
            (400, "BadRequest", "never"),
            (413, "RequestEntityTooLarge", "never"),
            (422, "Invalid", "never"),
            (401, "Unauthorized", "not now"),
            (403, "Forbidden", "not now"),
            (429, "TooManyRequests", "not now"),
            (500, "InternalError", "not now"),
            (503, "ServiceUnavailable", "not now"),
            (504, "Timeout", "not now"),
            (404, "NotFound", "missing"),
            (409, "AlreadyExists", "exists"),
            (409, "Conflict", "conflict"),
        ];
        for (code, reason, want) in cases {
            let got = match meaning(status(code, reason)) {
                Refused::Never(_) => "never",
                Refused::NotNow(_) => "not now",
                Refused::Missing => "missing",
                Refused::Exists => "exists",
                Refused::Conflict => "conflict",
            };
            assert_eq!(got, want, "{code} {reason}");
        }
    }
}
