//! Cuts the inside of a tag into tokens; both languages share them.

use super::apply::quoted;
use super::ast::Position;
use crate::render::Flaw;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'t> {
    pub(super) at: Position,
    /// Its byte offset in the tag's inside.
    pub(super) offset: usize,
    /// Whether space, or the beginning of the tag, stands before it.
    pub(super) spaced: bool,
    pub(super) kind: TokenKind<'t>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind<'t> {
    Word(&'t str),
    Int(i64),
    Float(f64),
    /// A quoted text, its escapes resolved, and the quote it stood in.
    Text(String, char),
    Sign(&'static str),
}

/// Longer signs first, so that `==` is not read as two of `=`.
const SIGNS: &[&str] = &[
    ":=", "==", "!=", "<=", ">=", "//", "**", "(", ")", "[", "]", "{", "}", ",", ".", "|", "$", "=", "<", ">", "+",
    "-", "*", "/", "%", "~", ":", "@",
];

/// The longest name; messages repeat names, and stand in the status of objects.
const NAME_BYTES: usize = 256;

/// The tokens of a tag's inside.
pub(super) fn tokens(inner: &str, at: Position) -> Result<Vec<Token<'_>>, Flaw> {
    let mut tokens = Vec::new();
    let mut at = at;
    let mut rest = inner;
    let mut spaced = true;
    loop {
        let trimmed = rest.trim_start();
        if trimmed.len() < rest.len() {
            spaced = true;
            at = at.after(passed(rest, trimmed));
            rest = trimmed;
        }
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let (kind, after) = if first == '"' || first == '\'' || first == '`' {
            quoted_text(rest, first, at)?
        } else if first.is_ascii_digit() {
            number(rest, at)?
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            if word.len() > NAME_BYTES {
                return Err(
                    at.flaw(format!("this name is {} bytes long, but at most {NAME_BYTES} are read", word.len()))
                );
            }
            (TokenKind::Word(word), after)
        } else if let Some((sign, after)) = SIGNS.iter().find_map(|sign| Some((*sign, rest.strip_prefix(sign)?))) {
            (TokenKind::Sign(sign), after)
        } else {
            return Err(at.flaw(format!("found the character {first:?}, which no tag can hold outside of quotes")));
        };
        tokens.push(Token { at, offset: inner.len() - rest.len(), spaced, kind });
        at = at.after(passed(rest, after));
        rest = after;
        spaced = false;
    }
}

impl Token<'_> {
    pub(super) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.kind, TokenKind::Sign(found) if found == sign)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.kind, TokenKind::Word(found) if found == word)
    }

    /// The token as a message names it.
    pub(super) fn shown(&self) -> String {
        match &self.kind {
            TokenKind::Word(word) => (*word).to_owned(),
            TokenKind::Int(number) => number.to_string(),
            TokenKind::Float(number) => number.to_string(),
            TokenKind::Text(text, _) => quoted(text),
            TokenKind::Sign(sign) => format!("'{sign}'"),
        }
    }
}

/// What of `rest` was read when `after` is left.
fn passed<'t>(rest: &'t str, after: &str) -> &'t str {
    rest.get(..rest.len() - after.len()).unwrap_or_default()
}

fn number(rest: &str, at: Position) -> Result<(TokenKind<'static>, &str), Flaw> {
    let mut end = 0;
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let joins = c.is_ascii_alphanumeric()
            || c == '_'
            || (c == '.' && chars.peek().is_some_and(|(_, next)| next.is_ascii_digit()));
        if !joins {
            break;
        }
        end = at + c.len_utf8();
    }
    let (digits, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if let Ok(number) = digits.parse::<i64>() {
        return Ok((TokenKind::Int(number), after));
    }
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    match digits.parse::<f64>() {
        Ok(number) if plain && digits.contains('.') && number.is_finite() => Ok((TokenKind::Float(number), after)),
        _ => Err(at
            .flaw(format!("{} is not a number that a template can hold", quoted(digits)))
            .hint("write an integer of at most 64 bits, or a decimal number such as 0.5")),
    }
}

fn quoted_text(rest: &str, quote: char, at: Position) -> Result<(TokenKind<'static>, &str), Flaw> {
    let unclosed = || at.flaw(format!("a {quote} in this tag is never closed"));
    let body = rest.strip_prefix(quote).unwrap_or_default();
    if quote == '`' {
        let (text, after) = body.split_once('`').ok_or_else(unclosed)?;
        // Go drops carriage returns here, so that a text is the same whatever ends its lines.
        return Ok((TokenKind::Text(text.replace('\r', ""), quote), after));
    }
    let mut text = String::new();
    let mut chars = body.chars();
    loop {
        match chars.next().ok_or_else(unclosed)? {
            c if c == quote => return Ok((TokenKind::Text(text, quote), chars.as_str())),
            '\\' => {
                let escape = chars.next().ok_or_else(unclosed)?;
                let resolved = match escape {
                    'n' => Some('\n'),
                    't' => Some('\t'),
                    'r' => Some('\r'),
                    '\\' | '"' | '\'' | '`' | '/' => Some(escape),
                    'x' => code_point(&mut chars, 2),
                    'u' => code_point(&mut chars, 4),
                    'U' => code_point(&mut chars, 8),
                    _ => None,
                };
                text.push(resolved.ok_or_else(|| {
                    at.flaw(format!("the escape \\{escape} in this text is unknown"))
                        .hint("write \\\\ for a backslash, or put the text between backquotes")
                })?);
            }
            c => text.push(c),
        }
    }
}

fn code_point(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let text = chars.as_str().get(..digits)?;
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    chars.nth(digits - 1)?;
    char::from_u32(u32::from_str_radix(text, 16).ok()?)
}
