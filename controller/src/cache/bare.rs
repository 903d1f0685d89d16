//! Objects as lists hold them, read without their managedFields: a third of the text of most, the costliest part to
//! decode, and nothing that a decision reads.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, Visitor,
};

/// The object that this JSON describes, without `metadata.managedFields`.
pub(super) fn read<K: DeserializeOwned>(text: &str) -> Result<K, serde_json::Error> {
    let mut whole = serde_json::Deserializer::from_str(text);
    let object = K::deserialize(Without { inner: &mut whole, path: &["metadata", "managedFields"] })?;
    whole.end()?;
    Ok(object)
}

/// A map in which one place of some depth is passed over.
struct Without<D> {
    inner: D,
    path: &'static [&'static str],
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Without<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(Maps { visitor, path: self.path })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(Maps { visitor, path: self.path })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_struct(name, fields, Maps { visitor, path: self.path })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_option(Maps { visitor, path: self.path })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_ignored_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct enum identifier
    }
}

/// Passes on what is a map; anything else is told as what was not expected.
struct Maps<V> {
    visitor: V,
    path: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Maps<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(formatter)
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Without { inner, path: self.path })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Fields { map, path: self.path, on_the_way: false })
    }
}

struct Fields<A> {
    map: A,
    path: &'static [&'static str],
    /// The next value holds the place, deeper.
    on_the_way: bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        while let Some(Name(key)) = self.map.next_key::<Name<'de>>()? {
            self.on_the_way = self.path.first().is_some_and(|first| *first == key);
            if self.on_the_way && self.path.len() == 1 {
                self.map.next_value::<IgnoredAny>()?;
                continue;
            }
            let key: de::value::CowStrDeserializer<'de, A::Error> = key.into_deserializer();
            return seed.deserialize(key).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        match self.path {
            [_, deeper @ ..] if self.on_the_way => self.map.next_value_seed(Deeper { seed, path: deeper }),
            _ => self.map.next_value_seed(seed),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        self.map.size_hint()
    }
}

struct Deeper<S> {
    seed: S,
    path: &'static [&'static str],
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Deeper<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(Without { inner, path: self.path })
    }
}

/// The name of a field; borrowed unless it is escaped.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use aegis_crds::AegisAlert;
    use k8s_openapi::api::batch::v1::Job;
    use kube::core::PartialObjectMeta;
    use serde_json::{Value, json};

    use super::*;
    use crate::executors::Workflow;

    fn object() -> Value {
        json!({
            "apiVersion": "v1", "kind": "K",
            "metadata": {
                "name": "a", "labels": {"managedFields": "mine", "\"": "\n"},
                "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}], "uid": "u",
            },
            "spec": {"managedFields": [1], "metadata": {"managedFields": 2}},
        })
    }

    #[test]
    fn everything_is_read_but_managed_fields() {
        let mut want = object();
        want["metadata"].as_object_mut().unwrap().remove("managedFields").unwrap();
        assert_eq!(read::<Value>(&object().to_string()).unwrap(), want, "what has that name elsewhere stays");
    }

    #[test]
    fn every_kind_that_is_listed_is_read_as_it_would_be_whole() {
        fn both<K: DeserializeOwned + serde::Serialize + kube::Resource>(text: &str) -> [Value; 2] {
            let mut whole: K = serde_json::from_str(text).unwrap();
            whole.meta_mut().managed_fields = None;
            [whole, read(text).unwrap()].map(|object| serde_json::to_value(object).unwrap())
        }
        let mut text = object();
        text["spec"] = json!({"type": "A", "status": "Firing", "involvedObject": {}});
        let [whole, bare] = both::<AegisAlert>(&text.to_string());
        assert_eq!(whole, bare);
        (text["apiVersion"], text["kind"]) = (json!("batch/v1"), json!("Job"));
        text["spec"] = json!({"template": {"spec": {"containers": [{"name": "c"}]}}});
        let [whole, bare] = both::<Job>(&text.to_string());
        assert_eq!(whole, bare);
        let [whole, bare] = both::<PartialObjectMeta<Workflow>>(&text.to_string());
        assert_eq!(whole, bare);
    }

    #[test]
    fn what_is_not_the_object_is_refused() {
        for text in ["", "[]", "{", "{}x", "null", r#"{"metadata": 7}"#, r#"{"metadata": {"name": 7}}"#] {
            assert!(read::<AegisAlert>(text).is_err(), "{text}");
        }
    }
}
