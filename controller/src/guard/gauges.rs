//! What of the guard stands in the metrics of the replica that leads.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alert::{Pause, waits_for};
use crate::context::Lead;
use crate::metrics::GuardReading;

/// How often it is read: metrics are scraped more seldom.
const PERIOD: Duration = Duration::from_secs(5);

/// Keeps the numbers up to date.
pub async fn follow(lead: &Lead) {
    loop {
        let reading = read(lead).await;
        lead.context.metrics.guard(&reading);
        tokio::time::sleep(PERIOD).await;
    }
}

async fn read(lead: &Lead) -> GuardReading {
    let guard = lead.view.guard();
    let now = lead.context.clock.now();
    let policy = guard.policy.or_default();
    let mut waiting: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut pause = Pause::default();
    for alert in lead.context.alerts.unfinished() {
        if let Some(reason) = waits_for(&alert) {
            *waiting.entry(reason.as_str()).or_default() += 1;
        }
        pause.after_one().await;
    }
    GuardReading {
        places: guard.book.unfinished(),
        places_of_rule: guard.book.unfinished_by_rule().map(|(rule, count)| (rule.to_owned(), count)).collect(),
        limit: policy.unfinished(),
        breaker_open: guard.book.breaker_open(&policy, guard.breaker_resumed(), now).is_some(),
        paused: guard.pauses.summary(now).is_some(),
        waiting,
    }
}
