//! Here-documents: their delimiters, and the texts that begin behind the next newline.

use super::command::{Command, Word};
use super::scan::Scanner;
use super::{Bound, Context, HereDoc, Unit};

impl Scanner<'_> {
    pub(super) fn here_doc_start(&mut self, command: &mut Command, strip_tabs: bool) {
        self.blanks();
        let mut delimiter = String::new();
        let mut raw = false;
        let mut quote = None;
        while let Some(unit) = self.peek() {
            match (unit, quote) {
                (Unit::Char(c), Some(q)) if c == q => quote = None,
                (Unit::Char('\\'), Some('"')) => {
                    self.facts.doubt("a here-document's delimiter has an escape");
                }
                (Unit::Char(c), Some(_)) => delimiter.push(c),
                (Unit::Char(q @ ('\'' | '"')), None) => {
                    raw = true;
                    quote = Some(q);
                }
                (Unit::Char('\\'), None) => {
                    raw = true;
                    self.at += 1;
                    match self.peek() {
                        Some(Unit::Char(c)) if c != '\n' => delimiter.push(c),
                        _ => {
                            self.facts.doubt("a here-document's delimiter has an odd escape");
                            continue;
                        }
                    }
                }
                (Unit::Char(' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')'), None) => {
                    break;
                }
                (Unit::Char(c), None) => {
                    if matches!(c, '$' | '`') {
                        self.facts.doubt("a here-document's delimiter looks like an expansion");
                    }
                    delimiter.push(c);
                }
                (Unit::Tag, _) => self.facts.doubt("one of Argo's tags ends a here-document"),
                (Unit::Hole(hole), _) => {
                    self.record(hole, Context::Raw);
                    self.facts.bind(hole..hole + 1, &Bound::never("it would end a here-document"));
                }
            }
            self.at += 1;
        }
        if delimiter.contains('\n') {
            self.facts.doubt("a here-document's delimiter spans lines");
        }
        let doc = self.facts.here_docs.len();
        self.facts.here_docs.push(HereDoc { delimiter, strip_tabs, raw, body: 0..0, bound: Bound::ANY });
        command.here_docs.push(doc);
        self.pending.push(doc);
    }

    /// Reads the texts that begin behind the newline just passed.
    pub(super) fn here_docs(&mut self) {
        for doc in std::mem::take(&mut self.pending) {
            let Some((delimiter, strip_tabs, raw)) =
                self.facts.here_docs.get(doc).map(|doc| (doc.delimiter.clone(), doc.strip_tabs, doc.raw))
            else {
                continue;
            };
            let start = self.at;
            let Some((body_end, next)) = self.find_delimiter(&delimiter, strip_tabs) else {
                self.facts.doubt("a here-document is not closed");
                self.at = self.end;
                return;
            };
            let first_hole = self.facts.passed;
            self.read_here_doc(body_end, raw);
            let holes = first_hole..self.facts.passed;
            for known in self.facts.holes.get_mut(holes.clone()).into_iter().flatten().flatten() {
                known.here_doc = Some(doc);
                known.begins = None;
            }
            if self.detached {
                self.facts.bind(holes, &Bound::never("it stands in a here-document between backquotes"));
            } else if let Some(doc) = self.facts.here_docs.get_mut(doc) {
                doc.body = start..body_end;
            }
            self.at = next;
        }
    }

    fn read_here_doc(&mut self, body_end: usize, raw: bool) {
        if raw {
            while self.at < body_end {
                if let Some(Unit::Hole(hole)) = self.peek() {
                    self.record(hole, Context::HereDocRaw);
                }
                self.at += 1;
            }
            return;
        }
        let end = std::mem::replace(&mut self.end, body_end);
        let mut text = Word::default();
        let first_hole = self.facts.passed;
        let first_name = self.facts.names.len();
        self.here_doc_text(&mut text);
        // Variables reach the reader of a here-document as they reach its other words.
        text.holes = first_hole..self.facts.passed;
        text.names = first_name..self.facts.names.len();
        self.end = end;
    }

    /// Where the text of a here-document ends and where the line behind its delimiter begins.
    fn find_delimiter(&self, delimiter: &str, strip_tabs: bool) -> Option<(usize, usize)> {
        let mut line_start = self.at;
        while line_start < self.end {
            let rest = self.units.get(line_start..self.end)?;
            let length = rest.iter().position(|unit| *unit == Unit::Char('\n')).unwrap_or(rest.len());
            let line = rest.get(..length)?;
            let tabs = if strip_tabs { line.iter().take_while(|unit| **unit == Unit::Char('\t')).count() } else { 0 };
            let same = line.get(tabs..)?.iter().copied().eq(delimiter.chars().map(Unit::Char));
            if same {
                return Some((line_start, (line_start + length + 1).min(self.end)));
            }
            line_start += length + 1;
        }
        None
    }
}
