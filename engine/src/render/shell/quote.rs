//! How a value is spelled in the place where it stands.

use std::borrow::Cow;

use super::{Bound, Context, HereDoc, Hole, Limit, Unit, is_digits, is_safe_word};

/// What becomes of the script before a shell reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::render) enum Spelling {
    /// It is an argument: the caller doubles `$` afterwards.
    Argument,
    /// It is the source of a script template. Argo hands it over in an environment variable of an init container,
    /// where kubelet may expand `$$` and `$(NAME)` as in any other, so a value is written without them.
    Source,
}

/// How values are written in one place of a script.
#[derive(Debug, Clone)]
pub(in crate::render) struct Quoting {
    context: Context,
    spelling: Spelling,
    /// Whether even a safe word is quoted.
    always: bool,
    /// Whether a dollar at a value's end would join with what the script has behind it.
    joins: bool,
}

impl Quoting {
    /// The quoting in a hole. `next` is what stands behind it.
    pub(in crate::render) fn of(hole: &Hole, spelling: Spelling, next: Option<Unit>) -> Self {
        let joins = matches!(next, Some(Unit::Char('$' | '(') | Unit::Hole(_) | Unit::Tag));
        Self { context: hole.context, spelling, always: hole.always_quote, joins }
    }

    /// Writes a value without NUL characters, so that the shell sees exactly that value.
    ///
    /// # Errors
    /// A sentence that says why no spelling of it can stand there.
    pub(in crate::render) fn write<'v>(&self, value: &'v str) -> Result<Cow<'v, str>, String> {
        if value.contains(['\u{1}', '\u{7f}']) && self.context != Context::Comment {
            return Err("it holds a control character (U+0001 or U+007F) that bash does not keep as it is".to_owned());
        }
        let split = self.spelling == Spelling::Source;
        let joins = split && self.joins && value.ends_with('$');
        let written = match self.context {
            Context::Bare if is_safe_word(value) && !self.always && !is_reserved(value) => return Ok(value.into()),
            Context::Bare => format!("'{}'", in_single(value, split)),
            Context::Single => in_single(value, split) + if joins { "''" } else { "" },
            Context::Double => in_double(value, split) + if joins { "\"\"" } else { "" },
            Context::AnsiC => in_ansi_c(value, split),
            Context::HereDoc => {
                if joins || (split && value.contains("$(")) {
                    return Err("it holds `$(`, which kubelet could expand before the script is written".to_owned());
                }
                escape(value, |c| matches!(c, '\\' | '$' | '`'))
            }
            Context::HereDocRaw => {
                if joins || (split && (value.contains("$(") || value.contains("$$"))) {
                    return Err(
                        "it holds `$(` or `$$`, which kubelet could expand before the script is written".to_owned()
                    );
                }
                return Ok(value.into());
            }
            Context::Comment => {
                if value.contains('\n') {
                    return Err("it holds a newline, which would end the comment".to_owned());
                }
                if split && value.contains('$') {
                    return Err("it holds a `$`, which kubelet could expand before the script is written".to_owned());
                }
                return Ok(value.into());
            }
            Context::Raw => return Ok(value.into()),
        };
        Ok(written.into())
    }
}

/// Checks a value against a bound.
pub(in crate::render) fn check(value: &str, bound: &Bound) -> Result<(), String> {
    let expected = match bound.limit {
        Limit::Any => return Ok(()),
        Limit::SafeWord if is_safe_word(value) => return Ok(()),
        Limit::Digits if is_digits(value) => return Ok(()),
        Limit::Never => return Err(format!("no value can stand here: {}", bound.why)),
        Limit::SafeWord => "only a safe word (a letter or digit, then letters, digits and ._:/@-) can stand here",
        Limit::Digits => "only a decimal number can stand here",
    };
    Err(format!("{}, but {expected}: {}", found(value), bound.why))
}

/// What keeps a value from being a safe word, in words.
pub(in crate::render) fn found(value: &str) -> String {
    let odd = value.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '@' | '-')));
    match (odd, value.chars().next()) {
        (_, None) => "it is empty".to_owned(),
        (Some(odd), _) => format!("it holds {odd:?}"),
        (None, Some(first)) if !first.is_ascii_alphanumeric() => format!("it begins with {first:?}"),
        (None, Some(_)) => "it is no number".to_owned(),
    }
}

/// Checks that no line of a here-document that a value is part of ends it, and that its tabs stay.
///
/// `body` is the text with the values written in; a value's characters are marked `true`.
pub(in crate::render) fn check_here_doc(doc: &HereDoc, body: &[(char, bool)]) -> Result<(), String> {
    for line in body.split(|(c, _)| *c == '\n') {
        let tabs = line.iter().take_while(|(c, _)| *c == '\t').count();
        let tabs = if doc.strip_tabs { tabs } else { 0 };
        let (stripped, rest) = line.split_at_checked(tabs).unwrap_or((&[], line));
        if stripped.iter().any(|(_, value)| *value) {
            return Err("it has a tab at the beginning of a line, which <<- removes".to_owned());
        }
        if rest.iter().map(|(c, _)| *c).eq(doc.delimiter.chars()) {
            return Err(format!("with it a line reads {:?}, which ends the here-document", doc.delimiter));
        }
        // bash ends one inside $( ) at a line that begins so and has a ) anywhere, and reads on behind the delimiter. A
        // backslash may join the line with one that has it, and a } closes the ${ } that newer versions substitute.
        let mut begins = rest.iter().map(|(c, _)| *c);
        if doc.delimiter.chars().all(|c| begins.next() == Some(c)) && begins.any(|c| matches!(c, ')' | '}' | '\\')) {
            return Err(format!("with it a line begins with {:?}, which can end the here-document", doc.delimiter));
        }
    }
    Ok(())
}

fn in_single(value: &str, split: bool) -> String {
    let mut written = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => written.push_str("'\\''"),
            '$' if split && matches!(chars.peek(), Some('$' | '(')) => written.push_str("$''"),
            _ => written.push(c),
        }
    }
    written
}

fn in_double(value: &str, split: bool) -> String {
    let mut written = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        if matches!(c, '\\' | '"' | '$' | '`') {
            written.push('\\');
        }
        written.push(c);
        if split && c == '$' && chars.peek() == Some(&'(') {
            written.push_str("\"\"");
        }
    }
    written
}

fn in_ansi_c(value: &str, split: bool) -> String {
    let mut written = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => written.push_str("\\\\"),
            '\'' => written.push_str("\\'"),
            '$' if split => written.push_str("\\044"),
            _ => written.push(c),
        }
    }
    written
}

fn escape(value: &str, special: fn(char) -> bool) -> String {
    let mut written = String::with_capacity(value.len());
    for c in value.chars() {
        if special(c) {
            written.push('\\');
        }
        written.push(c);
    }
    written
}

/// Words that some shell gives a meaning to even where a safe word stands bare.
fn is_reserved(value: &str) -> bool {
    matches!(
        value,
        "if" | "then"
            | "else"
            | "elif"
            | "fi"
            | "do"
            | "done"
            | "case"
            | "esac"
            | "while"
            | "until"
            | "for"
            | "in"
            | "select"
            | "function"
            | "time"
            | "coproc"
    )
}
