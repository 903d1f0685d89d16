//! Every object of the cluster, in memory: one revision counter, one ordered table and one history per resource.
//!
//! Pure and synchronous: it knows nothing of HTTP, kinds or schemas. A write either meets its expectation and gets
//! the next revision, or changes nothing. Readers take references under a short lock and work outside of it.

mod document;
mod history;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{mpsc, watch};

pub(crate) use document::{Document, Draft, Facts};
use history::History;
pub(crate) use history::{Change, ChangeKind, Expired};

/// The name of a table: the plural resource name and its group, `pods` or `workflows.argoproj.io`.
pub(crate) type TableId = Arc<str>;

/// The table that decides whether a namespace takes new objects.
const NAMESPACES: &str = "namespaces";

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// No object of that name.
    Absent,
    /// The object as it was last seen.
    Revision(u64),
}

/// What a write does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Stores this state.
    Put(Draft),
    /// Removes the object. Watchers are told the given last state, or the stored one.
    Remove(Option<Draft>),
}

/// One write.
#[derive(Debug)]
pub(crate) struct Write<'a> {
    pub(crate) table: &'a TableId,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) expect: Expect,
    pub(crate) action: Action,
}

/// Why a write changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It expected none, and there is one.
    Exists,
    /// The object is not there, or not at the expected revision.
    Changed,
    /// A new object names a namespace that does not exist.
    NoNamespace,
    /// A new object names a namespace that is being deleted.
    Terminating,
}

/// A consistent view of a table.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The revision at which the view is true.
    pub(crate) revision: u64,
    /// In the order of namespace and name.
    pub(crate) documents: Vec<Arc<Document>>,
}

/// What happened, for those who clean up after it.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) table: TableId,
    pub(crate) change: Arc<Change>,
}

/// See the module's description.
pub(crate) struct Store {
    state: RwLock<State>,
    latest: watch::Sender<u64>,
    effects: mpsc::UnboundedSender<Effect>,
}

#[derive(Default)]
struct State {
    revision: u64,
    keep: usize,
    tables: HashMap<TableId, Table>,
    /// Where the object with a uid is.
    places: HashMap<Box<str>, (TableId, String)>,
    /// Which objects name a uid among their owners.
    dependents: HashMap<Box<str>, BTreeSet<(TableId, String)>>,
}

struct Table {
    objects: BTreeMap<String, Arc<Document>>,
    history: History,
    changed: watch::Sender<u64>,
}

impl Default for Table {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), history: History::default(), changed: watch::Sender::new(0) }
    }
}

impl Store {
    /// An empty store that remembers the last `keep` changes of each table. Changes that call for cleaning up are
    /// sent to `effects`.
    pub(crate) fn new(keep: usize, effects: mpsc::UnboundedSender<Effect>) -> Self {
        Self {
            state: RwLock::new(State { revision: 1, keep: keep.max(1), ..State::default() }),
            latest: watch::Sender::new(1),
            effects,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of the latest write.
    pub(crate) fn revision(&self) -> u64 {
        self.read().revision
    }

    /// The object, if it is there.
    pub(crate) fn get(&self, table: &str, namespace: &str, name: &str) -> Option<Arc<Document>> {
        let state = self.read();
        state.tables.get(table)?.objects.get(&key(namespace, name)).cloned()
    }

    /// The objects of a namespace, or of all when it is empty, that come after the key `after`; as of now, or as of
    /// an earlier revision if that is still remembered.
    pub(crate) fn list(
        &self,
        table: &str,
        namespace: &str,
        after: Option<&str>,
        at: Option<u64>,
    ) -> Result<Listing, Expired> {
        let state = self.read();
        let revision = at.unwrap_or(state.revision);
        let Some(table) = state.tables.get(table) else {
            return Ok(Listing { revision, documents: Vec::new() });
        };
        let prefix = prefix(namespace);
        let wanted = |key: &str| key.starts_with(&prefix) && after.is_none_or(|after| key > after);
        let from = after.filter(|after| *after > prefix.as_str()).unwrap_or(&prefix);
        let current = table
            .objects
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(key, _)| wanted(key));
        let documents = match at.filter(|at| *at < state.revision) {
            None => current.map(|(_, document)| document.clone()).collect(),
            Some(at) => {
                let mut past: BTreeMap<String, Arc<Document>> =
                    current.map(|(key, document)| (key.clone(), document.clone())).collect();
                for change in table.history.newest_first(at)? {
                    let facts = change.document.facts();
                    let key = key(&facts.namespace, &facts.name);
                    if !wanted(&key) {
                        continue;
                    }
                    match &change.before {
                        Some(before) => past.insert(key, before.clone()),
                        None => past.remove(&key),
                    };
                }
                past.into_values().collect()
            }
        };
        Ok(Listing { revision, documents })
    }

    /// The number of objects in a namespace of a table.
    pub(crate) fn count(&self, table: &str, namespace: &str) -> usize {
        let prefix = prefix(namespace);
        self.read().tables.get(table).map_or(0, |table| {
            table
                .objects
                .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(&prefix))
                .count()
        })
    }

    /// Carries out one write, or says why not.
    pub(crate) fn commit(&self, write: Write<'_>) -> Result<Arc<Document>, Refused> {
        let mut state = self.write();
        let key = key(write.namespace, write.name);
        if write.expect == Expect::Absent && !write.namespace.is_empty() {
            state.takes_new_objects(write.namespace)?;
        }
        let revision = state.revision + 1;
        let keep = state.keep;
        let table = state.tables.entry(write.table.clone()).or_default();
        let before = table.objects.get(&key).cloned();
        match (write.expect, &before) {
            (Expect::Absent, None) => {}
            (Expect::Absent, Some(_)) => return Err(Refused::Exists),
            (Expect::Revision(seen), Some(stored)) if stored.revision() == seen => {}
            (Expect::Revision(_), _) => return Err(Refused::Changed),
        }
        let (kind, document) = match write.action {
            Action::Put(draft) => (ChangeKind::Put, Arc::new(draft.stamp(revision))),
            Action::Remove(last) => {
                let Some(stored) = &before else {
                    return Err(Refused::Changed);
                };
                let last = match last {
                    Some(draft) => draft.stamp(revision),
                    None => stored.restamped(revision),
                };
                (ChangeKind::Remove, Arc::new(last))
            }
        };
        match kind {
            ChangeKind::Put => table.objects.insert(key.clone(), document.clone()),
            ChangeKind::Remove => table.objects.remove(&key),
        };
        let change = Arc::new(Change { kind, document: document.clone(), before });
        table.history.push(change.clone(), keep);
        table.changed.send_replace(revision);
        state.revision = revision;
        self.latest.send_replace(revision);
        state.index(write.table, &key, &change);
        if calls_for_cleaning(&change) {
            // Nobody cleans up any more once the server has stopped.
            let _ = self.effects.send(Effect { table: write.table.clone(), change });
        }
        Ok(document)
    }

    /// Up to `most` changes of a table after a revision, oldest first, and the revision up to which that is complete.
    pub(crate) fn changes(&self, table: &str, after: u64, most: usize) -> Result<(Vec<Arc<Change>>, u64), Expired> {
        let state = self.read();
        let Some(table) = state.tables.get(table) else {
            return Ok((Vec::new(), state.revision.max(after)));
        };
        let changes = table.history.after(after, most)?;
        let complete = match changes.last() {
            Some(last) if changes.len() == most => last.document.revision(),
            _ => state.revision.max(after),
        };
        Ok((changes, complete))
    }

    /// Tells of each new revision of a table; closed when [`Store::close`] is called for it.
    pub(crate) fn subscribe(&self, table: &TableId) -> watch::Receiver<u64> {
        let mut state = self.write();
        state.tables.entry(table.clone()).or_default().changed.subscribe()
    }

    /// Tells of each new revision of any table.
    pub(crate) fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Ends the watches of a table that is served no more.
    pub(crate) fn close(&self, table: &str) {
        if let Some(table) = self.write().tables.get_mut(table) {
            table.changed = watch::Sender::new(0);
        }
    }

    /// Forgets all history: a watch or continue token from before this moment is expired.
    pub(crate) fn compact(&self) {
        let mut state = self.write();
        // A revision of its own, so that even the latest list can be told from what comes after it.
        let revision = state.revision + 1;
        state.revision = revision;
        self.latest.send_replace(revision);
        for table in state.tables.values_mut() {
            table.history.forget(revision);
            table.changed.send_replace(revision);
        }
    }

    /// Where the object with this uid is, if it exists.
    pub(crate) fn place(&self, uid: &str) -> Option<(TableId, Arc<Document>)> {
        let state = self.read();
        let (table, key) = state.places.get(uid)?;
        let document = state.tables.get(table)?.objects.get(key)?;
        Some((table.clone(), document.clone()))
    }

    /// The objects that name this uid among their owners.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<(TableId, Arc<Document>)> {
        let state = self.read();
        state
            .dependents
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|(table, key)| {
                let document = state.tables.get(table)?.objects.get(key)?;
                Some((table.clone(), document.clone()))
            })
            .collect()
    }
}

impl State {
    fn takes_new_objects(&self, namespace: &str) -> Result<(), Refused> {
        let found = self.tables.get(NAMESPACES).and_then(|table| table.objects.get(namespace));
        match found {
            None => Err(Refused::NoNamespace),
            Some(found) if found.facts().deleting => Err(Refused::Terminating),
            Some(_) => Ok(()),
        }
    }

    fn index(&mut self, table: &TableId, key: &str, change: &Change) {
        if let Some(before) = &change.before {
            self.places.remove(&before.facts().uid);
            for owner in &before.facts().owners {
                if let Some(dependents) = self.dependents.get_mut(owner) {
                    dependents.remove(&(table.clone(), key.to_owned()));
                    if dependents.is_empty() {
                        self.dependents.remove(owner);
                    }
                }
            }
        }
        if change.kind == ChangeKind::Put {
            let facts = change.document.facts();
            let place = (table.clone(), key.to_owned());
            for owner in &facts.owners {
                self.dependents.entry(owner.clone()).or_default().insert(place.clone());
            }
            self.places.insert(facts.uid.clone(), place);
        }
    }
}

/// Whether garbage collection, namespace deletion or the removal of a custom resource may have work after a change.
fn calls_for_cleaning(change: &Change) -> bool {
    let facts = change.document.facts();
    change.kind == ChangeKind::Remove || facts.deleting || !facts.owners.is_empty()
}

/// The key of an object in its table.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    format!("{}{name}", prefix(namespace))
}

fn prefix(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!("{namespace}/") }
}
