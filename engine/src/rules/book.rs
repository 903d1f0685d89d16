//! All rules, compiled once, and an index that finds the few that can match an alert.
//!
//! Patterns are unanchored, so a type cannot be looked up by its beginning. One automaton over the texts that the
//! patterns require (see [`super::pattern`]) reads the type once and names the rules that may match; only those are
//! tried. A set of compiled expressions would answer at once as well, but has to be compiled anew as a whole when one
//! rule changes, takes memory for all of them together, and falls back to simulating every pattern when its cache of
//! states is too small. Rules whose patterns require nothing are always tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_crds::AegisAlertOpsRule;
use aho_corasick::AhoCorasick;

use super::compile::{AlertFacts, BrokenRule, CompiledRule};
use super::lint::{self, Overlap};
use super::pattern::{Condition, fold};
use super::rank::{self, Choice, Match};
use crate::scope::{Namespaces, ObjectName};

/// All rules. Immutable: [`RuleBook::with`] and [`RuleBook::without`] make a new book that shares what is compiled.
#[derive(Clone, Debug)]
pub struct RuleBook {
    namespaces: Namespaces,
    rules: BTreeMap<ObjectName, Entry>,
    index: Index,
}

#[derive(Clone, Debug)]
enum Entry {
    Usable(Arc<CompiledRule>),
    Broken(Arc<BrokenRule>),
}

/// `candidates` and `owners` hold positions in `listed`.
#[derive(Clone, Debug, Default)]
struct Index {
    listed: Vec<Entry>,
    automaton: Option<AhoCorasick>,
    /// For each text of the automaton the rule that requires it.
    owners: Vec<usize>,
    /// The rules that are always tried.
    unfiltered: Vec<usize>,
}

impl RuleBook {
    /// A book of these rules; those outside of the namespaces are known but never match.
    pub fn of<'a>(namespaces: Namespaces, rules: impl IntoIterator<Item = &'a AegisAlertOpsRule>) -> Self {
        let rules: BTreeMap<ObjectName, Entry> = rules.into_iter().map(entry).collect();
        let index = Index::over(&rules, &namespaces);
        Self { namespaces, rules, index }
    }

    /// The book with a rule added or replaced. Compiles that rule only.
    #[must_use]
    pub fn with(&self, rule: &AegisAlertOpsRule) -> Self {
        let mut rules = self.rules.clone();
        rules.extend([entry(rule)]);
        let index = Index::over(&rules, &self.namespaces);
        Self { namespaces: self.namespaces.clone(), rules, index }
    }

    /// The book without a rule.
    #[must_use]
    pub fn without(&self, name: &ObjectName) -> Self {
        let mut rules = self.rules.clone();
        rules.remove(name);
        let index = Index::over(&rules, &self.namespaces);
        Self { namespaces: self.namespaces.clone(), rules, index }
    }

    /// The rule that the alert follows; the same whatever the order in which rules were added.
    pub fn pick(&self, facts: &AlertFacts<'_>) -> Option<Choice> {
        let matches = self
            .index
            .candidates(facts.type_)
            .filter_map(|entry| match entry {
                Entry::Usable(rule) => rule.fit(facts).map(|fit| Match { rule, fit }),
                Entry::Broken(_) => None,
            })
            .collect();
        rank::choose(matches)
    }

    /// The broken rules that, as far as they can be read, are meant for this alert; in the order of their names.
    pub fn broken_for(&self, facts: &AlertFacts<'_>) -> Vec<&BrokenRule> {
        self.index
            .candidates(facts.type_)
            .filter_map(|entry| match entry {
                Entry::Broken(rule) if rule.would_match(facts) => Some(rule.as_ref()),
                _ => None,
            })
            .collect()
    }

    /// Every rule that does not match, and why, in the order of their names.
    pub fn why_not(&self, facts: &AlertFacts<'_>) -> Vec<(ObjectName, String)> {
        self.rules
            .iter()
            .filter_map(|(name, entry)| {
                let why = if self.namespaces.allow(&name.namespace) {
                    match entry {
                        Entry::Usable(rule) => rule.why_not(facts)?,
                        Entry::Broken(rule) => format!("is invalid: {rule}"),
                    }
                } else {
                    format!("is in a namespace whose rules do not count; they count in {}", self.namespaces)
                };
                Some((name.clone(), why))
            })
            .collect()
    }

    /// The rule of that name, unless it is broken or does not count.
    pub fn get(&self, name: &ObjectName) -> Option<&Arc<CompiledRule>> {
        match self.rules.get(name) {
            Some(Entry::Usable(rule)) if self.namespaces.allow(&name.namespace) => Some(rule),
            _ => None,
        }
    }

    /// Where rules count.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// How many rules there are, usable or not.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Types that are part of another rule's, in the order of the rules' names. For people: the choice does not need it.
    pub fn lint(&self) -> Vec<Overlap> {
        let mut overlaps: Vec<Overlap> = self
            .index
            .listed
            .iter()
            .flat_map(Entry::lint)
            .filter_map(|target| {
                let text = target.pattern.witness()?;
                let entries = self.index.candidates(text).flat_map(Entry::lint);
                Some(lint::overlaps(&target, entries))
            })
            .flatten()
            .collect();
        overlaps.sort();
        overlaps.dedup();
        overlaps
    }
}

impl Entry {
    fn conditions(&self) -> &[Condition] {
        match self {
            Self::Usable(rule) => &rule.conditions,
            Self::Broken(rule) => &rule.conditions,
        }
    }

    fn lint(&self) -> impl Iterator<Item = lint::Entry<'_>> {
        let usable = match self {
            Self::Usable(rule) => Some(rule),
            Self::Broken(_) => None,
        };
        usable.into_iter().flat_map(|rule| {
            rule.conditions.iter().map(|condition| lint::Entry {
                rule: &rule.name,
                status: condition.status,
                pattern: &condition.pattern,
            })
        })
    }
}

impl Index {
    fn over(rules: &BTreeMap<ObjectName, Entry>, namespaces: &Namespaces) -> Self {
        let mut index = Self::default();
        let mut texts: Vec<&str> = Vec::new();
        let counting = rules.iter().filter(|(name, _)| namespaces.allow(&name.namespace)).map(|(_, entry)| entry);
        for (position, entry) in counting.enumerate() {
            index.listed.push(entry.clone());
            let required: Option<Vec<&[String]>> =
                entry.conditions().iter().map(|condition| condition.pattern.required()).collect();
            match required {
                None => index.unfiltered.push(position),
                Some(required) => {
                    for text in required.into_iter().flatten() {
                        texts.push(text);
                        index.owners.push(position);
                    }
                }
            }
        }
        match AhoCorasick::new(&texts) {
            Ok(automaton) => index.automaton = Some(automaton),
            // More text than an automaton can number: every rule is tried, which is slow and right.
            Err(_) => index.unfiltered = (0..index.listed.len()).collect(),
        }
        index
    }

    /// The rules that may match a type, each once, in the order of their names.
    fn candidates<'a>(&'a self, type_: &str) -> impl Iterator<Item = &'a Entry> {
        let mut positions = self.unfiltered.clone();
        if let Some(automaton) = &self.automaton {
            let folded = fold(type_);
            let found = automaton.find_overlapping_iter(&folded);
            positions.extend(found.filter_map(|text| self.owners.get(text.pattern().as_usize()).copied()));
        }
        positions.sort_unstable();
        positions.dedup();
        positions.into_iter().filter_map(|position| self.listed.get(position))
    }
}

fn entry(rule: &AegisAlertOpsRule) -> (ObjectName, Entry) {
    match CompiledRule::compile(rule) {
        Ok(rule) => (rule.name.clone(), Entry::Usable(Arc::new(rule))),
        Err(rule) => (rule.name.clone(), Entry::Broken(Arc::from(rule))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{RuleBuilder, rule};
    use super::*;
    use aegis_crds::alert::AlertStatus;
    use proptest::prelude::*;

    fn book(rules: &[RuleBuilder]) -> RuleBook {
        let rules: Vec<_> = rules.iter().map(|rule| rule.clone().build()).collect();
        RuleBook::of(Namespaces::of("monitoring", ["team-a"]), &rules)
    }

    fn labels() -> BTreeMap<String, String> {
        BTreeMap::from([("team".to_owned(), "gpu".to_owned()), ("zone".to_owned(), "a".to_owned())])
    }

    fn pick(rules: &[RuleBuilder], type_: &str) -> Option<(String, String)> {
        let labels = labels();
        let choice = book(rules).pick(&AlertFacts { type_, phase: AlertStatus::Firing, labels: &labels })?;
        Some((choice.winner.name.name.clone(), choice.why))
    }

    #[test]
    fn the_first_difference_in_the_order_decides_and_is_told() {
        let cases = [
            (
                "priority comes first",
                [rule("a").firing("^NodeDown$").label("team", "gpu"), rule("b").firing("Node").priority(1)],
                ("b", "its priority 1 is higher than 0 of monitoring/a"),
            ),
            (
                "then the number of selector terms",
                [rule("a").firing("NodeDown"), rule("b").firing("Node").label("team", "gpu")],
                ("b", "its selector has more terms (1) than that of monitoring/a (0)"),
            ),
            (
                "then a type that is equal",
                [rule("a").firing("^NodeDown$"), rule("b").firing("NodeDown")],
                ("b", "its condition equals the alert's type, that of monitoring/a does not"),
            ),
            (
                "then a pattern that matches all of it",
                [rule("a").firing("NodeDow"), rule("b").firing("^Node.*$")],
                ("b", "its condition matches all of the alert's type, that of monitoring/a only a part"),
            ),
            (
                "then the longest match",
                [rule("a").firing("Node"), rule("b").firing("odeDo")],
                ("b", "its condition matches more of the alert's type (5 bytes) than that of monitoring/a (4)"),
            ),
            (
                "then the name",
                [rule("b").firing("Node"), rule("a").firing("Down")],
                ("a", "its name comes before monitoring/b, which matches just as well"),
            ),
        ];
        for (why, rules, (winner, sentence)) in cases {
            assert_eq!(pick(&rules, "NodeDown"), Some((winner.to_owned(), sentence.to_owned())), "{why}");
        }
    }

    #[test]
    fn a_type_that_is_part_of_another_does_not_win_over_that_ones_own_rule() {
        for (cordon, uncordon) in [("a", "b"), ("b", "a")] {
            let rules =
                [rule(cordon).firing("NodeCriticalIssue"), rule(uncordon).firing("NodeCriticalIssueDisappeared")];
            assert_eq!(pick(&rules, "NodeCriticalIssueDisappeared").unwrap().0, uncordon);
            assert_eq!(pick(&rules, "NodeCriticalIssue").unwrap().0, cordon);
        }
    }

    #[test]
    fn rules_elsewhere_do_not_count_and_say_so() {
        let rules = [rule("a").firing("Node").namespace("default"), rule("b").firing("Node").namespace("team-a")];
        assert_eq!(pick(&rules, "NodeDown").unwrap(), ("b".to_owned(), "the only rule that matches".to_owned()));
        let labels = labels();
        let facts = AlertFacts { type_: "NodeDown", phase: AlertStatus::Firing, labels: &labels };
        let why_not = book(&rules).why_not(&facts);
        assert_eq!(why_not.len(), 1);
        assert_eq!(why_not[0].1, "is in a namespace whose rules do not count; they count in monitoring, team-a");
    }

    #[test]
    fn a_broken_rule_is_named_for_the_alerts_that_it_is_meant_for() {
        let mut broken = rule("broken").firing("NodeDown").build();
        broken.spec.ops_template.name = None;
        let book = book(&[]).with(&broken);
        let labels = labels();
        let facts = |type_| AlertFacts { type_, phase: AlertStatus::Firing, labels: &labels };
        assert!(book.pick(&facts("NodeDown")).is_none());
        assert_eq!(book.broken_for(&facts("NodeDown")).len(), 1);
        assert_eq!(book.broken_for(&facts("PodDown")).len(), 0);
    }

    #[test]
    fn a_book_follows_one_rule_being_changed_or_removed() {
        let labels = labels();
        let facts = AlertFacts { type_: "NodeDown", phase: AlertStatus::Firing, labels: &labels };
        let first = book(&[rule("a").firing("Disk")]);
        let second = first.with(&rule("a").firing("Node").build());
        assert!(first.pick(&facts).is_none(), "a book does not change");
        assert_eq!(second.pick(&facts).unwrap().winner.name.name, "a");
        assert!(second.without(&ObjectName::new("monitoring", "a")).is_empty());
    }

    #[test]
    fn lint_names_types_that_are_part_of_others() {
        let found = book(&[
            rule("cordon").firing("NodeCriticalIssue"),
            rule("uncordon").firing("^NodeCriticalIssueDisappeared$"),
            rule("anchored").firing("^NodeCritical$"),
            rule("resolved").resolved("Node"),
            rule("same").firing("NodeCriticalIssue"),
        ])
        .lint();
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["cordon", "same"].map(|name| format!(
                "monitoring/{name} also matches alerts of monitoring/uncordon: NodeCriticalIssue is found in \
                 NodeCriticalIssueDisappeared; write ^NodeCriticalIssue$ if that is not meant"
            ))
        );
    }

    fn rules() -> impl Strategy<Value = Vec<RuleBuilder>> {
        let pattern =
            prop_oneof!["[ab]{1,3}", "\\^[ab]{1,3}\\$", "[ab]\\.\\*", Just("(?i)AB".to_owned()), Just(".".to_owned()),];
        let one = ("[a-c]", pattern, -1..2, any::<bool>(), any::<bool>());
        proptest::collection::vec(one, 0..12).prop_map(|rules| {
            rules
                .into_iter()
                .enumerate()
                .map(|(number, (name, pattern, priority, selects, elsewhere))| {
                    let rule = rule(&format!("{name}{}", number / 2)).firing(&pattern).priority(priority);
                    let rule = if elsewhere { rule.namespace("team-a") } else { rule };
                    if selects { rule.label("team", "gpu") } else { rule }
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_choice_is_total_and_does_not_depend_on_the_order_of_insertion(rules in rules(), type_ in "[abAB]{0,5}") {
            let labels = labels();
            let facts = AlertFacts { type_: &type_, phase: AlertStatus::Firing, labels: &labels };
            // Rules of one name replace each other, so only the last of them is compared.
            let mut distinct: BTreeMap<(Option<String>, Option<String>), RuleBuilder> = BTreeMap::new();
            for rule in rules {
                let meta = rule.clone().build().metadata;
                distinct.insert((meta.namespace, meta.name), rule);
            }
            let forwards: Vec<RuleBuilder> = distinct.values().cloned().collect();
            let backwards: Vec<RuleBuilder> = distinct.values().rev().cloned().collect();
            let one = book(&forwards).pick(&facts);
            let mut grown = book(&[]);
            for rule in &backwards {
                grown = grown.with(&rule.clone().build());
            }
            let other = grown.pick(&facts);
            let shown = |choice: &Option<Choice>| {
                choice.as_ref().map(|choice| (choice.winner.name.clone(), choice.why.clone(), choice.others.clone()))
            };
            prop_assert_eq!(shown(&one), shown(&other));
            // The index leaves out no rule that matches, and every rule either matches or says why not.
            let matching = one.map_or(0, |choice| 1 + choice.others.len());
            prop_assert_eq!(matching + grown.why_not(&facts).len(), forwards.len());
        }
    }
}
