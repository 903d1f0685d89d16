//! How many alerts are worked on at the same time. One that waits at the desk of the guard sends no requests and needs no
//! turn: in a storm most would wait there, and keep others from being looked at.

use tokio::sync::{Semaphore, SemaphorePermit};

/// So many alerts may be in hand for each one that is worked on. What is known of an alert stays in memory meanwhile.
const IN_HAND: usize = 8;

/// The turns there are.
pub struct Turns {
    free: Semaphore,
    count: usize,
}

/// A turn, until it is dropped or ended.
pub struct Turn<'a>(Option<SemaphorePermit<'a>>);

impl Turns {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self { free: Semaphore::new(count), count }
    }

    /// How many alerts may be in hand, those at the desk among them.
    pub fn most_in_hand(&self) -> usize {
        self.count.saturating_mul(IN_HAND)
    }

    /// Waits for one that is free, first come, first served.
    pub async fn next(&self) -> Turn<'_> {
        Turn(self.free.acquire().await.ok())
    }
}

impl Turn<'_> {
    /// Somebody else may begin. Whoever was served goes on without waiting for another turn: a place that it took is
    /// scarcer than turns are, and the desk serves only so many at once.
    pub fn end(&mut self) {
        self.0 = None;
    }
}
