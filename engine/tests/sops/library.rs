//! The files as they stand in the repository, and what holds for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use aegis_crds::rule::{Mode, RuleApproval};
use aegis_crds::{AegisAlertOpsRule, AegisOpsTemplate};
use aegis_engine::lint;
use aegis_engine::plan::CompiledTemplate;
use aegis_engine::render::{Parameters, checks};
use aegis_engine::rules::RuleBook;
use aegis_engine::scope::Namespaces;
use serde_json::Value;

/// Procedures after which something is lost that nobody can put back, or a node is away for a while.
const GRAVE: [&str; 4] = ["delete-stuck-pod", "drain", "reboot", "reset-gpu"];

/// One procedure.
pub struct Sop {
    pub name: String,
    pub template: AegisOpsTemplate,
    /// For what people ask for by hand.
    pub manual: AegisAlertOpsRule,
    /// The example of a rule for alerts.
    pub on_alert: AegisAlertOpsRule,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn documents(path: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap()
}

/// All of them, in the order of their names.
pub fn all() -> Vec<Sop> {
    let folders = fs::read_dir(repository("manifest/sops")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.is_dir() && !path.ends_with("roles")).collect();
    folders.sort();
    let sops: Vec<Sop> = folders.iter().map(|folder| read(folder)).collect();
    assert_eq!(sops.len(), 11);
    sops
}

pub fn named(name: &str) -> Sop {
    all().into_iter().find(|sop| sop.name == name).unwrap()
}

fn read(folder: &Path) -> Sop {
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let [template, manual] = <[Value; 2]>::try_from(documents(&folder.join("sop.yaml"))).unwrap();
    let [on_alert] = <[Value; 1]>::try_from(documents(&folder.join("rule.yaml"))).unwrap();
    Sop {
        name,
        template: serde_json::from_value(template).unwrap(),
        manual: serde_json::from_value(manual).unwrap(),
        on_alert: serde_json::from_value(on_alert).unwrap(),
    }
}

impl Sop {
    pub fn compiled(&self) -> CompiledTemplate {
        CompiledTemplate::compile(&self.template).unwrap_or_else(|broken| panic!("{}: {broken}", self.name))
    }

    /// The names of its own parameters and what the template says of them.
    pub fn described(&self) -> BTreeMap<String, String> {
        let text = self.template.metadata.annotations.as_ref().unwrap().get("aegis.io/sop-parameters");
        let lines = text.map(String::as_str).unwrap_or_default().lines();
        lines.map(|line| line.split_once(": ").unwrap()).map(|(name, text)| (name.into(), text.into())).collect()
    }

    pub fn is_about_a_pod(&self) -> bool {
        self.template.metadata.annotations.as_ref().unwrap()["aegis.io/sop-target"] == "Pod"
    }

    /// The parameters of an alert about a node, or about a pod on it, with further details.
    pub fn parameters(&self, details: &[(&str, &str)]) -> Parameters {
        let of_pod = [("Kind", "Pod"), ("Name", "web-0"), ("Namespace", "shop"), ("Node", "n1")];
        let of_node = [("Kind", "Node"), ("Name", "n1"), ("Namespace", ""), ("Node", "n1")];
        let object = if self.is_about_a_pod() { of_pod } else { of_node };
        let object = object.map(|(field, value)| (format!("InvolvedObject{field}"), value.to_owned()));
        let details = details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        object.into_iter().chain(details).collect()
    }
}

#[test]
fn every_procedure_can_be_used_and_has_nothing_that_hurts() {
    for sop in all() {
        sop.compiled();
        let findings = lint::template(&sop.template);
        assert!(findings.is_empty(), "{}: {findings:#?}", sop.name);
        assert!(sop.template.spec.timeout.is_some(), "{}: an action that hangs is stopped", sop.name);
        let name = format!("sop-{}", sop.name);
        assert_eq!(sop.template.metadata.name.as_deref(), Some(name.as_str()));
        let label = |labels: &Option<BTreeMap<String, String>>| labels.as_ref().unwrap()["aegis.io/sop"].clone();
        for labels in [&sop.template.metadata.labels, &sop.manual.metadata.labels, &sop.on_alert.metadata.labels] {
            assert_eq!(label(labels), sop.name);
        }
        for rule in [&sop.manual, &sop.on_alert] {
            assert_eq!(rule.spec.ops_template.name.as_deref(), Some(name.as_str()));
            assert_eq!(rule.spec.recovery, sop.template.spec.recovery);
        }
    }
}

#[test]
fn the_examples_have_nothing_that_hurts_either() {
    for path in ["quickstart/rule.yaml", "dropcache/rule.yaml", "hpc/rules.yaml", "guard/rules.yaml"] {
        let templates = documents(&repository("examples").join(path));
        for template in templates.into_iter().filter(|object| object["kind"] == "AegisOpsTemplate") {
            let findings = lint::template(&serde_json::from_value(template).unwrap());
            assert!(findings.is_empty(), "{path}: {findings:#?}");
        }
    }
}

#[test]
fn every_parameter_is_told_of_and_none_else() {
    for sop in all() {
        let compiled = sop.compiled();
        let own = compiled.manifest.parameters().filter(|name| !name.starts_with("InvolvedObject"));
        let own: BTreeSet<String> = own.map(str::to_owned).collect();
        assert_eq!(sop.described().into_keys().collect::<BTreeSet<_>>(), own, "{}", sop.name);
        // None is needed.
        compiled.manifest.render(&sop.parameters(&[])).unwrap();
    }
}

#[test]
fn its_own_rule_takes_what_people_ask_for_and_nothing_that_a_sender_says() {
    for sop in all() {
        let mut manual = sop.manual.clone();
        manual.metadata.namespace = Some("monitoring".into());
        let book = RuleBook::of(Namespaces::of("monitoring", [""; 0]), [&manual]);
        let picked = |source: &str, name: &str| {
            let labels = [("alert-source-type", source), ("sop", name)];
            let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let facts = aegis_engine::rules::AlertFacts { type_: "Sop", phase: Default::default(), labels: &labels };
            book.pick(&facts).is_some()
        };
        assert!(picked("manual", &sop.name), "{}", sop.name);
        assert!(!picked("alertmanager", &sop.name) && !picked("default", &sop.name), "{}", sop.name);
        assert!(!picked("manual", "another"), "{}", sop.name);
    }
}

#[test]
fn an_example_rule_only_observes_and_a_grave_one_asks_too() {
    for sop in all() {
        assert_eq!(sop.on_alert.spec.mode, Some(Mode::Observe), "{}", sop.name);
        let asks = sop.on_alert.spec.approval == Some(RuleApproval::Required);
        assert_eq!(asks, GRAVE.contains(&sop.name.as_str()), "{}", sop.name);
    }
}

#[test]
fn every_service_account_is_one_that_is_shipped_and_each_that_is_shipped_is_used() {
    let roles = fs::read_dir(repository("manifest/sops/roles")).unwrap().map(|entry| entry.unwrap().path());
    let shipped: BTreeSet<String> = roles
        .flat_map(|path| documents(&path))
        .filter(|object| object["kind"] == "ServiceAccount")
        .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let mut used = BTreeSet::new();
    for sop in all() {
        let object = sop.compiled().manifest.render(&sop.parameters(&[])).unwrap();
        used.extend(checks::service_accounts(&object).unwrap().into_iter().map(|account| account.name));
    }
    assert!(used.remove("aegis-workflow"));
    assert_eq!(used, shipped);
}

#[test]
fn both_pages_tell_of_every_procedure_and_each_of_its_parameters() {
    for page in ["docs/sops/README.md", "docs/sops/README_CN.md"] {
        let text = fs::read_to_string(repository(page)).unwrap();
        for sop in all() {
            let title = format!("\n## {}\n", sop.name);
            let section = text.split(&title).nth(1).unwrap_or_else(|| panic!("{page} has no section {}", sop.name));
            let section = section.split("\n## ").next().unwrap();
            for name in sop.described().keys() {
                assert!(section.contains(&format!("`{name}`")), "{page}: {} says nothing of {name}", sop.name);
            }
            let object = sop.compiled().manifest.render(&sop.parameters(&[])).unwrap();
            for account in checks::service_accounts(&object).unwrap() {
                assert!(section.contains(&format!("`{}`", account.name)), "{page}: {}: {}", sop.name, account.name);
            }
        }
    }
}
