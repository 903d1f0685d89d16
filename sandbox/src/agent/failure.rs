//! What a failed request means for the one who made it.

use kube::Error;

/// The object is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    code(error) == Some(404)
}

/// The object changed, is another one of the same name, or is there already.
pub(crate) fn is_conflict(error: &Error) -> bool {
    code(error) == Some(409)
}

/// The request can never succeed as it is; the text says why. None: it may succeed later.
pub(crate) fn refusal(error: &Error) -> Option<String> {
    match error {
        Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 405 | 413 | 422) => Some(status.message.clone()),
        _ => None,
    }
}

fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}
