//! The functions that make text of text.

use super::apply::{needed, not_a, quoted, scalar};
use super::budget::Budget;
use super::function::Function;
use super::value::{Data, Value};
use crate::render::Flaw;

/// The widest field and the most digits that a format may ask for.
const MOST_PADDING: usize = 1024;

/// One text from another.
pub(super) fn transform(
    function: Function,
    subject: &str,
    others: &[Value],
    budget: &mut Budget,
) -> Result<Data, Flaw> {
    let second = others.first().map(scalar).transpose()?;
    let second = second.as_deref();
    let made = match function {
        Function::Lower => subject.to_lowercase(),
        Function::Upper => subject.to_uppercase(),
        Function::Trim => subject.trim().to_owned(),
        Function::TrimPrefix => {
            let prefix = second.unwrap_or_default();
            subject.strip_prefix(prefix).unwrap_or(subject).to_owned()
        }
        Function::TrimSuffix => {
            let suffix = second.unwrap_or_default();
            subject.strip_suffix(suffix).unwrap_or(subject).to_owned()
        }
        Function::HasPrefix => {
            return Ok(Data::Bool(subject.starts_with(second.unwrap_or_default())));
        }
        Function::HasSuffix => {
            return Ok(Data::Bool(subject.ends_with(second.unwrap_or_default())));
        }
        Function::Replace => {
            let old = second.unwrap_or_default();
            let new = scalar(needed(others.get(1))?)?;
            let found = subject.matches(old).count();
            budget.step(subject.len() + found.saturating_mul(new.len()))?;
            subject.replace(old, &new)
        }
        _ => subject.to_owned(),
    };
    Ok(Data::Text(made.into()))
}

/// The operands one after the other, with the spaces that the function puts between them.
pub(super) fn concat(function: Function, first: &Value, others: &[Value]) -> Result<String, Flaw> {
    let mut made = scalar(first)?.into_owned();
    let mut before = first;
    for value in others {
        let neither_is_text = !matches!(before.data, Data::Text(_)) && !matches!(value.data, Data::Text(_));
        if function == Function::Println || (function == Function::Print && neither_is_text) {
            made.push(' ');
        }
        made.push_str(&scalar(value)?);
        before = value;
    }
    if function == Function::Println {
        made.push('\n');
    }
    Ok(made)
}

/// Go's `printf` with the verbs %s %v %d %f %t %x and %%, and the flags `-`, `+` and `0`.
///
/// Where Go prints a mark such as `%!d(string=x)`, this is a flaw.
pub(super) fn printf(format: &str, operands: &[Value], budget: &mut Budget) -> Result<String, Flaw> {
    let mut made = String::new();
    let mut operands = operands.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        made.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            made.push('%');
            rest = after;
            continue;
        }
        let (layout, after) = Layout::read(after)?;
        let operand = operands.next().ok_or_else(|| {
            Flaw::new(format!("the format {} asks for more operands than it is given", quoted(format)))
        })?;
        let text = layout.show(operand)?;
        budget.step(text.len())?;
        made.push_str(&text);
        rest = after;
    }
    made.push_str(rest);
    match operands.next() {
        Some(_) => Err(Flaw::new(format!("the format {} asks for fewer operands than it is given", quoted(format)))),
        None => Ok(made),
    }
}

/// How one operand is to be shown.
struct Layout {
    left: bool,
    plus: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    verb: char,
}

impl Layout {
    /// Reads what stands behind a `%`.
    fn read(text: &str) -> Result<(Self, &str), Flaw> {
        let flags_end = text.find(|c| !matches!(c, '-' | '+' | '0')).unwrap_or(text.len());
        let (flags, rest) = text.split_at_checked(flags_end).unwrap_or((text, ""));
        let (width, rest) = padding(rest)?;
        let (precision, rest) = match rest.strip_prefix('.') {
            Some(rest) => padding(rest).map(|(digits, rest)| (Some(digits), rest))?,
            None => (None, rest),
        };
        let mut chars = rest.chars();
        let verb =
            chars.next().ok_or_else(|| Flaw::new("the format ends behind a %").hint("write %% for a percent sign"))?;
        let layout = Self {
            left: flags.contains('-'),
            plus: flags.contains('+'),
            zero: flags.contains('0'),
            width,
            precision,
            verb,
        };
        Ok((layout, chars.as_str()))
    }

    fn show(&self, operand: &Value) -> Result<String, Flaw> {
        let (text, is_number) = match (self.verb, &operand.data) {
            ('d', Data::Int(number)) => (number.to_string(), true),
            ('x', Data::Int(number)) => (signed_hex(*number), true),
            ('f', Data::Float(number)) => (self.decimal(*number), true),
            ('v', Data::Int(_) | Data::Float(_)) => (scalar(operand)?.into_owned(), true),
            ('t', Data::Bool(truth)) => (truth.to_string(), false),
            ('s' | 'v', _) => {
                let text = scalar(operand)?;
                let most = self.precision.unwrap_or(usize::MAX);
                (text.chars().take(most).collect(), false)
            }
            ('d' | 'x', _) => return Err(not_a("an integer", operand).hint("use int first")),
            ('f', _) => return Err(not_a("a number", operand).hint("use float first")),
            ('t', _) => return Err(not_a("true or false", operand).hint("use bool first")),
            ('q', _) => {
                return Err(Flaw::new("the verb %q is not supported")
                    .hint("use %s: a printed value is quoted for the place where it stands"));
            }
            (verb, _) => {
                return Err(
                    Flaw::new(format!("the verb %{verb} is not supported")).hint("use %s, %v, %d, %f, %t or %x")
                );
            }
        };
        Ok(self.pad(text, is_number))
    }

    fn decimal(&self, number: f64) -> String {
        format!("{number:.*}", self.precision.unwrap_or(6))
    }

    fn pad(&self, text: String, is_number: bool) -> String {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) if is_number => ("-", digits),
            _ if is_number && self.plus => ("+", text.as_str()),
            _ => ("", text.as_str()),
        };
        let missing = self.width.saturating_sub(sign.len() + digits.chars().count());
        if self.left {
            format!("{sign}{digits}{}", " ".repeat(missing))
        } else if self.zero {
            format!("{sign}{}{digits}", "0".repeat(missing))
        } else {
            format!("{}{sign}{digits}", " ".repeat(missing))
        }
    }
}

/// Reads a width or a precision; none is 0.
fn padding(text: &str) -> Result<(usize, &str), Flaw> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if digits.is_empty() {
        return Ok((0, rest));
    }
    match digits.parse() {
        Ok(padding) if padding <= MOST_PADDING => Ok((padding, rest)),
        _ => Err(Flaw::new(format!("the format asks for a width of {digits}, but at most {MOST_PADDING} is allowed"))),
    }
}

fn signed_hex(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{:x}", number.unsigned_abs())
}
