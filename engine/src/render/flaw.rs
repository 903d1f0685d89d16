//! What is wrong with a template, or with the values of one rendering of it.

use std::fmt;

/// One thing that keeps a template from being rendered. It prints as one sentence:
/// where, which parameter, what was found against what is expected, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The line in the template's text, from 1.
    pub line: Option<usize>,
    /// The column in that line, from 1, counted in characters.
    pub column: Option<usize>,
    /// The field of the rendered object, such as `spec.templates[0].container.args[1]`.
    pub field: Option<String>,
    /// The parameter whose value is at fault.
    pub parameter: Option<String>,
    /// What was found, and what is expected instead.
    pub problem: String,
    /// How to mend it.
    pub hint: Option<Box<str>>,
}

impl Flaw {
    /// A flaw of which only the problem is known so far.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { line: None, column: None, field: None, parameter: None, problem: problem.into(), hint: None }
    }

    /// Says where in the template's text it is; both count from 1.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// Names the field of the rendered object.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the parameter whose value is at fault.
    #[must_use]
    pub fn parameter(mut self, parameter: impl Into<String>) -> Self {
        self.parameter = Some(parameter.into());
        self
    }

    /// Adds the remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            (None, _) => {}
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        if let Some(parameter) = &self.parameter {
            write!(f, "parameter {parameter}: ")?;
        }
        f.write_str(&self.problem)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Flaw {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_reads_as_one_sentence_from_place_to_remedy() {
        let bare = Flaw::new("the manifest is empty");
        assert_eq!(bare.to_string(), "the manifest is empty");
        let full = Flaw::new("holds a space, but only a safe word can stand here")
            .at(3, 14)
            .field("spec.templates[0].container.args[1]")
            .parameter("node")
            .hint("pass it in an environment variable");
        assert_eq!(
            full.to_string(),
            "line 3, column 14: spec.templates[0].container.args[1]: parameter node: holds a space, \
             but only a safe word can stand here; pass it in an environment variable"
        );
    }
}
