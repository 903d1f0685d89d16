//! docs/schemas: what every `-o json` looks like, made from the types that are printed and kept equal to them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::cli::Cli;
use crate::{check, commands};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// In the place of the schema of a kind of ours, until the rest is strict: the member names the kind.
const KIND: &str = "x-kind";

/// The schema of what each verb prints with `-o json`.
const VERBS: [(&str, &str); 23] = [
    ("alert list", "objects"),
    ("alert rejected", "rejected"),
    ("check", "check"),
    ("get", "objects"),
    ("guard", "objects"),
    ("install", "objects"),
    ("pause", "objects"),
    ("plan", "plan"),
    ("resume", "objects"),
    ("rule create", "objects"),
    ("rule get", "objects"),
    ("rule lint", "lint"),
    ("rule report", "rule-report"),
    ("rule test", "rule-test"),
    ("sop list", "sop-list"),
    ("sop show", "objects"),
    ("template create", "objects"),
    ("template get", "objects"),
    ("template lint", "lint"),
    ("template render", "objects"),
    ("trace", "trace"),
    ("upgrade", "objects"),
    ("version", "version"),
];

/// The schema of a type as it is printed: nothing else may stand in its objects.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    plain(&mut schema);
    strict(&mut schema);
    schema
}

/// An AegisAlert, within the schema of another type.
pub(crate) fn alert(_: &mut SchemaGenerator) -> Schema {
    json_schema!({KIND: "AegisAlert"})
}

/// Every schema by its name, without what all of them have in common.
fn all() -> Vec<(&'static str, &'static str, Value)> {
    let list = |items: Value| json!({"type": "array", "items": items});
    let text = || json!({"type": "string"});
    vec![
        ("check", "What was checked, and how it stands", check::schema()),
        ("lint", "What was found in rules or templates", commands::lint_schema()),
        ("objects", "An object of Kubernetes, or a List of them", objects()),
        (
            "plan",
            "What would happen to an alert; a document for each alert of the body",
            plan(commands::plan::schema()),
        ),
        (
            "rejected",
            "What senders sent that could never be stored, latest first",
            list(json!({
                "type": "object",
                "required": ["first", "last", "count", "route", "message"],
                "properties": {
                    "first": {"type": "string", "format": "date-time"}, "last": {"type": "string", "format": "date-time"},
                    "count": {"type": "integer", "minimum": 1}, "route": text(), "type": text(), "fingerprint": text(),
                    "message": text(),
                },
            })),
        ),
        ("rule-report", "What each rule would have done", commands::rule::report_schema()),
        ("rule-test", "What came of each alert", commands::rule::test_schema()),
        (
            "sop-list",
            "The procedures of the library",
            list(json!({
                "type": "object", "additionalProperties": false, "required": ["name", "target", "summary"],
                "properties": {"name": text(), "target": {"enum": ["Node", "Pod"]}, "summary": text()},
            })),
        ),
        ("trace", "Everything about one alert", commands::trace::schema()),
        ("version", "Who is here, in which version, and whether they go together", commands::version::schema()),
    ]
}

/// An explanation, several for what a resolution sets off, or a report that begins nothing.
fn plan(explanation: Value) -> Value {
    let mut explanation = explanation;
    let fields = explanation.as_object_mut().unwrap();
    fields.remove("$schema");
    let mut definitions = fields.remove("$defs").unwrap_or_else(|| json!({}));
    definitions["Explanation"] = explanation;
    let one = json!({"$ref": "#/$defs/Explanation"});
    let only = |name: &str, of: Value| json!({"type": "object", "additionalProperties": false, "required": [name], "properties": {name: of}});
    json!({
        "anyOf": [
            one,
            {"type": "array", "items": one},
            only("repeats", json!({"type": "string"})),
            only("resolves", json!({"type": "array", "items": {"type": "string"}})),
        ],
        "$defs": definitions,
    })
}

fn objects() -> Value {
    let mut definitions = Map::new();
    let mut cases = Vec::new();
    for definition in aegis_crds::definitions() {
        let kind = definition.spec.names.kind;
        cases.push(json!({
            "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
            "then": {"$ref": format!("#/$defs/{kind}")},
        }));
        definitions.insert(kind.clone(), json!({KIND: kind}));
    }
    definitions.insert(
        "Object".to_owned(),
        json!({
            "type": "object", "required": ["apiVersion", "kind", "metadata"],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string", "not": {"const": "List"}},
                "metadata": {"type": "object"},
            },
            "allOf": cases,
        }),
    );
    definitions.insert(
        "List".to_owned(),
        json!({
            "type": "object", "additionalProperties": false, "required": ["apiVersion", "kind", "items"],
            "properties": {
                "apiVersion": {"const": "v1"}, "kind": {"const": "List"}, "metadata": {"type": "object"},
                "items": {"type": "array", "items": {"$ref": "#/$defs/Object"}},
            },
        }),
    );
    json!({"anyOf": [{"$ref": "#/$defs/List"}, {"$ref": "#/$defs/Object"}], "$defs": definitions})
}

/// Lets nothing stand in the objects of a schema but what it names.
fn strict(schema: &mut Value) {
    if let Some(fields) = schema.as_object_mut() {
        if fields.contains_key("properties") {
            fields.entry("additionalProperties").or_insert(false.into());
        }
        fields.values_mut().for_each(strict);
    } else if let Some(items) = schema.as_array_mut() {
        items.iter_mut().for_each(strict);
    }
}

/// Puts the schemas of our kinds, as the definitions have them, where they are named.
fn with_kinds(schema: &mut Value) {
    if let Some(kind) = schema.get(KIND).and_then(Value::as_str) {
        let definition = aegis_crds::definitions().into_iter().find(|one| one.spec.names.kind == kind).unwrap();
        let definition = serde_json::to_value(definition).unwrap();
        let version = &definition["spec"]["versions"][0];
        let group = definition["spec"]["group"].as_str().unwrap();
        let mut written = version["schema"]["openAPIV3Schema"].clone();
        plain(&mut written);
        let api_version = format!("{group}/{}", version["name"].as_str().unwrap());
        written["properties"]["apiVersion"] = json!({"const": api_version});
        written["properties"]["kind"] = json!({"const": kind});
        written["properties"]["metadata"] = json!({"type": "object"});
        written["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
        *schema = written;
    } else if let Some(fields) = schema.as_object_mut() {
        fields.values_mut().for_each(with_kinds);
    } else if let Some(items) = schema.as_array_mut() {
        items.iter_mut().for_each(with_kinds);
    }
}

/// A schema of OpenAPI, as Kubernetes has it, in the words of JSON Schema.
fn plain(schema: &mut Value) {
    if let Some(fields) = schema.as_object_mut() {
        fields.retain(|key, _| !key.starts_with("x-kubernetes-"));
        if fields.remove("nullable") == Some(true.into()) {
            if let Some(of) = fields.get_mut("type") {
                *of = json!([of.clone(), "null"]);
            }
            let values = fields.get_mut("enum").and_then(Value::as_array_mut);
            if let Some(values) = values.filter(|values| !values.contains(&Value::Null)) {
                values.push(Value::Null);
            }
        }
        // Whole numbers of that size are all that JSON knows.
        if fields.get("format").is_some_and(|format| format == "int32" || format == "int64") {
            fields.remove("format");
        }
        fields.values_mut().for_each(plain);
    } else if let Some(items) = schema.as_array_mut() {
        items.iter_mut().for_each(plain);
    }
}

/// The files of docs/schemas by name.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut page = String::from(
        "# What `-o json` prints\n\nA schema (JSON Schema, draft 2020-12) for the output of every verb of the plugin that has \
         one. They are made from the types that are printed; `make generate` writes them, and a test validates what the verbs \
         print. A later version may add fields.\n\nThe kinds of Aegis in `objects.json` are those of `manifest/install`; other \
         kinds of Kubernetes, such as Node, Job and Workflow, are checked for their outline alone. With `-w` there is a \
         document a line.\n\n| verb | schema | |\n|---|---|---|\n",
    );
    for (name, title, schema) in all() {
        let mut whole = json!({"$schema": DIALECT, "title": title});
        for (key, value) in
            schema.as_object().unwrap().iter().filter(|(key, _)| !matches!(key.as_str(), "$schema" | "title"))
        {
            whole[key] = value.clone();
        }
        with_kinds(&mut whole);
        files.push((format!("{name}.json"), format!("{}\n", serde_json::to_string_pretty(&whole).unwrap())));
    }
    for (verb, schema) in VERBS {
        let title = all().into_iter().find(|(name, _, _)| *name == schema).unwrap().1;
        writeln!(page, "| `kubectl aegis {verb}` | [{schema}.json]({schema}.json) | {title} |").unwrap();
    }
    files.push(("README.md".to_owned(), page));
    files
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schemas"))
}

#[test]
fn the_schemas_are_those_of_what_is_printed() {
    let folder = folder();
    if std::env::var_os("AEGIS_GENERATE").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files() {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let mut wanted: Vec<String> = Vec::new();
    for (name, text) in files() {
        let written = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(written == text, "docs/schemas/{name} is not what is printed now; run `make generate`");
        wanted.push(name);
    }
    let found = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let odd: Vec<String> = found.filter(|name| !wanted.contains(name)).collect();
    assert!(odd.is_empty(), "{odd:?} are schemas of nothing");
}

#[test]
fn every_verb_that_prints_json_has_a_schema() {
    fn collect(verb: &Command, name: &str, found: &mut Vec<String>) {
        for inner in verb.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let name = format!("{name} {}", inner.get_name());
            collect(inner, &name, found);
            let output = inner.get_arguments().find(|flag| flag.get_long() == Some("output"));
            let prints_json = output.is_some_and(|flag| {
                let named =
                    flag.get_value_names().into_iter().flatten().any(|name| name.split('|').any(|word| word == "json"));
                named || flag.get_possible_values().iter().any(|value| value.get_name() == "json")
            });
            if prints_json {
                found.push(name.trim().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    collect(&Cli::command(), "", &mut found);
    found.sort();
    let listed: Vec<&str> = VERBS.iter().map(|(verb, _)| *verb).collect();
    assert_eq!(found, listed);
}
