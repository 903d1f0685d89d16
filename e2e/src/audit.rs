//! What the API server recorded of every request.

use std::fs;

use anyhow::Context as _;
use serde::Deserialize;

use crate::cluster::Cluster;

/// A request that was answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// get, list, watch, create, update, patch, delete or deletecollection.
    pub verb: String,
    user: User,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Option<Answer>,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
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

    /// Whether it is of that verb, on that resource itself, in that namespace.
    pub fn is(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        self.verb == verb
            && self.object_ref.as_ref().is_some_and(|object| {
                object.resource == resource && object.namespace == namespace && object.subresource.is_none()
            })
    }

    /// The object's name, if the request or its answer tells it.
    pub fn name(&self) -> Option<&str> {
        self.object_ref.as_ref()?.name.as_deref()
    }
}

/// Every request since the cluster began, in the order of the answers.
pub fn requests(cluster: &Cluster) -> anyhow::Result<Vec<Request>> {
    let file = cluster.audit_log();
    let text = fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    // The last line may be under way.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("could not read {line}"))).collect()
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
    }

    #[test]
    fn a_subresource_is_not_the_resource() {
        let line = r#"{"verb":"patch","user":{"username":"u"},"objectRef":{"resource":"nodes","name":"n","subresource":"status"}}"#;
        let request: Request = serde_json::from_str(line).unwrap();
        assert!(!request.is("patch", "nodes", "") && !request.is_success());
    }
}
