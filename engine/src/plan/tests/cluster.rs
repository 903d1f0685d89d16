//! An API server small enough to carry plans out on: one alert, its Workflows, conflicts, finalizers, and a driver
//! that can stop dead between any two requests or look at what is no longer true.

use std::collections::BTreeMap;
use std::sync::Arc;

use aegis_crds::AegisAlert;
use serde_json::{Value, json};

use super::super::testing::*;
use super::super::*;
use crate::guard::{self, Book, Place, Policy};

#[derive(Clone, Debug)]
pub(super) struct Cluster {
    alert: Arc<AegisAlert>,
    pub(super) gone: bool,
    workflows: BTreeMap<String, Value>,
    version: u64,
    book: Book,
    /// Every request that was committed.
    pub(super) requests: Vec<&'static str>,
    /// The phase and attempt of every action that was made, and whether it is a check.
    pub(super) made: Vec<(AlertStatus, i32, bool)>,
}

impl Cluster {
    pub(super) fn of(scene: &Scene) -> Self {
        Self {
            alert: Arc::clone(&scene.seen.alert),
            gone: false,
            workflows: BTreeMap::new(),
            version: 10,
            book: Book::clone(&scene.seen.guard.book),
            requests: Vec::new(),
            made: Vec::new(),
        }
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    pub(super) fn alert(&self) -> &AegisAlert {
        &self.alert
    }

    pub(super) fn change(&mut self, change: impl FnOnce(AlertBuilder) -> AlertBuilder) {
        self.version += 1;
        let version = self.version.to_string();
        let changed = change(AlertBuilder::from(&self.alert));
        self.alert = changed.edit(|alert| alert.metadata.resource_version = Some(version)).build().into();
    }

    /// What a cache shows that is up to date.
    pub(super) fn look(&self, scene: &Scene) -> Snapshot {
        let mut seen = scene.seen.clone();
        seen.alert = Arc::clone(&self.alert);
        Arc::make_mut(&mut seen.guard).book = Arc::new(self.book.clone());
        seen.actions = self.workflows.values().map(Self::metadata).collect();
        seen
    }

    /// Argo sets the phase of every Workflow that has not ended.
    pub(super) fn argo(&mut self, phase: &str) {
        for object in self.workflows.values_mut() {
            let label = &mut object["metadata"]["labels"]["workflows.argoproj.io/phase"];
            if !matches!(label.as_str(), Some("Succeeded" | "Failed")) {
                *label = json!(phase);
                object["status"] = json!({"phase": phase, "message": "as told"});
                self.version += 1;
                object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            }
        }
    }

    /// Somebody deletes all Workflows; those with finalizers stay until they are released.
    pub(super) fn delete_workflows(&mut self, now: Timestamp) {
        for object in self.workflows.values_mut() {
            self.version += 1;
            object["metadata"]["deletionTimestamp"] = json!(now);
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        }
        self.collect();
    }

    /// Somebody else takes the name of the first action.
    pub(super) fn squat(&mut self) {
        let metadata = &self.alert.metadata;
        let (alert, uid) = (metadata.name.as_deref().unwrap(), metadata.uid.as_deref().unwrap());
        let name = aegis_crds::names::action(alert, uid, AlertStatus::Firing, 1, 0);
        self.workflows.entry(name.clone()).or_insert_with(
            || json!({"metadata": {"name": name, "uid": "foreign", "resourceVersion": "1", "labels": {}}}),
        );
    }

    /// Plans on that view and carries the plan out, again and again until there is nothing to do; stops dead after
    /// `budget` requests.
    pub(super) fn run(&mut self, mut view: Snapshot, now: Timestamp, mut budget: usize) {
        for _ in 0..40 {
            let plan = plan(&view, now);
            if plan.steps.is_empty() {
                return;
            }
            for step in &plan.steps {
                // It changes nothing, and finds all as it was: the model has nobody else who could change it.
                if matches!(step, Step::LastLook(_)) {
                    continue;
                }
                if budget == 0 || self.gone {
                    return;
                }
                budget -= 1;
                if self.carry_out(step, &mut view, now).is_err() {
                    break;
                }
            }
        }
        panic!("planning and doing do not come to rest: {:?}", plan(&view, now));
    }

    /// `Err` where the plan has to be made again.
    fn carry_out(&mut self, step: &Step, view: &mut Snapshot, now: Timestamp) -> Result<(), ()> {
        match step {
            Step::Look(Look::Siblings) => {
                self.requests.push("list");
                view.confirmed(view.siblings.clone());
                return Err(());
            }
            Step::Look(Look::Actions(place)) => {
                self.requests.push("list");
                view.listed(place.clone(), self.workflows.values().map(Self::whole).collect());
                return Err(());
            }
            Step::Look(Look::Action { kind, name }) => {
                self.requests.push("get");
                match self.workflows.get(name) {
                    Some(object) => view.saw(Self::whole(object)),
                    None => view.missed(*kind, name),
                }
                return Err(());
            }
            Step::WriteStatus(patch) => {
                if patch["metadata"]["resourceVersion"] != json!(self.alert.metadata.resource_version) {
                    view.alert = Arc::clone(&self.alert);
                    return Err(());
                }
                self.requests.push("status");
                self.change(|alert| alert.edit(|alert| apply(alert, patch)));
                view.alert = Arc::clone(&self.alert);
            }
            Step::Create(remedy) => {
                if let Some(object) = self.workflows.get(&remedy.name) {
                    view.saw(Self::whole(object));
                    return Err(());
                }
                self.requests.push("create");
                self.made.push((remedy.phase, remedy.attempt, remedy.check));
                self.version += 1;
                let mut object = remedy.object.clone();
                let metadata = &mut object["metadata"];
                metadata["uid"] = json!(format!("uid-{}", self.version));
                metadata["resourceVersion"] = json!(self.version.to_string());
                metadata["creationTimestamp"] = json!(now);
                view.saw(Self::whole(&object));
                self.workflows.insert(remedy.name.clone(), object);
                return Err(());
            }
            Step::Stop(patch) => {
                self.requests.push("stop");
                match self.workflows.get_mut(&patch.name) {
                    None => view.missed(patch.kind, &patch.name),
                    Some(object) => {
                        merge(object, &patch.patch);
                        view.saw(Self::whole(object));
                    }
                }
            }
            Step::Release(patch) => {
                let Some(object) = self.workflows.get_mut(&patch.name) else {
                    view.missed(patch.kind, &patch.name);
                    return Ok(());
                };
                if object["metadata"]["resourceVersion"] != patch.patch["metadata"]["resourceVersion"] {
                    view.saw(Self::whole(object));
                    return Err(());
                }
                self.requests.push("release");
                merge(object, &patch.patch);
                self.version += 1;
                object["metadata"]["resourceVersion"] = json!(self.version.to_string());
                view.saw(Self::whole(object));
                let (name, kind) = (patch.name.clone(), patch.kind);
                self.collect();
                if !self.workflows.contains_key(&name) {
                    view.missed(kind, &name);
                }
            }
            Step::Claim(request) => {
                self.requests.push("claim");
                let guard = Arc::make_mut(&mut view.guard);
                guard.book = Arc::new(self.book.clone());
                if guard::admit(request, guard, now).is_err() {
                    return Err(());
                }
                self.book = self.book.clone().with(request, &Policy::default(), now);
                guard.book = Arc::new(self.book.clone());
            }
            Step::Adopt(request) => {
                self.requests.push("adopt");
                self.book = self.book.clone().with(request, &Policy::default(), now);
                Arc::make_mut(&mut view.guard).book = Arc::new(self.book.clone());
            }
            Step::LastLook(_) => {}
            Step::Note(_) => self.requests.push("note"),
            Step::GiveBack(back) => {
                self.requests.push("give back");
                self.book = self.book.clone().without(&Place::of(&back.claim), back.ended, back.cooldown, now);
                Arc::make_mut(&mut view.guard).book = Arc::new(self.book.clone());
            }
            Step::DeleteAlert { .. } => {
                self.requests.push("delete");
                self.gone = true;
            }
        }
        Ok(())
    }

    fn collect(&mut self) {
        self.workflows.retain(|_, object| {
            let metadata = &object["metadata"];
            let held = metadata["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
            metadata["deletionTimestamp"].is_null() || held
        });
    }

    fn metadata(object: &Value) -> SeenAction {
        SeenAction::workflow_metadata(&serde_json::from_value(object["metadata"].clone()).unwrap())
    }

    fn whole(object: &Value) -> SeenAction {
        SeenAction::workflow(&serde_json::from_value(object["metadata"].clone()).unwrap(), object)
    }
}
