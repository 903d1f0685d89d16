//! Random faults that a seed decides, so that a failure can be replayed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::{Step, Verdict, WatchBreak};
use crate::ids::mix;
use crate::request::{Request, Verb};

/// How often what goes wrong, each as a probability from 0 to 1. The default is never.
#[derive(Debug, Clone, Default)]
pub struct Odds {
    /// Only requests of these components; empty means all.
    pub components: Vec<String>,
    /// A request waits.
    pub delay: f64,
    /// The longest wait.
    pub longest_delay: Duration,
    /// A request is refused with 429, 500, 503 or 504, and nothing has changed.
    pub refuse: f64,
    /// A request is carried out and answered with 500 or 504.
    pub fail_after_commit: f64,
    /// A request is carried out and its connection is closed without an answer.
    pub lose_answer: f64,
    /// A watch is cut, ended, frozen or expired after up to 20 events.
    pub break_watch: f64,
}

#[derive(Debug)]
pub(super) struct Random {
    seed: u64,
    odds: Odds,
    seen: HashMap<u64, u64>,
}

impl Random {
    pub(super) fn new(seed: u64, odds: Odds) -> Self {
        Self { seed, odds, seen: HashMap::new() }
    }

    pub(super) fn judge(&mut self, request: &Request, verdict: &mut Verdict) {
        let odds = &self.odds;
        if !odds.components.is_empty() && !odds.components.contains(&request.component) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        request.hash(&mut hasher);
        let kind = hasher.finish();
        let nth = self.seen.entry(kind).or_default();
        *nth += 1;
        let mut draw = Draw(self.seed ^ kind ^ mix(*nth));
        if request.verb == Verb::Watch {
            if draw.happens(odds.break_watch) {
                let how = draw.one_of(&[WatchBreak::Cut, WatchBreak::End, WatchBreak::Freeze, WatchBreak::Expire]);
                verdict.watch = Some(((draw.next() % 20) as usize, how));
            }
            return;
        }
        if draw.happens(odds.delay) {
            verdict.before.push(Step::Delay(odds.longest_delay.mul_f64(draw.fraction())));
        }
        if draw.happens(odds.refuse) {
            let code = draw.one_of(&[429, 500, 503, 504]);
            // A server that is overloaded says when to come back.
            let retry_after = (code == 429).then_some(1);
            verdict.before.push(Step::Status(code, retry_after));
        } else if draw.happens(odds.fail_after_commit) {
            verdict.after.push(Step::Status(draw.one_of(&[500, 504, 500, 504]), None));
        } else if draw.happens(odds.lose_answer) {
            verdict.after.push(Step::Reset);
        }
    }
}

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    fn one_of<T: Copy>(&mut self, choices: &[T; 4]) -> T {
        let [a, b, c, d] = *choices;
        match self.next() % 4 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(seed: u64) -> Vec<String> {
        let odds = Odds {
            delay: 0.3,
            longest_delay: Duration::from_secs(1),
            refuse: 0.2,
            lose_answer: 0.2,
            break_watch: 0.5,
            ..Odds::default()
        };
        let mut random = Random::new(seed, odds);
        (0..200)
            .map(|n| {
                let request = Request {
                    component: "c".into(),
                    verb: if n % 5 == 0 { Verb::Watch } else { Verb::Create },
                    group: String::new(),
                    resource: "pods".into(),
                    subresource: String::new(),
                    namespace: String::new(),
                    name: format!("p{}", n % 3),
                };
                let mut verdict = Verdict::default();
                random.judge(&request, &mut verdict);
                format!("{verdict:?}")
            })
            .collect()
    }

    #[test]
    fn a_seed_decides_what_goes_wrong() {
        assert_eq!(outcomes(1), outcomes(1));
        assert_ne!(outcomes(1), outcomes(2));
        let quiet = format!("{:?}", Verdict::default());
        let disturbed = outcomes(3).iter().filter(|outcome| **outcome != quiet).count();
        assert!((40..180).contains(&disturbed), "{disturbed} of 200");
    }
}
