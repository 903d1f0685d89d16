//! The clap tree: what can be typed. The doc comments are the manual.

use clap::{Parser, Subcommand};

use crate::cluster::ClusterArgs;
use crate::commands;

/// Alert-driven repair of Kubernetes clusters
///
/// Aegis turns alerts into safe, traceable repairs: an alert comes in, a rule picks a procedure, the procedure runs
/// as a workflow, and everybody can see what happened and why.
#[derive(Parser)]
#[command(
    name = "kubectl aegis",
    bin_name = "kubectl aegis",
    version,
    after_help = "Try `kubectl aegis demo` first: it needs no cluster and touches none."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Watch an alert become a repair, in a cluster that lives in memory and ends by itself
    Demo(commands::demo::Demo),
    /// Keep a cluster in memory running, with Aegis in it, to try things on
    Sandbox(commands::sandbox::Sandbox),
    /// Report alerts, as a monitoring system would
    #[command(subcommand)]
    Alert(commands::alert::Alert),
    /// Tell what would happen to an alert and why, without doing it
    Plan(commands::plan::Plan),
    /// Print the version of this plugin
    Version,
}
