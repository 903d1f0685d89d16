//! The API server's record against the roles of manifest/deploy: what was forbidden to our accounts, and what their roles
//! grant that nobody used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, ensure};
use serde::Deserialize as _;
use serde_json::Value;

use crate::aegis::repository;
use crate::audit::Request;

/// The accounts that manifest/deploy makes, and the file with the roles of each, which are called as it is.
const ACCOUNTS: [(&str, &str); 2] = [("aegis", "controller-role.yaml"), ("aegis-workflow", "workflow-role.yaml")];

/// What the record says against the roles, in sentences.
pub fn judge(log: &[Request]) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (account, file) in ACCOUNTS {
        let denied = denied(log, account).into_iter().map(|request| format!("forbidden to {account}: {request}"));
        faults.extend(denied);
        for grant in grants(file)? {
            if !log.iter().any(|request| grant.is_used(request, account)) {
                faults.push(format!("granted to {account} and never used: {grant:?}"));
            }
        }
    }
    Ok(faults)
}

/// What the account asked for in vain, but for what it lost the rights to: they go with their namespace or by themselves,
/// as when an installation is taken away, and whoever stood on them may ask for something more while it ends.
fn denied(log: &[Request], account: &str) -> BTreeSet<String> {
    let mut lost: BTreeMap<&str, Lost> = BTreeMap::new();
    let mut denied = BTreeSet::new();
    for request in log {
        if let Some(place) = place_of_rights(request, account).filter(|_| request.is_success()) {
            if request.verb == "delete" {
                lost.insert(place, Lost::Gone);
            } else if let Some(lost) = lost.get_mut(place).filter(|_| request.is_creation()) {
                *lost = Lost::Returning;
            }
        }
        let Some(home) = home(request, account) else { continue };
        let places = [home, request.namespace()];
        if request.reason().contains(" of Role ") {
            lost.retain(|place, lost| *lost == Lost::Gone || !places.contains(place));
        }
        if request.is_denied() && !places.iter().any(|place| lost.contains_key(place)) {
            let (group, resource) = request.group_and_resource().unwrap_or_default();
            denied.insert(format!("{} {group}/{resource} in {:?} by {home}", request.verb, request.namespace()));
        }
    }
    denied
}

/// How far rights that were deleted are from being there again.
#[derive(PartialEq, Eq)]
enum Lost {
    Gone,
    /// What was deleted is made anew; they are there once a Role lets the account through.
    Returning,
}

/// The namespace in which a request for that object changes what the account may do, if it does.
fn place_of_rights<'r>(request: &'r Request, account: &str) -> Option<&'r str> {
    match request.target() {
        ("namespaces", _, "") => request.name(),
        ("roles" | "rolebindings", namespace, "") => (request.name() == Some(account)).then_some(namespace),
        _ => None,
    }
}

/// The namespace of the account, if it is one of that name that has asked.
fn home<'r>(request: &'r Request, account: &str) -> Option<&'r str> {
    let (home, name) = request.user().strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (name == account).then_some(home)
}

/// One verb on one resource, by one role.
#[derive(Debug)]
struct Grant {
    /// Role or ClusterRole.
    by: String,
    verb: String,
    group: String,
    /// With its subresource.
    resource: String,
    /// The objects that it is limited to; none means all.
    names: Vec<String>,
}

impl Grant {
    /// Whether the request was let through by this very grant's role.
    fn is_used(&self, request: &Request, account: &str) -> bool {
        request.verb == self.verb
            && home(request, account).is_some()
            && request.reason().contains(&format!(" of {} \"{account}\" ", self.by))
            && request
                .group_and_resource()
                .is_some_and(|(group, resource)| group == self.group && resource == self.resource)
            && (self.names.is_empty() || self.names.iter().any(|name| request.name() == Some(name)))
    }
}

/// All that the roles of a file grant.
fn grants(file: &str) -> anyhow::Result<Vec<Grant>> {
    let text = fs::read_to_string(repository("manifest/deploy").join(file))?;
    let mut grants = Vec::new();
    for role in serde_saphyr::from_multiple::<Value>(&text).with_context(|| format!("could not read {file}"))? {
        let by = role.get("kind").and_then(Value::as_str).unwrap_or_default();
        for rule in role.get("rules").and_then(Value::as_array).into_iter().flatten() {
            let words = |field: &str| rule.get(field).map(Vec::<String>::deserialize).transpose();
            let names = words("resourceNames")?.unwrap_or_default();
            for verb in words("verbs")?.unwrap_or_default() {
                for group in words("apiGroups")?.unwrap_or_default() {
                    for resource in words("resources")?.unwrap_or_default() {
                        let (by, verb, names) = (by.to_owned(), verb.clone(), names.clone());
                        grants.push(Grant { by, verb, group: group.clone(), resource, names });
                    }
                }
            }
        }
    }
    ensure!(!grants.is_empty(), "{file} grants nothing");
    Ok(grants)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Vec<Request> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    const DENIED: &str = r#"{"verb":"get","user":{"username":"system:serviceaccount:a:aegis"},
        "objectRef":{"resource":"pods","namespace":"b","name":"p"},
        "annotations":{"authorization.k8s.io/decision":"forbid"}}"#;
    const ALLOWED: &str = r#"{"verb":"get","user":{"username":"system:serviceaccount:a:aegis"},
        "objectRef":{"resource":"pods","namespace":"b","name":"p"},
        "annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":
        "RBAC: allowed by ClusterRoleBinding \"aegis\" of ClusterRole \"aegis\" to ServiceAccount \"aegis/a\""}}"#;
    const DELETED: &str = r#"{"verb":"delete","user":{"username":"admin"},"responseStatus":{"code":200},
        "objectRef":{"resource":"namespaces","namespace":"a","name":"a"}}"#;

    fn grant(by: &str, names: &[&str]) -> Grant {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Grant { by: by.into(), verb: "get".into(), group: String::new(), resource: "pods".into(), names }
    }

    #[test]
    fn what_was_forbidden_is_told() {
        assert_eq!(denied(&log(&[DENIED, ALLOWED]), "aegis").len(), 1);
        assert!(denied(&log(&[DENIED]), "aegis-workflow").is_empty(), "another account");
    }

    #[test]
    fn rights_that_were_deleted_by_themselves_are_not_missed() {
        let binding = r#""resource":"rolebindings","namespace":"a","name":"aegis""#;
        let taken = DELETED.replace(r#""resource":"namespaces","namespace":"a","name":"a""#, binding);
        let read = taken.replace("delete", "get");
        let others = taken.replace(r#""name":"aegis""#, r#""name":"somebody-else""#);
        let refused = taken.replace("200", "409");
        let applied = taken.replace("delete", "patch").replace("200", "201");
        let by_role = ALLOWED.replace("ClusterRole", "Role").replace("\"b\"", "\"a\"");
        let cases: [(&str, &[&str], usize); 6] = [
            ("its binding is gone", &[&taken, DENIED], 0),
            ("a request from before was let through after", &[&taken, &by_role, DENIED], 0),
            ("its binding is there again", &[&taken, &applied, &by_role, DENIED], 1),
            ("its binding was read", &[&read, DENIED], 1),
            ("another one's is gone", &[&others, DENIED], 1),
            ("nothing was deleted", &[&refused, DENIED], 1),
        ];
        for (why, lines, want) in cases {
            assert_eq!(denied(&log(lines), "aegis").len(), want, "{why}");
        }
    }

    #[test]
    fn rights_that_were_deleted_with_their_namespace_are_not_missed() {
        let made = DELETED.replace("delete", "create").replace("200", "201");
        let by_role = ALLOWED.replace("ClusterRole", "Role").replace("\"b\"", "\"a\"");
        let cases: [(&str, &[&str], usize); 5] = [
            ("it is being deleted", &[DELETED, DENIED], 0),
            ("it was denied before", &[DENIED, DELETED], 1),
            ("its roles are not there again", &[DELETED, &made, ALLOWED, DENIED], 0),
            ("its roles were there until the end", &[DELETED, &by_role, DENIED], 0),
            ("its roles are there again", &[DELETED, &made, &by_role, DENIED], 1),
        ];
        for (why, lines, want) in cases {
            assert_eq!(denied(&log(lines), "aegis").len(), want, "{why}");
        }
    }

    #[test]
    fn a_grant_is_used_by_a_request_that_its_role_has_let_through() {
        let (denied, allowed) = (&log(&[DENIED])[0], &log(&[ALLOWED])[0]);
        assert!(grant("ClusterRole", &[]).is_used(allowed, "aegis"));
        assert!(grant("ClusterRole", &["p"]).is_used(allowed, "aegis"), "limited to that object");
        for (why, grant, request) in [
            ("nothing was let through", grant("ClusterRole", &[]), denied),
            ("by another role", grant("Role", &[]), allowed),
            ("limited to another object", grant("ClusterRole", &["q"]), allowed),
        ] {
            assert!(!grant.is_used(request, "aegis"), "{why}");
        }
        assert!(!grant("ClusterRole", &[]).is_used(allowed, "aegis-workflow"), "another account");
    }

    #[test]
    fn every_role_that_is_shipped_grants_something() {
        for (_, file) in ACCOUNTS {
            assert!(grants(file).unwrap().iter().all(|grant| !grant.verb.is_empty() && !grant.resource.is_empty()));
        }
    }
}
