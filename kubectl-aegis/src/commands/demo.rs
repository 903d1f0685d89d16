//! pending
use clap::Args;
#[derive(Args)]
pub(crate) struct Demo {}
impl Demo {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        Ok(())
    }
}
