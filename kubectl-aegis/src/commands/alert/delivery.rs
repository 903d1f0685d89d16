//! How a body reaches the webhook: straight to its URL, or through the API server's proxy to its Service.

use std::time::Duration;

use aegis_controller::ingest::TOKEN_HEADER;
use clap::Args;
use kube::Client;
use kube::core::Status;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};

/// A little more than the webhook itself takes at the most.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the webhook is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Delivery {
    /// The webhook's own address; by default the API server passes the alert on to --service
    #[arg(long, env = "AEGIS_URL", value_name = "URL")]
    url: Option<String>,
    /// A file with the token that the webhook asks for
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// The Service of the webhook and its port, in the namespace of -n
    #[arg(long, value_name = "NAME:PORT", default_value = "aegis:8080")]
    service: String,
}

/// What the webhook said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Vec<u8>,
}

impl Delivery {
    /// Posts the body to that route.
    pub(crate) async fn post(&self, cluster: &ClusterArgs, route: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        let token = self.token()?;
        match &self.url {
            Some(url) => direct(url, route, token, body).await,
            None => {
                let client = cluster.client_that_asks_once().await?;
                self.through_the_api_server(&client, &cluster.namespace, route, token, body).await
            }
        }
    }

    /// The webhook's own address, where it was given.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// The Service and its port.
    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    /// The same through another Service.
    pub(crate) fn through(&self, service: &str) -> Self {
        Self { service: service.to_owned(), ..self.clone() }
    }

    /// The token, where a file was named.
    pub(crate) fn token(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.token_file else { return Ok(None) };
        match std::fs::read_to_string(file) {
            Ok(token) if !token.trim().is_empty() => Ok(Some(token.trim().to_owned())),
            Ok(_) => Err(Failure::new(Kind::Usage, format!("--token-file {file} is empty; expected a token"))),
            Err(error) => Err(Failure::new(Kind::Usage, format!("could not read --token-file {file}")).because(error)),
        }
    }

    async fn through_the_api_server(
        &self,
        client: &Client,
        namespace: &str,
        route: &str,
        token: Option<String>,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let path = format!("/api/v1/namespaces/{namespace}/services/{}/proxy{route}", self.service);
        let mut request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            // Authorization says to the API server who is asking, and goes no further.
            request = request.header(TOKEN_HEADER, token);
        }
        let request = request.body(body.into()).map_err(|error| {
            Failure::new(Kind::Usage, format!("--service {} or the token cannot be sent", self.service)).because(error)
        })?;
        let failed = |error| Failure::of_call("the API server could not pass the alert on", error);
        let answer = async {
            let response = client.send(request).await?;
            let code = response.status().as_u16();
            Ok(Answer { code, body: response.into_body().collect_bytes().await?.to_vec() })
        };
        let answer = match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(failed)?,
            Err(_) => return Err(Failure::new(Kind::Cluster, format!("no answer within {} s", TIMEOUT.as_secs()))),
        };
        match status_of(&answer) {
            None => Ok(answer),
            Some(status) if status.code == 404 => {
                Err(Failure::new(Kind::NotFound, format!("there is no Service {} in {namespace}", self.service))
                    .because(kube::Error::Api(status))
                    .hint("is Aegis installed there? Say where with -n and --service, or give the webhook's --url"))
            }
            Some(status) => Err(failed(kube::Error::Api(status))),
        }
    }
}

async fn direct(url: &str, route: &str, token: Option<String>, body: Vec<u8>) -> Result<Answer, Failure> {
    let unreachable = |error: reqwest::Error| {
        Failure::new(Kind::Cluster, format!("could not reach the webhook at {url}")).because(error)
    };
    let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(unreachable)?;
    let mut request = http.post(format!("{}{route}", url.trim_end_matches('/'))).body(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(unreachable)?;
    let code = response.status().as_u16();
    let body = response.bytes().await.map_err(unreachable)?.to_vec();
    Ok(Answer { code, body })
}

/// What the API server itself said, where an answer is not the webhook's.
fn status_of(answer: &Answer) -> Option<Box<Status>> {
    if answer.code < 400 {
        return None;
    }
    let object: Value = serde_json::from_slice(&answer.body).ok()?;
    if object.get("kind").and_then(Value::as_str) != Some("Status") {
        return None;
    }
    let status = Status::deserialize(object).ok()?;
    Some(Box::new(Status { code: answer.code, ..status }))
}
