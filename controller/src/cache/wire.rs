//! What travels between the API server and a cache: whole objects or only their metadata.

use std::fmt::Debug;

use axum::http;
use kube::Resource;
use kube::api::{ListParams, WatchParams};
use kube::core::{DeserializeGuard, PartialObjectMeta, Request, error_boundary::InvalidObject, request};
use serde::de::DeserializeOwned;

use super::bare;

/// An object as it is decoded from a list or watch.
pub trait Wire: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static {
    /// What the cache holds of it.
    type Object;

    /// What asks for a list.
    fn list(kind: &Request, parameters: &ListParams) -> Result<http::Request<Vec<u8>>, request::Error>;

    /// What asks for a watch of what changes after that version.
    fn watch(kind: &Request, parameters: &WatchParams, version: &str)
    -> Result<http::Request<Vec<u8>>, request::Error>;

    /// Reads it from the text that it has in a list or in an event.
    fn read(text: &str) -> Result<Self, serde_json::Error>;

    /// The object, or why it cannot be read. Only the object is lost then, not the list that it stood in.
    fn open(self) -> Result<Self::Object, Box<InvalidObject>>;
}

impl<K> Wire for DeserializeGuard<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    type Object = K;

    fn list(kind: &Request, parameters: &ListParams) -> Result<http::Request<Vec<u8>>, request::Error> {
        kind.list(parameters)
    }

    fn watch(
        kind: &Request,
        parameters: &WatchParams,
        version: &str,
    ) -> Result<http::Request<Vec<u8>>, request::Error> {
        kind.watch(parameters, version)
    }

    /// The guard makes two trees of every object before it has one: it is left to those that need it.
    fn read(text: &str) -> Result<Self, serde_json::Error> {
        bare::read(text).map(|object| Self(Ok(object))).or_else(|_| serde_json::from_str(text))
    }

    fn open(self) -> Result<K, Box<InvalidObject>> {
        self.0.map_err(Box::new)
    }
}

impl<K> Wire for PartialObjectMeta<K>
where
    K: Resource + Clone + Debug + Send + Sync + 'static,
{
    type Object = Self;

    fn list(kind: &Request, parameters: &ListParams) -> Result<http::Request<Vec<u8>>, request::Error> {
        kind.list_metadata(parameters)
    }

    fn watch(
        kind: &Request,
        parameters: &WatchParams,
        version: &str,
    ) -> Result<http::Request<Vec<u8>>, request::Error> {
        kind.watch_metadata(parameters, version)
    }

    fn read(text: &str) -> Result<Self, serde_json::Error> {
        bare::read(text)
    }

    fn open(self) -> Result<Self, Box<InvalidObject>> {
        Ok(self)
    }
}
