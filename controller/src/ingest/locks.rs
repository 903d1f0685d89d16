//! One at a time for each fingerprint: within a replica two reports of one thing are never judged side by side.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Locks by name; one that nobody holds or waits for takes no memory.
#[derive(Default)]
pub(super) struct Locks {
    held: Mutex<HashMap<String, Lock>>,
}

/// Holds a lock until it is dropped.
pub(super) struct Held<'a> {
    locks: &'a Locks,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Locks {
    /// Waits for the lock, in the order of asking.
    pub(super) async fn hold(&self, name: &str) -> Held<'_> {
        // Made first, so that a wait that is given up clears up as well.
        let mut held = Held { locks: self, name: name.to_owned(), guard: None };
        let lock = self.all().entry(held.name.clone()).or_default().clone();
        held.guard = Some(lock.lock_owned().await);
        held
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Lock>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut all = self.locks.all();
        if all.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_exclusive_by_name_and_leaves_nothing_behind() {
        let locks = Locks::default();
        let first = locks.hold("a").await;
        let other = locks.hold("b").await;
        {
            let mut second = std::pin::pin!(locks.hold("a"));
            assert!(futures::poll!(second.as_mut()).is_pending(), "a is held");
            drop(first);
            assert!(futures::poll!(second.as_mut()).is_ready());
        }
        drop(other);
        let given_up = locks.hold("a").await;
        {
            let mut waiting = std::pin::pin!(locks.hold("a"));
            assert!(futures::poll!(waiting.as_mut()).is_pending());
        }
        drop(given_up);
        assert!(locks.all().is_empty());
    }
}
