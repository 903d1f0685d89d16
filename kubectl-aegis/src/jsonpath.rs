//! `-o jsonpath=...`: text with {paths} in it, and {range}...{end} around what is repeated.
//!
//! kubectl's paths are older than the standard's: they have no `$`, take '-' in bare names, and write a dot in a name as
//! `\.`. Each is rewritten to a standard query, with its names quoted.

use jsonpath_rust::JsonPath;
use serde_json::Value;

/// A template that cannot be read, in kubectl's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing jsonpath {text}, {why}")]
pub(crate) struct Error {
    text: String,
    why: String,
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A query below the present object.
    Query(String),
    /// For each that the query finds.
    Range(String, Vec<Part>),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let mut rest = text;
        // A bare path is taken too, as by kubectl.
        let braced;
        if !text.contains('{') {
            braced = format!("{{{text}}}");
            rest = &braced;
        }
        let (parts, ended) = parse_parts(&mut rest)?;
        if ended {
            return Err(wrong(text, "{end} without {range}"));
        }
        Ok(Self { parts })
    }

    /// The text for that object; a path that leads nowhere gives nothing.
    pub(crate) fn fill(&self, object: &Value) -> Result<String, Error> {
        let mut out = String::new();
        fill(&self.parts, object, &mut out)?;
        Ok(out)
    }
}

fn wrong(text: &str, why: &str) -> Error {
    Error { text: text.to_owned(), why: why.to_owned() }
}

/// The parts up to the end of the text or of a range, and which it was.
fn parse_parts(rest: &mut &str) -> Result<(Vec<Part>, bool), Error> {
    let mut parts = Vec::new();
    while let Some(open) = rest.find('{') {
        let (text, from) = rest.split_at(open);
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let action = action(from)?;
        *rest = from.get(action.len() + 2..).unwrap_or_default();
        let action = action.trim();
        if action == "end" {
            return Ok((parts, true));
        }
        if let Some(path) = action.strip_prefix("range ") {
            let (inner, ended) = parse_parts(rest)?;
            if !ended {
                return Err(wrong(action, "{range} without {end}"));
            }
            parts.push(Part::Range(query(path.trim())?, inner));
        } else if let Some(quoted) = action.strip_prefix(['"', '\'']) {
            parts.push(Part::Text(unquoted(quoted.get(..quoted.len().saturating_sub(1)).unwrap_or_default())));
        } else {
            parts.push(Part::Query(query(action)?));
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(std::mem::take(rest).to_owned()));
    }
    Ok((parts, false))
}

/// What stands between the braces at the start of the text; braces in quotes do not count.
fn action(from: &str) -> Result<&str, Error> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in from.char_indices().skip(1) {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '}') => return Ok(from.get(1..at).unwrap_or_default()),
            (None, _) => {}
        }
    }
    Err(wrong(from, "unclosed action"))
}

/// A quoted text with its \n, \t and the like.
fn unquoted(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            (_, Some('n')) => out.push('\n'),
            (_, Some('t')) => out.push('\t'),
            (_, Some('r')) => out.push('\r'),
            (_, Some(other)) => out.push(other),
            (c, None) => out.push(c),
        }
    }
    out
}

/// kubectl's path as a standard query.
fn query(path: &str) -> Result<String, Error> {
    let mut out = "$".to_owned();
    let mut rest = path.strip_prefix(['$', '@']).unwrap_or(path);
    while !rest.is_empty() {
        if rest.starts_with('[') {
            let inner = bracketed(rest).ok_or_else(|| wrong(path, "unterminated array"))?;
            out.push_str(inner);
            rest = rest.get(inner.len()..).unwrap_or_default();
            continue;
        }
        if let Some(deeper) = rest.strip_prefix("..") {
            out.push_str("..");
            rest = deeper;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
        }
        let (name, after) = bare_name(rest);
        match name.as_str() {
            "*" => out.push_str("[*]"),
            // A dot alone is the object itself.
            "" => {}
            name => out.push_str(&format!("[{}]", Value::from(name))),
        }
        if name.is_empty() && !after.is_empty() && !after.starts_with('[') {
            return Err(wrong(path, "found an empty name"));
        }
        rest = after;
    }
    // What it cannot read is told now, not once for each object.
    Value::Null.query(&out).map_err(|error| wrong(path, &error.to_string()))?;
    Ok(out)
}

/// A name up to the next dot or bracket, with its escapes undone, and what follows it.
fn bare_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return (name, text.get(at..).unwrap_or_default()),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    (name, "")
}

/// The bracket at the start of the text with all that is in it.
fn bracketed(text: &str) -> Option<&str> {
    let mut quote = None;
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 1 => return text.get(..=at),
            (None, ']') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    None
}

fn fill(parts: &[Part], object: &Value, out: &mut String) -> Result<(), Error> {
    let found = |query: &str| object.query(query).map_err(|error| wrong(query, &error.to_string()));
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Query(query) => {
                let words: Vec<String> = found(query)?.into_iter().map(shown).collect();
                out.push_str(&words.join(" "));
            }
            Part::Range(query, inner) => {
                for item in found(query)? {
                    fill(inner, item, out)?;
                }
            }
        }
    }
    Ok(())
}

/// Text without quotes, all else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        let object = json!({"items": [
            {"metadata": {"name": "a", "labels": {"kubernetes.io/hostname": "h-a", "app-name": "x"}},
             "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]}},
            {"metadata": {"name": "b"}, "spec": {"unschedulable": true, "podCIDRs": ["10.0.0.0/24"]}},
        ]});
        Template::parse(template).and_then(|template| template.fill(&object)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_paths_that_procedures_write() {
        let cases = [
            ("{.items[*].metadata.name}", "a b"),
            (".items[0].metadata.name", "a"),
            ("$.items[-1:].metadata.name", "b"),
            ("{.items[0].metadata.labels.kubernetes\\.io/hostname}", "h-a"),
            ("{.items[0].metadata.labels['app-name']}", "x"),
            ("{.items[0].metadata.labels.app-name}", "x"),
            (r#"{.items[0].status.conditions[?(@.type=="Ready")].status}"#, "True"),
            ("{.items[1].spec.unschedulable}", "true"),
            ("{.items[1].spec.podCIDRs}", r#"["10.0.0.0/24"]"#),
            ("{.items[*].metadata.nothing}", ""),
            ("{..name}", "a b"),
            (r#"{range .items[*]}{.metadata.name}{"\t"}{.spec.unschedulable}{"\n"}{end}"#, "a\t\nb\ttrue\n"),
            (r#"all: {range .items[*]}{@.metadata.name},{end} "}""#, r#"all: a,b, "}""#),
        ];
        for (template, want) in cases {
            assert_eq!(filled(template).as_deref(), Ok(want), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for template in ["{.a", "{.a[0}", "{range .items[*]}{.a}", "{.a}{end}", "{.a[?(@.b==]}", "{.a[what]}"] {
            assert!(filled(template).is_err_and(|told| told.contains("error parsing jsonpath")), "{template}");
        }
    }
}
