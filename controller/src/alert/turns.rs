//! How many alerts are worked on at the same time. One that waits at the desk of the guard sends no requests and needs no
//! turn: in a storm most would wait there, and keep others from being looked at.

use tokio::sync::{Semaphore, SemaphorePermit};

/// So many alerts may be in hand for each one that is worked on. What is known of an alert stays in memory meanwhile.
const IN_HAND: usize = 8;

/// The turns there are: so many for those who come, and as many for those who come back from the desk. A place that was
/// taken there is scarcer than turns are, and waits for none of those who have yet to ask for one.
pub struct Turns {
    free: Semaphore,
    served: Semaphore,
    count: usize,
}

/// A turn, until it is dropped.
pub struct Turn<'a> {
    turns: &'a Turns,
    permit: Option<SemaphorePermit<'a>>,
}

impl Turns {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self { free: Semaphore::new(count), served: Semaphore::new(count), count }
    }

    /// How many alerts may be in hand, those at the desk among them.
    pub fn most_in_hand(&self) -> usize {
        self.count.saturating_mul(IN_HAND)
    }

    /// Waits for one that is free, first come, first served.
    pub async fn next(&self) -> Turn<'_> {
        Turn { turns: self, permit: self.free.acquire().await.ok() }
    }
}

impl Turn<'_> {
    /// Leaves the turn to somebody else until the desk has answered, and then waits for another one. The desk answers
    /// many at the same moment: with no turns for them all would send their requests at once.
    pub async fn at_desk<T>(&mut self, answer: impl Future<Output = T>) -> T {
        self.permit = None;
        let answer = answer.await;
        self.permit = self.turns.served.acquire().await.ok();
        answer
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_that_waits_at_the_desk_keeps_nobody_from_a_turn_and_comes_back_before_those_who_have_yet_to_ask() {
        let turns = Turns::new(1);
        let mut first = turns.next().await;
        assert!(turns.next().now_or_never().is_none());
        let mut second = first.at_desk(turns.next()).await;
        assert!(turns.next().now_or_never().is_none(), "the second has that turn");
        assert!(second.at_desk(async {}).now_or_never().is_none(), "the first came back from the desk, and works");
        drop(first);
        assert!(second.at_desk(async {}).now_or_never().is_some());
    }
}
