//! The functions of Go's language.

use super::limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Not,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Go's `print`: a space between two operands of which neither is text.
    Print,
    /// Go's `println`: a space between all operands, and a line feed.
    Println,
    Printf,
    /// Length in bytes, as Go counts, or the number of items.
    Length,
    /// Go's `index`: a parameter by its name, an item by its number.
    Index,
    /// Go's `slice`, by bytes.
    Slice,
    ToInt,
    ToFloat,
    ToBool,
    /// The second operand when the first is missing, false or empty.
    DefaultIfEmpty,
    Lower,
    Upper,
    Trim,
    TrimPrefix,
    TrimSuffix,
    HasPrefix,
    HasSuffix,
    /// Whether the first operand, text or a list, holds the second.
    Contains,
    Replace,
    Split,
    Join,
}

/// A function, under the name that templates know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) function: Function,
    /// The fewest and the most operands, the subject included.
    pub(super) fewest: usize,
    pub(super) most: usize,
    /// Whether the subject is the last operand, where a pipe puts it, and not the first.
    pub(super) subject_last: bool,
}

const MANY: usize = limits::TAG_BYTES;

const fn first(name: &'static str, function: Function, fewest: usize, most: usize) -> Signature {
    Signature { name, function, fewest, most, subject_last: false }
}

const fn last(name: &'static str, function: Function, operands: usize) -> Signature {
    Signature { name, function, fewest: operands, most: operands, subject_last: true }
}

/// Go's functions: those of text/template, and a few more under the names and with the order of operands that
/// Helm's users know. `and`, `or` and `keep` are not here: they do not evaluate all that they are given.
pub(super) const GO: &[Signature] = &[
    first("not", Function::Not, 1, 1),
    first("eq", Function::Equal, 2, MANY),
    first("ne", Function::NotEqual, 2, 2),
    first("lt", Function::Less, 2, 2),
    first("le", Function::LessOrEqual, 2, 2),
    first("gt", Function::Greater, 2, 2),
    first("ge", Function::GreaterOrEqual, 2, 2),
    first("len", Function::Length, 1, 1),
    first("index", Function::Index, 1, 3),
    first("slice", Function::Slice, 1, 3),
    first("print", Function::Print, 0, MANY),
    first("println", Function::Println, 0, MANY),
    first("printf", Function::Printf, 1, MANY),
    first("int", Function::ToInt, 1, 1),
    first("float", Function::ToFloat, 1, 1),
    first("bool", Function::ToBool, 1, 1),
    first("lower", Function::Lower, 1, 1),
    first("upper", Function::Upper, 1, 1),
    first("trim", Function::Trim, 1, 1),
    last("default", Function::DefaultIfEmpty, 2),
    last("trimPrefix", Function::TrimPrefix, 2),
    last("trimSuffix", Function::TrimSuffix, 2),
    last("hasPrefix", Function::HasPrefix, 2),
    last("hasSuffix", Function::HasSuffix, 2),
    last("contains", Function::Contains, 2),
    last("replace", Function::Replace, 3),
    last("split", Function::Split, 2),
    last("join", Function::Join, 2),
];

pub(super) fn find(table: &[Signature], name: &str) -> Option<Signature> {
    table.iter().find(|signature| signature.name == name).copied()
}

/// The names in a table, for the hint of a message.
pub(super) fn names(table: &[Signature]) -> String {
    let names: Vec<&str> = table.iter().map(|signature| signature.name).collect();
    names.join(", ")
}

impl Signature {
    /// What is wrong with this number of operands, if anything is; `given` leaves out the subject of a filter.
    pub(super) fn wrong_count(&self, count: usize) -> Option<String> {
        if (self.fewest..=self.most).contains(&count) {
            return None;
        }
        let wanted = if self.fewest == self.most {
            self.fewest.to_string()
        } else if self.most == MANY {
            format!("at least {}", self.fewest)
        } else {
            format!("{} to {}", self.fewest, self.most)
        };
        Some(format!("{} takes {wanted} operands, but found {count}", self.name))
    }
}

impl Function {
    /// Whether it has an answer when a parameter is missing.
    pub(super) fn takes_missing(self) -> bool {
        matches!(self, Self::Not | Self::Equal | Self::NotEqual | Self::DefaultIfEmpty)
    }
}
