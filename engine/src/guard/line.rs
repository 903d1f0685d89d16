//! The line of those who wait for room, and who of them and of those who ask now gets it.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;

use super::book::Book;
use super::policy::Policy;
use super::request::{Place, Rank, Request};
use super::standing::{Guard, admit};
use super::verdict::Reason;

/// Those who wait, the first in line first. `K` says whom to wake.
#[derive(Clone, Debug)]
pub struct Line<K> {
    waiting: BTreeMap<Rank, (K, Request)>,
    ranks: HashMap<K, Rank>,
    joined: u64,
}

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
}

/// What one that asked gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The place.
    Taken,
    /// No place: a gate refuses it, by the book as it is.
    Refused,
    /// No place: there is room, but others come first.
    OthersFirst,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), ranks: HashMap::new(), joined: 0 }
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
        self.ranks.insert(key.clone(), request.rank.clone());
        self.waiting.insert(request.rank.clone(), (key, request));
    }

    /// Waits no more.
    pub fn leave(&mut self, key: &K) {
        if let Some(rank) = self.ranks.remove(key) {
            self.waiting.remove(&rank);
        }
    }

    fn waits(&self, key: &K) -> Option<&Request> {
        self.ranks.get(key).and_then(|rank| self.waiting.get(rank)).map(|(_, request)| request)
    }

    /// Grows whenever somebody joins: whoever joined after a round was not thought of in it.
    pub fn joined(&self) -> u64 {
        self.joined
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives places to those who ask, in the order of their ranks, after keeping room for those in line who rank before
    /// them.
    pub fn round(&self, guard: &Guard, asking: &[Request], now: Timestamp) -> Round<K> {
        let mut answers = vec![Answer::Refused; asking.len()];
        let mut book = Book::clone(&guard.book);
        let mut wake = Vec::new();
        let mut too_many = false;
        let policy = guard.policy().cloned().unwrap_or_default();
        let asks: HashMap<&Place, usize> = asking.iter().enumerate().map(|(at, one)| (&one.place, at)).collect();
        let mut all: Vec<(&Request, Option<&K>)> = asking.iter().map(|request| (request, None)).collect();
        let waiting = self.waiting.values().filter(|(_, request)| !asks.contains_key(&request.place));
        all.extend(waiting.map(|(key, request)| (request, Some(key))));
        all.sort_by(|(one, _), (other, _)| one.rank.cmp(&other.rank));
        // The book as it would be if those in line had taken what is kept for them.
        let mut kept = guard.clone();
        for (request, waits) in all {
            // In a storm most of the line waits for the same room; none of them needs to be looked at more closely.
            if waits.is_some() && is_full(&kept, &policy, request) {
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
                    let alone = Guard { book: Arc::new(book.clone()), ..guard.clone() };
                    if !wake.is_empty() && admit(request, &alone, now).is_ok() {
                        set(&mut answers, &asks, request, Answer::OthersFirst);
                    }
                }
                (Err(refusal), Some(_)) => too_many |= refusal.reason == Reason::BreakerOpen,
            }
        }
        Round { book, answers, wake, too_many }
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
