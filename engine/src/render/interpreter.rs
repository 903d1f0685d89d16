//! Where values stand in the source of other languages: safe words inside a string literal, digits elsewhere.
//!
//! The lexers know strings and comments and nothing else. Source in which a quote could mean something else (a
//! regular expression, a here-document, Perl's `q()`) takes digits alone.

use super::shell::{Bound, Language, Limit, Unit};

/// The bound of every hole in some source.
pub(super) fn bounds(language: Language, units: &[Unit], holes: usize) -> Vec<Bound> {
    let mut lexer = Lexer {
        language,
        units,
        at: 0,
        bounds: vec![Bound::new(Limit::Digits, DIGITS); holes],
        unsure: language == Language::Other || units.contains(&Unit::Tag),
        depth: 0,
    };
    lexer.code(None);
    if lexer.unsure {
        for bound in &mut lexer.bounds {
            bound.raise(&Bound::new(Limit::Digits, "where a string begins in this source is not certain"));
        }
    }
    lexer.bounds
}

const DIGITS: &str = "it is source code outside of a string literal";
const MAX_DEPTH: usize = 32;

struct Lexer<'a> {
    language: Language,
    units: &'a [Unit],
    at: usize,
    bounds: Vec<Bound>,
    unsure: bool,
    depth: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<Unit> {
        self.units.get(self.at + ahead).copied()
    }

    fn ahead(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(Unit::Char(c)))
    }

    fn set(&mut self, hole: usize, bound: Bound) {
        if let Some(slot) = self.bounds.get_mut(hole) {
            *slot = bound;
        }
    }

    /// Reads code up to the end, or up to a closing brace that an interpolation ends with.
    fn code(&mut self, close: Option<char>) {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.unsure = true;
            self.at = self.units.len();
        }
        let mut braces = 0_usize;
        let mut before = ' ';
        while let Some(unit) = self.peek(0) {
            match unit {
                Unit::Hole(hole) => {
                    self.at += 1;
                    if before.is_alphanumeric() || matches!(before, '_' | '$' | '@' | '.') {
                        self.set(hole, Bound::never("it would lengthen the name or number before it"));
                    }
                    before = '_';
                }
                Unit::Tag => {
                    self.at += 1;
                    before = '_';
                }
                Unit::Char(c) => {
                    if close == Some(c) && braces == 0 {
                        self.at += 1;
                        self.depth -= 1;
                        return;
                    }
                    match c {
                        '{' => braces += 1,
                        '}' => braces = braces.saturating_sub(1),
                        _ => {}
                    }
                    if self.comment(before) {
                        before = ' ';
                    } else if matches!(c, '\'' | '"' | '`') {
                        self.string(c, before);
                        before = '"';
                    } else {
                        self.unsure |= self.odd(c, before);
                        self.at += 1;
                        before = c;
                    }
                }
            }
        }
        self.depth -= 1;
        if close.is_some() {
            self.unsure = true;
        }
    }

    /// Skips a comment if one begins here.
    fn comment(&mut self, before: char) -> bool {
        use Language::{JavaScript, Lua, Perl, Php, Python, Ruby};
        let hash = matches!(self.language, Python | Perl | Ruby | Php)
            && self.ahead("#")
            && !(self.language == Perl && before == '$');
        let slashes = matches!(self.language, JavaScript | Php) && self.ahead("//");
        let dashes = self.language == Lua && self.ahead("--");
        let block = if matches!(self.language, JavaScript | Php) && self.ahead("/*") {
            "*/"
        } else if self.language == Lua && self.ahead("--[[") {
            "]]"
        } else if hash || slashes || dashes {
            "\n"
        } else {
            return false;
        };
        while self.at < self.units.len() && !self.ahead(block) {
            if let Some(Unit::Hole(hole)) = self.peek(0) {
                self.set(hole, Bound::safe_word("it stands in a comment"));
            }
            self.at += 1;
        }
        self.at = (self.at + block.len()).min(self.units.len());
        true
    }

    /// Whether something begins here that may hold quotes without being a string.
    fn odd(&self, c: char, before: char) -> bool {
        use Language::{Expression, JavaScript, Lua, Other, Perl, Php, Python, Ruby};
        match self.language {
            Python | Expression | Other => false,
            JavaScript => c == '/',
            Lua => c == '[' && (self.ahead("[=") || self.ahead("[[")),
            Php => self.ahead("<<<"),
            Ruby => c == '/' || c == '%' || self.ahead("<<") || self.ahead("?'") || self.ahead("?\""),
            Perl => {
                let quoting = !(before.is_alphanumeric() || matches!(before, '_' | '$' | '@' | '%' | '>'))
                    && ["q", "qq", "qw", "qx", "qr", "m", "s", "y", "tr"].iter().any(|operator| {
                        self.ahead(operator)
                            && !matches!(self.peek(operator.len()),
                                Some(Unit::Char(c)) if c.is_alphanumeric() || matches!(c, '_' | '=' | ';' | ','))
                    });
                quoting || c == '/' || self.ahead("<<") || self.ahead("=~") || self.ahead("\n=") || self.ahead("__")
            }
        }
    }

    fn string(&mut self, quote: char, before: char) {
        use Language::{Expression, JavaScript, Perl, Php, Python, Ruby};
        let formatted = self.language == Python && matches!(before, 'f' | 'F' | 'r' | 'R') && self.has_f_prefix();
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let long = self.language == Python && self.ahead(&triple);
        let close = if long { triple } else { quote.to_string() };
        let template = self.language == JavaScript && quote == '`';
        // Backquotes run a shell in these; elsewhere a lone one is odd.
        let runs = quote == '`' && !matches!(self.language, JavaScript | Expression);
        self.unsure |= runs;
        let interpolates = matches!(self.language, Perl | Php) && quote == '"';
        let raw = self.language == Expression && quote == '`';
        self.at += close.chars().count();
        let mut dollar = false;
        loop {
            if self.ahead(&close) {
                self.at += close.chars().count();
                return;
            }
            let Some(unit) = self.peek(0) else {
                self.unsure = true;
                return;
            };
            match unit {
                Unit::Char('\\') if !raw => {
                    self.at += 1;
                    if let Some(Unit::Hole(hole)) = self.peek(0) {
                        self.set(hole, Bound::never("a backslash stands right before it"));
                    }
                    if self.at < self.units.len() {
                        self.at += 1;
                    }
                }
                Unit::Char('\n') if !long && !template && !matches!(self.language, Perl | Php | Ruby) => {
                    self.unsure = true;
                    return;
                }
                Unit::Char('{') if formatted => {
                    self.at += 1;
                    if self.ahead("{") {
                        self.at += 1;
                    } else {
                        self.code(Some('}'));
                    }
                }
                Unit::Char('$') if template && self.ahead("${") => {
                    self.at += 2;
                    self.code(Some('}'));
                }
                Unit::Char('#') if self.language == Ruby && quote == '"' => {
                    if self.ahead("#{") {
                        self.at += 2;
                        self.code(Some('}'));
                    } else {
                        dollar = true;
                        self.at += 1;
                    }
                }
                Unit::Char(c) => {
                    dollar |= interpolates && matches!(c, '$' | '@');
                    self.at += 1;
                }
                Unit::Tag => self.at += 1,
                Unit::Hole(hole) => {
                    self.at += 1;
                    let bound = if runs {
                        Bound::never("it stands between backquotes, which run a shell")
                    } else if dollar {
                        Bound::never("a variable stands before it in its string, and it could lengthen the name")
                    } else if self.language == Perl && quote == '"' {
                        // "a@b" interpolates an array.
                        Bound::new(Limit::Digits, "Perl reads @ inside \"...\"; write '...'")
                    } else {
                        Bound::safe_word("it stands in a string of another language's source")
                    };
                    self.set(hole, bound);
                }
            }
        }
    }

    fn has_f_prefix(&self) -> bool {
        (1..=2).any(|back| {
            self.at
                .checked_sub(back)
                .and_then(|at| self.units.get(at))
                .is_some_and(|unit| matches!(unit, Unit::Char('f' | 'F')))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strictest limit of the holes, which `<>` marks.
    fn limit(language: Language, source: &str) -> Limit {
        let mut units = Vec::new();
        let mut rest = source;
        let mut holes = 0;
        while let Some((before, after)) = rest.split_once("<>") {
            units.extend(before.chars().map(Unit::Char));
            units.push(Unit::Hole(holes));
            holes += 1;
            rest = after;
        }
        units.extend(rest.chars().map(Unit::Char));
        bounds(language, &units, holes).into_iter().map(|bound| bound.limit).max().unwrap()
    }

    #[test]
    fn safe_words_stand_in_string_literals_and_digits_elsewhere() {
        use Language::{Expression, JavaScript, Lua, Other, Perl, Php, Python, Ruby};
        use Limit::{Digits, Never, SafeWord};
        let cases = [
            (Python, "print('<>')", SafeWord),
            (Python, "print(\"\"\"a 'b' \n<>\"\"\")", SafeWord),
            (Python, "n = <>", Digits),
            (Python, "node<> = 1", Never),
            (Python, "f'{a}<>'", SafeWord),
            (Python, "f'{<>}'", Digits),
            (Python, "f'{{<>}}'", SafeWord),
            (Python, "# it's\nprint('<>')", SafeWord),
            (Python, "# it's <>", SafeWord),
            (Python, "'\\<>'", Never),
            (Python, "print('a\n<>')", Digits),
            (Python, "print('<>", Digits),
            (JavaScript, "f(\"<>\")", SafeWord),
            (JavaScript, "f(`${'<>'}`)", SafeWord),
            (JavaScript, "f(`${<>}`)", Digits),
            (JavaScript, "x = /'/; f('<>')", Digits),
            (JavaScript, "// it's\nf('<>')", SafeWord),
            (Perl, "print '<>';", SafeWord),
            (Perl, "print \"<>\";", Digits),
            (Perl, "print q(it's); print '<>';", Digits),
            (Perl, "print \"$x<>\";", Never),
            (Ruby, "puts '<>'", SafeWord),
            (Ruby, "puts \"#{<>}\"", Digits),
            (Ruby, "puts `<>`", Never),
            (Ruby, "x = %q(it's); puts '<>'", Digits),
            (Php, "echo '<>';", SafeWord),
            (Php, "echo \"$x<>\";", Never),
            (Lua, "print('<>')", SafeWord),
            (Lua, "-- it's\nprint('<>')", SafeWord),
            (Lua, "x = [[it's]] print('<>')", Digits),
            (Expression, "a == '<>'", SafeWord),
            (Expression, "a == <>", Digits),
            (Other, "Write-Host '<>'", Digits),
        ];
        for (language, source, expected) in cases {
            assert_eq!(limit(language, source), expected, "{language:?}: {source}");
        }
    }
}
