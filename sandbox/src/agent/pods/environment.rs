//! A container's environment: plain values, keys of ConfigMaps and Secrets, and fields of its pod.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};

use super::command::expand;

/// A ConfigMap or Secret of the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    ConfigMap(String),
    Secret(String),
}

/// The sources that were found, each with its text entries.
pub(crate) type Sources = BTreeMap<Source, BTreeMap<String, String>>;

/// Every source that the container's environment names.
pub(crate) fn sources(container: &Container) -> BTreeSet<Source> {
    let mut found = BTreeSet::new();
    for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        found.extend(from.config_map_key_ref.iter().map(|key| Source::ConfigMap(key.name.clone())));
        found.extend(from.secret_key_ref.iter().map(|key| Source::Secret(key.name.clone())));
    }
    for from in container.env_from.iter().flatten() {
        found.extend(from.config_map_ref.iter().map(|map| Source::ConfigMap(map.name.clone())));
        found.extend(from.secret_ref.iter().map(|secret| Source::Secret(secret.name.clone())));
    }
    found
}

/// The container's variables in order; a later one of the same name counts. The error is kubelet's message for a
/// container that cannot be configured.
pub(crate) fn resolve(pod: &Pod, container: &Container, sources: &Sources) -> Result<Vec<(String, String)>, String> {
    let mut environment = Vec::new();
    for from in container.env_from.iter().flatten() {
        let (source, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(map), _) => (Source::ConfigMap(map.name.clone()), map.optional),
            (None, Some(secret)) => (Source::Secret(secret.name.clone()), secret.optional),
            (None, None) => continue,
        };
        let prefix = from.prefix.as_deref().unwrap_or_default();
        match sources.get(&source) {
            Some(entries) => {
                environment.extend(entries.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())))
            }
            None if optional == Some(true) => {}
            None => return Err(missing(&source)),
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => Some(expand(variable.value.as_deref().unwrap_or_default(), &environment)),
            Some(from) => taken(pod, container, from, sources)?,
        };
        environment.extend(value.map(|value| (variable.name.clone(), value)));
    }
    Ok(environment)
}

fn taken(pod: &Pod, container: &Container, from: &EnvVarSource, sources: &Sources) -> Result<Option<String>, String> {
    let (source, key, optional) = if let Some(of) = &from.config_map_key_ref {
        (Source::ConfigMap(of.name.clone()), &of.key, of.optional)
    } else if let Some(of) = &from.secret_key_ref {
        (Source::Secret(of.name.clone()), &of.key, of.optional)
    } else if let Some(of) = &from.field_ref {
        return field(pod, &of.field_path)
            .map(Some)
            .ok_or_else(|| format!("the sandbox does not know the field {:?}", of.field_path));
    } else {
        return Err(format!(
            "the sandbox cannot fill in a variable of container {}: only configMapKeyRef, secretKeyRef and fieldRef are known",
            container.name
        ));
    };
    match sources.get(&source).map(|entries| entries.get(key)) {
        Some(Some(value)) => Ok(Some(value.clone())),
        _ if optional == Some(true) => Ok(None),
        Some(None) => Err(format!("couldn't find key {key} in {}", shown(&source))),
        None => Err(missing(&source)),
    }
}

fn field(pod: &Pod, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    let keyed = |prefix: &str, entries: &Option<BTreeMap<String, String>>| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(entries.as_ref().and_then(|entries| entries.get(key)).cloned().unwrap_or_default())
    };
    let text = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" => status.and_then(|status| status.pod_ip.clone()),
        "status.hostIP" => status.and_then(|status| status.host_ip.clone()),
        _ => {
            return keyed("metadata.labels", &meta.labels).or_else(|| keyed("metadata.annotations", &meta.annotations));
        }
    };
    Some(text.unwrap_or_default())
}

fn missing(source: &Source) -> String {
    match source {
        Source::ConfigMap(name) => format!("configmap {name:?} not found"),
        Source::Secret(name) => format!("secret {name:?} not found"),
    }
}

fn shown(source: &Source) -> String {
    match source {
        Source::ConfigMap(name) => format!("ConfigMap {name}"),
        Source::Secret(name) => format!("Secret {name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resolved(env: Value, env_from: Value) -> Result<Vec<(String, String)>, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"app": "x"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "env": env, "envFrom": env_from}]},
        }))
        .unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let sources = Sources::from([
            (Source::ConfigMap("m".into()), BTreeMap::from([("a".to_owned(), "1".to_owned())])),
            (Source::Secret("s".into()), BTreeMap::from([("t".to_owned(), "hush".to_owned())])),
        ]);
        resolve(&pod, container, &sources)
    }

    #[test]
    fn variables_come_from_where_they_say() {
        let env = json!([
            {"name": "PLAIN", "value": "v"},
            {"name": "BUILT", "value": "$(PLAIN)-$(P_a)-$(NOT)"},
            {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "t"}}},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "a", "optional": true}}},
        ]);
        let found = resolved(env, json!([{"prefix": "P_", "configMapRef": {"name": "m"}}])).unwrap();
        let want = [
            ("P_a", "1"),
            ("PLAIN", "v"),
            ("BUILT", "v-1-$(NOT)"),
            ("MAP", "1"),
            ("SECRET", "hush"),
            ("NODE", "n1"),
            ("APP", "x"),
        ];
        assert_eq!(found, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases = [
            (json!({"configMapKeyRef": {"name": "none", "key": "a"}}), "configmap \"none\" not found"),
            (json!({"configMapKeyRef": {"name": "m", "key": "z"}}), "couldn't find key z in ConfigMap m"),
            (json!({"secretKeyRef": {"name": "none", "key": "a"}}), "secret \"none\" not found"),
            (
                json!({"fieldRef": {"fieldPath": "spec.hostname"}}),
                "the sandbox does not know the field \"spec.hostname\"",
            ),
            (
                json!({"resourceFieldRef": {"resource": "limits.cpu"}}),
                "only configMapKeyRef, secretKeyRef and fieldRef are known",
            ),
        ];
        for (from, want) in cases {
            let found = resolved(json!([{"name": "X", "valueFrom": from}]), json!([])).unwrap_err();
            assert!(found.contains(want), "{found}");
        }
        assert_eq!(
            resolved(json!([]), json!([{"secretRef": {"name": "none"}}])),
            Err("secret \"none\" not found".into())
        );
    }
}
