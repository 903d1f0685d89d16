//! How a body reaches the webhook: straight to its URL, or through the API server's proxy to its Service.

use std::time::Duration;

use clap::Args;
use kube::Client;

use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};

/// A little more than the webhook itself takes at the most.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the webhook is.
#[derive(Args, Debug)]
pub(super) struct Delivery {
    /// The webhook's own address; by default the API server passes the alert on to --service
    #[arg(long, env = "AEGIS_URL", value_name = "URL")]
    url: Option<String>,
    /// A file with the bearer token that the webhook at --url asks for
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<String>,
    /// The Service of the webhook and its port, in the namespace of -n
    #[arg(long, value_name = "NAME:PORT", default_value = "aegis:8080")]
    service: String,
}

/// What the webhook said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) body: Vec<u8>,
}

impl Delivery {
    /// Posts the body to that route.
    pub(super) async fn post(&self, cluster: &ClusterArgs, route: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        match &self.url {
            Some(url) => self.direct(url, route, body).await,
            None => self.through_the_api_server(&cluster.client().await?, &cluster.namespace, route, body).await,
        }
    }

    async fn direct(&self, url: &str, route: &str, body: Vec<u8>) -> Result<Answer, Failure> {
        let unreachable = |error: reqwest::Error| {
            Failure::new(Kind::Cluster, format!("could not reach the webhook at {url}")).because(error)
        };
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(unreachable)?;
        let mut request = http.post(format!("{}{route}", url.trim_end_matches('/'))).body(body);
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file).map_err(|error| {
                Failure::new(Kind::Usage, format!("could not read --token-file {file}")).because(error)
            })?;
            request = request.bearer_auth(token.trim());
        }
        let response = request.send().await.map_err(unreachable)?;
        let code = response.status().as_u16();
        let body = response.bytes().await.map_err(unreachable)?.to_vec();
        Ok(Answer { code, body })
    }

    async fn through_the_api_server(
        &self,
        client: &Client,
        namespace: &str,
        route: &str,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let path = format!("/api/v1/namespaces/{namespace}/services/{}/proxy{route}", self.service);
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| {
                Failure::new(Kind::Usage, format!("--service {} is no name and port", self.service)).because(error)
            })?;
        match tokio::time::timeout(TIMEOUT, client.request_text(request)).await {
            Ok(Ok(text)) => Ok(Answer { code: 200, body: text.into_bytes() }),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                Err(Failure::new(Kind::NotFound, format!("there is no Service {} in {namespace}", self.service))
                    .because(kube::Error::Api(status))
                    .hint("is Aegis installed there? Say where with -n and --service, or give the webhook's --url"))
            }
            Ok(Err(error)) => Err(Failure::of_call("the API server could not pass the alert on", error)),
            Err(_) => Err(Failure::new(Kind::Cluster, format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }
}
