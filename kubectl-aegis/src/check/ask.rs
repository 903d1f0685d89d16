//! Reading for checks: what is not there, what may not be seen and what went wrong are answers too.

use kube::Client;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::finding::Finding;
use crate::apply;

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked<T> {
    Known(T),
    /// It, its kind or its namespace is not there.
    Missing,
    /// That right is missing.
    Denied(String),
    /// It could not be told, and why.
    Trouble(String),
}

impl<T> Asked<T> {
    /// The answer; `right` is what the question takes, as roles grant it.
    pub(crate) fn of(answer: Result<T, kube::Error>, right: &str) -> Self {
        match answer {
            Ok(known) => Self::Known(known),
            Err(kube::Error::Api(status)) if status.code == 404 => Self::Missing,
            Err(kube::Error::Api(status)) if status.code == 403 => Self::Denied(right.to_owned()),
            Err(kube::Error::Api(status)) => Self::Trouble(format!("{} ({})", status.message, status.code)),
            Err(error) => Self::Trouble(error.to_string()),
        }
    }

    /// The same of what is known.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Asked<U> {
        match self {
            Self::Known(known) => Asked::Known(change(known)),
            Self::Missing => Asked::Missing,
            Self::Denied(right) => Asked::Denied(right),
            Self::Trouble(why) => Asked::Trouble(why),
        }
    }

    /// What is known, if it is.
    pub(crate) fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            _ => None,
        }
    }

    /// What is known; else the finding that says why it is not. What is missing is for the caller to judge.
    pub(crate) fn or_unknown(&self, family: &'static str, name: &str) -> Result<Option<&T>, Box<Finding>> {
        match self {
            Self::Known(known) => Ok(Some(known)),
            Self::Missing => Ok(None),
            Self::Denied(right) => Err(Box::new(Finding::denied(family, name, right))),
            Self::Trouble(why) => Err(Box::new(Finding::unknown(family, name, "it could not be asked").because(why))),
        }
    }
}

/// Where objects lie: version, kind, and namespace; none for the whole cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) namespace: Option<&'a str>,
}

impl Place<'_> {
    fn object(&self) -> Value {
        let mut object = json!({"apiVersion": self.version, "kind": self.kind, "metadata": {}});
        if let (Some(namespace), Some(metadata)) =
            (self.namespace, object.get_mut("metadata").and_then(Value::as_object_mut))
        {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        object
    }

    /// As roles grant it.
    pub(crate) fn right(&self, verb: &str) -> String {
        let group = self.version.split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
        match self.namespace {
            Some(namespace) => format!("{verb} on {}{group} in namespace {namespace}", self.plural),
            None => format!("{verb} on {}{group} in the whole cluster", self.plural),
        }
    }

    /// One object.
    pub(crate) async fn get(&self, client: &Client, name: &str) -> Asked<Value> {
        let found = apply::api(client, &self.object()).get(name).await;
        let found = found.and_then(|found| serde_json::to_value(found).map_err(kube::Error::SerdeError));
        Asked::of(found, &self.right("get"))
    }

    /// The metadata of those.
    pub(crate) async fn list_metadata(&self, client: &Client, which: &ListParams) -> Asked<Vec<Value>> {
        let found = apply::api(client, &self.object()).list_metadata(which).await;
        let items = found.and_then(|found| {
            let items = found.items.iter().map(serde_json::to_value).collect::<Result<_, _>>();
            items.map_err(kube::Error::SerdeError)
        });
        Asked::of(items, &self.right("list"))
    }

    /// Those with these labels.
    pub(crate) async fn list(&self, client: &Client, labels: &str) -> Asked<Vec<Value>> {
        let found = apply::api(client, &self.object()).list(&ListParams::default().labels(labels)).await;
        let items = found.and_then(|found| {
            let items = found.items.iter().map(serde_json::to_value).collect::<Result<_, _>>();
            items.map_err(kube::Error::SerdeError)
        });
        Asked::of(items, &self.right("list"))
    }
}
