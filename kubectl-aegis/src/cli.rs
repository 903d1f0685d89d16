//! The clap tree: what can be typed. The doc comments are the manual.

use clap::{Parser, Subcommand};

use crate::cluster::ClusterArgs;
use crate::commands;
use crate::sop;

/// Alert-driven repair of Kubernetes clusters
///
/// Aegis turns alerts into safe, traceable repairs: an alert comes in, a rule picks a procedure, the procedure runs
/// as a workflow, and everybody can see what happened and why.
#[derive(Parser)]
#[command(
    name = "kubectl aegis",
    bin_name = "kubectl aegis",
    version,
    after_help = "Try `kubectl aegis demo` first: it needs no cluster and touches none.

`kubectl aegis options` lists the flags for the cluster and the login; all of kubectl's hold for every verb.

Exit codes: 0 fine, 1 findings or a mismatch, 2 the call's words are off, 3 cluster or credentials, 4 forbidden, 5 not found, \
6 refused by the guard or a conflict, 7 Aegis not installed or in another version, 124 timeout, 130 interrupted."
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
    Get(commands::get::Get),
    Trace(commands::trace::Trace),
    Logs(commands::logs::Logs),
    Top(commands::top::Top),
    Demo(commands::demo::Demo),
    Sandbox(commands::sandbox::Sandbox),
    #[command(subcommand)]
    Alert(commands::alert::Alert),
    #[command(subcommand)]
    Rule(commands::rule::Rule),
    #[command(subcommand)]
    Template(commands::template::Template),
    Plan(commands::plan::Plan),
    Pause(commands::pause::Pause),
    Resume(commands::pause::resume::Resume),
    Approve(commands::approval::approve::Approve),
    Reject(commands::approval::reject::Reject),
    Undo(commands::undo::Undo),
    #[command(subcommand)]
    Sop(commands::sop::Sop),
    Cordon(sop::short::Cordon),
    Uncordon(sop::short::Uncordon),
    Guard(commands::guard::Guard),
    Install(commands::install::Install),
    Upgrade(commands::install::Upgrade),
    Uninstall(commands::uninstall::Uninstall),
    Check(commands::check::Check),
    /// Make container images without Docker
    #[command(subcommand)]
    Image(commands::image::Image),
    Completion(commands::completion::Completion),
    Version(commands::version::Version),
    /// Print the flags that every verb takes
    Options,
}

impl Command {
    /// Whether it lists things, so that -A means something to it.
    pub(crate) fn lists(&self) -> bool {
        match self {
            Self::Top(_) | Self::Get(_) | Self::Version(_) | Self::Options => true,
            Self::Rule(rule) => rule.lists(),
            Self::Template(template) => template.lists(),
            Self::Alert(alert) => alert.lists(),
            _ => false,
        }
    }

    /// Whether it ends well when the user ends it.
    pub(crate) fn ends_by_interruption(&self) -> bool {
        matches!(self, Self::Demo(_) | Self::Sandbox(_) | Self::Top(_))
    }
}
