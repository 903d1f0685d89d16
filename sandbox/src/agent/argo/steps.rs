//! A steps template: groups one after the other, the steps of a group side by side.

use super::execute::{Operation, Place, Prepared};
use super::manifest::Call;
use super::node::{Kind, Node, Phase};
use super::scope;
use super::tags::Scope;

/// How a group stands.
enum Group {
    Running,
    Succeeded,
    Bad(Phase, String),
}

impl Operation<'_> {
    /// Runs the groups, or takes up where they stand.
    pub(super) fn steps(&mut self, place: &Place, prepared: &Prepared<'_>, groups: &[Vec<Call>]) {
        let id = self.begin(place, Kind::Steps, prepared, Phase::Running);
        let mut scope = prepared.scope.clone();
        let mut before = vec![id.clone()];
        for (index, group) in groups.iter().enumerate() {
            let display = format!("[{index}]");
            let group_place = place.under(&display, &display, Some(id.clone()));
            let group_id = self.id(&group_place);
            if !self.nodes.contains_key(&group_id) {
                let node = self.made(&group_place, Kind::StepGroup, "", Phase::Running);
                self.nodes.insert(group_id.clone(), node);
                self.link(&before, &group_id);
            }
            match self.group(&group_place, &id, group, &scope) {
                Group::Running => return,
                Group::Succeeded => self.end(&group_id, Phase::Succeeded, None),
                Group::Bad(phase, message) => {
                    self.end(&group_id, phase, Some(message.clone()));
                    return self.end(&id, phase, Some(message));
                }
            }
            before = self.outbound(&group_id);
            for call in group {
                let nodes = self.expanded(&group_place, call, &scope);
                scope::add_results(&mut scope, &format!("steps.{}", call.name), &nodes, call.over.is_some());
            }
        }
        self.finish(&id, prepared, &scope);
    }

    fn group(&mut self, place: &Place, steps: &str, calls: &[Call], scope: &Scope) -> Group {
        let mut places = Vec::new();
        for call in calls {
            let items = match scope::expand(call, scope) {
                Ok(items) => items,
                Err(why) => {
                    return Group::Bad(
                        Phase::Error,
                        format!("step group deemed errored due to child {} error: {why}", call.name),
                    );
                }
            };
            for (name, scope) in items {
                let child = place.under(&format!(".{name}"), &name, Some(steps.to_owned()));
                let known = self.node(&child).is_some();
                self.call(&child, call, &scope);
                if !known && self.node(&child).is_some() {
                    let (group, child) = (self.id(place), self.id(&child));
                    self.link(&[group], &child);
                }
                places.push((child, call));
            }
        }
        let mut bad = None;
        for (place, call) in &places {
            let Some(node) = self.ended(place) else { return Group::Running };
            let tolerated = match node.phase {
                Phase::Failed => call.continue_on_failed,
                Phase::Error => call.continue_on_error,
                _ => true,
            };
            if !tolerated && bad.is_none() {
                bad = Some(Group::Bad(Phase::Failed, format!("child '{}' failed", node.id)));
            }
        }
        bad.unwrap_or(Group::Succeeded)
    }

    /// The nodes that a call of a group became, in the order of its items.
    fn expanded(&self, place: &Place, call: &Call, scope: &Scope) -> Vec<Node> {
        let items = scope::expand(call, scope).unwrap_or_default();
        items.iter().filter_map(|(name, _)| self.node(&place.under(&format!(".{name}"), name, None)).cloned()).collect()
    }

    /// Ends a steps or dag node that succeeded, with its outputs.
    pub(super) fn finish(&mut self, id: &str, prepared: &Prepared<'_>, scope: &Scope) {
        match scope::outputs(prepared.template, scope) {
            Ok(parameters) => {
                if let Some(node) = self.nodes.get_mut(id) {
                    node.outputs.parameters = parameters;
                    node.end(Phase::Succeeded, None, self.now);
                }
            }
            Err(why) => self.end(id, Phase::Error, Some(why)),
        }
    }

    /// Makes `child` follow the nodes `before` in the tree that people see.
    pub(super) fn link(&mut self, before: &[String], child: &str) {
        for id in before {
            if let Some(node) = self.nodes.get_mut(id)
                && !node.children.iter().any(|known| known == child)
            {
                node.children.push(child.to_owned());
            }
        }
    }

    /// The nodes that what comes after the node `id` follows.
    pub(super) fn outbound(&self, id: &str) -> Vec<String> {
        let Some(node) = self.nodes.get(id) else { return Vec::new() };
        let inner: Vec<String> = match node.kind {
            Kind::Pod | Kind::Skipped => Vec::new(),
            Kind::StepGroup | Kind::TaskGroup => node.children.clone(),
            Kind::Retry => node.children.last().cloned().into_iter().collect(),
            Kind::Steps => self.groups_of(node).last().cloned().into_iter().collect(),
            Kind::Dag => self.last_tasks_of(node),
        };
        let found: Vec<String> = inner.iter().flat_map(|id| self.outbound(id)).collect();
        if found.is_empty() { vec![id.to_owned()] } else { found }
    }

    fn groups_of(&self, steps: &Node) -> Vec<String> {
        (0..)
            .map(|index| super::names::node_id(&self.workflow.name, &format!("{}[{index}]", steps.name)))
            .take_while(|id| self.nodes.contains_key(id))
            .collect()
    }
}
