//! Checks an object against its schema and says, field by field, what is wrong.

use serde_json::Value;

use super::{Additional, Checks, ListKind, Node, Schema, Type, format, is_object_header, push_index, push_member};
use crate::status::FieldError;

/// Whose objects are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Those of custom resources: all that the schema says.
    Custom,
    /// Those of built-in types: null is the same as absent, and what is required below status is filled in by the
    /// server, as the Go types do.
    Builtin,
}

impl Schema {
    /// All that is wrong with a whole object.
    pub(crate) fn validate(&self, object: &Value, strictness: Strictness) -> Vec<FieldError> {
        let mut run = Run { schema: self, strictness, errors: Vec::new() };
        if let Some(root) = self.node(self.root) {
            run.node(root, object, &mut String::new(), true);
        }
        run.errors
    }

    /// Sets what is required below status and missing to the zero value of its type.
    pub(crate) fn fill_status(&self, object: &mut Value) {
        let status = self.node(self.root).and_then(|root| root.properties.get("status")).and_then(|id| self.node(*id));
        if let (Some(node), Some(value)) = (status, object.get_mut("status")) {
            self.fill_node(node, value);
        }
    }

    fn fill_node(&self, node: &Node, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for key in &node.required {
                    let zero =
                        node.properties.get(key).and_then(|id| self.node(*id)).and_then(|child| match child.kind? {
                            Type::String if child.checks.is_none() => Some(Value::from("")),
                            Type::Integer => Some(Value::from(0)),
                            Type::Boolean => Some(Value::from(false)),
                            _ => None,
                        });
                    if let Some(zero) = zero
                        && map.get(&**key).is_none_or(Value::is_null)
                    {
                        map.insert(key.to_string(), zero);
                    }
                }
                for (key, member) in map.iter_mut() {
                    let id = node.properties.get(key.as_str()).copied().or(match node.additional {
                        Additional::Each(id) => Some(id),
                        Additional::None | Additional::Anything => None,
                    });
                    if let Some(child) = id.and_then(|id| self.node(id)) {
                        self.fill_node(child, member);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(child) = node.items.and_then(|id| self.node(id)) {
                    for item in items {
                        self.fill_node(child, item);
                    }
                }
            }
            _ => {}
        }
    }
}

struct Run<'a> {
    schema: &'a Schema,
    strictness: Strictness,
    errors: Vec<FieldError>,
}

impl Run<'_> {
    fn node(&mut self, node: &Node, value: &Value, path: &mut String, whole_object: bool) {
        if value.is_null() {
            if !node.nullable && self.strictness == Strictness::Custom && (node.kind.is_some() || node.int_or_string) {
                self.wrong_type(node, value, path);
            }
            return;
        }
        if !type_fits(node, value) {
            self.wrong_type(node, value, path);
            if let Some(allowed) = node.checks.as_ref().and_then(|checks| checks.allowed.as_ref()) {
                self.one_of_words(allowed, value, path);
            }
            return;
        }
        let length = path.len();
        match value {
            Value::Object(map) => {
                let lenient = self.strictness == Strictness::Builtin && path.starts_with("status");
                for key in node.required.iter().filter(|_| !lenient) {
                    let known = map.contains_key(&**key) || (whole_object && is_object_header(key));
                    if !known {
                        push_member(path, key);
                        self.errors.push(FieldError::required(path.as_str(), ""));
                        path.truncate(length);
                    }
                }
                for (key, member) in map {
                    if whole_object && is_object_header(key) {
                        continue;
                    }
                    let id = node.properties.get(key.as_str()).copied().or(match node.additional {
                        Additional::Each(id) => Some(id),
                        Additional::None | Additional::Anything => None,
                    });
                    if let Some(child) = id.and_then(|id| self.schema.node(id)) {
                        push_member(path, key);
                        self.node(child, member, path, child.embedded);
                        path.truncate(length);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(child) = node.items.and_then(|id| self.schema.node(id)) {
                    for (index, item) in items.iter().enumerate() {
                        push_index(path, index);
                        self.node(child, item, path, child.embedded);
                        path.truncate(length);
                    }
                }
                if self.strictness == Strictness::Custom {
                    self.unique(&node.list, items, path);
                }
            }
            _ => {}
        }
        if let Some(checks) = &node.checks {
            self.checks(checks, value, path);
        }
    }

    fn wrong_type(&mut self, node: &Node, value: &Value, path: &str) {
        let wanted = match node.kind {
            Some(kind) => kind.word(),
            None => "integer,string",
        };
        let found = Value::from(type_word(value));
        let detail = format!("{} must be of type {wanted}: {found}", place(path));
        self.errors.push(FieldError::wrong_type(path, &found, detail));
    }

    fn unique(&mut self, list: &ListKind, items: &[Value], path: &mut String) {
        let length = path.len();
        for (index, item) in items.iter().enumerate() {
            let same = |other: &Value| match list {
                ListKind::Atomic => false,
                ListKind::Set => other == item,
                ListKind::Map(keys) => keys.iter().all(|key| other.get(key) == item.get(key)),
            };
            if items.iter().take(index).any(same) {
                push_index(path, index);
                let shown = match list {
                    ListKind::Map(keys) => {
                        keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect()
                    }
                    ListKind::Atomic | ListKind::Set => item.clone(),
                };
                self.errors.push(FieldError::duplicate(path.as_str(), &shown));
                path.truncate(length);
            }
        }
    }

    fn checks(&mut self, checks: &Checks, value: &Value, path: &mut String) {
        if let Some(allowed) = &checks.allowed {
            self.one_of_words(allowed, value, path);
        }
        match value {
            Value::String(text) => self.text(checks, text, value, path),
            Value::Number(number) => self.number(checks, number.as_f64().unwrap_or_default(), value, path),
            Value::Array(items) => {
                self.size(items.len(), checks.min_items, checks.max_items, "items", path);
                let repeated = checks.unique_items
                    && items
                        .iter()
                        .enumerate()
                        .any(|(index, item)| items.iter().take(index).any(|other| other == item));
                if repeated {
                    self.refuse(path, value, "shouldn't contain duplicates");
                }
            }
            Value::Object(map) => {
                self.size(map.len(), checks.min_properties, checks.max_properties, "properties", path);
            }
            Value::Null | Value::Bool(_) => {}
        }
        self.combined(checks, value, path);
    }

    fn one_of_words(&mut self, allowed: &[Value], value: &Value, path: &str) {
        if !allowed.contains(value) {
            let words: Vec<String> =
                allowed.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), String::from)).collect();
            self.errors.push(FieldError::not_supported(path, value, &words));
        }
    }

    fn text(&mut self, checks: &Checks, text: &str, value: &Value, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(limit) = checks.max_length.filter(|limit| length > *limit) {
            self.errors.push(FieldError::too_long(path, limit));
        }
        if let Some(limit) = checks.min_length.filter(|limit| length < *limit) {
            self.refuse(path, value, &format!("should be at least {limit} chars long"));
        }
        if let Some(pattern) = checks.pattern.as_ref().filter(|pattern| !pattern.regex.is_match(text)) {
            self.refuse(path, value, &format!("should match '{}'", pattern.source));
        }
        if let Some(wanted) = checks.format.as_ref().filter(|wanted| !format::meets(wanted, text)) {
            let detail = format!("{} must be of type {wanted}: {value}", place(path));
            self.errors.push(FieldError::wrong_type(path, value, detail));
        }
    }

    fn number(&mut self, checks: &Checks, number: f64, value: &Value, path: &str) {
        if let Some(factor) = checks.multiple_of.filter(|factor| *factor != 0.0)
            && (number / factor).fract() != 0.0
        {
            self.refuse(path, value, &format!("should be a multiple of {factor}"));
        }
        if let Some(limit) = checks.minimum {
            if checks.exclusive_minimum && number <= limit {
                self.refuse(path, value, &format!("should be greater than {limit}"));
            } else if number < limit {
                self.refuse(path, value, &format!("should be greater than or equal to {limit}"));
            }
        }
        if let Some(limit) = checks.maximum {
            if checks.exclusive_maximum && number >= limit {
                self.refuse(path, value, &format!("should be less than {limit}"));
            } else if number > limit {
                self.refuse(path, value, &format!("should be less than or equal to {limit}"));
            }
        }
    }

    fn size(&mut self, found: usize, least: Option<u64>, most: Option<u64>, noun: &str, path: &str) {
        if let Some(limit) = most.filter(|limit| found as u64 > *limit) {
            self.errors.push(FieldError::too_many(path, found, limit));
        }
        if let Some(limit) = least.filter(|limit| (found as u64) < *limit) {
            self.refuse(path, &found.into(), &format!("should have at least {limit} {noun}"));
        }
    }

    fn combined(&mut self, checks: &Checks, value: &Value, path: &mut String) {
        for id in &checks.all_of {
            if let Some(node) = self.schema.node(*id) {
                self.node(node, value, path, false);
            }
        }
        let trials = |ids: &[usize]| -> Vec<Vec<FieldError>> {
            ids.iter().filter_map(|id| self.schema.node(*id)).map(|node| self.trial(node, value, path)).collect()
        };
        let met = |trials: &[Vec<FieldError>]| trials.iter().filter(|errors| errors.is_empty()).count();
        let (any, one) = (trials(&checks.any_of), trials(&checks.one_of));
        let not = checks.not.map_or(0, |id| met(&trials(&[id])));
        if !any.is_empty() && met(&any) == 0 {
            self.refuse_combination(path, "must validate at least one schema (anyOf)", any);
        }
        match (one.len(), met(&one)) {
            (0, _) | (_, 1) => {}
            (_, 0) => {
                let why = "must validate one and only one schema (oneOf). Found none valid";
                self.refuse_combination(path, why, one);
            }
            (_, several) => {
                let why = format!("must validate one and only one schema (oneOf). Found {several} valid alternatives");
                self.refuse_combination(path, &why, Vec::new());
            }
        }
        if not > 0 {
            self.refuse_combination(path, "must not validate the schema (not)", Vec::new());
        }
    }

    fn trial(&self, node: &Node, value: &Value, path: &str) -> Vec<FieldError> {
        let mut trial = Run { schema: self.schema, strictness: self.strictness, errors: Vec::new() };
        trial.node(node, value, &mut path.to_owned(), false);
        trial.errors
    }

    /// The real server names no field here, and explains the first of the alternatives that came closest.
    fn refuse_combination(&mut self, path: &str, why: &str, alternatives: Vec<Vec<FieldError>>) {
        self.errors.push(FieldError::invalid("<nil>", &"".into(), format!("{path:?} {why}")));
        self.errors.extend(alternatives.into_iter().min_by_key(Vec::len).unwrap_or_default());
    }

    fn refuse(&mut self, path: &str, value: &Value, detail: &str) {
        self.errors.push(FieldError::invalid(path, value, format!("{} {detail}", place(path))));
    }
}

fn place(path: &str) -> String {
    format!("{path} in body")
}

fn type_fits(node: &Node, value: &Value) -> bool {
    if node.int_or_string {
        return value.is_string() || value.is_i64() || value.is_u64() || value.is_f64();
    }
    match node.kind {
        None => true,
        Some(Type::Object) => value.is_object(),
        Some(Type::Array) => value.is_array(),
        Some(Type::String) => value.is_string(),
        Some(Type::Boolean) => value.is_boolean(),
        Some(Type::Number) => value.is_number(),
        Some(Type::Integer) => value.as_f64().is_some_and(|number| number.fract() == 0.0),
    }
}

fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile_custom;
    use super::*;
    use serde_json::json;

    #[test]
    fn each_rule_of_a_schema_is_enforced_and_explained() {
        let schema = compile_custom(
            &json!({"type": "object", "required": ["spec"], "properties": {"spec": {
                "type": "object", "required": ["must"],
                "properties": {
                    "must": {"type": "string"},
                    "int": {"type": "integer", "minimum": 1, "maximum": 9},
                    "word": {"type": "string", "enum": ["a", "b"]},
                    "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
                    "port": {"x-kubernetes-int-or-string": true},
                    "list": {"type": "array", "maxItems": 1, "items": {"type": "string"}},
                    "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                        "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
                    "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
                    "when": {"type": "string", "format": "date-time"},
                    "either": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}},
                        "oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
                    "no": {"type": "string", "nullable": true},
                },
            }}}),
            "schema",
        )
        .unwrap();
        let cases = [
            (
                "a valid object",
                json!({"must": "m", "int": 3, "port": "http", "no": null, "either": {"x": "1"}}),
                vec![],
            ),
            ("a required field is missing", json!({}), vec!["spec.must: Required value"]),
            (
                "a text where a number belongs",
                json!({"must": "m", "int": "3"}),
                vec![r#"spec.int: Invalid value: "string": spec.int in body must be of type integer: "string""#],
            ),
            (
                "a number below its minimum",
                json!({"must": "m", "int": 0}),
                vec!["spec.int: Invalid value: 0: spec.int in body should be greater than or equal to 1"],
            ),
            (
                "a word that is not in the enum",
                json!({"must": "m", "word": "c"}),
                vec![r#"spec.word: Unsupported value: "c": supported values: "a", "b""#],
            ),
            (
                "a text that is too long and does not match",
                json!({"must": "m", "name": "ABCD"}),
                vec![
                    "spec.name: Too long: may not be more than 3 bytes",
                    r#"spec.name: Invalid value: "ABCD": spec.name in body should match '^[a-z]+$'"#,
                ],
            ),
            (
                "neither integer nor string",
                json!({"must": "m", "port": true}),
                vec![
                    r#"spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean""#,
                ],
            ),
            (
                "too many items",
                json!({"must": "m", "list": ["a", "b"]}),
                vec!["spec.list: Too many: 2: must have at most 1 item"],
            ),
            (
                "an item of the wrong type",
                json!({"must": "m", "list": [1]}),
                vec![
                    r#"spec.list[0]: Invalid value: "integer": spec.list[0] in body must be of type string: "integer""#,
                ],
            ),
            (
                "two items with one key",
                json!({"must": "m", "keyed": [{"k": "a"}, {"k": "a"}]}),
                vec![r#"spec.keyed[1]: Duplicate value: {"k":"a"}"#],
            ),
            (
                "a map value of the wrong type",
                json!({"must": "m", "map": {"a": 1}}),
                vec![r#"spec.map.a: Invalid value: "integer": spec.map.a in body must be of type boolean: "integer""#],
            ),
            (
                "a time that is none",
                json!({"must": "m", "when": "noon"}),
                vec![r#"spec.when: Invalid value: "noon": spec.when in body must be of type date-time: "noon""#],
            ),
            (
                "both alternatives at once",
                json!({"must": "m", "either": {"x": "1", "y": "2"}}),
                vec![
                    r#"<nil>: Invalid value: "": "spec.either" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
                ],
            ),
            (
                "null where it is not allowed",
                json!({"must": null}),
                vec![r#"spec.must: Invalid value: "null": spec.must in body must be of type string: "null""#],
            ),
        ];
        for (why, spec, want) in cases {
            let found: Vec<String> =
                schema.validate(&json!({"spec": spec}), Strictness::Custom).iter().map(ToString::to_string).collect();
            assert_eq!(found, want, "{why}");
        }
    }
}
