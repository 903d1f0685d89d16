//! Opaque words: what stands in the evaluated text in place of every printed value until the YAML is parsed.
//!
//! A word is `w`, 16 hexadecimal digits that are the same for all words of one rendering (the tag), and 6 that
//! number it. It starts with a letter and holds nothing that YAML, a shell or Argo gives a meaning to.
//! `w` occurs in a word only as its first character, so text that happens to stand before a word cannot
//! form a tag together with it.

use std::fmt::Write as _;
use std::sync::Arc;

use memchr::memmem::Finder;
use sha2::{Digest, Sha256};

use super::Flaw;

const TAG_DIGITS: usize = 16;
const NUMBER_DIGITS: usize = 6;

/// What the template said about the type of a printed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    /// Nothing: it is text, unless its place asks for something else.
    Text,
    /// An integer; the value is decimal digits with an optional leading minus.
    Int,
    /// A boolean; the value is `true` or `false`.
    Bool,
}

/// One value that the template prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Print {
    /// The text that is to stand in place of the word.
    pub value: String,
    /// What the template said about its type.
    pub kind: Printed,
    /// The parameter it was computed from, for messages; when several were, the first.
    pub parameter: String,
    /// The line of the printing tag in the template's text, from 1.
    pub line: usize,
    /// The column of the printing tag, from 1, counted in characters.
    pub column: usize,
}

/// Where in a Workflow a name is Argo's that is an ordinary name elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Inside an `http` template: `request.` and `response.`.
    Http,
    /// Inside `metrics`: `status`, `duration`, `exitCode` and `resourcesDuration.`.
    Metrics,
}

impl Place {
    /// Where such a name is Argo's, as the hint of a message.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Http => "only inside an http template is it Argo's",
            Self::Metrics => "only inside metrics is it Argo's",
        }
    }
}

/// A tag whose owner follows from the place where it stands in the rendered object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedTag {
    /// The tag as the template wrote it, braces included; this is what Argo gets.
    pub text: String,
    /// Where it is Argo's.
    pub place: Place,
    /// What it prints anywhere else: the parameter's value, or the flaw if there is no such parameter.
    pub elsewhere: Result<Print, Flaw>,
}

/// One part of a text that may hold words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The template's own text, Argo's tags included.
    Own(&'a str),
    /// A value to fill in, and the number of its word.
    Value(usize, &'a Print),
    /// A tag that is Argo's in one place and a value, or a flaw, in every other, and the number of its word.
    Placed(usize, &'a PlacedTag),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    Value(Print),
    Placed(Box<PlacedTag>),
}

/// The words of one rendering and what they stand for.
#[derive(Debug, Clone)]
pub struct Words {
    tag: Arc<Tag>,
    meanings: Vec<Meaning>,
}

#[derive(Debug)]
struct Tag {
    text: String,
    /// Finds the tag. A search that is prepared for each scalar anew takes longer than to look through it.
    finder: Finder<'static>,
    salt: u64,
}

impl Words {
    /// Words that occur neither in the template's text nor in any of the values.
    ///
    /// The tag follows from the text alone, so that two renderings of one template agree on it, unless a value
    /// holds it; then it follows from the text and all values, which a sender of alerts cannot aim at.
    pub fn for_template<'v>(text: &str, values: impl Iterator<Item = &'v str>) -> Words {
        let values: Vec<&str> = values.collect();
        Self::salted(text, &values, 0)
    }

    /// The same with a salt that is not below this one: a caller asks for the next when a value turns out to hold the
    /// tag.
    pub(super) fn salted(text: &str, values: &[&str], first: u64) -> Words {
        let digest = Sha256::digest(text.as_bytes());
        let mut salt = first;
        loop {
            let tag = if salt == 0 {
                tag_from(&digest)
            } else {
                let mut hash = Sha256::new();
                hash.update(digest);
                hash.update(salt.to_be_bytes());
                for value in values {
                    hash.update((value.len() as u64).to_be_bytes());
                    hash.update(value.as_bytes());
                }
                tag_from(&hash.finalize())
            };
            if !text.contains(&tag) && !values.iter().any(|value| value.contains(&tag)) {
                let finder = Finder::new(&tag).into_owned();
                return Words { tag: Arc::new(Tag { text: tag, finder, salt }), meanings: Vec::new() };
            }
            salt += 1;
        }
    }

    /// What every word begins with.
    pub(super) fn tag(&self) -> &str {
        &self.tag.text
    }

    /// The salt of the tag; the next one gives another tag.
    pub(super) fn salt(&self) -> u64 {
        self.tag.salt
    }

    /// A new word that stands for a printed value.
    pub fn mint(&mut self, print: Print) -> String {
        self.add(Meaning::Value(print))
    }

    /// A new word that stands for a tag whose owner follows from its place.
    pub fn mint_placed(&mut self, tag: PlacedTag) -> String {
        self.add(Meaning::Placed(Box::new(tag)))
    }

    /// The parts of a text in order: its own text between the words, and what each word stands for.
    pub fn split<'a>(&'a self, text: &'a str) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let tag = self.tag.text.len();
        if text.len() < tag {
            if !text.is_empty() {
                pieces.push(Piece::Own(text));
            }
            return pieces;
        }
        let mut rest = text;
        // Where the search goes on: a tag without one of our numbers behind it is ordinary text.
        let mut from = 0;
        while let Some((before, found)) =
            rest.get(from..).and_then(|tail| self.find(tail)).and_then(|at| rest.split_at_checked(from + at))
        {
            let after_tag = found.get(tag..).unwrap_or_default();
            let meaning = after_tag
                .get(..NUMBER_DIGITS)
                .and_then(|digits| usize::from_str_radix(digits, 16).ok())
                .and_then(|number| Some((number, self.meanings.get(number)?)));
            let Some((number, meaning)) = meaning else {
                from = before.len() + tag;
                continue;
            };
            if !before.is_empty() {
                pieces.push(Piece::Own(before));
            }
            pieces.push(match meaning {
                Meaning::Value(print) => Piece::Value(number, print),
                Meaning::Placed(tag) => Piece::Placed(number, tag),
            });
            rest = after_tag.get(NUMBER_DIGITS..).unwrap_or_default();
            from = 0;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Own(rest));
        }
        pieces
    }

    /// Whether a text holds any word of this rendering.
    pub fn contains_any(&self, text: &str) -> bool {
        self.find(text).is_some()
    }

    fn find(&self, text: &str) -> Option<usize> {
        self.tag.finder.find(text.as_bytes())
    }

    /// Every printed value, in the order of printing; a placed tag counts with what it prints elsewhere.
    pub fn prints(&self) -> impl Iterator<Item = &Print> {
        self.meanings.iter().filter_map(|meaning| match meaning {
            Meaning::Value(print) => Some(print),
            Meaning::Placed(tag) => tag.elsewhere.as_ref().ok(),
        })
    }

    /// What the word of this number prints where it is not Argo's.
    ///
    /// # Errors
    /// The flaw of a tag that is no parameter of ours.
    pub(super) fn print(&self, number: usize) -> Result<&Print, Flaw> {
        match self.meanings.get(number) {
            Some(Meaning::Value(print)) => Ok(print),
            Some(Meaning::Placed(tag)) => tag.elsewhere.as_ref().map_err(Flaw::clone),
            None => Err(Flaw::new("a word was lost")),
        }
    }

    /// The words that stand for tags whose owner follows from their place: the number of each, the tag and the place.
    pub(super) fn placed(&self) -> impl Iterator<Item = (usize, &str, Place)> {
        self.meanings.iter().enumerate().filter_map(|(number, meaning)| match meaning {
            Meaning::Value(_) => None,
            Meaning::Placed(tag) => Some((number, tag.text.as_str(), tag.place)),
        })
    }

    fn add(&mut self, meaning: Meaning) -> String {
        let number = self.meanings.len();
        self.meanings.push(meaning);
        format!("{}{number:0NUMBER_DIGITS$x}", self.tag.text)
    }
}

fn tag_from(hash: &[u8]) -> String {
    let mut tag = String::from("w");
    for byte in hash.iter().take(TAG_DIGITS / 2) {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn print(value: &str) -> Print {
        Print { value: value.to_owned(), kind: Printed::Text, parameter: "node".to_owned(), line: 1, column: 1 }
    }

    #[test]
    fn a_word_is_a_letter_and_digits_of_one_length() {
        let mut words = Words::for_template("text", std::iter::empty());
        let minted: Vec<String> = (0..300).map(|_| words.mint(print("x"))).collect();
        for word in &minted {
            assert!(word.starts_with(|c: char| c.is_ascii_alphabetic()));
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()));
            assert_eq!(word.len(), minted[0].len());
        }
    }

    #[test]
    fn the_tag_depends_on_values_only_when_one_of_them_holds_it() {
        let plain = Words::for_template("text", std::iter::empty());
        let other = Words::for_template("text", ["a", "b"].into_iter());
        assert_eq!(plain.tag(), other.tag());
        let aimed = format!("x{}y", plain.tag());
        let salted = Words::for_template("text", [aimed.as_str()].into_iter());
        assert_ne!(plain.tag(), salted.tag());
        assert!(!aimed.contains(salted.tag()));
        let in_text = Words::for_template(&aimed, std::iter::empty());
        assert!(!aimed.contains(in_text.tag()));
    }

    #[test]
    fn a_tag_that_no_number_of_ours_follows_is_ordinary_text() {
        let mut words = Words::for_template("text", std::iter::empty());
        let word = words.mint(print("x"));
        let broken = format!("{0}zz {0}ffffff {word}", words.tag());
        let pieces = words.split(&broken);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1], Piece::Value(0, &print("x")));
    }

    proptest! {
        #[test]
        fn splitting_finds_exactly_the_words_that_were_put_in(
            parts in proptest::collection::vec(("[w0-9a-f \u{e9}]{0,24}", any::<bool>()), 0..20),
        ) {
            let all: String = parts.iter().map(|(own, _)| own.as_str()).collect();
            let mut words = Words::for_template(&all, std::iter::empty());
            let mut text = String::new();
            let mut expected = String::new();
            for (number, (own, with_word)) in parts.iter().enumerate() {
                text.push_str(own);
                expected.push_str(own);
                if *with_word {
                    text.push_str(&words.mint(print(&format!("<{number}>"))));
                    expected.push_str(&format!("<{number}>"));
                }
            }
            let filled: String = words
                .split(&text)
                .into_iter()
                .map(|piece| match piece {
                    Piece::Own(own) => own.to_owned(),
                    Piece::Value(_, print) => print.value.clone(),
                    Piece::Placed(_, tag) => tag.text.clone(),
                })
                .collect();
            prop_assert_eq!(filled, expected);
        }
    }
}
