//! Objects from files: rules, templates and what surrounds them, from files, folders or standard input.

use std::path::{Path, PathBuf};

use aegis_crds::{AegisAlertOpsRule, AegisGuard, AegisOpsTemplate};
use k8s_openapi::api::core::v1::Node;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::commands::alert::body;
use crate::failure::{Failure, Kind};

/// One object of a file, as it is written there.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// Where it stands: the file, and which of its documents.
    pub(crate) place: String,
    /// The object, in the namespace that it names or was read for.
    pub(crate) object: Value,
}

/// The objects of files that matter to decisions.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    pub(crate) rules: Vec<AegisAlertOpsRule>,
    pub(crate) templates: Vec<AegisOpsTemplate>,
    pub(crate) guard: Option<AegisGuard>,
    pub(crate) nodes: Vec<Node>,
}

impl Document {
    /// The object's kind; empty if it names none.
    pub(crate) fn kind(&self) -> &str {
        self.object.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// The object's name; empty if it names none.
    pub(crate) fn name(&self) -> &str {
        self.object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The object as one of that type.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_value(self.object.clone()).map_err(|error| {
            let what = format!("{}: {} {} cannot be read", self.place, self.kind(), self.name());
            Failure::new(Kind::Usage, what).because(error)
        })
    }
}

/// Every document of the files, in their order; of a folder those of its files that end in yaml, yml or json, by name,
/// its folders too. "-" is standard input. Those without a namespace are taken to be applied to `namespace`.
pub(crate) fn documents(paths: &[String], namespace: &str) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path)? {
            let bytes = body::read(&file)?;
            let wrong = |why: anyhow::Error| Failure::new(Kind::Usage, format!("could not use {file}")).because(why);
            let text = String::from_utf8(bytes).map_err(|error| wrong(error.into()))?;
            let found = serde_saphyr::from_multiple::<Value>(&text).map_err(|error| wrong(error.into()))?;
            let several = found.len() > 1;
            for (nth, object) in found.into_iter().filter(|object| !object.is_null()).enumerate() {
                let place = if several { format!("{file}, document {}", nth + 1) } else { file.clone() };
                documents.extend(flattened(object, namespace).map(|object| Document { place: place.clone(), object }));
            }
        }
    }
    Ok(documents)
}

/// Reads those that matter to decisions.
pub(crate) fn read(paths: &[String], namespace: &str) -> Result<Manifests, Failure> {
    let mut manifests = Manifests::default();
    for document in documents(paths, namespace)? {
        match document.kind() {
            "AegisAlertOpsRule" => manifests.rules.push(document.read()?),
            "AegisOpsTemplate" => manifests.templates.push(document.read()?),
            "AegisGuard" => manifests.guard = Some(document.read()?),
            "Node" => manifests.nodes.push(document.read()?),
            _ => {}
        }
    }
    Ok(manifests)
}

/// The object, or the objects of a List.
fn flattened(object: Value, namespace: &str) -> impl Iterator<Item = Value> {
    let is_list = object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    let mut objects = vec![object];
    if is_list && let Some(Value::Array(items)) = objects.first_mut().and_then(|list| list.get_mut("items")) {
        objects = std::mem::take(items);
    }
    let namespace = namespace.to_owned();
    objects.into_iter().map(move |mut object| {
        let is_node = object.get("kind").and_then(Value::as_str) == Some("Node");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut).filter(|_| !is_node) {
            metadata.entry("namespace").or_insert_with(|| namespace.clone().into());
        }
        object
    })
}

fn files(path: &str) -> Result<Vec<String>, Failure> {
    if path == "-" || !Path::new(path).is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error| Failure::new(Kind::Usage, format!("could not read the folder {path}")).because(error);
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let is_manifest = entry.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if entry.is_dir() {
            found.extend(files(&entry.display().to_string())?);
        } else if is_manifest {
            found.push(entry.display().to_string());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(path: &str) -> Vec<String> {
        vec![format!("{}/../examples/{path}", env!("CARGO_MANIFEST_DIR"))]
    }

    #[test]
    fn a_file_or_a_folder_is_read_as_if_it_were_applied_to_the_namespace() {
        let manifests = read(&examples("quickstart/rule.yaml"), "monitoring").unwrap();
        assert_eq!((manifests.rules.len(), manifests.templates.len()), (1, 1));
        assert_eq!(manifests.rules[0].metadata.namespace.as_deref(), Some("monitoring"));
        let all = read(&examples("guard"), "monitoring").unwrap();
        assert!(all.rules.len() > 1 && all.guard.is_some(), "{all:?}");
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name).display().to_string();
            std::fs::write(&path, text).unwrap();
            vec![path]
        };
        let rule = "kind: AegisAlertOpsRule\nmetadata: {name: a}\nspec: {alertConditions: 3}\n";
        let two = file("two.yaml", &format!("kind: ConfigMap\n---\n{rule}"));
        let told = format!("{}", read(&two, "m").unwrap_err());
        assert!(told.contains("two.yaml, document 2: AegisAlertOpsRule a cannot be read"), "{told}");
        let told = read(&file("odd.yaml", "a: [\n"), "m").unwrap_err().to_string();
        assert!(told.contains("could not use") && told.contains("odd.yaml"), "{told}");
        assert!(read(&["/no/such/file".into()], "m").is_err());
        let list = file(
            "list.yaml",
            "kind: List\nitems:\n- {kind: Node, metadata: {name: n1}}\n- {kind: Node, metadata: {name: n2}}\n",
        );
        assert_eq!(read(&list, "m").unwrap().nodes.len(), 2);
    }
}
