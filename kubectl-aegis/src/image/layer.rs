//! One layer: entries by path, checked when they are added, written as a tar.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{Content, Entry, Error, tree};

/// Files that come into an image together.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: BTreeMap<String, (u32, Content)>,
}

impl Layer {
    /// A layer of these entries.
    ///
    /// # Errors
    /// A path that cannot stand in an image, stands there twice, or leads through something that is no folder.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Result<Self, Error> {
        let mut layer = Self::default();
        for entry in entries {
            layer.add(entry)?;
        }
        layer.check_parents()?;
        Ok(layer)
    }

    /// What stands in a folder of this machine, at the top of the image: modes and symbolic links are kept, owners and
    /// times are not.
    ///
    /// # Errors
    /// What cannot be read, is neither file, folder nor link, or has a name that is not UTF-8.
    pub fn of_folder(folder: &Path) -> Result<Self, Error> {
        Self::of(tree::entries(folder)?)
    }

    /// Where its entries stand, sorted, without a leading "/"; without the folders that come by themselves.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    fn add(&mut self, Entry { path, mode, content }: Entry) -> Result<(), Error> {
        let inside = path.strip_prefix('/').unwrap_or(&path).trim_end_matches('/').to_owned();
        let wrong = |why: &str| Err(Error::Path { path: path.clone(), why: why.to_owned() });
        if inside.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return wrong("write it without empty parts, \".\" and \"..\"");
        }
        // Runtimes take a file of such a name in a layer as the order to delete another.
        if inside.split('/').any(|part| part.starts_with(".wh.")) {
            return wrong("names that begin with \".wh.\" have a meaning of their own there");
        }
        if inside.contains('\0') || matches!(&content, Content::Symlink(target) if target.is_empty()) {
            return wrong("it holds a zero byte, or is a link to nowhere");
        }
        if self.entries.insert(inside, (mode & 0o7777, content)).is_some() {
            return wrong("it stands there already");
        }
        Ok(())
    }

    fn check_parents(&self) -> Result<(), Error> {
        for path in self.entries.keys() {
            for parent in parents(path) {
                if self.entries.get(parent).is_some_and(|(_, content)| *content != Content::Folder) {
                    let why = format!("/{parent} is no folder");
                    return Err(Error::Path { path: path.clone(), why });
                }
            }
        }
        Ok(())
    }

    /// Writes it as a tar.
    pub(super) fn write(&self, out: impl Write) -> Result<(), Error> {
        let mut tar = tar::Builder::new(out);
        let folder = (0o755, Content::Folder);
        let missing =
            self.entries.keys().flat_map(|path| parents(path)).filter(|path| !self.entries.contains_key(*path));
        let implied = missing.map(|path| (path, &folder));
        let all: BTreeMap<&str, &(u32, Content)> =
            self.entries.iter().map(|(path, entry)| (path.as_str(), entry)).chain(implied).collect();
        for (path, (mode, content)) in all {
            append(&mut tar, path, *mode, content)?;
        }
        // A writer that is dropped loses the error of its last bytes.
        tar.finish().and_then(|()| tar.get_mut().flush()).map_err(Error::Write)
    }
}

/// The folders that lead to a path.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(end, _)| path.get(..end))
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, mode: u32, content: &Content) -> Result<(), Error> {
    match content {
        Content::Folder => {
            let mut header = header(mode, tar::EntryType::Directory, 0);
            tar.append_data(&mut header, format!("{path}/"), io::empty()).map_err(Error::Write)
        }
        Content::Bytes(bytes) => append_file(tar, path, mode, bytes).map_err(Error::Write),
        Content::Symlink(target) => {
            let mut header = header(mode, tar::EntryType::Symlink, 0);
            tar.append_link(&mut header, path, target).map_err(Error::Write)
        }
        Content::File(source) => {
            let unreadable = |error| Error::Read { path: source.clone(), source: error };
            let file = File::open(source).map_err(unreadable)?;
            let metadata = file.metadata().map_err(unreadable)?;
            if !metadata.is_file() {
                return Err(Error::Kind { path: source.clone(), kind: "not a file" });
            }
            let mut header = header(mode, tar::EntryType::Regular, metadata.len());
            let mut exactly = file.take(metadata.len());
            tar.append_data(&mut header, path, &mut exactly).map_err(Error::Write)?;
            // The header has told the size already: a shorter file would shift all that follows.
            if exactly.limit() > 0 {
                return Err(Error::Changed { path: source.clone() });
            }
            Ok(())
        }
    }
}

/// Appends a file with these bytes.
pub(super) fn append_file(tar: &mut tar::Builder<impl Write>, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut header = header(mode, tar::EntryType::Regular, bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}

/// A header that tells nothing of this machine.
pub(super) fn header(mode: u32, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
