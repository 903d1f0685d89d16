//! Made-up values: some that a template renders with, so that there is an object to look at, and one that an alert may
//! well bring, to see where it would be refused.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Code, Finding};
use crate::render::{Flaw, Parameters, Template};

/// What free text may look like: nothing that only an attacker would send.
const FREE_TEXT: &str = "it's 90% \"full\", see $HOME (disk 1)";
/// Names of objects and of nodes: what Kubernetes lets them be is a safe word everywhere.
const NAMES: [&str; 10] = [
    "AlertName",
    "AlertNamespace",
    "InvolvedObjectKind",
    "InvolvedObjectName",
    "InvolvedObjectNamespace",
    "InvolvedObjectNode",
    "container",
    "namespace",
    "node",
    "pod",
];

pub(super) type Values = BTreeMap<String, String>;

/// Values that the template renders with, a word of its own for each parameter where that can be, and the object.
///
/// # Errors
/// The flaw that comes with words, if neither words nor numbers nor booleans will do.
pub(super) fn rendered(template: &Template) -> Result<(Values, Value), Flaw> {
    let mut values: Values = template.parameters().map(|name| (name.to_owned(), word(name))).collect();
    let mut first = None;
    // A flaw that names its parameter says which of them is no word; each has two further chances.
    for _ in 0..=2 * values.len() {
        let flaw = match render(template, &values) {
            Ok(object) => return Ok((values, object)),
            Err(flaw) => flaw,
        };
        let next = flaw.parameter.as_ref().and_then(|name| values.get_mut(name)).map(|value| {
            let next = if value == "1" { "true" } else { "1" };
            std::mem::replace(value, next.to_owned()) != "true"
        });
        first.get_or_insert(flaw);
        if next != Some(true) {
            break;
        }
    }
    for value in ["1", "true"] {
        let values: Values = template.parameters().map(|name| (name.to_owned(), value.to_owned())).collect();
        if let Ok(object) = render(template, &values) {
            return Ok((values, object));
        }
    }
    Err(first.unwrap_or_else(|| Flaw::new("it renders with no value that was tried")))
}

/// The places where ordinary text would be refused, one for each parameter. Numbers and booleans, and the names of
/// objects, are never such text.
pub(super) fn refused(template: &Template, values: &Values) -> Vec<Finding> {
    let free = values.iter().filter(|(name, value)| **value == word(name) && !NAMES.contains(&name.as_str()));
    let refusals = free.filter_map(|(name, _)| {
        let mut probe = values.clone();
        probe.insert(name.clone(), FREE_TEXT.to_owned());
        let flaw = render(template, &probe).err()?;
        Some(Finding {
            code: Code::RefusedValue,
            path: flaw.field.clone().unwrap_or_else(|| "spec.manifest".to_owned()),
            problem: format!("{name}: {}", flaw.problem),
            remedy: flaw.hint.as_deref().map_or_else(
                || "pass the value in env, and let the program read it there".to_owned(),
                ToOwned::to_owned,
            ),
        })
    });
    refusals.collect()
}

fn render(template: &Template, values: &Values) -> Result<Value, Flaw> {
    let parameters: Parameters = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    template.render(&parameters)
}

/// A word that no other parameter has.
fn word(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("some-{}", letters.to_lowercase())
}
