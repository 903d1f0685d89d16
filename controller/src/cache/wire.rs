//! What travels between the API server and a cache: whole objects or only their metadata.

use std::fmt::Debug;

use kube::Resource;
use kube::core::{DeserializeGuard, PartialObjectMeta, error_boundary::InvalidObject};
use serde::de::DeserializeOwned;

/// An object as it is decoded from a list or watch.
pub trait Wire: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static {
    /// What the cache holds of it.
    type Object;

    /// The object, or why it cannot be read. Only the object is lost then, not the list that it stood in.
    fn open(self) -> Result<Self::Object, Box<InvalidObject>>;
}

impl<K> Wire for DeserializeGuard<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    type Object = K;

    fn open(self) -> Result<K, Box<InvalidObject>> {
        self.0.map_err(Box::new)
    }
}

impl<K> Wire for PartialObjectMeta<K>
where
    K: Resource + Clone + Debug + Send + Sync + 'static,
{
    type Object = Self;

    fn open(self) -> Result<Self, Box<InvalidObject>> {
        Ok(self)
    }
}
