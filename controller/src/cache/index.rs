//! The places of objects by the hash of a value that they are looked for by.

use std::collections::{BTreeSet, HashMap};

use super::key::Key;

/// Places by hash. A table is one piece of memory; the nodes of a tree would lie scattered among objects that were there
/// while they were made, and keep the memory around them from being given back.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<u64, Places>);

/// Most values have one object.
#[derive(Debug)]
enum Places {
    One(Key),
    Several(BTreeSet<Key>),
}

impl Index {
    /// The places of that hash, by namespace and name.
    pub(super) fn of(&self, hash: u64) -> impl Iterator<Item = &Key> {
        let (one, several) = match self.0.get(&hash) {
            Some(Places::One(key)) => (Some(key), None),
            Some(Places::Several(keys)) => (None, Some(keys)),
            None => (None, None),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    pub(super) fn add(&mut self, hash: u64, key: Key) {
        let keys = match self.0.remove(&hash) {
            Some(Places::Several(mut keys)) => {
                keys.insert(key);
                Places::Several(keys)
            }
            Some(Places::One(other)) if other != key => Places::Several([other, key].into()),
            Some(Places::One(_)) | None => Places::One(key),
        };
        self.0.insert(hash, keys);
    }

    pub(super) fn remove(&mut self, hash: u64, key: &Key) {
        let is_empty = match self.0.get_mut(&hash) {
            Some(Places::One(one)) => one == key,
            Some(Places::Several(keys)) => {
                keys.remove(key);
                keys.is_empty()
            }
            None => false,
        };
        if is_empty {
            self.0.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_hash_is_found_until_it_is_removed_and_nothing_is_left_of_none() {
        let mut index = Index::default();
        let key = |name: &str| Key::new("monitoring", name);
        let names = |index: &Index| index.of(1).map(|key| key.name.to_string()).collect::<Vec<_>>();
        for name in ["b", "b", "c", "a", "a"] {
            index.add(1, key(name));
        }
        index.add(2, key("other"));
        assert_eq!(names(&index), ["a", "b", "c"]);
        index.remove(1, &key("b"));
        index.remove(1, &key("other"));
        assert_eq!(names(&index), ["a", "c"]);
        for name in ["a", "c", "c"] {
            index.remove(1, &key(name));
        }
        index.remove(2, &key("a"));
        assert_eq!(index.of(2).count(), 1, "another object's removal is not its own");
        index.remove(2, &key("other"));
        assert!(index.0.is_empty());
    }
}
