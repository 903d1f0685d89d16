//! The way from the root of an object to one of its fields.

use std::fmt;

use serde_json::Value;

use crate::render::setting::{self, Step};

/// The steps from the root to a field.
#[derive(Debug, Clone)]
pub(super) struct Route(Vec<Stop>);

#[derive(Debug, Clone)]
enum Stop {
    Key(String),
    Index(usize),
}

impl Route {
    pub(super) fn of(trail: &[Step<'_>]) -> Self {
        let stop = |step: &Step<'_>| match step {
            Step::Key(key) => Stop::Key((*key).to_owned()),
            Step::Index(index) => Stop::Index(*index),
        };
        Self(trail.iter().map(stop).collect())
    }

    /// Whether it is this trail.
    pub(super) fn is(&self, trail: &[Step<'_>]) -> bool {
        self.trail().eq(trail.iter().copied())
    }

    /// The field of an object that it leads to.
    pub(super) fn find<'v>(&self, object: &'v mut Value) -> Option<&'v mut Value> {
        self.0.iter().try_fold(object, |value, stop| match stop {
            Stop::Key(key) => value.get_mut(key.as_str()),
            Stop::Index(index) => value.get_mut(*index),
        })
    }

    fn trail(&self) -> impl Iterator<Item = Step<'_>> {
        self.0.iter().map(|stop| match stop {
            Stop::Key(key) => Step::Key(key),
            Stop::Index(index) => Step::Index(*index),
        })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&setting::path(&self.trail().collect::<Vec<_>>()))
    }
}
