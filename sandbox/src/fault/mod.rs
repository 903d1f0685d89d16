//! Faults on demand: what goes wrong with which request, and when.
//!
//! Three ways, which may be combined: rules for chosen requests, a component that stops dead at its n-th request, and
//! random faults that a seed decides.

mod odds;
mod rule;
mod stop;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub use odds::Odds;
pub use rule::{Action, Fault, Rule, When};
pub use stop::Stop;

use crate::request::{Match, Request};
use odds::Random;
use rule::Armed;
use stop::Halt;

/// How a watch is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchBreak {
    /// The connection is cut in the middle of the stream.
    Cut,
    /// The stream ends in order, as after timeoutSeconds.
    End,
    /// The stream stays open and tells nothing more.
    Freeze,
    /// An ERROR event says 410 Expired, and the stream ends.
    Expire,
}

/// The faults of one server. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    rules: Vec<Armed>,
    halts: Vec<Halt>,
    random: Option<Random>,
    watches: Vec<OpenWatch>,
    next_watch: u64,
}

#[derive(Debug)]
struct OpenWatch {
    id: u64,
    request: Request,
    broken: watch::Sender<Option<WatchBreak>>,
}

/// What is done to one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// In order, before the request is carried out.
    pub(crate) before: Vec<Step>,
    /// In order, after it was carried out and before it is answered.
    pub(crate) after: Vec<Step>,
    /// For a watch: after this many events.
    pub(crate) watch: Option<(usize, WatchBreak)>,
}

/// One thing that is done to a request.
#[derive(Debug)]
pub(crate) enum Step {
    Delay(Duration),
    Status(u16, Option<u32>),
    Reset,
    /// Wait until this becomes true.
    Hang(watch::Receiver<bool>),
    /// Tell a [`Stop`] that its request is here.
    Reached(watch::Sender<bool>),
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms a rule. It stays armed until its number of times is used up or the returned handle removes it.
    pub fn add(&self, rule: Rule) -> Fault {
        let armed = Armed::new(rule);
        let fault = armed.handle();
        self.lock().rules.push(armed);
        fault
    }

    /// Disarms all rules, lets held requests go on and ends the random mode. Stopped components stay stopped.
    pub fn clear(&self) {
        let mut inner = self.lock();
        for rule in inner.rules.drain(..) {
            rule.release();
        }
        inner.random = None;
    }

    /// From now on, disturbs requests at random. The same seed disturbs the n-th request for an object in the same
    /// way, in whatever order requests of different objects arrive.
    pub fn random(&self, seed: u64, odds: Odds) {
        self.lock().random = Some(Random::new(seed, odds));
    }

    /// Ends the random mode.
    pub fn calm(&self) {
        self.lock().random = None;
    }

    /// Lets a component die at its n-th request from now on, counted from 1: with [`When::Before`] that request is
    /// not carried out, with [`When::After`] it is; in both cases it is never answered, and every later request of
    /// the component meets a closed connection until [`Stop::resume`].
    pub fn stop_at(&self, component: &str, n: u64, when: When) -> Stop {
        self.stop_at_match(component, Match::any(), n, when)
    }

    /// As [`Faults::stop_at`], counting only those requests of the component that fit.
    pub fn stop_at_match(&self, component: &str, of: Match, n: u64, when: When) -> Stop {
        let halt = Halt::new(component, of, n, when);
        let stop = halt.handle();
        self.lock().halts.push(halt);
        stop
    }

    /// Breaks the watches that are open at this moment and fit; returns how many.
    pub fn break_watches(&self, of: &Match, how: WatchBreak) -> usize {
        let inner = self.lock();
        let fitting = inner.watches.iter().filter(|watch| of.fits(&watch.request));
        fitting.fold(0, |broken, watch| {
            watch.broken.send_replace(Some(how));
            broken + 1
        })
    }

    /// How many watches that fit are open at this moment.
    pub fn open_watches(&self, of: &Match) -> usize {
        self.lock().watches.iter().filter(|watch| of.fits(&watch.request)).count()
    }

    /// Whether a rule would answer this request with 403. That counts for nothing.
    pub(crate) fn forbids(&self, request: &Request) -> bool {
        self.lock().rules.iter().any(|rule| rule.forbids(request))
    }

    /// What is to be done to a request that has arrived.
    pub(crate) fn judge(&self, request: &Request) -> Verdict {
        let mut inner = self.lock();
        let mut verdict = Verdict::default();
        inner.halts.retain(|halt| !halt.is_over());
        for halt in &mut inner.halts {
            halt.judge(request, &mut verdict);
        }
        for rule in &mut inner.rules {
            rule.judge(request, &mut verdict);
        }
        if let Some(random) = &mut inner.random {
            random.judge(request, &mut verdict);
        }
        inner.rules.retain(|rule| !rule.is_over());
        verdict
    }

    /// Notes an open watch, so that it can be broken.
    pub(crate) fn opened(&self, request: &Request) -> WatchGuard {
        let mut inner = self.lock();
        inner.next_watch += 1;
        let id = inner.next_watch;
        let broken = watch::Sender::new(None);
        let receiver = broken.subscribe();
        inner.watches.push(OpenWatch { id, request: request.clone(), broken });
        WatchGuard { faults: self.clone(), id, broken: receiver }
    }
}

/// An open watch; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct WatchGuard {
    faults: Faults,
    id: u64,
    pub(crate) broken: watch::Receiver<Option<WatchBreak>>,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.faults.lock().watches.retain(|watch| watch.id != self.id);
    }
}
