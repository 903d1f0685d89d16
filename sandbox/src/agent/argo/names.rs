//! The names that Argo derives: a node's id from its name, and a pod's name from its node.

use serde_json::Value;

/// On a Workflow: its phase.
pub(crate) const PHASE_LABEL: &str = "workflows.argoproj.io/phase";
/// On a Workflow and on its pods: "true" once it has ended.
pub(crate) const COMPLETED_LABEL: &str = "workflows.argoproj.io/completed";
/// On a pod: the Workflow that it belongs to.
pub(crate) const WORKFLOW_LABEL: &str = "workflows.argoproj.io/workflow";

const LONGEST_POD_NAME: usize = 253;
const HASH_DIGITS: usize = 10;

/// The id of the node called `node` in the workflow called `workflow`; the root node is called like its workflow.
pub(crate) fn node_id(workflow: &str, node: &str) -> String {
    if workflow == node { workflow.to_owned() } else { format!("{workflow}-{}", fnv32a(node)) }
}

/// The pod that runs the node called `node`: Argo's second naming scheme.
pub(crate) fn pod_name(workflow: &str, node: &str, template: &str) -> String {
    if workflow == node {
        return workflow.to_owned();
    }
    let prefix: String = format!("{workflow}-{template}").chars().take(LONGEST_POD_NAME - HASH_DIGITS - 1).collect();
    format!("{prefix}-{}", fnv32a(node))
}

/// The name of the step or task that `withItems` or `withParam` makes of the item at `index`.
pub(crate) fn expanded(name: &str, index: usize, item: &Value) -> String {
    let shown = match item {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let mut pairs: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key}:{}", plain_or_json(value))).collect();
            pairs.sort();
            pairs.join(",")
        }
        other => other.to_string(),
    };
    format!("{name}({index}:{shown})")
}

/// A string as it is, everything else as JSON: how Argo prints a value in place of a tag.
pub(crate) fn plain_or_json(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn fnv32a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_named_as_argo_names_it() {
        let workflow = "default-nodehasemergencyevent-9njt4-s82rh";
        assert_eq!(
            pod_name(workflow, &format!("{workflow}(0)"), "start"),
            "default-nodehasemergencyevent-9njt4-s82rh-start-4152452869",
            "the name that a real Argo gave to the first attempt of this workflow's entrypoint"
        );
        assert_eq!(pod_name("w", "w", "start"), "w", "an entrypoint without retries is the workflow itself");
        assert_eq!(node_id("w", "w"), "w");
        assert!(node_id("w", "w[0].a").starts_with("w-"));
        assert_eq!(pod_name(&"w".repeat(63), "n", &"t".repeat(300)).len(), 242 + 1 + fnv32a("n").to_string().len());
    }

    #[test]
    fn an_item_stands_in_the_name_of_its_step() {
        let cases = [
            (json!("n1"), "a(0:n1)"),
            (json!(7), "a(0:7)"),
            (json!({"z": 1, "b": "x"}), "a(0:b:x,z:1)"),
            (json!(["x", 1]), "a(0:[\"x\",1])"),
        ];
        for (item, want) in cases {
            assert_eq!(expanded("a", 0, &item), want);
        }
    }
}
