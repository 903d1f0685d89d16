//! From the body of a write to an object in stored form: the type is checked, unknown fields go, nulls go.

use serde_json::Value;

use super::FieldValidation;
use crate::kind::Endpoint;
use crate::metadata;
use crate::object;
use crate::schema::Strictness;
use crate::status::{ApiError, FieldError, FieldReason, Subject};

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

/// A custom resource must state its type; a built-in one that does not is taken to be of the endpoint's.
fn check_type(endpoint: &Endpoint, body: &mut Value) -> Result<(), ApiError> {
    let kind = &endpoint.kind.kind;
    let unrecognized = |why: &str| {
        ApiError::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why}"))
    };
    let Value::Object(map) = body else {
        return Err(unrecognized("expected a JSON object"));
    };
    let custom = endpoint.kind.builtin().is_none();
    for (key, wanted) in [("apiVersion", &endpoint.api_version), ("kind", kind)] {
        let found = map.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match found.as_str() {
            "" if custom => return Err(unrecognized(&format!("Object '{key}' is missing"))),
            "" => {
                map.insert(key.to_owned(), wanted.as_str().into());
            }
            found if found == wanted => {}
            found if key == "apiVersion" => {
                return Err(ApiError::bad_request(format!(
                    "the API version in the data ({found}) does not match the expected API version ({wanted})"
                )));
            }
            found if custom => {
                let name = crate::object::name(body).to_owned();
                let subject = Subject { kind: found, ..endpoint.kind.subject(&name) };
                let error = FieldError::invalid("kind", &found.into(), format!("must be {kind}"));
                return Err(ApiError::invalid(&subject, &[error]));
            }
            found => {
                return Err(ApiError::bad_request(format!(
                    "{found} in version {:?} cannot be handled as a {kind}",
                    endpoint.version().map_or("", |version| version.name.as_str()),
                )));
            }
        }
    }
    Ok(())
}
