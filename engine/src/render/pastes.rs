//! What Argo pastes where: its tags put parameters, loop items, labels and annotations into other fields by text.
//!
//! When such a tag stands in code, every value of ours that it could bring there must be a safe word. When it stands
//! in an argument or a path, the rules of that place hold for them too.

use super::Flaw;
use super::argo_tags::{Paste, PasteKind};
use super::paths;
use super::shell::{found, is_safe_word};
use super::word::Words;

/// What kind of text a tag stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    Data,
    /// A shell, an interpreter or some other second reader reads it.
    Code,
    /// An item of a command line.
    Argument,
    /// The value of an environment variable.
    Expanded,
    Path,
}

/// The tags of an object, and the values that they can bring elsewhere.
#[derive(Debug, Default)]
pub(super) struct Pastes {
    tags: Vec<Tag>,
    /// The numbers of their words, and their fields.
    values: Vec<(usize, String)>,
    /// Whether any loop takes its items from a value, a tag or a parameter.
    pub(super) loops_are_filled: bool,
}

#[derive(Debug)]
struct Tag {
    text: String,
    field: String,
    kind: PasteKind,
    site: Site,
}

impl Pastes {
    /// Notes a tag.
    pub(super) fn tag(&mut self, paste: &Paste, site: Site, field: &str) {
        if site != Site::Data && paste.kind != PasteKind::Harmless {
            self.tags.push(Tag { text: paste.tag.clone(), field: field.to_owned(), kind: paste.kind, site });
        }
    }

    /// Notes a value in a field that tags can paste.
    pub(super) fn value(&mut self, word: usize, field: &str) {
        self.values.push((word, field.to_owned()));
    }

    /// Checks every value against every tag.
    pub(super) fn check(&self, words: &Words) -> Result<(), Flaw> {
        let tag_in = |site: Site| {
            self.tags.iter().find(|tag| tag.site == site && (tag.kind == PasteKind::Text || self.loops_are_filled))
        };
        let code = tag_in(Site::Code);
        let argument = tag_in(Site::Argument);
        let expanded = argument.or_else(|| tag_in(Site::Expanded));
        let path = tag_in(Site::Path);
        for (word, field) in &self.values {
            let print = words.print(*word)?;
            let value = print.value.as_str();
            let climbs = || {
                let chars: Vec<paths::Origin> = value.chars().map(|c| (c, Some(0))).collect();
                paths::climbing_value(&chars, |_| true).is_some()
            };
            let (tag, problem) = match (code, argument, expanded, path) {
                (Some(tag), ..) if !is_safe_word(value) => (
                    tag,
                    format!(
                        "{}, but only a safe word (a letter or digit, then letters, digits and ._:/@-) can \
                         stand here",
                        found(value)
                    ),
                ),
                (_, Some(tag), ..) if value.starts_with('-') => {
                    (tag, "it begins with '-', and would be read as an option".to_owned())
                }
                (_, _, Some(tag), _) if value.contains('$') => {
                    (tag, "it holds a `$`, which kubelet would read as a variable".to_owned())
                }
                (.., Some(tag)) if climbs() => (tag, "it makes a `..` segment in a file path".to_owned()),
                _ => continue,
            };
            return Err(Flaw::new(format!("{problem}: {} in {} takes it over", tag.text, tag.field))
                .at(print.line, print.column)
                .field(field)
                .parameter(&print.parameter)
                .hint("print it in an environment variable (env) of the container that needs it"));
        }
        Ok(())
    }
}
