//! Objects that do not change, packed: some bytes in place of a hundred allocations, and a quarter of the memory.
//!
//! The form is that of JSON, value by value, but binary, and with the names of fields, labels and details written once
//! for the whole cache. It never leaves the process.

mod writer;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::de::value::Error;
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};

use writer::Writer;

/// An object as bytes, which only the [`Words`] that packed it can read. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Packed(Arc<[u8]>);

/// The names that packed objects have in common, by number. Senders choose some of them, so there is an end to them:
/// what comes after that is written out in each object.
#[derive(Debug, Default)]
pub(super) struct Words(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    words: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, usize>,
}

/// How many names are known, and how long each may be: half a megabyte at the very most.
const MOST_WORDS: usize = 4096;
const LONGEST_WORD: usize = 64;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
/// 0 or more.
const NATURAL: u8 = 3;
/// Its bits inverted, since it is below 0.
const NEGATIVE: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;

impl Words {
    /// The object as bytes; `None` if it could not be read back from them, which none of ours meets.
    pub(super) fn pack<K: Serialize + DeserializeOwned>(&self, object: &K) -> Option<Packed> {
        let mut bytes = Vec::with_capacity(2048);
        {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            object.serialize(&mut Writer { known: &mut known, bytes: &mut bytes }).ok()?;
        }
        let packed = Packed(bytes.into());
        self.unpack::<K>(&packed).is_ok().then_some(packed)
    }

    /// The object that was packed.
    pub(super) fn unpack<K: DeserializeOwned>(&self, packed: &Packed) -> Result<K, Error> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        K::deserialize(&mut Reader { rest: &packed.0, words: &known.words })
    }
}

impl Known {
    fn write_name(&mut self, name: &str, bytes: &mut Vec<u8>) {
        // An even number is that of a word, an odd one the length of a name that is written out.
        match self.number(name) {
            Some(number) => write_size(number as u64 * 2, bytes),
            None => {
                write_size(name.len() as u64 * 2 + 1, bytes);
                bytes.extend_from_slice(name.as_bytes());
            }
        }
    }

    fn number(&mut self, name: &str) -> Option<usize> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        if self.words.len() >= MOST_WORDS || name.len() > LONGEST_WORD {
            return None;
        }
        let (word, number) = (Arc::<str>::from(name), self.words.len());
        self.words.push(word.clone());
        self.numbers.insert(word, number);
        Some(number)
    }
}

/// Seven bits to a byte, the lowest first; all but the last have the eighth bit set.
fn write_size(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads one value after the other.
struct Reader<'a> {
    rest: &'a [u8],
    words: &'a [Arc<str>],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.rest.split_first().ok_or_else(damaged)?;
        self.rest = rest;
        Ok(*first)
    }

    fn size(&mut self) -> Result<u64, Error> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).ok_or_else(damaged)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
    }

    fn length(&mut self) -> Result<usize, Error> {
        usize::try_from(self.size()?).map_err(de::Error::custom)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes(length)?).map_err(de::Error::custom)
    }

    fn name(&mut self) -> Result<&'a str, Error> {
        let number = self.length()?;
        if number % 2 == 1 {
            return self.text(number / 2);
        }
        self.words.get(number / 2).map(AsRef::as_ref).ok_or_else(damaged)
    }
}

fn damaged() -> Error {
    de::Error::custom("a packed object is damaged")
}

impl<'de> de::Deserializer<'de> for &mut Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.byte()? {
            NULL => visitor.visit_unit(),
            FALSE => visitor.visit_bool(false),
            TRUE => visitor.visit_bool(true),
            NATURAL => visitor.visit_u64(self.size()?),
            NEGATIVE => visitor.visit_i64((!self.size()?).cast_signed()),
            FLOAT => {
                let bytes = self.bytes(8)?.try_into().map_err(de::Error::custom)?;
                visitor.visit_f64(f64::from_le_bytes(bytes))
            }
            TEXT => {
                let length = self.length()?;
                visitor.visit_str(self.text(length)?)
            }
            LIST => {
                let left = self.length()?;
                visitor.visit_seq(Items { reader: self, left })
            }
            MAP => {
                let left = self.length()?;
                visitor.visit_map(Items { reader: self, left })
            }
            _ => Err(damaged()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.rest.first() == Some(&NULL) {
            self.byte()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Our enums are words without content.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.byte()? {
            TEXT => {
                let length = self.length()?;
                visitor.visit_enum(self.text(length)?.into_deserializer())
            }
            _ => Err(de::Error::custom("an enum with content is not packed")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// What is left of a list or a map.
struct Items<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_key_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let name = self.reader.name()?;
        seed.deserialize(IntoDeserializer::<Error>::into_deserializer(name)).map(Some)
    }

    fn next_value_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

#[cfg(test)]
mod tests;
