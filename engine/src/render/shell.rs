//! Where each value stands in a shell script, and how it is written there so that the shell sees exactly that value.
//!
//! The scanner reads the script as a shell would, with holes where values go. A hole has a context (bare, inside
//! single quotes, in a here-document) that says how to quote, and a bound that says which values may stand there at
//! all: what a second reader interprets takes safe words only, arithmetic takes digits, and a place that decides
//! which program runs takes nothing. Whatever the scanner is not sure of is bounded, never guessed.

mod builtins;
mod command;
mod compound;
mod expansion;
mod here_doc;
mod judge;
mod options;
mod programs;
mod quote;
mod scan;
mod variables;
mod word;

use std::borrow::Cow;
use std::ops::Range;

use command::Facts;
pub(super) use quote::{Quoting, Spelling, check, check_here_doc, found};
use scan::{End, Scanner};

pub(super) use programs::{Language, decides_what_runs, is_ksh_like, is_shell, language_of};

/// The shells whose grammar the scanner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Bash,
    /// `sh`, dash or ash; `sh` may be bash too, so only what all of them agree on is taken for granted.
    Posix,
}

/// One element of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Char(char),
    /// One of Argo's tags: some text, known only when the workflow runs.
    Tag,
    /// The place of a value; holes are numbered from 0 in the order of the text.
    Hole(usize),
}

/// How the text around a hole is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// Outside of any quotes.
    Bare,
    /// Inside `'...'`.
    Single,
    /// Inside `"..."`.
    Double,
    /// Inside bash's `$'...'`.
    AnsiC,
    /// In a here-document that the shell expands.
    HereDoc,
    /// In a here-document that the shell takes as it is.
    HereDocRaw,
    Comment,
    /// A place without quoting of its own: inside `${...}` or arithmetic.
    Raw,
}

/// Which values may stand in a hole, from the most to the fewest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limit {
    Any,
    SafeWord,
    Digits,
    Never,
}

/// A limit and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) limit: Limit,
    pub(super) why: Cow<'static, str>,
}

impl Bound {
    pub(super) const ANY: Bound = Bound { limit: Limit::Any, why: Cow::Borrowed("") };

    pub(super) fn new(limit: Limit, why: impl Into<Cow<'static, str>>) -> Self {
        Self { limit, why: why.into() }
    }

    pub(super) fn safe_word(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Limit::SafeWord, why)
    }

    pub(super) fn never(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Limit::Never, why)
    }

    /// Keeps the stricter of the two; of equals, the first.
    pub(super) fn raise(&mut self, other: &Bound) {
        if other.limit > self.limit {
            *self = other.clone();
        }
    }
}

/// What the scanner found out about one hole.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    pub(super) context: Context,
    pub(super) bound: Bound,
    /// The word of the script that it begins, if no text of the script's own stands before it there. Expansions
    /// may be empty, so they do not count as text.
    pub(super) begins: Option<usize>,
    /// Whether the word is the name of a file to a program or a redirection.
    pub(super) path: bool,
    /// Whether even a safe word is quoted.
    pub(super) always_quote: bool,
    /// The here-document it stands in.
    pub(super) here_doc: Option<usize>,
}

/// One here-document.
#[derive(Debug, Clone)]
pub(super) struct HereDoc {
    pub(super) delimiter: String,
    /// Whether the shell removes leading tabs (`<<-`).
    pub(super) strip_tabs: bool,
    /// Whether the shell takes the text as it is (a quoted delimiter).
    pub(super) raw: bool,
    /// The units of its text.
    pub(super) body: Range<usize>,
    bound: Bound,
}

/// A scanned script.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// One for each hole, in order.
    pub(super) holes: Vec<Hole>,
    pub(super) here_docs: Vec<HereDoc>,
}

impl Script {
    /// Holds every hole to what another reading of the script asks for, too.
    pub(super) fn also(&mut self, other: &Script) {
        for (hole, other) in self.holes.iter_mut().zip(&other.holes) {
            hole.bound.raise(&other.bound);
            if hole.context != other.context || hole.here_doc != other.here_doc {
                hole.bound.raise(&Bound::safe_word("kubelet could change the quotes around it, as $$ becomes $"));
            }
            hole.always_quote |= other.always_quote;
            hole.path |= other.path;
            hole.begins = hole.begins.or(other.begins);
        }
        if self.here_docs.len() != other.here_docs.len() {
            for hole in &mut self.holes {
                hole.bound.raise(&Bound::safe_word("kubelet could change where a here-document ends"));
            }
        }
    }
}

/// Scans a script that has `holes` holes.
pub(super) fn scan(units: &[Unit], holes: usize, dialect: Dialect) -> Script {
    let mut facts = Facts::new(holes, dialect);
    Scanner::new(units, &mut facts).list(End::Text);
    facts.conclude()
}

/// Whether a value is `[A-Za-z0-9][A-Za-z0-9._:/@-]*`: text that no reader we know of gives a meaning to.
pub(super) fn is_safe_word(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '@' | '-'))
}

/// Whether a value is a decimal number as every reader understands it: no sign and no leading zero, which is octal
/// to a shell.
pub(super) fn is_digits(value: &str) -> bool {
    value == "0"
        || (value.len() <= 18
            && value.starts_with(|c: char| matches!(c, '1'..='9'))
            && value.chars().all(|c| c.is_ascii_digit()))
}

/// One item of a command line that is given to a program as it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    /// Its text; what is not the template's own is left out.
    text: String,
    /// How many values and tags of Argo's, which may bring values of ours, are in it.
    holes: usize,
}

impl Item {
    pub(super) fn push_own(&mut self, own: &str) {
        // A NUL of the template's own would pass for a value; no program can be given one anyhow.
        own.split(command::MARK).for_each(|text| self.text.push_str(text));
    }

    /// Adds a value, or a tag of Argo's.
    pub(super) fn push_hole(&mut self) {
        self.text.push(command::MARK);
        self.holes += 1;
    }

    /// The text when all of it is the template's own.
    pub(super) fn literal(&self) -> Option<&str> {
        (!self.text.contains(command::MARK)).then_some(self.text.as_str())
    }

    /// The template's own text that it begins with.
    pub(super) fn prefix(&self) -> &str {
        self.text.split(command::MARK).next().unwrap_or_default()
    }
}

/// The position and name of the program that a command line runs in the end, behind wrappers such as `env`,
/// `nsenter` or `timeout`.
pub(super) fn program_of(items: &[Item]) -> Option<(usize, String)> {
    let command = as_command(items);
    judge::program(&command).map(|(at, name)| (at, name.to_owned()))
}

/// The bound of what is filled or pasted into each item, when the program gets the items without a shell between.
pub(super) fn judge_items(items: &[Item]) -> Vec<Bound> {
    let holes = items.iter().map(|item| item.holes).sum();
    let mut facts = Facts::new(holes, Dialect::Posix);
    for hole in 0..holes {
        facts.record(hole, Context::Bare, &Bound::ANY);
    }
    let command = as_command(items);
    let ranges: Vec<Range<usize>> = command.words.iter().map(|word| word.holes.clone()).collect();
    judge::pipeline(&mut facts, &[command], 0);
    let holes = facts.conclude().holes;
    ranges
        .into_iter()
        .map(|range| {
            let mut bound = Bound::ANY;
            for hole in holes.get(range).unwrap_or_default() {
                bound.raise(&hole.bound);
            }
            bound
        })
        .collect()
}

fn as_command(items: &[Item]) -> command::Command {
    let mut next = 0;
    let words = items
        .iter()
        .enumerate()
        .map(|(id, item)| {
            let holes = next..next + item.holes;
            next = holes.end;
            command::Word {
                id,
                text: item.text.clone(),
                direct: holes.clone().collect(),
                holes,
                ..command::Word::default()
            }
        })
        .collect();
    command::Command { words, ..command::Command::default() }
}
