//! A marked test alert through the real route: each hop timed, and proof that nothing was made of it.

use std::time::{Duration, Instant};

use aegis_crds::names::{ALERT_UID_LABEL, TEST_LABEL};
use kube::api::{DeleteParams, ListParams, Preconditions};
use serde::Serialize;
use serde_json::{Value, json};

use super::finding::Finding;
use super::world::World;
use crate::apply;
use crate::cluster::ClusterArgs;
use crate::commands::alert::delivery::Delivery;
use crate::failure::Failure;
use crate::install::shipped::OURS;

const FAMILY: &str = "fire test";
/// How often the alert is looked at.
const PERIOD: Duration = Duration::from_millis(50);

/// One hop of the test alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hop {
    /// accepted, stored, matched or rehearsed.
    pub(crate) name: &'static str,
    /// How long it took from the sending on, in milliseconds.
    pub(crate) milliseconds: u64,
}

/// What came of it.
pub(crate) struct Fired {
    pub(crate) hops: Vec<Hop>,
    pub(crate) findings: Vec<Finding>,
}

/// The alert that is sent.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) type_: String,
    /// The node that it is about; else it is about nothing that exists.
    pub(crate) node: Option<String>,
}

impl Test {
    /// Marked, and of a fingerprint that no other has.
    fn body(&self, fingerprint: &str) -> Value {
        let (object, details) = match &self.node {
            Some(node) => {
                (json!({"kind": "Node", "name": node, "node": node}), json!({TEST_LABEL: "true", "node": node}))
            }
            None => (json!({"kind": "Check", "name": "fire-test"}), json!({TEST_LABEL: "true"})),
        };
        json!({
            "type": self.type_, "status": "Firing", "fingerprint": fingerprint, "involvedObject": object,
            "details": details,
        })
    }
}

/// Sends it, follows it until it was judged, and removes it.
pub(crate) async fn run(
    world: &World,
    cluster: &ClusterArgs,
    delivery: &Delivery,
    test: &Test,
    patience: Duration,
) -> Fired {
    let began = Instant::now();
    let mut fired = Fired { hops: Vec::new(), findings: Vec::new() };
    let fingerprint = format!("fire-test-{:x}", world.now.as_nanosecond());
    let body = test.body(&fingerprint).to_string().into_bytes();
    let route = format!("{}/default/alert", world.webhook().prefix);
    let name = match delivery.through(world.service()).post(cluster, &route, body).await {
        Err(failure) => {
            fired.findings.push(not_accepted(failure, &world.namespace));
            return fired;
        }
        Ok(answer) => match stored_name(answer.code, &answer.body) {
            Ok(name) => name,
            Err(why) => {
                let finding = Finding::failed(FAMILY, "accepted", why);
                fired.findings.push(finding.mend(format!("kubectl logs -n {} -l {OURS} --tail=50", world.namespace)));
                return fired;
            }
        },
    };
    fired.hop("accepted", began);
    let outcome = follow(world, &name, began, patience, &mut fired).await;
    fired.findings.push(outcome);
    if let Some(removal) = clear_away(world, &name).await {
        fired.findings.push(removal);
    }
    fired
}

impl Fired {
    fn hop(&mut self, name: &'static str, began: Instant) {
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.hops.iter().all(|hop| hop.name != name) {
            self.hops.push(Hop { name, milliseconds });
        }
    }
}

fn not_accepted(failure: Failure, namespace: &str) -> Finding {
    if failure.kind() == crate::failure::Kind::Forbidden {
        return Finding::denied(FAMILY, "accepted", format!("create on services/proxy in namespace {namespace}"));
    }
    let cause = std::error::Error::source(&failure).map(ToString::to_string).unwrap_or_default();
    Finding::failed(FAMILY, "accepted", failure.to_string()).because(cause).mend("see the checks of the webhook")
}

/// The name of the alert that the webhook says that it stored.
fn stored_name(code: u16, body: &[u8]) -> Result<String, String> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = || answer.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !(200..300).contains(&code) {
        let hint = if code == 401 { "; give the token with --token-file" } else { "" };
        return Err(format!("the webhook answered {code}: {}{hint}", message()));
    }
    let first = answer.pointer("/results/0").cloned().unwrap_or_default();
    let word = |key: &str| first.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    match word("result").as_str() {
        "stored" => Ok(word("name")),
        other => Err(format!("the webhook answered {other:?} and not \"stored\": {}", word("message"))),
    }
}

/// Where the test alert stands, in words of its status.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    NotYet,
    /// No rule is for it.
    Unmatched(String),
    /// It was rehearsed.
    Rehearsed {
        rule: String,
    },
    /// A rule is for it, and nothing could be rehearsed.
    Held {
        rule: String,
        why: String,
    },
    /// It must never come to this.
    Acted(String),
}

fn judged(alert: &Value) -> Judged {
    let word = |path: &str| alert.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let rule = || format!("{}/{}", word("/status/rule/namespace"), word("/status/rule/name"));
    let why = || format!("{}: {}", word("/status/verdict/reason"), word("/status/verdict/message"));
    let actions = alert.pointer("/status/actions").and_then(Value::as_array);
    if let Some(action) = actions.and_then(|actions| actions.first()) {
        return Judged::Acted(action.get("name").and_then(Value::as_str).unwrap_or_default().to_owned());
    }
    match word("/status/opsStatus/triggerStatus") {
        "" => Judged::NotYet,
        "RuleNotFound" => Judged::Unmatched(why()),
        "DryRun" => Judged::Rehearsed { rule: rule() },
        "Triggered" => Judged::Acted(rule()),
        _ => Judged::Held { rule: rule(), why: why() },
    }
}

async fn follow(world: &World, name: &str, began: Instant, patience: Duration, fired: &mut Fired) -> Finding {
    let alerts = world.place("aegis.io/v1alpha1", "AegisAlert", "aegisalerts");
    loop {
        let alert = alerts.get(&world.client, name).await;
        let alert = match alert.or_unknown(FAMILY, "stored") {
            Err(unknown) => return *unknown,
            Ok(alert) => alert.cloned().unwrap_or_default(),
        };
        if alert.is_object() {
            fired.hop("stored", began);
        }
        let outcome = judged(&alert);
        if !matches!(outcome, Judged::NotYet | Judged::Unmatched(_) | Judged::Acted(_)) {
            fired.hop("matched", began);
        }
        match outcome {
            Judged::NotYet => {}
            Judged::Unmatched(why) => {
                return Finding::ok(FAMILY, "judged", "it came through, and no rule is for it: nothing to rehearse")
                    .because(why);
            }
            Judged::Rehearsed { rule } => {
                fired.hop("rehearsed", began);
                return match made(world, &alert).await {
                    Ok(0) => Finding::ok(FAMILY, "rehearsed", format!("rule {rule} took it, and nothing was made")),
                    Ok(count) => {
                        Finding::failed(FAMILY, "rehearsed", format!("{count} objects were made of a test alert"))
                            .mend("stop Aegis with `kubectl aegis pause`, and report this")
                    }
                    Err(unknown) => *unknown,
                };
            }
            Judged::Held { rule, why } => {
                return Finding::warning(
                    FAMILY,
                    "rehearsed",
                    format!("rule {rule} is for it, and nothing could be rehearsed"),
                )
                .because(why)
                .mend("kubectl aegis rule lint; kubectl aegis template lint");
            }
            Judged::Acted(what) => {
                return Finding::failed(FAMILY, "rehearsed", format!("a test alert was acted on: {what}"))
                    .mend("stop Aegis with `kubectl aegis pause`, and report this");
            }
        }
        if began.elapsed() > patience {
            return Finding::failed(FAMILY, "judged", format!("nobody judged it within {} s", patience.as_secs()))
                .because("no replica leads, or the leader is busy")
                .mend(format!("kubectl logs -n {} -l {OURS} --tail=50", world.namespace));
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// How many Workflows and Jobs there are of that alert.
async fn made(world: &World, alert: &Value) -> Result<usize, Box<Finding>> {
    let uid = alert.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    let mut count = 0;
    for (version, kind, plural) in [("argoproj.io/v1alpha1", "Workflow", "workflows"), ("batch/v1", "Job", "jobs")] {
        let place = world.place(version, kind, plural);
        let found = place.list(&world.client, &format!("{ALERT_UID_LABEL}={uid}")).await;
        count += found.or_unknown(FAMILY, "rehearsed")?.map(Vec::len).unwrap_or_default();
    }
    Ok(count)
}

/// Removes the alert; a finding where it stays.
async fn clear_away(world: &World, name: &str) -> Option<Finding> {
    let alert = json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
        "metadata": {"name": name, "namespace": world.namespace}});
    let api = apply::api(&world.client, &alert);
    // That very one: somebody may have made another of its name.
    let uid = api.list_metadata(&ListParams::default().fields(&format!("metadata.name={name}"))).await;
    let uid = uid.ok().and_then(|found| found.items.into_iter().next()).and_then(|found| found.metadata.uid);
    let preconditions = Some(Preconditions { uid, resource_version: None });
    match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) if status.code == 404 => None,
        Err(error) => Some(
            Finding::warning(FAMILY, "removed", format!("the test alert {name} stays"))
                .because(error.to_string())
                .mend(format!("kubectl delete aegisalert {name} -n {}", world.namespace)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_alert_is_marked() {
        let marked = |node: Option<&str>| {
            let body = Test { type_: "T".into(), node: node.map(str::to_owned) }.body("f");
            body["details"]["aegis.io/test"] == "true" && body["status"] == "Firing"
        };
        assert!(marked(None) && marked(Some("n1")));
    }

    #[test]
    fn what_became_of_it_is_read_from_its_status() {
        let alert = |status: Value| json!({"status": status});
        let rule = json!({"namespace": "m", "name": "r"});
        let trigger = |word: &str| {
            alert(
                json!({"opsStatus": {"triggerStatus": word}, "rule": rule, "verdict": {"reason": "R", "message": "why"}}),
            )
        };
        let cases = [
            (json!({}), Judged::NotYet),
            (trigger("RuleNotFound"), Judged::Unmatched("R: why".into())),
            (trigger("DryRun"), Judged::Rehearsed { rule: "m/r".into() }),
            (trigger("TemplateNotFound"), Judged::Held { rule: "m/r".into(), why: "R: why".into() }),
            (trigger("Triggered"), Judged::Acted("m/r".into())),
            (
                alert(json!({"actions": [{"name": "w"}], "opsStatus": {"triggerStatus": "DryRun"}})),
                Judged::Acted("w".into()),
            ),
        ];
        for (alert, want) in cases {
            assert_eq!(judged(&alert), want, "{alert}");
        }
    }

    #[test]
    fn an_answer_names_the_alert_or_says_why_there_is_none() {
        let body = br#"{"code":200,"message":"","results":[{"index":0,"name":"a-1","result":"stored"}]}"#;
        assert_eq!(stored_name(200, body).as_deref(), Ok("a-1"));
        let repeat = br#"{"results":[{"result":"repeat","message":"m"}]}"#;
        assert!(stored_name(200, repeat).unwrap_err().contains("repeat"));
        assert!(stored_name(401, b"{}").unwrap_err().contains("--token-file"));
    }
}
