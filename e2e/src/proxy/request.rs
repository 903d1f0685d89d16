//! What a request to the API server is about.

use http::{Method, Uri};

/// A verb and a resource, as roles name them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Request {
    verb: &'static str,
    /// The plural, with the subresource behind a '/'; for what is not about objects, the path.
    resource: String,
}

impl Request {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let mut segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let prefix = match segments.first() {
            // The group's version, or the core's.
            Some(&"apis") => 3,
            Some(&"api") => 2,
            _ => segments.len(),
        };
        if segments.len() <= prefix {
            return Self { verb: "get", resource: uri.path().to_owned() };
        }
        segments.drain(..prefix);
        if segments.len() > 2 && segments.first() == Some(&"namespaces") {
            segments.drain(..2);
        }
        let (plural, name, subresource) = (segments.first(), segments.get(1), segments.get(2));
        let watch =
            uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")));
        let verb = match (method.as_str(), name) {
            ("GET", _) if watch => "watch",
            ("GET", Some(_)) => "get",
            ("GET", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", Some(_)) => "delete",
            ("DELETE", None) => "deletecollection",
            _ => "other",
        };
        let mut resource = plural.copied().unwrap_or_default().to_owned();
        if let Some(subresource) = subresource {
            resource = format!("{resource}/{subresource}");
        }
        Self { verb, resource }
    }

    pub(super) fn is_watch(&self) -> bool {
        self.verb == "watch"
    }

    pub(super) fn is_write(&self) -> bool {
        matches!(self.verb, "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_verb_and_resource() {
        let alerts = "/apis/aegis.io/v1alpha1/namespaces/a/aegisalerts";
        let cases = [
            ("POST", format!("{alerts}?fieldManager=aegis"), "create aegisalerts"),
            ("GET", alerts.to_owned(), "list aegisalerts"),
            ("GET", format!("{alerts}?watch=true&timeoutSeconds=5"), "watch aegisalerts"),
            ("GET", format!("{alerts}/x"), "get aegisalerts"),
            ("PATCH", format!("{alerts}/x/status"), "patch aegisalerts/status"),
            ("GET", "/apis/argoproj.io/v1alpha1/workflows".to_owned(), "list workflows"),
            ("GET", "/api/v1/namespaces/a".to_owned(), "get namespaces"),
            ("GET", "/api/v1/namespaces".to_owned(), "list namespaces"),
            ("GET", "/api/v1/namespaces/a/pods/b/log".to_owned(), "get pods/log"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b".to_owned(), "update leases"),
            ("GET", "/apis/aegis.io/v1alpha1".to_owned(), "get /apis/aegis.io/v1alpha1"),
            ("GET", "/version".to_owned(), "get /version"),
        ];
        for (method, uri, want) in cases {
            let request = Request::of(&method.parse().unwrap(), &uri.parse().unwrap());
            assert_eq!(request.to_string(), want, "{method} {uri}");
        }
    }
}
