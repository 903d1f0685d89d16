//! What runs an alert's action: Argo's Workflows and Kubernetes' own Jobs, as far as decisions need to see them.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

use aegis_crds::names;
use aegis_engine::plan::STOPPED_ANNOTATION;

use crate::cache::{self, Kept, Objects};

/// Argo's Workflow. Of its content only the metadata is ever held; what to run is written as JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Workflow {
    /// The object's metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
}

impl kube::Resource for Workflow {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Workflow".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "argoproj.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "workflows".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The pods of a controller of an earlier version.
pub type OldPods = Objects<PartialObjectMeta<Pod>>;
/// Our Workflows, by the name of their alert.
pub type Workflows = Objects<PartialObjectMeta<Workflow>>;
/// Our Jobs, by the name of their alert.
pub type Jobs = Objects<Job>;

/// The selector of what we made and may still read.
pub fn ours() -> String {
    format!("{}={},!{}", names::MANAGED_BY_LABEL, names::MANAGED_BY, names::RELEASED_LABEL)
}

/// The selector of what others made.
pub fn not_ours() -> String {
    format!("{}!={}", names::MANAGED_BY_LABEL, names::MANAGED_BY)
}

impl Kept for PartialObjectMeta<Workflow> {
    const KIND: &'static str = "Workflow";

    fn trim(&mut self) {
        self.types = None;
        trim_metadata(&mut self.metadata);
    }

    fn index(&self) -> Option<String> {
        owner_name(&self.metadata)
    }
}

impl Kept for Job {
    const KIND: &'static str = "Job";

    fn trim(&mut self) {
        trim_metadata(&mut self.metadata);
        // How the Job stands is in its status; what it runs was decided long ago.
        self.spec = None;
    }

    fn index(&self) -> Option<String> {
        owner_name(&self.metadata)
    }
}

impl Kept for PartialObjectMeta<Pod> {
    const KIND: &'static str = "Pod";

    fn trim(&mut self) {
        self.types = None;
        keep_name(&mut self.metadata);
    }
}

/// Of some objects it matters only that they are there.
fn keep_name(meta: &mut ObjectMeta) {
    *meta = ObjectMeta {
        name: meta.name.take(),
        namespace: meta.namespace.take(),
        uid: meta.uid.take(),
        resource_version: meta.resource_version.take(),
        ..ObjectMeta::default()
    };
}

/// The alert that controls the object.
pub fn owner(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = meta.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true) && owner.kind == "AegisAlert")
}

/// The name of that alert. A label could not hold every name.
fn owner_name(meta: &ObjectMeta) -> Option<String> {
    owner(meta).map(|owner| owner.name.clone())
}

/// Keeps who the object is, whose, how Argo says that it stands, and what holds it.
fn trim_metadata(meta: &mut ObjectMeta) {
    const LABELS: [&str; 5] =
        [names::ALERT_LABEL, names::ALERT_UID_LABEL, names::PHASE_LABEL, names::ATTEMPT_LABEL, names::CHECK_LABEL];
    const ANNOTATIONS: [&str; 4] =
        [names::RULE_ANNOTATION, names::TEMPLATE_ANNOTATION, names::CORDON_FOR_ANNOTATION, STOPPED_ANNOTATION];
    let label = |name: &str| LABELS.contains(&name) || name == names::ARGO_PHASE_LABEL;
    let kept = |map: &mut Option<BTreeMap<String, String>>, keep: &dyn Fn(&str) -> bool| {
        if let Some(map) = map {
            map.retain(|name, _| keep(name));
        }
    };
    kept(&mut meta.labels, &label);
    kept(&mut meta.annotations, &|name| ANNOTATIONS.contains(&name));
    meta.managed_fields = None;
    meta.self_link = None;
    meta.generate_name = None;
    meta.generation = None;
    cache::shrink(meta);
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_engine::plan::SeenAction;
    use serde_json::json;

    #[test]
    fn what_is_kept_of_an_action_tells_all_that_decisions_read() {
        let mut meta: ObjectMeta = serde_json::from_value(json!({
            "name": "w", "managedFields": [{"manager": "argo"}],
            "labels": {
                "aegis.io/alert-uid": "a", "aegis.io/phase": "Firing", "aegis.io/attempt": "2", "aegis.io/check": "true",
                "workflows.argoproj.io/phase": "Running", "team": "gpu",
            },
            "annotations": {"aegis.io/rule": "m/r", "aegis.io/template": "m/t", "aegis.io/cordon-for": "2h",
                "aegis.io/stopped": "Timeout", "aegis.io/node-before": "{}"},
        }))
        .unwrap();
        let whole = SeenAction::workflow_metadata(&meta);
        assert!(whole.identity.as_ref().is_some_and(|identity| identity.check) && whole.cordon_for.is_some());
        trim_metadata(&mut meta);
        assert_eq!(SeenAction::workflow_metadata(&meta), whole);
        assert_eq!((meta.labels.unwrap().len(), meta.annotations.unwrap().len()), (5, 4), "and no more");
    }
}
