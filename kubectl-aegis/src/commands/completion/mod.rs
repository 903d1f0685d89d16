//! `kubectl aegis completion`: what shells ask while a line is typed.

mod candidates;
mod line;
mod live;
mod shell;

use std::path::PathBuf;
use std::process::{Command as Process, ExitCode};

use clap::{Args, ValueEnum};

use crate::failure::{Failure, Kind};
use crate::output;

/// The word by which shells ask, in place of a verb; it is followed by the words of the line.
const ASK: &str = "__complete";
/// The program that kubectl asks for the words of a plugin.
const SHIM: &str = "kubectl_complete-aegis";

/// Complete words on the command line: verbs, flags, and live names with how they stand
///
/// `install` writes kubectl_complete-aegis beside this program, which is how kubectl asks a plugin, and then asks kubectl
/// whether it works; completion of kubectl itself has to be set up, as `kubectl completion --help` tells. The other words
/// print a script for those who call kubectl-aegis by its own name.
#[derive(Args)]
#[command(after_help = "Examples:
  # Under kubectl
  kubectl aegis completion install --dry-run=client

  # For kubectl-aegis by its own name, in this shell
  kubectl aegis completion bash > kubectl-aegis.bash

Exit codes: 0 if it works, 1 if kubectl did not complete, 2 if the folder cannot be written.")]
pub(crate) struct Completion {
    /// What to do
    #[arg(value_name = "install|bash|zsh|fish", hide_possible_values = true)]
    what: What,
    /// With install: where to write it; it must be on the PATH. By default beside this program
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// With install: client: only say what would be written
    #[arg(long, value_name = "none|client", default_value = "none", hide_possible_values = true)]
    dry_run: DryRun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Install,
    Bash,
    Zsh,
    Fish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DryRun {
    None,
    Client,
}

impl Completion {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Bash => output::text(shell::BASH),
            What::Zsh => output::text(shell::ZSH),
            What::Fish => output::text(shell::FISH),
            What::Install => self.install()?,
        }
        Ok(())
    }

    fn install(&self) -> anyhow::Result<()> {
        let own = std::env::current_exe()?;
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => own.parent().map(PathBuf::from).unwrap_or_default(),
        };
        let file = folder.join(SHIM);
        let remark = if self.dry_run == DryRun::Client { " (dry run)" } else { "" };
        if self.dry_run == DryRun::None {
            let wrong = |error| {
                Failure::new(Kind::Usage, format!("could not write {}", file.display()))
                    .because(error)
                    .hint("give another folder of the PATH with --folder")
            };
            std::fs::write(&file, shell::shim(&own)).map_err(wrong)?;
            executable(&file).map_err(wrong)?;
        }
        output::line(&format!("{} written{remark}", file.display()));
        if self.dry_run == DryRun::Client {
            return Ok(());
        }
        let asked = Process::new("kubectl").args([ASK, "aegis", ""]).output();
        let answered = asked
            .is_ok_and(|done| String::from_utf8_lossy(&done.stdout).lines().any(|line| line.starts_with("trace\t")));
        if answered {
            output::line("kubectl completes the words of this plugin");
            return Ok(());
        }
        Err(Failure::new(Kind::Findings, "kubectl was asked, and did not complete the words of this plugin")
            .hint(format!("kubectl 1.26 or later asks {SHIM}; is {} on the PATH?", folder.display()))
            .into())
    }
}

#[cfg(unix)]
fn executable(file: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn executable(_: &std::path::Path) -> std::io::Result<()> {
    Ok(())
}

/// The words of a line that a shell asks about, if that is what this call is.
pub(crate) fn asked() -> Option<Vec<String>> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != ASK {
        return None;
    }
    Some(words.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// Prints what the last word may become, a candidate a line with what it is, and last what the shell is to make of it:
/// kubectl's own form. It never fails: a shell has nobody to tell.
pub(crate) async fn answer(words: &[String]) -> ExitCode {
    let line = line::Line::read(words);
    let candidates::Candidates { words, files } = candidates::of(&line).await;
    for (word, what) in words.iter().filter(|(word, _)| word.starts_with(&line.typed)) {
        let what = what.lines().next().unwrap_or_default();
        output::line(&if what.is_empty() { word.clone() } else { format!("{word}\t{what}") });
    }
    output::line(if files { ":0" } else { ":4" });
    ExitCode::SUCCESS
}
