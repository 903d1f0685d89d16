//! Reading an object's fields with the path at hand, so that every refusal names the field.

use serde_json::{Map, Value};

/// Why a Workflow cannot be run. Each names the field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("the sandbox does not run {field}")]
    NotRun { field: String },
    #[error("the sandbox does not evaluate expressions: {field} holds {{{{=...}}}}; use plain tags")]
    Expression { field: String },
    #[error("{field} is missing; expected {expected}")]
    Missing { field: String, expected: String },
    #[error("{field} is {found}; expected {expected}")]
    Wrong { field: String, found: String, expected: String },
}

impl Flaw {
    pub(crate) fn wrong(field: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Wrong { field: field.into(), found: found.into(), expected: expected.into() }
    }
}

/// An object and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// `value` as an object.
    pub(crate) fn of(path: impl Into<String>, value: &'a Value) -> Result<Self, Flaw> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { path, map }),
            other => Err(Flaw::wrong(path, kind(other), "an object")),
        }
    }

    /// Refuses every field that is not listed, unless it says nothing (null, false or an empty list).
    pub(crate) fn allow(&self, lists: &[&[&str]]) -> Result<(), Flaw> {
        for (key, value) in self.map {
            let known = lists.iter().any(|list| list.contains(&key.as_str()));
            if !known && says_something(value) {
                return Err(Flaw::NotRun { field: self.at(key) });
            }
        }
        Ok(())
    }

    /// The path of one of its fields.
    pub(crate) fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A field that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The fields that are listed, as they are.
    pub(crate) fn copied(&self, keys: &[&str]) -> Map<String, Value> {
        keys.iter().filter_map(|key| self.get(key).map(|value| ((*key).to_owned(), value.clone()))).collect()
    }

    /// A string; a number or boolean counts as the text that it is written as.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, Flaw> {
        self.get(key).map(|value| text(&self.at(key), value)).transpose()
    }

    pub(crate) fn needed_text(&self, key: &str, expected: &str) -> Result<String, Flaw> {
        self.text(key)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Flaw::Missing { field: self.at(key), expected: expected.to_owned() })
    }

    /// A whole number that is not negative, also written as a string.
    pub(crate) fn whole(&self, key: &str) -> Result<Option<u64>, Flaw> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Flaw::wrong(self.at(key), format!("{text:?}"), "a whole number, at least 0")),
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Flaw> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(Flaw::wrong(self.at(key), kind(other), "true or false")),
        }
    }

    pub(crate) fn fields(&self, key: &str) -> Result<Option<Fields<'a>>, Flaw> {
        self.get(key).map(|value| Fields::of(self.at(key), value)).transpose()
    }

    /// The items of a list with their paths; none when it is absent.
    pub(crate) fn list(&self, key: &str) -> Result<Vec<(String, &'a Value)>, Flaw> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(value) => list(&self.at(key), value),
        }
    }

    /// A map of text, as JSON; empty when it is absent.
    pub(crate) fn text_map(&self, key: &str) -> Result<Map<String, Value>, Flaw> {
        let Some(fields) = self.fields(key)? else { return Ok(Map::new()) };
        fields
            .map
            .iter()
            .map(|(name, value)| Ok((name.clone(), Value::String(text(&fields.at(name), value)?))))
            .collect()
    }
}

/// `value` as a list, with the path of each item.
pub(crate) fn list<'a>(path: &str, value: &'a Value) -> Result<Vec<(String, &'a Value)>, Flaw> {
    match value {
        Value::Array(items) => {
            Ok(items.iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item)).collect())
        }
        other => Err(Flaw::wrong(path, kind(other), "a list")),
    }
}

/// `value` as text: a string, or a number or boolean as it is written.
pub(crate) fn text(path: &str, value: &Value) -> Result<String, Flaw> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        other => Err(Flaw::wrong(path, kind(other), "text")),
    }
}

/// Calls `check` with every string in `value` and its path.
pub(crate) fn each_string(
    path: &str,
    value: &Value,
    check: &mut impl FnMut(&str, &str) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    match value {
        Value::String(text) => check(path, text),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| each_string(&format!("{path}[{index}]"), item, check))
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(key, value)| each_string(&format!("{path}.{key}"), value, check))
        }
        _ => Ok(()),
    }
}

fn says_something(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && !matches!(value, Value::Array(items) if items.is_empty())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
