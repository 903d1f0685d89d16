//! What the scanner collects: words, commands, and facts about the whole script.

use std::collections::HashSet;
use std::ops::Range;

use super::word::is_variable;
use super::{Bound, Context, Dialect, HereDoc, Hole, Script};

/// Stands in the text of a word for what is known only when the script runs: a value, an expansion, a tag.
pub(super) const MARK: char = '\0';

/// One word of a command.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    pub(super) id: usize,
    /// The script's own text in it with the quotes removed, [`MARK`] for the rest.
    pub(super) text: String,
    /// Where in the text the first quote stood; a quoted keyword is no keyword.
    pub(super) quote: Option<usize>,
    /// The holes in the word itself.
    pub(super) direct: Vec<usize>,
    /// These and the holes in command substitutions inside of it.
    pub(super) holes: Range<usize>,
    /// The variables it expands: a range of [`Facts::names`].
    pub(super) names: Range<usize>,
}

impl Word {
    /// The text when all of it is the script's own.
    pub(super) fn literal(&self) -> Option<&str> {
        (!self.text.contains(MARK)).then_some(self.text.as_str())
    }

    /// The text when it is the script's own and unquoted, as a keyword must be.
    pub(super) fn keyword(&self) -> Option<&str> {
        if self.quote.is_some() { None } else { self.literal() }
    }

    /// Notes that a quote begins or a backslash stands here.
    pub(super) fn note_quote(&mut self) {
        self.quote.get_or_insert(self.text.len());
    }

    /// Splits `name=value`, `name+=value` and `name[subscript]=value`, when no quote stands before the `=`; the name
    /// comes without its subscript.
    pub(super) fn assignment(&self) -> Option<(&str, &str)> {
        let at = self.text.find('=')?;
        if self.quote.is_some_and(|quote| quote <= at) {
            return None;
        }
        let (left, value) = self.text.split_once('=')?;
        let left = left.strip_suffix('+').unwrap_or(left);
        let name = match left.split_once('[') {
            Some((name, subscript)) if subscript.ends_with(']') => name,
            Some(_) => return None,
            None => left,
        };
        is_variable(name).then_some((name, value))
    }

    /// The script's own text before the first thing that is not.
    pub(super) fn prefix(&self) -> &str {
        self.text.split(MARK).next().unwrap_or_default()
    }

    /// Whether something other than a value in it is known only when the script runs.
    pub(super) fn expands(&self) -> bool {
        self.text.matches(MARK).count() > self.direct.len()
    }

    /// Whether a value stands where the word begins.
    pub(super) fn begins_with_value(&self) -> bool {
        !self.direct.is_empty() && self.text.starts_with(MARK)
    }
}

/// A redirection.
#[derive(Debug, Clone)]
pub(super) struct Redirect {
    pub(super) kind: RedirectKind,
    pub(super) target: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RedirectKind {
    Read,
    Write,
    /// `>&` and `<&`.
    Duplicate,
    /// `<<<`.
    HereString,
}

/// One stage of a pipeline.
#[derive(Debug, Clone, Default)]
pub(super) struct Command {
    pub(super) assignments: Vec<Word>,
    pub(super) words: Vec<Word>,
    pub(super) redirects: Vec<Redirect>,
    pub(super) here_docs: Vec<usize>,
    /// Whether it is a loop, a group, a subshell or the like, judged command by command.
    pub(super) compound: bool,
}

impl Command {
    pub(super) fn is_empty(&self) -> bool {
        self.assignments.is_empty()
            && self.words.is_empty()
            && self.redirects.is_empty()
            && self.here_docs.is_empty()
            && !self.compound
    }
}

/// A variable that gets a value of ours.
#[derive(Debug, Clone)]
pub(super) struct Assigned {
    pub(super) name: String,
    pub(super) holes: Range<usize>,
    /// The variables whose text it takes over.
    pub(super) names: Range<usize>,
}

/// A command with arguments, which may be a function of the script's.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) arguments: Assigned,
    /// The holes of its first argument, if a value begins that.
    pub(super) first: Option<Range<usize>>,
}

/// A place that reads the text of variables once more.
#[derive(Debug, Clone)]
pub(super) struct Reread {
    pub(super) names: Range<usize>,
    pub(super) bound: Bound,
}

/// Text that goes to a file.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The file's name, when the script spells it out.
    pub(super) file: Option<String>,
    pub(super) holes: Range<usize>,
}

/// All that is known of a script.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) dialect: Dialect,
    pub(super) holes: Vec<Option<Hole>>,
    /// How many holes the scanner has passed.
    pub(super) passed: usize,
    pub(super) here_docs: Vec<HereDoc>,
    /// Why the scanner lost its way, if it did.
    pub(super) unsure: Option<&'static str>,
    pub(super) words: usize,
    /// Every variable that is expanded, in the order of the text.
    pub(super) names: Vec<String>,
    pub(super) functions: HashSet<String>,
    pub(super) calls: Vec<Call>,
    /// Whether a function runs its arguments as a command.
    pub(super) runs_arguments: bool,
    pub(super) assigned: Vec<Assigned>,
    pub(super) rereads: Vec<Reread>,
    pub(super) written: Vec<Written>,
    /// Here-documents that go to files: their number and that of the [`Written`].
    pub(super) written_docs: Vec<(usize, usize)>,
    /// Files that the script runs or hands to a reader of orders; `None` when the name is not spelled out.
    pub(super) run_files: Vec<Option<String>>,
    /// Whether some stage runs its standard input.
    pub(super) runs_input: bool,
    /// Whether a variable is declared an integer: assigning to it evaluates arithmetic.
    pub(super) integers: bool,
    /// Whether a variable is declared an array or a reference: declaring it again may evaluate the text.
    pub(super) arrays: bool,
    /// The holes among the operands of `declare` and its like.
    pub(super) declared: Vec<Range<usize>>,
}

impl Facts {
    pub(super) fn new(holes: usize, dialect: Dialect) -> Self {
        Self {
            dialect,
            holes: vec![None; holes],
            passed: 0,
            here_docs: Vec::new(),
            unsure: None,
            words: 0,
            names: Vec::new(),
            functions: HashSet::new(),
            calls: Vec::new(),
            runs_arguments: false,
            assigned: Vec::new(),
            rereads: Vec::new(),
            written: Vec::new(),
            written_docs: Vec::new(),
            run_files: Vec::new(),
            runs_input: false,
            integers: false,
            arrays: false,
            declared: Vec::new(),
        }
    }

    /// Remembers the first reason for doubt.
    pub(super) fn doubt(&mut self, why: &'static str) {
        self.unsure.get_or_insert(why);
    }

    /// Records a hole as the scanner passes it.
    pub(super) fn record(&mut self, hole: usize, context: Context, floor: &Bound) {
        self.passed = self.passed.max(hole + 1);
        if let Some(slot) = self.holes.get_mut(hole) {
            *slot = Some(Hole {
                context,
                bound: floor.clone(),
                begins: None,
                path: false,
                always_quote: false,
                here_doc: None,
            });
        }
    }

    /// What is known of a hole that was passed.
    pub(super) fn hole(&mut self, hole: usize) -> Option<&mut Hole> {
        self.holes.get_mut(hole)?.as_mut()
    }

    /// Raises the bound of some holes.
    pub(super) fn bind(&mut self, holes: Range<usize>, bound: &Bound) {
        for hole in self.holes.get_mut(holes).into_iter().flatten().flatten() {
            hole.bound.raise(bound);
        }
    }

    /// Raises the bound of every hole in a word.
    pub(super) fn bind_word(&mut self, word: &Word, bound: &Bound) {
        self.bind(word.holes.clone(), bound);
    }

    /// Remembers that a variable gets what a word holds.
    pub(super) fn assign(&mut self, name: &str, word: &Word) {
        self.assigned.push(Assigned { name: name.to_owned(), holes: word.holes.clone(), names: word.names.clone() });
    }

    /// What a second reader gets: its values are bounded, and so are those that reach it in variables.
    pub(super) fn hand_over(&mut self, word: &Word, bound: &Bound) {
        self.bind_word(word, bound);
        if !word.names.is_empty() {
            self.rereads.push(Reread { names: word.names.clone(), bound: bound.clone() });
        }
    }

    /// Applies what only the whole script tells.
    pub(super) fn conclude(mut self) -> Script {
        self.follow_variables();
        self.follow_files();
        let all = 0..self.holes.len();
        if self.runs_input && !self.functions.is_empty() {
            self.bind(
                all.clone(),
                &Bound::safe_word("the script has functions, and a shell that runs its standard input"),
            );
        }
        if let Some(why) = self.unsure {
            self.bind(all, &Bound::safe_word(format!("the script cannot be followed: {why}")));
        }
        let here_docs = self.here_docs;
        let holes = self
            .holes
            .into_iter()
            .map(|hole| match hole {
                Some(mut hole) => {
                    if let Some(doc) = hole.here_doc.and_then(|doc| here_docs.get(doc)) {
                        hole.bound.raise(&doc.bound);
                    }
                    hole
                }
                None => Hole {
                    context: Context::Raw,
                    bound: Bound::never("the script cannot be followed as far as this place"),
                    begins: None,
                    path: false,
                    always_quote: false,
                    here_doc: None,
                },
            })
            .collect();
        Script { holes, here_docs }
    }
}
