//! Compound commands with words of their own: `case` and `[[`.

use super::command::Word;
use super::scan::{End, Scanner};
use super::word::WordPlace;
use super::{Bound, Dialect, Limit, Unit};

impl Scanner<'_> {
    pub(super) fn case(&mut self) {
        self.blanks();
        let subject = self.word(WordPlace::Command);
        self.quote_always(&subject);
        self.gap();
        if self.word(WordPlace::Command).keyword() != Some("in") {
            return self.facts.doubt("a case has no in");
        }
        loop {
            self.gap();
            if self.ahead("esac")
                && !matches!(self.peek_at(4), Some(Unit::Char(c)) if !" \t\n;&|)<>".contains(c))
                && !matches!(self.peek_at(4), Some(Unit::Hole(_) | Unit::Tag))
            {
                self.at += 4;
                return;
            }
            self.take("(");
            loop {
                self.blanks();
                let pattern = self.word(WordPlace::Command);
                self.quote_always(&pattern);
                self.blanks();
                if self.take("|") {
                    continue;
                }
                if !self.take(")") {
                    return self.facts.doubt("a pattern of a case is not closed");
                }
                break;
            }
            if self.list(End::CaseItem) {
                return;
            }
        }
    }

    fn quote_always(&mut self, word: &Word) {
        for hole in &word.direct {
            if let Some(known) = self.facts.hole(*hole) {
                known.always_quote = true;
            }
        }
    }

    /// `[[ ... ]]` behind its brackets.
    pub(super) fn conditional(&mut self) {
        let floor = self.floor.clone();
        if self.facts.dialect != Dialect::Bash {
            self.floor.raise(&Bound::safe_word("not every sh knows [[, and those that do differ"));
        }
        let mut words: Vec<Word> = Vec::new();
        let mut regex = false;
        loop {
            self.gap();
            match self.peek() {
                None => {
                    self.facts.doubt("a [[ is not closed");
                    break;
                }
                Some(Unit::Char('&' | '|' | '(' | ')' | '<' | '>' | ';')) if !regex => {
                    self.at += 1;
                    words.push(Word::default());
                }
                Some(_) => {
                    let place = if regex { WordPlace::Regex } else { WordPlace::Command };
                    let before = self.at;
                    let word = self.word(place);
                    if self.at == before {
                        self.facts.doubt("a [[ has an unusual character");
                        self.at += 1;
                    }
                    if word.keyword() == Some("]]") {
                        break;
                    }
                    if self.facts.dialect != Dialect::Bash && words.last().is_some_and(|last| last.text.is_empty()) {
                        self.facts.bind_word(&word, &Bound::never("a sh without [[ would run it as a program"));
                    }
                    regex = word.keyword() == Some("=~");
                    self.quote_always(&word);
                    words.push(word);
                }
            }
        }
        self.floor = floor;
        for (index, word) in words.iter().enumerate() {
            let sides = match word.keyword() {
                Some("-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge") => [index.checked_sub(1), Some(index + 1)],
                Some("-v" | "-R") => [None, Some(index + 1)],
                _ => continue,
            };
            let bound = Bound::new(Limit::Digits, "[[ evaluates it as arithmetic or as the name of a variable");
            for side in sides.into_iter().flatten() {
                if let Some(operand) = words.get(side) {
                    self.facts.hand_over(operand, &bound);
                }
            }
        }
    }
}
