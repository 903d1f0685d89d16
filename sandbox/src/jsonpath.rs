//! The part of JSONPath that printer columns use: members, indices, wildcards and equality filters.

use serde_json::Value;

/// A path into an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    Index(i64),
    All,
    Filter { path: JsonPath, equal: bool, value: String },
}

/// A path that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSONPath {path:?}: {why}")]
pub(crate) struct JsonPathError {
    path: String,
    why: &'static str,
}

impl JsonPath {
    /// Reads `.spec.x`, `.list[0]`, `.list[*].y`, `.list[?(@.type=="Ready")].status` and `.metadata['a.b']`, with a
    /// backslash before a dot that belongs to a name.
    pub(crate) fn parse(text: &str) -> Result<Self, JsonPathError> {
        let fail = |why| JsonPathError { path: text.to_owned(), why };
        let mut steps = Vec::new();
        let mut rest = text.trim().trim_start_matches('$');
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after).ok_or(fail("a bracket is not closed"))?;
                let inner = after.get(..end).unwrap_or_default();
                rest = after.get(end + 1..).unwrap_or_default();
                steps.push(bracket(inner).ok_or(fail("unknown text in brackets"))?);
            } else {
                let after = rest.strip_prefix('.').ok_or(fail("expected '.' or '['"))?;
                let (name, remaining) = member(after);
                rest = remaining;
                match name.as_str() {
                    "" if rest.is_empty() && steps.is_empty() => {}
                    "" => return Err(fail("a name is empty")),
                    "*" => steps.push(Step::All),
                    _ => steps.push(Step::Member(name)),
                }
            }
        }
        Ok(Self(steps))
    }

    /// All values that the path leads to.
    pub(crate) fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![object];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.take(value)).collect();
        }
        found
    }
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Member(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let at = if *index < 0 { index + items.len() as i64 } else { *index };
                usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
            }
            Self::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            },
            Self::Filter { path, equal, value: wanted } => value
                .as_array()
                .into_iter()
                .flatten()
                .filter(|item| {
                    let found = path.find(item).into_iter().any(|found| match found {
                        Value::String(text) => text == wanted,
                        other => serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| *other == wanted),
                    });
                    found == *equal
                })
                .collect(),
        }
    }
}

/// Where the bracket that is open at the start closes, quotes respected.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (1_u32, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Option<Step> {
    let inner = inner.trim();
    if inner == "*" {
        return Some(Step::All);
    }
    if let Ok(index) = inner.parse() {
        return Some(Step::Index(index));
    }
    if let Some(name) = unquoted(inner) {
        return Some(Step::Member(name.to_owned()));
    }
    let condition = inner.strip_prefix("?(")?.strip_suffix(')')?.trim().strip_prefix('@')?;
    let (path, equal, value) = match condition.split_once("==") {
        Some((path, value)) => (path, true, value),
        None => condition.split_once("!=").map(|(path, value)| (path, false, value))?,
    };
    let value = value.trim();
    Some(Step::Filter {
        path: JsonPath::parse(path.trim()).ok()?,
        equal,
        value: unquoted(value).unwrap_or(value).to_owned(),
    })
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// A name up to the next dot or bracket, and what follows it.
fn member(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' | '[' => return (name, text.get(at..).unwrap_or_default()),
            c => name.push(c),
        }
    }
    (name, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn printer_column_paths_find_their_values() {
        let object = json!({
            "metadata": {"name": "x", "labels": {"a.b/c": "L"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}], "n": [1, 2, 3]},
        });
        for (path, want) in [
            (".metadata.name", json!(["x"])),
            (".metadata.labels.a\\.b/c", json!(["L"])),
            (".metadata.labels['a.b/c']", json!(["L"])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type!='Ready')].status", json!(["False"])),
            (".status.conditions[*].type", json!(["Ready", "Other"])),
            (".status.n[-1]", json!([3])),
            (".status.absent.deep", json!([])),
        ] {
            let found = JsonPath::parse(path).unwrap().find(&object);
            assert_eq!(json!(found), want, "{path}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_read_says_why() {
        for path in ["spec", ".a[", ".a..b", ".a[?(x)]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
