//! Keeps the kubelet from pulling images: there is no registry, and every image is there already. Without this, a pod
//! whose image is tagged :latest is pulled for whenever it does not say otherwise, and users' templates do not.

use kube::Client;
use serde_json::json;

use super::post;
use crate::wait::until;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1beta1";
const NAME: &str = "images-are-here";

/// Installs the policy and waits until it is in force.
pub(super) async fn install(client: &Client) -> anyhow::Result<()> {
    let path = format!("{GROUP}/mutatingadmissionpolicies");
    client.request::<serde_json::Value>(post(&path, &policy())?).await?;
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1beta1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME},
    });
    let path = format!("{GROUP}/mutatingadmissionpolicybindings");
    client.request::<serde_json::Value>(post(&path, &binding)?).await?;
    until("pods are kept from pulling", || async {
        let trial = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "trial"},
            "spec": {"containers": [{"name": "main", "image": "none:latest"}], "automountServiceAccountToken": false},
        });
        let made: serde_json::Value =
            client.request(post("/api/v1/namespaces/default/pods?dryRun=All", &trial)?).await?;
        let seen = made.pointer("/spec/containers/0/imagePullPolicy").and_then(|word| word.as_str());
        Ok((seen == Some("IfNotPresent")).then_some(()))
    })
    .await
}

fn policy() -> serde_json::Value {
    let containers = |field: &str| {
        format!(
            "has(object.spec.{field}) ? Object{{spec: Object.spec{{{field}: object.spec.{field}.map(c, \
             Object.spec.{field}{{name: c.name, imagePullPolicy: \"IfNotPresent\"}})}}}} : Object{{}}"
        )
    };
    let mutations: Vec<serde_json::Value> = ["containers", "initContainers"]
        .iter()
        .map(
            |field| json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": containers(field)}}),
        )
        .collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1beta1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]},
            ]},
            // The contract is about the API server as it comes.
            "matchConditions": [
                {"name": "not-the-contract", "expression": "!request.namespace.startsWith('contract-')"},
            ],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "IfNeeded",
            "mutations": mutations,
        },
    })
}
