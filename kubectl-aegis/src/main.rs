//! `kubectl aegis`: the plugin. Under the name `kubectl` the same binary answers for the few verbs that a
//! procedure's container needs (see [`standin`]).

/// As the standard library's, which panics where nobody reads standard error any more.
macro_rules! eprint {
    ($($words:tt)*) => { $crate::output::remark(format_args!($($words)*), "") };
}

/// As the standard library's, which panics where nobody reads standard error any more.
macro_rules! eprintln {
    ($($words:tt)*) => { $crate::output::remark(format_args!($($words)*), "\n") };
}

mod apply;
mod check;
mod cli;
mod cluster;
mod commands;
mod dry_run;
mod failure;
mod fetch;
mod guard;
mod install;
mod jsonpath;
mod local;
mod manifests;
#[cfg(test)]
mod manual;
mod output;
mod person;
mod print;
#[cfg(test)]
mod reference;
mod replay;
#[cfg(test)]
mod schemas;
mod sop;
mod standin;
mod work;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Two crates ask for a provider at run time; the first to ask would panic without this.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_stem().is_some_and(|stem| stem == "kubectl") {
        return runtime.block_on(standin::run());
    }
    if let Some(words) = commands::completion::asked() {
        return runtime.block_on(commands::completion::answer(&words));
    }
    let cli = cli::Cli::parse();
    match runtime.block_on(until_interrupted(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

/// Carries out what was typed. What the user ends by Ctrl-C ends with the code that shells give it, except for what runs
/// until then.
async fn until_interrupted(cli: cli::Cli) -> anyhow::Result<()> {
    if cli.command.ends_by_interruption() {
        return Box::pin(commands::run(cli)).await;
    }
    tokio::select! {
        done = Box::pin(commands::run(cli)) => done,
        _ = tokio::signal::ctrl_c() => Err(failure::Failure::new(failure::Kind::Interrupted, "interrupted").into()),
    }
}
