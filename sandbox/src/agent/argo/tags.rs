//! Argo's tags: `{{name}}` in any string of a template is replaced by what the scope holds under that name.

use std::collections::BTreeMap;

use serde_json::Value;

/// What tags may name, and the text that replaces each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scope(BTreeMap<String, String>);

impl Scope {
    /// Adds or replaces a name.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// This scope and one name more.
    #[must_use]
    pub(crate) fn with(&self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let mut scope = self.clone();
        scope.set(name, value);
        scope
    }

    fn get(&self, tag: &str) -> Option<&str> {
        self.0.get(tag).map(String::as_str)
    }

    /// Replaces every tag of `text`, once: a tag inside a value stays text. A tag that the scope does not know is
    /// an error in Argo's words.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Tag(tag) => match self.get(tag) {
                    Some(value) => filled.push_str(value),
                    None => return Err(format!("failed to resolve {{{{{tag}}}}}")),
                },
            }
        }
        Ok(filled)
    }

    /// [`Scope::fill`] for every string in `value`; keys stay as they are.
    pub(crate) fn fill_value(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(text)?),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.fill_value(item)).collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.fill_value(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
            other => other.clone(),
        })
    }
}

/// Whether `text` holds an expression tag, `{{=...}}`.
pub(crate) fn has_expression(text: &str) -> bool {
    pieces(text).any(|piece| matches!(piece, Piece::Tag(tag) if tag.starts_with('=')))
}

/// Whether `text` holds any tag.
pub(crate) fn has_tag(text: &str) -> bool {
    pieces(text).any(|piece| matches!(piece, Piece::Tag(_)))
}

enum Piece<'a> {
    Text(&'a str),
    Tag(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut next_tag = None;
    std::iter::from_fn(move || {
        if let Some(tag) = next_tag.take() {
            return Some(Piece::Tag(tag));
        }
        if rest.is_empty() {
            return None;
        }
        let Some((before, tag, after)) = first_tag(rest) else {
            return Some(Piece::Text(std::mem::take(&mut rest)));
        };
        rest = after;
        next_tag = Some(tag);
        Some(Piece::Text(before))
    })
}

fn first_tag(text: &str) -> Option<(&str, &str, &str)> {
    let (before, opened) = text.split_once("{{")?;
    let (tag, after) = opened.split_once("}}")?;
    Some((before, tag.trim(), after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        let mut scope = Scope::default();
        scope.set("workflow.name", "w");
        scope.set("inputs.parameters.node", "dev1");
        scope.set("item", "{{workflow.name}}");
        scope
    }

    #[test]
    fn tags_are_replaced_once_and_by_name() {
        let cases = [
            ("plain", Ok("plain")),
            ("", Ok("")),
            ("on {{inputs.parameters.node}}!", Ok("on dev1!")),
            ("{{ workflow.name }}{{workflow.name}}", Ok("ww")),
            ("{{item}}", Ok("{{workflow.name}}")),
            ("awk '{print $1}'", Ok("awk '{print $1}'")),
            ("{{never closed", Ok("{{never closed")),
            ("{{steps.a.outputs.result}}", Err("failed to resolve {{steps.a.outputs.result}}")),
            ("{{}}", Err("failed to resolve {{}}")),
        ];
        for (text, want) in cases {
            assert_eq!(scope().fill(text).as_deref().map_err(String::as_str), want, "{text}");
        }
    }

    #[test]
    fn every_string_of_a_value_is_filled_but_no_key() {
        let value = json!({"{{item}}": ["{{workflow.name}}", 1, true, null, {"a": "{{inputs.parameters.node}}"}]});
        assert_eq!(scope().fill_value(&value), Ok(json!({"{{item}}": ["w", 1, true, null, {"a": "dev1"}]})));
    }

    #[test]
    fn expressions_are_told_from_tags() {
        assert!(has_expression("a {{= 1 + 1 }}"));
        assert!(has_expression("{{=item}}"));
        assert!(!has_expression("{{item}} = {{item}}"));
        assert!(has_tag("{{item}}"));
        assert!(!has_tag("{{item"));
    }

    proptest::proptest! {
        #[test]
        fn filling_never_panics_and_leaves_text_without_tags_alone(text in ".{0,80}") {
            let filled = scope().fill(&text);
            if !has_tag(&text) {
                proptest::prop_assert_eq!(filled, Ok(text));
            }
        }
    }
}
