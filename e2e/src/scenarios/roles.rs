//! The API server's record of the whole run against the roles of manifest/deploy: nothing was forbidden to our accounts,
//! and nothing that their roles grant was left unused. It comes last, and first does everything that the roles are for
//! itself, also what seldom happens: so it can be run alone, and what the other scenarios do is judged with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use aegis_crds::alert::AlertStatus;
use aegis_crds::names;
use anyhow::{Context as _, ensure};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, Controller, node_alert, repository};
use crate::audit::{self, Request};
use crate::cluster::Cluster;
use crate::procedure;
use crate::wait::{until, until_equal};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "roles",
    about: "over the whole run nothing was forbidden to our accounts, and no verb of their roles was left unused",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "roles";
/// The accounts that manifest/deploy makes, and the file with the roles of each, which are called as it is.
const ACCOUNTS: [(&str, &str); 2] = [("aegis", "controller-role.yaml"), ("aegis-workflow", "workflow-role.yaml")];
/// An alert is deleted a second after its action succeeded and it was resolved.
const FLAGS: [&str; 2] = ["--alert.ttl-after-success", "1s"];

/// Stays until it is asked to go.
const STAY: &str = "trap exit TERM; sleep 600 & wait";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    use_all(cluster).await?;
    let faults = judge(&audit::requests(cluster)?)?;
    ensure!(faults.is_empty(), "the roles are not what was needed:\n  {}", faults.join("\n  "));
    Ok(())
}

/// Does what every right is for.
async fn use_all(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    cluster.kubectl(&["delete", "aegisguard", names::GUARD_NAME, "-n", NAMESPACE]).await?;
    let controller = aegis.start(8080, &FLAGS).await?;
    let guard = api(cluster, names::GROUP, "v1alpha1", "AegisGuard");
    until("the guard is made, since nobody did", || async { Ok(guard.get_opt(names::GUARD_NAME).await?) }).await?;
    cluster.apply(NAMESPACE, include_str!("data/guard.yaml")).await?;
    rejections(cluster, &controller).await?;
    taken_name(cluster, &aegis, &controller).await?;
    cordon(cluster, &aegis, &controller).await?;
    failure(cluster, &aegis, &controller).await?;
    let controller = told_again(cluster, &aegis, controller).await?;
    conflicts(cluster, &aegis, &controller).await?;
    aegis.uninstall(controller).await
}

/// The list of rejections is made, read and written.
async fn rejections(cluster: &Cluster, controller: &Controller) -> anyhow::Result<()> {
    for type_ in ["One", "Other"] {
        let (code, answer) = controller.post(&json!({"type": type_})).await?;
        ensure!(code == 400, "an alert without an object was answered with {code}: {answer}");
        until_equal("the rejection is listed", true, || async {
            let words = ["get", "configmap", "aegis-rejected", "-n", NAMESPACE, "-o", "jsonpath={.data}"];
            Ok(cluster.kubectl(&words).await?.contains(type_))
        })
        .await?;
    }
    Ok(())
}

/// Somebody else's Job has the name that an alert's should have: the controller looks at it and takes another name. Once
/// the alert is over it is deleted.
async fn taken_name(cluster: &Cluster, aegis: &Aegis<'_>, controller: &Controller) -> anyhow::Result<()> {
    let alert = node_alert("Taken", "taken", Cluster::NODE);
    controller.send(&alert).await?;
    let stored = aegis.until_alert("Taken", "RuleNotFound", "").await?;
    let uid = stored.uid().context("an alert without a UID")?;
    let name = names::action(&stored.name_any(), &uid, AlertStatus::Firing, 1, 0);
    let mut job = procedure::with(procedure::echo_job(), "metadata", json!({"name": name}));
    let image = "/spec/template/spec/containers/0/command/1";
    *job.pointer_mut(image).context("a Job without a command")? = json!("somebody else's");
    api(cluster, "batch", "v1", "Job").create(&PostParams::default(), &serde_json::from_value(job)?).await?;
    let rule = procedure::rule("taken", "^(Taken|Again.*)$", &procedure::echo_job());
    cluster.apply(NAMESPACE, &procedure::list(rule)).await?;
    aegis.until_alert("Taken", "Triggered", "Succeeded").await?;
    controller.send(&procedure::with(alert, "status", json!("Resolved"))).await?;
    until("an alert past its time is deleted", || async {
        Ok(aegis.alerts().get_opt(&stored.name_any()).await?.is_none().then_some(()))
    })
    .await
}

/// A procedure changes the node, and Argo's executor reports its result.
async fn cordon(cluster: &Cluster, aegis: &Aegis<'_>, controller: &Controller) -> anyhow::Result<()> {
    let rules = fs::read_to_string(repository("examples/quickstart/rule.yaml"))?;
    cluster.apply(NAMESPACE, &rules.replace("namespace: monitoring", &format!("namespace: {NAMESPACE}"))).await?;
    controller.send(&node_alert("NodeHasEmergencyEvent", "cordon", Cluster::NODE)).await?;
    aegis.until_alert("NodeHasEmergencyEvent", "Triggered", "Succeeded").await?;
    cluster.kubectl(&["uncordon", Cluster::NODE]).await?;
    Ok(())
}

/// The node of a pod is looked up, and so is why a Workflow failed. Another alert is deleted while its Workflow runs.
async fn failure(cluster: &Cluster, aegis: &Aegis<'_>, controller: &Controller) -> anyhow::Result<()> {
    let script = |name: &str, script: &str| {
        let container = json!({"image": "busybox:latest", "command": ["sh", "-c", script]});
        procedure::rule(
            name,
            &format!("^{name}$"),
            &procedure::workflow(&json!([{"name": "main", "container": container}])),
        )
    };
    let rules = script("fails", "exit 1").into_iter().chain(script("stays", STAY));
    cluster.apply(NAMESPACE, &procedure::list(rules)).await?;
    let stay = ["--", "sh", "-c", STAY];
    cluster.kubectl(&[&["run", "web", "-n", NAMESPACE, "--image=busybox:latest"], &stay[..]].concat()).await?;
    cluster.kubectl(&["wait", "pod/web", "-n", NAMESPACE, "--for=jsonpath={.spec.nodeName}=node1"]).await?;
    let pod = json!({"kind": "Pod", "namespace": NAMESPACE, "name": "web"});
    controller.send(&procedure::with(node_alert("fails", "fails", "web"), "involvedObject", pod)).await?;
    let alert = aegis.until_alert("fails", "Triggered", "Failed").await?;
    ensure!(alert.spec.involved_object.node == Cluster::NODE, "the pod's node was not looked up");
    controller.send(&node_alert("stays", "stays", Cluster::NODE)).await?;
    let alert = aegis.until_alert("stays", "Triggered", "Running").await?;
    aegis.alerts().delete(&alert.name_any(), &Default::default()).await?;
    until("the Workflow of a deleted alert is let go", || async {
        let left = aegis.workflows().list_metadata(&Default::default()).await?.items;
        Ok((!left.iter().any(|one| one.name_any().starts_with(&alert.name_any()))).then_some(()))
    })
    .await
}

/// An Event that was told before is told again by the controller's successor.
async fn told_again(cluster: &Cluster, aegis: &Aegis<'_>, mut controller: Controller) -> anyhow::Result<Controller> {
    let broken = procedure::list(procedure::rule("broken", "^Broken$", &json!({"kind": "Strange"})));
    let told = |reason: &'static str| async move {
        until(&format!("the alert is held for {reason}"), || async {
            let status = serde_json::to_value(aegis.alert("Broken").await?.status)?;
            ensure!(status.pointer("/verdict/reason") == Some(&json!(reason)), "its status is {status}");
            Ok(Some(()))
        })
        .await
    };
    cluster.apply(NAMESPACE, &broken).await?;
    controller.send(&node_alert("Broken", "broken", Cluster::NODE)).await?;
    told("BadTemplate").await?;
    controller.running.stop().await?;
    let controller = aegis.start(8080, &FLAGS).await?;
    cluster.kubectl(&["delete", "aegisopstemplate", "broken", "-n", NAMESPACE]).await?;
    told("NoTemplate").await?;
    cluster.apply(NAMESPACE, &broken).await?;
    told("BadTemplate").await?;
    until_equal("an Event was told twice", true, || async {
        let words = ["get", "events", "-n", NAMESPACE, "-o", "jsonpath={.items[?(@.reason=='BadTemplate')].count}"];
        Ok(cluster.kubectl(&words).await?.split(' ').any(|count| count == "2"))
    })
    .await?;
    Ok(controller)
}

/// Somebody writes a rule, its template and the guard all the while, until the controller's own count of endings and its
/// book of places have met a conflict on each: it then reads them from the API server.
async fn conflicts(cluster: &Cluster, aegis: &Aegis<'_>, controller: &Controller) -> anyhow::Result<()> {
    let account = format!("system:serviceaccount:{NAMESPACE}:aegis");
    let met = async {
        for nth in 0..20 {
            let type_ = format!("Again{nth}");
            controller.send(&node_alert(&type_, &type_, Cluster::NODE)).await?;
            aegis.until_alert(&type_, "Triggered", "Succeeded").await?;
            let log = audit::requests(cluster)?;
            let read = |kind| log.iter().any(|one| one.user() == account && one.is("get", kind, NAMESPACE));
            if ["aegisalertopsrules", "aegisopstemplates", "aegisguards"].into_iter().all(read) {
                return Ok(());
            }
        }
        anyhow::bail!("20 endings were counted without a conflict")
    };
    tokio::select! {
        met = met => met,
        failed = write(cluster, "AegisAlertOpsRule", "taken") => failed,
        failed = write(cluster, "AegisOpsTemplate", "taken") => failed,
        failed = write(cluster, "AegisGuard", names::GUARD_NAME) => failed,
    }
}

/// Writes the object of that kind and name as fast as it goes, and returns only if that fails.
async fn write(cluster: &Cluster, kind: &str, name: &str) -> anyhow::Result<()> {
    let objects = api(cluster, names::GROUP, "v1alpha1", kind);
    for nth in 0_u64.. {
        let patch = json!({"metadata": {"annotations": {"nth": nth.to_string()}}});
        objects.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    Ok(())
}

fn api(cluster: &Cluster, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(cluster.client.clone(), NAMESPACE, &resource)
}

/// What the record says against the roles, in sentences.
fn judge(log: &[Request]) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (account, file) in ACCOUNTS {
        let denied = denied(log, account).into_iter().map(|request| format!("forbidden to {account}: {request}"));
        faults.extend(denied);
        for grant in grants(file)? {
            if !log.iter().any(|request| grant.is_used(request, account)) {
                faults.push(format!("granted to {account} and never used: {grant:?}"));
            }
        }
    }
    Ok(faults)
}

/// What the account asked for in vain. A namespace that is deleted takes the rights in it along: nothing of it counts
/// from then on, until it is made again and a Role lets the account through.
fn denied(log: &[Request], account: &str) -> BTreeSet<String> {
    let mut without_rights: BTreeMap<&str, Without> = BTreeMap::new();
    let mut denied = BTreeSet::new();
    for request in log {
        let (resource, _, subresource) = request.target();
        if request.is_success() && (resource, subresource) == ("namespaces", "") {
            let name = request.name().unwrap_or_default();
            if request.verb == "delete" {
                without_rights.insert(name, Without::Namespace);
            } else if let Some(without) = without_rights.get_mut(name).filter(|_| request.verb == "create") {
                *without = Without::Roles;
            }
        }
        let Some(home) = home(request, account) else { continue };
        let places = [home, request.namespace()];
        if request.reason().contains(" of Role ") {
            without_rights.retain(|place, without| *without == Without::Namespace || !places.contains(place));
        }
        if request.is_denied() && !places.iter().any(|place| without_rights.contains_key(place)) {
            let (group, resource) = request.group_and_resource().unwrap_or_default();
            denied.insert(format!("{} {group}/{resource} in {:?} by {home}", request.verb, request.namespace()));
        }
    }
    denied
}

/// What a namespace lacks since it was deleted.
#[derive(PartialEq, Eq)]
enum Without {
    Namespace,
    Roles,
}

/// The namespace of the account, if it is one of that name that has asked.
fn home<'r>(request: &'r Request, account: &str) -> Option<&'r str> {
    let (home, name) = request.user().strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (name == account).then_some(home)
}

/// One verb on one resource, by one role.
#[derive(Debug)]
struct Grant {
    /// Role or ClusterRole.
    by: String,
    verb: String,
    group: String,
    /// With its subresource.
    resource: String,
    /// The objects that it is limited to; none means all.
    names: Vec<String>,
}

impl Grant {
    /// Whether the request was let through by this very grant's role.
    fn is_used(&self, request: &Request, account: &str) -> bool {
        request.verb == self.verb
            && home(request, account).is_some()
            && request.reason().contains(&format!(" of {} \"{account}\" ", self.by))
            && request
                .group_and_resource()
                .is_some_and(|(group, resource)| group == self.group && resource == self.resource)
            && (self.names.is_empty() || self.names.iter().any(|name| request.name() == Some(name)))
    }
}

/// All that the roles of a file grant.
fn grants(file: &str) -> anyhow::Result<Vec<Grant>> {
    let text = fs::read_to_string(repository("manifest/deploy").join(file))?;
    let mut grants = Vec::new();
    for role in serde_saphyr::from_multiple::<Value>(&text).with_context(|| format!("could not read {file}"))? {
        let by = role.get("kind").and_then(Value::as_str).unwrap_or_default();
        for rule in role.get("rules").and_then(Value::as_array).into_iter().flatten() {
            let words = |field: &str| rule.get(field).map(Vec::<String>::deserialize).transpose();
            let names = words("resourceNames")?.unwrap_or_default();
            for verb in words("verbs")?.unwrap_or_default() {
                for group in words("apiGroups")?.unwrap_or_default() {
                    for resource in words("resources")?.unwrap_or_default() {
                        let (by, verb, names) = (by.to_owned(), verb.clone(), names.clone());
                        grants.push(Grant { by, verb, group: group.clone(), resource, names });
                    }
                }
            }
        }
    }
    ensure!(!grants.is_empty(), "{file} grants nothing");
    Ok(grants)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Vec<Request> {
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    const DENIED: &str = r#"{"verb":"get","user":{"username":"system:serviceaccount:a:aegis"},
        "objectRef":{"resource":"pods","namespace":"b","name":"p"},
        "annotations":{"authorization.k8s.io/decision":"forbid"}}"#;
    const ALLOWED: &str = r#"{"verb":"get","user":{"username":"system:serviceaccount:a:aegis"},
        "objectRef":{"resource":"pods","namespace":"b","name":"p"},
        "annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":
        "RBAC: allowed by ClusterRoleBinding \"aegis\" of ClusterRole \"aegis\" to ServiceAccount \"aegis/a\""}}"#;
    const DELETED: &str = r#"{"verb":"delete","user":{"username":"admin"},"responseStatus":{"code":200},
        "objectRef":{"resource":"namespaces","namespace":"a","name":"a"}}"#;

    fn grant(by: &str, names: &[&str]) -> Grant {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Grant { by: by.into(), verb: "get".into(), group: String::new(), resource: "pods".into(), names }
    }

    #[test]
    fn what_was_forbidden_is_told() {
        assert_eq!(denied(&log(&[DENIED, ALLOWED]), "aegis").len(), 1);
        assert!(denied(&log(&[DENIED]), "aegis-workflow").is_empty(), "another account");
    }

    #[test]
    fn rights_that_were_deleted_with_their_namespace_are_not_missed() {
        let made = DELETED.replace("delete", "create");
        let by_role = ALLOWED.replace("ClusterRole", "Role").replace("\"b\"", "\"a\"");
        let cases: [(&str, &[&str], usize); 5] = [
            ("it is being deleted", &[DELETED, DENIED], 0),
            ("it was denied before", &[DENIED, DELETED], 1),
            ("its roles are not there again", &[DELETED, &made, ALLOWED, DENIED], 0),
            ("its roles were there until the end", &[DELETED, &by_role, DENIED], 0),
            ("its roles are there again", &[DELETED, &made, &by_role, DENIED], 1),
        ];
        for (why, lines, want) in cases {
            assert_eq!(denied(&log(lines), "aegis").len(), want, "{why}");
        }
    }

    #[test]
    fn a_grant_is_used_by_a_request_that_its_role_has_let_through() {
        let (denied, allowed) = (&log(&[DENIED])[0], &log(&[ALLOWED])[0]);
        assert!(grant("ClusterRole", &[]).is_used(allowed, "aegis"));
        assert!(grant("ClusterRole", &["p"]).is_used(allowed, "aegis"), "limited to that object");
        for (why, grant, request) in [
            ("nothing was let through", grant("ClusterRole", &[]), denied),
            ("by another role", grant("Role", &[]), allowed),
            ("limited to another object", grant("ClusterRole", &["q"]), allowed),
        ] {
            assert!(!grant.is_used(request, "aegis"), "{why}");
        }
        assert!(!grant("ClusterRole", &[]).is_used(allowed, "aegis-workflow"), "another account");
    }

    #[test]
    fn every_role_that_is_shipped_grants_something() {
        for (_, file) in ACCOUNTS {
            assert!(grants(file).unwrap().iter().all(|grant| !grant.verb.is_empty() && !grant.resource.is_empty()));
        }
    }
}
