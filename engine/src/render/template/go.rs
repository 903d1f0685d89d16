//! Reads expressions in the language of Go's text/template.
//!
//! Every parameter is text. A missing one is false in a condition and equal to no text, as in Go; printing it, or giving
//! it to any other function, is a flaw.

use super::ast::Position;
use super::ast::{Expr, ExprKind};
use super::cursor::Cursor;
use super::function::{self, Function, GO, Signature};
use super::lex::TokenKind;
use super::scope::{Binding, Scope};
use super::value::{Data, Value};
use crate::render::Flaw;

/// Functions that templates written for other systems use, and why they are not here.
const REFUSED: &[(&str, &str)] = &[
    ("quote", QUOTING),
    ("squote", QUOTING),
    ("html", QUOTING),
    ("js", QUOTING),
    ("urlquery", QUOTING),
    ("toJson", QUOTING),
    ("toYaml", QUOTING),
    ("indent", QUOTING),
    ("nindent", QUOTING),
    ("call", "a parameter is text and cannot be called"),
    ("env", "a template reads the alert's parameters only"),
    ("now", "a template reads the alert's parameters only"),
];
const QUOTING: &str = "it is not needed: a printed value is quoted for the place where it stands";

/// `operand | function operand | ...`, up to the end of the tag or a closing parenthesis.
pub(super) fn pipeline(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let mut value = command(cursor, scope, None)?;
    while cursor.take_sign("|") {
        value = command(cursor, scope, Some(value))?;
    }
    Ok(value)
}

/// What `keep` prints: a tag for Argo, as the template's own text.
fn keep(at: Position, arguments: &[Expr]) -> Result<Expr, Flaw> {
    let name = match arguments {
        [Expr { kind: ExprKind::Literal(Value { data: Data::Text(name), from: None }), .. }] => name,
        _ => {
            return Err(at.flaw("keep takes one text in quotes").hint("write {{keep \"workflow.name\"}}"));
        }
    };
    let kept = kept(name).map_err(|problem| at.flaw(problem).hint("write {{keep \"workflow.name\"}}"))?;
    Ok(Expr::own(at, &kept))
}

/// The tag for Argo that a name stands for.
pub(super) fn kept(name: &str) -> Result<String, &'static str> {
    if name.is_empty() || name.contains(['{', '}', '\n']) {
        return Err("keep takes a name of Argo's, without braces");
    }
    Ok(format!("{{{{{name}}}}}"))
}

fn command(cursor: &mut Cursor<'_>, scope: &mut Scope, piped: Option<Expr>) -> Result<Expr, Flaw> {
    let at = cursor.at();
    if let Some(TokenKind::Word(name)) = cursor.peek().map(|token| token.kind.clone())
        && !matches!(name, "true" | "false" | "nil")
    {
        cursor.take();
        let mut arguments = Vec::new();
        while !ends_command(cursor) {
            arguments.push(operand(cursor, scope)?);
        }
        arguments.extend(piped);
        return call(cursor, scope, name, at, arguments);
    }
    let value = operand(cursor, scope)?;
    if !ends_command(cursor) {
        return Err(cursor.unexpected("the end of the tag or '|'").hint("only a function takes operands"));
    }
    if piped.is_some() {
        return Err(at
            .flaw("what stands behind '|' must be a function")
            .hint(format!("the functions are and, or, keep, {}", function::names(GO))));
    }
    Ok(value)
}

fn ends_command(cursor: &Cursor<'_>) -> bool {
    cursor.peek().is_none_or(|token| token.is_sign("|") || token.is_sign(")"))
}

fn call(
    cursor: &mut Cursor<'_>,
    scope: &mut Scope,
    name: &str,
    at: Position,
    mut arguments: Vec<Expr>,
) -> Result<Expr, Flaw> {
    cursor.operation()?;
    match name {
        "keep" => return keep(at, &arguments),
        "and" | "or" if arguments.is_empty() => {
            return Err(at.flaw(format!("{name} takes at least 1 operand, but found 0")));
        }
        "and" => return Ok(Expr::new(at, ExprKind::And(arguments))),
        "or" => return Ok(Expr::new(at, ExprKind::Or(arguments))),
        _ => {}
    }
    let Some(signature) = function::find(GO, name) else {
        return match REFUSED.iter().find(|(refused, _)| *refused == name) {
            None if arguments.is_empty() => Ok(scope.name(at, name, true)),
            Some((_, why)) => Err(at.flaw(format!("there is no function {name}")).hint(*why)),
            None => Err(at
                .flaw(format!("there is no function {name}"))
                .hint(format!("the functions are and, or, keep, {}", function::names(GO)))),
        };
    };
    let Signature { function, subject_last, .. } = signature;
    if let Some(problem) = signature.wrong_count(arguments.len()) {
        return Err(at.flaw(problem));
    }
    if subject_last {
        arguments.rotate_right(1);
    }
    if function == Function::Index
        && let [
            Expr { kind: ExprKind::Parameters, .. },
            Expr { kind: ExprKind::Literal(Value { data: Data::Text(name), .. }), .. },
        ] = arguments.as_slice()
    {
        let name = name.clone();
        return Ok(scope.parameter(at, &name, false));
    }
    Ok(Expr::new(at, ExprKind::Call { function, arguments }))
}

fn operand(cursor: &mut Cursor<'_>, scope: &mut Scope) -> Result<Expr, Flaw> {
    let at = cursor.at();
    let Some(token) = cursor.take() else {
        return Err(at.flaw("found the end of the tag, but expected a value"));
    };
    let literal = |data| Expr::new(at, ExprKind::Literal(Value::own(data)));
    match token.kind {
        TokenKind::Int(number) => Ok(literal(Data::Int(number))),
        TokenKind::Float(number) => Ok(literal(Data::Float(number))),
        TokenKind::Text(text, '"' | '`') => Ok(Expr::own(at, &text)),
        TokenKind::Text(..) => {
            Err(at.flaw("found a text in single quotes").hint("put it in double quotes or backquotes"))
        }
        TokenKind::Word("true") => Ok(literal(Data::Bool(true))),
        TokenKind::Word("false") => Ok(literal(Data::Bool(false))),
        TokenKind::Word("nil") => Err(at
            .flaw("nil is not a value that a template can hold")
            .hint("a missing parameter is false: write {{if .x}}")),
        TokenKind::Word(name) => call(cursor, scope, name, at, Vec::new()),
        TokenKind::Sign("(") => {
            cursor.operation()?;
            let value = cursor.deeper(|cursor| pipeline(cursor, scope))?;
            cursor.expect_sign(")")?;
            fields(cursor, scope, value)
        }
        TokenKind::Sign("-") => match cursor.take().map(|token| token.kind) {
            Some(TokenKind::Int(number)) => Ok(literal(Data::Int(-number))),
            Some(TokenKind::Float(number)) => Ok(literal(Data::Float(-number))),
            _ => Err(at.flaw("found '-' without a number behind it")),
        },
        TokenKind::Sign(".") => {
            let dot = scope.dot(at);
            match cursor.take_any_word(true) {
                None => Ok(dot),
                Some((name, at)) => {
                    let value = field(cursor, scope, dot, name, at)?;
                    fields(cursor, scope, value)
                }
            }
        }
        TokenKind::Sign("$") => {
            let value = match cursor.take_any_word(true) {
                None => Expr::new(at, ExprKind::Parameters),
                Some((name, _)) => variable(scope, name, at)?,
            };
            fields(cursor, scope, value)
        }
        TokenKind::Sign(sign) => Err(at.flaw(format!("found '{sign}', but expected a value"))),
    }
}

fn variable(scope: &mut Scope, name: &str, at: Position) -> Result<Expr, Flaw> {
    match scope.bindings(&format!("${name}")).next() {
        Some(Binding::Variable(slot)) => Ok(Expr::new(at, ExprKind::Variable { slots: vec![slot], fallback: None })),
        _ => Err(at
            .flaw(format!("the variable ${name} is not known here"))
            .hint(format!("set it first, with {{{{${name} := ...}}}}, in this block or one around it"))),
    }
}

/// All `.name` that follow a value without space.
fn fields(cursor: &mut Cursor<'_>, scope: &mut Scope, value: Expr) -> Result<Expr, Flaw> {
    let mut value = value;
    while cursor.joined_sign(".") {
        cursor.take();
        let Some((name, at)) = cursor.take_any_word(true) else {
            return Err(cursor.unexpected("a name behind '.'"));
        };
        value = field(cursor, scope, value, name, at)?;
    }
    Ok(value)
}

fn field(cursor: &mut Cursor<'_>, scope: &mut Scope, of: Expr, name: &str, at: Position) -> Result<Expr, Flaw> {
    cursor.operation()?;
    if cursor.joined_sign("-") {
        return Err(at
            .flaw(format!("a name behind '.' cannot hold '-', but found {name}-"))
            .hint(format!("write {{{{index . \"{name}-...\"}}}}")));
    }
    match of.kind {
        ExprKind::Parameters => Ok(scope.parameter(of.at, name, false)),
        ExprKind::Parameter { name: of, .. } => {
            Err(at.flaw(format!("the parameter {of} is text and has no field {name}")).hint(format!(
                "a parameter with a dot in its name is read with {{{{index . \"{of}.{name}\"}}}}; \
                 to hand on {{{{...}}}} as it is, write {{{{`{{{{...}}}}`}}}}"
            )))
        }
        _ => Ok(Expr::new(at, ExprKind::Field { of: Box::new(of), name: name.to_owned() })),
    }
}
