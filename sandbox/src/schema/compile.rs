//! From the JSON of a schema to nodes: a CustomResourceDefinition's openAPIV3Schema, or the generated schema of a
//! built-in type with its definitions.

use std::collections::{BTreeMap, HashMap};

use regex::Regex;
use serde_json::{Map, Value};

use super::{Additional, Checks, Id, ListKind, Node, Pattern, Schema, Type};
use crate::status::FieldError;

/// Compiles the schema of a custom resource version. `path` is where it stands, for the errors.
pub(crate) fn compile_custom(schema: &Value, path: &str) -> Result<Schema, Vec<FieldError>> {
    let mut compiler = Compiler::default();
    let root = compiler.node(schema, path, Place::Structure);
    compiler.finish(root)
}

/// Compiles the schema of a built-in type. `definitions` are the types it refers to, by name; `list_keys` tells by
/// type and field which key identifies the items of a list.
pub(crate) fn compile_builtin(
    root: &Value,
    definitions: &Map<String, Value>,
    list_keys: fn(&str, &str) -> Option<&'static str>,
) -> Schema {
    let mut compiler = Compiler { definitions: Some(definitions), list_keys: Some(list_keys), ..Compiler::default() };
    let root = compiler.node(root, "", Place::Structure);
    Schema { nodes: compiler.nodes, root }
}

/// Built-in types that hold any JSON, whatever their generated schema says.
const FREE_TYPES: [&str; 6] = [
    ".JSON",
    ".JSONSchemaPropsOrArray",
    ".JSONSchemaPropsOrBool",
    ".JSONSchemaPropsOrStringArray",
    ".FieldsV1",
    ".RawExtension",
];

/// Where a schema stands: a structural one says what may be there, one below anyOf and the like only restricts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Structure,
    Restriction,
}

#[derive(Default)]
struct Compiler<'a> {
    nodes: Vec<Node>,
    errors: Vec<FieldError>,
    definitions: Option<&'a Map<String, Value>>,
    list_keys: Option<fn(&str, &str) -> Option<&'static str>>,
    known: HashMap<String, Id>,
    /// The type whose members are being compiled.
    owner: String,
}

impl Compiler<'_> {
    fn finish(self, root: Id) -> Result<Schema, Vec<FieldError>> {
        if self.errors.is_empty() { Ok(Schema { nodes: self.nodes, root }) } else { Err(self.errors) }
    }

    fn node(&mut self, schema: &Value, path: &str, place: Place) -> Id {
        if let Some(id) = self.referred(schema) {
            return id;
        }
        let id = self.nodes.len();
        self.nodes.push(Node::default());
        let node = self.build(schema, path, place);
        if let Some(slot) = self.nodes.get_mut(id) {
            *slot = node;
        }
        id
    }

    /// The node of `$ref`, or of an `allOf` that only wraps one to give it a description.
    fn referred(&mut self, schema: &Value) -> Option<Id> {
        let definitions = self.definitions?;
        let reference = schema.get("$ref").or_else(|| {
            let [only] = schema.get("allOf")?.as_array()?.as_slice() else {
                return None;
            };
            only.get("$ref")
        })?;
        let name = reference.as_str()?.rsplit('/').next()?.to_owned();
        if let Some(id) = self.known.get(&name) {
            return Some(*id);
        }
        let target = definitions.get(&name)?;
        let id = self.nodes.len();
        self.nodes.push(Node::default());
        self.known.insert(name.clone(), id);
        let type_name: Box<str> = name.as_str().into();
        let node = if FREE_TYPES.iter().any(|free| name.ends_with(free)) {
            Node { preserve_unknown: true, ..Node::default() }
        } else {
            let outer = std::mem::replace(&mut self.owner, name);
            let node = self.build(target, "", Place::Structure);
            self.owner = outer;
            node
        };
        if let Some(slot) = self.nodes.get_mut(id) {
            *slot = Node { type_name: Some(type_name), ..node };
        }
        Some(id)
    }

    fn build(&mut self, schema: &Value, path: &str, place: Place) -> Node {
        let Some(map) = schema.as_object() else {
            // `true` of JSON schema, and what schemars prints for "anything".
            return Node { preserve_unknown: true, ..Node::default() };
        };
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        let kind = self.kind(map, path, place, flag("x-kubernetes-int-or-string"));
        let anything = self.definitions.is_some()
            && matches!(kind, None | Some(Type::Object))
            && !map.contains_key("properties")
            && !map.contains_key("additionalProperties");
        let mut node = Node {
            kind,
            nullable: flag("nullable"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields") || anything,
            embedded: flag("x-kubernetes-embedded-resource"),
            atomic_map: map.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
            list: self.list(map, path),
            default: map.get("default").cloned(),
            required: strings(map.get("required")),
            ..Node::default()
        };
        if let Some(Value::Object(properties)) = map.get("properties") {
            node.properties = self.properties(properties, path, place);
        }
        node.additional = match map.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Anything,
            Some(each @ Value::Object(_)) => {
                Additional::Each(self.node(each, &format!("{path}.additionalProperties"), place))
            }
            _ => Additional::None,
        };
        match map.get("items") {
            Some(Value::Array(_)) => self
                .errors
                .push(FieldError::forbidden(format!("{path}.items"), "items must be a schema object and not an array")),
            Some(items) => node.items = Some(self.node(items, &format!("{path}.items"), place)),
            None if kind == Some(Type::Array) && place == Place::Structure => {
                self.errors.push(FieldError::required(format!("{path}.items"), "must be specified"))
            }
            None => {}
        }
        node.checks = self.checks(map, path);
        node
    }

    fn kind(&mut self, map: &Map<String, Value>, path: &str, place: Place, int_or_string: bool) -> Option<Type> {
        match map.get("type") {
            Some(Value::String(word)) => {
                let kind = Type::parse(word);
                if kind.is_none() {
                    let known = ["array", "boolean", "integer", "number", "object", "string"];
                    self.errors.push(FieldError::not_supported(
                        format!("{path}.type"),
                        &Value::String(word.clone()),
                        &known.map(String::from),
                    ));
                }
                kind
            }
            _ if place == Place::Structure
                && self.definitions.is_none()
                && !int_or_string
                && !map.contains_key("x-kubernetes-preserve-unknown-fields") =>
            {
                self.errors.push(FieldError::required(
                    format!("{path}.type"),
                    "must not be empty for specified object fields",
                ));
                None
            }
            _ => None,
        }
    }

    fn properties(&mut self, properties: &Map<String, Value>, path: &str, place: Place) -> BTreeMap<Box<str>, Id> {
        properties
            .iter()
            .map(|(key, schema)| {
                let id = self.node(schema, &format!("{path}.properties[{key}]"), place);
                let keyed = self.list_keys.and_then(|keys| keys(&self.owner, key));
                if let Some(list_key) = keyed {
                    // The node of a list belongs to this one field, so it may carry the field's merge key.
                    if let Some(node) = self.nodes.get_mut(id) {
                        node.list = match list_key {
                            "" => ListKind::Set,
                            key => ListKind::Map(vec![key.to_owned()]),
                        };
                    }
                }
                (key.as_str().into(), id)
            })
            .collect()
    }

    fn list(&mut self, map: &Map<String, Value>, path: &str) -> ListKind {
        let keys: Vec<String> = strings(map.get("x-kubernetes-list-map-keys")).into_iter().map(String::from).collect();
        match map.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => ListKind::Set,
            Some("map") if keys.is_empty() => {
                self.errors.push(FieldError::required(
                    format!("{path}.x-kubernetes-list-map-keys"),
                    "must not be empty if x-kubernetes-list-type is map",
                ));
                ListKind::Atomic
            }
            Some("map") => ListKind::Map(keys),
            _ => ListKind::Atomic,
        }
    }

    fn checks(&mut self, map: &Map<String, Value>, path: &str) -> Option<Box<Checks>> {
        let number = |key: &str| map.get(key).and_then(Value::as_f64);
        let count = |key: &str| map.get(key).and_then(Value::as_u64);
        let flag = |key: &str| map.get(key).and_then(Value::as_bool).unwrap_or(false);
        const WORDS: [&str; 20] = [
            "enum",
            "pattern",
            "format",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "uniqueItems",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
            "x-kubernetes-int-or-string",
        ];
        if !WORDS.iter().any(|word| map.contains_key(*word)) {
            return None;
        }
        let pattern = map.get("pattern").and_then(Value::as_str).and_then(|source| match Regex::new(source) {
            Ok(regex) => Some(Pattern { source: source.to_owned(), regex }),
            Err(error) => {
                self.errors.push(FieldError::invalid(
                    format!("{path}.pattern"),
                    &Value::String(source.to_owned()),
                    format!("must be a valid regular expression, but isn't: {error}"),
                ));
                None
            }
        });
        let mut several = |key: &str| -> Vec<Id> {
            map.get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .enumerate()
                .map(|(index, schema)| self.node(schema, &format!("{path}.{key}[{index}]"), Place::Restriction))
                .collect()
        };
        let (all_of, any_of, one_of) = (several("allOf"), several("anyOf"), several("oneOf"));
        let not = map.get("not").map(|schema| self.node(schema, &format!("{path}.not"), Place::Restriction));
        Some(Box::new(Checks {
            allowed: map.get("enum").and_then(Value::as_array).cloned(),
            pattern,
            format: map.get("format").and_then(Value::as_str).map(String::from),
            minimum: number("minimum"),
            maximum: number("maximum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            unique_items: flag("uniqueItems"),
            all_of,
            any_of,
            one_of,
            not,
        }))
    }
}

fn strings(value: Option<&Value>) -> Vec<Box<str>> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(|word| Some(word.as_str()?.into())).collect()
}
