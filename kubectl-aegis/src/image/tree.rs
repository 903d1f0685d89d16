//! A folder of this machine as entries of an image.

use std::fs::{self, FileType, Metadata};
use std::path::Path;

use super::{Content, Entry, Error};

/// All that stands in the folder, at any depth; links are kept and not followed.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>, Error> {
    let mut found = Vec::new();
    gather(folder, "", &mut found)?;
    Ok(found)
}

fn gather(folder: &Path, inside: &str, found: &mut Vec<Entry>) -> Result<(), Error> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    for child in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = child.map_err(unreadable(folder))?.path();
        let not_utf8 = || Error::Path { path: path.display().to_string(), why: "it is not UTF-8".to_owned() };
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(not_utf8)?;
        let inside = if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
        let metadata = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
        let kind = metadata.file_type();
        let content = if kind.is_dir() {
            gather(&path, &inside, found)?;
            Content::Folder
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).map_err(unreadable(&path))?;
            Content::Symlink(target.to_str().ok_or_else(not_utf8)?.to_owned())
        } else if kind.is_file() {
            Content::File(path.clone())
        } else {
            return Err(Error::Kind { path, kind: special(kind) });
        };
        found.push(Entry { path: inside, mode: mode(&metadata), content });
    }
    Ok(())
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
}

/// A system without modes cannot say what may be executed.
#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0o755
}

#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        kind if kind.is_socket() => "a socket",
        kind if kind.is_fifo() => "a pipe",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "something special"
}
