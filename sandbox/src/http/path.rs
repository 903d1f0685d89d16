//! What a method and a path ask for.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::request::{Request, Verb};

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Version,
    /// /api
    CoreVersions,
    /// /apis
    Groups,
    /// /apis/GROUP
    Group(String),
    /// /api/v1 or /apis/GROUP/VERSION
    Resources {
        group: String,
        version: String,
    },
    /// /openapi/v3
    OpenApiIndex,
    /// /openapi/v3/apis/GROUP/VERSION
    OpenApi {
        group: String,
        version: String,
    },
    Resource(ResourcePath),
    Unknown,
}

/// A path that names objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourcePath {
    pub(super) verb: Verb,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    pub(super) resource: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Route {
    pub(super) fn parse(method: &Method, uri: &Uri) -> Self {
        let segments: Vec<String> = uri
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        let watching = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .any(|pair| matches!(pair, "watch" | "watch=1" | "watch=true" | "watch=True" | "watch=t"));
        let owned = |text: &str| text.to_owned();
        match words.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => Self::Health,
            ["version"] => Self::Version,
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group(owned(group)),
            ["api", version] => Self::Resources { group: String::new(), version: owned(version) },
            ["apis", group, version] => Self::Resources { group: owned(group), version: owned(version) },
            ["openapi", "v3"] => Self::OpenApiIndex,
            ["openapi", "v3", "api", version] => Self::OpenApi { group: String::new(), version: owned(version) },
            ["openapi", "v3", "apis", group, version] => Self::OpenApi { group: owned(group), version: owned(version) },
            ["api", version, rest @ ..] => Self::resource(method, watching, "", version, rest),
            ["apis", group, version, rest @ ..] => Self::resource(method, watching, group, version, rest),
            _ => Self::Unknown,
        }
    }

    fn resource(method: &Method, watching: bool, group: &str, version: &str, rest: &[&str]) -> Self {
        let (namespace, resource, name, subresource) = match rest {
            // A namespace is an object too, with subresources of its own.
            ["namespaces", name] => ("", "namespaces", *name, Vec::new()),
            ["namespaces", name, subresource @ ("status" | "finalize")] => {
                ("", "namespaces", *name, vec![*subresource])
            }
            ["namespaces", namespace, resource] => (*namespace, *resource, "", Vec::new()),
            ["namespaces", namespace, resource, name, subresource @ ..] => {
                (*namespace, *resource, *name, subresource.to_vec())
            }
            [resource] => ("", *resource, "", Vec::new()),
            [resource, name, subresource @ ..] => ("", *resource, *name, subresource.to_vec()),
            [] => return Self::Unknown,
        };
        let verb = match (method.as_str(), name.is_empty()) {
            ("GET" | "HEAD", _) if watching => Verb::Watch,
            ("GET" | "HEAD", true) => Verb::List,
            ("GET" | "HEAD", false) => Verb::Get,
            ("POST", _) => Verb::Create,
            ("PUT", false) => Verb::Update,
            ("PATCH", false) => Verb::Patch,
            ("DELETE", true) => Verb::DeleteCollection,
            ("DELETE", false) => Verb::Delete,
            _ => Verb::Other,
        };
        Self::Resource(ResourcePath {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            subresource: subresource.join("/"),
        })
    }

    /// The request in the words of the log and of faults.
    pub(super) fn describe(&self, component: String, path: &str) -> Request {
        match self {
            Self::Resource(resource) => Request {
                component,
                verb: resource.verb,
                group: resource.group.clone(),
                resource: resource.resource.clone(),
                subresource: resource.subresource.clone(),
                namespace: resource.namespace.clone(),
                name: resource.name.clone(),
            },
            _ => Request {
                component,
                verb: Verb::Other,
                group: String::new(),
                resource: path.to_owned(),
                subresource: String::new(),
                namespace: String::new(),
                name: String::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_they_are_about() {
        let cases = [
            ("GET", "/api/v1/nodes", "list  nodes  "),
            ("GET", "/api/v1/nodes?watch=true", "watch  nodes  "),
            ("GET", "/api/v1/namespaces/a", "get  namespaces a "),
            ("PUT", "/api/v1/namespaces/a/finalize", "update  namespaces a finalize"),
            ("GET", "/api/v1/namespaces/a/pods", "list a pods  "),
            ("GET", "/api/v1/namespaces/a/pods/p/log", "get a pods p log"),
            ("PATCH", "/apis/aegis.io/v1alpha1/namespaces/a/aegisalerts/x/status", "patch a aegisalerts x status"),
            ("DELETE", "/apis/g.io/v1/namespaces/a/foos", "deletecollection a foos  "),
            ("POST", "/apis/g.io/v1/foos", "create  foos  "),
            ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", "get  clusterroles system:node "),
        ];
        for (method, path, want) in cases {
            let Route::Resource(found) = Route::parse(&method.parse().unwrap(), &path.parse().unwrap()) else {
                panic!("{path} is no resource");
            };
            let found =
                format!("{} {} {} {} {}", found.verb, found.namespace, found.resource, found.name, found.subresource);
            assert_eq!(found, want, "{path}");
        }
    }
}
