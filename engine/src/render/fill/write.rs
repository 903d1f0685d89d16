//! Fills one blank: its values are written for their places, joined with the template's own text, and given the
//! field's type.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::blank::{Blank, Dollars, Rule};
use crate::render::Flaw;
use crate::render::argo_tags::Part;
use crate::render::kubelet::{self, Segment};
use crate::render::paths;
use crate::render::shell::{self, Bound, Limit, Unit};
use crate::render::word::{Print, Printed, Words};
use crate::render::yaml::CoreTag;
use crate::render::yaml_scalar::FieldType;

impl Blank {
    /// What the field gets.
    ///
    /// # Errors
    /// A value that cannot stand there.
    pub(super) fn fill(&self, words: &Words) -> Result<Value, Flaw> {
        let prints = self.holes.iter().map(|hole| words.print(hole.word));
        let prints: Vec<&Print> =
            prints.collect::<Result<_, _>>().map_err(|flaw| flaw.field(self.route.to_string()))?;
        for print in &prints {
            self.keep_rules(print)?;
        }
        let written = self.written(&prints)?;
        self.check_here_docs(&prints, &written)?;
        self.check_paths(&prints)?;
        let text = self.join(&prints, &written)?;
        self.typed(&prints, text)
    }

    fn keep_rules(&self, print: &Print) -> Result<(), Flaw> {
        if print.value.contains('\0') {
            return Err(self.refused(print, "it holds a NUL character, which no field can hold"));
        }
        for rule in &self.rules {
            match rule {
                Rule::Bound(bound, hint) => {
                    shell::check(&print.value, bound).map_err(|problem| self.refused(print, problem).hint(hint))?;
                }
                Rule::NoOption(problem, hint) if print.value.starts_with('-') => {
                    return Err(self.refused(print, problem).hint(hint));
                }
                Rule::NoOption(..) => {}
            }
        }
        Ok(())
    }

    /// The values as they are written, each checked against its bound.
    fn written<'p>(&self, prints: &[&'p Print]) -> Result<Vec<Cow<'p, str>>, Flaw> {
        let mut written = Vec::with_capacity(prints.len());
        let mut begun = Vec::new();
        for (hole, print) in self.holes.iter().zip(prints) {
            let value = print.value.as_str();
            if let Some(word) = hole.begins.filter(|word| !begun.contains(word)) {
                if value.starts_with('-') {
                    return Err(self
                        .refused(print, "it begins with '-', and would be read as an option where it begins a word")
                        .hint("put text of the template's before it, or pass it in an environment variable"));
                }
                if !value.is_empty() {
                    begun.push(word);
                }
            }
            let text = shell::check(value, &hole.bound).and_then(|()| match &hole.quoting {
                Some(quoting) => quoting.write(value),
                None => Ok(value.into()),
            });
            written.push(text.map_err(|problem| self.refused(print, problem).hint(hint(&hole.bound)))?);
            if self.manifest && value.ends_with(':') {
                return Err(self.refused(print, "it ends with a colon, which would make it a key"));
            }
        }
        Ok(written)
    }

    fn check_here_docs(&self, prints: &[&Print], written: &[Cow<'_, str>]) -> Result<(), Flaw> {
        for filled in &self.here_docs {
            let mut body = Vec::with_capacity(filled.body.len());
            let mut blamed = None;
            for unit in &filled.body {
                match unit {
                    Unit::Char(c) => body.push((*c, false)),
                    // What Argo pastes is bounded where it comes from.
                    Unit::Tag => body.push(('{', false)),
                    Unit::Hole(hole) => {
                        blamed = blamed.or(prints.get(*hole));
                        let text = written.get(*hole).map(Cow::as_ref).unwrap_or_default();
                        body.extend(text.chars().map(|c| (c, true)));
                    }
                }
            }
            if let Some(print) = blamed {
                shell::check_here_doc(&filled.doc, &body).map_err(|problem| {
                    self.refused(print, problem)
                        .hint("put it in an environment variable (env) and write \"$NAME\" in the script")
                })?;
            }
        }
        Ok(())
    }

    fn check_paths(&self, prints: &[&Print]) -> Result<(), Flaw> {
        let segments = self.segments(prints.iter().map(|print| print.value.as_str()));
        // Few texts have two dots side by side, and the rest reads every character on its own.
        if !text(&segments).contains("..") {
            return Ok(());
        }
        let mut values = 0..;
        let origins = segments.iter().flat_map(|segment| {
            let (text, value) = match segment {
                Segment::Own(text) => (text, None),
                Segment::Value(text) => (text, values.next()),
            };
            text.chars().map(move |c| (c, value))
        });
        let is_path = |value: usize| self.holes.get(value).is_some_and(|hole| hole.path);
        match paths::climbing_value(&origins.collect::<Vec<_>>(), is_path).and_then(|value| prints.get(value)) {
            Some(print) => Err(self
                .refused(print, "it makes a `..` segment in a file path")
                .hint("send a name that does not lead out of its folder")),
            None => Ok(()),
        }
    }

    /// Puts the written values between the template's own text.
    fn join(&self, prints: &[&Print], written: &[Cow<'_, str>]) -> Result<String, Flaw> {
        let segments = self.segments(written.iter().map(Cow::as_ref));
        self.check_braces(prints, &segments)?;
        let passes = match self.dollars {
            Dollars::Kept => true,
            Dollars::Expanded => !written.iter().any(|text| text.contains(['$', ')'])),
            Dollars::Entangled => false,
        };
        if passes {
            return Ok(text(&segments));
        }
        kubelet::double_dollars(&segments).map_err(|problem| match prints.last() {
            Some(print) => self
                .refused(print, format!("no spelling is sound here: {problem}"))
                .hint("put it in an environment variable (env) and let the program read it from there"),
            None => Flaw::new(problem).field(self.route.to_string()),
        })
    }

    /// No two braces side by side that the template does not have so.
    fn check_braces(&self, prints: &[&Print], segments: &[Segment<'_>]) -> Result<(), Flaw> {
        let mut prints = prints.iter();
        let mut last: Option<char> = None;
        let mut before: Option<&Print> = None;
        for segment in segments {
            let (text, blamed, pair) = match segment {
                // The template's own text may go on in several segments.
                Segment::Own(text) => (text, before.take(), None),
                Segment::Value(text) => {
                    before = prints.next().copied();
                    (text, before, ["{{", "}}"].into_iter().find(|pair| text.contains(pair)))
                }
            };
            let meets = last.filter(|last| matches!(last, '{' | '}') && text.starts_with(*last));
            let brace = meets.or_else(|| pair?.chars().next());
            if let (Some(print), Some(brace)) = (blamed, brace) {
                return Err(self
                    .refused(print, format!("it makes `{brace}{brace}`, which Argo would read as a tag"))
                    .hint("leave braces out of the alert's text"));
            }
            last = text.chars().next_back().or(last);
        }
        Ok(())
    }

    /// Its text with something in place of the values.
    fn segments<'s>(&'s self, mut values: impl Iterator<Item = &'s str>) -> Vec<Segment<'s>> {
        let segment = |part: &'s Part| match part {
            Part::Own(own) | Part::Tag(own, _) => Segment::Own(own),
            Part::Value(..) => Segment::Value(values.next().unwrap_or_default()),
        };
        self.parts.iter().map(segment).collect()
    }

    fn typed(&self, prints: &[&Print], text: String) -> Result<Value, Flaw> {
        let Some(print) = prints.first() else {
            return Ok(Value::String(text));
        };
        if self.single {
            let integer =
                matches!(self.field, FieldType::Integer | FieldType::IntegerOrText) && shell::is_digits(&print.value);
            let boolean = self.field == FieldType::Boolean && matches!(print.value.as_str(), "true" | "false");
            let value = match (self.tag, print.kind) {
                (Some(CoreTag::Int), _) => Some(self.integer(print)?),
                (Some(CoreTag::Bool), _) => Some(self.boolean(print)?),
                (Some(_), _) => None,
                _ if self.field == FieldType::Text => None,
                (None, Printed::Int) => Some(self.integer(print)?),
                (None, Printed::Bool) => Some(self.boolean(print)?),
                (None, Printed::Text) if integer => Some(self.integer(print)?),
                (None, Printed::Text) if boolean => Some(self.boolean(print)?),
                (None, Printed::Text) => None,
            };
            if let Some(value) = value {
                return Ok(value);
            }
        }
        let expected = match self.field {
            FieldType::Integer => "an integer",
            FieldType::Boolean => "true or false",
            FieldType::Text | FieldType::IntegerOrText | FieldType::Unknown => {
                return Ok(Value::String(text));
            }
        };
        if !self.data || self.tag == Some(CoreTag::Str) {
            return Ok(Value::String(text));
        }
        Err(self
            .refused(print, format!("the field takes {expected}, but it would be text"))
            .hint(format!("print one value without quotes whose text is {expected}")))
    }

    fn integer(&self, print: &Print) -> Result<Value, Flaw> {
        let number =
            print.value.parse::<i64>().map(Number::from).or_else(|_| print.value.parse::<u64>().map(Number::from));
        number.map(Value::Number).map_err(|_| self.refused(print, format!("{:?} is no integer", print.value)))
    }

    fn boolean(&self, print: &Print) -> Result<Value, Flaw> {
        match print.value.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            other => Err(self.refused(print, format!("{other:?} is neither true nor false"))),
        }
    }

    fn refused(&self, print: &Print, problem: impl Into<String>) -> Flaw {
        Flaw::new(problem).at(print.line, print.column).field(self.route.to_string()).parameter(&print.parameter)
    }
}

fn text(segments: &[Segment<'_>]) -> String {
    let texts = segments.iter().map(|segment| match segment {
        Segment::Own(text) | Segment::Value(text) => *text,
    });
    texts.collect()
}

fn hint(bound: &Bound) -> &'static str {
    match bound.limit {
        Limit::Never => "print it elsewhere, or put it in an environment variable (env)",
        _ => "put it in an environment variable (env) and let the program read it from there",
    }
}
