//! What stands in the way of an installation: judged from what was found, before anything is written.

use serde_json::Value;

use super::shipped::{self, VERSION, Wanted};
use super::survey::{Found, is_ours};
use crate::apply;
use crate::failure::{Failure, Kind};

/// Why nothing may be written, the gravest reason first.
pub(crate) fn objections(found: &Found, wanted: &Wanted) -> Result<Vec<Failure>, Failure> {
    let mut all = Vec::new();
    all.extend(old_controller(found, wanted));
    all.extend(elsewhere(found, wanted));
    all.extend(going(found));
    all.extend(older_than_what_is_there(found));
    for definition in shipped::definitions()? {
        let name = apply::name(&definition);
        let live = found.definitions.iter().find(|live| apply::name(live) == name);
        all.extend(live.and_then(|live| loses(live, &definition)));
    }
    all.extend(not_served(found, wanted));
    Ok(all)
}

/// The first version's controller makes a Workflow at every event once the definitions have a status subresource.
fn old_controller(found: &Found, wanted: &Wanted) -> Option<Failure> {
    let namespace = &wanted.namespace;
    let foreign = found.deployment.as_ref().is_some_and(|one| !is_ours(one));
    let what = match found.old_pods.as_slice() {
        [] if foreign => format!("the Deployment aegis in {namespace} is another system's"),
        [] => return None,
        pods => format!("the controller of the first version still runs: {}", pods.join(", ")),
    };
    let hint = format!(
        "it would act again on every event once the definitions change. Stop it first, as docs/guides/migrate.md says:\n  \
         kubectl delete deployment aegis -n {namespace}\n  \
         kubectl wait --for=delete pod -l component=aegis -n {namespace} --timeout=120s"
    );
    Some(Failure::new(Kind::Refused, what).hint(hint))
}

/// One cluster has one installation: the rights in the whole cluster are bound for one namespace.
fn elsewhere(found: &Found, wanted: &Wanted) -> Option<Failure> {
    let there = found.elsewhere.as_ref()?;
    let what = format!(
        "Aegis is installed in {there}: the ClusterRoleBinding aegis is for that namespace, and not for {}",
        wanted.namespace
    );
    Some(Failure::new(Kind::Refused, what).hint(format!(
        "bring that one up to date with -n {there}, or take it away first: kubectl aegis uninstall -n {there}"
    )))
}

fn going(found: &Found) -> Option<Failure> {
    let all = found.namespace.iter().chain(&found.definitions);
    let going = all.into_iter().find(|object| object.pointer("/metadata/deletionTimestamp").is_some())?;
    Some(
        Failure::new(Kind::Refused, format!("{} is being deleted, with all that is in it", apply::label(going)))
            .hint("wait until it is gone; `kubectl describe` on it says what holds it"),
    )
}

fn older_than_what_is_there(found: &Found) -> Option<Failure> {
    let there = found.version()?;
    (numbers(there) > numbers(VERSION)).then(|| {
        Failure::new(Kind::NotInstalled, format!("what is installed is {there}, and this plugin carries {VERSION}"))
            .hint(format!(
                "a downgrade would lose what only {there} knows: use the plugin of that version or a later one"
            ))
    })
}

/// What stored objects would lose by that change of their definition.
fn loses(live: &Value, ours: &Value) -> Option<Failure> {
    let label = apply::label(live);
    let word = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    for field in ["/spec/scope", "/spec/names/kind", "/spec/names/plural"] {
        let (there, here) = (word(live, field), word(ours, field));
        if there != here {
            let field = field.trim_start_matches('/').replace('/', ".");
            let what = format!("{label}: {field}: found {there}, expected {here}: its objects could not be kept");
            return Some(Failure::new(Kind::Refused, what).hint("it is another system's definition"));
        }
    }
    let served: Vec<&str> = versions(ours).filter_map(|version| version.get("name").and_then(Value::as_str)).collect();
    let stored = live.pointer("/status/storedVersions").and_then(Value::as_array).into_iter().flatten();
    if let Some(lost) = stored.filter_map(Value::as_str).find(|version| !served.contains(version)) {
        let what = format!("{label}: objects are stored as {lost}, which this plugin's definition does not know");
        return Some(
            Failure::new(Kind::Refused, what).hint("use the plugin of the version that wrote them, or a later one"),
        );
    }
    let mut lost = Vec::new();
    for version in versions(ours) {
        let there = versions(live).find(|one| one.get("name") == version.get("name"));
        let schema = |version: &Value| version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
        if let Some(there) = there {
            unknown(&schema(there), &schema(version), "", &mut lost);
        }
    }
    if lost.is_empty() {
        return None;
    }
    let some = lost.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    let more = if lost.len() > 3 { format!(" and {} more", lost.len() - 3) } else { String::new() };
    let what = format!("{label}: this plugin ({VERSION}) does not know {some}{more}: stored objects would lose them");
    Some(Failure::new(Kind::NotInstalled, what).hint("it is older than what is installed: use a later plugin"))
}

fn versions(definition: &Value) -> impl Iterator<Item = &Value> {
    definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten()
}

/// The fields that one schema has and the other would cut off.
fn unknown(there: &Value, here: &Value, path: &str, lost: &mut Vec<String>) {
    let keeps_all = here.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true);
    if keeps_all {
        return;
    }
    for (name, inner) in there.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let known = here.get("properties").and_then(|all| all.get(name)).or_else(|| here.get("additionalProperties"));
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match known {
            // Metadata is everybody's.
            Some(_) if path == "metadata" => {}
            Some(known) => unknown(inner, known, &path, lost),
            None => lost.push(path),
        }
    }
    for part in ["items", "additionalProperties"] {
        if let (Some(inner), Some(known)) = (there.get(part), here.get(part)) {
            unknown(inner, known, path, lost);
        }
    }
}

fn not_served(found: &Found, wanted: &Wanted) -> Vec<Failure> {
    let mut all = Vec::new();
    if wanted.policies && !found.knows_policies {
        let what = "the API server knows no ValidatingAdmissionPolicy, which keeps approvals and requests honest";
        all.push(
            Failure::new(Kind::Refused, what)
                .hint("it takes Kubernetes 1.30; --without-policies leaves them out, and approvals do not count then"),
        );
    }
    if wanted.monitoring && !found.knows_monitors {
        let what = "the API server knows no ServiceMonitor, which --with-monitoring makes";
        all.push(
            Failure::new(Kind::Refused, what)
                .hint("install the Prometheus Operator first, or leave --with-monitoring out"),
        );
    }
    all
}

/// A version's numbers; what stands behind them does not count.
fn numbers(version: &str) -> Vec<u64> {
    let bare = version.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
    bare.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found() -> Found {
        Found { knows_policies: true, knows_monitors: true, ..Found::default() }
    }

    fn told(found: &Found) -> Vec<(Kind, String)> {
        let all = objections(found, &Wanted::everything("monitoring")).unwrap();
        all.iter().map(|one| (one.kind(), one.to_string())).collect()
    }

    fn deployed(labels: Value, version: &str) -> Value {
        json!({"metadata": {"name": "aegis", "labels": {"app.kubernetes.io/version": version}},
            "spec": {"selector": {"matchLabels": labels}}})
    }

    fn definition(change: impl FnOnce(&mut Value)) -> Found {
        let mut live = shipped::definitions().unwrap().remove(0);
        change(&mut live);
        Found { definitions: vec![live], ..found() }
    }

    #[test]
    fn an_empty_cluster_and_one_of_this_version_are_fine() {
        assert_eq!(told(&found()), []);
        let ours = json!({"app.kubernetes.io/name": "aegis"});
        let there = Found {
            definitions: shipped::definitions().unwrap(),
            deployment: Some(deployed(ours, VERSION)),
            ..found()
        };
        assert_eq!(told(&there), []);
    }

    #[test]
    fn each_danger_is_refused_with_its_reason() {
        let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let cases = [
            (
                "its pods",
                Found { old_pods: vec!["m/aegis-1".into()], ..found() },
                Kind::Refused,
                "still runs: m/aegis-1",
            ),
            (
                "its Deployment alone",
                Found { deployment: Some(deployed(json!({"component": "aegis"}), "")), ..found() },
                Kind::Refused,
                "another system's",
            ),
            (
                "another installation",
                Found { elsewhere: Some("ops".into()), ..found() },
                Kind::Refused,
                "installed in ops",
            ),
            (
                "a downgrade",
                Found { deployment: Some(deployed(json!({"app.kubernetes.io/name": "aegis"}), "99.0.1")), ..found() },
                Kind::NotInstalled,
                "99.0.1",
            ),
            (
                "a namespace that goes",
                Found {
                    namespace: Some(json!({"kind": "Namespace", "metadata": {"name": "m", "deletionTimestamp": "x"}})),
                    ..found()
                },
                Kind::Refused,
                "namespace/m is being deleted",
            ),
            (
                "a field of a later version",
                definition(|live| live.pointer_mut(schema).unwrap()["colour"] = json!({"type": "string"})),
                Kind::NotInstalled,
                "spec.colour",
            ),
            (
                "a version that only others know",
                definition(|live| live["status"] = json!({"storedVersions": ["v1beta1"]})),
                Kind::Refused,
                "stored as v1beta1",
            ),
            ("another scope", definition(|live| live["spec"]["scope"] = json!("Cluster")), Kind::Refused, "spec.scope"),
            (
                "an old API server",
                Found { knows_policies: false, ..found() },
                Kind::Refused,
                "ValidatingAdmissionPolicy",
            ),
            ("no operator", Found { knows_monitors: false, ..found() }, Kind::Refused, "ServiceMonitor"),
        ];
        for (why, found, kind, part) in cases {
            let told = told(&found);
            assert!(told.iter().any(|(of, text)| *of == kind && text.contains(part)), "{why}: {told:?}");
        }
    }

    #[test]
    fn a_definition_that_was_smaller_may_grow() {
        let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let older = definition(|live| {
            live.pointer_mut(schema).unwrap().as_object_mut().unwrap().remove("startsAt");
            live["spec"]["versions"][0]["subresources"] = Value::Null;
        });
        assert_eq!(told(&older), []);
        assert!(numbers("v0.10.0-rc.1") > numbers("0.9.7") && numbers("1.0") < numbers("1.0.1"));
    }
}
