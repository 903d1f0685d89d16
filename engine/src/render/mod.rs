//! Step 3 of the loop: a template and the parameters of an alert become the object that repairs.
//!
//! Alert text never becomes code. [`Template::evaluate`] puts an opaque word in place of every value that the
//! template prints; the result is parsed as YAML, and only then does each word give way to its value, escaped
//! for the place where it stands.

#![allow(clippy::result_large_err, reason = "a flaw ends a rendering and is read by a person; nothing is hot about it")]

mod argo_tags;
mod argv;
pub mod checks;
mod fill;
mod flaw;
mod forms;
mod interpreter;
mod kubelet;
mod parameters;
mod pastes;
mod paths;
mod setting;
mod shell;
mod template;
#[cfg(test)]
mod testing;
mod word;
mod yaml;
mod yaml_scalar;

pub use fill::fill;
pub use flaw::Flaw;
pub use parameters::Parameters;
pub use template::Template;
pub use word::{Piece, Place, PlacedTag, Print, Printed, Words};

/// A template's text with a word in place of every printed value.
///
/// All that is not a word is the template's own text: what it spells out, its Go literals, what `keep` prints and
/// Argo's tags.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The text to parse as YAML.
    pub text: String,
    /// The words in it and what they stand for.
    pub words: Words,
    /// Where parts of the text come from: (byte offset in `text`, line, column of the template), in order.
    origins: Vec<(usize, usize, usize)>,
}

impl Evaluated {
    /// The line and column of the template's text that a line and column of `text` come from; all count from 1.
    ///
    /// For text of the template it is the exact place, for a word it is the tag that printed it.
    pub fn origin(&self, line: usize, column: usize) -> Option<(usize, usize)> {
        let line_start: usize = self.text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
        let rest = self.text.get(line_start..)?;
        let offset = rest.char_indices().nth(column.checked_sub(1)?).map_or(self.text.len(), |(at, _)| line_start + at);
        let index = self.origins.partition_point(|(start, _, _)| *start <= offset).checked_sub(1)?;
        let (start, from_line, from_column) = *self.origins.get(index)?;
        let end = self.origins.get(index + 1).map_or(self.text.len(), |(next, _, _)| *next);
        let own = self.text.get(start..end)?;
        if self.words.contains_any(own) {
            return Some((from_line, from_column));
        }
        let passed = self.text.get(start..offset)?;
        Some(match passed.rsplit_once('\n') {
            None => (from_line, from_column + passed.chars().count()),
            Some((lines, tail)) => (from_line + lines.matches('\n').count() + 1, tail.chars().count() + 1),
        })
    }
}
