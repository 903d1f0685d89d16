//! Two clocks: the time of day, which stands in objects and is compared with what other machines wrote; and one for
//! the leader's deadline, which never goes back and goes on while the machine is suspended.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The time of day as decisions read it. Hours can be let pass where nobody wants to wait for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    ahead: SignedDuration,
}

impl Clock {
    /// A clock that is that far ahead of the machine's.
    pub fn ahead_by(ahead: SignedDuration) -> Self {
        Self { ahead }
    }

    /// The present time.
    pub fn now(self) -> Timestamp {
        Timestamp::now().saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }
}

/// A point on that clock. Points of one process can be compared; they mean nothing to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// The present point.
    pub fn now() -> Self {
        Self(elapsed())
    }

    /// The point that much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long it is from here to `later`; zero when that lies behind.
    pub fn until(self, later: Moment) -> Duration {
        later.0.saturating_sub(self.0)
    }
}

// std::time::Instant reads CLOCK_MONOTONIC, which stands still while a laptop sleeps or a virtual machine is paused.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn elapsed() -> Duration {
    since_boot(rustix::time::clock_gettime(rustix::time::ClockId::Boottime))
}

// On Darwin it is the other way round: Instant reads a clock that stops in sleep, CLOCK_MONOTONIC goes on.
#[cfg(target_vendor = "apple")]
fn elapsed() -> Duration {
    since_boot(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn since_boot(time: rustix::time::Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

// Windows' performance counter goes on in sleep; elsewhere this is the best that the standard library has.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn elapsed() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_can_be_let_pass() {
        let hour = SignedDuration::from_hours(1);
        let ahead = Clock::ahead_by(hour).now().duration_since(Clock::default().now());
        assert!(ahead <= hour && ahead > hour - SignedDuration::from_secs(5), "{ahead}");
    }

    #[test]
    fn a_deadline_that_has_passed_leaves_no_time() {
        let now = Moment::now();
        let deadline = now.after(Duration::from_secs(5));
        assert_eq!(now.until(deadline), Duration::from_secs(5));
        assert_eq!(deadline.until(now), Duration::ZERO);
        assert!(Moment::now() >= now, "it never goes back");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn on_linux_it_reads_the_clock_that_counts_suspended_time() {
        let uptime: f64 = std::fs::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
        let difference = Moment::now().0.as_secs_f64() - uptime;
        assert!(difference.abs() < 5.0, "/proc/uptime counts suspended time as this clock does: {difference}");
    }
}
