//! What a Job needs next: pods to make, pods to delete, and its status. Pure; the driver carries it out.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::pod;

/// The pause after the first failed pod; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
const DEFAULT_BACKOFF_LIMIT: i32 = 6;
/// The only value of spec.managedBy under which the cluster's own controller acts.
const CONTROLLER: &str = "kubernetes.io/job-controller";

/// What to do for a Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) make: Vec<Pod>,
    /// Names of pods to delete.
    pub(crate) delete: Vec<String>,
    /// The status to write, if it is another than what stands.
    pub(crate) status: Option<JobStatus>,
    /// When to look again even if nothing else changes.
    pub(crate) look_again: Option<Timestamp>,
    /// Whether the Job has outlived its ttlSecondsAfterFinished.
    pub(crate) expired: bool,
}

/// How a Job is to end.
#[derive(Clone, Debug, PartialEq)]
struct Verdict {
    interim: &'static str,
    last: &'static str,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn failed(reason: &'static str, message: impl Into<String>) -> Self {
        Self { interim: "FailureTarget", last: "Failed", reason, message: message.into() }
    }
}

/// Decides for `job` and the pods that it owns. `longest_backoff` cuts the pauses between failing pods.
pub(crate) fn plan(job: &Job, pods: &[Pod], now: Timestamp, longest_backoff: Duration) -> Plan {
    let spec = job.spec.clone().unwrap_or_default();
    let before = job.status.clone().unwrap_or_default();
    if spec.managed_by.as_deref().is_some_and(|manager| manager != CONTROLLER) {
        return Plan::default();
    }
    if let Some(ended) = ["Complete", "Failed"].iter().find_map(|type_| condition(&before, type_)) {
        return expire(spec.ttl_seconds_after_finished, ended, now);
    }
    let count = Counts::of(pods, &before, spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()));
    let suspended = spec.suspend.unwrap_or(false);
    let mut status =
        JobStatus { uncounted_terminated_pods: Some(UncountedTerminatedPods::default()), ..before.clone() };
    status.start_time = if suspended { None } else { before.start_time.clone().or(Some(Time(now))) };
    status.succeeded = positive(count.succeeded);
    status.failed = positive(count.failed);
    status.ready = Some(count.ready);
    status.terminating = Some(count.terminating);

    let mut plan = Plan::default();
    let mut look_again: Option<Timestamp> = None;
    let mut at = |time: Timestamp| look_again = Some(look_again.map_or(time, |other: Timestamp| other.min(time)));
    let verdict = verdict(job, &status, &count, now, &mut at);
    let mut active = count.active.clone();
    if let Some(verdict) = &verdict {
        set(&mut status, verdict.interim, "True", verdict.reason, &verdict.message, now);
        plan.delete.append(&mut active);
        if plan.delete.is_empty() && count.terminating == 0 {
            set(&mut status, verdict.last, "True", verdict.reason, &verdict.message, now);
            if verdict.last == "Complete" {
                status.completion_time = Some(Time(now));
            }
            if let Some(ttl) = spec.ttl_seconds_after_finished {
                at(later(now, Duration::from_secs(u64::try_from(ttl).unwrap_or(0))));
            }
        }
    } else if suspended {
        plan.delete.append(&mut active);
        set(&mut status, "Suspended", "True", "JobSuspended", "Job suspended", now);
    } else {
        if condition(&status, "Suspended").is_some() {
            set(&mut status, "Suspended", "False", "JobResumed", "Job resumed", now);
        }
        let wanted = wanted(&spec, &count);
        let surplus = active.len().saturating_sub(wanted);
        plan.delete.extend(active.drain(..surplus));
        let missing = wanted.saturating_sub(active.len());
        match pause(&count, longest_backoff).filter(|until| missing > 0 && now < *until) {
            Some(until) => at(until),
            None => {
                plan.make = pod::new(job, pods, missing);
                active.extend(plan.make.iter().filter_map(|pod| pod.metadata.name.clone()));
            }
        }
    }
    status.active = positive(i32::try_from(active.len()).unwrap_or(i32::MAX));
    plan.status = (status != before).then_some(status);
    plan.look_again = look_again;
    plan
}

fn verdict(
    job: &Job,
    status: &JobStatus,
    count: &Counts,
    now: Timestamp,
    at: &mut impl FnMut(Timestamp),
) -> Option<Verdict> {
    if let Some(target) = condition(status, "FailureTarget") {
        return Some(Verdict {
            message: target.message.clone().unwrap_or_default(),
            ..Verdict::failed(known_reason(target), "")
        });
    }
    let spec = job.spec.as_ref()?;
    let unknown = [
        (spec.completion_mode.as_deref() == Some("Indexed"), "spec.completionMode Indexed"),
        (spec.pod_failure_policy.is_some(), "spec.podFailurePolicy"),
        (spec.success_policy.is_some(), "spec.successPolicy"),
        (spec.backoff_limit_per_index.is_some(), "spec.backoffLimitPerIndex"),
    ];
    if let Some((_, field)) = unknown.iter().find(|(asked, _)| *asked) {
        return Some(Verdict::failed("NotRun", format!("the sandbox does not run {field}")));
    }
    let enough = match spec.completions {
        Some(completions) => count.succeeded >= completions,
        None if spec.parallelism.is_some() => count.succeeded > 0 && count.active.is_empty(),
        None => count.succeeded >= 1,
    };
    if enough {
        return Some(Verdict {
            interim: "SuccessCriteriaMet",
            last: "Complete",
            reason: "CompletionsReached",
            message: "Reached expected number of succeeded pods".to_owned(),
        });
    }
    if count.failures > spec.backoff_limit.unwrap_or(DEFAULT_BACKOFF_LIMIT) {
        return Some(Verdict::failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
    }
    let started = status.start_time.as_ref()?.0;
    let deadline = later(started, Duration::from_secs(u64::try_from(spec.active_deadline_seconds?).unwrap_or(0)));
    if now < deadline {
        at(deadline);
        return None;
    }
    Some(Verdict::failed("DeadlineExceeded", "Job was active longer than specified deadline"))
}

/// Reasons are static so that no other than these can be written; a target written before keeps its own.
fn known_reason(target: &JobCondition) -> &'static str {
    match target.reason.as_deref() {
        Some("DeadlineExceeded") => "DeadlineExceeded",
        Some("NotRun") => "NotRun",
        _ => "BackoffLimitExceeded",
    }
}

fn wanted(spec: &k8s_openapi::api::batch::v1::JobSpec, count: &Counts) -> usize {
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = match (spec.completions, spec.parallelism) {
        (Some(completions), _) => parallelism.min(completions - count.succeeded),
        // A work queue: once one pod has succeeded the others finish and no new one starts.
        (None, Some(_)) if count.succeeded > 0 => i32::try_from(count.active.len()).unwrap_or(i32::MAX),
        _ => parallelism,
    };
    usize::try_from(wanted).unwrap_or(0)
}

fn pause(count: &Counts, longest: Duration) -> Option<Timestamp> {
    let doublings = u32::try_from(count.failed.checked_sub(1)?).ok()?.min(16);
    let wait = FIRST_BACKOFF.saturating_mul(1 << doublings).min(longest);
    Some(later(count.last_failure?, wait))
}

fn expire(ttl: Option<i32>, ended: &JobCondition, now: Timestamp) -> Plan {
    let Some(ttl) = ttl else { return Plan::default() };
    let ended = ended.last_transition_time.as_ref().map_or(now, |time| time.0);
    let due = later(ended, Duration::from_secs(u64::try_from(ttl).unwrap_or(0)));
    if now < due {
        Plan { look_again: Some(due), ..Plan::default() }
    } else {
        Plan { expired: true, ..Plan::default() }
    }
}

/// How the pods of a Job stand.
#[derive(Clone, Debug, Default)]
struct Counts {
    active: Vec<String>,
    ready: i32,
    terminating: i32,
    succeeded: i32,
    failed: i32,
    /// What counts against the backoff limit: failed pods and containers started again in place.
    failures: i32,
    last_failure: Option<Timestamp>,
}

impl Counts {
    fn of(pods: &[Pod], before: &JobStatus, restart_policy: Option<&str>) -> Self {
        let mut counts = Self::default();
        let mut restarts = 0;
        for pod in pods {
            let status = pod.status.clone().unwrap_or_default();
            match status.phase.as_deref() {
                Some("Succeeded") => counts.succeeded += 1,
                Some("Failed") => {
                    counts.failed += 1;
                    counts.last_failure = counts.last_failure.max(ended_at(&status).or(Some(Timestamp::UNIX_EPOCH)));
                }
                _ if pod.metadata.deletion_timestamp.is_some() => counts.terminating += 1,
                phase => {
                    counts.active.extend(pod.metadata.name.clone());
                    counts.ready += i32::from(phase == Some("Running"));
                    restarts += status
                        .container_statuses
                        .iter()
                        .flatten()
                        .map(|container| container.restart_count)
                        .sum::<i32>();
                }
            }
        }
        // Pods that were deleted after they were counted stay counted.
        counts.succeeded = counts.succeeded.max(before.succeeded.unwrap_or(0));
        counts.failed = counts.failed.max(before.failed.unwrap_or(0));
        counts.failures = counts.failed + if restart_policy == Some("OnFailure") { restarts } else { 0 };
        counts.active.sort();
        counts
    }
}

fn ended_at(status: &k8s_openapi::api::core::v1::PodStatus) -> Option<Timestamp> {
    let states = status
        .container_statuses
        .iter()
        .flatten()
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref());
    states.filter_map(|state| state.finished_at.as_ref()).map(|time| time.0).max()
}

fn condition<'a>(status: &'a JobStatus, type_: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == type_ && condition.status == "True")
}

fn set(status: &mut JobStatus, type_: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter_mut().find(|condition| condition.type_ == type_);
    if known.as_ref().is_some_and(|condition| condition.status == value) {
        return;
    }
    let fresh = JobCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    };
    match known {
        Some(known) => *known = fresh,
        None => conditions.push(fresh),
    }
}

fn positive(count: i32) -> Option<i32> {
    (count > 0).then_some(count)
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const LONGEST: Duration = Duration::from_secs(360);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000 + seconds).unwrap()
    }

    fn job(spec: Value, status: Value) -> Job {
        let mut all = json!({"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(
            json!({"metadata": {"name": "j", "namespace": "ns", "uid": "u"}, "spec": all, "status": status}),
        )
        .unwrap()
    }

    fn pod(name: &str, phase: &str, more: Value) -> Pod {
        let mut value = json!({"metadata": {"name": name}, "status": {"phase": phase, "containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:16:40Z"}}}]}});
        for (key, field) in more.as_object().unwrap() {
            *value.pointer_mut(key).unwrap() = field.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn ended(phase: &str) -> Pod {
        pod(&format!("j-{phase}"), phase, json!({}))
    }

    /// What a plan comes to: pods made, pods deleted, true conditions, counts, next look.
    fn shown(plan: &Plan) -> String {
        let status = plan.status.clone().unwrap_or_default();
        let conditions: Vec<String> = status
            .conditions
            .iter()
            .flatten()
            .map(|condition| {
                format!("{}={}:{}", condition.type_, condition.status, condition.reason.as_deref().unwrap_or(""))
            })
            .collect();
        let counts = [status.active, status.succeeded, status.failed].map(Option::unwrap_or_default);
        let again = plan.look_again.map(|time| time.as_second() - 1_000);
        format!("make {} delete {} {conditions:?} {counts:?} again {again:?}", plan.make.len(), plan.delete.len())
    }

    #[test]
    fn a_job_goes_its_way() {
        let cases = [
            ("new", json!({}), json!({}), vec![], "make 1 delete 0 [] [1, 0, 0] again None"),
            ("its pod runs", json!({}), json!({}), vec![ended("Running")], "make 0 delete 0 [] [1, 0, 0] again None"),
            (
                "its pod succeeded",
                json!({}),
                json!({}),
                vec![ended("Succeeded")],
                "make 0 delete 0 [\"SuccessCriteriaMet=True:CompletionsReached\", \"Complete=True:CompletionsReached\"] [0, 1, 0] again None",
            ),
            (
                "a failed pod is followed after a pause",
                json!({"backoffLimit": 2}),
                json!({}),
                vec![ended("Failed")],
                "make 0 delete 0 [] [0, 0, 1] again Some(10)",
            ),
            (
                "the backoff limit",
                json!({"backoffLimit": 0}),
                json!({}),
                vec![ended("Failed")],
                "make 0 delete 0 [\"FailureTarget=True:BackoffLimitExceeded\", \"Failed=True:BackoffLimitExceeded\"] [0, 0, 1] again None",
            ),
            (
                "it has three to do, two at a time",
                json!({"completions": 3, "parallelism": 2}),
                json!({}),
                vec![ended("Succeeded")],
                "make 2 delete 0 [] [2, 1, 0] again None",
            ),
            (
                "suspended",
                json!({"suspend": true}),
                json!({}),
                vec![ended("Running")],
                "make 0 delete 1 [\"Suspended=True:JobSuspended\"] [0, 0, 0] again None",
            ),
            (
                "resumed",
                json!({"suspend": false}),
                json!({"conditions": [{"type": "Suspended", "status": "True"}]}),
                vec![],
                "make 1 delete 0 [\"Suspended=False:JobResumed\"] [1, 0, 0] again None",
            ),
            (
                "a deadline to come",
                json!({"activeDeadlineSeconds": 30}),
                json!({}),
                vec![ended("Running")],
                "make 0 delete 0 [] [1, 0, 0] again Some(30)",
            ),
            (
                "a deadline that passed: its pods go first",
                json!({"activeDeadlineSeconds": 30}),
                json!({"startTime": "1970-01-01T00:16:00Z"}),
                vec![ended("Running")],
                "make 0 delete 1 [\"FailureTarget=True:DeadlineExceeded\"] [0, 0, 0] again None",
            ),
            (
                "then it has failed",
                json!({"activeDeadlineSeconds": 30}),
                json!({"startTime": "1970-01-01T00:16:00Z", "conditions": [{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}]}),
                vec![],
                "make 0 delete 0 [\"FailureTarget=True:DeadlineExceeded\", \"Failed=True:DeadlineExceeded\"] [0, 0, 0] again None",
            ),
            (
                "what the sandbox does not run",
                json!({"completionMode": "Indexed"}),
                json!({}),
                vec![],
                "make 0 delete 0 [\"FailureTarget=True:NotRun\", \"Failed=True:NotRun\"] [0, 0, 0] again None",
            ),
            (
                "another controller's",
                json!({"managedBy": "kueue"}),
                json!({}),
                vec![],
                "make 0 delete 0 [] [0, 0, 0] again None",
            ),
            (
                "ended and kept for a while",
                json!({"ttlSecondsAfterFinished": 60}),
                json!({"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "1970-01-01T00:16:40Z"}]}),
                vec![ended("Succeeded")],
                "make 0 delete 0 [] [0, 0, 0] again Some(60)",
            ),
        ];
        for (why, spec, status, pods, want) in cases {
            assert_eq!(shown(&plan(&job(spec, status), &pods, at(0), LONGEST)), want, "{why}");
        }
    }

    #[test]
    fn restarts_in_place_count_against_the_limit() {
        let mut job = job(json!({"backoffLimit": 1}), json!({}));
        job.spec.as_mut().unwrap().template.spec.as_mut().unwrap().restart_policy = Some("OnFailure".into());
        let running =
            |restarts: i32| pod("j-1", "Running", json!({"/status/containerStatuses/0/restartCount": restarts}));
        assert_eq!(plan(&job, &[running(1)], at(0), LONGEST).delete.len(), 0);
        assert_eq!(plan(&job, &[running(2)], at(0), LONGEST).delete, ["j-1"]);
    }

    #[test]
    fn an_ended_job_goes_when_its_time_is_over_and_not_before() {
        let done =
            json!({"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "1970-01-01T00:16:40Z"}]});
        let job = job(json!({"ttlSecondsAfterFinished": 60}), done);
        assert!(!plan(&job, &[], at(59), LONGEST).expired);
        assert!(plan(&job, &[], at(60), LONGEST).expired);
    }

    #[test]
    fn the_second_look_at_the_same_world_changes_nothing() {
        let mut job = job(json!({"backoffLimit": 2}), json!({}));
        let first = plan(&job, &[], at(0), LONGEST);
        job.status = first.status;
        let second = plan(&job, &first.make, at(5), LONGEST);
        assert_eq!(second, Plan::default());
    }
}
