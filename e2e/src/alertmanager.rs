//! The real Alertmanager as a process of the machine, alone or as one of several peers, and its API.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::machine::Running;
use crate::metrics::Metrics;
use crate::parts;
use crate::wait::until_equal;

/// Where the first one listens; each peer has the next port.
const PORT: u16 = 9093;
/// Where the first peer listens for the others.
const PEER_PORT: u16 = 9193;

/// An Alertmanager that runs. Dropping it kills it.
pub struct Alertmanager {
    url: String,
    config: PathBuf,
    log: PathBuf,
    /// Where its log begins: others of its name wrote there before.
    log_start: usize,
    _running: Running,
}

impl Alertmanager {
    /// Starts one with that configuration and an empty memory, and waits until it is ready.
    pub async fn start(cluster: &Cluster, config: &str) -> anyhow::Result<Self> {
        Self::start_with(cluster, config, &[]).await
    }

    /// As [`Alertmanager::start`], with further flags.
    pub async fn start_with(cluster: &Cluster, config: &str, flags: &[&str]) -> anyhow::Result<Self> {
        let mut all = vec!["--cluster.listen-address=".to_owned()];
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Self::launch(cluster, "alertmanager", PORT, config, &all).await
    }

    /// Starts several that know each other, one for each configuration, and waits until each is ready to notify.
    pub async fn peers(cluster: &Cluster, configs: &[String], flags: &[&str]) -> anyhow::Result<Vec<Self>> {
        let node = cluster.machine.network().node();
        let mut peers = Vec::new();
        for ((config, nth), port) in configs.iter().zip(0_u16..).zip(PORT..) {
            let mut all = vec![format!("--cluster.listen-address={node}:{}", PEER_PORT + nth)];
            all.extend((0..nth).map(|before| format!("--cluster.peer={node}:{}", PEER_PORT + before)));
            all.extend(flags.iter().map(|flag| (*flag).to_owned()));
            peers.push(Self::launch(cluster, &format!("alertmanager-{nth}"), port, config, &all).await?);
        }
        for peer in &peers {
            until_equal("the peers know each other", ("ready".to_owned(), configs.len()), || async {
                let status = peer.get("status").await?;
                let state = status.pointer("/cluster/status").and_then(Value::as_str).unwrap_or_default().to_owned();
                Ok((state, status.pointer("/cluster/peers").and_then(Value::as_array).map_or(0, Vec::len)))
            })
            .await?;
        }
        Ok(peers)
    }

    async fn launch(cluster: &Cluster, name: &str, port: u16, config: &str, flags: &[String]) -> anyhow::Result<Self> {
        let part = parts::ensure(&parts::ALERTMANAGER).await?;
        let state = cluster.machine.folder().join(name);
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        fs::create_dir_all(&state)?;
        let file = state.join("alertmanager.yaml");
        fs::write(&file, config)?;
        let log = cluster.machine.log(name);
        let log_start = fs::read_to_string(&log).map_or(0, |text| text.len());
        let address = format!("{}:{port}", cluster.machine.network().node());
        let mut command = cluster.machine.command(part.program("alertmanager"))?;
        command.args([
            format!("--config.file={}", file.display()),
            format!("--storage.path={}", state.join("data").display()),
            format!("--web.listen-address={address}"),
        ]);
        command.args(flags);
        let mut running = cluster.machine.start(name, command)?.bound();
        let url = format!("http://{address}");
        running.until_answers(&format!("{url}/-/ready")).await?;
        Ok(Self { url, config: file, log, log_start, _running: running })
    }

    /// Hands it alerts, as Prometheus does.
    pub async fn fire(&self, alerts: &Value) -> anyhow::Result<()> {
        let url = format!("{}/api/v2/alerts", self.url);
        let answer = reqwest::Client::new().post(url).json(alerts).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "Alertmanager answered {status}: {}", answer.text().await?);
        Ok(())
    }

    /// Gives it another configuration. What it remembers stays; its counts begin anew.
    pub async fn configure(&self, config: &str) -> anyhow::Result<()> {
        fs::write(&self.config, config)?;
        let answer = reqwest::Client::new().post(format!("{}/-/reload", self.url)).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "Alertmanager did not take the configuration: {}", answer.text().await?);
        Ok(())
    }

    /// What it counts.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::read(&format!("{}/metrics", self.url)).await
    }

    /// What it has written to its log.
    pub fn log(&self) -> anyhow::Result<String> {
        let text = fs::read_to_string(&self.log)?;
        Ok(text.get(self.log_start..).context("the log has become shorter")?.to_owned())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = reqwest::get(format!("{}/api/v2/{path}", self.url)).await?.error_for_status()?;
        Ok(answer.json().await?)
    }
}
