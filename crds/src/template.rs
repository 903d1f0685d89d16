//! `AegisOpsTemplate`: the procedure, as the text of a Workflow or Job with places for an alert's values.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::rule::Tally;
use crate::schema;

/// A procedure to run for an alert.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aegis.io",
    version = "v1alpha1",
    kind = "AegisOpsTemplate",
    plural = "aegisopstemplates",
    shortname = "atemplate",
    namespaced,
    status = "AegisOpsTemplateStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A procedure: the text of an Argo Workflow or a Job with places for an alert's values.",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "ExecuteSucceed", type_ = "string", json_path = ".status.executeStatus.succeeded"),
    printcolumn(name = "ExecuteFailed", type_ = "string", json_path = ".status.executeStatus.failed"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Valid\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AegisOpsTemplateSpec {
    /// Kept for compatibility: names are derived from the alert so that a retry meets its own work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate_name: Option<String>,
    /// The namespace of the rendered object. It must be the alert's own, which is also what leaving it out means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The text of an Argo Workflow (argoproj.io/v1alpha1) or a Job (batch/v1).
    #[schemars(length(min = 1, max = 524_288))]
    pub manifest: String,
    /// How long an action may take before it counts as failed and is stopped, such as "30m". Default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<String>,
    /// Whether it puts back what Aegis did, such as an uncordon: no budget and no plain pause holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<bool>,
    /// What it acts on: the alert's Object, or the Node that the object is on. Default Object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acts_on: Option<ActsOn>,
}

/// What a procedure acts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActsOn {
    /// The object that the alert is about.
    #[default]
    Object,
    /// The node that the object is on.
    Node,
}

/// Whether the template can be used, and how its actions ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AegisOpsTemplateStatus {
    /// Recorded, or Invalid; the condition Valid says what is wrong and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How many of its actions ended well and how many did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute_status: Option<Tally>,
    /// Valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
