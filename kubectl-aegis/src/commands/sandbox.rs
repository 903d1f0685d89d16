//! `kubectl aegis sandbox`: a cluster in memory, with Aegis in it, until it is interrupted.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::local::{self, Local};
use crate::output;

/// Keep a cluster in memory running, with Aegis in it, to try things on
///
/// An API server in memory, simulated nodes, a workflow runner that stands in for Argo, and the real controller. It
/// prints how to point kubectl at it and runs until it is interrupted; then everything is gone. It is for trying things
/// out and for tests, not for anything that has to last.
#[derive(Args)]
#[command(after_help = "Example:
  kubectl aegis sandbox --exec
  # in another terminal, as it prints
  export KUBECONFIG=...
  export AEGIS_URL=http://...
  kubectl apply -n monitoring -f examples/quickstart/rule.yaml
  kubectl aegis alert send -f examples/quickstart/alert.json")]
pub(crate) struct Sandbox {
    /// A node of the cluster; repeat it for more
    #[arg(long = "node", value_name = "NAME", default_values_t = ["dev1".to_owned(), "dev2".to_owned()])]
    nodes: Vec<String>,
    /// Run the scripts of unprivileged containers, with an empty environment and a PATH of stand-ins. Without it a
    /// container's rendered script is its log and it succeeds
    #[arg(long)]
    exec: bool,
    /// Where to write the kubeconfig; by default a file in the folder for temporary files
    #[arg(long, value_name = "FILE")]
    write_kubeconfig: Option<PathBuf>,
}

impl Sandbox {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let options = local::Options { nodes: self.nodes, execute: self.exec };
        let local = Local::start(options).await?;
        let folder = tempfile::Builder::new().prefix("aegis-sandbox-").tempdir()?;
        let file = self.write_kubeconfig.unwrap_or_else(|| folder.path().join("kubeconfig"));
        std::fs::write(&file, local.kubeconfig()).with_context(|| format!("could not write {}", file.display()))?;
        output::line(&format!("export KUBECONFIG={}", file.display()));
        output::line(&format!("export AEGIS_URL={}", local.webhook_url()));
        eprintln!("The sandbox runs until you press Ctrl-C. In another terminal, paste the lines above and try:");
        eprintln!("  kubectl get nodes");
        eprintln!("  kubectl apply -n monitoring -f examples/quickstart/rule.yaml");
        eprintln!("  kubectl aegis alert send -f examples/quickstart/alert.json");
        eprintln!("  kubectl get aegisalert -n monitoring --watch");
        local::interrupted().await;
        local.stop().await;
        Ok(())
    }
}
