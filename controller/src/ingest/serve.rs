//! The server: HTTP or HTTPS with limits on everything that a stranger can make large or slow, and an end that loses
//! nothing.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Ingest;
use super::auth::Guard;
use super::listen::{Endpoint, Limited};
use super::routes;
use super::tls::Tls;

/// How often files that may change are looked at.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How long the headers of a request may take.
const HEADERS: Duration = Duration::from_secs(10);
/// How many headers a request may have, and how many bytes of them.
const MOST_HEADERS: usize = 64;
const LARGEST_HEADERS: usize = 32 << 10;
/// How many requests one HTTP/2 connection may have in hand.
const MOST_STREAMS: u32 = 64;
/// How long requests in hand may take after the stop: longer than any of them does.
const DRAIN: Duration = Duration::from_secs(6);

/// Why the webhooks cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token's file cannot be used.
    #[error("could not take the token from {file} (http.token-file): {source}")]
    Token {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The certificate's or the key's file cannot be used.
    #[error("could not take {file} (http.tls-cert-file, http.tls-key-file): {message}")]
    Tls {
        /// The file.
        file: PathBuf,
        /// Why, and what is expected.
        message: String,
    },
    /// The listener failed.
    #[error("could not serve HTTP")]
    Serve(#[source] io::Error),
}

/// Serves the webhooks, the metrics and the probes on that listener until `stop`. Then it takes in nothing more,
/// finishes what it has in hand, writes what it has counted, and returns.
pub async fn serve(listener: TcpListener, ingest: Ingest, stop: CancellationToken) -> Result<(), Error> {
    let inner = ingest.inner.clone();
    let guard = Guard::load(inner.http.token_file.clone())?;
    let tls = match (&inner.http.tls_cert_file, &inner.http.tls_key_file) {
        (Some(certificate), Some(key)) => Some(Tls::load(certificate.clone(), key.clone())?),
        _ => None,
    };
    let address = listener.local_addr().map_err(Error::Serve)?;
    let background = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(guard.clone().follow(background.clone()));
    let (repeats, rejects) = (inner.clone(), inner.clone());
    let (first, second) = (background.clone(), background.clone());
    tasks.spawn(async move { repeats.write_repeats(first).await });
    tasks.spawn(async move { rejects.rejects.write(second).await });

    let handle = Handle::new();
    let places = inner.http.max_connections;
    let mut server = Server::<Endpoint>::from_listener(Limited::new(listener, places)).handle(handle.clone());
    let builder = server.http_builder();
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_headers(MOST_HEADERS).max_buf_size(LARGEST_HEADERS);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(MOST_STREAMS).max_header_list_size(LARGEST_HEADERS as u32);

    let draining = inner.clone();
    let stopping = stop.clone();
    tasks.spawn(async move {
        stopping.cancelled().await;
        draining.draining.store(true, Ordering::Relaxed);
        handle.graceful_shutdown(Some(DRAIN));
    });

    info!(%address, tls = tls.is_some(), "taking alerts at {address}");
    let app = routes::router(&ingest, guard).into_make_service();
    let served = match tls {
        None => server.serve(app).await,
        Some(tls) => {
            let acceptor = axum_server::tls_rustls::RustlsAcceptor::new(tls.config.clone());
            tasks.spawn(tls.follow(background.clone()));
            server.acceptor(acceptor).serve(app).await
        }
    };

    inner.draining.store(true, Ordering::Relaxed);
    inner.tasks.close();
    if tokio::time::timeout(DRAIN, inner.tasks.wait()).await.is_err() {
        warn!("some requests were still in hand at the end");
    }
    background.cancel();
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    info!("the webhooks are closed");
    served.map_err(Error::Serve)
}
