//! Our own JSON: one alert in one object, the form for scripts and for systems that are not Alertmanager.

use aegis_crds::alert::InvolvedObject;

use super::json::{self, Object};
use super::limits::{self, Draft};
use super::{Fault, Intake, Unreadable};
use crate::signal::{self, Signal};

const EXPECTED: &str = "one alert, a JSON object";

/// Reads one alert:
///
/// ```json
/// {"type": "NodeOutOfDiskSpace", "status": "Firing", "involvedObject": {"kind": "Node", "name": "node1"},
///  "details": {"node": "node1"}, "fingerprint": "5f972974ccf1ee9b"}
/// ```
///
/// - Names count in any case, except inside `details`; so does the status.
/// - Required are type, status, involvedObject.name, fingerprint, and involvedObject.namespace of a Pod.
/// - Optional are details, severity (else the detail of that name), startsAt and endsAt (RFC 3339); a detail
///   `startAt` is a detail like any other.
/// - A list of alerts is refused: an answer tells of one alert.
pub fn custom(body: &[u8]) -> Result<Intake, Unreadable> {
    let body = json::body(body);
    let alert = json::document(&body, EXPECTED)?;
    let mut intake = Intake::default();
    match read(&alert) {
        Ok(signal) => intake.signals.push((0, signal)),
        Err(fault) => {
            let text = |name| alert.get(name)?.text().ok().filter(|text| !text.is_empty());
            intake.rejected.push(fault.reject(0, text("type"), text("fingerprint")));
        }
    }
    Ok(intake)
}

/// Reads what a person asks for, in the form of [`custom`]. It comes from the plugin, as that person's own object.
pub fn manual(body: &[u8]) -> Result<Intake, Unreadable> {
    let mut intake = custom(body)?;
    for (_, signal) in &mut intake.signals {
        signal::MANUAL.clone_into(&mut signal.source);
    }
    Ok(intake)
}

fn read(alert: &Object<'_>) -> Result<Signal, Fault> {
    let type_ = limits::required("type", alert.text("type", "type")?, "the alert's type, such as NodeOutOfDiskSpace")?;
    let status = limits::status("status", &alert.text("status", "status")?)?;
    let object = object(alert)?;
    let details = alert.texts("details")?;
    let fingerprint = limits::required("fingerprint", alert.text("fingerprint", "fingerprint")?, "text")
        .map_err(|fault| fault.hint("send the same text with every report of the same problem, Resolved too"))?;
    let severity = match alert.text("severity", "severity")? {
        none if none.is_empty() => details.get("severity").cloned(),
        given => Some(given),
    };
    let starts_at = alert.time("startsAt")?;
    let ends_at = alert.time("endsAt")?;
    let source = signal::DEFAULT;
    Ok(Draft { source, type_, status, severity, object, details, fingerprint, starts_at, ends_at }.finish())
}

fn object(alert: &Object<'_>) -> Result<InvolvedObject, Fault> {
    if alert.get("involvedObject").is_none() {
        return Err(Fault::missing("involvedObject", "an object with kind and name"));
    }
    let object = alert.object("involvedObject")?;
    let kind = limits::word("involvedObject.kind", object.text("kind", "involvedObject.kind")?)?;
    let kind = limits::kind(kind);
    let name = object.text("name", "involvedObject.name")?;
    let name = limits::required("involvedObject.name", name, "the name of what the alert is about")?;
    let namespace = object.text("namespace", "involvedObject.namespace")?;
    let namespace = match kind.as_str() {
        "Pod" => limits::required("involvedObject.namespace", namespace, "the Pod's namespace, since the kind is Pod")?,
        _ => limits::word("involvedObject.namespace", namespace)?,
    };
    let node = limits::word("involvedObject.node", object.text("node", "involvedObject.node")?)?;
    Ok(InvolvedObject { kind, name, namespace, node })
}

#[cfg(test)]
mod tests {
    use aegis_crds::alert::AlertStatus;

    use super::*;

    fn read_one(body: &str) -> Signal {
        let intake = custom(body.as_bytes()).unwrap();
        assert_eq!(intake.rejected, vec![]);
        assert_eq!(intake.signals.len(), 1);
        intake.signals.into_iter().next().unwrap().1
    }

    fn refusal(body: &str) -> String {
        let intake = custom(body.as_bytes()).unwrap();
        assert_eq!(intake.signals, vec![], "{body}");
        intake.rejected[0].to_string()
    }

    /// An alert with these members after the required ones, which they may repeat: the last one counts.
    fn with(members: &str) -> String {
        let required =
            r#""type":"T","status":"Firing","involvedObject":{"kind":"Node","name":"n1"},"fingerprint":"f1""#;
        format!("{{{required},{members}}}")
    }

    #[test]
    fn what_a_person_asks_for_is_told_from_what_a_sender_says() {
        let body = with(r#""source":"manual","details":{"alert-source-type":"manual"}"#);
        assert_eq!(manual(body.as_bytes()).unwrap().signals[0].1.source, "manual");
        assert_eq!(read_one(&body).source, "default", "whatever a sender says");
    }

    #[test]
    fn names_count_in_any_case_but_not_those_of_details() {
        let plain = read_one(&with(r#""details":{"node":"n1","startAt":"2022021122"}"#));
        let shouted = read_one(
            r#"{"TYPE":"T","Status":"FIRING","InvolvedObject":{"Kind":"Node","NAME":"n1"},"FingerPrint":"f1",
                "Details":{"node":"n1","startAt":"2022021122"}}"#,
        );
        assert_eq!(plain, shouted);
        let details = read_one(&with(r#""details":{"Node":"a","node":"b"}"#)).details;
        assert_eq!((details.len(), &*details["Node"], &*details["node"]), (2, "a", "b"));
    }

    #[test]
    fn what_is_optional_is_taken_where_it_stands() {
        let signal = read_one(&with(r#""severity":"page","startsAt":"2026-01-01T12:00:00Z","endsAt":null"#));
        assert_eq!(signal.severity.as_deref(), Some("page"));
        assert_eq!(signal.starts_at, Some("2026-01-01T12:00:00Z".parse().unwrap()));
        assert_eq!(signal.ends_at, None);
        assert_eq!(signal.object.node, "n1", "a node is its own node");
        let signal = read_one(&with(r#""details":{"severity":"low","aegis.io/test":"true"},"status":"resolved""#));
        assert_eq!((signal.severity.as_deref(), signal.test), (Some("low"), true));
        assert_eq!(signal.status, AlertStatus::Resolved);
        let signal = read_one(&with(r#""involvedObject":{"kind":"pod","name":"p","namespace":"s","node":"n2"}"#));
        assert_eq!((&*signal.object.kind, &*signal.object.node), ("Pod", "n2"));
        assert!(read_one(&with(r#""details":null,"alertSourceType":"x""#)).details.is_empty());
    }

    #[test]
    fn a_detail_is_text_however_it_is_written() {
        let details = read_one(&with(
            r#""details":{"n":12345678901234567890123,"f":1.50,"e":1e400,"b":true,"none":null,"twice":"a","twice":"b"}"#,
        ))
        .details;
        let found: Vec<(&str, &str)> = details.iter().map(|(name, value)| (&**name, &**value)).collect();
        let want = [("b", "true"), ("e", "1e400"), ("f", "1.50"), ("n", "12345678901234567890123"), ("twice", "b")];
        assert_eq!(found, want);
    }

    #[test]
    fn bytes_that_are_not_utf_8_do_not_cost_the_alert() {
        let mut body = b"\xef\xbb\xbf".to_vec();
        body.extend_from_slice(with(r#""details":{"who":"XX"}"#).replace("XX", "\u{fffd}").as_bytes());
        let clean = custom(&body).unwrap();
        let at = body.windows(3).position(|bytes| bytes == "\u{fffd}".as_bytes()).unwrap();
        body.splice(at..at + 3, [0xb9]);
        assert_eq!(custom(&body).unwrap(), clean);
    }

    #[test]
    fn what_is_required_is_named_when_it_is_missing_or_wrong() {
        let cases = [
            (with(r#""type":"""#), "alert 0 (fingerprint f1): type: found nothing"),
            (with(r#""type":null"#), "type: found nothing"),
            (with(r#""type":["T"]"#), "type: found a list, expected text in quotes"),
            (
                with(r#""status":"ok""#),
                "alert 0 (T, fingerprint f1): status: found \"ok\", expected Firing or Resolved",
            ),
            (with(r#""involvedObject":null"#), "involvedObject: found nothing, expected an object with kind and name"),
            (with(r#""involvedObject":"n1""#), "involvedObject: found \"n1\", expected an object"),
            (with(r#""involvedObject":{}"#), "involvedObject.name: found nothing"),
            (
                with(r#""involvedObject":{"kind":"POD","name":"p"}"#),
                "involvedObject.namespace: found nothing, expected the Pod's namespace, since the kind is Pod",
            ),
            (
                with(r#""fingerprint":"""#),
                "alert 0 (T): fingerprint: found nothing, expected text; send the same text with every report",
            ),
            (with(r#""fingerprint":5"#), "fingerprint: found the number 5, expected text in quotes"),
            (with(r#""details":[]"#), "details: found a list, expected an object"),
            (with(r#""details":{"a":{}}"#), "details.a: found an object, expected text"),
            (with(r#""details":{"a":"\ud800"}"#), "details.a: found text with half of a surrogate pair"),
            (with(r#""details":{"\ud800":""}"#), "details: found an object with a name that is not valid text"),
            (with(r#""startsAt":"2022021122""#), "startsAt: found \"2022021122\", expected a time"),
            (with(r#""startsAt":"2026-01-01T12:00:00+01:00[Europe/Berlin]""#), "startsAt: found"),
        ];
        for (body, want) in cases {
            let said = refusal(&body);
            assert!(said.contains(want), "{body}: {said}");
        }
    }

    #[test]
    fn one_request_tells_of_one_alert() {
        let cases = [
            ("[]", "body: found a list, expected one alert, a JSON object"),
            ("\"text\"", "body: found \"text\", expected one alert, a JSON object"),
            ("type=NodeDown&status=Firing", "body: found text that is not JSON"),
            (" \n", "body: found nothing"),
        ];
        for (body, want) in cases {
            let said = custom(body.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(want), "{body}: {said}");
        }
    }
}
