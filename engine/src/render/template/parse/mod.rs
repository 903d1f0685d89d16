//! Builds the tree of a template from its text and tags.
//!
//! Both languages print; only one of them may hold the conditions and loops of a template. What a tag that prints
//! is written in shows in the tag itself.

mod go_blocks;
mod own_blocks;

use super::ast::{Node, NodeKind, Position};
use super::cursor::Cursor;
use super::limits;
use super::owner::{self, Owner};
use super::scan::{Segment, Tag};
use super::scope::Scope;
use super::{go, lex};
use crate::render::Flaw;
use go_blocks::go_assignment;

/// Builds the tree of a whole template.
pub(super) fn parse(segments: Vec<Segment<'_>>, scope: &mut Scope) -> Result<Vec<Node>, Flaw> {
    let mut tree = Tree { segments: segments.into_iter(), scope, language: None, depth: 0, loops: 0 };
    let (nodes, end) = tree.block()?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(end
            .at
            .flaw(format!("found {} that belongs to nothing", end.shown()))
            .hint(format!("remove it, or open a block before it with {}", end.openers()))),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Go,
    Own,
}

/// A tag that ends a block, its first word read.
struct Ending<'t> {
    at: Position,
    language: Language,
    word: &'t str,
    rest: Cursor<'t>,
}

struct Tree<'t, 's> {
    segments: std::vec::IntoIter<Segment<'t>>,
    scope: &'s mut Scope,
    /// The language of the conditions and loops, and where it showed first.
    language: Option<(Language, Position)>,
    depth: usize,
    /// How many of Go's loops are open.
    loops: usize,
}

type Block<'t> = (Vec<Node>, Option<Ending<'t>>);

impl<'t> Tree<'t, '_> {
    /// Everything up to a tag that ends a block, or the end of the text.
    fn block(&mut self) -> Result<Block<'t>, Flaw> {
        let mut nodes = Vec::new();
        while let Some(segment) = self.segments.next() {
            match segment {
                Segment::Text { text, at } => nodes.push(Node { at, kind: NodeKind::Text(text.to_owned()) }),
                Segment::Braces(tag) => {
                    if let Some(ending) = self.braces(tag, &mut nodes)? {
                        return Ok((nodes, Some(ending)));
                    }
                }
                Segment::Percent(tag) => {
                    if let Some(ending) = self.percent(tag, &mut nodes)? {
                        return Ok((nodes, Some(ending)));
                    }
                }
            }
        }
        Ok((nodes, None))
    }

    fn braces(&mut self, tag: Tag<'t>, nodes: &mut Vec<Node>) -> Result<Option<Ending<'t>>, Flaw> {
        let at = tag.at;
        let argo_text = || {
            if tag.trims { format!("{{{{{}}}}}", tag.inner.trim()) } else { tag.whole.to_owned() }
        };
        let kind = match owner::owner(tag.inner) {
            Owner::Argo => NodeKind::Text(argo_text()),
            Owner::Placed(place) => {
                NodeKind::Placed { text: argo_text(), place, elsewhere: self.scope.name(at, tag.inner.trim(), true) }
            }
            Owner::Name => NodeKind::Print(self.scope.name(at, tag.inner.trim(), true)),
            Owner::Ours => return self.ours(tag, nodes),
        };
        nodes.push(Node { at, kind });
        Ok(None)
    }

    fn ours(&mut self, tag: Tag<'t>, nodes: &mut Vec<Node>) -> Result<Option<Ending<'t>>, Flaw> {
        let at = tag.at;
        let tokens = lex::tokens(tag.inner, tag.inner_at)?;
        if tokens.is_empty() {
            return Err(at.flaw("this tag is empty").hint("write {{.x}} to print the parameter x"));
        }
        let is_go = owner::is_go(&tokens);
        let mut cursor = Cursor::new(tag.inner, tokens, tag.inner_at.after(tag.inner));
        let word = match cursor.peek().map(|token| &token.kind) {
            Some(lex::TokenKind::Word(word)) if owner::GO_WORDS.contains(word) => Some(*word),
            _ => None,
        };
        if let Some(word) = word {
            cursor.take();
            return self.go_block(at, word, cursor, nodes);
        }
        let kind = if !is_go {
            NodeKind::Print(self.own_expression(&mut cursor)?)
        } else if let Some(name) = go_assignment(&mut cursor)? {
            self.speak(Language::Go, at, "{{$x := ...}}")?;
            self.go_set(&name, &mut cursor)?
        } else {
            NodeKind::Print(go::pipeline(&mut cursor, self.scope)?)
        };
        cursor.finish("the end of the tag, '}}'")?;
        nodes.push(Node { at, kind });
        Ok(None)
    }

    /// A block with variables of its own.
    fn inner_block(&mut self) -> Result<Block<'t>, Flaw> {
        self.scope.enter();
        let block = self.block()?;
        self.scope.leave();
        Ok(block)
    }

    fn deeper(&mut self, at: Position) -> Result<(), Flaw> {
        self.depth += 1;
        if self.depth <= limits::NESTING {
            return Ok(());
        }
        Err(at.flaw(format!("conditions and loops are nested more than {} deep", limits::NESTING)))
    }

    /// Notes the language of a condition, a loop or a variable; they must all be of one.
    fn speak(&mut self, language: Language, at: Position, found: &str) -> Result<(), Flaw> {
        match self.language {
            Some((spoken, first)) if spoken != language => {
                let spoken = match spoken {
                    Language::Go => "Go's {{if}}, {{range}} and {{$x := ...}}",
                    Language::Own => "{% if %}, {% for %} and {% set %}",
                };
                Err(at
                    .flaw(format!(
                        "found {found}, but this template speaks {spoken} since line {}, column {}",
                        first.line, first.column
                    ))
                    .hint("write all conditions, loops and variables of a template in one language"))
            }
            Some(_) => Ok(()),
            None => {
                self.language = Some((language, at));
                Ok(())
            }
        }
    }

    /// The tag that ends a block which was opened at `at` with `word`.
    fn closes(
        &self,
        ending: Option<Ending<'t>>,
        at: Position,
        language: Language,
        word: &str,
    ) -> Result<Ending<'t>, Flaw> {
        let (opener, endings): (String, &[&str]) = match (language, word) {
            (Language::Go, _) => (format!("{{{{{word}}}}}"), &["end", "else"]),
            (Language::Own, "if") => ("{% if %}".to_owned(), &["endif", "else", "elif"]),
            (Language::Own, _) => ("{% for %}".to_owned(), &["endfor", "else"]),
        };
        let end = endings.first().copied().unwrap_or_default();
        let end = match language {
            Language::Go => format!("{{{{{end}}}}}"),
            Language::Own => format!("{{% {end} %}}"),
        };
        match ending {
            None => Err(at.flaw(format!("{opener} is never closed")).hint(format!("end it with {end}"))),
            Some(ending) if !endings.contains(&ending.word) => Err(ending.at.flaw(format!(
                "found {}, but expected {end} for the {opener} of line {}, column {}",
                ending.shown(),
                at.line,
                at.column
            ))),
            Some(ending) => Ok(ending),
        }
    }

    /// Makes sure that the last block of a condition or loop ends as it must.
    fn ends(
        &self,
        ending: Option<Ending<'t>>,
        at: Position,
        language: Language,
        word: &str,
        end: &str,
    ) -> Result<(), Flaw> {
        let ending = self.closes(ending, at, language, word)?;
        if ending.word != end {
            return Err(ending
                .at
                .flaw(format!("found {} behind an else", ending.shown()))
                .hint("one else is the last part of a condition or loop"));
        }
        ending.rest.finish("the end of the tag")
    }
}

impl Ending<'_> {
    fn shown(&self) -> String {
        match self.language {
            Language::Go => format!("{{{{{}}}}}", self.word),
            Language::Own => format!("{{% {} %}}", self.word),
        }
    }

    fn openers(&self) -> &'static str {
        match self.language {
            Language::Go => "{{if}}, {{range}} or {{with}}",
            Language::Own => "{% if %} or {% for %}",
        }
    }
}
