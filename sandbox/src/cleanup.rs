//! What happens after a deletion: dependents are collected, a namespace is emptied, a custom resource is taken away.
//!
//! One task reads the store's effects in order. It works through the same operations as requests do.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;

use crate::api::{Api, DeleteOptions, Part, Propagation, Target, WriteOptions};
use crate::crd;
use crate::object::{self, metadata_mut};
use crate::status::ApiError;
use crate::store::{ChangeKind, Document, Effect, TableId};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Cleans up until the server stops.
pub(crate) async fn run(api: Arc<Api>, mut effects: mpsc::UnboundedReceiver<Effect>) {
    while let Some(effect) = effects.recv().await {
        api.clean_up_after(&effect);
        tokio::task::yield_now().await;
    }
}

impl Api {
    fn clean_up_after(&self, effect: &Effect) {
        let document = &effect.change.document;
        let facts = document.facts();
        match effect.change.kind {
            ChangeKind::Remove => {
                for (table, dependent) in self.store.dependents(&facts.uid) {
                    self.collect(&table, &dependent);
                }
                for owner in &facts.owners {
                    self.finish_foreground(owner);
                }
                if !facts.namespace.is_empty() {
                    self.finish_namespace(&facts.namespace);
                }
                self.finish_definition(&effect.table);
            }
            ChangeKind::Put => {
                if !facts.owners.is_empty() {
                    self.collect(&effect.table, document);
                }
                if facts.deleting {
                    match &*effect.table {
                        "namespaces" => self.empty_namespace(&facts.name),
                        crd::TABLE => self.empty_definition(document),
                        _ => {}
                    }
                    let holds = |finalizer: &str| facts.finalizers.iter().any(|one| &**one == finalizer);
                    if holds(ORPHAN) {
                        self.orphan(&facts.uid);
                    }
                    if holds(FOREGROUND) {
                        self.finish_foreground(&facts.uid);
                    }
                }
            }
        }
    }

    /// Deletes an object none of whose owners exist; of several owners, the absent ones are no longer named.
    fn collect(&self, table: &TableId, document: &Document) {
        let facts = document.facts();
        let exists = |uid: &str| {
            self.store.place(uid).is_some_and(|(_, owner)| {
                let namespace = &owner.facts().namespace;
                namespace.is_empty() || *namespace == facts.namespace
            })
        };
        let absent: Vec<&str> = facts.owners.iter().map(|uid| &**uid).filter(|uid| !exists(uid)).collect();
        if absent.is_empty() {
            return;
        }
        if absent.len() == facts.owners.len() {
            self.remove(table, document, None);
        } else {
            self.amend(table, document, |object| disown(object, &absent));
        }
    }

    /// With foreground deletion: deletes dependents, and lets their owner go once none of them blocks it.
    fn finish_foreground(&self, owner: &str) {
        let Some((table, document)) = self.store.place(owner) else {
            return;
        };
        let facts = document.facts();
        if !facts.deleting || !facts.finalizers.iter().any(|one| &**one == FOREGROUND) {
            return;
        }
        let mut blocked = false;
        for (table, dependent) in self.store.dependents(owner) {
            let value = dependent.value();
            let blocks = object::items(&value, "/metadata/ownerReferences").any(|reference| {
                object::text(reference, "/uid") == owner
                    && reference.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true)
            });
            let sole = dependent.facts().owners.len() == 1;
            if !sole {
                self.amend(&table, &dependent, |object| disown(object, &[owner]));
                continue;
            }
            if !dependent.facts().deleting {
                self.remove(&table, &dependent, Some(Propagation::Foreground));
            }
            let remains = self.store.place(&dependent.facts().uid).is_some();
            blocked |= blocks && remains;
        }
        if !blocked {
            self.amend(&table, &document, |object| release(object, FOREGROUND));
        }
    }

    fn orphan(&self, owner: &str) {
        for (table, dependent) in self.store.dependents(owner) {
            self.amend(&table, &dependent, |object| disown(object, &[owner]));
        }
        if let Some((table, document)) = self.store.place(owner) {
            self.amend(&table, &document, |object| release(object, ORPHAN));
        }
    }

    fn empty_namespace(&self, namespace: &str) {
        for kind in self.registry.index().kinds() {
            if kind.namespaced {
                self.remove_all(&kind.table, namespace);
            }
        }
        self.finish_namespace(namespace);
    }

    /// Lets a namespace go that is being deleted and has become empty.
    fn finish_namespace(&self, namespace: &str) {
        let Some(document) = self.store.get("namespaces", "", namespace) else {
            return;
        };
        if !document.facts().deleting {
            return;
        }
        let tables: Vec<TableId> = self
            .registry
            .index()
            .kinds()
            .iter()
            .filter(|kind| kind.namespaced)
            .map(|kind| kind.table.clone())
            .collect();
        if tables.iter().any(|table| self.store.count(table, namespace) > 0) {
            return;
        }
        let Some(endpoint) = self.registry.keeper("namespaces") else {
            return;
        };
        let target = Target { endpoint: &endpoint, namespace: "", name: namespace };
        let done = self.change(target, Part::Finalize, &WriteOptions::default(), |current| {
            let mut new = current.clone();
            object::map_mut(&mut new, "spec").insert("finalizers".into(), Value::Array(Vec::new()));
            Ok(new)
        });
        report("could not finish the deletion of a namespace", namespace, done.map(drop));
    }

    fn empty_definition(&self, document: &Document) {
        let table = instances(&document.value());
        self.remove_all(&table, "");
        self.finish_definition(&table);
    }

    /// Lets a CustomResourceDefinition go that is being deleted and whose objects are gone.
    fn finish_definition(&self, table: &TableId) {
        // A definition has the name of the table of its objects.
        let Some(document) = self.store.get(crd::TABLE, "", table) else {
            return;
        };
        if document.facts().deleting && self.store.count(table, "") == 0 {
            self.amend(&crd::TABLE.into(), &document, |object| release(object, crd::CLEANUP_FINALIZER));
        }
    }

    fn remove_all(&self, table: &TableId, namespace: &str) {
        if let Ok(listing) = self.store.list(table, namespace, None, None) {
            for document in listing.documents {
                self.remove(table, &document, Some(Propagation::Background));
            }
        }
    }

    fn remove(&self, table: &TableId, document: &Document, propagation: Option<Propagation>) {
        let Some(endpoint) = self.registry.keeper(table) else {
            return;
        };
        let facts = document.facts();
        let target = Target { endpoint: &endpoint, namespace: &facts.namespace, name: &facts.name };
        let options = DeleteOptions { uid: Some(facts.uid.to_string()), propagation, ..DeleteOptions::default() };
        report("could not collect an object", &facts.name, self.delete(target, &options).map(drop));
    }

    fn amend(&self, table: &TableId, document: &Document, change: impl Fn(&mut Value)) {
        let Some(endpoint) = self.registry.keeper(table) else {
            return;
        };
        let facts = document.facts();
        let target = Target { endpoint: &endpoint, namespace: &facts.namespace, name: &facts.name };
        let done = self.change(target, Part::Main, &WriteOptions::default(), |current| {
            let mut new = current.clone();
            metadata_mut(&mut new).insert("uid".into(), facts.uid.as_ref().into());
            change(&mut new);
            Ok(new)
        });
        report("could not amend an object", &facts.name, done.map(drop));
    }
}

/// The table of the objects that a definition defines.
fn instances(definition: &Value) -> TableId {
    format!("{}.{}", object::text(definition, "/spec/names/plural"), object::text(definition, "/spec/group")).into()
}

fn disown(object: &mut Value, owners: &[&str]) {
    let metadata = metadata_mut(object);
    if let Some(Value::Array(list)) = metadata.get_mut("ownerReferences") {
        list.retain(|reference| !owners.contains(&object::text(reference, "/uid")));
    }
}

fn release(object: &mut Value, finalizer: &str) {
    if let Some(Value::Array(list)) = metadata_mut(object).get_mut("finalizers") {
        list.retain(|one| one != finalizer);
    }
}

/// An object that changed or went in the meantime is taken up again by the effect of that change.
fn report(what: &str, name: &str, done: Result<(), ApiError>) {
    match done {
        Ok(()) => {}
        Err(error) if matches!(error.code(), 404 | 409) => {}
        Err(error) => tracing::debug!(name, %error, "{what}"),
    }
}
