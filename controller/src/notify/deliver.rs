//! One message to one receiver: the request, and what its answer means. DingTalk and Feishu answer 200 to what they
//! refuse, and say so in the body.

use std::error::Error as _;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::body::Format;
use super::receivers::Receiver;
use super::sign;

/// The longest part of an answer that is read.
const LONGEST_ANSWER: usize = 8 << 10;
/// The longest part of an answer that is told.
const LONGEST_TOLD: usize = 200;
/// The longest that a receiver may ask to be left alone for.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// What DingTalk and Feishu say of messages that come too fast, or of trouble of their own.
const TRY_AGAIN: [i64; 4] = [-1, 9499, 11232, 130_101];

/// Why a message was not taken. Shows nothing that is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Why, for the log.
    pub why: String,
    /// Whether it may be taken later, and not before that.
    pub again: Option<Duration>,
}

/// A client for that receiver: no redirects, since a message may go to the address that was given and nowhere else.
pub fn client(receiver: &Receiver, timeout: Duration) -> Result<Client, Failed> {
    let builder = Client::builder()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .timeout(timeout)
        .user_agent(concat!("aegis/", env!("CARGO_PKG_VERSION")));
    let builder = match &receiver.authorities {
        Some(authorities) => builder.tls_certs_only(authorities.iter().cloned()),
        None => builder.tls_certs_only(public_authorities(receiver)),
    };
    builder.build().map_err(|error| Failed { why: said(receiver, error), again: None })
}

/// Sends the body once.
pub async fn send(client: &Client, receiver: &Receiver, mut body: Value, now: Timestamp) -> Result<(), Failed> {
    let mut url = receiver.url.0.clone();
    if let Some(secret) = &receiver.secret {
        match receiver.format {
            Format::DingTalk => sign::dingtalk(&mut url, &secret.0, now),
            Format::Feishu => sign::feishu(&mut body, &secret.0, now),
            Format::Slack | Format::Json | Format::Own(_) => {}
        }
    }
    let mut request = client.post(url).json(&body);
    if let Some(token) = &receiver.token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.0));
    }
    let broken = |error| Failed { why: said(receiver, error), again: Some(Duration::ZERO) };
    let mut answer = request.send().await.map_err(broken)?;
    let (status, rest) = (answer.status(), rest(answer.headers(), now));
    let mut text = Vec::new();
    while text.len() < LONGEST_ANSWER
        && let Some(part) = answer.chunk().await.map_err(broken)?
    {
        text.extend_from_slice(&part);
    }
    text.truncate(LONGEST_ANSWER);
    judged(receiver, status, rest, &text)
}

/// What an answer means.
fn judged(receiver: &Receiver, status: StatusCode, rest: Duration, body: &[u8]) -> Result<(), Failed> {
    let format = &receiver.format;
    if status.is_redirection() {
        let why = format!("it answered {status}, and redirects are not followed: give the address itself");
        return Err(Failed { why, again: None });
    }
    if !status.is_success() {
        let busy =
            status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
        let why = format!("it answered {status}: {}", excerpt(receiver, &String::from_utf8_lossy(body)));
        return Err(Failed { why, again: busy.then_some(rest) });
    }
    // Robots of WeCom, which an own body may be for, answer as those of DingTalk do.
    let names: &[&str] = match format {
        Format::Feishu | Format::DingTalk => &["errcode", "code", "StatusCode"],
        Format::Own(_) => &["errcode"],
        Format::Slack | Format::Json => return Ok(()),
    };
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let number = |name: &str| answer.as_ref()?.get(name)?.as_i64();
    let code = names.iter().find_map(|name| number(name));
    match code {
        Some(0) => Ok(()),
        None if matches!(format, Format::Own(_)) => Ok(()),
        Some(code) => {
            let text = |name: &str| answer.as_ref()?.get(name)?.as_str().map(|text| excerpt(receiver, text));
            let text = ["errmsg", "msg", "StatusMessage"].into_iter().find_map(text).unwrap_or_default();
            let why = format!("it answered {status} and refused with code {code}: {text}");
            Err(Failed { why, again: TRY_AGAIN.contains(&code).then_some(rest) })
        }
        // Something between us and the robot.
        None => {
            Err(Failed { why: format!("it answered {status} without a code, as no robot does"), again: Some(rest) })
        }
    }
}

/// For how long it asks to be left alone: a number of seconds, or a date.
fn rest(headers: &HeaderMap, now: Timestamp) -> Duration {
    let value = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default();
    let seconds = value.parse().ok().map(Duration::from_secs);
    let date = || jiff::fmt::rfc2822::parse(value).ok().map(|date| date.timestamp().duration_since(now));
    let asked = seconds.or_else(|| date().and_then(|length| Duration::try_from(length).ok()));
    asked.unwrap_or_default().min(LONGEST_REST)
}

/// The image of the controller has no certificates of its own. Without TLS none are needed.
fn public_authorities(receiver: &Receiver) -> Vec<reqwest::Certificate> {
    if receiver.url.0.scheme() != "https" {
        return Vec::new();
    }
    let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    all.iter().filter_map(|one| reqwest::Certificate::from_der(one).ok()).collect()
}

/// An error with its causes, without the address.
fn said(receiver: &Receiver, error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    excerpt(receiver, &text)
}

/// The beginning of a text, on one line; nothing of a text that quotes what is secret, since a receiver may answer with
/// what it was sent. All of it is looked at: a beginning may end within a secret.
fn excerpt(receiver: &Receiver, text: &str) -> String {
    let url = &receiver.url.0;
    let secret =
        [receiver.secret.as_ref(), receiver.token.as_ref()].into_iter().flatten().map(|hidden| hidden.0.as_str());
    let parts = url.path_segments().into_iter().flatten().chain(url.query()).chain(url.password());
    let values: Vec<String> = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
    let mut all = parts.chain(secret).chain(values.iter().map(String::as_str)).filter(|part| part.len() >= 6);
    if all.any(|part| text.contains(part)) {
        return "(it quotes what is secret)".to_owned();
    }
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TOLD).collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::receivers::Hidden;

    fn answered(format: &Format, status: u16, body: &str) -> Result<(), Failed> {
        let (receiver, status) = (receiver(format.clone()), StatusCode::from_u16(status).unwrap());
        judged(&receiver, status, Duration::from_secs(7), body.as_bytes())
    }

    fn receiver(format: Format) -> Receiver {
        Receiver {
            name: "a".into(),
            format,
            url: Hidden("https://x/services/T123456/?access_token=abcdefgh".parse().unwrap()),
            secret: Some(Hidden("SEC12345".into())),
            token: None,
            outcomes: Vec::new(),
            authorities: None,
        }
    }

    fn own() -> Format {
        let sample = crate::notify::sample();
        Format::Own(std::sync::Arc::new(crate::notify::body::Own::new(serde_json::json!({}), sample).unwrap()))
    }

    #[test]
    fn an_answer_is_a_success_only_if_the_receiver_says_so() {
        let rest = Some(Duration::from_secs(7));
        let cases = [
            ("taken", Format::Slack, 200, "ok", Ok(())),
            ("no content", Format::Json, 204, "", Ok(())),
            ("down", Format::Slack, 503, "", Err(rest)),
            ("too fast", Format::Slack, 429, "", Err(rest)),
            ("a wrong address", Format::Slack, 404, "no_service", Err(None)),
            ("a redirect", Format::Json, 302, "", Err(None)),
            ("dingtalk takes it", Format::DingTalk, 200, r#"{"errcode":0,"errmsg":"ok"}"#, Ok(())),
            ("dingtalk misses its keyword", Format::DingTalk, 200, r#"{"errcode":310000,"errmsg":"x"}"#, Err(None)),
            ("dingtalk is asked too often", Format::DingTalk, 200, r#"{"errcode":130101,"errmsg":"x"}"#, Err(rest)),
            ("dingtalk is busy", Format::DingTalk, 200, r#"{"errcode":-1,"errmsg":"x"}"#, Err(rest)),
            ("feishu takes it", Format::Feishu, 200, r#"{"code":0,"msg":"success","data":{}}"#, Ok(())),
            ("feishu as it was", Format::Feishu, 200, r#"{"StatusCode":0,"StatusMessage":"success"}"#, Ok(())),
            ("feishu misses the sign", Format::Feishu, 200, r#"{"code":19021,"msg":"sign match fail"}"#, Err(None)),
            ("feishu is asked too often", Format::Feishu, 200, r#"{"code":11232,"msg":"x"}"#, Err(rest)),
            ("an own receiver says anything", own(), 200, "thanks", Ok(())),
            ("or has a code of its own", own(), 200, r#"{"code":200}"#, Ok(())),
            ("wecom refuses", own(), 200, r#"{"errcode":93000,"errmsg":"x"}"#, Err(None)),
            ("a page of somebody else's", Format::Feishu, 200, "<html>log in</html>", Err(rest)),
        ];
        for (why, format, status, body, want) in cases {
            assert_eq!(answered(&format, status, body).map_err(|failed| failed.again), want, "{why}");
        }
        let said = answered(&Format::Feishu, 200, r#"{"code":19021,"msg":"sign match fail"}"#).unwrap_err().why;
        assert_eq!(said, "it answered 200 OK and refused with code 19021: sign match fail");
    }

    #[test]
    fn a_rest_is_seconds_or_a_date_and_never_long() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let cases = [
            (Some("30"), 30, "seconds"),
            (Some("Fri, 02 Jan 2026 03:05:05 GMT"), 60, "a date"),
            (Some("Fri, 02 Jan 2026 03:00:05 GMT"), 0, "a date that has passed"),
            (Some("999999"), 300, "longer than anybody waits"),
            (Some("soon"), 0, "neither"),
            (None, 0, "none"),
        ];
        for (value, want, why) in cases {
            let headers = value.map(|value| (RETRY_AFTER, value.parse().unwrap()));
            assert_eq!(rest(&HeaderMap::from_iter(headers), now).as_secs(), want, "{why}");
        }
    }

    #[test]
    fn what_a_receiver_quotes_of_its_address_is_not_told() {
        let robot = receiver(Format::DingTalk);
        for text in ["no such token abcdefgh", "/services/T123456/ is gone", "SEC12345 is wrong"] {
            assert_eq!(excerpt(&robot, text), "(it quotes what is secret)");
            let cut = format!("{}{text}", " ".repeat(LONGEST_TOLD - text.len() + 3));
            assert_eq!(excerpt(&robot, &cut), "(it quotes what is secret)", "nor the part of it that would be told");
        }
        assert_eq!(excerpt(&robot, "sign not match"), "sign not match");
        let said = answered(&Format::Slack, 404, "no /services/T123456/").unwrap_err().why;
        assert_eq!(said, "it answered 404 Not Found: (it quotes what is secret)", "what is no secret is told");
    }
}
