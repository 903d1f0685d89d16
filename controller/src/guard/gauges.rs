//! What of the guard stands in the metrics of the replica that leads.

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_engine::guard::{Policy, Reason};

use crate::context::Lead;
use crate::metrics::GuardReading;

/// How often it is read: metrics are scraped more seldom.
const PERIOD: Duration = Duration::from_secs(5);
/// How many alerts are gone through in one go.
const AT_ONCE: usize = 64;

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
    let none = Policy::default();
    let policy = guard.policy().unwrap_or(&none);
    let mut places_of_rule: BTreeMap<String, usize> = BTreeMap::new();
    for claim in guard.book.claims().filter(|claim| !claim.recovery) {
        *places_of_rule.entry(claim.rule.clone()).or_default() += 1;
    }
    let mut waiting: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (number, alert) in lead.context.alerts.unfinished().enumerate() {
        // There may be very many, and others have work to do.
        if number % AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
        let verdict = alert.status.as_ref().and_then(|status| status.verdict.as_ref());
        let reason = verdict.and_then(|verdict| Reason::parse(&verdict.reason)).filter(|reason| !reason.is_final());
        if let Some(reason) = reason {
            *waiting.entry(reason.as_str()).or_default() += 1;
        }
    }
    GuardReading {
        places: guard.book.unfinished(),
        places_of_rule,
        limit: policy.unfinished(),
        breaker_open: guard.book.breaker_open(policy, guard.breaker_resumed(), now).is_some(),
        paused: guard.pauses.summary(now).is_some(),
        waiting,
    }
}
