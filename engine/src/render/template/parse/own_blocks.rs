//! Conditions, loops and variables of our own style.

use super::super::ast::{Arm, Counter, Each, Expr, ExprKind, Node, NodeKind, Position};
use super::super::cursor::Cursor;
use super::super::scan::Tag;
use super::super::scope::Binding;
use super::super::{lex, own, owner};
use super::{Ending, Language, Tree};
use crate::render::Flaw;

impl<'t> Tree<'t, '_> {
    pub(super) fn percent(&mut self, tag: Tag<'t>, nodes: &mut Vec<Node>) -> Result<Option<Ending<'t>>, Flaw> {
        let at = tag.at;
        let tokens = lex::tokens(tag.inner, tag.inner_at)?;
        let mut cursor = Cursor::new(tag.inner, tokens, tag.inner_at.after(tag.inner));
        let word = cursor.take_any_word(false).map_or("", |(word, _)| word);
        self.speak(Language::Own, at, &format!("{{% {word} %}}"))?;
        let kind = match word {
            "elif" | "else" | "endif" | "endfor" => {
                return Ok(Some(Ending { at, language: Language::Own, word, rest: cursor }));
            }
            "if" => {
                self.deeper(at)?;
                let kind = self.own_condition(at, cursor)?;
                self.depth -= 1;
                kind
            }
            "for" => {
                self.deeper(at)?;
                let kind = self.own_for(at, cursor)?;
                self.depth -= 1;
                kind
            }
            "set" => {
                let name = own_name(&mut cursor)?;
                if !cursor.take_sign("=") {
                    return Err(cursor.unexpected("'='").hint("write {% set x = ... %}"));
                }
                let value = self.own_expression(&mut cursor)?;
                let slot = self.scope.declare(name);
                NodeKind::Set { slot, value }
            }
            _ => {
                return Err(at
                    .flaw(format!("{{% {word} %}} is not supported"))
                    .hint("the tags are if, elif, else, endif, for, endfor, set, raw and endraw"));
            }
        };
        nodes.push(Node { at, kind });
        Ok(None)
    }

    /// The expression that the rest of a tag is.
    pub(super) fn own_expression(&mut self, cursor: &mut Cursor<'t>) -> Result<Expr, Flaw> {
        let at = cursor.at();
        let own = own::expression(cursor, self.scope)?;
        Ok(Expr::new(at, ExprKind::Own(Box::new(own))))
    }

    /// `{% if %}` with all that belongs to it, behind that word. What is set inside stays set behind it.
    fn own_condition(&mut self, at: Position, mut cursor: Cursor<'t>) -> Result<NodeKind, Flaw> {
        let mut arms = Vec::new();
        loop {
            let condition = self.own_expression(&mut cursor)?;
            let (body, ending) = self.block()?;
            arms.push(Arm { bind: Vec::new(), condition, body });
            let ending = self.closes(ending, at, Language::Own, "if")?;
            match ending.word {
                "elif" => cursor = ending.rest,
                "else" => {
                    ending.rest.finish("the end of the tag, '%}'")?;
                    let (otherwise, ending) = self.block()?;
                    self.ends(ending, at, Language::Own, "if", "endif")?;
                    return Ok(NodeKind::If { arms, otherwise });
                }
                _ => {
                    ending.rest.finish("the end of the tag, '%}'")?;
                    return Ok(NodeKind::If { arms, otherwise: Vec::new() });
                }
            }
        }
    }

    /// `{% for %}` with all that belongs to it, behind that word.
    fn own_for(&mut self, at: Position, mut cursor: Cursor<'t>) -> Result<NodeKind, Flaw> {
        let name = own_name(&mut cursor)?;
        if !cursor.take_word("in") {
            return Err(cursor.unexpected("in").hint("write {% for x in list %}"));
        }
        if let Some(at) = cursor.find_word("if") {
            return Err(at
                .flaw("found if, but expected the end of the tag, '%}'")
                .hint("put an {% if %} inside the loop, or choose the list before it with {% set %}"));
        }
        let over = self.own_expression(&mut cursor)?;
        self.scope.enter();
        let element = self.scope.declare(name);
        let counter = Counter { index: self.scope.slot(), length: self.scope.slot() };
        self.scope.bind("loop", Binding::Loop(counter));
        let (body, ending) = self.block()?;
        let locals = self.scope.leave();
        let ending = self.closes(ending, at, Language::Own, "for")?;
        let otherwise = if ending.word == "else" {
            ending.rest.finish("the end of the tag, '%}'")?;
            let (otherwise, ending) = self.inner_block()?;
            self.ends(ending, at, Language::Own, "for", "endfor")?;
            otherwise
        } else {
            ending.rest.finish("the end of the tag, '%}'")?;
            Vec::new()
        };
        Ok(NodeKind::Each(Box::new(Each {
            over,
            key: None,
            element: vec![element],
            counter: Some(counter),
            locals,
            body,
            otherwise,
        })))
    }
}

/// The name of a variable of our own style.
fn own_name<'t>(cursor: &mut Cursor<'t>) -> Result<&'t str, Flaw> {
    let Some((name, at)) = cursor.take_any_word(false) else {
        return Err(cursor.unexpected("the name of a variable"));
    };
    if owner::ARGO_NAMES.contains(&name) {
        return Err(at
            .flaw(format!("a variable cannot be called {name}: {{{{{name}}}}} is Argo's"))
            .hint("choose another name"));
    }
    if own::WORDS.contains(&name) || owner::GO_WORDS.contains(&name) || name == "loop" {
        return Err(at
            .flaw(format!("a variable cannot be called {name}, which has a meaning of its own"))
            .hint("choose another name"));
    }
    Ok(name)
}
