//! What is wrong with something that people wrote, field by field.

use std::fmt;

/// One thing that is wrong with a spec. Prints as one sentence that begins with the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecFlaw {
    /// The field, such as `spec.alertConditions[0].type`.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What should stand there.
    pub expected: String,
}

impl SpecFlaw {
    /// A flaw of a field.
    pub fn new(field: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: field.into(), found: found.into(), expected: expected.into() }
    }
}

impl fmt::Display for SpecFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, found, expected } = self;
        write!(f, "{field}: found {found}, expected {expected}")
    }
}

/// What was found, quoted and cut to a length that fits a status.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{:?}...", text.get(..at).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
