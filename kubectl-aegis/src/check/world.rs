//! The cluster that is checked, and what several families of checks need of it.

use std::time::Duration;

use aegis_controller::ingest::TOKEN_HEADER;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use super::ask::{Asked, Place};
use crate::cluster::ClusterArgs;
use crate::commands::alert::delivery::Delivery;
use crate::failure::Failure;
use crate::install::receiver::Webhook;

/// How long the controller may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// See the module's description.
pub(crate) struct World {
    pub(crate) client: Client,
    /// Where alerts are published.
    pub(crate) namespace: String,
    /// The webhook's own address, where it is not reached through its Service.
    pub(crate) url: Option<String>,
    /// The Service and its port.
    service: String,
    token: Option<String>,
    pub(crate) now: Timestamp,
    /// The controller's Deployment.
    pub(crate) deployment: Asked<Value>,
}

impl World {
    /// Looks where the controller is; the rest is read by each family of checks.
    pub(crate) async fn look(
        client: Client,
        cluster: &ClusterArgs,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let mut world = Self {
            client,
            namespace: cluster.namespace.clone(),
            url: delivery.url().map(str::to_owned),
            service: delivery.service().to_owned(),
            token: delivery.token()?,
            now,
            deployment: Asked::Missing,
        };
        world.deployment = world.place("apps/v1", "Deployment", "deployments").get(&world.client, "aegis").await;
        if world.webhook().tls && !world.service.contains("https:") {
            world.service = format!("https:{}", world.service);
        }
        Ok(world)
    }

    /// The version of the API server.
    ///
    /// # Errors
    /// Where it cannot be reached, or does not know who asks.
    pub(crate) async fn version(&self) -> Result<String, Failure> {
        let version = self.client.apiserver_version().await;
        let version = version.map_err(|error| Failure::of_call("could not ask the API server its version", error))?;
        Ok(version.git_version)
    }

    pub(crate) fn place<'a>(&'a self, version: &'a str, kind: &'a str, plural: &'a str) -> Place<'a> {
        Place { version, kind, plural, namespace: Some(&self.namespace) }
    }

    /// How the webhook is reached, as its Deployment says.
    pub(crate) fn webhook(&self) -> Webhook {
        self.deployment.known().map(Webhook::of).unwrap_or_default()
    }

    /// The Service and its port, as the API server's proxy takes them.
    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    /// A setting of the controller, as far as it is a variable of its container.
    pub(crate) fn setting(&self, variable: &str) -> Option<&str> {
        let variables = self.deployment.known()?.pointer("/spec/template/spec/containers/0/env")?.as_array()?;
        let found = variables.iter().find(|one| one.get("name").is_some_and(|name| name == variable))?;
        found.get("value").and_then(Value::as_str).filter(|value| !value.is_empty())
    }

    /// The ServiceAccount that the controller runs as.
    pub(crate) fn account(&self) -> &str {
        let account = self.deployment.known().and_then(|one| one.pointer("/spec/template/spec/serviceAccountName"));
        account.and_then(Value::as_str).unwrap_or("aegis")
    }

    /// What the controller answers at that path. A code that is no success is trouble.
    pub(crate) async fn controller(&self, path: &str) -> Asked<String> {
        match &self.url {
            Some(url) => direct(&format!("{}{path}", url.trim_end_matches('/'))).await,
            None => self.through_the_api_server(path).await,
        }
    }

    async fn through_the_api_server(&self, path: &str) -> Asked<String> {
        let (namespace, service, prefix) = (&self.namespace, self.service(), self.webhook().prefix);
        let path = format!("/api/v1/namespaces/{namespace}/services/{service}/proxy{prefix}{path}");
        let right = format!("get on services/proxy in namespace {namespace}");
        let mut request = http::Request::get(path);
        if let Some(token) = &self.token {
            request = request.header(TOKEN_HEADER, token);
        }
        match request.body(Vec::new()) {
            Ok(request) => match tokio::time::timeout(TIMEOUT, self.client.request_text(request)).await {
                Ok(answer) => Asked::of(answer, &right),
                Err(_) => Asked::Trouble(format!("no answer within {} s", TIMEOUT.as_secs())),
            },
            Err(error) => Asked::Trouble(error.to_string()),
        }
    }
}

async fn direct(url: &str) -> Asked<String> {
    let answer = async {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let answer = http.get(url).send().await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.text().await?))
    };
    match answer.await {
        Ok((status, text)) if status.is_success() => Asked::Known(text),
        Ok((status, text)) => Asked::Trouble(format!("{url} answered {status}: {}", text.trim())),
        Err(error) => Asked::Trouble(format!("{url} cannot be reached: {error}")),
    }
}
