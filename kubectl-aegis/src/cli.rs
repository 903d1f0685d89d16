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

// Where a verb's own type has a manual, its variant has none: that would hide all but the first line of it.
#[derive(Subcommand)]
pub(crate) enum Command {
    Demo(commands::demo::Demo),
    Sandbox(commands::sandbox::Sandbox),
    /// Report alerts, as a monitoring system would
    #[command(subcommand)]
    Alert(commands::alert::Alert),
    Plan(commands::plan::Plan),
    Pause(commands::pause::Pause),
    Resume(commands::pause::resume::Resume),
    Approve(commands::approval::approve::Approve),
    Reject(commands::approval::reject::Reject),
    Undo(commands::undo::Undo),
    Guard(commands::guard::Guard),
    /// Make container images without Docker
    #[command(subcommand)]
    Image(commands::image::Image),
    /// Print the version of this plugin
    Version,
}
