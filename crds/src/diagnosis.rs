//! `AegisDiagnosis`: a question about one object, and its answer.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What to diagnose.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aegis.io",
    version = "v1alpha1",
    kind = "AegisDiagnosis",
    plural = "aegisdiagnosises",
    singular = "aegisdiagnosis",
    shortname = "adiag",
    namespaced,
    status = "AegisDiagnosisStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "What is wrong with a node, pod or training job.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Age", type_ = "date", json_path = ".status.startTime"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.object.kind", priority = 1),
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.object.name", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct AegisDiagnosisSpec {
    /// The object in question.
    pub object: DiagnosisObject,
    /// How long collecting and explaining may take, such as "60s" or "5m".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<String>,
    /// How long the diagnosis is kept after it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_strategy: Option<DiagnosisTtlStrategy>,
}

/// The object in question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosisObject {
    /// What it is.
    pub kind: DiagnosisKind,
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its namespace; for a Node none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The node that it is on, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// What can be diagnosed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DiagnosisKind {
    /// A node.
    #[default]
    Node,
    /// A pod.
    Pod,
    /// A PyTorchJob of kubeflow.org/v1.
    PytorchJob,
}

/// How many seconds a diagnosis is kept after it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosisTtlStrategy {
    /// However it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seconds_after_completion: Option<i32>,
    /// After it completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seconds_after_success: Option<i32>,
    /// After it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seconds_after_failure: Option<i32>,
}

/// How the diagnosis stands and what it found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AegisDiagnosisStatus {
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub completion_time: Option<Timestamp>,
    /// Pending, Diagnosing, Completed, Failed or Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<DiagnosisPhase>,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<DiagnosisResult>,
    /// What a language model says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_result: Option<String>,
}

/// How a diagnosis stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DiagnosisPhase {
    /// Not begun.
    Pending,
    /// Under way.
    Diagnosing,
    /// Ended with a result.
    Completed,
    /// Ended without.
    Failed,
    /// Cannot be told.
    Unknown,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosisResult {
    /// The judgement in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What is broken, as texts or objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::list_of_anything")]
    pub failures: Vec<serde_json::Value>,
    /// What may matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What was seen besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub infos: Vec<String>,
}
