//! What each function yields. Values flow through with the name of the parameter that they came from.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

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
        F::Add | F::Subtract | F::Multiply | F::Divide | F::FloorDivide | F::Remainder => {
            arithmetic(function, subject, needed(second)?, budget)?
        }
        F::Negate => arithmetic(F::Subtract, &Value::own(Data::Int(0)), subject, budget)?,
        F::Absolute => match &subject.data {
            Data::Int(number) => Data::Int(number.checked_abs().ok_or_else(too_large)?),
            Data::Float(number) => Data::Float(number.abs()),
            _ => return Err(not_a("a number", subject)),
        },
        F::Odd => Data::Bool(integer(subject)?.rem_euclid(2) == 1),
        F::Even => Data::Bool(integer(subject)?.rem_euclid(2) == 0),
        F::ByteLength | F::Length | F::Index | F::Item | F::ByteSlice | F::Slice | F::First | F::Last => {
            return part(function, subject, others, budget);
        }
        F::ToInt => match to_int(subject) {
            Ok(number) => Data::Int(number),
            Err(flaw) => return second.cloned().ok_or(flaw),
        },
        F::ToFloat => match to_float(subject) {
            Ok(number) => Data::Float(number),
            Err(flaw) => return second.cloned().ok_or(flaw),
        },
        F::ToBool => Data::Bool(to_bool(subject)?),
        F::DefaultIfEmpty => return Ok(if subject.is_true() { subject } else { needed(second)? }.clone()),
        F::DefaultIfMissing => {
            let also_empty = others.get(1).is_some_and(Value::is_true);
            let replace = match subject.data {
                Data::Missing => true,
                _ => also_empty && !subject.is_true(),
            };
            return Ok(if replace { needed(second)? } else { subject }.clone());
        }
        F::Defined => Data::Bool(subject.data != Data::Missing),
        F::Contains => Data::Bool(contains(subject, needed(second)?)?),
        F::Join | F::Reverse | F::Sort | F::Unique => list(function, subject, others, budget)?,
        F::Range => range(subject, second, budget)?,
        F::Split | F::Lines => {
            let separator = second.map(scalar).transpose()?;
            let subject_text = scalar(subject)?;
            let parts: Vec<&str> = match (function, separator.as_deref()) {
                (F::Lines, _) => subject_text.lines().collect(),
                (_, None) => subject_text.split_whitespace().collect(),
                (_, Some("")) => subject_text.split("").filter(|part| !part.is_empty()).collect(),
                (_, Some(separator)) => subject_text.split(separator).collect(),
            };
            budget.steps(parts.len())?;
            let item = |part: &str| Value::own_text(part).or_from(subject.from.as_ref());
            Data::List(parts.into_iter().map(item).collect())
        }
        F::Printf => Data::Text(text::printf(&scalar(subject)?, others, budget)?.into()),
        F::Print | F::Println | F::Concat => Data::Text(text::concat(function, subject, others)?.into()),
        F::ToText
        | F::Lower
        | F::Upper
        | F::Capitalize
        | F::Trim
        | F::TrimPrefix
        | F::TrimSuffix
        | F::HasPrefix
        | F::HasSuffix
        | F::Replace => text::transform(function, &scalar(subject)?, others, budget)?,
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

fn arithmetic(function: Function, left: &Value, right: &Value, budget: &mut Budget) -> Result<Data, Flaw> {
    use Function as F;
    if let (F::Add, Data::Text(_), Data::Text(_)) = (function, &left.data, &right.data) {
        budget.step(left.size() + right.size())?;
        return Ok(Data::Text(text::concat(F::Concat, left, std::slice::from_ref(right))?.into()));
    }
    if let (Data::Int(left), Data::Int(right)) = (&left.data, &right.data)
        && function != F::Divide
    {
        if *right == 0 && matches!(function, F::FloorDivide | F::Remainder) {
            return Err(Flaw::new("divides by zero"));
        }
        let result = match function {
            F::Add => left.checked_add(*right),
            F::Subtract => left.checked_sub(*right),
            F::Multiply => left.checked_mul(*right),
            F::FloorDivide => floor_divide(*left, *right),
            _ => floor_divide(*left, *right).and_then(|quotient| left.checked_sub(quotient.checked_mul(*right)?)),
        };
        return result.map(Data::Int).ok_or_else(too_large);
    }
    let (left, right) = (float(left)?, float(right)?);
    let result = match function {
        F::Add => left + right,
        F::Subtract => left - right,
        F::Multiply => left * right,
        F::Divide => left / right,
        F::FloorDivide => (left / right).floor(),
        _ => left - right * (left / right).floor(),
    };
    if result.is_finite() { Ok(Data::Float(result)) } else { Err(Flaw::new("the result is not a finite number")) }
}

/// Rounds towards minus infinity, as Python does.
fn floor_divide(left: i64, right: i64) -> Option<i64> {
    let quotient = left.checked_div(right)?;
    let inexact = left.checked_rem(right)? != 0;
    Some(quotient - i64::from(inexact && (left < 0) != (right < 0)))
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

/// Functions that look at the length of text or a list, or take a part of it.
fn part(function: Function, subject: &Value, others: &[Value], budget: &mut Budget) -> Result<Value, Flaw> {
    use Function as F;
    let items = match &subject.data {
        Data::List(items) => Some(items),
        Data::Text(_) => None,
        _ => return Err(not_a("text or a list", subject)),
    };
    let length = match (items, &subject.data) {
        (Some(items), _) => items.len(),
        (None, Data::Text(text)) if matches!(function, F::ByteLength | F::ByteSlice) => text.len(),
        (None, Data::Text(text)) => text.chars().count(),
        (None, _) => 0,
    };
    let from_end = matches!(function, F::Item | F::Slice);
    match function {
        F::ByteLength | F::Length => Ok(Value::own(Data::Int(i64::try_from(length).map_err(|_| too_large())?))),
        F::Slice | F::ByteSlice => {
            let start = others.first().map_or(Ok(0), integer)?;
            let end = others.get(1).map_or(Ok(i64::MAX), integer)?;
            let (start, end) = if from_end {
                (clamped(start, length), clamped(end, length))
            } else {
                let end = if others.len() < 2 { length } else { place(end, length + 1)? };
                (place(start, length + 1)?, end)
            };
            if start > end && !from_end {
                return Err(Flaw::new(format!("a slice cannot go from {start} back to {end}")));
            }
            slice(subject, items, start..end.max(start), function)
        }
        _ => {
            let at = match function {
                F::First => Some(0),
                F::Last => length.checked_sub(1),
                _ => {
                    let number = integer(needed(others.first())?)?;
                    if from_end && number < 0 {
                        usize::try_from(number.unsigned_abs()).ok().and_then(|back| length.checked_sub(back))
                    } else {
                        usize::try_from(number).ok()
                    }
                }
            };
            let Some(at) = at.filter(|at| *at < length) else {
                let noun = if items.is_some() { "items" } else { "characters" };
                return Err(Flaw::new(format!("asks for a part that is not there: there are {length} {noun}")));
            };
            if function == F::Index && items.is_none() {
                return Err(Flaw::new("index takes a list or all parameters, but found text")
                    .hint("slice takes a part of a text"));
            }
            let item = match items {
                Some(items) => items.get(at).cloned(),
                None => Some(slice(subject, None, at..at + 1, F::Slice)?),
            };
            budget.step(0)?;
            item.ok_or_else(|| Flaw::new("asks for a part that is not there"))
        }
    }
}

/// A place in something of this length, as Go counts: from 0, and never from the end.
fn place(number: i64, length: usize) -> Result<usize, Flaw> {
    usize::try_from(number).ok().filter(|at| *at < length).ok_or_else(|| {
        Flaw::new(format!("{number} is outside of the text, which ends at {}", length.saturating_sub(1)))
    })
}

/// A place in something of this length: negative counts from the end, and what is outside is brought to its ends.
fn clamped(number: i64, length: usize) -> usize {
    if number < 0 {
        let back = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
        length.saturating_sub(back)
    } else {
        usize::try_from(number).unwrap_or(usize::MAX).min(length)
    }
}

fn slice(
    subject: &Value,
    items: Option<&Arc<[Value]>>,
    range: std::ops::Range<usize>,
    function: Function,
) -> Result<Value, Flaw> {
    if let Some(items) = items {
        let part = items.get(range).unwrap_or_default();
        return Ok(Value::own(Data::List(part.into())));
    }
    let text = scalar(subject)?;
    if function == Function::ByteSlice {
        let part =
            text.get(range).ok_or_else(|| Flaw::new("this slice cuts through a character of more than one byte"))?;
        return Ok(Value::own_text(part));
    }
    let part: String = text.chars().skip(range.start).take(range.len()).collect();
    Ok(Value::own_text(&part))
}

fn list(function: Function, subject: &Value, others: &[Value], budget: &mut Budget) -> Result<Data, Flaw> {
    let items = match &subject.data {
        Data::List(items) => items,
        Data::Text(text) if function == Function::Reverse => {
            return Ok(Data::Text(text.chars().rev().collect::<String>().into()));
        }
        _ => return Err(not_a("a list", subject).hint("split makes a list of a text")),
    };
    budget.steps(items.len())?;
    match function {
        Function::Join => {
            let separator = others.first().map_or(Ok(Cow::Borrowed("")), scalar)?;
            budget.step(separator.len().saturating_mul(items.len()))?;
            let texts = items.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
            Ok(Data::Text(texts.join(separator.as_ref()).into()))
        }
        Function::Reverse => Ok(Data::List(items.iter().rev().cloned().collect())),
        Function::Unique => {
            let mut seen = std::collections::BTreeSet::new();
            let mut kept = Vec::new();
            for item in items.iter() {
                if seen.insert(scalar(item)?.into_owned()) {
                    kept.push(item.clone());
                }
            }
            Ok(Data::List(kept.into()))
        }
        _ => sorted(items, budget),
    }
}

fn sorted(items: &[Value], budget: &mut Budget) -> Result<Data, Flaw> {
    let rounds = items.len().checked_ilog2().unwrap_or_default() as usize;
    let bytes: usize = items.iter().map(Value::size).sum();
    budget.step(bytes.saturating_mul(rounds))?;
    let all_text = items.iter().all(|item| matches!(item.data, Data::Text(_)));
    let all_numbers = items.iter().all(|item| matches!(item.data, Data::Int(_) | Data::Float(_)));
    if !all_text && !all_numbers {
        return Err(Flaw::new("sort takes a list of texts or a list of numbers, not of both"));
    }
    let mut sorted = items.to_vec();
    sorted.sort_by(|left, right| match (&left.data, &right.data) {
        (Data::Text(left), Data::Text(right)) => left.cmp(right),
        // Integers are compared as such only among themselves; a total order needs one measure for all.
        _ => float(left).unwrap_or_default().total_cmp(&float(right).unwrap_or_default()),
    });
    Ok(Data::List(sorted.into()))
}

fn range(first: &Value, second: Option<&Value>, budget: &mut Budget) -> Result<Data, Flaw> {
    let (start, end) = match second {
        Some(end) => (integer(first)?, integer(end)?),
        None => (0, integer(first)?),
    };
    let count = usize::try_from(end.saturating_sub(start).max(0)).unwrap_or(usize::MAX);
    budget.steps(count)?;
    let from = first.from.as_ref().or_else(|| second.and_then(|second| second.from.as_ref()));
    let items = (start..end).map(|number| Value::own(Data::Int(number)).or_from(from));
    Ok(Data::List(items.collect()))
}
