//! From the body of a write to an object in stored form: the type is checked, unknown fields go, nulls go.

use serde_json::Value;

use super::FieldValidation;
use crate::kind::Endpoint;
use crate::metadata;
use crate::object;
use crate::schema::Strictness;
use crate::status::{ApiError, FieldReason};

/// Brings a body into stored form and returns the warnings for the sender.
pub(super) fn admit(
    endpoint: &Endpoint,
    body: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    check_type(endpoint, body)?;
    let kind = &endpoint.kind.kind;
    let handled = |why: String| {
        ApiError::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {why}",
            endpoint.version().map_or("", |version| version.name.as_str()),
        ))
    };
    endpoint.to_stored(body);
    let mut unknown = metadata::decode(body).map_err(handled)?;
    let strictness = endpoint.kind.strictness();
    if strictness == Strictness::Builtin {
        object::drop_nulls(body);
    }
    if let Some(schema) = endpoint.schema() {
        unknown.extend(schema.prune(body));
        if strictness == Strictness::Builtin {
            let wrong = schema.validate(body, strictness).into_iter().find(|error| is_decoding_error(error.reason));
            if let Some(wrong) = wrong {
                return Err(handled(wrong.to_string()));
            }
        }
    }
    if unknown.is_empty() || validation == FieldValidation::Ignore {
        return Ok(Vec::new());
    }
    let described: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match validation {
        FieldValidation::Strict => Err(handled(format!("strict decoding error: {}", described.join(", ")))),
        FieldValidation::Warn | FieldValidation::Ignore => Ok(described),
    }
}

/// To a built-in type, what the published schema says of types and formats is part of decoding.
fn is_decoding_error(reason: FieldReason) -> bool {
    matches!(reason, FieldReason::TypeInvalid | FieldReason::Invalid)
}

fn check_type(endpoint: &Endpoint, body: &mut Value) -> Result<(), ApiError> {
    let Value::Object(map) = body else {
        return Err(ApiError::bad_request(format!(
            "the body must be a JSON object of kind {}, found {}",
            endpoint.kind.kind,
            match body {
                Value::Array(_) => "a list",
                Value::Null => "nothing",
                _ => "a plain value",
            }
        )));
    };
    for (key, wanted) in [("apiVersion", &endpoint.api_version), ("kind", &endpoint.kind.kind)] {
        match map.get(key) {
            None | Some(Value::Null) => {
                map.insert(key.to_owned(), wanted.as_str().into());
            }
            Some(Value::String(found)) if found.is_empty() => {
                map.insert(key.to_owned(), wanted.as_str().into());
            }
            Some(Value::String(found)) if found == wanted => {}
            Some(found) if key == "apiVersion" => {
                return Err(ApiError::bad_request(format!(
                    "the API version in the data ({}) does not match the expected API version ({wanted})",
                    found.as_str().unwrap_or_default(),
                )));
            }
            Some(found) => {
                return Err(ApiError::bad_request(format!(
                    "{} in version {:?} cannot be handled as a {wanted}: expected kind {wanted:?}",
                    found.as_str().unwrap_or_default(),
                    endpoint.version().map_or("", |version| version.name.as_str()),
                )));
            }
        }
    }
    Ok(())
}
