//! Which name means what at the place that is being parsed.

use std::collections::{BTreeMap, BTreeSet};

use super::ast::{Counter, Expr, ExprKind, Position, Slot};

/// What a name was declared as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Binding {
    Variable(Slot),
    /// The `loop` of our own style.
    Loop(Counter),
}

/// The variables in sight, innermost frame last. Go's carry their `$`, so that the two languages cannot meet.
#[derive(Debug)]
pub(super) struct Scope {
    frames: Vec<BTreeMap<String, Binding>>,
    slots: usize,
    /// What Go's `.` is, innermost last; outside of all `range` and `with` it is the parameters.
    dots: Vec<Slot>,
    /// The parameters that were named so far.
    read: BTreeSet<String>,
}

impl Scope {
    pub(super) fn new() -> Self {
        Self { frames: vec![BTreeMap::new()], slots: 0, dots: Vec::new(), read: BTreeSet::new() }
    }

    /// How many variables there are, and the names of all parameters that were named.
    pub(super) fn finish(self) -> (usize, BTreeSet<String>) {
        (self.slots, self.read)
    }

    pub(super) fn enter(&mut self) {
        self.frames.push(BTreeMap::new());
    }

    /// Leaves the innermost frame and says which variables were declared in it.
    pub(super) fn leave(&mut self) -> Vec<Slot> {
        let frame = self.frames.pop().unwrap_or_default();
        frame
            .into_values()
            .filter_map(|binding| match binding {
                Binding::Variable(slot) => Some(slot),
                Binding::Loop(_) => None,
            })
            .collect()
    }

    /// A variable without a name.
    pub(super) fn slot(&mut self) -> Slot {
        let slot = self.slots;
        self.slots += 1;
        slot
    }

    /// A variable in the innermost frame; the same name there keeps its place.
    pub(super) fn declare(&mut self, name: &str) -> Slot {
        if let Some(Binding::Variable(slot)) = self.frames.last().and_then(|frame| frame.get(name)) {
            return *slot;
        }
        let slot = self.slot();
        self.bind(name, Binding::Variable(slot));
        slot
    }

    pub(super) fn bind(&mut self, name: &str, binding: Binding) {
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(name.to_owned(), binding);
        }
    }

    /// What the name is bound to, innermost first.
    pub(super) fn bindings(&self, name: &str) -> impl Iterator<Item = Binding> {
        self.frames.iter().rev().filter_map(move |frame| frame.get(name).copied())
    }

    pub(super) fn push_dot(&mut self, slot: Slot) {
        self.dots.push(slot);
    }

    pub(super) fn pop_dot(&mut self) {
        self.dots.pop();
    }

    /// Go's `.`.
    pub(super) fn dot(&self, at: Position) -> Expr {
        let kind = match self.dots.last() {
            Some(slot) => ExprKind::Variable { slots: vec![*slot], fallback: None },
            None => ExprKind::Parameters,
        };
        Expr::new(at, kind)
    }

    /// A parameter by its name.
    pub(super) fn parameter(&mut self, at: Position, name: &str, strict: bool) -> Expr {
        if !self.read.contains(name) {
            self.read.insert(name.to_owned());
        }
        let name = name.to_owned();
        Expr::new(at, ExprKind::Parameter { name, strict })
    }

    /// A bare name: the variable of our own style, else the parameter.
    pub(super) fn name(&mut self, at: Position, name: &str, strict: bool) -> Expr {
        let slots: Vec<Slot> = self
            .bindings(name)
            .filter_map(|binding| match binding {
                Binding::Variable(slot) => Some(slot),
                Binding::Loop(_) => None,
            })
            .collect();
        let parameter = self.parameter(at, name, strict);
        if slots.is_empty() {
            return parameter;
        }
        let fallback = Some(Box::new(parameter));
        Expr::new(at, ExprKind::Variable { slots, fallback })
    }
}
