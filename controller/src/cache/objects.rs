//! The store of a cache: objects by name and by index, each as new as anybody has told.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use kube::ResourceExt;
use kube::api::ObjectMeta;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use super::changes::{Changes, Pending};

/// What a cache asks of the objects that it holds.
pub trait Kept: ResourceExt + Send + Sync + 'static {
    /// The kind, as metrics and logs name it.
    const KIND: &'static str;

    /// Drops what no decision needs. The default drops what only kubectl and the API server use.
    fn trim(&mut self) {
        trim_metadata(self.meta_mut());
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

/// The place of an object. Objects of the cluster have an empty namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The place of that name in that namespace.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The place of that object.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

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
    /// Index value and place. One tree, since most values have one object and a set for each would mostly be empty room.
    index: BTreeSet<(String, Key)>,
    scopes: Vec<Scope>,
    subscribers: Vec<Weak<Pending>>,
    size: Gauge,
}

struct Entry<K> {
    object: Arc<K>,
    version: u64,
}

/// What one source feeds: a namespace, or everything.
struct Scope {
    namespace: Option<String>,
    /// The version up to which the source has told everything.
    seen: u64,
}

impl<K: Kept> Objects<K> {
    pub(crate) fn new(namespaces: Vec<Option<String>>, size: Gauge) -> Self {
        let rounds = namespaces.iter().map(|_| Rounds::new()).collect();
        let scopes = namespaces.into_iter().map(|namespace| Scope { namespace, seen: 0 }).collect();
        let store = Store { entries: HashMap::new(), index: BTreeSet::new(), scopes, subscribers: Vec::new(), size };
        Self { shared: Arc::new(Shared { store: RwLock::new(store), rounds }) }
    }

    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.find(&Key::new(namespace, name))
    }

    /// The object at that place.
    pub fn find(&self, key: &Key) -> Option<Arc<K>> {
        self.read().entries.get(key).map(|entry| entry.object.clone())
    }

    /// Every object, in no particular order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.read().entries.values().map(|entry| entry.object.clone()).collect()
    }

    /// The objects of that index value, by namespace and name.
    pub fn indexed(&self, value: &str) -> Vec<Arc<K>> {
        let store = self.read();
        let from = (value.to_owned(), Key::new("", ""));
        let keys = store.index.range(from..).take_while(|(index, _)| index == value).map(|(_, key)| key);
        keys.filter_map(|key| store.entries.get(key)).map(|entry| entry.object.clone()).collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().entries.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in an object that one of our own writes or reads returned, unless the cache knows better: it holds a
    /// newer one, or its watch has passed that version and told that the object is gone.
    pub fn insert(&self, object: K) {
        let mut store = self.write();
        let key = Key::of(&object);
        let version = version_of(&object);
        let passed = store.scope(&key).is_some_and(|scope| version <= scope.seen);
        if passed && !store.entries.contains_key(&key) {
            return;
        }
        store.put(key, object, version);
    }

    /// Forgets an object that the API server said is gone. One of another UID at the same place stays.
    pub fn remove_if(&self, namespace: &str, name: &str, uid: &str) {
        let mut store = self.write();
        let key = Key::new(namespace, name);
        if store.entries.get(&key).is_some_and(|entry| entry.object.uid().is_some_and(|held| held == uid)) {
            store.take(&key);
        }
    }

    /// What changes from now on, preceded by every object that is here already.
    pub fn subscribe(&self) -> Changes {
        let pending = Arc::new(Pending::default());
        let mut store = self.write();
        store.entries.keys().for_each(|key| pending.add(key));
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

    fn read(&self) -> RwLockReadGuard<'_, Store<K>> {
        self.shared.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Store<K>> {
        self.shared.store.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a feed does.
impl<K: Kept> Objects<K> {
    /// A list at `version` begins. A version lower than one seen before means that the API server was put back to an
    /// earlier state; nothing held is worth anything then.
    pub(super) fn list_begins(&self, source: usize, version: u64) {
        let mut store = self.write();
        let seen = store.scopes.get(source).map_or(0, |scope| scope.seen);
        if version < seen {
            store.retain(source, |_, _| false);
            store.see(source, version);
        }
    }

    /// An object came with a list or an event.
    pub(super) fn applied(&self, object: K) {
        let (key, version) = (Key::of(&object), version_of(&object));
        self.write().put(key, object, version);
    }

    /// A list at `version` has ended; what it did not name and was not written later is gone.
    pub(super) fn list_ended(&self, source: usize, version: u64, named: &std::collections::HashSet<Key>) {
        let mut store = self.write();
        store.retain(source, |key, held| named.contains(key) || held > version);
        store.see(source, version);
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

impl<K: Kept> Store<K> {
    fn scope(&self, key: &Key) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace))
    }

    fn see(&mut self, source: usize, version: u64) {
        if let Some(scope) = self.scopes.get_mut(source) {
            scope.seen = version;
        }
    }

    fn put(&mut self, key: Key, mut object: K, version: u64) {
        if self.entries.get(&key).is_some_and(|held| held.version >= version && version > 0) {
            return;
        }
        object.trim();
        let index = object.index();
        let old = self.entries.insert(key.clone(), Entry { object: Arc::new(object), version });
        let old_index = old.and_then(|old| old.object.index());
        if old_index != index {
            self.unindex(old_index, &key);
            self.index.extend(index.map(|index| (index, key.clone())));
        }
        self.tell(&key);
    }

    fn take(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.unindex(entry.object.index(), key);
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

    fn unindex(&mut self, index: Option<String>, key: &Key) {
        if let Some(index) = index {
            self.index.remove(&(index, key.clone()));
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

/// The resourceVersion as a number, by which versions of one kind compare; 0 if it is none.
pub(super) fn version_of(object: &impl ResourceExt) -> u64 {
    number(object.resource_version().as_deref())
}

pub(super) fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use aegis_crds::AegisAlert;
    use aegis_crds::alert::AegisAlertSpec;

    use super::*;

    fn alert(name: &str, version: u64, fingerprint: &str) -> AegisAlert {
        let spec = AegisAlertSpec { fingerprint: Some(fingerprint.into()), ..Default::default() };
        let mut alert = AegisAlert::new(name, spec);
        alert.metadata.namespace = Some("monitoring".into());
        alert.metadata.resource_version = Some(version.to_string());
        alert.metadata.uid = Some(format!("uid-{name}"));
        alert
    }

    fn cache() -> Objects<AegisAlert> {
        Objects::new(vec![Some("monitoring".into())], Gauge::default())
    }

    fn names(found: &[Arc<AegisAlert>]) -> Vec<String> {
        found.iter().map(|alert| alert.name_any()).collect()
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let cache = cache();
        cache.insert(alert("a", 10, "new"));
        cache.applied(alert("a", 8, "old"));
        assert_eq!(names(&cache.of_fingerprint("new")), ["a"]);
        assert!(cache.of_fingerprint("old").is_empty());
        cache.applied(alert("a", 12, "newer"));
        assert!(cache.of_fingerprint("new").is_empty(), "the index follows");
        assert_eq!(names(&cache.of_fingerprint("newer")), ["a"]);
    }

    #[test]
    fn a_write_that_the_watch_has_passed_does_not_bring_a_deleted_object_back() {
        let cache = cache();
        cache.seen(0, 11);
        cache.insert(alert("a", 10, "f"));
        assert!(cache.is_empty(), "the watch has told of its deletion already");
        cache.insert(alert("a", 12, "f"));
        assert_eq!(cache.len(), 1, "the watch has not come so far");
    }

    #[test]
    fn a_late_deletion_does_not_take_the_object_that_came_after_it() {
        let cache = cache();
        cache.insert(alert("a", 20, "f"));
        cache.gone(&Key::new("monitoring", "a"), 15);
        assert_eq!(cache.len(), 1);
        cache.gone(&Key::new("monitoring", "a"), 21);
        assert!(cache.is_empty() && cache.of_fingerprint("f").is_empty());
    }

    #[test]
    fn after_a_list_only_what_it_named_or_what_was_written_later_is_left() {
        let cache = cache();
        for (name, version) in [("named", 5), ("gone", 6), ("later", 30)] {
            cache.insert(alert(name, version, "f"));
        }
        cache.list_begins(0, 20);
        cache.list_ended(0, 20, &[Key::new("monitoring", "named")].into());
        assert_eq!(names(&cache.of_fingerprint("f")), ["later", "named"]);
    }

    #[test]
    fn a_server_put_back_to_an_earlier_state_is_believed() {
        let cache = cache();
        cache.applied(alert("a", 100, "f"));
        cache.seen(0, 100);
        cache.list_begins(0, 50);
        cache.applied(alert("a", 40, "g"));
        cache.list_ended(0, 50, &[Key::new("monitoring", "a")].into());
        assert_eq!(names(&cache.of_fingerprint("g")), ["a"]);
    }

    #[test]
    fn an_object_is_forgotten_only_by_its_own_uid() {
        let cache = cache();
        cache.insert(alert("a", 1, "f"));
        cache.remove_if("monitoring", "a", "another");
        assert_eq!(cache.len(), 1);
        cache.remove_if("monitoring", "a", "uid-a");
        assert!(cache.is_empty());
    }

    #[tokio::test]
    async fn a_subscriber_gets_what_is_there_and_every_change_once() {
        let cache = cache();
        cache.insert(alert("a", 1, "f"));
        let mut changes = cache.subscribe();
        cache.insert(alert("b", 2, "f"));
        cache.insert(alert("a", 3, "f"));
        assert_eq!(changes.next().await.name, "a", "changed twice, told once");
        assert_eq!(changes.next().await.name, "b");
        cache.gone(&Key::new("monitoring", "b"), 9);
        assert_eq!(changes.next().await.name, "b", "a deletion is a change");
    }
}
