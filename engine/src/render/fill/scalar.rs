//! Fills one scalar: its values are written for their place, joined with the template's own text, and given the
//! field's type.

use serde_json::{Number, Value};

use super::{Filler, How};
use crate::render::Flaw;
use crate::render::argo_tags::{Inside, Part, Parts, PasteKind};
use crate::render::interpreter;
use crate::render::kubelet::{self, Segment};
use crate::render::pastes::Site;
use crate::render::paths;
use crate::render::setting::Setting;
use crate::render::shell::{self, Bound, Dialect, Language, Spelling, Unit};
use crate::render::word::{Print, Printed};
use crate::render::yaml::{self, CoreTag, Node, Scalar};
use crate::render::yaml_scalar::{self, FieldType};

impl<'e> Filler<'e> {
    pub(super) fn scalar(
        &mut self,
        node: &'e Node,
        scalar: &'e Scalar,
        how: How<'_>,
        setting: &Setting,
    ) -> Result<Value, Flaw> {
        if self.is_mixed(scalar) {
            let parts = self.parts(scalar)?;
            self.note_pastes(&parts, how, setting);
            if parts.values().next().is_some() {
                return self.filled(scalar, &parts, how, setting);
            }
            let own = parts.parts.iter().map(|part| match part {
                Part::Own(own) | Part::Tag(own) => *own,
                Part::Value(..) => "",
            });
            let own = Scalar { text: own.collect(), ..scalar.clone() };
            return self.resolve(node, &own, setting);
        }
        self.resolve(node, scalar, setting)
    }

    fn resolve(&self, node: &Node, scalar: &Scalar, setting: &Setting) -> Result<Value, Flaw> {
        yaml_scalar::resolve(scalar, setting.field)
            .map_err(|problem| yaml::located(self.evaluated, node.line, node.column, problem).field(self.path()))
    }

    fn note_pastes(&mut self, parts: &Parts<'e>, how: How<'_>, setting: &Setting) {
        let site = match how {
            How::Data if setting.expanded => Site::Expanded,
            How::Data if setting.path => Site::Path,
            How::Data => Site::Data,
            How::Argument(bound) if bound.limit == shell::Limit::Any => Site::Argument,
            How::Argument(_) | How::Shell(..) | How::Source(_) | How::Reread(_) | How::Manifest => Site::Code,
        };
        if parts.pastes.is_empty() && !setting.pasted {
            return;
        }
        let path = self.path();
        for paste in &parts.pastes {
            self.pastes.tag(paste, site, &path);
            // What a loop takes from elsewhere is no literal.
            self.pastes.loops_are_filled |= setting.item;
        }
        if setting.pasted {
            for print in parts.values() {
                self.pastes.loops_are_filled |= setting.item;
                self.pastes.value(print, &path);
            }
        }
    }

    fn filled(&self, scalar: &Scalar, parts: &Parts<'e>, how: How<'_>, setting: &Setting) -> Result<Value, Flaw> {
        for print in parts.values() {
            if print.value.contains('\0') {
                return Err(self.refused(print, "it holds a NUL character, which no field can hold"));
            }
        }
        let written = match how {
            How::Shell(dialect, spelling) => self.script(parts, dialect, spelling, setting.expanded)?,
            How::Argument(bound) => {
                self.check_option(parts)?;
                self.plain(parts, |_| bound.clone())?
            }
            How::Data => self.plain(parts, |_| Bound::ANY)?,
            How::Reread(bound) => self.plain(parts, |_| bound.clone())?,
            How::Manifest => self.manifest(parts)?,
            How::Source(language) => {
                let bounds = self.source_bounds(parts, language);
                self.plain(parts, |value| bounds.get(value).cloned().unwrap_or(Bound::ANY))?
            }
        };
        self.check_paths(parts, |_| setting.path)?;
        let text = self.join(parts, &written, setting.expanded)?;
        self.typed(scalar, parts, text, how, setting)
    }

    /// The values as they are, each checked against its bound.
    fn plain(&self, parts: &Parts<'e>, bound: impl Fn(usize) -> Bound) -> Result<Vec<String>, Flaw> {
        let mut written = Vec::new();
        for (index, (print, inside)) in values(parts).enumerate() {
            let mut bound = bound(index);
            bound.raise(&inside_bound(inside));
            shell::check(&print.value, &bound).map_err(|problem| self.refused(print, problem).hint(hint(&bound)))?;
            written.push(print.value.clone());
        }
        Ok(written)
    }

    /// Safe words that neither are nor make a key of the YAML or JSON that they stand in.
    fn manifest(&self, parts: &Parts<'e>) -> Result<Vec<String>, Flaw> {
        let bound = Bound::safe_word("it is read as YAML or JSON once more");
        let written = self.plain(parts, |_| bound.clone())?;
        for (at, part) in parts.parts.iter().enumerate() {
            let Part::Value(print, _) = part else { continue };
            if print.value.ends_with(':') {
                return Err(self.refused(print, "it ends with a colon, which would make it a key"));
            }
            if let Some(Part::Own(next)) = parts.parts.get(at + 1) {
                let behind = next.trim_start_matches(['"', '\'', ' ']);
                let key = behind.strip_prefix(':').is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with(char::is_whitespace) || next.starts_with(['"', '\''])
                });
                if key {
                    return Err(self.refused(print, "no value can stand here: it would be a key"));
                }
            }
        }
        Ok(written)
    }

    /// What is pasted into a text before its reader gets it, if anything can be.
    fn pasted_into<'p>(&'p self, parts: &'p Parts<'e>) -> Option<&'p str> {
        let tag = parts.pastes.iter().find(|paste| paste.kind != PasteKind::Harmless);
        tag.map(|paste| paste.tag).or(self.pasted_variable.as_deref())
    }

    fn script(
        &self,
        parts: &Parts<'e>,
        dialect: Dialect,
        spelling: Spelling,
        expanded: bool,
    ) -> Result<Vec<String>, Flaw> {
        let values: Vec<(&Print, Inside)> = values(parts).collect();
        let written = units(parts);
        let arrives = expanded_units(&written);
        let (units, script) = match spelling {
            Spelling::Argument if expanded => {
                let script = shell::scan(&arrives, values.len(), dialect);
                (arrives, script)
            }
            Spelling::Argument => {
                let script = shell::scan(&written, values.len(), dialect);
                (written, script)
            }
            Spelling::Source => {
                let mut script = shell::scan(&written, values.len(), dialect);
                if arrives != written {
                    // Argo hands the source on in a variable, which kubelet may expand or not: both must be sound.
                    script.also(&shell::scan(&arrives, values.len(), dialect));
                }
                (written, script)
            }
        };
        let pasted = self.pasted_into(parts);
        let mut written = Vec::with_capacity(values.len());
        let mut begun = Vec::new();
        let mut flagged = Vec::with_capacity(values.len());
        let mut holes = units
            .iter()
            .enumerate()
            .filter(|(_, unit)| matches!(unit, Unit::Hole(_)))
            .map(|(at, _)| units.get(at + 1).copied());
        for ((print, inside), hole) in values.iter().zip(&script.holes) {
            let next = holes.next().flatten();
            let mut hole = hole.clone();
            hole.bound.raise(&inside_bound(*inside));
            if let Some(tag) = pasted {
                hole.bound.raise(&Bound::safe_word(format!(
                    "{tag} is pasted into the same script, which could change the quotes around it"
                )));
            }
            if let Some(word) = hole.begins
                && !begun.contains(&word)
            {
                if print.value.starts_with('-') {
                    return Err(self.option(print));
                }
                if !print.value.is_empty() {
                    begun.push(word);
                }
            }
            let text = match inside {
                Inside::Text => shell::write(&print.value, &hole, spelling, next),
                Inside::Tag | Inside::Literal | Inside::Expression => {
                    shell::check(&print.value, &hole.bound).map(|()| print.value.clone())
                }
            };
            written.push(text.map_err(|problem| self.refused(print, problem).hint(hint(&hole.bound)))?);
            flagged.push(hole.path);
        }
        self.check_here_docs(&units, &script, &values, &written)?;
        self.check_paths(parts, |value| flagged.get(value).copied().unwrap_or(false))?;
        Ok(written)
    }

    fn source_bounds(&self, parts: &Parts<'e>, language: Language) -> Vec<Bound> {
        let mut units = units(parts);
        if self.pasted_variable.is_some() {
            units.push(Unit::Tag);
        }
        interpreter::bounds(language, &units, parts.values().count())
    }

    fn check_here_docs(
        &self,
        units: &[Unit],
        script: &shell::Script,
        values: &[(&Print, Inside)],
        written: &[String],
    ) -> Result<(), Flaw> {
        for doc in &script.here_docs {
            let mut body = Vec::new();
            let mut blamed = None;
            for unit in units.get(doc.body.clone()).unwrap_or_default() {
                match unit {
                    Unit::Char(c) => body.push((*c, false)),
                    // What Argo pastes is bounded where it comes from.
                    Unit::Tag => body.push(('{', false)),
                    Unit::Hole(hole) => {
                        blamed = blamed.or(values.get(*hole).map(|(print, _)| *print));
                        let text = written.get(*hole).map(String::as_str).unwrap_or_default();
                        body.extend(text.chars().map(|c| (c, true)));
                    }
                }
            }
            if let Some(print) = blamed {
                shell::check_here_doc(doc, &body).map_err(|problem| {
                    self.refused(print, problem)
                        .hint("put it in an environment variable (env) and write \"$NAME\" in the script")
                })?;
            }
        }
        Ok(())
    }

    fn check_option(&self, parts: &Parts<'e>) -> Result<(), Flaw> {
        for part in &parts.parts {
            match part {
                Part::Own(_) => break,
                // What Argo pastes may be empty.
                Part::Tag(_) => {}
                Part::Value(print, _) if print.value.starts_with('-') => {
                    return Err(self.option(print));
                }
                Part::Value(print, _) if !print.value.is_empty() => break,
                Part::Value(..) => {}
            }
        }
        Ok(())
    }

    fn check_paths(&self, parts: &Parts<'e>, is_path: impl Fn(usize) -> bool) -> Result<(), Flaw> {
        let joined: String = parts
            .parts
            .iter()
            .map(|part| match part {
                Part::Own(own) | Part::Tag(own) => *own,
                Part::Value(print, _) => print.value.as_str(),
            })
            .collect();
        // Few texts have two dots side by side, and the rest reads every character on its own.
        if !joined.contains("..") {
            return Ok(());
        }
        let prints: Vec<&Print> = parts.values().collect();
        let mut text = Vec::new();
        let mut next = 0;
        for part in &parts.parts {
            match part {
                Part::Own(own) | Part::Tag(own) => text.extend(own.chars().map(|c| (c, None))),
                Part::Value(print, _) => {
                    text.extend(print.value.chars().map(|c| (c, Some(next))));
                    next += 1;
                }
            }
        }
        match paths::climbing_value(&text, is_path).and_then(|value| prints.get(value)) {
            Some(print) => Err(self
                .refused(print, "it makes a `..` segment in a file path")
                .hint("send a name that does not lead out of its folder")),
            None => Ok(()),
        }
    }

    /// Puts the written values between the template's own text.
    fn join(&self, parts: &Parts<'e>, written: &[String], expanded: bool) -> Result<String, Flaw> {
        let mut segments: Vec<Segment<'_>> = Vec::with_capacity(parts.parts.len());
        // The template's own text between two values is one run; braces may meet only inside of one.
        let mut run = 0_usize;
        let mut last: Option<(char, usize)> = None;
        let mut values = written.iter();
        let mut blamed: Option<&Print> = None;
        for part in &parts.parts {
            let (chars, value) = match part {
                Part::Own(own) | Part::Tag(own) => (*own, false),
                Part::Value(print, _) => {
                    run += 1;
                    blamed = Some(print);
                    (values.next().map(String::as_str).unwrap_or_default(), true)
                }
            };
            for c in chars.chars() {
                if matches!(c, '{' | '}')
                    && let Some((before, before_run)) = last
                    && before == c
                    && (value || before_run != run)
                    && let Some(print) = blamed
                {
                    return Err(self
                        .refused(print, format!("it makes `{c}{c}`, which Argo would read as a tag"))
                        .hint("leave braces out of the alert's text"));
                }
                last = Some((c, run));
            }
            segments.push(if value { Segment::Value(chars) } else { Segment::Own(chars) });
            if value {
                run += 1;
            }
        }
        if expanded {
            return kubelet::double_dollars(&segments).map_err(|problem| match blamed {
                Some(print) => self
                    .refused(print, format!("no spelling is sound here: {problem}"))
                    .hint("put it in an environment variable (env) and let the program read it from there"),
                None => Flaw::new(problem).field(self.path()),
            });
        }
        let texts = segments.iter().map(|segment| match segment {
            Segment::Own(text) | Segment::Value(text) => *text,
        });
        Ok(texts.collect())
    }

    fn typed(
        &self,
        scalar: &Scalar,
        parts: &Parts<'e>,
        text: String,
        how: How<'_>,
        setting: &Setting,
    ) -> Result<Value, Flaw> {
        let data = matches!(how, How::Data);
        let single = parts.single_value().filter(|_| scalar.plain && data);
        if let Some(print) = single {
            let integer = matches!(setting.field, FieldType::Integer | FieldType::IntegerOrText)
                && shell::is_digits(&print.value);
            let boolean = setting.field == FieldType::Boolean && matches!(print.value.as_str(), "true" | "false");
            let value = match (scalar.tag, print.kind) {
                (Some(CoreTag::Int), _) => Some(self.integer(print)?),
                (Some(CoreTag::Bool), _) => Some(self.boolean(print)?),
                (Some(_), _) => None,
                _ if setting.field == FieldType::Text => None,
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
        let expected = match setting.field {
            FieldType::Integer => "an integer",
            FieldType::Boolean => "true or false",
            FieldType::Text | FieldType::IntegerOrText | FieldType::Unknown => {
                return Ok(Value::String(text));
            }
        };
        match parts.values().next() {
            Some(print) if data && scalar.tag != Some(CoreTag::Str) => Err(self
                .refused(print, format!("the field takes {expected}, but it would be text"))
                .hint(format!("print one value without quotes whose text is {expected}"))),
            _ => Ok(Value::String(text)),
        }
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

    fn option(&self, print: &Print) -> Flaw {
        self.refused(print, "it begins with '-', and would be read as an option where it begins a word")
            .hint("put text of the template's before it, or pass it in an environment variable")
    }

    pub(super) fn refused(&self, print: &Print, problem: impl Into<String>) -> Flaw {
        Flaw::new(problem).at(print.line, print.column).field(self.path()).parameter(&print.parameter)
    }
}

fn values<'p, 'e>(parts: &'p Parts<'e>) -> impl Iterator<Item = (&'e Print, Inside)> + 'p {
    parts.parts.iter().filter_map(|part| match part {
        Part::Value(print, inside) => Some((*print, *inside)),
        Part::Own(_) | Part::Tag(_) => None,
    })
}

fn units(parts: &Parts<'_>) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut next = 0;
    let mut pastes = parts.pastes.iter();
    for part in &parts.parts {
        match part {
            Part::Own(own) => units.extend(own.chars().map(Unit::Char)),
            Part::Tag(text) => {
                let harmless = pastes
                    .by_ref()
                    .find(|paste| paste.tag == *text)
                    .is_some_and(|paste| paste.kind == PasteKind::Harmless);
                // A name or a number is like a letter to every reader.
                units.push(if harmless { Unit::Char('x') } else { Unit::Tag });
            }
            Part::Value(..) => {
                units.push(Unit::Hole(next));
                next += 1;
            }
        }
    }
    units
}

/// The units that are left when kubelet has expanded the text.
fn expanded_units(units: &[Unit]) -> Vec<Unit> {
    let chars: Vec<char> = units
        .iter()
        .map(|unit| match unit {
            Unit::Char(c) => *c,
            Unit::Tag | Unit::Hole(_) => 'x',
        })
        .collect();
    units.iter().zip(kubelet::kept(&chars)).filter_map(|(unit, kept)| kept.then_some(*unit)).collect()
}

fn inside_bound(inside: Inside) -> Bound {
    match inside {
        Inside::Text => Bound::ANY,
        Inside::Tag => Bound::safe_word("it stands in one of Argo's tags"),
        Inside::Literal => Bound::safe_word("it stands in an expression of Argo's"),
        Inside::Expression => {
            Bound::new(shell::Limit::Digits, "it stands in an expression of Argo's, outside of a string")
        }
    }
}

fn hint(bound: &Bound) -> &'static str {
    match bound.limit {
        shell::Limit::Never => "print it elsewhere, or put it in an environment variable (env)",
        _ => "put it in an environment variable (env) and let the program read it from there",
    }
}
