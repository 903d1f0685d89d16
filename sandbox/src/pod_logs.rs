//! The logs of pods, line by line. Whoever plays the kubelet writes them; `kubectl logs` reads them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

/// How much of one container's log is kept; the oldest lines go first, as the kubelet rotates them away.
const KEPT_BYTES: usize = 10 * 1024 * 1024;

/// All logs. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct PodLogs(Arc<Mutex<Pods>>);

type Pods = HashMap<(String, String), Pod>;

#[derive(Debug, Default)]
struct Pod {
    containers: BTreeMap<String, Log>,
    grown: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<Line>,
    bytes: usize,
    /// How many lines were rotated away.
    dropped: u64,
    partial: String,
}

/// One line and when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) time: Timestamp,
    pub(crate) text: Arc<str>,
}

impl PodLogs {
    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds output of a container. A line that has not ended is kept and completed by the next call.
    pub fn append(&self, namespace: &str, pod: &str, container: &str, text: &str) {
        let mut pods = self.lock();
        let pod = pods.entry((namespace.to_owned(), pod.to_owned())).or_default();
        let log = pod.containers.entry(container.to_owned()).or_default();
        let now = Timestamp::now();
        for part in text.split_inclusive('\n') {
            log.partial.push_str(part);
            if part.ends_with('\n') {
                let line = std::mem::take(&mut log.partial);
                log.push(Line { time: now, text: line.trim_end_matches('\n').into() });
            }
        }
        pod.grown.send_replace(());
    }

    /// The whole log of a container as it would be printed, an unfinished last line included; empty if it has none.
    pub fn text(&self, namespace: &str, pod: &str, container: &str) -> String {
        let pods = self.lock();
        let Some(log) = pods.get(&(namespace.to_owned(), pod.to_owned())).and_then(|pod| pod.containers.get(container))
        else {
            return String::new();
        };
        let mut text = String::with_capacity(log.bytes + log.partial.len());
        for line in &log.lines {
            text.push_str(&line.text);
            text.push('\n');
        }
        text.push_str(&log.partial);
        text
    }

    /// Whether a container has written nothing.
    pub(crate) fn is_empty(&self, namespace: &str, pod: &str, container: &str) -> bool {
        self.lock()
            .get(&(namespace.to_owned(), pod.to_owned()))
            .and_then(|pod| pod.containers.get(container))
            .is_none_or(|log| log.lines.is_empty() && log.partial.is_empty())
    }

    /// Drops the logs of a pod.
    pub(crate) fn forget(&self, namespace: &str, pod: &str) {
        self.lock().remove(&(namespace.to_owned(), pod.to_owned()));
    }

    /// The lines of a container from the n-th on, counted from its start, and the number of the next one. With
    /// `whole`, an unfinished line counts as a line.
    pub(crate) fn lines(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        from: u64,
        whole: bool,
    ) -> (Vec<Line>, u64) {
        let pods = self.lock();
        let Some(log) = pods.get(&(namespace.to_owned(), pod.to_owned())).and_then(|pod| pod.containers.get(container))
        else {
            return (Vec::new(), from);
        };
        let skip = usize::try_from(from.saturating_sub(log.dropped)).unwrap_or(usize::MAX);
        let mut lines: Vec<Line> = log.lines.iter().skip(skip).cloned().collect();
        let next = log.dropped + log.lines.len() as u64;
        if whole && !log.partial.is_empty() {
            lines.push(Line { time: Timestamp::now(), text: log.partial.as_str().into() });
        }
        (lines, next)
    }

    /// Tells when a pod has written more.
    pub(crate) fn subscribe(&self, namespace: &str, pod: &str) -> watch::Receiver<()> {
        self.lock().entry((namespace.to_owned(), pod.to_owned())).or_default().grown.subscribe()
    }
}

impl Log {
    fn push(&mut self, line: Line) {
        self.bytes += line.text.len() + 1;
        self.lines.push_back(line);
        while self.bytes > KEPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.text.len() + 1;
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_come_in_pieces() {
        let logs = PodLogs::default();
        logs.append("ns", "p", "c", "one\ntw");
        logs.append("ns", "p", "c", "o\nthree");
        let (lines, next) = logs.lines("ns", "p", "c", 0, false);
        let texts: Vec<&str> = lines.iter().map(|line| &*line.text).collect();
        assert_eq!((texts, next), (vec!["one", "two"], 2));
        assert_eq!(logs.text("ns", "p", "c"), "one\ntwo\nthree");
        assert_eq!(logs.lines("ns", "p", "c", 1, true).0.len(), 2);
        logs.forget("ns", "p");
        assert_eq!(logs.text("ns", "p", "c"), "");
    }

    #[test]
    fn the_oldest_lines_are_rotated_away_and_numbers_go_on() {
        let logs = PodLogs::default();
        let line = format!("{}\n", "x".repeat(KEPT_BYTES / 4));
        for _ in 0..8 {
            logs.append("ns", "p", "c", &line);
        }
        let (lines, next) = logs.lines("ns", "p", "c", 0, false);
        assert_eq!((lines.len(), next), (3, 8));
    }
}
