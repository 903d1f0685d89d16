//! Which node takes a pod. Roughly the scheduler's filters: selector, required node affinity, cordon, taints, Ready.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};

const HOSTNAME: &str = "kubernetes.io/hostname";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The node for `pod`, or why there is none, in the scheduler's words. `load` is the number of pods on each node;
/// the least loaded wins, then the first by name.
pub(crate) fn place(pod: &Pod, nodes: &[Node], load: &BTreeMap<String, usize>) -> Result<String, String> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut fitting = BTreeSet::new();
    for node in nodes {
        let name = node.metadata.name.clone().unwrap_or_default();
        match objection(pod, node) {
            None => {
                fitting.insert((load.get(&name).copied().unwrap_or(0), name));
            }
            Some(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    fitting.into_iter().next().map(|(_, name)| name).ok_or_else(|| {
        let reasons: Vec<String> = reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let all = nodes.len();
        if reasons.is_empty() {
            format!("0/{all} nodes are available")
        } else {
            format!("0/{all} nodes are available: {}", reasons.join(", "))
        }
    })
}

fn objection(pod: &Pod, node: &Node) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let labels = labels(node);
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key.as_str()).is_some_and(|found| found == value));
    let required = spec.affinity.as_ref().and_then(|affinity| {
        affinity.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()
    });
    let attracted =
        required.is_none_or(|required| required.node_selector_terms.iter().any(|term| fits(term, name, &labels)));
    if !selected || !attracted {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let cordoned = Taint { key: UNSCHEDULABLE.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    let node_spec = node.spec.as_ref();
    if node_spec.is_some_and(|spec| spec.unschedulable == Some(true)) && !tolerated(&cordoned, tolerations) {
        return Some("node(s) were unschedulable".to_owned());
    }
    let taints = node_spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let repelling = taints.iter().find(|taint| taint.effect != "PreferNoSchedule" && !tolerated(taint, tolerations));
    if let Some(taint) = repelling {
        let value = taint.value.as_deref().unwrap_or_default();
        return Some(format!("node(s) had untolerated taint {{{}: {value}}}", taint.key));
    }
    let ready = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref()?.iter().find(|condition| condition.type_ == "Ready"));
    ready.is_some_and(|ready| ready.status != "True").then(|| "node(s) were not ready".to_owned())
}

/// A node's labels; one that does not say its host name is called by its own.
fn labels(node: &Node) -> BTreeMap<&str, &str> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let own = node.metadata.labels.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
    std::iter::once((HOSTNAME, name)).chain(own).collect()
}

fn fits(term: &NodeSelectorTerm, name: &str, labels: &BTreeMap<&str, &str>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // An empty term selects nothing.
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| meets(requirement, labels.get(requirement.key.as_str()).copied()))
        && fields.iter().all(|requirement| requirement.key == "metadata.name" && meets(requirement, Some(name)))
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|listed| listed == value));
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(value, bound)| value > bound),
        "Lt" => numbers().is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        let effect = toleration.effect.as_deref().unwrap_or_default();
        let key = toleration.key.as_deref().unwrap_or_default();
        let exists = toleration.operator.as_deref() == Some("Exists");
        (effect.is_empty() || effect == taint.effect)
            && (if key.is_empty() { exists } else { key == taint.key })
            && (exists || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, more: Value) -> Node {
        let mut value = json!({"metadata": {"name": name, "labels": {"zone": "a", "cores": "8"}}});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    fn pod(spec: Value) -> Pod {
        let mut value = json!({"containers": []});
        value.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({"spec": value})).unwrap()
    }

    fn affinity(term: Value) -> Value {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}})
    }

    #[test]
    fn a_pod_goes_where_it_may() {
        let nodes = [
            node("n1", json!({})),
            node("n2", json!({"spec": {"unschedulable": true}})),
            node("n3", json!({"spec": {"taints": [{"key": "gpu", "value": "broken", "effect": "NoExecute"}]}})),
            node("n4", json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})),
        ];
        let expression = |key: &str, operator: &str, values: Value| {
            affinity(json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}))
        };
        let cases = [
            ("anywhere", json!({}), Ok("n1")),
            (
                "by host name, which the node need not say",
                json!({"nodeSelector": {"kubernetes.io/hostname": "n1"}}),
                Ok("n1"),
            ),
            (
                "a cordoned node",
                json!({"nodeSelector": {"kubernetes.io/hostname": "n2"}}),
                Err(
                    "0/4 nodes are available: 3 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable",
                ),
            ),
            (
                "tolerating all",
                json!({"nodeSelector": {"kubernetes.io/hostname": "n2"}, "tolerations": [{"operator": "Exists"}]}),
                Ok("n2"),
            ),
            (
                "a taint",
                expression("kubernetes.io/hostname", "In", json!(["n3"])),
                Err(
                    "0/4 nodes are available: 3 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint {gpu: broken}",
                ),
            ),
            (
                "tolerating that taint",
                json!({"nodeSelector": {"kubernetes.io/hostname": "n3"}, "tolerations": [{"key": "gpu", "value": "broken"}]}),
                Ok("n3"),
            ),
            (
                "tolerating another value of it",
                json!({"nodeSelector": {"kubernetes.io/hostname": "n3"}, "tolerations": [{"key": "gpu", "value": "x"}]}),
                Err(
                    "0/4 nodes are available: 3 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint {gpu: broken}",
                ),
            ),
            (
                "a node that is not ready",
                json!({"nodeSelector": {"kubernetes.io/hostname": "n4"}}),
                Err(
                    "0/4 nodes are available: 3 node(s) didn't match Pod's node affinity/selector, 1 node(s) were not ready",
                ),
            ),
            (
                "by field",
                affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]})),
                Ok("n1"),
            ),
            ("not in", expression("zone", "NotIn", json!(["b"])), Ok("n1")),
            ("more than", expression("cores", "Gt", json!(["4"])), Ok("n1")),
            ("has the label", expression("zone", "Exists", json!([])), Ok("n1")),
        ];
        for (why, spec, want) in cases {
            assert_eq!(place(&pod(spec), &nodes, &BTreeMap::new()).as_deref().map_err(String::as_str), want, "{why}");
        }
        assert_eq!(place(&pod(json!({})), &[], &BTreeMap::new()), Err("0/0 nodes are available".into()));
        assert!(place(&pod(affinity(json!({}))), &nodes, &BTreeMap::new()).is_err(), "an empty term selects nothing");
    }

    #[test]
    fn the_least_loaded_node_takes_it() {
        let nodes = [node("n1", json!({})), node("n2", json!({}))];
        let load = BTreeMap::from([("n1".to_owned(), 2), ("n2".to_owned(), 1)]);
        assert_eq!(place(&pod(json!({})), &nodes, &load).as_deref(), Ok("n2"));
    }
}
