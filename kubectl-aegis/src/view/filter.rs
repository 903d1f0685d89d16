//! The one grammar in which every list is filtered: `sev=critical age<1h !ns=dev text`.
//!
//! Terms stand side by side, and an object must meet all of them. A term is a text that stands anywhere in the object's
//! fields, or a field, an operator and a value. `!` turns a term round. Upper and lower case are the same.
//!
//! ```text
//! severity=critical,warning   one of these        name=node*   begins with     rule=   has none
//! count>3   count<=10         numbers             age<1h       younger         age>2d  older
//! "two words"                 a text with spaces, or with a sign that would be an operator
//! ```

use std::fmt;

use aegis_engine::duration;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::field::{Datum, Field, What};

/// A filter that was read. The empty one lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    fields: &'static [Field],
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    negated: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    /// Some field holds this text, in lower case.
    Anywhere(String),
    /// The field is one of these patterns, in lower case.
    Is(&'static Field, Vec<String>),
    /// The field's number, or its age, stands so to this one.
    Number(&'static Field, Order, i64),
    Age(&'static Field, Order, SignedDuration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// Why a filter cannot be read: the term, what was found, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterFlaw {
    term: String,
    expected: String,
}

impl fmt::Display for FilterFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {:?}, expected {}", self.term, self.expected)
    }
}

impl std::error::Error for FilterFlaw {}

impl Filter {
    /// Reads a filter over these fields.
    pub fn parse(text: &str, fields: &'static [Field]) -> Result<Self, FilterFlaw> {
        let terms = words(text)?.into_iter().map(|word| Term::parse(&word, fields)).collect::<Result<_, _>>()?;
        Ok(Self { fields, terms })
    }

    /// Whether the object meets every term.
    pub fn matches(&self, object: &Value, now: Timestamp) -> bool {
        self.terms.iter().all(|term| term.test.holds(self.fields, object, now) != term.negated)
    }

    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

/// A word of the filter as it was typed: what came before the first quote, and all of it without quotes.
struct Word {
    typed: String,
    bare: usize,
    text: String,
}

/// The words, parted at spaces outside of quotes.
fn words(text: &str) -> Result<Vec<Word>, FilterFlaw> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut quoted = false;
    for c in text.chars() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
            quoted = false;
            continue;
        }
        let word = word.get_or_insert_with(|| Word { typed: String::new(), bare: 0, text: String::new() });
        word.typed.push(c);
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                quoted = true;
            }
            (_, c) => {
                word.text.push(c);
                if !quoted {
                    word.bare = word.text.len();
                }
            }
        }
    }
    words.extend(word);
    match (quote, words.last()) {
        (Some(open), Some(word)) => {
            Err(FilterFlaw { term: word.typed.clone(), expected: format!("a closing {open} at its end") })
        }
        _ => Ok(words),
    }
}

impl Term {
    fn parse(word: &Word, fields: &'static [Field]) -> Result<Self, FilterFlaw> {
        let flaw = |expected: String| FilterFlaw { term: word.typed.clone(), expected };
        let (negated, text, bare) = match word.text.strip_prefix('!') {
            Some(rest) if word.bare > 0 => (true, rest, word.bare - 1),
            _ => (false, word.text.as_str(), word.bare),
        };
        let operator = text.get(..bare).and_then(|bare| bare.find(['=', '<', '>']));
        let Some((name, rest)) = operator.filter(|at| *at > 0).and_then(|at| text.split_at_checked(at)) else {
            if text.is_empty() {
                return Err(flaw("a text or FIELD=VALUE after the !".to_owned()));
            }
            return Ok(Self { negated, test: Test::Anywhere(text.to_lowercase()) });
        };
        let (name, turned) = match name.strip_suffix('!') {
            Some(name) if rest.starts_with('=') => (name, true),
            _ => (name, false),
        };
        let Some(field) = fields.iter().find(|field| field.is_called(name)) else {
            let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
            return Err(flaw(format!("one of the fields {}; quote it if it is a text", known.join(", "))));
        };
        let (order, value) = match rest.as_bytes() {
            [b'<', b'=', ..] => (Some(Order::AtMost), rest.get(2..)),
            [b'>', b'=', ..] => (Some(Order::AtLeast), rest.get(2..)),
            [b'<', ..] => (Some(Order::Below), rest.get(1..)),
            [b'>', ..] => (Some(Order::Above), rest.get(1..)),
            _ => (None, rest.get(1..)),
        };
        let value = value.unwrap_or_default();
        let test = match (field.what, order) {
            (What::Text | What::Number, None) => Test::Is(field, value.split(',').map(str::to_lowercase).collect()),
            (What::Number, Some(order)) => {
                let number = value.parse().map_err(|_| flaw(format!("a number after {name}, such as {name}>3")))?;
                Test::Number(field, order, number)
            }
            (What::Time, Some(order)) => {
                let length = length(value);
                let length = length.ok_or_else(|| flaw(format!("a length of time, such as {name}<1h or {name}>2d")))?;
                Test::Age(field, order, length)
            }
            (What::Time, None) => return Err(flaw(format!("< or > after {name}, such as {name}<1h"))),
            (What::Text, Some(_)) => return Err(flaw(format!("= after {name}, which is a text"))),
        };
        Ok(Self { negated: negated != turned, test })
    }
}

/// A length of time; beside what settings take, whole days and weeks.
pub fn length(text: &str) -> Option<SignedDuration> {
    let days = |suffix: char, days: i64| -> Option<SignedDuration> {
        let number: i64 = text.strip_suffix(suffix)?.parse().ok()?;
        let seconds = number.checked_mul(days * 86_400).filter(|seconds| *seconds > 0)?;
        Some(SignedDuration::from_secs(seconds))
    };
    days('d', 1).or_else(|| days('w', 7)).or_else(|| duration::parse(text).ok())
}

impl Test {
    fn holds(&self, fields: &[Field], object: &Value, now: Timestamp) -> bool {
        match self {
            Self::Anywhere(text) => {
                let holds = |field: &Field| match (field.read)(object) {
                    Datum::Text(found) => found.to_lowercase().contains(text),
                    Datum::Number(_) | Datum::Time(_) | Datum::Nothing => false,
                };
                fields.iter().any(holds)
            }
            Self::Is(field, patterns) => {
                let found = (field.read)(object).shown(now).to_lowercase();
                patterns.iter().any(|pattern| fits(pattern, &found))
            }
            Self::Number(field, order, wanted) => match (field.read)(object) {
                Datum::Number(found) => order.holds(&found, wanted),
                _ => false,
            },
            Self::Age(field, order, wanted) => match (field.read)(object) {
                Datum::Time(time) => order.holds(&now.duration_since(time), wanted),
                _ => false,
            },
        }
    }
}

impl Order {
    fn holds<T: Ord>(self, found: &T, wanted: &T) -> bool {
        match self {
            Self::Below => found < wanted,
            Self::AtMost => found <= wanted,
            Self::Above => found > wanted,
            Self::AtLeast => found >= wanted,
        }
    }
}

/// Whether the text is the pattern, in which `*` stands for any text.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const FIELDS: &[Field] = &[
        Field::text("name", "NAME", |object| Datum::at(object, "/name")),
        Field::text("severity", "SEVERITY", |object| Datum::at(object, "/severity")).or(&["sev"]),
        Field::text("namespace", "NAMESPACE", |object| Datum::at(object, "/namespace")).or(&["ns"]),
        Field::number("count", "COUNT", |object| Datum::at(object, "/count")),
        Field::time("age", "AGE", |object| Datum::time_at(object, "/start")),
    ];

    fn now() -> Timestamp {
        "2026-01-02T12:00:00Z".parse().unwrap()
    }

    fn passes(filter: &str) -> bool {
        let object = json!({
            "name": "NodeDown on n1", "severity": "critical", "namespace": "prod", "count": 4,
            "start": "2026-01-02T11:30:00Z", "hidden": "secret",
        });
        Filter::parse(filter, FIELDS).unwrap().matches(&object, now())
    }

    #[test]
    fn an_object_passes_if_it_meets_every_term() {
        let cases = [
            ("nothing is asked", "", true),
            ("the example of the manual", "sev=critical age<1h !ns=dev nodedown", true),
            ("one term of several fails", "sev=critical age<10m", false),
            ("case does not matter", "SEV=Critical NODEDOWN", true),
            ("one of several values", "sev=warning,critical", true),
            ("none of several values", "sev=warning,info", false),
            ("a value is all of it", "sev=crit", false),
            ("unless a star says otherwise", "sev=crit* name=*n1 ns=p*d", true),
            ("stars keep their order", "name=*n1*down*", false),
            ("turned round", "!sev=critical", false),
            ("turned round at the operator", "sev!=critical", false),
            ("turned round twice", "!sev!=critical", true),
            ("a text that is nowhere", "disk", false),
            ("a text turned round", "!disk", true),
            ("what no field shows is not searched", "secret", false),
            ("a text with a space", "\"nodedown on\"", true),
            ("a quoted value", "name='nodedown on n1'", true),
            ("a quoted text is no term of a field", "'sev=critical'", false),
            ("numbers", "count>3 count>=4 count<5 count<=4 count=4", true),
            ("a number that is not so", "count>4", false),
            ("older", "age>29m", true),
            ("a day is a length of time", "age<1d", true),
            ("nothing is there", "ns=", false),
        ];
        for (why, filter, want) in cases {
            assert_eq!(passes(filter), want, "{why}: {filter}");
        }
        let bare = json!({"name": "x"});
        let bare_passes = |filter: &str| Filter::parse(filter, FIELDS).unwrap().matches(&bare, now());
        assert!(bare_passes("sev=") && bare_passes("!age<1h") && !bare_passes("age>1h") && !bare_passes("sev!="));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_is_expected() {
        let cases = [
            ("colour=red", "one of the fields name, severity, namespace, count, age"),
            ("age=1h", "< or > after age"),
            ("age<soon", "a length of time, such as age<1h"),
            ("age<-1h", "a length of time"),
            ("count>many", "a number after count"),
            ("sev<critical", "= after sev, which is a text"),
            ("'open", "a closing '"),
            ("!", "a text or FIELD=VALUE"),
        ];
        for (filter, part) in cases {
            let told = Filter::parse(filter, FIELDS).expect_err(filter).to_string();
            assert!(told.contains(part) && told.contains("found"), "{filter}: {told}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read_or_refused(text in "\\PC{0,24}|[a-z!=<>\"' *,0-9]{0,24}") {
            if let Ok(filter) = Filter::parse(&text, FIELDS) {
                filter.matches(&json!({"name": text, "count": 1}), now());
            }
        }

        #[test]
        fn a_pattern_of_stars_and_pieces_fits_what_it_was_made_of(pieces in prop::collection::vec("[a-c]{0,3}", 1..5)) {
            prop_assert!(fits(&pieces.join("*"), &pieces.concat()));
        }
    }
}
