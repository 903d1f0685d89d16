//! One stored object as JSON text, with the places of those parts that answers cut out or replace.
//!
//! Text is a fifth of the size of a parsed tree and is what a get, a list and a watch send, so nothing is
//! serialised on the way out.

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Map, Value};

/// What selectors, garbage collection and deletion ask about an object, so that its text need not be parsed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) namespace: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
    pub(crate) labels: Box<[(Box<str>, Box<str>)]>,
    /// Fields by which objects of this kind can be selected, apart from name and namespace.
    pub(crate) fields: Box<[(Box<str>, Box<str>)]>,
    pub(crate) owners: Box<[Box<str>]>,
    pub(crate) finalizers: Box<[Box<str>]>,
    pub(crate) deleting: bool,
}

impl Facts {
    fn read(metadata: &Map<String, Value>, fields: Vec<(String, String)>) -> Self {
        let text = |key: &str| -> Box<str> { metadata.get(key).and_then(Value::as_str).unwrap_or_default().into() };
        let list = |key: &str| metadata.get(key).and_then(Value::as_array).into_iter().flatten();
        Self {
            namespace: text("namespace"),
            name: text("name"),
            uid: text("uid"),
            labels: metadata
                .get("labels")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into())))
                .collect(),
            fields: fields.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            owners: list("ownerReferences").filter_map(|owner| Some(owner.get("uid")?.as_str()?.into())).collect(),
            finalizers: list("finalizers").filter_map(|finalizer| Some(finalizer.as_str()?.into())).collect(),
            deleting: metadata.contains_key("deletionTimestamp"),
        }
    }

    /// The value of a label.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
    }

    /// The value of a selectable field.
    pub(crate) fn field(&self, key: &str) -> Option<&str> {
        match key {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.iter().find(|(name, _)| &**name == key).map(|(_, value)| &**value),
        }
    }
}

/// An object as it will be stored, before the store has given it a revision.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Text up to where the revision goes.
    head: Vec<u8>,
    /// Text after the revision.
    tail: Vec<u8>,
    api_version: Range<usize>,
    metadata_start: usize,
    /// Where metadata ends in `tail`.
    metadata_end: usize,
    facts: Facts,
}

const VERSION_KEY: &[u8] = b"\"resourceVersion\":\"";

impl Draft {
    /// Serialises an object. `fields` are the values by which it can be selected.
    pub(crate) fn new(object: &Value, fields: Vec<(String, String)>) -> Self {
        let empty = Map::new();
        let top = object.as_object().unwrap_or(&empty);
        let metadata = top.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(b"{\"apiVersion\":");
        let start = head.len() + 1;
        write(&mut head, top.get("apiVersion").unwrap_or(&Value::Null));
        let api_version = start..head.len().saturating_sub(1);
        head.extend_from_slice(b",\"kind\":");
        write(&mut head, top.get("kind").unwrap_or(&Value::Null));
        head.extend_from_slice(b",\"metadata\":");
        let metadata_start = head.len();
        head.push(b'{');
        head.extend_from_slice(VERSION_KEY);
        let mut tail = Vec::with_capacity(1024);
        tail.push(b'"');
        for (key, value) in metadata.iter().filter(|(key, _)| *key != "resourceVersion") {
            member(&mut tail, key, value);
        }
        tail.push(b'}');
        let metadata_end = tail.len();
        for (key, value) in top.iter().filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata")) {
            member(&mut tail, key, value);
        }
        tail.push(b'}');
        Self { head, tail, api_version, metadata_start, metadata_end, facts: Facts::read(metadata, fields) }
    }

    /// The stored form at a revision.
    pub(crate) fn stamp(self, revision: u64) -> Document {
        let digits = revision.to_string();
        let version = self.head.len()..self.head.len() + digits.len();
        let mut bytes = self.head;
        bytes.reserve_exact(digits.len() + self.tail.len());
        bytes.extend_from_slice(digits.as_bytes());
        bytes.extend_from_slice(&self.tail);
        Document {
            metadata: self.metadata_start..version.end + self.metadata_end,
            bytes: bytes.into(),
            revision,
            api_version: self.api_version,
            version,
            facts: self.facts,
        }
    }

    /// The form that a dry run answers: no revision, since nothing was stored.
    pub(crate) fn unsaved(self) -> Document {
        let mut bytes = self.head;
        bytes.truncate(bytes.len().saturating_sub(VERSION_KEY.len()));
        let at = bytes.len();
        let skip = if self.tail.get(1) == Some(&b',') { 2 } else { 1 };
        bytes.extend_from_slice(self.tail.get(skip..).unwrap_or_default());
        Document {
            metadata: self.metadata_start..at + self.metadata_end - skip,
            bytes: bytes.into(),
            revision: 0,
            api_version: self.api_version,
            version: at..at,
            facts: self.facts,
        }
    }
}

fn write(out: &mut Vec<u8>, value: &Value) {
    // Writing a tree with text keys into memory has no way to fail.
    let _ = serde_json::to_writer(out, value);
}

fn member(out: &mut Vec<u8>, key: &str, value: &Value) {
    out.push(b',');
    let _ = serde_json::to_writer(&mut *out, key);
    out.push(b':');
    write(out, value);
}

/// An object at one revision. Never changes.
#[derive(Debug)]
pub(crate) struct Document {
    bytes: Bytes,
    revision: u64,
    api_version: Range<usize>,
    version: Range<usize>,
    metadata: Range<usize>,
    facts: Facts,
}

impl Document {
    /// The JSON text.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The JSON text of the metadata alone.
    pub(crate) fn metadata(&self) -> Bytes {
        self.bytes.slice(self.metadata.clone())
    }

    /// The revision at which this state was stored.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// See [`Facts`].
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The parsed object.
    pub(crate) fn value(&self) -> Value {
        // The text was written by us from a tree.
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The text with another apiVersion.
    pub(crate) fn with_api_version(&self, api_version: &str) -> Bytes {
        let (before, after) = self.around(&self.api_version);
        [before, api_version.as_bytes(), after].concat().into()
    }

    /// The same state, told at a later revision: what the watch event of a deletion shows.
    pub(crate) fn restamped(&self, revision: u64) -> Self {
        let digits = revision.to_string();
        let (before, after) = self.around(&self.version);
        let longer = digits.len() as i64 - self.version.len() as i64;
        let moved = |at: usize| usize::try_from(at as i64 + longer).unwrap_or(at);
        Self {
            bytes: [before, digits.as_bytes(), after].concat().into(),
            revision,
            api_version: self.api_version.clone(),
            version: self.version.start..moved(self.version.end),
            metadata: self.metadata.start..moved(self.metadata.end),
            facts: self.facts.clone(),
        }
    }

    fn around(&self, part: &Range<usize>) -> (&[u8], &[u8]) {
        (self.bytes.get(..part.start).unwrap_or_default(), self.bytes.get(part.end..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn draft() -> Draft {
        Draft::new(
            &json!({
                "kind": "Foo", "apiVersion": "example.com/v1", "spec": {"a": 1},
                "metadata": {"name": "x", "resourceVersion": "1", "labels": {"l": "v"}},
            }),
            vec![("spec.a".into(), "1".into())],
        )
    }

    #[test]
    fn the_parts_of_a_document_stay_in_place_when_it_is_stamped_again() {
        let document = draft().stamp(99).restamped(1234);
        assert_eq!(document.value()["metadata"]["resourceVersion"], "1234");
        let metadata: Value = serde_json::from_slice(&document.metadata()).unwrap();
        assert_eq!(metadata, document.value()["metadata"]);
        let other: Value = serde_json::from_slice(&document.with_api_version("b/v2")).unwrap();
        assert_eq!(other["apiVersion"], "b/v2");
        assert_eq!(other["spec"], json!({"a": 1}));
        assert_eq!(document.facts().label("l"), Some("v"));
        assert_eq!(document.facts().field("spec.a"), Some("1"));
    }

    #[test]
    fn an_unsaved_document_has_no_resource_version() {
        let document = draft().unsaved();
        assert_eq!(document.value()["metadata"], json!({"name": "x", "labels": {"l": "v"}}));
        let metadata: Value = serde_json::from_slice(&document.metadata()).unwrap();
        assert_eq!(metadata, document.value()["metadata"]);
        let bare = Draft::new(&json!({"kind": "A", "apiVersion": "v1", "metadata": {}}), vec![]);
        assert_eq!(bare.unsaved().value()["metadata"], json!({}));
    }
}
