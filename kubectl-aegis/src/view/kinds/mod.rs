//! What can be listed: the words for it, where it lies in the API, and its fields.

mod alert;
mod diagnosis;
mod inspection;
mod node;
mod rule;
mod template;
mod workflow;

use aegis_crds::names;
use jiff::Timestamp;
use serde_json::Value;

use super::field::{Datum, Field, Place, Tone};

pub use node::OPEN_ALERTS;

/// Something that can be listed.
#[derive(Debug)]
pub struct Kind {
    /// The word for many; what the manual calls it.
    pub plural: &'static str,
    /// The word for one.
    pub singular: &'static str,
    /// What else it is called.
    pub aliases: &'static [&'static str],
    /// The resources that hold it.
    pub resources: &'static [Resource],
    /// Which of their objects are meant, as a label selector; empty for all.
    pub selector: &'static str,
    /// What is known of one, in the order of the columns.
    pub fields: &'static [Field],
    /// When something last happened to it.
    pub last: fn(&Value) -> Option<Timestamp>,
    /// Whether the latest stands first; else they are in the order of their names.
    pub latest_first: bool,
}

/// Where objects lie in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its group; empty for the core.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The kind of its objects.
    pub kind: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Its name before one object's name.
    pub singular: &'static str,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

impl Resource {
    const fn aegis(kind: &'static str, plural: &'static str, singular: &'static str) -> Self {
        Self { group: names::GROUP, version: "v1alpha1", kind, plural, singular, namespaced: true }
    }

    /// As objects of it say it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of the collection, in that namespace or in all.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", self.group) };
        let within = match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("/namespaces/{namespace}"),
            None => String::new(),
        };
        format!("{root}/{}{within}/{}", self.version, self.plural)
    }

    /// An object of it by name, as `-o name` writes it.
    pub fn named(&self, name: &str) -> String {
        if self.group.is_empty() {
            format!("{}/{name}", self.singular)
        } else {
            format!("{}.{}/{name}", self.singular, self.group)
        }
    }

    /// Its full name: the plural and the group.
    pub fn full_name(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// The alerts.
pub const ALERT: Resource = Resource::aegis("AegisAlert", "aegisalerts", "aegisalert");
/// The rules.
pub const RULE: Resource = Resource::aegis("AegisAlertOpsRule", "aegisalertopsrules", "aegisalertopsrule");
/// The templates.
pub const TEMPLATE: Resource = Resource::aegis("AegisOpsTemplate", "aegisopstemplates", "aegisopstemplate");
/// Argo's Workflows.
pub const WORKFLOW: Resource = Resource {
    group: "argoproj.io",
    version: "v1alpha1",
    kind: "Workflow",
    plural: "workflows",
    singular: "workflow",
    namespaced: true,
};
/// Jobs.
pub const JOB: Resource =
    Resource { group: "batch", version: "v1", kind: "Job", plural: "jobs", singular: "job", namespaced: true };
/// The nodes.
pub const NODE: Resource =
    Resource { group: "", version: "v1", kind: "Node", plural: "nodes", singular: "node", namespaced: false };
/// The pods.
pub const POD: Resource =
    Resource { group: "", version: "v1", kind: "Pod", plural: "pods", singular: "pod", namespaced: true };
/// The events.
pub const EVENT: Resource =
    Resource { group: "", version: "v1", kind: "Event", plural: "events", singular: "event", namespaced: true };

/// Everything that can be listed, in the order of the manual.
pub const ALL: &[Kind] = &[
    Kind {
        plural: "alerts",
        singular: "alert",
        aliases: &["aegisalerts", "aegisalert", "aalert"],
        resources: &[ALERT],
        selector: "",
        fields: alert::FIELDS,
        last: alert::last,
        latest_first: true,
    },
    Kind {
        plural: "rules",
        singular: "rule",
        aliases: &["aegisalertopsrules", "aegisalertopsrule", "arule"],
        resources: &[RULE],
        selector: "",
        fields: rule::FIELDS,
        last: created,
        latest_first: false,
    },
    Kind {
        plural: "templates",
        singular: "template",
        aliases: &["aegisopstemplates", "aegisopstemplate", "atemplate"],
        resources: &[TEMPLATE],
        selector: "",
        fields: template::FIELDS,
        last: created,
        latest_first: false,
    },
    Kind {
        plural: "workflows",
        singular: "workflow",
        aliases: &["jobs", "job", "actions", "action", "wf"],
        resources: &[WORKFLOW, JOB],
        selector: "app.kubernetes.io/managed-by=aegis",
        fields: workflow::FIELDS,
        last: created,
        latest_first: true,
    },
    Kind {
        plural: "diagnoses",
        singular: "diagnosis",
        aliases: &["aegisdiagnosises", "aegisdiagnosis", "adiag"],
        resources: &[Resource::aegis("AegisDiagnosis", "aegisdiagnosises", "aegisdiagnosis")],
        selector: "",
        fields: diagnosis::FIELDS,
        last: diagnosis::last,
        latest_first: true,
    },
    Kind {
        plural: "inspections",
        singular: "inspection",
        aliases: &["aegisnodehealthchecks", "anhc", "aegisclusterhealthchecks", "achc"],
        resources: &[
            Resource::aegis("AegisNodeHealthCheck", "aegisnodehealthchecks", "aegisnodehealthcheck"),
            Resource::aegis("AegisClusterHealthCheck", "aegisclusterhealthchecks", "aegisclusterhealthcheck"),
        ],
        selector: "",
        fields: inspection::FIELDS,
        last: inspection::last,
        latest_first: true,
    },
    Kind {
        plural: "nodes",
        singular: "node",
        aliases: &["no"],
        resources: &[NODE],
        selector: "",
        fields: node::FIELDS,
        last: created,
        latest_first: false,
    },
];

impl Kind {
    /// The kind of that word, whatever its case.
    pub fn parse(word: &str) -> Option<&'static Self> {
        let is = |known: &str| known.eq_ignore_ascii_case(word);
        let bare = word.split('.').next().unwrap_or_default();
        ALL.iter().find(|kind| {
            is(kind.plural) || is(kind.singular) || kind.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(bare))
        })
    }
}

/// When the object was made.
pub fn created(object: &Value) -> Option<Timestamp> {
    time(object, "/metadata/creationTimestamp")
}

fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    match Datum::time_at(object, pointer) {
        Datum::Time(time) => Some(time),
        _ => None,
    }
}

const fn namespace() -> Field {
    Field::text("namespace", "NAMESPACE", |object| Datum::at(object, "/metadata/namespace"))
        .or(&["ns"])
        .at(Place::Namespaces)
}

const fn name() -> Field {
    Field::text("name", "NAME", |object| Datum::at(object, "/metadata/name"))
}

const fn age() -> Field {
    Field::time("age", "AGE", |object| Datum::time_at(object, "/metadata/creationTimestamp"))
}

/// What the condition Valid of a rule or template says.
fn flaw(object: &Value) -> Datum {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let mut valid = conditions.filter(|one| one.get("type").and_then(Value::as_str) == Some("Valid"));
    valid.next().map_or(Datum::Nothing, |valid| Datum::at(valid, "/message"))
}

/// Of a rule or template: Recorded or Invalid.
fn recorded(datum: &Datum) -> Tone {
    match datum {
        Datum::Text(text) if text == "Recorded" => Tone::Good,
        Datum::Text(_) => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn faint(_: &Datum) -> Tone {
    Tone::Faint
}

fn failures(datum: &Datum) -> Tone {
    match datum {
        Datum::Number(1..) => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// How something ended or stands, in the words of Kubernetes, Argo and Aegis.
fn standing(datum: &Datum) -> Tone {
    let Datum::Text(text) = datum else { return Tone::Plain };
    match text.as_str() {
        "Succeeded" | "Completed" | "Complete" | "Resolved" => Tone::Good,
        "Failed" | "Error" | "TriggerFailed" | "RuleErrorFound" | "TemplateNotFound" | "TemplateInvalid" => Tone::Bad,
        "RuleNotFound" | "Withdrawn" | "Unknown" => Tone::Faint,
        _ => Tone::Busy,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_means_one_kind() {
        let mut known = BTreeSet::new();
        for kind in ALL {
            for word in [kind.plural, kind.singular].iter().chain(kind.aliases) {
                assert!(known.insert(word.to_lowercase()), "{word} means two kinds");
                assert_eq!(Kind::parse(word).map(|found| found.plural), Some(kind.plural), "{word}");
            }
        }
        assert_eq!(Kind::parse("aegisalerts.aegis.io").map(|kind| kind.plural), Some("alerts"));
        assert!(Kind::parse("pods").is_none());
    }

    #[test]
    fn every_name_means_one_field_of_its_kind() {
        for kind in ALL {
            let mut known = BTreeSet::new();
            for field in kind.fields {
                for name in std::iter::once(&field.name).chain(field.aliases) {
                    assert!(known.insert(*name), "{}: {name} means two fields", kind.plural);
                }
            }
            assert!(known.contains("name") && known.contains("age"), "{}", kind.plural);
        }
    }

    #[test]
    fn paths_lead_to_the_collection() {
        assert_eq!(ALERT.path(Some("a")), "/apis/aegis.io/v1alpha1/namespaces/a/aegisalerts");
        assert_eq!(ALERT.path(None), "/apis/aegis.io/v1alpha1/aegisalerts");
        assert_eq!(NODE.path(Some("a")), "/api/v1/nodes");
        assert_eq!((ALERT.named("x"), NODE.named("n")), ("aegisalert.aegis.io/x".into(), "node/n".into()));
    }
}
