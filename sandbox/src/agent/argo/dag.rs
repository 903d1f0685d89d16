//! A dag template: every task as soon as what it depends on has ended as it must.

use std::collections::{BTreeMap, BTreeSet};

use super::depends::{Depends, Ending};
use super::execute::{Operation, Place, Prepared};
use super::manifest::{Body, Call, Task};
use super::names;
use super::node::{Kind, Node, Phase};
use super::scope;
use super::tags::Scope;

/// A dag at its place.
struct Dag<'t> {
    place: Place,
    id: String,
    tasks: BTreeMap<&'t str, &'t Task>,
}

impl<'t> Dag<'t> {
    fn place_of(&self, name: &str) -> Place {
        self.place.under(&format!(".{name}"), name, Some(self.id.clone()))
    }

    fn waits_for(&self, task: &str) -> BTreeSet<&'t str> {
        self.tasks.get(task).and_then(|task| task.depends.as_ref()).map(Depends::tasks).unwrap_or_default()
    }

    /// The tasks that come before `from`, and `from` itself.
    fn up_to<'n>(&self, from: impl Iterator<Item = &'n str>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open: Vec<String> = from.map(str::to_owned).collect();
        while let Some(name) = open.pop() {
            open.extend(self.waits_for(&name).into_iter().map(str::to_owned));
            if !found.insert(name.clone()) {
                open.retain(|other| *other != name);
            }
        }
        found
    }
}

impl Operation<'_> {
    /// Runs the tasks, or takes up where they stand.
    pub(super) fn dag(
        &mut self,
        place: &Place,
        prepared: &Prepared<'_>,
        tasks: &[Task],
        fail_fast: bool,
        targets: &[String],
    ) {
        let id = self.begin(place, Kind::Dag, prepared, Phase::Running);
        let all = Dag {
            place: place.clone(),
            id: id.clone(),
            tasks: tasks.iter().map(|task| (task.call.name.as_str(), task)).collect(),
        };
        let needed = all.up_to(targets.iter().map(String::as_str));
        let needed: Vec<&Task> = tasks.iter().filter(|task| needed.contains(&task.call.name)).collect();

        for task in &needed {
            if self.node(&all.place_of(&task.call.name)).is_some() {
                self.task(&all, task, prepared);
            }
        }
        loop {
            self.omit(&all, &needed);
            let failing =
                fail_fast && targets.iter().any(|target| self.branch(&all, target).is_some_and(Phase::is_bad));
            let before = self.count_ended(&all, &needed);
            for task in needed.iter().filter(|_| !failing) {
                if self.node(&all.place_of(&task.call.name)).is_none() && self.may_run(&all, task) == Some(true) {
                    self.task(&all, task, prepared);
                }
            }
            if self.count_ended(&all, &needed) == before {
                break;
            }
        }
        let running =
            needed.iter().any(|task| self.node(&all.place_of(&task.call.name)).is_some_and(|node| !node.fulfilled()));
        if running {
            return;
        }
        let phases: Vec<Option<Phase>> = targets.iter().map(|target| self.branch(&all, target)).collect();
        let bad = phases.iter().flatten().copied().find(|phase| phase.is_bad());
        let complete = phases.iter().all(Option::is_some);
        match bad {
            Some(phase) if fail_fast || complete => self.end(&id, phase, None),
            None if complete => {
                let scope = self.task_scope(&all, &prepared.scope, needed.iter().map(|task| task.call.name.as_str()));
                self.finish(&id, prepared, &scope);
            }
            // Something waits for parallelism.
            _ => {}
        }
    }

    fn count_ended(&self, dag: &Dag<'_>, tasks: &[&Task]) -> usize {
        tasks.iter().filter(|task| self.ended(&dag.place_of(&task.call.name)).is_some()).count()
    }

    /// Whether a task's dependencies let it run; None while they have not all ended.
    fn may_run(&self, dag: &Dag<'_>, task: &Task) -> Option<bool> {
        let Some(depends) = &task.depends else { return Some(true) };
        let complete = depends.tasks().iter().all(|name| self.ended(&dag.place_of(name)).is_some());
        complete.then(|| depends.holds(&|name, ending| self.ended_so(dag, name, ending)))
    }

    fn ended_so(&self, dag: &Dag<'_>, name: &str, ending: Ending) -> bool {
        let Some(node) = self.ended(&dag.place_of(name)) else { return false };
        let items = || node.children.iter().filter_map(|id| self.nodes.get(id));
        match ending {
            Ending::Succeeded => node.phase == Phase::Succeeded,
            Ending::Failed => node.phase == Phase::Failed,
            Ending::Errored => node.phase == Phase::Error,
            Ending::Skipped => node.phase == Phase::Skipped,
            Ending::Omitted => node.phase == Phase::Omitted,
            Ending::AnySucceeded => node.kind == Kind::TaskGroup && items().any(|item| item.phase == Phase::Succeeded),
            Ending::AllFailed => {
                node.kind == Kind::TaskGroup
                    && items().next().is_some()
                    && items().all(|item| item.phase == Phase::Failed)
            }
        }
    }

    /// Leaves out every task whose dependencies ended otherwise than it needs, and what follows from that.
    fn omit(&mut self, dag: &Dag<'_>, tasks: &[&Task]) {
        loop {
            let mut changed = false;
            for task in tasks {
                let place = dag.place_of(&task.call.name);
                if self.node(&place).is_none() && self.may_run(dag, task) == Some(false) {
                    let why = "omitted: depends condition not met".to_owned();
                    self.insert_ended(&place, Kind::Skipped, &task.call.template, Phase::Omitted, why);
                    self.follow(dag, task);
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// How the branch that ends in `task` stands: an omitted task stands as what made it be omitted.
    fn branch(&self, dag: &Dag<'_>, task: &str) -> Option<Phase> {
        fn visit(
            operation: &Operation<'_>,
            dag: &Dag<'_>,
            name: &str,
            known: &mut BTreeMap<String, Option<Phase>>,
        ) -> Option<Phase> {
            if let Some(phase) = known.get(name) {
                return *phase;
            }
            let call = dag.tasks.get(name).map(|task| &task.call);
            let phase = operation.ended(&dag.place_of(name)).map(|node| node.phase).map(|phase| match phase {
                Phase::Failed if call.is_some_and(|call| call.continue_on_failed) => Phase::Succeeded,
                Phase::Error if call.is_some_and(|call| call.continue_on_error) => Phase::Succeeded,
                Phase::Omitted => {
                    let before = dag.waits_for(name);
                    let mut phases = before.iter().filter_map(|name| visit(operation, dag, name, known));
                    phases.find(|phase| phase.is_bad()).unwrap_or(Phase::Succeeded)
                }
                other => other,
            });
            known.insert(name.to_owned(), phase);
            phase
        }
        visit(self, dag, task, &mut BTreeMap::new())
    }

    fn task(&mut self, dag: &Dag<'_>, task: &Task, prepared: &Prepared<'_>) {
        let call = &task.call;
        let place = dag.place_of(&call.name);
        if self.ended(&place).is_some() {
            return;
        }
        let before = dag.waits_for(&call.name);
        let before = dag.up_to(before.into_iter());
        let scope = self.task_scope(dag, &prepared.scope, before.iter().map(String::as_str));
        if call.over.is_none() {
            self.call(&place, call, &scope);
        } else {
            self.items(dag, &place, call, &scope);
        }
        self.follow(dag, task);
    }

    /// Runs a task once for each of its items.
    fn items(&mut self, dag: &Dag<'_>, place: &Place, call: &Call, scope: &Scope) {
        let items = match scope::expand(call, scope) {
            Ok(items) => items,
            Err(why) => return self.insert_ended(place, Kind::TaskGroup, &call.template, Phase::Error, why),
        };
        let id = self.id(place);
        if !self.nodes.contains_key(&id) {
            let node = self.made(place, Kind::TaskGroup, &call.template, Phase::Running);
            self.nodes.insert(id.clone(), node);
        }
        let mut phase = Some(Phase::Succeeded);
        for (name, scope) in items {
            let item = dag.place_of(&name);
            self.call(&item, call, &scope);
            if self.node(&item).is_some() {
                let child = self.id(&item);
                self.link(std::slice::from_ref(&id), &child);
            }
            phase = match (phase, self.ended(&item).map(|node| node.phase)) {
                (Some(worst), Some(item)) => Some(if item.is_bad() && !worst.is_bad() { item } else { worst }),
                _ => None,
            };
        }
        if let Some(phase) = phase {
            self.end(&id, phase, None);
        }
    }

    /// Puts a task's node behind those that it depends on.
    fn follow(&mut self, dag: &Dag<'_>, task: &Task) {
        let place = dag.place_of(&task.call.name);
        if self.node(&place).is_none() {
            return;
        }
        let mut before: Vec<String> = Vec::new();
        for name in dag.waits_for(&task.call.name) {
            before.extend(self.outbound(&self.id(&dag.place_of(name))));
        }
        if before.is_empty() {
            before.push(dag.id.clone());
        }
        let child = self.id(&place);
        self.link(&before, &child);
    }

    fn task_scope<'n>(&self, dag: &Dag<'_>, scope: &Scope, tasks: impl Iterator<Item = &'n str>) -> Scope {
        let mut scope = scope.clone();
        for name in tasks {
            let Some(node) = self.ended(&dag.place_of(name)) else { continue };
            let expanded = node.kind == Kind::TaskGroup;
            let nodes: Vec<Node> = if expanded {
                node.children.iter().filter_map(|id| self.nodes.get(id).cloned()).collect()
            } else {
                vec![node.clone()]
            };
            scope::add_results(&mut scope, &format!("tasks.{name}"), &nodes, expanded);
        }
        scope
    }

    /// The nodes of the tasks that a dag node ends with.
    pub(super) fn last_tasks_of(&self, dag: &Node) -> Vec<String> {
        let body = self.workflow.spec.templates.get(&dag.template_name).map(|template| &template.body);
        let Some(Body::Dag { targets, .. }) = body else { return Vec::new() };
        let ids = targets.iter().map(|target| names::node_id(&self.workflow.name, &format!("{}.{target}", dag.name)));
        ids.filter(|id| self.nodes.contains_key(id)).collect()
    }
}
