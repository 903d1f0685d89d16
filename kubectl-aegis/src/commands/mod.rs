//! One file a verb.

pub(crate) mod alert;
pub(crate) mod approval;
pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod guard;
pub(crate) mod image;
pub(crate) mod install;
mod list;
pub(crate) mod logs;
mod manifest;
pub(crate) mod options;
pub(crate) mod pause;
pub(crate) mod plan;
pub(crate) mod rule;
pub(crate) mod sandbox;
pub(crate) mod sop;
pub(crate) mod template;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod undo;
pub(crate) mod uninstall;
pub(crate) mod version;

use crate::cli::{Cli, Command};
use crate::failure::{Failure, Kind};

#[cfg(test)]
pub(crate) use manifest::lint::schema as lint_schema;

/// Carries out what was typed.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { cluster, command } = cli;
    if cluster.all_namespaces && !command.lists() {
        return Err(Failure::new(Kind::Usage, "-A, --all-namespaces: this verb is about one namespace")
            .hint("say which one with -n")
            .into());
    }
    match command {
        Command::Get(get) => get.run(&cluster).await,
        Command::Trace(trace) => trace.run(&cluster).await,
        Command::Demo(demo) => demo.run().await,
        Command::Sandbox(sandbox) => sandbox.run().await,
        Command::Alert(alert) => alert.run(&cluster).await,
        Command::Logs(logs) => logs.run(&cluster).await,
        Command::Top(top) => top.run(&cluster).await,
        Command::Template(template) => template.run(&cluster).await,
        Command::Completion(completion) => completion.run(),
        Command::Rule(rule) => rule.run(&cluster).await,
        Command::Plan(plan) => plan.run(&cluster).await,
        Command::Pause(pause) => pause.run(&cluster).await,
        Command::Resume(resume) => resume.run(&cluster).await,
        Command::Approve(approve) => approve.run(&cluster).await,
        Command::Reject(reject) => reject.run(&cluster).await,
        Command::Undo(undo) => undo.run(&cluster).await,
        Command::Sop(sop) => sop.run(&cluster).await,
        Command::Cordon(cordon) => cordon.run(&cluster).await,
        Command::Uncordon(uncordon) => uncordon.run(&cluster).await,
        Command::Guard(guard) => guard.run(&cluster).await,
        Command::Image(image) => image.run(),
        Command::Install(install) => install.run(&cluster).await,
        Command::Upgrade(upgrade) => upgrade.run(&cluster).await,
        Command::Uninstall(uninstall) => uninstall.run(&cluster).await,
        Command::Check(check) => check.run(&cluster).await,
        Command::Version(version) => version.run(&cluster).await,
        Command::Options => {
            options::run();
            Ok(())
        }
    }
}
