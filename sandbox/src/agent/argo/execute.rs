//! Running a template at its place in the tree: conditions, inputs, limits, and the pod at every leaf.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::advance::Order;
use super::manifest::{Body, Call, Template, Workflow};
use super::node::{Io, Kind, Node, Nodes, Phase, Value};
use super::pod_view::{PodView, Pods};
use super::tags::Scope;
use super::{condition, names, pod, scope};
use crate::agent::duration;

/// As Argo limits templates that call themselves.
const DEEPEST: usize = 64;
/// A Workflow is an object in an API server; Argo's own runs out of room at about this size.
const MOST_NODES: usize = 5_000;

/// One step under way.
pub(super) struct Operation<'a> {
    pub(super) workflow: &'a Workflow,
    pub(super) nodes: Nodes,
    pub(super) now: Timestamp,
    pub(super) longest_backoff: Duration,
    /// What every tag of this Workflow may name.
    pub(super) globals: Scope,
    /// Whether the exit handler is running.
    pub(super) exit_handler: bool,
    pub(super) orders: Vec<Order>,
    pub(super) kills: BTreeSet<String>,
    pub(super) look_again: Option<Timestamp>,
    pods: &'a Pods,
}

/// Where a node stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) display: String,
    /// The steps or dag node that it belongs to.
    pub(super) boundary: Option<String>,
    pub(super) depth: usize,
}

impl Place {
    pub(super) fn root(workflow: &str) -> Self {
        Self { name: workflow.to_owned(), display: workflow.to_owned(), boundary: None, depth: 0 }
    }

    pub(super) fn exit_handler(workflow: &str) -> Self {
        let name = format!("{workflow}.onExit");
        Self { display: name.clone(), name, boundary: None, depth: 0 }
    }

    /// A step, group or task under this place; `suffix` completes its name.
    pub(super) fn under(&self, suffix: &str, display: &str, boundary: Option<String>) -> Self {
        Self { name: format!("{}{suffix}", self.name), display: display.to_owned(), boundary, depth: self.depth + 1 }
    }

    /// An attempt of this place.
    pub(super) fn attempt(&self, number: usize) -> Self {
        Self {
            name: format!("{}({number})", self.name),
            display: format!("{}({number})", self.display),
            boundary: self.boundary.clone(),
            depth: self.depth + 1,
        }
    }
}

/// A template with its inputs filled in.
pub(super) struct Prepared<'t> {
    pub(super) template: &'t Template,
    pub(super) scope: Scope,
    pub(super) inputs: Vec<Value>,
}

impl<'a> Operation<'a> {
    pub(super) fn new(
        workflow: &'a Workflow,
        nodes: Nodes,
        pods: &'a Pods,
        now: Timestamp,
        longest_backoff: Duration,
    ) -> Self {
        Self {
            workflow,
            nodes,
            now,
            longest_backoff,
            globals: Scope::default(),
            exit_handler: false,
            orders: Vec::new(),
            kills: BTreeSet::new(),
            look_again: None,
            pods,
        }
    }

    pub(super) fn id(&self, place: &Place) -> String {
        names::node_id(&self.workflow.name, &place.name)
    }

    pub(super) fn node(&self, place: &Place) -> Option<&Node> {
        self.nodes.get(&self.id(place))
    }

    /// How the node at `place` ended; None while it has not.
    pub(super) fn ended(&self, place: &Place) -> Option<&Node> {
        self.node(place).filter(|node| node.fulfilled())
    }

    pub(super) fn look_again_at(&mut self, time: Timestamp) {
        self.look_again = Some(self.look_again.map_or(time, |other| other.min(time)));
    }

    /// Runs a step or task: its condition first, then its template with its arguments.
    pub(super) fn call(&mut self, place: &Place, call: &Call, scope: &Scope) {
        if self.ended(place).is_some() {
            return;
        }
        if self.node(place).is_none() {
            let decided = scope.fill(&call.when).and_then(|when| condition::holds(&when).map(|holds| (when, holds)));
            match decided {
                Ok((_, true)) => {}
                Ok((when, false)) => {
                    let why = format!("when '{when}' evaluated false");
                    return self.insert_ended(place, Kind::Skipped, &call.template, Phase::Skipped, why);
                }
                Err(why) => return self.insert_ended(place, Kind::Skipped, &call.template, Phase::Error, why),
            }
        }
        let arguments = call.arguments.iter().map(|(name, value)| Ok((name.clone(), scope.fill(value)?)));
        let prepared =
            arguments.collect::<Result<Vec<_>, String>>().and_then(|filled| Ok((filled, scope.fill(&call.template)?)));
        match prepared {
            Ok((arguments, template)) => self.execute(place, &template, &arguments),
            Err(why) => self.insert_ended(place, Kind::Skipped, &call.template, Phase::Error, why),
        }
    }

    /// Runs a template at `place`, or takes up where it stands.
    pub(super) fn execute(&mut self, place: &Place, template: &str, arguments: &[(String, String)]) {
        if self.ended(place).is_some() {
            return;
        }
        let workflow = self.workflow;
        let refuse = |operation: &mut Self, why: String| {
            operation.insert_ended(place, Kind::Skipped, template, Phase::Error, why);
        };
        if place.depth > DEEPEST {
            return refuse(
                self,
                format!("Maximum recursion depth exceeded: the sandbox nests templates at most {DEEPEST} deep"),
            );
        }
        if self.nodes.len() >= MOST_NODES && self.node(place).is_none() {
            return refuse(self, format!("the sandbox runs at most {MOST_NODES} nodes of a workflow"));
        }
        let Some(found) = workflow.spec.templates.get(template) else {
            return refuse(self, format!("template name '{template}' undefined"));
        };
        let inputs = match scope::inputs(found, arguments, &self.globals) {
            Ok(inputs) => inputs,
            Err(why) => return refuse(self, why),
        };
        if self.node(place).is_none() && self.at_limit(place, found) {
            return;
        }
        let prepared = Prepared { template: found, scope: scope::of_template(&self.globals, &inputs), inputs };
        match found.retry.as_ref().or(workflow.spec.retry.as_ref()) {
            Some(retry) => self.retry(place, &prepared, retry),
            None => self.attempt(place, &prepared),
        }
    }

    /// Runs the template's body once.
    pub(super) fn attempt(&mut self, place: &Place, prepared: &Prepared<'_>) {
        match &prepared.template.body {
            Body::Container(_) | Body::Script { .. } => self.pod(place, prepared),
            Body::Steps(groups) => self.steps(place, prepared, groups),
            Body::Dag { tasks, fail_fast, targets } => self.dag(place, prepared, tasks, *fail_fast, targets),
        }
    }

    /// Whether `parallelism` keeps a new node from starting here now.
    pub(super) fn at_limit(&self, place: &Place, template: &Template) -> bool {
        let active = |counts: &dyn Fn(&Node) -> bool| {
            self.nodes.values().filter(|node| !node.fulfilled() && counts(node)).count()
        };
        if template.is_pod()
            && let Some(limit) = self.workflow.spec.parallelism
            && active(&|node| node.kind == Kind::Pod) >= limit
        {
            return true;
        }
        let around = place.boundary.as_ref().and_then(|id| self.nodes.get(id));
        let limit = around.and_then(|node| self.workflow.spec.templates.get(&node.template_name)?.parallelism);
        limit.is_some_and(|limit| {
            active(&|node| node.boundary == place.boundary && matches!(node.kind, Kind::Pod | Kind::Steps | Kind::Dag))
                >= limit
        })
    }

    fn pod(&mut self, place: &Place, prepared: &Prepared<'_>) {
        let template = prepared.template;
        let name = names::pod_name(&self.workflow.name, &place.name, &template.name);
        let view = self.pods.get(&name);
        if self.node(place).is_none() {
            let scope = prepared.scope.with("pod.name", name.as_str());
            let made = pod::manifest(self.workflow, place, template, &name, &scope, self.exit_handler);
            match made {
                Ok(_) if matches!(view, Some(PodView::Refused { .. })) => {}
                Ok(pod) => self.orders.push(Order { name: name.clone(), pod }),
                Err(why) => return self.insert_ended(place, Kind::Pod, &template.name, Phase::Error, why),
            }
            self.begin(place, Kind::Pod, prepared, Phase::Pending);
        }
        let (id, now) = (self.id(place), self.now);
        if let (Some(view), Some(node)) = (view, self.nodes.get_mut(&id)) {
            note(node, view, now);
        }
        self.end_if_timed_out(&id, &name, prepared);
    }

    fn end_if_timed_out(&mut self, id: &str, pod: &str, prepared: &Prepared<'_>) {
        let Some(timeout) = &prepared.template.timeout else { return };
        let Some(node) = self.nodes.get_mut(id).filter(|node| !node.fulfilled()) else { return };
        let timeout = prepared.scope.fill(timeout).and_then(|text| duration::parse(&text));
        let due = timeout.and_then(|timeout| node.started_at.0.checked_add(timeout).map_err(|error| error.to_string()));
        match due {
            Ok(due) if self.now < due => return self.look_again_at(due),
            Ok(_) => node.end(Phase::Failed, Some("Step exceeded its deadline".to_owned()), self.now),
            Err(why) => node.end(Phase::Error, Some(format!("the template's timeout: {why}")), self.now),
        }
        self.kills.insert(pod.to_owned());
    }

    /// Ends every node that still runs, and their pods.
    pub(super) fn end_running(&mut self, keep_exit_handler: bool, message: &str) {
        let exit = Place::exit_handler(&self.workflow.name).name;
        let now = self.now;
        for node in self.nodes.values_mut().filter(|node| !node.fulfilled()) {
            if keep_exit_handler && node.name.starts_with(&exit) {
                continue;
            }
            if node.kind == Kind::Pod {
                self.kills.insert(names::pod_name(&self.workflow.name, &node.name, &node.template_name));
            }
            node.end(Phase::Failed, Some(message.to_owned()), now);
        }
        self.orders.retain(|order| !self.kills.contains(&order.name));
    }

    /// The node at `place`, made if it is not there. Returns its id.
    pub(super) fn begin(&mut self, place: &Place, kind: Kind, prepared: &Prepared<'_>, phase: Phase) -> String {
        let id = self.id(place);
        if !self.nodes.contains_key(&id) {
            let mut node = self.made(place, kind, &prepared.template.name, phase);
            node.inputs = Io { parameters: prepared.inputs.clone(), ..Io::default() };
            self.nodes.insert(id.clone(), node);
        }
        id
    }

    /// A node that ends as it is made, or that ends here if it was made before.
    pub(super) fn insert_ended(&mut self, place: &Place, kind: Kind, template: &str, phase: Phase, message: String) {
        let (id, now) = (self.id(place), self.now);
        let fresh = self.made(place, kind, template, Phase::Pending);
        self.nodes.entry(id).or_insert(fresh).end(phase, Some(message), now);
    }

    /// Ends the node with this id.
    pub(super) fn end(&mut self, id: &str, phase: Phase, message: Option<String>) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.end(phase, message, self.now);
        }
    }

    pub(super) fn made(&self, place: &Place, kind: Kind, template: &str, phase: Phase) -> Node {
        Node {
            id: self.id(place),
            name: place.name.clone(),
            display_name: place.display.clone(),
            kind,
            template_name: template.to_owned(),
            phase,
            boundary: place.boundary.clone(),
            message: None,
            started_at: Time(self.now),
            finished_at: None,
            children: Vec::new(),
            inputs: Io::default(),
            outputs: Io::default(),
            host_node_name: None,
        }
    }
}

/// Writes down what is seen of a node's pod.
fn note(node: &mut Node, view: &PodView, now: Timestamp) {
    if node.fulfilled() {
        return;
    }
    match view {
        PodView::Pending { message } => node.message.clone_from(message),
        PodView::Running { host } => {
            node.phase = Phase::Running;
            node.message = None;
            node.host_node_name.clone_from(host);
        }
        PodView::Ended { host, exit_code, result, failure } => {
            node.host_node_name.clone_from(host);
            node.outputs.result.clone_from(result);
            node.outputs.exit_code = exit_code.map(|code| code.to_string());
            let phase = if failure.is_some() { Phase::Failed } else { Phase::Succeeded };
            node.end(phase, failure.clone(), now);
        }
        PodView::Gone => node.end(Phase::Error, Some("pod deleted".to_owned()), now),
        PodView::Refused { message } => node.end(Phase::Error, Some(message.clone()), now),
    }
}
