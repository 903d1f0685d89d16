//! How long something took, many times over.

use std::time::Duration;

/// Times in rising order.
#[derive(Clone, Debug)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    /// The time that this many of a hundred did not exceed, in milliseconds; 0 if there is none.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).or(self.0.last()).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }

    pub(super) fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The one in the middle; 0 if there is none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// As a note tells some rounds.
pub(super) fn rounds(values: &[f64], digits: usize) -> String {
    let told: Vec<String> = values.iter().map(|value| format!("{value:.digits$}")).collect();
    format!("rounds: {}", told.join(", "))
}

/// A count as a number to reckon with.
#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times = Times::of((1..=200).rev().map(Duration::from_millis));
        let told = [times.percentile(1), times.median(), times.percentile(99), times.percentile(100)];
        assert_eq!(told.map(f64::round), [2.0, 100.0, 198.0, 200.0]);
        assert_eq!(Times::of([Duration::from_millis(7)]).percentile(99).round(), 7.0, "one is all that there is");
        assert_eq!(Times::of([]).median(), 0.0, "and none is none");
    }
}
