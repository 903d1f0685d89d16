//! What manifest/deploy gives the controller is what it needs: the roles grant every request of a whole life, and
//! nothing that is never asked for; the Deployment sets what the controller reads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use aegis_controller::Settings;
use aegis_sandbox::agent::SimulatorOptions;
use aegis_sandbox::{Action, Entry, Match, Options, Rule, Verb};
use clap::CommandFactory;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, Pod};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use common::objects::{self, seed_alert, seed_resolved, seed_rule, seed_template};
use common::{COMPONENT, Cluster, Controller, NAMESPACE, options, reads, settings, until};

/// Granted though the life below has no use for it; each with the reason. Nothing is at present.
const UNUSED: [(&str, &str); 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_grant_what_the_controller_asks_for_and_nothing_else() {
    let log = whole_life().await;
    let grants = grants();
    let asked: BTreeSet<Asked> = log.iter().filter_map(Asked::of).collect();
    let refused: Vec<String> =
        asked.iter().filter(|asked| !grants.iter().any(|grant| grant.covers(asked))).map(ToString::to_string).collect();
    assert_eq!(refused, [] as [&str; 0], "asked for, and not granted by manifest/deploy/controller-role.yaml");
    let idle: Vec<String> = grants
        .iter()
        .filter(|grant| !asked.iter().any(|asked| grant.covers(asked)))
        .map(ToString::to_string)
        .filter(|grant| !UNUSED.iter().any(|(known, _)| known == grant))
        .collect();
    assert_eq!(idle, [] as [&str; 0], "granted by manifest/deploy/controller-role.yaml, and never asked for");
}

#[test]
fn the_roles_are_bound_to_the_account_that_the_deployment_runs_as() {
    let deployment = of_kind("Deployment").remove(0);
    let account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
    for (binding, role) in [("RoleBinding", "Role"), ("ClusterRoleBinding", "ClusterRole")] {
        let binding = of_kind(binding).into_iter().find(|binding| binding["metadata"]["name"] == "aegis").unwrap();
        assert_eq!(binding["roleRef"]["kind"], role);
        assert_eq!(binding["subjects"][0]["name"], *account);
        assert!(of_kind(role).iter().any(|role| role["metadata"]["name"] == binding["roleRef"]["name"]));
    }
    assert!(of_kind("ServiceAccount").iter().any(|known| known["metadata"]["name"] == *account));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_sets_and_probes_what_the_controller_knows() {
    let deployment = of_kind("Deployment").remove(0);
    let pod = &deployment["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let command = Settings::command();
    let known: BTreeSet<&str> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(known.contains(name), "{name} is none of the controller's variables");
    }
    let arguments = container["args"].as_array().cloned().unwrap_or_default();
    let arguments = arguments.iter().map(|argument| argument.as_str().unwrap().to_owned());
    let port = Settings::from_arguments(["aegis-controller".to_owned()].into_iter().chain(arguments)).unwrap().listen();
    assert_eq!(container["ports"][0]["containerPort"], port.port());
    for (selector, what) in [
        (&deployment["spec"]["selector"]["matchLabels"], "Deployment"),
        (&of_kind("Service")[0]["spec"]["selector"], "Service"),
        (&of_kind("PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"], "PodDisruptionBudget"),
        (&of_kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"], "NetworkPolicy"),
    ] {
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(pod["metadata"]["labels"][key], *value, "the {what} selects the pods");
        }
    }

    let cluster = Cluster::start().await;
    let controller = Controller::start(&cluster).await;
    for probe in ["readinessProbe", "livenessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        let answer = reqwest::get(format!("{}{path}", controller.url())).await.unwrap();
        assert_eq!(answer.status(), 200, "{probe} {path}");
    }
}

/// Everything that a controller does from its start to its stop, once; the log of all requests.
async fn whole_life() -> Vec<Entry> {
    let cluster = Cluster::with(unchecked()).await;
    let faults = cluster.sandbox.faults();
    let ours = |verb: Verb, resource: &str| Match::any().component(COMPONENT).verb(verb).resource(resource);
    namespace_with_pod(&cluster).await;
    cluster.apply(seed_rule()).await;
    cluster.apply(seed_template()).await;
    cluster.apply(objects::rule("job", "NeedsJob", "job")).await;
    cluster.apply(objects::template("job", objects::JOB_MANIFEST)).await;

    let mut brief = settings();
    brief.alert.ttl_after_success = Duration::from_secs(1);
    // Nobody has written a policy.
    cluster.guards().delete("aegis", &Default::default()).await.unwrap();
    let leader = Controller::with(&cluster, brief.clone()).await;
    until("rules, templates and the policy that was made are recorded", async || {
        let policies = cluster.guards().list(&Default::default()).await.unwrap().items;
        let rules = cluster.rules().list(&Default::default()).await.unwrap().items;
        let templates = cluster.templates().list(&Default::default()).await.unwrap().items;
        let mut words: Vec<_> = rules.into_iter().map(|rule| rule.status.and_then(|status| status.status)).collect();
        words.extend(templates.into_iter().map(|template| template.status.and_then(|status| status.status)));
        words.push(policies.into_iter().find_map(|policy| policy.status?.status));
        if words.iter().all(|word| word.as_deref() == Some("Recorded")) { Ok(()) } else { Err(words) }
    })
    .await;

    // A rule and a template count an ending; somebody else wrote them in between.
    for resource in ["aegisalertopsrules", "aegisopstemplates"] {
        faults.add(Rule::new(ours(Verb::Patch, resource), Action::Status(409, None)).times(1));
    }
    // Another leader takes a place at the same time; and the action cordons its node.
    faults.add(Rule::new(ours(Verb::Patch, "aegisguards"), Action::Status(409, None)).times(1));
    leader.send("/default/alert", seed_alert()).await;
    let workflow = until("the action is made", async || cluster.all_workflows().await.pop().ok_or(())).await;
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.cordon("dev1").await.unwrap();
    cluster.set_phase(&workflow.name_any(), "Succeeded", "").await;
    {
        let _well = cluster.simulate(SimulatorOptions::default());
        ended(&cluster, "NodeHasEmergencyEvent", "Succeeded").await;
        until("the ending is counted on both", async || {
            let rule = cluster.rules().get("nodehasemergencyevent").await.unwrap().status.unwrap().trigger_status;
            let template = cluster.templates().get("nodehasemergencyevent").await.unwrap().status.unwrap();
            let counted = [rule, template.execute_status].map(|tally| tally.and_then(|tally| tally.succeeded));
            if counted == [Some(1), Some(1)] { Ok(()) } else { Err(counted) }
        })
        .await;
        // Its time to live is over a second after it was resolved: it is deleted.
        leader.send("/default/alert", seed_resolved()).await;
        until("the alert is gone", async || match cluster.all_alerts().await {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        })
        .await;

        // Somebody else writes the Job before the controller lets go of it.
        faults.add(Rule::new(ours(Verb::Patch, "jobs"), Action::Status(409, None)).times(1));
        leader.send("/default/alert", objects::alert("NeedsJob", "Firing", "job")).await;
        ended(&cluster, "NeedsJob", "Succeeded").await;
        let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), NAMESPACE);
        until("the Job is let go", async || {
            let jobs = jobs.list(&Default::default()).await.unwrap().items;
            let kept = jobs.iter().any(|job| job.finalizers().iter().any(|name| name == "aegis.io/outcome"));
            if !jobs.is_empty() && !kept { Ok(()) } else { Err(jobs) }
        })
        .await;
    }
    {
        let _badly = cluster.simulate(SimulatorOptions { failing: 1.0, ..SimulatorOptions::default() });
        // Somebody else writes the alert between the decision and its status.
        faults.add(Rule::new(ours(Verb::Patch, "aegisalerts"), Action::Status(409, None)).times(1));
        let pod = json!({
            "type": "NodeHasEmergencyEventOfPod", "status": "Firing", "fingerprint": "pod",
            "involvedObject": {"kind": "Pod", "namespace": "prod", "name": "web-0"}, "details": {"node": "dev1"},
        });
        leader.send("/default/alert", pod).await;
        let alert = ended(&cluster, "NodeHasEmergencyEventOfPod", "Failed").await;
        assert_eq!(alert.spec.involved_object.node, "dev1", "the Pod's node was looked up");
    }

    // Two rejections, the second after the list of the first is stored.
    let list: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    for (count, type_) in [(1, "One"), (2, "Other")] {
        let (code, _) = leader.post("/default/alert", json!({"type": type_})).await;
        assert_eq!(code, 400);
        until("the rejection is listed", async || {
            let list = list.get_opt("aegis-rejected").await.unwrap().and_then(|list| list.data);
            let entries = list.map(|data| serde_json::from_str::<Vec<Value>>(&data["rejected.json"]).unwrap());
            if entries.as_ref().is_some_and(|entries| entries.len() == count) { Ok(()) } else { Err(entries) }
        })
        .await;
    }
    until("the Pod is told", async || {
        let events = cluster.events_on("Pod").await;
        if events.iter().any(|(reason, _)| reason == "ActionFailed") { Ok(()) } else { Err(events) }
    })
    .await;

    // Whoever comes next finds the same rule unreadable, and the Event that says so there already.
    cluster.apply(unreadable_rule()).await;
    told(&cluster, 1).await;
    leader.stop().await;
    let next = Controller::with(&cluster, brief).await;
    told(&cluster, 2).await;
    next.stop().await;
    cluster.sandbox.requests().entries()
}

/// A Pod that runs on dev1, in a namespace that the controller has no Role in.
async fn namespace_with_pod(cluster: &Cluster) {
    let parameters = PostParams::default();
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "prod"}})).unwrap();
    namespaces.create(&parameters, &namespace).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "prod");
    let pod = json!({
        "metadata": {"name": "web-0"},
        "spec": {"nodeName": "dev1", "containers": [{"name": "web", "image": "web"}]},
    });
    pods.create(&parameters, &serde_json::from_value(pod).unwrap()).await.unwrap();
}

/// The newest alert of that type, once its action ended so.
async fn ended(cluster: &Cluster, type_: &str, ops: &str) -> aegis_crds::AegisAlert {
    until(&format!("{type_} {ops}"), async || {
        let alerts = cluster.all_alerts().await;
        let found = alerts.iter().find(|alert| alert.spec.type_ == type_ && reads(alert).1 == ops).cloned();
        found.ok_or(alerts)
    })
    .await
}

/// As a definition of an earlier version has it, which checks nothing: a rule may be stored that cannot be read.
fn unchecked() -> Options {
    let mut options = options();
    let rules = options.crds.iter_mut().find(|crd| crd["spec"]["names"]["kind"] == "AegisAlertOpsRule").unwrap();
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    rules["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = open;
    options
}

fn unreadable_rule() -> Value {
    let mut rule = objects::rule("odd", "Odd", "odd");
    rule["spec"]["priority"] = json!("high");
    rule
}

/// Waits until somebody was told so often that the rule cannot be read.
async fn told(cluster: &Cluster, times: i32) {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    until(&format!("an Event that was told {times} times"), async || {
        let events = events.list(&Default::default()).await.unwrap().items;
        let event = events.into_iter().find(|event| event.reason.as_deref() == Some("Unreadable"));
        if event.as_ref().is_some_and(|event| event.count == Some(times)) { Ok(()) } else { Err(event) }
    })
    .await;
}

/// A request as an authorizer sees it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    verb: String,
    group: String,
    /// With its subresource.
    resource: String,
    namespace: String,
    name: String,
}

impl Asked {
    /// `None` for discovery, which the role system:discovery grants to everybody, and for others' requests.
    fn of(entry: &Entry) -> Option<Self> {
        let request = &entry.request;
        if request.component != COMPONENT {
            return None;
        }
        if request.verb == Verb::Other {
            assert!(request.resource.starts_with("/api"), "only discovery is free: {request:?}");
            return None;
        }
        let resource = match request.subresource.as_str() {
            "" => request.resource.clone(),
            subresource => format!("{}/{subresource}", request.resource),
        };
        // The API server authorizes a request for a namespace itself as one inside of that namespace.
        let namespace = if request.resource == "namespaces" { &request.name } else { &request.namespace };
        Some(Self {
            verb: request.verb.to_string(),
            group: request.group.clone(),
            resource,
            namespace: namespace.clone(),
            name: request.name.clone(),
        })
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, namespace, name } = self;
        write!(f, "{verb} {group}/{resource} {name:?} in {namespace:?}")
    }
}

/// One verb on one resource, granted in the namespace of the Role, or everywhere.
struct Grant {
    verb: String,
    group: String,
    resource: String,
    names: Vec<String>,
    everywhere: bool,
}

impl Grant {
    fn covers(&self, asked: &Asked) -> bool {
        (&self.verb, &self.group, &self.resource) == (&asked.verb, &asked.group, &asked.resource)
            && (self.everywhere || asked.namespace == NAMESPACE)
            && (self.names.is_empty() || self.names.contains(&asked.name))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, everywhere, .. } = self;
        write!(f, "{verb} {group}/{resource} {}", if *everywhere { "everywhere" } else { "in the namespace" })
    }
}

/// Everything that the roles called aegis grant.
fn grants() -> Vec<Grant> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut grants = Vec::new();
    for kind in ["Role", "ClusterRole"] {
        for role in of_kind(kind).iter().filter(|role| role["metadata"]["name"] == "aegis") {
            for rule in role["rules"].as_array().unwrap() {
                for group in words(&rule["apiGroups"]) {
                    for resource in words(&rule["resources"]) {
                        for verb in words(&rule["verbs"]) {
                            grants.push(Grant {
                                verb,
                                group: group.clone(),
                                resource: resource.clone(),
                                names: words(&rule["resourceNames"]),
                                everywhere: kind == "ClusterRole",
                            });
                        }
                    }
                }
            }
        }
    }
    assert!(!grants.is_empty());
    grants
}

/// The objects of that kind in manifest/deploy.
fn of_kind(kind: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifest/deploy");
    let mut found = Vec::new();
    for file in ["controller-role.yaml", "deployment.yaml"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        found.extend(documents.into_iter().filter(|document| document["kind"] == kind));
    }
    found
}
