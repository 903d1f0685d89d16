//! What stands between one controller and the API server when something is to go wrong on the way: it passes requests on
//! and does to some of them what a network, a load balancer or a server in trouble does.
//!
//! It listens on the real machine's end of the link and speaks plain HTTP there, as one request after the other on each
//! connection, which is how the controller speaks over TLS too. So a connection that is reset costs one request.

mod fault;
mod request;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, HeaderName, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reqwest::Body;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::cluster::Cluster;
pub use fault::{Fault, Hits};
use fault::{Faults, Hit};
use request::Request;

/// A proxy that runs until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    faults: Faults,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts one that does no harm yet.
    pub async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((cluster.machine.network().outside(), 0)).await;
        let listener = listener.context("the proxy could not listen on the link")?;
        let authority = reqwest::Certificate::from_pem(&std::fs::read(cluster.authority())?)?;
        let client = reqwest::Client::builder().tls_certs_only([authority]).http1_only().no_proxy().build()?;
        Self::run(listener, cluster.server(), client)
    }

    fn run(listener: TcpListener, server: String, client: reqwest::Client) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let faults = Faults::default();
        let way = Way { server, client, faults: faults.clone() };
        let task = tokio::spawn(accept(listener, way)).abort_handle();
        Ok(Self { address, faults, task })
    }

    /// Where the controller finds the API server.
    pub fn server(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on does this to every second request, beginning with the first, of each verb and resource that are named
    /// as in "create workflows" or "patch aegisalerts/status"; to those of any, if none is named. A fault of watches
    /// meets the watches that are open already too.
    pub fn arm(&self, fault: Fault, requests: &[&str]) {
        self.faults.arm(fault, requests);
    }

    /// What was done since it was armed.
    pub fn hits(&self) -> Hits {
        self.faults.hits()
    }

    /// Does no harm any more. What is frozen, swallowed or late already stays so.
    pub fn disarm(&self) {
        self.faults.disarm();
    }
}

async fn accept(listener: TcpListener, way: Way) {
    let way = Arc::new(way);
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, way.clone()));
        }
    }
}

async fn serve(stream: TcpStream, way: Arc<Way>) {
    // So that a connection which is dropped here is reset, and not closed in order.
    if stream.set_zero_linger().is_err() {
        return;
    }
    let answer = move |request| {
        let way = way.clone();
        async move { way.answer(request).await.map_err(|Dropped| "the connection is to be reset") }
    };
    // An error is a connection that ended, on either side.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

/// The connection on which a request came is to be reset.
struct Dropped;

/// A request whose body has arrived.
struct Whole {
    parts: http::request::Parts,
    body: Bytes,
}

/// The way to the API server.
struct Way {
    server: String,
    client: reqwest::Client,
    faults: Faults,
}

impl Way {
    async fn answer(&self, request: http::Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let (parts, body) = request.into_parts();
        let about = Request::of(&parts.method, &parts.uri);
        let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
        let request = Whole { parts, body };
        let armed = self.faults.subscribe();
        let hit = self.faults.judge(&about);
        let Some(fault) = hit.as_ref().map(|hit| hit.fault) else {
            let answer = self.pass_on(request).await?;
            return Ok(if about.is_watch() {
                watch::breakable(answer, about, &self.faults, armed, None)
            } else {
                answer
            });
        };
        match fault {
            Fault::Refuse(code, retry_after) => {
                self.faults.happened(hit);
                Ok(refusal(code, retry_after))
            }
            Fault::FailAfter(code) => {
                let answer = self.pass_on(request).await?;
                if !answer.status().is_success() {
                    return Ok(answer);
                }
                self.faults.happened(hit);
                Ok(refusal(code, None))
            }
            Fault::LoseAnswer => {
                let answer = self.pass_on(request).await?;
                if !answer.status().is_success() {
                    return Ok(answer);
                }
                self.faults.happened(hit);
                Err(Dropped)
            }
            Fault::Reset => {
                self.faults.happened(hit);
                Err(Dropped)
            }
            Fault::Swallow => {
                self.faults.happened(hit);
                std::future::pending().await
            }
            Fault::Delay(time) => self.late(time, request, hit).await,
            Fault::Expire => {
                self.faults.happened(hit);
                Ok(refusal(410, None))
            }
            Fault::Freeze => {
                let answer = self.pass_on(request).await?;
                Ok(watch::breakable(answer, about, &self.faults, armed, hit))
            }
        }
    }

    /// A request that is under way for a long time arrives, whether or not its sender still waits.
    async fn late(&self, time: Duration, request: Whole, hit: Option<Hit>) -> Result<Response<Body>, Dropped> {
        let way = Self { server: self.server.clone(), client: self.client.clone(), faults: self.faults.clone() };
        let task = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            way.faults.happened(hit);
            way.pass_on(request).await
        });
        task.await.map_err(|_| Dropped)?
    }

    async fn pass_on(&self, request: Whole) -> Result<Response<Body>, Dropped> {
        let Whole { mut parts, body } = request;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        of_the_message(&mut parts.headers);
        let passed = self.client.request(parts.method, format!("{}{path}", self.server)).headers(parts.headers);
        // A server that is gone is a connection that is gone.
        let answer = passed.body(body).send().await.map_err(|_| Dropped)?;
        let mut answer: Response<Body> = answer.into();
        of_the_message(answer.headers_mut());
        Ok(answer)
    }
}

/// Takes away what is about the connection and not about the message.
fn of_the_message(headers: &mut HeaderMap) {
    const CONNECTION: [HeaderName; 4] =
        [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH];
    for name in CONNECTION {
        headers.remove(name);
    }
}

/// An error as the API server tells it.
fn refusal(code: u16, retry_after: Option<u32>) -> Response<Body> {
    let status = status(code, retry_after);
    let mut answer = Response::new(Body::from(status.to_string()));
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

fn status(code: u16, retry_after: Option<u32>) -> serde_json::Value {
    let reason = match code {
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": "something is made to go wrong", "details": {"retryAfterSeconds": retry_after.unwrap_or(0)},
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A server that counts what it carries out, and a proxy before it.
    async fn before_a_server() -> (Proxy, Arc<AtomicU32>) {
        let carried_out = Arc::new(AtomicU32::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let count = carried_out.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let count = count.clone();
                let answer = move |_: http::Request<Incoming>| {
                    count.fetch_add(1, Ordering::SeqCst);
                    async { Ok::<_, std::convert::Infallible>(Response::new(Body::from("{}\n"))) }
                };
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Proxy::run(listener, server, client()).unwrap(), carried_out)
    }

    fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().http1_only().no_proxy().build().unwrap()
    }

    #[tokio::test]
    async fn a_fault_does_what_its_name_says() {
        let no_answer = Duration::from_secs(2);
        let cases = [
            (Fault::Refuse(429, Some(1)), Some(429), 0),
            (Fault::FailAfter(504), Some(504), 1),
            (Fault::Reset, None, 0),
            (Fault::LoseAnswer, None, 1),
            (Fault::Swallow, None, 0),
            (Fault::Delay(Duration::ZERO), Some(200), 1),
        ];
        for (fault, answer, carried_out) in cases {
            let (proxy, count) = before_a_server().await;
            let send = || client().post(format!("{}/api/v1/pods", proxy.server())).timeout(no_answer).send();
            proxy.arm(fault, &["create pods"]);
            let met = send().await.ok().map(|answer| answer.status().as_u16());
            assert_eq!((met, count.load(Ordering::SeqCst)), (answer, carried_out), "{fault:?}");
            assert_eq!(proxy.hits(), Hits::from([("create pods".to_owned(), 1)]), "{fault:?}");
            let next = send().await.unwrap();
            assert_eq!((next.status().as_u16(), next.text().await.unwrap().as_str()), (200, "{}\n"), "after {fault:?}");
        }
    }

    #[tokio::test]
    async fn what_is_late_arrives_when_its_sender_has_given_up() {
        let (proxy, count) = before_a_server().await;
        proxy.arm(Fault::Delay(Duration::from_secs(2)), &[]);
        let request = client().post(format!("{}/api/v1/pods", proxy.server())).timeout(Duration::from_secs(1));
        assert!(request.send().await.unwrap_err().is_timeout());
        crate::wait::until("it arrives", || async { Ok((count.load(Ordering::SeqCst) == 1).then_some(())) })
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_watch_is_told_that_it_has_expired() {
        let (proxy, _) = before_a_server().await;
        proxy.arm(Fault::Expire, &[]);
        let watch = || async {
            let answer = client().get(format!("{}/api/v1/pods?watch=true", proxy.server())).send().await.unwrap();
            answer.status().as_u16()
        };
        assert_eq!((watch().await, watch().await), (410, 200));
    }
}
