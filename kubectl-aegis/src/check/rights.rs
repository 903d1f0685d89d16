//! Rights: may the controller and the procedures do what their shipped roles grant, and may somebody install.

use futures::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::Value;

use super::ask::Asked;
use super::finding::Finding;
use crate::apply;
use crate::failure::Failure;
use crate::install::shipped::{Wanted, kind};

const FAMILY: &str = "rights";
/// How many are asked at the same time.
const AT_ONCE: usize = 8;
/// How many missing rights are told.
const TOLD: usize = 5;

/// A right as a role grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Right {
    verb: String,
    group: String,
    /// With its subresource behind a '/'.
    resource: String,
    /// Empty for all of them.
    name: String,
    /// None for the whole cluster.
    namespace: Option<String>,
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let name = if self.name.is_empty() { String::new() } else { format!(" {}", self.name) };
        write!(f, "{} on {}{group}{name}", self.verb, self.resource)?;
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => f.write_str(" in the whole cluster"),
        }
    }
}

/// Whose rights were asked for, and which are missing.
pub(super) struct Seen {
    pub(super) who: String,
    pub(super) missing: Asked<Vec<Right>>,
    pub(super) asked: usize,
}

/// What the shipped roles of that name grant.
pub(super) fn granted(role: &str, namespace: &str) -> Result<Vec<Right>, Failure> {
    let mut rights = Vec::new();
    for object in Wanted::everything(namespace).objects()? {
        let place = match kind(&object) {
            "Role" => Some(namespace.to_owned()),
            "ClusterRole" => None,
            _ => continue,
        };
        if apply::name(&object) != role {
            continue;
        }
        for rule in object.get("rules").and_then(Value::as_array).into_iter().flatten() {
            rights.extend(of_rule(rule, place.as_deref()));
        }
    }
    Ok(rights)
}

/// What it takes to install.
pub(super) fn to_install(namespace: &str) -> Result<Vec<Right>, Failure> {
    let mut rights: Vec<Right> = Vec::new();
    let wanted = Wanted { monitoring: false, ..Wanted::everything(namespace) };
    for object in wanted.objects()? {
        let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let group = word("/apiVersion").split_once('/').map(|(group, _)| group).unwrap_or_default();
        let plural = match kind(&object).to_lowercase() {
            kind if kind.ends_with("policy") => format!("{}ies", kind.trim_end_matches('y')),
            kind => format!("{kind}s"),
        };
        for verb in ["get", "create", "patch"] {
            let right = Right {
                verb: verb.to_owned(),
                group: group.to_owned(),
                resource: plural.clone(),
                name: String::new(),
                namespace: object.pointer("/metadata/namespace").and_then(Value::as_str).map(str::to_owned),
            };
            if !rights.contains(&right) {
                rights.push(right);
            }
        }
    }
    Ok(rights)
}

fn of_rule(rule: &Value, namespace: Option<&str>) -> Vec<Right> {
    let words = |key: &str| -> Vec<String> {
        let list = rule.get(key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut names = words("resourceNames");
    if names.is_empty() {
        names.push(String::new());
    }
    let mut rights = Vec::new();
    for group in words("apiGroups") {
        for resource in words("resources") {
            for verb in words("verbs") {
                rights.extend(names.iter().map(|name| Right {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                    namespace: namespace.map(str::to_owned),
                }));
            }
        }
    }
    rights
}

/// Asks for a ServiceAccount of that namespace; for whoever asks without one.
pub(super) async fn look(client: &Client, account: Option<&str>, namespace: &str, rights: Vec<Right>) -> Seen {
    let user = account.map(|account| format!("system:serviceaccount:{namespace}:{account}"));
    let who = account.map_or_else(|| "you".to_owned(), |account| format!("ServiceAccount {account}"));
    let asked = rights.len();
    let mut missing = Vec::new();
    // Whoever may not ask is not told so dozens of times.
    let mut rights = rights.into_iter();
    let first: Vec<Right> = rights.by_ref().take(1).collect();
    for part in [first, rights.collect()] {
        let answers = stream::iter(part).map(|right| {
            let user = user.clone();
            async move { (allowed(client, user, &right).await, right) }
        });
        for (answer, right) in answers.buffered(AT_ONCE).collect::<Vec<_>>().await {
            match answer {
                Asked::Known(true) => {}
                Asked::Known(false) => missing.push(right),
                other => return Seen { who, missing: other.map(|_| Vec::new()), asked },
            }
        }
    }
    Seen { who, missing: Asked::Known(missing), asked }
}

async fn allowed(client: &Client, user: Option<String>, right: &Right) -> Asked<bool> {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
    let word = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let attributes = ResourceAttributes {
        group: Some(right.group.clone()),
        resource: word(resource),
        subresource: word(subresource),
        name: word(&right.name),
        namespace: right.namespace.clone(),
        verb: word(&right.verb),
        ..ResourceAttributes::default()
    };
    let parameters = PostParams::default();
    match user {
        Some(user) => {
            let spec = SubjectAccessReviewSpec {
                user: Some(user),
                resource_attributes: Some(attributes),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let answer = Api::<SubjectAccessReview>::all(client.clone()).create(&parameters, &review).await;
            let answer = answer.map(|review| review.status.is_some_and(|status| status.allowed));
            Asked::of(answer, "create on subjectaccessreviews.authorization.k8s.io in the whole cluster")
        }
        None => {
            let spec = SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let answer = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&parameters, &review).await;
            let answer = answer.map(|review| review.status.is_some_and(|status| status.allowed));
            Asked::of(answer, "create on selfsubjectaccessreviews.authorization.k8s.io in the whole cluster")
        }
    }
}

pub(super) fn judge(seen: &Seen) -> Finding {
    let Seen { who, missing, asked } = seen;
    let missing = match missing.or_unknown(FAMILY, who) {
        Ok(missing) => missing.map(Vec::as_slice).unwrap_or_default(),
        Err(unknown) => return *unknown,
    };
    if missing.is_empty() {
        return Finding::ok(FAMILY, who, format!("all {asked} rights that it takes are granted"));
    }
    let told: Vec<String> = missing.iter().take(TOLD).map(ToString::to_string).collect();
    let more = if missing.len() > TOLD { format!(" and {} more", missing.len() - TOLD) } else { String::new() };
    let message = format!("{} of {asked} rights are missing: {}{more}", missing.len(), told.join("; "));
    let finding = Finding::failed(FAMILY, who, message);
    if who == "you" {
        return finding.because("installing takes the rights of an administrator").mend(
            "kubectl create clusterrolebinding NAME --clusterrole=cluster-admin --user=YOU, by who may, or let them install",
        );
    }
    finding
        .because("a role or a binding of manifest/deploy is missing, or is for another namespace or account")
        .mend("kubectl aegis upgrade --force-conflicts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Status;

    #[test]
    fn what_is_asked_is_what_the_shipped_roles_grant() {
        let controller: Vec<String> = granted("aegis", "ops").unwrap().iter().map(ToString::to_string).collect();
        for right in [
            "create on aegisalerts.aegis.io in namespace ops",
            "patch on aegisalerts/status.aegis.io in namespace ops",
            "update on leases.coordination.k8s.io aegis-controller in namespace ops",
            "patch on nodes in the whole cluster",
        ] {
            assert!(controller.contains(&right.to_owned()), "no {right} in {controller:?}");
        }
        let workflow: Vec<String> = granted("aegis-workflow", "ops").unwrap().iter().map(ToString::to_string).collect();
        assert!(
            workflow.contains(&"create on workflowtaskresults.argoproj.io in namespace ops".to_owned()),
            "{workflow:?}"
        );
        let install: Vec<String> = to_install("ops").unwrap().iter().map(ToString::to_string).collect();
        for right in [
            "create on customresourcedefinitions.apiextensions.k8s.io in the whole cluster",
            "patch on networkpolicies.networking.k8s.io in namespace ops",
            "create on validatingadmissionpolicies.admissionregistration.k8s.io in the whole cluster",
            "patch on deployments.apps in namespace ops",
        ] {
            assert!(install.contains(&right.to_owned()), "no {right} in {install:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_what_may_not_be_asked_is_unknown() {
        let right = granted("aegis", "ops").unwrap().remove(0);
        let seen = |missing| Seen { who: "ServiceAccount aegis".into(), missing, asked: 9 };
        assert_eq!(judge(&seen(Asked::Known(vec![]))).status, Status::Ok);
        let lacking = judge(&seen(Asked::Known(vec![right; 7])));
        assert!(lacking.message.contains("7 of 9") && lacking.message.ends_with("and 2 more"), "{}", lacking.message);
        assert_eq!(lacking.remedy.as_deref(), Some("kubectl aegis upgrade --force-conflicts"));
        let denied = judge(&seen(Asked::Denied("create on subjectaccessreviews".into())));
        assert_eq!(
            (denied.status, denied.missing.as_deref()),
            (Status::Unknown, Some("create on subjectaccessreviews"))
        );
    }
}
