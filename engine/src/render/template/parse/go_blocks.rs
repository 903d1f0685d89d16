//! Go's conditions, loops and variables.

use super::super::ast::{Arm, Each, Node, NodeKind, Position};
use super::super::cursor::Cursor;
use super::super::go;
use super::super::scope::Binding;
use super::{Ending, Language, Tree};
use crate::render::Flaw;

impl<'t> Tree<'t, '_> {
    pub(super) fn go_set(&mut self, name: &GoName, cursor: &mut Cursor<'t>) -> Result<NodeKind, Flaw> {
        let value = go::pipeline(cursor, self.scope)?;
        let slot = if name.declares {
            self.scope.declare(&name.name)
        } else {
            match self.scope.bindings(&name.name).next() {
                Some(Binding::Variable(slot)) => slot,
                _ => {
                    return Err(name
                        .at
                        .flaw(format!("the variable {} is not known here", name.name))
                        .hint("set it for the first time with :="));
                }
            }
        };
        Ok(NodeKind::Set { slot, value })
    }

    pub(super) fn go_block(
        &mut self,
        at: Position,
        word: &'t str,
        cursor: Cursor<'t>,
        nodes: &mut Vec<Node>,
    ) -> Result<Option<Ending<'t>>, Flaw> {
        self.speak(Language::Go, at, &format!("{{{{{word}}}}}"))?;
        let kind = match word {
            "else" | "end" => {
                return Ok(Some(Ending { at, language: Language::Go, word, rest: cursor }));
            }
            "if" | "with" => {
                self.deeper(at)?;
                self.scope.enter();
                let kind = self.go_condition(at, word, cursor)?;
                self.scope.leave();
                self.depth -= 1;
                kind
            }
            "range" => {
                self.deeper(at)?;
                self.scope.enter();
                let kind = self.go_range(at, cursor)?;
                self.scope.leave();
                self.depth -= 1;
                kind
            }
            "break" | "continue" if self.loops == 0 => {
                return Err(at.flaw(format!("found {{{{{word}}}}} outside of a {{{{range}}}}")));
            }
            "break" | "continue" => {
                cursor.finish("the end of the tag, '}}'")?;
                if word == "break" { NodeKind::Break } else { NodeKind::Continue }
            }
            _ => {
                return Err(at
                    .flaw(format!("{{{{{word}}}}} is not supported"))
                    .hint("a template is one text: write what it stands for in its place"));
            }
        };
        nodes.push(Node { at, kind });
        Ok(None)
    }

    /// `{{if}}` or `{{with}}` with all that belongs to it, behind its first word.
    fn go_condition(&mut self, at: Position, word: &str, mut cursor: Cursor<'t>) -> Result<NodeKind, Flaw> {
        let mut arms = Vec::new();
        loop {
            let name = go_assignment(&mut cursor)?;
            if let Some(name) = name.as_ref().filter(|name| !name.declares) {
                return Err(name
                    .at
                    .flaw("found '=' in a condition")
                    .hint("write eq to compare, or := to set a variable for this block"));
            }
            let condition = go::pipeline(&mut cursor, self.scope)?;
            cursor.finish("the end of the tag, '}}'")?;
            let mut bind: Vec<usize> = name.iter().map(|name| self.scope.declare(&name.name)).collect();
            let with_dot = (word == "with").then(|| self.scope.slot());
            if let Some(dot) = with_dot {
                bind.push(dot);
                self.scope.push_dot(dot);
            }
            let (body, ending) = self.inner_block()?;
            if with_dot.is_some() {
                self.scope.pop_dot();
            }
            arms.push(Arm { bind, condition, body });
            let ending = self.closes(ending, at, Language::Go, word)?;
            if ending.word == "end" {
                return Ok(NodeKind::If { arms, otherwise: Vec::new() });
            }
            cursor = ending.rest;
            if cursor.take_word(word) {
                continue;
            }
            cursor.finish(&format!("{word} or the end of the tag, '}}}}'"))?;
            let (otherwise, ending) = self.inner_block()?;
            self.ends(ending, at, Language::Go, word, "end")?;
            return Ok(NodeKind::If { arms, otherwise });
        }
    }

    /// `{{range}}` with all that belongs to it, behind that word.
    fn go_range(&mut self, at: Position, mut cursor: Cursor<'t>) -> Result<NodeKind, Flaw> {
        let names = go_range_names(&mut cursor)?;
        let over = go::pipeline(&mut cursor, self.scope)?;
        cursor.finish("the end of the tag, '}}'")?;
        let mut slots: Vec<usize> = names.iter().map(|name| self.scope.declare(name)).collect();
        let key = (slots.len() == 2).then(|| slots.remove(0));
        let dot = self.scope.slot();
        slots.push(dot);
        self.scope.push_dot(dot);
        self.loops += 1;
        let (body, ending) = self.inner_block()?;
        self.loops -= 1;
        self.scope.pop_dot();
        let ending = self.closes(ending, at, Language::Go, "range")?;
        let mut otherwise = Vec::new();
        if ending.word == "else" {
            ending.rest.finish("the end of the tag, '}}'")?;
            let (nodes, ending) = self.inner_block()?;
            self.ends(ending, at, Language::Go, "range", "end")?;
            otherwise = nodes;
        }
        Ok(NodeKind::Each(Box::new(Each {
            over,
            key,
            element: slots,
            counter: None,
            locals: Vec::new(),
            body,
            otherwise,
        })))
    }
}

/// `$x :=` or `$x =`.
pub(super) struct GoName {
    at: Position,
    name: String,
    declares: bool,
}

/// Reads `$x :=` or `$x =` when the tag begins with it, and nothing otherwise.
pub(super) fn go_assignment(cursor: &mut Cursor<'_>) -> Result<Option<GoName>, Flaw> {
    let at = cursor.at();
    let Some(name) = cursor.take_assigned() else {
        return Ok(None);
    };
    let declares = cursor.take_sign(":=");
    if !declares {
        cursor.expect_sign("=")?;
    }
    Ok(Some(GoName { at, name, declares }))
}

/// The variables of `{{range $x := }}` or `{{range $i, $x := }}`; none when there are none.
fn go_range_names(cursor: &mut Cursor<'_>) -> Result<Vec<String>, Flaw> {
    let mut names = Vec::new();
    while let Some(name) = cursor.take_assigned() {
        names.push(name);
        if names.len() == 2 || !cursor.take_sign(",") {
            break;
        }
    }
    if !names.is_empty() {
        cursor.expect_sign(":=")?;
    }
    Ok(names)
}
