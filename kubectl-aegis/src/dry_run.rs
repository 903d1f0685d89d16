//! `--dry-run` as kubectl has it: how far a change goes.

use clap::{Args, ValueEnum};

/// The flag, for every verb that changes something.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct DryRunArg {
    /// client: only print what would be written; server: let the API server judge it, and store nothing
    #[arg(long, value_name = "none|client|server", default_value = "none", hide_possible_values = true)]
    pub(crate) dry_run: DryRun,
}

/// How far a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// It is made.
    None,
    /// Nothing is sent.
    Client,
    /// It is sent, judged, and not stored.
    Server,
}

impl DryRun {
    /// What stands behind a line that tells of the change, as kubectl writes it.
    pub(crate) fn remark(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}
