//! The archive of one platform. Equal files give equal bytes, whoever packs them, when and where.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;

use anyhow::Context as _;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use crate::platform::Platform;

/// When every file in an archive was changed: 1980 began, which is the first moment that all formats can tell.
const CHANGED: u64 = 315_532_800;

/// The files of the repository that come along.
pub const TEXTS: [&str; 3] = ["LICENSE", "README.md", "README_CN.md"];

/// What an archive is made of.
pub struct Contents<'a> {
    /// What it is for.
    pub platform: &'static Platform,
    /// The plugin.
    pub program: &'a Path,
    /// The repository, for [`TEXTS`].
    pub repository: &'a Path,
    /// A folder with manual pages; none come along without it.
    pub manuals: Option<&'a Path>,
}

/// Writes the archive: the program, the texts, and the manual pages below `man/man1`.
pub fn write(contents: &Contents<'_>, out: impl Write) -> anyhow::Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::best()));
    append(&mut tar, contents.platform.program(), 0o755, contents.program)?;
    for name in TEXTS {
        append(&mut tar, name, 0o644, &contents.repository.join(name))?;
    }
    if let Some(folder) = contents.manuals {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        for name in names.iter().filter(|name| name.ends_with(".1")) {
            append(&mut tar, &format!("man/man1/{name}"), 0o644, &folder.join(name))?;
        }
    }
    tar.into_inner()?.finish()?.flush()?;
    Ok(())
}

/// What is in an archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// The paths of its files, in their order.
    pub names: Vec<String>,
    /// The size of the plugin in it, in bytes; 0 if there is none.
    pub program: u64,
    /// Its checksum, in hexadecimal digits.
    pub sha256: String,
}

/// Reads an archive of that platform.
pub fn read(path: &Path, platform: &Platform) -> anyhow::Result<Read> {
    let what = || format!("could not read {}", path.display());
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(path).with_context(what)?));
    let mut read = Read { names: Vec::new(), program: 0, sha256: sha256(path)? };
    for entry in tar.entries().with_context(what)? {
        let entry = entry.with_context(what)?;
        let name = entry.path().with_context(what)?.display().to_string();
        if name == platform.program() {
            read.program = entry.size();
        }
        read.names.push(name);
    }
    Ok(read)
}

/// The SHA-256 of a file, in hexadecimal digits.
pub fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("could not read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hash.finalize())),
            Ok(read) => hash.update(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
        }
    }
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, mode: u32, from: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(from).with_context(|| format!("could not read {}", from.display()))?;
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(mode);
    header.set_mtime(CHANGED);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes.as_slice()).with_context(|| format!("could not pack {name}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::platform::ALL;

    fn folder(changed: SystemTime) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("man")).unwrap();
        for name in ["kubectl-aegis", "LICENSE", "README.md", "README_CN.md", "man/b.1", "man/a.1", "man/notes"] {
            let file = File::create(folder.path().join(name)).unwrap();
            (&file).write_all(name.as_bytes()).unwrap();
            file.set_modified(changed).unwrap();
        }
        folder
    }

    fn packed(folder: &Path, platform: &'static Platform) -> Vec<u8> {
        let program = folder.join("kubectl-aegis");
        let manuals = folder.join("man");
        let mut bytes = Vec::new();
        write(&Contents { platform, program: &program, repository: folder, manuals: Some(&manuals) }, &mut bytes)
            .unwrap();
        bytes
    }

    #[test]
    fn equal_files_give_equal_bytes_whenever_they_were_changed() {
        let (old, new) = (folder(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400)), folder(SystemTime::now()));
        assert!(packed(old.path(), &ALL[0]) == packed(new.path(), &ALL[0]));
    }

    #[test]
    fn nothing_of_who_packs_it_is_in_it() {
        let folder = folder(SystemTime::now());
        let bytes = packed(folder.path(), &ALL[0]);
        let mut tar = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
        for entry in tar.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            let mode = if entry.path().unwrap().ends_with("kubectl-aegis") { 0o755 } else { 0o644 };
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, CHANGED));
            assert_eq!(header.mode().unwrap(), mode);
            assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
        }
    }

    #[test]
    fn the_program_has_the_name_of_its_platform_and_pages_come_along() {
        let folder = folder(SystemTime::now());
        let windows = Platform::of("x86_64-pc-windows-gnu").unwrap();
        let file = folder.path().join("archive");
        fs::write(&file, packed(folder.path(), windows)).unwrap();
        let read = read(&file, windows).unwrap();
        let want = ["kubectl-aegis.exe", "LICENSE", "README.md", "README_CN.md", "man/man1/a.1", "man/man1/b.1"];
        assert_eq!(read.names, want);
        assert_eq!(read.program, 13, "the size of the program");
        assert_eq!(read.sha256, sha256(&file).unwrap());
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let folder = folder(SystemTime::now());
        fs::remove_file(folder.path().join("LICENSE")).unwrap();
        let program = folder.path().join("kubectl-aegis");
        let contents = Contents { platform: &ALL[0], program: &program, repository: folder.path(), manuals: None };
        let error = write(&contents, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("LICENSE"), "{error}");
    }
}
