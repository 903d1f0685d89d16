//! What a cache promises, whoever tells it what, in whatever order.

use aegis_crds::AegisAlert;
use aegis_crds::alert::AegisAlertSpec;

use super::*;

fn alert(name: &str, version: u64, fingerprint: &str) -> AegisAlert {
    let spec = AegisAlertSpec { fingerprint: Some(fingerprint.into()), ..Default::default() };
    let mut alert = AegisAlert::new(name, spec);
    alert.metadata.namespace = Some("monitoring".into());
    alert.metadata.resource_version = Some(version.to_string());
    alert.metadata.uid = Some(format!("uid-{name}"));
    alert
}

fn cache() -> Objects<AegisAlert> {
    Objects::new(vec![Some("monitoring".into())], Gauge::default())
}

fn names(found: &[Arc<AegisAlert>]) -> Vec<String> {
    found.iter().map(|alert| alert.name_any()).collect()
}

#[test]
fn an_older_version_never_replaces_a_newer_one() {
    let cache = cache();
    cache.insert(alert("a", 10, "new"));
    cache.applied(alert("a", 8, "old"));
    assert_eq!(names(&cache.of_fingerprint("new")), ["a"]);
    assert!(cache.of_fingerprint("old").is_empty());
    cache.applied(alert("a", 12, "newer"));
    assert!(cache.of_fingerprint("new").is_empty(), "the index follows");
    assert_eq!(names(&cache.of_fingerprint("newer")), ["a"]);
}

#[test]
fn a_write_that_the_watch_has_passed_does_not_bring_a_deleted_object_back() {
    let cache = cache();
    cache.seen(0, 11);
    cache.insert(alert("a", 10, "f"));
    assert!(cache.is_empty(), "the watch has told of its deletion already");
    cache.insert(alert("a", 12, "f"));
    assert_eq!(cache.len(), 1, "the watch has not come so far");
}

#[test]
fn a_late_deletion_does_not_take_the_object_that_came_after_it() {
    let cache = cache();
    cache.insert(alert("a", 20, "f"));
    cache.gone(&Key::new("monitoring", "a"), 15);
    assert_eq!(cache.len(), 1);
    cache.gone(&Key::new("monitoring", "a"), 21);
    assert!(cache.is_empty() && cache.of_fingerprint("f").is_empty());
}

#[test]
fn after_a_list_only_what_it_named_or_what_was_written_later_is_left() {
    let cache = cache();
    for (name, version) in [("named", 5), ("gone", 6), ("later", 30)] {
        cache.insert(alert(name, version, "f"));
    }
    assert!(!cache.is_behind(0, 20));
    cache.list_ended(0, 20, &[Key::new("monitoring", "named")].into());
    assert_eq!(names(&cache.of_fingerprint("f")), ["later", "named"]);
}

#[test]
fn a_server_put_back_to_an_earlier_state_is_believed() {
    let cache = cache();
    cache.applied(alert("a", 100, "f"));
    cache.seen(0, 100);
    assert!(cache.is_behind(0, 50) && !cache.is_behind(0, 50));
    cache.applied(alert("a", 40, "g"));
    cache.list_ended(0, 50, &[Key::new("monitoring", "a")].into());
    assert_eq!(names(&cache.of_fingerprint("g")), ["a"]);
}

#[test]
fn an_object_is_forgotten_only_by_its_own_uid() {
    let cache = cache();
    cache.insert(alert("a", 1, "f"));
    cache.remove_if("monitoring", "a", "another");
    assert_eq!(cache.len(), 1);
    cache.remove_if("monitoring", "a", "uid-a");
    assert!(cache.is_empty());
}

fn is_packed(cache: &Objects<AegisAlert>, name: &str) -> bool {
    matches!(cache.read().entries[&Key::new("monitoring", name)].held, Held::Packed(_))
}

#[tokio::test]
async fn what_did_not_change_for_a_round_is_packed_and_found_as_it_was() {
    let cache = cache();
    cache.applied(alert("a", 1, "f"));
    cache.settle().await;
    cache.insert(alert("a", 2, "f"));
    cache.settle().await;
    assert!(!is_packed(&cache, "a"), "it changed since the last round");
    cache.settle().await;
    assert!(is_packed(&cache, "a"));
    let want = alert("a", 2, "f");
    assert_eq!(*cache.get("monitoring", "a").unwrap(), want);
    assert_eq!(cache.of_fingerprint("f").iter().map(Arc::as_ref).collect::<Vec<_>>(), [&want]);
    assert_eq!(cache.all().map(|alert| (*alert).clone()).collect::<Vec<_>>(), [want]);
    assert!(is_packed(&cache, "a"), "being looked at does not unpack it for good");
    cache.applied(alert("a", 1, "older"));
    assert!(is_packed(&cache, "a") && cache.of_fingerprint("older").is_empty());
    cache.applied(alert("a", 3, "g"));
    assert!(!is_packed(&cache, "a"), "something happens to it again");
    assert!(cache.of_fingerprint("f").is_empty() && cache.of_fingerprint("g").len() == 1);
}

#[test]
fn what_was_listed_is_packed_at_once() {
    let cache = cache();
    cache.listed(alert("a", 1, "f"));
    assert!(is_packed(&cache, "a"));
    cache.insert(alert("a", 2, "g"));
    cache.listed(alert("a", 2, "g"));
    assert!(!is_packed(&cache, "a"), "a list that tells nothing new changes nothing");
    cache.listed(alert("a", 3, "g"));
    cache.remove_if("monitoring", "a", "another");
    assert_eq!(cache.len(), 1, "its UID is known when it is packed, too");
    cache.remove_if("monitoring", "a", "uid-a");
    assert!(cache.is_empty() && cache.of_fingerprint("g").is_empty());
}

#[tokio::test]
async fn packing_tells_nobody_of_a_change() {
    let cache = cache();
    cache.applied(alert("a", 1, "f"));
    let mut changes = cache.subscribe();
    assert!(changes.try_next().is_some());
    for _ in 0..3 {
        cache.settle().await;
    }
    assert!(is_packed(&cache, "a") && changes.try_next().is_none());
}

#[test]
fn two_index_values_of_one_hash_are_told_apart() {
    let cache = cache();
    cache.insert(alert("a", 1, "f"));
    cache.insert(alert("b", 2, "g"));
    cache.write().index.add(hash("f"), Key::new("monitoring", "b"));
    assert_eq!(names(&cache.of_fingerprint("f")), ["a"]);
}

#[test]
fn the_places_beside_an_object_are_those_of_its_index_value() {
    let cache = cache();
    for (name, fingerprint) in [("a", "f"), ("b", "f"), ("c", "g")] {
        cache.listed(alert(name, 1, fingerprint));
    }
    assert_eq!(cache.beside(&Key::new("monitoring", "a")), [Key::new("monitoring", "b")]);
    assert!(cache.beside(&Key::new("monitoring", "c")).is_empty());
    assert!(cache.beside(&Key::new("monitoring", "none")).is_empty());
}

#[tokio::test]
async fn a_subscriber_gets_what_is_there_and_every_change_once() {
    let cache = cache();
    cache.insert(alert("a", 1, "f"));
    let mut changes = cache.subscribe();
    cache.insert(alert("b", 2, "f"));
    cache.insert(alert("a", 3, "f"));
    assert_eq!(&*changes.next().await.name, "a", "changed twice, told once");
    assert_eq!(&*changes.next().await.name, "b");
    cache.gone(&Key::new("monitoring", "b"), 9);
    assert_eq!(&*changes.next().await.name, "b", "a deletion is a change");
}

fn ended(name: &str, version: u64) -> AegisAlert {
    let status = serde_json::json!({"opsStatus": {"alertOpsStatus": "Succeeded", "active": 0}});
    let mut alert = alert(name, version, "f");
    alert.status = Some(serde_json::from_value(status).unwrap());
    alert
}

#[test]
fn what_has_something_to_do_still_comes_before_what_has_ended() {
    let cache = cache();
    for number in 0..20 {
        cache.listed(ended(&format!("ended{number}"), 5));
    }
    cache.listed(alert("new", 6, "f"));
    assert_eq!(&*cache.subscribe().try_next().unwrap().name, "new");
    assert_eq!(names(&cache.unfinished().collect::<Vec<_>>()), ["new"]);
    let key = Key::new("monitoring", "new");
    assert_eq!(cache.glance(&key), Some(Glance { version: 6, finished: false }));
    cache.applied(ended("new", 7));
    assert_eq!(cache.glance(&key), Some(Glance { version: 7, finished: true }), "it is judged anew with each version");
    assert_eq!(cache.unfinished().count(), 0);
}

#[test]
fn an_alert_has_ended_when_its_action_has_and_nothing_is_waited_for() {
    let cases = [
        (serde_json::json!(null), false, "nobody has looked at it"),
        (
            serde_json::json!({"opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": "Running"}}),
            false,
            "it runs",
        ),
        (serde_json::json!({"opsStatus": {"alertOpsStatus": "Succeeded", "active": 1}}), false, "another one runs"),
        (serde_json::json!({"opsStatus": {"alertOpsStatus": "Failed"}}), true, "as an earlier version tells it"),
        (
            serde_json::json!({"opsStatus": {"alertOpsStatus": "Failed", "active": 0},
                               "verdict": {"reason": "CoolDown", "message": "m"}}),
            false,
            "it waits to act again",
        ),
    ];
    for (status, want, why) in cases {
        let mut alert = alert("a", 1, "f");
        alert.status = serde_json::from_value(status).unwrap();
        assert_eq!(alert.is_finished(), want, "{why}");
        assert!(
            !want || !aegis_engine::plan::may_have_legacy_action(&alert),
            "what has ended is not looked through: {why}"
        );
    }
}
