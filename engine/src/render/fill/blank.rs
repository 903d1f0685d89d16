//! A blank: one scalar with values in it, and all that its place says about them.

use super::route::Route;
use crate::render::argo_tags::{Inside, Part, Parts, PasteKind};
use crate::render::interpreter;
use crate::render::kubelet::{self, Segment};
use crate::render::pastes::Site;
use crate::render::setting::{Setting, Step};
use crate::render::shell::{self, Bound, Dialect, HereDoc, Language, Limit, Quoting, Spelling, Unit};
use crate::render::yaml::{CoreTag, Scalar};
use crate::render::yaml_scalar::FieldType;

/// How the text of a scalar is read.
#[derive(Debug, Clone)]
pub(super) enum How {
    Data,
    Argument(Bound),
    Shell(Dialect, Spelling),
    Source(Language),
    Reread(Bound),
    Manifest,
}

impl How {
    /// What kind of text one of Argo's tags stands in.
    pub(super) fn site(&self, setting: &Setting) -> Site {
        match self {
            Self::Data if setting.expanded => Site::Expanded,
            Self::Data if setting.path => Site::Path,
            Self::Data => Site::Data,
            Self::Argument(Bound { limit: Limit::Any, .. }) => Site::Argument,
            Self::Argument(_) | Self::Shell(..) | Self::Source(_) | Self::Reread(_) | Self::Manifest => Site::Code,
        }
    }
}

/// One scalar to be filled.
#[derive(Debug)]
pub(super) struct Blank {
    pub(super) route: Route,
    pub(super) parts: Vec<Part>,
    /// The places of its values, in order.
    pub(super) holes: Vec<Hole>,
    /// The here-documents that values are part of.
    pub(super) here_docs: Vec<FilledDoc>,
    /// What its values must keep to because of where they go from here.
    pub(super) rules: Vec<Rule>,
    pub(super) field: FieldType,
    pub(super) tag: Option<CoreTag>,
    /// Whether nobody reads its text once more, so that it may be a number or a boolean.
    pub(super) data: bool,
    /// Whether its text is one value, written without quotes.
    pub(super) single: bool,
    /// Whether it is read as YAML or JSON.
    pub(super) manifest: bool,
    pub(super) dollars: Dollars,
}

/// The place of one value.
#[derive(Debug)]
pub(super) struct Hole {
    /// The number of the word that stands there.
    pub(super) word: usize,
    pub(super) bound: Bound,
    /// The word of a command line that it begins; only empty values stand before it there.
    pub(super) begins: Option<usize>,
    /// Whether it is part of the name of a file.
    pub(super) path: bool,
    /// How a shell needs it quoted; elsewhere it is written as it is.
    pub(super) quoting: Option<Quoting>,
}

/// A here-document that values are part of.
#[derive(Debug)]
pub(super) struct FilledDoc {
    pub(super) doc: HereDoc,
    pub(super) body: Vec<Unit>,
}

/// What the values of an environment variable must keep to.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// A bound, and what to do instead.
    Bound(Bound, String),
    /// None that begins with '-': why, and what to do instead.
    NoOption(String, String),
}

/// What becomes of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dollars {
    /// It stays.
    Kept,
    /// kubelet reads it, and is between references wherever a value stands.
    Expanded,
    /// kubelet reads it, and a value stands behind a dollar or in a reference.
    Entangled,
}

impl Blank {
    pub(super) fn of(
        trail: &[Step<'_>],
        scalar: &Scalar,
        parts: Parts,
        how: &How,
        setting: &Setting,
        pasted_variable: Option<&str>,
    ) -> Self {
        let (mut holes, here_docs) = match how {
            How::Shell(dialect, spelling) => script(&parts, *dialect, *spelling, setting.expanded, pasted_variable),
            _ => (plain(&parts, how, pasted_variable), Vec::new()),
        };
        for hole in &mut holes {
            hole.path |= setting.path;
        }
        let segments = parts.parts.iter().map(|part| match part {
            Part::Own(own) | Part::Tag(own, _) => Segment::Own(own),
            Part::Value(..) => Segment::Value(""),
        });
        let dollars = match setting.expanded {
            false => Dollars::Kept,
            true if kubelet::is_apart(segments) => Dollars::Expanded,
            true => Dollars::Entangled,
        };
        let data = matches!(how, How::Data);
        Self {
            route: Route::of(trail),
            single: scalar.plain && data && matches!(parts.parts.as_slice(), [Part::Value(_, Inside::Text)]),
            parts: parts.parts,
            holes,
            here_docs,
            rules: Vec::new(),
            field: setting.field,
            tag: scalar.tag,
            data,
            manifest: matches!(how, How::Manifest),
            dollars,
        }
    }
}

/// The places of values that are written as they are.
fn plain(parts: &Parts, how: &How, pasted_variable: Option<&str>) -> Vec<Hole> {
    let sources = match how {
        How::Source(language) => {
            let mut units = units(parts);
            units.extend(pasted_variable.map(|_| Unit::Tag));
            interpreter::bounds(*language, &units, parts.values().count())
        }
        _ => Vec::new(),
    };
    let mut sources = sources.into_iter();
    // What Argo pastes may be empty.
    let own = parts.parts.iter().position(|part| matches!(part, Part::Own(_))).unwrap_or(parts.parts.len());
    let values = parts.parts.iter().enumerate().filter_map(|(at, part)| match part {
        Part::Value(word, inside) => Some((at, *word, *inside)),
        Part::Own(_) | Part::Tag(..) => None,
    });
    let hole = |(at, word, inside)| {
        let mut bound = match how {
            How::Data | How::Shell(..) => Bound::ANY,
            How::Argument(bound) | How::Reread(bound) => bound.clone(),
            How::Source(_) => sources.next().unwrap_or(Bound::ANY),
            How::Manifest if is_key(parts.parts.get(at + 1)) => Bound::never("it would be a key"),
            How::Manifest => Bound::safe_word("it is read as YAML or JSON once more"),
        };
        bound.raise(&inside_bound(inside));
        let begins = (matches!(how, How::Argument(_)) && at < own).then_some(0);
        Hole { word, bound, begins, path: false, quoting: None }
    };
    values.map(hole).collect()
}

/// Whether what stands before this part is a key in YAML or JSON.
fn is_key(next: Option<&Part>) -> bool {
    let Some(Part::Own(next)) = next else {
        return false;
    };
    let behind = next.trim_start_matches(['"', '\'', ' ']);
    behind
        .strip_prefix(':')
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace) || next.starts_with(['"', '\'']))
}

/// The places of values in a script, and its here-documents that have some.
fn script(
    parts: &Parts,
    dialect: Dialect,
    spelling: Spelling,
    expanded: bool,
    pasted_variable: Option<&str>,
) -> (Vec<Hole>, Vec<FilledDoc>) {
    let count = parts.values().count();
    let written = units(parts);
    let arrives = expanded_units(&written);
    let (units, script) = match spelling {
        Spelling::Argument if expanded => {
            let script = shell::scan(&arrives, count, dialect);
            (arrives, script)
        }
        Spelling::Argument => {
            let script = shell::scan(&written, count, dialect);
            (written, script)
        }
        Spelling::Source => {
            let mut script = shell::scan(&written, count, dialect);
            if arrives != written {
                // Argo hands the source on in a variable, which kubelet may expand or not: both must be sound.
                script.also(&shell::scan(&arrives, count, dialect));
            }
            (written, script)
        }
    };
    let tag = parts.pastes.iter().find(|paste| paste.kind != PasteKind::Harmless).map(|paste| paste.tag.as_str());
    let pasted = tag.or(pasted_variable).map(|pasted| {
        Bound::safe_word(format!("{pasted} is pasted into the same script, which could change the quotes around it"))
    });
    let next = holes_at(&units).into_iter().map(|at| units.get(at + 1).copied());
    let holes = parts.values().zip(&script.holes).zip(next).map(|(((word, inside), hole), next)| {
        let mut bound = hole.bound.clone();
        bound.raise(&inside_bound(inside));
        bound.raise(pasted.as_ref().unwrap_or(&Bound::ANY));
        let quoting = (inside == Inside::Text).then(|| Quoting::of(hole, spelling, next));
        Hole { word, bound, begins: hole.begins, path: hole.path, quoting }
    });
    let here_docs = script.here_docs.iter().filter_map(|doc| {
        let body = units.get(doc.body.clone()).unwrap_or_default();
        let filled = body.iter().any(|unit| matches!(unit, Unit::Hole(_)));
        filled.then(|| FilledDoc { doc: doc.clone(), body: body.to_vec() })
    });
    (holes.collect(), here_docs.collect())
}

fn units(parts: &Parts) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut next = 0;
    for part in &parts.parts {
        match part {
            Part::Own(own) => units.extend(own.chars().map(Unit::Char)),
            // A name or a number is like a letter to every reader.
            Part::Tag(_, PasteKind::Harmless) => units.push(Unit::Char('x')),
            Part::Tag(..) => units.push(Unit::Tag),
            Part::Value(..) => {
                units.push(Unit::Hole(next));
                next += 1;
            }
        }
    }
    units
}

fn holes_at(units: &[Unit]) -> Vec<usize> {
    let holes = units.iter().enumerate().filter(|(_, unit)| matches!(unit, Unit::Hole(_)));
    holes.map(|(at, _)| at).collect()
}

/// The text with a letter in place of all that is not spelled out.
fn neutral(units: &[Unit]) -> Vec<char> {
    let char = |unit: &Unit| match unit {
        Unit::Char(c) => *c,
        Unit::Tag | Unit::Hole(_) => 'x',
    };
    units.iter().map(char).collect()
}

/// The units that are left when kubelet has expanded the text.
fn expanded_units(units: &[Unit]) -> Vec<Unit> {
    units.iter().zip(kubelet::kept(&neutral(units))).filter_map(|(unit, kept)| kept.then_some(*unit)).collect()
}

fn inside_bound(inside: Inside) -> Bound {
    match inside {
        Inside::Text => Bound::ANY,
        Inside::Tag => Bound::safe_word("it stands in one of Argo's tags"),
        Inside::Literal => Bound::safe_word("it stands in an expression of Argo's"),
        Inside::Expression => Bound::new(Limit::Digits, "it stands in an expression of Argo's, outside of a string"),
    }
}
