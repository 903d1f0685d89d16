//! Look: everything that a decision about one alert is made from. From the caches, which hold what our own writes
//! returned; from the API server only what a plan asks for by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_crds::AegisAlert;
use aegis_engine::plan::{ActionKind, Look, SeenAction, Sibling, Snapshot, Trouble};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::core::DeserializeGuard;

use super::actions;
use crate::cache::{Kept, Key};
use crate::context::{Failure, Lead};

/// An alert as the caches show it, with all that surrounds it; `None` if there is no such alert.
pub fn snapshot(lead: &Lead, key: &Key, trouble: Option<Trouble>) -> Option<Snapshot> {
    let alert = lead.context.alerts.find(key)?;
    let siblings = alert.index().map(|index| lead.context.alerts.indexed(&index)).unwrap_or_default();
    Some(Snapshot {
        actions: actions_of(lead, &alert),
        absent: BTreeSet::new(),
        unused: BTreeSet::new(),
        siblings: with_actions(lead, &alert, siblings),
        siblings_confirmed: false,
        guard: lead.view.guard(),
        others_first: false,
        gone: None,
        rules: lead.context.rules.book(),
        templates: lead.templates.book(),
        settings: lead.settings.clone(),
        old_controller: lead.takeover.waits_for(),
        trouble,
        alert,
    })
}

/// Asks the API server what only it can tell.
pub async fn look(lead: &Lead, seen: &mut Snapshot, look: &Look) -> Result<(), Failure> {
    match look {
        Look::Action { kind, name } => match action(lead, seen, *kind, name).await? {
            Some(action) => seen.saw(action),
            None => seen.missed(*kind, name),
        },
        Look::Siblings => {
            let siblings = siblings(lead, &seen.alert).await?;
            seen.confirmed(with_actions(lead, &seen.alert, siblings));
        }
        Look::Actions(place) => {
            let actions = actions::list(lead, &seen.alert.namespace().unwrap_or_default(), &place.uid).await?;
            seen.listed(place.clone(), actions);
        }
    }
    Ok(())
}

/// The alert as it is in the API server at this moment; `None` if it is gone, or another one has its name.
pub async fn fresh(lead: &Lead, alert: &AegisAlert) -> Result<Option<AegisAlert>, Failure> {
    let key = Key::of(alert);
    let api: Api<AegisAlert> = Api::namespaced(lead.context.client.clone(), &key.namespace);
    let uid = alert.uid().unwrap_or_default();
    match lead.request(api.get_opt(&key.name)).await? {
        Some(fresh) if fresh.uid().is_some_and(|fresh| fresh == uid) => {
            lead.context.alerts.insert(fresh.clone());
            Ok(Some(fresh))
        }
        _ => {
            lead.context.alerts.remove_if(&key.namespace, &key.name, &uid);
            Ok(None)
        }
    }
}

/// An action as it is in the API server at this moment, whole.
pub async fn action(lead: &Lead, seen: &Snapshot, kind: ActionKind, name: &str) -> Result<Option<SeenAction>, Failure> {
    let namespace = seen.alert.namespace().unwrap_or_default();
    let api = actions::api(&lead.context.client, kind, &namespace);
    match lead.request(api.get_opt(name)).await {
        Ok(Some(object)) => return Ok(Some(actions::learn(lead, kind, object))),
        Ok(None) => {}
        // The kind itself is gone, and its objects with it.
        Err(failure) if failure.code() == Some(404) => {}
        Err(failure) => return Err(failure),
    }
    actions::forget(lead, kind, &namespace, name);
    Ok(None)
}

/// The Workflows and Jobs of one alert that the caches show.
fn actions_of(lead: &Lead, alert: &AegisAlert) -> Vec<SeenAction> {
    let uid = alert.uid().unwrap_or_default();
    let mut all = actions::held(lead, &Key::of(alert));
    let whose = |action: &SeenAction| action.identity.as_ref().is_some_and(|identity| identity.alert_uid == uid);
    all.retain(|action| action.owner.as_deref() == Some(uid.as_str()) || whose(action));
    all.extend(lead.takeover.refused(alert));
    all
}

fn with_actions(lead: &Lead, alert: &AegisAlert, siblings: Vec<Arc<AegisAlert>>) -> Vec<Sibling> {
    let uid = &alert.metadata.uid;
    let others = siblings.into_iter().filter(|sibling| sibling.metadata.uid != *uid);
    others.map(|alert| Sibling { actions: actions_of(lead, &alert), alert }).collect()
}

async fn siblings(lead: &Lead, alert: &AegisAlert) -> Result<Vec<Arc<AegisAlert>>, Failure> {
    let Some(index) = alert.index() else { return Ok(Vec::new()) };
    let namespace = alert.namespace().unwrap_or_default();
    // One that does not decode tells nothing of its incident; the others count all the same.
    let api: Api<DeserializeGuard<AegisAlert>> = Api::namespaced(lead.context.client.clone(), &namespace);
    let labels = format!("{}={index}", aegis_crds::names::FINGERPRINT_LABEL);
    let list = lead.request(api.list(&ListParams::default().labels(&labels))).await?;
    Ok(list.items.into_iter().filter_map(|guarded| guarded.0.ok()).map(Arc::new).collect())
}
