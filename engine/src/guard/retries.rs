//! When a rule acts again on a target: what the policy says, and what a rule says instead.

use aegis_crds::guard;
use jiff::SignedDuration;

use super::policy::{count, in_range, length};
use crate::duration;
use crate::flaw::{SpecFlaw, shown};

/// When a rule acts again on a target after an action of it ended there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// The least time between the end of one action and the next, however it ended; may be zero.
    pub cooldown: SignedDuration,
    /// The wait after the first failure.
    pub wait: SignedDuration,
    /// The longest wait after failures; not below `wait`.
    pub longest_wait: SignedDuration,
    /// After so many failures in a row a person is asked for.
    pub attempts: usize,
}

/// What a rule says of its own; the policy holds for the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleRetries {
    cooldown: Option<SignedDuration>,
    wait: Option<SignedDuration>,
    longest_wait: Option<SignedDuration>,
    attempts: Option<usize>,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            cooldown: SignedDuration::ZERO,
            wait: SignedDuration::from_mins(1),
            longest_wait: SignedDuration::from_hours(1),
            attempts: 3,
        }
    }
}

impl Retries {
    pub(super) fn compile(written: Option<&guard::Retries>, flaws: &mut Vec<SpecFlaw>) -> Self {
        Self::default().with(&RuleRetries::compile(written, flaws))
    }

    /// These, but for what a rule says of its own. Where only one of the two waits is the rule's, the other gives way.
    pub(super) fn with(self, own: &RuleRetries) -> Self {
        let RuleRetries { cooldown, wait, longest_wait, attempts } = *own;
        let (wait, longest_wait) = match (wait, longest_wait) {
            (Some(wait), None) => (wait, self.longest_wait.max(wait)),
            (None, Some(longest)) => (self.wait.min(longest), longest),
            (wait, longest) => (wait.unwrap_or(self.wait), longest.unwrap_or(self.longest_wait)),
        };
        let cooldown = cooldown.unwrap_or(self.cooldown);
        Self { cooldown, wait, longest_wait, attempts: attempts.unwrap_or(self.attempts) }
    }

    /// How long to wait after so many failures in a row: the wait, doubled with each further one, up to the longest;
    /// the cool-down if that is longer, or if nothing failed.
    pub fn wait_after(&self, failures: usize) -> SignedDuration {
        let Some(doublings) = failures.checked_sub(1) else { return self.cooldown };
        let factor = u32::try_from(doublings).ok().and_then(|doublings| 1_i32.checked_shl(doublings.min(30)));
        let wait = factor.and_then(|factor| self.wait.checked_mul(factor)).unwrap_or(self.longest_wait);
        wait.min(self.longest_wait).max(self.cooldown)
    }
}

impl RuleRetries {
    /// Checks what a rule or policy says at `spec.retries`.
    pub(crate) fn compile(written: Option<&guard::Retries>, flaws: &mut Vec<SpecFlaw>) -> Self {
        let Some(guard::Retries { cooldown, wait, longest_wait, attempts }) = written else { return Self::default() };
        let written = wait.as_deref().unwrap_or_default();
        let wait = length(wait.as_deref(), "spec.retries.wait", flaws);
        let longest_wait = length(longest_wait.as_deref(), "spec.retries.longestWait", flaws);
        if let (Some(wait), Some(longest)) = (wait, longest_wait)
            && wait > longest
        {
            let expected = format!("at most spec.retries.longestWait, which is {}", duration::brief(longest));
            flaws.push(SpecFlaw::new("spec.retries.wait", shown(written), expected));
        }
        Self {
            cooldown: match cooldown.as_deref() {
                // A rule may do without the policy's.
                Some("0s" | "0m" | "0h") => Some(SignedDuration::ZERO),
                other => length(other, "spec.retries.cooldown", flaws),
            },
            wait,
            longest_wait,
            attempts: in_range(*attempts, 1, 100, "spec.retries.attempts", flaws).map(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mins(minutes: i64) -> SignedDuration {
        SignedDuration::from_mins(minutes)
    }

    fn written(wait: Option<&str>, longest: Option<&str>) -> RuleRetries {
        let written = guard::Retries {
            wait: wait.map(str::to_owned),
            longest_wait: longest.map(str::to_owned),
            ..guard::Retries::default()
        };
        let mut flaws = Vec::new();
        let own = RuleRetries::compile(Some(&written), &mut flaws);
        assert_eq!(flaws, []);
        own
    }

    #[test]
    fn the_wait_doubles_up_to_the_longest_and_never_falls_below_the_cool_down() {
        let policy = Retries::default();
        let waits: Vec<i64> = (0..9).map(|failures| policy.wait_after(failures).as_mins()).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(policy.wait_after(usize::MAX), mins(60), "no number of failures is too large");
        let cool = Retries { cooldown: mins(5), ..policy };
        assert_eq!([0, 1, 4].map(|failures| cool.wait_after(failures).as_mins()), [5, 5, 8]);
    }

    #[test]
    fn a_rule_says_what_it_wants_and_the_policy_holds_for_the_rest() {
        let waits = |own: RuleRetries| {
            let merged = Retries::default().with(&own);
            (merged.wait.as_mins(), merged.longest_wait.as_mins())
        };
        assert_eq!(waits(RuleRetries::default()), (1, 60));
        assert_eq!(waits(written(Some("5m"), None)), (5, 60));
        assert_eq!(waits(written(Some("2h"), None)), (120, 120), "the policy's longest wait gives way");
        assert_eq!(waits(written(None, Some("30s"))), (0, 0), "the policy's wait gives way");
        assert_eq!(waits(written(Some("2m"), Some("3m"))), (2, 3));
    }

    #[test]
    fn a_rule_may_do_without_the_policys_cool_down() {
        let cooldown = |text: &str| {
            let written = guard::Retries { cooldown: Some(text.into()), ..guard::Retries::default() };
            let own = RuleRetries::compile(Some(&written), &mut Vec::new());
            Retries { cooldown: mins(5), ..Retries::default() }.with(&own).cooldown
        };
        assert_eq!((cooldown("0s"), cooldown("1m")), (SignedDuration::ZERO, mins(1)));
    }

    #[test]
    fn waits_that_contradict_each_other_are_refused() {
        let retries = guard::Retries {
            cooldown: Some("-5m".into()),
            wait: Some("2h".into()),
            longest_wait: Some("1h".into()),
            attempts: Some(0),
        };
        let mut flaws = Vec::new();
        RuleRetries::compile(Some(&retries), &mut flaws);
        let flaws: Vec<String> = flaws.iter().map(ToString::to_string).collect();
        assert_eq!(
            flaws,
            [
                "spec.retries.wait: found \"2h\", expected at most spec.retries.longestWait, which is 1h",
                "spec.retries.cooldown: found \"-5m\", expected a length of time above zero such as \"90s\", \"30m\" or \
                 \"1h30m\"",
                "spec.retries.attempts: found 0, expected 1 to 100",
            ]
        );
    }
}
