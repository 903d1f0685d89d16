//! Whatever happens, and wherever a watcher is interrupted: it sees every version it should, in order, and ends with
//! the state that a list shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use aegis_sandbox::{Action, Match, Options, Rule, Sandbox, Verb, WatchBreak};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use proptest::prelude::*;
use serde_json::json;

/// One write to one of a few objects; the label decides whether the watcher's selector picks the object.
#[derive(Debug, Clone)]
enum Write {
    Put { object: u8, selected: bool, value: u8 },
    Delete { object: u8 },
    Compact,
}

/// How the watcher is interrupted, after so many events.
type Break = (usize, WatchBreak);

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let write = prop_oneof![
        6 => (0_u8..4, any::<bool>(), any::<u8>()).prop_map(|(object, selected, value)| Write::Put { object, selected, value }),
        2 => (0_u8..4).prop_map(|object| Write::Delete { object }),
        1 => Just(Write::Compact),
    ];
    proptest::collection::vec(write, 1..40)
}

fn breaks() -> impl Strategy<Value = Vec<Break>> {
    let how = prop_oneof![Just(WatchBreak::Cut), Just(WatchBreak::End), Just(WatchBreak::Expire)];
    proptest::collection::vec((0_usize..6, how), 0..6)
}

/// What the selection holds after each write that touched it: name to value.
type State = BTreeMap<String, String>;

/// The events that a watcher of the selection is to see, each as the change it makes.
type Change = (String, Option<String>);

async fn carry_out(sandbox: &Sandbox, maps: &Api<ConfigMap>, writes: &[Write]) -> Vec<Change> {
    let mut objects: BTreeMap<String, (bool, String)> = BTreeMap::new();
    let mut changes = Vec::new();
    for write in writes {
        match write {
            Write::Put { object, selected, value } => {
                let (name, value) = (format!("o{object}"), value.to_string());
                let label = if *selected { "yes" } else { "no" };
                let body = json!({"metadata": {"name": name, "labels": {"selected": label}}, "data": {"value": value}});
                let before = objects.get(&name).cloned();
                if before.is_some() {
                    maps.patch(&name, &PatchParams::default(), &Patch::Merge(&body)).await.unwrap();
                } else {
                    maps.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
                }
                let now = (*selected, value.clone());
                match (before.as_ref().is_some_and(|(selected, _)| *selected), *selected) {
                    _ if before.as_ref() == Some(&now) => {}
                    (_, true) => changes.push((name.clone(), Some(value))),
                    (true, false) => changes.push((name.clone(), None)),
                    (false, false) => {}
                }
                objects.insert(name, now);
            }
            Write::Delete { object } => {
                let name = format!("o{object}");
                if let Some((selected, _)) = objects.remove(&name) {
                    maps.delete(&name, &DeleteParams::default()).await.unwrap();
                    if selected {
                        changes.push((name, None));
                    }
                }
            }
            Write::Compact => sandbox.compact(),
        }
    }
    changes
}

struct Seen {
    state: State,
    /// The changes told since the last list.
    told: Vec<Change>,
    /// How many of the changes to come the last list already held: unknown, so every split is tried.
    relisted: bool,
}

fn value(map: &ConfigMap) -> String {
    map.data.as_ref().and_then(|data| data.get("value")).cloned().unwrap_or_default()
}

/// Follows until it has seen the mark, going on from its last resourceVersion when interrupted and listing when expired.
async fn follow(maps: &Api<ConfigMap>) -> Seen {
    let selector = "selected=yes";
    let mut seen = Seen { state: State::new(), told: Vec::new(), relisted: false };
    let mut version = String::new();
    loop {
        if version.is_empty() {
            let list = maps.list(&ListParams::default().labels(selector)).await.unwrap();
            seen.state = list.items.iter().map(|map| (map.metadata.name.clone().unwrap(), value(map))).collect();
            seen.told.clear();
            version = list.metadata.resource_version.unwrap();
            if seen.state.contains_key("mark") {
                return seen;
            }
        }
        let params = WatchParams::default().labels(selector).timeout(30);
        let Ok(stream) = maps.watch(&params, &version).await else {
            continue;
        };
        let mut stream = stream.boxed();
        while let Some(Ok(event)) = stream.next().await {
            let (map, present) = match event {
                WatchEvent::Added(map) | WatchEvent::Modified(map) => (map, true),
                WatchEvent::Deleted(map) => (map, false),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => {
                    assert_eq!(status.code, 410);
                    version.clear();
                    seen.relisted = true;
                    break;
                }
            };
            let name = map.metadata.name.clone().unwrap();
            let new: u64 = map.metadata.resource_version.as_ref().unwrap().parse().unwrap();
            let old: u64 = version.parse().unwrap();
            assert!(new > old, "version {new} was told after {old}");
            version = new.to_string();
            if present {
                seen.state.insert(name.clone(), value(&map));
            } else {
                seen.state.remove(&name);
            }
            if name == "mark" {
                return seen;
            }
            seen.told.push((name, present.then(|| value(&map))));
        }
    }
}

async fn check(writes: Vec<Write>, breaks: Vec<Break>) {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let watches = Match::any().component("reader").verb(Verb::Watch);
    for (nth, (after, how)) in (1..).zip(&breaks) {
        sandbox.faults().add(Rule::new(watches.clone(), Action::Watch(*after, *how)).nth(nth));
    }
    let reader: Api<ConfigMap> = Api::namespaced(sandbox.client_as("reader"), "default");
    let writer: Api<ConfigMap> = Api::namespaced(sandbox.client_as("writer"), "default");
    // The reader begins before the first write, so that it is to see every one of them.
    let begin = reader.list(&ListParams::default()).await.unwrap();
    assert!(begin.items.is_empty());
    let following = tokio::spawn(async move { follow(&reader).await });
    while sandbox.faults().open_watches(&watches) == 0 && sandbox.requests().count(&watches) == 0 {
        tokio::task::yield_now().await;
    }
    let changes = carry_out(&sandbox, &writer, &writes).await;
    let mark = json!({"metadata": {"name": "mark", "labels": {"selected": "yes"}}});
    writer.create(&PostParams::default(), &serde_json::from_value(mark).unwrap()).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(60), following).await.expect("the watcher hangs").unwrap();
    let list = writer.list(&ListParams::default().labels("selected=yes")).await.unwrap();
    let listed: State = list.items.iter().map(|map| (map.metadata.name.clone().unwrap(), value(map))).collect();
    assert_eq!(seen.state, listed, "the final state differs");
    // Since its last list the watcher was told every change, in order, none left out and none told twice.
    if seen.relisted {
        assert!(changes.ends_with(&seen.told), "told {:?} of {changes:?}", seen.told);
    } else {
        assert_eq!(seen.told, changes);
    }
    sandbox.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_watcher_that_goes_on_from_its_last_version_misses_nothing(writes in writes(), breaks in breaks()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(writes, breaks));
    }
}
