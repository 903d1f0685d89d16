//! A list taken apart while it arrives: object by object, so that however long it is, one of them is held as text at a
//! time.

use kube::core::ListMeta;
use serde::Deserialize;

/// The text of a list, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// What stands around the items.
    around: Vec<u8>,
    /// The beginning of an item whose end has not come yet.
    item: Vec<u8>,
    /// How many maps and lists are open.
    depth: usize,
    /// Whether the items are among them.
    inside: bool,
    quoted: bool,
    escaped: bool,
}

/// What stands around the items.
#[derive(Deserialize)]
struct Around {
    #[serde(default)]
    metadata: ListMeta,
}

impl Items {
    /// Takes the next part of the text, and gives each item that ends in it. What is no JSON may give items that are none.
    pub(super) fn take(&mut self, part: &[u8], mut each: impl FnMut(&[u8])) {
        // Where that begins which is neither given nor kept yet.
        let mut from = 0;
        for (at, byte) in part.iter().enumerate() {
            if self.quoted {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.quoted = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.quoted = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth == 2 && !self.inside {
                        self.around.extend_from_slice(slice(part, from, at));
                        from = at;
                        if *byte == b'[' && ends_with_key(&self.around) {
                            self.around.push(*byte);
                            from = at + 1;
                            self.inside = true;
                        }
                    }
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inside && self.depth == 2 {
                        self.give(slice(part, from, at + 1), &mut each);
                        from = at + 1;
                    } else if self.inside && self.depth < 2 {
                        self.give(slice(part, from, at), &mut each);
                        from = at;
                        self.inside = false;
                    }
                }
                b',' if self.inside && self.depth == 2 => {
                    self.give(slice(part, from, at), &mut each);
                    from = at + 1;
                }
                _ => {}
            }
        }
        let kept = if self.inside { &mut self.item } else { &mut self.around };
        kept.extend_from_slice(slice(part, from, part.len()));
    }

    /// What the list says of itself, once all of it was taken.
    pub(super) fn end(self) -> Result<ListMeta, serde_json::Error> {
        serde_json::from_slice(&self.around).map(|Around { metadata }| metadata)
    }

    fn give(&mut self, rest: &[u8], each: &mut impl FnMut(&[u8])) {
        if self.item.is_empty() {
            give(rest, each);
        } else {
            self.item.extend_from_slice(rest);
            give(&self.item, each);
            self.item.clear();
        }
    }
}

fn give(item: &[u8], each: &mut impl FnMut(&[u8])) {
    // Nothing stands between the last item and the end of the list.
    if !item.trim_ascii().is_empty() {
        each(item);
    }
}

fn slice(part: &[u8], from: usize, to: usize) -> &[u8] {
    part.get(from..to).unwrap_or_default()
}

/// Whether what follows is the value of `items`.
fn ends_with_key(text: &[u8]) -> bool {
    let key = text.trim_ascii_end().strip_suffix(b":");
    key.is_some_and(|key| key.trim_ascii_end().ends_with(b"\"items\""))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn taken(text: &str, size: usize) -> (Vec<Value>, Result<ListMeta, serde_json::Error>) {
        let (mut items, mut all) = (Items::default(), Vec::new());
        for part in text.as_bytes().chunks(size) {
            items.take(part, |item| all.push(serde_json::from_slice(item).unwrap()));
        }
        (all, items.end())
    }

    #[test]
    fn a_list_gives_its_items_and_what_it_says_of_itself_however_it_arrives() {
        let odd = json!({"a": "}],[{\\\"", "items": [1, {"items": [[]]}], "\"items\":[": {"x": [{}]}});
        let lists = [
            json!({"kind": "L", "items": [odd, {}, odd], "metadata": {"resourceVersion": "7"}}),
            json!({"metadata": {"resourceVersion": "7", "items": [{"no": "item"}]}, "items": [{"a": "\u{e9}\n"}]}),
            json!({"metadata": {"resourceVersion": "7"}, "others": [{"no": "item"}], "items": []}),
            json!({"metadata": {"resourceVersion": "7"}, "items": null}),
            json!({"metadata": {"resourceVersion": "7"}}),
        ];
        for list in lists {
            let want = list["items"].as_array().cloned().unwrap_or_default();
            for text in [list.to_string(), serde_json::to_string_pretty(&list).unwrap()] {
                for size in [1, 2, 3, 7, text.len()] {
                    let (items, meta) = taken(&text, size);
                    assert_eq!(items, want, "{text} in parts of {size}");
                    assert_eq!(meta.unwrap().resource_version.as_deref(), Some("7"), "{text} in parts of {size}");
                }
            }
        }
        let (items, _) = taken(r#"{"items":[7,{"a":1},"x"]}"#, 4);
        assert_eq!(items, [json!(7), json!({"a": 1}), json!("x")], "nothing is passed over");
    }

    #[test]
    fn a_list_that_breaks_off_is_none() {
        let text = json!({"items": [{"a": 1}, {"b": [2]}], "metadata": {"resourceVersion": "7"}}).to_string();
        for length in 0..text.len() {
            assert!(taken(&text[..length], 5).1.is_err(), "{length}");
        }
    }
}
