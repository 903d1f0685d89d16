//! Fills an evaluated template in: every value is put in the place of its word, escaped for that place, and what comes
//! out is checked.
//!
//! `read` makes a [`Form`] of the text: the object, and a `blank` for each scalar with values in it, which knows all
//! that its place says about them. That is most of the work, and none of it looks at a value. `write` fills one blank.

mod blank;
mod environment;
mod read;
mod route;
mod write;

use serde_json::Value;

use blank::Blank;

use super::pastes::Pastes;
use super::word::Words;
use super::{Evaluated, Flaw, checks};

/// Makes the object that an evaluated template stands for.
///
/// A value changes the text of one scalar and nothing else of the object. Text that stays text:
/// a filled scalar is a string, unless it is written without quotes, holds one value and nothing else, and that is
/// digits (or `true` or `false`) in a field of integers (or booleans), or the template says `{{int .x}}` or
/// `{{bool .x}}`. Unfilled scalars mean what they mean to kubectl.
///
/// # Errors
/// What is wrong with the template's YAML or with the kind of object, a word where it would decide structure, and a
/// value that cannot stand in its place, each with line, column, field and parameter as far as they are known.
pub fn fill(evaluated: &Evaluated) -> Result<Value, Flaw> {
    Form::of(evaluated)?.fill(&evaluated.words)
}

/// All that an evaluated text says whatever the values are. It holds none of them.
#[derive(Debug)]
pub(super) struct Form {
    /// The object, with nothing where a blank is.
    object: Value,
    blanks: Vec<Blank>,
    pastes: Pastes,
}

impl Form {
    /// Reads an evaluated text.
    ///
    /// # Errors
    /// What is wrong with it whatever the values are.
    pub(super) fn of(evaluated: &Evaluated) -> Result<Self, Flaw> {
        read::form(evaluated)
    }

    /// Makes the object with the values of some words: those of the text, or of one that differs from it in nothing
    /// but what the words stand for.
    ///
    /// # Errors
    /// A value that cannot stand in its place, or an object that is no action.
    pub(super) fn fill(&self, words: &Words) -> Result<Value, Flaw> {
        let mut object = self.object.clone();
        for blank in &self.blanks {
            let value = blank.fill(words)?;
            match blank.route.find(&mut object) {
                Some(field) => *field = value,
                None => return Err(Flaw::new("the field was lost").field(blank.route.to_string())),
            }
        }
        self.pastes.check(words)?;
        checks::object(&object)?;
        Ok(object)
    }
}

#[cfg(test)]
mod tests;
