//! What can be seen of the loop through the API server, and what of it is news.

use std::collections::BTreeSet;

use aegis_crds::alert::{ActionStatus, AegisAlertStatus};
use aegis_crds::{AegisAlert, AegisAlertOpsRule, AegisOpsTemplate};
use futures::stream::{BoxStream, select_all};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, LogParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::Value;

/// One object as a watch shows it.
pub(super) enum Sight {
    Rule(Box<AegisAlertOpsRule>),
    Template(AegisOpsTemplate),
    Alert(Box<AegisAlert>),
    Workflow(DynamicObject),
    Node(Box<Node>),
}

/// Everything that the loop changes, as it changes.
pub(super) fn watch(client: &Client, namespace: &str) -> BoxStream<'static, watcher::Result<Sight>> {
    let rules = Api::namespaced(client.clone(), namespace);
    let templates = Api::namespaced(client.clone(), namespace);
    let alerts = Api::namespaced(client.clone(), namespace);
    let workflows = Api::namespaced_with(client.clone(), namespace, &workflow());
    let nodes = Api::all(client.clone());
    select_all([
        watcher(rules, watcher::Config::default()).applied_objects().map_ok(|rule| Sight::Rule(Box::new(rule))).boxed(),
        watcher(templates, watcher::Config::default()).applied_objects().map_ok(Sight::Template).boxed(),
        watcher(alerts, watcher::Config::default()).applied_objects().map_ok(|a| Sight::Alert(Box::new(a))).boxed(),
        watcher(workflows, watcher::Config::default()).applied_objects().map_ok(Sight::Workflow).boxed(),
        watcher(nodes, watcher::Config::default()).applied_objects().map_ok(|n| Sight::Node(Box::new(n))).boxed(),
    ])
    .boxed()
}

fn workflow() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow"), "workflows")
}

/// What was told already.
#[derive(Default)]
pub(super) struct Seen {
    told: BTreeSet<(&'static str, String)>,
    rule: bool,
    template: bool,
}

impl Seen {
    /// The lines that this sight adds: who it is about, and what is so now.
    pub(super) fn news(&mut self, sight: &Sight) -> Vec<(&'static str, String)> {
        let lines = match sight {
            Sight::Rule(rule) => {
                self.rule = is_recorded(rule.status.as_ref().and_then(|status| status.status.as_deref()));
                recorded_line("rule", &rule.name_any(), self.rule)
            }
            Sight::Template(template) => {
                self.template = is_recorded(template.status.as_ref().and_then(|status| status.status.as_deref()));
                recorded_line("template", &template.name_any(), self.template)
            }
            Sight::Alert(alert) => alert_lines(alert),
            Sight::Workflow(workflow) => workflow_lines(workflow),
            Sight::Node(node) => node_line(node).map(|text| ("node", text)).into_iter().collect(),
        };
        lines.into_iter().filter(|line| self.told.insert(line.clone())).collect()
    }

    /// Whether the controller has looked at the rule and the template and found them good.
    pub(super) fn rule_and_template_recorded(&self) -> bool {
        self.rule && self.template
    }
}

fn is_recorded(status: Option<&str>) -> bool {
    status == Some("Recorded")
}

fn recorded_line(subject: &'static str, name: &str, recorded: bool) -> Vec<(&'static str, String)> {
    if recorded { vec![(subject, format!("{name} Recorded"))] } else { Vec::new() }
}

fn alert_lines(alert: &AegisAlert) -> Vec<(&'static str, String)> {
    let mut lines = vec![("alert", format!("{} stored", alert.name_any()))];
    let Some(AegisAlertStatus { ops_status: Some(ops), status, rule, actions, .. }) = &alert.status else {
        return lines;
    };
    if let Some(rule) = rule {
        lines.push(("match", format!("{}/{}: {}", rule.namespace, rule.name, rule.why)));
    }
    for ActionStatus { kind, name, .. } in actions {
        lines.push(("action", format!("{kind} {name}")));
    }
    let phase = status.map(|status| status.to_string()).unwrap_or_default();
    let trigger = ops.trigger_status.map(|word| format!("{word:?}")).unwrap_or_default();
    let stand = ops.alert_ops_status.map(|word| format!("{word:?}")).unwrap_or_default();
    lines.push(("status", [phase, trigger, stand].join(" ").trim().to_owned()));
    lines
}

fn workflow_lines(workflow: &DynamicObject) -> Vec<(&'static str, String)> {
    let phase = workflow.data.pointer("/status/phase").and_then(Value::as_str);
    phase.map(|phase| ("workflow", format!("{} {phase}", workflow.name_any()))).into_iter().collect()
}

/// A node that is cordoned, in a line.
fn node_line(node: &Node) -> Option<String> {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    cordoned.then(|| format!("{} Ready,SchedulingDisabled", node.name_any()))
}

/// The logs of the pods that the alert's actions ran in, line by line.
pub(super) async fn logs(client: &Client, namespace: &str, alert: &AegisAlert) -> kube::Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let actions = alert.status.iter().flat_map(|status| &status.actions);
    let mut lines = Vec::new();
    for action in actions {
        let selector = format!("workflows.argoproj.io/workflow={}", action.name);
        for pod in pods.list(&ListParams::default().labels(&selector)).await? {
            let text = pods.logs(&pod.name_any(), &LogParams::default()).await?;
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    Ok(lines)
}
