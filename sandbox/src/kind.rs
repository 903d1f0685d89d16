//! What the server knows of one kind of object: names, versions, schema, and how it is shown.

use std::sync::OnceLock;

use serde_json::Value;

use crate::builtin::{Builtin, events};
use crate::jsonpath::JsonPath;
use crate::metadata::NameRule;
use crate::schema::{Schema, Strictness};
use crate::status::Subject;
use crate::store::{Draft, TableId};

/// A kind and all of its versions.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Where its objects are kept. Two kinds may share a table (events of two groups).
    pub(crate) table: TableId,
    /// The apiVersion of what is kept.
    pub(crate) stored_api_version: String,
    pub(crate) versions: Vec<Version>,
    pub(crate) nature: Nature,
}

/// Whether the kind came with the server or from a CustomResourceDefinition.
#[derive(Debug)]
pub(crate) enum Nature {
    Builtin(&'static Builtin),
    Custom,
}

/// One version of a kind.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: String,
    pub(crate) schema: SchemaSource,
    /// Whether status is written through a subresource.
    pub(crate) status: bool,
    /// Columns of a custom resource; a built-in kind has its own.
    pub(crate) columns: Vec<Column>,
    /// Fields, apart from name and namespace, by which objects can be selected.
    pub(crate) selectable: Vec<String>,
    pub(crate) conversion: Conversion,
    /// The schema as it is published, of custom resources.
    pub(crate) published: Option<Value>,
}

/// How objects of a version differ from those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// In apiVersion at most.
    ApiVersion,
    /// As events.k8s.io/v1 does from core events.
    Events,
}

/// A column of `kubectl get`.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    pub(crate) priority: i64,
    pub(crate) path: JsonPath,
}

/// A schema that is at hand, or is built when first asked for.
#[derive(Debug)]
pub(crate) enum SchemaSource {
    Ready(Schema),
    Lazy(fn() -> Schema, OnceLock<Schema>),
}

impl SchemaSource {
    /// The schema.
    pub(crate) fn get(&self) -> &Schema {
        match self {
            Self::Ready(schema) => schema,
            Self::Lazy(build, cell) => cell.get_or_init(build),
        }
    }
}

impl Kind {
    /// What refusals say of an object of this kind.
    pub(crate) fn subject<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject { group: &self.group, resource: &self.plural, kind: &self.kind, name }
    }

    /// The built-in behaviour, if any.
    pub(crate) fn builtin(&self) -> Option<&'static Builtin> {
        match self.nature {
            Nature::Builtin(builtin) => Some(builtin),
            Nature::Custom => None,
        }
    }

    pub(crate) fn strictness(&self) -> Strictness {
        match self.nature {
            Nature::Builtin(_) => Strictness::Builtin,
            Nature::Custom => Strictness::Custom,
        }
    }

    pub(crate) fn name_rule(&self) -> NameRule {
        self.builtin().map_or(NameRule::Subdomain, |builtin| builtin.names)
    }

    /// Whether a create through PUT or apply of a missing object is an update's right.
    pub(crate) fn create_on_update(&self) -> bool {
        self.builtin().is_some_and(|builtin| builtin.create_on_update)
    }

    /// Whether an update may leave out the resourceVersion.
    pub(crate) fn unconditional_update(&self) -> bool {
        self.builtin().is_some_and(|builtin| builtin.unconditional_update)
    }

    /// Whether metadata.generation counts changes.
    pub(crate) fn counts_generations(&self) -> bool {
        self.builtin().is_none_or(|builtin| builtin.generation)
    }

    /// `group/version`, or the version alone in the core group.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }
}

/// A kind at one of its versions: what a request path names.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) kind: std::sync::Arc<Kind>,
    pub(crate) version: usize,
    pub(crate) api_version: String,
}

impl Endpoint {
    /// The version.
    pub(crate) fn version(&self) -> Option<&Version> {
        self.kind.versions.get(self.version)
    }

    /// The schema of the version.
    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.version().map(|version| version.schema.get())
    }

    /// The schema of what clients send, where it is a built-in type.
    pub(crate) fn sent_schema(&self) -> Option<&Schema> {
        match (self.kind.builtin(), self.conversion()) {
            (Some(_), Conversion::ApiVersion) => self.schema(),
            (Some(_), Conversion::Events) => Some(&events::SCHEMA),
            (None, _) => None,
        }
    }

    /// Whether status is written through a subresource.
    pub(crate) fn has_status(&self) -> bool {
        self.version().is_some_and(|version| version.status)
    }

    fn conversion(&self) -> Conversion {
        self.version().map_or(Conversion::ApiVersion, |version| version.conversion)
    }

    /// Whether stored text is also this version's text.
    pub(crate) fn is_stored_form(&self) -> bool {
        self.api_version == self.kind.stored_api_version
    }

    /// Whether stored text becomes this version's text by changing apiVersion alone.
    pub(crate) fn differs_in_api_version_only(&self) -> bool {
        self.conversion() == Conversion::ApiVersion
    }

    /// From this version to what is kept.
    pub(crate) fn to_stored(&self, object: &mut Value) {
        if self.conversion() == Conversion::Events {
            events::to_core(object);
        }
        if !self.is_stored_form() {
            set_api_version(object, &self.kind.stored_api_version);
        }
    }

    /// From what is kept to this version.
    pub(crate) fn show(&self, object: &mut Value) {
        if self.conversion() == Conversion::Events {
            events::from_core(object);
        }
        if !self.is_stored_form() {
            set_api_version(object, &self.api_version);
        }
    }

    /// An object in stored form, ready to be committed.
    pub(crate) fn draft(&self, object: &Value) -> Draft {
        let fields = match self.kind.nature {
            Nature::Builtin(builtin) => (builtin.fields)(object),
            Nature::Custom => self
                .version()
                .into_iter()
                .flat_map(|version| &version.selectable)
                .map(|path| {
                    let pointer = path.replace('.', "/");
                    let value = match object.pointer(&pointer) {
                        Some(Value::String(text)) => text.clone(),
                        Some(Value::Null) | None => String::new(),
                        Some(other) => other.to_string(),
                    };
                    (path.trim_start_matches('.').to_owned(), value)
                })
                .collect(),
        };
        Draft::new(object, fields)
    }

    /// The fields, apart from name and namespace, by which objects can be selected.
    pub(crate) fn selectable(&self) -> Vec<&str> {
        match self.kind.nature {
            Nature::Builtin(builtin) => builtin.selectable.to_vec(),
            Nature::Custom => self
                .version()
                .into_iter()
                .flat_map(|version| &version.selectable)
                .map(|path| path.trim_start_matches('.'))
                .collect(),
        }
    }
}

fn set_api_version(object: &mut Value, api_version: &str) {
    if let Value::Object(map) = object {
        map.insert("apiVersion".into(), api_version.into());
    }
}
