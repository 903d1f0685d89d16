//! Reads expressions of our own style, which is a part of Jinja's.
//!
//! A missing parameter is a flaw wherever it is used, except before `default` and `is defined`.

use super::ast::{Expr, ExprKind, LoopField, Position};
use super::cursor::Cursor;
use super::function::{self, FILTERS, Function, TESTS};
use super::go;
use super::lex::TokenKind;
use super::scope::{Binding, Scope};
use super::value::{Data, Value};
use crate::render::Flaw;

/// Words that an expression gives a meaning to, so that nothing else can be called so.
pub(super) const WORDS: &[&str] =
    &["and", "else", "false", "if", "in", "is", "none", "not", "or", "true", "False", "None", "True"];

/// `a if b else c`, or anything that binds tighter.
pub(super) fn expression(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let at = cursor.at();
    let then = either(cursor, scope)?;
    if !cursor.take_word("if") {
        return Ok(then);
    }
    cursor.operation()?;
    let condition = either(cursor, scope)?;
    if !cursor.take_word("else") {
        return Err(cursor.unexpected("else").hint("write what to take otherwise, as in: a if b else \"\""));
    }
    let otherwise = cursor.deeper(|cursor| expression(cursor, scope))?;
    Ok(Expr::new(
        at,
        ExprKind::Choice { condition: Box::new(condition), then: Box::new(then), otherwise: Box::new(otherwise) },
    ))
}

/// `a or b`, or anything that binds tighter; the word `if` may follow.
pub(super) fn either(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let at = cursor.at();
    let mut operands = vec![both(cursor, scope)?];
    while cursor.take_word("or") {
        cursor.operation()?;
        operands.push(both(cursor, scope)?);
    }
    Ok(one_or(at, operands, ExprKind::Or))
}

fn both(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let at = cursor.at();
    let mut operands = vec![negation(cursor, scope)?];
    while cursor.take_word("and") {
        cursor.operation()?;
        operands.push(negation(cursor, scope)?);
    }
    Ok(one_or(at, operands, ExprKind::And))
}

fn one_or(at: Position, mut operands: Vec<Expr>, make: fn(Vec<Expr>) -> ExprKind) -> Expr {
    match operands.pop() {
        Some(only) if operands.is_empty() => only,
        last => {
            operands.extend(last);
            Expr::new(at, make(operands))
        }
    }
}

fn negation(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let at = cursor.at();
    if !cursor.take_word("not") {
        return comparison(cursor, scope);
    }
    cursor.operation()?;
    let operand = cursor.deeper(|cursor| negation(cursor, scope))?;
    Ok(call(at, Function::Not, vec![operand]))
}

fn comparison(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    const SIGNS: &[(&str, Function)] = &[
        ("==", Function::Equal),
        ("!=", Function::NotEqual),
        ("<=", Function::LessOrEqual),
        (">=", Function::GreaterOrEqual),
        ("<", Function::Less),
        (">", Function::Greater),
    ];
    let mut left = sum(cursor, scope)?;
    loop {
        let at = cursor.at();
        if let Some(function) = take_operator(cursor, SIGNS) {
            cursor.operation()?;
            let right = sum(cursor, scope)?;
            left = call(at, function, vec![left, right]);
        } else if cursor.take_word("in") {
            cursor.operation()?;
            let right = sum(cursor, scope)?;
            left = call(at, Function::Contains, vec![right, left]);
        } else if cursor.take_word("not") {
            if !cursor.take_word("in") {
                return Err(cursor.unexpected("in"));
            }
            cursor.operation()?;
            let right = sum(cursor, scope)?;
            let contains = call(at, Function::Contains, vec![right, left]);
            left = call(at, Function::Not, vec![contains]);
        } else if cursor.take_word("is") {
            cursor.operation()?;
            left = test(cursor, scope, left)?;
        } else {
            return Ok(left);
        }
    }
}

/// What follows `is`.
fn test(cursor: &mut Cursor<'_>, scope: &mut Scope, subject: Expr) -> Result<Expr, Flaw> {
    let at = cursor.at();
    let negated = cursor.take_word("not");
    let Some((name, name_at)) = cursor.take_any_word(false) else {
        return Err(cursor.unexpected("the name of a test"));
    };
    let (name, negated) = match name {
        "undefined" => ("defined", !negated),
        _ => (name, negated),
    };
    let signature = function::find(TESTS, name).ok_or_else(|| {
        name_at
            .flaw(format!("there is no test {name}"))
            .hint(format!("the tests are undefined, {}", function::names(TESTS)))
    })?;
    let mut arguments = vec![subject];
    if cursor.take_sign("(") {
        list_until(cursor, scope, ")", &mut arguments)?;
    }
    if let Some(problem) = signature.wrong_count(arguments.len()) {
        return Err(name_at.flaw(problem).hint("the subject counts as the first"));
    }
    if signature.function == Function::Defined {
        arguments.iter_mut().for_each(allow_missing);
    }
    let test = call(at, signature.function, arguments);
    Ok(if negated { call(at, Function::Not, vec![test]) } else { test })
}

fn sum(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    const SIGNS: &[(&str, Function)] = &[("+", Function::Add), ("-", Function::Subtract), ("~", Function::Concat)];
    let mut left = product(cursor, scope)?;
    loop {
        let at = cursor.at();
        let Some(function) = take_operator(cursor, SIGNS) else {
            return Ok(left);
        };
        cursor.operation()?;
        let right = product(cursor, scope)?;
        left = call(at, function, vec![left, right]);
    }
}

fn product(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    const SIGNS: &[(&str, Function)] = &[
        ("//", Function::FloorDivide),
        ("*", Function::Multiply),
        ("/", Function::Divide),
        ("%", Function::Remainder),
    ];
    let mut left = signed(cursor, scope)?;
    loop {
        let at = cursor.at();
        let Some(function) = take_operator(cursor, SIGNS) else {
            return Ok(left);
        };
        cursor.operation()?;
        let right = signed(cursor, scope)?;
        left = call(at, function, vec![left, right]);
    }
}

fn take_operator(cursor: &mut Cursor<'_>, signs: &[(&str, Function)]) -> Option<Function> {
    signs.iter().find(|(sign, _)| cursor.take_sign(sign)).map(|(_, function)| *function)
}

fn signed(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let at = cursor.at();
    if !cursor.take_sign("-") {
        return filtered(cursor, scope);
    }
    cursor.operation()?;
    let operand = cursor.deeper(|cursor| signed(cursor, scope))?;
    Ok(call(at, Function::Negate, vec![operand]))
}

/// A value with all that follows it closely: `.name`, `[...]` and `| filter`.
fn filtered(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let mut value = primary(cursor, scope)?;
    loop {
        let at = cursor.at();
        if cursor.take_sign("|") {
            cursor.operation()?;
            value = filter(cursor, scope, value)?;
        } else if cursor.take_sign("[") {
            cursor.operation()?;
            value = subscript(cursor, scope, value, at)?;
        } else if cursor.take_sign(".") {
            let found = cursor.take_any_word(true).map_or("", |(name, _)| name);
            return Err(at.flaw(format!("a value is text or a list and has no field {found:?}")).hint(
                "a parameter with a dot in its name is read with {{index . \"a.b\"}}; to hand on \
                 {{...}} as it is, write {{`{{...}}`}}",
            ));
        } else {
            return Ok(value);
        }
    }
}

fn filter(cursor: &mut Cursor<'_>, scope: &mut Scope, subject: Expr) -> Result<Expr, Flaw> {
    let Some((name, at)) = cursor.take_any_word(false) else {
        return Err(cursor.unexpected("the name of a filter"));
    };
    let signature = function::find(FILTERS, name).ok_or_else(|| {
        at.flaw(format!("there is no filter {name}")).hint(format!("the filters are {}", function::names(FILTERS)))
    })?;
    let mut arguments = vec![subject];
    if cursor.take_sign("(") {
        list_until(cursor, scope, ")", &mut arguments)?;
    }
    if let Some(problem) = signature.wrong_count(arguments.len()) {
        return Err(at.flaw(problem).hint("the subject counts as the first"));
    }
    if signature.function == Function::DefaultIfMissing
        && let Some(subject) = arguments.first_mut()
    {
        allow_missing(subject);
    }
    Ok(call(at, signature.function, arguments))
}

/// `[2]`, `[1:3]`, `[:3]`, `[1:]`, behind the opening bracket.
fn subscript(cursor: &mut Cursor<'_>, scope: &mut Scope, subject: Expr, at: Position) -> Result<Expr, Flaw> {
    let bound = |number| Expr::new(at, ExprKind::Literal(Value::own(Data::Int(number))));
    let start = if cursor.take_sign(":") {
        bound(0)
    } else {
        let start = cursor.deeper(|cursor| expression(cursor, scope))?;
        if !cursor.take_sign(":") {
            cursor.expect_sign("]")?;
            return Ok(call(at, Function::Item, vec![subject, start]));
        }
        start
    };
    let end = if cursor.take_sign("]") {
        bound(i64::MAX)
    } else {
        let end = cursor.deeper(|cursor| expression(cursor, scope))?;
        cursor.expect_sign("]")?;
        end
    };
    Ok(call(at, Function::Slice, vec![subject, start, end]))
}

fn primary(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let at = cursor.at();
    let Some(token) = cursor.take() else {
        return Err(at.flaw("found the end of the tag, but expected a value"));
    };
    let literal = |data| Ok(Expr::new(at, ExprKind::Literal(Value::own(data))));
    match token.kind {
        TokenKind::Int(number) => literal(Data::Int(number)),
        TokenKind::Float(number) => literal(Data::Float(number)),
        TokenKind::Text(text, _) => Ok(Expr::own(at, &text)),
        TokenKind::Word("true" | "True") => literal(Data::Bool(true)),
        TokenKind::Word("false" | "False") => literal(Data::Bool(false)),
        TokenKind::Word("loop") if is_loop(scope) => loop_field(cursor, scope, at),
        TokenKind::Word(word) if WORDS.contains(&word) => Err(at.flaw(format!("found {word}, but expected a value"))),
        TokenKind::Word(name) => {
            if !cursor.joined_sign("(") {
                return Ok(scope.name(at, name));
            }
            cursor.take();
            cursor.operation()?;
            let mut arguments = Vec::new();
            list_until(cursor, scope, ")", &mut arguments)?;
            match (name, arguments.len()) {
                ("keep", _) => go::keep(at, &arguments),
                ("range", 1 | 2) => Ok(call(at, Function::Range, arguments)),
                ("range", count) => Err(at.flaw(format!("range takes 1 to 2 operands, but found {count}"))),
                _ => Err(at
                    .flaw(format!("there is no function {name}"))
                    .hint("the functions are keep and range; what filters do is written x | filter")),
            }
        }
        TokenKind::Sign("(") => {
            cursor.operation()?;
            let value = cursor.deeper(|cursor| expression(cursor, scope))?;
            cursor.expect_sign(")")?;
            Ok(value)
        }
        TokenKind::Sign("[") => {
            cursor.operation()?;
            let mut items = Vec::new();
            list_until(cursor, scope, "]", &mut items)?;
            Ok(Expr::new(at, ExprKind::List(items)))
        }
        TokenKind::Sign(sign) => Err(at.flaw(format!("found '{sign}', but expected a value"))),
    }
}

/// Expressions between commas, up to the closing sign.
fn list_until(cursor: &mut Cursor<'_>, scope: &mut Scope, close: &str, items: &mut Vec<Expr>) -> Result<(), Flaw> {
    loop {
        if cursor.take_sign(close) {
            return Ok(());
        }
        items.push(cursor.deeper(|cursor| expression(cursor, scope))?);
        if !cursor.take_sign(",") {
            return cursor.expect_sign(close);
        }
    }
}

fn is_loop(scope: &Scope) -> bool {
    matches!(scope.bindings("loop").next(), Some(Binding::Loop(_)))
}

fn loop_field(cursor: &mut Cursor<'_>, scope: &Scope, at: Position) -> Result<Expr, Flaw> {
    let field = if cursor.take_sign(".") {
        match cursor.take_any_word(true) {
            Some(("index", _)) => Some(LoopField::Index),
            Some(("index0", _)) => Some(LoopField::Index0),
            Some(("first", _)) => Some(LoopField::First),
            Some(("last", _)) => Some(LoopField::Last),
            Some(("length", _)) => Some(LoopField::Length),
            _ => None,
        }
    } else {
        None
    };
    match (field, scope.bindings("loop").next()) {
        (Some(field), Some(Binding::Loop(counter))) => Ok(Expr::new(at, ExprKind::Loop { counter, field })),
        _ => Err(at
            .flaw("loop cannot be used like this")
            .hint("it has loop.index, loop.index0, loop.first, loop.last and loop.length")),
    }
}

fn call(at: Position, function: Function, arguments: Vec<Expr>) -> Expr {
    Expr::new(at, ExprKind::Call { function, arguments })
}

/// Lets the expression yield a missing value where its parameter is missing.
fn allow_missing(expr: &mut Expr) {
    match &mut expr.kind {
        ExprKind::Parameter { strict, .. } => *strict = false,
        ExprKind::Variable { fallback: Some(fallback), .. } => allow_missing(fallback),
        _ => {}
    }
}
