//! Follows an alert until its action has ended, and tells each turn on stderr.

use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_crds::alert::{AlertOpsStatus, TriggerStatus};
use futures::{StreamExt, TryStreamExt};
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};

use crate::failure::{Failure, Kind};
use crate::output;

/// How an alert stands, as far as somebody who waits for it is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Not there yet, and in what way.
    Waits(String),
    Succeeded,
    /// With what its executor said.
    Failed(String),
    /// A person said no, or it was taken back.
    Refused(String),
}

/// Returns when the action has succeeded.
///
/// # Errors
/// Findings if it failed, Refused if a person rejected it or it was taken back, Timeout if it has not ended in time.
pub(crate) async fn until_ended(alerts: &Api<AegisAlert>, name: &str, patience: Duration) -> anyhow::Result<()> {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut seen = watcher(alerts.clone(), only).default_backoff().applied_objects().boxed();
    let mut last = String::new();
    let ended = async {
        loop {
            let alert = match seen.try_next().await {
                Ok(Some(alert)) => alert,
                Ok(None) => return Standing::Refused("the watch ended".to_owned()),
                // The watcher tries again by itself, until patience ends.
                Err(_) => continue,
            };
            match standing(&alert) {
                Standing::Waits(how) => {
                    if how != last {
                        eprintln!("{how}");
                        last = how;
                    }
                }
                ended => return ended,
            }
        }
    };
    let ended = tokio::time::timeout(patience, ended).await;
    let failure = match ended {
        Ok(Standing::Succeeded) => {
            output::line(&format!("aegisalert.aegis.io/{name} succeeded"));
            return Ok(());
        }
        Ok(Standing::Failed(why)) => Failure::new(Kind::Findings, format!("{name} failed: {why}")),
        Ok(Standing::Refused(why)) => Failure::new(Kind::Refused, format!("{name} will not act: {why}")),
        Ok(Standing::Waits(how)) => Failure::new(Kind::Timeout, how),
        Err(_) => Failure::new(Kind::Timeout, format!("{name} has not ended within {} s", patience.as_secs()))
            .hint("it goes on by itself; `kubectl get aegisalert -o wide` shows how it stands"),
    };
    Err(failure.into())
}

fn standing(alert: &AegisAlert) -> Standing {
    let Some(status) = &alert.status else { return Standing::Waits("stored".to_owned()) };
    let ops = status.ops_status.clone().unwrap_or_default();
    let last = status.actions.last();
    let verdict = || {
        let verdict = status.verdict.clone().unwrap_or_default();
        format!("{}: {}", verdict.reason, verdict.message)
    };
    let name = last.map(|action| action.name.as_str()).unwrap_or_default();
    match (ops.alert_ops_status, ops.trigger_status) {
        (Some(AlertOpsStatus::Succeeded), _) => Standing::Succeeded,
        (Some(AlertOpsStatus::Failed), _) => {
            let said = last.map(|action| (action.reason.clone(), action.message.clone())).unwrap_or_default();
            let said: Vec<String> = [said.0, said.1].into_iter().flatten().collect();
            Standing::Failed(if said.is_empty() { name.to_owned() } else { said.join(": ") })
        }
        (_, Some(TriggerStatus::Withdrawn)) => Standing::Refused(verdict()),
        (_, Some(TriggerStatus::Held)) if status.verdict.as_ref().is_some_and(|v| v.reason == "Declined") => {
            Standing::Refused(verdict())
        }
        (Some(AlertOpsStatus::Running), _) => Standing::Waits(format!("{name} runs")),
        (Some(AlertOpsStatus::Pending), _) => Standing::Waits(format!("{name} begins")),
        (None, Some(trigger)) => Standing::Waits(format!("{trigger:?}: {}", verdict())),
        (None, None) => Standing::Waits("stored".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_turn_is_told_as_what_it_is() {
        let waits = |text: &str| Standing::Waits(text.to_owned());
        let ops = |ops: &str| {
            json!({"opsStatus": {"triggerStatus": "Triggered", "alertOpsStatus": ops},
            "actions": [{"phase": "Firing", "attempt": 1, "name": "w", "reason": "WorkflowFailed", "message": "exit code 3"}]})
        };
        let held = |reason: &str| json!({"opsStatus": {"triggerStatus": "Held"}, "verdict": {"reason": reason, "message": "why"}});
        let cases = [
            (Value::Null, waits("stored")),
            (ops("Pending"), waits("w begins")),
            (ops("Running"), waits("w runs")),
            (ops("Succeeded"), Standing::Succeeded),
            (ops("Failed"), Standing::Failed("WorkflowFailed: exit code 3".into())),
            (held("NeedsApproval"), waits("Held: NeedsApproval: why")),
            (held("Declined"), Standing::Refused("Declined: why".into())),
        ];
        for (status, want) in cases {
            let alert = json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {"name": "a"},
                "spec": {"type": "Sop", "status": "Firing", "involvedObject": {"kind": "Node", "name": "n"}},
                "status": status});
            let alert: AegisAlert = serde_json::from_value(alert).unwrap();
            assert_eq!(standing(&alert), want);
        }
    }
}
