//! Other people's objects stand where ours would be: under the name of an alert, and under those of Workflows.

use aegis_crds::AegisAlert;
use aegis_crds::alert::AlertStatus;
use aegis_crds::names::{self, MANAGED_BY, MANAGED_BY_LABEL};
use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::Scenario;
use crate::aegis::{Aegis, words};
use crate::cluster::Cluster;
use crate::sender::{Incident, Sender};
use crate::wait::until;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "squatted-names",
    about: "foreign objects hold the names of an alert and of Workflows: ours get others, and nothing foreign is touched",
    smoke: false,
    parts: &[],
    run: |cluster| Box::pin(async move { run(&cluster).await }),
};

const NAMESPACE: &str = "squatted-names";

async fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let aegis = Aegis::install(cluster, NAMESPACE).await?;
    let controller = aegis.start(8080, &[]).await?;
    let sender = Sender::default();
    let [foreign, ours, alert] =
        ["foreign", "ours-at-first-sight", "alert"].map(|name| Incident::new("NodeFails", name));

    // Nothing is done about them as long as there is no rule.
    for incident in [&foreign, &ours, &alert] {
        sender.fire(&[&controller], incident).await?;
        until_waiting(&aegis, incident).await?;
    }
    let squatter = squat_alert(&aegis, &alert).await?;
    sender.fire(&[&controller], &alert).await?;
    until_waiting(&aegis, &alert).await?;

    // Of one, two names are taken; of the other, one, by an object that carries our label and nobody's UID.
    let no_labels = json!({});
    let our_label = json!({MANAGED_BY_LABEL: MANAGED_BY});
    let squatters = [
        squat_workflow(&aegis, &foreign, 0, &no_labels).await?,
        squat_workflow(&aegis, &foreign, 1, &no_labels).await?,
        squat_workflow(&aegis, &ours, 0, &our_label).await?,
    ];
    cluster.apply(NAMESPACE, super::WAIT).await?;
    for (incident, salt) in [(&foreign, 2), (&ours, 1), (&alert, 0)] {
        let alert = aegis.until_repaired(&incident.fingerprint).await?;
        let name = alert.status.iter().flat_map(|status| &status.actions).map(|action| action.name.clone()).next();
        ensure!(name == Some(action_name(&alert, salt)?), "the Workflow of {} is {name:?}", incident.fingerprint);
        until_told(cluster, &alert).await?;
    }
    for before in &squatters {
        let after = aegis.workflows().get(&before.name_any()).await?;
        ensure!(after.resource_version() == before.resource_version(), "{} was touched: {after:#?}", before.name_any());
    }
    let after = aegis.alerts().get(&squatter.name_any()).await?;
    let same = (&after.metadata.uid, &after.spec) == (&squatter.metadata.uid, &squatter.spec);
    ensure!(same, "the foreign alert was touched: {after:#?}");
    let told = serde_json::to_value(&after.status)?;
    ensure!(words(&told).0 == "RuleNotFound", "the foreign alert is not ours to act on: {told}");

    for before in &squatters {
        aegis.workflows().delete(&before.name_any(), &DeleteParams::default()).await?;
    }
    aegis.alerts().delete(&squatter.name_any(), &DeleteParams::default()).await?;
    aegis.one_workflow_each(3).await?;
    aegis.uninstall(controller).await
}

/// Puts a foreign alert where that of an incident would be stored.
async fn squat_alert(aegis: &Aegis<'_>, incident: &Incident) -> anyhow::Result<AegisAlert> {
    let name = aegis.stored(&incident.fingerprint).await?.name_any();
    aegis.alerts().delete(&name, &DeleteParams::default()).await?;
    let foreign = json!({
        "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
        "metadata": {"name": name, "labels": {"owner": "somebody-else"}},
        "spec": {
            "source": "Other", "type": "SomethingElse", "status": "Firing", "fingerprint": "other",
            "involvedObject": {"kind": "Node", "name": "n1"}, "detials": {},
        },
    });
    Ok(aegis.alerts().create(&PostParams::default(), &serde_json::from_value(foreign)?).await?)
}

/// Puts a foreign Workflow, which Argo leaves to another instance, where one of an incident's would be.
async fn squat_workflow(
    aegis: &Aegis<'_>,
    incident: &Incident,
    salt: i32,
    labels: &Value,
) -> anyhow::Result<DynamicObject> {
    let name = action_name(&aegis.stored(&incident.fingerprint).await?, salt)?;
    let mut foreign = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": name, "labels": labels},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]},
    });
    let labels = foreign.pointer_mut("/metadata/labels").and_then(Value::as_object_mut).context("it has labels")?;
    labels.insert("workflows.argoproj.io/controller-instanceid".to_owned(), json!("somebody-else"));
    Ok(aegis.workflows().create(&PostParams::default(), &serde_json::from_value(foreign)?).await?)
}

/// The name of an alert's first action.
fn action_name(alert: &AegisAlert, salt: i32) -> anyhow::Result<String> {
    let uid = alert.uid().context("an alert without a UID")?;
    Ok(names::action(&alert.name_any(), &uid, AlertStatus::Firing, 1, salt))
}

async fn until_waiting(aegis: &Aegis<'_>, incident: &Incident) -> anyhow::Result<()> {
    until(&format!("{} waits for a rule", incident.fingerprint), || async {
        let status = serde_json::to_value(aegis.stored(&incident.fingerprint).await?.status)?;
        ensure!(words(&status).0 == "RuleNotFound", "its status is {status}");
        Ok(Some(()))
    })
    .await
}

/// Waits for the Event that says whose name was taken.
async fn until_told(cluster: &Cluster, alert: &AegisAlert) -> anyhow::Result<()> {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let about = format!("involvedObject.name={},reason=NameTaken", alert.name_any());
    until("an Event says that the name was taken", || async {
        let found = events.list(&ListParams::default().fields(&about)).await?.items;
        Ok((!found.is_empty()).then_some(()))
    })
    .await
}
