//! Many alerts, two leaders whose views lag, and one book: what the guard promises holds in every history of them.
//!
//! The leaders do what the controller's desk and driver do, request by request, and can stop dead after any of them,
//! also after one whose answer never came. Promises are checked against what stands in the API server whenever
//! something is committed, not against what a leader believes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aegis_crds::guard::{AegisGuardSpec, Claim};
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
    Refresh(usize),
    Restart(usize),
    Work {
        leader: usize,
        alert: usize,
        requests: usize,
        loses: bool,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let phase = prop_oneof![Just("Running"), Just("Succeeded"), Just("Succeeded"), Just("Failed")];
    let requests = prop_oneof![0..8_usize, Just(ENOUGH), Just(ENOUGH)];
    let event = prop_oneof![
        3 => prop_oneof![1..20_i64, Just(70), Just(700), Just(4000), -90..0_i64].prop_map(Event::Wait),
        2 => (0..ALERTS).prop_map(Event::Hear),
        1 => (0..ALERTS).prop_map(Event::Resolve),
        4 => (0..8_usize, phase, any::<bool>()).prop_map(|(nth, phase, cordons)| Event::Argo(nth, phase, cordons)),
        1 => (0..NODES, any::<bool>()).prop_map(|(node, cordoned)| Event::Cordon(node, cordoned)),
        1 => any::<bool>().prop_map(|recovery_too| Event::Pause { recovery_too }),
        2 => Just(Event::Resume),
        1 => (1..4_i32).prop_map(Event::Unfinished),
        6 => (0..2_usize).prop_map(Event::Refresh),
        1 => (0..2_usize).prop_map(Event::Restart),
        16 => (0..2_usize, 0..ALERTS, requests, any::<bool>())
            .prop_map(|(leader, alert, requests, loses)| Event::Work { leader, alert, requests, loses }),
    ];
    proptest::collection::vec(event, 1..60)
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

fn node(number: usize) -> String {
    format!("n{number}")
}

fn ended(workflow: &Value) -> bool {
    matches!(workflow["metadata"]["labels"]["workflows.argoproj.io/phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn checks(workflow: &Value) -> bool {
    !workflow["metadata"]["labels"][CHECK_LABEL].is_null()
}

/// Every pause here is of everything, and without an end.
fn is_paused(spec: &AegisGuardSpec, recovery: bool) -> bool {
    spec.pauses.iter().any(|pause| pause.recovery_too || !recovery)
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
        Self { leaders, truth, base: base.seen, now: 1, version: 10, left: ENOUGH, loses: false }
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
            Event::Refresh(leader) => self.refresh(leader),
            Event::Restart(leader) => {
                self.leaders[leader] = Leader::of(self.truth.clone());
            }
            Event::Work { leader, alert, requests, loses } => {
                (self.left, self.loses) = (requests, loses);
                let others = std::mem::take(&mut self.leaders[leader].woken);
                for one in std::iter::once(alert).chain(others) {
                    if self.work(leader, one).is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// What the watches bring, and what the desk makes of it.
    fn refresh(&mut self, leader: usize) {
        self.leaders[leader].view = self.truth.clone();
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

    fn spend(&mut self) -> Result<(), Dead> {
        self.left = self.left.checked_sub(1).ok_or(Dead)?;
        Ok(())
    }

    /// Whether the answer comes back to the leader.
    fn answered(&self) -> Result<(), Dead> {
        if self.left == 0 && self.loses { Err(Dead) } else { Ok(()) }
    }

    fn guard(&self, leader: usize) -> Guard {
        let view = &self.leaders[leader].view;
        Guard::of(Some(&view.guard), view.nodes.values())
    }

    fn snapshot(&self, leader: usize, number: usize) -> Snapshot {
        let view = &self.leaders[leader].view;
        let mut seen = self.base.clone();
        seen.alert = Arc::clone(&view.alerts[number]);
        let uid = seen.alert.metadata.uid.clone().unwrap();
        let own =
            view.workflows.values().filter(|workflow| text(workflow, "/metadata/labels/aegis.io~1alert-uid") == uid);
        seen.actions = own.map(whole).collect();
        seen.guard = Arc::new(self.guard(leader));
        seen
    }

    /// Deals with one alert as the driver does; when it is to be looked at again.
    fn work(&mut self, leader: usize, number: usize) -> Result<Option<Timestamp>, Dead> {
        let mut seen = self.snapshot(leader, number);
        for _ in 0..32 {
            let plan = plan(&seen, at(self.now));
            let line = &mut self.leaders[leader].line;
            match (&plan.decision, &plan.request) {
                (Decision::Hold(refusal), Some(request)) if refusal.reason.is_standing() => {
                    line.wait(number, request.clone());
                }
                _ => line.leave(&number),
            }
            let mut before = None;
            let mut again = false;
            for step in &plan.steps {
                if matches!(step, Step::DeleteAlert { .. }) {
                    return Ok(None);
                }
                again = true;
                if !self.carry_out(leader, number, step, &mut seen, &mut before)? {
                    break;
                }
            }
            if !again {
                return Ok(plan.next_look);
            }
        }
        panic!("32 plans in a row had something to do: {:?}", plan(&seen, at(self.now)));
    }

    /// Whether the plan goes on; else it is made again.
    fn carry_out(
        &mut self,
        leader: usize,
        number: usize,
        step: &Step,
        seen: &mut Snapshot,
        before: &mut Option<Picture>,
    ) -> Result<bool, Dead> {
        match step {
            Step::Look(Look::Siblings) => {
                seen.confirmed(Vec::new());
                return Ok(false);
            }
            Step::Look(Look::Action { kind, name }) => {
                match self.truth.workflows.get(name) {
                    Some(workflow) => seen.saw(whole(workflow)),
                    None => seen.missed(*kind, name),
                }
                return Ok(false);
            }
            Step::WriteStatus(patch) => {
                self.spend()?;
                let current = Arc::clone(&self.truth.alerts[number]);
                let same = patch["metadata"]["resourceVersion"] == json!(current.metadata.resource_version);
                if same {
                    self.change_alert(number, |alert| alert.edit(|alert| apply(alert, patch)));
                    self.answered()?;
                }
                self.saw_alert(leader, number, seen);
                return Ok(same);
            }
            Step::Claim(request) => match self.desk(leader, &Ask::Claim(request))? {
                Some(Answer::Taken) => {}
                answer => {
                    seen.guard = Arc::new(self.guard(leader));
                    seen.others_first = answer == Some(Answer::OthersFirst);
                    return Ok(false);
                }
            },
            Step::Adopt(request) => {
                self.desk(leader, &Ask::Adopt(request))?;
                seen.guard = Arc::new(self.guard(leader));
            }
            Step::LastLook(look) => {
                let known = seen.alert.clone();
                self.saw_alert(leader, number, seen);
                if phase(&known) != phase(&seen.alert) {
                    return Ok(false);
                }
                if let Some((name, expected)) = &look.node {
                    let found = self.saw_node(leader, name);
                    let guard = self.guard(leader);
                    let facts = NodeFacts::of(&found, guard.policy().unwrap());
                    if Some(&facts) != expected.as_ref() {
                        seen.guard = Arc::new(guard);
                        return Ok(false);
                    }
                    *before = Some(Picture::of(&found));
                }
            }
            Step::Create(remedy) => {
                self.spend()?;
                self.create(leader, number, remedy, before.take());
                self.answered()?;
                let made = self.truth.workflows[&remedy.name].clone();
                seen.saw(whole(&made));
                self.leaders[leader].view.workflows.insert(remedy.name.clone(), made);
                return Ok(false);
            }
            Step::Stop(patch) => {
                self.spend()?;
                self.argo(&patch.name, "Failed", false);
                merge(self.truth.workflows.get_mut(&patch.name).unwrap(), &patch.patch);
                seen.saw(whole(&self.truth.workflows[&patch.name]));
            }
            Step::Release(patch) => {
                self.spend()?;
                let version = self.next_version();
                let workflow = self.truth.workflows.get_mut(&patch.name).unwrap();
                if workflow["metadata"]["resourceVersion"] == patch.patch["metadata"]["resourceVersion"] {
                    merge(workflow, &patch.patch);
                    workflow["metadata"]["resourceVersion"] = json!(version);
                }
                seen.saw(whole(workflow));
                self.leaders[leader].view.workflows.insert(patch.name.clone(), workflow.clone());
                self.answered()?;
            }
            Step::Note(back) => self.note(leader, back)?,
            Step::GiveBack(back) => {
                self.note(leader, back)?;
                self.desk(leader, &Ask::GiveBack(back))?;
                seen.guard = Arc::new(self.guard(leader));
            }
            Step::DeleteAlert { .. } => {}
        }
        Ok(true)
    }

    fn saw_alert(&mut self, leader: usize, number: usize, seen: &mut Snapshot) {
        seen.alert = Arc::clone(&self.truth.alerts[number]);
        self.leaders[leader].view.alerts[number] = Arc::clone(&seen.alert);
    }

    fn saw_node(&mut self, leader: usize, name: &str) -> Node {
        let found = self.truth.nodes[name].clone();
        self.leaders[leader].view.nodes.insert(name.to_owned(), found.clone());
        found
    }

    fn create(&mut self, leader: usize, number: usize, remedy: &Remedy, before: Option<Picture>) {
        if self.truth.workflows.contains_key(&remedy.name) {
            return;
        }
        let version = self.next_version();
        let mut object = remedy.object.clone();
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(format!("uid-{version}"));
        metadata["resourceVersion"] = json!(version);
        metadata["creationTimestamp"] = json!(at(self.now));
        if let Some(before) = before {
            metadata["annotations"][BEFORE_ANNOTATION] = json!(before.to_text());
        }
        object["about"] = json!(self.truth.alerts[number].spec.involved_object.name);
        self.truth.workflows.insert(remedy.name.clone(), object);

        let recovery = remedy.phase == AlertStatus::Resolved;
        let known = &self.leaders[leader].view.guard.spec;
        assert!(!is_paused(known, recovery), "{} is made by a leader that knows of a pause", remedy.name);
        self.check_what_goes_on();
    }

    /// Everything that goes on has its place, and is alone on its node.
    fn check_what_goes_on(&self) {
        let book = Book::of(self.truth.guard.status.as_ref());
        let mut busy = BTreeSet::new();
        for (name, workflow) in self.truth.workflows.iter().filter(|(_, one)| !ended(one) && !checks(one)) {
            let identity = whole(workflow).identity.unwrap();
            let place = Place { uid: identity.alert_uid, phase: identity.phase, attempt: identity.attempt };
            assert!(book.find(&place).is_some(), "{name} goes on without a place in the book");
            assert!(busy.insert(text(workflow, "/about").to_owned()), "{name} is a second action on its node");
        }
    }

    fn note(&mut self, leader: usize, back: &GiveBack) -> Result<(), Dead> {
        let Some(name) = back.claim.node.as_deref() else { return Ok(()) };
        let found = self.saw_node(leader, name);
        let Some((_, action)) = &back.action else { return Ok(()) };
        let written = text(&self.truth.workflows[action], "/metadata/annotations/aegis.io~1node-before").to_owned();
        let Claim { alert, rule, .. } = &back.claim;
        let author = Author { alert, rule, action, time: at(self.now), cordon_for: back.cordon_for };
        let noted = Picture::parse(&written).and_then(|before| changes::record(&before, &found, author));
        if let Some(noted) = noted {
            self.spend()?;
            let annotations = self.truth.nodes.get_mut(name).unwrap().metadata.annotations.get_or_insert_default();
            annotations.insert(CHANGES_ANNOTATION.to_owned(), json!(noted).to_string());
            self.answered()?;
            self.saw_node(leader, name);
        }
        Ok(())
    }

    /// One round of the desk: what is asked for, in one conditional write.
    fn desk(&mut self, leader: usize, ask: &Ask<'_>) -> Result<Option<Answer>, Dead> {
        let now = at(self.now);
        for _ in 0..16 {
            let object = Arc::clone(&self.leaders[leader].view.guard);
            let guard = self.guard(leader);
            let policy = guard.policy().cloned().unwrap_or_default();
            let (mut book, mut claims) = (Book::clone(&guard.book), Vec::new());
            match ask {
                Ask::Nothing => {}
                Ask::Claim(request) => claims.push((*request).clone()),
                Ask::Adopt(request) => book = book.with(request, &policy, now),
                Ask::GiveBack(back) => book = book.without(&Place::of(&back.claim), back.ended, back.cooldown, now),
            }
            let resumed = guard.breaker_resumed();
            let judged = Guard { book: Arc::new(book.with_breaker(&policy, resumed, false, now)), ..guard.clone() };
            let round = self.leaders[leader].line.round(&judged, &claims, now);
            let book = round.book.with_breaker(&policy, resumed, round.too_many, now);
            let status = book.status_since(&guard.book);
            if status.as_object().is_some_and(|fields| !fields.is_empty()) {
                self.spend()?;
                if self.truth.guard.metadata.resource_version != object.metadata.resource_version {
                    self.leaders[leader].view.guard = Arc::clone(&self.truth.guard);
                    continue;
                }
                self.commit(leader, &status, matches!(ask, Ask::Claim(_)));
                self.answered()?;
                self.leaders[leader].view.guard = Arc::clone(&self.truth.guard);
            }
            self.leaders[leader].woken.extend(round.wake);
            self.leaders[leader].again = round.again;
            return Ok(round.answers.first().copied());
        }
        panic!("others were faster sixteen times, and there are none");
    }

    fn commit(&mut self, leader: usize, status: &Value, claims: bool) {
        let before = Book::of(self.truth.guard.status.as_ref());
        self.change_guard(|guard| {
            let mut all = json!(guard.status.clone().unwrap_or_default());
            merge(&mut all, status);
            guard.status = Some(serde_json::from_value(all).unwrap());
        });
        let book = Book::of(self.truth.guard.status.as_ref());
        let new = book.claims().filter(|claim| before.find(&Place::of(claim)).is_none());
        let new: Vec<Claim> = new.filter(|_| claims).cloned().collect();
        for claim in new {
            self.check_place(leader, &book, &claim);
        }
        self.check_what_goes_on();
    }

    /// A place that was taken just now, by what stood in the AegisGuard in that very moment.
    fn check_place(&self, leader: usize, book: &Book, claim: &Claim) {
        let spec = &self.truth.guard.spec;
        assert!(!is_paused(spec, claim.recovery), "a place was taken while paused: {claim:?}");
        let mut others = book.claims().filter(|other| Place::of(other) != Place::of(claim));
        assert!(others.all(|other| other.target != claim.target), "two actions on {}", claim.target);
        if claim.recovery {
            return;
        }
        let counted: Vec<&Claim> = book.claims().filter(|claim| !claim.recovery).collect();
        let budgets = spec.budgets.clone().unwrap();
        assert!(
            counted.len() <= usize::try_from(budgets.unfinished.unwrap()).unwrap(),
            "the budget of all: {counted:?}"
        );
        let of_rule = counted.iter().filter(|other| other.rule == claim.rule).count();
        assert!(of_rule <= usize::try_from(budgets.unfinished_per_rule.unwrap()).unwrap(), "the budget of a rule");
        let known = self.leaders[leader].view.nodes.iter();
        let out = known.filter(|(_, node)| node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)));
        let mut out: BTreeSet<&str> = out.map(|(name, _)| name.as_str()).collect();
        out.extend(counted.iter().filter_map(|claim| claim.node.as_deref()));
        assert!(out.len() <= 2, "too many nodes are out: {out:?}");
        let theirs = self.leaders[leader].view.nodes.get(claim.node.as_deref().unwrap()).is_some_and(|node| {
            let facts = NodeFacts::of(node, &Policy::default());
            facts.cordoned && !facts.cordon_is_ours
        });
        assert!(!theirs, "an action on a node that somebody else cordoned");
        let policy = Policy::compile(spec).unwrap();
        assert_eq!(book.breaker_open(&policy, None, at(self.now)), None, "a place was taken past the breaker");
        let begun = self.truth.guard.status.iter().flat_map(|status| &status.starts);
        let lately = begun.filter(|starts| at(self.now).duration_since(starts.minute.unwrap()) < seconds(600));
        let lately: i32 = lately.map(|starts| starts.count).sum();
        assert!(lately <= 4, "{lately} actions began within the breaker's time");
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
                self.refresh(0);
                continue;
            }
            let all_acted = (0..ALERTS).all(|number| self.has_acted(number));
            let next = due.values().copied().chain(self.leaders[0].again).min();
            let Some(next) = next.filter(|_| !all_acted || self.places() > 0) else { break };
            self.now = self.now.max(next.as_second() - at(0).as_second());
            if self.leaders[0].again.is_some_and(|again| again <= at(self.now)) {
                self.refresh(0);
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
