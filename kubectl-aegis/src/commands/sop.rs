//! `kubectl aegis sop`: the library of procedures.

use clap::Subcommand;

use crate::cluster::ClusterArgs;
use crate::sop::{install, run, show};

/// Tested procedures for what people on call do by hand: look at them, install them, ask for one
#[derive(Subcommand)]
pub(crate) enum Sop {
    List(show::List),
    Show(show::Show),
    Install(install::Install),
    Run(run::Run),
}

impl Sop {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(&cluster.namespace),
            Self::Install(install) => install.run(cluster).await,
            Self::Run(run) => run.run(cluster).await,
        }
    }
}
