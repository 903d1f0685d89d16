//! Where an object is: its namespace and its name.

use std::fmt;
use std::sync::Arc;

use kube::ResourceExt;

/// The place of an object. Objects of the cluster have an empty namespace. Clones share their text, since a key stands in
/// every list in which its object is spoken of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// The place of that name in that namespace.
    pub fn new(namespace: impl AsRef<str>, name: impl AsRef<str>) -> Self {
        Self { namespace: namespace.as_ref().into(), name: name.as_ref().into() }
    }

    /// The place of that object.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(object.meta().namespace.as_deref().unwrap_or_default(), object.name_any())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}
