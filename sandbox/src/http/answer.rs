//! Answers, and the form in which the asker wants to have them.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use serde_json::Value;

use crate::status::ApiError;

/// The connection is closed instead of answering, or in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was closed on demand")]
pub(crate) struct Broken;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// An answer.
pub(crate) type Answer = Response<Body>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer of JSON text.
pub(super) fn bytes(status: u16, bytes: Bytes) -> Answer {
    of(status, JSON, Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
}

/// An answer of a JSON value.
pub(super) fn json(status: u16, value: &Value) -> Answer {
    bytes(status, serde_json::to_vec(value).unwrap_or_default().into())
}

/// An answer of plain text.
pub(super) fn text(text: &str) -> Answer {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes()));
    of(200, HeaderValue::from_static("text/plain"), body.map_err(|never| match never {}).boxed_unsync())
}

/// An answer with any body.
pub(super) fn of(status: u16, kind: HeaderValue, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// The answer of a refusal.
pub(super) fn refusal(error: &ApiError) -> Answer {
    if error.is_plain() {
        let mut answer = text(&format!("{error}\n"));
        *answer.status_mut() = StatusCode::from_u16(error.code()).unwrap_or(StatusCode::NOT_FOUND);
        return answer;
    }
    let mut answer = json(error.code(), &error.to_status());
    if let Some(seconds) = error.retry_after() {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Adds warnings as the API server sends them.
pub(super) fn warn(mut answer: Answer, warnings: &[String]) -> Answer {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            answer.headers_mut().append(header::WARNING, value);
        }
    }
    answer
}

/// In which form objects are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Whole,
    /// As the rows that kubectl prints.
    Table,
    /// Metadata alone.
    Metadata,
}

/// The first form of an Accept header that the server can give.
pub(super) fn negotiate(accept: Option<&HeaderValue>) -> Result<Form, ApiError> {
    let Some(accept) = accept.and_then(|accept| accept.to_str().ok()).filter(|accept| !accept.is_empty()) else {
        return Ok(Form::Whole);
    };
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !matches!(media, "application/json" | "*/*" | "application/*") {
            continue;
        }
        let (mut wanted, mut version) = ("", "v1");
        for part in parts {
            match part.split_once('=') {
                Some(("as", form)) => wanted = form,
                Some(("v", named)) => version = named,
                _ => {}
            }
        }
        match (wanted, version) {
            ("", _) => return Ok(Form::Whole),
            ("Table", "v1") => return Ok(Form::Table),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "v1") => return Ok(Form::Metadata),
            _ => {}
        }
    }
    Err(ApiError::not_acceptable(accept))
}

/// A body that is put together from parts while it is sent, in pieces of a sensible size.
pub(super) struct Joined<I> {
    parts: I,
    length: u64,
}

/// Pieces are about this large: enough to fill the socket, little enough not to copy a whole list at once.
const PIECE: usize = 64 * 1024;

impl<I: Iterator<Item = Bytes>> Joined<I> {
    /// `length` is the sum of all parts.
    pub(super) fn new(parts: I, length: u64) -> Self {
        Self { parts, length }
    }
}

impl<I: Iterator<Item = Bytes> + Unpin> http_body::Body for Joined<I> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Broken>>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE {
            match self.parts.next() {
                Some(part) => {
                    if piece.is_empty() {
                        piece.reserve(PIECE.max(part.len()));
                    }
                    piece.extend_from_slice(&part);
                }
                None if piece.is_empty() => return Poll::Ready(None),
                None => break,
            }
        }
        Poll::Ready(Some(Ok(http_body::Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_given_is_given() {
        let cases = [
            ("application/json", Form::Whole),
            ("*/*", Form::Whole),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Form::Table,
            ),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Form::Metadata),
            ("application/vnd.kubernetes.protobuf, application/json", Form::Whole),
        ];
        for (accept, want) in cases {
            assert_eq!(negotiate(Some(&HeaderValue::from_static(accept))).unwrap(), want, "{accept}");
        }
        let protobuf = HeaderValue::from_static("application/vnd.kubernetes.protobuf");
        assert_eq!(negotiate(Some(&protobuf)).unwrap_err().code(), 406);
    }
}
