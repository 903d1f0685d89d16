//! From the bytes of a body to what they say.

use std::sync::LazyLock;

use http::HeaderMap;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions as DeleteOptionsBody;
use serde_json::Value;

use crate::api::{DeleteOptions, Patch, Propagation};
use crate::builtin::compiled;
use crate::object;
use crate::protobuf;
use crate::schema::Schema;
use crate::status::ApiError;

/// The largest body that is read, as on a real server.
const LIMIT: usize = 3 * 1024 * 1024;

/// All of a body.
pub(super) async fn read(body: Incoming) -> Result<bytes::Bytes, ApiError> {
    match Limited::new(body, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::too_large(LIMIT)),
        Err(error) => Err(ApiError::bad_request(format!("could not read the body: {error}"))),
    }
}

fn content_type(headers: &HeaderMap) -> String {
    headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// The object in a body of JSON, YAML or protobuf; the schema says what it is to be.
pub(super) fn object(headers: &HeaderMap, body: &[u8], schema: Option<&Schema>) -> Result<Value, ApiError> {
    match (content_type(headers).as_str(), schema) {
        ("" | "application/json", _) => json(body),
        ("application/yaml", _) => yaml(body),
        (protobuf::MEDIA_TYPE, Some(schema)) => {
            protobuf::decode(body, schema.cursor()).map_err(|error| ApiError::bad_request(error.to_string()))
        }
        (other, _) => Err(ApiError::unsupported_media_type(other, &["application/json", "application/yaml"])),
    }
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("the object provided is unrecognized: json parse error: {error}"))
    })
}

fn yaml(body: &[u8]) -> Result<Value, ApiError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| ApiError::bad_request(format!("the YAML in the body is not UTF-8: {error}")))?;
    serde_saphyr::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("error converting YAML to JSON: {error}")))
}

/// The patch in a body.
pub(super) fn patch(headers: &HeaderMap, body: &[u8]) -> Result<Patch, ApiError> {
    let map = |value: Value| {
        if value.is_object() {
            Ok(value)
        } else {
            Err(ApiError::bad_request("error decoding patch: expected a JSON object"))
        }
    };
    match content_type(headers).as_str() {
        "application/json-patch+json" => serde_json::from_slice(body)
            .map(Patch::Json)
            .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}"))),
        "application/merge-patch+json" => map(json(body)?).map(Patch::Merge),
        "application/strategic-merge-patch+json" => map(json(body)?).map(Patch::Strategic),
        "application/apply-patch+yaml" | "application/apply-patch+json" => {
            // JSON is YAML; reading it as JSON is faster and leaves no doubt about types.
            let value = serde_json::from_slice(body).or_else(|_| yaml(body))?;
            map(value).map(Patch::Apply)
        }
        other => Err(ApiError::unsupported_media_type(
            other,
            &[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
                "application/apply-patch+yaml",
            ],
        )),
    }
}

static DELETE_OPTIONS: LazyLock<Schema> = LazyLock::new(compiled::<DeleteOptionsBody>);

/// The DeleteOptions in a body; those of the query if there is no body.
pub(super) fn delete_options(
    query: &super::query::Query,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<DeleteOptions, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(DeleteOptions {
            propagation: propagation(query.text("propagationPolicy"), None)?,
            grace: query.number("gracePeriodSeconds")?.and_then(|seconds| i64::try_from(seconds).ok()),
            dry_run: query.dry_run()?,
            ..DeleteOptions::default()
        });
    }
    let given = object(headers, body, Some(&DELETE_OPTIONS))?;
    let precondition = |pointer: &str| match object::text(&given, pointer) {
        "" => None,
        text => Some(text.to_owned()),
    };
    Ok(DeleteOptions {
        uid: precondition("/preconditions/uid"),
        resource_version: precondition("/preconditions/resourceVersion"),
        propagation: propagation(
            object::text(&given, "/propagationPolicy"),
            given.get("orphanDependents").and_then(Value::as_bool),
        )?,
        grace: given.get("gracePeriodSeconds").and_then(Value::as_i64),
        dry_run: object::items(&given, "/dryRun").any(|one| one == "All"),
    })
}

fn propagation(policy: &str, orphan: Option<bool>) -> Result<Option<Propagation>, ApiError> {
    Ok(match (policy, orphan) {
        ("Background", _) => Some(Propagation::Background),
        ("Foreground", _) => Some(Propagation::Foreground),
        ("Orphan", _) => Some(Propagation::Orphan),
        ("", Some(true)) => Some(Propagation::Orphan),
        ("", Some(false)) => Some(Propagation::Background),
        ("", None) => None,
        (other, _) => {
            return Err(ApiError::bad_request(format!(
                "propagationPolicy: found {other:?}, expected Foreground, Background or Orphan"
            )));
        }
    })
}
