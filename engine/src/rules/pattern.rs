//! One pattern over alert types: how it is compiled, what any match of it must contain, and how well it fits.

use std::sync::OnceLock;

use aegis_crds::alert::AlertStatus;
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

/// The longest pattern, in bytes.
pub(super) const LONGEST_PATTERN: usize = 1024;
/// How much memory one compiled pattern may take. Matching is linear in the text whatever the pattern.
const COMPILED_SIZE: usize = 1 << 20;
const NESTING: u32 = 50;
/// Beyond so many alternatives a prefilter costs more than it saves.
const MOST_ALTERNATIVES: usize = 64;

/// A condition of a rule, compiled.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) status: AlertStatus,
    pub(super) pattern: Pattern,
}

/// A pattern that is searched for in an alert's type.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    search: Search,
    /// Folded; each match, folded, holds at least one of these. `None`: nothing is known.
    required: Option<Vec<String>>,
    /// The one text that the pattern matches from end to end, if there is just one.
    witness: Option<String>,
}

/// Most types are plain words. A search for a word needs no compiled expression, which would take kilobytes.
#[derive(Debug)]
enum Search {
    Word(String),
    Expression { regex: Regex, source: String, whole: OnceLock<Option<Regex>> },
}

/// How well a condition fits a type; the greater fits better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    /// The condition's type equals the alert's.
    pub(super) exact: bool,
    /// The pattern can match all of the alert's type.
    pub(super) whole: bool,
    /// Bytes of the longest match among those found one after another from the left.
    pub(super) length: usize,
}

impl Pattern {
    /// Compiles a pattern. The error says what is expected instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a regular expression that is searched for in the alert's type".to_owned());
        }
        if text.len() > LONGEST_PATTERN {
            return Err(format!("at most {LONGEST_PATTERN} bytes"));
        }
        let hir = regex_syntax::ParserBuilder::new()
            .nest_limit(NESTING)
            .build()
            .parse(text)
            .map_err(|error| format!("a regular expression: {}", last_line(&error.to_string())))?;
        let search = match hir.kind() {
            HirKind::Literal(literal) => utf8(&literal.0).map(|word| Search::Word(word.to_owned())),
            _ => None,
        };
        let search = match search {
            Some(word) => word,
            None => Search::Expression { regex: compile(text)?, source: hir.to_string(), whole: OnceLock::new() },
        };
        Ok(Self { text: text.to_owned(), search, required: required(&hir), witness: witness(&hir) })
    }

    /// The pattern as written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Folded texts of which each match, folded, holds at least one.
    pub(super) fn required(&self) -> Option<&[String]> {
        self.required.as_deref()
    }

    /// The one text that the pattern matches from end to end, if there is just one.
    pub(super) fn witness(&self) -> Option<&str> {
        self.witness.as_deref()
    }

    /// Whether the pattern is found in the type.
    pub(super) fn is_found_in(&self, type_: &str) -> bool {
        match &self.search {
            Search::Word(word) => type_.contains(word.as_str()),
            Search::Expression { regex, .. } => regex.is_match(type_),
        }
    }

    /// How well the pattern fits the type; `None` if it is not found there.
    pub(super) fn fit(&self, type_: &str) -> Option<Fit> {
        if !self.is_found_in(type_) {
            return None;
        }
        let exact = self.text == type_;
        let (length, whole) = match &self.search {
            Search::Word(word) => (word.len(), word == type_),
            Search::Expression { regex, source, whole } => {
                let length = regex.find_iter(type_).map(|found| found.len()).max().unwrap_or(0);
                // `Node|NodeDown` finds only "Node" in NodeDown, yet can match all of it.
                let whole = length == type_.len() || matches_all(source, whole, type_);
                (if whole { type_.len() } else { length }, whole)
            }
        };
        Some(Fit { exact, whole, length })
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(COMPILED_SIZE).dfa_size_limit(COMPILED_SIZE).nest_limit(NESTING).build().map_err(
        |error| match error {
            regex::Error::CompiledTooBig(_) => {
                "a simpler regular expression: this one takes too much memory".to_owned()
            }
            other => format!("a regular expression: {}", last_line(&other.to_string())),
        },
    )
}

fn matches_all(source: &str, whole: &OnceLock<Option<Regex>>, type_: &str) -> bool {
    whole
        .get_or_init(|| compile(&format!(r"\A(?:{source})\z")).ok())
        .as_ref()
        .is_some_and(|regex| regex.is_match(type_))
}

/// The parser draws the place of a fault over several lines; the last one is the sentence.
fn last_line(message: &str) -> &str {
    let line = message.lines().next_back().unwrap_or(message);
    line.strip_prefix("error: ").unwrap_or(line)
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn witness(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Look(_) => Some(String::new()),
        HirKind::Literal(literal) => utf8(&literal.0).map(str::to_owned),
        HirKind::Capture(group) => witness(&group.sub),
        HirKind::Concat(parts) => parts.iter().map(witness).collect(),
        HirKind::Empty | HirKind::Class(_) | HirKind::Repetition(_) | HirKind::Alternation(_) => None,
    }
    .filter(|text| !text.is_empty() || matches!(hir.kind(), HirKind::Look(_)))
}

/// A text without its case, so that `(?i)` patterns require a text as well. Two letters outside of ASCII are other
/// cases of ASCII letters: the Kelvin sign and the long s.
pub(super) fn fold(text: &str) -> String {
    text.chars().map(fold_letter).collect()
}

fn fold_letter(letter: char) -> char {
    match letter {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        _ => letter.to_ascii_lowercase(),
    }
}

/// Folded texts of which each match, folded, holds at least one. The pattern itself decides afterwards.
fn required(hir: &Hir) -> Option<Vec<String>> {
    if let Some(text) = folded(hir) {
        return Some(vec![text]);
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) => None,
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Repetition(_) => None,
        HirKind::Capture(group) => required(&group.sub),
        HirKind::Concat(parts) => {
            let mut candidates = Vec::new();
            let mut run = String::new();
            for part in parts {
                match folded(part) {
                    Some(text) => run.push_str(&text),
                    None => {
                        candidates.push(vec![std::mem::take(&mut run)]);
                        candidates.extend(required(part));
                    }
                }
            }
            candidates.push(vec![run]);
            candidates.into_iter().filter(|texts| shortest(texts) > 0).max_by_key(|texts| shortest(texts))
        }
        HirKind::Alternation(parts) => {
            let texts: Vec<String> = parts.iter().map(required).collect::<Option<Vec<_>>>()?.concat();
            (texts.len() <= MOST_ALTERNATIVES).then_some(texts)
        }
    }
}

fn shortest(texts: &[String]) -> usize {
    texts.iter().map(String::len).min().unwrap_or(0)
}

/// The folded text of a literal, or of a class that holds one letter in its cases.
fn folded(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => utf8(&literal.0).map(fold),
        HirKind::Class(Class::Unicode(class)) => {
            let mut letters = class.ranges().iter().flat_map(|range| [range.start(), range.end()]);
            let first = fold_letter(letters.next()?);
            let narrow = class.ranges().iter().all(|range| range.start() == range.end());
            (narrow && letters.all(|letter| fold_letter(letter) == first)).then(|| first.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_is_found_anywhere_unless_it_is_anchored() {
        let cases = [
            ("NodeCritical", "NodeCriticalIssue", true, "a word is part of the type"),
            ("^NodeCritical$", "NodeCriticalIssue", false, "anchored at both ends"),
            ("Node.*Issue", "NodeCriticalIssue", true, "an expression"),
            ("nodecritical", "NodeCriticalIssue", false, "case counts"),
            ("(?i)nodecritical", "NodeCriticalIssue", true, "unless it is told not to"),
            ("Node|Pod", "PodDown", true, "either of two"),
        ];
        for (text, type_, found, why) in cases {
            assert_eq!(pattern(text).fit(type_).is_some(), found, "{text} in {type_}: {why}");
        }
    }

    #[test]
    fn the_fit_tells_equal_from_whole_from_part() {
        let fit = |text: &str| pattern(text).fit("NodeDown").unwrap();
        assert_eq!(fit("NodeDown"), Fit { exact: true, whole: true, length: 8 });
        assert_eq!(fit("^NodeDown$"), Fit { exact: false, whole: true, length: 8 });
        assert_eq!(fit("Node|NodeDown"), Fit { exact: false, whole: true, length: 8 });
        assert_eq!(fit("Node"), Fit { exact: false, whole: false, length: 4 });
        assert_eq!(fit("o|wn"), Fit { exact: false, whole: false, length: 2 }, "the longest of three matches counts");
    }

    #[test]
    fn a_pattern_that_cannot_be_used_says_what_is_expected() {
        let cases = [
            ("", "a regular expression"),
            ("Node(", "unclosed group"),
            ("(?<!x)Node", "look-around"),
            (r"\w{1000}", "memory"),
            (&"x".repeat(1025), "1024 bytes"),
            (&"(".repeat(200), "regular expression"),
        ];
        for (text, part) in cases {
            let flaw = Pattern::parse(text).unwrap_err();
            assert!(flaw.contains(part) && !flaw.contains('\n'), "{text}: {flaw}");
        }
    }

    #[test]
    fn what_a_match_must_contain_is_found_inside_expressions() {
        let cases: [(&str, Option<&[&str]>); 9] = [
            ("NodeDown", Some(&["nodedown"])),
            ("^NodeDown$", Some(&["nodedown"])),
            ("Node.*Issues", Some(&["issues"])),
            ("(?i)DiskPressure", Some(&["diskpressure"])),
            ("Disk|Memory", Some(&["disk", "memory"])),
            ("(Disk)?Memory", Some(&["memory"])),
            (".*", None),
            ("[A-Z]x*", None),
            ("Disk|.", None),
        ];
        for (text, want) in cases {
            let want = want.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
            assert_eq!(pattern(text).required, want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_match_holds_a_required_text(text in "(\\(\\?i\\))?[a-cksKS\u{212a}\u{17f}|()?*+.\\[\\]^$]{1,12}", type_ in "[a-cksKS\u{212a}\u{17f}]{0,8}") {
            if let Ok(pattern) = Pattern::parse(&text) && pattern.is_found_in(&type_) && let Some(texts) = pattern.required() {
                let folded = fold(&type_);
                prop_assert!(texts.iter().any(|part| folded.contains(part.as_str())), "{text} in {type_}: {texts:?}");
            }
        }

        #[test]
        fn no_pattern_is_too_odd_to_be_compiled_or_refused(text in "\\PC{0,40}", type_ in "\\PC{0,20}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                pattern.fit(&type_);
            }
        }
    }
}
