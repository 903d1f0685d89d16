//! Bounds that keep every template's parsing and evaluation short, whoever wrote it and whatever the alert says.

/// The longest template, in bytes of its text.
pub(super) const TEMPLATE_BYTES: usize = 256 * 1024;
/// The longest tag, in bytes.
pub(super) const TAG_BYTES: usize = 16 * 1024;
/// The most operations in one tag: calls, operators, filters, parentheses. It bounds the depth of an expression.
pub(super) const TAG_OPERATIONS: usize = 64;
/// The deepest nesting of parentheses, lists and signs in one tag. With the next one it keeps the parsers, which
/// recurse, far from the end of a thread's stack.
pub(super) const TAG_NESTING: usize = 16;
/// The deepest nesting of conditions and loops.
pub(super) const NESTING: usize = 16;
/// The work of one evaluation: one unit for each step, and one for each [`BYTES_PER_UNIT`] that a step reads or makes.
pub(super) const FUEL: usize = 250_000;
/// Bytes that are read or made for one unit of fuel.
pub(super) const BYTES_PER_UNIT: usize = 64;
/// The most that one evaluation may print, in bytes of text and values together.
pub(super) const OUTPUT_BYTES: usize = 1024 * 1024;
