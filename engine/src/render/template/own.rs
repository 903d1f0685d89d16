//! Expressions of our own style: minijinja reads and evaluates them.
//!
//! What an expression reads is known before it is evaluated, so a result carries the parameter that it came from. A
//! missing parameter is a flaw wherever it is used, except before `default` and `is defined`.

mod names;

use std::sync::{Arc, LazyLock};

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Expression, State, UndefinedBehavior, Value as Engine, context};

use super::apply::quoted;
use super::ast::{Counter, Expr, Position};
use super::budget::Budget;
use super::cursor::Cursor;
use super::limits;
use super::scope::{Binding, Scope};
use super::value::{Data, Value};
use crate::render::Flaw;
use names::Name;

/// Words that an expression gives a meaning to, so that nothing else can be called so.
pub(super) const WORDS: &[&str] =
    &["and", "else", "false", "if", "in", "is", "none", "not", "or", "true", "False", "None", "True"];

/// The functions; a parameter of such a name can be printed, but not be read in an expression.
const FUNCTIONS: &[&str] = &["keep", "range"];

/// Stands before a name where it may be missing, so that the engine reads it as undefined there and nowhere else.
const MAY_MISS: &str = "__";

/// Filters and functions of the engine that make no sense here: a value is escaped for its place, whatever it says of
/// itself, and `debug` shows parameters that the expression does not name.
const REMOVED_FILTERS: &[&str] = &["e", "escape", "safe"];
const REMOVED_FUNCTIONS: &[&str] = &["debug", "dict", "namespace"];

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_fuel(u64::try_from(limits::FUEL).ok());
    engine.set_debug(false);
    REMOVED_FILTERS.iter().for_each(|name| engine.remove_filter(name));
    REMOVED_FUNCTIONS.iter().for_each(|name| engine.remove_global(name));
    engine.add_filter("bool", to_bool);
    engine.add_filter("int", to_int);
    engine.add_filter("float", to_float);
    engine.add_filter(SPENT, spent);
    engine.add_function("keep", keep);
    engine
});

/// One expression, ready to be evaluated.
#[derive(Debug)]
pub(super) struct Own {
    text: String,
    at: Position,
    /// The bytes of the compiled text that the template does not have.
    marks: Vec<usize>,
    compiled: Expression<'static, 'static>,
    /// What it reads, in the order of the text.
    pub(super) reads: Vec<Read>,
}

/// One name that an expression reads.
#[derive(Debug)]
pub(super) struct Read {
    name: String,
    /// Where it stands first; better, where it first may not be missing.
    pub(super) at: Position,
    may_miss: bool,
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) enum Source {
    /// A variable or a parameter.
    Value(Expr),
    /// The `loop` of the innermost loop.
    Loop(Counter),
}

/// Reads the expression that the rest of a tag is.
pub(super) fn expression(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Own, Flaw> {
    let at = cursor.at();
    let (text, tokens) = cursor.take_rest();
    if tokens.is_empty() {
        return Err(at.flaw("found the end of the tag, but expected a value"));
    }
    let names = names::names(&tokens)?;
    // Compiled by itself first: only what is an expression may be put between parentheses.
    ENGINE.compile_expression(text).map_err(|error| flaw(&error, text, at, &[]))?;
    let start = tokens.first().map_or(0, |token| token.offset);
    let (mut marked, mut marks, mut copied) = ("(".to_owned(), vec![0], 0);
    let mut reads: Vec<Read> = Vec::new();
    for Name { name, token, may_miss } in names {
        if may_miss {
            let offset = token.offset - start;
            marked.push_str(text.get(copied..offset).unwrap_or_default());
            marks.extend([marked.len(), marked.len() + 1]);
            marked.push_str(MAY_MISS);
            copied = offset;
        }
        if let Some(read) = reads.iter_mut().find(|read| read.name == name) {
            if read.may_miss && !may_miss {
                (read.at, read.may_miss) = (token.at, false);
            }
            continue;
        }
        let binding = scope.bindings(name).next();
        let source = match binding {
            Some(Binding::Loop(counter)) => Source::Loop(counter),
            _ => Source::Value(scope.name(token.at, name, false)),
        };
        reads.push(Read { name: name.to_owned(), at: token.at, may_miss, source });
    }
    marked.push_str(text.get(copied..).unwrap_or_default());
    let compiled = ENGINE
        .compile_expression_owned(format!("{marked})|{SPENT}"))
        .map_err(|error| flaw(&error, text, at, &marks))?;
    Ok(Own { text: text.to_owned(), at, marks, compiled, reads })
}

impl Own {
    /// Evaluates it; `values` are those of [`Own::reads`], and `from` is the parameter that they come from.
    pub(super) fn evaluate(
        &self,
        values: &[Option<Engine>],
        from: Option<&Arc<str>>,
        budget: &mut Budget,
    ) -> Result<Value, Failure> {
        let mut context = Vec::new();
        for (read, value) in self.reads.iter().zip(values) {
            let name = &read.name;
            match value {
                Some(value) => {
                    context.extend([(name.clone(), value.clone()), (format!("{MAY_MISS}{name}"), value.clone())])
                }
                // Reading it fails with this error, wherever it stands.
                None => context.push((name.clone(), Error::new(ErrorKind::UndefinedError, name.clone()).into())),
            }
        }
        let outcome = self.compiled.eval(Engine::from_pairs(context)).map_err(|error| {
            let missing = self.reads.iter().zip(values).find(|(read, value)| {
                value.is_none() && error.kind() == ErrorKind::UndefinedError && error.detail() == Some(&read.name)
            });
            match missing {
                Some((read, _)) => Failure::Missing { name: read.name.clone(), at: read.at },
                None => Failure::Flaw(flaw(&error, &self.text, self.at, &self.marks)),
            }
        })?;
        let part = |index| outcome.get_item_by_index(index).unwrap_or_default();
        let consumed = part(1).as_usize().unwrap_or(limits::FUEL);
        let value = part(0);
        if value.is_undefined() {
            let nothing = self.at.flaw("this expression yields nothing").hint("use default to say what it is then");
            return Err(Failure::Flaw(nothing));
        }
        budget.steps(consumed).and_then(|()| own_value(&value, from, budget)).map_err(Failure::Flaw)
    }
}

/// Why an expression has no value.
pub(super) enum Failure {
    /// It uses a parameter that is missing.
    Missing {
        name: String,
        /// Where it is used.
        at: Position,
    },
    Flaw(Flaw),
}

/// A value as the engine has it; `None` when it is missing.
pub(super) fn engine_value(value: &Value) -> Option<Engine> {
    Some(match &value.data {
        Data::Missing | Data::Parameters => return None,
        Data::Text(text) => Engine::from(Arc::clone(text)),
        Data::Int(number) => Engine::from(*number),
        Data::Float(number) => Engine::from(*number),
        Data::Bool(truth) => Engine::from(*truth),
        Data::List(items) => items.iter().filter_map(engine_value).collect(),
    })
}

/// The `loop` of a loop that is in the round `index`, counted from 0.
pub(super) fn loop_value(index: i64, length: i64) -> Engine {
    context! {
        index => index + 1,
        index0 => index,
        first => index == 0,
        last => index + 1 == length,
        length => length,
    }
}

/// What the engine's value is here.
fn own_value(value: &Engine, from: Option<&Arc<str>>, budget: &mut Budget) -> Result<Value, Flaw> {
    let made = |data| Value::own(data).or_from(from);
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return scalar(value, budget).map(made);
    }
    let items = value.try_iter().map_err(|error| Flaw::new(error.to_string()))?;
    let mut list = Vec::new();
    for item in items {
        budget.step(0)?;
        list.push(made(scalar(&item, budget)?));
    }
    Ok(made(Data::List(list.into())))
}

fn scalar(value: &Engine, budget: &mut Budget) -> Result<Data, Flaw> {
    if let Some(text) = value.as_str() {
        budget.step(text.len())?;
        return Ok(Data::Text(text.into()));
    }
    let found = match value.kind() {
        ValueKind::Bool => return Ok(Data::Bool(value.is_true())),
        ValueKind::Number if value.is_integer() => match value.as_i64() {
            Some(number) => return Ok(Data::Int(number)),
            None => return Err(Flaw::new("the result is outside of what 64 bits hold")),
        },
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if number.is_finite() => return Ok(Data::Float(number)),
            _ => return Err(Flaw::new("the result is not a finite number")),
        },
        ValueKind::Seq | ValueKind::Iterable => "a list inside a list".to_owned(),
        ValueKind::None | ValueKind::Undefined => "nothing".to_owned(),
        ValueKind::Map => "a map".to_owned(),
        _ => "something else".to_owned(),
    };
    Err(Flaw::new(format!("the result is {found}, but text, a number, true or false, or a list of them is needed")))
}

/// What the engine says, with its place; `marks` are the bytes that were put into what the engine got.
fn flaw(error: &Error, text: &str, at: Position, marks: &[usize]) -> Flaw {
    const SHOWN: usize = 200;
    let offset = error.range().map(|range| range.start - marks.iter().filter(|mark| **mark < range.start).count());
    let at = offset.and_then(|offset| text.get(..offset)).map_or(at, |passed| at.after(passed));
    if error.kind() == ErrorKind::OutOfFuel {
        return Budget::exhausted().at(at.line, at.column);
    }
    let problem = match error.detail() {
        Some(detail) if error.kind() == ErrorKind::InvalidOperation => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let flaw = at.flaw(problem.replace(&format!("`{MAY_MISS}"), "`").chars().take(SHOWN).collect::<String>());
    let types = error.detail().is_none_or(|detail| detail.contains("unsupported types"));
    if types && error.kind() == ErrorKind::InvalidOperation {
        return flaw.hint("parameters are text: use int, float or bool first");
    }
    flaw
}

/// A filter that joins a result with the fuel that it took, since the engine tells that only while it evaluates.
const SPENT: &str = "__spent";

fn spent(state: &State<'_, '_>, value: Engine) -> Engine {
    let consumed = state.fuel_levels().map_or(0, |(consumed, _)| consumed);
    Engine::from(vec![value, Engine::from(consumed)])
}

/// Reads `true` and `false`; the engine's own filter asks whether a text is empty.
fn to_bool(value: &Engine) -> Result<bool, Error> {
    match value.as_str().map(str::trim) {
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        None if value.kind() == ValueKind::Bool => Ok(value.is_true()),
        _ => Err(not_readable(value, "true or false")),
    }
}

fn to_int(
    state: &State<'_, '_>,
    value: &Engine,
    default: Option<Engine>,
    base: Option<u32>,
    named: Kwargs,
) -> Result<Engine, Error> {
    minijinja::filters::int(state, value, default, base, named).map_err(|error| unreadable(error, value, "an integer"))
}

fn to_float(state: &State<'_, '_>, value: &Engine, default: Option<Engine>, named: Kwargs) -> Result<Engine, Error> {
    minijinja::filters::float(state, value, default, named).map_err(|error| unreadable(error, value, "a number"))
}

/// The engine's own message does not show what it found.
fn unreadable(error: Error, value: &Engine, wanted: &str) -> Error {
    if error.kind() == ErrorKind::InvalidOperation { not_readable(value, wanted) } else { error }
}

fn not_readable(value: &Engine, wanted: &str) -> Error {
    if value.is_undefined() {
        return Error::from(ErrorKind::UndefinedError);
    }
    let found = value.as_str().map_or_else(|| value.kind().to_string(), quoted);
    Error::new(ErrorKind::InvalidOperation, format!("found {found}, but {wanted} is needed here"))
}

fn keep(name: &str) -> Result<String, Error> {
    super::go::kept(name).map_err(|problem| Error::new(ErrorKind::InvalidOperation, problem))
}
