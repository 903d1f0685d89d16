//! What holds an alert back: the policy as people write it, and every place where they read why.

use anyhow::ensure;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::aegis::Aegis;
use crate::person::{ADMIN, Person};
use crate::wait::until;

impl Aegis<'_> {
    /// Somebody of that name, in this namespace.
    pub fn person<'b>(&'b self, name: &'b str) -> anyhow::Result<Person<'b>> {
        Person::new(self.cluster(), self.namespace(), name)
    }

    /// The administrator.
    pub fn admin(&self) -> anyhow::Result<Person<'_>> {
        self.person(ADMIN)
    }

    /// Merges these fields into the spec of the AegisGuard; `null` takes one away.
    pub async fn policy(&self, spec: &Value) -> anyhow::Result<()> {
        let patch = json!({"spec": spec}).to_string();
        self.admin()?.kubectl(&["patch", "aegisguard", "aegis", "--type=merge", "-p", &patch]).await.map(drop)
    }

    /// Waits until the AegisGuard shows that.
    pub async fn until_guard(&self, what: &str, so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        until(&format!("the AegisGuard shows {what}"), || async {
            let told = self.admin()?.kubectl(&["get", "aegisguard", "aegis", "-o", "json"]).await?;
            let guard: Value = serde_json::from_str(&told)?;
            ensure!(so(&guard), "it is {guard}");
            Ok(Some(guard))
        })
        .await
    }

    /// Waits until the one alert of that fingerprint is held for that reason; what its verdict says.
    pub async fn until_held(&self, fingerprint: &str, reason: &str) -> anyhow::Result<Value> {
        until(&format!("{fingerprint} is held: {reason}"), || async {
            let status = serde_json::to_value(&self.stored(fingerprint).await?.status)?;
            let verdict = status.pointer("/verdict").cloned().unwrap_or(Value::Null);
            ensure!(verdict.get("reason").and_then(Value::as_str) == Some(reason), "its status is {status}");
            Ok(Some(verdict))
        })
        .await
    }

    /// As [`Aegis::until_held`]; its message holds `part`, and so people read it where they look: in the wide list, and
    /// in what `kubectl describe` shows of the status. With `event` among the alert's Events, which come a moment later.
    pub async fn until_read(&self, fingerprint: &str, reason: &str, part: &str, event: Event) -> anyhow::Result<Value> {
        let verdict = self.until_held(fingerprint, reason).await?;
        let message = verdict.get("message").and_then(Value::as_str).unwrap_or_default();
        ensure!(message.contains(part), "{reason} says {message:?}, which lacks {part:?}");
        let (alert, admin) = (self.stored(fingerprint).await?.name_any(), self.admin()?);
        let wide = admin.kubectl(&["get", "aegisalert", &alert, "-o", "wide"]).await?;
        ensure!(wide.contains(reason), "kubectl get -o wide lacks {reason}: {wide}");
        until(&format!("kubectl describe tells of {reason}"), || async {
            let told = admin.kubectl(&["describe", "aegisalert", &alert]).await?;
            let (status, events) = told.rsplit_once("\nEvents:").unwrap_or((&told, ""));
            // Long lines are not broken, but indented as the field is.
            ensure!(status.contains(reason) && status.contains(part), "its status reads {status}");
            ensure!(event == Event::None || events.contains(reason), "its Events are {events}");
            Ok(Some(()))
        })
        .await?;
        Ok(verdict)
    }

    /// `kubectl aegis plan` tells of an alert of that type about that node that it would be held, and why.
    pub async fn plan_tells(&self, type_: &str, node: &str, reason: &str) -> anyhow::Result<()> {
        let (ended, told) = self.admin()?.tries(&["plan", type_, "--node", node]).await?;
        ensure!(ended == Some(1), "the plan ends with {ended:?}: {told}");
        let decision = told.lines().find(|line| line.starts_with("decision")).unwrap_or_default();
        ensure!(decision.contains(&format!("({reason})")), "the plan decides {decision:?}: {told}");
        ensure!(told.contains(&format!(": {reason}, ")), "no gate of the plan says {reason}: {told}");
        Ok(())
    }
}

/// Whether a verdict is told as an Event too: where the status alone says all that there is to know, it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is.
    Told,
    /// It is not.
    None,
}
