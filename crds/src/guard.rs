//! `AegisGuard`: what holds actions back, in one object: the policy and the pauses that people write, and the book of
//! the places that actions take. A place is taken by a conditional write, so whatever people wrote before it counts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::AlertStatus;
use crate::conditions::Condition;
use crate::schema;

/// The policy that actions are judged by, and the pauses in force. Only the object [`GUARD_NAME`] in the namespace of
/// the alerts counts. Whatever is left out has a default.
///
/// [`GUARD_NAME`]: crate::names::GUARD_NAME
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aegis.io",
    version = "v1alpha1",
    kind = "AegisGuard",
    plural = "aegisguards",
    shortname = "aguard",
    namespaced,
    status = "AegisGuardStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "What holds actions back: budgets, windows, pauses, and the places that actions take.",
    printcolumn(name = "Status", type_ = "string", json_path = ".status.status"),
    printcolumn(name = "Paused", type_ = "string", json_path = ".status.paused"),
    printcolumn(name = "Unfinished", type_ = "integer", json_path = ".status.unfinished"),
    printcolumn(name = "Breaker", type_ = "string", json_path = ".status.breaker.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Valid\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.budgets) || !has(self.budgets.unfinished) || !has(self.budgets.unfinishedPerRule) || self.budgets.unfinishedPerRule <= self.budgets.unfinished", "spec.budgets.unfinishedPerRule is above spec.budgets.unfinished: one rule never gets more than all together"),
    validation = ("!has(self.limits) || !has(self.limits.unfinishedPerRule) || !has(self.budgets) || !has(self.budgets.unfinishedPerRule) || self.limits.unfinishedPerRule >= self.budgets.unfinishedPerRule", "spec.limits.unfinishedPerRule is below spec.budgets.unfinishedPerRule, which a rule that asks for nothing gets"),
    validation = ("!has(self.limits) || !has(self.limits.nodesOutPercent) || !has(self.budgets) || !has(self.budgets.nodesOut) || !has(self.budgets.nodesOut.percent) || self.limits.nodesOutPercent >= self.budgets.nodesOut.percent", "spec.limits.nodesOutPercent is below spec.budgets.nodesOut.percent, which a rule that asks for nothing gets")
)]
pub struct AegisGuardSpec {
    /// What is paused. `kubectl aegis pause` adds to it, `kubectl aegis resume` takes away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub pauses: Vec<Pause>,
    /// When people said that things begin anew: by "breaker", "node/NAME", "rule/NAMESPACE/NAME" and so on. What failed
    /// there before then no longer counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::timestamps")]
    pub resumed: BTreeMap<String, Timestamp>,
    /// How much may be under way or out at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
    /// Nodes that share a budget. A node belongs to the first pool that selects it; one that none selects belongs to
    /// the pool "default", for which budgets.nodesOut holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pools: Vec<Pool>,
    /// When actions are held back, or when alone they may begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub windows: Vec<Window>,
    /// How many actions may begin within a time before all further ones are held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// When a rule acts again on a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// What a rule may ask for at most. Left out: a rule may only ask for less than the budgets give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// When people are asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approvals>,
}

/// One pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// What is paused: "all", "rule/NAMESPACE/NAME", "node/NAME", or another target as "kind/NAMESPACE/NAME".
    #[schemars(length(min = 1, max = 512))]
    pub target: String,
    /// Why, for whoever finds it paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// Who paused it, as they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub by: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub since: Option<Timestamp>,
    /// Until when; left out: until somebody resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub until: Option<Timestamp>,
    /// Whether recovery, such as uncordoning, is paused too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovery_too: bool,
}

/// How much may be under way or out at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Budgets {
    /// Actions under way, of all rules together. Default 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub unfinished: Option<i32>,
    /// Actions under way, of one rule. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub unfinished_per_rule: Option<i32>,
    /// Nodes out of a pool that does not say otherwise. Default 5 percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_out: Option<NodesOut>,
}

/// How many nodes of a pool may be out: cordoned by anyone, not ready, or under action. One always may. Where both are
/// given the smaller holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.percent) || has(self.count)", "nodesOut needs a percent or a count, or is left out as a whole"))]
pub struct NodesOut {
    /// As a share of the pool's nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i32>,
    /// As a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub count: Option<i32>,
}

/// Nodes that share a budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.name != 'default'", "\"default\" is the pool of the nodes that no pool selects, and spec.budgets.nodesOut is its budget: give this pool another name"))]
pub struct Pool {
    /// The pool's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Which nodes are in it.
    pub selector: LabelSelector,
    /// How many of them may be out; budgets.nodesOut if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_out: Option<NodesOut>,
    /// How many nodes of one failure domain, such as a rack, may be out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
}

/// A budget for each failure domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// The node label that names the domain, such as "topology.kubernetes.io/rack". Nodes without it are in none.
    #[schemars(length(min = 1, max = 317))]
    pub label: String,
    /// How many nodes with the same value may be out.
    #[schemars(range(min = 1))]
    pub count: i32,
}

/// A time that comes again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// The window's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Freeze: nothing begins within it. Maintenance: what it is for begins within it alone.
    pub kind: WindowKind,
    /// When it opens, as five cron fields: minute, hour, day of month, month, day of week.
    #[schemars(length(min = 1, max = 128))]
    pub schedule: String,
    /// For how long, such as "8h".
    #[schemars(schema_with = "schema::duration")]
    pub duration: String,
    /// In which time zone, such as "Asia/Shanghai". Default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The rules that it is for, as NAMESPACE/NAME or NAME. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub rules: Vec<String>,
    /// The pools whose nodes it is for. Empty: all, and what is about no node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub pools: Vec<String>,
}

/// What a window does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WindowKind {
    /// Nothing begins within it.
    #[default]
    Freeze,
    /// What it is for begins within it alone.
    Maintenance,
}

/// Actions per time. Default: 60 in 10m, closed again after 15m.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// How many actions may begin within the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000))]
    pub actions: Option<i32>,
    /// The time, at most 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub within: Option<String>,
    /// For how long it stays open once it has tripped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub calm: Option<String>,
}

/// When a rule acts again on a target after an action of it ended there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// The least time between the end of one action and the next, however it ended; "0s" is none. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub cooldown: Option<String>,
    /// The wait after a failure; it doubles with each further one in a row. Default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub wait: Option<String>,
    /// The longest wait after failures. Default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub longest_wait: Option<String>,
    /// After so many failures in a row a person is asked for. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub attempts: Option<i32>,
}

/// What a rule may ask for at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// For its actions under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub unfinished_per_rule: Option<i32>,
    /// For the nodes out of a pool, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub nodes_out_percent: Option<i32>,
}

/// When people are asked first, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approvals {
    /// Every action asks once so many of its pool's nodes are out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub above_nodes_out: Option<i32>,
    /// For how long an approval counts, at most. Default 4h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_duration")]
    pub expires: Option<String>,
    /// How many different people must approve: 1 or 2. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2))]
    pub people: Option<i32>,
}

/// The book: what is in force and which places are taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AegisGuardStatus {
    /// Recorded, or Invalid; the condition Valid says what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The last policy that was valid, without pauses: it is in force while the present one is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::anything")]
    pub in_force: Option<Box<AegisGuardSpec>>,
    /// What is paused, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// How many places are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<i32>,
    /// The places that actions take, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// How many actions began, by minute, as long as it matters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<Starts>,
    /// The breaker, once it has tripped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerStatus>,
    /// How actions ended lately, by rule and target, as long as it matters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endings: Vec<Ending>,
}

/// A place that an action takes from before it is made until its outcome stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The alert's name.
    pub alert: String,
    /// The alert's UID.
    pub uid: String,
    /// The phase that the action is for.
    pub phase: AlertStatus,
    /// The attempt, from 1.
    pub attempt: i32,
    /// The rule, as namespace/name.
    pub rule: String,
    /// What it acts on, as "node/NAME" or "kind/NAMESPACE/NAME".
    pub target: String,
    /// The node that it takes out, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether it puts back what Aegis did: it takes no place in a budget then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovery: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub since: Option<Timestamp>,
}

/// Actions that began in one minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Starts {
    /// The beginning of the minute.
    #[schemars(schema_with = "schema::timestamp")]
    pub minute: Option<Timestamp>,
    /// How many.
    pub count: i32,
}

/// The breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerStatus {
    /// Open or Closed.
    pub state: String,
    /// When it tripped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub opened: Option<Timestamp>,
    /// When it closes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub closes: Option<Timestamp>,
}

/// How the last action of a rule on a target ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// The rule, as namespace/name.
    pub rule: String,
    /// The target, as in a claim.
    pub target: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::timestamp")]
    pub time: Option<Timestamp>,
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<i32>,
}
