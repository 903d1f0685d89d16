//! Reading a body within bounds: of its size, of the time, of the memory that all bodies take together, and of the
//! alerts that wait to be stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, timeout_at};

use super::answer::{NotNow, Refusal};

/// How many bodies of the largest size may be in memory at once. Ordinary ones are a thousand times smaller.
const LARGEST_BODIES: usize = 16;

/// The bytes that bodies take while they are read and stored.
#[derive(Clone)]
pub(super) struct Memory {
    free: Arc<AtomicUsize>,
}

/// Bytes taken from [`Memory`], given back on drop.
struct Taken {
    free: Arc<AtomicUsize>,
    bytes: usize,
}

/// A body that was read, and its share of [`Memory`].
pub(super) struct Read {
    pub(super) bytes: Vec<u8>,
    _taken: Taken,
}

impl Memory {
    pub(super) fn for_bodies_of(limit: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(limit.saturating_mul(LARGEST_BODIES))) }
    }

    /// Reads a whole body of at most `limit` bytes.
    pub(super) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
        deadline: Instant,
    ) -> Result<Read, Refusal> {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > limit) {
            return Err(Refusal::TooLarge(limit));
        }
        let mut taken = Taken { free: self.free.clone(), bytes: 0 };
        let mut bytes = Vec::new();
        let mut chunks = body.into_data_stream();
        loop {
            match timeout_at(deadline, chunks.next()).await {
                Ok(None) => return Ok(Read { bytes, _taken: taken }),
                Ok(Some(Ok(chunk))) => {
                    if bytes.len() + chunk.len() > limit {
                        return Err(Refusal::TooLarge(limit));
                    }
                    if !taken.more(chunk.len()) {
                        let full = NotNow::new("QueueFull", "too many large bodies at once; send this one again");
                        return Err(Refusal::NotNow(full));
                    }
                    bytes.extend_from_slice(&chunk);
                }
                // Whoever sent half a body is not there to read this.
                Ok(Some(Err(_))) => return Err(Refusal::Unreadable("the body broke off".to_owned())),
                Err(_) => {
                    let slow = NotNow::new("SlowSender", "the body did not arrive in time; send it again");
                    return Err(Refusal::NotNow(slow));
                }
            }
        }
    }
}

impl Taken {
    fn more(&mut self, bytes: usize) -> bool {
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes));
        if taken.is_ok() {
            self.bytes += bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// The alerts that wait to be stored. A body is let in as long as the queue is not full, whatever it brings: the
/// memory of bodies is bounded too, and a body must get in at some time however many alerts it holds.
pub(super) struct Queue {
    limit: usize,
    length: Gauge,
}

/// A place in the queue, given back on drop.
pub(super) struct Place {
    length: Gauge,
    alerts: i64,
}

impl Queue {
    pub(super) fn new(limit: usize, length: Gauge) -> Self {
        Self { limit, length }
    }

    /// Lets so many alerts in.
    pub(super) fn enter(&self, alerts: usize) -> Result<Place, NotNow> {
        let alerts = i64::try_from(alerts).unwrap_or(i64::MAX);
        let before = self.length.inc_by(alerts);
        let place = Place { length: self.length.clone(), alerts };
        if usize::try_from(before).unwrap_or(0) >= self.limit {
            return Err(NotNow::new("QueueFull", "too many alerts wait to be stored; send this body again"));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.length.dec_by(self.alerts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_lets_in_until_it_is_full_and_gives_places_back() {
        let queue = Queue::new(10, Gauge::default());
        let large = queue.enter(1000).map_err(|_| "an empty queue takes any body").unwrap();
        assert!(queue.enter(1).is_err());
        drop(large);
        let nine = queue.enter(9).map_err(|_| "refused places were given back").unwrap();
        let more = queue.enter(5).map_err(|_| "it was not full").unwrap();
        assert!(queue.enter(1).is_err());
        drop((nine, more));
        assert_eq!(queue.length.get(), 0);
    }

    #[tokio::test]
    async fn a_body_is_read_within_its_bounds_and_gives_its_memory_back() {
        let memory = Memory::for_bodies_of(10);
        let soon = Instant::now() + std::time::Duration::from_secs(5);
        let none = HeaderMap::default();
        let read = |body: &'static str, limit| memory.read(&none, Body::from(body), limit, soon);
        assert_eq!(read("0123456789", 10).await.map(|read| read.bytes).ok().as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(read("0123456789a", 10).await.err(), Some(Refusal::TooLarge(10)));
        let announced = HeaderMap::from_iter([(header::CONTENT_LENGTH, "11".parse().unwrap())]);
        let early = memory
            .read(
                &announced,
                Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>()),
                10,
                soon,
            )
            .await;
        assert_eq!(early.err(), Some(Refusal::TooLarge(10)), "not a byte of it has to arrive");
        let held: Vec<_> = futures::future::join_all((0..16).map(|_| read("0123456789", 10))).await;
        assert!(matches!(read("x", 10).await.err(), Some(Refusal::NotNow(full)) if full.reason == "QueueFull"));
        drop(held);
        assert!(read("x", 10).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_asked_for_again() {
        let silent = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let deadline = Instant::now() + std::time::Duration::from_secs(3);
        let read = Memory::for_bodies_of(10).read(&HeaderMap::default(), silent, 10, deadline).await;
        assert!(matches!(read.err(), Some(Refusal::NotNow(slow)) if slow.reason == "SlowSender"));
    }
}
