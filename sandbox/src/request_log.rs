//! Counts every request and remembers the last ones, so that a test can say what a component asked of the server.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::request::{Match, Request, Verb};

/// How many requests are remembered one by one. Counters go on without limit.
const REMEMBERED: usize = 20_000;

/// The record of requests. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RequestLog(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// Per kind of request, names left out: how many came, and how many were answered with success.
    counts: HashMap<Request, Count>,
    entries: VecDeque<Entry>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    seen: u64,
    succeeded: u64,
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In the order of arrival, from 1 on; goes on after a reset.
    pub sequence: u64,
    /// What was asked.
    pub request: Request,
    /// The HTTP status that was answered; none while it is under way, and for ever if no answer was sent.
    pub status: Option<u16>,
}

impl RequestLog {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests of this kind arrived, answered or not. A match by object name counts those that are still
    /// remembered one by one.
    pub fn count(&self, of: &Match) -> u64 {
        self.total(of, |count| count.seen)
    }

    /// How many requests of this kind were answered with a 2xx status.
    pub fn succeeded(&self, of: &Match) -> u64 {
        self.total(of, |count| count.succeeded)
    }

    fn total(&self, of: &Match, pick: impl Fn(&Count) -> u64) -> u64 {
        let inner = self.lock();
        if of.names_object() {
            let count =
                inner.entries.iter().filter(|entry| of.fits(&entry.request)).fold(Count::default(), |count, entry| {
                    Count { seen: count.seen + 1, succeeded: count.succeeded + u64::from(is_success(entry.status)) }
                });
            return pick(&count);
        }
        inner.counts.iter().filter(|(request, _)| of.fits(request)).map(|(_, count)| pick(count)).sum()
    }

    /// How many successful writes of objects a component made, or all components together. Events and Leases are
    /// left out: they are bookkeeping, not state.
    pub fn writes(&self, component: Option<&str>) -> u64 {
        let inner = self.lock();
        inner
            .counts
            .iter()
            .filter(|(request, _)| {
                request.verb.is_write()
                    && !matches!(request.resource.as_str(), "events" | "leases")
                    && component.is_none_or(|component| component == request.component)
            })
            .map(|(_, count)| count.succeeded)
            .sum()
    }

    /// How many reads of objects a component made: get, list and watch.
    pub fn reads(&self, component: &str) -> u64 {
        [Verb::Get, Verb::List, Verb::Watch]
            .into_iter()
            .map(|verb| self.count(&Match::any().component(component).verb(verb)))
            .sum()
    }

    /// The last requests, oldest first; at most 20,000 are remembered.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.iter().cloned().collect()
    }

    /// The last requests of a kind, oldest first.
    pub fn matching(&self, of: &Match) -> Vec<Entry> {
        self.lock().entries.iter().filter(|entry| of.fits(&entry.request)).cloned().collect()
    }

    /// Forgets all counts and entries.
    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.counts.clear();
        inner.entries.clear();
    }

    /// Notes that a request arrived and returns its sequence number.
    pub(crate) fn arrived(&self, request: &Request) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        let sequence = inner.next;
        inner.counts.entry(nameless(request)).or_default().seen += 1;
        if inner.entries.len() >= REMEMBERED {
            inner.entries.pop_front();
        }
        inner.entries.push_back(Entry { sequence, request: request.clone(), status: None });
        sequence
    }

    /// Notes how a request was answered.
    pub(crate) fn answered(&self, sequence: u64, request: &Request, status: u16) {
        let mut inner = self.lock();
        if is_success(Some(status)) {
            inner.counts.entry(nameless(request)).or_default().succeeded += 1;
        }
        let found = inner.entries.binary_search_by_key(&sequence, |entry| entry.sequence);
        if let Some(entry) = found.ok().and_then(|at| inner.entries.get_mut(at)) {
            entry.status = Some(status);
        }
    }
}

fn is_success(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..300).contains(&status))
}

fn nameless(request: &Request) -> Request {
    Request { name: String::new(), ..request.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(component: &str, verb: Verb, resource: &str) -> Request {
        Request {
            component: component.into(),
            verb,
            group: String::new(),
            resource: resource.into(),
            subresource: String::new(),
            namespace: "ns".into(),
            name: "x".into(),
        }
    }

    #[test]
    fn requests_are_counted_by_who_what_and_outcome() {
        let log = RequestLog::default();
        for (verb, resource, status) in [
            (Verb::Create, "pods", 201),
            (Verb::Create, "pods", 409),
            (Verb::Create, "events", 201),
            (Verb::Get, "pods", 200),
        ] {
            let request = request("a", verb, resource);
            let sequence = log.arrived(&request);
            log.answered(sequence, &request, status);
        }
        log.arrived(&request("b", Verb::Patch, "nodes"));
        let creates = Match::any().verb(Verb::Create).resource("pods");
        assert_eq!((log.count(&creates), log.succeeded(&creates)), (2, 1));
        assert_eq!(log.count(&creates.clone().name("x")), 2);
        assert_eq!((log.writes(Some("a")), log.writes(None), log.reads("a")), (1, 1, 1));
        assert_eq!(log.count(&Match::any().component("b").writes()), 1);
        assert_eq!(log.entries().last().and_then(|entry| entry.status), None);
        log.reset();
        assert_eq!(log.count(&Match::any()), 0);
    }
}
