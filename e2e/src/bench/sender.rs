//! What sends alerts: as Alertmanager does, which sends again what was answered with 503.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::times::Times;
use crate::aegis::Controller;

/// How long after a 503 a body is sent again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is sent before it counts as lost.
const TRIES: usize = 120;

/// Sends to one controller.
#[derive(Clone)]
pub(super) struct Sender {
    client: reqwest::Client,
    url: String,
}

/// A body that was taken.
pub(super) struct Taken {
    /// How long the answer to the first request took.
    pub(super) answered: Duration,
    /// How often it was answered with 503 before.
    pub(super) refused: usize,
    /// The names of the alerts that it is stored in.
    pub(super) names: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
}

impl Sender {
    pub(super) fn to(controller: &Controller) -> Self {
        Self { client: reqwest::Client::new(), url: controller.url("/alertmanager/alert") }
    }

    /// Sends a body until it is taken.
    pub(super) async fn deliver(&self, body: String) -> anyhow::Result<Taken> {
        let begun = Instant::now();
        let mut answered = None;
        for refused in 0..TRIES {
            let answer = self.client.post(&self.url).body(body.clone()).send().await?;
            let (code, text) = (answer.status().as_u16(), answer.text().await?);
            let answered = *answered.get_or_insert_with(|| begun.elapsed());
            match code {
                200 => {
                    let answer: Answer = serde_json::from_str(&text).with_context(|| text.clone())?;
                    let names = answer.results.into_iter().map(|line| line.name).collect();
                    return Ok(Taken { answered, refused, names });
                }
                503 => tokio::time::sleep(PAUSE).await,
                _ => bail!("the webhook answered {code}: {text}"),
            }
        }
        bail!("the webhook answered {TRIES} times with 503")
    }

    /// Sends bodies, so many at a time, and returns once all are taken.
    pub(super) async fn deliver_all(&self, bodies: Vec<String>, at_a_time: usize) -> anyhow::Result<Vec<Taken>> {
        stream::iter(bodies).map(|body| self.deliver(body)).buffer_unordered(at_a_time).try_collect().await
    }

    /// Sends bodies at that rate, whether or not those before are answered, and returns once all are taken.
    pub(super) async fn deliver_at(&self, bodies: Vec<String>, per_second: f64) -> anyhow::Result<Vec<Taken>> {
        let sender = self.clone();
        at_rate(bodies, per_second, move |body| {
            let sender = sender.clone();
            async move { sender.deliver(body).await }
        })
        .await
    }
}

/// Begins something for each item at that rate, whether or not those before have ended, and returns what they came to.
pub(super) async fn at_rate<I, T, F>(items: Vec<I>, per_second: f64, begin: impl Fn(I) -> F) -> anyhow::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    ensure!(per_second > 0.0, "nothing can be done at a rate of {per_second}/s");
    let apart = Duration::from_secs_f64(per_second.recip());
    let mut due = tokio::time::Instant::now();
    let mut tasks = JoinSet::new();
    for item in items {
        tokio::time::sleep_until(due).await;
        due += apart;
        tasks.spawn(begin(item));
    }
    tasks.join_all().await.into_iter().collect()
}

/// How long the answers took.
pub(super) fn answers(taken: &[Taken]) -> Times {
    Times::of(taken.iter().map(|taken| taken.answered))
}
