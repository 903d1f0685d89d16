//! What rules and templates have in common: they are written in files, applied, created and deleted.

pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod lint;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kubectl_aegis::view::kinds::Resource;

/// The objects of that resource in that namespace.
pub(super) fn api(client: &Client, resource: &Resource, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(resource.group, resource.version, resource.kind);
    let known = ApiResource::from_gvk_with_plural(&kind, resource.plural);
    Api::namespaced_with(client.clone(), namespace, &known)
}
