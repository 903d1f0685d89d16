//! What ingest writes into an alert's status, as merge patches for the status subresource.
//!
//! Every patch carries the resourceVersion of the alert that it was computed from: it is applied to exactly that
//! alert or it meets a conflict, and then the decision is taken again. The first status write of an alert, whoever
//! makes it, also says what the report that stored it meant; [`first_write`] gives that part.

use aegis_crds::AegisAlert;
use aegis_crds::alert::{ActionStatus, AlertOpsStatus, AlertStatus};
use aegis_crds::conditions::{self, Condition, ConditionType};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Stored;
use crate::guard::Reason;
use crate::signal::Signal;

/// The fields of status that are still missing because nobody has written them: status as in spec, count 1 for the
/// report that stored the alert, startTime now, lastTime when it was stored. Empty once they all stand.
pub fn first_write(alert: &AegisAlert, now: Timestamp) -> Map<String, Value> {
    let status = alert.status.as_ref();
    let mut fields = Map::new();
    if status.and_then(|status| status.status).is_none() {
        fields.insert("status".to_owned(), json!(alert.spec.status));
    }
    if status.and_then(|status| status.count).is_none() {
        fields.insert("count".to_owned(), json!(1));
    }
    if status.and_then(|status| status.start_time).is_none() {
        fields.insert("startTime".to_owned(), json!(now));
    }
    if status.and_then(|status| status.last_time).is_none() {
        fields.insert("lastTime".to_owned(), json!(Stored::new(alert).last_heard().unwrap_or(now)));
    }
    fields
}

/// The alert was reported again, `by` times, the last time by this signal: count, lastTime and lastStartsAt. The same
/// for a late report, which changes nothing else. A report that shows that the last action did not help says that in the
/// same write, since the reconciler would make a second one of it.
pub fn counted(alert: &AegisAlert, by: u32, signal: &Signal, now: Timestamp) -> Value {
    let stored = Stored::new(alert);
    let count = alert.status.as_ref().and_then(|status| status.count).unwrap_or(1);
    let mut fields = first_write(alert, now);
    fields.insert("count".to_owned(), json!(count.saturating_add(i64::from(by))));
    let heard = stored.last_heard().map_or(now, |before| before.max(now));
    fields.insert("lastTime".to_owned(), json!(heard));
    if let Some(latest) = stored.heard_starts_at().chain(signal.starts_at).max() {
        fields.insert("lastStartsAt".to_owned(), json!(latest));
    }
    if let Some(action) = in_vain(alert, heard) {
        let mut conditions = alert.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
        if conditions::set(&mut conditions, still_firing(action), now) {
            fields.insert("conditions".to_owned(), json!(conditions));
        }
    }
    patch(alert, fields)
}

/// The condition of an alert that is reported after that action, the last one for it, has succeeded.
pub fn still_firing(action: &ActionStatus) -> Condition {
    let message = format!("the alert was reported again after {} {} succeeded", action.kind, action.name);
    Condition::new(ConditionType::Repaired, false, "StillFiring", message)
}

/// The last action for the problem, if it stands in status that it succeeded before the alert was heard then.
fn in_vain(alert: &AegisAlert, heard: Timestamp) -> Option<&ActionStatus> {
    let actions = &alert.status.as_ref().filter(|_| Stored::new(alert).phase() == AlertStatus::Firing)?.actions;
    let last =
        actions.iter().rfind(|action| action.phase == AlertStatus::Firing && action.uid.is_some() && !action.check)?;
    let before = last.completion_time.is_some_and(|ended| ended < heard);
    // Where its rule has that verified, the reconciler tells what came of it.
    (before && last.verification.is_none() && last.status == Some(AlertOpsStatus::Succeeded)).then_some(last)
}

/// The sender says that the problem has gone: status and resolution.
pub fn resolved(alert: &AegisAlert, signal: &Signal, now: Timestamp) -> Value {
    let mut resolution = Map::new();
    resolution.insert("startsAt".to_owned(), json!(signal.starts_at));
    resolution.insert("endsAt".to_owned(), json!(signal.ends_at));
    resolution.insert("time".to_owned(), json!(now));
    let mut fields = first_write(alert, now);
    fields.insert("status".to_owned(), json!("Resolved"));
    fields.insert("resolution".to_owned(), Value::Object(resolution));
    patch(alert, fields)
}

/// A new incident of the key begins while this alert is open: it is Resolved, and names the alert that took its
/// place. Nobody said that its problem had gone, so it has no resolution and starts no rule for Resolved.
pub fn superseded(alert: &AegisAlert, by_name: &str, now: Timestamp) -> Value {
    let mut fields = first_write(alert, now);
    fields.insert("status".to_owned(), json!("Resolved"));
    fields.insert("supersededBy".to_owned(), json!(by_name));
    patch(alert, fields)
}

/// Another alert stands for the same incident: this one is closed, and withdrawn before it could act.
pub fn withdrawn_duplicate(alert: &AegisAlert, of_name: &str, now: Timestamp) -> Value {
    let message = format!("{of_name} stands for the same incident; this alert was stored beside it and does not act");
    let mut fields = first_write(alert, now);
    fields.insert("status".to_owned(), json!("Resolved"));
    fields.insert("supersededBy".to_owned(), json!(of_name));
    fields.insert("opsStatus".to_owned(), json!({"triggerStatus": Reason::Duplicate.trigger_status()}));
    fields.insert(
        "verdict".to_owned(),
        json!({"reason": Reason::Duplicate.as_str(), "message": message, "nextTry": null}),
    );
    patch(alert, fields)
}

fn patch(alert: &AegisAlert, status: Map<String, Value>) -> Value {
    let mut metadata = Map::new();
    if let Some(version) = &alert.metadata.resource_version {
        metadata.insert("resourceVersion".to_owned(), json!(version));
    }
    json!({"metadata": metadata, "status": status})
}

#[cfg(test)]
mod tests {
    use aegis_crds::alert::AlertStatus;

    use super::*;
    use crate::incident::testing::{at, gone, signal, signal_since, stored};

    #[test]
    fn the_first_write_says_what_the_report_that_stored_the_alert_meant() {
        let alert = stored(&signal(), 5).build();
        let want = json!({
            "metadata": {"resourceVersion": "7"},
            "status": {"status": "Firing", "count": 2, "startTime": at(9), "lastTime": at(9)},
        });
        assert_eq!(counted(&alert, 1, &signal(), at(9)), want, "a repeat counts beside it");
        let want = json!({"status": "Firing", "count": 1, "startTime": at(9), "lastTime": at(5)});
        assert_eq!(Value::Object(first_write(&alert, at(9))), want, "it was heard when it was stored");
        let seen = stored(&signal(), 5).patched(&counted(&alert, 1, &signal(), at(9))).build();
        assert_eq!(first_write(&seen, at(10)), Map::new(), "only once");
    }

    #[test]
    fn a_count_continues_from_where_it_stands() {
        let heard = stored(&signal_since(0), 5).counted_to(3).heard(100).heard_starts_at(60);
        let again = |signal: Signal, now| heard.clone().patched(&counted(&heard.clone().build(), 4, &signal, at(now)));
        let status = again(signal_since(30), 200).build().status.unwrap();
        assert_eq!((status.count, status.last_time), (Some(7), Some(at(200))));
        assert_eq!(status.last_starts_at, Some(at(60)), "the latest one, not the last one");
        let status = again(signal_since(90), 50).build().status.unwrap();
        assert_eq!(status.last_starts_at, Some(at(90)));
        assert_eq!(status.last_time, Some(at(100)), "a clock that goes back takes nothing back");
    }

    #[test]
    fn a_resolution_stands_as_it_was_reported() {
        let alert = stored(&signal_since(0), 5);
        let write = |signal: &Signal| {
            let alert = alert.clone();
            alert.clone().patched(&resolved(&alert.build(), signal, at(600))).build().status.unwrap()
        };
        let status = write(&gone(signal_since(-60), Some(590)));
        assert_eq!((status.status, status.count), (Some(AlertStatus::Resolved), Some(1)));
        assert_eq!(status.last_time, Some(at(5)), "its end is no report of the problem");
        let resolution = status.resolution.unwrap();
        assert_eq!((resolution.starts_at, resolution.ends_at), (Some(at(-60)), Some(at(590))));
        assert_eq!(resolution.time, Some(at(600)));
        let resolution = write(&gone(signal(), None)).resolution.unwrap();
        assert_eq!((resolution.starts_at, resolution.ends_at), (None, None));
    }

    #[test]
    fn an_alert_whose_place_was_taken_names_the_one_that_took_it() {
        let alert = stored(&signal_since(0), 5);
        let status = alert.clone().patched(&superseded(&alert.build(), "next", at(600))).build().status.unwrap();
        assert_eq!(status.status, Some(AlertStatus::Resolved));
        assert_eq!(status.superseded_by.as_deref(), Some("next"));
        assert_eq!(status.resolution, None, "nobody resolved it");
    }
}
