//! The runner's one decision: from a Workflow, what has happened and how its pods stand, to what stands now and
//! which pods to make or end. Pure; called again whenever something changes, it takes up where the nodes say it is.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::execute::{Operation, Place};
use super::manifest::{Shutdown, Workflow};
use super::names;
use super::node::{Kind, Nodes, Phase};
use super::pod_view::Pods;
use super::scope;

/// What is known from before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Past {
    pub(crate) nodes: Nodes,
    pub(crate) started: Option<Timestamp>,
}

/// A pod to make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) name: String,
    pub(crate) pod: Value,
}

/// What stands now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Next {
    pub(crate) nodes: Nodes,
    /// Running, or how the Workflow ended.
    pub(crate) phase: Phase,
    pub(crate) message: Option<String>,
    pub(crate) started: Timestamp,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) orders: Vec<Order>,
    /// Pods whose containers are to be ended; their nodes have ended already.
    pub(crate) kills: BTreeSet<String>,
    /// When to look again even if nothing else changes.
    pub(crate) look_again: Option<Timestamp>,
}

/// Takes one step. `longest_backoff` cuts the waits between attempts.
pub(crate) fn advance(
    workflow: &Workflow,
    past: &Past,
    pods: &Pods,
    now: Timestamp,
    longest_backoff: Duration,
) -> Next {
    let started = past.started.unwrap_or(now);
    let mut operation = Operation::new(workflow, past.nodes.clone(), pods, now, longest_backoff);
    operation.globals = scope::globals(workflow);

    let root = Place::root(&workflow.name);
    let arguments = scope::workflow_arguments(workflow, &operation.globals);
    operation.execute(&root, &workflow.spec.entrypoint, &arguments);
    stop_if_due(&mut operation, started);
    let Some(ended) = operation.ended(&root).cloned() else {
        return next(operation, started, Phase::Running, None, None);
    };
    let (mut phase, mut message) = (ended.phase, ended.message);
    if let Some(shutdown) = workflow.spec.shutdown.filter(|shutdown| message == Some(shutdown_message(*shutdown))) {
        message = Some(format!("Stopped with strategy '{}'", shutdown.word()));
    }
    let exit_handler = workflow.spec.on_exit.as_deref().filter(|_| workflow.spec.shutdown != Some(Shutdown::Terminate));
    if let Some(template) = exit_handler {
        let place = Place::exit_handler(&workflow.name);
        operation.exit_handler = true;
        scope::add_outcome(&mut operation.globals, &operation.nodes, workflow, phase, started, now);
        operation.execute(&place, template, &arguments);
        let Some(exit) = operation.ended(&place).cloned() else {
            return next(operation, started, Phase::Running, None, None);
        };
        if exit.phase.is_bad() {
            (phase, message) = (exit.phase, exit.message);
        }
    }
    next(operation, started, phase, message, Some(now))
}

/// Ends what still runs when the Workflow was stopped or has run for too long.
fn stop_if_due(operation: &mut Operation<'_>, started: Timestamp) {
    let spec = &operation.workflow.spec;
    if let Some(shutdown) = spec.shutdown {
        return operation.end_running(shutdown == Shutdown::Stop, &shutdown_message(shutdown));
    }
    let deadline = spec.deadline.and_then(|deadline| started.checked_add(deadline).ok());
    match deadline {
        Some(deadline) if operation.now < deadline => operation.look_again_at(deadline),
        Some(_) => operation.end_running(true, "Step exceeded its deadline"),
        None => {}
    }
}

/// What the nodes say that a shutdown ended; the spacing is Argo's.
fn shutdown_message(shutdown: Shutdown) -> String {
    format!("workflow shutdown with strategy:  {}", shutdown.word())
}

fn next(
    operation: Operation<'_>,
    started: Timestamp,
    phase: Phase,
    message: Option<String>,
    finished: Option<Timestamp>,
) -> Next {
    let Operation { nodes, orders, kills, look_again, .. } = operation;
    let look_again = look_again.filter(|_| finished.is_none());
    Next { nodes, phase, message, started, finished, orders, kills, look_again }
}

impl Next {
    /// A Workflow that cannot be run: Argo's word for it is Error.
    pub(crate) fn refused(message: String, started: Timestamp, now: Timestamp) -> Self {
        Self {
            nodes: Nodes::new(),
            phase: Phase::Error,
            message: Some(message),
            started,
            finished: Some(now),
            orders: Vec::new(),
            kills: BTreeSet::new(),
            look_again: None,
        }
    }

    /// "pods that ended/pods", as `status.progress` has it.
    pub(crate) fn progress(&self) -> String {
        let pods = || self.nodes.values().filter(|node| node.kind == Kind::Pod);
        format!("{}/{}", pods().filter(|node| node.fulfilled()).count(), pods().count())
    }

    /// The merge patch that writes it, in Argo's labels and status.
    pub(crate) fn patch(&self, uid: &str) -> Value {
        let time = |time: Timestamp| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time);
        let completed = self.finished.is_some();
        let mut patch = json!({
            "metadata": {"uid": uid, "labels": {
                names::PHASE_LABEL: self.phase.word(),
                names::COMPLETED_LABEL: completed.to_string(),
            }},
            "status": {
                "phase": self.phase.word(),
                "message": self.message,
                "startedAt": time(self.started),
                "finishedAt": self.finished.map(time),
                "progress": self.progress(),
                "nodes": self.nodes,
                "conditions": [{"type": "PodRunning", "status": if self.any_running() { "True" } else { "False" }}],
            },
        });
        if completed && let Some(conditions) = patch.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
            conditions.push(json!({"type": "Completed", "status": "True"}));
        }
        patch
    }

    fn any_running(&self) -> bool {
        self.nodes.values().any(|node| node.kind == Kind::Pod && node.phase == Phase::Running)
    }
}
