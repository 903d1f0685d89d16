//! Objects to render, for tests.

use serde_json::Value;

use super::{Flaw, Parameters, Template, fill};

/// Parses, evaluates and fills.
pub(super) fn render(template: &str, parameters: &[(&str, &str)]) -> Result<Value, Flaw> {
    let parameters: Parameters = parameters.iter().copied().collect();
    fill(&Template::parse(template)?.evaluate(&parameters)?)
}

/// A Workflow of one container with the given `command` and `args`.
pub(super) fn container(command: &[&str], args: &[&str]) -> String {
    let list = |items: &[&str]| serde_json::to_string(items).unwrap();
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  templates:\n  - name: a\n    container:\n      \
         image: i\n      command: {}\n      args: {}\n",
        list(command),
        list(args)
    )
}

/// A Workflow of one script template.
pub(super) fn script(command: &[&str], source: &str) -> String {
    format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  templates:\n  - name: a\n    script:\n      \
         image: i\n      command: {}\n      source: {}\n",
        serde_json::to_string(command).unwrap(),
        serde_json::to_string(source).unwrap()
    )
}
