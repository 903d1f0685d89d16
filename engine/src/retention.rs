//! When an alert may be deleted.
//!
//! An alert is also a memory: a report that comes again after its alert was deleted looks like a new incident. So an
//! alert that was not resolved outlives the sender's own memory of it.

use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertOpsStatus, AlertStatus};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::signal;

/// How long alerts are kept whose ttlStrategy does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// After an action that succeeded.
    pub success: SignedDuration,
    /// After an action that failed.
    pub failure: SignedDuration,
    /// Without any action.
    pub no_action: SignedDuration,
}

impl Default for Ttl {
    /// Two days, four days, one day.
    fn default() -> Self {
        Self {
            success: SignedDuration::from_secs(172_800),
            failure: SignedDuration::from_secs(345_600),
            no_action: SignedDuration::from_secs(86_400),
        }
    }
}

/// For so long Alertmanager remembers an alert by default (its data retention): until then it may send it again.
pub const SENDERS_MEMORY: SignedDuration = SignedDuration::from_hours(120);

/// From when on an alert may be deleted; `None` while an action of it is under way.
///
/// The time to live runs from the latest of completion, resolution and last report. An alert that is not resolved is
/// kept for [`SENDERS_MEMORY`] after its last report, whatever its time to live; but not what a person asked for, which
/// nobody sends again.
pub fn until(alert: &AegisAlert, defaults: &Ttl) -> Option<Timestamp> {
    let status = alert.status.as_ref();
    let actions = status.map(|status| status.actions.as_slice()).unwrap_or_default();
    if actions.iter().any(|action| action.uid.is_some() && action.completion_time.is_none()) {
        return None;
    }
    let ops = status.and_then(|status| status.ops_status.as_ref());
    let created = alert.creation_timestamp().map(|time| time.0);
    let heard = status.and_then(|status| status.last_time).or(created)?;
    let completed =
        actions.iter().filter_map(|action| action.completion_time).chain(ops.and_then(|ops| ops.completion_time)).max();
    let resolved = status.and_then(|status| status.resolution.as_ref()).and_then(|resolution| resolution.time);
    let ended =
        actions.iter().rev().find(|action| action.uid.is_some() && !action.check).and_then(|action| action.status);
    // Alerts of earlier versions have no list of actions.
    let ended = ended.or_else(|| ops.and_then(|ops| ops.alert_ops_status));

    let from = [Some(heard), completed, resolved].into_iter().flatten().max()?;
    let expiry = later(from, ttl(alert, ended, defaults));
    let phase = status.and_then(|status| status.status).unwrap_or(alert.spec.status);
    Some(match phase {
        AlertStatus::Resolved => expiry,
        AlertStatus::Firing if alert.spec.source == signal::MANUAL => expiry,
        AlertStatus::Firing => expiry.max(later(heard, SENDERS_MEMORY)),
    })
}

fn ttl(alert: &AegisAlert, ended: Option<AlertOpsStatus>, defaults: &Ttl) -> SignedDuration {
    let own = alert.spec.ttl_strategy.clone().unwrap_or_default();
    let (own, default) = match ended {
        Some(AlertOpsStatus::Succeeded) => {
            (own.seconds_after_success.or(own.seconds_after_completion), defaults.success)
        }
        Some(AlertOpsStatus::Failed) => (own.seconds_after_failure.or(own.seconds_after_completion), defaults.failure),
        Some(AlertOpsStatus::Pending | AlertOpsStatus::Running) | None => {
            (own.seconds_after_no_ops.or(own.seconds_after_completion), defaults.no_action)
        }
    };
    own.map_or(default, |seconds| SignedDuration::from_secs(i64::from(seconds.max(0))))
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Seconds after 12:00 from when on the alert may be deleted.
    fn kept(spec: Value, status: Value) -> Option<i64> {
        let mut whole =
            json!({"type": "NodeDown", "status": "Firing", "involvedObject": {"kind": "Node", "name": "n1"}});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let alert: AegisAlert = serde_json::from_value(json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
            "metadata": {"name": "a", "creationTimestamp": "2026-11-22T12:00:00Z"},
            "spec": whole, "status": status,
        }))
        .unwrap();
        let noon: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        until(&alert, &Ttl::default()).map(|time| time.duration_since(noon).as_secs())
    }

    fn action(status: &str, completion: Option<&str>) -> Value {
        json!([{"phase": "Firing", "attempt": 1, "name": "w", "uid": "u", "status": status, "completionTime": completion}])
    }

    const DAY: i64 = 86_400;

    #[test]
    fn the_time_to_live_runs_from_the_latest_of_completion_resolution_and_last_report() {
        let resolved = |more: Value| {
            let mut status = json!({"status": "Resolved", "lastTime": "2026-11-22T12:00:10Z"});
            status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            status
        };
        let cases = [
            (resolved(json!({})), DAY + 10, "no action: one day after it was last heard"),
            (
                resolved(json!({"actions": action("Succeeded", Some("2026-11-22T12:01:00Z"))})),
                2 * DAY + 60,
                "success: two days after completion",
            ),
            (
                resolved(json!({"actions": action("Failed", Some("2026-11-22T12:00:05Z"))})),
                4 * DAY + 10,
                "failure: four days, here after the last report",
            ),
            (resolved(json!({"resolution": {"time": "2026-11-22T13:00:00Z"}})), DAY + 3600, "the resolution came last"),
            (
                resolved(
                    json!({"opsStatus": {"alertOpsStatus": "Succeeded", "completionTime": "2026-11-22T12:01:00Z"}}),
                ),
                2 * DAY + 60,
                "an alert of an earlier version has no list of actions",
            ),
        ];
        for (status, want, why) in cases {
            assert_eq!(kept(json!({}), status), Some(want), "{why}");
        }
    }

    #[test]
    fn an_alert_says_itself_how_long_it_is_kept() {
        let ttl = |strategy: Value, ended: &str| {
            let status = json!({"status": "Resolved", "actions": action(ended, Some("2026-11-22T12:00:00Z"))});
            kept(json!({"ttlStrategy": strategy}), status)
        };
        assert_eq!(ttl(json!({"secondsAfterSuccess": 5, "secondsAfterCompletion": 9}), "Succeeded"), Some(5));
        assert_eq!(ttl(json!({"secondsAfterSuccess": 5, "secondsAfterCompletion": 9}), "Failed"), Some(9));
        assert_eq!(
            ttl(json!({"secondsAfterSuccess": 5}), "Failed"),
            Some(4 * DAY),
            "what it does not say is the default"
        );
        let unacted = kept(json!({"ttlStrategy": {"secondsAfterNoOps": 7}}), json!({"status": "Resolved"}));
        assert_eq!(unacted, Some(7));
    }

    #[test]
    fn an_unresolved_alert_outlives_the_senders_memory() {
        let short = json!({"ttlStrategy": {"secondsAfterCompletion": 0, "secondsAfterNoOps": 0}});
        assert_eq!(kept(short.clone(), json!({"status": "Firing"})), Some(5 * DAY));
        let acted = json!({"status": "Firing", "actions": action("Succeeded", Some("2026-11-22T12:01:00Z"))});
        assert_eq!(kept(short, acted), Some(5 * DAY));
    }

    #[test]
    fn what_a_person_asked_for_is_not_heard_again() {
        let acted = json!({"status": "Firing", "actions": action("Succeeded", Some("2026-11-22T12:01:00Z"))});
        assert_eq!(kept(json!({"source": "manual"}), acted), Some(2 * DAY + 60));
    }

    #[test]
    fn an_alert_is_kept_while_its_action_is_under_way() {
        assert_eq!(kept(json!({}), json!({"status": "Resolved", "actions": action("Running", None)})), None);
    }
}
