//! What waits to be told to one receiver: bounded, so that a dead receiver costs a known amount of memory and nothing
//! else. Who adds to it never waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::notice::Notice;

/// How many notices wait at most; beyond that the oldest goes, since the newest tells best how things stand.
pub const LONGEST: usize = 1024;

/// A line of notices.
#[derive(Default)]
pub struct Line {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Default)]
struct Waiting {
    notices: VecDeque<Arc<Notice>>,
    closed: bool,
}

impl Line {
    /// Adds a notice. Says how many are lost by that: the oldest where the line was full, this one where it is closed.
    pub fn push(&self, notice: Arc<Notice>) -> usize {
        let mut waiting = self.lock();
        if waiting.closed {
            return 1;
        }
        let lost = usize::from(waiting.notices.len() >= LONGEST && waiting.notices.pop_front().is_some());
        waiting.notices.push_back(notice);
        drop(waiting);
        self.news.notify_one();
        lost
    }

    /// Takes the oldest ones, as soon as there are any; none once the line is closed and empty.
    pub async fn take(&self, most: usize) -> Vec<Arc<Notice>> {
        loop {
            // Heard from here on: what is added between the look and the wait is not missed.
            let news = self.news.notified();
            {
                let mut waiting = self.lock();
                let count = waiting.notices.len().min(most);
                if count > 0 || waiting.closed {
                    return waiting.notices.drain(..count).collect();
                }
            }
            news.await;
        }
    }

    /// Takes in nothing more. What waits can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().notices.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::{ended, first};
    use super::*;

    fn numbered(number: usize) -> Arc<Notice> {
        let mut notice = first(&ended("", None));
        notice.id = number.to_string();
        Arc::new(notice)
    }

    async fn ids(line: &Line, most: usize) -> Vec<String> {
        line.take(most).await.iter().map(|notice| notice.id.clone()).collect()
    }

    #[tokio::test]
    async fn a_full_line_loses_its_oldest_and_says_so() {
        let line = Line::default();
        let lost: usize = (0..LONGEST + 2).map(|number| line.push(numbered(number))).sum();
        assert_eq!((lost, line.len()), (2, LONGEST));
        assert_eq!(ids(&line, 2).await, ["2", "3"], "the oldest that are left, in their order");
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_a_notice_and_of_the_end() {
        let line = Arc::new(Line::default());
        let taker = tokio::spawn({
            let line = line.clone();
            async move { (ids(&line, 9).await, ids(&line, 9).await) }
        });
        tokio::task::yield_now().await;
        line.push(numbered(7));
        while line.len() > 0 {
            tokio::task::yield_now().await;
        }
        line.close();
        assert_eq!(taker.await.unwrap(), (vec!["7".to_owned()], vec![]));
        assert_eq!(line.push(numbered(8)), 1, "nobody will take it");
    }
}
