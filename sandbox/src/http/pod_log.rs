//! The log subresource of pods.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::HeaderValue;
use http_body_util::{BodyExt as _, StreamBody};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::answer::{self, Answer};
use super::{Call, Context};
use crate::object;
use crate::pod_logs::Line;
use crate::status::ApiError;

impl Call {
    pub(super) fn pod_log(self) -> Result<Answer, ApiError> {
        let pod = self.context.api.get(self.target())?.value();
        let container = self.container(&pod)?;
        if is_waiting(&pod, &container)
            && self.context.api.logs.is_empty(&self.path.namespace, &self.path.name, &container)
        {
            return Err(ApiError::bad_request(format!(
                "container {container:?} in pod {:?} is waiting to start: ContainerCreating",
                self.path.name
            )));
        }
        if self.query.flag("previous") {
            return Err(ApiError::bad_request(format!(
                "previous terminated container {container:?} in pod {:?} not found",
                self.path.name
            )));
        }
        let since = match (self.query.number("sinceSeconds")?, self.query.text("sinceTime")) {
            (Some(seconds), _) => i64::try_from(seconds)
                .ok()
                .and_then(|seconds| Timestamp::now().checked_sub(SignedDuration::from_secs(seconds)).ok()),
            (None, "") => None,
            (None, text) => Some(text.parse().map_err(|_| {
                ApiError::bad_request(format!("sinceTime: found {text:?}, expected a time as in 2026-01-02T03:04:05Z"))
            })?),
        };
        let tail = self.query.number("tailLines")?;
        let follow = self.query.flag("follow");
        let mut reader = Reader {
            timestamps: self.query.flag("timestamps"),
            left: self.query.number("limitBytes")?,
            from: 0,
            grown: self.context.api.logs.subscribe(&self.path.namespace, &self.path.name),
            namespace: self.path.namespace.clone(),
            pod: self.path.name.clone(),
            uid: object::meta_text(&pod, "uid").to_owned(),
            context: self.context.clone(),
            container,
            pending: VecDeque::new(),
        };
        let (mut lines, next) = reader.lines(!follow);
        reader.from = next;
        if let Some(since) = since {
            lines.retain(|line| line.time >= since);
        }
        if let Some(tail) = tail {
            let skip = lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
            lines.drain(..skip);
        }
        let first = reader.print(&lines);
        reader.pending.push_back(first);
        let pieces = stream::unfold((reader, follow), |(mut reader, follow)| async move {
            let piece = reader.next(follow).await?;
            Some((Ok(http_body::Frame::data(piece)), (reader, follow)))
        });
        Ok(answer::of(200, HeaderValue::from_static("text/plain"), StreamBody::new(pieces).boxed_unsync()))
    }

    fn container(&self, pod: &Value) -> Result<String, ApiError> {
        let names: Vec<&str> = ["/spec/containers", "/spec/initContainers"]
            .into_iter()
            .flat_map(|list| object::items(pod, list))
            .map(|container| object::text(container, "/name"))
            .collect();
        let asked = self.query.text("container");
        let name = &self.path.name;
        match names.as_slice() {
            [only] if asked.is_empty() => Ok((*only).to_owned()),
            several if asked.is_empty() => Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                several.join(" ")
            ))),
            known if known.contains(&asked) => Ok(asked.to_owned()),
            _ => Err(ApiError::bad_request(format!("container {asked} is not valid for pod {name}"))),
        }
    }
}

struct Reader {
    context: Arc<Context>,
    namespace: String,
    pod: String,
    uid: String,
    container: String,
    grown: tokio::sync::watch::Receiver<()>,
    /// The number of the next line.
    from: u64,
    timestamps: bool,
    /// How many bytes may still be printed.
    left: Option<u64>,
    pending: VecDeque<Bytes>,
}

impl Reader {
    fn lines(&self, whole: bool) -> (Vec<Line>, u64) {
        self.context.api.logs.lines(&self.namespace, &self.pod, &self.container, self.from, whole)
    }

    fn print(&mut self, lines: &[Line]) -> Bytes {
        let mut text = String::new();
        for line in lines {
            if self.timestamps {
                text.push_str(&format!("{} ", line.time));
            }
            text.push_str(&line.text);
            text.push('\n');
        }
        let mut bytes = text.into_bytes();
        if let Some(left) = &mut self.left {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
        }
        bytes.into()
    }

    async fn next(&mut self, follow: bool) -> Option<Bytes> {
        let mut changed = self.context.api.store.subscribe(&"pods".into());
        loop {
            if let Some(piece) = self.pending.pop_front() {
                if piece.is_empty() {
                    continue;
                }
                return Some(piece);
            }
            if !follow || self.left == Some(0) {
                return None;
            }
            self.grown.borrow_and_update();
            changed.borrow_and_update();
            // Asked before the lines are read: what a container wrote before it ended is then among them.
            let ended = self.has_ended();
            let (lines, next) = self.lines(ended);
            self.from = next;
            if lines.is_empty() {
                if ended {
                    return None;
                }
                tokio::select! {
                    grown = self.grown.changed() => {
                        if grown.is_err() {
                            return None;
                        }
                    }
                    _ = changed.changed() => {}
                }
                continue;
            }
            let piece = self.print(&lines);
            self.pending.push_back(piece);
            if ended {
                // The unfinished line was printed as a line; there is nothing to wait for.
                self.left = Some(0);
            }
        }
    }

    /// Whether the container writes no more.
    fn has_ended(&self) -> bool {
        let Some(pod) = self.context.api.store.get("pods", &self.namespace, &self.pod) else {
            return true;
        };
        if *pod.facts().uid != *self.uid {
            return true;
        }
        if matches!(pod.facts().field("status.phase"), Some("Succeeded" | "Failed")) {
            return true;
        }
        let pod = pod.value();
        container_state(&pod, &self.container).is_some_and(|state| state.get("terminated").is_some())
    }
}

fn container_state<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    ["/status/containerStatuses", "/status/initContainerStatuses"]
        .into_iter()
        .flat_map(|list| object::items(pod, list))
        .find(|status| object::text(status, "/name") == container)?
        .get("state")
}

fn is_waiting(pod: &Value, container: &str) -> bool {
    match container_state(pod, container) {
        Some(state) => state.get("running").is_none() && state.get("terminated").is_none(),
        None => object::text(pod, "/status/phase") == "Pending",
    }
}
