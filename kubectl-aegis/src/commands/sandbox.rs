//! pending
use clap::Args;
#[derive(Args)]
pub(crate) struct Sandbox {}
impl Sandbox {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        Ok(())
    }
}
