//! The order among rules that match the same alert, and the sentence that says why the first one won.

use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use super::compile::CompiledRule;
use super::pattern::Fit;
use crate::scope::ObjectName;

/// The rule that an alert follows.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The rule that won.
    pub winner: Arc<CompiledRule>,
    /// What made it win, as a sentence without a full stop.
    pub why: String,
    /// The other rules that match, best first.
    pub others: Vec<ObjectName>,
}

/// A rule that matches, and how well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match<'a> {
    pub(super) rule: &'a Arc<CompiledRule>,
    pub(super) fit: Fit,
}

/// The winner among matches in any order.
pub(super) fn choose(mut matches: Vec<Match<'_>>) -> Option<Choice> {
    matches.sort_by(|one, other| better(one, other).reverse());
    let (first, rest) = matches.split_first()?;
    let why = match rest.first() {
        None => "the only rule that matches".to_owned(),
        Some(second) => why(first, second),
    };
    let others = rest.iter().map(|other| other.rule.name.clone()).collect();
    Some(Choice { winner: Arc::clone(first.rule), why, others })
}

/// Priority, then selector terms, then how well the type fits, then the name; the greater wins.
/// The order is total, so that the choice does not depend on the order in which rules were read.
fn better(one: &Match<'_>, other: &Match<'_>) -> Ordering {
    let key = |found: &Match<'_>| (found.rule.priority, found.rule.selector_terms(), found.fit);
    let name = |found: &Match<'_>| Reverse((found.rule.name.name.clone(), found.rule.name.namespace.clone()));
    key(one).cmp(&key(other)).then_with(|| name(one).cmp(&name(other)))
}

fn why(first: &Match<'_>, second: &Match<'_>) -> String {
    let loser = &second.rule.name;
    let (priority, other_priority) = (first.rule.priority, second.rule.priority);
    let (terms, other_terms) = (first.rule.selector_terms(), second.rule.selector_terms());
    let (fit, other_fit) = (first.fit, second.fit);
    if priority != other_priority {
        format!("its priority {priority} is higher than {other_priority} of {loser}")
    } else if terms != other_terms {
        format!("its selector has more terms ({terms}) than that of {loser} ({other_terms})")
    } else if fit.exact != other_fit.exact {
        format!("its condition equals the alert's type, that of {loser} does not")
    } else if fit.whole != other_fit.whole {
        format!("its condition matches all of the alert's type, that of {loser} only a part")
    } else if fit.length != other_fit.length {
        let (length, other_length) = (fit.length, other_fit.length);
        format!("its condition matches more of the alert's type ({length} bytes) than that of {loser} ({other_length})")
    } else {
        format!("its name comes before {loser}, which matches just as well")
    }
}
