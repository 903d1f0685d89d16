//! A pod's status as kubelet writes it, from how its containers stand.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

/// How a pod on its node stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) started: Timestamp,
    pub(crate) init: Vec<Record>,
    pub(crate) main: Vec<Record>,
    /// Why the node ended the whole pod, as reason and message.
    pub(crate) evicted: Option<(String, String)>,
}

/// How a container stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) state: State,
    pub(crate) before: Option<State>,
    pub(crate) restarts: i32,
}

/// One state of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Waiting { reason: String, message: String },
    Running { since: Timestamp },
    Ended(Ended),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
}

impl Standing {
    /// Of a pod that has just come to its node.
    pub(crate) fn new(pod: &Pod, now: Timestamp) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let waiting = |reason: &str| State::Waiting { reason: reason.to_owned(), message: String::new() };
        let init: Vec<Record> = spec
            .init_containers
            .iter()
            .flatten()
            .map(|container| Record::new(container, waiting("PodInitializing")))
            .collect();
        let reason = if init.is_empty() { "ContainerCreating" } else { "PodInitializing" };
        let main = spec.containers.iter().map(|container| Record::new(container, waiting(reason))).collect();
        Self { started: now, init, main, evicted: None }
    }

    /// Pending, Running, Succeeded or Failed.
    pub(crate) fn phase(&self) -> &'static str {
        let ended = |record: &Record| matches!(record.state, State::Ended(_));
        let failed = |record: &Record| matches!(&record.state, State::Ended(ended) if ended.code != 0);
        if self.evicted.is_some() || self.init.iter().any(failed) {
            "Failed"
        } else if self.main.iter().all(ended) {
            if self.main.iter().any(failed) { "Failed" } else { "Succeeded" }
        } else if self
            .main
            .iter()
            .any(|record| record.before.is_some() || !matches!(record.state, State::Waiting { .. }))
        {
            "Running"
        } else {
            "Pending"
        }
    }

    /// The merge patch that writes it for the pod with this UID.
    pub(crate) fn patch(&self, pod: &Pod, now: Timestamp) -> Value {
        let phase = self.phase();
        let initialized =
            self.init.iter().all(|record| matches!(&record.state, State::Ended(ended) if ended.code == 0));
        let ready = phase == "Running" && self.main.iter().all(|record| matches!(record.state, State::Running { .. }));
        let reason = match phase {
            "Succeeded" => Some("PodCompleted"),
            "Failed" => Some("PodFailed"),
            _ if !ready => Some("ContainersNotReady"),
            _ => None,
        };
        let condition = |type_: &str, holds: bool, reason: Option<&str>| {
            let mut condition =
                json!({"type": type_, "status": if holds { "True" } else { "False" }, "lastTransitionTime": Time(now)});
            if let (Some(reason), Some(fields)) = (reason, condition.as_object_mut()) {
                fields.insert("reason".to_owned(), json!(reason));
            }
            condition
        };
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let mut status = json!({
            "phase": phase,
            "startTime": Time(self.started),
            "hostIP": "127.0.0.1",
            "podIP": address(uid),
            "podIPs": [{"ip": address(uid)}],
            "conditions": [
                condition("PodScheduled", true, None),
                condition("Initialized", initialized || phase == "Succeeded", None),
                condition("Ready", ready, reason),
                condition("ContainersReady", ready, reason),
            ],
            "containerStatuses": self.main.iter().map(Record::status).collect::<Vec<_>>(),
        });
        if let Some(fields) = status.as_object_mut() {
            if !self.init.is_empty() {
                fields.insert("initContainerStatuses".to_owned(), self.init.iter().map(Record::status).collect());
            }
            if let Some((reason, message)) = &self.evicted {
                fields.insert("reason".to_owned(), json!(reason));
                fields.insert("message".to_owned(), json!(message));
            }
        }
        json!({"metadata": {"uid": uid}, "status": status})
    }
}

impl Record {
    fn new(container: &Container, state: State) -> Self {
        let image = container.image.clone().unwrap_or_default();
        Self { name: container.name.clone(), image, state, before: None, restarts: 0 }
    }

    fn status(&self) -> Value {
        let running = matches!(self.state, State::Running { .. });
        json!({
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "containerID": format!("sandbox://{}-{}", self.name, self.restarts),
            "ready": running,
            "started": running,
            "restartCount": self.restarts,
            "state": self.state.status(),
            "lastState": self.before.as_ref().map_or_else(|| json!({}), State::status),
        })
    }
}

impl State {
    fn status(&self) -> Value {
        match self {
            Self::Waiting { reason, message } if message.is_empty() => json!({"waiting": {"reason": reason}}),
            Self::Waiting { reason, message } => json!({"waiting": {"reason": reason, "message": message}}),
            Self::Running { since } => json!({"running": {"startedAt": Time(*since)}}),
            Self::Ended(Ended { code, reason, message, started, finished }) => {
                let mut ended = json!({"exitCode": code, "reason": reason, "startedAt": Time(*started), "finishedAt": Time(*finished)});
                if let (false, Some(fields)) = (message.is_empty(), ended.as_object_mut()) {
                    fields.insert("message".to_owned(), json!(message));
                }
                json!({ "terminated": ended })
            }
        }
    }
}

/// An address in the range that clusters commonly give to pods; it answers to nobody.
fn address(uid: &str) -> String {
    let hash = uid.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("10.244.{}.{}", (hash >> 8) & 0xff, 1 + (hash & 0xff) % 254)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(init: &[State], main: &[State]) -> Standing {
        let record = |state: &State| Record {
            name: "c".into(),
            image: "i".into(),
            state: state.clone(),
            before: None,
            restarts: 0,
        };
        Standing {
            started: Timestamp::UNIX_EPOCH,
            init: init.iter().map(record).collect(),
            main: main.iter().map(record).collect(),
            evicted: None,
        }
    }

    fn ended(code: i32) -> State {
        let (started, finished) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        State::Ended(Ended { code, reason: "Error".into(), message: String::new(), started, finished })
    }

    #[test]
    fn a_pods_phase_follows_from_its_containers() {
        let waiting = || State::Waiting { reason: "ContainerCreating".into(), message: String::new() };
        let running = || State::Running { since: Timestamp::UNIX_EPOCH };
        let cases = [
            ("not started", standing(&[], &[waiting()]), "Pending"),
            ("initialising", standing(&[running()], &[waiting()]), "Pending"),
            ("an init container failed", standing(&[ended(1)], &[waiting()]), "Failed"),
            ("running", standing(&[ended(0)], &[running()]), "Running"),
            ("one of two has ended", standing(&[], &[ended(1), running()]), "Running"),
            ("all ended well", standing(&[], &[ended(0), ended(0)]), "Succeeded"),
            ("one ended badly", standing(&[], &[ended(0), ended(2)]), "Failed"),
            (
                "ended by the node",
                Standing { evicted: Some(("DeadlineExceeded".into(), "m".into())), ..standing(&[], &[running()]) },
                "Failed",
            ),
        ];
        for (why, standing, want) in cases {
            assert_eq!(standing.phase(), want, "{why}");
        }
        let mut crashing = standing(&[], &[waiting()]);
        crashing.main[0].before = Some(ended(1));
        assert_eq!(crashing.phase(), "Running", "a container that is started again keeps its pod running");
    }

    #[test]
    fn the_patch_reads_back_as_a_pod_status() {
        let patch = standing(&[ended(0)], &[ended(3)]).patch(&Pod::default(), Timestamp::UNIX_EPOCH);
        let status: k8s_openapi::api::core::v1::PodStatus = serde_json::from_value(patch["status"].clone()).unwrap();
        assert_eq!(status.phase.as_deref(), Some("Failed"));
        let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
        assert_eq!(state.terminated.unwrap().exit_code, 3);
    }
}
