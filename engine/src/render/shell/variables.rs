//! Follows values through variables and files to the places that read them once more.

use std::collections::{BTreeMap, BTreeSet};

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
        // Which variables take over the text of which, so that chains can be followed back.
        let mut sources: BTreeMap<&str, Vec<&Assigned>> = BTreeMap::new();
        for assigned in &self.assigned {
            sources.entry(&assigned.name).or_default().push(assigned);
        }
        let mut bounds = Vec::new();
        for reread in &self.rereads {
            let mut reached: BTreeSet<&str> = BTreeSet::new();
            let mut next: Vec<&str> = self.names_in(&reread.names);
            while let Some(name) = next.pop() {
                if !reached.insert(name) {
                    continue;
                }
                for assigned in sources.get(name).into_iter().flatten() {
                    bounds.push((assigned.holes.clone(), reread.bound.clone()));
                    next.extend(self.names_in(&assigned.names));
                }
            }
        }
        for (holes, bound) in bounds {
            let bound = Bound::new(bound.limit, format!("a variable carries it on: {}", bound.why));
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

    fn names_in(&self, range: &std::ops::Range<usize>) -> Vec<&str> {
        self.names.get(range.clone()).unwrap_or_default().iter().map(String::as_str).collect()
    }
}

const FILE_RUNS: Bound = Bound {
    limit: Limit::SafeWord,
    why: std::borrow::Cow::Borrowed("it is written to a file, and the script runs files"),
};
