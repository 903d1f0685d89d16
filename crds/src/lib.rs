//! The API of Aegis: the kinds of `aegis.io/v1alpha1`, their conditions, and the names derived from them.
//! Types only: nothing here talks to a cluster, and everything else in the project is built on it.

#![allow(
    clippy::duplicated_attributes,
    reason = "the lint takes the fields of different printer columns for one attribute"
)]

pub mod alert;
pub mod cluster_check;
pub mod conditions;
pub mod diagnosis;
pub mod guard;
pub mod names;
pub mod node_check;
pub mod rule;
pub mod template;

mod schema;

pub use alert::AegisAlert;
pub use cluster_check::AegisClusterHealthCheck;
pub use diagnosis::AegisDiagnosis;
pub use guard::AegisGuard;
pub use node_check::AegisNodeHealthCheck;
pub use rule::AegisAlertOpsRule;
pub use template::AegisOpsTemplate;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The CustomResourceDefinitions, in the order in which an administrator meets them.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    [
        AegisAlert::crd(),
        AegisAlertOpsRule::crd(),
        AegisOpsTemplate::crd(),
        AegisDiagnosis::crd(),
        AegisNodeHealthCheck::crd(),
        AegisClusterHealthCheck::crd(),
        AegisGuard::crd(),
    ]
    .into_iter()
    .map(schema::completed)
    .collect()
}

/// The files of manifest/install: a name and the YAML of one definition each.
pub fn install_files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    definitions()
        .into_iter()
        .map(|crd| {
            let file = format!("{}.yaml", crd.spec.names.plural);
            Ok((file, serde_saphyr::to_string(&crd)?))
        })
        .collect()
}
