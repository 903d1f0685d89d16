//! What a request is, for those who count requests and for those who disturb them.

use std::fmt;

/// What a request does, in the words of Kubernetes authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Reads one object, or one of its subresources.
    Get,
    /// Reads many.
    List,
    /// Follows changes.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// Deletes one object.
    Delete,
    /// Deletes many.
    DeleteCollection,
    /// All that is not about objects: discovery, versions, health.
    Other,
}

impl Verb {
    /// Whether the verb changes objects.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other => "other",
        })
    }
}

/// One request, as far as it can be told from its head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// Who asks: the user agent up to the first `/` or space.
    pub component: String,
    /// What it does.
    pub verb: Verb,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural resource name; the path for requests that are not about objects.
    pub resource: String,
    /// Subresource such as `status`, empty if none.
    pub subresource: String,
    /// Namespace, empty for cluster-scoped objects and for all namespaces.
    pub namespace: String,
    /// Object name, empty for a create and a collection.
    pub name: String,
}

/// Which requests are meant. The default means all of them; each setting narrows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    component: Option<String>,
    verb: Option<Verb>,
    writes: bool,
    group: Option<String>,
    resource: Option<String>,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

impl Match {
    /// All requests.
    pub fn any() -> Self {
        Self::default()
    }

    /// Those of a component (see [`Request::component`]).
    #[must_use]
    pub fn component(mut self, component: &str) -> Self {
        self.component = Some(component.to_owned());
        self
    }

    /// Those with a verb.
    #[must_use]
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    /// Those that change objects, of whatever verb.
    #[must_use]
    pub fn writes(mut self) -> Self {
        self.writes = true;
        self
    }

    /// Those of an API group; the core group is empty.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Those on a resource, named by its plural.
    #[must_use]
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Those on a subresource; empty means the object itself.
    #[must_use]
    pub fn subresource(mut self, subresource: &str) -> Self {
        self.subresource = Some(subresource.to_owned());
        self
    }

    /// Those in a namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Those on the object of a name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Whether a single object is meant.
    pub(crate) fn names_object(&self) -> bool {
        self.name.is_some()
    }

    /// Whether this request is meant.
    pub fn fits(&self, request: &Request) -> bool {
        let same = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        same(&self.component, &request.component)
            && self.verb.is_none_or(|verb| verb == request.verb)
            && (!self.writes || request.verb.is_write())
            && same(&self.group, &request.group)
            && same(&self.resource, &request.resource)
            && same(&self.subresource, &request.subresource)
            && same(&self.namespace, &request.namespace)
            && same(&self.name, &request.name)
    }
}

/// The component that a user agent names.
pub(crate) fn component(user_agent: &str) -> String {
    let name = user_agent.split(['/', ' ']).next().unwrap_or_default();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}
