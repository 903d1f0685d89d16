//! Which kinds are served at the moment: the built-in ones and those of the installed CustomResourceDefinitions.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::builtin;
use crate::kind::{Endpoint, Kind};

/// See the module's description. Readers take a snapshot; installing a kind makes a new one.
pub(crate) struct Registry {
    index: RwLock<Arc<Index>>,
}

/// All kinds at one moment.
#[derive(Default)]
pub(crate) struct Index {
    kinds: Vec<Arc<Kind>>,
    endpoints: HashMap<(String, String, String), Endpoint>,
}

impl Index {
    fn new(kinds: Vec<Arc<Kind>>) -> Self {
        let mut endpoints = HashMap::new();
        for kind in &kinds {
            for (version, known) in kind.versions.iter().enumerate() {
                endpoints.insert(
                    (kind.group.clone(), known.name.clone(), kind.plural.clone()),
                    Endpoint { kind: kind.clone(), version, api_version: kind.api_version(&known.name) },
                );
            }
        }
        Self { kinds, endpoints }
    }

    /// All kinds, in the order of discovery.
    pub(crate) fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }
}

impl Registry {
    /// The built-in kinds.
    pub(crate) fn new() -> Self {
        Self { index: RwLock::new(Arc::new(Index::new(builtin::kinds()))) }
    }

    /// The kinds as of now.
    pub(crate) fn index(&self) -> Arc<Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a path names.
    pub(crate) fn endpoint(&self, group: &str, version: &str, plural: &str) -> Option<Endpoint> {
        self.index().endpoints.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// The endpoint at which the objects of a table are kept.
    pub(crate) fn keeper(&self, table: &str) -> Option<Endpoint> {
        let index = self.index();
        index
            .endpoints
            .values()
            .find(|endpoint| &*endpoint.kind.table == table && endpoint.is_stored_form())
            .or_else(|| index.endpoints.values().find(|endpoint| &*endpoint.kind.table == table))
            .cloned()
    }

    /// Adds a kind, or replaces the one of its group and plural.
    pub(crate) fn install(&self, kind: Kind) {
        self.change(|kinds| {
            let kind = Arc::new(kind);
            match kinds.iter_mut().find(|known| known.group == kind.group && known.plural == kind.plural) {
                Some(known) => *known = kind,
                None => kinds.push(kind),
            }
        });
    }

    /// Takes a kind away.
    pub(crate) fn remove(&self, group: &str, plural: &str) {
        self.change(|kinds| kinds.retain(|known| known.group != group || known.plural != plural));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Kind>>)) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = index.kinds.clone();
        change(&mut kinds);
        *index = Arc::new(Index::new(kinds));
    }
}
