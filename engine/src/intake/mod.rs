//! Step 1 of the loop: bytes from a sender become [`Signal`]s, and a signal becomes the object that is stored.
//!
//! One alert that can never be valid does not harm the others of its body: it is named in [`Intake::rejected`].

mod alertmanager;
mod custom;
mod json;
mod limits;
mod object;

use std::fmt;

pub use alertmanager::{alertmanager, labels_fingerprint};
pub use custom::{custom, manual};
pub use limits::{LARGEST_ALERT, LONGEST_WORD};
pub use object::{MOST_LABELS, alert_object};

use crate::signal::Signal;

/// What one body held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intake {
    /// The alerts that can be stored, each with its place in the body, counted from 0.
    pub signals: Vec<(usize, Signal)>,
    /// The alerts that can never be stored.
    pub rejected: Vec<Rejected>,
    /// How many alerts the sender left out of the body because of a limit of its own (`truncatedAlerts`).
    pub truncated: u64,
}

/// An alert that can never be valid, and why. Displays as one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the body, counted from 0.
    pub index: usize,
    /// The field that is wrong, as a path within the alert.
    pub field: String,
    /// What stands there, short enough to show.
    pub found: String,
    /// What should stand there.
    pub expected: String,
    /// What the sender can do about it, where that does not follow from what is expected.
    pub hint: Option<&'static str>,
    /// The alert's type, where it could be read.
    pub type_: Option<String>,
    /// The alert's fingerprint, where it could be read.
    pub fingerprint: Option<String>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, field, found, expected, hint, type_, fingerprint } = self;
        write!(f, "alert {index}")?;
        match (type_, fingerprint) {
            (Some(type_), Some(fingerprint)) => write!(f, " ({type_}, fingerprint {fingerprint})")?,
            (Some(one), None) => write!(f, " ({one})")?,
            (None, Some(one)) => write!(f, " (fingerprint {one})")?,
            (None, None) => {}
        }
        write!(f, ": {field}: found {found}, expected {expected}")?;
        hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for Rejected {}

/// The whole body cannot be read. Displays as one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: found {found}, expected {expected}")]
pub struct Unreadable {
    /// The field that is wrong, or "body".
    pub field: String,
    /// What stands there, short enough to show.
    pub found: String,
    /// What should stand there.
    pub expected: String,
}

impl Unreadable {
    fn new(field: &str, found: impl Into<String>, expected: &str) -> Self {
        Self { field: field.to_owned(), found: found.into(), expected: expected.to_owned() }
    }
}

/// What is wrong with one field of one alert, before it is known which alert that is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    field: String,
    found: String,
    expected: String,
    hint: Option<&'static str>,
}

impl Fault {
    fn new(field: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: field.into(), found: found.into(), expected: expected.into(), hint: None }
    }

    fn missing(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(field, "nothing", expected)
    }

    fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    fn reject(self, index: usize, type_: Option<String>, fingerprint: Option<String>) -> Rejected {
        let Self { field, found, expected, hint } = self;
        let short = |text: String| json::shown(&text);
        Rejected { index, field, found, expected, hint, type_: type_.map(short), fingerprint: fingerprint.map(short) }
    }
}
