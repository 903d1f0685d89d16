//! The one tree that both template languages are parsed into.

use super::function::Function;
use super::own::Own;
use super::value::Value;
use crate::render::{Flaw, Place};

/// A place in the template's text; both count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// The position behind some text that begins here.
    pub(super) fn after(self, text: &str) -> Self {
        match text.rsplit_once('\n') {
            None => Self { line: self.line, column: self.column + text.chars().count() },
            Some((lines, tail)) => {
                Self { line: self.line + 1 + lines.matches('\n').count(), column: 1 + tail.chars().count() }
            }
        }
    }

    pub(super) fn flaw(self, problem: impl Into<String>) -> Flaw {
        Flaw::new(problem).at(self.line, self.column)
    }
}

/// A variable's place in the memory of an evaluation.
pub(super) type Slot = usize;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) kind: NodeKind,
}

#[derive(Debug)]
pub(super) enum NodeKind {
    /// The template's own text.
    Text(String),
    /// Prints a value; one that no parameter went into is the template's own text.
    Print(Expr),
    /// A tag that is Argo's in one place and a print in every other.
    Placed {
        text: String,
        place: Place,
        elsewhere: Expr,
    },
    Set {
        slot: Slot,
        value: Expr,
    },
    /// The body of the first arm whose condition holds, else `otherwise`.
    If {
        arms: Vec<Arm>,
        otherwise: Vec<Node>,
    },
    Each(Box<Each>),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Arm {
    /// Gets the condition's value before the body runs.
    pub(super) bind: Vec<Slot>,
    pub(super) condition: Expr,
    pub(super) body: Vec<Node>,
}

/// A loop; `otherwise` runs when there is nothing to loop over.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) over: Expr,
    /// Gets the index, or the name when it loops over the parameters.
    pub(super) key: Option<Slot>,
    /// Get the element.
    pub(super) element: Vec<Slot>,
    /// Get the number of the round from 0, and how many there are.
    pub(super) counter: Option<Counter>,
    /// Variables that live for one round.
    pub(super) locals: Vec<Slot>,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    pub(super) index: Slot,
    pub(super) length: Slot,
}

#[derive(Debug)]
pub(super) struct Expr {
    pub(super) at: Position,
    pub(super) kind: ExprKind,
}

#[derive(Debug)]
pub(super) enum ExprKind {
    Literal(Value),
    /// All parameters: Go's `$`, and its `.` outside of `range` and `with`.
    Parameters,
    /// One parameter. When it is missing, the strict form is a flaw and the other one a missing value.
    Parameter {
        name: String,
        strict: bool,
    },
    /// The first of these variables that has a value, else the parameter, if there is such a fallback.
    Variable {
        slots: Vec<Slot>,
        fallback: Option<Box<Expr>>,
    },
    /// Go's `.name` on a value that is not known to be the parameters.
    Field {
        of: Box<Expr>,
        name: String,
    },
    Call {
        function: Function,
        arguments: Vec<Expr>,
    },
    /// The first operand that is false, else the last; what follows it is not evaluated.
    And(Vec<Expr>),
    /// The first operand that is true, else the last; what follows it is not evaluated.
    Or(Vec<Expr>),
    /// An expression of our own style.
    Own(Box<Own>),
}

impl Expr {
    pub(super) fn new(at: Position, kind: ExprKind) -> Self {
        Self { at, kind }
    }

    pub(super) fn own(at: Position, text: &str) -> Self {
        Self::new(at, ExprKind::Literal(Value::own_text(text)))
    }
}
