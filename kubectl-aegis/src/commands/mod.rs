//! One file a verb.

pub(crate) mod alert;
pub(crate) mod approval;
pub(crate) mod demo;
pub(crate) mod guard;
pub(crate) mod image;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod sandbox;
pub(crate) mod undo;

use crate::cli::{Cli, Command};
use crate::output;

/// Carries out what was typed.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { cluster, command } = cli;
    match command {
        Command::Demo(demo) => demo.run().await,
        Command::Sandbox(sandbox) => sandbox.run().await,
        Command::Alert(alert) => alert.run(&cluster).await,
        Command::Plan(plan) => plan.run(&cluster).await,
        Command::Pause(pause) => pause.run(&cluster).await,
        Command::Resume(resume) => resume.run(&cluster).await,
        Command::Approve(approve) => approve.run(&cluster).await,
        Command::Reject(reject) => reject.run(&cluster).await,
        Command::Undo(undo) => undo.run(&cluster).await,
        Command::Guard(guard) => guard.run(&cluster).await,
        Command::Image(image) => image.run(),
        Command::Version => {
            output::line(&format!("kubectl-aegis {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    }
}
