//! Alerts that have waited for long. For how long is known from what this leader has seen: another one begins anew.

use std::collections::HashMap;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_engine::guard::Reason;
use kube::ResourceExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outcome;
use crate::alert::{Pause, waits_for, worth_telling};
use crate::context::Lead;

/// How often all alerts are looked at.
const PERIOD: Duration = Duration::from_secs(10);

/// How long each alert has waited, by its UID; from one gate to the next it is one wait.
#[derive(Default)]
struct Waits(HashMap<String, Wait>);

struct Wait {
    since: Instant,
    told: bool,
    seen: bool,
}

/// Tells of alerts that wait for long, until `stop`.
pub async fn follow(lead: std::sync::Arc<Lead>, stop: CancellationToken) {
    let mut waits = Waits::default();
    while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
        let Some(most) = lead.context.notifier.held_after() else {
            waits = Waits::default();
            continue;
        };
        let mut pause = Pause::default();
        for alert in lead.context.alerts.unfinished() {
            if let Some(reason) = waits_for(&alert).filter(|reason| is_told(*reason))
                && waits.saw(&alert, Instant::now(), most)
                && let Some(told) = outcome::held(&alert, reason)
            {
                lead.context.notifier.tell_held(&alert, &told, lead.context.clock.now());
            }
            pause.after_one().await;
        }
        waits.forget_the_unseen();
    }
}

/// What asks for a person is told at once, under a word of its own; where status says all, nobody is told.
fn is_told(reason: Reason) -> bool {
    !matches!(reason, Reason::NeedsApproval | Reason::NeedsPerson | Reason::Observed | Reason::Declined)
        && worth_telling(reason)
}

impl Waits {
    /// Whether that is to be told now.
    fn saw(&mut self, alert: &AegisAlert, now: Instant, most: Duration) -> bool {
        let fresh = || Wait { since: now, told: false, seen: true };
        let wait = self.0.entry(alert.uid().unwrap_or_default()).or_insert_with(fresh);
        wait.seen = true;
        let due = !wait.told && now.duration_since(wait.since) >= most;
        wait.told |= due;
        due
    }

    /// Forgets those that no longer wait.
    fn forget_the_unseen(&mut self) {
        self.0.retain(|_, wait| std::mem::take(&mut wait.seen));
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::alert;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_told_once_when_it_has_become_long() {
        let (mut waits, most) = (Waits::default(), Duration::from_secs(900));
        let one = alert("");
        let look = async |waits: &mut Waits, there: bool, after: u64| {
            tokio::time::advance(Duration::from_secs(after)).await;
            let due = there && waits.saw(&one, Instant::now(), most);
            waits.forget_the_unseen();
            due
        };
        assert!(!look(&mut waits, true, 0).await, "it begins to wait");
        assert!(!look(&mut waits, true, 899).await, "not for long yet");
        assert!(look(&mut waits, true, 1).await, "now");
        assert!(!look(&mut waits, true, 9999).await, "once is enough");
        assert!(!look(&mut waits, false, 1).await, "it has gone on");
        assert!(!look(&mut waits, true, 1).await && look(&mut waits, true, 900).await, "another wait");
    }

    #[test]
    fn what_is_told_under_another_word_or_not_worth_it_is_no_wait() {
        let cases = [
            (Reason::BudgetFull, true, "others come first"),
            (Reason::Paused, true, "somebody forgot it"),
            (Reason::BadTemplate, true, "nothing happens until it is mended"),
            (Reason::NeedsApproval, false, "told at once"),
            (Reason::NoRule, false, "nobody asked for anything"),
            (Reason::OptedOut, false, "its owner asked for that"),
        ];
        for (reason, want, why) in cases {
            assert_eq!(is_told(reason), want, "{why}");
        }
    }
}
