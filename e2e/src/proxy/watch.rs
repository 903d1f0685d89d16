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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::channel::mpsc;

    use super::super::Hits;
    use super::*;

    /// A watch that a server tells these pieces, and what comes out of it.
    fn watch(faults: &Faults) -> (mpsc::UnboundedSender<std::io::Result<&'static str>>, BoxStream<'static, String>) {
        let (pieces, from) = mpsc::unbounded();
        let about = Request::of(&http::Method::GET, &http::Uri::from_static("/api/v1/pods?watch=true"));
        let answer = Response::new(Body::wrap_stream(from));
        let answer = breakable(answer, about, faults, faults.subscribe(), None);
        let told = answer.into_body().into_data_stream();
        (pieces, told.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap()).boxed())
    }

    #[tokio::test]
    async fn a_watch_ends_between_two_events() {
        let faults = Faults::default();
        let (pieces, mut told) = watch(&faults);
        for piece in ["{\"first\":1}\n", "{\"sec"] {
            pieces.unbounded_send(Ok(piece)).unwrap();
            assert_eq!(told.next().await.unwrap(), piece);
        }
        faults.arm(Fault::Expire, &[]);
        pieces.unbounded_send(Ok("ond\":2}\n")).unwrap();
        assert_eq!(told.next().await.unwrap(), "ond\":2}\n");
        let error: serde_json::Value = serde_json::from_str(&told.next().await.unwrap()).unwrap();
        assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
        assert_eq!(told.next().await, None);
        assert_eq!(faults.hits(), Hits::from([("watch pods".to_owned(), 1)]));
    }

    #[tokio::test]
    async fn a_watch_that_is_frozen_tells_nothing_more_and_does_not_end() {
        let faults = Faults::default();
        let (pieces, mut told) = watch(&faults);
        pieces.unbounded_send(Ok("{}\n")).unwrap();
        assert_eq!(told.next().await.unwrap(), "{}\n");
        faults.arm(Fault::Freeze, &[]);
        pieces.unbounded_send(Ok("{}\n")).unwrap();
        drop(pieces);
        assert_eq!(told.next().now_or_never(), None);
        assert_eq!(faults.hits(), Hits::from([("watch pods".to_owned(), 1)]));
    }
}
