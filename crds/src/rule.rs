//! `AegisAlertOpsRule`: which alerts lead to which template.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::AlertStatus;
use crate::conditions::Condition;
use crate::guard::Retries;
use crate::schema;

/// A rule matches an alert when any of its alertConditions does and its selector is empty or selects the alert's labels.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aegis.io",
    version = "v1alpha1",
    kind = "AegisAlertOpsRule",
    plural = "aegisalertopsrules",
    shortname = "arule",
    namespaced,
    status = "AegisAlertOpsRuleStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Which alerts lead to which AegisOpsTemplate.",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Template", type_ = "string", json_path = ".spec.opsTemplate.name", priority = 1),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority", priority = 1),
    printcolumn(name = "Succeeded", type_ = "integer", json_path = ".status.triggerStatus.succeeded", priority = 1),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.triggerStatus.failed", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Valid\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AegisAlertOpsRuleSpec {
    /// Selects alerts by their labels; empty selects all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Any of these must match.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub alert_conditions: Vec<AlertCondition>,
    /// The AegisOpsTemplate to run; its namespace defaults to the rule's.
    #[schemars(schema_with = "template_reference")]
    pub ops_template: ObjectReference,
    /// Among matching rules the highest priority wins. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Acts again on an alert that keeps firing after its action ended. Left out: it acts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// Act, or Observe: only record what it would have done. Default Act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether the action puts back what Aegis did, such as an uncordon: no budget and no plain pause holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<bool>,
    /// What to do about a node that somebody else cordoned: Hold or Act. Default Hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_cordoned: Option<OnCordoned>,
    /// For how long a cordon that its action leaves on a node stands, such as "2h"; then Aegis lifts it, unless somebody
    /// has set it anew. Left out: until somebody lifts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub cordon_for: Option<String>,
    /// Required: a person approves each action first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<RuleApproval>,
    /// The rule's own share of the budgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<RuleBudget>,
    /// When it acts again on a target; what is left out is as the AegisGuard says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// Templates for the attempts after the first, in this order, each tried if the problem stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub escalation: Vec<Escalation>,
    /// How it is found out that an action cured the problem. Left out: by the alert not being reported again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

/// Whether a rule acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// It acts.
    #[default]
    Act,
    /// It records what it would have done.
    Observe,
}

/// What to do about a node that somebody else cordoned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnCordoned {
    /// Leave it to them.
    #[default]
    Hold,
    /// Act all the same.
    Act,
}

/// Whether a person is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuleApproval {
    /// Only where the AegisGuard says so.
    #[default]
    NotRequired,
    /// Always.
    Required,
}

/// A rule's own share of the budgets, within the limits that the AegisGuard sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleBudget {
    /// Its actions under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub unfinished: Option<i32>,
    /// Nodes out of a pool, in percent, beyond which it does not act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub nodes_out_percent: Option<i32>,
}

/// One step of an escalation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Escalation {
    /// The name of an AegisOpsTemplate.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; the rule's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How long after the attempt before ended the alert must still fire, such as "10m". Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub after: Option<String>,
}

/// How it is found out that an action which succeeded cured the problem. Until that is known the action keeps its
/// place; if it did not, it counts as failed, and the next step of the escalation is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The name of an AegisOpsTemplate whose action succeeds if the problem is gone, and fails if not. Left out: the
    /// problem is gone if the alert is resolved in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub template: Option<String>,
    /// That template's namespace; the rule's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How long the check may take; without a template, how long after the action's end the alert must be resolved.
    /// Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub within: Option<String>,
}

/// An alert's phase and type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertCondition {
    /// A regular expression that is searched for in the alert's type; it is not anchored: write ^ and $ to match all of it.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 1024))]
    pub type_: String,
    /// The alert's phase.
    pub status: AlertStatus,
}

/// When an alert that keeps firing is acted on again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repeat {
    /// How long after an action ended the next may begin, such as "30m".
    #[schemars(schema_with = "schema::duration")]
    pub after: String,
    /// How many actions an alert gets in all.
    #[schemars(range(min = 1, max = 100))]
    pub limit: i32,
}

/// Whether the rule can be used, and how its actions ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AegisAlertOpsRuleStatus {
    /// Recorded, or Invalid; the condition Valid says what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How many of its actions ended well and how many did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_status: Option<Tally>,
    /// Valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Endings counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<i64>,
    /// Ended otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<i64>,
    /// The completion of the last action that is counted here: a leader that takes over counts those that ended later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub counted_until: Option<Timestamp>,
}

fn template_reference(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "kind": {"type": "string", "enum": ["AegisOpsTemplate"], "description": "AegisOpsTemplate."},
            "apiVersion": {"type": "string", "description": "aegis.io/v1alpha1."},
            "namespace": {"type": "string", "description": "The template's namespace; the rule's own by default."},
            "name": {"type": "string", "minLength": 1, "description": "The template's name."},
            "uid": {"type": "string", "description": "Kept for compatibility; nothing reads it."},
            "resourceVersion": {"type": "string", "description": "Kept for compatibility; nothing reads it."},
            "fieldPath": {"type": "string", "description": "Kept for compatibility; nothing reads it."}
        }
    })
}
