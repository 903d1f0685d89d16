//! What goes wrong with which requests, and how often it has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::request::Request;

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not carried out, and answered with this code, with Retry-After in seconds if given.
    Refuse(u16, Option<u32>),
    /// A write that was carried out with success is answered with this code.
    FailAfter(u16),
    /// It is not carried out; its connection is reset.
    Reset,
    /// A write is carried out with success; its connection is reset then.
    LoseAnswer,
    /// It reaches the API server so much later, also if its sender has given up by then.
    Delay(Duration),
    /// It is neither carried out nor answered, and its connection stays open.
    Swallow,
    /// A watch stays open and tells nothing more.
    Freeze,
    /// A watch is told that its version has expired (410), and ends.
    Expire,
}

impl Fault {
    fn may_meet(self, request: &Request) -> bool {
        match self {
            Self::Freeze | Self::Expire => request.is_watch(),
            Self::FailAfter(_) | Self::LoseAnswer => request.is_write(),
            Self::Refuse(..) | Self::Reset | Self::Delay(_) | Self::Swallow => !request.is_watch(),
        }
    }
}

/// How many requests of each verb and resource were met.
pub type Hits = BTreeMap<String, u64>;

/// A request that is to be met by a fault.
pub(super) struct Hit {
    pub(super) fault: Fault,
    request: Request,
    round: u64,
}

/// The fault that is armed. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Shared>);

#[derive(Default)]
struct Shared {
    armed: Mutex<Option<Armed>>,
    /// How often one was armed.
    rounds: watch::Sender<u64>,
}

struct Armed {
    fault: Fault,
    requests: Vec<String>,
    /// How many requests of each kind have come.
    seen: BTreeMap<Request, u64>,
    hits: Hits,
}

impl Faults {
    pub(super) fn arm(&self, fault: Fault, requests: &[&str]) {
        let requests = requests.iter().map(|request| (*request).to_owned()).collect();
        *self.armed() = Some(Armed { fault, requests, seen: BTreeMap::new(), hits: Hits::new() });
        self.0.rounds.send_modify(|round| *round += 1);
    }

    pub(super) fn disarm(&self) {
        *self.armed() = None;
    }

    pub(super) fn hits(&self) -> Hits {
        self.armed().as_ref().map(|armed| armed.hits.clone()).unwrap_or_default()
    }

    /// Tells when another fault is armed.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.rounds.subscribe()
    }

    /// What is to be done to a request; whoever has done it says so by [`Faults::happened`].
    pub(super) fn judge(&self, request: &Request) -> Option<Hit> {
        let mut armed = self.armed();
        let armed = armed.as_mut()?;
        let named = armed.requests.is_empty() || armed.requests.iter().any(|name| *name == request.to_string());
        if !named || !armed.fault.may_meet(request) {
            return None;
        }
        let seen = armed.seen.entry(request.clone()).or_default();
        *seen += 1;
        let round = *self.0.rounds.borrow();
        (*seen % 2 == 1).then(|| Hit { fault: armed.fault, request: request.clone(), round })
    }

    pub(super) fn happened(&self, hit: Option<Hit>) {
        let Some(hit) = hit else { return };
        if let Some(armed) = self.armed().as_mut().filter(|_| *self.0.rounds.borrow() == hit.round) {
            *armed.hits.entry(hit.request.to_string()).or_default() += 1;
        }
    }

    fn armed(&self) -> MutexGuard<'_, Option<Armed>> {
        self.0.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> Request {
        Request::of(&method.parse().unwrap(), &path.parse().unwrap())
    }

    #[test]
    fn every_second_request_of_a_kind_is_met() {
        let faults = Faults::default();
        let (create, get) = (request("POST", "/api/v1/pods"), request("GET", "/api/v1/pods/a"));
        assert!(faults.judge(&create).is_none(), "nothing is armed");
        faults.arm(Fault::Reset, &[]);
        let met = [&create, &create, &get, &create].map(|request| faults.judge(request).is_some());
        assert_eq!(met, [true, false, true, true], "each kind is counted by itself");
        faults.disarm();
        assert!(faults.judge(&create).is_none(), "disarmed");
    }

    #[test]
    fn a_fault_meets_only_what_it_can_happen_to_and_what_is_named() {
        let requests = [
            request("POST", "/api/v1/pods"),
            request("GET", "/api/v1/pods/a"),
            request("GET", "/api/v1/pods?watch=true"),
            request("PATCH", "/api/v1/pods/a/status"),
        ];
        let cases: [(Fault, &[&str], [bool; 4]); 5] = [
            (Fault::Refuse(500, None), &[], [true, true, false, true]),
            (Fault::LoseAnswer, &[], [true, false, false, true]),
            (Fault::Freeze, &[], [false, false, true, false]),
            (Fault::Reset, &["patch pods/status"], [false, false, false, true]),
            (Fault::Expire, &["watch jobs"], [false, false, false, false]),
        ];
        for (fault, named, want) in cases {
            let faults = Faults::default();
            faults.arm(fault, named);
            let met = requests.each_ref().map(|request| faults.judge(request).is_some());
            assert_eq!(met, want, "{fault:?} {named:?}");
        }
    }

    #[test]
    fn only_what_happened_in_this_round_is_counted() {
        let faults = Faults::default();
        let create = request("POST", "/api/v1/pods");
        faults.arm(Fault::Reset, &[]);
        let late = faults.judge(&create);
        faults.arm(Fault::Swallow, &[]);
        faults.happened(late);
        assert!(faults.hits().is_empty());
        let now = faults.judge(&create);
        faults.happened(now);
        assert_eq!(faults.hits(), Hits::from([("create pods".to_owned(), 1)]));
    }
}
