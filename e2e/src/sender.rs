//! A sender of alerts that behaves as Alertmanager does: it sends again until it is told that all is well.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::aegis::Controller;
use crate::wait::until;

/// The longest that the webhooks may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long after a 5xx it sends again.
const PAUSE: Duration = Duration::from_millis(300);

/// An incident that Alertmanager knows of.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Alertmanager's fingerprint.
    pub fingerprint: String,
    type_: String,
    starts_at: Timestamp,
}

impl Incident {
    /// One of that type that begins now.
    pub fn new(type_: &str, fingerprint: impl Into<String>) -> Self {
        Self { fingerprint: fingerprint.into(), type_: type_.to_owned(), starts_at: Timestamp::now() }
    }

    /// Alertmanager's webhook body for it.
    fn body(&self, ends_at: Option<Timestamp>) -> Value {
        let status = if ends_at.is_some() { "resolved" } else { "firing" };
        let ends_at = ends_at.map_or("0001-01-01T00:00:00Z".to_owned(), |time| time.to_string());
        json!({
            "version": "4", "receiver": "aegis", "status": status, "groupKey": "{}", "truncatedAlerts": 0,
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager",
            "alerts": [{
                "status": status, "fingerprint": self.fingerprint, "annotations": {}, "generatorURL": "",
                "labels": {"alertname": self.type_, "kind": "Node", "node": self.fingerprint},
                "startsAt": self.starts_at, "endsAt": ends_at,
            }],
        })
    }
}

/// Delivers, and remembers what it was told.
#[derive(Default)]
pub struct Sender {
    client: reqwest::Client,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    sent: u32,
    fired: BTreeMap<String, i64>,
    refused: u32,
    slowest: Duration,
}

impl Sender {
    /// Sends that it fires, to these in turn, until one takes it.
    pub async fn fire(&self, to: &[&Controller], incident: &Incident) -> anyhow::Result<()> {
        self.deliver(to, incident, None).await
    }

    /// As [`Sender::fire`] for all of them at the same time.
    pub async fn fire_all(&self, to: &[&Controller], incidents: &[Incident]) -> anyhow::Result<()> {
        try_join_all(incidents.iter().map(|incident| self.fire(to, incident))).await.map(drop)
    }

    /// Sends that it is resolved, to these in turn, until one takes it.
    pub async fn resolve(&self, to: &[&Controller], incident: &Incident) -> anyhow::Result<()> {
        self.deliver(to, incident, Some(Timestamp::now())).await
    }

    /// Sends once that it fires: whether it was taken. If not, the sender was asked to come again.
    pub async fn try_to_fire(&self, to: &Controller, incident: &Incident) -> anyhow::Result<bool> {
        self.send(to, incident, None).await
    }

    /// How often it was sent that the incident fires.
    pub fn fired(&self, incident: &Incident) -> i64 {
        self.told().fired.get(&incident.fingerprint).copied().unwrap_or_default()
    }

    /// How it was answered, as a sentence for people.
    pub fn experience(&self) -> String {
        let told = self.told();
        let Told { sent, refused, slowest, .. } = &*told;
        format!("{sent} reports sent, {refused} of them to be sent again, slowest answer {} ms", slowest.as_millis())
    }

    async fn deliver(&self, to: &[&Controller], incident: &Incident, ends_at: Option<Timestamp>) -> anyhow::Result<()> {
        let mut turns = to.iter().cycle();
        until(&format!("a report of {} is taken", incident.fingerprint), || {
            let turn = turns.next();
            async move {
                let turn = turn.context("there is nobody to send to")?;
                match self.send(turn, incident, ends_at).await {
                    Ok(true) => Ok(Some(Ok(()))),
                    Ok(false) => {
                        tokio::time::sleep(PAUSE).await;
                        bail!("the last answer was 503")
                    }
                    // What no sender could live with is not tried again.
                    Err(error) => Ok(Some(Err(error))),
                }
            }
        })
        .await?
    }

    async fn send(&self, to: &Controller, incident: &Incident, ends_at: Option<Timestamp>) -> anyhow::Result<bool> {
        {
            let mut told = self.told();
            told.sent += 1;
            if ends_at.is_none() {
                *told.fired.entry(incident.fingerprint.clone()).or_default() += 1;
            }
        }
        let body = incident.body(ends_at).to_string();
        let begun = std::time::Instant::now();
        let request = self.client.post(to.url("/alertmanager/alert")).body(body).timeout(ANSWER);
        let answer = request.send().await.with_context(|| format!("no answer within {} s", ANSWER.as_secs()))?;
        let (code, again) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        let text = answer.text().await.context("the answer broke off")?;
        let mut told = self.told();
        told.slowest = told.slowest.max(begun.elapsed());
        match code {
            200 => Ok(true),
            503 => {
                ensure!(again, "503 without Retry-After: {text}");
                told.refused += 1;
                Ok(false)
            }
            code => bail!("the webhook answered {code}: {text}"),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_alertmanager_says() {
        let incident = Incident::new("NodeFails", "f1");
        let (firing, resolved) = (incident.body(None), incident.body(Some(Timestamp::now())));
        assert_eq!(firing["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
        assert_eq!(firing["alerts"][0]["startsAt"], resolved["alerts"][0]["startsAt"]);
        assert_eq!((&firing["status"], &resolved["status"]), (&json!("firing"), &json!("resolved")));
    }
}
