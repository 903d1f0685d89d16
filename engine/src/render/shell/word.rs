//! Words, quotes and expansions.

use super::command::{MARK, Word};
use super::expansion::Around;
use super::scan::{End, Scanner};
use super::{Bound, Context, Dialect, Unit};

/// Which rules apply to a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordPlace {
    /// An ordinary word of a command.
    Command,
    /// The right side of `=~`, where parentheses and bars are part of the expression.
    Regex,
}

impl Scanner<'_> {
    /// Reads one word; the next unit begins one.
    pub(super) fn word(&mut self, place: WordPlace) -> Word {
        let mut word = Word { id: self.facts.words, ..Word::default() };
        self.facts.words += 1;
        let first_hole = self.facts.passed;
        let first_name = self.facts.names.len();
        while let Some(unit) = self.peek() {
            match unit {
                Unit::Hole(hole) => {
                    self.bump();
                    self.value_in_word(&mut word, hole, Context::Bare);
                    if self.peek() == Some(Unit::Char('(')) {
                        self.facts.bind(
                            hole..hole + 1,
                            &Bound::never("a parenthesis follows, so the value would name a function or a pattern"),
                        );
                    }
                }
                Unit::Tag => {
                    self.bump();
                    word.text.push(MARK);
                }
                Unit::Char(MARK) => {
                    self.bump();
                    self.facts.doubt("it holds a NUL character");
                }
                Unit::Char(' ' | '\t' | '\n') => break,
                Unit::Char(';' | '&' | '|' | ')' | '(') if place == WordPlace::Regex => self.literal(&mut word),
                Unit::Char(';' | '&' | '|' | ')') => break,
                Unit::Char('<' | '>') => {
                    if self.peek_at(1) != Some(Unit::Char('(')) {
                        break;
                    }
                    self.bump();
                    self.bump();
                    self.list(End::Paren);
                    word.text.push(MARK);
                }
                Unit::Char('(') => {
                    if word.assignment().is_some_and(|(_, value)| value.is_empty()) {
                        self.array();
                        word.text.push(MARK);
                    } else if word.text.ends_with(['?', '*', '+', '@', '!']) && word.quote.is_none() {
                        self.facts.doubt("it uses an extended pattern");
                        self.bump();
                        self.list(End::Paren);
                        word.text.push(MARK);
                    } else {
                        break;
                    }
                }
                Unit::Char('\\') => self.escaped(&mut word),
                Unit::Char('\'') => {
                    self.bump();
                    self.single(&mut word, Context::Single);
                }
                Unit::Char('"') => {
                    self.bump();
                    self.double(&mut word);
                }
                Unit::Char('$') => self.dollar(&mut word, Around::Nothing),
                Unit::Char('`') => self.backtick(&mut word, Around::Nothing),
                Unit::Char(_) => self.literal(&mut word),
            }
        }
        if matches!(self.peek(), Some(Unit::Char('<' | '>'))) {
            // A number before a redirection would name a file descriptor.
            for hole in word.direct.clone() {
                self.always_quote(hole);
            }
        }
        word.holes = first_hole..self.facts.passed;
        word.names = first_name..self.facts.names.len();
        word
    }

    fn literal(&mut self, word: &mut Word) {
        if let Some(Unit::Char(c)) = self.bump() {
            word.text.push(c);
        }
    }

    fn value_in_word(&mut self, word: &mut Word, hole: usize, context: Context) {
        let begins = word.text.chars().all(|c| c == MARK);
        self.record(hole, context);
        if let Some(known) = self.facts.hole(hole) {
            known.begins = begins.then_some(word.id);
            // A name behind a tilde stands for somebody's folder.
            known.always_quote = word.text == "~";
        }
        word.direct.push(hole);
        word.text.push(MARK);
    }

    fn always_quote(&mut self, hole: usize) {
        if let Some(known) = self.facts.hole(hole) {
            known.always_quote = true;
        }
    }

    pub(super) fn refuse_value(&mut self, word: &mut Word, context: Context, why: &'static str) {
        if let Some(Unit::Hole(hole)) = self.peek() {
            self.bump();
            self.value_in_word(word, hole, context);
            self.facts.bind(hole..hole + 1, &Bound::never(why));
        }
    }

    fn escaped(&mut self, word: &mut Word) {
        self.bump();
        match self.peek() {
            None => word.text.push('\\'),
            Some(Unit::Char('\n')) => {
                self.at -= 1;
                self.continued_line();
            }
            Some(Unit::Char(_)) => {
                word.note_quote();
                self.literal(word);
            }
            Some(Unit::Tag) => self.facts.doubt("a backslash stands before one of Argo's tags"),
            Some(Unit::Hole(_)) => self.refuse_value(
                word,
                Context::Bare,
                "a backslash stands right before it, which would change the quotes around the value",
            ),
        }
    }

    pub(super) fn single(&mut self, word: &mut Word, context: Context) {
        word.note_quote();
        loop {
            match self.bump() {
                None => return self.facts.doubt("a quote is not closed"),
                Some(Unit::Char('\'')) => return,
                Some(Unit::Char('\\')) if context == Context::AnsiC => match self.peek() {
                    Some(Unit::Hole(_)) => {
                        self.refuse_value(word, context, "a backslash stands right before it");
                    }
                    Some(Unit::Char('\'')) if self.facts.dialect != Dialect::Bash => {
                        self.facts.doubt("not every sh reads \\' inside $'...' alike");
                        self.bump();
                    }
                    _ => {
                        self.bump();
                        word.text.push(MARK);
                    }
                },
                Some(Unit::Char(c)) => word.text.push(c),
                Some(Unit::Tag) => word.text.push(MARK),
                Some(Unit::Hole(hole)) => {
                    self.value_in_word(word, hole, context);
                    if context == Context::AnsiC && self.facts.dialect != Dialect::Bash {
                        self.facts.bind(hole..hole + 1, &Bound::safe_word("not every sh knows $'...'"));
                    }
                }
            }
        }
    }

    pub(super) fn double(&mut self, word: &mut Word) {
        word.note_quote();
        loop {
            match self.peek() {
                None => return self.facts.doubt("a quote is not closed"),
                Some(Unit::Char('"')) => {
                    self.bump();
                    return;
                }
                Some(Unit::Char('\\')) => {
                    self.bump();
                    self.escape_between_quotes(word, Context::Double);
                }
                Some(Unit::Char('$')) => self.dollar(word, Around::Double),
                Some(Unit::Char('`')) => self.backtick(word, Around::Double),
                Some(Unit::Char(_)) => self.literal(word),
                Some(Unit::Tag) => {
                    self.bump();
                    word.text.push(MARK);
                }
                Some(Unit::Hole(hole)) => {
                    self.bump();
                    self.value_in_word(word, hole, Context::Double);
                }
            }
        }
    }

    fn escape_between_quotes(&mut self, word: &mut Word, context: Context) {
        match self.peek() {
            Some(Unit::Hole(_)) => self.refuse_value(
                word,
                context,
                "a backslash stands right before it, which would change how the value is read",
            ),
            Some(Unit::Char('\n')) => {
                self.bump();
                if let Some(Unit::Hole(_)) = self.peek()
                    && context == Context::HereDoc
                {
                    self.refuse_value(word, context, "its line continues the one before it");
                }
            }
            Some(Unit::Char(c)) => {
                if !matches!(c, '$' | '`' | '"' | '\\') {
                    word.text.push('\\');
                }
                self.literal(word);
            }
            Some(Unit::Tag) => self.facts.doubt("a backslash stands before one of Argo's tags"),
            None => {}
        }
    }

    /// The text of a here-document that the shell expands.
    pub(super) fn here_doc_text(&mut self, word: &mut Word) {
        while let Some(unit) = self.peek() {
            match unit {
                Unit::Char('\\') => {
                    self.bump();
                    self.escape_between_quotes(word, Context::HereDoc);
                }
                Unit::Char('$') => self.dollar(word, Around::HereDoc),
                Unit::Char('`') => self.backtick(word, Around::HereDoc),
                Unit::Char(_) => self.literal(word),
                Unit::Tag => {
                    self.bump();
                    word.text.push(MARK);
                }
                Unit::Hole(hole) => {
                    self.bump();
                    self.value_in_word(word, hole, Context::HereDoc);
                }
            }
        }
    }
}

/// The positional parameters, among the names of variables.
pub(super) const POSITIONAL: &str = "@";

/// Whether a text can name a variable.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(is_name_start) && name.chars().all(is_name)
}

pub(super) fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

pub(super) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
