//! What the API server recorded of every request.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;

use crate::cluster::Cluster;

/// A request that was answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// get, list, watch, create, update, patch, delete or deletecollection.
    pub verb: String,
    /// When it came in.
    #[serde(rename = "requestReceivedTimestamp", default)]
    pub received: Timestamp,
    user: User,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Option<Answer>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    subresource: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    code: u16,
}

impl Request {
    /// Who asked.
    pub fn user(&self) -> &str {
        &self.user.username
    }

    /// Whether the answer was a success.
    pub fn is_success(&self) -> bool {
        self.response_status.as_ref().is_some_and(|answer| (200..300).contains(&answer.code))
    }

    /// Whether whoever asked was gone before the answer was there: what was asked for may have been done all the same.
    pub fn is_given_up(&self) -> bool {
        self.response_status.as_ref().is_some_and(|answer| answer.code == 504)
    }

    /// Whether it is of that verb, on that resource itself, in that namespace.
    pub fn is(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        self.verb == verb
            && self.object_ref.as_ref().is_some_and(|object| {
                object.resource == resource && object.namespace == namespace && object.subresource.is_none()
            })
    }

    /// Whether it made an object that was not there: also a patch may, where it is applied by the server.
    pub fn is_creation(&self) -> bool {
        self.response_status.as_ref().is_some_and(|answer| answer.code == 201)
    }

    /// Whether it changed something.
    pub fn is_write(&self) -> bool {
        self.is_success() && matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// The resource's plural, its namespace and its subresource; each empty where there is none.
    pub fn target(&self) -> (&str, &str, &str) {
        self.object_ref.as_ref().map_or(("", "", ""), |object| {
            (&object.resource, &object.namespace, object.subresource.as_deref().unwrap_or_default())
        })
    }

    /// Whether the asker's rights did not reach. (A namespace that is being deleted forbids with the same code.)
    pub fn is_denied(&self) -> bool {
        self.annotations.get("authorization.k8s.io/decision").is_some_and(|decision| decision == "forbid")
    }

    /// Why it was let through: the binding and the role that did. Empty if it was not.
    pub fn reason(&self) -> &str {
        self.annotations.get("authorization.k8s.io/reason").map_or("", String::as_str)
    }

    /// Its API group, empty for the core, and its resource with the subresource, as a role names them; `None` for what
    /// is about no object, such as discovery.
    pub fn group_and_resource(&self) -> Option<(&str, String)> {
        let object = self.object_ref.as_ref()?;
        let resource = match &object.subresource {
            Some(subresource) => format!("{}/{subresource}", object.resource),
            None => object.resource.clone(),
        };
        Some((&object.api_group, resource))
    }

    /// The namespace that it is about; empty for objects of the whole cluster.
    pub fn namespace(&self) -> &str {
        self.object_ref.as_ref().map_or("", |object| &object.namespace)
    }

    /// The object's name, if the request or its answer tells it.
    pub fn name(&self) -> Option<&str> {
        self.object_ref.as_ref()?.name.as_deref()
    }
}

/// Every request since the cluster began, in the order of the answers.
pub fn requests(cluster: &Cluster) -> anyhow::Result<Vec<Request>> {
    since(cluster, Mark(0))
}

/// A moment in the log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// This moment.
pub fn mark(cluster: &Cluster) -> anyhow::Result<Mark> {
    let file = cluster.audit_log();
    let metadata = fs::metadata(&file).with_context(|| format!("could not read {}", file.display()))?;
    Ok(Mark(metadata.len()))
}

/// Every request that was answered since that moment.
pub fn since(cluster: &Cluster, mark: Mark) -> anyhow::Result<Vec<Request>> {
    between(cluster, mark, Mark(u64::MAX))
}

/// Every request that was answered between these moments.
pub fn between(cluster: &Cluster, from: Mark, to: Mark) -> anyhow::Result<Vec<Request>> {
    let file = cluster.audit_log();
    let text = part(&file, from.0, to.0).with_context(|| format!("could not read {}", file.display()))?;
    whole_lines(&text, from.0 == 0)
        .map(|line| serde_json::from_str(line).with_context(|| format!("could not read {line}")))
        .collect()
}

/// What stands there, with the byte before it.
fn part(file: &std::path::Path, from: u64, to: u64) -> std::io::Result<String> {
    let (mut file, from, mut text) = (File::open(file)?, from.saturating_sub(1), Vec::new());
    file.seek(SeekFrom::Start(from))?;
    file.take(to.saturating_sub(from)).read_to_end(&mut text)?;
    // A moment may lie within a character.
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The lines that are there as a whole: the last one may be under way, and so may the first have been.
fn whole_lines(text: &str, from_the_start: bool) -> std::str::Lines<'_> {
    let text = if from_the_start { text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    text.rsplit_once('\n').map_or("", |(whole, _)| whole).lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_is_read() {
        let line = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","stage":"ResponseComplete","verb":"create",
            "user":{"username":"system:serviceaccount:a:aegis","groups":["g"]},"objectRef":{"resource":"workflows",
            "namespace":"a","name":"w","apiGroup":"argoproj.io"},"responseStatus":{"metadata":{},"code":201}}"#;
        let request: Request = serde_json::from_str(line).unwrap();
        assert!(request.is("create", "workflows", "a") && request.is_success());
        assert!(!request.is("create", "workflows", "b"), "another namespace");
        assert_eq!((request.user(), request.name()), ("system:serviceaccount:a:aegis", Some("w")));
        assert_eq!((request.target(), request.is_write()), (("workflows", "a", ""), true));
        assert!(request.is_creation());
    }

    #[test]
    fn lines_that_are_cut_belong_to_another_part_of_the_log() {
        let lines = |text, from_the_start| whole_lines(text, from_the_start).collect::<Vec<_>>();
        assert_eq!(lines("one\ntwo\nthr", true), ["one", "two"]);
        assert_eq!(lines("ne\ntwo\nthree\n", false), ["two", "three"]);
        assert_eq!(lines("\ntwo\n", false), ["two"], "the part begins with the end of the line before");
        assert_eq!(lines("thr", false), [""; 0]);
    }

    #[test]
    fn a_request_is_told_as_a_role_names_it() {
        let line = r#"{"verb":"patch","user":{"username":"u"},"objectRef":{"resource":"aegisalerts","namespace":"a","name":"n",
            "apiGroup":"aegis.io","subresource":"status"},"responseStatus":{"code":403},
            "annotations":{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}}"#;
        let request: Request = serde_json::from_str(line).unwrap();
        assert_eq!(request.group_and_resource(), Some(("aegis.io", "aegisalerts/status".to_owned())));
        assert!(request.is_denied() && request.namespace() == "a" && request.reason().is_empty());
    }

    #[test]
    fn a_subresource_is_not_the_resource() {
        let line = r#"{"verb":"patch","user":{"username":"u"},"objectRef":{"resource":"nodes","name":"n","subresource":"status"}}"#;
        let request: Request = serde_json::from_str(line).unwrap();
        assert!(!request.is("patch", "nodes", "") && !request.is_success());
    }
}
