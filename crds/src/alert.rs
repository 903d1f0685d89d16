//! `AegisAlert`: one incident as it was reported, and everything that was done about it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;
use crate::schema;

/// What an alert sender reported.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aegis.io",
    version = "v1alpha1",
    kind = "AegisAlert",
    plural = "aegisalerts",
    shortname = "aalert",
    namespaced,
    status = "AegisAlertStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "An alert, and everything that was done about it.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "ObjectKind", type_ = "string", json_path = ".spec.involvedObject.kind"),
    printcolumn(name = "ObjectName", type_ = "string", json_path = ".spec.involvedObject.name"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Count", type_ = "integer", json_path = ".status.count"),
    printcolumn(name = "TriggerStatus", type_ = "string", json_path = ".status.opsStatus.triggerStatus"),
    printcolumn(name = "OpsStatus", type_ = "string", json_path = ".status.opsStatus.alertOpsStatus"),
    printcolumn(name = "Age", type_ = "date", json_path = ".status.startTime"),
    printcolumn(name = "Severity", type_ = "string", json_path = ".spec.severity", priority = 1),
    printcolumn(
        name = "ObjectNamespace",
        type_ = "string",
        json_path = ".spec.involvedObject.namespace",
        priority = 1
    ),
    printcolumn(name = "Rule", type_ = "string", json_path = ".status.rule.name", priority = 1),
    printcolumn(name = "LastHeard", type_ = "date", json_path = ".status.lastTime", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.verdict.reason", priority = 1)
)]
#[serde(rename_all = "camelCase")]
// Whoever stores an alert writes all of its spec, and the controller all of its status: field by field the API server
// would keep who wrote each of them, which makes the object a quarter larger and each write a sixth dearer.
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[x_kube(validation = ("!has(self.details) || !has(self.detials) || self.details == self.detials", "spec.details and spec.detials differ: write one of them, spec.detials is the name on the wire"))]
pub struct AegisAlertSpec {
    /// Kept for compatibility; nothing reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Which kind of sender reported it: alertmanager, default, ai or manual.
    #[serde(default)]
    pub source: String,
    /// The alert's type, for Alertmanager its alertname. Rules match on it.
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    pub type_: String,
    /// How grave the sender says it is, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// The phase in which it was first reported. status.status tells the present one.
    pub status: AlertStatus,
    /// What the alert is about.
    pub involved_object: InvolvedObject,
    /// Details by name, the parameters of the template. Spelled so since the first version of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detials: Option<BTreeMap<String, String>>,
    /// Another spelling of detials that is read too. Writing both with different content is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<BTreeMap<String, String>>,
    /// How long the alert is kept after it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_strategy: Option<TtlStrategy>,
    /// The sender's identity of the incident's series; with source and type the key of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// When the sender says that the incident began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub starts_at: Option<Timestamp>,
}

/// Both spellings of the details are present and differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetailsDiffer;

impl fmt::Display for DetailsDiffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spec.details and spec.detials differ: write one of them, spec.detials is the name on the wire")
    }
}

impl std::error::Error for DetailsDiffer {}

impl AegisAlertSpec {
    /// The details, whichever spelling carries them; empty if there are none.
    pub fn details(&self) -> Result<&BTreeMap<String, String>, DetailsDiffer> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        match (&self.detials, &self.details) {
            (Some(one), Some(other)) if one != other => Err(DetailsDiffer),
            (Some(details), _) | (None, Some(details)) => Ok(details),
            (None, None) => Ok(&NONE),
        }
    }
}

/// The two phases of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AlertStatus {
    /// The problem is there.
    #[default]
    Firing,
    /// The sender says that it has gone.
    Resolved,
}

impl AlertStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "Firing",
            Self::Resolved => "Resolved",
        }
    }
}

impl fmt::Display for AlertStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an alert is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvolvedObject {
    /// Node, Pod, or any other word of the sender's.
    #[serde(default)]
    pub kind: String,
    /// The object's name.
    #[serde(default)]
    pub name: String,
    /// The object's namespace; required for a Pod.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The node that the object is on, where that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
}

/// How many seconds an object is kept after it ended. The strongest that applies wins:
/// success or failure before completion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TtlStrategy {
    /// After it ended, however it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seconds_after_completion: Option<i32>,
    /// After its action succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seconds_after_success: Option<i32>,
    /// After its action failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seconds_after_failure: Option<i32>,
    /// After it was resolved without any action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seconds_after_no_ops: Option<i32>,
}

/// What happened to an alert. Only what has happened is written here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct AegisAlertStatus {
    /// Summaries in Kubernetes' form: PickedUp and Repaired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The action that counts now, in the words of the first version of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops_status: Option<OpsStatus>,
    /// The phase now: Firing or Resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AlertStatus>,
    /// How often it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// When Aegis first acted on or counted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub start_time: Option<Timestamp>,
    /// When it was last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub last_time: Option<Timestamp>,
    /// The latest startsAt that was reported for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub last_starts_at: Option<Timestamp>,
    /// The resolution that ended it, as reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// The alert that took its place, if a new incident began while this one was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// Which rule was chosen and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleChoice>,
    /// What was decided last, and when it will be looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictStatus>,
    /// Who approved the action that its rule asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
    /// Every action taken or begun, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<ActionStatus>,
}

/// The action that counts now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpsStatus {
    /// When the action began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub completion_time: Option<Timestamp>,
    /// How the action stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_ops_status: Option<AlertOpsStatus>,
    /// Whether the alert led to an action, and if not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_status: Option<TriggerStatus>,
    /// Actions made for this alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i32>,
    /// Of these, how many are under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<i32>,
    /// Of these, how many succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<i32>,
    /// Of these, how many failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
}

/// Whether an alert led to an action, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TriggerStatus {
    /// An action was made, or is about to be.
    Triggered,
    /// No rule matches.
    RuleNotFound,
    /// The rule that matches cannot be used.
    RuleErrorFound,
    /// Written by earlier versions only.
    TooManyRuletFound,
    /// The rule's template does not exist.
    TemplateNotFound,
    /// The template cannot be rendered for this alert.
    TemplateInvalid,
    /// The action could not be made.
    TriggerFailed,
    /// The action is held back; status.verdict says why and until when.
    Held,
    /// The action was planned and shown, not taken.
    DryRun,
    /// The action was taken back before it began.
    Withdrawn,
}

/// How an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AlertOpsStatus {
    /// Nobody has picked it up yet.
    Pending,
    /// It is under way.
    Running,
    /// It ended with an error.
    Failed,
    /// It ended well.
    Succeeded,
}

/// A resolution as the sender reported it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// The startsAt that came with it; it may differ from the firing one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub starts_at: Option<Timestamp>,
    /// The endsAt that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub ends_at: Option<Timestamp>,
    /// When it was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub time: Option<Timestamp>,
}

/// Which rule was chosen for an alert and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleChoice {
    /// The rule's namespace.
    pub namespace: String,
    /// The rule's name.
    pub name: String,
    /// What made it win, as a sentence.
    #[serde(default)]
    pub why: String,
    /// The other rules that matched, as namespace/name, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

/// What was decided last about an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictStatus {
    /// One word: OptedOut, Stale, NoRule, TestAlert and so on.
    pub reason: String,
    /// The reason as a sentence, with what would change it.
    #[serde(default)]
    pub message: String,
    /// When it will be looked at again even if nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub next_try: Option<Timestamp>,
    /// The gate that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// What other gates hold against it, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<GateRefusal>,
    /// The digest of the action that is held, for those who approve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// What one gate holds against an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateRefusal {
    /// The gate.
    pub gate: String,
    /// One word.
    pub reason: String,
    /// The reason as a sentence, with what would change it.
    #[serde(default)]
    pub message: String,
}

/// An approval as it was first seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// The digest of the action that was approved.
    pub plan: String,
    /// Who approved it; nobody if what stands on the alert no longer counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// When the last of them was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub time: Option<Timestamp>,
}

/// One action of an alert: a Workflow or a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionStatus {
    /// The alert's phase that it belongs to.
    pub phase: AlertStatus,
    /// Counts from 1 within the phase.
    pub attempt: i32,
    /// Whether it only checks what the action of the same attempt achieved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check: bool,
    /// Workflow or Job.
    #[serde(default)]
    pub kind: String,
    /// The object's name; its namespace is the alert's.
    pub name: String,
    /// How often its name was salted because another object held the one before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub salt: i32,
    /// The object's UID, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The rule that asked for it, as namespace/name.
    #[serde(default)]
    pub rule: String,
    /// The template that it was made from, as namespace/name.
    #[serde(default)]
    pub template: String,
    /// How it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AlertOpsStatus>,
    /// One word on how it ended, if not well: WorkflowDeleted, Timeout, WorkflowFailed and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the executor said of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub start_time: Option<Timestamp>,
    /// When it was seen to have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub completion_time: Option<Timestamp>,
    /// Whether it cured the problem, where its rule has that verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationStatus>,
}

/// How the verification of an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VerificationStatus {
    /// It is not known yet.
    Waiting,
    /// The problem is gone.
    Passed,
    /// The problem stays.
    Failed,
    /// Nobody will know: its rule no longer asks, or a new incident took the alert's place.
    Dropped,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}
