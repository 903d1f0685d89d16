//! Fills in what the schema gives a default for.

use serde_json::Value;

use super::{Additional, Node, Schema};

impl Schema {
    /// Sets the defaults of all fields that are missing, in objects that are there or are themselves defaulted.
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
                    if let Some(default) = &child.default {
                        let absent = match map.get(&**key) {
                            None => true,
                            Some(found) => found.is_null() && !child.nullable,
                        };
                        if absent {
                            map.insert(key.to_string(), default.clone());
                        }
                    }
                    if let Some(member) = map.get_mut(&**key) {
                        self.default_node(child, member);
                    }
                }
                if let Additional::Each(id) = node.additional
                    && let Some(child) = self.node(id)
                {
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
            }}),
            "schema",
        )
        .unwrap();
        let mut object = json!({"list": [{}], "null": null, "given": null});
        schema.default(&mut object);
        assert_eq!(object, json!({"list": [{"z": true}], "null": null, "given": "d", "a": 1, "made": {"x": "in"}}));
    }
}
