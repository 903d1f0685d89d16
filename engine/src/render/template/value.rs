//! What an expression of a template yields.

use std::sync::Arc;

/// A value, and whether alert text went into it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) data: Data,
    /// The first parameter that it was computed from; `None` when it is wholly the template's own.
    pub(super) from: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    /// A parameter that this alert does not have: false in a condition, equal to nothing else, and never printed.
    Missing,
    Text(Arc<str>),
    Int(i64),
    /// Always finite.
    Float(f64),
    Bool(bool),
    /// Never holds a list, so that its size is what it seems.
    List(Arc<[Value]>),
    /// All parameters of the alert.
    Parameters,
}

impl Value {
    pub(super) fn own(data: Data) -> Self {
        Self { data, from: None }
    }

    pub(super) fn own_text(text: &str) -> Self {
        Self::own(Data::Text(text.into()))
    }

    pub(super) fn parameter(name: &str, value: Option<&str>) -> Self {
        Self { data: value.map_or(Data::Missing, |value| Data::Text(value.into())), from: Some(name.into()) }
    }

    /// Names a parameter that it depends on, unless it names one already.
    #[must_use]
    pub(super) fn or_from(mut self, from: Option<&Arc<str>>) -> Self {
        if self.from.is_none() {
            self.from = from.cloned();
        }
        self
    }

    pub(super) fn is_true(&self) -> bool {
        match &self.data {
            Data::Missing => false,
            Data::Text(text) => !text.is_empty(),
            Data::Int(number) => *number != 0,
            Data::Float(number) => *number != 0.0,
            Data::Bool(truth) => *truth,
            Data::List(items) => !items.is_empty(),
            Data::Parameters => true,
        }
    }

    /// The text that printing it gives; `None` for what cannot be printed.
    pub(super) fn printed(&self) -> Option<String> {
        match &self.data {
            Data::Text(text) => Some(text.to_string()),
            Data::Int(number) => Some(number.to_string()),
            Data::Float(number) => Some(number.to_string()),
            Data::Bool(truth) => Some(truth.to_string()),
            Data::Missing | Data::List(_) | Data::Parameters => None,
        }
    }

    /// What it is, as a noun for messages.
    pub(super) fn noun(&self) -> &'static str {
        match self.data {
            Data::Missing => "a missing parameter",
            Data::Text(_) => "text",
            Data::Int(_) => "an integer",
            Data::Float(_) => "a number",
            Data::Bool(_) => "true or false",
            Data::List(_) => "a list",
            Data::Parameters => "all parameters",
        }
    }

    /// How many bytes of text reading it whole touches.
    pub(super) fn size(&self) -> usize {
        match &self.data {
            Data::Text(text) => text.len(),
            Data::List(items) => items.iter().map(|item| item.size() + 8).sum(),
            _ => 8,
        }
    }
}
