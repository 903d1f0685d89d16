//! The library of procedures that this plugin carries: the files of manifest/sops, as they are.

pub(crate) mod follow;
pub(crate) mod install;
pub(crate) mod request;
pub(crate) mod run;
pub(crate) mod short;
pub(crate) mod show;

use std::collections::BTreeMap;

use aegis_crds::AegisOpsTemplate;
use aegis_engine::plan::CompiledTemplate;
use aegis_engine::render::{Parameters, checks};
use kube::ResourceExt;
use serde_json::Value;

use crate::apply;
use crate::failure::{Failure, Kind};

/// What it is for, in a line.
const SUMMARY: &str = "aegis.io/sop-summary";
/// Node or Pod.
const TARGET: &str = "aegis.io/sop-target";
/// Lines of "name: what it is".
const PARAMETERS: &str = "aegis.io/sop-parameters";

/// One procedure.
#[derive(Debug)]
pub(crate) struct Sop {
    /// What people call it.
    pub(crate) name: &'static str,
    /// The template, and the rule for what people ask for.
    text: &'static str,
    /// The example of a rule for alerts.
    rule: &'static str,
}

macro_rules! sop {
    ($name:literal) => {
        Sop {
            name: $name,
            text: include_str!(concat!("../../../manifest/sops/", $name, "/sop.yaml")),
            rule: include_str!(concat!("../../../manifest/sops/", $name, "/rule.yaml")),
        }
    };
}

/// All of them, the gentle ones first.
pub(crate) static LIBRARY: [Sop; 11] = [
    sop!("collect-diagnostics"),
    sop!("cordon"),
    sop!("uncordon"),
    sop!("drain"),
    sop!("restart-pod"),
    sop!("delete-stuck-pod"),
    sop!("drop-caches"),
    sop!("restart-kubelet"),
    sop!("restart-runtime"),
    sop!("reset-gpu"),
    sop!("reboot"),
];

/// Roles by the ServiceAccount that has them.
static ROLES: [(&str, &str); 2] = [
    ("aegis-sop-drain", include_str!("../../../manifest/sops/roles/drain.yaml")),
    ("aegis-sop-pods", include_str!("../../../manifest/sops/roles/pods.yaml")),
];

impl Sop {
    /// The one of that name.
    pub(crate) fn named(name: &str) -> Result<&'static Self, Failure> {
        LIBRARY.iter().find(|sop| sop.name == name).ok_or_else(|| {
            let names: Vec<&str> = LIBRARY.iter().map(|sop| sop.name).collect();
            Failure::new(Kind::NotFound, format!("there is no procedure {name:?} in the library"))
                .hint(format!("it has {}", names.join(", ")))
        })
    }

    /// What the file says of it before anything else, as text.
    pub(crate) fn about(&self) -> String {
        let lines = self.text.lines().map_while(|line| line.strip_prefix('#'));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    }

    /// Its template.
    pub(crate) fn template(&self) -> Result<AegisOpsTemplate, Failure> {
        let template = documents(self.text)?.into_iter().next().unwrap_or(Value::Null);
        serde_json::from_value(template).map_err(broken)
    }

    /// The ServiceAccounts that its pods run as.
    pub(crate) fn accounts(&self) -> Result<Vec<String>, Failure> {
        let compiled = CompiledTemplate::compile(&self.template()?).map_err(broken)?;
        let parameters: Parameters = compiled.manifest.parameters().map(|name| (name, "1")).collect();
        let object = compiled.manifest.render(&parameters).map_err(broken)?;
        let mut accounts: Vec<String> =
            checks::service_accounts(&object).map_err(broken)?.into_iter().map(|account| account.name).collect();
        accounts.sort();
        accounts.dedup();
        Ok(accounts)
    }

    /// Everything to apply, in that order, to that namespace: roles, template, and its own rule; with the example of a
    /// rule for alerts if that is wanted.
    pub(crate) fn objects(&self, namespace: &str, with_rule: bool) -> Result<Vec<Value>, Failure> {
        let mut objects = Vec::new();
        for account in self.accounts()? {
            for (_, text) in ROLES.iter().filter(|(name, _)| *name == account) {
                objects.extend(documents(text)?);
            }
        }
        objects.extend(documents(self.text)?);
        if with_rule {
            objects.extend(documents(self.rule)?);
        }
        for object in &mut objects {
            apply::place(object, namespace);
        }
        Ok(objects)
    }
}

/// The roles that procedures may need, in that namespace.
pub(crate) fn roles(namespace: &str) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    for (_, text) in &ROLES {
        objects.extend(documents(text)?);
    }
    for object in &mut objects {
        apply::place(object, namespace);
    }
    Ok(objects)
}

/// What a template says of its parameters, by name.
pub(crate) fn parameters(template: &AegisOpsTemplate) -> BTreeMap<String, String> {
    let text = template.annotations().get(PARAMETERS).map(String::as_str).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, what)| (name.to_owned(), what.to_owned())).collect()
}

/// Whether it is about pods; else it is about nodes.
pub(crate) fn is_about_a_pod(template: &AegisOpsTemplate) -> bool {
    template.annotations().get(TARGET).is_some_and(|target| target == "Pod")
}

fn summary(template: &AegisOpsTemplate) -> &str {
    template.annotations().get(SUMMARY).map(String::as_str).unwrap_or_default()
}

fn documents(text: &str) -> Result<Vec<Value>, Failure> {
    serde_saphyr::from_multiple(text).map_err(broken)
}

fn broken(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Kind::Usage, "the library of this plugin cannot be read").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_carries_every_procedure_of_the_repository() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifest/sops");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "roles")
            .collect();
        found.sort();
        let mut carried: Vec<&str> = LIBRARY.iter().map(|sop| sop.name).collect();
        carried.sort_unstable();
        assert_eq!(found, carried);
    }

    #[test]
    fn what_is_applied_belongs_to_the_namespace_that_was_asked_for() {
        for sop in &LIBRARY {
            let objects = sop.objects("ops", true).unwrap();
            let text = serde_json::to_string(&objects).unwrap();
            assert!(!text.contains("monitoring"), "{}: {text}", sop.name);
            let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
            let own = ["AegisOpsTemplate", "AegisAlertOpsRule", "AegisAlertOpsRule"];
            assert!(kinds.ends_with(&own), "{}: {kinds:?}", sop.name);
            let roles = if sop.accounts().unwrap().iter().all(|name| name == "aegis-workflow") { 0 } else { 5 };
            assert_eq!(kinds.len(), roles + 3, "{}: {kinds:?}", sop.name);
            assert!(!summary(&sop.template().unwrap()).is_empty() && !sop.about().is_empty());
        }
    }
}
