//! What a watch has shown of one kind: what is there, and everything that ever was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// Follows every change of one kind. Nothing is missed: it resumes where it was cut, and panics where it cannot.
pub struct Mirror<K> {
    seen: watch::Receiver<Seen<K>>,
    task: JoinHandle<()>,
}

/// What has been shown.
#[derive(Clone, Debug)]
pub struct Seen<K> {
    /// The objects that are there, by name.
    pub now: BTreeMap<String, K>,
    /// The UIDs of all that were ever there.
    pub ever: BTreeSet<String>,
}

impl<K> Mirror<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Begins with what is there.
    pub fn start(api: Api<K>) -> Self {
        let (sender, seen) = watch::channel(Seen { now: BTreeMap::new(), ever: BTreeSet::new() });
        let task = tokio::spawn(follow(api, sender));
        Self { seen, task }
    }

    /// Waits until what was shown is what is waited for.
    pub async fn until<T>(&self, what: &str, look: impl Fn(&Seen<K>) -> Option<T>) -> T {
        match tokio::time::timeout(PATIENCE, self.whenever(look)).await {
            Ok(answer) => answer,
            Err(_) => panic!("waited in vain for {what}; last: {:#?}", self.seen.borrow()),
        }
    }

    /// As [`Mirror::until`], for as long as it takes.
    pub async fn whenever<T>(&self, look: impl Fn(&Seen<K>) -> Option<T>) -> T {
        let mut seen = self.seen.clone();
        loop {
            let answer = look(&seen.borrow_and_update());
            match answer {
                Some(answer) => return answer,
                None => seen.changed().await.expect("the watch goes on"),
            }
        }
    }

    /// What has been shown so far.
    pub fn seen(&self) -> Seen<K> {
        self.seen.borrow().clone()
    }
}

impl<K> Drop for Mirror<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow<K>(api: Api<K>, sender: watch::Sender<Seen<K>>)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut version = "0".to_owned();
    loop {
        let mut events = api.watch(&WatchParams::default(), &version).await.expect("a watch begins").boxed();
        while let Some(event) = events.try_next().await.expect("a watch goes on") {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version = object.resource_version().unwrap_or_default();
                    sender.send_modify(|seen| {
                        seen.ever.extend(object.uid());
                        seen.now.insert(object.name_any(), object);
                    });
                }
                WatchEvent::Deleted(object) => {
                    version = object.resource_version().unwrap_or_default();
                    sender.send_modify(|seen| {
                        seen.now.remove(&object.name_any());
                    });
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => panic!("a watch ended: {status:?}"),
            }
        }
    }
}
