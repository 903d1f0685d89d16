//! Caches follow the API server through everything that happens to a watch.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aegis_controller::Metrics;
use aegis_controller::cache::{Alerts, Key, Objects, Options, Source};
use aegis_crds::AegisAlert;
use aegis_sandbox::{Action, Match, Rule, Sandbox, Verb, WatchBreak};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::core::{DeserializeGuard, GroupVersionKind};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::{NAMESPACE, crds, of_alerts, patiently};

struct Stage {
    sandbox: Sandbox,
    alerts: Alerts,
    metrics: Metrics,
    unreadable: Arc<Mutex<Vec<String>>>,
    _stop: tokio_util::sync::DropGuard,
}

async fn stage(crds: Vec<Value>) -> Stage {
    let options = aegis_sandbox::Options { crds, argo: false, ..Default::default() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let (stop, metrics) = (CancellationToken::new(), Metrics::new());
    let unreadable = Arc::new(Mutex::new(Vec::new()));
    let told = unreadable.clone();
    let options = Options {
        watch: Duration::from_secs(2),
        on_invalid: Some(Arc::new(move |invalid| {
            told.lock().unwrap().push(invalid.metadata.name.clone().unwrap());
        })),
    };
    let api: Api<DeserializeGuard<AegisAlert>> = Api::namespaced(sandbox.client_as("cache"), NAMESPACE);
    let alerts = Objects::start(vec![Source::from(api)], &options, &metrics, &stop);
    Stage { sandbox, alerts, metrics, unreadable, _stop: stop.drop_guard() }
}

impl Stage {
    async fn create(&self, name: &str) {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("aegis.io", "v1alpha1", "AegisAlert"));
        let api: Api<DynamicObject> = Api::namespaced_with(self.sandbox.client(), NAMESPACE, &kind);
        let mut alert = DynamicObject::new(name, &kind);
        alert.data = json!({"spec": {"type": "A", "status": "Firing", "involvedObject": {}, "fingerprint": "f"}});
        if name.starts_with("odd") {
            alert.data["spec"]["type"] = json!(7);
        }
        api.create(&PostParams::default(), &alert).await.unwrap();
    }

    async fn delete(&self, name: &str) {
        let api: Api<AegisAlert> = Api::namespaced(self.sandbox.client(), NAMESPACE);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn until_held(&self, names: &[&str]) {
        let mut changes = self.alerts.subscribe();
        let held = || {
            let all = self.alerts.all();
            let mut held: Vec<String> = all.map(|alert| alert.metadata.name.clone().unwrap()).collect();
            held.sort();
            held
        };
        patiently(&format!("the cache holds {names:?}"), async {
            while held() != names {
                changes.next().await;
            }
        })
        .await;
    }
}

fn watches() -> Match {
    of_alerts(Verb::Watch)
}

#[tokio::test]
async fn a_cache_follows_through_every_break_of_its_watch() {
    let stage = stage(crds()).await;
    patiently("the cache is filled", stage.alerts.until_ready()).await;
    let mut names = Vec::new();
    for (number, how) in
        [WatchBreak::Cut, WatchBreak::End, WatchBreak::Expire, WatchBreak::Freeze].into_iter().enumerate()
    {
        patiently("the watch is open", async {
            while stage.sandbox.faults().break_watches(&watches(), how) == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let name = format!("a{number}");
        stage.create(&name).await;
        names.push(name);
        stage.until_held(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    stage.sandbox.compact();
    stage.sandbox.faults().break_watches(&watches(), WatchBreak::End);
    stage.delete("a0").await;
    stage.until_held(&["a1", "a2", "a3"]).await;
}

#[tokio::test]
async fn a_cache_is_filled_when_its_first_lists_fail() {
    let sandbox_trouble = [Action::Status(500, None), Action::Status(403, None), Action::Reset];
    for action in sandbox_trouble {
        let stage = stage(Vec::new()).await;
        stage.sandbox.faults().add(Rule::new(of_alerts(Verb::List), action).times(2));
        install(&stage).await;
        stage.create("a").await;
        stage.until_held(&["a"]).await;
        patiently("the cache is filled", stage.alerts.until_ready()).await;
    }
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_an_empty_cache_until_it_is() {
    let stage = stage(Vec::new()).await;
    patiently("the cache is ready", stage.alerts.until_ready()).await;
    assert!(stage.alerts.is_empty());
    install(&stage).await;
    stage.create("a").await;
    stage.until_held(&["a"]).await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_told_once_and_keeps_nobody_else_out() {
    let mut lenient = crds();
    lenient[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let stage = stage(lenient).await;
    for name in ["a", "odd", "b"] {
        stage.create(name).await;
    }
    stage.until_held(&["a", "b"]).await;
    stage.sandbox.compact();
    stage.sandbox.faults().break_watches(&watches(), WatchBreak::Expire);
    stage.create("c").await;
    stage.until_held(&["a", "b", "c"]).await;
    assert_eq!(*stage.unreadable.lock().unwrap(), ["odd"], "it came with two lists or events, and was told once");
    let page = stage.metrics.text().unwrap();
    assert!(page.contains("aegis_cache_unreadable_objects{kind=\"AegisAlert\"} 1"), "{page}");
    assert!(page.contains("aegis_cache_objects{kind=\"AegisAlert\"} 3"), "{page}");
    stage.delete("odd").await;
    patiently("it is forgotten", async {
        while !stage.metrics.text().unwrap().contains("aegis_cache_unreadable_objects{kind=\"AegisAlert\"} 0") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_refresh_shows_what_a_frozen_watch_hides() {
    let stage = stage(crds()).await;
    patiently("the cache is filled", stage.alerts.until_ready()).await;
    stage.create("a").await;
    stage.until_held(&["a"]).await;
    assert_eq!(stage.sandbox.faults().break_watches(&watches(), WatchBreak::Freeze), 1);
    stage.create("b").await;
    stage.delete("a").await;
    patiently("it is listed again", stage.alerts.refresh()).await;
    let held: Vec<Key> = stage.alerts.all().map(|alert| Key::of(&*alert)).collect();
    assert_eq!(held, [Key::new(NAMESPACE, "b")]);
}

#[tokio::test]
async fn a_refresh_waits_for_a_list_that_succeeds() {
    let stage = stage(crds()).await;
    patiently("the cache is filled", stage.alerts.until_ready()).await;
    let fault = stage.sandbox.faults().add(Rule::new(of_alerts(Verb::List), Action::Status(500, None)).times(2));
    stage.create("a").await;
    patiently("it is listed again", stage.alerts.refresh()).await;
    assert_eq!(fault.hits(), 2);
    assert!(stage.alerts.get(NAMESPACE, "a").is_some());
}

#[tokio::test]
async fn a_list_that_no_longer_counts_is_given_up() {
    let stage = stage(crds()).await;
    patiently("the cache is filled", stage.alerts.until_ready()).await;
    stage.create("a").await;
    let fault = stage.sandbox.faults().add(Rule::new(of_alerts(Verb::List), Action::Hang).times(1));
    stage.sandbox.requests().reset();
    let again = async {
        patiently("the list is asked for", fault.reached(1)).await;
        // As a controller does that begins to lead: what was asked for before does not count.
        stage.alerts.refresh().await;
    };
    patiently("both have what they asked for", async { tokio::join!(stage.alerts.refresh(), again) }).await;
    assert_eq!(stage.alerts.len(), 1);
    assert_eq!(stage.sandbox.requests().count(&of_alerts(Verb::List)), 2);
}

#[tokio::test]
async fn what_only_kubectl_uses_is_not_held() {
    let stage = stage(crds()).await;
    stage.create("a").await;
    stage.until_held(&["a"]).await;
    let held = stage.alerts.get(NAMESPACE, "a").unwrap();
    assert_eq!(held.metadata.managed_fields, None);
    assert!(held.metadata.uid.is_some() && held.metadata.resource_version.is_some());
}

async fn install(stage: &Stage) {
    let api: Api<CustomResourceDefinition> = Api::all(stage.sandbox.client());
    for crd in aegis_crds::definitions() {
        api.create(&PostParams::default(), &crd).await.unwrap();
    }
}
