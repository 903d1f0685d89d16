//! Argo's own tags in the template's text, and the parts of a scalar between them.
//!
//! Argo replaces its tags in the rendered object by text, before a pod is made. What it pastes into code must not
//! carry a value of ours there, so every tag is told apart by what it may paste.

use super::word::{Piece, Place};

/// One part of a scalar.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// The template's own text.
    Own(String),
    /// A whole tag of Argo's, braces included.
    Tag(String, PasteKind),
    /// A value of ours, by the number of its word.
    Value(usize, Inside),
}

/// What a value stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Text,
    /// The name in one of Argo's tags, as `{{inputs.parameters.VALUE}}`.
    Tag,
    /// A string literal in one of Argo's expression tags, `{{=...}}`.
    Literal,
    /// Elsewhere in an expression tag.
    Expression,
}

/// The parts of one scalar.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) parts: Vec<Part>,
    /// What the scalar's tags paste.
    pub(super) pastes: Vec<Paste>,
}

/// One of Argo's tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paste {
    /// The tag, or its beginning when a value is a part of it.
    pub(super) tag: String,
    pub(super) kind: PasteKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PasteKind {
    /// A number or a name that Kubernetes has checked.
    Harmless,
    /// An item of a loop.
    Item,
    /// Text that may come from a parameter, a label, an output.
    Text,
}

impl Parts {
    /// Takes the pieces of a scalar that stands in an `http` template or in `metrics`, or in neither.
    pub(super) fn of(pieces: Vec<Piece<'_>>, here: Option<Place>) -> Self {
        let mut result = Parts::default();
        let mut open: Option<Open<'_>> = None;
        for piece in pieces {
            match piece {
                Piece::Own(own) => open = result.own(own, open),
                Piece::Placed(_, tag) if Some(tag.place) == here => result.tag(&tag.text, PasteKind::Text),
                Piece::Value(word, _) | Piece::Placed(word, _) => result.value(word, &mut open),
            }
        }
        result
    }

    /// The values in order, by the numbers of their words.
    pub(super) fn values(&self) -> impl Iterator<Item = (usize, Inside)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(word, inside) => Some((*word, *inside)),
            Part::Own(_) | Part::Tag(..) => None,
        })
    }

    fn own<'a>(&mut self, own: &'a str, open: Option<Open<'a>>) -> Option<Open<'a>> {
        let mut rest = own;
        if let Some(mut tag) = open {
            let Some(end) = rest.find("}}") else {
                tag.read(rest);
                self.push_own(rest);
                return Some(tag);
            };
            let (inside, after) = rest.split_at_checked(end + 2).unwrap_or((rest, ""));
            self.push_own(inside);
            rest = after;
        }
        while let Some(start) = opening(rest) {
            let (before, tag) = rest.split_at_checked(start).unwrap_or((rest, ""));
            self.push_own(before);
            let Some(end) = tag.find("}}") else {
                let mut open = Open { tag, expression: tag.starts_with("{{="), quote: None, escaped: false };
                open.read(tag.get(2..).unwrap_or_default());
                self.push_own(tag);
                return Some(open);
            };
            let (tag, after) = tag.split_at_checked(end + 2).unwrap_or((tag, ""));
            rest = after;
            match paste_kind(tag) {
                Some(kind) => self.tag(tag, kind),
                None => self.push_own(tag),
            }
        }
        self.push_own(rest);
        None
    }

    fn tag(&mut self, tag: &str, kind: PasteKind) {
        self.parts.push(Part::Tag(tag.to_owned(), kind));
        self.pastes.push(Paste { tag: tag.to_owned(), kind });
    }

    fn value(&mut self, word: usize, open: &mut Option<Open<'_>>) {
        let inside = match open {
            None => Inside::Text,
            Some(tag) => {
                self.pastes.push(Paste { tag: tag.tag.to_owned(), kind: PasteKind::Text });
                match (tag.expression, tag.quote, tag.escaped) {
                    (false, ..) => Inside::Tag,
                    (true, Some(_), false) => Inside::Literal,
                    (true, ..) => Inside::Expression,
                }
            }
        };
        self.parts.push(Part::Value(word, inside));
    }

    fn push_own(&mut self, own: &str) {
        if !own.is_empty() {
            self.parts.push(Part::Own(own.to_owned()));
        }
    }
}

/// A tag whose closing braces have not come yet.
struct Open<'a> {
    tag: &'a str,
    expression: bool,
    quote: Option<char>,
    escaped: bool,
}

impl Open<'_> {
    fn read(&mut self, text: &str) {
        for c in text.chars() {
            if self.escaped {
                self.escaped = false;
                continue;
            }
            match (self.quote, c) {
                (Some('\'' | '"'), '\\') => self.escaped = true,
                (Some(quote), c) if quote == c => self.quote = None,
                (None, '\'' | '"' | '`') => self.quote = Some(c),
                _ => {}
            }
        }
    }
}

/// What a tag pastes; `None` when it is not Argo's.
fn paste_kind(tag: &str) -> Option<PasteKind> {
    let name = tag.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"))?;
    if name.starts_with('=') {
        return Some(PasteKind::Text);
    }
    let name = name.trim();
    match name {
        "workflow.name" | "workflow.namespace" | "pod.name" | "node.name" | "retries" => {
            return Some(PasteKind::Harmless);
        }
        "item" => return Some(PasteKind::Item),
        _ => {}
    }
    let (first, _) = name.split_once(['.', '['])?;
    match first {
        "item" => Some(PasteKind::Item),
        "workflow" | "inputs" | "outputs" | "steps" | "tasks" | "pod" | "node" | "lastRetry" | "io"
        | "cronworkflow" => Some(PasteKind::Text),
        _ => None,
    }
}

/// Where the first `{{` is.
fn opening(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'{', bytes).find(|at| bytes.get(at + 1) == Some(&b'{'))
}

#[cfg(test)]
mod tests {
    use super::super::{Print, Printed};
    use super::*;

    fn kinds(text: &str) -> Vec<PasteKind> {
        let parts = Parts::of(vec![Piece::Own(text)], None);
        parts.pastes.iter().map(|paste| paste.kind).collect()
    }

    #[test]
    fn a_tag_is_told_by_what_it_may_paste() {
        use PasteKind::{Harmless, Item, Text};
        let cases = [
            ("{{workflow.name}} {{ pod.name }}", vec![Harmless, Harmless]),
            ("{{retries}}", vec![Harmless]),
            ("{{item}} {{item.x}} {{item['x']}}", vec![Item, Item, Item]),
            ("{{workflow.parameters.x}}", vec![Text]),
            ("{{inputs.parameters['a b']}}", vec![Text]),
            ("{{=sprig.trim(inputs.parameters.x)}}", vec![Text]),
            ("{{workflow.status}}", vec![Text]),
            ("{{.State.Status}} {{range}} { {x} }", vec![]),
        ];
        for (text, expected) in cases {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn a_value_inside_a_tag_is_told_from_one_in_text() {
        let print = Print { value: "v".to_owned(), kind: Printed::Text, parameter: "x".to_owned(), line: 1, column: 1 };
        let inside = |before: &'static str, after: &'static str| {
            let pieces = vec![Piece::Own(before), Piece::Value(0, &print), Piece::Own(after)];
            Parts::of(pieces, None).values().next().unwrap().1
        };
        assert_eq!(inside("a ", " b"), Inside::Text);
        assert_eq!(inside("{{x}} ", " }}"), Inside::Text);
        assert_eq!(inside("{{inputs.parameters.", "}}"), Inside::Tag);
        assert_eq!(inside("{{=a == '", "'}}"), Inside::Literal);
        assert_eq!(inside("{{=a == 'b' + ", "}}"), Inside::Expression);
        assert_eq!(inside("{{=a == 'b\\", "'}}"), Inside::Expression);
    }
}
