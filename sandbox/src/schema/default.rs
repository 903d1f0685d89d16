//! Fills in what the schema gives a default for, and takes out nulls that it does not allow.

use serde_json::Value;

use super::{Additional, Node, Schema};

impl Schema {
    /// Sets the defaults of all fields that are missing, in objects that are there or are themselves defaulted. A null
    /// that is not allowed counts as missing.
    pub(crate) fn default(&self, object: &mut Value) {
        if let Some(root) = self.node(self.root) {
            self.default_node(root, object);
        }
    }

    fn default_node(&self, node: &Node, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, id) in &node.properties {
                    let Some(child) = self.node(*id) else {
                        continue;
                    };
                    if map.get(&**key).is_some_and(Value::is_null) && !child.nullable {
                        map.shift_remove(&**key);
                    }
                    if let (Some(default), false) = (&child.default, map.contains_key(&**key)) {
                        map.insert(key.to_string(), default.clone());
                    }
                    if let Some(member) = map.get_mut(&**key) {
                        self.default_node(child, member);
                    }
                }
                if let Additional::Each(id) = node.additional
                    && let Some(child) = self.node(id)
                {
                    map.retain(|key, member| {
                        node.properties.contains_key(key.as_str()) || child.nullable || !member.is_null()
                    });
                    for (key, member) in map.iter_mut() {
                        if !node.properties.contains_key(key.as_str()) {
                            self.default_node(child, member);
                        }
                    }
                }
            }
            Value::Array(items) => {
                if let Some(child) = node.items.and_then(|id| self.node(id)) {
                    for item in items {
                        self.default_node(child, item);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile_custom;
    use serde_json::json;

    #[test]
    fn defaults_reach_into_what_is_there_and_what_was_defaulted_but_not_further() {
        let schema = compile_custom(
            &json!({"type": "object", "properties": {
                "a": {"type": "integer", "default": 1},
                "made": {"type": "object", "default": {}, "properties": {"x": {"type": "string", "default": "in"}}},
                "absent": {"type": "object", "properties": {"y": {"type": "string", "default": "never"}}},
                "list": {"type": "array", "items": {"type": "object", "properties": {"z": {"type": "boolean", "default": true}}}},
                "null": {"type": "string", "nullable": true, "default": "d"},
                "given": {"type": "string", "default": "d"},
                "unwanted": {"type": "string"},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
            }}),
            "schema",
        )
        .unwrap();
        let mut object =
            json!({"list": [{}], "null": null, "given": null, "unwanted": null, "map": {"x": null, "y": "z"}});
        schema.default(&mut object);
        assert_eq!(
            object,
            json!({"list": [{"z": true}], "null": null, "given": "d", "a": 1, "made": {"x": "in"}, "map": {"y": "z"}})
        );
    }
}
