//! What a plan follows from.

mod cluster;
mod due;
mod explain;
mod follow;
mod guarded;
mod life;
mod over;
mod properties;
mod remedy;
mod verification;

use super::testing::*;
use super::*;
use crate::guard::Reason;
use crate::rules::testing::rule;
use aegis_crds::alert::{AlertOpsStatus, TriggerStatus};
use serde_json::json;

/// The word for a decision and its reason.
fn decided(plan: &Plan) -> (&'static str, Option<Reason>) {
    match &plan.decision {
        Decision::Look(_) => ("look", None),
        Decision::Follow(_) => ("follow", None),
        Decision::Start(_) => ("start", None),
        Decision::Hold(refusal) => ("hold", Some(refusal.reason)),
        Decision::Withdraw(refusal, _) => ("withdraw", Some(refusal.reason)),
        Decision::Rest(_) => ("rest", None),
        Decision::Leave => ("leave", None),
    }
}

/// The words of a status that users see: triggerStatus, alertOpsStatus and the verdict's reason.
fn words(scene: &Scene) -> (Option<TriggerStatus>, Option<AlertOpsStatus>, Option<String>) {
    let status = scene.status();
    let ops = status.ops_status.unwrap_or_default();
    (ops.trigger_status, ops.alert_ops_status, status.verdict.map(|verdict| verdict.reason))
}

/// A firing alert whose Workflow ended as told `ended` seconds after noon, with status written.
fn acted(argo: &'static str, ended: i64) -> Scene {
    let scene = seen(alert("NodeDown")).rule(drain()).action(workflow()).told(at(2));
    scene.action(workflow().argo(argo).whole("")).told(at(ended))
}
