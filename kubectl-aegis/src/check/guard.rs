//! What holds actions back: the guard's policy, pauses, the breaker, and the policies that keep people honest.

use aegis_crds::AegisGuard;
use aegis_crds::conditions::ConditionType;
use aegis_crds::names::GUARD_NAME;
use aegis_engine::guard::Pauses;
use aegis_engine::scope::ObjectName;
use jiff::Timestamp;
use serde_json::Value;

use super::ask::{Asked, Place};
use super::finding::Finding;
use super::world::World;

const FAMILY: &str = "guard";
const ADMISSION: &str = "admission";
/// The policies that are shipped, and what does not hold without them.
const POLICIES: [(&str, &str); 2] =
    [("aegis-approval", "approvals do not count"), ("aegis-request", "anybody may ask in somebody else's name")];

/// What was read.
pub(super) struct Seen {
    pub(super) namespace: String,
    pub(super) guard: Asked<Value>,
    /// Of each shipped policy: itself, and its binding.
    pub(super) policies: Vec<(Asked<Value>, Asked<Value>)>,
    pub(super) now: Timestamp,
}

pub(super) async fn look(world: &World) -> Seen {
    let of = |kind, plural| Place { version: "admissionregistration.k8s.io/v1", kind, plural, namespace: None };
    let policy = of("ValidatingAdmissionPolicy", "validatingadmissionpolicies");
    let binding = of("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings");
    let guards = world.place("aegis.io/v1alpha1", "AegisGuard", "aegisguards");
    let mut policies = Vec::new();
    let guard = guards.get(&world.client, GUARD_NAME).await;
    for (name, _) in POLICIES {
        policies.push(futures::join!(policy.get(&world.client, name), binding.get(&world.client, name)));
    }
    Seen { namespace: world.namespace.clone(), guard, policies, now: world.now }
}

pub(super) fn judge(seen: &Seen) -> Vec<Finding> {
    let mut findings = match seen.guard.or_unknown(FAMILY, "policy") {
        Err(unknown) => vec![*unknown],
        Ok(None) => vec![
            Finding::failed(FAMILY, "policy", "there is no AegisGuard aegis: nothing but recovery begins")
                .because("the controller makes it once it leads")
                .mend(format!("kubectl aegis install -n {}", seen.namespace)),
        ],
        Ok(Some(guard)) => of_guard(guard, seen),
    };
    for ((name, without), (policy, binding)) in POLICIES.into_iter().zip(&seen.policies) {
        findings.push(admitted(name, without, policy, binding));
    }
    findings
}

fn of_guard(guard: &Value, seen: &Seen) -> Vec<Finding> {
    let namespace = &seen.namespace;
    let guard: AegisGuard = match serde_json::from_value(guard.clone()) {
        Ok(guard) => guard,
        Err(error) => {
            return vec![
                Finding::failed(FAMILY, "policy", "it cannot be read, so everything is held")
                    .because(error.to_string())
                    .mend(format!("kubectl edit aegisguard aegis -n {namespace}")),
            ];
        }
    };
    let status = guard.status.clone().unwrap_or_default();
    let flaw = status.conditions.iter().find(|one| one.type_ == ConditionType::Valid.as_str());
    let mut findings = vec![match status.status.as_deref() {
        Some("Recorded") => Finding::ok(FAMILY, "policy", "it is valid and in force"),
        Some(_) => Finding::failed(FAMILY, "policy", "it is invalid")
            .because(flaw.and_then(|flaw| flaw.message.clone()).unwrap_or_default().replace('\n', "; "))
            .mend(format!("kubectl edit aegisguard aegis -n {namespace}")),
        None => Finding::failed(FAMILY, "policy", "nobody has judged it yet")
            .because("no controller leads")
            .mend("see the checks of the controller"),
    }];
    let pauses = Pauses::of(&guard.spec, guard.metadata.annotations.as_ref());
    // What holds a rule that nobody wrote, on no target, holds everything.
    let all = pauses.holding(&ObjectName::new("", ""), &[], false, seen.now);
    findings.push(match (all, pauses.summary(seen.now)) {
        (Some(hold), _) => Finding::failed(FAMILY, "pauses", hold.to_string())
            .because("somebody wanted it so")
            .mend(format!("kubectl aegis resume -n {namespace}")),
        (None, Some(what)) => Finding::warning(FAMILY, "pauses", format!("paused: {what}"))
            .mend(format!("kubectl aegis guard -n {namespace}")),
        (None, None) => Finding::ok(FAMILY, "pauses", "nothing is paused"),
    });
    let open = status.breaker.as_ref().is_some_and(|breaker| {
        serde_json::to_value(breaker).is_ok_and(|breaker| breaker.get("state").is_some_and(|state| state == "Open"))
    });
    findings.push(if open {
        Finding::failed(FAMILY, "breaker", "it is open: nothing but recovery begins")
            .because("more actions began in a short time than may")
            .mend(format!("kubectl aegis guard -n {namespace}; kubectl aegis resume breaker -n {namespace}"))
    } else {
        Finding::ok(FAMILY, "breaker", "it is closed")
    });
    findings
}

fn admitted(name: &'static str, without: &str, policy: &Asked<Value>, binding: &Asked<Value>) -> Finding {
    let absent = |what: String| {
        Finding::warning(ADMISSION, name, format!("{what}: {without}"))
            .because("it was left out, or somebody changed it; it takes Kubernetes 1.30")
            .mend("kubectl aegis upgrade --force-conflicts")
    };
    let (policy, binding) = match (policy.or_unknown(ADMISSION, name), binding.or_unknown(ADMISSION, name)) {
        (Err(unknown), _) | (_, Err(unknown)) => return *unknown,
        (Ok(policy), Ok(binding)) => (policy, binding),
    };
    let Some(policy) = policy else { return absent(format!("ValidatingAdmissionPolicy {name} is not there")) };
    if policy.pointer("/spec/failurePolicy").is_some_and(|word| word == "Ignore") {
        return absent(format!("ValidatingAdmissionPolicy {name} is ignored where it fails"));
    }
    let bound = binding.and_then(|binding| binding.get("spec")).is_some_and(|spec| {
        let actions = spec.get("validationActions").and_then(Value::as_array).into_iter().flatten();
        spec.get("policyName").is_some_and(|of| of == name)
            && spec.get("matchResources").is_none()
            && actions.into_iter().any(|action| action == "Deny")
    });
    if !bound {
        return absent(format!("ValidatingAdmissionPolicy {name} is not bound, or not for all"));
    }
    Finding::ok(ADMISSION, name, "it is bound and denies")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::finding::Status;

    fn guard(spec: Value, status: Value) -> Asked<Value> {
        Asked::Known(json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisGuard", "metadata": {"name": "aegis"},
            "spec": spec, "status": status}))
    }

    fn well() -> Seen {
        let of = |name: &str| {
            (
                Asked::Known(json!({"spec": {"failurePolicy": "Fail"}})),
                Asked::Known(json!({"spec": {"policyName": name, "validationActions": ["Deny"]}})),
            )
        };
        Seen {
            namespace: "monitoring".into(),
            guard: guard(json!({}), json!({"status": "Recorded"})),
            policies: POLICIES.iter().map(|(name, _)| of(name)).collect(),
            now: "2026-11-22T12:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_guard_that_lets_work_go_on_is_fine() {
        let found = judge(&well());
        assert!(found.iter().all(|finding| finding.status == Status::Ok), "{found:?}");
    }

    #[test]
    fn what_holds_actions_back_is_told() {
        let recorded = || json!({"status": "Recorded"});
        let pause = |target: &str| json!({"pauses": [{"target": target, "reason": "work"}]});
        let invalid = json!({"status": "Invalid", "conditions": [{"type": "Valid", "status": "False", "reason": "Invalid",
            "message": "spec.breaker: x", "lastTransitionTime": "2026-11-22T11:00:00Z"}]});
        let mut unbound = well();
        unbound.policies[0].1 = Asked::Missing;
        let mut denied = well();
        denied.policies[1].0 = Asked::Denied("get on x".into());
        let cases = [
            ("none", Seen { guard: Asked::Missing, ..well() }, Status::Failed, "there is no AegisGuard"),
            ("invalid", Seen { guard: guard(json!({}), invalid), ..well() }, Status::Failed, "it is invalid"),
            ("unjudged", Seen { guard: guard(json!({}), json!({})), ..well() }, Status::Failed, "nobody has judged it"),
            ("all", Seen { guard: guard(pause("all"), recorded()), ..well() }, Status::Failed, "everything is paused"),
            (
                "a node",
                Seen { guard: guard(pause("node/n1"), recorded()), ..well() },
                Status::Warning,
                "paused: node n1",
            ),
            (
                "the breaker",
                Seen { guard: guard(json!({}), json!({"status": "Recorded", "breaker": {"state": "Open"}})), ..well() },
                Status::Failed,
                "it is open",
            ),
            (
                "unbound",
                unbound,
                Status::Warning,
                "aegis-approval is not bound, or not for all: approvals do not count",
            ),
            ("denied", denied, Status::Unknown, "get on x"),
        ];
        for (why, seen, status, part) in cases {
            let found = judge(&seen);
            assert!(found.iter().any(|one| one.status == status && one.message.contains(part)), "{why}: {found:?}");
        }
    }
}
