//! The contract that the sandbox is trusted for, held against the real API server.

use std::time::Duration;

use aegis_sandbox::contract;
use anyhow::ensure;
use futures::StreamExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::Scenario;
use crate::cluster::Cluster;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "contract",
    about: "every case of the sandbox's contract suite passes against the real API server",
    smoke: true,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

/// How many cases run at the same time.
const AT_ONCE: usize = 4;
/// The longest that a case may take.
const PATIENCE: Duration = Duration::from_secs(120);

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // A case is about each answer.
    config.default_retry = false;
    let client = kube::Client::try_from(config)?;
    let checks: Vec<_> = contract::cases().iter().map(|case| check(case.name, client.clone())).collect();
    let outcomes: Vec<Option<String>> = futures::stream::iter(checks).buffer_unordered(AT_ONCE).collect().await;
    let failures: Vec<String> = outcomes.into_iter().flatten().collect();
    let (failed, all) = (failures.len(), contract::cases().len());
    ensure!(failures.is_empty(), "{failed} of {all} cases failed:\n  {}", failures.join("\n  "));
    Ok(())
}

/// What went wrong, if anything.
async fn check(name: &'static str, client: kube::Client) -> Option<String> {
    match tokio::time::timeout(PATIENCE, contract::run(name, client)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{name}: {error:#}")),
        Err(_) => Some(format!("{name}: it did not end")),
    }
}
