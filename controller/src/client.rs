//! The client of the API server: no retries behind our back, and every request counted.

use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Response};
use futures::future::BoxFuture;
use kube::Config;
use kube::client::{Body, ClientBuilder};
use tower::{Layer, Service};

use crate::metrics::Metrics;
use crate::settings::Settings;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a kubeconfig nor a ServiceAccount says where the API server is.
    #[error("could not find out how to reach the API server; give --kubeconfig or run in a pod with a ServiceAccount")]
    Infer(#[source] kube::config::InferConfigError),
    /// The kubeconfig that was named cannot be used.
    #[error("could not use the kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// The connection cannot be set up as the configuration says.
    #[error("could not set up the connection to the API server")]
    Build(#[source] kube::Error),
}

/// A client as the settings say. Its requests have no time limit of their own; each caller gives its own.
pub async fn connect(settings: &Settings, metrics: &Metrics) -> Result<kube::Client, Error> {
    let config = match &settings.kubeconfig {
        None => Config::infer().await.map_err(Error::Infer)?,
        Some(path) => {
            let named = |source| Error::Kubeconfig { path: path.clone(), source };
            let kubeconfig = kube::config::Kubeconfig::read_from(path).map_err(named)?;
            Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.map_err(named)?
        }
    };
    build(config, metrics)
}

/// A client for that configuration.
pub fn build(mut config: Config, metrics: &Metrics) -> Result<kube::Client, Error> {
    // The library would send a create again after 503 for minutes; our callers know better how long they may wait.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    let builder = ClientBuilder::try_from(config).map_err(Error::Build)?;
    Ok(builder.with_layer(&Counting { metrics: metrics.clone() }).build())
}

struct Counting {
    metrics: Metrics,
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { metrics: self.metrics.clone(), inner }
    }
}

struct Counted<S> {
    metrics: Metrics,
    inner: S,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The library notes there what it is about to do.
        let verb = request.extensions().get::<&'static str>().copied().unwrap_or("other");
        let resource = resource_of(request.uri().path());
        let asked = Asked { metrics: self.metrics.clone(), verb, resource, code: 0 };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut asked = asked;
            let answer = answer.await;
            asked.code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
            answer
        })
    }
}

/// A request that is counted when it is over, be it because its caller gave it up.
struct Asked {
    metrics: Metrics,
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.metrics.api_request(self.verb, self.resource, self.code);
    }
}

/// The resource that a path of the API server is about, if it is one of those that we use.
fn resource_of(path: &str) -> &'static str {
    const KNOWN: [&str; 11] = [
        "aegisalerts",
        "aegisalertopsrules",
        "aegisopstemplates",
        "workflows",
        "jobs",
        "leases",
        "events",
        "nodes",
        "pods",
        "configmaps",
        "namespaces",
    ];
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    // "api/v1" or "apis/<group>/<version>"
    let prefix = if segments.next() == Some("apis") { 2 } else { 1 };
    let mut rest = segments.skip(prefix).peekable();
    let first = rest.next().unwrap_or_default();
    let inside = if first == "namespaces" { rest.nth(1) } else { None };
    let resource = inside.unwrap_or(first);
    KNOWN.into_iter().find(|known| *known == resource).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_is_given_up_counts_as_one_without_an_answer() {
        let metrics = Metrics::new();
        let silent =
            tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, kube::Error>>());
        let mut client = Counting { metrics: metrics.clone() }.layer(silent);
        let path = "/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisalerts";
        let request = Request::post(path).extension("create").body(Body::empty()).unwrap();
        let answer = tokio::time::timeout(Duration::ZERO, client.call(request)).await;
        assert!(answer.is_err());
        let line = "aegis_api_requests_total{verb=\"create\",resource=\"aegisalerts\",code=\"0\"} 1";
        assert!(metrics.text().unwrap().contains(line), "{}", metrics.text().unwrap());
    }

    #[test]
    fn a_path_is_counted_under_its_resource_and_never_under_a_name() {
        let cases = [
            ("/api/v1/namespaces/pods/configmaps/nodes", "configmaps"),
            ("/api/v1/nodes/dev1", "nodes"),
            ("/apis/aegis.io/v1alpha1/namespaces/monitoring/aegisalerts/a/status", "aegisalerts"),
            ("/apis/argoproj.io/v1alpha1/workflows", "workflows"),
            ("/api/v1/namespaces/monitoring", "namespaces"),
            ("/apis/x.io/v1/things", "other"),
            ("/version", "other"),
            ("", "other"),
        ];
        for (path, want) in cases {
            assert_eq!(resource_of(path), want, "{path}");
        }
    }
}
