//! The kinds that come with the server, and in what they behave unlike a custom resource.

pub(crate) mod events;
pub(crate) mod jobs;
mod keys;
pub(crate) mod nodes;
pub(crate) mod pods;
mod simple;
mod table;

use std::sync::{Arc, LazyLock, OnceLock};

use jiff::Timestamp;
use k8s_openapi::api::{
    admissionregistration::v1 as admissionregistration, apps::v1 as apps, authentication::v1 as authentication,
    authorization::v1 as authorization, batch::v1 as batch, coordination::v1 as coordination, core::v1 as core,
    events::v1 as events_v1, networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
    scheduling::v1 as scheduling,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

use crate::kind::{Conversion, Kind, Nature, SchemaSource, Version};
use crate::metadata::NameRule;
use crate::schema::{Schema, compile_builtin};
use crate::status::FieldError;
pub(crate) use keys::merge_key;

/// A column of a built-in kind: name, type, format, priority.
pub(crate) type BuiltinColumn = (&'static str, &'static str, &'static str, i64);

/// What makes a built-in kind what it is.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) schema: fn() -> Schema,
    pub(crate) publish: fn(&mut SchemaGenerator) -> schemars::Schema,
    /// Whether status is written through a subresource.
    pub(crate) status: bool,
    /// Whether a create may set status.
    pub(crate) status_at_create: bool,
    pub(crate) generation: bool,
    pub(crate) unconditional_update: bool,
    pub(crate) create_on_update: bool,
    /// Whether a delete answers with the deleted object in place of a Status.
    pub(crate) returns_deleted: bool,
    /// Whether dependents are orphaned when the caller does not say otherwise.
    pub(crate) orphans_by_default: bool,
    /// Answers a question and stores nothing (access reviews).
    pub(crate) review: bool,
    pub(crate) names: NameRule,
    pub(crate) selectable: &'static [&'static str],
    pub(crate) fields: fn(&Value) -> Vec<(String, String)>,
    /// Fills in defaults, on every write.
    pub(crate) default: fn(&mut Value),
    /// Prepares a new object, after defaults.
    pub(crate) create: fn(&mut Value),
    /// Prepares a changed object, given the old one.
    pub(crate) update: fn(&mut Value, &Value),
    /// What the schema cannot say. Given the old object on update.
    pub(crate) validate: fn(&Value, Option<&Value>) -> Vec<FieldError>,
    pub(crate) columns: &'static [BuiltinColumn],
    pub(crate) row: fn(&Value, Timestamp) -> Vec<Value>,
}

const BASE: Builtin = Builtin {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    schema: compiled::<core::ConfigMap>,
    publish: published::<core::ConfigMap>,
    status: false,
    status_at_create: false,
    generation: false,
    unconditional_update: true,
    create_on_update: false,
    returns_deleted: false,
    orphans_by_default: false,
    review: false,
    names: NameRule::Subdomain,
    selectable: &[],
    fields: |_| Vec::new(),
    default: |_| {},
    create: |_| {},
    update: |_, _| {},
    validate: |_, _| Vec::new(),
    columns: table::NAME_AND_AGE,
    row: table::name_and_age,
};

/// Schemas of a Rust type of the Kubernetes API.
macro_rules! typed {
    ($type:ty, $($rest:tt)*) => {
        Builtin {
            schema: compiled::<$type>,
            publish: published::<$type>,
            $($rest)*
        }
    };
}

/// All built-in kinds, in the order in which discovery lists their groups.
pub(crate) static BUILTINS: &[Builtin] = &[
    typed! { core::Namespace, kind: "Namespace", plural: "namespaces", short_names: &["ns"], namespaced: false, status: true,
    names: NameRule::Label, selectable: &["status.phase", "name"], fields: simple::namespace_fields,
    default: simple::default_namespace, create: simple::create_namespace, update: simple::update_namespace,
    columns: table::NAMESPACE, row: table::namespace, ..BASE },
    typed! { core::Node, kind: "Node", plural: "nodes", short_names: &["no"], namespaced: false, status: true, status_at_create: true,
    selectable: &["spec.unschedulable"], fields: nodes::fields, default: nodes::default, validate: nodes::validate,
    columns: table::NODE, row: table::node, ..BASE },
    typed! { core::Pod, kind: "Pod", plural: "pods", short_names: &["po"], categories: &["all"], status: true, returns_deleted: true,
    selectable: pods::SELECTABLE, fields: pods::fields, default: pods::default, create: pods::create,
    update: pods::update, validate: pods::validate, columns: table::POD, row: table::pod, ..BASE },
    typed! { core::ConfigMap, kind: "ConfigMap", plural: "configmaps", short_names: &["cm"],
    validate: simple::validate_config_map, columns: table::CONFIG_MAP, row: table::config_map, ..BASE },
    typed! { core::Secret, kind: "Secret", plural: "secrets", selectable: &["type"], fields: simple::secret_fields,
    default: simple::default_secret, validate: simple::validate_secret, columns: table::SECRET, row: table::secret, ..BASE },
    typed! { core::ServiceAccount, kind: "ServiceAccount", plural: "serviceaccounts", short_names: &["sa"], returns_deleted: true,
    ..BASE },
    typed! { core::Service, kind: "Service", plural: "services", short_names: &["svc"], categories: &["all"], status: true,
    returns_deleted: true, names: NameRule::Label1035, default: simple::default_service, create: simple::create_service,
    update: simple::update_service, validate: simple::validate_service, columns: table::SERVICE, row: table::service, ..BASE },
    typed! { core::Event, kind: "Event", plural: "events", short_names: &["ev"], create_on_update: true,
    selectable: events::SELECTABLE, fields: events::fields, default: events::default, validate: events::validate,
    columns: table::EVENT, row: table::event, ..BASE },
    typed! { core::Endpoints, kind: "Endpoints", plural: "endpoints", short_names: &["ep"], create_on_update: true, ..BASE },
    typed! { core::PersistentVolumeClaim, kind: "PersistentVolumeClaim", plural: "persistentvolumeclaims", short_names: &["pvc"],
    status: true, returns_deleted: true, ..BASE },
    typed! { core::PersistentVolume, kind: "PersistentVolume", plural: "persistentvolumes", short_names: &["pv"], namespaced: false,
    status: true, returns_deleted: true, ..BASE },
    typed! { core::ResourceQuota, kind: "ResourceQuota", plural: "resourcequotas", short_names: &["quota"], status: true, ..BASE },
    typed! { core::LimitRange, kind: "LimitRange", plural: "limitranges", short_names: &["limits"], ..BASE },
    typed! { apps::Deployment, group: "apps", kind: "Deployment", plural: "deployments", short_names: &["deploy"], categories: &["all"],
    status: true, generation: true, default: simple::default_workload, validate: simple::validate_workload,
    columns: table::DEPLOYMENT, row: table::deployment, ..BASE },
    typed! { apps::DaemonSet, group: "apps", kind: "DaemonSet", plural: "daemonsets", short_names: &["ds"], categories: &["all"],
    status: true, generation: true, default: simple::default_workload, validate: simple::validate_workload, ..BASE },
    typed! { apps::ReplicaSet, group: "apps", kind: "ReplicaSet", plural: "replicasets", short_names: &["rs"], categories: &["all"],
    status: true, generation: true, default: simple::default_workload, validate: simple::validate_workload, ..BASE },
    typed! { apps::StatefulSet, group: "apps", kind: "StatefulSet", plural: "statefulsets", short_names: &["sts"], categories: &["all"],
    status: true, generation: true, default: simple::default_workload, validate: simple::validate_workload, ..BASE },
    typed! { batch::Job, group: "batch", kind: "Job", plural: "jobs", categories: &["all"], status: true, generation: true,
    orphans_by_default: true, selectable: &["status.successful"], fields: jobs::fields, default: jobs::default,
    create: jobs::create, validate: jobs::validate, columns: table::JOB, row: table::job, ..BASE },
    typed! { batch::CronJob, group: "batch", kind: "CronJob", plural: "cronjobs", short_names: &["cj"], categories: &["all"],
    status: true, generation: true, default: jobs::default_cron, ..BASE },
    typed! { coordination::Lease, group: "coordination.k8s.io", kind: "Lease", plural: "leases", unconditional_update: false,
    create_on_update: true, validate: simple::validate_lease, columns: table::LEASE, row: table::lease, ..BASE },
    typed! { events_v1::Event, group: "events.k8s.io", kind: "Event", plural: "events", short_names: &["ev"], create_on_update: true,
    selectable: events::SELECTABLE, fields: events::fields, default: events::default, validate: events::validate,
    columns: table::EVENT, row: table::event, ..BASE },
    typed! { rbac::Role, group: "rbac.authorization.k8s.io", kind: "Role", plural: "roles", create_on_update: true,
    names: NameRule::PathSegment, columns: table::NAME_AND_CREATED, row: table::name_and_created, ..BASE },
    typed! { rbac::RoleBinding, group: "rbac.authorization.k8s.io", kind: "RoleBinding", plural: "rolebindings", create_on_update: true,
    names: NameRule::PathSegment, columns: table::BINDING, row: table::binding, ..BASE },
    typed! { rbac::ClusterRole, group: "rbac.authorization.k8s.io", kind: "ClusterRole", plural: "clusterroles", namespaced: false,
    create_on_update: true, names: NameRule::PathSegment, columns: table::NAME_AND_CREATED, row: table::name_and_created, ..BASE },
    typed! { rbac::ClusterRoleBinding, group: "rbac.authorization.k8s.io", kind: "ClusterRoleBinding", plural: "clusterrolebindings",
    namespaced: false, create_on_update: true, names: NameRule::PathSegment, columns: table::BINDING, row: table::binding, ..BASE },
    typed! { networking::NetworkPolicy, group: "networking.k8s.io", kind: "NetworkPolicy", plural: "networkpolicies",
    short_names: &["netpol"], generation: true, default: simple::default_network_policy, ..BASE },
    typed! { policy::PodDisruptionBudget, group: "policy", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets",
    short_names: &["pdb"], status: true, generation: true, ..BASE },
    typed! { admissionregistration::ValidatingAdmissionPolicy, group: "admissionregistration.k8s.io",
    kind: "ValidatingAdmissionPolicy", plural: "validatingadmissionpolicies", categories: &["api-extensions"],
    namespaced: false, status: true, generation: true, ..BASE },
    typed! { admissionregistration::ValidatingAdmissionPolicyBinding, group: "admissionregistration.k8s.io",
    kind: "ValidatingAdmissionPolicyBinding", plural: "validatingadmissionpolicybindings",
    categories: &["api-extensions"], namespaced: false, generation: true, ..BASE },
    typed! { scheduling::PriorityClass, group: "scheduling.k8s.io", kind: "PriorityClass", plural: "priorityclasses",
    short_names: &["pc"], namespaced: false, ..BASE },
    typed! { apiextensions::CustomResourceDefinition, group: "apiextensions.k8s.io", kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions", short_names: &["crd", "crds"], categories: &["api-extensions"], namespaced: false,
    status: true, generation: true, unconditional_update: false, default: crate::crd::default, create: crate::crd::create,
    update: crate::crd::update, validate: crate::crd::validate, columns: table::NAME_AND_CREATED,
    row: table::name_and_created, ..BASE },
    typed! { authentication::TokenReview, group: "authentication.k8s.io", kind: "TokenReview", plural: "tokenreviews",
    namespaced: false, review: true, create: simple::answer_token_review, ..BASE },
    typed! { authentication::SelfSubjectReview, group: "authentication.k8s.io", kind: "SelfSubjectReview", plural: "selfsubjectreviews",
    namespaced: false, review: true, create: simple::answer_self, ..BASE },
    typed! { authorization::SelfSubjectAccessReview, group: "authorization.k8s.io", kind: "SelfSubjectAccessReview",
    plural: "selfsubjectaccessreviews", namespaced: false, review: true, create: simple::answer_access_review, ..BASE },
    typed! { authorization::SubjectAccessReview, group: "authorization.k8s.io", kind: "SubjectAccessReview",
    plural: "subjectaccessreviews", namespaced: false, review: true, create: simple::answer_access_review, ..BASE },
    typed! { authorization::LocalSubjectAccessReview, group: "authorization.k8s.io", kind: "LocalSubjectAccessReview",
    plural: "localsubjectaccessreviews", review: true, create: simple::answer_access_review, ..BASE },
    typed! { authorization::SelfSubjectRulesReview, group: "authorization.k8s.io", kind: "SelfSubjectRulesReview",
    plural: "selfsubjectrulesreviews", namespaced: false, review: true, create: simple::answer_rules_review, ..BASE },
];

/// The compiled schema of a type.
pub(crate) fn compiled<T: JsonSchema>() -> Schema {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let root = generator.subschema_for::<T>().to_value();
    let definitions = generator.take_definitions(true);
    compile_builtin(&root, &definitions, merge_key)
}

fn published<T: JsonSchema>(generator: &mut SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<T>()
}

/// The kinds as the registry holds them. All servers of a process share them, and with them their compiled schemas.
pub(crate) fn kinds() -> Vec<Arc<Kind>> {
    static KINDS: LazyLock<Vec<Arc<Kind>>> =
        LazyLock::new(|| BUILTINS.iter().map(|builtin| Arc::new(kind(builtin))).collect());
    KINDS.clone()
}

fn kind(builtin: &'static Builtin) -> Kind {
    let is_new_event = builtin.group == "events.k8s.io";
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let table = if builtin.group.is_empty() || is_new_event {
        builtin.plural.to_owned()
    } else {
        format!("{}.{}", builtin.plural, builtin.group)
    };
    let stored_api_version = if builtin.group.is_empty() || is_new_event {
        "v1".to_owned()
    } else {
        format!("{}/{}", builtin.group, builtin.version)
    };
    // Objects are validated in the form in which they are kept.
    let schema = if is_new_event { compiled::<core::Event> } else { builtin.schema };
    Kind {
        group: builtin.group.to_owned(),
        kind: builtin.kind.to_owned(),
        list_kind: format!("{}List", builtin.kind),
        plural: builtin.plural.to_owned(),
        singular: builtin.kind.to_lowercase(),
        short_names: owned(builtin.short_names),
        categories: owned(builtin.categories),
        namespaced: builtin.namespaced,
        table: table.into(),
        stored_api_version,
        versions: vec![Version {
            name: builtin.version.to_owned(),
            schema: SchemaSource::Lazy(schema, OnceLock::new()),
            status: builtin.status,
            columns: Vec::new(),
            selectable: Vec::new(),
            conversion: if is_new_event { Conversion::Events } else { Conversion::ApiVersion },
            published: None,
        }],
        nature: Nature::Builtin(builtin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_built_in_kind_has_a_schema_with_the_members_of_an_object() {
        for builtin in BUILTINS {
            let mut object =
                json!({"apiVersion": "v1", "kind": builtin.kind, "metadata": {"name": "x"}, "nonsense": 1});
            assert_eq!((builtin.schema)().prune(&mut object), ["nonsense"], "{}", builtin.plural);
        }
    }
}
