//! What the sender is told. This is the one place where outcomes become HTTP status codes.
//!
//! A sender sends again after 5xx and gives up after 4xx, so every doubt is a 503: 2xx only when everything that can
//! ever be stored is stored, 4xx only when nothing in the body can ever be.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What was done with one alert of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It is a new incident, and an alert is stored for it.
    Stored,
    /// It was counted on the stored alert of its incident.
    Repeat,
    /// It was counted on the stored alert of its incident, which is Resolved already.
    Late,
    /// The open alerts of its fingerprint are Resolved now.
    Resolved,
    /// It was a resolution, and there was nothing to resolve.
    Nothing,
    /// It can never be stored.
    Rejected,
    /// It could not be stored now. The sender is asked to send again.
    Unstored,
}

impl Outcome {
    /// The word in answers and metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Repeat => "repeat",
            Self::Late => "late",
            Self::Resolved => "resolved",
            Self::Nothing => "nothing",
            Self::Rejected => "rejected",
            Self::Unstored => "unstored",
        }
    }
}

/// The answer for one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// Its place in the body, counted from 0.
    pub(super) index: usize,
    /// The name of its stored alert; empty if there is none.
    pub(super) name: String,
    /// What was done.
    pub(super) result: Outcome,
    /// Why, where that is not plain.
    pub(super) message: String,
}

/// An alert could not be stored now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotNow {
    /// One word.
    pub(super) reason: &'static str,
    /// A sentence.
    pub(super) message: String,
    /// How many seconds the API server asks to wait.
    pub(super) wait: u32,
}

impl NotNow {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), wait: 0 }
    }
}

/// The whole body, as far as it could not even be taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body is not what this route takes.
    Unreadable(String),
    /// The body is larger than the limit, in bytes.
    TooLarge(usize),
    /// The token is missing or wrong.
    Unauthorized,
    /// There is no such route.
    UnknownRoute(String),
    /// The route does not take this method.
    WrongMethod(String),
    /// Nothing of it could be taken in now.
    NotNow(NotNow),
}

/// An answer, ready to be sent. `code` and `message` are those of the compatible system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    code: u16,
    message: String,
    results: Vec<Line>,
    #[serde(skip)]
    wait: u32,
}

/// What Retry-After says at least, in seconds. Alertmanager has a backoff of its own and does not look at it.
const SHORTEST_WAIT: u32 = 2;

impl Answer {
    /// The answer to a body that was taken apart: a line for each alert in it, and how long the API server asks to
    /// wait before what is unstored is sent again.
    pub(super) fn of(mut results: Vec<Line>, wait: u32) -> Self {
        results.sort_by_key(|line| line.index);
        let count = |outcome| results.iter().filter(|line| line.result == outcome).count();
        let (all, unstored, rejected) = (results.len(), count(Outcome::Unstored), count(Outcome::Rejected));
        let (code, message) = if unstored > 0 {
            (503, format!("{unstored} of {all} alerts could not be stored now; send the body again"))
        } else if rejected == all && all > 0 {
            (400, "no alert in the body can be stored; the results say why".to_owned())
        } else if rejected > 0 {
            (200, format!("{rejected} of {all} alerts can never be stored; the results say why"))
        } else {
            (200, String::new())
        };
        Self { code, message, results, wait }
    }

    /// The HTTP status code.
    pub(super) fn code(&self) -> u16 {
        self.code
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let (code, message, wait) = match refusal {
            Refusal::Unreadable(message) => (400, message, 0),
            Refusal::TooLarge(limit) => (413, format!("the body is larger than {limit} bytes"), 0),
            Refusal::Unauthorized => {
                (401, "expected the header Authorization: Bearer with this webhook's token".to_owned(), 0)
            }
            Refusal::UnknownRoute(path) => {
                (404, format!("there is no {path}; alerts go to /alertmanager/alert, /default/alert or /alert"), 0)
            }
            Refusal::WrongMethod(method) => (405, format!("this route does not take {method}"), 0),
            Refusal::NotNow(NotNow { message, wait, .. }) => (503, message, wait),
        };
        Self { code, message, results: Vec::new(), wait }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let wait = self.wait;
        let mut response = (code, Json(self)).into_response();
        let headers = response.headers_mut();
        match code {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.clamp(SHORTEST_WAIT, 60)));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(outcomes: &[Outcome]) -> Vec<Line> {
        let line = |(index, result): (usize, &Outcome)| Line {
            index,
            name: String::new(),
            result: *result,
            message: String::new(),
        };
        outcomes.iter().enumerate().map(line).collect()
    }

    #[test]
    fn the_code_follows_from_what_was_done() {
        use Outcome::*;
        let cases: [(&str, &[Outcome], u16); 9] = [
            ("an empty list asks for nothing", &[], 200),
            ("all alerts are stored", &[Stored, Stored], 200),
            ("they were there already", &[Repeat, Late], 200),
            ("a resolution without anything to resolve", &[Nothing, Resolved], 200),
            ("the rest is stored, and sending again would not help", &[Stored, Rejected], 200),
            ("nothing of it can ever be stored", &[Rejected, Rejected], 400),
            ("sending again helps", &[Unstored], 503),
            ("what is stored stays stored", &[Stored, Unstored], 503),
            ("even beside one that is invalid", &[Rejected, Unstored], 503),
        ];
        for (why, outcomes, want) in cases {
            assert_eq!(Answer::of(lines(outcomes), 0).code(), want, "{why}");
        }
    }

    #[test]
    fn a_503_says_when_to_come_back_within_reason() {
        for (wait, want) in [(0, "2"), (7, "7"), (86_400, "60")] {
            let response = Answer::of(lines(&[Outcome::Unstored]), wait).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], want);
        }
        let fine = Answer::of(lines(&[Outcome::Stored]), 9).into_response();
        assert!(!fine.headers().contains_key(header::RETRY_AFTER));
    }
}
