//! What each function yields. Values flow through with the name of the parameter that they came from.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::budget::Budget;
use super::function::Function;
use super::text;
use super::value::{Data, Value};
use crate::render::Flaw;

/// Applies a function to its operands, the subject first. The flaw does not say where; the caller knows.
pub(super) fn apply(function: Function, operands: &[Value], budget: &mut Budget) -> Result<Value, Flaw> {
    budget.step(operands.iter().map(Value::size).sum())?;
    let from = operands.iter().find_map(|operand| operand.from.clone());
    let subject = operands.first();
    let value = match (subject, operands) {
        (Some(subject), [_, others @ ..]) => with_subject(function, subject, others, budget)?,
        _ => match function {
            Function::Println => Value::own_text("\n"),
            _ => Value::own_text(""),
        },
    };
    Ok(value.or_from(from.as_ref()))
}

fn with_subject(function: Function, subject: &Value, others: &[Value], budget: &mut Budget) -> Result<Value, Flaw> {
    use Function as F;
    let second = others.first();
    let data = match function {
        F::Not => Data::Bool(!subject.is_true()),
        F::Equal => Data::Bool(equals_any(subject, others)?),
        F::NotEqual => Data::Bool(!equals_any(subject, others)?),
        F::Less | F::LessOrEqual | F::Greater | F::GreaterOrEqual => {
            let order = compare(subject, needed(second)?)?;
            Data::Bool(match function {
                F::Less => order.is_lt(),
                F::LessOrEqual => order.is_le(),
                F::Greater => order.is_gt(),
                _ => order.is_ge(),
            })
        }
        F::Length => Data::Int(i64::try_from(length(subject)?).map_err(|_| too_large())?),
        F::Index => return item(subject, needed(second)?, budget),
        F::Slice => slice(subject, others)?,
        F::ToInt => Data::Int(to_int(subject)?),
        F::ToFloat => Data::Float(to_float(subject)?),
        F::ToBool => Data::Bool(to_bool(subject)?),
        F::DefaultIfEmpty => return Ok(if subject.is_true() { subject } else { needed(second)? }.clone()),
        F::Contains => Data::Bool(contains(subject, needed(second)?)?),
        F::Join => join(subject, needed(second)?, budget)?,
        F::Split => {
            let separator = scalar(needed(second)?)?;
            let subject_text = scalar(subject)?;
            let parts: Vec<&str> = match separator.as_ref() {
                "" => subject_text.split("").filter(|part| !part.is_empty()).collect(),
                separator => subject_text.split(separator).collect(),
            };
            budget.steps(parts.len())?;
            let item = |part: &str| Value::own_text(part).or_from(subject.from.as_ref());
            Data::List(parts.into_iter().map(item).collect())
        }
        F::Printf => Data::Text(text::printf(&scalar(subject)?, others, budget)?.into()),
        F::Print | F::Println => Data::Text(text::concat(function, subject, others)?.into()),
        F::Lower | F::Upper | F::Trim | F::TrimPrefix | F::TrimSuffix | F::HasPrefix | F::HasSuffix | F::Replace => {
            text::transform(function, &scalar(subject)?, others, budget)?
        }
    };
    Ok(Value::own(data))
}

/// The text of anything that can be printed.
pub(super) fn scalar(value: &Value) -> Result<Cow<'_, str>, Flaw> {
    match &value.data {
        Data::Text(text) => Ok(Cow::Borrowed(text)),
        _ => value.printed().map(Cow::Owned).ok_or_else(|| not_a("text", value)),
    }
}

pub(super) fn not_a(wanted: &str, found: &Value) -> Flaw {
    Flaw::new(format!("found {}, but {wanted} is needed here", found.noun()))
}

/// Signatures make sure of the number of operands; this keeps a mistake there from being a panic.
pub(super) fn needed(operand: Option<&Value>) -> Result<&Value, Flaw> {
    operand.ok_or_else(|| Flaw::new("an operand is missing"))
}

/// A missing value equals another missing one and nothing else, as in Go.
fn equals_any(subject: &Value, others: &[Value]) -> Result<bool, Flaw> {
    for other in others {
        let equal = match (&subject.data, &other.data) {
            (Data::Missing, Data::Missing) => true,
            (Data::Missing, _) | (_, Data::Missing) => false,
            _ => compare(subject, other)?.is_eq(),
        };
        if equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compare(left: &Value, right: &Value) -> Result<Ordering, Flaw> {
    Ok(match (&left.data, &right.data) {
        (Data::Text(left), Data::Text(right)) => left.cmp(right),
        (Data::Bool(left), Data::Bool(right)) => left.cmp(right),
        (Data::Int(left), Data::Int(right)) => left.cmp(right),
        (Data::Int(_) | Data::Float(_), Data::Int(_) | Data::Float(_)) => float(left)?.total_cmp(&float(right)?),
        _ => {
            return Err(Flaw::new(format!("compares {} with {}", left.noun(), right.noun()))
                .hint("parameters are text: compare with a text in quotes, or use int, float or bool first"));
        }
    })
}

fn float(value: &Value) -> Result<f64, Flaw> {
    match value.data {
        // Integers beyond 2^53 lose their last digits, as they do in every language with such a comparison.
        #[allow(clippy::cast_precision_loss, reason = "the loss is the promise of a float")]
        Data::Int(number) => Ok(number as f64),
        Data::Float(number) => Ok(number),
        _ => Err(not_a("a number", value).hint("parameters are text: use int or float first")),
    }
}

fn integer(value: &Value) -> Result<i64, Flaw> {
    match value.data {
        Data::Int(number) => Ok(number),
        _ => Err(not_a("an integer", value).hint("parameters are text: use int first")),
    }
}

fn too_large() -> Flaw {
    Flaw::new("the result is outside of what 64 bits hold")
}

fn to_int(value: &Value) -> Result<i64, Flaw> {
    match &value.data {
        Data::Int(number) => Ok(*number),
        Data::Float(number) => {
            let whole = number.trunc();
            // 2^63 is exact as a float; everything below it in size fits.
            if whole.abs() < 9_223_372_036_854_775_808.0 {
                #[allow(clippy::cast_possible_truncation, reason = "the range was checked")]
                Ok(whole as i64)
            } else {
                Err(too_large())
            }
        }
        Data::Text(text) => text.trim().parse().map_err(|_| not_readable(text, "an integer")),
        _ => Err(not_a("text or a number", value)),
    }
}

fn to_float(value: &Value) -> Result<f64, Flaw> {
    match &value.data {
        Data::Text(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| not_readable(text, "a number")),
        _ => float(value),
    }
}

fn to_bool(value: &Value) -> Result<bool, Flaw> {
    match &value.data {
        Data::Bool(truth) => Ok(*truth),
        Data::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Data::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
        Data::Text(text) => Err(not_readable(text, "true or false")),
        _ => Err(not_a("text", value)),
    }
}

fn not_readable(found: &str, wanted: &str) -> Flaw {
    Flaw::new(format!("found {}, but {wanted} is needed here", quoted(found)))
}

/// A text in quotes, cut to what a message has room for.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("{shown:?}{more}")
}

fn contains(subject: &Value, wanted: &Value) -> Result<bool, Flaw> {
    match &subject.data {
        Data::List(items) => {
            for item in items.iter() {
                if compare(item, wanted)?.is_eq() {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Ok(scalar(subject)?.contains(scalar(wanted)?.as_ref())),
    }
}

/// Length in bytes or items.
fn length(subject: &Value) -> Result<usize, Flaw> {
    match &subject.data {
        Data::List(items) => Ok(items.len()),
        Data::Text(text) => Ok(text.len()),
        _ => Err(not_a("text or a list", subject)),
    }
}

/// An item of a list.
fn item(subject: &Value, number: &Value, budget: &mut Budget) -> Result<Value, Flaw> {
    budget.step(0)?;
    let Data::List(items) = &subject.data else {
        return Err(not_a("a list or all parameters", subject).hint("slice takes a part of a text"));
    };
    usize::try_from(integer(number)?)
        .ok()
        .and_then(|at| items.get(at).cloned())
        .ok_or_else(|| Flaw::new(format!("asks for a part that is not there: there are {} items", items.len())))
}

/// Go's `slice`.
fn slice(subject: &Value, bounds: &[Value]) -> Result<Data, Flaw> {
    let length = length(subject)?;
    let bound = |index: usize, open: usize| match bounds.get(index) {
        Some(bound) => place(integer(bound)?, length + 1),
        None => Ok(open),
    };
    let (start, end) = (bound(0, 0)?, bound(1, length)?);
    if start > end {
        return Err(Flaw::new(format!("a slice cannot go from {start} back to {end}")));
    }
    if let Data::List(items) = &subject.data {
        return Ok(Data::List(items.get(start..end).unwrap_or_default().into()));
    }
    let text = scalar(subject)?;
    let part =
        text.get(start..end).ok_or_else(|| Flaw::new("this slice cuts through a character of more than one byte"))?;
    Ok(Data::Text(part.into()))
}

/// A place in something of this length, as Go counts: from 0, and never from the end.
fn place(number: i64, length: usize) -> Result<usize, Flaw> {
    usize::try_from(number).ok().filter(|at| *at < length).ok_or_else(|| {
        Flaw::new(format!("{number} is outside of the text, which ends at {}", length.saturating_sub(1)))
    })
}

fn join(subject: &Value, separator: &Value, budget: &mut Budget) -> Result<Data, Flaw> {
    let Data::List(items) = &subject.data else {
        return Err(not_a("a list", subject).hint("split makes a list of a text"));
    };
    let separator = scalar(separator)?;
    budget.steps(items.len())?;
    budget.step(separator.len().saturating_mul(items.len()))?;
    let texts = items.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
    Ok(Data::Text(texts.join(separator.as_ref()).into()))
}
