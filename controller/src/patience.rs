//! The API server's own pace: when it answers with Retry-After, nobody asks again before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;

/// The longest that one answer can make us wait: a server that asks for more is asked again to see whether it still means it.
const LONGEST: Duration = Duration::from_secs(60);

/// How long the API server asked to be left alone. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    until: Arc<Mutex<Option<Instant>>>,
}

impl Patience {
    /// How long to wait still; zero when the server asked for nothing.
    pub fn remaining(&self) -> Duration {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Waits until the server can be asked again.
    pub async fn wait(&self) {
        loop {
            let remaining = self.remaining();
            if remaining.is_zero() {
                return;
            }
            tokio::time::sleep(remaining).await;
        }
    }

    fn heed(&self, answer: &Response<Body>) {
        if !matches!(answer.status().as_u16(), 429 | 503) {
            return;
        }
        let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let Some(seconds) = asked.and_then(|value| value.trim().parse().ok()) else { return };
        let until = Instant::now() + Duration::from_secs(seconds).min(LONGEST);
        let mut held = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |held| held.max(until)));
    }
}

/// The same client, whose answers `patience` learns from. It delays nothing by itself.
pub fn observed(client: Client, patience: &Patience) -> Client {
    let namespace = client.default_namespace().to_owned();
    let patience = patience.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, patience) = (client.clone(), patience.clone());
        async move {
            let answer = client.send(request).await?;
            patience.heed(&answer);
            Ok::<_, kube::Error>(answer)
        }
    });
    Client::new(service, namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, retry_after: &str) -> Response<Body> {
        Response::builder().status(code).header("Retry-After", retry_after).body(Body::empty()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_wait_that_was_asked_for_counts() {
        let patience = Patience::default();
        assert_eq!(patience.remaining(), Duration::ZERO);
        patience.heed(&answer(429, "5"));
        patience.heed(&answer(503, "2"));
        assert_eq!(patience.remaining(), Duration::from_secs(5));
        let asked = Instant::now();
        patience.wait().await;
        assert_eq!(asked.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_refusal_with_a_number_makes_us_wait_and_never_for_long() {
        let patience = Patience::default();
        for (code, value) in [(200, "5"), (500, "5"), (429, "soon"), (429, "-1"), (429, "")] {
            patience.heed(&answer(code, value));
            assert_eq!(patience.remaining(), Duration::ZERO, "{code} {value:?}");
        }
        patience.heed(&answer(429, "18446744073709551615"));
        assert_eq!(patience.remaining(), LONGEST);
    }
}
