//! Whole Workflows, played against pods that end as the test says; no client, no clock.

use std::time::Duration;

use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::advance::{Next, Past, advance};
use super::node::Phase;
use super::pod_view::{PodView, Pods};
use super::read;

mod ends;
mod flow;
mod refusals;

const BACKOFF: Duration = Duration::from_secs(60);

/// How the pods of a test end.
struct Ends(Box<dyn Fn(&Value) -> PodView>);

fn ok() -> PodView {
    prints("")
}

fn prints(result: &str) -> PodView {
    PodView::Ended { host: Some("n1".into()), exit_code: Some(0), result: Some(result.to_owned()), failure: None }
}

fn exits(code: i32) -> PodView {
    let failure = Some(format!("Error (exit code {code})"));
    PodView::Ended { host: Some("n1".into()), exit_code: Some(code), result: Some(String::new()), failure }
}

/// A pod whose script or first argument is "exit N" exits so; "print X" prints X; "hang" never ends.
fn as_told() -> Ends {
    Ends(Box::new(|pod| {
        let told = pod.pointer("/spec/containers/0/args/0").and_then(Value::as_str).unwrap_or_default();
        match told.split_once(' ') {
            Some(("exit", code)) => exits(code.parse().unwrap()),
            Some(("print", text)) => prints(text),
            _ if told == "hang" => PodView::Running { host: None },
            _ => ok(),
        }
    }))
}

fn workflow(spec: &str) -> DynamicObject {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": "w", "namespace": "ops", "uid": "u1", "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"team": "sre"}, "annotations": {"why": "test"}},
        "spec": spec,
    }))
    .unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000 + seconds).unwrap()
}

/// What came of a Workflow.
struct Played {
    last: Next,
    /// Each round's pods, by what they were told.
    rounds: Vec<Vec<String>>,
    pods: Vec<Value>,
}

impl Played {
    fn phase_of(&self, display: &str) -> Option<Phase> {
        self.last.nodes.values().find(|node| node.display_name == display).map(|node| node.phase)
    }

    fn message_of(&self, display: &str) -> Option<&str> {
        self.last.nodes.values().find(|node| node.display_name == display).and_then(|node| node.message.as_deref())
    }

    fn told(&self) -> Vec<String> {
        self.rounds.concat()
    }

    fn ended(&self) -> (Phase, Option<&str>) {
        assert!(self.last.finished.is_some(), "it has not ended: {:#?}", self.last.nodes);
        (self.last.phase, self.last.message.as_deref())
    }
}

fn told(pod: &Value) -> String {
    let container = pod.pointer("/spec/containers/0").unwrap();
    let words = |key: &str| -> Vec<String> {
        let items = container.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        items.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
    };
    [words("command"), words("args")].concat().join(" ")
}

/// Advances until it has ended, or nothing changes any more within `seconds`.
fn play(object: &DynamicObject, seconds: i64, ends: &Ends) -> Played {
    let workflow = read::workflow(object).unwrap();
    let (mut past, mut pods, mut rounds, mut made) = (Past::default(), Pods::new(), Vec::new(), Vec::new());
    let mut now = 0;
    loop {
        let next = advance(&workflow, &past, &pods, at(now), BACKOFF);
        let orders = next.orders.clone();
        assert_eq!(advance(&workflow, &past, &pods, at(now), BACKOFF), next, "the same input gives the same step");
        if !orders.is_empty() {
            rounds.push(orders.iter().map(|order| told(&order.pod)).collect());
        }
        for order in &orders {
            let view = if next.kills.contains(&order.name) { exits(137) } else { (ends.0)(&order.pod) };
            assert!(pods.insert(order.name.clone(), view).is_none(), "{} is made twice", order.name);
            made.push(order.pod.clone());
        }
        let settled = orders.is_empty() && past.nodes == next.nodes;
        let wait = next.look_again;
        past = Past { nodes: reread(&next), started: Some(next.started) };
        if next.finished.is_some() || (settled && (wait.is_none() || now >= seconds)) {
            return Played { last: next, rounds, pods: made };
        }
        if settled {
            now = wait.map_or(now + 1, |time| (time.as_second() - 1_000).max(now + 1));
        }
    }
}

/// The nodes as they come back from the API server.
fn reread(next: &Next) -> super::node::Nodes {
    let patch = next.patch("u1");
    serde_json::from_value(patch.pointer("/status/nodes").unwrap().clone()).unwrap()
}

/// Templates that most tests use: `do` runs what it is told, `say` prints it.
const DO: &str = "
- name: do
  inputs: {parameters: [{name: what, value: ok}]}
  container: {image: tools, command: [sh, -c], args: ['{{inputs.parameters.what}}']}
";

fn played(spec: &str) -> Played {
    play(&workflow(&format!("{spec}{DO}")), 3_600, &as_told())
}
