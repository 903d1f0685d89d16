//! How much at once: spans of time that overlap, and moments that lie close together.

use jiff::{SignedDuration, Timestamp};

/// From a moment on for some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    begin: Timestamp,
    end: Timestamp,
}

impl Span {
    pub(super) fn new(begin: Timestamp, length: SignedDuration) -> Self {
        Self { begin, end: begin.saturating_add(length).unwrap_or(Timestamp::MAX) }
    }
}

/// How many of the spans overlap at most. One that ends when another begins does not overlap it.
pub(super) fn most_at_once(spans: &[Span]) -> usize {
    let mut edges: Vec<(Timestamp, bool)> =
        spans.iter().flat_map(|span| [(span.begin, true), (span.end, false)]).collect();
    // At the same moment what ends comes first: false is before true.
    edges.sort();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in edges {
        now = if begins { now + 1 } else { now.saturating_sub(1) };
        most = most.max(now);
    }
    most
}

/// How many of the moments lie within that time at most.
pub(super) fn most_within(moments: &[Timestamp], time: SignedDuration) -> usize {
    let mut moments = moments.to_vec();
    moments.sort();
    let within = |from: &Timestamp| {
        let until = from.saturating_add(time).unwrap_or(Timestamp::MAX);
        moments.iter().filter(|moment| *moment >= from && **moment < until).count()
    };
    moments.iter().map(within).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn spans_that_touch_do_not_overlap() {
        let spans = |begins: &[i64]| -> Vec<Span> {
            begins.iter().map(|begin| Span::new(at(*begin), SignedDuration::from_mins(10))).collect()
        };
        let cases = [
            ("nothing", vec![], 0),
            ("one after the other", vec![0, 10, 20], 1),
            ("two at a time", vec![0, 5, 10, 15], 2),
            ("all together, in any order", vec![4, 0, 2], 3),
        ];
        for (why, begins, want) in cases {
            assert_eq!(most_at_once(&spans(&begins)), want, "{why}");
        }
    }

    #[test]
    fn moments_are_counted_in_the_fullest_time() {
        let moments: Vec<Timestamp> = [0, 1, 9, 10, 30, 31].map(at).to_vec();
        assert_eq!(most_within(&moments, SignedDuration::from_mins(10)), 3);
        assert_eq!(most_within(&[], SignedDuration::from_mins(10)), 0);
    }
}
