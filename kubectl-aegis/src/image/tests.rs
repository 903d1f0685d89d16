//! What readers of the archive need, and that equal input gives equal bytes.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Architecture, Entry, Error, Image, Layer};

fn image(layers: Vec<Layer>) -> Image {
    Image {
        architecture: Architecture::Amd64,
        entrypoint: vec!["/bin/fix".to_owned()],
        cmd: vec!["--all".to_owned()],
        user: Some("65532:65532".to_owned()),
        env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        layers,
        ..Image::new("ops/fix:1".parse().unwrap())
    }
}

fn written(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write(&mut bytes).unwrap();
    bytes
}

/// The files of a tar by path.
fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.insert(entry.path().unwrap().to_str().unwrap().to_owned(), content);
    }
    found
}

/// Path, type, mode, owner, time and link target of each entry of a tar.
fn listing(bytes: &[u8]) -> Vec<String> {
    let shown = |entry: tar::Entry<&[u8]>| {
        let header = entry.header();
        let link = entry.link_name().unwrap().map(|target| format!(" -> {}", target.display())).unwrap_or_default();
        format!(
            "{} {:?} {:o} {}:{} {}{link}",
            entry.path_bytes().escape_ascii(),
            header.entry_type(),
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.mtime().unwrap(),
        )
    };
    tar::Archive::new(bytes).entries().unwrap().map(|entry| shown(entry.unwrap())).collect()
}

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The blob that a descriptor names, whose digest and size are true.
fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let bytes = &files[&format!("blobs/sha256/{digest}")];
    assert_eq!(hex::encode(Sha256::digest(bytes)), digest);
    assert_eq!(descriptor["size"], json!(bytes.len()));
    bytes
}

#[test]
fn docker_and_oci_readers_find_the_same_image() {
    let base = Layer::of([Entry::bytes("/bin/sh", 0o755, "shell")]).unwrap();
    let own = Layer::of([Entry::bytes("bin/fix", 0o755, "fix")]).unwrap();
    let image = image(vec![base, own]);
    let bytes = written(&image);
    let files = files(&bytes);

    assert_eq!(parsed(&files["oci-layout"]), json!({"imageLayoutVersion": "1.0.0"}));
    let index = parsed(&files["index.json"]);
    let descriptor = &index["manifests"][0];
    assert_eq!(descriptor["annotations"]["io.containerd.image.name"], "docker.io/ops/fix:1");
    assert_eq!(descriptor["platform"], json!({"architecture": "amd64", "os": "linux"}));
    let manifest = parsed(blob(&files, descriptor));
    let config = parsed(blob(&files, &manifest["config"]));
    assert_eq!(
        config["config"],
        json!({"User": "65532:65532", "Env": ["PATH=/bin"], "Entrypoint": ["/bin/fix"], "Cmd": ["--all"], "Labels": {"a": "b"}})
    );
    assert_eq!((&config["architecture"], &config["os"]), (&json!("amd64"), &json!("linux")));
    let layers = manifest["layers"].as_array().unwrap();
    let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    assert_eq!(json!(digests), config["rootfs"]["diff_ids"], "a layer that is not compressed is its own diff");
    assert_eq!(files_of(blob(&files, &layers[0])), ["bin/", "bin/sh"]);
    assert_eq!(files_of(blob(&files, &layers[1])), ["bin/", "bin/fix"]);

    let path = |digest: &Value| digest.as_str().unwrap().replace("sha256:", "blobs/sha256/");
    let docker = json!([{
        "Config": path(&manifest["config"]["digest"]),
        "RepoTags": ["ops/fix:1"],
        "Layers": digests.iter().map(|digest| path(digest)).collect::<Vec<_>>(),
    }]);
    assert_eq!(parsed(&files["manifest.json"]), docker);
    let told = image.write(std::io::sink()).unwrap();
    assert_eq!(json!(told.id), manifest["config"]["digest"]);
    assert_eq!(json!(told.digest), descriptor["digest"]);
}

fn files_of(layer: &[u8]) -> Vec<String> {
    files(layer).into_keys().collect()
}

#[test]
fn equal_input_gives_equal_bytes() {
    let entries = || {
        vec![
            Entry::bytes("etc/b", 0o644, "b"),
            Entry::folder("tmp", 0o1777),
            Entry::symlink("etc/a", "../bin/nowhere"),
            Entry::bytes(format!("opt/{}/c", "long".repeat(60)), 0o600, "c"),
        ]
    };
    let forwards = image(vec![Layer::of(entries()).unwrap()]);
    let backwards = image(vec![Layer::of(entries().into_iter().rev()).unwrap()]);
    assert_eq!(written(&forwards), written(&backwards));
    for entry in listing(&written(&forwards)) {
        assert!(entry.ends_with(" 644 0:0 0"), "{entry}");
    }
}

#[test]
fn a_layer_is_sorted_and_keeps_modes_and_links() {
    let layer = Layer::of([
        Entry::bytes("z", 0o640, ""),
        Entry::symlink("a/link", "/absolute/target"),
        Entry::folder("tmp", 0o1777),
        Entry::bytes("a/b/c", 0o4755, "c"),
    ]);
    let mut bytes = Vec::new();
    layer.unwrap().write(&mut bytes).unwrap();
    let want = [
        "a/ Directory 755 0:0 0",
        "a/b/ Directory 755 0:0 0",
        "a/b/c Regular 4755 0:0 0",
        "a/link Symlink 777 0:0 0 -> /absolute/target",
        "tmp/ Directory 1777 0:0 0",
        "z Regular 640 0:0 0",
    ];
    assert_eq!(listing(&bytes), want);
}

#[test]
fn a_layer_that_comes_twice_is_written_once() {
    let layer = || Layer::of([Entry::bytes("a", 0o644, "a")]).unwrap();
    assert_eq!(written(&image(vec![layer(), layer()])), written(&image(vec![layer()])));
}

#[test]
fn what_cannot_stand_in_an_image_is_refused() {
    let file = |path: &str| Entry::bytes(path, 0o644, "");
    let cases = [
        ("nothing", vec![file("")], "empty parts"),
        ("the top", vec![file("/")], "empty parts"),
        ("out of the image", vec![file("../etc/passwd")], "\"..\""),
        ("two ways to write one path", vec![file("a//b")], "empty parts"),
        ("twice", vec![file("/a"), file("a")], "already"),
        ("below a file", vec![file("a"), file("a/b")], "/a is no folder"),
        ("below a link", vec![Entry::symlink("bin", "usr/bin"), file("bin/sh")], "/bin is no folder"),
        ("a deletion", vec![file("etc/.wh.passwd")], ".wh."),
        ("a link to nowhere", vec![Entry::symlink("a", "")], "link to nowhere"),
    ];
    for (why, entries, part) in cases {
        let error = Layer::of(entries).unwrap_err().to_string();
        assert!(error.contains(part), "{why}: {error}");
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let layer = Layer::of([Entry::file("a", 0o644, "/nonexistent/program")]).unwrap();
    let error = image(vec![layer]).write(std::io::sink()).unwrap_err();
    assert!(matches!(&error, Error::Read { path, .. } if path.ends_with("program")), "{error:?}");
}

#[cfg(unix)]
mod a_folder {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn becomes_a_layer_with_its_modes_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("opt/empty")).unwrap();
        for (path, mode) in [("opt/run.sh", 0o755), ("opt/notes", 0o640)] {
            fs::write(at(path), path).unwrap();
            fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        for path in ["opt", "opt/empty"] {
            fs::set_permissions(at(path), fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink("run.sh", at("opt/current")).unwrap();
        let mut bytes = Vec::new();
        Layer::of_folder(folder.path()).unwrap().write(&mut bytes).unwrap();
        let want = [
            "opt/ Directory 755 0:0 0",
            "opt/current Symlink 777 0:0 0 -> run.sh",
            "opt/empty/ Directory 755 0:0 0",
            "opt/notes Regular 640 0:0 0",
            "opt/run.sh Regular 755 0:0 0",
        ];
        assert_eq!(listing(&bytes), want);
        assert_eq!(files(&bytes)["opt/run.sh"], b"opt/run.sh");
    }

    #[test]
    fn with_a_socket_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = UnixListener::bind(folder.path().join("s")).unwrap();
        let error = Layer::of_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("/s is a socket"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_procedure_finds_its_shell_under_both_names() {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| std::fs::exists(path).unwrap())
    else {
        assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "busybox is required here and was not found");
        eprintln!("skipped: no busybox");
        return;
    };
    let layer = Layer::of_shell(busybox.as_ref()).unwrap();
    let known = Command::new(busybox).arg("--list").output().unwrap().stdout;
    let known = String::from_utf8(known).unwrap();
    let mut bytes = Vec::new();
    layer.write(&mut bytes).unwrap();
    let listing = listing(&bytes);
    let links = listing.iter().filter_map(|line| line.strip_suffix(" Symlink 777 0:0 0 -> busybox"));
    for name in links.map(|path| path.trim_start_matches("bin/")) {
        assert!(known.lines().any(|applet| applet == name), "this busybox has no {name}");
    }
    for want in ["bin/bash Regular 755 0:0 0", "bin/sh Symlink 777 0:0 0 -> busybox", "tmp/ Directory 1777 0:0 0"] {
        assert!(listing.iter().any(|line| line == want), "no {want} in {listing:#?}");
    }

    // The image's bash with the image's sh, in a folder, as it stands in a container at the top.
    let folder = tempfile::tempdir().unwrap();
    let sh = folder.path().join("sh");
    symlink(busybox, &sh).unwrap();
    let script = String::from_utf8(files(&bytes)["bin/bash"].clone()).unwrap();
    let script = script.replace("/bin/sh", sh.to_str().unwrap());
    std::fs::write(folder.path().join("bash"), script).unwrap();
    let done = Command::new(&sh).arg(folder.path().join("bash")).args(["-c", "echo $((6 * 7)) \"$0\"", "x y"]).output();
    assert_eq!(String::from_utf8(done.unwrap().stdout).unwrap(), "42 x y\n");
}
