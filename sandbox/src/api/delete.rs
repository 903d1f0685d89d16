//! Delete: at once, or marked and left to its finalizers.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Api, ListQuery, Target};
use crate::crd;
use crate::kind::Endpoint;
use crate::object::{self, metadata, metadata_mut};
use crate::status::ApiError;
use crate::store::{Action, Document, Expect, Refused};

pub(crate) const FOREGROUND: &str = "foregroundDeletion";
pub(crate) const ORPHAN: &str = "orphan";

/// Namespaces that a cluster cannot be without.
const IMMORTAL: [&str; 3] = ["default", "kube-public", "kube-system"];

/// What becomes of the objects that a deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay, and no longer name it.
    Orphan,
}

/// How a delete is to be carried out.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) grace: Option<i64>,
    pub(crate) dry_run: bool,
}

/// What a delete led to.
#[derive(Debug)]
pub(crate) struct Deleted {
    /// The last state, or the state with its deletion mark.
    pub(crate) document: Arc<Document>,
    /// Whether the object is gone.
    pub(crate) gone: bool,
}

impl Api {
    /// Deletes an object.
    pub(crate) fn delete(&self, target: Target<'_>, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        if &*target.endpoint.kind.table == "namespaces" && IMMORTAL.contains(&target.name) {
            let subject = target.endpoint.kind.subject(target.name);
            return Err(ApiError::forbidden(&subject, "this namespace may not be deleted"));
        }
        loop {
            let document = self.stored(target)?;
            check_preconditions(target, &document, options)?;
            let old = document.value();
            let marked = self.marked(target, &document, &old, options);
            let gone = marked.is_none();
            if options.dry_run {
                return Ok(Deleted { document, gone });
            }
            let action = match marked {
                // Asked again, and nothing to add.
                Some(marked) if marked == old => return Ok(Deleted { document, gone: false }),
                Some(marked) => Action::Put(target.endpoint.draft(&marked)),
                None => Action::Remove(None),
            };
            match self.commit(target, Expect::Revision(document.revision()), action) {
                Ok(document) => return Ok(Deleted { document, gone }),
                Err(Refused::Changed) => {}
                Err(refused) => return Err(self.refusal(refused, target)),
            }
        }
    }

    /// The state with its deletion mark, or none if nothing holds the object back.
    fn marked(&self, target: Target<'_>, document: &Document, old: &Value, options: &DeleteOptions) -> Option<Value> {
        let kind = &target.endpoint.kind;
        let mut new = old.clone();
        let mut grace = 0;
        match &*kind.table {
            "namespaces" if object::items(old, "/spec/finalizers").next().is_some() => {
                if !document.facts().deleting {
                    mark(&mut new, 0, self.clock.now());
                    object::map_mut(&mut new, "status").insert("phase".into(), "Terminating".into());
                }
                return Some(new);
            }
            crd::TABLE => {
                let plural = object::text(old, "/spec/names/plural");
                let table = format!("{plural}.{}", object::text(old, "/spec/group"));
                if self.store.count(&table, "") > 0 {
                    hold(&mut new, crd::CLEANUP_FINALIZER);
                }
            }
            "pods" => grace = pod_grace(old, options.grace),
            _ => {}
        }
        self.settle_propagation(target, document, &mut new, options.propagation);
        let held = !object::finalizers(&new).is_empty();
        if grace == 0 && !held {
            return None;
        }
        if !document.facts().deleting {
            if kind.counts_generations() {
                let generation = metadata(&new).get("generation").and_then(Value::as_i64).unwrap_or(0);
                metadata_mut(&mut new).insert("generation".into(), (generation + 1).into());
            }
            mark(&mut new, grace, self.clock.now());
        } else if grace < current_grace(old) {
            mark(&mut new, grace, self.clock.now());
        }
        Some(new)
    }

    /// Notes in the finalizers what becomes of dependents.
    fn settle_propagation(
        &self,
        target: Target<'_>,
        document: &Document,
        new: &mut Value,
        propagation: Option<Propagation>,
    ) {
        let orphans = target.endpoint.kind.builtin().is_some_and(|builtin| builtin.orphans_by_default);
        let already = document.facts().finalizers.iter().any(|finalizer| matches!(&**finalizer, FOREGROUND | ORPHAN));
        let propagation = match propagation {
            Some(propagation) => propagation,
            None if already => return,
            None if orphans => Propagation::Orphan,
            None => Propagation::Background,
        };
        let wanted = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some(FOREGROUND),
            // Nobody to orphan: nothing to wait for.
            Propagation::Orphan if self.store.dependents(&document.facts().uid).is_empty() => None,
            Propagation::Orphan => Some(ORPHAN),
        };
        for finalizer in [FOREGROUND, ORPHAN] {
            if wanted == Some(finalizer) {
                hold(new, finalizer);
            } else {
                release(new, finalizer);
            }
        }
    }

    /// Deletes all that a query selects and answers the states before.
    pub(crate) fn delete_collection(
        &self,
        endpoint: &Endpoint,
        namespace: &str,
        query: &ListQuery,
        options: &DeleteOptions,
    ) -> Result<Vec<Arc<Document>>, ApiError> {
        let page = self.list(endpoint, namespace, query)?;
        for document in &page.documents {
            let facts = document.facts();
            let target = Target { endpoint, namespace: &facts.namespace, name: &facts.name };
            match self.delete(target, options) {
                Ok(_) => {}
                // Somebody else was faster, which is all the same here.
                Err(error) if error.code() == 404 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(page.documents)
    }
}

fn check_preconditions(target: Target<'_>, document: &Document, options: &DeleteOptions) -> Result<(), ApiError> {
    let subject = target.endpoint.kind.subject(target.name);
    let held = &document.facts().uid;
    if let Some(uid) = options.uid.as_ref().filter(|uid| ***uid != **held) {
        return Err(ApiError::conflict(
            &subject,
            &format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {held}"),
        ));
    }
    let held = document.revision().to_string();
    if let Some(version) = options.resource_version.as_ref().filter(|version| **version != held) {
        return Err(ApiError::conflict(
            &subject,
            &format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {held}"
            ),
        ));
    }
    Ok(())
}

/// How long a pod may take to end: no time if no node runs it.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let unscheduled = object::text(pod, "/spec/nodeName").is_empty();
    let ended = matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed");
    if unscheduled || ended {
        return 0;
    }
    let own = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    asked.or(own).unwrap_or(30).max(0)
}

fn current_grace(object: &Value) -> i64 {
    metadata(object).get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0)
}

fn mark(object: &mut Value, grace: i64, now: Timestamp) {
    let at = now + SignedDuration::from_secs(grace);
    let metadata = metadata_mut(object);
    metadata.insert("deletionTimestamp".into(), object::time(at).into());
    metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
}

fn hold(object: &mut Value, finalizer: &str) {
    let list = metadata_mut(object).entry("finalizers").or_insert_with(|| json!([]));
    if let Value::Array(list) = list
        && !list.iter().any(|one| one == finalizer)
    {
        list.push(finalizer.into());
    }
}

fn release(object: &mut Value, finalizer: &str) {
    let metadata = metadata_mut(object);
    if let Some(Value::Array(list)) = metadata.get_mut("finalizers") {
        list.retain(|one| one != finalizer);
        if list.is_empty() {
            metadata.shift_remove("finalizers");
        }
    }
}
