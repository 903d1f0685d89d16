//! Step 5 of the loop: what the state of a Workflow or Job means for its alert.

use aegis_crds::alert::AlertOpsStatus;
use k8s_openapi::api::batch::v1::JobStatus;

/// How an action stands according to its executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How it stands.
    pub status: AlertOpsStatus,
    /// Whether its executor has said anything about it yet.
    pub picked_up: bool,
    /// One word on how it ended, if not well.
    pub reason: Option<String>,
    /// What the executor said of its end.
    pub message: Option<String>,
}

impl Standing {
    /// Nobody has picked it up.
    pub fn waiting() -> Self {
        Self { status: AlertOpsStatus::Pending, picked_up: false, reason: None, message: None }
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        matches!(self.status, AlertOpsStatus::Failed | AlertOpsStatus::Succeeded)
    }

    fn at(status: AlertOpsStatus) -> Self {
        Self { status, picked_up: true, ..Self::waiting() }
    }

    fn failed(reason: &str, message: Option<String>) -> Self {
        Self { reason: Some(reason.to_owned()), message: message.map(shortened), ..Self::at(AlertOpsStatus::Failed) }
    }
}

/// What Argo's phase says, from the label or from `status.phase`, with `status.message` where that is known.
///
/// A phase that Argo adds one day counts as under way: an end must be certain before it is told.
pub fn of_workflow(phase: Option<&str>, message: Option<&str>) -> Standing {
    let message = || message.filter(|text| !text.is_empty()).map(str::to_owned);
    match phase.unwrap_or_default() {
        "" => Standing::waiting(),
        "Pending" => Standing::at(AlertOpsStatus::Pending),
        "Succeeded" => Standing::at(AlertOpsStatus::Succeeded),
        "Failed" => Standing::failed("WorkflowFailed", message()),
        "Error" => Standing::failed("WorkflowError", message()),
        _ => Standing::at(AlertOpsStatus::Running),
    }
}

/// What a Job's conditions and counts say.
pub fn of_job(status: &JobStatus) -> Standing {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let holds =
        |type_: &str| conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True");
    if let Some(failed) = holds("Failed") {
        let said = [failed.reason.as_deref(), failed.message.as_deref()];
        let said: Vec<&str> = said.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        return Standing::failed("JobFailed", Some(said.join(": ")).filter(|text| !text.is_empty()));
    }
    if holds("Complete").is_some() {
        return Standing::at(AlertOpsStatus::Succeeded);
    }
    let pods = [status.active, status.succeeded, status.failed].into_iter().flatten().any(|count| count > 0);
    if pods {
        Standing::at(AlertOpsStatus::Running)
    } else if status.start_time.is_some() || !conditions.is_empty() {
        Standing::at(AlertOpsStatus::Pending)
    } else {
        Standing::waiting()
    }
}

/// An executor's message cut to what a status should carry.
fn shortened(mut message: String) -> String {
    const LONGEST: usize = 1024;
    if let Some((at, _)) = message.char_indices().nth(LONGEST) {
        message.truncate(at);
        message.push_str("...");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlertOpsStatus::{Failed, Pending, Running, Succeeded};
    use serde_json::json;

    #[test]
    fn argos_phases_become_the_words_of_an_alert() {
        let cases = [
            (None, Pending, false, None, "the workflow-controller has not seen it"),
            (Some(""), Pending, false, None, "the label is there and empty"),
            (Some("Pending"), Pending, true, None, "seen, no pod yet"),
            (Some("Running"), Running, true, None, "under way"),
            (Some("Succeeded"), Succeeded, true, None, "ended well"),
            (Some("Failed"), Failed, true, Some("WorkflowFailed"), "a step failed"),
            (Some("Error"), Failed, true, Some("WorkflowError"), "Argo itself could not go on"),
            (Some("Paused"), Running, true, None, "a phase that is not known is not an end"),
        ];
        for (phase, status, picked_up, reason, why) in cases {
            let standing = of_workflow(phase, None);
            assert_eq!(
                (standing.status, standing.picked_up, standing.reason.as_deref()),
                (status, picked_up, reason),
                "{why}"
            );
        }
    }

    #[test]
    fn a_job_ends_only_by_a_condition() {
        let condition = |type_: &str, status: &str| json!({"conditions": [{"type": type_, "status": status}]});
        let cases = [
            (json!({}), Pending, false, "the Job controller has not seen it"),
            (json!({"startTime": "2026-11-22T12:00:00Z"}), Pending, true, "seen, no pod yet"),
            (json!({"active": 1}), Running, true, "a pod"),
            (json!({"failed": 1}), Running, true, "a pod failed, another may be tried"),
            (condition("Complete", "True"), Succeeded, true, "ended well"),
            (condition("Complete", "False"), Pending, true, "a condition that does not hold"),
            (condition("Failed", "True"), Failed, true, "ended badly"),
            (condition("Suspended", "True"), Pending, true, "held by its author"),
            (condition("FailureTarget", "True"), Pending, true, "it will fail, but its pods have not ended"),
        ];
        for (status, want, picked_up, why) in cases {
            let standing = of_job(&serde_json::from_value(status).unwrap());
            assert_eq!((standing.status, standing.picked_up), (want, picked_up), "{why}");
        }
    }

    #[test]
    fn the_executors_words_are_kept_but_not_at_any_length() {
        let failed = json!({"conditions": [
            {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached it"}
        ]});
        let job = of_job(&serde_json::from_value(failed).unwrap());
        assert_eq!(job.message.as_deref(), Some("BackoffLimitExceeded: Job has reached it"));
        let workflow = of_workflow(Some("Failed"), Some(&"é".repeat(5000)));
        assert_eq!(workflow.message.unwrap().chars().count(), 1024 + 3);
    }
}
