//! Container images, written as one file without a container runtime or a registry.
//!
//! [`Image::write`] gives an archive that is both what `docker save` writes and an OCI image layout, so that
//! `docker load`, `ctr images import`, `kind load image-archive` and `skopeo copy docker-archive:` (or `oci-archive:`)
//! take it. The same image gives the same bytes on every machine: entries are sorted, times are 0, owners are 0:0, and
//! nothing of the machine goes in.

mod archive;
mod layer;
mod program;
mod reference;
mod shell;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

pub use layer::Layer;
pub use program::check_static;
pub use reference::Reference;
pub use shell::PATH;

/// An image of one platform.
#[derive(Clone, Debug)]
pub struct Image {
    /// What runtimes will call it.
    pub name: Reference,
    /// The processors that its programs are for.
    pub architecture: Architecture,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments, where a container does not give its own.
    pub cmd: Vec<String>,
    /// User, with or without ":" and a group; numbers where `runAsNonRoot` is to believe it. Root without one.
    pub user: Option<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// The working directory; "/" without one.
    pub workdir: Option<String>,
    /// Labels, such as `org.opencontainers.image.version`.
    pub labels: BTreeMap<String, String>,
    /// Its files; a later layer covers an earlier one. A layer that several images share is stored once on a node.
    pub layers: Vec<Layer>,
}

impl Image {
    /// An image without files, for this machine's processors.
    pub fn new(name: Reference) -> Self {
        Self {
            name,
            architecture: Architecture::default(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            user: None,
            env: BTreeMap::new(),
            workdir: None,
            labels: BTreeMap::new(),
            layers: Vec::new(),
        }
    }

    /// Writes the archive; layers are gathered in a temporary file first.
    ///
    /// # Errors
    /// A file that cannot be read or changes meanwhile, and an output that cannot be written.
    pub fn write(&self, out: impl Write) -> Result<Written, Error> {
        archive::write(self, out)
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The image's id, as `docker images` shows it: "sha256:" and the digest of its configuration.
    pub id: String,
    /// The digest of its manifest, as a registry would call it.
    pub digest: String,
    /// Bytes of all its layers, which are not compressed.
    pub size: u64,
}

/// Processors that programs are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86, 64 bit.
    Amd64,
    /// ARM, 64 bit.
    Arm64,
}

impl Architecture {
    /// As images spell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl Default for Architecture {
    /// This machine's.
    fn default() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }
}

/// One thing in an image.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it stands, with or without a leading "/". Folders that lead to it come by themselves, with mode 0755.
    pub path: String,
    /// Permissions, such as 0o755; of no meaning for a link.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

impl Entry {
    /// A file with these bytes.
    pub fn bytes(path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode, content: Content::Bytes(bytes.into()) }
    }

    /// A file with what stands in that file of this machine.
    pub fn file(path: impl Into<String>, mode: u32, source: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), mode, content: Content::File(source.into()) }
    }

    /// A link; its target may be relative, absolute, and missing.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { path: path.into(), mode: 0o777, content: Content::Symlink(target.into()) }
    }

    /// A folder, for other permissions than 0755 or if nothing is in it.
    pub fn folder(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), mode, content: Content::Folder }
    }
}

/// What an [`Entry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A folder.
    Folder,
    /// A file with these bytes.
    Bytes(Vec<u8>),
    /// A file with what stands in that file of this machine.
    File(PathBuf),
    /// A link to there.
    Symlink(String),
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image's name.
    #[error(
        "{found:?} is no name of an image: {expected}; write it like aegis-sop:0.1.0 or registry.example:5000/ops/fix:1"
    )]
    Name {
        /// What was given.
        found: String,
        /// What is wrong with it.
        expected: &'static str,
    },
    /// A path inside of the image.
    #[error("{path:?} cannot stand in an image: {why}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something of this machine that is to go in.
    #[error("could not read {}", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
    /// Neither file nor folder nor link.
    #[error("{} is {kind}: an image holds files, folders and symbolic links; take it out of the folder", path.display())]
    Kind {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A program that could not start in the image.
    #[error("{} cannot run in the image: {why}", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file became shorter while it was read.
    #[error("{} changed while it was read: try again once nobody writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The archive could not be written.
    #[error("could not write the image")]
    Write(#[source] io::Error),
}
