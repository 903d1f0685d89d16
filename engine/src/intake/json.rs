//! JSON as senders write it, read field by field so that one bad field is named and the others still count.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fault, Unreadable};

/// The most characters of a sender's text that are shown in an error.
const LONGEST_SHOWN: usize = 80;

/// One JSON value, not yet looked into. What nobody asks for is never decoded, however deep or large it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a>(&'a str);

/// What kind of JSON value it is; the first character tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

impl<'a> Value<'a> {
    pub(super) fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'"') => Kind::Text,
            Some(b'[') => Kind::List,
            Some(b'{') => Kind::Object,
            _ => Kind::Number,
        }
    }

    /// What stands there, for an error.
    pub(super) fn found(self) -> String {
        match self.kind() {
            Kind::Null => "null".to_owned(),
            Kind::List => "a list".to_owned(),
            Kind::Object => "an object".to_owned(),
            Kind::Bool => format!("the bare word {}", self.0),
            Kind::Number => format!("the number {}", shown(self.0)),
            Kind::Text => self.text().map_or_else(|found| found, |text| format!("\"{}\"", shown(&text))),
        }
    }

    /// The text of a string; for anything else what was found.
    pub(super) fn text(self) -> Result<String, String> {
        if self.kind() != Kind::Text {
            return Err(self.found());
        }
        serde_json::from_str(self.0).map_err(|_| "text with half of a surrogate pair".to_owned())
    }

    /// The text of a string, or a number or boolean as it is written; for anything else what was found.
    pub(super) fn scalar(self) -> Result<String, String> {
        match self.kind() {
            Kind::Bool | Kind::Number => Ok(self.0.to_owned()),
            Kind::Text | Kind::Null | Kind::List | Kind::Object => self.text(),
        }
    }

    /// The members of an object; for anything else what was found.
    pub(super) fn object(self) -> Result<Object<'a>, String> {
        if self.kind() != Kind::Object {
            return Err(self.found());
        }
        serde_json::from_str(self.0).map_err(|_| "an object with a name that is not valid text".to_owned())
    }

    /// The items of a list; for anything else what was found.
    pub(super) fn list(self) -> Result<Vec<Value<'a>>, String> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.0).map_err(|_| self.found())?;
        Ok(items.into_iter().map(|item| Value(item.get())).collect())
    }
}

/// The members of an object in the order in which they are written.
#[derive(Clone, Debug)]
pub(super) struct Object<'a>(Vec<(String, Value<'a>)>);

impl<'a> Object<'a> {
    /// The value under a name, whatever its case; `None` if it is absent or null. The last one counts where it is
    /// written twice, as in the decoder that senders know.
    pub(super) fn get(&self, name: &str) -> Option<Value<'a>> {
        let (_, value) = self.0.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        (value.kind() != Kind::Null).then_some(*value)
    }

    /// The text under a name, empty if it is absent.
    pub(super) fn text(&self, name: &str, path: &str) -> Result<String, Fault> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(value) => value.text().map_err(|found| Fault::new(path, found, "text in quotes")),
        }
    }

    /// The object under a name, without members if it is absent.
    pub(super) fn object(&self, name: &str) -> Result<Object<'a>, Fault> {
        match self.get(name) {
            None => Ok(Self(Vec::new())),
            Some(value) => value.object().map_err(|found| Fault::new(name, found, "an object")),
        }
    }

    /// The map of text under a name, empty if it is absent. Names are taken as written; a null is an absent entry.
    ///
    /// Numbers and booleans count as text, digit for digit as they are written: senders that build their JSON in a
    /// shell write them so.
    pub(super) fn texts(&self, name: &str) -> Result<BTreeMap<String, String>, Fault> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.object(name)?.0 {
            if value.kind() == Kind::Null {
                texts.remove(&key);
                continue;
            }
            let text = value.scalar().map_err(|found| {
                Fault::new(format!("{name}.{}", shown(&key)), found, "text").hint("write nested data as one text")
            })?;
            texts.insert(key, text);
        }
        Ok(texts)
    }

    /// The point in time under a name. Absent, null, empty, and Go's zero time (year 1) mean that there is none.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let fault = || Fault::new(name, value.found(), "a time such as \"2026-01-31T08:15:00Z\" (RFC 3339)");
        let text = value.text().map_err(|_| fault())?;
        if text.is_empty() {
            return Ok(None);
        }
        // A time zone in brackets parses too, but RFC 3339 has none and the API server refuses it.
        let time: Timestamp = text.parse().ok().filter(|_| !text.contains('[')).ok_or_else(fault)?;
        Ok((time > go_zero_time()).then_some(time))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, Value<'de>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((key, Value(value.get())));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}

/// A body as text. A byte order mark is dropped, and what is not UTF-8 becomes U+FFFD: a name in another encoding
/// should not cost the alert.
pub(super) fn body(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

/// The object that a body is.
pub(super) fn document<'a>(body: &'a str, expected: &str) -> Result<Object<'a>, Unreadable> {
    if body.trim().is_empty() {
        return Err(Unreadable::new("body", "nothing", expected));
    }
    let raw: &RawValue = serde_json::from_str(body)
        .map_err(|error| Unreadable::new("body", format!("text that is not JSON ({error})"), expected))?;
    let value = Value(raw.get());
    value.object().map_err(|found| Unreadable::new("body", found, expected))
}

/// A sender's text as it may be shown: cut, and without characters that could move a cursor.
pub(super) fn shown(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().take(LONGEST_SHOWN) {
        match c {
            '"' | '\'' | '\\' => short.push(c),
            _ => short.extend(c.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST_SHOWN).is_some() {
        short.push('…');
    }
    short
}

/// 0001-01-01T00:00:00Z, which Go writes for "no time".
fn go_zero_time() -> Timestamp {
    const SECONDS: i64 = -62_135_596_800;
    Timestamp::from_second(SECONDS).unwrap_or(Timestamp::MIN)
}
