//! Where the alerts come from: bodies in files, as senders post them, or alerts that are stored.

use aegis_crds::AegisAlert;
use aegis_crds::alert::{AegisAlertStatus, AlertStatus, TtlStrategy};
use aegis_engine::incident::{IncidentId, Stored};
use aegis_engine::intake::{self, Intake};
use aegis_engine::signal::Signal;
use jiff::{SignedDuration, Timestamp};
use kube::{Client, ResourceExt};
use kubectl_aegis::view::kinds::ALERT;

use crate::commands::alert::body;
use crate::failure::{Failure, Kind};
use crate::fetch::{self, Wanted};

/// One alert at one time.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What it is called in reports: its file, with a number where that has several, or its name.
    pub(crate) name: String,
    pub(crate) alert: AegisAlert,
    pub(crate) now: Timestamp,
}

/// What the webhook makes of a body.
pub(crate) fn taken_in(bytes: &[u8]) -> Result<Intake, Failure> {
    let read = match body::route(bytes)? {
        "/alertmanager/alert" => intake::alertmanager(bytes),
        _ => intake::custom(bytes),
    };
    read.map_err(|unreadable| Failure::new(Kind::Usage, format!("the webhook would refuse this body: {unreadable}")))
}

/// The alert as it would stand in the cluster. Its UID is not known before; the last characters of its Workflow's name
/// follow from it.
pub(crate) fn to_be_stored(signal: &Signal, namespace: &str, incident: &IncidentId) -> AegisAlert {
    let name = incident.alert_name(&signal.key(), 0);
    let mut alert = intake::alert_object(signal, &name, namespace, incident, &TtlStrategy::default());
    alert.metadata.uid = Some("not-stored-yet".to_owned());
    alert.metadata.creation_timestamp = None;
    alert
}

/// The alerts of these files, each as one that nobody has heard of, and what of them the webhook would reject.
pub(crate) fn of_files(files: &[String], namespace: &str, now: Timestamp) -> Result<(Vec<Case>, Vec<String>), Failure> {
    let (mut cases, mut refused) = (Vec::new(), Vec::new());
    for file in files {
        let bytes = body::read(file)?;
        let Intake { signals, rejected, .. } = taken_in(&bytes)
            .map_err(|failure| Failure::new(Kind::Usage, format!("{file} is no alert")).because(failure))?;
        refused.extend(rejected.iter().map(|rejection| format!("{file}: {rejection}")));
        let several = signals.len() + rejected.len() > 1;
        for (nth, signal) in &signals {
            let name = if several { format!("{file}#{}", nth + 1) } else { file.clone() };
            cases.push(Case { name, alert: to_be_stored(signal, namespace, &IncidentId::First), now });
        }
    }
    Ok((cases, refused))
}

/// The alerts that were stored within that time, oldest first: each as it fired, and, where it was resolved, as it was
/// then. What has become of them since is left out.
pub(crate) async fn of_cluster(
    client: &Client,
    namespace: Option<&str>,
    since: SignedDuration,
    now: Timestamp,
) -> Result<Vec<Case>, Failure> {
    let listed = fetch::list(client, &ALERT, &Wanted::all_in(namespace)).await?;
    let mut alerts: Vec<AegisAlert> =
        listed.items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect();
    let made = |alert: &AegisAlert| alert.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    alerts.retain(|alert| now.duration_since(made(alert)) <= since);
    alerts.sort_by_key(|alert| (made(alert), alert.name_any()));
    Ok(alerts.into_iter().flat_map(|alert| as_it_was(alert, now)).collect())
}

fn as_it_was(alert: AegisAlert, now: Timestamp) -> Vec<Case> {
    let name = alert.name_any();
    let made = alert.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let status = alert.status.clone().unwrap_or_default();
    let mut cases = Vec::new();
    let mut as_stored = alert.clone();
    as_stored.status = None;
    cases.push(Case { name: name.clone(), alert: as_stored, now: made });
    // What a person asked for is closed when it is done, and no rule hears of that.
    let answered = Stored::new(&alert).is_answered();
    if alert.spec.status == AlertStatus::Firing && status.status == Some(AlertStatus::Resolved) && !answered {
        let resolved = status.resolution.as_ref().and_then(|resolution| resolution.time).or(status.last_time);
        let mut over = alert;
        over.status = Some(AegisAlertStatus {
            status: Some(AlertStatus::Resolved),
            resolution: status.resolution,
            ..AegisAlertStatus::default()
        });
        cases.push(Case { name, alert: over, now: resolved.unwrap_or(made) });
    }
    cases
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stored_alert_is_judged_as_it_fired_and_as_it_was_resolved() {
        let alert: AegisAlert = serde_json::from_value(json!({
            "apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert",
            "metadata": {"name": "a", "creationTimestamp": "2026-01-01T10:00:00Z"},
            "spec": {"type": "X", "status": "Firing", "involvedObject": {"kind": "Node", "name": "n"}},
            "status": {"status": "Resolved", "count": 3, "opsStatus": {"triggerStatus": "Held"},
                       "resolution": {"time": "2026-01-01T11:00:00Z"}},
        }))
        .unwrap();
        let cases = as_it_was(alert, Timestamp::now());
        let times: Vec<String> = cases.iter().map(|case| case.now.to_string()).collect();
        assert_eq!(times, ["2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"]);
        assert!(cases[0].alert.status.is_none(), "nobody had judged it");
        let status = cases[1].alert.status.clone().unwrap();
        assert_eq!((status.status, status.ops_status), (Some(AlertStatus::Resolved), None));
    }
}
