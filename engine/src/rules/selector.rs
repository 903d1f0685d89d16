//! A label selector, checked as the API server would check it and compiled for matching.

use std::collections::BTreeMap;

use aegis_crds::names::is_label_value;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use super::RuleFlaw;

/// A selector that can be matched, with the number of its terms.
#[derive(Clone, Debug, Default)]
pub(crate) struct CompiledSelector {
    selector: Selector,
    terms: usize,
}

impl CompiledSelector {
    /// Compiles a selector; all its flaws at once, each under the field given and below.
    pub(crate) fn compile(selector: Option<&LabelSelector>, field: &str) -> Result<Self, Vec<RuleFlaw>> {
        let Some(selector) = selector else { return Ok(Self::default()) };
        let LabelSelector { match_labels, match_expressions } = selector;
        let mut flaws = Vec::new();
        for (key, value) in match_labels.iter().flatten() {
            flaws.extend(key_flaw(key, &format!("{field}.matchLabels")));
            flaws.extend(value_flaw(value, &format!("{field}.matchLabels[{key}]")));
        }
        for (index, expression) in match_expressions.iter().flatten().enumerate() {
            let field = format!("{field}.matchExpressions[{index}]");
            flaws.extend(key_flaw(&expression.key, &format!("{field}.key")));
            let values = expression.values.as_deref().unwrap_or_default();
            match (expression.operator.as_str(), values.is_empty()) {
                ("In" | "NotIn", true) => flaws.push(RuleFlaw::new(
                    format!("{field}.values"),
                    "none",
                    format!("at least one value for {}", expression.operator),
                )),
                ("Exists" | "DoesNotExist", false) => flaws.push(RuleFlaw::new(
                    format!("{field}.values"),
                    format!("{values:?}"),
                    format!("no values for {}", expression.operator),
                )),
                ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => {}
                (other, _) => flaws.push(RuleFlaw::new(
                    format!("{field}.operator"),
                    format!("{other:?}"),
                    "In, NotIn, Exists or DoesNotExist",
                )),
            }
            for (at, value) in values.iter().enumerate() {
                flaws.extend(value_flaw(value, &format!("{field}.values[{at}]")));
            }
        }
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let terms = match_labels.as_ref().map_or(0, BTreeMap::len) + match_expressions.as_ref().map_or(0, Vec::len);
        match Selector::try_from(selector.clone()) {
            Ok(selector) => Ok(Self { selector, terms }),
            Err(error) => Err(vec![RuleFlaw::new(field, error.to_string(), "a label selector")]),
        }
    }

    /// How many terms must hold.
    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

    /// Whether all terms hold.
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.terms == 0 || self.selector.matches(labels)
    }
}

/// What is wrong with a label key, if anything.
pub(crate) fn key_flaw(key: &str, field: &str) -> Option<RuleFlaw> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let domain = |prefix: &str| {
        !prefix.is_empty()
            && prefix.len() <= 253
            && prefix.split('.').all(|part| {
                !part.is_empty()
                    && !part.starts_with('-')
                    && !part.ends_with('-')
                    && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            })
    };
    let valid = !name.is_empty() && is_label_value(name) && prefix.is_none_or(domain);
    (!valid).then(|| RuleFlaw::new(field, format!("{key:?}"), "a label key such as team or example.com/team"))
}

fn value_flaw(value: &str, field: &str) -> Option<RuleFlaw> {
    (!is_label_value(value)).then(|| {
        RuleFlaw::new(
            field,
            format!("{value:?}"),
            "a label value: at most 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(selector: serde_json::Value) -> Result<CompiledSelector, Vec<RuleFlaw>> {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        CompiledSelector::compile(Some(&selector), "spec.selector")
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_term_must_hold() {
        let cases = [
            (json!({}), true, "an empty selector selects all"),
            (json!({"matchLabels": {"team": "gpu"}}), true, "the label has this value"),
            (json!({"matchLabels": {"team": "cpu"}}), false, "the label has another value"),
            (json!({"matchLabels": {"team": "gpu", "zone": "a"}}), false, "one of two labels is absent"),
            (json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["gpu", "cpu"]}]}), true, "In"),
            (
                json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}),
                true,
                "absent is not in",
            ),
            (json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}), true, "Exists"),
            (json!({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}), false, "DoesNotExist"),
        ];
        for (selector, selected, why) in cases {
            let compiled = compile(selector).unwrap();
            assert_eq!(compiled.selects(&labels(&[("team", "gpu")])), selected, "{why}");
        }
    }

    #[test]
    fn a_flaw_names_its_field() {
        let cases = [
            (json!({"matchLabels": {"a b": "x"}}), "spec.selector.matchLabels"),
            (json!({"matchLabels": {"/a": "x"}}), "spec.selector.matchLabels"),
            (json!({"matchLabels": {"a": "x y"}}), "spec.selector.matchLabels[a]"),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]}),
                "spec.selector.matchExpressions[0].operator",
            ),
            (json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), "spec.selector.matchExpressions[0].values"),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
                "spec.selector.matchExpressions[0].values",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "-"]}]}),
                "spec.selector.matchExpressions[0].values[1]",
            ),
        ];
        for (selector, field) in cases {
            let flaws = compile(selector).unwrap_err();
            assert_eq!(flaws.iter().map(|flaw| flaw.field.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}
