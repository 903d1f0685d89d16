//! The body that is sent: a file as it is, or the custom format made from flags.

use std::collections::BTreeMap;
use std::io::Read;

use aegis_crds::names;
use clap::Args;
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};

/// Firing or Resolved, by the verb that was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Firing,
    Resolved,
}

/// An alert in words.
#[derive(Args, Debug, Default)]
pub(crate) struct Words {
    /// The alert's type, such as NodeHasEmergencyEvent
    #[arg(value_name = "TYPE")]
    type_: Option<String>,
    /// The node that it is about; also the detail `node`, which templates use
    #[arg(long, conflicts_with_all = ["pod", "object"])]
    node: Option<String>,
    /// The pod that it is about
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "object")]
    pod: Option<String>,
    /// Another object that it is about
    #[arg(long, value_name = "KIND/NAME")]
    object: Option<String>,
    /// A detail; repeat it for more
    #[arg(short, long = "detail", value_name = "KEY=VALUE")]
    details: Vec<String>,
    /// What tells this problem from others; derived from type and object by default
    #[arg(long)]
    fingerprint: Option<String>,
    /// Mark it as a test: it can only ever be a dry run
    #[arg(long)]
    test: bool,
}

/// The body in the custom format, as /default/alert takes it.
pub(crate) fn custom(words: &Words, phase: Phase) -> Result<Value, Failure> {
    let Words { type_, node, pod, object, details: pairs, fingerprint, test } = words;
    let Some(type_) = type_.as_deref().filter(|type_| !type_.is_empty()) else {
        return Err(Failure::new(Kind::Usage, "say the alert's type, such as NodeHasEmergencyEvent, or give a file"));
    };
    let mut details = BTreeMap::new();
    let involved = match (node, pod, object) {
        (Some(node), _, _) => {
            details.insert("node".to_owned(), node.clone());
            json!({"kind": "Node", "name": node, "node": node})
        }
        (_, Some(pod), _) => {
            let (namespace, name) = split(pod, '/', "--pod", "NAMESPACE/NAME")?;
            json!({"kind": "Pod", "namespace": namespace, "name": name})
        }
        (_, _, Some(object)) => {
            let (kind, name) = split(object, '/', "--object", "KIND/NAME")?;
            json!({"kind": kind, "name": name})
        }
        (None, None, None) => {
            return Err(Failure::new(Kind::Usage, "say what the alert is about")
                .hint("add --node NAME, --pod NAMESPACE/NAME or --object KIND/NAME"));
        }
    };
    for pair in pairs {
        let (key, value) = split(pair, '=', "--detail", "KEY=VALUE")?;
        details.insert(key.to_owned(), value.to_owned());
    }
    if *test {
        details.insert(names::TEST_LABEL.to_owned(), "true".to_owned());
    }
    let fingerprint = fingerprint.clone().unwrap_or_else(|| derived_fingerprint(type_, &involved));
    Ok(json!({
        "type": type_,
        "status": if phase == Phase::Firing { "Firing" } else { "Resolved" },
        "involvedObject": involved,
        "details": details,
        "fingerprint": fingerprint,
    }))
}

/// The route that takes a body: Alertmanager's has a list of alerts, the custom format is one alert.
pub(crate) fn route(body: &[u8]) -> Result<&'static str, Failure> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        Failure::new(Kind::Usage, "the body is not JSON").because(error).hint(
            "send what Alertmanager's webhook sends, or {\"type\", \"status\", \"involvedObject\", \"fingerprint\"}",
        )
    })?;
    Ok(if value.get("alerts").is_some() { "/alertmanager/alert" } else { "/default/alert" })
}

/// The bytes of a file, of standard input for "-".
pub(crate) fn read(file: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let done = if file == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|read| bytes = read)
    };
    done.map_err(|error| Failure::new(Kind::Usage, format!("could not read {file}")).because(error))?;
    Ok(bytes)
}

/// 16 hex digits, so that `send` and `resolve` with the same words mean the same problem.
fn derived_fingerprint(type_: &str, object: &Value) -> String {
    let part = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let words = [type_.to_owned(), part("kind"), part("namespace"), part("name")];
    // A list as JSON reads in one way only, and as it is no label value it comes back as a hash.
    let mut digits = names::fingerprint_label(&json!(words).to_string());
    digits.truncate(16);
    digits
}

fn split<'a>(text: &'a str, at: char, flag: &str, form: &str) -> Result<(&'a str, &'a str), Failure> {
    text.split_once(at)
        .filter(|(left, right)| !left.is_empty() && (at == '=' || !right.is_empty()))
        .ok_or_else(|| Failure::new(Kind::Usage, format!("{flag} {text}: expected {form}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words { type_: Some("NodeDown".into()), node: Some("n1".into()), ..Words::default() }
    }

    #[test]
    fn a_node_alert_carries_the_detail_that_templates_use() {
        let body = custom(&words(), Phase::Firing).unwrap();
        assert_eq!(body["details"]["node"], "n1");
        assert_eq!(body["involvedObject"]["kind"], "Node");
        assert_eq!(route(body.to_string().as_bytes()).unwrap(), "/default/alert");
    }

    #[test]
    fn resolve_means_the_problem_that_send_meant_and_no_other() {
        let print = |words: &Words, phase| custom(words, phase).unwrap()["fingerprint"].clone();
        let fired = print(&words(), Phase::Firing);
        assert_eq!(fired, print(&words(), Phase::Resolved));
        assert_ne!(fired, print(&Words { node: Some("n2".into()), ..words() }, Phase::Firing));
        assert_ne!(fired, print(&Words { type_: Some("NodeSlow".into()), ..words() }, Phase::Firing));
        assert_eq!(fired.as_str().unwrap().len(), 16);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let cases = [
            (Words { node: None, ..words() }, "what the alert is about"),
            (Words { node: None, pod: Some("web-0".into()), ..words() }, "--pod web-0: expected NAMESPACE/NAME"),
            (Words { details: vec!["novalue".into()], ..words() }, "--detail novalue: expected KEY=VALUE"),
        ];
        for (words, part) in cases {
            let error = custom(&words, Phase::Firing).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(route(b"not json").is_err());
    }
}
