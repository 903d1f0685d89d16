//! Sends to one receiver what waits for it: several notices in one message where several wait, no faster than chats
//! allow, and again after a failure until it is too late to be of use.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::body::MOST_IN_ONE;
use super::deliver::{self, Failed};
use super::line::Line;
use super::notice::Notice;
use super::outcome::Outcome;
use super::receivers::Receiver;
use crate::clock::Clock;
use crate::metrics::{Delivery, Metrics};

/// How fast messages go out, and for how long one is tried.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From one message to the next: DingTalk takes 20 a minute.
    pub between: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Before the second try; then twice as long each time.
    pub first_wait: Duration,
    /// The longest wait of those.
    pub longest_wait: Duration,
    /// No try begins so long after the first one.
    pub give_up_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            between: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
            give_up_after: Duration::from_secs(600),
        }
    }
}

/// A receiver and what waits for it.
pub struct Post {
    /// The receiver's name.
    pub name: String,
    /// What waits.
    pub line: Line,
    /// Where it goes; nowhere any more once the receiver is gone from the file.
    destination: Mutex<Option<Destination>>,
}

#[derive(Clone)]
struct Destination {
    receiver: Arc<Receiver>,
    cluster: Arc<str>,
    client: Option<reqwest::Client>,
}

impl Post {
    /// Nothing waits yet.
    pub fn new(receiver: Arc<Receiver>, cluster: Arc<str>) -> Self {
        let name = receiver.name.clone();
        let destination = Mutex::new(Some(Destination { receiver, cluster, client: None }));
        Self { name, line: Line::default(), destination }
    }

    /// What waits goes to that receiver from now on.
    pub fn move_to(&self, receiver: Arc<Receiver>, cluster: Arc<str>) {
        *self.lock() = Some(Destination { receiver, cluster, client: None });
    }

    /// Nothing is sent any more.
    pub fn end(&self) {
        *self.lock() = None;
        self.line.close();
    }

    /// Whether the receiver hears of that.
    pub fn wants(&self, outcome: Outcome) -> bool {
        self.lock().as_ref().is_some_and(|destination| destination.receiver.outcomes.contains(&outcome))
    }

    /// Sends until the line is closed and empty. After `closing` nothing is tried twice.
    pub async fn serve(self: Arc<Self>, metrics: Metrics, clock: Clock, pace: Pace, closing: CancellationToken) {
        loop {
            let notices = self.line.take(MOST_IN_ONE).await;
            if notices.is_empty() {
                return;
            }
            let result = self.deliver(&notices, clock, pace, &closing).await;
            metrics.notified(&self.name, result, notices.len());
            closing.run_until_cancelled(tokio::time::sleep(pace.between)).await;
        }
    }

    async fn deliver(
        &self,
        notices: &[Arc<Notice>],
        clock: Clock,
        pace: Pace,
        closing: &CancellationToken,
    ) -> Delivery {
        let (begun, mut wait, mut tries) = (Instant::now(), pace.first_wait, 0_u32);
        loop {
            let Some(destination) = self.lock().clone() else { return Delivery::Dropped };
            let Failed { why, again } = match self.attempt(destination, notices, clock, pace).await {
                Ok(()) => {
                    if tries > 0 {
                        debug!(receiver = %self.name, "receiver {} has taken the message", self.name);
                    }
                    return Delivery::Sent;
                }
                Err(failed) => failed,
            };
            tries += 1;
            let next = again.map(|rest| rest.max(wait)).filter(|next| begun.elapsed() + *next < pace.give_up_after);
            let Some(next) = next.filter(|_| !closing.is_cancelled()) else {
                let count = notices.len();
                warn!(receiver = %self.name, "{count} notifications for {} are given up: {why}", self.name);
                return Delivery::Failed;
            };
            if tries == 1 {
                warn!(receiver = %self.name, "could not tell {}, trying again: {why}", self.name);
            }
            closing.run_until_cancelled(tokio::time::sleep(next)).await;
            wait = (wait * 2).min(pace.longest_wait);
        }
    }

    async fn attempt(
        &self,
        destination: Destination,
        notices: &[Arc<Notice>],
        clock: Clock,
        pace: Pace,
    ) -> Result<(), Failed> {
        let Destination { receiver, cluster, client } = destination;
        let body = receiver.format.body(&cluster, notices).map_err(|why| Failed { why, again: None })?;
        let client = match client {
            Some(client) => client,
            None => self.keep(&receiver, deliver::client(&receiver, pace.timeout)?),
        };
        deliver::send(&client, &receiver, body, clock.now()).await
    }

    /// Keeps the client for the next message, unless the receiver has changed by now.
    fn keep(&self, receiver: &Arc<Receiver>, client: reqwest::Client) -> reqwest::Client {
        if let Some(destination) = self.lock().as_mut().filter(|now| Arc::ptr_eq(&now.receiver, receiver)) {
            destination.client = Some(client.clone());
        }
        client
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Destination>> {
        self.destination.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
