//! What an administrator applies: manifest/install, manifest/deploy and manifest/monitoring, as this plugin carries them.

use serde_json::{Map, Value, json};

use super::scrape::{self, Trust};
use super::secrets::Secrets;
use crate::apply;
use crate::failure::{Failure, Kind};

/// The label that tells which version of Aegis an object came with.
pub(crate) const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// The version of this plugin, and of all that it carries.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The label of everything that Aegis ships.
pub(crate) const OURS: &str = "app.kubernetes.io/name=aegis";
/// What the policies take: they are of that API.
pub(crate) const POLICIES: (&str, &str) = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy");
/// What the rules and the monitor for Prometheus take.
pub(crate) const MONITORS: (&str, &str) = ("monitoring.coreos.com/v1", "ServiceMonitor");

macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../manifest/", $path)))
    };
}

/// Who may do what.
const ROLES: [(&str, &str); 2] = [file!("deploy/controller-role.yaml"), file!("deploy/user-roles.yaml")];
/// What procedures run as.
const WORKFLOW_ROLE: (&str, &str) = file!("deploy/workflow-role.yaml");
/// What keeps people honest.
const POLICY_FILES: [(&str, &str); 2] = [file!("deploy/approval-policy.yaml"), file!("deploy/request-policy.yaml")];
/// What runs.
const DEPLOYMENT: (&str, &str) = file!("deploy/deployment.yaml");
/// Who watches it.
const MONITORING: [(&str, &str); 2] =
    [file!("monitoring/servicemonitor.yaml"), file!("monitoring/prometheusrule.yaml")];
const DASHBOARD: (&str, &str) = file!("monitoring/dashboard.json");

/// What is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The namespace of the controller, in which alerts are published.
    pub(crate) namespace: String,
    /// The controller's image; what the Deployment says by default.
    pub(crate) image: Option<String>,
    /// How many replicas; what the Deployment says by default.
    pub(crate) replicas: Option<u32>,
    /// What its pods mount; what the Deployment says by default.
    pub(crate) secrets: Secrets,
    /// The ServiceAccount of procedures, with its roles.
    pub(crate) workflow_role: bool,
    /// The policies that keep approvals and requests honest.
    pub(crate) policies: bool,
    /// What a Prometheus Operator and a Grafana take.
    pub(crate) monitoring: bool,
    /// What Prometheus verifies the certificate by, if one is served.
    pub(crate) trust: Option<Trust>,
}

impl Wanted {
    /// Everything that can be there, in that namespace.
    pub(crate) fn everything(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            image: None,
            replicas: None,
            secrets: Secrets::default(),
            workflow_role: true,
            policies: true,
            monitoring: true,
            trust: None,
        }
    }

    /// The objects, in the order in which they are applied: definitions, namespace, roles, guard, policies, controller,
    /// monitoring.
    pub(crate) fn objects(&self) -> Result<Vec<Value>, Failure> {
        let mut objects = definitions()?;
        objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}));
        let mut rest = Vec::new();
        for (_, text) in ROLES.iter().chain(self.workflow_role.then_some(&WORKFLOW_ROLE)) {
            rest.extend(documents(text)?);
        }
        rest.push(guard());
        for (_, text) in POLICY_FILES.iter().filter(|_| self.policies) {
            rest.extend(documents(text)?);
        }
        rest.extend(self.controller()?);
        if self.monitoring {
            for (_, text) in MONITORING {
                rest.extend(documents(text)?);
            }
            if self.secrets.encrypts() {
                rest.iter_mut().for_each(|object| scrape_https(object, self.trust.as_ref()));
            }
            rest.push(dashboard());
        }
        for object in &mut rest {
            apply::place(object, &self.namespace);
        }
        objects.extend(rest);
        Ok(objects)
    }

    fn controller(&self) -> Result<Vec<Value>, Failure> {
        let mut objects = documents(DEPLOYMENT.1)?;
        if self.replicas == Some(1) {
            // Of one replica none may be disrupted: a drain of its node would wait for ever.
            objects.retain(|object| kind(object) != "PodDisruptionBudget");
        }
        for object in objects.iter_mut().filter(|object| kind(object) == "Deployment") {
            if let Some(labels) = object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
                labels.insert(VERSION_LABEL.to_owned(), VERSION.into());
            }
            if let (Some(replicas), Some(place)) = (self.replicas, object.pointer_mut("/spec/replicas")) {
                *place = replicas.into();
            }
            if let (Some(image), Some(place)) =
                (&self.image, object.pointer_mut("/spec/template/spec/containers/0/image"))
            {
                *place = image.as_str().into();
            }
            self.secrets.mount(object);
        }
        Ok(objects)
    }
}

/// The definitions of our kinds, as manifest/install has them.
pub(crate) fn definitions() -> Result<Vec<Value>, Failure> {
    aegis_crds::definitions().iter().map(|one| serde_json::to_value(one).map_err(broken)).collect()
}

/// Whether it is made where it is missing, and otherwise people's own.
pub(crate) fn is_peoples_own(object: &Value) -> bool {
    matches!(kind(object), "AegisGuard" | "Namespace")
}

pub(crate) fn kind(object: &Value) -> &str {
    object.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// The policy with all defaults, which the controller would make too.
fn guard() -> Value {
    json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisGuard",
        "metadata": {"name": aegis_crds::names::GUARD_NAME}, "spec": {},
    })
}

/// A ServiceMonitor for pods that serve HTTPS; other objects stay as they are.
fn scrape_https(object: &mut Value, trust: Option<&Trust>) {
    for endpoint in object.pointer_mut("/spec/endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = endpoint.as_object_mut() {
            fields.insert("scheme".to_owned(), "https".into());
            fields.insert("tlsConfig".to_owned(), scrape::tls_config(trust));
        }
    }
}

/// As Grafana's sidecar finds it.
fn dashboard() -> Value {
    let mut data = Map::new();
    data.insert("dashboard.json".to_owned(), DASHBOARD.1.into());
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "aegis-dashboard", "labels": {"app.kubernetes.io/name": "aegis", "grafana_dashboard": "1"},
        },
        "data": data,
    })
}

fn documents(text: &str) -> Result<Vec<Value>, Failure> {
    serde_saphyr::from_multiple(text).map_err(broken)
}

fn broken(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Kind::Usage, "what this plugin carries of manifest/ cannot be read").because(error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_plugin_carries_every_file_of_the_folders_that_are_applied() {
        let mut found = BTreeSet::new();
        for folder in ["deploy", "monitoring"] {
            let path = format!("{}/../manifest/{folder}", env!("CARGO_MANIFEST_DIR"));
            let entries = std::fs::read_dir(path).unwrap();
            found.extend(entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap())));
        }
        let all = ROLES.iter().chain([&WORKFLOW_ROLE]).chain(&POLICY_FILES).chain([&DEPLOYMENT]).chain(&MONITORING);
        let carried: BTreeSet<String> = all.chain([&DASHBOARD]).map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(found, carried);
    }

    #[test]
    fn the_definitions_are_those_of_the_repository() {
        for definition in definitions().unwrap() {
            let file = format!(
                "{}/../manifest/install/{}.yaml",
                env!("CARGO_MANIFEST_DIR"),
                definition["spec"]["names"]["plural"].as_str().unwrap()
            );
            let written: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            assert_eq!(written["metadata"]["name"], definition["metadata"]["name"]);
            assert_eq!(written["spec"], definition["spec"]);
        }
    }

    #[test]
    fn what_is_applied_comes_in_an_order_in_which_each_finds_what_it_needs() {
        let objects = Wanted::everything("ops").objects().unwrap();
        let kinds: Vec<&str> = objects.iter().map(kind).collect();
        let first = |wanted: &str| kinds.iter().position(|kind| *kind == wanted).unwrap();
        let last = |wanted: &str| kinds.iter().rposition(|kind| *kind == wanted).unwrap();
        let order = ["CustomResourceDefinition", "Namespace", "ServiceAccount", "ClusterRoleBinding", "AegisGuard"];
        for pair in order.windows(2) {
            assert!(first(pair[0]) < first(pair[1]), "{pair:?}: {kinds:?}");
        }
        let controller = first("Deployment");
        for before in
            ["CustomResourceDefinition", "ClusterRoleBinding", "RoleBinding", "ValidatingAdmissionPolicyBinding"]
        {
            assert!(last(before) < controller, "{before}: {kinds:?}");
        }
        assert!(controller < first("ServiceMonitor"));
        let text = serde_json::to_string(&objects).unwrap().replace("monitoring.coreos.com", "");
        assert!(!text.contains("\"monitoring\""), "all of it belongs to the namespace that was asked for");
    }

    #[test]
    fn image_replicas_and_parts_are_as_they_were_asked_for() {
        let wanted = Wanted { image: Some("r/aegis:1".into()), replicas: Some(1), ..Wanted::everything("m") };
        let objects = wanted.objects().unwrap();
        let deployment = objects.iter().find(|object| kind(object) == "Deployment").unwrap();
        assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], "r/aegis:1");
        assert_eq!(deployment["spec"]["replicas"], 1);
        assert_eq!(deployment["metadata"]["labels"][VERSION_LABEL], VERSION);
        let secrets = Secrets { tls: Some("t".into()), ..Secrets::default() };
        let https = Wanted { secrets, ..Wanted::everything("m") }.objects().unwrap();
        let monitor = https.iter().find(|object| kind(object) == "ServiceMonitor").unwrap();
        assert_eq!(monitor["spec"]["endpoints"][0]["scheme"], "https", "else Prometheus would find nobody");
        let has = |objects: &[Value], wanted: &str| objects.iter().any(|object| kind(object) == wanted);
        assert!(!has(&objects, "PodDisruptionBudget"), "one replica could never be disrupted");
        let less = Wanted { policies: false, monitoring: false, workflow_role: false, ..Wanted::everything("m") };
        let less = less.objects().unwrap();
        assert!(!has(&less, "ValidatingAdmissionPolicy") && !has(&less, "ServiceMonitor"));
        assert!(!less.iter().any(|object| apply::name(object) == "aegis-workflow"));
    }
}
