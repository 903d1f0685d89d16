//! The intakes against recorded bodies, and against anything at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;

use aegis_crds::alert::{AlertStatus, TtlStrategy};
use aegis_crds::names;
use aegis_engine::incident::IncidentId;
use aegis_engine::intake::{
    Intake, LARGEST_ALERT, LONGEST_WORD, MOST_LABELS, alert_object, alertmanager, custom, labels_fingerprint,
};
use aegis_engine::signal::Signal;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const RECORDED: [&[u8]; 3] = [
    include_bytes!("../testdata/alertmanager-0.31-1.json"),
    include_bytes!("../testdata/alertmanager-0.31-2.json"),
    include_bytes!("../testdata/alertmanager-0.31-3.json"),
];
const CURL: [&[u8]; 2] = [include_bytes!("../testdata/custom-1.json"), include_bytes!("../testdata/custom-2.json")];

fn signals(intake: Intake) -> Vec<Signal> {
    assert_eq!((&intake.rejected, intake.truncated), (&vec![], 0));
    intake.signals.into_iter().map(|(_, signal)| signal).collect()
}

#[test]
fn recorded_bodies_become_the_signals_that_their_senders_meant() {
    let recorded: Vec<Signal> = RECORDED.iter().flat_map(|body| signals(alertmanager(body).unwrap())).collect();
    let short: Vec<_> = recorded
        .iter()
        .map(|signal| {
            let object = &signal.object;
            (&*signal.type_, signal.status, &*object.kind, &*object.namespace, &*object.name, &*signal.fingerprint)
        })
        .collect();
    let node = "NodeHasEmergencyEvent";
    assert_eq!(
        short,
        [
            (node, AlertStatus::Firing, "Node", "", "dev1", "0effba0cd51bfc13"),
            (node, AlertStatus::Firing, "Node", "", "dev2", "c223747b24aa2654"),
            ("PodCrashLooping", AlertStatus::Firing, "Pod", "shop", "web-0", "b31659078725befb"),
            (node, AlertStatus::Resolved, "Node", "", "dev1", "0effba0cd51bfc13"),
            (node, AlertStatus::Firing, "Node", "", "dev2", "c223747b24aa2654"),
        ]
    );
    assert_eq!(recorded[1], recorded[4], "the second node's alert did not change");
    assert_eq!(recorded[0].starts_at, Some("2026-11-22T11:43:28.416923757Z".parse().unwrap()));
    assert_eq!((recorded[0].ends_at, recorded[3].ends_at), (None, Some("2026-11-22T11:00:00Z".parse().unwrap())));
    assert_eq!(recorded[1].details["description"], "Node dev2: \"quoted\" & <tag> ; $(id) `id` 中文");
    assert_eq!(recorded[3].details["description"], "Node dev1 is fine again");
    assert_eq!(recorded[0].details["cluster"], "c1");
    assert!(!recorded[0].details.contains_key("summary"), "of the annotations only the description is a detail");
}

#[test]
fn a_computed_fingerprint_is_what_alertmanager_computes() {
    for body in RECORDED {
        let body: Value = serde_json::from_slice(body).unwrap();
        for alert in body["alerts"].as_array().unwrap() {
            let labels: BTreeMap<String, String> = serde_json::from_value(alert["labels"].clone()).unwrap();
            assert_eq!(labels_fingerprint(&labels), alert["fingerprint"].as_str().unwrap());
        }
    }
}

#[test]
fn the_documented_curl_calls_are_read_as_they_are() {
    for (body, type_, node) in [(CURL[0], "NodeOutOfDiskSpace", "node1"), (CURL[1], "NodeHasEmergencyEvent", "dev1")] {
        let signal = signals(custom(body).unwrap()).remove(0);
        assert_eq!((&*signal.source, &*signal.type_, signal.status), ("default", type_, AlertStatus::Firing));
        assert_eq!((&*signal.object.kind, &*signal.object.name), ("Node", node));
        assert_eq!(
            signal.details,
            BTreeMap::from([("node".into(), node.into()), ("startAt".into(), "2022021122".into())])
        );
        assert_eq!((&*signal.fingerprint, signal.starts_at), ("5f972974ccf1ee9b", None));
    }
}

#[test]
fn nesting_and_numbers_without_end_are_nothing_that_anybody_asks_for() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let huge = "9".repeat(1_000_000);
    for odd in [&deep, &huge, "1e999999999", "-0.0e-0"] {
        let alert = format!(
            "{{\"status\":\"firing\",\"labels\":{{\"alertname\":\"A\"}},\"extra\":{odd},\"fingerprint\":\"f\"}}"
        );
        let body = format!("{{\"extra\":{odd},\"alerts\":[{alert}]}}");
        assert_eq!(signals(alertmanager(body.as_bytes()).unwrap()).len(), 1);
        let body = format!("{{\"type\":{odd}}}");
        assert_eq!(custom(body.as_bytes()).unwrap().rejected.len(), 1);
    }
    assert!(alertmanager("[".repeat(1_000_000).as_bytes()).is_err());
}

/// What every signal must be, whatever it was read from, so that nobody behind the door checks again.
fn is_sound(signal: &Signal) -> Result<(), TestCaseError> {
    let Signal { source, type_, object, details, fingerprint, severity, .. } = signal;
    prop_assert!(!source.is_empty() && !type_.trim().is_empty() && !fingerprint.trim().is_empty());
    for word in [type_, fingerprint, &object.kind, &object.name, &object.namespace, &object.node] {
        prop_assert!(word.len() <= LONGEST_WORD && !word.chars().any(char::is_control), "{word:?}");
    }
    prop_assert!(details.keys().all(|name| name.len() <= LONGEST_WORD));
    prop_assert!(severity.as_ref().is_none_or(|severity| severity.len() <= LONGEST_WORD));
    match &*object.kind {
        "Pod" => prop_assert!(!object.name.is_empty() && !object.namespace.is_empty()),
        "Node" => prop_assert!(!object.name.is_empty() && !object.node.is_empty()),
        _ => {}
    }

    let incident = signal.starts_at.map_or(IncidentId::First, IncidentId::StartsAt);
    let name = incident.alert_name(&signal.key(), 0);
    let object = alert_object(signal, &name, "monitoring", &incident, &TtlStrategy::default());
    prop_assert!(name.len() <= names::LONGEST_ALERT_NAME);
    let labels = object.metadata.labels.as_ref().unwrap();
    prop_assert!(labels.len() <= MOST_LABELS + 6);
    prop_assert!(labels.values().all(|value| names::is_label_value(value)), "{labels:?}");
    let stored = serde_json::to_vec(&object.spec).unwrap();
    prop_assert!(stored.len() <= LARGEST_ALERT, "{}", stored.len());
    let read: aegis_crds::AegisAlert = serde_json::from_value(serde_json::to_value(&object).unwrap()).unwrap();
    prop_assert_eq!(read, object, "what is stored is what is read again");
    Ok(())
}

fn is_accounted_for(intake: &Intake, alerts: usize) -> Result<(), TestCaseError> {
    prop_assert_eq!(intake.signals.len() + intake.rejected.len(), alerts, "each alert is taken or refused");
    intake.signals.iter().try_for_each(|(_, signal)| is_sound(signal))?;
    for rejected in &intake.rejected {
        let said = rejected.to_string();
        prop_assert!(said.len() < 2_000 && !said.chars().any(char::is_control), "{said:?}");
    }
    Ok(())
}

/// Text as it comes from careful and careless people, and from nobody.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9._:/-]{0,12}",
        2 => ".{0,20}",
        1 => any::<String>(),
        1 => (any::<char>(), 1_000_usize..40_000).prop_map(|(c, times)| String::from(c).repeat(times)),
        1 => prop_oneof![Just("Pod"), Just("node"), Just("Firing"), Just("resolved"), Just("2026-01-01T00:00:00Z")]
            .prop_map(str::to_owned),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A member that is often what it should be and sometimes anything.
fn member(good: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop_oneof![40 => good, 1 => any_json()].boxed()
}

/// One line, as names mostly are.
fn words() -> BoxedStrategy<Value> {
    let word = prop_oneof![
        20 => "[a-zA-Z0-9._:/中-]{1,12}".boxed(),
        8 => prop::sample::select(vec!["Pod", "node"]).prop_map(str::to_owned).boxed(),
        1 => text().boxed(),
    ];
    member(word.prop_map(Value::from))
}

fn details() -> BoxedStrategy<Value> {
    member(text().prop_map(Value::from))
}

fn times() -> BoxedStrategy<Value> {
    member(prop::sample::select(vec!["2026-01-01T00:00:00.25Z", "0001-01-01T00:00:00Z", ""]).prop_map(Value::from))
}

fn texts(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let name = prop_oneof![3 => prop::sample::select(names).prop_map(str::to_owned), 1 => text()];
    prop::collection::vec((name, details()), 0..12).prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn object(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, value)| {
            (Just(name), prop::option::weighted(0.97, value)).prop_map(|(name, value)| Some((name.to_owned(), value?)))
        })
        .collect();
    members.prop_map(|members| Value::Object(members.into_iter().flatten().collect::<Map<_, _>>()))
}

fn alertmanager_alert() -> impl Strategy<Value = Value> {
    const LABELS: &[&str] =
        &["alertname", "kind", "node", "pod", "namespace", "instance", "job", "severity", "involved_object_name"];
    let labels = (texts(LABELS), words()).prop_map(|(mut labels, name)| {
        labels["alertname"] = name;
        labels
    });
    object(vec![
        ("status", member(prop::sample::select(vec!["firing", "Resolved"]).prop_map(Value::from))),
        ("labels", member(labels)),
        ("annotations", member(texts(&["description", "summary"]))),
        ("startsAt", times()),
        ("endsAt", times()),
        ("fingerprint", words()),
    ])
}

fn custom_alert() -> impl Strategy<Value = Value> {
    let involved = object(vec![("kind", words()), ("Name", words()), ("namespace", words()), ("node", words())]);
    object(vec![
        ("type", words()),
        ("status", member(prop::sample::select(vec!["FIRING", "Resolved"]).prop_map(Value::from))),
        ("involvedObject", member(involved)),
        ("details", member(texts(&["node", "severity", "aegis.io/test"]))),
        ("fingerprint", words()),
        ("startsAt", times()),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for read in [alertmanager, custom] {
            if let Err(unreadable) = read(&bytes) {
                prop_assert!(unreadable.to_string().len() < 1_000);
            }
        }
    }

    #[test]
    fn a_recorded_body_with_damaged_bytes_is_read_or_refused(
        which in 0_usize..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut body = [RECORDED[0], RECORDED[1], RECORDED[2], CURL[0], CURL[1]][which].to_vec();
        for (place, byte) in damage {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if cut {
            body.truncate(length.index(body.len()));
        }
        for read in [alertmanager, custom] {
            if let Ok(intake) = read(&body) {
                is_accounted_for(&intake, intake.signals.len() + intake.rejected.len())?;
            }
        }
    }

    #[test]
    fn every_alert_of_a_body_is_taken_or_refused_by_itself(
        alerts in prop::collection::vec(prop_oneof![9 => alertmanager_alert().boxed(), 1 => any_json().boxed()], 0..5),
        version in any_json(),
        truncated in any_json(),
    ) {
        let body = json!({"version": version, "alerts": alerts, "truncatedAlerts": truncated});
        let intake = alertmanager(body.to_string().as_bytes()).unwrap();
        is_accounted_for(&intake, alerts.len())?;
    }

    #[test]
    fn a_custom_alert_is_taken_or_refused(alert in prop_oneof![9 => custom_alert().boxed(), 1 => any_json().boxed()]) {
        match custom(alert.to_string().as_bytes()) {
            Ok(intake) => is_accounted_for(&intake, 1)?,
            Err(_) => prop_assert!(!alert.is_object()),
        }
    }

    #[test]
    fn the_case_of_names_does_not_matter(alert in custom_alert(), upper in any::<bool>()) {
        let Value::Object(members) = &alert else { return Ok(()) };
        let recased: Map<String, Value> = members
            .iter()
            .map(|(name, value)| (if upper { name.to_uppercase() } else { name.to_lowercase() }, value.clone()))
            .collect();
        let recased = Value::Object(recased);
        prop_assert_eq!(custom(alert.to_string().as_bytes()), custom(recased.to_string().as_bytes()));
    }
}
