//! Rules: this is done to those requests, from the n-th on, so many times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::{Step, Verdict, WatchBreak};
use crate::request::{Match, Request, Verb};

/// At which side of the commit something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the request is carried out: nothing has changed.
    Before,
    /// After it was carried out, before it is answered: the answer is lost, not the change.
    After,
}

/// What is done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It waits.
    Delay(Duration),
    /// It is answered with an error: 429, 500, 503, 504 or any other status, with Retry-After in seconds if given.
    Status(u16, Option<u32>),
    /// Its connection is closed without an answer.
    Reset,
    /// It is held until [`Fault::release`], then goes on as if nothing had been.
    Hang,
    /// A watch is broken after this many events; other requests are left alone.
    Watch(usize, WatchBreak),
}

/// Which requests are disturbed, and how. Begins as: every request that fits, for ever, before the commit.
#[derive(Debug, Clone)]
pub struct Rule {
    of: Match,
    action: Action,
    when: When,
    first: u64,
    times: Option<u64>,
}

impl Rule {
    /// Does this to every request that fits.
    pub fn new(of: Match, action: Action) -> Self {
        Self { of, action, when: When::Before, first: 1, times: None }
    }

    /// At that side of the commit.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// From the n-th fitting request on, counted from 1.
    #[must_use]
    pub fn from(mut self, n: u64) -> Self {
        self.first = n.max(1);
        self
    }

    /// At most so many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// To the n-th fitting request alone.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        self.from(n).times(1)
    }
}

/// A rule that was armed.
#[derive(Debug, Clone)]
pub struct Fault {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hits: AtomicU64,
    removed: AtomicBool,
    released: watch::Sender<bool>,
    hit: watch::Sender<u64>,
}

impl Fault {
    /// How many requests were disturbed.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// Waits until so many requests were disturbed.
    pub async fn reached(&self, hits: u64) {
        // The sender lives as long as this handle.
        let _ = self.shared.hit.subscribe().wait_for(|seen| *seen >= hits).await;
    }

    /// Lets the requests go on that the rule holds, now and later.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Disarms the rule and lets the requests go on that it holds.
    pub fn remove(&self) {
        self.shared.removed.store(true, Ordering::SeqCst);
        self.release();
    }
}

/// A rule and what it has seen.
#[derive(Debug)]
pub(super) struct Armed {
    rule: Rule,
    seen: u64,
    shared: Arc<Shared>,
}

impl Armed {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            seen: 0,
            shared: Arc::new(Shared {
                hits: AtomicU64::new(0),
                removed: AtomicBool::new(false),
                released: watch::Sender::new(false),
                hit: watch::Sender::new(0),
            }),
        }
    }

    pub(super) fn handle(&self) -> Fault {
        Fault { shared: self.shared.clone() }
    }

    pub(super) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    pub(super) fn is_over(&self) -> bool {
        let used = self.rule.times.is_some_and(|times| self.seen >= (self.rule.first - 1).saturating_add(times));
        used || self.shared.removed.load(Ordering::SeqCst)
    }

    pub(super) fn forbids(&self, request: &Request) -> bool {
        matches!(self.rule.action, Action::Status(403, _)) && !self.is_over() && self.rule.of.fits(request)
    }

    pub(super) fn judge(&mut self, request: &Request, verdict: &mut Verdict) {
        if self.is_over() || !self.rule.of.fits(request) {
            return;
        }
        self.seen += 1;
        if self.seen < self.rule.first {
            return;
        }
        let step = match self.rule.action {
            Action::Delay(time) => Step::Delay(time),
            Action::Status(code, retry_after) => Step::Status(code, retry_after),
            Action::Reset => Step::Reset,
            Action::Hang => Step::Hang(self.shared.released.subscribe()),
            Action::Watch(after, how) => {
                if request.verb == Verb::Watch {
                    verdict.watch = Some((after, how));
                    self.count();
                }
                return;
            }
        };
        match self.rule.when {
            When::Before => verdict.before.push(step),
            When::After => verdict.after.push(step),
        }
        self.count();
    }

    fn count(&self) {
        let hits = self.shared.hits.fetch_add(1, Ordering::SeqCst) + 1;
        self.shared.hit.send_replace(hits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: Verb) -> Request {
        Request {
            component: "c".into(),
            verb,
            group: String::new(),
            resource: "pods".into(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
        }
    }

    #[test]
    fn a_rule_hits_the_requests_that_it_names_and_no_others() {
        let rule = Rule::new(Match::any().verb(Verb::Create), Action::Reset).from(2).times(2).when(When::After);
        let mut armed = Armed::new(rule);
        let hits: Vec<usize> = [Verb::Create, Verb::Get, Verb::Create, Verb::Create, Verb::Create]
            .map(|verb| {
                let mut verdict = Verdict::default();
                armed.judge(&request(verb), &mut verdict);
                verdict.after.len()
            })
            .to_vec();
        assert_eq!(hits, [0, 0, 1, 1, 0]);
        assert!(armed.is_over());
        assert_eq!(armed.handle().hits(), 2);
    }
}
