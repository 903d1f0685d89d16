//! `kubectl aegis options`: the flags that every verb takes.

use clap::{Command, CommandFactory};

use crate::cli::Cli;
use crate::output;

/// Prints the flags for the cluster and the login, those too that the verbs' own manuals leave out.
pub(crate) fn run() {
    let own = Cli::command();
    let flags = own.get_arguments().filter(|flag| flag.is_global_set()).map(|flag| flag.clone().hide(false));
    let mut page = Command::new("options")
        .about("These flags are the same for every verb, and stand anywhere on the line. They mean what they mean to kubectl.")
        .help_template("{about}\n\n{options}")
        .disable_help_flag(true)
        .args(flags.map(|flag| flag.help_heading(None::<&str>)));
    output::text(&page.render_long_help().to_string());
}
