//! Recorded bodies, byte for byte, and what they leave in the cluster.

use aegis_crds::alert::AlertStatus;
use aegis_crds::names::{FINGERPRINT_LABEL, SOURCE_LABEL, STATUS_LABEL, TYPE_LABEL};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::world::{World, labels, status};

/// Recorded from a real Alertmanager: two firing node alerts in one group.
const TWO_NODES: &[u8] = include_bytes!("../../../engine/testdata/alertmanager-0.31-1.json");
/// Recorded too: a Pod's alert.
const POD: &[u8] = include_bytes!("../../../engine/testdata/alertmanager-0.31-2.json");
/// Recorded too: the first node resolved, with another startsAt than it fired with; the second still firing.
const MIXED: &[u8] = include_bytes!("../../../engine/testdata/alertmanager-0.31-3.json");
/// What the compatible system's guide posts with curl.
const CURL: [&[u8]; 2] = [
    include_bytes!("../../../engine/testdata/custom-1.json"),
    include_bytes!("../../../engine/testdata/custom-2.json"),
];

#[tokio::test]
async fn what_an_alertmanager_sends_is_stored_counted_and_resolved() {
    let world = World::new().await;
    let answer = world.post("/alertmanager/alert", TWO_NODES).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["stored", "stored"]));
    let answer = world.post("/alertmanager/alert", MIXED).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["resolved", "repeat"]));

    let stored = world.stored().await;
    let of = |node: &str| stored.iter().find(|alert| alert.spec.involved_object.name == node).unwrap();
    let (first, second) = (of("dev1"), of("dev2"));
    let resolution = status(first).resolution.unwrap();
    assert_eq!(status(first).status, Some(AlertStatus::Resolved));
    assert_eq!(resolution.ends_at, Some("2026-11-22T11:00:00Z".parse().unwrap()));
    assert_eq!((status(second).status, status(second).count), (Some(AlertStatus::Firing), Some(2)));
    assert_eq!(second.spec.details().unwrap()["description"], "Node dev2: \"quoted\" & <tag> ; $(id) `id` 中文");
    for (label, value) in [
        (SOURCE_LABEL, "alertmanager"),
        (TYPE_LABEL, "NodeHasEmergencyEvent"),
        (STATUS_LABEL, "Firing"),
        (FINGERPRINT_LABEL, "c223747b24aa2654"),
        ("severity", "critical"),
    ] {
        assert_eq!(labels(second).get(label).map(String::as_str), Some(value), "{label}");
    }
    assert!(!labels(second).contains_key("cluster"), "it would differ between clusters and is no label");
}

#[tokio::test]
async fn a_pods_alert_gets_its_node_from_the_pod_and_is_stored_without_it_too() {
    let world = World::new().await;
    let answer = world.post("/alertmanager/alert", POD).await;
    assert_eq!(answer.results(), ["stored"], "there is no such Pod");
    assert_eq!(world.only().await.spec.involved_object.node, "");

    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.client());
    let shop = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    namespaces.create(&PostParams::default(), &shop).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(world.client(), "shop");
    let pod = json!({
        "metadata": {"name": "web-0"},
        "spec": {"nodeName": "dev7", "containers": [{"name": "c", "image": "i"}]},
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let another = String::from_utf8(POD.to_vec()).unwrap().replace("b31659078725befb", "b31659078725bef0");
    world.post("/alertmanager/alert", another).await;
    let nodes: Vec<String> = world
        .stored()
        .await
        .into_iter()
        .map(|alert| alert.spec.involved_object.node)
        .filter(|n| !n.is_empty())
        .collect();
    assert_eq!(nodes, ["dev7"]);
}

#[tokio::test]
async fn what_curl_posts_as_a_form_is_an_alert() {
    let world = World::new().await;
    for (body, route) in CURL.into_iter().zip(["/default/alert", "/alert"]) {
        let answer = world.post(route, body).await;
        assert_eq!((answer.code, answer.results()), (200, vec!["stored"]), "{}", answer.body);
    }
    let mut stored = world.stored().await;
    stored.sort_by_key(|alert| alert.spec.type_.clone());
    let types: Vec<&str> = stored.iter().map(|alert| alert.spec.type_.as_str()).collect();
    assert_eq!(types, ["NodeHasEmergencyEvent", "NodeOutOfDiskSpace"], "one fingerprint, two types");
    assert!(stored[0].name_any().starts_with("default-nodehasemergencyevent-"));
    assert_eq!(stored[0].spec.details().unwrap()["startAt"], "2022021122", "an ordinary detail");
    assert_eq!(stored[0].spec.starts_at, None);
    assert!(stored.iter().all(|alert| alert.status.is_none()), "the first word on it is the reconciler's");
}
