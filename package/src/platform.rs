//! The platforms that the plugin is built for, in the words of Rust, and of Go and krew.

use anyhow::Context as _;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Platform {
    /// As Rust calls it.
    pub target: &'static str,
    /// The operating system, as Go and krew call it.
    pub os: &'static str,
    /// The processor, as Go and krew call it.
    pub arch: &'static str,
}

/// All of them, in the order of the manifest.
pub const ALL: [Platform; 5] = [
    Platform { target: "x86_64-unknown-linux-musl", os: "linux", arch: "amd64" },
    Platform { target: "aarch64-unknown-linux-musl", os: "linux", arch: "arm64" },
    Platform { target: "x86_64-apple-darwin", os: "darwin", arch: "amd64" },
    Platform { target: "aarch64-apple-darwin", os: "darwin", arch: "arm64" },
    Platform { target: "x86_64-pc-windows-gnu", os: "windows", arch: "amd64" },
];

impl Platform {
    /// The platform of a target of Rust's.
    pub fn of(target: &str) -> anyhow::Result<&'static Self> {
        let known = || ALL.iter().map(|platform| platform.target).collect::<Vec<_>>().join(", ");
        ALL.iter()
            .find(|platform| platform.target == target)
            .with_context(|| format!("no release is made for the target {target:?}; there are {}", known()))
    }

    /// The file name of the plugin.
    pub fn program(&self) -> &'static str {
        if self.os == "windows" { "kubectl-aegis.exe" } else { "kubectl-aegis" }
    }

    /// The file name of its archive, without the end.
    pub fn stem(&self, version: &str) -> String {
        format!("kubectl-aegis_v{version}_{}_{}", self.os, self.arch)
    }

    /// The file name of its archive.
    pub fn archive(&self, version: &str) -> String {
        format!("{}.tar.gz", self.stem(version))
    }

    /// The file name of its bill of materials.
    pub fn bill(&self, version: &str) -> String {
        format!("{}.cdx.json", self.stem(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_known_by_the_words_of_its_archive() {
        let windows = Platform::of("x86_64-pc-windows-gnu").unwrap();
        assert_eq!(windows.archive("1.2.3"), "kubectl-aegis_v1.2.3_windows_amd64.tar.gz");
        assert_eq!(windows.program(), "kubectl-aegis.exe");
        let error = Platform::of("riscv64").unwrap_err().to_string();
        assert!(error.contains("aarch64-unknown-linux-musl"), "{error}");
    }
}
