//! Names with their namespace, and the namespaces in which rules and templates count.

use std::collections::BTreeSet;
use std::fmt;

use kube::ResourceExt;

/// A namespaced object's name; prints as namespace/name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The name in it.
    pub name: String,
}

impl ObjectName {
    /// A name in a namespace.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of an object; its namespace is empty if it has none.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    /// Reads what [`fmt::Display`] writes; `None` without a '/'.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_once('/').map(|(namespace, name)| Self::new(namespace, name))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Where rules and templates count. Whoever may write one there decides what runs in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Everywhere.
    All,
    /// In these only.
    Only(BTreeSet<String>),
}

impl Namespaces {
    /// The publish namespace and those named beside it; `*` among them means all.
    pub fn of(publish: &str, others: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let mut names: BTreeSet<String> = others.into_iter().map(Into::into).collect();
        if names.contains("*") {
            return Self::All;
        }
        names.insert(publish.to_owned());
        Self::Only(names)
    }

    /// Whether rules and templates of this namespace count.
    pub fn allow(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(namespace),
        }
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all namespaces"),
            Self::Only(names) => f.write_str(&names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_publish_namespace_always_counts_and_a_star_means_all() {
        let some = Namespaces::of("monitoring", ["team-a"]);
        assert!(some.allow("monitoring") && some.allow("team-a") && !some.allow("default"));
        assert!(Namespaces::of("monitoring", ["*"]).allow("default"));
        assert_eq!(some.to_string(), "monitoring, team-a");
    }

    #[test]
    fn a_name_is_read_as_it_is_printed() {
        let name = ObjectName::new("monitoring", "cordon");
        assert_eq!(ObjectName::parse(&name.to_string()), Some(name));
        assert_eq!(ObjectName::parse("cordon"), None);
    }
}
