//! The template languages: Go's text/template, and our own style after Jinja.
//!
//! `scan` cuts the text into tags, `owner` says whose each one is, `go` reads Go's expressions, `own` has minijinja read
//! those of our own style, `parse` builds one tree of both, and `eval` walks it with an alert's parameters. `limits` bounds
//! all of it.

mod apply;
mod ast;
mod budget;
mod cursor;
mod eval;
mod function;
mod go;
mod lex;
mod limits;
mod own;
mod owner;
mod parse;
mod scan;
mod scope;
mod text;
mod value;

use std::collections::BTreeSet;

use super::forms::Forms;
use super::{Evaluated, Flaw, Parameters, Words};

/// A template whose syntax has been checked.
#[derive(Debug)]
pub struct Template {
    text: String,
    nodes: Vec<ast::Node>,
    slots: usize,
    parameters: BTreeSet<String>,
    /// Words that do not occur in the text, none of them printed yet.
    words: Words,
    forms: Forms,
}

impl Template {
    /// Reads a template's text.
    ///
    /// # Errors
    /// The first thing that is wrong with its syntax, with line and column; or that it is empty or too long.
    pub fn parse(manifest: &str) -> Result<Self, Flaw> {
        if manifest.trim().is_empty() {
            return Err(Flaw::new("the manifest is empty").hint("give the text of a Workflow or Job"));
        }
        if manifest.len() > limits::TEMPLATE_BYTES {
            return Err(Flaw::new(format!(
                "the manifest is {} bytes long, but at most {} are read",
                manifest.len(),
                limits::TEMPLATE_BYTES
            )));
        }
        let mut scope = scope::Scope::new();
        let nodes = parse::parse(scan::scan(manifest)?, &mut scope)?;
        let (slots, parameters) = scope.finish();
        Ok(Self {
            text: manifest.to_owned(),
            nodes,
            slots,
            parameters,
            words: Words::for_template(manifest, std::iter::empty()),
            forms: Forms::default(),
        })
    }

    /// The names of the parameters that it may read, in order. Names that it computes are not among them.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(String::as_str)
    }

    /// Evaluates it: conditions and loops see the values, the text gets an opaque word in place of each printed one.
    ///
    /// As long as values take the same branches, the text is the same whatever they are.
    ///
    /// # Errors
    /// A printed parameter that is missing, a value that a function cannot take, or a limit that was met; with line
    /// and column.
    pub fn evaluate(&self, parameters: &Parameters) -> Result<Evaluated, Flaw> {
        let values: Vec<&str> = parameters.iter().flat_map(|(name, value)| [name, value]).collect();
        let mut words = self.words.clone();
        if values.iter().any(|value| words.contains_any(value)) {
            words = Words::salted(&self.text, &values, words.salt() + 1);
        }
        for _ in 0..SALTS {
            let next = words.salt() + 1;
            let outcome = eval::evaluate(&self.nodes, self.slots, self.text.len(), parameters, words)?;
            // A value that a function computed may hold what no parameter holds.
            let clash = outcome.words.prints().any(|print| outcome.words.contains_any(&print.value));
            if !clash {
                return Ok(Evaluated { text: outcome.text, words: outcome.words, origins: outcome.origins });
            }
            words = Words::salted(&self.text, &values, next);
        }
        Err(Flaw::new("the values of this alert imitate the marks that stand for them")
            .hint("nothing but an attack does this: look at where the alert came from"))
    }

    /// Makes the object that it stands for with these parameters. What follows from the text alone is worked out the
    /// first time, and again only for values that take other branches.
    ///
    /// # Errors
    /// Those of [`Template::evaluate`] and of [`fill`].
    pub fn render(&self, parameters: &Parameters) -> Result<serde_json::Value, Flaw> {
        self.forms.fill(&self.evaluate(parameters)?)
    }
}

/// How many tags for the words are tried.
const SALTS: usize = 4;

#[cfg(test)]
mod tests;
