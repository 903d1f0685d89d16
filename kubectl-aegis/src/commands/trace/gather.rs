//! What the page tells, read from the cluster. What may not be read is left out with the reason.

use aegis_controller::Settings;
use aegis_crds::AegisAlert;
use aegis_crds::alert::{ApprovalStatus, RuleChoice, VerdictStatus, VerificationStatus};
use aegis_crds::conditions::Condition;
use aegis_engine::guard::changes;
use aegis_engine::plan::{self, ActionKind, Explanation, SeenAction};
use futures::future;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, ResourceExt};
use kubectl_aegis::view::kinds::{ALERT, EVENT, NODE};
use serde::Serialize;
use serde_json::Value;

use crate::commands::plan::known::Known;
use crate::failure::{Failure, Kind};
use crate::fetch::{self, Wanted};
use crate::work::{self, Step};

/// How much of each log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logs {
    None,
    Last(u64),
    All,
}

/// All that is known of an alert.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Story {
    /// The alert as it is stored.
    #[cfg_attr(test, schemars(schema_with = "crate::schemas::alert"))]
    pub(super) alert: AegisAlert,
    /// The rule that its status names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<RuleChoice>,
    /// What was decided last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<VerdictStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) approval: Option<ApprovalStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) conditions: Vec<Condition>,
    /// What the rules, templates and gates say now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) now: Option<Explanation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) actions: Vec<Action>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) touched: Vec<Touch>,
    pub(super) times: Vec<Moment>,
    /// What is not shown, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hidden: Vec<String>,
}

/// One Workflow or Job; what is gone already is known from the alert's status alone.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Action {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) phase: String,
    pub(super) attempt: i32,
    /// Whether it only checks what the action of the same attempt achieved.
    pub(super) check: bool,
    /// Whether it cured the problem, where its rule has that verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verification: Option<VerificationStatus>,
    pub(super) rule: String,
    pub(super) template: String,
    pub(super) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(super) start: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(super) end: Option<Timestamp>,
    pub(super) steps: Vec<Step>,
    /// What was rendered from the template; nothing if the object is gone, or was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spec: Option<Value>,
    /// Whether the object was not read, and may be there; `hidden` says why.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, schemars(default))]
    pub(super) unread: bool,
}

/// A change of a node that still stands.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Touch {
    pub(super) node: String,
    pub(super) change: changes::Change,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Moment {
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) time: Timestamp,
    pub(super) what: String,
}

/// Reads everything about the alert.
pub(super) async fn story(
    client: &Client,
    namespace: &str,
    name: &str,
    logs: Logs,
    now: Timestamp,
) -> Result<Story, Failure> {
    let Some(found) = fetch::get(client, &ALERT, Some(namespace), name).await? else {
        return Err(Failure::new(Kind::NotFound, format!("there is no alert {name} in {namespace}"))
            .hint(format!("`kubectl aegis get alerts -n {namespace}` lists them")));
    };
    let alert: AegisAlert = serde_json::from_value(found).map_err(|error| {
        Failure::new(Kind::NotInstalled, format!("alert {name} was written by another version of Aegis")).because(error)
    })?;
    let mut hidden = Vec::new();
    let uid = alert.uid().unwrap_or_default();
    let about = format!("involvedObject.kind=AegisAlert,involvedObject.name={name}");
    let about = Wanted::all_in(Some(namespace)).with_fields(about);
    let (known, (objects, failures), events, touched) = future::join4(
        known(client, namespace, &alert),
        work::of_alert(client, namespace, &uid),
        fetch::list(client, &EVENT, &about),
        touched(client, &alert),
    )
    .await;
    hidden.extend(failures.iter().map(|(_, failure)| left_out("actions", failure)));
    let events = events.map(|list| list.items).unwrap_or_else(|failure| {
        hidden.push(left_out("events", &failure));
        Vec::new()
    });
    let touched = touched.unwrap_or_else(|failure| {
        hidden.push(left_out("changes of the node", &failure));
        Vec::new()
    });
    let explained = match known {
        Ok(known) => {
            let mut snapshot = known.snapshot(alert.clone());
            snapshot.actions = objects.iter().filter_map(seen).collect();
            Some(plan::explain(&snapshot, now))
        }
        Err(failure) => {
            hidden.push(left_out("rules and gates as they are now", &failure));
            None
        }
    };
    let mut actions = Vec::new();
    for (mut action, object) in actions_of(&alert, &objects) {
        action.unread = object.is_none() && failures.iter().any(|(kind, _)| *kind == action.kind);
        if let Some(object) = object {
            match work::pods(client, object).await {
                Ok(pods) => action.steps = work::steps(object, &pods),
                Err(failure) => {
                    action.steps = work::steps(object, &[]);
                    hidden.push(left_out(&format!("pods of {}", action.name), &failure));
                }
            }
        }
        for step in &mut action.steps {
            let lines = match logs {
                Logs::None => break,
                Logs::Last(lines) => Some(lines),
                Logs::All => None,
            };
            match work::log(client, namespace, step, lines).await {
                Ok(log) => step.log = log,
                Err(failure) => hidden.push(left_out(&format!("the log of step {}", step.name), &failure)),
            }
        }
        actions.push(action);
    }
    let status = alert.status.clone().unwrap_or_default();
    let times = times(&alert, &actions, &events, &touched);
    Ok(Story {
        alert,
        rule: status.rule,
        verdict: status.verdict,
        approval: status.approval,
        conditions: status.conditions,
        now: explained,
        actions,
        touched,
        times,
        hidden,
    })
}

fn left_out(what: &str, failure: &Failure) -> String {
    match failure.status() {
        Some(status) => format!("{what}: {}", status.message),
        None => format!("{what}: {failure}"),
    }
}

async fn known(client: &Client, namespace: &str, alert: &AegisAlert) -> Result<Known, Failure> {
    let mut settings = Settings::default();
    namespace.clone_into(&mut settings.alert.publish_namespace);
    if let Some(rule) = alert.status.as_ref().and_then(|status| status.rule.as_ref()) {
        settings.rule_namespaces.push(rule.namespace.clone());
    }
    match Known::with_guard(client, settings.clone(), namespace).await {
        // The gates may not be seen; the rules may.
        Err(failure) if failure.kind() == Kind::Forbidden => Known::of_cluster(client, settings).await,
        other => other,
    }
}

/// What stands on the alert's node of its changes.
async fn touched(client: &Client, alert: &AegisAlert) -> Result<Vec<Touch>, Failure> {
    let object = &alert.spec.involved_object;
    let node = if object.kind.eq_ignore_ascii_case("node") { &object.name } else { &object.node };
    if node.is_empty() {
        return Ok(Vec::new());
    }
    let Some(found) = fetch::get(client, &NODE, None, node).await? else { return Ok(Vec::new()) };
    let Ok(found) = serde_json::from_value::<Node>(found) else { return Ok(Vec::new()) };
    let name = alert.name_any();
    let changes = changes::recorded(&found).into_iter().filter(|change| change.alert == name);
    Ok(changes.map(|change| Touch { node: node.clone(), change }).collect())
}

/// The object as decisions see it.
fn seen(object: &Value) -> Option<SeenAction> {
    match ActionKind::parse(object.get("kind")?.as_str()?)? {
        ActionKind::Job => serde_json::from_value::<Job>(object.clone()).ok().map(|job| SeenAction::job(&job)),
        ActionKind::Workflow => {
            let metadata: ObjectMeta = serde_json::from_value(object.get("metadata")?.clone()).ok()?;
            Some(SeenAction::workflow(&metadata, object))
        }
    }
}

/// The actions of the status, each with its object; then the objects that no status tells of yet.
fn actions_of<'a>(alert: &AegisAlert, objects: &'a [Value]) -> Vec<(Action, Option<&'a Value>)> {
    let told = alert.status.as_ref().map(|status| status.actions.as_slice()).unwrap_or_default();
    let name_of =
        |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut actions = Vec::new();
    for record in told {
        let object = objects.iter().find(|object| name_of(object) == record.name);
        let action = Action {
            kind: record.kind.clone(),
            name: record.name.clone(),
            phase: record.phase.to_string(),
            attempt: record.attempt,
            check: record.check,
            verification: record.verification,
            rule: record.rule.clone(),
            template: record.template.clone(),
            status: record.status.map_or_else(|| "Unknown".to_owned(), |status| format!("{status:?}")),
            reason: record.reason.clone(),
            message: record.message.clone(),
            start: record.start_time,
            end: record.completion_time,
            steps: Vec::new(),
            spec: object.and_then(|object| object.get("spec").cloned()),
            unread: false,
        };
        actions.push((action, object));
    }
    for object in objects.iter().filter(|object| told.iter().all(|record| record.name != name_of(object))) {
        let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let label = |name: &str| {
            let label = object.pointer("/metadata/labels").and_then(|all| all.get(name)).and_then(Value::as_str);
            label.unwrap_or_default().to_owned()
        };
        let annotation = |name: &str| {
            let text = object.pointer("/metadata/annotations").and_then(|all| all.get(name)).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let action = Action {
            kind: word("/kind"),
            name: name_of(object),
            phase: label(aegis_crds::names::PHASE_LABEL),
            attempt: label(aegis_crds::names::ATTEMPT_LABEL).parse().unwrap_or_default(),
            check: label(aegis_crds::names::CHECK_LABEL) == "true",
            verification: None,
            rule: annotation(aegis_crds::names::RULE_ANNOTATION),
            template: annotation(aegis_crds::names::TEMPLATE_ANNOTATION),
            status: "not told yet".to_owned(),
            reason: None,
            message: None,
            start: word("/metadata/creationTimestamp").parse().ok(),
            end: None,
            steps: Vec::new(),
            spec: object.get("spec").cloned(),
            unread: false,
        };
        actions.push((action, Some(object)));
    }
    actions
}

/// Everything that has a time, in its order.
fn times(alert: &AegisAlert, actions: &[Action], events: &[Value], touched: &[Touch]) -> Vec<Moment> {
    let mut times = Vec::new();
    let mut add = |time: Option<Timestamp>, what: String| times.extend(time.map(|time| Moment { time, what }));
    let status = alert.status.clone().unwrap_or_default();
    add(alert.spec.starts_at, "it began, says its sender".to_owned());
    add(alert.metadata.creation_timestamp.as_ref().map(|time| time.0), "stored".to_owned());
    add(status.start_time, "first judged".to_owned());
    if let Some(approval) = &status.approval {
        add(approval.time, format!("approved by {}", approval.by.join(" and ")));
    }
    for action in actions {
        let Action { kind, name, status, .. } = action;
        add(action.start, format!("{kind} {name} made"));
        for step in &action.steps {
            add(step.start, format!("step {} began", step.name));
            add(step.end, format!("step {} ended: {}", step.name, step.status));
        }
        add(action.end, format!("{kind} {name} ended: {status}"));
    }
    for Touch { node, change } in touched {
        add(Some(change.time), format!("node {node}: {} changed", change.field));
    }
    for event in events {
        let word = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let time = [word("lastTimestamp"), word("eventTime"), word("firstTimestamp")];
        let time = time.iter().find_map(|text| text.parse().ok());
        add(time, format!("event {}: {}", word("reason"), word("message")));
    }
    if status.count.unwrap_or_default() > 1 {
        add(status.last_time, format!("last reported, {} times in all", status.count.unwrap_or_default()));
    }
    if let Some(resolution) = &status.resolution {
        add(resolution.time, "resolved".to_owned());
    }
    // Those of one second stay in the order in which one leads to another.
    times.sort_by_key(|moment| moment.time.as_second());
    times
}
