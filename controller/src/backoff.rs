//! How long to wait before trying again: doubling, with chance so that replicas do not try in step.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A series of waits. Each is between half of and the whole of twice the one before, up to a longest.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// A series that begins with `first`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, tries: 0 }
    }

    /// The wait before the next try.
    pub fn next_wait(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.tries.min(20)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        whole / 2 + (whole / 2).mul_f64(chance())
    }

    /// Begins again: something worked.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// Between 0 and 1. The standard library seeds each of these hashers differently, which is chance enough for a wait.
pub(crate) fn chance() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for whole in [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis) {
            let wait = backoff.next_wait();
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        (0..100).for_each(|_| assert!(backoff.next_wait() <= Duration::from_secs(1)));
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
