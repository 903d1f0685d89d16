//! What is worth a warning about rules that are each valid: a type that is part of another rule's.

use std::fmt;

use aegis_crds::alert::AlertStatus;

use crate::scope::ObjectName;

/// One rule's type is part of the type that another rule is written for, so the first matches its alerts as well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Overlap {
    /// The rule that matches more than it may have been meant to.
    pub rule: ObjectName,
    /// Its pattern.
    pub type_: String,
    /// The rule that is written for the longer type.
    pub other: ObjectName,
    /// That type.
    pub other_type: String,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, type_, other, other_type } = self;
        write!(
            f,
            "{rule} also matches alerts of {other}: {type_} is found in {other_type}; write ^{type_}$ if that is not meant"
        )
    }
}

/// One condition of a usable rule, as the linter sees it.
pub(super) struct Entry<'a> {
    pub(super) rule: &'a ObjectName,
    pub(super) status: AlertStatus,
    pub(super) pattern: &'a super::pattern::Pattern,
}

/// The overlaps among `entries` for the text that one of them is written for.
pub(super) fn overlaps<'a>(target: &Entry<'a>, entries: impl Iterator<Item = Entry<'a>>) -> Vec<Overlap> {
    let Some(text) = target.pattern.witness() else { return Vec::new() };
    entries
        .filter(|entry| entry.rule != target.rule && entry.status == target.status)
        .filter(|entry| entry.pattern.witness().is_some_and(|part| part != text) && entry.pattern.is_found_in(text))
        .map(|entry| Overlap {
            rule: entry.rule.clone(),
            type_: entry.pattern.text().to_owned(),
            other: target.rule.clone(),
            other_type: text.to_owned(),
        })
        .collect()
}
