//! Notifications against a real receiver that answers as receivers do: well, late, wrongly, never.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Held;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::notice::tests::{alert, ended};
use super::*;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// As the real one, in a hurry.
const PACE: Pace = Pace {
    between: Duration::from_millis(1),
    timeout: Duration::from_millis(500),
    first_wait: Duration::from_millis(1),
    longest_wait: Duration::from_millis(5),
    give_up_after: Duration::from_secs(60),
};

/// How the receiver answers.
#[derive(Clone, Debug)]
enum Answer {
    With(u16, &'static str),
    Rest(&'static str),
    Redirect(String),
    Never,
}

#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    heard: mpsc::UnboundedSender<(Uri, HeaderMap, Value)>,
}

struct Receiver {
    url: String,
    heard: mpsc::UnboundedReceiver<(Uri, HeaderMap, Value)>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Receiver {
    /// Gives those answers, one after the other; then 200 with what every vendor takes for a success.
    async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        let (sender, heard) = mpsc::unbounded_channel();
        let script = Script { answers: answers.clone(), heard: sender };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook/s3cretpath?access_token=s3crettoken", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(script);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, heard, answers }
    }

    async fn next(&mut self) -> (Uri, HeaderMap, Value) {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("it is told").unwrap()
    }

    fn file(&self, format: &str, more: &str) -> String {
        format!("{{name: {format}, format: {format}, outcomes: all, url: '{}'{more}}}", self.url)
    }
}

async fn answer(Held(script): Held<Script>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    script.heard.send((uri, headers, serde_json::from_slice(&body).unwrap())).unwrap();
    let answer = script.answers.lock().unwrap().pop_front();
    let status = |code: u16| axum::http::StatusCode::from_u16(code).unwrap();
    match answer {
        None => r#"{"errcode":0,"code":0}"#.into_response(),
        Some(Answer::With(code, body)) => (status(code), body).into_response(),
        Some(Answer::Rest(length)) => (status(429), [("retry-after", length)]).into_response(),
        Some(Answer::Redirect(to)) => (status(307), [("location", to)]).into_response(),
        Some(Answer::Never) => std::future::pending().await,
    }
}

/// Somebody who tells, by a file with those receivers.
struct Teller {
    folder: tempfile::TempDir,
    notifier: Notifier,
    metrics: Metrics,
    stop: CancellationToken,
    keeper: tokio::task::JoinHandle<()>,
}

impl Teller {
    fn start(receivers: &[String], pace: Pace) -> Self {
        // An error says that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notify.yaml");
        write(&file, receivers);
        let (metrics, stop) = (Metrics::new(), CancellationToken::new());
        let (notifier, keeper) = Notifier::paced(Some(file), Clock::default(), &metrics, pace);
        let keeper = tokio::spawn(keeper.run(stop.clone()));
        Self { folder, notifier, metrics, stop, keeper }
    }

    fn rewrite(&self, receivers: &[String]) {
        write(&self.folder.path().join("notify.yaml"), receivers);
    }

    fn tell(&self, text: &str, failure: Option<&str>) {
        self.notifier.tell(&alert(text), &ended(text, failure), Timestamp::UNIX_EPOCH);
    }

    async fn counts(&self, line: &str) {
        let line = format!("aegis_notifications_total{{{line}");
        let counted = async {
            while !self.metrics.text().unwrap().contains(&line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, counted).await;
        assert!(waited.is_ok(), "{line} is not in\n{}", self.metrics.text().unwrap());
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.keeper).await.expect("it ends").unwrap();
    }
}

fn write(file: &Path, receivers: &[String]) {
    std::fs::write(file, format!("cluster: prod\nreceivers: [{}]", receivers.join(", "))).unwrap();
}

#[tokio::test]
async fn every_vendor_is_told_in_its_own_form_at_its_own_address() {
    let cases = [
        ("slack", "", "/blocks/0/type"),
        ("feishu", ", secret: x", "/sign"),
        ("dingtalk", ", secret: x", "/text/content"),
        ("json", ", token: t0ken", "/notices/0/id"),
        ("own", ", body: {said: '{{ title }}'}", "/said"),
    ];
    for (format, more, pointer) in cases {
        let mut receiver = Receiver::start([]).await;
        let teller = Teller::start(&[receiver.file(format, more)], PACE);
        teller.tell("", Some("Timeout"));
        let (uri, headers, body) = receiver.next().await;
        assert_eq!(uri.path(), "/hook/s3cretpath");
        assert!(uri.query().unwrap().starts_with("access_token=s3crettoken"), "{uri}");
        assert_eq!(uri.query().unwrap().contains("&sign="), format == "dingtalk", "{uri}");
        assert!(body.pointer(pointer).is_some(), "{format}: {body}");
        let bearer = headers.get("authorization").map(|value| value.to_str().unwrap());
        assert_eq!(bearer, (format == "json").then_some("Bearer t0ken"));
        teller.counts(&format!("receiver=\"{format}\",result=\"Sent\"}} 1")).await;
        teller.end().await;
    }
}

#[tokio::test]
async fn what_may_be_taken_later_is_sent_again_until_it_is() {
    let faults = [
        Answer::With(500, ""),
        Answer::Rest("0"),
        Answer::Never,
        Answer::With(200, r#"{"errcode":-1,"errmsg":"busy"}"#),
        Answer::With(200, "<html>log in</html>"),
    ];
    let mut receiver = Receiver::start(faults.clone()).await;
    let teller = Teller::start(&[receiver.file("dingtalk", "")], PACE);
    teller.tell("", Some("Timeout"));
    let (_, _, first) = receiver.next().await;
    for _ in faults {
        assert_eq!(receiver.next().await.2, first, "the same message");
    }
    teller.counts("receiver=\"dingtalk\",result=\"Sent\"} 1").await;
    teller.end().await;
}

#[tokio::test]
async fn what_will_never_be_taken_is_given_up_at_once_and_the_next_goes_on() {
    let mut elsewhere = Receiver::start([]).await;
    let faults = [
        Answer::With(404, "no_service"),
        Answer::With(200, r#"{"errcode":310000,"errmsg":"sign not match"}"#),
        Answer::Redirect(elsewhere.url.clone()),
    ];
    let mut receiver = Receiver::start(faults.clone()).await;
    let teller = Teller::start(&[receiver.file("dingtalk", "")], PACE);
    for (index, _) in faults.iter().enumerate() {
        teller.tell("", Some("Timeout"));
        receiver.next().await;
        teller.counts(&format!("receiver=\"dingtalk\",result=\"Failed\"}} {}", index + 1)).await;
    }
    teller.tell("", None);
    receiver.next().await;
    teller.counts("receiver=\"dingtalk\",result=\"Sent\"} 1").await;
    assert!(elsewhere.heard.try_recv().is_err(), "no message goes anywhere but to the address that was given");
    teller.end().await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_rest_gets_it_and_too_late_is_too_late() {
    let mut receiver = Receiver::start([Answer::Rest("120")]).await;
    let teller = Teller::start(&[receiver.file("slack", "")], PACE);
    teller.tell("", Some("Timeout"));
    receiver.next().await;
    // A rest of 120 s ends after the last try may begin.
    teller.counts("receiver=\"slack\",result=\"Failed\"} 1").await;
    teller.end().await;
}

#[tokio::test]
async fn a_receiver_that_never_answers_slows_nobody_and_loses_its_oldest() {
    let mut dead = Receiver::start(std::iter::repeat_n(Answer::Never, 9)).await;
    let mut alive = Receiver::start([]).await;
    let patient = Pace { timeout: PATIENCE * 9, ..PACE };
    let teller = Teller::start(&[dead.file("slack", ""), alive.file("json", "")], patient);
    teller.tell("", None);
    dead.next().await;
    // What is told from here on waits behind a message that is never answered, and whoever tells does not.
    let mut heard = 0;
    for number in 0..line::LONGEST + 5 {
        teller.tell(&number.to_string(), None);
        if number % 100 == 0 {
            heard += alive.next().await.2["notices"].as_array().unwrap().len();
        }
    }
    assert!(heard >= 10, "the other one is told all the while: {heard}");
    teller.counts("receiver=\"slack\",result=\"Dropped\"} 5").await;
    teller.end().await;
}

#[tokio::test]
async fn what_waits_together_is_told_together() {
    let mut receiver = Receiver::start([Answer::Never]).await;
    let teller = Teller::start(&[receiver.file("json", "")], PACE);
    teller.tell("", None);
    receiver.next().await;
    for _ in 0..body::MOST_IN_ONE + 2 {
        teller.tell("", None);
    }
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let (_, _, body) = receiver.next().await;
        sizes.push(body["notices"].as_array().unwrap().len());
    }
    assert_eq!(sizes, [1, body::MOST_IN_ONE, 2], "the first again, then as many as one message holds");
    teller.end().await;
}

#[tokio::test]
async fn a_changed_file_counts_at_once_and_a_wrong_one_changes_nothing() {
    let (mut old, mut new) = (Receiver::start([]).await, Receiver::start([]).await);
    let teller = Teller::start(&[old.file("json", "")], PACE);
    teller.rewrite(&["{name: x, format: nonsense}".to_owned()]);
    let page = || teller.metrics.text().unwrap();
    until(|| page().contains("\naegis_notify_file_unreadable 1\n")).await;
    teller.tell("", None);
    old.next().await;
    teller.rewrite(&[new.file("json", "")]);
    until(|| page().contains("\naegis_notify_file_unreadable 0\n")).await;
    teller.tell("", None);
    new.next().await;
    teller.rewrite(&[]);
    until(|| teller.notifier.posts().is_empty()).await;
    teller.tell("", None);
    assert!(old.heard.try_recv().is_err() && new.heard.try_recv().is_err());
    teller.end().await;
}

#[tokio::test]
async fn what_waits_at_the_end_is_sent_before_it() {
    let mut receiver = Receiver::start([]).await;
    let slow = Pace { between: PATIENCE * 9, ..PACE };
    let teller = Teller::start(&[receiver.file("json", "")], slow);
    teller.tell("", None);
    receiver.next().await;
    teller.tell("last", None);
    teller.end().await;
    assert_eq!(receiver.next().await.2["notices"][0]["alert"]["type"], "NodeDownlast");
}

#[tokio::test]
async fn nobody_hears_of_what_nobody_asked_for() {
    let mut receiver = Receiver::start([]).await;
    let file = receiver.file("json", "").replace("outcomes: all", "outcomes: [Failed]");
    let teller = Teller::start(&[file], PACE);
    teller.tell("well", None);
    teller.tell("badly", Some("Timeout"));
    assert_eq!(receiver.next().await.2["notices"][0]["alert"]["type"], "NodeDownbadly");
    assert_eq!(teller.notifier.held_after(), None, "nobody looks for alerts that wait");
    assert!(receiver.answers.lock().unwrap().is_empty());
    teller.end().await;
}

async fn until(what: impl Fn() -> bool) {
    let holds = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, holds).await.expect("it happens");
}
