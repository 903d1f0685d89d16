//! Procedures of the library that enter the node, each once: what they would call there stands in their way as programs
//! that record the call.
//!
//! A privileged pod comes to the machine's own first process, and so into its mounts, in which a folder with the stand-ins
//! lies over the one that is searched first. That it is these mounts, and not the real machine's, and that the stand-ins
//! are found in them, is shown before any procedure runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::{ask_in, begin, refused_in};
use crate::aegis::Aegis;
use crate::cluster::{Cluster, SecondNode};
use crate::scenarios::Scenario;
use crate::wait::until;

pub(in crate::scenarios) const SCENARIO: Scenario = Scenario {
    name: "sops-on-the-node",
    about: "each procedure that enters a node does there what it says, against stand-ins that record the call",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "sops-on-the-node";
/// Where whatever enters the machine's mounts looks for programs first.
const BIN: &str = "/usr/local/sbin";
/// What would change the real machine, or tell of it.
const PROGRAMS: [&str; 5] = ["systemctl", "shutdown", "nvidia-smi", "dmesg", "journalctl"];
const STAND_IN: &str = r#"#!/bin/sh
called="${0##*/} $*"
echo "$called" >> /usr/local/sbin/calls
case $called in
"systemctl is-active "*) echo active ;;
*--query-compute-apps*) cat /usr/local/sbin/busy ;;
"dmesg "* | "journalctl "*) echo "a stand-in for $called" ;;
esac
"#;

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let (aegis, controller) = begin(cluster, NAMESPACE).await?;
    let stand_ins = StandIns::put(cluster).await?;
    let shown = show(&aegis, &stand_ins).await;
    stand_ins.take_away().await?;
    shown?;
    aegis.uninstall(controller).await
}

async fn show(aegis: &Aegis<'_>, stand_ins: &StandIns<'_>) -> anyhow::Result<()> {
    stand_ins.are_what_is_found().await?;
    let names = ["restart-kubelet", "restart-runtime", "reset-gpu", "drop-caches", "collect-diagnostics", "reboot"];
    aegis.admin()?.aegis(&[&["sop", "install"][..], &names].concat()).await?;
    restarts(stand_ins).await?;
    gpu(stand_ins).await.context("reset-gpu")?;
    caches(stand_ins.cluster).await.context("drop-caches")?;
    diagnostics(aegis, stand_ins).await.context("collect-diagnostics")?;
    let mut second = SecondNode::start(stand_ins.cluster).await?;
    let shown = reboot(stand_ins, &mut second).await.context("reboot");
    second.stop(stand_ins.cluster).await?;
    shown
}

async fn restarts(stand_ins: &StandIns<'_>) -> anyhow::Result<()> {
    for (name, unit) in [("restart-kubelet", "kubelet"), ("restart-runtime", "containerd")] {
        stand_ins.forget()?;
        run_on(stand_ins.cluster, name, Cluster::NODE, &[]).await.context(name)?;
        stand_ins.were_called(&[&format!("systemctl restart {unit}"), &format!("systemctl is-active {unit}")])?;
    }
    Ok(())
}

async fn gpu(stand_ins: &StandIns<'_>) -> anyhow::Result<()> {
    stand_ins.forget()?;
    run_on(stand_ins.cluster, "reset-gpu", Cluster::NODE, &["--param", "gpu=3"]).await?;
    stand_ins.were_called(&["nvidia-smi --gpu-reset -i 3"])?;
    stand_ins.forget()?;
    fs::write(stand_ins.file("busy"), "GPU-1, 42, python\n")?;
    let reset = ["sop", "run", "reset-gpu", "--node", Cluster::NODE];
    let reason = "refused: processes use the GPU: GPU-1, 42, python";
    refused_in(stand_ins.cluster, NAMESPACE, &reset, reason).await?;
    let calls = stand_ins.calls()?;
    ensure!(!calls.contains("--gpu-reset"), "it was reset all the same: {calls}");
    Ok(())
}

async fn caches(cluster: &Cluster) -> anyhow::Result<()> {
    const SETTING: &str = "vm/drop_caches";
    cluster.set_kernel_setting(Cluster::NODE, SETTING, "0")?;
    run_on(cluster, "drop-caches", Cluster::NODE, &["--param", "level=2"]).await?;
    let written = cluster.kernel_setting(Cluster::NODE, SETTING)?;
    ensure!(written == "2", "{SETTING} reads {written}");
    Ok(())
}

async fn diagnostics(aegis: &Aegis<'_>, stand_ins: &StandIns<'_>) -> anyhow::Result<()> {
    stand_ins.forget()?;
    run_on(stand_ins.cluster, "collect-diagnostics", Cluster::NODE, &["--param", "lines=7"]).await?;
    stand_ins.were_called(&["journalctl --no-pager --lines=7 --unit=kubelet", "systemctl --failed --no-pager"])?;
    let label = "sop=collect-diagnostics";
    let alert = aegis.admin()?.kubectl(&["get", "aegisalert", "-l", label, "-o", "name"]).await?;
    let alert = alert.trim().rsplit('/').next().unwrap_or_default().to_owned();
    let log = aegis.admin()?.aegis(&["logs", &format!("alert/{alert}")]).await?;
    for part in ["[load]", "MemTotal", "a stand-in for journalctl", "a stand-in for dmesg", " kubelet\n"] {
        ensure!(log.contains(part), "{part:?} is not in the log that the plugin shows: {log}");
    }
    ensure!(!log.contains("- not to be had"), "something is left out of {log}");
    Ok(())
}

/// The step on the node asks for a restart, once; the node comes back as another boot of it, and is taken back in.
async fn reboot(stand_ins: &StandIns<'_>, second: &mut SecondNode) -> anyhow::Result<()> {
    let cluster = stand_ins.cluster;
    stand_ins.forget()?;
    let restarts = async {
        until("the restart was asked for, and its step has ended", || async {
            stand_ins.were_called(&["shutdown -r +1"])?;
            let on_it = format!("--field-selector=spec.nodeName={},status.phase!=Succeeded", SecondNode::NAME);
            let left = cluster.kubectl(&["get", "pods", "-n", NAMESPACE, &on_it, "-o", "name"]).await?;
            ensure!(left.trim().is_empty(), "{left} has not ended");
            let cordoned = ["get", "node", SecondNode::NAME, "-o", "jsonpath={.spec.unschedulable}"];
            ensure!(cluster.kubectl(&cordoned).await? == "true", "it is not drained");
            Ok(Some(()))
        })
        .await?;
        second.restart(cluster).await
    };
    tokio::try_join!(run_on(cluster, "reboot", SecondNode::NAME, &[]), restarts)?;
    let calls = stand_ins.calls()?;
    ensure!(calls.matches("shutdown ").count() == 1, "it was asked for more than once: {calls}");
    let cordoned = ["get", "node", SecondNode::NAME, "-o", "jsonpath={.spec.unschedulable}"];
    ensure!(cluster.kubectl(&cordoned).await?.is_empty(), "the node is still cordoned");
    Ok(())
}

/// Asks for a procedure on a node and waits until it has succeeded.
async fn run_on(cluster: &Cluster, name: &str, node: &str, more: &[&str]) -> anyhow::Result<()> {
    ask_in(cluster, NAMESPACE, &[&["sop", "run", name, "--node", node][..], more].concat()).await
}

/// Programs in the place of others, in the machine's mounts alone.
struct StandIns<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
}

impl<'a> StandIns<'a> {
    async fn put(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let folder = cluster.machine.folder().join("stand-ins");
        let stand_ins = Self { cluster, folder };
        // One that was interrupted may have left them.
        while cluster.machine.run("umount", [BIN]).await.is_ok() {}
        fs::create_dir_all(&stand_ins.folder)?;
        for name in PROGRAMS {
            fs::write(stand_ins.file(name), STAND_IN)?;
            fs::set_permissions(stand_ins.file(name), fs::Permissions::from_mode(0o755))?;
        }
        fs::write(stand_ins.file("busy"), "")?;
        stand_ins.forget()?;
        cluster.machine.run("mount", ["--bind".as_ref(), stand_ins.folder.as_os_str(), BIN.as_ref()]).await?;
        Ok(stand_ins)
    }

    async fn take_away(self) -> anyhow::Result<()> {
        self.cluster.machine.run("umount", [BIN]).await.map(drop)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A pod that enters the node as the procedures do comes to the machine's mounts, not to the real machine's, and finds
    /// the stand-ins in them.
    async fn are_what_is_found(&self) -> anyhow::Result<()> {
        let script = format!(
            "readlink /node/proc/1/ns/mnt; for name in {}; do nsenter --mount=/node/proc/1/ns/mnt -- /usr/bin/env which $name; done",
            PROGRAMS.join(" ")
        );
        let container = json!({
            "name": "main", "image": "aegis-sop:0.1.0", "command": ["sh", "-euc", script],
            "securityContext": {"privileged": true, "runAsUser": 0},
            "volumeMounts": [{"name": "node-proc", "mountPath": "/node/proc", "readOnly": true}],
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "where"},
            "spec": {
                "restartPolicy": "Never", "nodeName": Cluster::NODE, "containers": [container],
                "volumes": [{"name": "node-proc", "hostPath": {"path": "/proc", "type": "Directory"}}],
            },
        });
        self.cluster.apply(NAMESPACE, &pod.to_string()).await?;
        let ended = ["wait", "pod/where", "-n", NAMESPACE, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s"];
        self.cluster.kubectl(&ended).await?;
        let found = self.cluster.kubectl(&["logs", "where", "-n", NAMESPACE]).await?;
        let mut found = found.lines();
        let own = self.cluster.machine.run("readlink", ["/proc/1/ns/mnt"]).await?;
        let real = fs::read_link("/proc/self/ns/mnt")?.display().to_string();
        ensure!(own.trim() != real, "the machine has the real machine's mounts");
        let mounts = found.next().unwrap_or_default();
        ensure!(mounts == own.trim(), "a pod comes to the mounts {mounts}, and the machine's are {own}");
        let found: Vec<&str> = found.collect();
        let want = PROGRAMS.map(|name| format!("{BIN}/{name}"));
        ensure!(found == want, "it would call {found:?}, not {want:?}");
        let real = fs::read_to_string("/proc/self/mountinfo")?;
        let folder = self.folder.display().to_string();
        ensure!(!real.contains(&folder), "the stand-ins are in the real machine's way");
        Ok(())
    }

    fn calls(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.file("calls"))?)
    }

    fn forget(&self) -> anyhow::Result<()> {
        Ok(fs::write(self.file("calls"), "")?)
    }

    /// Each of these begins a line of what was called.
    fn were_called(&self, wanted: &[&str]) -> anyhow::Result<()> {
        let calls = self.calls()?;
        for call in wanted {
            ensure!(calls.lines().any(|line| line.starts_with(call)), "{call:?} was not called, but {calls:?}");
        }
        Ok(())
    }
}
