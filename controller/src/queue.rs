//! What to look at next: a queue of keys in which each key is worked on by one worker at a time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The first wait after a failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// The longest wait after a failure.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How many keys of the first lane are taken for each one of the second.
const FRESH_BEFORE_AGAIN: u32 = 4;
/// Dates that were overtaken may be as many as keys, and so many more, before they are cleared away.
const OVERTAKEN: usize = 64;

/// A queue of keys. A key that is pushed many times before it is taken is taken once; one that is pushed while it
/// is being worked on is taken again afterwards.
#[derive(Debug)]
pub struct Queue<K> {
    inner: Mutex<Inner<K>>,
    changed: Notify,
}

/// Which keys go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Something happened to it.
    Fresh,
    /// It is looked at again because something else changed; these leave the most room to fresh ones.
    Again,
}

#[derive(Debug)]
struct Inner<K> {
    fresh: VecDeque<K>,
    again: VecDeque<K>,
    /// How many fresh ones were taken since the last of the other lane.
    fresh_taken: u32,
    /// When keys are due, with dates among them that were overtaken: only that in the key's entry counts. A heap is one
    /// piece of memory, where the nodes of a tree lie scattered among what was there while they were made.
    later: BinaryHeap<Reverse<(Due, K)>>,
    entries: HashMap<K, Entry>,
    sequence: u64,
}

/// A time, and a number that no other date has.
type Due = (Instant, u64);

#[derive(Debug, Default)]
struct Entry {
    place: Place,
    /// When it is to be looked at even if nothing happens.
    due: Option<Due>,
    failures: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In no lane.
    #[default]
    Idle,
    Waiting(Lane),
    Taken {
        again: Option<Lane>,
    },
}

impl<K: Clone + Ord + Hash> Queue<K> {
    /// An empty queue.
    pub fn new() -> Self {
        let inner = Inner {
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            fresh_taken: 0,
            later: BinaryHeap::new(),
            entries: HashMap::new(),
            sequence: 0,
        };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }

    /// Has a key looked at as soon as its lane allows.
    pub fn push(&self, key: K, lane: Lane) {
        self.lock().push(key, lane);
        self.changed.notify_one();
    }

    /// Has every key that is being worked on taken again afterwards: what is done about it may rest on what was so before.
    pub fn push_taken(&self, lane: Lane) {
        let mut inner = self.lock();
        let taken = |entry: &Entry| matches!(entry.place, Place::Taken { .. });
        let keys: Vec<K> = inner.entries.iter().filter(|(_, entry)| taken(entry)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            inner.push(key, lane);
        }
    }

    /// Waits for the next key and takes it. Every key that is taken is given back by [`Queue::done`],
    /// [`Queue::failed`] or [`Queue::forget`].
    pub async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            let next_due = {
                let mut inner = self.lock();
                inner.ripen(Instant::now());
                if let Some(key) = inner.take() {
                    // There may be more than one: pass the word on.
                    self.changed.notify_one();
                    return key;
                }
                inner.later.peek().map(|Reverse(((due, _), _))| *due)
            };
            match next_due {
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, changed).await;
                }
                None => changed.await,
            }
        }
    }

    /// The key was looked at; it is due again after `again`, or when it is pushed.
    pub fn done(&self, key: &K, again: Option<Duration>) {
        let mut inner = self.lock();
        inner.give_back(key, again, |entry| entry.failures = 0);
        drop(inner);
        self.changed.notify_one();
    }

    /// The key could not be dealt with; it is due again after a wait that grows with each failure in a row and is
    /// at least `at_least`, or when it is pushed. Returns that wait.
    pub fn failed(&self, key: &K, at_least: Duration) -> Duration {
        let mut inner = self.lock();
        let failures = inner.entries.get(key).map_or(0, |entry| entry.failures);
        let wait = FIRST_RETRY.saturating_mul(1 << failures.min(16)).min(LONGEST_RETRY).max(at_least);
        inner.give_back(key, Some(wait), |entry| entry.failures = entry.failures.saturating_add(1));
        drop(inner);
        self.changed.notify_one();
        wait
    }

    /// The key stands for nothing any more. It comes back only when it is pushed, or was pushed meanwhile.
    pub fn forget(&self, key: &K) {
        let mut inner = self.lock();
        inner.give_back(key, None, |entry| entry.failures = 0);
        if inner.entries.get(key).is_some_and(|entry| entry.place == Place::Idle && entry.due.is_none()) {
            inner.entries.remove(key);
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// How many keys wait to be taken now.
    pub fn waiting(&self) -> usize {
        let inner = self.lock();
        inner.fresh.len() + inner.again.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K>> {
        // Every change is completed before the lock is released, also by a panic elsewhere in the process.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord + Hash> Default for Queue<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Clone + Ord + Hash> Inner<K> {
    fn push(&mut self, key: K, lane: Lane) {
        let entry = self.entries.entry(key.clone()).or_default();
        match &mut entry.place {
            Place::Idle => entry.place = Place::Waiting(lane),
            // It stays in its old lane too; that place is passed over when its turn comes.
            Place::Waiting(Lane::Again) if lane == Lane::Fresh => entry.place = Place::Waiting(lane),
            Place::Waiting(_) => return,
            Place::Taken { again } => {
                if *again != Some(Lane::Fresh) {
                    *again = Some(lane);
                }
                return;
            }
        }
        self.line(lane).push_back(key);
    }

    fn take(&mut self) -> Option<K> {
        loop {
            let lane = if self.fresh.is_empty() || (self.fresh_taken >= FRESH_BEFORE_AGAIN && !self.again.is_empty()) {
                Lane::Again
            } else {
                Lane::Fresh
            };
            let key = self.line(lane).pop_front()?;
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if entry.place != Place::Waiting(lane) {
                continue;
            }
            entry.place = Place::Taken { again: None };
            entry.due = None;
            self.fresh_taken = if lane == Lane::Fresh { self.fresh_taken.saturating_add(1) } else { 0 };
            return Some(key);
        }
    }

    fn give_back(&mut self, key: &K, again: Option<Duration>, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Place::Taken { again: pushed } = entry.place else { return };
        entry.place = Place::Idle;
        change(entry);
        if let Some(wait) = again {
            self.sequence += 1;
            // A wait beyond what the clock can count is no different from a month.
            let now = Instant::now();
            let due = now.checked_add(wait).unwrap_or(now + Duration::from_secs(30 * 86_400));
            let due = (due, self.sequence);
            entry.due = Some(due);
            self.wait(key, due);
        }
        if let Some(lane) = pushed {
            self.push(key.clone(), lane);
        }
    }

    fn wait(&mut self, key: &K, due: Due) {
        if self.later.len() > 2 * self.entries.len() + OVERTAKEN {
            let entries = &self.entries;
            self.later.retain(|Reverse((due, key))| counts(entries, key, *due));
        }
        // As it is known here already, so that its text is held once.
        if let Some((key, _)) = self.entries.get_key_value(key) {
            self.later.push(Reverse((due, key.clone())));
        }
    }

    /// Moves what is due into its lane, and drops what was overtaken from the front.
    fn ripen(&mut self, now: Instant) {
        while let Some(Reverse((due, key))) = self.later.peek() {
            let counts = counts(&self.entries, key, *due);
            if counts && due.0 > now {
                return;
            }
            let Some(Reverse((_, key))) = self.later.pop() else { return };
            if !counts {
                continue;
            }
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.due = None;
            }
            self.push(key, Lane::Fresh);
        }
    }

    fn line(&mut self, lane: Lane) -> &mut VecDeque<K> {
        match lane {
            Lane::Fresh => &mut self.fresh,
            Lane::Again => &mut self.again,
        }
    }
}

/// Whether that date is the one on which the key is due.
fn counts<K: Eq + Hash>(entries: &HashMap<K, Entry>, key: &K, due: Due) -> bool {
    entries.get(key).is_some_and(|entry| entry.due == Some(due))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(1), future).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_pushed_often_is_taken_once() {
        let queue = Queue::new();
        for _ in 0..3 {
            queue.push("a", Lane::Fresh);
        }
        assert_eq!(soon(queue.next()).await, Some("a"));
        assert_eq!(soon(queue.next()).await, None, "it is being worked on");
        queue.done(&"a", None);
        assert_eq!(soon(queue.next()).await, None, "nothing happened since");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_pushed_while_it_is_worked_on_is_taken_again_afterwards() {
        let queue = Queue::new();
        queue.push("a", Lane::Fresh);
        queue.next().await;
        queue.push("a", Lane::Again);
        assert_eq!(soon(queue.next()).await, None, "one worker at a time");
        queue.done(&"a", None);
        assert_eq!(soon(queue.next()).await, Some("a"));
        queue.push("a", Lane::Fresh);
        queue.forget(&"a");
        assert_eq!(soon(queue.next()).await, Some("a"), "a push outlives being forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_is_worked_on_can_be_had_taken_again() {
        let queue = Queue::new();
        for key in ["a", "b", "idle"] {
            queue.push(key, Lane::Fresh);
            queue.next().await;
        }
        queue.done(&"idle", None);
        queue.push_taken(Lane::Again);
        assert_eq!(soon(queue.next()).await, None, "not before they are given back");
        queue.done(&"a", None);
        queue.forget(&"b");
        assert_eq!((soon(queue.next()).await, soon(queue.next()).await), (Some("a"), Some("b")));
        assert_eq!(soon(queue.next()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_comes_back_when_it_is_due_or_earlier_when_pushed() {
        let queue = Queue::new();
        queue.push("a", Lane::Fresh);
        queue.next().await;
        queue.done(&"a", Some(Duration::from_secs(60)));
        let asked = Instant::now();
        assert_eq!(queue.next().await, "a");
        assert_eq!(asked.elapsed().as_secs(), 60);
        queue.done(&"a", Some(Duration::from_secs(60)));
        queue.push("a", Lane::Fresh);
        assert_eq!(soon(queue.next()).await, Some("a"));
        queue.done(&"a", None);
        let later = tokio::time::timeout(Duration::from_secs(600), queue.next()).await;
        assert!(later.is_err(), "the earlier date went with being looked at");
    }

    #[tokio::test(start_paused = true)]
    async fn dates_that_were_overtaken_are_cleared_away() {
        let queue = Queue::new();
        for _ in 0..10_000 {
            queue.push("a", Lane::Fresh);
            queue.next().await;
            queue.done(&"a", Some(Duration::from_secs(60)));
        }
        let held = queue.lock().later.len();
        assert!(held <= OVERTAKEN + 3, "one key is due once, and {held} dates are held");
        assert_eq!(queue.next().await, "a", "the last date counts");
        assert!(soon(queue.next()).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn waits_after_failures_grow_until_it_goes_well() {
        let queue = Queue::new();
        queue.push("a", Lane::Fresh);
        let mut waits = Vec::new();
        for _ in 0..12 {
            queue.next().await;
            waits.push(queue.failed(&"a", Duration::ZERO).as_millis());
        }
        assert_eq!(waits[..4], [200, 400, 800, 1600]);
        assert_eq!(waits[11], 60_000);
        queue.next().await;
        assert_eq!(queue.failed(&"a", Duration::from_secs(90)).as_secs(), 90, "the server asked for more");
        queue.next().await;
        queue.done(&"a", Some(Duration::ZERO));
        queue.next().await;
        assert_eq!(queue.failed(&"a", Duration::ZERO).as_millis(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn fresh_keys_overtake_the_others_but_do_not_starve_them() {
        let queue = Queue::new();
        for old in 0..4 {
            queue.push(old, Lane::Again);
        }
        for fresh in 100..110 {
            queue.push(fresh, Lane::Fresh);
        }
        queue.push(3, Lane::Fresh);
        let mut order = Vec::new();
        while let Some(key) = soon(queue.next()).await {
            order.push(key);
        }
        assert_eq!(order, [100, 101, 102, 103, 0, 104, 105, 106, 107, 1, 108, 109, 3, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_waiting_worker_gets_one_of_many_keys() {
        let queue = std::sync::Arc::new(Queue::new());
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        for key in 0..8 {
            queue.push(key, Lane::Fresh);
        }
        let mut taken = Vec::new();
        for worker in workers {
            taken.push(soon(worker).await.expect("no worker sleeps while a key waits").unwrap());
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
