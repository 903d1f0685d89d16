//! Many alerts, two leaders whose views lag, and one book: what the guard promises holds in every history of them.
//!
//! The leaders do what the controller's desk and driver do, request by request, and can stop dead after any of them,
//! also after one whose answer never came. Promises are checked against what stands in the API server whenever
//! something is committed, not against what a leader believes.

mod leader;
mod promises;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aegis_crds::guard::Claim;
use aegis_crds::names::{BEFORE_ANNOTATION, CHANGES_ANNOTATION, CHECK_LABEL};
use aegis_crds::{AegisAlert, AegisGuard};
use k8s_openapi::api::core::v1::Node;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::guard::changes::{self, Author, Picture};
use crate::guard::{Answer, Book, Guard, Line, NodeFacts, Place, Policy};

const NODES: usize = 4;
const ALERTS: usize = 6;
const ENOUGH: usize = 1000;

/// What stands in the API server, or what a leader has seen of it.
#[derive(Clone)]
struct State {
    alerts: Vec<Arc<AegisAlert>>,
    workflows: BTreeMap<String, Value>,
    guard: Arc<AegisGuard>,
    nodes: BTreeMap<String, Node>,
}

struct Leader {
    view: State,
    line: Line<usize>,
    woken: BTreeSet<usize>,
    /// When the desk looks again at those in line.
    again: Option<Timestamp>,
}

impl Leader {
    fn of(view: State) -> Self {
        Self { view, line: Line::default(), woken: BTreeSet::new(), again: None }
    }
}

struct World {
    truth: State,
    leaders: Vec<Leader>,
    base: Snapshot,
    now: i64,
    version: u64,
    /// Requests until the leader that works stops dead, and whether the answer to the last one is lost.
    left: usize,
    loses: bool,
    /// What happens between the next early look and the claim that it was taken beside.
    meanwhile: Vec<Event>,
}

/// The leader stopped dead.
struct Dead;

enum Ask<'a> {
    Nothing,
    Claim(&'a Request),
    Adopt(&'a Request),
    GiveBack(&'a GiveBack),
}

#[derive(Clone, Debug)]
enum Event {
    Wait(i64),
    Hear(usize),
    Resolve(usize),
    /// A Workflow comes to that phase; one that succeeds may have cordoned its node.
    Argo(usize, &'static str, bool),
    Cordon(usize, bool),
    Pause {
        recovery_too: bool,
    },
    Resume,
    Unfinished(i32),
    /// The watches bring what there is, but that of Workflows only if it is not behind the others.
    Refresh {
        leader: usize,
        workflows: bool,
    },
    Restart(usize),
    Work {
        leader: usize,
        alert: usize,
        requests: usize,
        loses: bool,
        /// What happens while it takes its first place.
        meanwhile: Vec<Event>,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let phase = prop_oneof![Just("Running"), Just("Succeeded"), Just("Succeeded"), Just("Failed")];
    let requests = prop_oneof![0..8_usize, Just(ENOUGH), Just(ENOUGH)];
    let argo =
        (0..8_usize, phase, any::<bool>()).prop_map(|(nth, phase, cordons)| Event::Argo(nth, phase, cordons)).boxed();
    // Of the other leader; people may do anything at any moment, and no look is late enough to see all of it.
    let step = prop_oneof![
        3 => (0..ALERTS).prop_map(|alert| work(1, alert, ENOUGH)),
        3 => argo.clone(),
        1 => Just(Event::Refresh { leader: 1, workflows: true }),
    ];
    let meanwhile = prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(step, 1..10)];
    let event = prop_oneof![
        3 => prop_oneof![1..20_i64, Just(70), Just(700), Just(4000), -90..0_i64].prop_map(Event::Wait),
        2 => (0..ALERTS).prop_map(Event::Hear),
        1 => (0..ALERTS).prop_map(Event::Resolve),
        4 => argo,
        1 => (0..NODES, any::<bool>()).prop_map(|(node, cordoned)| Event::Cordon(node, cordoned)),
        1 => any::<bool>().prop_map(|recovery_too| Event::Pause { recovery_too }),
        2 => Just(Event::Resume),
        1 => (1..4_i32).prop_map(Event::Unfinished),
        6 => (0..2_usize, any::<bool>()).prop_map(|(leader, workflows)| Event::Refresh { leader, workflows }),
        1 => (0..2_usize).prop_map(Event::Restart),
        16 => (0..2_usize, 0..ALERTS, requests, any::<bool>(), meanwhile).prop_map(
            |(leader, alert, requests, loses, mut meanwhile)| {
                if leader == 1 {
                    meanwhile.clear();
                }
                Event::Work { leader, alert, requests, loses, meanwhile }
            }
        ),
    ];
    proptest::collection::vec(event, 1..60)
}

/// A leader deals with an alert, and with those that it woke.
fn work(leader: usize, alert: usize, requests: usize) -> Event {
    Event::Work { leader, alert, requests, loses: false, meanwhile: Vec::new() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_a_promise_of_the_guard(events in events(), verified in any::<bool>()) {
        let mut world = World::new(verified);
        for event in events {
            world.happens(event);
        }
        world.come_to_rest();
    }
}

#[test]
fn an_action_that_a_leader_does_not_see_yet_keeps_its_place() {
    let mut world = World::new(false);
    let work = |leader, requests| work(leader, 3, requests);
    world.happens(work(0, ENOUGH));
    world.happens(Event::Argo(0, "Running", false));
    world.happens(Event::Cordon(3, true));
    world.happens(Event::Refresh { leader: 1, workflows: false });
    world.happens(work(1, ENOUGH));
    assert_eq!(world.places(), 1, "the cordon holds it back, and what cordoned the node does not show yet");
    world.happens(Event::Wait(40));
    world.happens(work(1, ENOUGH));
    assert_eq!(world.places(), 1, "the API server, asked for it, shows the action");
    world.come_to_rest();
}

#[test]
fn a_place_that_an_earlier_leader_took_is_not_given_back_for_one_that_found_it_when_it_asked() {
    let mut world = World::new(false);
    let work = |leader, requests| work(leader, 3, requests);
    let place_and_action = 2;
    world.happens(work(0, place_and_action));
    world.happens(Event::Argo(0, "Running", false));
    world.happens(Event::Cordon(3, true));
    world.happens(work(1, ENOUGH));
    assert_eq!(
        world.places(),
        1,
        "the other leader knew of no place, and the cordon is that of an action it knows not"
    );
    world.come_to_rest();
}

#[test]
fn an_action_that_is_over_is_not_taken_for_one_without_a_place() {
    let mut world = World::new(false);
    let work = |leader| work(leader, 3, ENOUGH);
    let refresh = |leader| Event::Refresh { leader, workflows: true };
    world.happens(work(0));
    world.happens(Event::Argo(0, "Running", false));
    for event in [refresh(0), work(0), refresh(1), Event::Argo(0, "Succeeded", false), refresh(0), work(0)] {
        world.happens(event);
    }
    assert_eq!(world.places(), 0);
    world.leaders[1].view.guard = Arc::clone(&world.truth.guard);
    world.happens(work(1));
    assert_eq!(world.places(), 0, "of all that happened the other leader knows that there is no place any more");
    world.come_to_rest();
}

#[test]
fn what_another_leader_did_while_a_place_was_taken_is_seen_before_the_action() {
    let mut world = World::new(false);
    let cordons = Event::Argo(0, "Succeeded", true);
    let meanwhile =
        vec![work(1, 4, ENOUGH), cordons, Event::Refresh { leader: 1, workflows: true }, work(1, 4, ENOUGH)];
    world.happens(Event::Work { leader: 0, alert: 0, requests: ENOUGH, loses: false, meanwhile });
    let cordoned = |workflow: &&Value| text(workflow, "/metadata/annotations/aegis.io~1node-before").contains("true");
    let all = world.truth.workflows.values();
    assert_eq!((all.len(), all.filter(cordoned).count()), (2, 1), "the second was made of a node that was out already");
    world.come_to_rest();
}

fn node(number: usize) -> String {
    format!("n{number}")
}

fn ended(workflow: &Value) -> bool {
    matches!(workflow["metadata"]["labels"]["workflows.argoproj.io/phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn checks(workflow: &Value) -> bool {
    !workflow["metadata"]["labels"][CHECK_LABEL].is_null()
}

fn text<'a>(workflow: &'a Value, pointer: &str) -> &'a str {
    workflow.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl World {
    fn new(verified: bool) -> Self {
        let verification = if verified { json!({"within": "2m"}) } else { Value::Null };
        let base = seen(alert("NodeDown"))
            .rule(drain().repeat("1m", 3).with(json!({"verification": verification})))
            .rule(rule("uncordon").resolved("NodeDown").with(json!({"recovery": true})));
        let of = |number: usize| {
            let about = node(number % NODES);
            let fingerprint = format!("f{number}");
            let alert =
                alert("NodeDown").named(&format!("a{number}")).label("fingerprint", &fingerprint).edit(|alert| {
                    alert.spec.fingerprint = Some(fingerprint.clone());
                    alert.spec.involved_object.name.clone_from(&about);
                    alert.spec.detials = Some([("node".to_owned(), about.clone())].into());
                    alert.spec.severity =
                        Some(if number.is_multiple_of(2) { "critical" } else { "warning" }.to_owned());
                });
            Arc::new(alert.build())
        };
        let mut guard = AegisGuard::new("aegis", Default::default());
        guard.metadata.resource_version = Some("1".to_owned());
        guard.spec = serde_json::from_value(json!({
            "budgets": {"unfinished": 2, "unfinishedPerRule": 1, "nodesOut": {"count": 2}},
            "breaker": {"actions": 4, "within": "10m", "calm": "5m"},
            "retries": {"wait": "10s", "longestWait": "1m"},
        }))
        .unwrap();
        let nodes = (0..NODES).map(|number| {
            let mut one = Node::default();
            one.metadata.name = Some(node(number));
            (node(number), one)
        });
        let truth = State {
            alerts: (0..ALERTS).map(of).collect(),
            workflows: BTreeMap::new(),
            guard: Arc::new(guard),
            nodes: nodes.collect(),
        };
        let leaders = vec![Leader::of(truth.clone()), Leader::of(truth.clone())];
        Self { leaders, truth, base: base.seen, now: 1, version: 10, left: ENOUGH, loses: false, meanwhile: Vec::new() }
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn change_alert(&mut self, number: usize, change: impl FnOnce(AlertBuilder) -> AlertBuilder) {
        let version = self.next_version();
        let changed = change(AlertBuilder::from(&self.truth.alerts[number]));
        let changed = changed.edit(|alert| alert.metadata.resource_version = Some(version)).build();
        self.truth.alerts[number] = Arc::new(changed);
    }

    fn change_guard(&mut self, change: impl FnOnce(&mut AegisGuard)) {
        let version = self.next_version();
        let guard = Arc::make_mut(&mut self.truth.guard);
        change(guard);
        guard.metadata.resource_version = Some(version);
    }

    fn cordon(&mut self, name: &str, cordoned: bool) {
        let node = self.truth.nodes.get_mut(name).unwrap();
        node.spec.get_or_insert_default().unschedulable = cordoned.then_some(true);
    }

    fn happens(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Wait(seconds) => self.now = (self.now + seconds).max(1),
            Event::Hear(number) => {
                if phase(&self.truth.alerts[number]) == AlertStatus::Firing {
                    self.change_alert(number, |alert| alert.heard(now));
                }
            }
            Event::Resolve(number) => self.change_alert(number, |alert| alert.resolved(now)),
            Event::Argo(nth, phase, cordons) => {
                let open = self.truth.workflows.iter().filter(|(_, workflow)| !ended(workflow));
                let open: Vec<String> = open.map(|(name, _)| name.clone()).collect();
                if let Some(name) = open.get(nth % open.len().max(1)) {
                    self.argo(name, phase, cordons);
                }
            }
            Event::Cordon(number, cordoned) => self.cordon(&node(number), cordoned),
            Event::Pause { recovery_too } => {
                let pause = json!([{"target": "all", "recoveryToo": recovery_too}]);
                self.change_guard(|guard| guard.spec.pauses = serde_json::from_value(pause).unwrap());
            }
            Event::Resume => self.change_guard(|guard| guard.spec.pauses.clear()),
            Event::Unfinished(most) => self.change_guard(|guard| {
                guard.spec.budgets.get_or_insert_default().unfinished = Some(most);
            }),
            Event::Refresh { leader, workflows } => self.refresh(leader, workflows),
            Event::Restart(leader) => {
                self.leaders[leader] = Leader::of(self.truth.clone());
            }
            Event::Work { leader, alert, requests, loses, meanwhile } => {
                (self.left, self.loses, self.meanwhile) = (requests, loses, meanwhile);
                let others = std::mem::take(&mut self.leaders[leader].woken);
                for one in std::iter::once(alert).chain(others) {
                    if self.work(leader, one).is_err() {
                        break;
                    }
                }
                self.meanwhile.clear();
            }
        }
    }

    /// What the watches bring, and what the desk makes of it.
    fn refresh(&mut self, leader: usize, workflows: bool) {
        let view = &mut self.leaders[leader].view;
        let behind = std::mem::take(&mut view.workflows);
        *view = self.truth.clone();
        if !workflows {
            view.workflows = behind;
        }
        (self.left, self.loses) = (ENOUGH, false);
        let _ = self.desk(leader, &Ask::Nothing);
    }

    fn argo(&mut self, name: &str, phase: &str, cordons: bool) {
        let version = self.next_version();
        let workflow = self.truth.workflows.get_mut(name).unwrap();
        workflow["metadata"]["labels"]["workflows.argoproj.io/phase"] = json!(phase);
        workflow["metadata"]["resourceVersion"] = json!(version);
        workflow["status"] = json!({"phase": phase});
        let about = text(workflow, "/about").to_owned();
        let recovers = text(workflow, "/metadata/labels/aegis.io~1phase") == "Resolved";
        if phase == "Succeeded" && (cordons || recovers) {
            self.cordon(&about, !recovers);
        }
    }

    /// All that stood in the way goes; one leader is left, and is woken by nothing but what wakes it.
    fn come_to_rest(&mut self) {
        let names: Vec<String> = self.truth.nodes.keys().cloned().collect();
        for name in names {
            self.cordon(&name, false);
        }
        self.now += 5000;
        let now = at(self.now);
        self.change_guard(|guard| {
            guard.spec.pauses.clear();
            guard.spec.resumed = [("all".to_owned(), now), ("breaker".to_owned(), now)].into();
        });
        self.now += 1;
        for number in 0..ALERTS {
            let now = self.now;
            if phase(&self.truth.alerts[number]) == AlertStatus::Firing {
                self.change_alert(number, |alert| alert.heard(now));
            }
        }
        self.leaders = vec![Leader { woken: (0..ALERTS).collect(), ..Leader::of(self.truth.clone()) }];
        let mut due: BTreeMap<usize, Timestamp> = BTreeMap::new();
        for _ in 0..600 {
            if let Some(number) = self.leaders[0].woken.pop_first() {
                due.remove(&number);
                (self.left, self.loses) = (ENOUGH, false);
                let Ok(next) = self.work(0, number) else { panic!("it has requests enough") };
                due.extend(next.map(|next| (number, next)));
                continue;
            }
            let open = self.truth.workflows.iter().find(|(_, workflow)| !ended(workflow)).map(|(name, _)| name.clone());
            if let Some(name) = open {
                self.argo(&name, "Succeeded", false);
                let workflow = self.truth.workflows[&name].clone();
                let uid = text(&workflow, "/metadata/labels/aegis.io~1alert-uid").to_owned();
                let of = |alert: &Arc<AegisAlert>| alert.metadata.uid.as_deref() == Some(uid.as_str());
                let number = self.truth.alerts.iter().position(of).unwrap();
                self.leaders[0].woken.insert(number);
                self.refresh(0, true);
                continue;
            }
            let all_acted = (0..ALERTS).all(|number| self.has_acted(number));
            let next = due.values().copied().chain(self.leaders[0].again).min();
            let Some(next) = next.filter(|_| !all_acted || self.places() > 0) else { break };
            self.now = self.now.max(next.as_second() - at(0).as_second());
            if self.leaders[0].again.is_some_and(|again| again <= at(self.now)) {
                self.refresh(0, true);
            }
            let woken = due.iter().filter(|(_, time)| **time <= at(self.now)).map(|(number, _)| *number);
            let woken: Vec<usize> = woken.collect();
            self.leaders[0].woken.extend(woken);
        }
        for number in 0..ALERTS {
            let seen = self.snapshot(0, number);
            assert!(self.has_acted(number), "a{number} never acts: {:?}", plan(&seen, at(self.now)).decision);
        }
        assert_eq!(self.places(), 0, "a place was never given back");
    }

    fn places(&self) -> usize {
        self.truth.guard.status.as_ref().map_or(0, |status| status.claims.len())
    }

    /// Whether an action was made for the alert in the phase that it is in, or it asks for a person.
    fn has_acted(&self, number: usize) -> bool {
        let alert = &self.truth.alerts[number];
        let mut actions = alert.status.iter().flat_map(|status| &status.actions).filter(|action| action.uid.is_some());
        actions.any(|action| action.phase == phase(alert))
            || decided(&plan(&self.snapshot(0, number), at(self.now))) == ("hold", Some(Reason::NeedsPerson))
    }
}

fn whole(workflow: &Value) -> SeenAction {
    SeenAction::workflow(&serde_json::from_value(workflow["metadata"].clone()).unwrap(), workflow)
}
