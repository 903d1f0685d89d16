//! What the sender is told, row by row.

use aegis_controller::ingest::{REJECTED_CONFIGMAP, REJECTED_KEY, Rejection};
use aegis_sandbox::{Action, Match, Rule, Verb, When};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::world::{Builder, NAMESPACE, World, firing, of_alerts, over, patiently};

#[tokio::test]
async fn what_is_stored_or_was_there_or_asks_for_nothing_is_answered_with_200() {
    let world = World::new().await;
    let cases = [
        ("a new alert is stored", "/alert", firing("f1").to_string(), vec!["stored"]),
        ("it is there already", "/default/alert", firing("f1").to_string(), vec!["repeat"]),
        ("a list without alerts", "/alertmanager/alert", json!({"version": "4", "alerts": []}).to_string(), vec![]),
        ("a resolution ends it", "/alert", over("f1").to_string(), vec!["resolved"]),
        ("the same again, with nothing open", "/alert", over("f1").to_string(), vec!["nothing"]),
        ("a resolution of what nobody knows", "/alert", over("f2").to_string(), vec!["nothing"]),
    ];
    for (why, path, body, want) in cases {
        let answer = world.post(path, body).await;
        assert_eq!((answer.code, answer.results()), (200, want), "{why}: {}", answer.body);
        assert_eq!((&answer.body["code"], &answer.body["message"]), (&json!(200), &json!("")), "{why}");
    }
    let alert = world.only().await;
    assert_eq!(alert.metadata.name.as_deref().unwrap().len(), "default-nodehasemergencyevent-".len() + 13);
}

#[tokio::test]
async fn what_can_never_be_valid_is_named_counted_and_listed_and_the_rest_is_stored() {
    let world = World::new().await;
    let alert = |labels: serde_json::Value| json!({"status": "firing", "labels": labels, "fingerprint": "f"});
    let body = json!({"version": "4", "alerts": [
        alert(json!({"alertname": "NodeDown", "kind": "Node", "node": "n1"})),
        alert(json!({"alertname": "PodDown", "kind": "Pod", "pod": "p"})),
    ]});
    let answer = world.post("/alertmanager/alert", body.to_string()).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["stored", "rejected"]));
    let why = answer.body["results"][1]["message"].as_str().unwrap();
    assert!(why.contains("labels.namespace: found nothing, expected the Pod's namespace"), "{why}");
    world.only().await;
    let page = world.replicas[0].metrics.text().unwrap();
    assert!(page.contains("aegis_alerts_rejected_total{reason=\"Invalid\"} 1"), "{page}");

    let api: Api<ConfigMap> = Api::namespaced(world.client(), NAMESPACE);
    let list: Vec<Rejection> = patiently("the list is written", async {
        loop {
            if let Some(list) = api.get_opt(REJECTED_CONFIGMAP).await.unwrap() {
                return serde_json::from_str(&list.data.unwrap()[REJECTED_KEY]).unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!((list.len(), list[0].type_.as_deref(), list[0].count), (1, Some("PodDown"), 1));
    assert_eq!(list[0].message, why);
}

#[tokio::test]
async fn what_the_api_server_will_never_take_is_rejected_and_the_rest_is_stored() {
    for code in [400, 413, 422] {
        let world = World::new().await;
        world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), Action::Status(code, None)).nth(1));
        let answer = world.post("/alertmanager/alert", two_alerts()).await;
        let mut results = answer.results();
        results.sort_unstable();
        assert_eq!((answer.code, results), (200, vec!["rejected", "stored"]), "{code}");
        world.only().await;

        world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), Action::Status(code, None)).nth(1));
        let answer = world.post("/alert", firing("alone").to_string()).await;
        assert_eq!((answer.code, answer.results()), (400, vec!["rejected"]), "nothing else was in the body: {code}");
    }
}

#[tokio::test]
async fn what_cannot_be_stored_now_is_asked_for_again_and_then_stored() {
    let troubles = [
        ("401", Action::Status(401, None), When::Before),
        ("403", Action::Status(403, None), When::Before),
        ("404", Action::Status(404, None), When::Before),
        ("409 that is no name", Action::Status(409, None), When::Before),
        ("429", Action::Status(429, Some(7)), When::Before),
        ("500", Action::Status(500, None), When::Before),
        ("503", Action::Status(503, None), When::Before),
        ("504", Action::Status(504, None), When::Before),
        ("no answer", Action::Reset, When::Before),
        ("an answer that is lost after the commit", Action::Reset, When::After),
    ];
    for (why, action, when) in troubles {
        let world = World::new().await;
        let fault = world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), action).when(when).nth(1));
        let answer = world.post("/alertmanager/alert", two_alerts()).await;
        let mut results = answer.results();
        results.sort_unstable();
        assert_eq!(fault.hits(), 1);
        assert_eq!((answer.code, results), (503, vec!["stored", "unstored"]), "{why}: what is stored stays");
        let wait: u32 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(wait >= if why == "429" { 7 } else { 1 }, "{why}: {wait}");

        let answer = world.post("/alertmanager/alert", two_alerts()).await;
        assert_eq!(answer.code, 200, "{why}: {}", answer.body);
        assert_eq!(world.stored().await.len(), 2, "{why}");
    }
}

#[tokio::test]
async fn one_that_is_invalid_does_not_hide_one_that_could_not_be_stored() {
    let world = World::new().await;
    world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), Action::Status(500, None)));
    let body = json!({"version": "4", "alerts": [
        {"status": "firing", "labels": {"alertname": "A", "instance": "i"}},
        {"status": "perhaps", "labels": {"alertname": "B"}},
    ]});
    let answer = world.post("/alertmanager/alert", body.to_string()).await;
    assert_eq!((answer.code, answer.results()), (503, vec!["unstored", "rejected"]));
}

#[tokio::test]
async fn without_the_definition_or_the_namespace_it_is_503_until_they_are_there() {
    let world = Builder::default().crds(Vec::new()).start().await;
    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (503, vec!["unstored"]), "no definition: {}", answer.body);

    let world =
        Builder::default().settings(|settings| settings.alert.publish_namespace = "nowhere".into()).start().await;
    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (503, vec!["unstored"]), "no namespace: {}", answer.body);
    let namespaces: Api<Namespace> = Api::all(world.client());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "nowhere"}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (200, vec!["stored"]));
}

#[tokio::test]
async fn in_a_namespace_that_is_being_deleted_it_is_503() {
    let world = World::new().await;
    let holder = json!({"metadata": {"name": "holder", "finalizers": ["example.com/hold"]}});
    let maps: Api<ConfigMap> = Api::namespaced(world.client(), NAMESPACE);
    maps.create(&PostParams::default(), &serde_json::from_value(holder).unwrap()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(world.client());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await.unwrap();
    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (503, vec!["unstored"]));
    let why = answer.body["results"][0]["message"].as_str().unwrap();
    assert!(why.contains("403"), "{why}");
}

#[tokio::test]
async fn a_silent_api_server_is_not_waited_for_longer_than_the_sender_waits() {
    let world = World::new().await;
    let fault = world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), Action::Hang));
    let answer = world.post("/alert", firing("f").to_string()).await;
    assert_eq!((answer.code, answer.results()), (503, vec!["unstored"]));
    fault.remove();
    assert_eq!(world.post("/alert", firing("f").to_string()).await.code, 200);
    world.only().await;
}

#[tokio::test]
async fn a_full_queue_is_503_for_others_and_loses_nothing() {
    let world = Builder::default().settings(|settings| settings.http.queue = 1).start().await;
    let fault = world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), Action::Hang).nth(1));
    let (first, second) = tokio::join!(world.post("/alert", firing("f1").to_string()), async {
        fault.reached(1).await;
        let answer = world.post("/alert", firing("f2").to_string()).await;
        fault.release();
        answer
    });
    assert_eq!((first.code, second.code), (200, 503));
    assert!(second.headers.contains_key("retry-after"));
    assert_eq!(world.post("/alert", firing("f2").to_string()).await.code, 200, "the place was given back");
}

#[tokio::test]
async fn what_is_in_hand_at_the_stop_is_finished_and_nothing_more_is_taken_in() {
    let mut world = World::new().await;
    let fault = world.sandbox.faults().add(Rule::new(of_alerts(Verb::Create), Action::Hang).nth(1));
    let stop = world.replicas[0].stop.clone();
    let (answer, ()) = tokio::join!(world.post("/alert", firing("f1").to_string()), async {
        fault.reached(1).await;
        stop.cancel();
        fault.release();
    });
    assert_eq!((answer.code, answer.results()), (200, vec!["stored"]));
    world.stop_replicas().await;
    world.only().await;
}

#[tokio::test]
async fn what_nobody_can_read_is_400_and_told_why() {
    let world = World::new().await;
    let cases = [
        ("/alert", "", "body: found nothing"),
        ("/alert", "{", "body: found"),
        ("/alert", "[1]", "body: found a list"),
        ("/alertmanager/alert", r#"{"version":"4"}"#, "alerts: found nothing"),
        ("/alertmanager/alert", r#"{"alerts":7}"#, "alerts: found the number 7"),
    ];
    for (path, body, want) in cases {
        let answer = world.post(path, body).await;
        let message = answer.body["message"].as_str().unwrap();
        assert_eq!(answer.code, 400, "{body}");
        assert!(message.contains(want), "{body} says {message:?}, wanted {want:?}");
    }
    let answer = world.post("/alert", r#"{"type":"A"}"#).await;
    assert_eq!((answer.code, answer.results()), (400, vec!["rejected"]), "nothing in it is valid");
    assert!(world.stored().await.is_empty());
    let writes = world.sandbox.requests().count(&Match::any().resource("aegisalerts").writes());
    assert_eq!(writes, 0);
}

fn two_alerts() -> String {
    let alert = |name: &str| json!({"status": "firing", "labels": {"alertname": "Up", "kind": "Node", "node": name}});
    json!({"version": "4", "alerts": [alert("n1"), alert("n2")]}).to_string()
}
