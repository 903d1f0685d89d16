//! Templates and what becomes of them.

mod bounds;
mod pastes;
mod readers;
mod scalars;
mod scripts;

use serde_json::Value;

use crate::render::Flaw;
use crate::render::testing::{container, render};

/// A Workflow with the given lines as its spec.
fn workflow(spec: &str) -> String {
    let mut text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n".to_owned();
    for line in spec.lines() {
        text.push_str("  ");
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn spec_of(spec: &str, value: &str) -> Result<Value, Flaw> {
    render(&workflow(spec), &[("x", value)]).map(|object| object["spec"].clone())
}

fn refused(spec: &str, value: &str) -> String {
    spec_of(spec, value).unwrap_err().to_string()
}

/// The shell text of a container after filling.
fn shell(text: &str, value: &str) -> Result<String, Flaw> {
    let object = render(&container(&["bash", "-c"], &[text]), &[("x", value), ("y", "second")])?;
    let args = object.pointer("/spec/templates/0/container/args/0").unwrap();
    Ok(args.as_str().unwrap().to_owned())
}
