//! `kubectl aegis`: the plugin. Under the name `kubectl` the same binary answers for the few verbs that a
//! procedure's container needs (see [`standin`]).

mod cli;
mod cluster;
mod commands;
mod dry_run;
mod failure;
mod guard;
mod local;
mod output;
mod person;
mod standin;

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
    let cli = cli::Cli::parse();
    match runtime.block_on(commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
