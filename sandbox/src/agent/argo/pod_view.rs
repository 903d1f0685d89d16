//! What the runner sees of a pod that it made.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde::Deserialize;

/// The pods of one Workflow by name. A pod that was ordered and has no entry is on its way.
pub(crate) type Pods = BTreeMap<String, PodView>;

/// On a pod: what its main container printed, as JSON. Argo's executor writes it under this name.
pub(crate) const OUTPUTS_ANNOTATION: &str = "workflows.argoproj.io/outputs";

/// How a pod stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PodView {
    Pending {
        message: Option<String>,
    },
    Running {
        host: Option<String>,
    },
    Ended {
        host: Option<String>,
        exit_code: Option<i32>,
        /// What the main container printed, without the last line break.
        result: Option<String>,
        /// None: it succeeded. Otherwise why it failed.
        failure: Option<String>,
    },
    /// It was there and is not any more.
    Gone,
    /// The API server will not have it.
    Refused {
        message: String,
    },
}

#[derive(Deserialize)]
struct Outputs {
    result: Option<String>,
}

impl PodView {
    /// Reads a pod as Argo reads one.
    pub(crate) fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        match status.phase.as_deref() {
            Some("Running") => Self::Running { host },
            Some(phase @ ("Succeeded" | "Failed")) => {
                let annotations = pod.metadata.annotations.as_ref();
                let outputs: Option<Outputs> = annotations
                    .and_then(|all| all.get(OUTPUTS_ANNOTATION))
                    .and_then(|text| serde_json::from_str(text).ok());
                let containers = status.container_statuses.unwrap_or_default();
                let failure = (phase == "Failed").then(|| {
                    let message = status.message.filter(|message| !message.is_empty());
                    let init = status.init_container_statuses.unwrap_or_default();
                    message
                        .or_else(|| containers.iter().chain(&init).find_map(ended_badly))
                        .unwrap_or_else(|| "Pod failed".to_owned())
                });
                Self::Ended {
                    host,
                    exit_code: main_exit_code(&containers),
                    result: outputs.and_then(|outputs| outputs.result),
                    failure,
                }
            }
            _ => Self::Pending { message: waiting_for(&status) },
        }
    }
}

fn main_exit_code(containers: &[ContainerStatus]) -> Option<i32> {
    let main = containers.iter().find(|container| container.name == "main")?;
    Some(main.state.as_ref()?.terminated.as_ref()?.exit_code)
}

fn ended_badly(container: &ContainerStatus) -> Option<String> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    if ended.exit_code == 0 {
        return None;
    }
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let message = ended.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
    Some(match message {
        Some(message) => format!("{reason} (exit code {}): {message}", ended.exit_code),
        None => format!("{reason} (exit code {})", ended.exit_code),
    })
}

fn waiting_for(status: &k8s_openapi::api::core::v1::PodStatus) -> Option<String> {
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        return Some(format!("{reason}: {}", condition.message.as_deref().unwrap_or_default()));
    }
    let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.filter_map(|container| container.state.as_ref()?.waiting.as_ref()).find_map(|waiting| {
        let reason = waiting.reason.as_deref().filter(|reason| !reason.is_empty())?;
        Some(match waiting.message.as_deref().filter(|message| !message.is_empty()) {
            Some(message) => format!("{reason}: {message}"),
            None => reason.to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(status: Value, annotations: Value) -> PodView {
        let pod = json!({"metadata": {"name": "p", "annotations": annotations}, "spec": {"nodeName": "n1", "containers": []}, "status": status});
        PodView::of(&serde_json::from_value(pod).unwrap())
    }

    fn terminated(name: &str, code: i32, message: &str) -> Value {
        json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }, "message": message}}})
    }

    fn failed(failure: &str, exit_code: Option<i32>) -> PodView {
        PodView::Ended { host: Some("n1".into()), exit_code, result: None, failure: Some(failure.into()) }
    }

    #[test]
    fn a_pod_is_read_as_argo_reads_it() {
        let cases = [
            ("not yet seen by anybody", json!({}), PodView::Pending { message: None }),
            (
                "no node takes it",
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}),
                PodView::Pending { message: Some("Unschedulable: 0/1 nodes".into()) },
            ),
            (
                "its image cannot be had",
                json!({"phase": "Pending", "containerStatuses": [{"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}),
                PodView::Pending { message: Some("ImagePullBackOff: no such image".into()) },
            ),
            ("running", json!({"phase": "Running"}), PodView::Running { host: Some("n1".into()) }),
            (
                "a failing command",
                json!({"phase": "Failed", "containerStatuses": [terminated("main", 3, "")]}),
                failed("Error (exit code 3)", Some(3)),
            ),
            (
                "a failing command that left a message",
                json!({"phase": "Failed", "containerStatuses": [terminated("main", 1, "no disk\n")]}),
                failed("Error (exit code 1): no disk", Some(1)),
            ),
            (
                "killed by the node",
                json!({"phase": "Failed", "message": "Pod was active on the node longer than the specified deadline", "reason": "DeadlineExceeded"}),
                failed("Pod was active on the node longer than the specified deadline", None),
            ),
            (
                "an init container failed",
                json!({"phase": "Failed", "initContainerStatuses": [terminated("init", 2, "")]}),
                failed("Error (exit code 2)", None),
            ),
        ];
        for (why, status, want) in cases {
            assert_eq!(view(status, json!({})), want, "{why}");
        }
    }

    #[test]
    fn what_a_pod_printed_is_its_result() {
        let status = json!({"phase": "Succeeded", "containerStatuses": [terminated("main", 0, "")]});
        let want =
            PodView::Ended { host: Some("n1".into()), exit_code: Some(0), result: Some("heads".into()), failure: None };
        assert_eq!(
            view(status, json!({"workflows.argoproj.io/outputs": "{\"result\":\"heads\",\"exitCode\":\"0\"}"})),
            want
        );
    }
}
