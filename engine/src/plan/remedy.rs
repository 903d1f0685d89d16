//! The remedy: the very object that would be created for an alert, with its name, its marks and its owner.

use std::fmt::Write as _;

use aegis_crds::AegisAlert;
use aegis_crds::alert::AlertStatus;
use aegis_crds::names::{self, is_label_value};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::action::{ActionKind, STOPPED_ANNOTATION};
use super::snapshot::Settings;
use super::template::CompiledTemplate;
use crate::duration;
use crate::render::checks::{self, ServiceAccount};
use crate::render::{Flaw, Parameters};
use crate::scope::ObjectName;

const ARGO_COMPLETED_LABEL: &str = "workflows.argoproj.io/completed";

/// An action as it would be created.
#[derive(Clone, Debug, PartialEq)]
pub struct Remedy {
    /// Workflow or Job.
    pub kind: ActionKind,
    /// Its namespace, the alert's own.
    pub namespace: String,
    /// Its name, derived from the alert, the phase and the attempt.
    pub name: String,
    /// How often that name was salted.
    pub salt: i32,
    /// The phase that it is for.
    pub phase: AlertStatus,
    /// The attempt, from 1.
    pub attempt: i32,
    /// Whether it only checks what the action of that attempt achieved.
    pub check: bool,
    /// The rule that asks for it.
    pub rule: ObjectName,
    /// The template that it is made from.
    pub template: ObjectName,
    /// The object to POST.
    pub object: Value,
}

impl Remedy {
    /// A digest of the object: another one is another attempt at being accepted.
    pub fn digest(&self) -> String {
        let mut digits = String::with_capacity(64);
        for byte in Sha256::digest(self.object.to_string().as_bytes()) {
            // Nothing is refused by a String.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    }

    /// What people approve: the first 128 bits of the digest, which nobody finds another object for.
    pub fn plan(&self) -> String {
        let mut digest = self.digest();
        digest.truncate(32);
        digest
    }
}

/// What the template may read: the alert's details; over them the system parameters; over all the object's own names.
/// So a detail can never pass for what the administrator or Aegis itself says.
pub fn parameters(alert: &AegisAlert, settings: &Settings) -> Result<Parameters, aegis_crds::alert::DetailsDiffer> {
    let object = &alert.spec.involved_object;
    let metadata = &alert.metadata;
    let own = [
        ("InvolvedObjectKind", object.kind.as_str()),
        ("InvolvedObjectName", &object.name),
        ("InvolvedObjectNamespace", &object.namespace),
        ("InvolvedObjectNode", &object.node),
        ("AlertName", metadata.name.as_deref().unwrap_or_default()),
        ("AlertNamespace", metadata.namespace.as_deref().unwrap_or_default()),
    ];
    let details = alert.spec.details()?;
    let text = |(name, value)| (String::as_str(name), String::as_str(value));
    Ok(details.iter().map(text).chain(settings.system_parameters.iter().map(text)).chain(own).collect())
}

/// The name to give, and to whom.
pub(super) struct Naming {
    pub(super) phase: AlertStatus,
    pub(super) attempt: i32,
    pub(super) check: bool,
    pub(super) rule: ObjectName,
    /// For how long a cordon of the action stands, which is marked on it.
    pub(super) cordon_for: Option<SignedDuration>,
}

/// Renders a template for an alert and checks what came out. `name` chooses name and salt once the kind is known.
pub(super) fn render(
    alert: &AegisAlert,
    template: &CompiledTemplate,
    settings: &Settings,
    naming: Naming,
    name: impl FnOnce(ActionKind) -> (String, i32),
) -> Result<Remedy, Box<Flaw>> {
    let namespace = alert.metadata.namespace.clone().unwrap_or_default();
    if let Some(asked) = template.namespace.as_deref().filter(|asked| *asked != namespace) {
        return Err(other_namespace("spec.namespace", asked, &namespace));
    }
    let parameters = parameters(alert, settings).map_err(|differ| Flaw::new(differ.to_string()))?;
    let mut object = template.manifest.render(&parameters)?;
    let kind = ActionKind::from(checks::object(&object)?);
    if let Some(asked) = checks::namespace(&object).filter(|asked| *asked != namespace) {
        return Err(other_namespace("metadata.namespace", asked, &namespace));
    }
    allow_service_accounts(&mut object, kind, &settings.service_accounts)?;
    let (name, salt) = name(kind);
    let Naming { phase, attempt, check, rule, cordon_for } = naming;
    let mut remedy = Remedy {
        kind,
        namespace,
        name,
        salt,
        phase,
        attempt,
        check,
        rule,
        template: template.name.clone(),
        object: Value::Null,
    };
    let metadata = metadata(alert, &remedy, cordon_for, object.get("metadata"))?;
    if let Some(object) = object.as_object_mut() {
        object.insert("metadata".to_owned(), metadata);
        // How it stands is for its executor to say.
        object.remove("status");
    }
    remedy.object = object;
    Ok(remedy)
}

fn other_namespace(field: &str, asked: &str, own: &str) -> Box<Flaw> {
    let problem = format!("found {asked:?}, but an action runs in its alert's namespace, {own:?}");
    Flaw::new(problem).field(field).hint("leave it out").into()
}

fn metadata(
    alert: &AegisAlert,
    remedy: &Remedy,
    cordon_for: Option<SignedDuration>,
    written: Option<&Value>,
) -> Result<Value, Box<Flaw>> {
    let map = |name: &str| match written.and_then(|metadata| metadata.get(name)) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(_) => Err(Flaw::new("expected a mapping of keys to texts").field(format!("metadata.{name}"))),
    };
    let own = &alert.metadata;
    let alert_name = own.name.as_deref().unwrap_or_default();
    let alert_uid = own.uid.as_deref().unwrap_or_default();

    let mut labels = map("labels")?;
    // Argo tells in these how the Workflow stands; nobody else may.
    labels.retain(|key, _| key != names::ARGO_PHASE_LABEL && key != ARGO_COMPLETED_LABEL);
    for (key, value) in own.labels.iter().flatten().filter(|(key, _)| is_passed_on(key)) {
        labels.entry(key.as_str()).or_insert_with(|| json!(value));
    }
    let attempt = remedy.attempt.to_string();
    let alert_label = label_value(alert_name);
    let ours = [
        (names::MANAGED_BY_LABEL, names::MANAGED_BY),
        (names::ALERT_LABEL, &alert_label),
        (names::ALERT_UID_LABEL, alert_uid),
        (names::PHASE_LABEL, remedy.phase.as_str()),
        (names::ATTEMPT_LABEL, &attempt),
    ];
    labels.extend(ours.map(|(key, value)| (key.to_owned(), json!(value))));
    labels.remove(names::CHECK_LABEL);
    if remedy.check {
        labels.insert(names::CHECK_LABEL.to_owned(), json!("true"));
    }

    let mut annotations = map("annotations")?;
    annotations.remove(STOPPED_ANNOTATION);
    annotations.remove(names::BEFORE_ANNOTATION);
    annotations.remove(names::CORDON_FOR_ANNOTATION);
    if let Some(length) = cordon_for {
        annotations.insert(names::CORDON_FOR_ANNOTATION.to_owned(), json!(duration::exact(length)));
    }
    annotations.insert(names::RULE_ANNOTATION.to_owned(), json!(remedy.rule.to_string()));
    annotations.insert(names::TEMPLATE_ANNOTATION.to_owned(), json!(remedy.template.to_string()));

    let written = written.and_then(|metadata| metadata.get("finalizers")).and_then(Value::as_array);
    let mut finalizers: Vec<Value> = written.cloned().unwrap_or_default();
    if !finalizers.contains(&json!(names::OUTCOME_FINALIZER)) {
        finalizers.push(json!(names::OUTCOME_FINALIZER));
    }
    Ok(json!({
        "name": remedy.name,
        "namespace": remedy.namespace,
        "labels": labels,
        "annotations": annotations,
        "finalizers": finalizers,
        // Deleting the alert need not wait for its action, so its deletion is not blocked.
        "ownerReferences": [{
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "name": alert_name, "uid": alert_uid,
            "controller": true,
        }],
    }))
}

/// Users find a Workflow by the labels of its alert. Labels that mean something to Aegis or Argo are not passed on.
fn is_passed_on(key: &str) -> bool {
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    let meant = |group: &str| prefix == group || prefix.strip_suffix(group).is_some_and(|rest| rest.ends_with('.'));
    !meant(names::GROUP) && !meant("argoproj.io") && key != names::MANAGED_BY_LABEL
}

/// A name as a label value; an object name can be longer than that.
fn label_value(name: &str) -> String {
    if is_label_value(name) {
        return name.to_owned();
    }
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Every ServiceAccount that the object asks for must be allowed. An object that names none gets the first that is.
fn allow_service_accounts(object: &mut Value, kind: ActionKind, allowed: &[String]) -> Result<(), Box<Flaw>> {
    if allowed.iter().any(|account| account == "*") {
        return Ok(());
    }
    let pointer = match kind {
        ActionKind::Workflow => "/spec",
        ActionKind::Job => "/spec/template/spec",
    };
    if let (Some(first), Some(spec)) = (allowed.first(), object.pointer_mut(pointer).and_then(Value::as_object_mut)) {
        let named = |name: &str| spec.get(name).and_then(Value::as_str).is_some_and(|account| !account.is_empty());
        let old_field = kind == ActionKind::Job && named("serviceAccount");
        if !old_field && !named("serviceAccountName") {
            spec.insert("serviceAccountName".to_owned(), json!(first));
        }
    }
    match checks::service_accounts(object)?.into_iter().find(|account| !allowed.contains(&account.name)) {
        None => Ok(()),
        Some(ServiceAccount { field, name }) => {
            let expected =
                if allowed.is_empty() { "none, since none is allowed".to_owned() } else { allowed.join(" or ") };
            Err(Flaw::new(format!("found ServiceAccount {name:?}, expected {expected}"))
                .field(field)
                .hint("an administrator can allow others with --action.service-accounts")
                .into())
        }
    }
}
