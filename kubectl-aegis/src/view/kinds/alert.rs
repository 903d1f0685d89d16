//! Alerts.

use jiff::Timestamp;
use serde_json::Value;

use super::{created, faint, name, namespace, standing, time};
use crate::view::field::{Datum, Field, Place, Tone};

pub(super) const FIELDS: &[Field] = &[
    namespace(),
    name(),
    Field::text("severity", "SEVERITY", |alert| Datum::at(alert, "/spec/severity")).or(&["sev"]).toned(severity),
    Field::text("type", "TYPE", |alert| Datum::at(alert, "/spec/type")),
    Field::text("object", "OBJECT", object).or(&["obj"]),
    Field::text("status", "STATUS", phase).toned(firing),
    Field::number("count", "COUNT", |alert| Datum::at(alert, "/status/count")),
    Field::text("action", "ACTION", action).toned(standing),
    Field::text("reason", "REASON", reason),
    Field::time("age", "AGE", |alert| begun(alert).map_or(Datum::Nothing, Datum::Time)),
    Field::text("rule", "RULE", |alert| Datum::at(alert, "/status/rule/name")).at(Place::Wide),
    Field::text("node", "NODE", node).at(Place::Wide),
    Field::time("last", "LAST", |alert| last(alert).map_or(Datum::Nothing, Datum::Time)).or(&["heard"]).at(Place::Wide),
    Field::text("source", "SOURCE", |alert| Datum::at(alert, "/spec/source")).at(Place::Wide),
    Field::text("message", "MESSAGE", message).at(Place::Wide).toned(faint),
    Field::text("kind", "KIND", |alert| Datum::at(alert, "/spec/involvedObject/kind")).at(Place::Nowhere),
    Field::text("fingerprint", "FINGERPRINT", |alert| Datum::at(alert, "/spec/fingerprint")).at(Place::Nowhere),
];

/// When it was last heard, or made.
pub(super) fn last(alert: &Value) -> Option<Timestamp> {
    time(alert, "/status/lastTime").or_else(|| begun(alert))
}

fn begun(alert: &Value) -> Option<Timestamp> {
    time(alert, "/status/startTime").or_else(|| created(alert))
}

/// The phase now; before anybody wrote its status, the one in which it was reported.
fn phase(alert: &Value) -> Datum {
    Datum::at(alert, "/status/status").or_else(|| Datum::at(alert, "/spec/status"))
}

fn object(alert: &Value) -> Datum {
    let word =
        |name: &str| alert.pointer(&format!("/spec/involvedObject/{name}")).and_then(Value::as_str).unwrap_or_default();
    let parts = [word("kind"), word("namespace"), word("name")];
    Datum::of_text(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

/// The node that it is on, or that it is about.
pub(super) fn node(alert: &Value) -> Datum {
    Datum::at(alert, "/spec/involvedObject/node").or_else(|| match Datum::at(alert, "/spec/involvedObject/kind") {
        Datum::Text(kind) if kind.eq_ignore_ascii_case("node") => Datum::at(alert, "/spec/involvedObject/name"),
        _ => Datum::Nothing,
    })
}

/// How its action stands, or in a word why there is none.
fn action(alert: &Value) -> Datum {
    match Datum::at(alert, "/status/opsStatus/triggerStatus") {
        Datum::Text(trigger) if trigger == "Triggered" => {
            Datum::at(alert, "/status/opsStatus/alertOpsStatus").or_else(|| Datum::Text(trigger))
        }
        other => other,
    }
}

fn last_action(alert: &Value) -> Option<&Value> {
    alert.pointer("/status/actions")?.as_array()?.last()
}

fn reason(alert: &Value) -> Datum {
    Datum::at(alert, "/status/verdict/reason")
        .or_else(|| last_action(alert).map_or(Datum::Nothing, |action| Datum::at(action, "/reason")))
}

fn message(alert: &Value) -> Datum {
    Datum::at(alert, "/status/verdict/message")
        .or_else(|| last_action(alert).map_or(Datum::Nothing, |action| Datum::at(action, "/message")))
}

fn severity(datum: &Datum) -> Tone {
    let Datum::Text(text) = datum else { return Tone::Plain };
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(&["critical", "emergency", "error", "fatal", "page", "disaster"]) {
        Tone::Bad
    } else if is(&["warning", "warn", "high", "major"]) {
        Tone::Busy
    } else {
        Tone::Plain
    }
}

fn firing(datum: &Datum) -> Tone {
    match datum {
        Datum::Text(text) if text == "Resolved" => Tone::Good,
        Datum::Text(_) => Tone::Busy,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_action_is_told_in_one_word() {
        let cases = [
            ("nobody has looked at it", json!({}), ""),
            ("its action stands so", json!({"triggerStatus": "Triggered", "alertOpsStatus": "Running"}), "Running"),
            ("it is about to be made", json!({"triggerStatus": "Triggered"}), "Triggered"),
            ("there is none", json!({"triggerStatus": "Held", "alertOpsStatus": "Failed"}), "Held"),
        ];
        for (why, ops, want) in cases {
            let alert = json!({"status": {"opsStatus": ops}});
            assert_eq!(action(&alert).shown(Timestamp::UNIX_EPOCH), want, "{why}");
        }
    }

    #[test]
    fn an_alert_is_about_an_object_and_on_a_node() {
        let shown = |datum: Datum| datum.shown(Timestamp::UNIX_EPOCH);
        let pod = json!({"spec": {"involvedObject": {"kind": "Pod", "namespace": "web", "name": "a-0", "node": "n1"}}});
        assert_eq!((shown(object(&pod)), shown(node(&pod))), ("Pod/web/a-0".into(), "n1".into()));
        let itself = json!({"spec": {"involvedObject": {"kind": "node", "name": "n2"}}});
        assert_eq!((shown(object(&itself)), shown(node(&itself))), ("node/n2".into(), "n2".into()));
        let other = json!({"spec": {"involvedObject": {"kind": "Disk", "name": "sda"}}});
        assert_eq!(node(&other), Datum::Nothing);
    }
}
