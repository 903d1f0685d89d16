//! Expansions: variables, substitutions, arithmetic, and the words inside of them.

use super::command::{MARK, Reread, Word};
use super::scan::{End, Scanner};
use super::word::{POSITIONAL, WordPlace, is_name, is_name_start};
use super::{Bound, Context, Dialect, Limit, Unit};

/// What surrounds an expansion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    Nothing,
    Double,
    HereDoc,
}

impl Scanner<'_> {
    /// An expansion at its dollar.
    pub(super) fn dollar(&mut self, word: &mut Word, around: Around) {
        if !self.deeper() {
            return;
        }
        self.expansion(word, around);
        self.depth -= 1;
    }

    fn expansion(&mut self, word: &mut Word, around: Around) {
        let context = match around {
            Around::Nothing => Context::Bare,
            Around::Double => Context::Double,
            Around::HereDoc => Context::HereDoc,
        };
        self.bump();
        self.join_lines();
        match self.peek() {
            Some(Unit::Hole(_)) => {
                self.refuse_value(word, context, "a $ stands right before it, so the value would name a variable")
            }
            Some(Unit::Tag) => {
                self.facts.doubt("a $ stands before one of Argo's tags, which would name a variable");
                word.text.push(MARK);
            }
            Some(Unit::Char('(')) => {
                self.bump();
                let floor = self.floor.clone();
                if around == Around::HereDoc {
                    self.floor.raise(&Bound::safe_word("it stands in a command inside of a here-document"));
                }
                if self.peek() == Some(Unit::Char('(')) {
                    self.bump();
                    self.arithmetic("))");
                } else {
                    self.list(End::Paren);
                }
                self.floor = floor;
                word.text.push(MARK);
            }
            Some(Unit::Char('[')) => {
                if self.facts.dialect != Dialect::Bash {
                    self.facts.doubt("not every sh reads $[ alike");
                }
                self.bump();
                self.arithmetic("]");
                word.text.push(MARK);
            }
            Some(Unit::Char('{')) => {
                self.bump();
                self.parameter(around);
                word.text.push(MARK);
            }
            Some(Unit::Char('\'')) if around == Around::Nothing => {
                self.bump();
                self.single(word, Context::AnsiC);
            }
            Some(Unit::Char('"')) if around == Around::Nothing => {
                self.bump();
                let floor = self.floor.clone();
                self.floor.raise(&Bound::safe_word("it stands in $\"...\", which is translated"));
                self.double(word);
                self.floor = floor;
            }
            Some(Unit::Char(c)) if is_name_start(c) => {
                let name = self.name();
                self.facts.names.push(name);
                word.text.push(MARK);
                self.refuse_value(
                    word,
                    context,
                    "a variable's name stands right before it, and the value could make it longer; write ${name}",
                );
            }
            Some(Unit::Char(c)) if matches!(c, '?' | '$' | '!' | '#' | '*' | '@' | '-' | '0'..='9') => {
                self.bump();
                if matches!(c, '*' | '@' | '1'..='9') {
                    self.facts.names.push(POSITIONAL.to_owned());
                }
                word.text.push(MARK);
                self.join_lines();
                self.refuse_value(
                    word,
                    context,
                    "a special variable stands right before it; write it with braces, as ${1}",
                );
            }
            _ => word.text.push('$'),
        }
    }

    /// Reads a variable's name; the next unit begins one.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(Unit::Char(c)) = self.peek() {
            if !is_name(c) {
                break;
            }
            name.push(c);
            self.bump();
            self.join_lines();
        }
        name
    }

    /// `${...}` behind its brace.
    fn parameter(&mut self, around: Around) {
        let first_name = self.facts.names.len();
        let mut indirect = false;
        match (self.peek(), self.peek_at(1)) {
            (Some(Unit::Char('#')), Some(Unit::Char(c))) if c != '}' => {
                self.bump();
            }
            (Some(Unit::Char('!')), Some(Unit::Char(c))) if c != '}' => {
                self.bump();
                indirect = true;
            }
            _ => {}
        }
        match self.peek() {
            Some(Unit::Char(c)) if is_name_start(c) => {
                let name = self.name();
                self.facts.names.push(name);
            }
            Some(Unit::Char(c)) if c.is_ascii_digit() || matches!(c, '*' | '@') => {
                while matches!(self.peek(), Some(Unit::Char(c)) if c.is_ascii_digit() || matches!(c, '*' | '@')) {
                    self.bump();
                }
                self.facts.names.push(POSITIONAL.to_owned());
            }
            Some(Unit::Char('?' | '$' | '!' | '#' | '-')) => {
                self.bump();
            }
            _ => {}
        }
        if indirect {
            self.reread_since(first_name, Bound::safe_word("${!name} reads a variable's text as a name"));
        }
        if self.peek() == Some(Unit::Char('[')) {
            self.bump();
            self.arithmetic("]");
        }
        let floor = self.floor.clone();
        match (self.peek(), self.peek_at(1)) {
            (Some(Unit::Char('}')), _) => {}
            (Some(Unit::Hole(_)), _) => {
                self.floor.raise(&Bound::never("it would name the variable of ${...}"));
            }
            (Some(Unit::Char(':')), Some(Unit::Char('-' | '=' | '?' | '+')))
            | (Some(Unit::Char('-' | '=' | '?' | '+' | '#' | '%' | '/' | '^' | ',')), _) => {
                self.bump();
                self.floor.raise(&Bound::safe_word("no quoting is sound for every shell inside ${...}"));
            }
            (Some(Unit::Char(':')), _) => {
                // ${name:offset:length} evaluates arithmetic in both.
                self.floor = Bound::new(Limit::Digits, "it is arithmetic inside ${...}");
            }
            (Some(Unit::Char('@')), _) => {
                self.reread_since(first_name, Bound::safe_word("${name@operator} may read a variable's text as code"));
                self.floor.raise(&Bound::never("it is an operator of ${...}"));
            }
            _ => self.facts.doubt("it has an unusual ${...}"),
        }
        let arithmetic = self.floor.limit == Limit::Digits;
        self.parameter_word(around);
        if arithmetic {
            let bound = self.floor.clone();
            self.reread_since(first_name, bound);
        }
        self.floor = floor;
    }

    fn parameter_word(&mut self, around: Around) {
        let mut inner = Word::default();
        let mut before_hole = None;
        loop {
            match self.peek() {
                None => return self.facts.doubt("a ${ is not closed"),
                Some(Unit::Char('}')) => {
                    self.bump();
                    return;
                }
                Some(Unit::Char('\'')) => {
                    if around != Around::Nothing {
                        self.facts.doubt("shells differ about ' inside ${...} between quotes");
                    }
                    self.bump();
                    self.single(&mut inner, Context::Single);
                }
                Some(Unit::Char('"')) => {
                    self.bump();
                    self.double(&mut inner);
                }
                Some(Unit::Char('\\')) => {
                    self.bump();
                    match self.peek() {
                        Some(Unit::Hole(_)) => {
                            self.refuse_value(&mut inner, Context::Raw, "a backslash stands right before it")
                        }
                        _ => {
                            self.bump();
                        }
                    }
                }
                Some(Unit::Char('$')) => self.dollar(&mut inner, around),
                Some(Unit::Char('`')) => self.backtick(&mut inner, around),
                Some(Unit::Char(c)) => {
                    if self.floor.limit == Limit::Digits && is_name_start(c) {
                        let name = self.name();
                        self.facts.names.push(name);
                    } else {
                        self.bump();
                    }
                }
                Some(Unit::Tag) => {
                    self.bump();
                }
                Some(Unit::Hole(hole)) => {
                    self.bump();
                    self.record(hole, Context::Raw);
                    // Two values side by side could form what one alone cannot.
                    if before_hole == Some(self.position() - 1) {
                        self.facts.bind(hole..hole + 1, &Bound::never("another value stands right before it"));
                    }
                    before_hole = Some(self.position());
                }
            }
        }
    }

    fn reread_since(&mut self, first_name: usize, bound: Bound) {
        let names = first_name..self.facts.names.len();
        self.facts.rereads.push(Reread { names, bound });
    }

    /// Arithmetic up to its closing text. It evaluates the text of variables too, array subscripts with command
    /// substitutions included.
    pub(super) fn arithmetic(&mut self, close: &str) {
        let floor =
            std::mem::replace(&mut self.floor, Bound::new(Limit::Digits, "the shell evaluates it as arithmetic"));
        if floor.limit > Limit::Digits {
            self.floor = floor.clone();
        }
        let first_name = self.facts.names.len();
        let mut depth = 0_usize;
        let mut inner = Word::default();
        // What stands right before the next unit, for values that would lengthen a name or a number.
        let mut before = ' ';
        loop {
            match self.peek() {
                None => {
                    self.facts.doubt("arithmetic is not closed");
                    break;
                }
                Some(Unit::Char(c)) if depth == 0 && close == "]" && c == ']' => {
                    self.bump();
                    break;
                }
                Some(Unit::Char(')')) if depth == 0 => {
                    if close == "))" && self.peek_at(1) == Some(Unit::Char(')')) {
                        self.bump();
                        self.bump();
                    } else {
                        self.facts.doubt("arithmetic is not closed where it should be");
                        self.bump();
                    }
                    break;
                }
                Some(Unit::Char('(' | '[')) => {
                    depth += 1;
                    self.bump();
                    before = '(';
                }
                Some(Unit::Char(')' | ']')) => {
                    depth = depth.saturating_sub(1);
                    self.bump();
                    before = ')';
                }
                Some(Unit::Char('$')) => {
                    self.dollar(&mut inner, Around::Double);
                    before = 'a';
                }
                Some(Unit::Char('`')) => {
                    self.backtick(&mut inner, Around::Double);
                    before = 'a';
                }
                Some(Unit::Char('"')) => {
                    self.bump();
                    self.double(&mut inner);
                    before = 'a';
                }
                Some(Unit::Char('\'' | '\\')) => {
                    self.facts.doubt("there are quotes in arithmetic");
                    self.bump();
                }
                Some(Unit::Char(c)) if is_name_start(c) => {
                    let name = self.name();
                    self.facts.names.push(name);
                    before = 'a';
                }
                Some(Unit::Char(c)) => {
                    self.bump();
                    before = c;
                }
                Some(Unit::Tag) => {
                    self.bump();
                    before = 'a';
                }
                Some(Unit::Hole(hole)) => {
                    self.bump();
                    self.record(hole, Context::Raw);
                    if is_name(before) || before == '#' {
                        self.facts
                            .bind(hole..hole + 1, &Bound::never("it would lengthen the name or number before it"));
                    }
                    before = 'a';
                }
            }
        }
        let bound = std::mem::replace(&mut self.floor, floor);
        self.reread_since(first_name, bound);
    }

    /// A backquoted command. Its text is read twice, so only values that no reading changes may stand in it.
    pub(super) fn backtick(&mut self, word: &mut Word, around: Around) {
        self.bump();
        let mut units = Vec::new();
        loop {
            match self.bump() {
                None => {
                    self.facts.doubt("a backquote is not closed");
                    break;
                }
                Some(Unit::Char('`')) => break,
                Some(Unit::Char('\\')) => match self.peek() {
                    Some(Unit::Char(c)) if matches!(c, '`' | '\\' | '$') || (c == '"' && around == Around::Double) => {
                        units.push(Unit::Char(c));
                        self.bump();
                    }
                    _ => units.push(Unit::Char('\\')),
                },
                Some(unit) => units.push(unit),
            }
        }
        let mut floor = self.floor.clone();
        floor.raise(&Bound::safe_word("it stands between backquotes; write $(...)"));
        self.nested(&units, floor);
        word.text.push(MARK);
    }

    /// `name=(...)` at its parenthesis.
    pub(super) fn array(&mut self) {
        if self.deeper() {
            self.elements();
            self.depth -= 1;
        }
    }

    fn elements(&mut self) {
        self.bump();
        loop {
            self.gap();
            match self.peek() {
                None => return self.facts.doubt("an array is not closed"),
                Some(Unit::Char(')')) => {
                    self.bump();
                    return;
                }
                Some(Unit::Char(';' | '&' | '|' | '(' | '<' | '>')) => {
                    self.facts.doubt("it has an unusual array");
                    self.bump();
                }
                Some(_) => {
                    let word = self.word(WordPlace::Command);
                    if word.text.starts_with('[') {
                        let bound = if word.prefix().contains("]=") {
                            Bound::safe_word("it is an element of an array with subscripts")
                        } else {
                            Bound::new(Limit::Digits, "it is the subscript of an array")
                        };
                        self.facts.hand_over(&word, &bound);
                    }
                }
            }
        }
    }
}
