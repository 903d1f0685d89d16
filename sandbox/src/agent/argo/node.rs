//! What has happened so far: the nodes of a Workflow, as they stand in its status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

/// All nodes by id.
pub(crate) type Nodes = BTreeMap<String, Node>;

/// One node of `status.nodes`, in Argo's field names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) display_name: String,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) template_name: String,
    pub(crate) phase: Phase,
    #[serde(default, rename = "boundaryID", skip_serializing_if = "Option::is_none")]
    pub(crate) boundary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    pub(crate) started_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) children: Vec<String>,
    #[serde(default, skip_serializing_if = "Io::is_empty")]
    pub(crate) inputs: Io,
    #[serde(default, skip_serializing_if = "Io::is_empty")]
    pub(crate) outputs: Io,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host_node_name: Option<String>,
}

impl Node {
    /// Whether nothing more will happen to it.
    pub(crate) fn fulfilled(&self) -> bool {
        self.phase.fulfilled()
    }

    /// Ends it; the first ending stands.
    pub(crate) fn end(&mut self, phase: Phase, message: Option<String>, now: Timestamp) {
        if !self.fulfilled() {
            self.phase = phase;
            self.message = message;
            self.finished_at = Some(Time(now));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Pod,
    Steps,
    StepGroup,
    #[serde(rename = "DAG")]
    Dag,
    Retry,
    /// The node that stands for all items of an expanded task of a DAG.
    TaskGroup,
    Skipped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Skipped,
    Failed,
    Error,
    Omitted,
}

impl Phase {
    pub(crate) fn fulfilled(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Failed or Error.
    pub(crate) fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }

    /// As the API spells it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Skipped => "Skipped",
            Self::Failed => "Failed",
            Self::Error => "Error",
            Self::Omitted => "Omitted",
        }
    }
}

/// Inputs or outputs of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Io {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parameters: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<String>,
}

impl Io {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A parameter and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) value: String,
}
