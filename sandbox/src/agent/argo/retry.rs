//! retryStrategy: what follows when an attempt has ended.

use std::time::Duration;

use jiff::Timestamp;

use super::execute::{Operation, Place, Prepared};
use super::manifest::{Backoff, Policy, Retry};
use super::node::{Kind, Phase};

/// A retryStrategy without a limit would otherwise never end in a sandbox where nothing changes.
const MOST_ATTEMPTS: usize = 100;

/// What follows.
#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Again,
    Wait { until: Timestamp, wait: Duration },
    GiveUp { message: Option<String> },
}

/// The attempts so far; the last one has ended badly.
struct Attempts {
    count: usize,
    first_started: Timestamp,
    last_ended: Timestamp,
    last_phase: Phase,
    last_message: Option<String>,
}

impl Operation<'_> {
    /// Runs attempts of a template until one succeeds or its retryStrategy gives up.
    pub(super) fn retry(&mut self, place: &Place, prepared: &Prepared<'_>, retry: &Retry) {
        let id = self.begin(place, Kind::Retry, prepared, Phase::Running);
        loop {
            let count = (0..).take_while(|number| self.node(&place.attempt(*number)).is_some()).count();
            if let Some(last) = count.checked_sub(1).map(|last| place.attempt(last)) {
                if self.ended(&last).is_none() {
                    self.attempt(&last, &with_retries(prepared, count - 1));
                }
                let Some(ended) = self.ended(&last).cloned() else { return };
                if !ended.phase.is_bad() {
                    if let Some(node) = self.nodes.get_mut(&id) {
                        node.outputs = ended.outputs;
                        node.end(Phase::Succeeded, None, self.now);
                    }
                    return;
                }
                let attempts = Attempts {
                    count,
                    first_started: self.node(&place.attempt(0)).map_or(self.now, |node| node.started_at.0),
                    last_ended: ended.finished_at.as_ref().map_or(self.now, |time| time.0),
                    last_phase: ended.phase,
                    last_message: ended.message.clone(),
                };
                let limit = retry.limit.as_ref().map(|limit| prepared.scope.fill(limit)).transpose();
                let verdict =
                    limit.and_then(|limit| verdict(retry, limit.as_deref(), &attempts, self.now, self.longest_backoff));
                match verdict {
                    Ok(Verdict::Again) => {}
                    Ok(Verdict::Wait { until, wait }) => {
                        if let Some(node) = self.nodes.get_mut(&id) {
                            node.message = Some(format!("Backoff for {} seconds", wait.as_secs_f64()));
                        }
                        return self.look_again_at(until);
                    }
                    Ok(Verdict::GiveUp { message }) => {
                        if let Some(node) = self.nodes.get_mut(&id) {
                            node.outputs = ended.outputs;
                        }
                        return self.end(&id, ended.phase, message);
                    }
                    Err(why) => return self.end(&id, Phase::Error, Some(why)),
                }
                if self.at_limit(place, prepared.template) {
                    return;
                }
            }
            let next = place.attempt(count);
            self.attempt(&next, &with_retries(prepared, count));
            let child = self.id(&next);
            if let Some(node) = self.nodes.get_mut(&id) {
                node.message = None;
                node.children.push(child);
            }
            if self.ended(&next).is_none() {
                return;
            }
        }
    }
}

fn with_retries<'t>(prepared: &Prepared<'t>, number: usize) -> Prepared<'t> {
    Prepared {
        template: prepared.template,
        scope: prepared.scope.with("retries", number.to_string()),
        inputs: prepared.inputs.clone(),
    }
}

fn verdict(
    retry: &Retry,
    limit: Option<&str>,
    attempts: &Attempts,
    now: Timestamp,
    longest: Duration,
) -> Result<Verdict, String> {
    let tried_again = match retry.policy {
        Policy::Always => true,
        Policy::OnFailure => attempts.last_phase == Phase::Failed,
        Policy::OnError => attempts.last_phase == Phase::Error,
    };
    if !tried_again {
        return Ok(Verdict::GiveUp { message: attempts.last_message.clone() });
    }
    let give_up = |message: &str| Ok(Verdict::GiveUp { message: Some(message.to_owned()) });
    let limit: Option<usize> = limit
        .map(|text| {
            text.trim()
                .parse()
                .map_err(|_| format!("retryStrategy.limit is {text:?}; expected a whole number, at least 0"))
        })
        .transpose()?;
    if limit.is_some_and(|limit| attempts.count > limit) {
        return give_up("No more retries left");
    }
    if attempts.count >= MOST_ATTEMPTS {
        return give_up(&format!("No more retries left: the sandbox makes at most {MOST_ATTEMPTS} attempts"));
    }
    let Some(backoff) = &retry.backoff else { return Ok(Verdict::Again) };
    let running = now.duration_since(attempts.first_started).unsigned_abs();
    if backoff.max_duration.is_some_and(|max| running >= max) {
        return give_up("Max duration limit exceeded");
    }
    let wait = wait(backoff, attempts.count).min(longest);
    let until = attempts.last_ended.checked_add(wait).unwrap_or(now);
    Ok(if now < until { Verdict::Wait { until, wait } } else { Verdict::Again })
}

/// How long to wait after `count` attempts.
fn wait(backoff: &Backoff, count: usize) -> Duration {
    let power = i32::try_from(count.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = backoff.duration.as_secs_f64() * backoff.factor.powi(power);
    let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    backoff.cap.map_or(wait, |cap| wait.min(cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn failed(count: usize) -> Attempts {
        Attempts {
            count,
            first_started: at(0),
            last_ended: at(100),
            last_phase: Phase::Failed,
            last_message: Some("Error (exit code 1)".into()),
        }
    }

    fn give_up(message: &str) -> Verdict {
        Verdict::GiveUp { message: Some(message.to_owned()) }
    }

    #[test]
    fn an_attempt_follows_as_the_strategy_says() {
        let retry = |policy| Retry { limit: None, policy, backoff: None };
        let backoff = |max: Option<u64>, cap: Option<u64>| Retry {
            backoff: Some(Backoff {
                duration: Duration::from_secs(10),
                factor: 2.0,
                max_duration: max.map(Duration::from_secs),
                cap: cap.map(Duration::from_secs),
            }),
            ..Retry::default()
        };
        let error = |count| Attempts { last_phase: Phase::Error, ..failed(count) };
        let wait = |until, seconds| Verdict::Wait { until: at(until), wait: Duration::from_secs(seconds) };
        let cases = [
            ("limit 1 allows a second attempt", retry(Policy::OnFailure), Some("1"), failed(1), 100, Verdict::Again),
            ("and no third", retry(Policy::OnFailure), Some("1"), failed(2), 100, give_up("No more retries left")),
            (
                "limit 0 allows none",
                retry(Policy::OnFailure),
                Some("0"),
                failed(1),
                100,
                give_up("No more retries left"),
            ),
            (
                "an error is no failure",
                retry(Policy::OnFailure),
                Some("5"),
                error(1),
                100,
                give_up("Error (exit code 1)"),
            ),
            ("OnError retries errors", retry(Policy::OnError), Some("5"), error(1), 100, Verdict::Again),
            ("and not failures", retry(Policy::OnError), Some("5"), failed(1), 100, give_up("Error (exit code 1)")),
            ("Always retries both", retry(Policy::Always), Some("5"), error(1), 100, Verdict::Again),
            ("without a limit it goes on", retry(Policy::Always), None, failed(50), 100, Verdict::Again),
            ("the first wait", backoff(None, None), Some("5"), failed(1), 100, wait(110, 10)),
            ("the third wait is factor squared longer", backoff(None, None), Some("5"), failed(3), 100, wait(140, 40)),
            ("cap cuts it", backoff(None, Some(15)), Some("5"), failed(3), 100, wait(115, 15)),
            ("the sandbox cuts it too", backoff(None, None), Some("5"), failed(5), 100, wait(160, 60)),
            ("the wait is over", backoff(None, None), Some("5"), failed(1), 110, Verdict::Again),
            (
                "too long in all",
                backoff(Some(60), None),
                Some("5"),
                failed(1),
                100,
                give_up("Max duration limit exceeded"),
            ),
        ];
        for (why, retry, limit, attempts, now, want) in cases {
            assert_eq!(verdict(&retry, limit, &attempts, at(now), Duration::from_secs(60)), Ok(want), "{why}");
        }
        assert!(verdict(&retry(Policy::Always), Some("many"), &failed(1), at(100), Duration::MAX).is_err());
    }
}
