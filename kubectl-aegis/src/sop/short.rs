//! `kubectl aegis cordon` and `uncordon`: short for the two procedures that people ask for most.

use std::collections::BTreeMap;

use clap::Args;
use jiff::SignedDuration;

use super::run::{Asking, Lasting, Target, ask};
use crate::cluster::ClusterArgs;
use crate::failure::{Failure, Kind};

/// Keep new pods away from a node, through Aegis
///
/// Short for `kubectl aegis sop run cordon --node NAME`. Unlike `kubectl cordon` it is written down who asked for it and
/// why, the guard counts it, and `kubectl aegis undo node/NAME` puts it back.
///
/// With --for it ends by itself, counted from when the node was cordoned: Aegis lifts it then, as far as nobody has set it
/// anew and nothing works on the node. A cordon of Aegis that stands already never ends earlier for it.
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl aegis cordon node/dev1 --reason 'fan 3 is loud'

  # For two hours; `kubectl aegis get nodes -o wide` shows until when
  kubectl aegis cordon node/dev1 --reason 'memory test' --for 2h")]
pub(crate) struct Cordon {
    #[command(flatten)]
    lasting: Lasting,
    #[command(flatten)]
    words: Words,
}

/// Let pods come to a node again, through Aegis
///
/// Short for `kubectl aegis sop run uncordon --node NAME`. A cordon that somebody set without Aegis is left to them.
#[derive(Args)]
#[command(after_help = "Example:
  kubectl aegis uncordon node/dev1 --reason 'the fan is new'")]
pub(crate) struct Uncordon {
    #[command(flatten)]
    words: Words,
}

#[derive(Args)]
struct Words {
    /// The node
    #[arg(value_name = "node/NAME")]
    node: String,
    #[command(flatten)]
    asking: Asking,
}

impl Cordon {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        self.words.ask(cluster, "cordon", self.lasting.length()).await
    }
}

impl Uncordon {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        self.words.ask(cluster, "uncordon", None).await
    }
}

impl Words {
    async fn ask(self, cluster: &ClusterArgs, sop: &str, cordon_for: Option<SignedDuration>) -> anyhow::Result<()> {
        let node = match self.node.split_once('/') {
            Some(("node" | "nodes" | "no", name)) => name,
            None => self.node.as_str(),
            Some((other, _)) => {
                let what = format!("{}: found {other:?}, expected node/NAME", self.node);
                return Err(Failure::new(Kind::Usage, what).into());
            }
        };
        ask(cluster, sop, Target::Node(node.to_owned()), BTreeMap::new(), cordon_for, self.asking).await
    }
}
