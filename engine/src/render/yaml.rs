//! The evaluated text as a tree of YAML nodes that remember how and where they were written.
//!
//! Words stand where values will. A word that is not inside the text of a scalar or of a comment (it stands in a
//! tag, an anchor, a directive, the header of a block scalar, or an escape swallowed a part of it) would decide
//! structure and is refused, and so is one in a key.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::word::{Piece, Print, Words};
use super::{Evaluated, Flaw};

/// The deepest nesting of collections, aliases written out.
const MAX_DEPTH: usize = 64;
/// The most nodes, aliases written out. A workflow of a thousand steps has about fifty thousand.
const MAX_NODES: usize = 200_000;
/// The most bytes of scalar text, aliases written out. An API server takes about 1.5 MB.
const MAX_TEXT: usize = 4 << 20;

/// One node and where it begins in the evaluated text (both count from 1).
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) shape: Shape,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

/// Text, its words not yet filled.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Whether it was written without quotes and not as a block, so that its text decides its type.
    pub(super) plain: bool,
    /// The type that a tag such as `!!str` gives it.
    pub(super) tag: Option<CoreTag>,
}

/// A key of a mapping; it holds no word.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) column: usize,
    merge: bool,
}

/// The scalar types of YAML's core schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CoreTag {
    Str,
    Int,
    Float,
    Bool,
    Null,
}

impl Node {
    /// The value of a key when this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.shape {
            Shape::Mapping(entries) => entries.iter().find(|(name, _)| name.text == key).map(|(_, value)| value),
            Shape::Scalar(_) | Shape::Sequence(_) => None,
        }
    }

    /// The text when this is a scalar.
    pub(super) fn scalar(&self) -> Option<&Scalar> {
        match &self.shape {
            Shape::Scalar(scalar) => Some(scalar),
            Shape::Sequence(_) | Shape::Mapping(_) => None,
        }
    }

    /// What it is, in the words of a message.
    pub(super) fn noun(&self) -> &'static str {
        match &self.shape {
            Shape::Scalar(_) => "a single value",
            Shape::Sequence(_) => "a list",
            Shape::Mapping(_) => "a mapping",
        }
    }

    fn depth(&self) -> usize {
        match &self.shape {
            Shape::Scalar(_) => 1,
            Shape::Sequence(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Shape::Mapping(entries) => 1 + entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
        }
    }

    fn cost(&self) -> Cost {
        match &self.shape {
            Shape::Scalar(scalar) => Cost { nodes: 1, text: scalar.text.len() },
            Shape::Sequence(items) => items.iter().fold(Cost { nodes: 1, text: 0 }, |sum, item| sum.plus(item.cost())),
            Shape::Mapping(entries) => entries.iter().fold(Cost { nodes: 1, text: 0 }, |sum, (key, value)| {
                sum.plus(Cost { nodes: 1, text: key.text.len() }).plus(value.cost())
            }),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    nodes: usize,
    text: usize,
}

impl Cost {
    fn plus(self, other: Cost) -> Cost {
        Cost { nodes: self.nodes + other.nodes, text: self.text + other.text }
    }
}

/// Parses the one document of an evaluated text.
///
/// # Errors
/// Syntax errors; no document or several; a key twice in one mapping; a key that is not a scalar; tags outside
/// YAML's core schema; directives; aliases that grow beyond the limits; a word that decides structure.
pub(super) fn parse(evaluated: &Evaluated) -> Result<Node, Flaw> {
    // Comments matter only where a word stands in one, and cost the parser a quarter of its time.
    match read(evaluated, false) {
        Err(_) if evaluated.text.contains('#') => read(evaluated, true),
        read => read,
    }
}

fn read(evaluated: &Evaluated, comments: bool) -> Result<Node, Flaw> {
    let options = granit_parser::options! {
        disallow_directives: true,
        block_scalar_eof_without_line_feed: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        max_buffered_comment_events: evaluated.text.len(),
        emit_anchor_events: false,
        emit_comments: comments,
    };
    let mut builder = Builder {
        evaluated,
        stack: Vec::new(),
        anchors: HashMap::new(),
        document: None,
        documents: 0,
        seen: HashMap::new(),
        cost: Cost { nodes: 0, text: 0 },
    };
    for next in Parser::new_from_str_with_options(&evaluated.text, options) {
        let (event, span) = next.map_err(|error| {
            let marker = error.marker();
            located(evaluated, marker.line(), marker.col() + 1, format!("this is not YAML: {}", error.info()))
                .hint("check indentation and quotes around it")
        })?;
        builder.take(event, span)?;
    }
    builder.finish()
}

/// A flaw at a line and column of the evaluated text, told in those of the template.
pub(super) fn located(evaluated: &Evaluated, line: usize, column: usize, problem: impl Into<String>) -> Flaw {
    let flaw = Flaw::new(problem);
    match evaluated.origin(line, column) {
        Some((line, column)) => flaw.at(line, column),
        None => flaw,
    }
}

enum Open {
    Sequence { node: Node, anchor: usize },
    Mapping { node: Node, anchor: usize, key: Option<Key>, names: HashSet<String> },
}

struct Builder<'a> {
    evaluated: &'a Evaluated,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    document: Option<Node>,
    documents: usize,
    /// How often each word was met in the text of a scalar or a comment, by its number.
    seen: HashMap<usize, usize>,
    cost: Cost,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Flaw> {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self
                        .flaw(line, column, "a second YAML document begins here")
                        .hint("a template renders one object"));
                }
                Ok(())
            }
            Event::Comment(text, _) => {
                self.see(&text);
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.see(&text);
                let plain = style == ScalarStyle::Plain;
                let tag = match tag.as_deref() {
                    None => None,
                    Some(tag) => Some(self.scalar_tag(tag, line, column)?),
                };
                let node = Node { line, column, shape: Shape::Scalar(Scalar { text: text.into_owned(), plain, tag }) };
                self.add(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", line, column)?;
                let node = Node { line, column, shape: Shape::Sequence(Vec::new()) };
                self.stack.push(Open::Sequence { node, anchor });
                self.check_depth(line, column)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", line, column)?;
                let node = Node { line, column, shape: Shape::Mapping(Vec::new()) };
                self.stack.push(Open::Mapping { node, anchor, key: None, names: HashSet::new() });
                self.check_depth(line, column)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open::Sequence { node, anchor }) => self.add(node, anchor),
                Some(Open::Mapping { node, anchor, .. }) => {
                    let node = self.merged(node)?;
                    self.add(node, anchor)
                }
                None => Ok(()),
            },
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id) else {
                    return Err(self.flaw(line, column, "this alias stands inside its own anchor"));
                };
                // Copied only when it fits, since aliases of aliases grow exponentially.
                let cost = self.cost.plus(target.cost());
                if cost.nodes > MAX_NODES || cost.text > MAX_TEXT {
                    return Err(self
                        .flaw(line, column, "this document is too large with its aliases written out")
                        .hint(format!("at most {MAX_NODES} nodes and {MAX_TEXT} bytes")));
                }
                let mut node = target.clone();
                (node.line, node.column) = (line, column);
                if self.stack.len() + node.depth() > MAX_DEPTH {
                    return Err(self.too_deep(line, column));
                }
                self.add(node, 0)
            }
            // Unknown anchors are errors of the parser itself, and anchor events are off.
            _ => Ok(()),
        }
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Flaw> {
        if let Shape::Scalar(scalar) = &node.shape {
            self.cost = self.cost.plus(Cost { nodes: 1, text: scalar.text.len() });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
            self.cost = self.cost.plus(node.cost());
        }
        if self.cost.nodes > MAX_NODES || self.cost.text > MAX_TEXT {
            return Err(self
                .flaw(node.line, node.column, "this document is too large with its aliases written out")
                .hint(format!("at most {MAX_NODES} nodes and {MAX_TEXT} bytes")));
        }
        match self.stack.last_mut() {
            None => {
                self.document = Some(node);
                Ok(())
            }
            Some(Open::Sequence { node: parent, .. }) => {
                if let Shape::Sequence(items) = &mut parent.shape {
                    items.push(node);
                }
                Ok(())
            }
            Some(Open::Mapping { node: parent, key, .. }) => match key.take() {
                Some(key) => {
                    if let Shape::Mapping(entries) = &mut parent.shape {
                        entries.push((key, node));
                    }
                    Ok(())
                }
                None => {
                    let new = self.key(node)?;
                    if let Some(Open::Mapping { key, names, .. }) = self.stack.last_mut() {
                        if !names.insert(new.text.clone()) {
                            return Err(located(
                                self.evaluated,
                                new.line,
                                new.column,
                                format!("the key `{}` stands twice in one mapping", new.text),
                            )
                            .hint("keep one of them"));
                        }
                        *key = Some(new);
                    }
                    Ok(())
                }
            },
        }
    }

    fn key(&self, node: Node) -> Result<Key, Flaw> {
        let (line, column) = (node.line, node.column);
        let Shape::Scalar(scalar) = node.shape else {
            return Err(self.flaw(line, column, format!("a key is text, not {}", node.noun())));
        };
        for piece in self.evaluated.words.split(&scalar.text) {
            let print = match piece {
                Piece::Own(_) => continue,
                Piece::Value(_, print) => print,
                Piece::Placed(_, tag) => tag.elsewhere.as_ref().map_err(Flaw::clone)?,
            };
            return Err(decides_structure(print, "in a key"));
        }
        if scalar.plain && matches!(scalar.text.as_str(), "" | "~" | "null") {
            return Err(self.flaw(line, column, "a key is text, not null"));
        }
        Ok(Key { merge: scalar.plain && scalar.text == "<<", text: scalar.text, line, column })
    }

    /// Writes out `<<` as kubectl's parser does: own keys win over merged ones, earlier merges over later ones.
    fn merged(&mut self, mut node: Node) -> Result<Node, Flaw> {
        let Shape::Mapping(entries) = &mut node.shape else {
            return Ok(node);
        };
        if !entries.iter().any(|(key, _)| key.merge) {
            return Ok(node);
        }
        let (merges, mut own): (Vec<_>, Vec<_>) = std::mem::take(entries).into_iter().partition(|(key, _)| key.merge);
        for (key, value) in merges {
            let sources = match value.shape {
                Shape::Mapping(_) => vec![value],
                Shape::Sequence(items) => items,
                Shape::Scalar(_) => Vec::new(),
            };
            if sources.is_empty() {
                return Err(self.flaw(key.line, key.column, "`<<` takes a mapping or a list of them"));
            }
            for source in sources {
                let Shape::Mapping(inherited) = source.shape else {
                    return Err(self.flaw(source.line, source.column, "`<<` takes a mapping or a list of them"));
                };
                for (key, value) in inherited {
                    if !own.iter().any(|(present, _)| present.text == key.text) {
                        own.push((key, value));
                    }
                }
            }
        }
        *entries = own;
        Ok(node)
    }

    fn scalar_tag(&self, tag: &granit_parser::Tag, line: usize, column: usize) -> Result<CoreTag, Flaw> {
        match tag.core_suffix() {
            Some("str") => Ok(CoreTag::Str),
            Some("int") => Ok(CoreTag::Int),
            Some("float") => Ok(CoreTag::Float),
            Some("bool") => Ok(CoreTag::Bool),
            Some("null") => Ok(CoreTag::Null),
            _ => Err(self.unknown_tag(tag, line, column)),
        }
    }

    fn collection_tag(
        &self,
        tag: Option<&granit_parser::Tag>,
        expected: &str,
        line: usize,
        column: usize,
    ) -> Result<(), Flaw> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(expected) => Err(self.unknown_tag(tag, line, column)),
            _ => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: &granit_parser::Tag, line: usize, column: usize) -> Flaw {
        let written = tag.to_string();
        for piece in self.evaluated.words.split(&written) {
            if let Piece::Value(_, print) = piece {
                return decides_structure(print, "in a YAML tag");
            }
        }
        self.flaw(line, column, format!("the YAML tag {written} has no meaning here"))
            .hint("leave it out; !!str, !!int, !!float, !!bool, !!null, !!seq and !!map are known")
    }

    fn check_depth(&self, line: usize, column: usize) -> Result<(), Flaw> {
        if self.stack.len() > MAX_DEPTH {
            return Err(self.too_deep(line, column));
        }
        Ok(())
    }

    fn too_deep(&self, line: usize, column: usize) -> Flaw {
        self.flaw(line, column, format!("collections nest deeper than {MAX_DEPTH} levels"))
    }

    fn see(&mut self, text: &str) {
        for piece in self.evaluated.words.split(text) {
            if let Some(word) = number(&piece) {
                *self.seen.entry(word).or_default() += 1;
            }
        }
    }

    fn finish(mut self) -> Result<Node, Flaw> {
        let words: &Words = &self.evaluated.words;
        for piece in words.split(&self.evaluated.text) {
            let Some(word) = number(&piece) else {
                continue;
            };
            let left = self.seen.entry(word).or_default();
            if *left > 0 {
                *left -= 1;
                continue;
            }
            return Err(match piece {
                Piece::Value(_, print) => decides_structure(print, "outside of any text"),
                Piece::Placed(_, tag) => match &tag.elsewhere {
                    Ok(print) => decides_structure(print, "outside of any text"),
                    Err(flaw) => flaw.clone(),
                },
                Piece::Own(_) => Flaw::new("a word was lost"),
            });
        }
        self.document.ok_or_else(|| Flaw::new("the template renders nothing").hint("it must render one object"))
    }

    fn flaw(&self, line: usize, column: usize, problem: impl Into<String>) -> Flaw {
        located(self.evaluated, line, column, problem)
    }
}

fn number(piece: &Piece<'_>) -> Option<usize> {
    match piece {
        Piece::Own(_) => None,
        Piece::Value(number, _) | Piece::Placed(number, _) => Some(*number),
    }
}

fn decides_structure(print: &Print, place: &str) -> Flaw {
    Flaw::new(format!("a value is printed {place}, where it would decide the structure of the object"))
        .at(print.line, print.column)
        .parameter(&print.parameter)
        .hint("print values only inside of a field's text")
}
