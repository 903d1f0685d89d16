//! The bill of materials: every crate that is in the plugin of one platform, in CycloneDX's words.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::{Value, json};

/// The crates that `root` is made of, by what `cargo metadata --filter-platform TARGET` says and by the checksums of
/// Cargo.lock. What only builds or tests it is not in it. Equal input gives equal bytes: it tells no time.
pub fn of(metadata: &Value, lock: &str, root: &str) -> anyhow::Result<Value> {
    let list = |value: Option<&'_ Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(metadata.get("packages"))
        .into_iter()
        .filter_map(|package| Some((package.get("id")?.as_str()?.to_owned(), package)))
        .collect();
    let needs: BTreeMap<String, BTreeSet<String>> =
        list(metadata.pointer("/resolve/nodes")).iter().filter_map(node).collect();
    let start = packages
        .iter()
        .find(|(_, package)| package.get("name").and_then(Value::as_str) == Some(root))
        .map(|(id, _)| id.clone())
        .with_context(|| format!("cargo metadata knows no package {root}"))?;

    let mut found = BTreeSet::new();
    let mut open = vec![start.clone()];
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            let needed = needs.get(&id).with_context(|| format!("cargo metadata does not say what {id} needs"))?;
            open.extend(needed.iter().cloned());
        }
    }
    let sums = checksums(lock);
    let of = |id: &String| packages.get(id).with_context(|| format!("cargo metadata does not describe {id}"));
    let mut components = BTreeMap::new();
    let mut dependencies = BTreeMap::new();
    for id in &found {
        let package = of(id)?;
        let reference = reference(package);
        let mut on = Vec::new();
        for needed in needs.get(id).into_iter().flatten() {
            on.push(self::reference(of(needed)?));
        }
        on.sort();
        dependencies.insert(reference.clone(), json!({"ref": reference, "dependsOn": on}));
        if *id != start {
            components.insert(reference, component(package, "library", &sums));
        }
    }
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(of(&start)?, "application", &sums)},
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies.into_values().collect::<Vec<_>>(),
    }))
}

/// A node of Cargo's graph, and what is linked into it.
fn node(node: &Value) -> Option<(String, BTreeSet<String>)> {
    let linked = |dependency: &&Value| {
        let kinds = dependency.get("dep_kinds").and_then(Value::as_array);
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind.get("kind").is_none_or(Value::is_null)))
    };
    let needed = node.get("deps")?.as_array()?.iter().filter(linked);
    let needed = needed.filter_map(|dependency| Some(dependency.get("pkg")?.as_str()?.to_owned())).collect();
    Some((node.get("id")?.as_str()?.to_owned(), needed))
}

fn component(package: &Value, kind: &str, sums: &BTreeMap<(String, String), String>) -> Value {
    let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut component = json!({
        "type": kind, "bom-ref": reference(package), "purl": reference(package),
        "name": text("name"), "version": text("version"),
    });
    let Some(fields) = component.as_object_mut() else { return component };
    if !text("license").is_empty() {
        // A slash is how Cargo once wrote OR.
        let expression = text("license").replace('/', " OR ").replace("  ", " ");
        fields.insert("licenses".to_owned(), json!([{"expression": expression}]));
    }
    if let Some(sum) = sums.get(&(text("name"), text("version"))) {
        fields.insert("hashes".to_owned(), json!([{"alg": "SHA-256", "content": sum}]));
    }
    if !text("repository").is_empty() {
        fields.insert("externalReferences".to_owned(), json!([{"type": "vcs", "url": text("repository")}]));
    }
    component
}

/// The package's URL, which names it everywhere.
fn reference(package: &Value) -> String {
    let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
    // A version's + would be read as a space.
    format!("pkg:cargo/{}@{}", text("name"), text("version").replace('+', "%2B"))
}

/// The checksums of Cargo.lock by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let entry = |entry: &str| {
        let value = |key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
            Some(line.strip_suffix('"')?.to_owned())
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    };
    lock.split("[[package]]").filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn metadata() -> Value {
        let package = |name: &str, version: &str| json!({"id": name, "name": name, "version": version, "license": "MIT/Apache-2.0", "repository": "https://example.org"});
        let on =
            |name: &str, kind: Value| json!({"name": name, "pkg": name, "dep_kinds": [{"kind": kind, "target": null}]});
        json!({
            "packages": [package("app", "0.1.0"), package("a", "1.0.0"), package("b", "2.0.0+x"), package("build", "1.0.0"), package("test", "1.0.0")],
            "resolve": {"nodes": [
                {"id": "app", "deps": [on("a", Value::Null), on("test", json!("dev"))]},
                {"id": "a", "deps": [on("b", Value::Null), on("build", json!("build"))]},
                {"id": "b", "deps": []}, {"id": "build", "deps": []}, {"id": "test", "deps": []},
            ]},
        })
    }

    const LOCK: &str = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"s\"\nchecksum = \"0123\"\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n";

    #[test]
    fn it_lists_what_is_linked_and_nothing_that_only_builds_or_tests() {
        let bill = of(&metadata(), LOCK, "app").unwrap();
        let names: Vec<&str> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|component| component["purl"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["pkg:cargo/a@1.0.0", "pkg:cargo/b@2.0.0%2Bx"]);
        assert_eq!(bill["metadata"]["component"]["type"], "application");
        assert_eq!(bill["components"][0]["hashes"], json!([{"alg": "SHA-256", "content": "0123"}]));
        assert_eq!(bill["components"][0]["licenses"], json!([{"expression": "MIT OR Apache-2.0"}]));
        assert!(bill["components"][1].get("hashes").is_none(), "the lock has none");
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["pkg:cargo/b@2.0.0%2Bx"]));
    }

    #[test]
    fn a_package_that_is_not_there_is_told() {
        let error = of(&metadata(), LOCK, "other").unwrap_err().to_string();
        assert!(error.contains("other"), "{error}");
    }

    #[test]
    fn the_plugins_own_bill_holds_together() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let words = [
            "metadata",
            "--locked",
            "--offline",
            "--format-version",
            "1",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ];
        let output = Command::new(env!("CARGO")).args(words).current_dir(repository).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let lock = std::fs::read_to_string(repository.join("Cargo.lock")).unwrap();
        let bill = of(&metadata, &lock, "kubectl-aegis").unwrap();

        let components = bill["components"].as_array().unwrap();
        let mut known: BTreeSet<&str> = components.iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(known.len(), components.len(), "each reference is there once");
        known.insert(bill["metadata"]["component"]["bom-ref"].as_str().unwrap());
        for dependency in bill["dependencies"].as_array().unwrap() {
            assert!(known.contains(dependency["ref"].as_str().unwrap()), "{dependency}");
            for on in dependency["dependsOn"].as_array().unwrap() {
                assert!(known.contains(on.as_str().unwrap()), "{dependency}");
            }
        }
        for name in ["kube", "rustls", "aegis-engine"] {
            assert!(components.iter().any(|one| one["name"] == name), "{name} is in the plugin");
        }
        for name in ["insta", "clap_mangen", "aegis-e2e", "cc"] {
            assert!(!components.iter().any(|one| one["name"] == name), "{name} is not in the plugin");
        }
        let foreign = components.iter().filter(|one| !one["name"].as_str().unwrap().starts_with("aegis-"));
        for one in foreign {
            assert!(one["hashes"].is_array() && one["licenses"].is_array(), "{one}");
        }
    }
}
