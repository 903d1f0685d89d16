//! An action as it is seen in the cluster: what decisions need of a Workflow or Job, and whose it is.

use std::fmt;

use aegis_crds::alert::AlertStatus;
use aegis_crds::names::{
    ALERT_UID_LABEL, ARGO_PHASE_LABEL, ATTEMPT_LABEL, CHECK_LABEL, CORDON_FOR_ANNOTATION, OUTCOME_FINALIZER,
    PHASE_LABEL, RELEASED_LABEL, RULE_ANNOTATION, TEMPLATE_ANNOTATION,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::duration;
use crate::outcome::{self, Standing};
use crate::render::checks::Executor;

/// On a Workflow or Job: why Aegis stopped it.
pub const STOPPED_ANNOTATION: &str = "aegis.io/stopped";

/// The kinds of object that can be an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKind {
    /// `argoproj.io/v1alpha1`.
    Workflow,
    /// `batch/v1`.
    Job,
}

/// Which action of which alert an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The alert's UID.
    pub alert_uid: String,
    /// The phase that it was made for.
    pub phase: AlertStatus,
    /// The attempt, from 1.
    pub attempt: i32,
    /// Whether it only checks what the action of that attempt achieved.
    pub check: bool,
}

/// A Workflow or Job as it was seen, trimmed to what decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenAction {
    /// Workflow or Job.
    pub kind: ActionKind,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that was seen.
    pub resource_version: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When somebody asked for its deletion.
    pub deleted: Option<Timestamp>,
    /// What its labels say it is; `None` if they do not say it in full.
    pub identity: Option<Identity>,
    /// The UID of the owner that controls it.
    pub owner: Option<String>,
    /// The rule that it names, as namespace/name.
    pub rule: Option<String>,
    /// The template that it names, as namespace/name.
    pub template: Option<String>,
    /// For how long a cordon that it leaves stands, if not until somebody lifts it.
    pub cordon_for: Option<SignedDuration>,
    /// Its finalizers; ours is [`OUTCOME_FINALIZER`].
    pub finalizers: Vec<String>,
    /// Whether Aegis has stopped it.
    pub stopped: bool,
    /// How it stands.
    pub standing: Standing,
    /// Whether all of it was read, so that a message that is not there does not exist.
    pub whole: bool,
}

impl ActionKind {
    /// The kind's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "Workflow",
            Self::Job => "Job",
        }
    }

    /// The kind of that name; `None` if it cannot be an action.
    pub fn parse(kind: &str) -> Option<Self> {
        [Self::Workflow, Self::Job].into_iter().find(|known| known.as_str() == kind)
    }

    /// Its group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Workflow => "argoproj.io/v1alpha1",
            Self::Job => "batch/v1",
        }
    }
}

impl From<Executor> for ActionKind {
    fn from(executor: Executor) -> Self {
        match executor {
            Executor::Argo => Self::Workflow,
            Executor::Job => Self::Job,
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SeenAction {
    /// A Workflow of which only the metadata is known; its phase is Argo's label.
    pub fn workflow_metadata(meta: &ObjectMeta) -> Self {
        let phase = meta.labels.as_ref().and_then(|labels| labels.get(ARGO_PHASE_LABEL)).map(String::as_str);
        Self::new(ActionKind::Workflow, meta, outcome::of_workflow(phase, None), false)
    }

    /// A Workflow as the API server returned it, whole.
    pub fn workflow(meta: &ObjectMeta, object: &Value) -> Self {
        let field = |name: &str| object.get("status").and_then(|status| status.get(name)).and_then(Value::as_str);
        let label = meta.labels.as_ref().and_then(|labels| labels.get(ARGO_PHASE_LABEL)).map(String::as_str);
        let phase = field("phase").filter(|phase| !phase.is_empty()).or(label);
        Self::new(ActionKind::Workflow, meta, outcome::of_workflow(phase, field("message")), true)
    }

    /// A Job.
    pub fn job(job: &Job) -> Self {
        let standing = job.status.as_ref().map_or_else(Standing::waiting, outcome::of_job);
        Self::new(ActionKind::Job, &job.metadata, standing, true)
    }

    fn new(kind: ActionKind, meta: &ObjectMeta, standing: Standing, whole: bool) -> Self {
        let label = |name: &str| meta.labels.as_ref().and_then(|labels| labels.get(name));
        let annotation = |name: &str| meta.annotations.as_ref().and_then(|all| all.get(name)).cloned();
        let phase = match label(PHASE_LABEL).map(String::as_str) {
            Some("Firing") => Some(AlertStatus::Firing),
            Some("Resolved") => Some(AlertStatus::Resolved),
            _ => None,
        };
        let attempt = label(ATTEMPT_LABEL).and_then(|text| text.parse().ok()).filter(|attempt| *attempt >= 1);
        let check = label(CHECK_LABEL).is_some_and(|text| text == "true");
        let identity = match (label(ALERT_UID_LABEL), phase, attempt) {
            (Some(uid), Some(phase), Some(attempt)) => Some(Identity { alert_uid: uid.clone(), phase, attempt, check }),
            _ => None,
        };
        let owners = meta.owner_references.as_deref().unwrap_or_default();
        Self {
            kind,
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleted: meta.deletion_timestamp.as_ref().map(|time| time.0),
            identity,
            owner: owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone()),
            rule: annotation(RULE_ANNOTATION),
            template: annotation(TEMPLATE_ANNOTATION),
            cordon_for: annotation(CORDON_FOR_ANNOTATION).and_then(|text| duration::parse(&text).ok()),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            stopped: annotation(STOPPED_ANNOTATION).is_some(),
            standing,
            whole,
        }
    }

    /// Whether it is an action of the alert of that UID: its labels and its owner must agree.
    pub fn is_of(&self, alert_uid: &str) -> bool {
        self.owner.as_deref() == Some(alert_uid)
            && self.identity.as_ref().is_some_and(|identity| identity.alert_uid == alert_uid)
    }

    /// Whether it was made by an earlier version for the alert of that UID: a generated name, no labels of ours.
    pub fn is_legacy_of(&self, alert_uid: &str) -> bool {
        self.identity.is_none() && self.owner.as_deref() == Some(alert_uid)
    }

    /// Whether our finalizer keeps it.
    pub fn is_kept(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == OUTCOME_FINALIZER)
    }

    /// The merge patch that takes our finalizer away, and says so in a label, by which watches leave it out: who starts
    /// where thousands have ended lists those that still matter. It holds for the version that was seen only: the
    /// executor may keep a finalizer of its own in the same list.
    pub fn release(&self) -> Value {
        let rest: Vec<&String> = self.finalizers.iter().filter(|name| *name != OUTCOME_FINALIZER).collect();
        json!({"metadata": {
            "uid": self.uid, "resourceVersion": self.resource_version,
            "labels": {RELEASED_LABEL: "true"}, "finalizers": rest,
        }})
    }

    /// The merge patch that ends it: Argo terminates a Workflow that is shut down, and the Job controller fails a Job
    /// whose deadline has passed. (A suspended Job would run again when it is resumed.)
    pub fn stop(&self, reason: &str) -> Value {
        let spec = match self.kind {
            ActionKind::Workflow => json!({"shutdown": "Terminate"}),
            ActionKind::Job => json!({"activeDeadlineSeconds": 1}),
        };
        json!({"metadata": {"uid": self.uid, "annotations": {STOPPED_ANNOTATION: reason}}, "spec": spec})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aegis_crds::alert::AlertOpsStatus;

    fn meta(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn ours() -> Value {
        json!({
            "name": "w", "uid": "u", "resourceVersion": "7",
            "labels": {"aegis.io/alert-uid": "a", "aegis.io/phase": "Firing", "aegis.io/attempt": "2",
                       "workflows.argoproj.io/phase": "Running"},
            "annotations": {"aegis.io/rule": "m/r", "aegis.io/template": "m/t"},
            "ownerReferences": [{"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "name": "x", "uid": "a",
                                 "controller": true}],
            "finalizers": ["aegis.io/outcome", "workflows.argoproj.io/artifact-gc"],
        })
    }

    #[test]
    fn an_action_is_ours_only_if_labels_and_owner_agree() {
        type Spoil = fn(&mut Value);
        assert!(SeenAction::workflow_metadata(&meta(ours())).is_of("a"));
        let spoilt: [(&str, Spoil); 5] = [
            ("another owner", |meta| meta["ownerReferences"][0]["uid"] = json!("b")),
            ("an owner that does not control it", |meta| meta["ownerReferences"][0]["controller"] = json!(false)),
            ("another alert's label", |meta| meta["labels"]["aegis.io/alert-uid"] = json!("b")),
            ("no such phase", |meta| meta["labels"]["aegis.io/phase"] = json!("firing")),
            ("attempts count from 1", |meta| meta["labels"]["aegis.io/attempt"] = json!("0")),
        ];
        for (why, spoil) in spoilt {
            let mut value = ours();
            spoil(&mut value);
            assert!(!SeenAction::workflow_metadata(&meta(value)).is_of("a"), "{why}");
        }
    }

    #[test]
    fn a_release_keeps_the_finalizers_of_others_and_holds_for_one_version() {
        let seen = SeenAction::workflow_metadata(&meta(ours()));
        assert!(seen.is_kept());
        assert_eq!(
            seen.release(),
            json!({"metadata": {"uid": "u", "resourceVersion": "7", "labels": {"aegis.io/released": "true"},
                                "finalizers": ["workflows.argoproj.io/artifact-gc"]}})
        );
    }

    #[test]
    fn the_whole_workflow_says_more_than_its_label() {
        let seen =
            SeenAction::workflow(&meta(ours()), &json!({"status": {"phase": "Failed", "message": "exit code 1"}}));
        assert_eq!(seen.standing.status, AlertOpsStatus::Failed);
        assert_eq!(seen.standing.message.as_deref(), Some("exit code 1"));
        let early = SeenAction::workflow(&meta(ours()), &json!({}));
        assert_eq!(
            early.standing.status,
            AlertOpsStatus::Running,
            "the label stands in for a status that is not there"
        );
    }
}
