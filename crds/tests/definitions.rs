//! What the generated definitions promise to those who apply them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn install() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifest/install")
}

#[test]
fn the_files_in_manifest_install_are_the_generated_ones() {
    let mut expected = BTreeSet::new();
    for (name, text) in aegis_crds::install_files().unwrap() {
        let file = install().join(&name);
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(found == text, "{name} differs: run `cargo run -p aegis-crds --bin crdgen`");
        expected.insert(name);
    }
    let found: BTreeSet<_> =
        fs::read_dir(install()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected, "nothing else is applied with the definitions");
}

#[test]
fn each_definition_fits_client_side_apply() {
    for crd in aegis_crds::definitions() {
        let size = serde_json::to_vec(&crd).unwrap().len();
        let name = crd.metadata.name.unwrap();
        assert!(size < 128 * 1024, "{name} is {size} bytes, kubectl keeps a copy in an annotation of limited size");
    }
}

#[test]
fn every_kind_has_a_status_subresource_a_short_name_and_the_category() {
    for crd in aegis_crds::definitions() {
        let name = crd.metadata.name.clone().unwrap();
        assert_eq!(crd.spec.names.categories.as_deref(), Some(&["aegis".to_owned()][..]), "{name}");
        assert!(crd.spec.names.short_names.is_some_and(|names| !names.is_empty()), "{name}");
        let version = &crd.spec.versions[0];
        assert_eq!(version.name, "v1alpha1", "{name}");
        assert!(version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()), "{name}");
    }
}

#[test]
fn the_default_columns_are_those_that_users_know() {
    let expected = [
        ("AegisAlert", "Type ObjectKind ObjectName Status Count TriggerStatus OpsStatus Age"),
        ("AegisAlertOpsRule", "Status"),
        ("AegisOpsTemplate", "Status ExecuteSucceed ExecuteFailed"),
        ("AegisDiagnosis", "Phase Age"),
        ("AegisNodeHealthCheck", "Node Status Age"),
        ("AegisClusterHealthCheck", "Desired Active Succeeded Failed Phase Age"),
        ("AegisGuard", "Status Paused Unfinished Breaker Age"),
    ];
    for (crd, (kind, columns)) in aegis_crds::definitions().into_iter().zip(expected) {
        assert_eq!(crd.spec.names.kind, kind);
        let shown: Vec<_> = crd.spec.versions[0]
            .additional_printer_columns
            .iter()
            .flatten()
            .filter(|column| column.priority.unwrap_or(0) == 0)
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(shown.join(" "), columns, "{kind}");
    }
}

#[test]
fn every_field_of_ours_is_described() {
    fn walk(schema: &Value, path: &str, missing: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                missing.push(path.clone());
            }
            walk(property, &path, missing);
            walk(&property["items"], &path, missing);
        }
    }
    let mut missing = Vec::new();
    for crd in aegis_crds::definitions() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        for part in ["spec", "status"] {
            let path = format!("{}.{part}", crd.spec.names.kind);
            walk(&schema["openAPIV3Schema"]["properties"][part], &path, &mut missing);
        }
    }
    assert!(missing.is_empty(), "no description: {missing:#?}");
}
