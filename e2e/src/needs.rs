//! What a machine must have before anything starts, told in one list with the remedies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, ensure};

/// Go's oldest version that builds every part.
const GO: (u32, u32) = (1, 25);

/// Something that the machine lacks.
#[derive(Debug)]
struct Lack {
    what: String,
    remedy: Remedy,
}

#[derive(Debug)]
enum Remedy {
    /// A Debian package.
    Package(&'static str),
    /// Anything else, in words.
    Words(&'static str),
}

/// Programs by the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 12] = [
    ("curl", "curl"),
    ("git", "git"),
    ("strip", "binutils"),
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
];

/// Network plugins that the pods' network uses.
const PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];

/// What is tried in namespaces of its own, each a shell command, with the kernel's word for what it needs.
const TRIALS: [(&str, &str); 6] = [
    ("true", "namespaces for mounts, processes, names and networks"),
    ("ip link add name t0 type veth peer name t1", "veth pairs (CONFIG_VETH)"),
    ("ip link add name t0 type bridge", "bridges (CONFIG_BRIDGE)"),
    (
        "iptables -t nat -A OUTPUT -p tcp -m comment --comment a -j REDIRECT --to-ports 1",
        "address translation by iptables",
    ),
    ("iptables -t nat -A OUTPUT -m statistic --mode random --probability 0.5 -j RETURN", "iptables' statistic match"),
    ("iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP", "connection tracking"),
];

/// Fails, with everything that is missing, unless the parts can be built here.
pub fn to_build() -> anyhow::Result<()> {
    tell(go().into_iter().collect())
}

/// Fails, with everything that is missing, unless the parts can be built and the cluster can run here.
pub fn to_run() -> anyhow::Result<()> {
    let mut lacks: Vec<Lack> = go().into_iter().collect();
    if !rustix::process::geteuid().is_root() {
        lacks.push(Lack {
            what: "root: containers, namespaces and a kubelet need it".into(),
            remedy: Remedy::Words("run it as root, in a virtual machine if you like"),
        });
    }
    for (program, package) in PROGRAMS {
        if find(program).is_none() {
            lacks.push(Lack { what: format!("the program {program}"), remedy: Remedy::Package(package) });
        }
    }
    if plugins().is_err() {
        lacks.push(Lack {
            what: format!("the network plugins {}", PLUGINS.join(", ")),
            remedy: Remedy::Package("containernetworking-plugins"),
        });
    }
    if busybox().is_err() {
        lacks.push(Lack { what: "a static busybox for the images".into(), remedy: Remedy::Package("busybox-static") });
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.ends_with("\toverlay")) {
        lacks.push(Lack {
            what: "the kernel's overlay file system".into(),
            remedy: Remedy::Words("modprobe overlay, or a kernel with CONFIG_OVERLAY_FS"),
        });
    }
    if lacks.is_empty() {
        lacks.extend(trials());
    }
    tell(lacks)
}

/// The folder with the network plugins.
pub fn plugins() -> anyhow::Result<PathBuf> {
    let folders = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
    match folders.iter().map(Path::new).find(|folder| PLUGINS.iter().all(|plugin| folder.join(plugin).is_file())) {
        Some(folder) => Ok(folder.to_owned()),
        None => bail!("none of {} holds {}", folders.join(", "), PLUGINS.join(", ")),
    }
}

/// A busybox that needs no libraries, so that it runs in an image of its own.
pub fn busybox() -> anyhow::Result<PathBuf> {
    let Some(path) = find("busybox") else { bail!("there is no busybox on the PATH") };
    let output = Command::new("ldd").arg(&path).stdin(Stdio::null()).output();
    let linked = output.is_ok_and(|output| output.status.success() && !output.stdout.starts_with(b"\tstatically"));
    ensure!(!linked, "{} needs shared libraries", path.display());
    Ok(path)
}

/// A program on the PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn go() -> Option<Lack> {
    let words = format!("go {}.{} or newer", GO.0, GO.1);
    let remedy = Remedy::Words("https://go.dev/dl; distributions often carry an older one");
    let output = Command::new("go").args(["env", "GOVERSION"]).stdin(Stdio::null()).output();
    match output {
        Err(_) => Some(Lack { what: words, remedy }),
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            match go_version(&told) {
                Some(version) if version >= GO => None,
                _ => Some(Lack { what: format!("{words} (found: {told})"), remedy }),
            }
        }
    }
}

/// Major and minor of a word like "go1.26.8".
fn go_version(word: &str) -> Option<(u32, u32)> {
    let mut numbers = word.strip_prefix("go")?.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Tries the kernel's features where it does no harm: in namespaces that end with the command.
fn trials() -> Vec<Lack> {
    let mut lacks = Vec::new();
    for (command, feature) in TRIALS {
        let output = Command::new("unshare")
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "sh", "-c", command])
            .stdin(Stdio::null())
            .output();
        let why = match output {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        lacks.push(Lack {
            what: format!("of the kernel: {feature}; `{command}` says: {why}"),
            remedy: Remedy::Words("another kernel, or a container with more rights: a virtual machine is simplest"),
        });
    }
    lacks
}

fn tell(lacks: Vec<Lack>) -> anyhow::Result<()> {
    if lacks.is_empty() {
        return Ok(());
    }
    bail!("{}", message(&lacks));
}

fn message(lacks: &[Lack]) -> String {
    let mut text = "this machine lacks:".to_owned();
    let mut packages = BTreeSet::new();
    for Lack { what, remedy } in lacks {
        text.push_str(&format!("\n  - {what}"));
        match remedy {
            Remedy::Package(package) => {
                packages.insert(*package);
            }
            Remedy::Words(words) => text.push_str(&format!("\n    remedy: {words}")),
        }
    }
    if !packages.is_empty() {
        let packages: Vec<&str> = packages.into_iter().collect();
        text.push_str(&format!("\non Debian: apt-get install --no-install-recommends {}", packages.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_told_at_once_with_one_line_to_install_it() {
        let lacks = [
            Lack { what: "root".into(), remedy: Remedy::Words("become root") },
            Lack { what: "the program runc".into(), remedy: Remedy::Package("runc") },
            Lack { what: "the program ctr".into(), remedy: Remedy::Package("containerd") },
            Lack { what: "the program containerd".into(), remedy: Remedy::Package("containerd") },
        ];
        let want = "this machine lacks:\n  - root\n    remedy: become root\n  - the program runc\n  - the program ctr\n  \
                    - the program containerd\non Debian: apt-get install --no-install-recommends containerd runc";
        assert_eq!(message(&lacks), want);
    }

    #[test]
    fn versions_of_go_are_read() {
        let cases = [
            ("go1.26.8", Some((1, 26))),
            ("go1.25rc1", Some((1, 25))),
            ("go1.9", Some((1, 9))),
            ("devel", None),
            ("", None),
        ];
        for (word, want) in cases {
            assert_eq!(go_version(word), want, "{word}");
        }
        assert!((1, 9) < GO && (1, 26) >= GO, "numbers are compared, not text");
    }
}
