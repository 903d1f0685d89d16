//! Walks over the tokens of one tag and counts what is built from them.

use std::collections::VecDeque;

use super::ast::Position;
use super::lex::{Token, TokenKind};
use super::limits;
use crate::render::Flaw;

pub(super) struct Cursor<'t> {
    /// The tag's inside.
    inner: &'t str,
    tokens: VecDeque<Token<'t>>,
    /// Where the tag's inside ends.
    end: Position,
    operations: usize,
    depth: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(inner: &'t str, tokens: Vec<Token<'t>>, end: Position) -> Self {
        Self { inner, tokens: tokens.into(), end, operations: 0, depth: 0 }
    }

    pub(super) fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.front()
    }

    pub(super) fn take(&mut self) -> Option<Token<'t>> {
        self.tokens.pop_front()
    }

    /// All that is left of the tag: its text, and its tokens.
    pub(super) fn take_rest(&mut self) -> (&'t str, Vec<Token<'t>>) {
        let start = self.peek().map_or(self.inner.len(), |token| token.offset);
        (self.inner.get(start..).unwrap_or_default(), self.tokens.drain(..).collect())
    }

    /// The next token when it is as asked.
    fn take_if(&mut self, wanted: impl FnOnce(&Token<'t>) -> bool) -> Option<Token<'t>> {
        self.tokens.front().filter(|token| wanted(token))?;
        self.tokens.pop_front()
    }

    /// Where the next token stands, or where the tag ends.
    pub(super) fn at(&self) -> Position {
        self.peek().map_or(self.end, |token| token.at)
    }

    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        self.take_if(|token| token.is_sign(sign)).is_some()
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        self.take_if(|token| token.is_word(word)).is_some()
    }

    /// The next token when it is a word; `joined` asks that no space stands before it.
    pub(super) fn take_any_word(&mut self, joined: bool) -> Option<(&'t str, Position)> {
        let token = self.take_if(|token| matches!(token.kind, TokenKind::Word(_)) && !(joined && token.spaced))?;
        match token.kind {
            TokenKind::Word(word) => Some((word, token.at)),
            _ => None,
        }
    }

    /// Where the first of the tokens that are left stands that is this word.
    pub(super) fn find_word(&self, word: &str) -> Option<Position> {
        self.tokens.iter().find(|token| token.is_word(word)).map(|token| token.at)
    }

    /// Whether the next token is this sign, with no space before it.
    pub(super) fn joined_sign(&self, sign: &str) -> bool {
        self.peek().is_some_and(|token| token.is_sign(sign) && !token.spaced)
    }

    /// The variable `$x`, with its `$`, when the tokens go on as if it were to be set.
    pub(super) fn take_assigned(&mut self) -> Option<String> {
        let [dollar, name, after] = [0, 1, 2].map(|ahead| self.tokens.get(ahead));
        let (dollar, name, after) = (dollar?, name?, after?);
        let sets = after.is_sign(":=") || after.is_sign("=") || after.is_sign(",");
        match name.kind {
            TokenKind::Word(word) if dollar.is_sign("$") && !name.spaced && sets => {
                self.tokens.drain(..2);
                Some(format!("${word}"))
            }
            _ => None,
        }
    }

    pub(super) fn expect_sign(&mut self, sign: &str) -> Result<(), Flaw> {
        if self.take_sign(sign) {
            return Ok(());
        }
        Err(self.unexpected(&format!("'{sign}'")))
    }

    /// Makes sure that nothing is left.
    pub(super) fn finish(&self, wanted: &str) -> Result<(), Flaw> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected(wanted)),
        }
    }

    /// The flaw of finding the next token where something else is expected.
    pub(super) fn unexpected(&self, wanted: &str) -> Flaw {
        let at = self.at();
        let found = self.peek().map_or_else(|| "the end of the tag".to_owned(), Token::shown);
        at.flaw(format!("found {found}, but expected {wanted}"))
    }

    /// Counts one operation; that they are few is what bounds the depth of an expression.
    pub(super) fn operation(&mut self) -> Result<(), Flaw> {
        self.operations += 1;
        if self.operations <= limits::TAG_OPERATIONS {
            return Ok(());
        }
        let at = self.at();
        Err(at
            .flaw(format!("this tag holds more than {} operations", limits::TAG_OPERATIONS))
            .hint("keep a part of it in a variable"))
    }

    /// Reads a part that lies one level deeper than what is around it.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Flaw>) -> Result<T, Flaw> {
        if self.depth == limits::TAG_NESTING {
            let problem = format!("this tag is nested more than {} deep", limits::TAG_NESTING);
            return Err(self.at().flaw(problem).hint("keep a part of it in a variable"));
        }
        self.depth += 1;
        let part = read(self);
        self.depth -= 1;
        part
    }
}
