//! What an unfilled scalar means: the same as to kubectl, so that a manifest keeps its meaning when it moves into a
//! template. kubectl reads YAML 1.1 (`yes` is a boolean, `0644` is octal); fields that hold text keep their text as
//! it is written, as kubectl does where it knows a field's type.

use serde_json::{Number, Value};

use super::yaml::{CoreTag, Scalar};

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldType {
    Text,
    Integer,
    Boolean,
    /// An integer or text, such as a port or `retryStrategy.limit`.
    IntegerOrText,
    /// Not in our tables.
    Unknown,
}

/// The value of a scalar in which nothing was filled.
///
/// # Errors
/// A sentence when a tag and the text disagree, or JSON has no such number.
pub(super) fn resolve(scalar: &Scalar, field: FieldType) -> Result<Value, String> {
    let text = scalar.text.as_str();
    let mismatch = |expected: &str| format!("the tag says {expected}, the text is {text:?}");
    match scalar.tag {
        Some(CoreTag::Str) => return Ok(Value::String(text.to_owned())),
        Some(CoreTag::Null) => return Ok(Value::Null),
        Some(CoreTag::Bool) => {
            return boolean(text).map(Value::Bool).ok_or_else(|| mismatch("boolean"));
        }
        Some(CoreTag::Int) => {
            return integer(text).map(Value::Number).ok_or_else(|| mismatch("integer"));
        }
        Some(CoreTag::Float) => {
            return float(text)?.map(Value::Number).ok_or_else(|| mismatch("number"));
        }
        None => {}
    }
    if !scalar.plain {
        return Ok(Value::String(text.to_owned()));
    }
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Ok(Value::Null);
    }
    if field == FieldType::Text {
        return Ok(Value::String(text.to_owned()));
    }
    if let Some(value) = boolean(text) {
        return Ok(Value::Bool(value));
    }
    if let Some(number) = integer(text) {
        return Ok(Value::Number(number));
    }
    match float(text)? {
        Some(number) => Ok(Value::Number(number)),
        None => Ok(Value::String(text.to_owned())),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
        _ => None,
    }
}

fn integer(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-')) {
        return None;
    }
    let plain = text.replace('_', "");
    let (negative, magnitude) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (digits, radix) = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', ..] => (magnitude.get(2..)?, 16),
        [b'0', b'b' | b'B', ..] => (magnitude.get(2..)?, 2),
        [b'0', b'o' | b'O', ..] => (magnitude.get(2..)?, 8),
        [b'0', _, ..] => (magnitude.get(1..)?, 8),
        _ => (magnitude, 10),
    };
    // from_str_radix takes a sign of its own.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if !negative {
        return Some(Number::from(value));
    }
    let value = i64::try_from(value).ok()?.checked_neg()?;
    Some(Number::from(value))
}

fn float(text: &str) -> Result<Option<Number>, String> {
    if matches!(text.trim_start_matches(['-', '+']), ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is no number that JSON can hold"));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let looks = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !looks {
        return Ok(None);
    }
    Ok(text.parse::<f64>().ok().and_then(Number::from_f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(text: &str) -> Scalar {
        Scalar { text: text.to_owned(), plain: true, tag: None }
    }

    #[test]
    fn an_unfilled_scalar_means_what_it_means_to_kubectl() {
        let cases = [
            ("yes", json!(true), "YAML 1.1 words are booleans"),
            ("off", json!(false), "YAML 1.1 words are booleans"),
            ("True", json!(true), "in three spellings"),
            ("tRue", json!("tRue"), "and no other"),
            ("0644", json!(420), "a leading zero is octal"),
            ("0o644", json!(420), "and so is 0o"),
            ("0x1F", json!(31), "hexadecimal"),
            ("1_000", json!(1000), "underscores group digits"),
            ("-5", json!(-5), "negative"),
            ("08", json!(8.0), "not octal, but a float to Go"),
            ("1.5", json!(1.5), "a float"),
            ("1e3", json!(1000.0), "a float"),
            ("1.2.3", json!("1.2.3"), "a version is text"),
            ("2024-01-01", json!("2024-01-01"), "a date is text"),
            ("~", Value::Null, "null"),
            ("", Value::Null, "nothing is null"),
            ("+", json!("+"), "a sign alone is text"),
            ("-", json!("-"), "a sign alone is text"),
            ("0x", json!("0x"), "a prefix alone is text"),
            ("0x-1", json!("0x-1"), "a sign stands in front"),
            ("node1", json!("node1"), "text"),
            ("18446744073709551616", json!(18_446_744_073_709_551_616.0), "too large for an integer"),
        ];
        for (text, expected, why) in cases {
            let value = resolve(&plain(text), FieldType::Unknown);
            assert_eq!(value, Ok(expected), "{text}: {why}");
        }
    }

    #[test]
    fn a_field_of_text_keeps_what_is_written() {
        for text in ["10", "yes", "1.50", "0644"] {
            let value = resolve(&plain(text), FieldType::Text);
            assert_eq!(value, Ok(json!(text)));
        }
        assert_eq!(resolve(&plain("~"), FieldType::Text), Ok(Value::Null));
    }

    #[test]
    fn a_tag_decides_and_must_fit() {
        let tagged = |text: &str, tag| Scalar { text: text.to_owned(), plain: true, tag: Some(tag) };
        let resolve = |scalar: &Scalar| resolve(scalar, FieldType::Unknown);
        assert_eq!(resolve(&tagged("1", CoreTag::Str)), Ok(json!("1")));
        assert_eq!(resolve(&tagged("1", CoreTag::Int)), Ok(json!(1)));
        assert!(resolve(&tagged("x", CoreTag::Int)).is_err());
        assert!(resolve(&tagged("x", CoreTag::Bool)).is_err());
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        assert!(resolve(&plain(".inf"), FieldType::Unknown).is_err());
        assert!(resolve(&plain("-.Inf"), FieldType::Unknown).is_err());
    }
}
