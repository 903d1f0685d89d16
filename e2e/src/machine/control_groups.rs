//! The machine's control groups: in each hierarchy one group, below which the kubelet makes all others, so that one group
//! is all that must be removed in the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::wait::until;

const ROOT: &str = "/sys/fs/cgroup";

/// Makes the group in each hierarchy. What is above it is there already.
pub(super) fn make(name: &str) -> anyhow::Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name);
        let above = group.parent().unwrap_or(&hierarchy);
        let made = || -> io::Result<()> {
            delegate(above);
            fs::create_dir_all(&group)?;
            // In the first version of control groups these two are empty in a new group, and without them it takes nobody.
            for setting in ["cpuset.cpus", "cpuset.mems"] {
                let own = group.join(setting);
                if fs::read_to_string(&own).is_ok_and(|value| value.trim().is_empty()) && !unified(&hierarchy) {
                    fs::write(own, fs::read(above.join(setting))?)?;
                }
            }
            Ok(())
        };
        made().with_context(|| format!("could not make the control group {}", group.display()))?;
    }
    Ok(())
}

/// Removes the group from each hierarchy, once the last process has left it.
pub(super) async fn remove(name: &str) -> anyhow::Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name);
        // A process that has just ended is counted for a moment more.
        until("the control group is empty", || async { Ok(Some(remove_group(&group)?)) })
            .await
            .with_context(|| format!("could not remove the control group {}", group.display()))?;
    }
    Ok(())
}

/// Where hierarchies are mounted: one of the second version, or one for each controller.
fn hierarchies() -> anyhow::Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if unified(root) {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root).context("there are no control groups")? {
        let entry = entry?;
        // Links are second names of hierarchies.
        if entry.file_type()?.is_dir() && entry.path().join("cgroup.procs").exists() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn unified(hierarchy: &Path) -> bool {
    hierarchy.join("cgroup.controllers").exists()
}

/// Lets groups below the root use its controllers, in the second version. What is refused stays as it is.
fn delegate(hierarchy: &Path) {
    let controllers = fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(hierarchy.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

fn remove_group(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_group(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
