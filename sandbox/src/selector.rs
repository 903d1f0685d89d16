//! Label and field selectors, as they stand in a query.

use serde_json::Value;

use crate::object;
use crate::store::Facts;

/// A selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    #[error(
        "unable to parse requirement: found {found:?} in label selector {selector:?}, expected key, !key, key=value, key!=value, key in (a,b), key notin (a,b), key>1 or key<1"
    )]
    Label { selector: String, found: String },
    #[error("invalid field selector {selector:?}: {found:?} is none of field=value, field==value and field!=value")]
    Field { selector: String, found: String },
    #[error("field label not supported: {found} (only metadata.name, metadata.namespace{})", .known.iter().map(|field| format!(", {field}")).collect::<String>())]
    Unsupported { found: String, known: Vec<String> },
}

/// What a list or watch selects. The default selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl Selector {
    /// Reads both selectors of a query; `selectable` are the fields that the kind offers besides name and namespace.
    pub(crate) fn parse(labels: &str, fields: &str, selectable: &[&str]) -> Result<Self, SelectorError> {
        Ok(Self { labels: parse_labels(labels)?, fields: parse_fields(fields, selectable)? })
    }

    /// From a LabelSelector inside of an object; none if there is none, which selects nothing.
    pub(crate) fn of(selector: Option<&Value>) -> Option<Self> {
        let selector = selector.filter(|selector| selector.is_object())?;
        let mut labels: Vec<Requirement> = selector
            .get("matchLabels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                test: Test::In(vec![value.as_str().unwrap_or_default().to_owned()]),
            })
            .collect();
        for expression in object::items(selector, "/matchExpressions") {
            let values =
                object::items(expression, "/values").filter_map(|value| Some(value.as_str()?.to_owned())).collect();
            labels.push(Requirement {
                key: object::text(expression, "/key").to_owned(),
                test: match object::text(expression, "/operator") {
                    "In" => Test::In(values),
                    "NotIn" => Test::NotIn(values),
                    "Exists" => Test::Exists,
                    "DoesNotExist" => Test::Missing,
                    _ => return None,
                },
            });
        }
        Some(Self { labels, fields: Vec::new() })
    }

    /// Whether everything is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, facts: &Facts) -> bool {
        self.labels.iter().all(|requirement| requirement.holds(facts))
            && self.fields.iter().all(|(key, equal, value)| (facts.field(key).unwrap_or_default() == value) == *equal)
    }
}

impl Requirement {
    fn holds(&self, facts: &Facts) -> bool {
        let found = facts.label(&self.key);
        let number = || found.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => found.is_some(),
            Test::Missing => found.is_none(),
            Test::In(values) => found.is_some_and(|value| values.iter().any(|one| one == value)),
            Test::NotIn(values) => found.is_none_or(|value| values.iter().all(|one| one != value)),
            Test::Greater(limit) => number().is_some_and(|number| number > *limit),
            Test::Less(limit) => number().is_some_and(|number| number < *limit),
        }
    }
}

fn parse_labels(selector: &str) -> Result<Vec<Requirement>, SelectorError> {
    split_outside_brackets(selector)
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            parse_requirement(part)
                .ok_or_else(|| SelectorError::Label { selector: selector.to_owned(), found: part.to_owned() })
        })
        .collect()
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let made = |key: &str, test: Test| {
        let key = key.trim();
        crate::metadata::qualified_name_flaw(key).is_none().then(|| Requirement { key: key.to_owned(), test })
    };
    let one = |value: &str| {
        let value = value.trim();
        crate::metadata::is_label_value(value).then(|| vec![value.to_owned()])
    };
    if let Some(key) = part.strip_prefix('!') {
        return made(key, Test::Missing);
    }
    if let Some(list) = part.strip_suffix(')') {
        let (head, values) = list.split_once('(')?;
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next()?, words.next()?);
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if words.next().is_some() || !values.iter().all(|value| crate::metadata::is_label_value(value)) {
            return None;
        }
        return match operator {
            "in" => made(key, Test::In(values)),
            "notin" => made(key, Test::NotIn(values)),
            _ => None,
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return made(key, Test::NotIn(one(value)?));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return made(key, Test::In(one(value)?));
    }
    if let Some((key, value)) = part.split_once('>') {
        return made(key, Test::Greater(value.trim().parse().ok()?));
    }
    if let Some((key, value)) = part.split_once('<') {
        return made(key, Test::Less(value.trim().parse().ok()?));
    }
    made(part, Test::Exists)
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn parse_fields(selector: &str, selectable: &[&str]) -> Result<Vec<(String, bool, String)>, SelectorError> {
    let mut fields = Vec::new();
    for part in split_unescaped(selector) {
        let (key, equal, value) = if let Some((key, value)) = part.split_once("!=") {
            (key, false, value)
        } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (key, true, value)
        } else {
            return Err(SelectorError::Field { selector: selector.to_owned(), found: part.to_owned() });
        };
        if !matches!(key, "metadata.name" | "metadata.namespace") && !selectable.contains(&key) {
            return Err(SelectorError::Unsupported {
                found: key.to_owned(),
                known: selectable.iter().map(|field| (*field).to_owned()).collect(),
            });
        }
        fields.push((key.to_owned(), equal, unescape(value)));
    }
    Ok(fields)
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|c| {
        let splits = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    })
    .filter(|part| !part.is_empty())
    .collect()
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            namespace: "ns".into(),
            name: "n".into(),
            labels: Box::new([("app".into(), "web".into()), ("size".into(), "3".into())]),
            fields: Box::new([("status.phase".into(), "Running".into())]),
            ..Facts::default()
        }
    }

    #[test]
    fn selectors_pick_by_labels_and_fields() {
        let cases = [
            ("", "", true),
            ("app=web", "", true),
            ("app==web,size", "", true),
            ("app!=web", "", false),
            ("absent!=x", "", true),
            ("!absent,!app", "", false),
            ("app in (db, web)", "", true),
            ("app notin (db,web)", "", false),
            ("absent notin (a)", "", true),
            ("size>2,size<4", "", true),
            ("size>3", "", false),
            ("", "metadata.name=n,metadata.namespace=ns", true),
            ("", "status.phase!=Running", false),
            ("app=web", "status.phase=Pending", false),
        ];
        for (labels, fields, want) in cases {
            let selector = Selector::parse(labels, fields, &["status.phase"]).unwrap();
            assert_eq!(selector.matches(&facts()), want, "{labels} {fields}");
        }
    }

    #[test]
    fn a_selector_that_cannot_be_read_says_so() {
        assert!(Selector::parse("a b", "", &[]).is_err());
        assert!(Selector::parse("app in web", "", &[]).is_err());
        assert!(Selector::parse("", "spec.x", &[]).is_err());
        assert_eq!(
            Selector::parse("", "spec.x=1", &[]),
            Err(SelectorError::Unsupported { found: "spec.x".into(), known: vec![] })
        );
    }
}
