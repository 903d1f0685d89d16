//! Approvals are honest: under the policy of manifest/deploy a person writes no name but their own, and only with the
//! verb `approve`; and what has nothing to do with approvals is let through as always.

use aegis_crds::names::{GUARD_NAME, REJECTION_ANNOTATION};
use aegis_crds::{AegisAlert, AegisGuard};
use anyhow::{Context as _, bail, ensure};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::Scenario;
use crate::aegis::{Aegis, repository};
use crate::cluster::Cluster;
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "approval",
    about: "nobody approves under another's name or without the verb approve, with kubectl or with the plugin",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "approval";
/// What stands for the digest of a plan.
const DIGEST: &str = "3f0cda5d8b4c8fb4ddc6b0a4d4f80a2a1f6de1d7a1bb2a3c0a4f1a4e7a0c9b21";

/// The alert that is approved, and one who may change alerts but not approve.
const OBJECTS: &str = "\
apiVersion: aegis.io/v1alpha1
kind: AegisAlert
metadata: {name: held}
spec: {type: Held, status: Firing, source: kubectl, involvedObject: {kind: Node, name: node1, node: node1}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: changes-alerts}
rules:
  - {apiGroups: [aegis.io], resources: [aegisalerts], verbs: [get, create, patch]}
";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let policy = repository("manifest/deploy/approval-policy.yaml").display().to_string();
    cluster.kubectl(&["apply", "-f", &policy]).await?;
    cluster.apply(NAMESPACE, OBJECTS).await?;
    for (user, role) in [
        ("ann", "--clusterrole=aegis-approver"),
        ("ben", "--clusterrole=aegis-approver"),
        ("cyd", "--role=changes-alerts"),
        ("dan", "--clusterrole=aegis-operator"),
    ] {
        aegis.person(user)?.is_given(role).await?;
    }
    let trial = format!("aegis.io/approval={DIGEST} by cyd");
    until("the policy is in force", || async {
        let words = ["annotate", "aegisalert", "held", &trial, "--dry-run=server"];
        Ok(aegis.person("cyd")?.kubectl(&words).await.is_err().then_some(()))
    })
    .await?;
    judged_well(cluster).await?;
    who_writes(&aegis).await?;
    created(&aegis).await?;
    status(&aegis).await?;
    by_the_plugin(&aegis).await?;
    aegis.delete().await
}

/// The API server finds nothing wrong with the policy's expressions for the kind as it is defined.
async fn judged_well(cluster: &Cluster) -> anyhow::Result<()> {
    let words = ["get", "validatingadmissionpolicy", "aegis-approval", "-o", "jsonpath={.status}"];
    until("the policy's types are checked", || async {
        let status = cluster.kubectl(&words).await?;
        let checked = status.contains("typeChecking");
        ensure!(!status.contains("expressionWarnings"), "the API server warns of the policy: {status}");
        Ok(checked.then_some(()))
    })
    .await
}

/// What each person may write, one after the other on the same alert.
async fn who_writes(aegis: &Aegis<'_>) -> anyhow::Result<()> {
    const LACKS: &str = "lacks the verb approve on aegisalerts.aegis.io in namespace \"approval\"";
    let by = |annotation: &str, words: &str| format!("aegis.io/{annotation}={DIGEST} by {words}");
    let cases: [(&str, &str, String, Option<&str>); 22] = [
        ("may not approve", "cyd", by("approval", "cyd"), Some(LACKS)),
        ("may not reject", "cyd", by("rejection", "cyd: no"), Some(LACKS)),
        ("may not approve by another's name", "cyd", by("approval", "ann"), Some(LACKS)),
        ("may not even patch", "dan", by("approval", "dan"), Some("cannot patch resource \"aegisalerts\"")),
        ("another's name", "ann", by("approval", "ben"), Some("an approval must read \"DIGEST by ann\"")),
        ("another's name at the second place", "ann", by("approval-2", "ben"), Some("DIGEST by ann")),
        ("two names, the own one last", "ann", by("approval", "ben by ann"), Some("DIGEST by ann")),
        ("the own name and more", "ann", by("approval", "ann: yes"), Some("DIGEST by ann")),
        ("a name that begins alike", "ann", by("approval", "anna"), Some("DIGEST by ann")),
        ("no digest", "ann", "aegis.io/approval=ann".to_owned(), Some("DIGEST by ann")),
        ("another's rejection", "ann", by("rejection", "ben: no"), Some("a rejection must read")),
        ("another's reason", "ann", "aegis.io/approval-reason=ben: fine".to_owned(), Some("with the name of who")),
        ("the administrator by another's name", "admin", by("approval", "ann"), Some("DIGEST by ")),
        ("an approval", "ann", by("approval", "ann"), None),
        ("its reason", "ann", "aegis.io/approval-reason=ann: fine".to_owned(), None),
        ("a second one", "ben", by("approval-2", "ben"), None),
        ("takes away another's approval", "cyd", "aegis.io/approval-".to_owned(), Some(LACKS)),
        ("something else beside it", "cyd", "why=trial".to_owned(), None),
        ("takes away another's approval, and may", "ben", "aegis.io/approval-".to_owned(), None),
        ("a rejection without a reason", "ben", by("rejection", "ben"), None),
        ("a rejection", "ann", by("rejection", "ann: not on a Friday: no"), None),
        ("takes a rejection back", "ann", "aegis.io/rejection-".to_owned(), None),
    ];
    for (why, user, annotation, refused) in cases {
        let words = ["annotate", "--overwrite", "aegisalert", "held", &annotation];
        let told = aegis.person(user)?.kubectl(&words).await;
        match (told, refused) {
            (Ok(_), None) => {}
            (Ok(_), Some(_)) => bail!("{why}: {user} was let write {annotation}"),
            (Err(error), None) => return Err(error.context(format!("{why}: {user} could not write {annotation}"))),
            (Err(error), Some(part)) => {
                let told = error.to_string();
                ensure!(told.contains(part), "{why}: {user} is told {told}, which lacks {part:?}");
                ensure!(told.contains("orbidden"), "{why}: a client cannot tell that it is forbidden from {told}");
            }
        }
    }
    let words = ["label", "aegisalert", "held", "team=gpu"];
    aegis.person("cyd")?.kubectl(&words).await.context("a label was refused")?;
    Ok(())
}

/// An alert that comes with an approval is no way around it.
async fn created(aegis: &Aegis<'_>) -> anyhow::Result<()> {
    for (name, annotation, refused) in [
        ("approved", json!({"aegis.io/approval": format!("{DIGEST} by ann")}), true),
        ("plain", json!({"why": "trial"}), false),
    ] {
        let alert = json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
            "metadata": {"name": name, "annotations": annotation},
            "spec": {"type": "Held", "status": "Firing", "involvedObject": {"kind": "Node", "name": "node1"}},
        });
        let file = aegis.cluster().machine.folder().join("approval-alert.json");
        std::fs::write(&file, alert.to_string())?;
        let made = aegis.person("cyd")?.kubectl(&["create", "-f", &file.display().to_string()]).await;
        ensure!(made.is_err() == refused, "the alert {name} was answered with {made:?}");
    }
    Ok(())
}

/// The controller's writes of the status are not looked at, and carry no approval in.
async fn status(aegis: &Aegis<'_>) -> anyhow::Result<()> {
    let cluster = aegis.cluster();
    let alerts: Api<AegisAlert> = Api::namespaced(cluster.client_of_account(NAMESPACE, "aegis").await?, NAMESPACE);
    let patch = json!({
        "metadata": {"annotations": {"aegis.io/approval": format!("{DIGEST} by ann")}},
        "status": {"count": 7},
    });
    alerts.patch_status("held", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let words = ["get", "aegisalert", "held", "-o", "jsonpath={.status.count} {.metadata.annotations}"];
    let told = aegis.person("ann")?.kubectl(&words).await?;
    ensure!(told.starts_with("7 ") && !told.contains("aegis.io/approval\""), "the alert shows {told}");
    Ok(())
}

/// The plugin writes what the policy lets through, and tells who may not which verb is missing. The operator may pause,
/// which the approver may not.
async fn by_the_plugin(aegis: &Aegis<'_>) -> anyhow::Result<()> {
    let alerts = aegis.alerts();
    let verdict = json!({"reason": "NeedsApproval", "message": "a person has to approve it", "plan": DIGEST});
    let patch = Patch::Merge(json!({"status": {"verdict": verdict}}));
    alerts.patch_status("held", &PatchParams::default(), &patch).await?;
    let cases: [(&str, &[&str], i32, &str); 9] = [
        ("cyd", &["approve", "held"], 4, "the verb approve on aegisalerts is missing"),
        ("cyd", &["reject", "held", "--dry-run=server"], 4, "the verb approve on aegisalerts is missing"),
        ("dan", &["approve", "held"], 4, "the verbs patch and approve on aegisalerts are needed"),
        ("ann", &["approve", "held", "--reason", "fine"], 0, "aegisalert.aegis.io/held approved"),
        ("ann", &["approve", "held"], 0, "ann has approved this plan already"),
        ("ben", &["reject", "held", "--reason", "no: not now"], 0, "aegisalert.aegis.io/held rejected"),
        ("ann", &["pause"], 4, "the verbs patch and create on aegisguards are needed"),
        ("dan", &["pause", "node/node1", "--for", "1h"], 0, "node/node1 paused until"),
        ("dan", &["resume", "node/node1"], 0, "node/node1 resumed"),
    ];
    for (user, words, code, part) in cases {
        let (ended, told) = aegis.person(user)?.tries(words).await?;
        ensure!(ended == Some(code), "{user} {words:?} ends with {ended:?}: {told}");
        ensure!(told.contains(part), "{user} {words:?} is told {told}, which lacks {part:?}");
    }
    let guard: Api<AegisGuard> = Api::namespaced(aegis.cluster().client.clone(), NAMESPACE);
    let guard = guard.get(GUARD_NAME).await?;
    ensure!(guard.spec.pauses.is_empty() && guard.spec.resumed.contains_key("node/node1"), "the guard is {guard:?}");
    let alert = alerts.get("held").await?;
    let rejection = alert.annotations().get(REJECTION_ANNOTATION).map(String::as_str).unwrap_or_default();
    ensure!(rejection == format!("{DIGEST} by ben: no: not now"), "the rejection reads {rejection:?}");
    Ok(())
}
