//! What the packed form promises: nothing is lost, whatever an object holds.

use std::collections::BTreeMap;

use aegis_crds::AegisAlert;
use aegis_crds::alert::{
    ActionStatus, AegisAlertSpec, AegisAlertStatus, AlertOpsStatus, AlertStatus, ApprovalStatus, GateRefusal,
    InvolvedObject, OpsStatus, Resolution, RuleChoice, TriggerStatus, TtlStrategy, VerdictStatus, VerificationStatus,
};
use aegis_crds::conditions::Condition;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::core::PartialObjectMeta;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cache::Kept;
use crate::executors::Workflow;

fn at(nanosecond: i128) -> Option<Timestamp> {
    Some(Timestamp::from_nanosecond(nanosecond).unwrap())
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An alert in which no field is left out: a new one does not compile until it is here.
fn full() -> AegisAlert {
    let spec = AegisAlertSpec {
        selector: serde_json::from_value(json!({"matchLabels": {"a": "b"}})).unwrap(),
        source: "alertmanager".into(),
        type_: "NodeHasEmergencyEvent".into(),
        severity: Some("critical".into()),
        status: AlertStatus::Resolved,
        involved_object: InvolvedObject {
            kind: "Pod".into(),
            name: "p-0".into(),
            namespace: "training".into(),
            node: "node-1".into(),
        },
        detials: Some(texts(&[("node", "node-1"), ("", ""), ("description", "\"quoted\"\n\u{1f4a5} \u{0}")])),
        details: Some(BTreeMap::new()),
        ttl_strategy: Some(TtlStrategy {
            seconds_after_completion: Some(0),
            seconds_after_success: Some(127),
            seconds_after_failure: Some(i32::MAX),
            seconds_after_no_ops: Some(-1),
        }),
        fingerprint: Some("fd525cbbc2548717".into()),
        starts_at: at(1_763_856_000_123_456_789),
    };
    let ops_status = OpsStatus {
        start_time: at(1),
        completion_time: at(1_763_856_000_000_000_000),
        alert_ops_status: Some(AlertOpsStatus::Failed),
        trigger_status: Some(TriggerStatus::Triggered),
        total: Some(3),
        active: Some(0),
        succeeded: Some(1),
        failed: Some(2),
    };
    let action = ActionStatus {
        phase: AlertStatus::Resolved,
        attempt: 2,
        check: true,
        kind: "Workflow".into(),
        name: "w".into(),
        salt: 1,
        uid: Some("uid-w".into()),
        rule: "monitoring/r".into(),
        template: "monitoring/t".into(),
        status: Some(AlertOpsStatus::Failed),
        reason: Some("WorkflowFailed".into()),
        message: Some("exit code 1".into()),
        start_time: at(2),
        completion_time: at(3),
        verification: Some(VerificationStatus::Failed),
    };
    let condition = Condition {
        type_: "PickedUp".into(),
        status: "False".into(),
        reason: Some("NotPickedUp".into()),
        message: Some("nobody".into()),
        last_transition_time: at(4),
        last_probe_time: at(-5),
        observed_generation: Some(i64::MIN),
    };
    let status = AegisAlertStatus {
        conditions: vec![condition.clone(), Condition::default()],
        ops_status: Some(ops_status),
        status: Some(AlertStatus::Firing),
        count: Some(i64::MAX),
        start_time: at(6),
        last_time: at(7),
        last_starts_at: at(8),
        resolution: Some(Resolution { starts_at: at(9), ends_at: at(10), time: at(11) }),
        superseded_by: Some("another".into()),
        rule: Some(RuleChoice {
            namespace: "monitoring".into(),
            name: "r".into(),
            why: "the only rule that matches".into(),
            others: vec!["monitoring/a".into(), "monitoring/b".into()],
        }),
        verdict: Some(VerdictStatus {
            reason: "Stale".into(),
            message: "it is old".into(),
            next_try: at(12),
            gate: Some("stale".into()),
            others: vec![GateRefusal { gate: "pause".into(), reason: "Paused".into(), message: "by hand".into() }],
            plan: Some("0123".into()),
        }),
        approval: Some(ApprovalStatus { plan: "0123".into(), by: vec!["ann".into()], time: at(13) }),
        actions: vec![action, ActionStatus::default()],
    };
    let metadata = json!({
        "name": "a", "namespace": "monitoring", "uid": "uid-a", "resourceVersion": "18446744073709551615",
        "generation": 3, "generateName": "a-", "creationTimestamp": "2026-11-22T10:00:00Z",
        "deletionTimestamp": "2026-11-22T11:00:00Z", "deletionGracePeriodSeconds": 0,
        "labels": {"node": "node-1", "example.com/team": "accelerators"}, "annotations": {},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true}],
        "finalizers": ["example.com/keep"],
    });
    AegisAlert { metadata: serde_json::from_value(metadata).unwrap(), spec, status: Some(status) }
}

fn through<K: Serialize + DeserializeOwned>(object: &K) -> K {
    let words = Words::default();
    let packed = words.pack(object).expect("it can be packed");
    words.unpack(&packed).expect("it can be unpacked")
}

#[test]
fn nothing_of_an_alert_is_lost() {
    assert_eq!(through(&full()), full());
    let bare = AegisAlert::default();
    assert_eq!(through(&bare), bare);
}

#[test]
fn nothing_of_a_workflow_or_a_job_is_lost() {
    let workflow: PartialObjectMeta<Workflow> = PartialObjectMeta { metadata: full().metadata, ..Default::default() };
    let back = through(&workflow);
    assert_eq!((back.metadata, back.types), (workflow.metadata, None));
    let status = json!({
        "active": 0, "failed": 2, "startTime": "2026-11-22T10:00:00Z",
        "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m",
                        "lastTransitionTime": "2026-11-22T10:00:01Z"}],
    });
    let job = Job { metadata: full().metadata, spec: None, status: serde_json::from_value(status).unwrap() };
    assert_eq!(through(&job), job);
}

#[test]
fn what_is_packed_is_a_fraction_of_its_json() {
    let words = Words::default();
    let mut alert = full();
    alert.trim();
    let json = serde_json::to_vec(&alert).unwrap();
    let packed = words.pack(&alert).unwrap();
    assert!(packed.0.len() * 4 < json.len() * 3, "{} of {} bytes", packed.0.len(), json.len());
}

#[test]
fn names_that_senders_choose_fill_no_memory_and_are_kept_all_the_same() {
    let words = Words::default();
    let many = |from: usize| -> BTreeMap<String, String> {
        (from..from + MOST_WORDS).map(|number| (format!("label{number}"), "v".to_owned())).collect()
    };
    for labels in [many(0), many(1_000_000), texts(&[("n".repeat(LONGEST_WORD + 1).as_str(), "v")])] {
        let packed = words.pack(&labels).unwrap();
        assert_eq!(words.unpack::<BTreeMap<String, String>>(&packed).unwrap(), labels);
    }
    let known = words.0.read().unwrap();
    assert!(known.words.len() == MOST_WORDS && known.words.iter().all(|word| word.len() <= LONGEST_WORD));
}

/// Any JSON, so any object that was read from JSON.
fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,200}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z./]{0,70}", inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_json_can_say_comes_back(values in proptest::collection::vec(json_values(), 1..4)) {
        let words = Words::default();
        let packed: Vec<Packed> = values.iter().map(|value| words.pack(value).unwrap()).collect();
        for (value, packed) in values.iter().zip(&packed) {
            prop_assert_eq!(&words.unpack::<Value>(packed).unwrap(), value);
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic(bytes in proptest::collection::vec(0_u8..12, 0..200)) {
        let words = Words::default();
        words.pack(&json!({"a": 1})).unwrap();
        let _ = words.unpack::<Value>(&Packed(bytes.into()));
    }
}
