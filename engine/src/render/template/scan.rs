//! Cuts a template's text into plain text and tags, and applies what the tags ask of the space around them.
//!
//! `{{ ... }}` always is a tag, except that the braces of `{{=...}}` are plain text: Argo reads that expression, and
//! values of ours may stand inside. `{% ... %}` is a tag when it opens with a word of our own style, since shell
//! text such as `printf '{%s}'` must stay what it is. `{# ... #}` is a comment when space stands inside both ends and
//! no `$` before it, so that `${#list[@]}` stays what it is.

use super::ast::Position;
use super::limits;
use crate::render::Flaw;

/// Words that open a `{% %}` tag; those we refuse are here too, so that they are refused and not printed.
const PERCENT_WORDS: &[&str] = &[
    "autoescape",
    "block",
    "break",
    "call",
    "continue",
    "do",
    "elif",
    "else",
    "elseif",
    "endautoescape",
    "endblock",
    "endcall",
    "endfilter",
    "endfor",
    "endif",
    "endmacro",
    "endset",
    "endwith",
    "extends",
    "filter",
    "for",
    "from",
    "if",
    "import",
    "include",
    "macro",
    "raw",
    "set",
    "with",
];

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
const BLANK: [char; 3] = [' ', '\t', '\r'];

/// One part of a template's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'t> {
    /// Text that is printed as it stands.
    Text { text: &'t str, at: Position },
    /// `{{ ... }}`.
    Braces(Tag<'t>),
    /// `{% ... %}`.
    Percent(Tag<'t>),
}

/// A tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag<'t> {
    /// All of it, delimiters included.
    pub(super) whole: &'t str,
    /// What stands between the delimiters and the marks that trim space.
    pub(super) inner: &'t str,
    /// Where the tag begins.
    pub(super) at: Position,
    /// Where `inner` begins.
    pub(super) inner_at: Position,
    /// Whether it has marks that trim space.
    pub(super) trims: bool,
}

/// Cuts a template's text into its parts; empty text is left out.
pub(super) fn scan(text: &str) -> Result<Vec<Segment<'_>>, Flaw> {
    let mut scanner = Scanner {
        text,
        pending: 0,
        trim_pending: false,
        reached: 0,
        position: Position::START,
        segments: Vec::new(),
        next_close: text.find("#}"),
    };
    scanner.run()?;
    Ok(scanner.segments)
}

struct Scanner<'t> {
    text: &'t str,
    /// Where the text that is not yet a segment begins.
    pending: usize,
    /// Whether the tag before asks to trim the space at the beginning of that text.
    trim_pending: bool,
    /// The offset that `position` describes; it only grows.
    reached: usize,
    position: Position,
    segments: Vec<Segment<'t>>,
    /// Where the next `#}` is, from the last place that was asked about; `None` when there is none.
    next_close: Option<usize>,
}

impl<'t> Scanner<'t> {
    fn run(&mut self) -> Result<(), Flaw> {
        let mut from = 0;
        while let Some(start) = self.tail(from).find('{').map(|at| from + at) {
            from = match self.tail(start).as_bytes().get(1) {
                Some(b'{') => self.braces(start)?,
                Some(b'%') => self.percent(start)?,
                Some(b'#') => self.comment(start),
                _ => start + 1,
            };
        }
        self.flush(self.text.len(), false);
        Ok(())
    }

    /// Handles `{{` at `start` and says where to go on.
    fn braces(&mut self, start: usize) -> Result<usize, Flaw> {
        let body = start + 2;
        if self.tail(body).starts_with('=') {
            return Ok(body + 1);
        }
        let lead = self.tail(body);
        let trim_before = lead.strip_prefix('-').is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
        let inner_start = body + usize::from(trim_before);
        let after_space = self.tail(inner_start).trim_start_matches(SPACE);
        if after_space.starts_with("/*") {
            return self.go_comment(start, trim_before, after_space);
        }
        let close = self.find_close(start, inner_start, "}}")?;
        let inner = self.between(inner_start, close);
        let trim_after = inner.ends_with('-');
        let inner = inner.strip_suffix('-').unwrap_or(inner);
        self.flush(start, trim_before);
        let tag = self.tag(start, close + 2, inner_start, inner, trim_before || trim_after)?;
        self.segments.push(Segment::Braces(tag));
        self.trim_pending = trim_after;
        self.pending = close + 2;
        Ok(self.pending)
    }

    /// `{{/* ... */}}` prints nothing and may hold anything.
    fn go_comment(&mut self, start: usize, trim_before: bool, body: &str) -> Result<usize, Flaw> {
        let after = body.split_once("*/").and_then(|(_, after)| {
            let rest = after.trim_start_matches(SPACE);
            let (trim_after, rest) = match rest.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, rest),
            };
            Some((trim_after, rest.strip_prefix("}}")?))
        });
        let Some((trim_after, rest)) = after else {
            return Err(self
                .flaw(start, "this comment is never closed")
                .hint("a comment ends with */}} and nothing between the two"));
        };
        self.flush(start, trim_before);
        self.trim_pending = trim_after;
        self.pending = self.text.len() - rest.len();
        Ok(self.pending)
    }

    /// Handles `{%` at `start` and says where to go on.
    fn percent(&mut self, start: usize) -> Result<usize, Flaw> {
        let body = start + 2;
        let mark = self.tail(body).chars().next().filter(|c| matches!(c, '-' | '+'));
        let inner_start = body + usize::from(mark.is_some());
        let word = leading_word(self.tail(inner_start));
        if word != "endraw" && !PERCENT_WORDS.contains(&word) {
            return Ok(body);
        }
        let close = self.find_close(start, inner_start, "%}")?;
        let inner = self.between(inner_start, close);
        let end_mark = inner.chars().next_back().filter(|c| matches!(c, '-' | '+'));
        let inner = end_mark.map_or(inner, |mark| inner.strip_suffix(mark).unwrap_or(inner));
        let end = close + 2;
        if word == "endraw" {
            return Err(self.flaw(start, "found {% endraw %} without a {% raw %} before it"));
        }
        let resume = self.around(start, end, mark, end_mark);
        if word == "raw" {
            return self.raw(start, resume);
        }
        let tag = self.tag(start, end, inner_start, inner, false)?;
        self.segments.push(Segment::Percent(tag));
        self.pending = resume;
        Ok(resume)
    }

    /// `{% raw %}` at `start`: all up to `{% endraw %}` is text.
    fn raw(&mut self, start: usize, body: usize) -> Result<usize, Flaw> {
        self.pending = body;
        let mut from = body;
        while let Some(at) = self.tail(from).find("{%").map(|at| from + at) {
            let (mark, rest) = match self.tail(at + 2).strip_prefix(['-', '+']) {
                Some(rest) => (self.tail(at + 2).chars().next(), rest),
                None => (None, self.tail(at + 2)),
            };
            let rest = rest.trim_start_matches(SPACE);
            if let Some(rest) = rest.strip_prefix("endraw") {
                let rest = rest.trim_start_matches(SPACE);
                let (end_mark, rest) = match rest.strip_prefix(['-', '+']) {
                    Some(tail) => (rest.chars().next(), tail),
                    None => (None, rest),
                };
                if let Some(rest) = rest.strip_prefix("%}") {
                    let resume = self.around(at, self.text.len() - rest.len(), mark, end_mark);
                    self.pending = resume;
                    return Ok(resume);
                }
            }
            from = at + 2;
        }
        Err(self.flaw(start, "{% raw %} is never closed").hint("end it with {% endraw %}"))
    }

    /// Handles `{#` at `start` and says where to go on.
    fn comment(&mut self, start: usize) -> usize {
        let body = start + 2;
        let after_dollar = self.between(0, start).ends_with('$');
        let (mark, rest) = match self.tail(body).strip_prefix('-') {
            Some(rest) => (Some('-'), rest),
            None => (None, self.tail(body)),
        };
        if after_dollar || !rest.starts_with(SPACE) {
            return body;
        }
        let Some(close) = self.comment_close(body).filter(|close| close - body <= limits::TAG_BYTES) else {
            return body;
        };
        let inside = self.between(body, close);
        let end_mark = inside.ends_with('-').then_some('-');
        if !inside.trim_end_matches('-').ends_with(SPACE) {
            return body;
        }
        let resume = self.around(start, close + 2, mark, end_mark);
        self.pending = resume;
        resume
    }

    /// The first `#}` at or after an offset; offsets only grow, so the whole text is searched once.
    fn comment_close(&mut self, from: usize) -> Option<usize> {
        if self.next_close.is_some_and(|close| close < from) {
            self.next_close = self.tail(from).find("#}").map(|at| from + at);
        }
        self.next_close
    }

    /// Ends the text before a tag of our own style that spans `start..end`, and says where the text after it
    /// begins. A tag alone on its line takes the line with it; `-` trims all space on its side, `+` none.
    fn around(&mut self, start: usize, end: usize, mark: Option<char>, end_mark: Option<char>) -> usize {
        let before = self.between(self.pending.min(start), start);
        let indent = before.len() - before.trim_end_matches(BLANK).len();
        let starts_line = start == indent || self.between(0, start - indent).ends_with('\n');
        let after = self.tail(end).trim_start_matches(BLANK);
        let alone = starts_line && (after.is_empty() || after.starts_with('\n'));
        let line_before = alone && mark.is_none();
        self.flush(if line_before { start - indent } else { start }, mark == Some('-'));
        self.trim_pending = end_mark == Some('-');
        if alone && mark != Some('+') && end_mark.is_none() {
            let rest = after.strip_prefix('\n').unwrap_or(after);
            return self.text.len() - rest.len();
        }
        end
    }

    /// Makes the pending text up to `end` a segment.
    fn flush(&mut self, end: usize, trim_end: bool) {
        let mut text = self.between(self.pending, end);
        let mut start = self.pending;
        if self.trim_pending {
            let trimmed = text.trim_start_matches(SPACE);
            start += text.len() - trimmed.len();
            text = trimmed;
        }
        if trim_end {
            text = text.trim_end_matches(SPACE);
        }
        self.trim_pending = false;
        if !text.is_empty() {
            let at = self.position_of(start);
            self.segments.push(Segment::Text { text, at });
        }
    }

    fn tag(
        &mut self,
        start: usize,
        end: usize,
        inner_start: usize,
        inner: &'t str,
        trims: bool,
    ) -> Result<Tag<'t>, Flaw> {
        let at = self.position_of(start);
        if end - start > limits::TAG_BYTES {
            return Err(Flaw::new(format!(
                "this tag is {} bytes long, but at most {} are read",
                end - start,
                limits::TAG_BYTES
            ))
            .at(at.line, at.column));
        }
        Ok(Tag { whole: self.between(start, end), inner, at, inner_at: self.position_of(inner_start), trims })
    }

    /// The offset of the closing delimiter that stands outside of quotes.
    fn find_close(&mut self, start: usize, from: usize, close: &str) -> Result<usize, Flaw> {
        let body = self.tail(from);
        let mut chars = body.char_indices();
        let mut quote: Option<char> = None;
        while let Some((at, c)) = chars.next() {
            match quote {
                Some(open) if c == open => quote = None,
                Some('`') => {}
                Some(_) if c == '\\' => {
                    chars.next();
                }
                Some(_) if c == '\n' => break,
                Some(_) => {}
                None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
                None => {
                    let rest = body.get(at..).unwrap_or_default();
                    if rest.starts_with(close) {
                        return Ok(from + at);
                    }
                    if rest.starts_with("{{") || rest.starts_with("{%") {
                        return Err(self
                            .flaw(from + at, "found a tag inside another tag")
                            .hint(format!("close the first one with {close}")));
                    }
                }
            }
        }
        let open = if close == "}}" { "{{" } else { "{%" };
        Err(match quote {
            Some(quote) => self.flaw(start, format!("a {quote} in this tag is never closed")),
            None => self.flaw(start, format!("{open} is never closed with {close}")),
        }
        .hint("to print two opening braces, write {{\"{{\"}}"))
    }

    fn flaw(&mut self, offset: usize, problem: impl Into<String>) -> Flaw {
        let at = self.position_of(offset);
        Flaw::new(problem).at(at.line, at.column)
    }

    /// The position of an offset at or after all that were asked for before.
    fn position_of(&mut self, offset: usize) -> Position {
        let passed = self.between(self.reached.min(offset), offset);
        self.position = self.position.after(passed);
        self.reached = offset;
        self.position
    }

    fn tail(&self, from: usize) -> &'t str {
        self.text.get(from..).unwrap_or_default()
    }

    fn between(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }
}

fn leading_word(text: &str) -> &str {
    let text = text.trim_start_matches(SPACE);
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}
