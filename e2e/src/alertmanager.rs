//! The real Alertmanager as a process of the machine, and its API.

use std::fs;

use anyhow::ensure;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::machine::Running;
use crate::parts;
use crate::wait::until;

const PORT: u16 = 9093;

/// An Alertmanager that runs. Dropping it kills it.
pub struct Alertmanager {
    url: String,
    _running: Running,
}

impl Alertmanager {
    /// Starts one with that configuration and an empty memory, and waits until it is ready.
    pub async fn start(cluster: &Cluster, config: &str) -> anyhow::Result<Self> {
        let part = parts::ensure(&parts::ALERTMANAGER).await?;
        let state = cluster.machine.folder().join("alertmanager");
        if state.exists() {
            fs::remove_dir_all(&state)?;
        }
        fs::create_dir_all(&state)?;
        let file = state.join("alertmanager.yaml");
        fs::write(&file, config)?;
        let address = format!("{}:{PORT}", cluster.machine.network().node());
        let mut command = cluster.machine.command(part.program("alertmanager"))?;
        command.args([
            format!("--config.file={}", file.display()),
            format!("--storage.path={}", state.join("data").display()),
            format!("--web.listen-address={address}"),
            // Alone: it has no peers to talk to.
            "--cluster.listen-address=".to_owned(),
        ]);
        let mut running = cluster.machine.start("alertmanager", command)?.bound();
        let url = format!("http://{address}");
        let ready = format!("{url}/-/ready");
        until("Alertmanager is ready", || {
            let ended = running.must_run();
            let ready = &ready;
            async move {
                if let Err(error) = ended {
                    return Ok(Some(Err(error)));
                }
                reqwest::get(ready).await?.error_for_status()?;
                Ok(Some(Ok(())))
            }
        })
        .await??;
        Ok(Self { url, _running: running })
    }

    /// Hands it alerts, as Prometheus does.
    pub async fn fire(&self, alerts: &Value) -> anyhow::Result<()> {
        let url = format!("{}/api/v2/alerts", self.url);
        let answer = reqwest::Client::new().post(url).json(alerts).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "Alertmanager answered {status}: {}", answer.text().await?);
        Ok(())
    }
}
