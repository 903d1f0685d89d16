//! Whose `{{x}}` is it: Argo's, which is handed on as it stands, or ours, and in which of the two languages.

use super::lex::{Token, TokenKind};
use crate::render::Place;

/// First segments of names that are Argo's when `.` or `[` follows.
const ARGO_ROOTS: &[&str] =
    &["workflow", "inputs", "outputs", "steps", "tasks", "item", "pod", "node", "lastRetry", "io", "cronworkflow"];
/// Names that are Argo's as they are. Nothing of ours can be called so.
pub(super) const ARGO_NAMES: &[&str] = &["item", "retries"];
/// First segments of names that are Argo's in `http` templates when `.` follows.
const HTTP_ROOTS: &[&str] = &["request", "response"];
/// Names that are Argo's inside `metrics`.
const METRIC_NAMES: &[&str] = &["status", "duration", "exitCode"];
/// The first segment of a name that is Argo's inside `metrics` when `.` follows.
const METRIC_ROOT: &str = "resourcesDuration";

/// Words that make a tag one of Go's, whatever follows them.
pub(super) const GO_WORDS: &[&str] =
    &["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];
/// Words that stand between or before operands in our own style.
const OWN_OPERATORS: &[&str] = &["and", "else", "if", "in", "is", "not", "or"];

/// Whose tag it is, as far as its text alone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Argo,
    /// Argo's in this place, ours in every other.
    Placed(Place),
    /// A bare name: a variable of our own style or a parameter.
    Name,
    /// Anything else.
    Ours,
}

/// Looks at the inside of a `{{ }}` tag.
pub(super) fn owner(inner: &str) -> Owner {
    let name = inner.trim();
    if ARGO_NAMES.contains(&name) {
        return Owner::Argo;
    }
    if METRIC_NAMES.contains(&name) {
        return Owner::Placed(Place::Metrics);
    }
    if GO_WORDS.contains(&name) || super::own::WORDS.contains(&name) {
        return Owner::Ours;
    }
    if is_bare_name(name) {
        return Owner::Name;
    }
    if !is_reference(name) {
        return Owner::Ours;
    }
    let root_end = name.find(['.', '[']).unwrap_or(name.len());
    let (root, rest) = name.split_at_checked(root_end).unwrap_or((name, ""));
    if ARGO_ROOTS.contains(&root) && !rest.is_empty() {
        Owner::Argo
    } else if HTTP_ROOTS.contains(&root) && rest.starts_with('.') {
        Owner::Placed(Place::Http)
    } else if root == METRIC_ROOT && rest.starts_with('.') {
        Owner::Placed(Place::Metrics)
    } else {
        Owner::Ours
    }
}

/// Whether a tag that is ours is written in Go's language: it reads `.x` or `$x`, opens with one of Go's words, has a
/// text in backquotes, or gives operands to a function by writing them behind it.
pub(super) fn is_go(tokens: &[Token<'_>]) -> bool {
    if let Some(TokenKind::Word(word)) = tokens.first().map(|token| &token.kind)
        && GO_WORDS.contains(word)
    {
        return true;
    }
    let mut before: Option<&Token<'_>> = None;
    for token in tokens {
        let after_operand = before.is_some_and(ends_operand);
        let go = match &token.kind {
            TokenKind::Sign("$" | ":=") | TokenKind::Text(_, '`') => true,
            TokenKind::Sign(".") => token.spaced || !after_operand,
            TokenKind::Sign("(") => token.spaced && after_operand,
            _ => after_operand && starts_operand(token),
        };
        if go {
            return true;
        }
        before = Some(token);
    }
    false
}

/// A name that a parameter can have without `index`: letters, digits and `_`, with single `-` between them.
fn is_bare_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.split('-').all(|part| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// A name with segments, as Argo writes them: `a.b-c.d`, `a['b c'].d`, `a.%Y-%m-%d`.
fn is_reference(name: &str) -> bool {
    let mut bracket = false;
    let mut quote = None;
    for c in name.chars() {
        match (c, quote, bracket) {
            ('{' | '}' | '\n', _, _) => return false,
            (_, Some(open), _) => {
                if c == open {
                    quote = None;
                }
            }
            ('\'' | '"', None, true) => quote = Some(c),
            (']', None, true) => bracket = false,
            (_, None, true) => {}
            ('[', None, false) => bracket = true,
            _ if c.is_alphanumeric() || "_-.:%/@+".contains(c) => {}
            _ => return false,
        }
    }
    !bracket
}

fn starts_operand(token: &Token<'_>) -> bool {
    match &token.kind {
        TokenKind::Word(word) => !OWN_OPERATORS.contains(word),
        TokenKind::Int(_) | TokenKind::Float(_) | TokenKind::Text(..) => true,
        TokenKind::Sign(_) => false,
    }
}

fn ends_operand(token: &Token<'_>) -> bool {
    match &token.kind {
        TokenKind::Word(word) => !OWN_OPERATORS.contains(word),
        TokenKind::Int(_) | TokenKind::Float(_) | TokenKind::Text(..) => true,
        TokenKind::Sign(sign) => matches!(*sign, ")" | "]"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ast::Position;
    use super::super::lex::tokens;
    use super::*;

    #[test]
    fn a_tag_belongs_to_whom_its_name_says() {
        let cases = [
            ("workflow.name", Owner::Argo, "a root of Argo's"),
            (" inputs.parameters.x ", Owner::Argo, "space is allowed"),
            ("inputs.parameters['a b']", Owner::Argo, "a bracket follows, its text may hold space"),
            ("tasks[0]", Owner::Argo, "a bracket follows the root"),
            ("steps.a-b.outputs.result", Owner::Argo, "names of steps hold dashes"),
            ("workflow.creationTimestamp.%Y-%m-%dT%H:%M", Owner::Argo, "a format of time"),
            ("workflow.labels.example.com/a", Owner::Argo, "keys of labels hold a slash"),
            ("item", Owner::Argo, "by itself"),
            ("retries", Owner::Argo, "by itself"),
            ("item.os", Owner::Argo, "a field of an item"),
            ("pod.name", Owner::Argo, "a root of Argo's"),
            ("node.name", Owner::Argo, "a root of Argo's"),
            ("io.x", Owner::Argo, "a root of Argo's"),
            ("node", Owner::Name, "only with a dot is it Argo's"),
            ("pod", Owner::Name, "only with a dot is it Argo's"),
            ("workflow", Owner::Name, "only with a dot is it Argo's"),
            ("workflows.x", Owner::Ours, "another root"),
            ("retries.x", Owner::Ours, "only by itself is it Argo's"),
            ("request.body", Owner::Placed(Place::Http), "in http templates"),
            ("response.statusCode", Owner::Placed(Place::Http), "in http templates"),
            ("request", Owner::Name, "only with a dot"),
            ("status", Owner::Placed(Place::Metrics), "inside metrics"),
            ("exitCode", Owner::Placed(Place::Metrics), "inside metrics"),
            ("duration", Owner::Placed(Place::Metrics), "inside metrics"),
            ("resourcesDuration.cpu", Owner::Placed(Place::Metrics), "inside metrics"),
            ("resourcesDuration", Owner::Name, "only with a dot"),
            ("status.x", Owner::Ours, "only by itself"),
            ("severity", Owner::Name, "a parameter"),
            ("a-b", Owner::Name, "a parameter whose name holds a dash"),
            ("a - b", Owner::Ours, "an expression"),
            ("workflow.name | upper", Owner::Ours, "an expression is not a name"),
            (".node", Owner::Ours, "a leading dot is ours always"),
            (".workflow.name", Owner::Ours, "a leading dot is ours always"),
            ("end", Owner::Ours, "a word of Go's"),
            ("not", Owner::Ours, "a word of our own"),
            ("", Owner::Ours, "nothing"),
        ];
        for (inner, want, why) in cases {
            assert_eq!(owner(inner), want, "{inner}: {why}");
        }
    }

    #[test]
    fn the_language_of_a_tag_follows_from_how_it_is_written() {
        let cases = [
            (".node", true, "a leading dot"),
            ("$x", true, "a variable"),
            ("`{{item}}`", true, "backquotes"),
            ("if x", true, "a word of Go's"),
            ("end", true, "a word of Go's"),
            ("int .x", true, "a dot behind a space"),
            ("printf \"%s\" x", true, "operands behind a function"),
            ("keep \"x\"", true, "operands behind a function"),
            ("len (x)", true, "operands behind a function"),
            ("x | default \"a\"", true, "operands behind a function"),
            ("x | upper", false, "a filter"),
            ("x | default(\"a\")", false, "a filter with operands in parentheses"),
            ("x[0]", false, "a subscript"),
            ("x == 'a'", false, "an operator"),
            ("a if b else c", false, "operators that are words"),
            ("not x", false, "an operator that is a word"),
            ("x is defined", false, "a test"),
            ("\"text\"", false, "a text means the same in both"),
        ];
        for (inner, want, why) in cases {
            let tokens = tokens(inner, Position::START).unwrap();
            assert_eq!(is_go(&tokens), want, "{inner}: {why}");
        }
    }
}
