//! The file that says who is told: an administrator's, and a Secret, since the address of a chat's webhook is all that
//! is needed to write there. No error and no log shows more of it than names of fields.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::body::{Format, Own};
use super::notice::Notice;
use super::outcome::Outcome;

/// How long an alert waits before that is told, where the file does not say: as the alerting rule of
/// manifest/monitoring has it.
const HELD_AFTER: Duration = Duration::from_secs(15 * 60);
/// How many receivers there may be: each has a line of its own.
const MOST: usize = 16;
const FILE_KEYS: &[&str] = &["cluster", "heldAfter", "receivers"];
const RECEIVER_KEYS: &[&str] = &["name", "format", "url", "secret", "token", "outcomes", "caFile", "body"];

/// What the file says.
#[derive(Clone, Debug, Default)]
pub struct Receivers {
    /// What the cluster is called in messages; empty if it has no name.
    pub cluster: String,
    /// How long an alert waits before that is told.
    pub held_after: Duration,
    /// Who is told.
    pub all: Vec<Arc<Receiver>>,
}

/// One that is told.
#[derive(Debug)]
pub struct Receiver {
    /// Its name, in logs and metrics.
    pub name: String,
    /// What it reads.
    pub format: Format,
    /// Where it listens.
    pub url: Hidden<reqwest::Url>,
    /// What its robot wants messages signed with.
    pub secret: Option<Hidden<String>>,
    /// What it wants shown as a bearer.
    pub token: Option<Hidden<String>>,
    /// What it hears of.
    pub outcomes: Vec<Outcome>,
    /// Whom it is trusted by, if not by the authorities that browsers trust.
    pub authorities: Option<Vec<reqwest::Certificate>>,
}

/// What is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden<T>(pub T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("could not read {path} (notify.file): {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML.
    #[error("{path} (notify.file) is not a YAML mapping{place}; expected receivers: with a list of them")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, if that is known.
        place: String,
    },
    /// A field has a value that it cannot have.
    #[error("{path} (notify.file): {field}: {wrong}")]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, with its parents.
        field: String,
        /// What is wrong, and what is expected.
        wrong: String,
    },
}

/// What is wrong with a field.
type Wrong = (String, String);

/// Reads the file; `sample` is what a body of an administrator's is tried out with. A file that is not there names
/// nobody: the Secret that it is mounted from need not exist.
pub fn read(path: &Path, sample: &Notice) -> Result<(Vec<u8>, Receivers), Error> {
    match std::fs::read(path) {
        Ok(bytes) => parse(path, &bytes, sample).map(|receivers| (bytes, receivers)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((Vec::new(), Receivers::default())),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

fn parse(path: &Path, bytes: &[u8], sample: &Notice) -> Result<Receivers, Error> {
    let syntax = |place: String| Error::Syntax { path: path.to_owned(), place };
    let text = std::str::from_utf8(bytes).map_err(|_| syntax(" of UTF-8".to_owned()))?;
    let parsed: Option<Value> = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|place| format!(" at line {}, column {}", place.line(), place.column()));
        syntax(place.unwrap_or_default())
    })?;
    let fields = match parsed {
        None | Some(Value::Null) => return Ok(Receivers::default()),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(syntax(String::new())),
    };
    receivers(&fields, sample).map_err(|(field, wrong)| Error::Field { path: path.to_owned(), field, wrong })
}

fn receivers(fields: &Map<String, Value>, sample: &Notice) -> Result<Receivers, Wrong> {
    known(fields, "", FILE_KEYS)?;
    let held_after = match text(fields, "", "heldAfter")? {
        None => HELD_AFTER,
        Some(text) => {
            let length = aegis_engine::duration::parse(&text).map_err(|wrong| ("heldAfter".to_owned(), wrong))?;
            Duration::try_from(length).unwrap_or(HELD_AFTER)
        }
    };
    let wrong = |wrong: String| ("receivers".to_owned(), wrong);
    let items = match fields.get("receivers") {
        None | Some(Value::Null) => &Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(wrong("expected a list".to_owned())),
    };
    if items.len() > MOST {
        return Err(wrong(format!("found {}, expected at most {MOST}", items.len())));
    }
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let place = format!("receivers[{index}]");
        let fields = item.as_object().ok_or_else(|| (place.clone(), "expected a mapping".to_owned()))?;
        let receiver = receiver(fields, &format!("{place}."), sample)?;
        if !names.insert(receiver.name.clone()) {
            return Err((
                format!("{place}.name"),
                "another receiver has that name; expected one of its own".to_owned(),
            ));
        }
        all.push(Arc::new(receiver));
    }
    let cluster = text(fields, "", "cluster")?.unwrap_or_default();
    Ok(Receivers { cluster, held_after, all })
}

fn receiver(fields: &Map<String, Value>, place: &str, sample: &Notice) -> Result<Receiver, Wrong> {
    known(fields, place, RECEIVER_KEYS)?;
    let wrong = |field: &str, wrong: &str| (format!("{place}{field}"), wrong.to_owned());
    let name = text(fields, place, "name")?.ok_or_else(|| wrong("name", "expected a name, for logs and metrics"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        return Err(wrong("name", "expected at most 63 letters, digits, '-', '_' and '.'"));
    }
    let format = match text(fields, place, "format")?.as_deref() {
        Some("slack") => Format::Slack,
        Some("feishu") => Format::Feishu,
        Some("dingtalk") => Format::DingTalk,
        Some("json") => Format::Json,
        Some("own") => {
            let body = fields.get("body").cloned();
            let body = body.ok_or_else(|| wrong("body", "expected the body to send: the format is own"))?;
            Format::Own(Arc::new(Own::new(body, sample.clone()).map_err(|told| wrong("body", &told))?))
        }
        _ => return Err(wrong("format", "expected slack, feishu, dingtalk, json or own")),
    };
    if fields.contains_key("body") && !matches!(format, Format::Own(_)) {
        return Err(wrong("body", "only the format own has one"));
    }
    let url = text(fields, place, "url")?.and_then(|url| url.trim().parse::<reqwest::Url>().ok());
    let url = url.filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    let url =
        url.ok_or_else(|| wrong("url", "expected an address that begins with https:// (it is secret, and not shown)"))?;
    let secret = text(fields, place, "secret")?.filter(|secret| !secret.is_empty());
    if secret.is_some() && !matches!(format, Format::Feishu | Format::DingTalk) {
        return Err(wrong("secret", "only feishu and dingtalk are signed; a receiver of your own may take a token"));
    }
    let token = text(fields, place, "token")?.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    if token.as_ref().is_some_and(|token| !token.chars().all(|c| c.is_ascii_graphic())) {
        return Err(wrong("token", "expected letters, digits and signs of ASCII (it is secret, and not shown)"));
    }
    let authorities = match text(fields, place, "caFile")? {
        None => None,
        Some(file) => {
            let bytes =
                std::fs::read(&file).map_err(|error| wrong("caFile", &format!("could not read it: {error}")))?;
            let found = reqwest::Certificate::from_pem_bundle(&bytes).unwrap_or_default();
            if found.is_empty() {
                return Err(wrong("caFile", "found no certificate in it; expected authorities in PEM"));
            }
            Some(found)
        }
    };
    let outcomes = outcomes(fields, place)?;
    let (secret, token) = (secret.map(Hidden), token.map(Hidden));
    Ok(Receiver { name, format, url: Hidden(url), secret, token, outcomes, authorities })
}

fn outcomes(fields: &Map<String, Value>, place: &str) -> Result<Vec<Outcome>, Wrong> {
    let items = match fields.get("outcomes") {
        None | Some(Value::Null) => return Ok(Outcome::DEFAULT.to_vec()),
        Some(Value::Array(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let words = Outcome::ALL.map(Outcome::as_str).join(", ");
    let wrong = || (format!("{place}outcomes"), format!("expected a list of {words}, or all"));
    if matches!(items, [Value::String(word)] if word == "all") {
        return Ok(Outcome::ALL.to_vec());
    }
    items.iter().map(|item| item.as_str().and_then(Outcome::parse).ok_or_else(wrong)).collect()
}

/// The text of a field, if it is there.
fn text(fields: &Map<String, Value>, place: &str, name: &str) -> Result<Option<String>, Wrong> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err((format!("{place}{name}"), "expected a text".to_owned())),
    }
}

fn known(fields: &Map<String, Value>, place: &str, keys: &[&str]) -> Result<(), Wrong> {
    let Some(unknown) = fields.keys().find(|key| !keys.contains(&key.as_str())) else { return Ok(()) };
    // A line that lacks a space behind its colon is a key with a secret in it.
    let plain = unknown.len() <= 20 && unknown.chars().all(|c| c.is_ascii_alphabetic() || c == '-' || c == '_');
    let shown = if plain { unknown.as_str() } else { "(a key that is none)" };
    Err((format!("{place}{shown}"), format!("unknown; expected {}", keys.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::super::notice::tests::{ended, first};
    use super::*;

    fn parsed(text: &str) -> Result<Receivers, Error> {
        parse(Path::new("notify.yaml"), text.as_bytes(), &first(&ended("", None)))
    }

    #[test]
    fn a_file_says_who_hears_of_what() {
        let text = "
            cluster: prod
            heldAfter: 30m
            receivers:
              - {name: oncall, format: slack, url: 'https://hooks.slack.com/services/T/B/x'}
              - {name: ops, format: dingtalk, url: 'https://oapi.dingtalk.com/robot/send?access_token=x', secret: SECx,
                 outcomes: [Failed, Succeeded]}
              - {name: audit, format: json, url: 'http://audit.tools:8080/', token: t, outcomes: all}
              - {name: own, format: own, url: 'https://x/', body: {text: '{{ text }}'}}";
        let Receivers { cluster, held_after, all } = parsed(text).unwrap();
        assert_eq!((cluster.as_str(), held_after.as_secs()), ("prod", 1800));
        let outcomes: Vec<&[Outcome]> = all.iter().map(|receiver| receiver.outcomes.as_slice()).collect();
        assert_eq!(outcomes[0], Outcome::DEFAULT, "what asks for a person, where nobody chose");
        assert_eq!(outcomes[1], [Outcome::Failed, Outcome::Succeeded]);
        assert_eq!(outcomes[2], Outcome::ALL);
        assert!(matches!(all[3].format, Format::Own(_)));
        assert!(parsed("").unwrap().all.is_empty());
    }

    #[test]
    fn a_wrong_file_is_refused_by_field_and_no_error_shows_a_secret() {
        let one = |fields: &str| format!("receivers: [{{name: a, format: slack, url: 'https://s3cret/', {fields}}}]");
        let cases = [
            ("s3cret".to_owned(), "is not a YAML mapping"),
            ("receivers: [s3cret".to_owned(), "is not a YAML mapping at line"),
            ("receivers: s3cret".to_owned(), "receivers: expected a list"),
            ("receivers: [s3cret]".to_owned(), "receivers[0]: expected a mapping"),
            ("reciever: []".to_owned(), "reciever: unknown; expected cluster, heldAfter, receivers"),
            ("url:https://s3cret: x".to_owned(), "(a key that is none): unknown"),
            (one("urls: s3cret"), "receivers[0].urls: unknown; expected name, format, url"),
            ("receivers: [{name: a b, format: slack}]".to_owned(), "receivers[0].name: expected at most 63"),
            ("receivers: [{name: a, format: s3cret}]".to_owned(), "receivers[0].format: expected slack, feishu"),
            ("receivers: [{name: a, format: slack}]".to_owned(), "receivers[0].url: expected an address"),
            ("receivers: [{name: a, format: slack, url: s3cret}]".to_owned(), "receivers[0].url: expected an address"),
            ("receivers: [{name: a, format: slack, url: 'file:///s3cret'}]".to_owned(), "receivers[0].url"),
            (one("secret: s3cret"), "receivers[0].secret: only feishu and dingtalk are signed"),
            (one("token: 's3cret é'"), "receivers[0].token: expected letters"),
            (one("outcomes: [s3cret]"), "receivers[0].outcomes: expected a list of Succeeded, Failed"),
            (one("body: {a: s3cret}"), "receivers[0].body: only the format own has one"),
            (one("caFile: /nonexistent/ca.crt"), "receivers[0].caFile: could not read it"),
            ("receivers: [{name: a, format: own, url: 'https://x/'}]".to_owned(), "receivers[0].body: expected the body"),
            ("heldAfter: soon".to_owned(), "heldAfter: found \"soon\", expected a length of time"),
            (
                "receivers: [{name: a, format: slack, url: 'https://s3cret/'}, {name: a, format: json, url: 'https://x/'}]"
                    .to_owned(),
                "receivers[1].name: another receiver has that name",
            ),
        ];
        for (text, want) in cases {
            let error = parsed(&text).expect_err(&text).to_string();
            assert!(error.contains(want) && !error.contains("s3cret"), "{text} says {error}");
        }
    }

    #[test]
    fn what_is_secret_is_not_shown_by_mistake() {
        let text = "receivers: [{name: a, format: dingtalk, url: 'https://s3cret/', secret: s3cret, token: s3cret}]";
        assert!(!format!("{:?}", parsed(text).unwrap()).contains("s3cret"));
    }

    #[test]
    fn the_files_of_the_guide_are_read() {
        let guide = include_str!("../../../docs/guides/notifications.md");
        let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let names: Vec<Vec<String>> = blocks
            .map(|block| parsed(block).unwrap().all.iter().map(|receiver| receiver.name.clone()).collect())
            .collect();
        assert_eq!(names, [vec!["oncall", "ops", "platform", "audit"], vec!["discord", "wecom"]]);
    }

    #[test]
    fn a_file_that_is_not_there_names_nobody() {
        let (_, receivers) = read(Path::new("/nonexistent/notify.yaml"), &first(&ended("", None))).unwrap();
        assert!(receivers.all.is_empty());
    }
}
