//! `AegisNodeHealthCheck`: scripts run in a pod on one node.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::schema;

/// Which node to check, with which rules, in which pod.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aegis.io",
    version = "v1alpha1",
    kind = "AegisNodeHealthCheck",
    plural = "aegisnodehealthchecks",
    shortname = "anhc",
    namespaced,
    status = "AegisNodeHealthCheckStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Scripts run in a pod on one node.",
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".status.startTime")
)]
#[serde(rename_all = "camelCase")]
pub struct AegisNodeHealthCheckSpec {
    /// The node's name.
    #[schemars(length(min = 1))]
    pub node: String,
    /// Selects the ConfigMaps that hold the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_configmap_selector: Option<LabelSelector>,
    /// A PodTemplateSpec with exactly one container.
    #[schemars(schema_with = "schema::pod_template")]
    pub template: serde_json::Value,
}

/// How the check stands and what it found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AegisNodeHealthCheckStatus {
    /// Summaries in Kubernetes' form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub completion_time: Option<Timestamp>,
    /// How it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<NodeCheckStatus>,
    /// What was found, by module.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub results: BTreeMap<String, Vec<CheckResult>>,
}

/// How a node check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeCheckStatus {
    /// Not begun.
    Pending,
    /// Under way.
    Checking,
    /// Could not be carried out.
    Failed,
    /// Was carried out, whatever it found.
    Succeeded,
    /// Cannot be told.
    Unknown,
}

/// What one rule found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// The rule's item.
    #[serde(default)]
    pub item: String,
    /// The condition that the rule stands for.
    #[serde(default)]
    pub condition: String,
    /// How grave it is, in the rule's own words.
    #[serde(default)]
    pub level: String,
    /// True means that the problem is present.
    #[serde(default)]
    pub status: bool,
    /// What the script said.
    #[serde(default)]
    pub message: String,
}
