//! Watches: a cache of one kind, and a call for whatever changes in it.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{Lookup, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

/// What was seen; the cache holds it already.
#[derive(Debug)]
pub(crate) enum Seen<'a, K> {
    /// It is new or has changed.
    Changed(&'a K),
    /// It is gone.
    Gone(&'a K),
    /// The watch began anew: this is all that there is.
    All(&'a [Arc<K>]),
}

/// Watches `api` until `stop`; every change is in the store before `seen` hears of it.
pub(crate) async fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    mut writer: Writer<K>,
    stop: CancellationToken,
    mut seen: impl FnMut(Seen<'_, K>),
) where
    K: Resource + Lookup + Clone + DeserializeOwned + Debug + Send + 'static,
    <K as Lookup>::DynamicType: Eq + Hash + Clone,
{
    let store: Store<K> = writer.as_reader();
    let events = watcher::watcher(api, config).default_backoff();
    tokio::pin!(events);
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Err(error)) => tracing::debug!(%error, "a watch broke and begins anew"),
            Some(Ok(event)) => {
                writer.apply_watcher_event(&event);
                match &event {
                    Event::Apply(object) => seen(Seen::Changed(object)),
                    Event::Delete(object) => seen(Seen::Gone(object)),
                    Event::InitDone => seen(Seen::All(&store.state())),
                    Event::Init | Event::InitApply(_) => {}
                }
            }
        }
    }
}
