//! The line of those who wait for room, and who of them and of those who ask now gets it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::Hash;
use std::iter::Peekable;
use std::sync::Arc;

use aegis_crds::guard::Claim;
use jiff::Timestamp;

use super::book::Book;
use super::policy::Policy;
use super::request::{Place, Rank, Request, targets_of};
use super::standing::{Guard, admit};
use super::verdict::Reason;
use crate::scope::ObjectName;

/// Those who wait, the first in line first. `K` says whom to wake.
#[derive(Clone, Debug)]
pub struct Line<K> {
    /// By what they share the room with.
    queues: BTreeMap<Share, BTreeMap<Rank, (K, Request)>>,
    places: HashMap<K, (Share, Rank)>,
    /// Who waits to work on a target, or on a node as "node/NAME".
    targets: HashMap<String, Vec<K>>,
    joined: u64,
}

/// The requests of a rule share its room, those for recovery need none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Share {
    rule: ObjectName,
    recovery: bool,
}

/// Requests in the order of their ranks, each with whom to wake if it waits.
type Source<'a, K> = Box<dyn Iterator<Item = (&'a Request, Option<&'a K>)> + 'a>;

/// What comes of a round of asking.
#[derive(Clone, Debug)]
pub struct Round<K> {
    /// The book with what was given.
    pub book: Book,
    /// For each that asked, in their order, what it gets.
    pub answers: Vec<Answer>,
    /// Those in line who find room now; it is kept for them in this round.
    pub wake: Vec<K>,
    /// Whether somebody was refused because too many began lately.
    pub too_many: bool,
    /// When somebody in line may find room though nothing changes: at the end of a pause, a window, a wait, or of the
    /// breaker's time. What held them when they joined may have been something else.
    pub again: Option<Timestamp>,
}

/// What one that asked gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The place.
    Taken,
    /// Nothing: the place was taken before. Whoever took it may have made the action already.
    TakenBefore,
    /// No place: a gate refuses it, by the book as it is.
    Refused,
    /// No place: there is room, but others come first.
    OthersFirst,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), places: HashMap::new(), targets: HashMap::new(), joined: 0 }
    }
}

impl<K: Clone + Eq + Hash> Line<K> {
    /// Waits.
    pub fn wait(&mut self, key: K, request: Request) {
        if self.waits(&key) == Some(&request) {
            return;
        }
        self.joined += 1;
        self.leave(&key);
        let share = Share { rule: request.rule.clone(), recovery: request.recovery };
        self.places.insert(key.clone(), (share.clone(), request.rank.clone()));
        for target in request.targets() {
            self.targets.entry(target).or_default().push(key.clone());
        }
        self.queues.entry(share).or_default().insert(request.rank.clone(), (key, request));
    }

    /// Waits no more.
    pub fn leave(&mut self, key: &K) {
        let Some((share, rank)) = self.places.remove(key) else { return };
        let Some(queue) = self.queues.get_mut(&share) else { return };
        let left = queue.remove(&rank);
        if queue.is_empty() {
            self.queues.remove(&share);
        }
        for target in left.iter().flat_map(|(_, request)| request.targets()) {
            if let Some(keys) = self.targets.get_mut(&target) {
                keys.retain(|other| other != key);
                if keys.is_empty() {
                    self.targets.remove(&target);
                }
            }
        }
    }

    fn waits(&self, key: &K) -> Option<&Request> {
        let (share, rank) = self.places.get(key)?;
        self.queues.get(share)?.get(rank).map(|(_, request)| request)
    }

    /// Grows whenever somebody joins: whoever joined after a round was not thought of in it.
    pub fn joined(&self) -> u64 {
        self.joined
    }

    /// All who wait.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.places.keys()
    }

    /// Those who wait to work on what that claim works on.
    pub fn waiting_for(&self, claim: &Claim) -> impl Iterator<Item = &K> {
        targets_of(claim).into_iter().filter_map(|target| self.targets.get(&target)).flatten()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Gives places to those who ask, in the order of their ranks, after keeping room for those in line who rank before
    /// them.
    pub fn round(&self, guard: &Guard, asking: &[Request], now: Timestamp) -> Round<K> {
        let policy = guard.policy.or_default();
        let asks: HashMap<&Place, usize> = asking.iter().enumerate().map(|(at, one)| (&one.place, at)).collect();
        let mut answers = vec![Answer::Refused; asking.len()];
        let (mut wake, mut refused) = (Vec::new(), Vec::new());
        let mut too_many = false;
        let mut again: Option<Timestamp> = None;
        let mut book = Book::clone(&guard.book);
        // The book as it would be if those in line had taken what is kept for them.
        let mut kept = guard.clone();
        let mut sources = self.sources(asking, &asks);
        let mut heads: BinaryHeap<Reverse<(&Rank, usize)>> = BinaryHeap::new();
        for (at, source) in sources.iter_mut().enumerate() {
            heads.extend(source.peek().map(|(request, _)| Reverse((&request.rank, at))));
        }
        while let Some(Reverse((_, at))) = heads.pop() {
            let Some(source) = sources.get_mut(at) else { continue };
            let Some((request, waits)) = source.next() else { continue };
            // In a storm most of the line waits for the same room; none of them needs to be looked at more closely.
            if waits.is_some() && is_full(&kept, &policy, request) {
                continue;
            }
            heads.extend(source.peek().map(|(following, _)| Reverse((&following.rank, at))));
            if waits.is_none() && guard.book.find(&request.place).is_some() {
                set(&mut answers, &asks, request, Answer::TakenBefore);
                continue;
            }
            match (admit(request, &kept, now), waits) {
                (Ok(()), Some(key)) => {
                    wake.push(key.clone());
                    take(&mut kept, request, &policy, now);
                }
                (Ok(()), None) => {
                    book = book.with(request, &policy, now);
                    take(&mut kept, request, &policy, now);
                    set(&mut answers, &asks, request, Answer::Taken);
                }
                (Err(refusal), None) => {
                    too_many |= refusal.reason == Reason::BreakerOpen;
                    refused.push(request);
                }
                (Err(refusal), Some(_)) => {
                    too_many |= refusal.reason == Reason::BreakerOpen;
                    let next = refusal.next_try.filter(|next| *next > now);
                    again = again.into_iter().chain(next).min();
                }
            }
        }
        if !wake.is_empty() {
            let alone = Guard { book: Arc::new(book.clone()), ..guard.clone() };
            for request in refused.into_iter().filter(|request| admit(request, &alone, now).is_ok()) {
                set(&mut answers, &asks, request, Answer::OthersFirst);
            }
        }
        Round { book, answers, wake, too_many, again }
    }

    /// Those who ask, and each queue of those who wait and do not ask, every one in the order of its ranks.
    fn sources<'a>(&'a self, asking: &'a [Request], asks: &'a HashMap<&Place, usize>) -> Vec<Peekable<Source<'a, K>>> {
        let mut sorted: Vec<&Request> = asking.iter().collect();
        sorted.sort_by_key(|request| &request.rank);
        let asking: Source<'a, K> = Box::new(sorted.into_iter().map(|request| (request, None)));
        let waiting = self.queues.values().map(|queue| -> Source<'a, K> {
            let waiting = queue.values().filter(|(_, request)| !asks.contains_key(&request.place));
            Box::new(waiting.map(|(key, request)| (request, Some(key))))
        });
        std::iter::once(asking).chain(waiting).map(Iterator::peekable).collect()
    }
}

/// Takes the place in the guard's own book.
fn take(guard: &mut Guard, request: &Request, policy: &Policy, now: Timestamp) {
    let book = Arc::unwrap_or_clone(std::mem::take(&mut guard.book));
    guard.book = Arc::new(book.with(request, policy, now));
}

/// Whether no more actions of that rule, or of any, may be under way.
fn is_full(guard: &Guard, policy: &Policy, request: &Request) -> bool {
    let of_rule = || guard.book.unfinished_of(&request.rule.to_string());
    !request.recovery
        && (guard.book.unfinished() >= policy.unfinished()
            || of_rule() >= policy.unfinished_per_rule(request.budget.unfinished))
}

fn set(answers: &mut [Answer], asks: &HashMap<&Place, usize>, request: &Request, answer: Answer) {
    if let Some(place) = asks.get(&request.place).and_then(|at| answers.get_mut(*at)) {
        *place = answer;
    }
}
