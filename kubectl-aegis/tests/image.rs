//! `kubectl aegis image build`, as a person who makes an image for a procedure meets it.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

fn build(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_kubectl-aegis"))
        .args(["image", "build"])
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    (done.status.code(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

/// A folder with a script and a link to it.
fn procedure() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sop")).unwrap();
    let script = folder.path().join("sop/fix.sh");
    fs::write(&script, "#!/bin/sh\necho fixed\n").unwrap();
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("fix.sh", folder.path().join("sop/now")).unwrap();
    folder
}

#[test]
fn a_folder_becomes_an_image_that_says_what_it_is() {
    let folder = procedure();
    let words = ["--from", "sop", "--tag", "fix:1", "--entrypoint", "/fix.sh", "--run-as", "65532", "-o", "fix.tar"];
    let (code, told) = build(folder.path(), &words);
    assert_eq!(code, Some(0), "{told}");
    let bytes = fs::read(folder.path().join("fix.tar")).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut blobs = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        content
    });
    let config =
        blobs.find(|blob| blob.starts_with(b"{") && blob.windows(8).any(|part| part == b"\"rootfs\"")).unwrap();
    assert!(
        told.contains(&format!("fix.tar: fix:1, 1 MiB, sha256:{}", hex::encode(Sha256::digest(&config)))),
        "{told}"
    );
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["config"], serde_json::json!({"User": "65532", "Entrypoint": ["/fix.sh"]}));
    assert_eq!(config["architecture"], "amd64");

    let (code, told) = build(folder.path(), &[&words[..9], &["again.tar"]].concat());
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(fs::read(folder.path().join("again.tar")).unwrap(), bytes, "the same folder gives the same bytes");
}

#[test]
fn what_is_amiss_is_told_and_leaves_no_file() {
    let folder = procedure();
    let cases: [(&str, &[&str], i32, &str); 9] = [
        ("nothing to put in", &["--tag", "fix:1"], 2, "--from"),
        ("no tag", &["--from", "sop", "--tag", "fix"], 2, "it has no tag"),
        ("no such folder", &["--from", "gone", "--tag", "fix:1"], 2, "could not read gone"),
        ("a script for a shell", &["--base-shell", "sop/fix.sh", "--tag", "fix:1"], 2, "no 64-bit program"),
        ("other processors", &["--from", "sop", "--tag", "fix:1", "--platform", "linux/riscv"], 2, "linux/arm64"),
        ("a user's name", &["--from", "sop", "--tag", "fix:1", "--run-as", "nobody"], 2, "expected a number"),
        ("a variable without value", &["--from", "sop", "--tag", "fix:1", "--env", "A"], 2, "KEY=VALUE"),
        ("no folder from the top", &["--from", "sop", "--tag", "fix:1", "--workdir", "a"], 2, "begins with '/'"),
        (
            "a folder that is not there to write to",
            &["--from", "sop", "--tag", "fix:1", "-o", "gone/x.tar"],
            1,
            "gone/x.tar",
        ),
    ];
    for (why, words, want, part) in cases {
        let output: &[&str] = if words.contains(&"-o") { &[] } else { &["-o", "fix.tar"] };
        let (code, told) = build(folder.path(), &[words, output].concat());
        assert_eq!(code, Some(want), "{why}: {told}");
        assert!(told.contains(part), "{why}: no {part:?} in {told}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["sop"], "{why}");
    }
}
