//! Which number stands for which field.

use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("fields.txt");
const PREFIXES: [&str; 2] = ["io.k8s.apimachinery.pkg.apis.", "io.k8s.api."];

/// What a field number stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field {
    Member {
        key: &'static str,
        /// Whether zero is said on purpose.
        optional: bool,
    },
    /// A message whose fields are those of the parent.
    Inline(&'static str),
}

/// The fields of a message.
#[derive(Debug)]
pub(super) struct Message(HashMap<u32, Field>);

impl Message {
    pub(super) fn get(&self, number: u32) -> Option<&Field> {
        self.0.get(&number)
    }
}

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            let mut number = 1;
            let mut fields = HashMap::new();
            for word in words {
                if let Ok(set) = word.parse() {
                    number = set;
                    continue;
                }
                let field = match (word.strip_prefix('>'), word.strip_suffix('*')) {
                    (Some(inner), _) => Field::Inline(inner),
                    (None, Some(key)) => Field::Member { key, optional: true },
                    (None, None) => Field::Member { key: word, optional: false },
                };
                fields.insert(number, field);
                number += 1;
            }
            Some((name, Message(fields)))
        })
        .collect()
});

/// The message of a type, by its name in the published schema or by the short one of the table.
pub(super) fn message(type_name: &str) -> Option<&'static Message> {
    let short = PREFIXES.iter().find_map(|prefix| type_name.strip_prefix(prefix)).unwrap_or(type_name);
    MESSAGES.get(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_messages() {
        let member = |name: &str, number: u32| match message(name).and_then(|message| message.get(number)) {
            Some(Field::Member { key, .. }) => (*key).to_owned(),
            Some(Field::Inline(inner)) => format!(">{inner}"),
            None => "none".to_owned(),
        };
        for (name, number, want) in [
            ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", 1, "name"),
            ("meta.v1.ObjectMeta", 14, "finalizers"),
            ("meta.v1.ObjectMeta", 15, "none"),
            ("meta.v1.ObjectMeta", 17, "managedFields"),
            ("io.k8s.api.core.v1.Secret", 4, "stringData"),
            ("core.v1.Volume", 2, ">core.v1.VolumeSource"),
        ] {
            assert_eq!(member(name, number), want, "{name} {number}");
        }
    }

    #[test]
    fn every_inlined_message_is_in_the_table() {
        for message in MESSAGES.values() {
            for field in message.0.values() {
                if let Field::Inline(inner) = field {
                    assert!(MESSAGES.contains_key(inner), "{inner}");
                }
            }
        }
    }
}
