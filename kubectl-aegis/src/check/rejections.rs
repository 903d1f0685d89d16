//! Reports that could never be stored: a sender does something wrong, and nobody may have noticed.

use aegis_controller::ingest::{REJECTED_CONFIGMAP, REJECTED_KEY};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::ask::Asked;
use super::finding::Finding;
use super::world::World;

const FAMILY: &str = "rejections";
const NAME: &str = "last day";
/// What is older has been seen, or does not happen any more: an entry leaves the list only when others come.
const RECENT: SignedDuration = SignedDuration::from_hours(24);

/// What was read.
pub(super) struct Seen {
    pub(super) list: Asked<Value>,
    pub(super) now: Timestamp,
}

pub(super) async fn look(world: &World) -> Seen {
    let list = world.place("v1", "ConfigMap", "configmaps").get(&world.client, REJECTED_CONFIGMAP).await;
    Seen { list, now: world.now }
}

pub(super) fn judge(seen: &Seen) -> Finding {
    let list = match seen.list.or_unknown(FAMILY, NAME) {
        Err(unknown) => return *unknown,
        Ok(None) => return Finding::ok(FAMILY, NAME, "no report was ever rejected"),
        Ok(Some(list)) => list,
    };
    let text = list.get("data").and_then(|data| data.get(REJECTED_KEY)).and_then(Value::as_str).unwrap_or("[]");
    let Ok(entries) = serde_json::from_str::<Vec<Value>>(text) else {
        return Finding::unknown(
            FAMILY,
            NAME,
            format!("the ConfigMap {REJECTED_CONFIGMAP} is not what this plugin knows"),
        );
    };
    let last =
        |entry: &Value| entry.get("last").and_then(Value::as_str).and_then(|last| last.parse::<Timestamp>().ok());
    let is_recent = |entry: &&Value| last(entry).is_some_and(|last| seen.now.duration_since(last) < RECENT);
    let recent: Vec<&Value> = entries.iter().filter(is_recent).collect();
    let Some(first) = recent.first() else {
        return Finding::ok(FAMILY, NAME, format!("no report was rejected; {} kinds of them before", entries.len()));
    };
    let why = first.get("message").and_then(Value::as_str).unwrap_or_default();
    Finding::failed(FAMILY, NAME, format!("{} kinds of report were rejected", recent.len()))
        .because(format!("the latest: {why}"))
        .mend("kubectl aegis alert rejected; mend their senders")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::finding::Status;

    fn found(entries: Value) -> Finding {
        let list = Asked::Known(json!({"data": {REJECTED_KEY: entries.to_string()}}));
        judge(&Seen { list, now: "2026-11-22T12:00:00Z".parse().unwrap() })
    }

    #[test]
    fn what_was_rejected_lately_is_a_finding() {
        assert_eq!(found(json!([])).status, Status::Ok);
        assert_eq!(found(json!([{"last": "2026-11-20T12:00:00Z", "message": "x"}])).status, Status::Ok);
        let recent = found(json!([{"last": "2026-11-22T11:00:00Z", "message": "type: found nothing"}]));
        assert_eq!((recent.status, recent.cause.as_deref()), (Status::Failed, Some("the latest: type: found nothing")));
        let odd = judge(&Seen { list: Asked::Known(json!({"data": {REJECTED_KEY: "?"}})), now: Timestamp::UNIX_EPOCH });
        assert_eq!(odd.status, Status::Unknown);
    }
}
