//! Who wants to know what changed. Each subscriber has its own list of changed objects, in which an object stands at
//! most once, so that a slow subscriber costs no more memory than the cache itself and never misses an object.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use tokio::sync::Notify;

use super::Key;

/// The objects that changed since they were last taken, oldest change first. Deleted objects are among them.
#[derive(Debug)]
pub struct Changes {
    pending: Arc<Pending>,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    keys: Mutex<(VecDeque<Key>, HashSet<Key>)>,
    arrived: Notify,
}

/// A list that had more in it, as after everything was listed, gives its room back when it is empty.
const ROOM: usize = 1024;

impl Changes {
    pub(super) fn of(pending: Arc<Pending>) -> Self {
        Self { pending }
    }

    /// The next object that changed; waits for one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Key {
        loop {
            if let Some(key) = self.try_next() {
                return key;
            }
            self.arrived().await;
        }
    }

    /// The next object that changed, if one has.
    pub fn try_next(&mut self) -> Option<Key> {
        self.pending.take()
    }

    /// Waits until there may be a next object.
    pub(super) async fn arrived(&self) {
        self.pending.arrived.notified().await;
    }

    /// The same as a stream without end.
    pub fn into_stream(self) -> impl Stream<Item = Key> + Send {
        futures::stream::unfold(self, |mut changes| async move {
            let key = changes.next().await;
            Some((key, changes))
        })
    }
}

impl Pending {
    pub(super) fn add(&self, key: &Key) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.1.insert(key.clone()) {
            keys.0.push_back(key.clone());
            self.arrived.notify_one();
        }
    }

    fn take(&self) -> Option<Key> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys.0.pop_front()?;
        keys.1.remove(&key);
        if keys.0.is_empty() && keys.0.capacity() > ROOM {
            *keys = (VecDeque::new(), HashSet::new());
        }
        Some(key)
    }
}
