//! Structural schemas: what an object of a kind may hold. Compiled once, then used to prune, default and validate.

mod compile;
mod default;
mod format;
mod prune;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

pub(crate) use compile::{compile_builtin, compile_custom};
pub(crate) use validate::Strictness;

/// A compiled schema. Nodes refer to each other by index, since types such as JSONSchemaProps contain themselves.
#[derive(Debug)]
pub(crate) struct Schema {
    nodes: Vec<Node>,
    root: usize,
}

type Id = usize;

/// The JSON types that a schema can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// What may stand beside the named properties.
#[derive(Debug, Clone, Copy, Default)]
enum Additional {
    #[default]
    None,
    Anything,
    Each(Id),
}

/// How a list is merged by server-side apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ListKind {
    /// The list has one owner.
    #[default]
    Atomic,
    /// Each value has owners.
    Set,
    /// Each item, named by these keys, has owners.
    Map(Vec<String>),
}

#[derive(Debug, Default)]
struct Node {
    /// The published name of a built-in type.
    type_name: Option<Box<str>>,
    kind: Option<Type>,
    nullable: bool,
    int_or_string: bool,
    preserve_unknown: bool,
    embedded: bool,
    atomic_map: bool,
    properties: BTreeMap<Box<str>, Id>,
    additional: Additional,
    items: Option<Id>,
    list: ListKind,
    required: Vec<Box<str>>,
    default: Option<Value>,
    checks: Option<Box<Checks>>,
}

#[derive(Debug, Default)]
struct Checks {
    allowed: Option<Vec<Value>>,
    pattern: Option<Pattern>,
    format: Option<String>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,
    multiple_of: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    unique_items: bool,
    all_of: Vec<Id>,
    any_of: Vec<Id>,
    one_of: Vec<Id>,
    not: Option<Id>,
}

#[derive(Debug)]
struct Pattern {
    source: String,
    regex: Regex,
}

/// What stands at a place, as far as another encoding must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Map,
    List,
    Text,
    Integer,
    Number,
    Boolean,
    IntOrString,
    Anything,
}

/// A place in a schema, for walking an object and its schema side by side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    schema: &'a Schema,
    node: Option<&'a Node>,
}

impl Schema {
    fn node(&self, id: Id) -> Option<&Node> {
        self.nodes.get(id)
    }

    /// The place of the whole object.
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor { schema: self, node: self.node(self.root) }
    }
}

impl<'a> Cursor<'a> {
    /// The place of a member of the object here.
    pub(crate) fn member(self, key: &str) -> Self {
        let id = self.node.and_then(|node| {
            node.properties.get(key).copied().or(match node.additional {
                Additional::Each(id) => Some(id),
                Additional::None | Additional::Anything => None,
            })
        });
        Self { node: id.and_then(|id| self.schema.node(id)), ..self }
    }

    /// The place of the items of the list here.
    pub(crate) fn item(self) -> Self {
        Self { node: self.node.and_then(|node| node.items).and_then(|id| self.schema.node(id)), ..self }
    }

    /// The place of the values of the map here.
    pub(crate) fn value(self) -> Self {
        let id = self.node.and_then(|node| match node.additional {
            Additional::Each(id) => Some(id),
            Additional::None | Additional::Anything => None,
        });
        Self { node: id.and_then(|id| self.schema.node(id)), ..self }
    }

    /// Whether the schema knows this place.
    pub(crate) fn is_known(self) -> bool {
        self.node.is_some()
    }

    /// The published name of the type here, if it is a built-in one.
    pub(crate) fn type_name(self) -> Option<&'a str> {
        self.node?.type_name.as_deref()
    }

    /// Whether the text here is bytes in base64.
    pub(crate) fn is_base64(self) -> bool {
        let format = self.node.and_then(|node| node.checks.as_ref()?.format.as_deref());
        format == Some("byte")
    }

    /// What stands here.
    pub(crate) fn shape(self) -> Shape {
        let Some(node) = self.node else {
            return Shape::Anything;
        };
        match node.kind {
            _ if node.int_or_string => Shape::IntOrString,
            _ if node.preserve_unknown => Shape::Anything,
            None => Shape::Anything,
            Some(Type::Array) => Shape::List,
            Some(Type::String) => Shape::Text,
            Some(Type::Integer) => Shape::Integer,
            Some(Type::Number) => Shape::Number,
            Some(Type::Boolean) => Shape::Boolean,
            Some(Type::Object) => match node.additional {
                Additional::Each(_) => Shape::Map,
                Additional::None | Additional::Anything => Shape::Object,
            },
        }
    }

    /// How the list here is merged.
    pub(crate) fn list(self) -> &'a ListKind {
        const ATOMIC: &ListKind = &ListKind::Atomic;
        self.node.map_or(ATOMIC, |node| &node.list)
    }

    /// Whether the object here has one owner as a whole.
    pub(crate) fn atomic_map(self) -> bool {
        self.node.is_some_and(|node| node.atomic_map)
    }
}

/// Extends a field path by a member.
fn push_member(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// Extends a field path by an index.
fn push_index(path: &mut String, index: usize) {
    path.push_str(&format!("[{index}]"));
}

/// The members that every whole object has, whatever its schema says.
fn is_object_header(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata")
}
