//! The work that one evaluation may still do.

use super::limits;
use crate::render::Flaw;

#[derive(Debug)]
pub(super) struct Budget {
    fuel: usize,
    output: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { fuel: limits::FUEL, output: limits::OUTPUT_BYTES }
    }

    /// Pays for one step that reads or makes this many bytes, before it is done.
    pub(super) fn step(&mut self, bytes: usize) -> Result<(), Flaw> {
        self.steps(1 + bytes / limits::BYTES_PER_UNIT)
    }

    /// Pays for several steps.
    pub(super) fn steps(&mut self, count: usize) -> Result<(), Flaw> {
        self.fuel = self.fuel.checked_sub(count).ok_or_else(Self::exhausted)?;
        Ok(())
    }

    /// The flaw of a template that takes too many steps.
    pub(super) fn exhausted() -> Flaw {
        Flaw::new(format!("evaluating this template takes more than {} steps", limits::FUEL))
            .hint("a loop is too long, or a value too large, for what is done with it")
    }

    /// Pays for printing this many bytes.
    pub(super) fn print(&mut self, bytes: usize) -> Result<(), Flaw> {
        self.output = self.output.checked_sub(bytes).ok_or_else(|| {
            Flaw::new(format!("this template prints more than {} bytes", limits::OUTPUT_BYTES))
                .hint("pass large texts by reference, or cut them first")
        })?;
        Ok(())
    }
}
