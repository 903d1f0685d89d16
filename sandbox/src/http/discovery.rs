//! What the server says about what it serves.

use serde_json::{Value, json};

use crate::kind::{Kind, Nature};
use crate::registry::Index;
use crate::status::ApiError;

/// /version
pub(super) fn version() -> Value {
    let mut numbers = crate::VERSION.trim_start_matches('v').split('.');
    json!({
        "major": numbers.next().unwrap_or_default(),
        "minor": numbers.next().unwrap_or_default(),
        "gitVersion": format!("{}+aegis-sandbox", crate::VERSION),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// /api
pub(super) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// /apis
pub(super) fn groups(index: &Index) -> Value {
    let groups: Vec<Value> = names(index).into_iter().filter_map(|name| described(index, &name)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// /apis/GROUP
pub(super) fn group(index: &Index, name: &str) -> Result<Value, ApiError> {
    let mut group = described(index, name).ok_or_else(ApiError::no_such_page)?;
    if let Value::Object(group) = &mut group {
        group.insert("kind".into(), "APIGroup".into());
        group.insert("apiVersion".into(), "v1".into());
    }
    Ok(group)
}

/// What is said of a resource or version that a group does not have, and of a group that is not there.
pub(super) fn missing(index: &Index, group: &str) -> ApiError {
    let built_in = index.kinds().iter().any(|kind| kind.group == group && kind.builtin().is_some());
    if built_in { ApiError::no_such_resource() } else { ApiError::no_such_page() }
}

/// The named groups, in the order in which they came.
fn names(index: &Index) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for kind in index.kinds() {
        if !kind.group.is_empty() && !names.contains(&kind.group) {
            names.push(kind.group.clone());
        }
    }
    names
}

fn described(index: &Index, name: &str) -> Option<Value> {
    let mut versions: Vec<&str> = Vec::new();
    for kind in index.kinds().iter().filter(|kind| kind.group == name) {
        for version in &kind.versions {
            if !versions.contains(&version.name.as_str()) {
                versions.push(&version.name);
            }
        }
    }
    versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    let versions: Vec<Value> = versions
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    let preferred = versions.first()?.clone();
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

/// Stable before beta before alpha, higher numbers first.
fn priority(version: &str) -> (u8, u64, u64) {
    let numbers: Vec<u64> = version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let stage = if version.contains("alpha") {
        0
    } else if version.contains("beta") {
        1
    } else {
        2
    };
    (stage, numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(0))
}

/// /api/v1 and /apis/GROUP/VERSION
pub(super) fn resources(index: &Index, group: &str, version: &str) -> Result<Value, ApiError> {
    let mut resources = Vec::new();
    for kind in index.kinds().iter().filter(|kind| kind.group == group) {
        if let Some(served) = kind.versions.iter().find(|served| served.name == version) {
            resources.extend(listed(kind, served.status));
        }
    }
    if resources.is_empty() {
        return Err(missing(index, group));
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    }))
}

fn listed(kind: &Kind, status: bool) -> Vec<Value> {
    let review = kind.builtin().is_some_and(|builtin| builtin.review);
    let verbs = if review {
        json!(["create"])
    } else {
        json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
    };
    let mut main = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": verbs,
    });
    if let Value::Object(main) = &mut main {
        if !kind.short_names.is_empty() {
            main.insert("shortNames".into(), json!(kind.short_names));
        }
        if !kind.categories.is_empty() {
            main.insert("categories".into(), json!(kind.categories));
        }
    }
    let sub = |name: &str, of: &str, verbs: Value| {
        json!({
            "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
            "kind": of, "verbs": verbs,
        })
    };
    let mut all = vec![main];
    if status {
        all.push(sub("status", &kind.kind, json!(["get", "patch", "update"])));
    }
    if matches!(kind.nature, Nature::Builtin(_)) && kind.group.is_empty() {
        match kind.plural.as_str() {
            "pods" => {
                let mut eviction = sub("eviction", "Eviction", json!(["create"]));
                if let Value::Object(eviction) = &mut eviction {
                    eviction.insert("group".into(), "policy".into());
                    eviction.insert("version".into(), "v1".into());
                }
                all.push(sub("binding", "Binding", json!(["create"])));
                all.push(eviction);
                all.push(sub("log", "Pod", json!(["get"])));
            }
            "namespaces" => all.push(sub("finalize", "Namespace", json!(["update"]))),
            "serviceaccounts" => all.push(sub("token", "TokenRequest", json!(["create"]))),
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn versions_are_preferred_by_stage_and_number() {
        let mut versions = ["v1alpha1", "v2", "v1beta2", "v1", "v1beta1"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1"]);
    }
}
