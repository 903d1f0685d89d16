//! Workflows and Jobs as one: how they are asked for, and where what is known of them is kept.

use aegis_crds::names::ALERT_UID_LABEL;
use aegis_engine::plan::{ActionKind, SeenAction};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersionKind, PartialObjectMetaExt};
use kube::{Client, ResourceExt};
use serde_json::Value;

use crate::cache::Key;
use crate::context::{Failure, Lead};
use crate::executors::Workflow;

/// The kind in that namespace.
pub fn api(client: &Client, kind: ActionKind, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

fn resource(kind: ActionKind) -> ApiResource {
    let (group, plural) = match kind {
        ActionKind::Workflow => ("argoproj.io", "workflows"),
        ActionKind::Job => ("batch", "jobs"),
    };
    let version = kind.api_version().rsplit('/').next().unwrap_or_default();
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind.as_str()), plural)
}

/// Takes an object that the API server returned into the cache, so that it counts before the watch shows it.
pub fn learn(lead: &Lead, kind: ActionKind, object: DynamicObject) -> SeenAction {
    let (key, version) = (Key::of(&object), object.resource_version());
    lead.memory.saw_action(kind, key.clone(), version.clone());
    let DynamicObject { metadata, data, .. } = object;
    let (seen, is_new) = match kind {
        ActionKind::Workflow => {
            let seen = SeenAction::workflow(&metadata, &data);
            (seen, lead.workflows.insert(metadata.into_response_partial::<Workflow>()))
        }
        ActionKind::Job => {
            let field = |name: &str| data.get(name).cloned().unwrap_or(Value::Null);
            // A status that does not decode says nothing, like one that is not there yet.
            let status = serde_json::from_value(field("status")).ok();
            let job = Job { metadata, spec: None, status };
            (SeenAction::job(&job), lead.jobs.insert(job))
        }
    };
    if !is_new {
        lead.memory.heard_of_action(kind, key, version.as_deref());
    }
    seen
}

/// The Workflows and Jobs of the alert of that UID as they are in the API server at this moment.
pub async fn list(lead: &Lead, namespace: &str, alert_uid: &str) -> Result<Vec<SeenAction>, Failure> {
    let parameters = ListParams::default().labels(&format!("{ALERT_UID_LABEL}={alert_uid}"));
    let mut all = Vec::new();
    for kind in [ActionKind::Workflow, ActionKind::Job] {
        match lead.request(api(&lead.context.client, kind, namespace).list(&parameters)).await {
            Ok(list) => all.extend(list.items.into_iter().map(|object| learn(lead, kind, object))),
            // The kind itself is gone, and its objects with it.
            Err(failure) if failure.code() == Some(404) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(all)
}

/// Takes in that the API server knows no such object.
pub fn forget(lead: &Lead, kind: ActionKind, namespace: &str, name: &str) {
    match kind {
        ActionKind::Workflow => {
            if let Some(uid) = lead.workflows.get(namespace, name).and_then(|held| held.uid()) {
                lead.workflows.remove_if(namespace, name, &uid);
            }
        }
        ActionKind::Job => {
            if let Some(uid) = lead.jobs.get(namespace, name).and_then(|held| held.uid()) {
                lead.jobs.remove_if(namespace, name, &uid);
            }
        }
    }
}

/// What the caches hold for the alert at that place, or for an earlier one of the same name.
pub fn held(lead: &Lead, alert: &Key) -> Vec<SeenAction> {
    let here = |namespace: Option<String>| namespace.is_some_and(|namespace| *namespace == *alert.namespace);
    let workflows = lead.workflows.indexed(&alert.name).into_iter().filter(|one| here(one.namespace()));
    let jobs = lead.jobs.indexed(&alert.name).into_iter().filter(|one| here(one.namespace()));
    workflows
        .map(|workflow| SeenAction::workflow_metadata(&workflow.metadata))
        .chain(jobs.map(|job| SeenAction::job(&job)))
        .collect()
}

/// Everything that the caches hold, with its namespace.
pub fn all(lead: &Lead) -> Vec<(String, SeenAction)> {
    let workflows = lead.workflows.all().map(|one| (one.namespace(), SeenAction::workflow_metadata(&one.metadata)));
    let jobs = lead.jobs.all().map(|one| (one.namespace(), SeenAction::job(&one)));
    workflows.chain(jobs).map(|(namespace, action)| (namespace.unwrap_or_default(), action)).collect()
}
