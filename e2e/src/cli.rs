//! The commands.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cluster::Cluster;
use crate::machine::{self, Machine};
use crate::run::{self, Plan};
use crate::{bench, needs, parts, scenarios};

/// Starts a real single-node cluster, built from source, and runs the end-to-end scenarios on it
#[derive(Parser)]
#[command(name = "aegis-e2e", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the parts of the cluster; what this machine has built already is left alone
    Build {
        /// The parts to build; all if none is named
        names: Vec<String>,
    },
    /// Start a cluster, building its parts first where needed, and leave it running
    Up(State),
    /// End the cluster and remove every trace of it
    Down(State),
    /// Run scenarios, on the cluster that runs already or on one that is started and ended for them
    Run {
        /// The scenarios to run, as `list` names them; all if none is named
        names: Vec<String>,
        /// Only the few that always run
        #[arg(long)]
        smoke: bool,
        /// Leave the cluster running afterwards
        #[arg(long)]
        keep: bool,
        /// Write a page with the results
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
        #[command(flatten)]
        state: State,
    },
    /// Measure what the loop costs, on the cluster that runs already or on one that is started and ended for it
    Bench {
        /// The parts to measure: idle, failover, load, many, argo, lists; all if none is named
        parts: Vec<String>,
        /// Write the figures as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Leave the cluster running afterwards
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        state: State,
    },
    /// List the scenarios
    List,
    /// The first process of a machine; started by `up`
    #[command(hide = true)]
    Machine(State),
}

#[derive(Args)]
struct State {
    /// The folder with the state of the cluster, of which there may be several side by side
    #[arg(long = "dir", env = "AEGIS_E2E_DIR", value_name = "FOLDER", default_value = "/var/tmp/aegis-e2e")]
    folder: PathBuf,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // One provider for all that speaks TLS here; a second call in the same process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build { names } => build(&names).await,
        Command::Up(State { folder }) => up(&folder).await,
        Command::Down(State { folder }) => down(&folder).await,
        Command::Run { names, smoke, keep, report, state } => {
            run(&state.folder, &Plan { names, smoke, keep, report }).await
        }
        Command::Bench { parts, json, keep, state } => {
            prepare(&state.folder).await?;
            bench::run(&state.folder, &bench::Plan { only: parts, json, keep }).await
        }
        Command::List => list(),
        Command::Machine(State { folder }) => machine::live(&folder).await,
    }
}

async fn up(folder: &Path) -> anyhow::Result<()> {
    if let Some(cluster) = Cluster::open(folder).await? {
        eprintln!("a cluster runs already; `aegis-e2e down` ends it");
        return tell(&cluster);
    }
    needs::to_run()?;
    clear(folder).await?;
    tell(&Cluster::start(folder).await?)
}

async fn run(folder: &Path, plan: &Plan) -> anyhow::Result<()> {
    prepare(folder).await?;
    run::run(folder, plan).await
}

/// Makes way for a cluster, unless one runs.
async fn prepare(folder: &Path) -> anyhow::Result<()> {
    if Cluster::open(folder).await?.is_none() {
        needs::to_run()?;
        clear(folder).await?;
    }
    Ok(())
}

fn list() -> anyhow::Result<()> {
    for scenario in &scenarios::ALL {
        let mark = if scenario.smoke { "smoke" } else { "" };
        println!("{:<20} {mark:<6} {}", scenario.name, scenario.about);
    }
    Ok(())
}

/// How to reach it, in a form that a shell can evaluate.
fn tell(cluster: &Cluster) -> anyhow::Result<()> {
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    Ok(())
}

async fn down(folder: &Path) -> anyhow::Result<()> {
    if !clear(folder).await? {
        eprintln!("no cluster has its state in {}", folder.display());
    }
    Ok(())
}

/// Ends what is there, alive or dead, complete or not. Tells whether there was anything.
async fn clear(folder: &Path) -> anyhow::Result<bool> {
    match Machine::open(folder)? {
        Some(machine) => machine.destroy().await.map(|()| true),
        None => Ok(false),
    }
}

async fn build(names: &[String]) -> anyhow::Result<()> {
    needs::to_build()?;
    for name in names {
        if !parts::ALL.iter().any(|recipe| recipe.name == name) {
            let known: Vec<&str> = parts::ALL.iter().map(|recipe| recipe.name).collect();
            anyhow::bail!("no part is called {name:?}; there are {}", known.join(", "));
        }
    }
    for recipe in parts::ALL {
        if names.is_empty() || names.iter().any(|name| name == recipe.name) {
            parts::ensure(recipe).await?;
        }
    }
    Ok(())
}
