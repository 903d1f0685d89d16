//! The plugin's list of alerts beside kubectl's own: the same alerts, asked for by the same user of the same API server.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aegis_crds::AegisAlert;
use anyhow::{Context as _, ensure};
use futures::{TryStreamExt as _, stream};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::process::Command;

use crate::aegis::plugin;
use crate::audit;
use crate::cluster::Cluster;
use crate::wait::until;

/// Who asks, and nothing else: what the API server records of that name is one list.
const ACCOUNT: &str = "reader";

/// Alerts that are stored, and somebody who may look at them.
pub struct Lists<'a> {
    cluster: &'a Cluster,
    namespace: String,
    kubeconfig: PathBuf,
    /// Where kubectl keeps what it has learnt of the API server.
    home: PathBuf,
    path: String,
}

/// A list that was asked for.
#[derive(Debug)]
pub struct Listed {
    /// The names in it, in order.
    pub names: Vec<String>,
    /// From the start of kubectl to its end.
    pub took: Duration,
}

impl<'a> Lists<'a> {
    /// Stores that many alerts in the namespace, where Aegis is installed and no controller runs.
    pub async fn store(cluster: &'a Cluster, namespace: &str, alerts: usize) -> anyhow::Result<Self> {
        let api: Api<AegisAlert> = Api::namespaced(cluster.client.clone(), namespace);
        let stored = stream::iter((0..alerts).map(Ok)).try_for_each_concurrent(8, |nth| store(&api, nth));
        stored.await?;
        cluster.kubectl(&["create", "serviceaccount", ACCOUNT, "-n", namespace]).await?;
        let account = format!("--serviceaccount={namespace}:{ACCOUNT}");
        let role = ["create", "rolebinding", ACCOUNT, "--clusterrole=aegis-viewer", &account, "-n", namespace];
        cluster.kubectl(&role).await?;
        let name = format!("{namespace}-{ACCOUNT}");
        let kubeconfig = cluster.kubeconfig_of_account(&name, namespace, ACCOUNT, &cluster.server()).await?;
        let home = cluster.machine.folder().join("lists");
        if home.exists() {
            std::fs::remove_dir_all(&home)?;
        }
        std::fs::create_dir_all(&home)?;
        let plugin = plugin()?;
        let folder = plugin.parent().context("the plugin is in no folder")?.display();
        let path = format!("{folder}:/usr/bin:/bin");
        Ok(Self { cluster, namespace: namespace.to_owned(), kubeconfig, home, path })
    }

    /// `kubectl get aegisalerts`.
    pub async fn by_kubectl(&self) -> anyhow::Result<Listed> {
        self.list(&["get", "aegisalerts"]).await
    }

    /// `kubectl aegis get alerts`.
    pub async fn by_the_plugin(&self) -> anyhow::Result<Listed> {
        self.list(&["aegis", "get", "alerts"]).await
    }

    /// The plugin itself, with these words; and what it said.
    pub async fn of_the_plugin(&self, words: &[&str]) -> anyhow::Result<(Duration, String)> {
        self.run(Command::new(plugin()?), words).await
    }

    async fn list(&self, words: &[&str]) -> anyhow::Result<Listed> {
        let words = [words, &["-n", &self.namespace]].concat();
        let (took, table) = self.run(self.cluster.kubectl_command(), &words).await?;
        let first = |row: &str| row.split_whitespace().next().unwrap_or_default().to_owned();
        let mut names: Vec<String> = table.lines().skip(1).map(first).collect();
        names.sort_unstable();
        Ok(Listed { names, took })
    }

    /// Runs it as that somebody: from its start to its end, and what it said.
    async fn run(&self, mut command: Command, words: &[&str]) -> anyhow::Result<(Duration, String)> {
        command.args(words).env_clear().env("KUBECONFIG", &self.kubeconfig);
        command.env("HOME", &self.home).env("PATH", &self.path);
        let begun = Instant::now();
        let output = command.kill_on_drop(true).output().await?;
        let took = begun.elapsed();
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{words:?} failed: {}", told.trim());
        Ok((took, String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// How many requests the API server has answered this user since that moment, of which at least one must be there.
    pub async fn requests_since(&self, mark: audit::Mark) -> anyhow::Result<usize> {
        let user = format!("system:serviceaccount:{}:{ACCOUNT}", self.namespace);
        until("the API server has recorded the list", || async {
            let requests = audit::since(self.cluster, mark)?;
            let listed = |request: &audit::Request| request.is("list", "aegisalerts", &self.namespace);
            let own: Vec<&audit::Request> = requests.iter().filter(|request| request.user() == user).collect();
            Ok(own.iter().any(|request| listed(request)).then_some(own.len()))
        })
        .await
    }
}

/// Stores one as a controller leaves it.
async fn store(alerts: &Api<AegisAlert>, nth: usize) -> anyhow::Result<()> {
    let (name, node) = (format!("default-nodedown-{nth:013}"), format!("dev{nth}"));
    let alert = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"alert-type": "NodeDown", "alert-source-type": "default"}},
        "spec": {
            "type": "NodeDown", "status": "Firing", "source": "default", "severity": "critical",
            "involvedObject": {"kind": "Node", "name": node, "node": node},
            "detials": {"node": node, "description": "The kubelet has not reported for five minutes"},
        },
    }))?;
    alerts.create(&PostParams::default(), &alert).await?;
    let status = json!({"status": {
        "status": "Firing", "count": 1, "startTime": jiff::Timestamp::now(), "lastTime": jiff::Timestamp::now(),
        "opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": "Succeeded"},
    }});
    alerts.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}
