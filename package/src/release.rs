//! A folder with a release: what is written there for one platform, and the last look at all that is there.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::archive::{self, Contents};
use crate::krew::{self, Offer};
use crate::platform::{ALL, Platform};
use crate::{REPOSITORY, VERSION, bill};

/// The most bytes that the plugin may have: people download it, and procedures' images carry it.
pub const PLUGIN: u64 = 20 << 20;

/// The most bytes that the controller may have.
pub const CONTROLLER: u64 = 15 << 20;

/// The file with the checksums of everything else in the folder, as `sha256sum --check` reads it.
pub const CHECKSUMS: &str = "SHA256SUMS";

/// Writes the archive and the bill of materials of one platform.
pub fn add(contents: &Contents<'_>, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    let path = folder.join(contents.platform.archive(VERSION));
    let file = File::create(&path).with_context(|| format!("could not write {}", path.display()))?;
    archive::write(contents, BufWriter::new(file))?;
    let lock = contents.repository.join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("could not read {}", lock.display()))?;
    let bill = bill::of(&metadata(contents)?, &lock, "kubectl-aegis")?;
    let path = folder.join(contents.platform.bill(VERSION));
    fs::write(&path, format!("{bill:#}\n")).with_context(|| format!("could not write {}", path.display()))
}

/// Looks at every archive of this version in the folder, from whichever machine it came, and writes the checksums and
/// krew's manifest, at that path. Fails if a program is larger than it may be, or if krew would refuse the manifest.
/// Returns a line about each program.
pub fn finish(folder: &Path, controller: Option<&Path>, manifest: &Path) -> anyhow::Result<Vec<String>> {
    let mut offers = Vec::new();
    let mut sizes = Vec::new();
    for platform in &ALL {
        let path = folder.join(platform.archive(VERSION));
        if !path.exists() {
            continue;
        }
        let read = archive::read(&path, platform)?;
        sizes.push((format!("kubectl-aegis {} {}", platform.os, platform.arch), read.program, PLUGIN));
        offers.push(Offer { platform, sha256: read.sha256, files: read.names });
    }
    if offers.is_empty() {
        bail!("{} holds no archive of version {VERSION}", folder.display());
    }
    if let Some(path) = controller {
        let size = fs::metadata(path).with_context(|| format!("could not read {}", path.display()))?.len();
        sizes.push(("aegis-controller".to_owned(), size, CONTROLLER));
    }
    let text = krew::manifest(VERSION, REPOSITORY, &offers)?;
    let value: Value = serde_saphyr::from_str(&text).context("krew's manifest is no YAML")?;
    let flaws = krew::flaws(&value, &offers);
    if !flaws.is_empty() {
        bail!("krew would refuse the manifest:\n  {}", flaws.join("\n  "));
    }
    fs::write(manifest, text).with_context(|| format!("could not write {}", manifest.display()))?;
    fs::write(folder.join(CHECKSUMS), checksums(folder)?)?;
    judged(&sizes)
}

/// A line about each program, or an error that names those that are too large.
fn judged(sizes: &[(String, u64, u64)]) -> anyhow::Result<Vec<String>> {
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let line = |(name, size, most): &(String, u64, u64)| {
        format!("{name:<30} {:>9} of at most {}", mebibytes(*size), mebibytes(*most))
    };
    let large: Vec<String> = sizes.iter().filter(|(_, size, most)| size > most).map(line).collect();
    if !large.is_empty() {
        bail!(
            "too large:\n  {}\ndocs/decisions/0009-size-and-speed.md says what makes a program small",
            large.join("\n  ")
        );
    }
    Ok(sizes.iter().map(line).collect())
}

fn checksums(folder: &Path) -> anyhow::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != CHECKSUMS {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let mut text = String::new();
    for name in names {
        text.push_str(&format!("{}  {name}\n", archive::sha256(&folder.join(&name))?));
    }
    Ok(text)
}

fn metadata(contents: &Contents<'_>) -> anyhow::Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let Platform { target, .. } = contents.platform;
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target])
        .current_dir(contents.repository)
        .stdin(Stdio::null())
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("could not read what cargo metadata says")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a small archive for linux amd64.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::create_dir(&source).unwrap();
        for name in ["kubectl-aegis", "LICENSE", "README.md", "README_CN.md"] {
            fs::write(source.join(name), name).unwrap();
        }
        let program = source.join("kubectl-aegis");
        let contents = Contents { platform: &ALL[0], program: &program, repository: &source, manuals: None };
        archive::write(&contents, File::create(folder.path().join(ALL[0].archive(VERSION))).unwrap()).unwrap();
        folder
    }

    #[test]
    fn the_manifest_offers_what_is_there_and_the_checksums_cover_it() {
        let folder = folder();
        let manifest = folder.path().join("source/aegis.yaml");
        let lines = finish(folder.path(), None, &manifest).unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let sums = fs::read_to_string(folder.path().join(CHECKSUMS)).unwrap();
        let sum = archive::sha256(&folder.path().join(ALL[0].archive(VERSION))).unwrap();
        assert_eq!(sums, format!("{sum}  {}\n", ALL[0].archive(VERSION)));
        let manifest = fs::read_to_string(manifest).unwrap();
        assert_eq!(manifest.matches("sha256: ").count(), 1);
        assert!(manifest.contains(&sum), "{manifest}");
        finish(folder.path(), None, &folder.path().join("source/aegis.yaml")).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(CHECKSUMS)).unwrap(), sums, "a second time changes nothing");
    }

    #[test]
    fn a_folder_without_archives_is_no_release() {
        let folder = tempfile::tempdir().unwrap();
        let error = finish(folder.path(), None, &folder.path().join("m")).unwrap_err().to_string();
        assert!(error.contains("holds no archive"), "{error}");
    }

    #[test]
    fn a_program_may_be_as_large_as_its_limit_and_not_a_byte_more() {
        let size = |bytes| [("kubectl-aegis linux amd64".to_owned(), bytes, PLUGIN)];
        assert_eq!(judged(&size(PLUGIN)).unwrap().len(), 1);
        let error = judged(&size(PLUGIN + 1)).unwrap_err().to_string();
        assert!(error.contains("kubectl-aegis linux amd64"), "{error}");
    }
}
