//! The images that we ship: what the script makes, what the Dockerfile makes, and what the manifests ask for are the same.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Images made by scripts/images with a busybox in place of our binaries, which takes no build; `None` without busybox.
fn made() -> Option<tempfile::TempDir> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| fs::exists(path).unwrap());
    let Some(busybox) = busybox else {
        assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "busybox is required here and was not found");
        eprintln!("skipped: no busybox");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    for name in ["aegis-controller", "kubectl-aegis"] {
        fs::copy(busybox, folder.path().join(name)).unwrap();
    }
    let done = Command::new(repository("scripts/images"))
        .arg(folder.path().join("images"))
        .env("AEGIS_BINARIES", folder.path())
        .env("AEGIS_BUSYBOX", busybox)
        .env("AEGIS_PLUGIN", env!("CARGO_BIN_EXE_kubectl-aegis"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(folder)
}

fn files(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(archive).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    });
    entries.collect()
}

/// The name of an image and what it tells a runtime, without its labels.
fn told(archive: &Path) -> (String, Value) {
    let files = files(archive);
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let config: Value = serde_json::from_slice(&files[manifest[0]["Config"].as_str().unwrap()]).unwrap();
    let mut config = config["config"].clone();
    config.as_object_mut().unwrap().remove("Labels").unwrap();
    (manifest[0]["RepoTags"][0].as_str().unwrap().to_owned(), config)
}

/// What a stage of the Dockerfile tells a runtime.
fn stage(name: &str) -> Value {
    let text = fs::read_to_string(repository("Dockerfile")).unwrap();
    let begin = format!("FROM scratch AS {name}\n");
    let lines = text.split(&begin).nth(1).expect("the Dockerfile has that stage").lines();
    let mut config = json!({});
    for line in lines.take_while(|line| !line.starts_with("FROM ")) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "USER" => config["User"] = json!(rest),
            "ENV" => config["Env"] = json!([rest]),
            "CMD" => config["Cmd"] = serde_json::from_str(rest).unwrap(),
            "ENTRYPOINT" => config["Entrypoint"] = serde_json::from_str(rest).unwrap(),
            "COPY" => assert_eq!(rest, format!("--from=build /images/{name}/ /")),
            "" | "#" => {}
            other => panic!("this test does not know what {other} does to the image"),
        }
    }
    config
}

#[test]
fn the_dockerfile_and_the_script_make_the_same_images() {
    let Some(folder) = made() else { return };
    let version = env!("CARGO_PKG_VERSION");
    for (name, tagged) in [("aegis", "aegis:test".to_owned()), ("aegis-sop", format!("aegis-sop:{version}"))] {
        let archive = folder.path().join(format!("images/{name}.tar"));
        assert_eq!(told(&archive), (tagged.clone(), stage(name)), "{name}");
        let dockerfile = fs::read_to_string(repository("Dockerfile")).unwrap();
        assert!(dockerfile.contains(&format!("docker build -t {tagged} ")), "the Dockerfile's own words name {tagged}");

        // The Dockerfile takes its files from what this unpacks.
        let root = folder.path().join(name);
        let unpacked = Command::new(repository("scripts/unpack")).arg(&archive).arg(&root).status().unwrap();
        assert!(unpacked.success());
        let program = if name == "aegis" { "aegis-controller" } else { "kubectl" };
        let program = root.join("usr/local/bin").join(program);
        assert_eq!(fs::metadata(program).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(root.join("bin/sh").exists(), name == "aegis-sop", "only procedures have a shell");
    }
}

#[test]
fn manifests_and_examples_ask_for_the_images_that_we_make() {
    let read = |path: &str| fs::read_to_string(repository(path)).unwrap();
    let images = |text: &str| {
        let images = text.lines().filter_map(|line| line.trim().strip_prefix("image: ").map(str::to_owned));
        images.collect::<Vec<_>>()
    };
    let deployment = read("manifest/deploy/deployment.yaml");
    assert_eq!(images(&deployment), ["aegis:test"]);
    assert!(deployment.contains("imagePullPolicy: IfNotPresent"), "it is loaded, not pulled");
    let user = stage("aegis")["User"].as_str().unwrap().to_owned();
    let (uid, gid) = user.split_once(':').unwrap();
    assert!(
        deployment.contains(&format!("runAsUser: {uid}\n")) && deployment.contains(&format!("runAsGroup: {gid}\n"))
    );

    let sop = format!("aegis-sop:{}", env!("CARGO_PKG_VERSION"));
    for example in ["quickstart/rule.yaml", "dropcache/rule.yaml", "hpc/rules.yaml", "guard/rules.yaml"] {
        let images = images(&read(&format!("examples/{example}")));
        assert!(!images.is_empty() && images.iter().all(|image| *image == sop), "{example}: {images:?}");
    }
}
