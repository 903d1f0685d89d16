//! What the server answers when it refuses: `metav1.Status` with the reasons, details and wording of a real API server.

use std::fmt;

use serde_json::{Map, Value, json};

/// A refusal, ready to be sent as a `Status` object.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct ApiError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: u16,
    reason: &'static str,
    message: String,
    details: Map<String, Value>,
    /// Of the refused list, for those who go on from it.
    metadata: Map<String, Value>,
    retry_after: Option<u32>,
    /// Answered as a line of text, which is how a real server answers for groups that it does not know.
    plain: bool,
}

/// What a refusal is about: the words that stand in its message and details.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// API group, empty for the core group.
    pub(crate) group: &'a str,
    /// Plural resource name.
    pub(crate) resource: &'a str,
    /// Kind, which validation errors name in place of the resource.
    pub(crate) kind: &'a str,
    /// Object name; may be empty.
    pub(crate) name: &'a str,
}

impl Subject<'_> {
    fn qualified(&self, word: &str) -> String {
        if self.group.is_empty() { word.to_owned() } else { format!("{word}.{}", self.group) }
    }

    fn details(&self, kind: &str) -> Map<String, Value> {
        let mut details = Map::new();
        if !self.name.is_empty() {
            details.insert("name".into(), self.name.into());
        }
        if !self.group.is_empty() {
            details.insert("group".into(), self.group.into());
        }
        details.insert("kind".into(), kind.into());
        details
    }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
            metadata: Map::new(),
            retry_after: None,
            plain: false,
        }))
    }

    fn about(mut self, subject: &Subject<'_>) -> Self {
        self.0.details = subject.details(subject.resource);
        self
    }

    fn cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let mut cause = Map::new();
        cause.insert("reason".into(), reason.into());
        cause.insert("message".into(), message.into().into());
        if !field.is_empty() {
            cause.insert("field".into(), field.into());
        }
        match self.0.details.get_mut("causes") {
            Some(Value::Array(causes)) => causes.push(Value::Object(cause)),
            _ => {
                self.0.details.insert("causes".into(), json!([Value::Object(cause)]));
            }
        }
        self
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404 for one object.
    pub(crate) fn not_found(subject: &Subject<'_>) -> Self {
        let message = format!("{} {:?} not found", subject.qualified(subject.resource), subject.name);
        Self::new(404, "NotFound", message).about(subject)
    }

    /// 404 for a resource or subresource that a known group does not have.
    pub(crate) fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 404 for a path that leads nowhere.
    pub(crate) fn no_such_page() -> Self {
        let mut error = Self::new(404, "", "404 page not found");
        error.0.plain = true;
        error
    }

    /// 405: the resource is served, this verb on it is not.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// 409: the name is taken.
    pub(crate) fn already_exists(subject: &Subject<'_>) -> Self {
        let message = format!("{} {:?} already exists", subject.qualified(subject.resource), subject.name);
        Self::new(409, "AlreadyExists", message).about(subject)
    }

    /// 409: the object is not the one, or not at the version, that the caller named.
    pub(crate) fn conflict(subject: &Subject<'_>, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {:?}: {why}",
            subject.qualified(subject.resource),
            subject.name
        );
        Self::new(409, "Conflict", message).about(subject)
    }

    /// 409 for a stale resourceVersion.
    pub(crate) fn modified(subject: &Subject<'_>) -> Self {
        Self::conflict(
            subject,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 of server-side apply: other managers own fields that this request would change.
    pub(crate) fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let noun = if conflicts.len() == 1 { "conflict" } else { "conflicts" };
        let mut managers: Vec<&str> = conflicts.iter().map(|(manager, _)| manager.as_str()).collect();
        managers.dedup();
        let listed: Vec<String> = managers
            .iter()
            .map(|manager| {
                let fields: Vec<&str> =
                    conflicts.iter().filter(|(owner, _)| owner == manager).map(|(_, field)| field.as_str()).collect();
                match fields.as_slice() {
                    [one] => format!("conflict with {manager:?}: {one}"),
                    many => format!("conflicts with {manager:?}:\n- {}", many.join("\n- ")),
                }
            })
            .collect();
        let message = format!("Apply failed with {} {noun}: {}", conflicts.len(), listed.join(", "));
        conflicts.iter().fold(Self::new(409, "Conflict", message), |error, (manager, field)| {
            error.cause("FieldManagerConflict", format!("conflict with {manager:?}"), field)
        })
    }

    /// 422 for options that do not go together.
    pub(crate) fn bad_options(kind: &str, field: &str, why: &str) -> Self {
        let subject = Subject { group: "meta.k8s.io", resource: "", kind, name: "" };
        Self::invalid(&subject, &[FieldError::forbidden(field, why)])
    }

    /// 403: understood, and not allowed.
    pub(crate) fn forbidden(subject: &Subject<'_>, why: &str) -> Self {
        let message = format!("{} {:?} is forbidden: {why}", subject.qualified(subject.resource), subject.name);
        Self::new(403, "Forbidden", message).about(subject)
    }

    /// 403 with the cause that tells clients that the namespace is on its way out.
    pub(crate) fn namespace_terminating(subject: &Subject<'_>, namespace: &str) -> Self {
        Self::forbidden(
            subject,
            &format!("unable to create new content in namespace {namespace} because it is being terminated"),
        )
        .cause(
            "NamespaceTerminating",
            format!("namespace {namespace} is being terminated"),
            "metadata.namespace",
        )
    }

    /// 422 with one cause per field.
    pub(crate) fn invalid(subject: &Subject<'_>, errors: &[FieldError]) -> Self {
        let listed: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let listed = match listed.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind = subject.qualified(subject.kind);
        let mut error = Self::new(422, "Invalid", format!("{kind} {:?} is invalid: {listed}", subject.name));
        error.0.details = subject.details(subject.kind);
        errors.iter().fold(error, |error, field| error.cause(field.reason.word(), field.body.clone(), &field.field))
    }

    /// 422 for a patch that parses and cannot be applied.
    pub(crate) fn unprocessable(subject: &Subject<'_>, why: impl fmt::Display) -> Self {
        Self::new(422, "Invalid", format!("the server rejected our request due to an error in our request: {why}"))
            .about(subject)
    }

    /// 410: the resourceVersion or continue token is older than what the server remembers.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 504: the resourceVersion lies in the future.
    pub(crate) fn too_large_version(asked: u64, current: u64) -> Self {
        let mut error =
            Self::new(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {current}"))
                .cause("ResourceVersionTooLarge", "Too large resource version", "");
        error.0.details.insert("retryAfterSeconds".into(), 1.into());
        error
    }

    /// 429 of an eviction that a PodDisruptionBudget refuses.
    pub(crate) fn too_many_requests(message: impl Into<String>, retry_after: u32) -> Self {
        let mut error = Self::new(429, "TooManyRequests", message);
        error.0.retry_after = Some(retry_after);
        error.0.details.insert("retryAfterSeconds".into(), retry_after.into());
        error
    }

    /// Adds the token with which an expired list can be continued all the same.
    pub(crate) fn with_continue(mut self, token: String) -> Self {
        self.0.metadata.insert("continue".into(), token.into());
        self
    }

    /// Adds a cause that names what stood in the way.
    pub(crate) fn because(self, reason: &str, message: impl Into<String>) -> Self {
        self.cause(reason, message, "")
    }

    /// 413: the body is larger than an object may be.
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 415: a body in a format that this verb does not take.
    pub(crate) fn unsupported_media_type(found: &str, expected: &[&str]) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {} (found {found:?})",
                expected.join(", ")
            ),
        )
    }

    /// 406: no form that the asker accepts can be given.
    pub(crate) fn not_acceptable(found: &str) -> Self {
        Self::new(
            406,
            "NotAcceptable",
            format!("only the following media types are accepted: application/json (found {found:?})"),
        )
    }

    /// Any status, for faults on demand. The reason follows from the code.
    pub(crate) fn injected(code: u16, retry_after: Option<u32>) -> Self {
        let reason = match code {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            413 => "RequestEntityTooLarge",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "",
        };
        let mut error = Self::new(code, reason, format!("fault on demand: answered {code} {reason}"));
        if let Some(seconds) = retry_after {
            error.0.retry_after = Some(seconds);
            error.0.details.insert("retryAfterSeconds".into(), seconds.into());
        }
        error
    }

    /// 500 with a message and no reason, as the real server answers errors that it has no name for.
    pub(crate) fn nameless(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// Whether the answer is a line of text in place of a `Status`.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.plain
    }

    /// HTTP status code.
    pub(crate) fn code(&self) -> u16 {
        self.0.code
    }

    /// Seconds for the Retry-After header.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.0.retry_after
    }

    /// The `Status` object of this refusal.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.0.metadata,
            "status": "Failure",
            "message": self.0.message,
        });
        if let Value::Object(map) = &mut status {
            if !self.0.reason.is_empty() {
                map.insert("reason".into(), self.0.reason.into());
            }
            if !self.0.details.is_empty() || matches!(self.0.code, 404..=406) {
                map.insert("details".into(), Value::Object(self.0.details.clone()));
            }
            map.insert("code".into(), self.0.code.into());
        }
        status
    }
}

/// Why a field is refused, in the words of `field.ErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldReason {
    Required,
    Invalid,
    TypeInvalid,
    NotSupported,
    NotFound,
    Forbidden,
    Duplicate,
    TooLong,
    TooMany,
}

impl FieldReason {
    fn word(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::NotFound => "FieldValueNotFound",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
        }
    }
}

/// One field that is refused: where, what was found, and what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) reason: FieldReason,
    pub(crate) field: String,
    body: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.body) } else { write!(f, "{}: {}", self.field, self.body) }
    }
}

impl FieldError {
    fn new(reason: FieldReason, field: impl Into<String>, body: String) -> Self {
        Self { reason, field: field.into(), body }
    }

    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let body = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self::new(FieldReason::Required, field, body)
    }

    pub(crate) fn invalid(field: impl Into<String>, found: &Value, detail: impl fmt::Display) -> Self {
        Self::new(FieldReason::Invalid, field, format!("Invalid value: {}: {detail}", printed(found)))
    }

    pub(crate) fn wrong_type(field: impl Into<String>, found: &Value, detail: impl fmt::Display) -> Self {
        Self::new(FieldReason::TypeInvalid, field, format!("Invalid value: {}: {detail}", printed(found)))
    }

    pub(crate) fn not_supported(field: impl Into<String>, found: &Value, supported: &[String]) -> Self {
        let listed: Vec<String> = supported.iter().map(|word| format!("{word:?}")).collect();
        Self::new(
            FieldReason::NotSupported,
            field,
            format!("Unsupported value: {}: supported values: {}", printed(found), listed.join(", ")),
        )
    }

    pub(crate) fn not_found(field: impl Into<String>, found: &Value) -> Self {
        Self::new(FieldReason::NotFound, field, format!("Not found: {}", printed(found)))
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::new(FieldReason::Forbidden, field, format!("Forbidden: {detail}"))
    }

    pub(crate) fn duplicate(field: impl Into<String>, found: &Value) -> Self {
        Self::new(FieldReason::Duplicate, field, format!("Duplicate value: {}", printed(found)))
    }

    pub(crate) fn too_long(field: impl Into<String>, limit: u64) -> Self {
        Self::new(FieldReason::TooLong, field, format!("Too long: may not be more than {limit} bytes"))
    }

    pub(crate) fn too_many(field: impl Into<String>, found: usize, limit: u64) -> Self {
        Self::new(
            FieldReason::TooMany,
            field,
            format!("Too many: {found}: must have at most {limit} {}", if limit == 1 { "item" } else { "items" }),
        )
    }
}

/// A value as it stands in a message: strings quoted, objects and lists as JSON, long ones cut.
fn printed(value: &Value) -> String {
    const LIMIT: usize = 512;
    let mut text = value.to_string();
    if text.len() > LIMIT {
        let cut = (0..=LIMIT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_bad_fields_are_all_named_in_message_and_causes() {
        let subject = Subject { group: "example.com", resource: "foos", kind: "Foo", name: "a" };
        let status = ApiError::invalid(
            &subject,
            &[FieldError::required("spec.x", ""), FieldError::invalid("spec.y", &json!(3), "too odd")],
        )
        .to_status();
        assert_eq!(
            status["message"],
            "Foo.example.com \"a\" is invalid: [spec.x: Required value, spec.y: Invalid value: 3: too odd]"
        );
        assert_eq!(status["details"]["causes"][1]["field"], "spec.y");
        assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired");
        assert_eq!(status["code"], 422);
    }
}
