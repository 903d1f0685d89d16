//! Lists, pipelines, compound commands, redirections and here-documents.

use super::command::{Command, Facts, Redirect, RedirectKind, Word};
use super::judge;
use super::word::WordPlace;
use super::{Bound, Context, Dialect, Unit};

/// Deeper nesting than any script that people write.
const MAX_DEPTH: usize = 96;

/// What ends a list of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The end of the script.
    Text,
    /// `)`.
    Paren,
    /// `;;` and its like, or `esac`.
    CaseItem,
}

/// Reads units in order and reports to the facts.
pub(super) struct Scanner<'a> {
    pub(super) units: &'a [Unit],
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) facts: &'a mut Facts,
    /// The least bound of every hole that is passed.
    pub(super) floor: Bound,
    pub(super) depth: usize,
    /// Whether the units are a copy of a part of the script, so that positions in them are not the script's.
    pub(super) detached: bool,
    /// Here-documents whose text begins after the next newline.
    pub(super) pending: Vec<usize>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(units: &'a [Unit], facts: &'a mut Facts) -> Self {
        Self {
            units,
            at: 0,
            end: units.len(),
            facts,
            floor: Bound::ANY,
            depth: 0,
            detached: false,
            pending: Vec::new(),
        }
    }

    /// Scans a copy of a part of the script, as if it stood where the scanner is.
    pub(super) fn nested(&mut self, units: &[Unit], floor: Bound) {
        if self.depth >= MAX_DEPTH {
            return self.facts.doubt("it nests too deeply");
        }
        let mut scanner = Scanner {
            units,
            at: 0,
            end: units.len(),
            facts: self.facts,
            floor,
            depth: self.depth + 1,
            detached: true,
            pending: Vec::new(),
        };
        scanner.list(End::Text);
    }

    pub(super) fn peek(&self) -> Option<Unit> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Unit> {
        let at = self.at + ahead;
        if at < self.end { self.units.get(at).copied() } else { None }
    }

    pub(super) fn bump(&mut self) -> Option<Unit> {
        let unit = self.peek();
        if unit.is_some() {
            self.at += 1;
        }
        unit
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn record(&mut self, hole: usize, context: Context) {
        self.facts.record(hole, context, &self.floor);
    }

    pub(super) fn ahead(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, c)| self.peek_at(ahead) == Some(Unit::Char(c)))
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.ahead(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }

    /// Skips blanks and continued lines.
    pub(super) fn blanks(&mut self) {
        loop {
            match (self.peek(), self.peek_at(1)) {
                (Some(Unit::Char(' ' | '\t')), _) => self.at += 1,
                (Some(Unit::Char('\\')), Some(Unit::Char('\n'))) => self.continued_line(),
                _ => return,
            }
        }
    }

    /// Skips a backslash and a newline, which no shell sees.
    pub(super) fn continued_line(&mut self) {
        let before = self.at.checked_sub(1).and_then(|at| self.units.get(at));
        self.at += 2;
        let operator = |unit: Option<&Unit>| matches!(unit, Some(Unit::Char('<' | '>' | '&' | '|' | ';' | '(')));
        if operator(before) && operator(self.peek().as_ref()) {
            self.facts.doubt("an operator is split between lines");
        }
    }

    /// Skips continued lines in the middle of an expansion.
    pub(super) fn join_lines(&mut self) {
        while self.ahead("\\\n") {
            self.at += 2;
        }
    }

    /// Skips blanks, newlines and comments.
    pub(super) fn gap(&mut self) {
        loop {
            self.blanks();
            match self.peek() {
                Some(Unit::Char('\n')) => {
                    self.at += 1;
                    self.here_docs();
                }
                Some(Unit::Char('#')) => self.comment(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        // A comment inside of a substitution has surprised more than one shell.
        let mut floor = self.floor.clone();
        if self.depth > 1 || self.detached {
            floor.raise(&Bound::safe_word("it stands in a comment inside of a command substitution"));
        }
        while let Some(unit) = self.peek() {
            match unit {
                Unit::Char('\n') => return,
                Unit::Hole(hole) => self.facts.record(hole, Context::Comment, &floor),
                Unit::Char(_) | Unit::Tag => {}
            }
            self.at += 1;
        }
    }

    /// Goes one level deeper, unless it is too deep: then the rest is given up. Whoever goes deeper comes back by
    /// counting `depth` down.
    pub(super) fn deeper(&mut self) -> bool {
        if self.depth >= MAX_DEPTH {
            self.facts.doubt("it nests too deeply");
            self.at = self.end;
            return false;
        }
        self.depth += 1;
        true
    }

    /// Reads a list of commands and its end. Returns whether `esac` ended it.
    pub(super) fn list(&mut self, end: End) -> bool {
        if !self.deeper() {
            return true;
        }
        let outer = std::mem::take(&mut self.pending);
        let start = self.at;
        let esac = self.commands(end);
        let newline = self.units.get(start..self.at).is_some_and(|units| units.contains(&Unit::Char('\n')));
        // The text of an outer here-document begins after a newline, and shells differ about one in here.
        if (!outer.is_empty() && newline) || !self.pending.is_empty() {
            self.facts.doubt("a here-document begins in an unusual place");
        }
        self.pending = outer;
        self.depth -= 1;
        esac
    }

    fn commands(&mut self, end: End) -> bool {
        let mut pipeline = Pipeline::new(self.facts.passed);
        let mut command = Command::default();
        loop {
            self.blanks();
            let Some(unit) = self.peek() else {
                self.finish(&mut pipeline, &mut command);
                if end != End::Text {
                    self.facts.doubt("it ends before it is complete");
                }
                return true;
            };
            match unit {
                Unit::Char('\n') => {
                    self.at += 1;
                    // Behind a bar the pipeline goes on in the next line.
                    if !command.is_empty() || pipeline.stages.is_empty() {
                        self.finish(&mut pipeline, &mut command);
                    }
                    self.here_docs();
                }
                Unit::Char('#') => self.comment(),
                Unit::Char(';') => {
                    self.at += 1;
                    self.finish(&mut pipeline, &mut command);
                    let item = self.take(";&") || self.take(";") || self.take("&");
                    if item && end == End::CaseItem {
                        return false;
                    }
                    if item {
                        self.facts.doubt("it has ;; outside of a case");
                    }
                }
                // To dash this & ends the command, and the next word is a program.
                Unit::Char('&') if self.facts.dialect == Dialect::Bash && self.peek_at(1) == Some(Unit::Char('>')) => {
                    self.at += 1;
                    self.redirect(&mut command);
                }
                Unit::Char('&') => {
                    self.at += 1;
                    self.take("&");
                    self.finish(&mut pipeline, &mut command);
                }
                Unit::Char('|') => {
                    self.at += 1;
                    if self.take("|") {
                        self.finish(&mut pipeline, &mut command);
                    } else {
                        self.take("&");
                        pipeline.stages.push(std::mem::take(&mut command));
                    }
                }
                Unit::Char(')') => {
                    self.at += 1;
                    self.finish(&mut pipeline, &mut command);
                    if end == End::Paren {
                        return false;
                    }
                    self.facts.doubt("a parenthesis closes nothing");
                }
                Unit::Char('(') => self.parenthesis(&mut command),
                Unit::Char('<' | '>') if self.peek_at(1) != Some(Unit::Char('(')) => {
                    self.redirect(&mut command);
                }
                Unit::Char(_) | Unit::Tag | Unit::Hole(_) => {
                    let before = self.at;
                    if self.command_word(&mut command, end) {
                        self.finish(&mut pipeline, &mut command);
                        return true;
                    }
                    if self.at == before {
                        self.facts.doubt("it has an unusual character");
                        self.at += 1;
                    }
                }
            }
        }
    }

    fn finish(&mut self, pipeline: &mut Pipeline, command: &mut Command) {
        if !command.is_empty() {
            pipeline.stages.push(std::mem::take(command));
        }
        let done = std::mem::replace(pipeline, Pipeline::new(self.facts.passed));
        judge::pipeline(self.facts, &done.stages, done.first_hole);
    }

    fn parenthesis(&mut self, command: &mut Command) {
        if command.words.is_empty() && command.assignments.is_empty() {
            self.at += 1;
            if self.facts.dialect == Dialect::Bash && self.take("(") {
                self.arithmetic("))");
            } else {
                if self.peek() == Some(Unit::Char('(')) {
                    self.facts.doubt("not every sh reads (( alike");
                }
                self.list(End::Paren);
            }
            command.compound = true;
            return;
        }
        self.at += 1;
        self.blanks();
        let name = match command.words.as_slice() {
            [only] if command.assignments.is_empty() => Some(only.clone()),
            _ => None,
        };
        match name {
            Some(name) if self.peek() == Some(Unit::Char(')')) => {
                self.at += 1;
                self.define(&name);
                *command = Command::default();
            }
            _ => {
                self.facts.doubt("a parenthesis stands in an unusual place");
                self.list(End::Paren);
            }
        }
    }

    fn define(&mut self, name: &Word) {
        self.facts.bind_word(name, &Bound::never("it would name a function"));
        match name.literal() {
            Some(literal) => {
                self.facts.functions.insert(literal.to_owned());
            }
            None => self.facts.doubt("a function's name is not spelled out"),
        }
    }

    /// Reads a word of a command. Returns whether it was the `esac` that ends the list.
    fn command_word(&mut self, command: &mut Command, end: End) -> bool {
        let word = self.word(WordPlace::Command);
        let number = !word.text.is_empty() && word.text.chars().all(|c| c.is_ascii_digit());
        if number && word.quote.is_none() && matches!(self.peek(), Some(Unit::Char('<' | '>'))) {
            return false; // the file descriptor of a redirection
        }
        if !command.words.is_empty() || command.compound {
            command.words.push(word);
            return false;
        }
        if word.assignment().is_some() {
            command.assignments.push(word);
            return false;
        }
        if !command.assignments.is_empty() {
            command.words.push(word);
            return false;
        }
        match word.keyword() {
            Some("if" | "then" | "else" | "elif" | "do" | "while" | "until" | "!" | "{" | "time" | "coproc") => {}
            Some("fi" | "done" | "}") => command.compound = true,
            Some("esac") if end == End::CaseItem => return true,
            Some("esac") => self.facts.doubt("an esac closes nothing"),
            Some("case") => {
                self.case();
                command.compound = true;
            }
            Some("for" | "select") => {
                self.blanks();
                if self.peek() == Some(Unit::Char('(')) {
                    if self.take("((") {
                        self.arithmetic("))");
                    } else {
                        self.facts.doubt("it has an unusual for");
                    }
                    command.compound = true;
                } else {
                    command.words.push(word);
                }
            }
            Some("function") => {
                self.blanks();
                let name = self.word(WordPlace::Command);
                self.define(&name);
                self.blanks();
                if self.take("(") {
                    self.blanks();
                    self.take(")");
                }
            }
            Some("[[") => {
                self.conditional();
                command.compound = true;
            }
            _ => command.words.push(word),
        }
        false
    }

    fn redirect(&mut self, command: &mut Command) {
        let kind = if self.take("<<<") {
            RedirectKind::HereString
        } else if self.take("<<-") {
            return self.here_doc_start(command, true);
        } else if self.take("<<") {
            return self.here_doc_start(command, false);
        } else if self.take(">&") || self.take("<&") {
            RedirectKind::Duplicate
        } else if self.take(">>") || self.take(">|") || self.take("<>") || self.take(">") {
            RedirectKind::Write
        } else {
            self.at += 1;
            RedirectKind::Read
        };
        self.blanks();
        let target = self.word(WordPlace::Command);
        command.redirects.push(Redirect { kind, target });
    }
}

struct Pipeline {
    stages: Vec<Command>,
    first_hole: usize,
}

impl Pipeline {
    fn new(first_hole: usize) -> Self {
        Self { stages: Vec::new(), first_hole }
    }
}
