//! Step 2 of the loop: which rule an alert follows, and why that one.
//!
//! A rule is compiled once, when it is written. A [`RuleBook`] holds all of them and picks at most one for an alert.

mod book;
mod compile;
mod lint;
mod pattern;
mod rank;
pub(crate) mod selector;
mod terms;
#[cfg(test)]
pub(crate) mod testing;

pub use crate::flaw::SpecFlaw as RuleFlaw;
pub use book::RuleBook;
pub use compile::{AlertFacts, BrokenRule, CompiledRule, RepeatAfter};
pub use lint::Overlap;
pub use rank::Choice;
pub use terms::{Step, Terms, Verification};
