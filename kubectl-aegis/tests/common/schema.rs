//! JSON Schema, as far as docs/schemas makes use of it. A word that is not known here fails the test: nothing goes
//! unchecked in silence. A library for all of it would change how every crate of the tests parses numbers.

use regex::Regex;
use serde_json::Value;

/// What is wrong with a document, each with the way to the place.
pub fn flaws(schema: &Value, document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Check { root: schema }.check(schema, document, "", &mut found);
    found
}

struct Check<'a> {
    root: &'a Value,
}

impl Check<'_> {
    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, value, "", &mut found);
        found.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
        let fields = match schema {
            Value::Bool(true) => return,
            Value::Bool(false) => return found.push(format!("{path}: may not be there")),
            schema => schema.as_object().expect("a schema is an object or a boolean"),
        };
        for (word, wanted) in fields {
            let mut wrong = |why: String| found.push(format!("{path}: {why}, found {value}"));
            let count = || wanted.as_u64().unwrap() as usize;
            match word.as_str() {
                // Said for people; what they say of a form is said by `type` and `pattern`.
                "$schema" | "$defs" | "title" | "description" | "default" | "format" => {}
                "$ref" => {
                    let pointer = wanted.as_str().unwrap().strip_prefix('#').expect("all of it stands in one file");
                    self.check(self.root.pointer(pointer).expect(pointer), value, path, found);
                }
                "type" => {
                    let words: Vec<&Value> = wanted.as_array().map_or(vec![wanted], |all| all.iter().collect());
                    if !words.iter().any(|word| is(word.as_str().unwrap(), value)) {
                        wrong(format!("expected {wanted}"));
                    }
                }
                "const" if wanted != value => wrong(format!("expected {wanted}")),
                "enum" if !wanted.as_array().unwrap().contains(value) => wrong(format!("expected one of {wanted}")),
                "const" | "enum" => {}
                "minimum" if value.as_f64().is_some_and(|it| it < wanted.as_f64().unwrap()) => {
                    wrong(format!("at least {wanted}"))
                }
                "maximum" if value.as_f64().is_some_and(|it| it > wanted.as_f64().unwrap()) => {
                    wrong(format!("at most {wanted}"))
                }
                "minLength" if value.as_str().is_some_and(|it| it.chars().count() < count()) => {
                    wrong(format!("at least {wanted}"))
                }
                "maxLength" if value.as_str().is_some_and(|it| it.chars().count() > count()) => {
                    wrong(format!("at most {wanted}"))
                }
                "maxItems" if value.as_array().is_some_and(|it| it.len() > count()) => {
                    wrong(format!("at most {wanted}"))
                }
                "minimum" | "maximum" | "minLength" | "maxLength" | "maxItems" => {}
                "uniqueItems" => {
                    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                    if items.iter().enumerate().any(|(nth, item)| items[..nth].contains(item)) {
                        wrong("expected no item twice".to_owned());
                    }
                }
                "pattern" => {
                    let pattern = Regex::new(wanted.as_str().unwrap()).unwrap();
                    if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                        wrong(format!("expected {wanted}"));
                    }
                }
                "required" => {
                    for name in wanted.as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
                        if value.is_object() && value.get(name).is_none() {
                            found.push(format!("{path}: {name} is missing"));
                        }
                    }
                }
                "properties" => {
                    for (name, inner) in wanted.as_object().unwrap() {
                        if let Some(value) = value.get(name) {
                            self.check(inner, value, &format!("{path}/{name}"), found);
                        }
                    }
                }
                "additionalProperties" => {
                    let named = |name: &String| fields.get("properties").is_some_and(|all| all.get(name).is_some());
                    for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| !named(name)) {
                        self.check(wanted, value, &format!("{path}/{name}"), found);
                    }
                }
                "items" => {
                    for (nth, value) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, value, &format!("{path}/{nth}"), found);
                    }
                }
                "allOf" => wanted.as_array().unwrap().iter().for_each(|one| self.check(one, value, path, found)),
                "anyOf" | "oneOf" => {
                    let all = wanted.as_array().unwrap();
                    let fitting = all.iter().filter(|one| self.fits(one, value)).count();
                    if fitting == 0 || (word == "oneOf" && fitting > 1) {
                        // What is wrong with each, so that a reader finds the one that was meant.
                        for (nth, one) in all.iter().enumerate() {
                            self.check(one, value, &format!("{path}({word} {nth})"), found);
                        }
                        found.push(format!("{path}: {fitting} of {word} fit"));
                    }
                }
                "not" if self.fits(wanted, value) => wrong(format!("expected not {wanted}")),
                "not" => {}
                "if" => {
                    if self.fits(wanted, value) {
                        self.check(fields.get("then").expect("an `if` has its `then`"), value, path, found);
                    }
                }
                "then" => assert!(fields.contains_key("if"), "a `then` has its `if`"),
                other => panic!("{other} is not known to this test"),
            }
        }
    }
}

fn is(word: &str, value: &Value) -> bool {
    match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("{other} is no type of JSON"),
    }
}
