//! Server-side apply, as every verb has it that brings whole objects to the cluster.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use crate::dry_run::DryRun;
use crate::failure::{Failure, Kind};
use crate::guard::FIELD_MANAGER;

/// How objects are applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// The API server judges it and stores nothing.
    pub(crate) rehearse: bool,
    /// Fields that somebody else set are taken over.
    pub(crate) force: bool,
    /// What helps where somebody else set the same field.
    pub(crate) on_conflict: &'static str,
}

impl How {
    /// As that dry run asks for. Where nothing is sent at all, nobody may call [`object`].
    pub(crate) fn new(dry_run: DryRun, force: bool, on_conflict: &'static str) -> Self {
        Self { rehearse: dry_run == DryRun::Server, force, on_conflict }
    }
}

/// Applies the object, in the namespace that it names, under our name as the manager of its fields. The object as it
/// stands then, or would stand.
///
/// # Errors
/// Refused where somebody else manages a field that has another value, with the hint of [`How::on_conflict`]; else as
/// [`Failure::of_aegis_call`] tells them apart.
pub(crate) async fn object(client: &Client, object: &Value, how: How) -> Result<DynamicObject, Failure> {
    let parameters = PatchParams {
        dry_run: how.rehearse,
        force: how.force,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let done = api(client, object).patch(name(object), &parameters, &Patch::Apply(object)).await;
    done.map_err(|error| {
        let doing = format!("could not apply {}", label(object));
        match &error {
            kube::Error::Api(status) if status.code == 409 && !how.force => {
                Failure::new(Kind::Refused, doing).because(error).hint(how.on_conflict)
            }
            _ => Failure::of_aegis_call(doing, error),
        }
    })
}

/// Where objects like this one lie: in its namespace, if it names one.
pub(crate) fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let (group, version) = group_and_version(object);
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, word(object, "/kind")));
    match word(object, "/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// As kubectl names an object: kind.group/name.
pub(crate) fn label(object: &Value) -> String {
    let kind = word(object, "/kind").to_lowercase();
    match group_and_version(object) {
        ("", _) => format!("{kind}/{}", name(object)),
        (group, _) => format!("{kind}.{group}/{}", name(object)),
    }
}

/// The object's name; empty if it has none.
pub(crate) fn name(object: &Value) -> &str {
    word(object, "/metadata/name")
}

/// What is for one namespace goes there, and bindings for the whole cluster name its ServiceAccounts.
pub(crate) fn place(object: &mut Value, namespace: &str) {
    const OF_THE_CLUSTER: [&str; 6] = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Namespace",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    let kind = word(object, "/kind").to_owned();
    if kind == "ClusterRoleBinding" {
        let subjects = object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten();
        for subject in subjects.filter_map(Value::as_object_mut) {
            subject.insert("namespace".to_owned(), namespace.into());
        }
    }
    if !OF_THE_CLUSTER.contains(&kind.as_str())
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
}

fn group_and_version(object: &Value) -> (&str, &str) {
    let version = word(object, "/apiVersion");
    version.split_once('/').unwrap_or(("", version))
}

fn word<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_named_as_kubectl_names_them_and_placed_where_they_belong() {
        let object =
            |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}});
        assert_eq!(label(&object("v1", "Service")), "service/x");
        assert_eq!(label(&object("apps/v1", "Deployment")), "deployment.apps/x");
        let placed = |mut object: Value| {
            place(&mut object, "ops");
            object
        };
        assert_eq!(placed(object("v1", "Service"))["metadata"]["namespace"], "ops");
        let mut binding = object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding");
        binding["subjects"] = json!([{"kind": "ServiceAccount", "name": "aegis", "namespace": "monitoring"}]);
        let binding = placed(binding);
        assert_eq!(binding["subjects"][0]["namespace"], "ops");
        assert_eq!(binding["metadata"], json!({"name": "x"}), "it is no namespace's");
    }
}
