//! The book: which places are taken, how many actions began lately, and how the last ones ended. A change of it is a
//! value; whoever writes it does so on the condition that nobody wrote the AegisGuard in between.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aegis_crds::guard::{AegisGuardStatus, BreakerStatus, Claim, Ending, Starts};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::policy::Policy;
use super::request::{Place, Request, targets_of};

const OPEN: &str = "Open";
const CLOSED: &str = "Closed";
/// For how long a failure counts that no success followed.
const FAILURES_COUNT: SignedDuration = SignedDuration::from_hours(24);
/// How many endings are kept; the oldest go first.
const MOST_ENDINGS: usize = 2000;

/// The book. It is asked and changed for each of thousands who wait, so what they ask for is found without a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    claims: BTreeMap<Place, Arc<Claim>>,
    /// The claims that work on a target, and on a node as "node/NAME".
    busy: HashMap<String, Vec<Arc<Claim>>>,
    starts: Vec<Starts>,
    breaker: Option<BreakerStatus>,
    endings: Vec<Ending>,
    /// Taken places by rule, recovery apart.
    by_rule: HashMap<String, usize>,
    unfinished: usize,
}

/// How an action ended that gives its place back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was never made.
    NeverBegan,
    /// It succeeded then.
    Succeeded(Timestamp),
    /// It failed then.
    Failed(Timestamp),
}

impl Book {
    /// The book as it stands.
    pub fn of(status: Option<&AegisGuardStatus>) -> Self {
        let Some(status) = status else { return Self::default() };
        let mut book = Self {
            starts: status.starts.clone(),
            breaker: status.breaker.clone(),
            endings: status.endings.clone(),
            ..Self::default()
        };
        for claim in &status.claims {
            book.take(claim.clone());
        }
        book
    }

    fn take(&mut self, claim: Claim) {
        if !claim.recovery {
            *self.by_rule.entry(claim.rule.clone()).or_default() += 1;
            self.unfinished += 1;
        }
        let claim = Arc::new(claim);
        for target in targets_of(&claim) {
            self.busy.entry(target).or_default().push(claim.clone());
        }
        self.claims.insert(Place::of(&claim), claim);
    }

    fn give_back(&mut self, place: &Place) -> Option<Arc<Claim>> {
        let claim = self.claims.remove(place)?;
        for target in targets_of(&claim) {
            if let Some(all) = self.busy.get_mut(&target) {
                all.retain(|other| !place.is_of(other));
                if all.is_empty() {
                    self.busy.remove(&target);
                }
            }
        }
        if !claim.recovery {
            self.unfinished = self.unfinished.saturating_sub(1);
            if let Some(count) = self.by_rule.get_mut(&claim.rule) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_rule.remove(&claim.rule);
                }
            }
        }
        Some(claim)
    }

    /// Every place that is taken.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values().map(Arc::as_ref)
    }

    /// The claim of that place.
    pub fn find(&self, place: &Place) -> Option<&Claim> {
        self.claims.get(place).map(Arc::as_ref)
    }

    /// How many places are taken, recovery apart.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// How many of them a rule has.
    pub fn unfinished_of(&self, rule: &str) -> usize {
        self.by_rule.get(rule).copied().unwrap_or_default()
    }

    /// The same of each rule that has any.
    pub fn unfinished_by_rule(&self) -> impl Iterator<Item = (&str, usize)> {
        self.by_rule.iter().map(|(rule, count)| (rule.as_str(), *count))
    }

    /// The nodes under action, recovery apart.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.claims().filter(|claim| !claim.recovery).filter_map(|claim| claim.node.as_deref())
    }

    /// The claim of another place that works on the same target or node.
    pub fn works_on(&self, request: &Request) -> Option<&Claim> {
        let targets = request.targets();
        let mut on = targets.iter().filter_map(|target| self.busy.get(target)).flatten();
        on.find(|claim| !request.place.is_of(claim)).map(Arc::as_ref)
    }

    /// How the last action of the request's rule on its target ended.
    pub fn ending(&self, request: &Request) -> Option<&Ending> {
        let rule = request.rule.to_string();
        self.endings.iter().find(|ending| ending.rule == rule && ending.target == request.target)
    }

    /// How many actions began within the breaker's time. The count begins anew when it closes.
    pub fn begun(&self, policy: &Policy, resumed: Option<Timestamp>, now: Timestamp) -> usize {
        if self.has_tripped() && self.breaker_open(policy, resumed, now).is_none() {
            return 0;
        }
        let within = policy.breaker().within;
        let counts = |start: &&Starts| start.minute.is_some_and(|minute| now.duration_since(minute) < within);
        let count: i64 = self.starts.iter().filter(counts).map(|start| i64::from(start.count)).sum();
        usize::try_from(count).unwrap_or_default()
    }

    /// Whether the breaker has tripped, and nobody has written yet that it closed.
    pub fn has_tripped(&self) -> bool {
        self.breaker.as_ref().is_some_and(|breaker| breaker.state == OPEN)
    }

    /// When the breaker closes, if it is open.
    pub fn breaker_open(&self, policy: &Policy, resumed: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let breaker = self.breaker.as_ref().filter(|breaker| breaker.state == OPEN)?;
        let opened = breaker.opened?;
        let closes = opened.saturating_add(policy.breaker().calm).unwrap_or(Timestamp::MAX);
        (closes > now && resumed.is_none_or(|resumed| resumed < opened)).then_some(closes)
    }

    /// The book with that place taken. Recovery takes a place but counts nowhere. An action that is there already, made
    /// before its place was taken, is counted and trips nothing.
    #[must_use]
    pub fn with(mut self, request: &Request, policy: &Policy, now: Timestamp) -> Self {
        if self.find(&request.place).is_none() {
            self.take(request.claim(now));
            if !request.recovery {
                self.begin(policy, now);
            }
        }
        self
    }

    fn begin(&mut self, policy: &Policy, now: Timestamp) {
        let breaker = policy.breaker();
        let minute = Timestamp::from_second(now.as_second() - now.as_second().rem_euclid(60)).unwrap_or(now);
        self.starts.retain(|start| start.minute.is_some_and(|begun| now.duration_since(begun) < breaker.within));
        match self.starts.iter_mut().find(|start| start.minute == Some(minute)) {
            Some(start) => start.count = start.count.saturating_add(1),
            None => self.starts.push(Starts { minute: Some(minute), count: 1 }),
        }
    }

    /// The book with the breaker as it is now: tripped when one more action was asked for than may begin, closed when
    /// its time is over or a person said so; the count begins anew then.
    #[must_use]
    pub fn with_breaker(mut self, policy: &Policy, resumed: Option<Timestamp>, asked: bool, now: Timestamp) -> Self {
        let breaker = policy.breaker();
        let has_tripped = self.has_tripped();
        if has_tripped && self.breaker_open(policy, resumed, now).is_none() {
            if let Some(breaker) = &mut self.breaker {
                breaker.state = CLOSED.to_owned();
                breaker.closes = None;
            }
            self.starts.clear();
        } else if !has_tripped && asked && self.begun(policy, resumed, now) >= breaker.actions {
            let closes = now.saturating_add(breaker.calm).unwrap_or(Timestamp::MAX);
            self.breaker = Some(BreakerStatus { state: OPEN.to_owned(), opened: Some(now), closes: Some(closes) });
        }
        self
    }

    /// The book with that place given back. A success is remembered only for a rule that waits after it.
    #[must_use]
    pub fn without(mut self, place: &Place, ended: Ended, cooldown: SignedDuration, now: Timestamp) -> Self {
        let Some(claim) = self.give_back(place) else { return self };
        let (time, failed) = match ended {
            Ended::NeverBegan => return self,
            Ended::Succeeded(time) => (time, false),
            Ended::Failed(time) => (time, true),
        };
        let same = |ending: &Ending| ending.rule == claim.rule && ending.target == claim.target;
        let before = self.endings.iter().find(|ending| same(ending)).and_then(|ending| ending.failures).unwrap_or(0);
        self.endings.retain(|ending| {
            !same(ending) && ending.time.is_some_and(|time| now.duration_since(time) < FAILURES_COUNT)
        });
        if !failed && (claim.recovery || cooldown.is_zero()) {
            return self;
        }
        let failures = failed.then(|| before.saturating_add(1));
        self.endings.push(Ending {
            rule: claim.rule.clone(),
            target: claim.target.clone(),
            time: Some(time),
            failures,
        });
        self.endings.drain(..self.endings.len().saturating_sub(MOST_ENDINGS));
        self
    }

    /// What is to be written where this book is to stand in place of that one: fields of the status, `null` for those
    /// that go.
    pub fn status_since(&self, before: &Self) -> Value {
        let list = |value: Value| match value.as_array().is_some_and(Vec::is_empty) {
            true => Value::Null,
            false => value,
        };
        let mut fields = serde_json::Map::new();
        if self.claims != before.claims {
            let mut claims: Vec<&Claim> = self.claims().collect();
            claims.sort_by_key(|claim| claim.since);
            fields.insert("claims".to_owned(), list(json!(claims)));
            fields.insert("unfinished".to_owned(), json!(self.unfinished));
        }
        if self.starts != before.starts {
            fields.insert("starts".to_owned(), list(json!(self.starts)));
        }
        if self.breaker != before.breaker {
            // Fields that go must be named in a merge patch.
            fields.insert("breaker".to_owned(), breaker_patch(self.breaker.as_ref()));
        }
        if self.endings != before.endings {
            fields.insert("endings".to_owned(), list(json!(self.endings)));
        }
        Value::Object(fields)
    }
}

fn breaker_patch(breaker: Option<&BreakerStatus>) -> Value {
    let Some(breaker) = breaker else { return Value::Null };
    json!({"state": breaker.state, "opened": breaker.opened, "closes": breaker.closes})
}
