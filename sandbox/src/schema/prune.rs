//! Takes out what the schema does not know, and tells what that was.

use serde_json::Value;

use super::{Additional, Node, Schema, is_object_header, push_index, push_member};

impl Schema {
    /// Removes unknown fields from a whole object and returns their paths.
    pub(crate) fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        if let Some(root) = self.node(self.root) {
            self.prune_node(root, object, true, &mut String::new(), &mut unknown);
        }
        unknown
    }

    fn prune_node(
        &self,
        node: &Node,
        value: &mut Value,
        whole_object: bool,
        path: &mut String,
        unknown: &mut Vec<String>,
    ) {
        let length = path.len();
        match value {
            Value::Object(map) => {
                let free = node.preserve_unknown || matches!(node.additional, Additional::Anything);
                map.retain(|key, member| {
                    push_member(path, key);
                    let keep = if whole_object && is_object_header(key) {
                        true
                    } else if let Some(child) = self.member_of(node, key) {
                        self.prune_node(child, member, child.embedded, path, unknown);
                        true
                    } else if free {
                        true
                    } else {
                        unknown.push(path.clone());
                        false
                    };
                    path.truncate(length);
                    keep
                });
            }
            Value::Array(items) => {
                let Some(child) = node.items.and_then(|id| self.node(id)) else {
                    return;
                };
                for (index, item) in items.iter_mut().enumerate() {
                    push_index(path, index);
                    self.prune_node(child, item, child.embedded, path, unknown);
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn member_of(&self, node: &Node, key: &str) -> Option<&Node> {
        let id = node.properties.get(key).copied().or(match node.additional {
            Additional::Each(id) => Some(id),
            Additional::None | Additional::Anything => None,
        })?;
        self.node(id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile_custom;
    use serde_json::json;

    #[test]
    fn only_unknown_fields_go_and_each_is_named_by_its_path() {
        let schema = compile_custom(
            &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
                "known": {"type": "string"},
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
                "map": {"type": "object", "additionalProperties": {"type": "object"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }}}}),
            "schema",
        )
        .unwrap();
        let mut object = json!({
            "apiVersion": "v1", "kind": "A", "metadata": {"name": "x"}, "top": 1,
            "spec": {"known": "k", "typo": 1, "list": [{"a": "1"}, {"b": 2}], "map": {"m": {"deep": 1}}, "free": {"x": {"y": 1}}},
        });
        let mut unknown = schema.prune(&mut object);
        unknown.sort();
        assert_eq!(unknown, ["spec.list[1].b", "spec.map.m.deep", "spec.typo", "top"]);
        assert_eq!(
            object["spec"],
            json!({"known": "k", "list": [{"a": "1"}, {}], "map": {"m": {}}, "free": {"x": {"y": 1}}})
        );
    }
}
