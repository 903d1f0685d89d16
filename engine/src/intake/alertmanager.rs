//! Alertmanager's webhook body, version 4.
//!
//! The version is not checked, the shape is: a relay that leaves it out, or a later version that keeps the fields
//! that are read here, still gets its alerts through.

use std::collections::BTreeMap;

use aegis_crds::alert::InvolvedObject;

use super::json::{self, Object, Value};
use super::limits::{self, Draft};
use super::{Fault, Intake, Rejected, Unreadable};
use crate::signal::{self, Signal};

const EXPECTED: &str = "Alertmanager's webhook body, a JSON object";

/// Reads a body that Alertmanager sent. Fields that are not mentioned here are not looked at.
///
/// - `labels.alertname` is the type, `labels.severity` the severity, `status` counts in any case.
/// - The details are the labels and the annotation `description`, which stands even where a label has that name.
/// - A missing `fingerprint` is computed from the labels: see [`labels_fingerprint`].
/// - Times of year 1 mean that there is none.
pub fn alertmanager(body: &[u8]) -> Result<Intake, Unreadable> {
    let body = json::body(body);
    let document = json::document(&body, EXPECTED)?;
    let alerts = match document.get("alerts") {
        Some(alerts) => alerts.list().map_err(|found| Unreadable::new("alerts", found, "a list of alerts"))?,
        None => return Err(Unreadable::new("alerts", no_alerts(&document), "a list of alerts, as in version \"4\"")),
    };
    let truncated = document.get("truncatedAlerts").and_then(|value| value.scalar().ok()?.parse().ok()).unwrap_or(0);
    let mut intake = Intake { truncated, ..Intake::default() };
    for (index, alert) in alerts.into_iter().enumerate() {
        match read(alert) {
            Ok(signal) => intake.signals.push((index, signal)),
            Err(fault) => intake.rejected.push(name(fault, index, alert)),
        }
    }
    Ok(intake)
}

/// The fingerprint that Alertmanager gives to a set of labels: FNV-1a, 64 bits, over every name and value in the
/// order of the names, each followed by the byte 0xff; 16 hex digits.
pub fn labels_fingerprint(labels: &BTreeMap<String, String>) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = labels.iter().flat_map(|(name, value)| [name, value]).flat_map(|text| text.bytes().chain([0xff]));
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    format!("{hash:016x}")
}

fn no_alerts(document: &Object<'_>) -> String {
    match document.get("version") {
        Some(version) => format!("nothing (in a body of version {})", version.found()),
        None => "nothing".to_owned(),
    }
}

fn read(alert: Value<'_>) -> Result<Signal, Fault> {
    let alert = alert.object().map_err(|found| Fault::new("alert", found, "an object"))?;
    let labels = alert.texts("labels")?;
    let type_ = labels.get("alertname").cloned().unwrap_or_default();
    let type_ = limits::required("labels.alertname", type_, "the alert's name")?;
    let status = limits::status("status", &alert.text("status", "status")?)?;
    let object = object(&labels)?;
    let fingerprint = match alert.text("fingerprint", "fingerprint")? {
        none if none.trim().is_empty() => labels_fingerprint(&labels),
        given => limits::word("fingerprint", given)?,
    };
    let starts_at = alert.time("startsAt")?;
    let ends_at = alert.time("endsAt")?;
    let severity = labels.get("severity").cloned();
    let mut details = labels;
    if let Some(description) = alert.object("annotations")?.get("description") {
        let text = description.scalar().map_err(|found| Fault::new("annotations.description", found, "text"))?;
        if !text.is_empty() {
            details.insert("description".to_owned(), text);
        }
    }
    let source = signal::ALERTMANAGER;
    Ok(Draft { source, type_, status, severity, object, details, fingerprint, starts_at, ends_at }.finish())
}

/// What the labels say that the alert is about. An alert about no single object, such as one about the cluster, has
/// no name; a Pod or a Node must have one.
fn object(labels: &BTreeMap<String, String>) -> Result<InvolvedObject, Fault> {
    let label = |name: &str| labels.get(name).filter(|value| !value.is_empty()).cloned();
    let kind = limits::kind(label("kind").unwrap_or_default());
    let named = label("involved_object_name");
    let (name, namespace) = match kind.as_str() {
        "Pod" => {
            let name = named.or_else(|| label("pod")).unwrap_or_default();
            let name = limits::required("labels.pod", name, "the Pod's name, since the label kind is Pod")?;
            let namespace = label("involved_object_namespace").or_else(|| label("namespace")).unwrap_or_default();
            let expected = "the Pod's namespace, since the label kind is Pod";
            (name, limits::required("labels.namespace", namespace, expected)?)
        }
        "Node" => {
            let name = named.or_else(|| label("node")).or_else(|| label("instance")).unwrap_or_default();
            let expected = "the node's name (or a label instance), since the label kind is Node";
            (limits::required("labels.node", name, expected)?, String::new())
        }
        _ => match named {
            Some(name) => {
                let namespace = label("involved_object_namespace").or_else(|| label("namespace"));
                (limits::word("labels.involved_object_name", name)?, namespace.unwrap_or_default())
            }
            None => {
                let name = label("instance").or_else(|| label("job")).unwrap_or_default();
                (limits::word("labels.instance", name)?, String::new())
            }
        },
    };
    Ok(InvolvedObject {
        kind: limits::word("labels.kind", kind)?,
        name,
        namespace: limits::word("labels.namespace", namespace)?,
        node: limits::word("labels.node", label("node").unwrap_or_default())?,
    })
}

/// The fault with what can be said of the alert that it is in.
fn name(fault: Fault, index: usize, alert: Value<'_>) -> Rejected {
    let alert = alert.object().ok();
    let text = |object: &Object<'_>, name: &str| object.get(name)?.text().ok().filter(|text| !text.is_empty());
    let type_ = alert.as_ref().and_then(|alert| text(&alert.get("labels")?.object().ok()?, "alertname"));
    let fingerprint = alert.as_ref().and_then(|alert| text(alert, "fingerprint"));
    fault.reject(index, type_, fingerprint)
}

#[cfg(test)]
mod tests {
    use aegis_crds::alert::AlertStatus;
    use serde_json::{Value as Json, json};

    use super::*;

    /// A body with one alert: a firing one about a node, changed by the patch. Null takes a field away.
    fn body(patch: Json) -> Vec<u8> {
        let mut alert = json!({
            "status": "firing",
            "labels": {"alertname": "NodeDown", "kind": "Node", "node": "n1", "severity": "critical"},
            "annotations": {"description": "it is down", "summary": "down"},
            "startsAt": "2026-01-01T12:00:00.5Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": "0effba0cd51bfc13",
        });
        merge(&mut alert, patch);
        json!({"version": "4", "status": "firing", "truncatedAlerts": 0, "alerts": [alert]}).to_string().into_bytes()
    }

    fn merge(target: &mut Json, patch: Json) {
        match (target, patch) {
            (Json::Object(target), Json::Object(patch)) => {
                for (key, value) in patch {
                    match value {
                        Json::Null => drop(target.shift_remove(&key)),
                        value => merge(target.entry(key).or_insert(Json::Null), value),
                    }
                }
            }
            (target, patch) => *target = patch,
        }
    }

    fn read_one(patch: Json) -> Signal {
        let intake = alertmanager(&body(patch)).unwrap();
        assert_eq!(intake.rejected, vec![]);
        intake.signals.into_iter().next().unwrap().1
    }

    fn labels(patch: Json) -> Signal {
        read_one(json!({"labels": patch}))
    }

    #[test]
    fn an_alert_becomes_a_signal() {
        let signal = read_one(json!({}));
        let details = [
            ("alertname", "NodeDown"),
            ("description", "it is down"),
            ("kind", "Node"),
            ("node", "n1"),
            ("severity", "critical"),
        ];
        let want = Signal {
            source: "alertmanager".into(),
            type_: "NodeDown".into(),
            status: AlertStatus::Firing,
            severity: Some("critical".into()),
            object: InvolvedObject {
                kind: "Node".into(),
                name: "n1".into(),
                namespace: String::new(),
                node: "n1".into(),
            },
            details: details.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            fingerprint: "0effba0cd51bfc13".into(),
            starts_at: Some("2026-01-01T12:00:00.5Z".parse().unwrap()),
            ends_at: None,
            shortened: false,
            test: false,
        };
        assert_eq!(signal, want);
    }

    #[test]
    fn the_labels_say_what_it_is_about() {
        let pod = json!({"kind": "Pod", "namespace": "shop", "pod": "web-0"});
        let cases = [
            ("a node", json!({}), ("Node", "n1", "", "n1")),
            (
                "a node by its instance",
                json!({"node": null, "instance": "n1:9100"}),
                ("Node", "n1:9100", "", "n1:9100"),
            ),
            ("an empty label is an absent one", json!({"node": "", "instance": "i"}), ("Node", "i", "", "i")),
            ("a kind in another case", json!({"kind": "node"}), ("Node", "n1", "", "n1")),
            ("a node is in no namespace", json!({"namespace": "monitoring"}), ("Node", "n1", "", "n1")),
            ("a pod", pod.clone(), ("Pod", "web-0", "shop", "n1")),
            (
                "an object by its own label",
                json!({"kind": "Job", "involved_object_name": "train", "namespace": "ai", "instance": "i"}),
                ("Job", "train", "ai", "n1"),
            ),
            (
                "with a namespace of its own",
                json!({"kind": "Pod", "involved_object_name": "p", "involved_object_namespace": "a", "namespace": "b"}),
                ("Pod", "p", "a", "n1"),
            ),
            ("a target", json!({"kind": null, "instance": "i", "job": "j"}), ("", "i", "", "n1")),
            ("a job of Prometheus", json!({"kind": "Target", "node": null, "job": "j"}), ("Target", "j", "", "")),
            ("the cluster as a whole has no name", json!({"kind": null, "node": null}), ("", "", "", "")),
        ];
        for (why, patch, (kind, name, namespace, node)) in cases {
            let object = labels(patch).object;
            let found = (&*object.kind, &*object.name, &*object.namespace, &*object.node);
            assert_eq!(found, (kind, name, namespace, node), "{why}");
        }
    }

    #[test]
    fn what_may_be_missing_or_odd_is_accepted() {
        assert_eq!(read_one(json!({"status": "RESOLVED"})).status, AlertStatus::Resolved);
        assert_eq!(read_one(json!({"startsAt": null})).starts_at, None);
        assert_eq!(read_one(json!({"startsAt": ""})).starts_at, None);
        assert_eq!(read_one(json!({"startsAt": "0001-01-01T00:00:00Z"})).starts_at, None);
        let ends_at = read_one(json!({"endsAt": "2026-01-01T14:00:00+02:00"})).ends_at;
        assert_eq!(ends_at, Some("2026-01-01T12:00:00Z".parse().unwrap()), "another time zone");
        assert!(!read_one(json!({"annotations": null})).details.contains_key("description"));
        assert_eq!(labels(json!({"severity": null})).severity, None);
        assert_eq!(read_one(json!({"generatorURL": 7, "extra": [[[]]]})), read_one(json!({})), "nobody asks for these");
        assert!(labels(json!({"aegis_io_test": "true"})).test);
    }

    #[test]
    fn the_annotation_description_stands_where_a_label_has_its_name() {
        let described = |patch| read_one(patch).details.remove("description");
        let label = json!({"labels": {"description": "of the label"}});
        assert_eq!(described(label.clone()).as_deref(), Some("it is down"));
        let mut unannotated = label;
        unannotated["annotations"] = json!({"description": ""});
        assert_eq!(described(unannotated).as_deref(), Some("of the label"), "an empty one says nothing");
    }

    #[test]
    fn one_bad_alert_is_named_and_the_others_stand() {
        let mut body: Json = serde_json::from_slice(&body(json!({}))).unwrap();
        let good = body["alerts"][0].clone();
        body["alerts"] = json!([good, {"status": "firing", "fingerprint": "f"}, 7, good]);
        body["truncatedAlerts"] = json!(3);
        let intake = alertmanager(body.to_string().as_bytes()).unwrap();
        assert_eq!(intake.signals.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(intake.truncated, 3);
        let said: Vec<String> = intake.rejected.iter().map(Rejected::to_string).collect();
        assert_eq!(
            said,
            [
                "alert 1 (fingerprint f): labels.alertname: found nothing, expected the alert's name",
                "alert 2: alert: found the number 7, expected an object",
            ]
        );
    }

    #[test]
    fn a_field_that_cannot_be_used_is_named_with_what_was_found() {
        let long = "x".repeat(1_025);
        let cases = [
            (json!({"status": null}), "status: found nothing, expected Firing or Resolved"),
            (json!({"status": "suppressed"}), "status: found \"suppressed\", expected Firing or Resolved"),
            (json!({"status": 1}), "status: found the number 1, expected text in quotes"),
            (json!({"labels": []}), "labels: found a list, expected an object"),
            (
                json!({"labels": {"team": {"a": 1}}}),
                "labels.team: found an object, expected text; write nested data as one text",
            ),
            (json!({"labels": {"alertname": " "}}), "labels.alertname: found nothing, expected the alert's name"),
            (
                json!({"labels": {"node": null}}),
                "labels.node: found nothing, expected the node's name (or a label instance), since the label kind is Node",
            ),
            (
                json!({"labels": {"kind": "Pod"}}),
                "labels.pod: found nothing, expected the Pod's name, since the label kind is Pod",
            ),
            (
                json!({"labels": {"kind": "Pod", "pod": "p"}}),
                "labels.namespace: found nothing, expected the Pod's namespace, since the label kind is Pod",
            ),
            (
                json!({"labels": {"node": "n1\u{1b}[2J"}}),
                "labels.node: found \"n1\\u{1b}[2J\", expected one line of text without control characters",
            ),
            (json!({"fingerprint": long}), "expected at most 1024 bytes"),
            (json!({"annotations": {"description": [1]}}), "annotations.description: found a list, expected text"),
            (
                json!({"startsAt": "yesterday"}),
                "startsAt: found \"yesterday\", expected a time such as \"2026-01-31T08:15:00Z\" (RFC 3339)",
            ),
            (json!({"endsAt": 1_767_268_800}), "endsAt: found the number 1767268800, expected a time"),
        ];
        for (patch, want) in cases {
            let intake = alertmanager(&body(patch.clone())).unwrap();
            assert_eq!(intake.signals, vec![], "{patch}");
            let said = intake.rejected[0].to_string();
            assert!(said.contains(want), "{patch}: {said}");
            assert!(said.len() < 300, "short enough for a list: {said}");
        }
    }

    #[test]
    fn a_body_of_another_shape_is_refused_as_a_whole() {
        let cases = [
            ("", "body: found nothing, expected Alertmanager's webhook body, a JSON object"),
            ("alerts=1", "body: found text that is not JSON (expected value at line 1 column 1)"),
            ("{\"alerts\": [}", "body: found text that is not JSON"),
            ("{\"alerts\": []} {}", "body: found text that is not JSON (trailing characters at line 1 column 16)"),
            ("[]", "body: found a list, expected Alertmanager's webhook body"),
            ("{}", "alerts: found nothing, expected a list of alerts, as in version \"4\""),
            ("{\"version\": \"3\", \"alert\": []}", "alerts: found nothing (in a body of version \"3\")"),
            ("{\"alerts\": {}}", "alerts: found an object, expected a list of alerts"),
        ];
        for (body, want) in cases {
            let said = alertmanager(body.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(want), "{body}: {said}");
        }
        assert_eq!(alertmanager(b"{\"alerts\": []}").unwrap(), Intake::default(), "an empty list is fine");
        assert_eq!(alertmanager(b"{\"version\": \"5\", \"alerts\": []}").unwrap(), Intake::default());
    }

    #[test]
    fn a_number_of_truncated_alerts_that_is_none_is_not_worth_an_alert() {
        for odd in ["-1", "1.5", "null", "\"many\"", "[]"] {
            let body = format!("{{\"alerts\": [], \"truncatedAlerts\": {odd}}}");
            assert_eq!(alertmanager(body.as_bytes()).unwrap().truncated, 0, "{odd}");
        }
    }

    #[test]
    fn a_missing_fingerprint_is_the_one_that_alertmanager_would_give() {
        let given = labels(json!({})).fingerprint;
        let computed = read_one(json!({"fingerprint": null})).fingerprint;
        assert_ne!(given, computed, "what the sender says stands");
        assert_eq!(read_one(json!({"fingerprint": ""})).fingerprint, computed);
        let other = read_one(json!({"fingerprint": null, "labels": {"node": "n2"}})).fingerprint;
        assert_ne!(other, computed);
    }
}
