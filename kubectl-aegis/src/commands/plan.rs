//! pending
use clap::Args;
#[derive(Args)]
pub(crate) struct Plan {}
impl Plan {
    pub(crate) async fn run(self, _cluster: &crate::cluster::ClusterArgs) -> anyhow::Result<()> {
        Ok(())
    }
}
