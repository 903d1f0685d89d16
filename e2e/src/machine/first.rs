//! The first process of the machine: it puts the layers in place, says so, and from then on collects the dead.

use std::ffi::CString;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// What it writes to stdout once everything stands.
pub(super) const READY: &str = "ready";

/// Folders of the real machine over which a layer takes the writes. /run starts empty instead.
pub(super) const LAYERED: [&str; 5] = ["/etc", "/opt", "/run", "/var/lib", "/var/log"];

/// The folder, in the machine's own, with the files that cover settings of the kernel, a '.' for each '/'.
pub const KERNEL: &str = "kernel";

/// Settings of the kernel that belong to the real machine. A kubelet insists on some of them, procedures write others:
/// each is covered by a file, so that writing it changes nothing, and leaves a trace.
const SETTINGS: [(&str, &str); 8] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("vm/drop_caches", "0"),
    ("vm/compact_memory", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Lives as the first process of the machine whose state is in that folder. Only a kill ends it.
pub async fn live(folder: &Path) -> anyhow::Result<()> {
    let mut ended = signal(SignalKind::child())?;
    set_up(folder)?;
    println!("{READY}");
    loop {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        ended.recv().await;
    }
}

fn set_up(folder: &Path) -> anyhow::Result<()> {
    fs::write("/proc/sys/kernel/hostname", super::NAME).context("could not name the machine")?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("could not allow forwarding")?;
    for target in LAYERED.iter().filter(|target| **target != "/run" && Path::new(target).is_dir()) {
        layer(folder, target).with_context(|| format!("could not put a layer over {target}"))?;
    }
    mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).context("could not empty /run")?;
    for (setting, value) in SETTINGS {
        let target = Path::new("/proc/sys").join(setting);
        if target.exists() {
            let file = folder.join(KERNEL).join(setting.replace('/', "."));
            cover(&file, value, &target).with_context(|| format!("could not cover {}", target.display()))?;
        }
    }
    Ok(())
}

fn layer(folder: &Path, target: &str) -> anyhow::Result<()> {
    let layer = folder.join("layers").join(target.trim_start_matches('/').replace('/', "-"));
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let options = format!("lowerdir={target},upperdir={},workdir={}", upper.display(), work.display());
    mount("overlay", target, "overlay", MountFlags::empty(), CString::new(options)?.as_c_str())?;
    Ok(())
}

fn cover(file: &Path, value: &str, target: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    fs::write(file, format!("{value}\n"))?;
    mount_bind(file, target)?;
    Ok(())
}
