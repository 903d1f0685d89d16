//! The store of a cache: objects by name and by index, each as new as anybody has told.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use kube::ResourceExt;
use kube::api::ObjectMeta;
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::error;

use super::changes::{Changes, Pending};
use super::index::Index;
use super::key::Key;
use super::packed::{Packed, Words};

/// What a cache asks of the objects that it holds.
pub trait Kept: ResourceExt + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind, as metrics and logs name it.
    const KIND: &'static str;

    /// Drops what no decision needs. The default drops what only kubectl and the API server use.
    fn trim(&mut self) {
        trim_metadata(self.meta_mut());
    }

    /// Whether it tells of its end, after which nothing is under way and nothing is waited for. It is looked at last, and
    /// whoever looks for something to do does not even unpack it.
    fn is_finished(&self) -> bool {
        false
    }

    /// The value that the object is found by beside its name.
    fn index(&self) -> Option<String> {
        None
    }
}

/// Drops what only kubectl and the API server use, and the room that lists of one kept when they were read.
pub(super) fn trim_metadata(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    meta.self_link = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    shrink(meta);
}

/// Gives back what lists hold beyond what is in them: room for four, where most have one, for every object that is kept.
pub(crate) fn shrink(meta: &mut ObjectMeta) {
    meta.owner_references.iter_mut().for_each(Vec::shrink_to_fit);
    meta.finalizers.iter_mut().for_each(Vec::shrink_to_fit);
}

/// Rounds that an object must not have changed in: at least one whole round, since it may change right before one.
const ROUNDS: u64 = 2;
/// How many objects are packed in one go.
const SETTLED_AT_ONCE: usize = 64;

/// A cache of objects. Clones share it.
pub struct Objects<K> {
    pub(super) shared: Arc<Shared<K>>,
}

impl<K> Clone for Objects<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

pub(super) struct Shared<K> {
    store: RwLock<Store<K>>,
    words: Words,
    pub(super) rounds: Vec<Rounds>,
}

/// Lists of one source: asked for and done, counted.
pub(super) struct Rounds {
    pub(super) asked: watch::Sender<u64>,
    pub(super) done: watch::Sender<u64>,
}

impl Rounds {
    /// The first list is asked for from the beginning.
    fn new() -> Self {
        Self { asked: watch::Sender::new(1), done: watch::Sender::new(0) }
    }
}

struct Store<K> {
    entries: HashMap<Key, Entry<K>>,
    /// By the hash of the index value.
    index: Index,
    scopes: Vec<Scope>,
    /// The namespace of the last new object, which most often is that of the next one too.
    recent: Arc<str>,
    subscribers: Vec<Weak<Pending>>,
    /// How often it was looked for what can be packed.
    round: u64,
    size: Gauge,
}

struct Entry<K> {
    held: Held<K>,
    version: u64,
    /// Whether it tells of its end.
    finished: bool,
    /// The hash of its index value.
    index: Option<u64>,
    /// The round in which it is packed if it has not changed until then.
    rests_in: Option<u64>,
}

/// What a cache knows of an object without unpacking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Its resourceVersion; 0 if that is no number.
    pub version: u64,
    /// Whether it tells of its end: [`Kept::is_finished`].
    pub finished: bool,
}

/// An object as it is held.
enum Held<K> {
    Whole(Arc<K>),
    Packed(Packed),
}

impl<K> Clone for Held<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Whole(object) => Self::Whole(object.clone()),
            Self::Packed(packed) => Self::Packed(packed.clone()),
        }
    }
}

/// What one source feeds: a namespace, or everything.
struct Scope {
    namespace: Option<Arc<str>>,
    /// The version up to which the source has told everything.
    seen: u64,
}

impl<K: Kept> Objects<K> {
    pub(crate) fn new(namespaces: Vec<Option<String>>, size: Gauge) -> Self {
        let rounds = namespaces.iter().map(|_| Rounds::new()).collect();
        let scopes = namespaces.into_iter().map(|namespace| Scope { namespace: namespace.map(Arc::from), seen: 0 });
        let store = Store {
            entries: HashMap::new(),
            index: Index::default(),
            scopes: scopes.collect(),
            recent: "".into(),
            subscribers: Vec::new(),
            round: 0,
            size,
        };
        Self { shared: Arc::new(Shared { store: RwLock::new(store), words: Words::default(), rounds }) }
    }

    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.find(&Key::new(namespace, name))
    }

    /// The object at that place.
    pub fn find(&self, key: &Key) -> Option<Arc<K>> {
        let held = self.read().entries.get(key).map(|entry| entry.held.clone())?;
        self.open(held)
    }

    /// What is known of the object at that place without unpacking it.
    pub fn glance(&self, key: &Key) -> Option<Glance> {
        self.read().entries.get(key).map(|entry| Glance { version: entry.version, finished: entry.finished })
    }

    /// Every object that is held now, in no particular order. Each is unpacked when its turn comes: whoever collects
    /// them all pays for it in memory.
    pub fn all(&self) -> impl Iterator<Item = Arc<K>> + use<K> {
        self.those(|_| true)
    }

    /// As [`Objects::all`], but those that tell of their end.
    pub fn unfinished(&self) -> impl Iterator<Item = Arc<K>> + use<K> {
        self.those(|entry| !entry.finished)
    }

    fn those(&self, wanted: fn(&Entry<K>) -> bool) -> impl Iterator<Item = Arc<K>> + use<K> {
        let held: Vec<Held<K>> = {
            let store = self.read();
            store.entries.values().filter(|entry| wanted(entry)).map(|entry| entry.held.clone()).collect()
        };
        let cache = self.clone();
        held.into_iter().filter_map(move |held| cache.open(held))
    }

    /// The objects of that index value, by namespace and name.
    pub fn indexed(&self, value: &str) -> Vec<Arc<K>> {
        let held: Vec<Held<K>> = {
            let store = self.read();
            store
                .index
                .of(hash(value))
                .filter_map(|key| store.entries.get(key))
                .map(|entry| entry.held.clone())
                .collect()
        };
        let objects = held.into_iter().filter_map(|held| self.open(held));
        // Two values may have one hash.
        objects.filter(|object| object.index().is_some_and(|index| index == value)).collect()
    }

    /// The places of other objects with the same index value as the one at that place, and in a blue moon of one with
    /// another value: to be looked at, not to be believed. Unpacks nothing.
    pub fn beside(&self, key: &Key) -> Vec<Key> {
        let store = self.read();
        let Some(index) = store.entries.get(key).and_then(|entry| entry.index) else { return Vec::new() };
        store.index.of(index).filter(|other| *other != key).cloned().collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().entries.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in an object that one of our own writes or reads returned, unless the cache knows better: it holds that one
    /// or a newer one, or its watch has passed that version and told that the object is gone. Says whether it was taken.
    pub fn insert(&self, object: K) -> bool {
        let (key, version) = (Key::of(&object), version_of(&object));
        let news = |store: &Store<K>| {
            let passed = store.scope(&key).is_some_and(|scope| version <= scope.seen);
            store.would_take(&key, version) && (!passed || store.entries.contains_key(&key))
        };
        if !news(&self.read()) {
            return false;
        }
        let entry = Entry::whole(object, version);
        let mut store = self.write();
        let news = news(&store);
        if news {
            store.put(key, entry);
        }
        news
    }

    /// Forgets an object that the API server said is gone. One of another UID at the same place stays.
    pub fn remove_if(&self, namespace: &str, name: &str, uid: &str) {
        let key = Key::new(namespace, name);
        let mut store = self.write();
        let held = store.entries.get(&key).map(|entry| entry.held.clone()).and_then(|held| self.open(held));
        if held.is_some_and(|object| object.meta().uid.as_deref() == Some(uid)) {
            store.take(&key);
        }
    }

    /// What changes from now on, preceded by every object that is here already, those that tell of their end last.
    pub fn subscribe(&self) -> Changes {
        let pending = Arc::new(Pending::default());
        let mut store = self.write();
        for finished in [false, true] {
            let those = store.entries.iter().filter(|(_, entry)| entry.finished == finished);
            those.for_each(|(key, _)| pending.add(key));
        }
        store.subscribers.push(Arc::downgrade(&pending));
        Changes::of(pending)
    }

    /// Lists again from the API server, asking for its newest state, and returns when that is in the cache. A kind that
    /// does not exist there counts as listed. Failed lists are tried again without end: bound the wait from outside.
    pub async fn refresh(&self) {
        let mut waits = Vec::new();
        for rounds in &self.shared.rounds {
            let mut round = 0;
            rounds.asked.send_modify(|asked| {
                *asked += 1;
                round = *asked;
            });
            waits.push((rounds.done.subscribe(), round));
        }
        for (mut done, round) in waits {
            // The sender lives as long as self.
            let _ = done.wait_for(|done| *done >= round).await;
        }
    }

    /// Whether every source was listed at least once.
    pub fn ready(&self) -> bool {
        self.shared.rounds.iter().all(|rounds| *rounds.done.borrow() > 0)
    }

    /// Waits until [`Objects::ready`].
    pub async fn until_ready(&self) {
        for rounds in &self.shared.rounds {
            let _ = rounds.done.subscribe().wait_for(|done| *done > 0).await;
        }
    }

    /// The object as whoever asks for it gets it. What was packed can be read back, or it would not be packed.
    fn open(&self, held: Held<K>) -> Option<Arc<K>> {
        match held {
            Held::Whole(object) => Some(object),
            Held::Packed(packed) => match self.shared.words.unpack(&packed) {
                Ok(object) => Some(Arc::new(object)),
                Err(fault) => {
                    error!(kind = K::KIND, "could not unpack an object of the cache: {fault}");
                    None
                }
            },
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Store<K>> {
        self.shared.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Store<K>> {
        self.shared.store.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a feed does.
impl<K: Kept> Objects<K> {
    /// Whether a list at `version` is older than what was seen before: the API server was put back to an earlier state.
    /// Nothing held is worth anything then, and is forgotten; it has to be listed again.
    #[must_use]
    pub(super) fn is_behind(&self, source: usize, version: u64) -> bool {
        let mut store = self.write();
        let seen = store.scopes.get(source).map_or(0, |scope| scope.seen);
        if version < seen {
            store.retain(source, |_, _| false);
            store.see(source, version);
        }
        version < seen
    }

    /// An object came with a list: it may be one of very many, and is packed at once.
    pub(super) fn listed(&self, object: K) {
        self.take_in(object, |entry| {
            if let Held::Whole(object) = &entry.held {
                let packed = self.shared.words.pack(object.as_ref());
                entry.hold(packed);
            }
        });
    }

    /// An object came with an event.
    pub(super) fn applied(&self, object: K) {
        self.take_in(object, |_| ());
    }

    fn take_in(&self, object: K, change: impl FnOnce(&mut Entry<K>)) {
        let (key, version) = (Key::of(&object), version_of(&object));
        // No lock is held while it is packed.
        if self.would_take(&key, version) {
            let mut entry = Entry::whole(object, version);
            change(&mut entry);
            self.write().put(key, entry);
        }
    }

    /// Packs what has not changed for a round. It is called again and again, with some seconds between.
    pub(super) async fn settle(&self) {
        let resting: Vec<Key> = {
            let mut store = self.write();
            store.round += 1;
            let rests = |entry: &Entry<K>| entry.rests_in.is_some_and(|round| round <= store.round);
            store.entries.iter().filter(|(_, entry)| rests(entry)).map(|(key, _)| key.clone()).collect()
        };
        for (number, key) in resting.into_iter().enumerate() {
            // After a storm there are very many, and others have work to do.
            if number % SETTLED_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            let held = self.read().entries.get(&key).map(|entry| entry.held.clone());
            let Some(Held::Whole(object)) = held else { continue };
            let packed = self.shared.words.pack(object.as_ref());
            let mut store = self.write();
            // What changed meanwhile is as fresh as it was before this round.
            let same = |held: &Held<K>| matches!(held, Held::Whole(now) if Arc::ptr_eq(now, &object));
            if let Some(entry) = store.entries.get_mut(&key).filter(|entry| same(&entry.held)) {
                entry.hold(packed);
            }
        }
    }

    /// A list at `version` has ended; what it did not name and was not written later is gone.
    pub(super) fn list_ended(&self, source: usize, version: u64, named: &std::collections::HashSet<Key>) {
        let mut store = self.write();
        store.retain(source, |key, held| named.contains(key) || held > version);
        store.see(source, version);
    }

    /// Whether nothing as new as that version is held.
    pub(super) fn would_take(&self, key: &Key, version: u64) -> bool {
        self.read().would_take(key, version)
    }

    /// An object is gone, or can no longer be read, as of `version`.
    pub(super) fn gone(&self, key: &Key, version: u64) {
        let mut store = self.write();
        if store.entries.get(key).is_some_and(|entry| entry.version <= version) {
            store.take(key);
        }
    }

    /// Everything up to `version` has been told.
    pub(super) fn seen(&self, source: usize, version: u64) {
        self.write().see(source, version);
    }
}

impl<K: Kept> Entry<K> {
    /// The object as it came.
    fn whole(mut object: K, version: u64) -> Self {
        object.trim();
        let index = object.index().map(|index| hash(&index));
        let finished = object.is_finished();
        Self { held: Held::Whole(Arc::new(object)), version, finished, index, rests_in: Some(ROUNDS) }
    }

    /// Holds it packed, or for good as it is if it cannot be.
    fn hold(&mut self, packed: Option<Packed>) {
        self.rests_in = None;
        if let Some(packed) = packed {
            self.held = Held::Packed(packed);
        }
    }
}

impl<K: Kept> Store<K> {
    fn scope(&self, key: &Key) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace))
    }

    /// Whether nothing as new as that version is held. What bears no version is believed.
    fn would_take(&self, key: &Key, version: u64) -> bool {
        version == 0 || self.entries.get(key).is_none_or(|held| held.version < version)
    }

    fn see(&mut self, source: usize, version: u64) {
        if let Some(scope) = self.scopes.get_mut(source) {
            scope.seen = version;
        }
    }

    fn put(&mut self, mut key: Key, mut entry: Entry<K>) {
        if !self.would_take(&key, entry.version) {
            return;
        }
        // One text for the key of an object wherever it is spoken of, and one for the namespace of keys in a row.
        if let Some((known, _)) = self.entries.get_key_value(&key) {
            key = known.clone();
        } else if self.recent == key.namespace {
            key.namespace = self.recent.clone();
        } else {
            self.recent = key.namespace.clone();
        }
        let index = entry.index;
        entry.rests_in = entry.rests_in.map(|rounds| self.round.saturating_add(rounds));
        let old = self.entries.insert(key.clone(), entry).and_then(|old| old.index);
        if old != index {
            self.unindex(old, &key);
            if let Some(index) = index {
                self.index.add(index, key.clone());
            }
        }
        self.tell(&key);
    }

    fn take(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.unindex(entry.index, key);
            self.tell(key);
        }
    }

    fn retain(&mut self, source: usize, keep: impl Fn(&Key, u64) -> bool) {
        let namespace = self.scopes.get(source).and_then(|scope| scope.namespace.clone());
        let inside = |key: &Key| namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace);
        let gone = self.entries.iter().filter(|(key, entry)| inside(key) && !keep(key, entry.version));
        let gone: Vec<Key> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| self.take(key));
    }

    fn unindex(&mut self, index: Option<u64>, key: &Key) {
        if let Some(index) = index {
            self.index.remove(index, key);
        }
    }

    fn tell(&mut self, key: &Key) {
        self.size.set(self.entries.len() as i64);
        self.subscribers.retain(|subscriber| match subscriber.upgrade() {
            Some(pending) => {
                pending.add(key);
                true
            }
            None => false,
        });
    }
}

/// The same in every process, but nothing outside of this one rests on it.
fn hash(index: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    index.hash(&mut hasher);
    hasher.finish()
}

/// The resourceVersion as a number, by which versions of one kind compare; 0 if it is none.
pub(super) fn version_of(object: &impl ResourceExt) -> u64 {
    number(object.resource_version().as_deref())
}

pub(super) fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
