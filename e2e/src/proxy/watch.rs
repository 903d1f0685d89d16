//! Watches on their way to the controller: event by event, until one is broken.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use reqwest::Body;
use serde_json::json;
use tokio::sync::watch;

use super::fault::{Fault, Faults, Hit};
use super::request::Request;

struct Events {
    from: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    about: Request,
    faults: Faults,
    armed: watch::Receiver<u64>,
    /// What it is to be met by.
    hit: Option<Hit>,
    /// Whether the last event is complete.
    whole: bool,
    ended: bool,
}

/// The answer to a watch, as a stream that a fault can meet now (`hit`) or whenever one is armed.
pub(super) fn breakable(
    answer: Response<Body>,
    about: Request,
    faults: &Faults,
    armed: watch::Receiver<u64>,
    hit: Option<Hit>,
) -> Response<Body> {
    answer.map(|body| {
        let from = body.into_data_stream().boxed();
        let events = Events { from, about, faults: faults.clone(), armed, hit, whole: true, ended: false };
        Body::wrap_stream(futures::stream::unfold(events, Events::next))
    })
}

impl Events {
    async fn next(mut self) -> Option<(Result<Bytes, reqwest::Error>, Self)> {
        if self.ended {
            return None;
        }
        loop {
            // Between two events, so that what is told stays readable.
            if self.whole
                && let Some(hit) = self.hit.take()
            {
                let fault = hit.fault;
                self.faults.happened(Some(hit));
                if fault == Fault::Freeze {
                    std::future::pending::<()>().await;
                }
                self.ended = true;
                return Some((Ok(expired()), self));
            }
            tokio::select! {
                biased;
                Ok(()) = self.armed.changed() => self.hit = self.faults.judge(&self.about),
                chunk = self.from.next() => {
                    let chunk = chunk?;
                    if let Ok(chunk) = &chunk {
                        self.whole = chunk.last().is_none_or(|last| *last == b'\n');
                    }
                    return Some((chunk, self));
                }
            }
        }
    }
}

fn expired() -> Bytes {
    let event = json!({"type": "ERROR", "object": super::status(410, None)});
    Bytes::from(format!("{event}\n"))
}
