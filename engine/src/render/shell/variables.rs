//! Follows values through variables and files to the places that read them once more.

use std::collections::HashMap;
use std::ops::Range;

use super::command::{Assigned, Facts};
use super::word::POSITIONAL;
use super::{Bound, Limit};

impl Facts {
    /// Bounds the values that reach a second reader in variables.
    pub(super) fn follow_variables(&mut self) {
        if self.integers {
            let bound =
                Bound::new(Limit::Digits, "the script declares integers, and assigning to one evaluates arithmetic");
            for assigned in self.assigned.clone() {
                self.bind(assigned.holes, &bound);
            }
        }
        if self.arrays {
            let bound = Bound::safe_word("the script declares arrays or references, which may evaluate it");
            for holes in self.declared.clone() {
                self.bind(holes, &bound);
            }
        }
        if self.rereads.is_empty() {
            return;
        }
        for call in std::mem::take(&mut self.calls) {
            if !self.functions.contains(&call.arguments.name) {
                continue;
            }
            if let Some(first) = call.first.filter(|_| self.runs_arguments) {
                self.bind(first, &Bound::never("a function would run it as a program"));
            }
            self.assigned.push(Assigned { name: POSITIONAL.to_owned(), ..call.arguments });
        }
        // The strictest bound of each variable's readers goes back along the chains of variables to the values.
        let mut assigned: HashMap<&str, Vec<&Assigned>> = HashMap::new();
        for one in &self.assigned {
            assigned.entry(&one.name).or_default().push(one);
        }
        let mut bounds: HashMap<&str, &Bound> = HashMap::new();
        let mut next: Vec<(&str, &Bound)> = Vec::new();
        for reread in &self.rereads {
            next.extend(self.names_in(&reread.names).iter().map(|name| (name.as_str(), &reread.bound)));
        }
        let mut reached: Vec<(Range<usize>, Bound)> = Vec::new();
        while let Some((name, bound)) = next.pop() {
            if bounds.get(name).is_some_and(|known| known.limit >= bound.limit) {
                continue;
            }
            bounds.insert(name, bound);
            for one in assigned.get(name).into_iter().flatten() {
                if !one.holes.is_empty() {
                    let why = format!("a variable carries it on: {}", bound.why);
                    reached.push((one.holes.clone(), Bound::new(bound.limit, why)));
                }
                next.extend(self.names_in(&one.names).iter().map(|name| (name.as_str(), bound)));
            }
        }
        for (holes, bound) in reached {
            self.bind(holes, &bound);
        }
    }

    /// Bounds the values that are written to a file which the script then runs.
    pub(super) fn follow_files(&mut self) {
        let mut bounds = Vec::new();
        for (index, written) in self.written.iter().enumerate() {
            let run = self.run_files.iter().any(|file| match (file, &written.file) {
                (Some(run), Some(written)) => run == written,
                (None, _) | (_, None) => true,
            });
            if run {
                bounds.push(written.holes.clone());
                for (doc, by) in &self.written_docs {
                    if *by == index
                        && let Some(doc) = self.here_docs.get_mut(*doc)
                    {
                        doc.bound.raise(&FILE_RUNS);
                    }
                }
            }
        }
        for holes in bounds {
            self.bind(holes, &FILE_RUNS);
        }
    }

    fn names_in(&self, range: &Range<usize>) -> &[String] {
        self.names.get(range.clone()).unwrap_or_default()
    }
}

const FILE_RUNS: Bound = Bound {
    limit: Limit::SafeWord,
    why: std::borrow::Cow::Borrowed("it is written to a file, and the script runs files"),
};
