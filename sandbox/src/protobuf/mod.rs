//! Bodies in Kubernetes' protobuf form, which kubectl sends when it creates or evicts from the command line.
//!
//! Only what comes in is read; answers are JSON, which every client accepts. The schema of a type tells what its fields
//! are, a table tells their numbers.

mod fields;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::schema::{Cursor, Shape};
use fields::{Field, message};
use wire::{Reader, Wire};

/// The media type of such bodies.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";
/// Deeper nesting than any type has: a body that goes further is not one of ours.
const DEPTH: u32 = 64;

/// A body that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtobufError {
    #[error("the body does not begin with the four bytes of a Kubernetes protobuf body")]
    Magic,
    #[error("the protobuf body ends in the middle of a field, or holds a field that is none")]
    Cut,
    #[error("the protobuf body is nested too deeply")]
    Deep,
    #[error("the protobuf form of {0} is not known; send it as JSON")]
    Unknown(String),
    #[error("a text in the protobuf body is not UTF-8")]
    Text,
}

/// The object in a body, as the type at the cursor.
pub(crate) fn decode(body: &[u8], cursor: Cursor<'_>) -> Result<Value, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let (mut kind, mut raw) = (Map::new(), &[][..]);
    for field in Reader(envelope) {
        match field? {
            (1, Wire::Bytes(meta)) => {
                for field in Reader(meta) {
                    match field? {
                        (1, Wire::Bytes(text)) => kind.insert("apiVersion".into(), string(text)?),
                        (2, Wire::Bytes(text)) => kind.insert("kind".into(), string(text)?),
                        _ => None,
                    };
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = cursor.type_name().ok_or_else(|| ProtobufError::Unknown("this kind".into()))?;
    read_message(raw, name, cursor, &mut kind, DEPTH)?;
    Ok(Value::Object(kind))
}

fn read_message(
    bytes: &[u8],
    name: &str,
    cursor: Cursor<'_>,
    object: &mut Map<String, Value>,
    depth: u32,
) -> Result<(), ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::Deep)?;
    let fields = message(name).ok_or_else(|| ProtobufError::Unknown(name.to_owned()))?;
    for read in Reader(bytes) {
        let (number, wire) = read?;
        match fields.get(number) {
            // Newer than the schema: dropped, as a real server drops it.
            None => {}
            Some(Field::Inline(inner)) => {
                if let Wire::Bytes(bytes) = wire {
                    read_message(bytes, inner, cursor, object, depth)?;
                }
            }
            Some(Field::Member { key, optional }) => {
                let child = cursor.member(key);
                if child.is_known() {
                    read_member(wire, key, *optional, child, object, depth)?;
                }
            }
        }
    }
    Ok(())
}

fn read_member(
    wire: Wire<'_>,
    key: &str,
    optional: bool,
    cursor: Cursor<'_>,
    object: &mut Map<String, Value>,
    depth: u32,
) -> Result<(), ProtobufError> {
    match cursor.shape() {
        Shape::List => {
            let items = object.entry(key).or_insert_with(|| json!([]));
            if let Value::Array(items) = items {
                read_item(wire, cursor.item(), items, depth)?;
            }
        }
        Shape::Map => {
            if let Wire::Bytes(entry) = wire {
                let (name, value) = read_entry(entry, cursor, depth)?;
                let map = object.entry(key).or_insert_with(|| json!({}));
                if let Value::Object(map) = map {
                    map.insert(name, value);
                }
            }
        }
        _ => {
            let value = read_value(wire, cursor, depth)?;
            let says_nothing = match &value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::Bool(flag) => !flag,
                _ => false,
            };
            if optional && !value.is_null() || !says_nothing {
                object.insert(key.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn read_item(wire: Wire<'_>, cursor: Cursor<'_>, items: &mut Vec<Value>, depth: u32) -> Result<(), ProtobufError> {
    match (wire, cursor.shape()) {
        // Numbers may come packed.
        (Wire::Bytes(packed), Shape::Integer) => {
            let mut rest = packed;
            while !rest.is_empty() {
                let (number, after) = wire::varint(rest).ok_or(ProtobufError::Cut)?;
                items.push(integer(number));
                rest = after;
            }
        }
        (wire, _) => items.push(read_value(wire, cursor, depth)?),
    }
    Ok(())
}

fn read_entry(entry: &[u8], cursor: Cursor<'_>, depth: u32) -> Result<(String, Value), ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::Deep)?;
    let values = cursor.value();
    let mut name = String::new();
    let mut value = match values.shape() {
        Shape::Text => json!(""),
        Shape::Integer => json!(0),
        Shape::List => json!([]),
        _ => Value::Null,
    };
    for field in Reader(entry) {
        match field? {
            (1, Wire::Bytes(text)) => name = text_of(text)?.to_owned(),
            // A list as the value of a map is a message of its own with one repeated field.
            (2, Wire::Bytes(list)) if values.shape() == Shape::List => {
                let mut items = Vec::new();
                for item in Reader(list) {
                    read_item(item?.1, values.item(), &mut items, depth)?;
                }
                value = Value::Array(items);
            }
            (2, wire) => value = read_value(wire, values, depth)?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn read_value(wire: Wire<'_>, cursor: Cursor<'_>, depth: u32) -> Result<Value, ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::Deep)?;
    let name = cursor.type_name();
    Ok(match (wire, cursor.shape()) {
        (Wire::Bytes(bytes), _) if name.is_some_and(|name| name.ends_with("Time")) => time(bytes, name)?,
        (Wire::Bytes(bytes), Shape::Text) if cursor.is_base64() => STANDARD.encode(bytes).into(),
        (Wire::Bytes(bytes), Shape::Text) => string(bytes)?,
        (Wire::Bytes(bytes), Shape::IntOrString) => int_or_string(bytes, name)?,
        (Wire::Bytes(bytes), Shape::Anything) => raw_json(bytes)?,
        (Wire::Bytes(bytes), Shape::Object) => {
            let mut object = Map::new();
            let name = name.ok_or_else(|| ProtobufError::Unknown("a nested type".into()))?;
            read_message(bytes, name, cursor, &mut object, depth)?;
            Value::Object(object)
        }
        (Wire::Number(number), Shape::Boolean) => (number != 0).into(),
        (Wire::Number(number), Shape::Integer) => integer(number),
        (Wire::Fixed(bits), Shape::Number) => json!(f64::from_bits(bits)),
        _ => return Err(ProtobufError::Cut),
    })
}

/// Negative numbers are sent as their two's complement in 64 bits.
fn integer(number: u64) -> Value {
    (number as i64).into()
}

fn text_of(bytes: &[u8]) -> Result<&str, ProtobufError> {
    std::str::from_utf8(bytes).map_err(|_| ProtobufError::Text)
}

fn string(bytes: &[u8]) -> Result<Value, ProtobufError> {
    text_of(bytes).map(Value::from)
}

fn time(bytes: &[u8], name: Option<&str>) -> Result<Value, ProtobufError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in Reader(bytes) {
        match field? {
            (1, Wire::Number(number)) => seconds = number as i64,
            (2, Wire::Number(number)) => nanos = number as i64,
            _ => {}
        }
    }
    if seconds == 0 && nanos == 0 {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(nanos).map_err(|_| ProtobufError::Cut)?;
    let moment = Timestamp::new(seconds, nanos).map_err(|_| ProtobufError::Cut)?;
    let micro = name.is_some_and(|name| name.ends_with("MicroTime"));
    let form = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(moment.strftime(form).to_string().into())
}

/// A Quantity is a message of one text; an IntOrString says which of its two it is.
fn int_or_string(bytes: &[u8], name: Option<&str>) -> Result<Value, ProtobufError> {
    let quantity = name.is_some_and(|name| name.ends_with(".Quantity"));
    let (mut is_text, mut number, mut text) = (false, 0_u64, json!(""));
    for field in Reader(bytes) {
        match field? {
            (1, Wire::Bytes(bytes)) if quantity => return string(bytes),
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value,
            (3, Wire::Bytes(bytes)) => text = string(bytes)?,
            _ => {}
        }
    }
    Ok(match (quantity, is_text) {
        (true, _) => json!("0"),
        (false, true) => text,
        (false, false) => integer(number),
    })
}

/// FieldsV1 and RawExtension hold JSON text.
fn raw_json(bytes: &[u8]) -> Result<Value, ProtobufError> {
    for field in Reader(bytes) {
        if let (1, Wire::Bytes(text)) = field? {
            return serde_json::from_slice(text).map_err(|_| ProtobufError::Cut);
        }
    }
    Ok(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::compiled;
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use proptest::prelude::*;

    fn field(number: u16, bytes: &[u8]) -> Vec<u8> {
        let tag = number << 3 | 2;
        let mut out = vec![(tag & 0x7f) as u8 | 0x80, (tag >> 7) as u8];
        out.push(u8::try_from(bytes.len()).unwrap());
        out.extend_from_slice(bytes);
        out
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let metadata = [field(1, b"name"), field(2, b""), field(8, b"")].concat();
        let entry = |value: &[u8]| [field(1, b"key"), field(2, value)].concat();
        let body =
            [field(1, &metadata), field(2, &entry(b"value")), field(3, &entry(b"\xff\0")), vec![4 << 3, 1]].concat();
        let schema = compiled::<ConfigMap>();
        assert_eq!(
            decode(&envelope("ConfigMap", &body), schema.cursor()),
            Ok(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "name"},
                "data": {"key": "value"}, "binaryData": {"key": "/wA="}, "immutable": true,
            }))
        );
    }

    #[test]
    fn nested_inline_and_special_types_are_read() {
        // spec.volumes[0]: its source stands among its own fields; spec.containers[0].resources.limits.cpu: a Quantity.
        let source = field(19, &field(1, &field(1, b"maps")));
        let volume = [field(1, b"v"), field(2, &source)].concat();
        let cpu = [field(1, b"cpu"), field(2, &field(1, b"2"))].concat();
        let container = [field(1, b"c"), field(3, b"a"), field(3, b"b"), field(8, &field(1, &cpu))].concat();
        let grace = vec![4 << 3, 0];
        let spec = [field(1, &volume), field(2, &container), grace].concat();
        let schema = compiled::<Pod>();
        let read = decode(&envelope("Pod", &field(2, &spec)), schema.cursor()).unwrap();
        assert_eq!(
            read["spec"],
            json!({
                "volumes": [{"name": "v", "configMap": {"name": "maps"}}],
                "containers": [{"name": "c", "command": ["a", "b"], "resources": {"limits": {"cpu": "2"}}}],
                "terminationGracePeriodSeconds": 0,
            })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let schema = compiled::<ConfigMap>();
            let _ = decode(&raw, schema.cursor());
            let _ = decode(&[MAGIC, &raw].concat(), schema.cursor());
            let _ = decode(&envelope("ConfigMap", &raw), schema.cursor());
        }
    }
}
