//! Whoever is told of outcomes: chats that take what their vendors take and refuse the rest in their words, and
//! receivers that fail, hang, or tell what they were sent. They listen on the real machine's end of the link.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::machine::Machine;

/// How long a signature is good for, in seconds, as both vendors have it.
const GOOD_FOR: i64 = 3600;
/// The longest message that a chat takes, in bytes.
const LONGEST: usize = 20_000;

/// What listens under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Slack's incoming webhook.
    Slack,
    /// A robot of Feishu with that secret.
    Feishu(&'static str),
    /// A robot of DingTalk with that secret.
    DingTalk(&'static str),
    /// A program that asks for that token.
    Program(&'static str),
    /// Answers 500 to the first message, and takes all others.
    FailsOnce,
    /// Never answers.
    Hangs,
    /// Answers 404 with the address that was asked for.
    Gone,
}

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it was answered with; nothing where nobody answered.
    pub code: Option<StatusCode>,
    /// What was wrong with it, in the vendor's words.
    pub refused: Option<String>,
    /// It.
    pub body: Value,
}

/// Receivers that listen until this is dropped.
pub struct Receivers {
    address: SocketAddr,
    heard: Arc<Heard>,
    task: AbortHandle,
}

#[derive(Default)]
struct Heard {
    kinds: HashMap<&'static str, Kind>,
    /// By path.
    messages: Mutex<HashMap<&'static str, Vec<Message>>>,
}

impl Drop for Receivers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receivers {
    /// Starts those, each under its path.
    pub async fn start(machine: &Machine, kinds: &[(&'static str, Kind)]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((machine.network().outside(), 0)).await;
        let listener = listener.context("the receivers could not listen on the link")?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Heard { kinds: kinds.iter().copied().collect(), ..Heard::default() });
        let task = tokio::spawn(accept(listener, heard.clone())).abort_handle();
        Ok(Self { address, heard, task })
    }

    /// Where a path is reached.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What arrived under a path, in its order.
    pub fn heard(&self, path: &str) -> Vec<Message> {
        self.heard.lock().get(path).cloned().unwrap_or_default()
    }
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Vec<Message>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what arrived, and says how it is answered; nothing if it is not.
    fn take(&self, uri: &Uri, headers: &HeaderMap, bytes: &[u8]) -> Option<Response<Full<Bytes>>> {
        let Some((path, kind)) = self.kinds.get_key_value(uri.path()) else {
            return Some(answer(StatusCode::NOT_FOUND, "nobody listens here".to_owned()));
        };
        let mut messages = self.lock();
        let messages = messages.entry(path).or_default();
        let refused = judge(*kind, uri, headers, bytes, Timestamp::now()).err().map(|error| format!("{error:#}"));
        let said = say(*kind, refused.as_deref(), messages.is_empty(), uri);
        let body = serde_json::from_slice(bytes).unwrap_or_default();
        messages.push(Message { code: said.as_ref().map(|(code, _)| *code), refused, body });
        said.map(|(code, text)| answer(code, text))
    }
}

/// Fails if a vendor would not take it, with the vendor's reason.
fn judge(kind: Kind, uri: &Uri, headers: &HeaderMap, bytes: &[u8], now: Timestamp) -> anyhow::Result<()> {
    let header = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ensure!(header(header::CONTENT_TYPE).starts_with("application/json"), "the content is not said to be JSON");
    let body: Value = serde_json::from_slice(bytes).context("invalid_payload")?;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let said = |pointer: &str| !text(pointer).trim().is_empty();
    match kind {
        Kind::Slack => {
            ensure!(said("/text"), "no_text");
            let blocks = body.pointer("/blocks").and_then(Value::as_array).context("invalid_blocks: none")?;
            ensure!((1..=50).contains(&blocks.len()), "invalid_blocks: {}", blocks.len());
            for block in blocks {
                slack_block(block)?;
            }
        }
        Kind::Feishu(secret) => {
            let (time, sign) = (text("/timestamp"), text("/sign"));
            let sent = time.parse().ok().filter(|sent: &i64| (now.as_second() - sent).abs() < GOOD_FOR);
            let key = format!("{time}\n{secret}");
            ensure!(sent.is_some() && signed(&key, "", sign), "19021: sign match fail or timestamp is too old");
            ensure!(bytes.len() <= LONGEST, "9499: the body is too large");
            ensure!(text("/msg_type") == "interactive", "9499: Bad Request: msg_type");
            ensure!(text("/card/header/title/tag") == "plain_text", "9499: Bad Request: the title's tag");
            ensure!(said("/card/header/title/content"), "9499: Bad Request: no title");
            let parts =
                body.pointer("/card/elements").and_then(Value::as_array).context("9499: Bad Request: elements")?;
            ensure!(!parts.is_empty() && parts.iter().all(feishu_part), "9499: Bad Request: {parts:?}");
        }
        Kind::DingTalk(secret) => {
            let url = reqwest::Url::parse(&format!("http://robot{uri}"))?;
            let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
            let value = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
            let (time, sign) = (value("timestamp"), value("sign"));
            let sent = time.parse().ok().filter(|sent: &i64| (now.as_millisecond() - sent).abs() < GOOD_FOR * 1000);
            ensure!(!value("access_token").is_empty(), "300005: token is not exist");
            ensure!(sent.is_some() && signed(secret, &format!("{time}\n{secret}"), sign), "310000: sign not match");
            ensure!(bytes.len() <= LONGEST, "460101: message too long");
            ensure!(text("/msgtype") == "text" && said("/text/content"), "40035: the text is missing");
            ensure!(text("/text/content").contains("Aegis"), "310000: keywords not in content");
        }
        Kind::Program(token) => {
            ensure!(header(header::AUTHORIZATION) == format!("Bearer {token}"), "the token is wrong");
            let notices = body.pointer("/notices").and_then(Value::as_array).context("no notices")?;
            ensure!((1..=10).contains(&notices.len()), "{} notices", notices.len());
        }
        Kind::FailsOnce | Kind::Hangs | Kind::Gone => {}
    }
    Ok(())
}

/// Rich text is made of sections, and those of pieces with a text each.
fn slack_block(block: &Value) -> anyhow::Result<()> {
    let is = |value: &Value, kind: &str| value.get("type").and_then(Value::as_str) == Some(kind);
    let list = |value: &Value| value.get("elements").and_then(Value::as_array).cloned().unwrap_or_default();
    let sections = list(block);
    let pieces: Vec<Value> = sections.iter().flat_map(list).collect();
    let has_text = |piece: &Value| is(piece, "text") && piece.get("text").is_some_and(Value::is_string);
    ensure!(is(block, "rich_text"), "invalid_blocks: {block}");
    ensure!(sections.iter().all(|section| is(section, "rich_text_section")), "invalid_blocks: {block}");
    ensure!(!pieces.is_empty() && pieces.iter().all(has_text), "invalid_blocks: {block}");
    Ok(())
}

fn feishu_part(part: &Value) -> bool {
    let text = |pointer: &str| part.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    text("/tag") == "hr"
        || (text("/tag") == "div" && text("/text/tag") == "plain_text" && !text("/text/content").is_empty())
}

fn signed(key: &str, text: &str, sign: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    STANDARD.decode(sign).is_ok_and(|sign| hmac::verify(&key, text.as_bytes(), &sign).is_ok())
}

/// What the vendor answers. Robots of Feishu and DingTalk refuse with 200 and a code.
fn say(kind: Kind, refused: Option<&str>, first: bool, uri: &Uri) -> Option<(StatusCode, String)> {
    let robot = |code: &str, text: &str| {
        let (number, why) = refused.and_then(|refused| refused.split_once(": ")).unwrap_or(("0", "ok"));
        (StatusCode::OK, json!({code: number.parse().unwrap_or(400), text: why}).to_string())
    };
    match kind {
        Kind::Hangs => None,
        Kind::Gone => Some((StatusCode::NOT_FOUND, format!("there is no {uri}"))),
        Kind::FailsOnce if first => Some((StatusCode::INTERNAL_SERVER_ERROR, "out of order".to_owned())),
        Kind::Feishu(_) => Some(robot("code", "msg")),
        Kind::DingTalk(_) => Some(robot("errcode", "errmsg")),
        Kind::Slack | Kind::Program(_) | Kind::FailsOnce => Some(match refused {
            Some(refused) => (StatusCode::BAD_REQUEST, refused.to_owned()),
            None => (StatusCode::OK, "ok".to_owned()),
        }),
    }
}

fn answer(code: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = code;
    answer
}

async fn accept(listener: TcpListener, heard: Arc<Heard>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, heard.clone()));
        }
    }
}

async fn serve(stream: TcpStream, heard: Arc<Heard>) {
    let answer = move |request: http::Request<Incoming>| {
        let heard = heard.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            match heard.take(&parts.uri, &parts.headers, &bytes) {
                Some(answer) => Ok::<_, Infallible>(answer),
                None => std::future::pending().await,
            }
        }
    };
    // An error is a connection that ended, on either side.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(kind: Kind, uri: &str, body: &Value) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(header::AUTHORIZATION, "Bearer t0ken".parse().unwrap());
        let now = Timestamp::constant(1_767_268_800, 0);
        let uri: Uri = uri.parse().unwrap();
        let refused =
            judge(kind, &uri, &headers, body.to_string().as_bytes(), now).err().map(|error| error.to_string());
        say(kind, refused.as_deref(), true, &uri)
            .map(|(code, text)| format!("{} {text}", code.as_u16()))
            .unwrap_or_default()
    }

    /// The signatures are what `openssl dgst -sha256 -hmac` gives.
    #[test]
    fn a_vendor_takes_what_it_asks_for_and_refuses_the_rest() {
        let piece = json!({"type": "text", "text": "x"});
        let slack = |piece: Value| {
            let section = json!({"type": "rich_text_section", "elements": [piece]});
            json!({"text": "x", "blocks": [{"type": "rich_text", "elements": [section]}]})
        };
        let plain = json!({"tag": "plain_text", "content": "x"});
        let card = json!({"header": {"title": plain}, "elements": [{"tag": "div", "text": plain}]});
        let feishu =
            |sign: &str| json!({"msg_type": "interactive", "card": card, "timestamp": "1767268800", "sign": sign});
        let signed = "/r?access_token=t&timestamp=1767268800123&sign=UbfG6DxFypvP77JRkGRmx5w4Uaso%2BknSpr74d2dHCqU%3D";
        let unsigned = "/r?access_token=t";
        let dingtalk = |text: &str| json!({"msgtype": "text", "text": {"content": text}});
        let notices = json!({"notices": [{}]});
        let cases = [
            ("slack", Kind::Slack, "/", slack(piece), "200 ok"),
            (
                "a piece that slack does not know",
                Kind::Slack,
                "/",
                slack(json!({"type": "markdown"})),
                "400 invalid_blocks",
            ),
            ("no text for slack", Kind::Slack, "/", json!({"blocks": []}), "400 no_text"),
            (
                "feishu",
                Kind::Feishu("s"),
                "/",
                feishu("Ds880y7g76pa1CO2UJGsM1k5WXMgn0Y6tKGcau17I0k="),
                r#"200 {"code":0,"#,
            ),
            ("another key of feishu's", Kind::Feishu("s"), "/", feishu("AAAA"), r#"200 {"code":19021,"#),
            ("dingtalk", Kind::DingTalk("SECx"), signed, dingtalk("Aegis"), r#"200 {"errcode":0,"#),
            ("unsigned", Kind::DingTalk("SECx"), unsigned, dingtalk("Aegis"), r#"200 {"errcode":310000,"#),
            ("no keyword", Kind::DingTalk("SECx"), signed, dingtalk("x"), r#"200 {"errcode":310000,"#),
            ("a program", Kind::Program("t0ken"), "/", notices.clone(), "200 ok"),
            ("another token", Kind::Program("other"), "/", notices.clone(), "400 the token"),
            ("out of order at first", Kind::FailsOnce, "/", notices.clone(), "500 "),
            ("gone", Kind::Gone, "/x?y", notices.clone(), "404 there is no /x?y"),
            ("never", Kind::Hangs, "/", notices, ""),
        ];
        for (why, kind, uri, body, want) in cases {
            let said = judged(kind, uri, &body);
            assert!(said.starts_with(want) && said.is_empty() == want.is_empty(), "{why}: {said}");
        }
    }
}
