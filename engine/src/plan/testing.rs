//! Snapshots for tests, and a cluster small enough to carry plans out on. Builders begin with what is valid: an alert
//! that was just stored, of which nobody has written status, in a cluster without rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use aegis_crds::alert::{AegisAlertSpec, AegisAlertStatus, AlertStatus, InvolvedObject, Resolution};
use aegis_crds::template::AegisOpsTemplateSpec;
use aegis_crds::{AegisAlert, AegisOpsTemplate, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use super::*;
use crate::guard::{Book, Fleet, Guard, Policy};
use crate::rules::RuleBook;
use crate::rules::testing::{RuleBuilder, rule};
use crate::scope::Namespaces;

pub(crate) const NOON: i64 = 1_795_262_400;

/// So many seconds after noon of the tests' day.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOON + seconds).unwrap()
}

pub(crate) const CORDON: &str = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  labels:
    sop: cordon
spec:
  entrypoint: start
  templates:
    - name: start
      container:
        image: kubectl
        command: [kubectl, cordon, \"{{.node}}\"]
";

pub(crate) const JOB: &str = "apiVersion: batch/v1
kind: Job
spec:
  template:
    spec:
      containers: [{name: main, image: kubectl}]
";

#[derive(Clone, Debug)]
pub(crate) struct AlertBuilder(AegisAlert);

/// A firing alert about node n1, stored at noon.
pub(crate) fn alert(type_: &str) -> AlertBuilder {
    let spec = AegisAlertSpec {
        source: "default".into(),
        type_: type_.into(),
        involved_object: InvolvedObject { kind: "Node".into(), name: "n1".into(), ..InvolvedObject::default() },
        detials: Some([("node".to_owned(), "n1".to_owned())].into()),
        fingerprint: Some("f1".into()),
        ..AegisAlertSpec::default()
    };
    let mut alert = AegisAlert::new("default-nodedown-x", spec);
    alert.metadata.namespace = Some("monitoring".into());
    alert.metadata.uid = Some("alert-uid".into());
    alert.metadata.resource_version = Some("1".into());
    alert.metadata.creation_timestamp = Some(Time(at(0)));
    let label = (names::FINGERPRINT_LABEL.to_owned(), "f1".to_owned());
    alert.metadata.labels = Some([label].into());
    AlertBuilder(alert)
}

impl AlertBuilder {
    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut AegisAlert)) -> Self {
        edit(&mut self.0);
        self
    }

    pub(crate) fn named(self, name: &str) -> Self {
        self.edit(|alert| {
            alert.metadata.name = Some(name.into());
            alert.metadata.uid = Some(format!("uid-of-{name}"));
        })
    }

    pub(crate) fn created(self, seconds: i64) -> Self {
        self.edit(|alert| alert.metadata.creation_timestamp = Some(Time(at(seconds))))
    }

    pub(crate) fn label(self, key: &str, value: &str) -> Self {
        self.edit(|alert| {
            alert.metadata.labels.get_or_insert_default().insert(key.into(), value.into());
        })
    }

    pub(crate) fn status(self, edit: impl FnOnce(&mut AegisAlertStatus)) -> Self {
        self.edit(|alert| edit(alert.status.get_or_insert_default()))
    }

    /// Status as JSON, laid over what stands.
    pub(crate) fn with(self, status: Value) -> Self {
        self.edit(|alert| apply(alert, &json!({"status": status})))
    }

    pub(crate) fn resolved(self, seconds: i64) -> Self {
        self.status(|status| {
            status.status = Some(AlertStatus::Resolved);
            status.resolution = Some(Resolution { time: Some(at(seconds)), ..Resolution::default() });
        })
    }

    pub(crate) fn heard(self, seconds: i64) -> Self {
        self.status(|status| status.last_time = Some(at(seconds)))
    }

    pub(crate) fn build(self) -> AegisAlert {
        self.0
    }
}

#[derive(Clone, Debug)]
pub(crate) struct TemplateBuilder(AegisOpsTemplate);

/// A template in the namespace monitoring that cordons the alert's node.
pub(crate) fn template(name: &str) -> TemplateBuilder {
    let spec = AegisOpsTemplateSpec { manifest: CORDON.to_owned(), ..AegisOpsTemplateSpec::default() };
    let mut template = AegisOpsTemplate::new(name, spec);
    template.metadata.namespace = Some("monitoring".to_owned());
    TemplateBuilder(template)
}

impl TemplateBuilder {
    pub(crate) fn manifest(mut self, manifest: &str) -> Self {
        self.0.spec.manifest = manifest.to_owned();
        self
    }

    pub(crate) fn timeout(mut self, timeout: &str) -> Self {
        self.0.spec.timeout = Some(timeout.to_owned());
        self
    }

    pub(crate) fn namespace(mut self, namespace: &str) -> Self {
        self.0.metadata.namespace = Some(namespace.to_owned());
        self
    }

    pub(crate) fn runs_in(mut self, namespace: &str) -> Self {
        self.0.spec.namespace = Some(namespace.to_owned());
        self
    }

    pub(crate) fn build(self) -> AegisOpsTemplate {
        self.0
    }
}

/// An action of the alert as its Workflow, made a second after the alert.
#[derive(Clone, Debug)]
pub(crate) struct ActionBuilder {
    phase: AlertStatus,
    attempt: i32,
    salt: i32,
    argo: Option<&'static str>,
    deleted: bool,
    kept: bool,
    legacy: bool,
    message: Option<&'static str>,
}

pub(crate) fn workflow() -> ActionBuilder {
    ActionBuilder {
        phase: AlertStatus::Firing,
        attempt: 1,
        salt: 0,
        argo: None,
        deleted: false,
        kept: true,
        legacy: false,
        message: None,
    }
}

impl ActionBuilder {
    pub(crate) fn phase(mut self, phase: AlertStatus) -> Self {
        self.phase = phase;
        self
    }

    pub(crate) fn attempt(mut self, attempt: i32) -> Self {
        self.attempt = attempt;
        self
    }

    pub(crate) fn salt(mut self, salt: i32) -> Self {
        self.salt = salt;
        self
    }

    pub(crate) fn argo(mut self, phase: &'static str) -> Self {
        self.argo = Some(phase);
        self
    }

    pub(crate) fn deleted(mut self) -> Self {
        self.deleted = true;
        self
    }

    pub(crate) fn released(mut self) -> Self {
        self.kept = false;
        self
    }

    /// As an earlier version made it: a generated name, and no labels of ours. It is kept only once it was adopted.
    pub(crate) fn legacy(mut self) -> Self {
        self.legacy = true;
        self
    }

    pub(crate) fn whole(mut self, message: &'static str) -> Self {
        self.message = Some(message);
        self
    }

    pub(crate) fn of(self, alert: &AegisAlert) -> SeenAction {
        let uid = alert.metadata.uid.clone().unwrap();
        let owner = alert.metadata.name.as_deref().unwrap();
        let name = match self.legacy {
            true => format!("{owner}-s{}{}rh", self.attempt, self.salt),
            false => names::action(owner, &uid, self.phase, self.attempt, self.salt),
        };
        let mut meta = json!({
            "name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "5",
            "creationTimestamp": at(1), "deletionTimestamp": self.deleted.then(|| at(2)),
            "labels": {
                "aegis.io/alert-uid": uid, "aegis.io/phase": self.phase, "aegis.io/attempt": self.attempt.to_string(),
                "workflows.argoproj.io/phase": self.argo.unwrap_or_default(),
            },
            "annotations": {"aegis.io/rule": "monitoring/cordon", "aegis.io/template": "monitoring/cordon"},
            "ownerReferences": [{"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
                                 "name": alert.metadata.name, "uid": uid, "controller": true}],
            "finalizers": if self.kept { vec!["aegis.io/outcome"] } else { vec![] },
        });
        if self.legacy {
            meta["labels"] = json!({"workflows.argoproj.io/phase": self.argo.unwrap_or_default()});
            meta["annotations"] = Value::Null;
        }
        let meta: ObjectMeta = serde_json::from_value(meta).unwrap();
        match self.message {
            None => SeenAction::workflow_metadata(&meta),
            Some(message) => SeenAction::workflow(&meta, &json!({"status": {"message": message}})),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) seen: Snapshot,
}

/// A snapshot of an alert in a cluster without rules and templates.
pub(crate) fn seen(alert: AlertBuilder) -> Scene {
    let namespaces = Namespaces::of("monitoring", ["team-a"]);
    Scene {
        seen: Snapshot {
            alert: Arc::new(alert.build()),
            actions: Vec::new(),
            absent: BTreeSet::new(),
            unused: BTreeSet::new(),
            siblings: Vec::new(),
            siblings_confirmed: false,
            // Most of what is decided does not depend on the book.
            guard: Arc::new(Guard { has_book: false, ..Guard::default() }),
            others_first: false,
            gone: None,
            rules: Arc::new(RuleBook::of(namespaces.clone(), [])),
            templates: Arc::new(TemplateBook::of(namespaces, [])),
            settings: Arc::default(),
            old_controller: None,
            trouble: None,
        },
    }
}

/// The rule that cordons nodes that are down.
pub(crate) fn drain() -> RuleBuilder {
    rule("cordon").firing("NodeDown")
}

impl Scene {
    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut Snapshot)) -> Self {
        edit(&mut self.seen);
        self
    }

    /// A rule, and its template unless there is one of that name.
    pub(crate) fn rule(self, rule: RuleBuilder) -> Self {
        let rule = rule.build();
        let name = rule.spec.ops_template.name.clone().unwrap();
        let known = self.seen.templates.get(&crate::scope::ObjectName::new("monitoring", &name)).is_some();
        let scene = self.edit(|seen| seen.rules = Arc::new(seen.rules.with(&rule)));
        if known { scene } else { scene.template(template(&name)) }
    }

    pub(crate) fn bare_rule(self, rule: RuleBuilder) -> Self {
        self.edit(|seen| seen.rules = Arc::new(seen.rules.with(&rule.build())))
    }

    pub(crate) fn template(self, template: TemplateBuilder) -> Self {
        self.edit(|seen| seen.templates = Arc::new(seen.templates.with(&template.build())))
    }

    pub(crate) fn settings(self, edit: impl FnOnce(&mut Settings)) -> Self {
        self.edit(|seen| edit(Arc::make_mut(&mut seen.settings)))
    }

    pub(crate) fn opted_out(self, node: &str) -> Self {
        let mut labelled = Node::default();
        labelled.metadata.name = Some(node.to_owned());
        labelled.metadata.labels = Some([(names::OPT_OUT_LABEL.to_owned(), "true".to_owned())].into());
        self.nodes(&[labelled])
    }

    /// With a book that places are taken in.
    pub(crate) fn book(self, book: Book) -> Self {
        self.edit(|seen| {
            let guard = Arc::make_mut(&mut seen.guard);
            guard.has_book = true;
            guard.book = Arc::new(book);
        })
    }

    /// The nodes of the cluster.
    pub(crate) fn nodes(self, nodes: &[Node]) -> Self {
        self.edit(|seen| Arc::make_mut(&mut seen.guard).fleet = Arc::new(Fleet::of(nodes, &Policy::default())))
    }

    pub(crate) fn action(self, action: ActionBuilder) -> Self {
        self.edit(|seen| seen.saw(action.of(&seen.alert)))
    }

    pub(crate) fn sibling(self, alert: AlertBuilder, actions: &[ActionBuilder]) -> Self {
        self.edit(|seen| {
            let alert = alert.build();
            let actions = actions.iter().map(|action| action.clone().of(&alert)).collect();
            seen.siblings.push(Sibling { alert: Arc::new(alert), actions });
        })
    }

    /// Plans and writes status as often as there is something to write, and does nothing else.
    pub(crate) fn told(self, now: Timestamp) -> Self {
        self.edit(|seen| {
            while let Some(patch) = status_patch(&plan(seen, now)) {
                apply(Arc::make_mut(&mut seen.alert), &patch);
            }
        })
    }

    pub(crate) fn into_alert(self) -> AlertBuilder {
        AlertBuilder::from(&self.seen.alert)
    }

    pub(crate) fn plan(&self, now: Timestamp) -> Plan {
        plan(&self.seen, now)
    }

    pub(crate) fn status(&self) -> AegisAlertStatus {
        self.seen.alert.status.clone().unwrap_or_default()
    }
}

/// The status patch of a plan.
pub(crate) fn status_patch(plan: &Plan) -> Option<Value> {
    plan.steps.iter().find_map(|step| match step {
        Step::WriteStatus(patch) => Some(patch.clone()),
        _ => None,
    })
}

/// Applies a merge patch as the API server does.
pub(crate) fn apply(alert: &mut AegisAlert, patch: &Value) {
    let mut object = serde_json::to_value(&*alert).unwrap();
    merge(&mut object, &json!({"status": patch["status"]}));
    *alert = serde_json::from_value(object).unwrap();
    let version: i64 = alert.metadata.resource_version.as_deref().unwrap_or("0").parse().unwrap();
    alert.metadata.resource_version = Some((version + 1).to_string());
}

pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// A length in seconds.
pub(crate) fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

impl From<&Arc<AegisAlert>> for AlertBuilder {
    fn from(alert: &Arc<AegisAlert>) -> Self {
        Self(AegisAlert::clone(alert))
    }
}
