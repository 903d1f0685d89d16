//! Which names an expression reads, and whether all that it names exists.

use minijinja::context;

use super::super::ast::Position;
use super::super::lex::{Token, TokenKind};
use super::super::limits;
use super::{ENGINE, FUNCTIONS, MAY_MISS, WORDS};
use crate::render::Flaw;

/// What `loop` has.
const LOOP_FIELDS: &[&str] = &["index", "index0", "first", "last", "length"];

/// A name that an expression reads.
pub(super) struct Name<'t, 'a> {
    pub(super) name: &'t str,
    pub(super) token: &'a Token<'t>,
    /// Whether `default` or `is defined` follows.
    pub(super) may_miss: bool,
}

/// The names that an expression reads, in the order of its text; the engine sees no others. On the way this looks at
/// what the engine would notice only when it evaluates, and bounds how deep the engine has to go.
pub(super) fn names<'t, 'a>(tokens: &'a [Token<'t>]) -> Result<Vec<Name<'t, 'a>>, Flaw> {
    let mut names = Vec::new();
    let (mut depth, mut operations) = (0_usize, 0_usize);
    let mut before = (None, None);
    for (index, token) in tokens.iter().enumerate() {
        let after = tokens.get(index + 1);
        match &token.kind {
            TokenKind::Sign("(" | "[" | "{") => depth += 1,
            TokenKind::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            _ => {}
        }
        operations += usize::from(match &token.kind {
            TokenKind::Word(word) => matches!(*word, "and" | "if" | "in" | "is" | "not" | "or"),
            TokenKind::Sign(sign) => !matches!(*sign, ")" | "]" | "}" | "," | ":"),
            _ => false,
        });
        within_limits(depth, operations, token.at)?;
        match token.kind {
            TokenKind::Sign(".") => field(before.1, after, token.at)?,
            TokenKind::Word(name) => match meaning(name, before, after) {
                Meaning::Known => {}
                Meaning::Name if name.starts_with(MAY_MISS) => {
                    return Err(token.at.flaw("a name in an expression cannot begin with __"));
                }
                Meaning::Name => {
                    let may_miss = may_miss(tokens.get(index + 1..).unwrap_or_default());
                    names.push(Name { name, token, may_miss });
                }
                Meaning::Unknown(problem, hint) => return Err(token.at.flaw(problem).hint(hint)),
            },
            _ => {}
        }
        before = (before.1, Some(token));
    }
    Ok(names)
}

/// Whether `| default`, `is defined` or their like come next.
fn may_miss(next: &[Token<'_>]) -> bool {
    let words = |words: &[&str], token: &Token<'_>| words.iter().any(|word| token.is_word(word));
    match next {
        [bar, filter, ..] if bar.is_sign("|") => words(&["default", "d"], filter),
        [is, not, test, ..] if is.is_word("is") && not.is_word("not") => words(&["defined", "undefined"], test),
        [is, test, ..] if is.is_word("is") => words(&["defined", "undefined"], test),
        _ => false,
    }
}

fn within_limits(depth: usize, operations: usize, at: Position) -> Result<(), Flaw> {
    let problem = if depth > limits::TAG_NESTING {
        format!("this tag is nested more than {} deep", limits::TAG_NESTING)
    } else if operations > limits::TAG_OPERATIONS {
        format!("this tag holds more than {} operations", limits::TAG_OPERATIONS)
    } else {
        return Ok(());
    };
    Err(at.flaw(problem).hint("keep a part of it in a variable"))
}

/// Looks at `.name`: only `loop` has fields.
fn field(of: Option<&Token<'_>>, name: Option<&Token<'_>>, at: Position) -> Result<(), Flaw> {
    let shown = name.map(Token::shown).unwrap_or_default();
    let of_loop = of.is_some_and(|token| token.is_word("loop"));
    if of_loop && LOOP_FIELDS.contains(&shown.as_str()) {
        return Ok(());
    }
    if of_loop {
        return Err(at.flaw(format!("loop has no field {shown:?}")).hint(format!("it has {}", LOOP_FIELDS.join(", "))));
    }
    Err(at.flaw(format!("a value is text or a list and has no field {shown:?}")).hint(
        "a parameter with a dot in its name is read with {{index . \"a.b\"}}; to hand on {{...}} as it is, write \
         {{`{{...}}`}}",
    ))
}

/// What a word in an expression is.
enum Meaning {
    /// A word of the language, or a filter, test, function or named operand that there is.
    Known,
    /// A variable or a parameter.
    Name,
    /// A filter, test or function that there is not: the problem and the remedy.
    Unknown(String, String),
}

/// The two tokens before one.
type Before<'t, 'a> = (Option<&'a Token<'t>>, Option<&'a Token<'t>>);

/// What a word is, judged by the two tokens before it and the one behind it.
fn meaning(name: &str, before: Before<'_, '_>, after: Option<&Token<'_>>) -> Meaning {
    let sign = |token: Option<&Token<'_>>, sign| token.is_some_and(|token| token.is_sign(sign));
    let word = |token: Option<&Token<'_>>, word| token.is_some_and(|token| token.is_word(word));
    let tests = word(before.1, "is") || (word(before.0, "is") && word(before.1, "not"));
    let known = |noun: &str, known: bool| {
        let hint = match noun {
            "function" => "the functions are keep and range; what filters do is written x | filter".to_owned(),
            noun => format!("the {noun}s are those of minijinja"),
        };
        if known { Meaning::Known } else { Meaning::Unknown(format!("there is no {noun} {name}"), hint) }
    };
    if sign(before.1, ".") {
        Meaning::Known
    } else if sign(before.1, "|") {
        known("filter", engine_has(name, "name is filter"))
    } else if tests && name != "not" {
        known("test", engine_has(name, "name is test"))
    } else if WORDS.contains(&name) || sign(after, "=") {
        Meaning::Known
    } else if sign(after, "(") || FUNCTIONS.contains(&name) {
        known("function", FUNCTIONS.contains(&name))
    } else {
        Meaning::Name
    }
}

/// Whether the engine has a filter or a test of this name.
fn engine_has(name: &str, question: &'static str) -> bool {
    let answer = ENGINE.compile_expression(question).and_then(|question| question.eval(context! { name }));
    answer.is_ok_and(|answer| answer.is_true())
}
