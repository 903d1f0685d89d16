//! What is shown on the real cluster, in the order in which it runs. Each scenario has a namespace of its own.

mod alertmanager_answers;
mod alertmanager_cluster;
mod approval;
mod approval_counts;
mod chart;
mod contract;
mod custom_json;
mod definitions_removed;
mod dropcache;
mod etcd_outage;
mod faults;
mod frozen_leader;
mod guard;
mod guard_breaker;
mod guard_retries;
mod guard_storm;
mod guard_windows;
mod injection;
mod install;
mod job_without_argo;
mod journey;
mod kill_9;
mod krew;
mod kubectl;
mod namespace_terminating;
mod notifications;
mod plugin_install;
mod roles;
mod seed_loop;
mod sops;
mod squatted_names;
mod undo;
mod upgrade;
mod workflow_deleted;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::cluster::Cluster;
use crate::parts::Recipe;

/// A rule for NodeFails, whose Workflows end after a second, and one for NodeHangs, whose Workflows do not end. They need
/// no pods.
const WAIT: &str = include_str!("data/wait.yaml");

/// A scenario.
pub struct Scenario {
    /// How it is called on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// Whether it belongs to the few that always run.
    pub smoke: bool,
    /// Parts that it needs beside those of the cluster.
    pub parts: &'static [&'static Recipe],
    /// Runs it.
    pub run: fn(Arc<Cluster>) -> BoxFuture<'static, anyhow::Result<()>>,
}

/// All scenarios, in order.
pub static ALL: [Scenario; 35] = [
    contract::SCENARIO,
    install::SCENARIO,
    chart::SCENARIO,
    krew::SCENARIO,
    seed_loop::SCENARIO,
    kill_9::SCENARIO,
    frozen_leader::SCENARIO,
    faults::SCENARIO,
    etcd_outage::SCENARIO,
    workflow_deleted::SCENARIO,
    squatted_names::SCENARIO,
    definitions_removed::SCENARIO,
    namespace_terminating::SCENARIO,
    injection::SCENARIO,
    kubectl::SCENARIO,
    custom_json::SCENARIO,
    job_without_argo::SCENARIO,
    guard::SCENARIO,
    guard_windows::SCENARIO,
    guard_retries::SCENARIO,
    guard_breaker::SCENARIO,
    approval::SCENARIO,
    approval_counts::SCENARIO,
    undo::SCENARIO,
    notifications::SCENARIO,
    guard_storm::SCENARIO,
    sops::SCENARIO,
    sops::ON_THE_NODE,
    plugin_install::SCENARIO,
    journey::SCENARIO,
    dropcache::SCENARIO,
    alertmanager_answers::SCENARIO,
    alertmanager_cluster::SCENARIO,
    upgrade::SCENARIO,
    // It judges what all others have done.
    roles::SCENARIO,
];
