//! Whether approvals can be trusted: only where the cluster admits an approval from nobody but the person whom it names.

use aegis_engine::guard::Approvals;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::api::Api;

use crate::context::Lead;

/// The policy that Aegis ships, and its binding.
const POLICY: &str = "aegis-approval";
const REMEDY: &str = "apply manifest/deploy/approval-policy.yaml";

/// Asks the API server whether the policy is there and bound.
pub async fn approvals(lead: &Lead) -> Approvals {
    let client = &lead.context.client;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let not_kept = |why: String| Approvals::NotKept(format!("{why}: {REMEDY}"));
    let unknown = |why: String| Approvals::Unknown(format!("{why}: {REMEDY}"));
    let policy = match lead.request(policies.get_opt(POLICY)).await {
        Ok(policy) => policy,
        Err(failure) => return unknown(format!("ValidatingAdmissionPolicy {POLICY} cannot be read ({failure})")),
    };
    let binding = match lead.request(bindings.get_opt(POLICY)).await {
        Ok(binding) => binding,
        Err(failure) => return unknown(format!("the binding {POLICY} cannot be read ({failure})")),
    };
    if policy.and_then(|policy| policy.spec).is_none_or(|spec| spec.failure_policy.as_deref() == Some("Ignore")) {
        return not_kept(format!("ValidatingAdmissionPolicy {POLICY} is not in force"));
    }
    let denies = binding.and_then(|binding| binding.spec).is_some_and(|spec| {
        spec.policy_name.as_deref() == Some(POLICY)
            && spec.match_resources.is_none()
            && spec.validation_actions.is_some_and(|actions| actions.iter().any(|action| action == "Deny"))
    });
    if denies { Approvals::Kept } else { not_kept(format!("ValidatingAdmissionPolicy {POLICY} is not bound")) }
}
