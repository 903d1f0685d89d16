//! `AegisClusterHealthCheck`: node checks for every node, on a schedule.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::node_check::CheckResult;
use crate::schema;

/// When to check all nodes, with which rules, in which pod.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aegis.io",
    version = "v1alpha1",
    kind = "AegisClusterHealthCheck",
    plural = "aegisclusterhealthchecks",
    shortname = "achc",
    namespaced,
    status = "AegisClusterHealthCheckStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Node checks for every node, on a schedule.",
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desired"),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.active"),
    printcolumn(name = "Succeeded", type_ = "integer", json_path = ".status.succeeded"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".status.startTime"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct AegisClusterHealthCheckSpec {
    /// A cron expression; left out: it runs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How long a run may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub timeout: Option<i64>,
    /// Selects the ConfigMaps that hold the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_configmap_selector: Option<LabelSelector>,
    /// A PodTemplateSpec with exactly one container.
    #[schemars(schema_with = "schema::pod_template")]
    pub template: serde_json::Value,
}

/// How the latest run stands and what it found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AegisClusterHealthCheckStatus {
    /// Summaries in Kubernetes' form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub completion_time: Option<Timestamp>,
    /// How it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<ClusterCheckPhase>,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_results: Option<ClusterCheckResults>,
    /// Nodes being checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<i32>,
    /// Nodes to check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<i32>,
    /// Nodes whose check could not be carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    /// Nodes whose check was carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<i32>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterCheckPhase {
    /// Cannot be told.
    Unknown,
    /// Not begun.
    Pending,
    /// Under way.
    Checking,
    /// Could not be carried out.
    Failed,
    /// Was carried out.
    Completed,
}

/// What a run found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterCheckResults {
    /// Always "Node".
    #[serde(default)]
    pub check_type: String,
    /// By node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<NamedResults>,
}

/// What was found on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedResults {
    /// The node.
    #[serde(default)]
    pub name: String,
    /// What its rules found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub result_infos: Vec<CheckResult>,
}
