//! What was made for an alert: its Workflows and Jobs, their steps, and the pods that these ran in.

use aegis_crds::names;
use futures::future;
use jiff::Timestamp;
use kube::Client;
use kubectl_aegis::view::kinds::{JOB, POD, Resource, WORKFLOW};
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::fetch::{self, Wanted};

/// One step of a Workflow, or one pod of a Job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(crate) start: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(crate) end: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<String>,
    /// The container whose log tells of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container: Option<String>,
    /// The end of its log, if that was read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) log: Vec<String>,
}

/// The Workflows and Jobs of the alert with that UID, oldest first, and which of the two kinds could not be read.
pub(crate) async fn of_alert(
    client: &Client,
    namespace: &str,
    uid: &str,
) -> (Vec<Value>, Vec<(&'static str, Failure)>) {
    let wanted = Wanted::all_in(Some(namespace)).labelled(format!("{}={uid}", names::ALERT_UID_LABEL));
    let read = async |resource: &Resource| fetch::list_if_known(client, resource, &wanted).await;
    let (workflows, jobs) = future::join(read(&WORKFLOW), read(&JOB)).await;
    let (mut actions, mut failures) = (Vec::new(), Vec::new());
    for (kind, list) in [("Workflow", workflows), ("Job", jobs)] {
        match list {
            Ok(list) => actions.extend(list.items),
            Err(failure) => failures.push((kind, failure)),
        }
    }
    actions.sort_by_key(|action| {
        (text(action, "/metadata/creationTimestamp").to_owned(), text(action, "/metadata/name").to_owned())
    });
    (actions, failures)
}

/// The pods of a Workflow or Job, oldest first.
pub(crate) async fn pods(client: &Client, action: &Value) -> Result<Vec<Value>, Failure> {
    let (namespace, name) = (text(action, "/metadata/namespace"), text(action, "/metadata/name"));
    let label = if text(action, "/kind") == "Job" { "job-name" } else { "workflows.argoproj.io/workflow" };
    let wanted = Wanted::all_in(Some(namespace)).labelled(format!("{label}={name}"));
    let mut pods = fetch::list(client, &POD, &wanted).await?.items;
    pods.sort_by_key(|pod| {
        (text(pod, "/metadata/creationTimestamp").to_owned(), text(pod, "/metadata/name").to_owned())
    });
    Ok(pods)
}

/// The steps of a Workflow or Job, in the order in which they began, each with its pod.
pub(crate) fn steps(action: &Value, pods: &[Value]) -> Vec<Step> {
    let nodes = action.pointer("/status/nodes").and_then(Value::as_object);
    let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty()) else {
        return pods.iter().map(of_pod).collect();
    };
    let mut steps: Vec<Step> = nodes
        .values()
        // The others hold steps together, and say nothing that those do not say.
        .filter(|node| !matches!(text(node, "/type"), "Steps" | "StepGroup" | "DAG" | "TaskGroup" | "Retry"))
        .map(|node| of_node(node, pods))
        .collect();
    steps.sort_by(|one, other| (one.start, &one.name).cmp(&(other.start, &other.name)));
    steps
}

/// The last lines of a container's log.
pub(crate) async fn log(
    client: &Client,
    namespace: &str,
    step: &Step,
    lines: Option<u64>,
) -> Result<Vec<String>, Failure> {
    let (Some(pod), Some(container)) = (&step.pod, &step.container) else { return Ok(Vec::new()) };
    let tail = lines.map(|lines| format!("&tailLines={lines}")).unwrap_or_default();
    let path = format!("{}/{pod}/log?container={container}{tail}", POD.path(Some(namespace)));
    let failed = |error| Failure::of_call(format!("could not read the log of pod {pod}"), error);
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| failed(kube::Error::HttpError(error)))?;
    let log = client.request_text(request).await.map_err(failed)?;
    Ok(log.lines().map(str::to_owned).collect())
}

fn of_node(node: &Value, pods: &[Value]) -> Step {
    let is_its = |pod: &&Value| {
        let annotation = |name: &str| {
            pod.pointer("/metadata/annotations")
                .and_then(|all| all.get(name))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (id, name) = (text(node, "/id"), text(node, "/name"));
        annotation("workflows.argoproj.io/node-id") == id || annotation("workflows.argoproj.io/node-name") == name
    };
    let pod = pods.iter().find(is_its);
    let time = |pointer: &str| text(node, pointer).parse().ok();
    let name = Some(text(node, "/displayName")).filter(|name| !name.is_empty()).unwrap_or(text(node, "/name"));
    Step {
        name: name.to_owned(),
        status: text(node, "/phase").to_owned(),
        start: time("/startedAt"),
        end: time("/finishedAt"),
        message: Some(text(node, "/message")).filter(|text| !text.is_empty()).map(str::to_owned),
        pod: pod.map(|pod| text(pod, "/metadata/name").to_owned()),
        container: pod.and_then(container),
        log: Vec::new(),
    }
}

fn of_pod(pod: &Value) -> Step {
    let ended = pod.pointer("/status/containerStatuses/0/state/terminated");
    let time = |text: Option<&Value>| text.and_then(Value::as_str).and_then(|text| text.parse().ok());
    let name = text(pod, "/metadata/name").to_owned();
    let said = |place: Option<&Value>, field: &str| {
        let text = place.and_then(|place| place.get(field)).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    Step {
        status: text(pod, "/status/phase").to_owned(),
        start: time(pod.pointer("/status/startTime")),
        end: time(ended.and_then(|ended| ended.get("finishedAt"))),
        message: said(pod.get("status"), "message").or_else(|| said(ended, "message")),
        container: container(pod),
        pod: Some(name.clone()),
        name,
        log: Vec::new(),
    }
}

/// The container that does the work: Argo's main one, or the first.
fn container(pod: &Value) -> Option<String> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array)?;
    let names: Vec<&str> = containers.iter().map(|container| text(container, "/name")).collect();
    names.iter().find(|name| **name == "main").or(names.first()).map(|name| (*name).to_owned())
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_is_a_node_with_its_pod_and_groups_are_left_out() {
        let workflow = json!({"kind": "Workflow", "status": {"nodes": {
            "w": {"id": "w", "name": "w", "type": "Steps", "phase": "Succeeded"},
            "w-2": {"id": "w-2", "name": "w.b", "displayName": "b", "type": "Pod", "phase": "Failed",
                    "startedAt": "2026-01-01T00:00:02Z", "message": "exit 1"},
            "w-1": {"id": "w-1", "name": "w.a", "displayName": "a", "type": "Pod", "phase": "Succeeded",
                    "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:02Z"},
        }}});
        let pods = [json!({
            "metadata": {"name": "w-b-7", "annotations": {"workflows.argoproj.io/node-name": "w.b"}},
            "spec": {"containers": [{"name": "wait"}, {"name": "main"}]},
        })];
        let found = steps(&workflow, &pods);
        let names: Vec<&str> = found.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["a", "b"], "in the order in which they began");
        assert_eq!((found[1].pod.as_deref(), found[1].container.as_deref()), (Some("w-b-7"), Some("main")));
        assert_eq!((found[0].pod.as_deref(), found[1].message.as_deref()), (None, Some("exit 1")));
    }

    #[test]
    fn the_steps_of_a_job_are_its_pods() {
        let pods = [json!({
            "metadata": {"name": "j-1"}, "spec": {"containers": [{"name": "drop"}]},
            "status": {"phase": "Failed", "startTime": "2026-01-01T00:00:01Z",
                       "containerStatuses": [{"state": {"terminated": {"finishedAt": "2026-01-01T00:00:05Z", "message": "no"}}}]},
        })];
        let found = steps(&json!({"kind": "Job"}), &pods);
        assert_eq!((found[0].status.as_str(), found[0].message.as_deref()), ("Failed", Some("no")));
        assert_eq!(found[0].container.as_deref(), Some("drop"));
        assert_eq!(found[0].end.unwrap().as_second() - found[0].start.unwrap().as_second(), 4);
    }
}
