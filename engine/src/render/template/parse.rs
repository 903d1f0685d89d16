//! Builds the tree of a template from its text and tags.
//!
//! Both languages print; only one of them may hold the conditions and loops of a template. What a tag that prints
//! is written in shows in the tag itself.

use super::ast::{Arm, Counter, Each, Node, NodeKind, Position};
use super::cursor::Cursor;
use super::limits;
use super::owner::{self, Owner};
use super::scan::{Segment, Tag};
use super::scope::{Binding, Scope};
use super::{go, lex, own};
use crate::render::Flaw;

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
                NodeKind::Placed { text: argo_text(), place, elsewhere: self.scope.name(at, tag.inner.trim()) }
            }
            Owner::Name => NodeKind::Print(self.scope.name(at, tag.inner.trim())),
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
        let mut cursor = Cursor::new(tokens, tag.inner_at.after(tag.inner));
        let word = match cursor.peek().map(|token| &token.kind) {
            Some(lex::TokenKind::Word(word)) if owner::GO_WORDS.contains(word) => Some(*word),
            _ => None,
        };
        if let Some(word) = word {
            cursor.take();
            return self.go_block(at, word, cursor, nodes);
        }
        let kind = if !is_go {
            NodeKind::Print(own::expression(&mut cursor, self.scope)?)
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

    fn go_set(&mut self, name: &GoName, cursor: &mut Cursor<'t>) -> Result<NodeKind, Flaw> {
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

    fn go_block(
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

    fn percent(&mut self, tag: Tag<'t>, nodes: &mut Vec<Node>) -> Result<Option<Ending<'t>>, Flaw> {
        let at = tag.at;
        let tokens = lex::tokens(tag.inner, tag.inner_at)?;
        let mut cursor = Cursor::new(tokens, tag.inner_at.after(tag.inner));
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
                let value = own::expression(&mut cursor, self.scope)?;
                cursor.finish("the end of the tag, '%}'")?;
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

    /// `{% if %}` with all that belongs to it, behind that word. What is set inside stays set behind it.
    fn own_condition(&mut self, at: Position, mut cursor: Cursor<'t>) -> Result<NodeKind, Flaw> {
        let mut arms = Vec::new();
        loop {
            let condition = own::expression(&mut cursor, self.scope)?;
            cursor.finish("the end of the tag, '%}'")?;
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
        let over = own::either(&mut cursor, self.scope)?;
        if cursor.peek().is_some_and(|token| token.is_word("if")) {
            return Err(cursor.unexpected("the end of the tag, '%}'").hint("put an {% if %} inside the loop"));
        }
        cursor.finish("the end of the tag, '%}'")?;
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

/// `$x :=` or `$x =`.
struct GoName {
    at: Position,
    name: String,
    declares: bool,
}

/// Reads `$x :=` or `$x =` when the tag begins with it, and nothing otherwise.
fn go_assignment(cursor: &mut Cursor<'_>) -> Result<Option<GoName>, Flaw> {
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
