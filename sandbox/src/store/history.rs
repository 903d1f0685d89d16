//! The recent changes of one table, from which watches are fed and past lists are rebuilt.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Document;

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Put,
    Remove,
}

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// The state after the change; the last state when it was removed. Carries the change's revision.
    pub(crate) document: Arc<Document>,
    pub(crate) before: Option<Arc<Document>>,
}

/// The asked revision is older than what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub(crate) struct Expired {
    pub(crate) asked: u64,
    /// The oldest revision from which one can still go on.
    pub(crate) oldest: u64,
}

#[derive(Debug, Default)]
pub(super) struct History {
    changes: VecDeque<Arc<Change>>,
    /// The revision of the latest change that was forgotten.
    forgotten: u64,
}

impl History {
    pub(super) fn push(&mut self, change: Arc<Change>, keep: usize) {
        while self.changes.len() >= keep {
            match self.changes.pop_front() {
                Some(oldest) => self.forgotten = oldest.document.revision(),
                None => break,
            }
        }
        self.changes.push_back(change);
    }

    pub(super) fn forget(&mut self, revision: u64) {
        self.changes.clear();
        self.forgotten = revision;
    }

    /// Up to `most` changes after a revision, oldest first.
    pub(super) fn after(&self, revision: u64, most: usize) -> Result<Vec<Arc<Change>>, Expired> {
        self.remembers(revision)?;
        let from = self.changes.partition_point(|change| change.document.revision() <= revision);
        Ok(self.changes.iter().skip(from).take(most).cloned().collect())
    }

    /// All changes after a revision, newest first.
    pub(super) fn newest_first(&self, revision: u64) -> Result<impl Iterator<Item = &Arc<Change>>, Expired> {
        self.remembers(revision)?;
        Ok(self.changes.iter().rev().take_while(move |change| change.document.revision() > revision))
    }

    fn remembers(&self, revision: u64) -> Result<(), Expired> {
        if revision < self.forgotten {
            return Err(Expired { asked: revision, oldest: self.forgotten });
        }
        Ok(())
    }
}
