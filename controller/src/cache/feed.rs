//! The feed of a cache: a list, then a watch from there, for ever.
//!
//! This is ours instead of kube's watcher because a cache must know the version of a list (our own writes are compared
//! with it), must list on request when a replica begins to lead, and must not wait without end for a server that
//! accepts a request and stays silent.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::core::{ListMeta, Request};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::items::Items;
use super::key::Key;
use super::objects::{Kept, Objects, number, version_of};
use super::wire::Wire;
use crate::backoff::Backoff;
use crate::metrics::Metrics;

/// Where objects of a cache come from.
#[derive(Clone)]
pub struct Source<W> {
    /// The kind and the namespace, or the whole cluster. `W` says what is asked of the server: whole objects
    /// (`DeserializeGuard<K>`) or their metadata alone (`PartialObjectMeta<K>`).
    pub api: Api<W>,
    /// Only objects that this label selector picks.
    pub labels: Option<String>,
    /// Only objects that this field selector picks.
    pub fields: Option<String>,
}

impl<W> Source<W> {
    /// The objects that this label selector picks.
    pub fn labelled(api: Api<W>, labels: String) -> Self {
        Self { labels: Some(labels), ..Self::from(api) }
    }
}

impl<W> From<Api<W>> for Source<W> {
    /// All objects.
    fn from(api: Api<W>) -> Self {
        Self { api, labels: None, fields: None }
    }
}

/// Is told of an object that cannot be read.
pub type OnInvalid = Arc<dyn Fn(&InvalidObject) + Send + Sync>;

/// How a cache is fed.
#[derive(Clone)]
pub struct Options {
    /// How long one watch lasts. A watch that stays silent for longer, as over a connection that is cut without a
    /// word, is begun again, so this bounds how far a cache can fall behind.
    pub watch: Duration,
    /// Is told of every object that cannot be read, once for each reason.
    pub on_invalid: Option<OnInvalid>,
}

impl Default for Options {
    fn default() -> Self {
        Self { watch: Duration::from_secs(60), on_invalid: None }
    }
}

/// How many objects of a list are taken in in one go.
const AT_ONCE: usize = 32;
/// How often what has not changed is packed.
const SETTLE: Duration = Duration::from_secs(2);
/// How long the next part of a list may take to come.
const LIST_DEADLINE: Duration = Duration::from_secs(30);
/// A server that was asked to end a watch is waited for so much longer, as a part of the watch's length.
const WATCH_GRACE: u32 = 6;
/// A watch that lasted so long was no trouble.
const WORKED: Duration = Duration::from_secs(1);

impl<K: Kept> Objects<K> {
    /// A cache of the objects of these sources, fed until `stop`.
    pub fn start<W: Wire<Object = K>>(
        sources: Vec<Source<W>>,
        options: &Options,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) -> Self {
        let namespaces = sources.iter().map(|source| source.api.namespace().map(str::to_owned)).collect();
        let cache = Self::new(namespaces, metrics.cache_objects(K::KIND));
        for (number, Source { api, labels, fields }) in sources.into_iter().enumerate() {
            let feed = Feed {
                api,
                cache: cache.clone(),
                source: number,
                labels,
                fields,
                options: options.clone(),
                metrics: metrics.clone(),
                unreadable: HashMap::new(),
                counted: 0,
            };
            let stop = stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(feed.run()).await });
        }
        let (settling, stop) = (cache.clone(), stop.clone());
        tokio::spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(SETTLE)).await.is_some() {
                settling.settle().await;
            }
        });
        cache
    }
}

struct Feed<K, W> {
    api: Api<W>,
    cache: Objects<K>,
    source: usize,
    labels: Option<String>,
    fields: Option<String>,
    options: Options,
    metrics: Metrics,
    /// Objects that cannot be read, with the reason that was told.
    unreadable: HashMap<Key, String>,
    /// How many of them are in the metrics.
    counted: i64,
}

/// What an event says of its object before the rest of it is read.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: Place<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_version: Cow<'a, str>,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("could not list: {0}")]
    List(#[source] kube::Error),
    #[error("the list broke off: {0}")]
    Broken(#[source] std::io::Error),
    #[error("the list came without a version")]
    NoVersion,
    #[error("could not watch: {0}")]
    Watch(#[source] kube::Error),
    #[error("the server ended the watch: {0}")]
    Told(#[source] Box<kube::core::Status>),
    #[error("the server did not answer in time")]
    Silence,
    #[error("the watch ended as soon as it had begun")]
    Short,
}

/// How a watch ended.
enum End {
    /// To be resumed from that version.
    Resume(String),
    /// To be resumed from that version, after a pause.
    Trouble(String, Trouble),
    /// To be begun again with a list.
    Relist(Option<Trouble>),
}

impl<K: Kept, W: Wire<Object = K>> Feed<K, W> {
    async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let mut resume = None;
        loop {
            let from = match resume.take() {
                Some(version) => version,
                None => match self.list().await {
                    Ok(version) => version,
                    Err(trouble) => {
                        self.pause(&mut backoff, &trouble).await;
                        continue;
                    }
                },
            };
            let begun = Instant::now();
            let end = self.watch(from).await;
            if begun.elapsed() > WORKED {
                backoff.reset();
            }
            let trouble = match end {
                End::Resume(version) => {
                    resume = Some(version);
                    (begun.elapsed() < WORKED).then_some(Trouble::Short)
                }
                End::Trouble(version, trouble) => {
                    resume = Some(version);
                    Some(trouble)
                }
                End::Relist(trouble) => trouble,
            };
            if let Some(trouble) = trouble {
                self.pause(&mut backoff, &trouble).await;
            }
        }
    }

    /// Waits, longer each time, or until somebody asks for a list.
    async fn pause(&self, backoff: &mut Backoff, trouble: &Trouble) {
        let mut wait = backoff.next_wait();
        if let Trouble::List(kube::Error::Api(status)) | Trouble::Watch(kube::Error::Api(status)) = trouble {
            let asked = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            wait = wait.max(Duration::from_secs(u64::from(asked.min(60))));
        }
        self.metrics.watch_restarted(K::KIND);
        warn!(kind = K::KIND, "{trouble}; trying again in {} ms", wait.as_millis());
        let Some(rounds) = self.cache.shared.rounds.get(self.source) else { return };
        let before = *rounds.asked.borrow();
        let mut asked = rounds.asked.subscribe();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = asked.wait_for(|asked| *asked > before) => {}
        }
    }

    /// Brings the cache to the server's newest state and says which version that is.
    async fn list(&mut self) -> Result<String, Trouble> {
        let Some(rounds) = self.cache.shared.rounds.get(self.source) else { return Err(Trouble::NoVersion) };
        let mut asked = rounds.asked.subscribe();
        loop {
            let round = *asked.borrow_and_update();
            let listed = tokio::select! {
                biased;
                // What is under way began too early to count. So it is when a controller starts, and leads as soon as it
                // has begun to list.
                Ok(()) = asked.changed() => continue,
                listed = self.take_list() => listed,
            };
            match listed {
                Ok((version, named)) => {
                    if self.cache.is_behind(self.source, number(Some(&version))) {
                        continue;
                    }
                    self.unreadable.retain(|key, _| named.contains(key));
                    self.cache.list_ended(self.source, number(Some(&version)), &named);
                    self.tell_done(round);
                    return Ok(version);
                }
                Err(trouble) => {
                    // By its code: a kind that is not installed is answered in plain text, without a reason.
                    if matches!(&trouble, Trouble::List(kube::Error::Api(status)) if status.code == 404) {
                        self.kind_is_missing(round);
                    }
                    return Err(trouble);
                }
            }
        }
    }

    /// Takes in everything that the server lists, and says at which version it was and what there was.
    ///
    /// All in one: the API server has its newest state at hand, but reads what follows a page from its store, which takes
    /// several times as long. What comes is taken in while the rest is on its way.
    async fn take_list(&mut self) -> Result<(String, HashSet<Key>), Trouble> {
        let mut named = HashSet::new();
        let mut parameters = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            ..ListParams::default()
        };
        loop {
            let ListMeta { resource_version, continue_, .. } = self.take_answer(&parameters, &mut named).await?;
            let version = resource_version.filter(|version| !version.is_empty()).ok_or(Trouble::NoVersion)?;
            parameters.continue_token = continue_.filter(|token| !token.is_empty());
            // A server may answer in parts though nobody asked for that.
            if parameters.continue_token.is_none() {
                return Ok((version, named));
            }
        }
    }

    async fn take_answer(&mut self, parameters: &ListParams, named: &mut HashSet<Key>) -> Result<ListMeta, Trouble> {
        let kind = Request::new(self.api.resource_url());
        let request = W::list(&kind, parameters).map_err(|error| Trouble::List(kube::Error::BuildRequest(error)));
        let mut request = request?;
        // As the library notes what it is about to do.
        request.extensions_mut().insert("list");
        let client = self.api.clone().into_client();
        let answer = timeout(LIST_DEADLINE, client.request_stream(request)).await;
        let mut answer = std::pin::pin!(answer.map_err(|_| Trouble::Silence)?.map_err(Trouble::List)?);
        let (mut items, mut taken) = (Items::default(), 0);
        loop {
            let part = timeout(LIST_DEADLINE, answer.fill_buf()).await;
            let part = part.map_err(|_| Trouble::Silence)?.map_err(Trouble::Broken)?;
            let length = part.len();
            if length == 0 {
                return items.end().map_err(unreadable);
            }
            let mut objects = Vec::new();
            items.take(part, |text| objects.push(read::<W>(text)));
            answer.consume_unpin(length);
            for object in objects {
                let object = object.map_err(unreadable)?;
                named.insert(Key::of(&object));
                self.apply(object, Objects::listed);
                taken += 1;
                if taken % AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Nobody has installed the kind yet: there are no objects of it, and that is all there is to know.
    fn kind_is_missing(&mut self, round: u64) {
        self.cache.list_ended(self.source, 0, &HashSet::new());
        self.tell_done(round);
    }

    fn tell_done(&mut self, round: u64) {
        self.count_unreadable();
        if let Some(rounds) = self.cache.shared.rounds.get(self.source) {
            rounds.done.send_replace(round);
        }
    }

    /// Follows what changes after `version` until the watch ends or somebody asks for a list.
    async fn watch(&mut self, mut version: String) -> End {
        let Some(rounds) = self.cache.shared.rounds.get(self.source) else { return End::Relist(None) };
        let mut asked = rounds.asked.subscribe();
        let done = *rounds.done.borrow();
        let parameters = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(u32::try_from(self.options.watch.as_secs()).unwrap_or(290).clamp(1, 290)),
            bookmarks: true,
            ..Default::default()
        };
        let deadline = Instant::now() + self.options.watch + self.options.watch / WATCH_GRACE;
        let kind = Request::new(self.api.resource_url());
        let mut request = match W::watch(&kind, &parameters, &version) {
            Ok(request) => request,
            Err(error) => return End::Trouble(version, Trouble::Watch(kube::Error::BuildRequest(error))),
        };
        // As the library notes what it is about to do.
        request.extensions_mut().insert("watch");
        let client = self.api.clone().into_client();
        let stream = match timeout_at(deadline, client.request_events::<Box<RawValue>>(request)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 410) => {
                return End::Relist(Some(Trouble::Told(status)));
            }
            Ok(Err(error)) => return End::Trouble(version, Trouble::Watch(error)),
            Err(_) => return End::Trouble(version, Trouble::Silence),
        };
        let mut stream = stream.boxed();
        loop {
            let event = tokio::select! {
                event = timeout_at(deadline, stream.next()) => event,
                _ = asked.wait_for(|asked| *asked > done) => return End::Relist(None),
            };
            match event {
                Ok(Some(Ok(event))) => match self.follow(event) {
                    Ok(seen) => version = seen,
                    Err(trouble) => return End::Relist(Some(trouble)),
                },
                Ok(None) => return End::Resume(version),
                // An event that cannot be read at all would come again from the same version.
                Ok(Some(Err(error @ kube::Error::SerdeError(_)))) => return End::Relist(Some(Trouble::Watch(error))),
                Ok(Some(Err(error))) => return End::Trouble(version, Trouble::Watch(error)),
                Err(_) => return End::Trouble(version, Trouble::Silence),
            }
        }
    }

    fn follow(&mut self, event: WatchEvent<Box<RawValue>>) -> Result<String, Trouble> {
        let version = match event {
            WatchEvent::Added(text) | WatchEvent::Modified(text) => {
                let Head { metadata } = head(&text)?;
                let key = Key::new(&metadata.namespace, &metadata.name);
                let version = number(Some(&metadata.resource_version));
                // Most events tell of a version that our own write returned before.
                if self.unreadable.contains_key(&key) || self.cache.would_take(&key, version) {
                    self.apply(W::read(text.get()).map_err(garbled)?, Objects::applied);
                }
                metadata.resource_version.into_owned()
            }
            WatchEvent::Deleted(text) => {
                let Head { metadata } = head(&text)?;
                let key = Key::new(&metadata.namespace, &metadata.name);
                self.unreadable.remove(&key);
                self.count_unreadable();
                self.cache.gone(&key, number(Some(&metadata.resource_version)));
                metadata.resource_version.into_owned()
            }
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Err(Trouble::Told(status)),
        };
        if version.is_empty() {
            return Err(Trouble::NoVersion);
        }
        self.cache.seen(self.source, number(Some(&version)));
        Ok(version)
    }

    fn apply(&mut self, object: W, take: impl FnOnce(&Objects<K>, K)) {
        let (key, version) = (Key::of(&object), version_of(&object));
        match object.open() {
            Ok(object) => {
                self.unreadable.remove(&key);
                self.count_unreadable();
                take(&self.cache, object);
            }
            Err(invalid) => {
                // What was held of it is out of date; nobody may act on it.
                self.cache.gone(&key, version);
                if self.unreadable.get(&key) != Some(&invalid.error) {
                    warn!(kind = K::KIND, object = %key, "{key} cannot be read: {}", invalid.error);
                    if let Some(tell) = &self.options.on_invalid {
                        tell(&invalid);
                    }
                    self.unreadable.insert(key, invalid.error);
                }
                self.count_unreadable();
            }
        }
    }
    /// The number is that of all sources of the kind.
    fn count_unreadable(&mut self) {
        let now = i64::try_from(self.unreadable.len()).unwrap_or(i64::MAX);
        let more = now - std::mem::replace(&mut self.counted, now);
        if more != 0 {
            self.metrics.cache_unreadable(K::KIND, more);
        }
    }
}

fn head(text: &RawValue) -> Result<Head<'_>, Trouble> {
    serde_json::from_str(text.get()).map_err(garbled)
}

fn garbled(error: serde_json::Error) -> Trouble {
    Trouble::Watch(kube::Error::SerdeError(error))
}

fn read<W: Wire>(text: &[u8]) -> Result<W, serde_json::Error> {
    let text = std::str::from_utf8(text).map_err(serde::de::Error::custom)?;
    W::read(text)
}

fn unreadable(error: serde_json::Error) -> Trouble {
    Trouble::List(kube::Error::SerdeError(error))
}
