//! How long the stages of an action take: until its executor has begun, and from then until it ended.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aegis_crds::alert::ActionStatus;
use jiff::Timestamp;

use crate::metrics::{Metrics, Stage};

/// Since when actions run, by UID. Status does not say; after a restart an action counts as running from its start.
#[derive(Debug, Default)]
pub struct Stages {
    running: Mutex<HashMap<String, Timestamp>>,
}

impl Stages {
    /// An action was seen to run.
    pub fn runs(&self, metrics: &Metrics, uid: &str, action: &ActionStatus, now: Timestamp) {
        if let Some(start) = action.start_time {
            metrics.stage(Stage::Running, now.duration_since(start));
        }
        self.all(|running| running.insert(uid.to_owned(), now));
    }

    /// An action was seen to have ended.
    pub fn ended(&self, metrics: &Metrics, uid: &str, action: &ActionStatus) {
        let since = self.all(|running| running.remove(uid)).or(action.start_time);
        if let (Some(since), Some(end)) = (since, action.completion_time) {
            metrics.stage(Stage::Done, end.duration_since(since));
        }
    }

    fn all<T>(&self, change: impl FnOnce(&mut HashMap<String, Timestamp>) -> T) -> T {
        change(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
