//! The AegisGuard: made where it is missing, and its policy judged when it is written. While a policy is invalid the
//! last one that was valid stays in force; it stands in the status, so that whoever leads next finds it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aegis_crds::AegisGuard;
use aegis_crds::conditions::{self, Condition, ConditionType};
use aegis_crds::guard::{AegisGuardSpec, AegisGuardStatus};
use aegis_crds::names::GUARD_NAME;
use aegis_engine::guard::{Pauses, Policy};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cache::Key;
use crate::context::{FIELD_MANAGER, Failure, Lead};
use crate::definition::{INVALID, RECORDED};
use crate::queue::{Lane, Queue};

/// How long it is left to the watch to show an object that is there and was not seen.
const UNSEEN: Duration = Duration::from_secs(60);
/// How soon a status is written again that somebody else has just written.
const OVERTAKEN: Duration = Duration::from_millis(200);
/// How many flaws a status tells.
const FLAWS: usize = 20;

/// Judges every AegisGuard of the publish namespace, and each one again when it changes, until `stop`; makes the one
/// that counts where it is missing.
pub async fn watch(lead: Arc<Lead>, stop: CancellationToken) {
    let guards = lead.guards.clone();
    let mut changes = guards.subscribe();
    if stop.run_until_cancelled(guards.until_ready()).await.is_none() {
        return;
    }
    let own = Key::new(&lead.context.settings.alert.publish_namespace, GUARD_NAME);
    let queue = Queue::new();
    queue.push(own.clone(), Lane::Fresh);
    let next = async || {
        lead.context.patience.wait().await;
        queue.next().await
    };
    let mut keeper = Keeper { lead: &lead, own, judged: HashMap::new(), told: None };
    loop {
        let key = tokio::select! {
            changed = changes.next() => {
                queue.push(changed, Lane::Fresh);
                continue;
            }
            key = next() => key,
            () = stop.cancelled() => return,
        };
        match keeper.look(&key).await {
            Ok(again) => {
                keeper.told = None;
                queue.done(&key, again);
            }
            Err(failure) => {
                let wait = queue.failed(&key, lead.context.patience.remaining());
                keeper.tell(format!("{failure}"), wait);
            }
        }
    }
}

struct Keeper<'a> {
    lead: &'a Lead,
    own: Key,
    judged: HashMap<Key, Judged>,
    /// The trouble that was told last: it is told once.
    told: Option<String>,
}

/// What a spec was found to be. The status changes with each action, and the spec is not judged again for that.
struct Judged {
    uid: Option<String>,
    generation: Option<i64>,
    verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Valid,
    /// With everything that is wrong, a sentence each.
    Invalid(Vec<String>),
    /// It is not the one that counts; the sentence says which one does.
    Elsewhere(String),
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("could not make AegisGuard {key}, so nothing but recovery begins: {source}{hint}")]
    Make { key: Key, hint: &'static str, source: Failure },
    #[error("could not write the status of AegisGuard {key}: {source}")]
    Write { key: Key, source: Failure },
}

impl Keeper<'_> {
    /// Looks at one AegisGuard, and says when it is due again even if nothing changes.
    async fn look(&mut self, key: &Key) -> Result<Option<Duration>, Trouble> {
        let Some(guard) = self.lead.guards.find(key) else {
            self.judged.remove(key);
            return if *key == self.own { self.make().await } else { Ok(None) };
        };
        let now = self.lead.context.clock.now();
        let verdict = self.verdict(key, &guard);
        let pauses = Pauses::of(&guard.spec, guard.metadata.annotations.as_ref());
        let again = pauses.next_end(now).and_then(|end| Duration::try_from(end.duration_since(now)).ok());
        let Some(status) = due(&guard, &verdict, &pauses, now) else { return Ok(again) };
        let word = status.get("status").and_then(Value::as_str).unwrap_or_default();
        let before = guard.status.as_ref().and_then(|status| status.status.as_deref());
        if before != Some(word) {
            info!(object = %key, status = word, "AegisGuard {key} is {word}");
        }
        let patch = json!({"metadata": {"resourceVersion": guard.resource_version()}, "status": status});
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.lead.request(self.api().patch_status(&key.name, &parameters, &Patch::Merge(&patch))).await {
            Ok(written) => {
                self.lead.guards.insert(written);
                Ok(again)
            }
            // It is gone; the watch will say so.
            Err(failure) if failure.code() == Some(404) => Ok(None),
            // The places that actions take stand in the same object: the cache shows who wrote.
            Err(failure) if failure.code() == Some(409) => Ok(Some(OVERTAKEN)),
            Err(source) => Err(Trouble::Write { key: key.clone(), source }),
        }
    }

    /// Makes the one that counts, with all defaults.
    async fn make(&mut self) -> Result<Option<Duration>, Trouble> {
        let guard = AegisGuard::new(GUARD_NAME, AegisGuardSpec::default());
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.lead.request(self.api().create(&parameters, &guard)).await {
            Ok(made) => {
                info!(object = %self.own, "made AegisGuard {}: the defaults are in force", self.own);
                self.lead.guards.insert(made);
                Ok(None)
            }
            Err(failure) if failure.code() == Some(409) => Ok(Some(UNSEEN)),
            Err(source) => {
                let missing = source.code() == Some(404);
                let hint = if missing { " (is manifest/install/aegisguards.yaml applied?)" } else { "" };
                Err(Trouble::Make { key: self.own.clone(), hint, source })
            }
        }
    }

    fn verdict(&mut self, key: &Key, guard: &AegisGuard) -> Verdict {
        let (uid, generation) = (guard.uid(), guard.metadata.generation);
        let known = self.judged.get(key).filter(|judged| judged.uid == uid && judged.generation == generation);
        if let Some(judged) = known {
            return judged.verdict.clone();
        }
        let verdict = judge(guard, &self.own);
        self.judged.insert(key.clone(), Judged { uid, generation, verdict: verdict.clone() });
        verdict
    }

    fn tell(&mut self, trouble: String, wait: Duration) {
        if self.told.as_ref() != Some(&trouble) {
            warn!("{trouble}; next in {wait:?}");
            self.told = Some(trouble);
        }
    }

    fn api(&self) -> Api<AegisGuard> {
        Api::namespaced(self.lead.context.client.clone(), &self.own.namespace)
    }
}

fn judge(guard: &AegisGuard, own: &Key) -> Verdict {
    if Key::of(guard) != *own {
        let name = guard.name_any();
        return Verdict::Elsewhere(format!(
            "metadata.name: found {name}, expected {GUARD_NAME}: only the one named {GUARD_NAME} in namespace {} counts",
            own.namespace
        ));
    }
    match Policy::compile(&guard.spec) {
        Ok(_) => Verdict::Valid,
        Err(flaws) => Verdict::Invalid(flaws.iter().map(ToString::to_string).collect()),
    }
}

/// The status to write, unless it stands there already.
fn due(guard: &AegisGuard, verdict: &Verdict, pauses: &Pauses, now: Timestamp) -> Option<Value> {
    let none = AegisGuardStatus::default();
    let before = guard.status.as_ref().unwrap_or(&none);
    let generation = guard.metadata.generation;
    let (valid, reason, message) = match verdict {
        Verdict::Valid => (true, RECORDED, String::new()),
        Verdict::Invalid(flaws) => (false, INVALID, told(flaws, before.in_force.is_some())),
        Verdict::Elsewhere(message) => (false, "NotTheOne", message.clone()),
    };
    let condition = Condition::new(ConditionType::Valid, valid, reason, message);
    let mut all = before.conditions.clone();
    let mut changed = conditions::set(&mut all, Condition { observed_generation: generation, ..condition }, now);
    let word = if valid { RECORDED } else { INVALID };
    let paused = pauses.summary(now).filter(|_| !matches!(verdict, Verdict::Elsewhere(_)));
    changed |=
        before.status.as_deref() != Some(word) || before.observed_generation != generation || before.paused != paused;
    let policy = AegisGuardSpec { pauses: Vec::new(), resumed: Default::default(), ..guard.spec.clone() };
    let renewed = (*verdict == Verdict::Valid && before.in_force.as_deref() != Some(&policy)).then(|| {
        let written = |spec: &AegisGuardSpec| serde_json::to_value(spec).unwrap_or_default();
        merge_patch(&before.in_force.as_deref().map(written).unwrap_or_default(), &written(&policy))
    });
    let mut status = json!({"status": word, "conditions": all, "observedGeneration": generation, "paused": paused});
    if let (Some(renewed), Value::Object(fields)) = (renewed, &mut status) {
        changed = true;
        fields.insert("inForce".to_owned(), renewed);
    }
    changed.then_some(status)
}

fn told(flaws: &[String], in_force: bool) -> String {
    let more = flaws.len().saturating_sub(FLAWS);
    let more = (more > 0).then(|| format!("and {more} more"));
    let effect = if in_force {
        "the last policy that was valid stays in force"
    } else {
        "no policy was ever valid, so nothing but recovery begins"
    };
    let lines = flaws.iter().take(FLAWS).cloned().chain(more).chain([effect.to_owned()]);
    lines.collect::<Vec<_>>().join("\n")
}

/// The merge patch that makes `from` into `to`: what is gone is removed by name.
fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    patch.extend(from.keys().filter(|key| !to.contains_key(*key)).map(|key| (key.clone(), Value::Null)));
    for (key, value) in to {
        match from.get(key) {
            Some(old) if old == value => {}
            Some(old) => patch.extend([(key.clone(), merge_patch(old, value))]),
            None => patch.extend([(key.clone(), value.clone())]),
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Key {
        Key::new("monitoring", GUARD_NAME)
    }

    fn guard(spec: Value) -> AegisGuard {
        let mut guard = AegisGuard::new(GUARD_NAME, serde_json::from_value(spec).unwrap());
        guard.metadata.namespace = Some("monitoring".into());
        guard.metadata.generation = Some(1);
        guard
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn due_at(guard: &AegisGuard, now: &str) -> Option<Value> {
        let pauses = Pauses::of(&guard.spec, guard.metadata.annotations.as_ref());
        due(guard, &judge(guard, &own()), &pauses, at(now))
    }

    fn due_now(guard: &AegisGuard) -> Option<Value> {
        due_at(guard, "2026-11-22T12:00:00Z")
    }

    /// The AegisGuard after that patch of its status, with another spec.
    fn then(guard: &AegisGuard, patch: &Value, spec: Value) -> AegisGuard {
        let mut status = serde_json::to_value(&guard.status).unwrap();
        apply(&mut status, patch);
        let mut next = self::guard(spec);
        next.metadata.generation = guard.metadata.generation.map(|generation| generation + 1);
        next.status = Some(serde_json::from_value(status).unwrap());
        next
    }

    /// A merge patch as the API server applies it.
    fn apply(value: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *value = patch.clone();
            return;
        };
        if !value.is_object() {
            *value = json!({});
        }
        for (key, change) in patch {
            if change.is_null() {
                value.as_object_mut().unwrap().remove(key);
            } else {
                apply(&mut value[key], change);
            }
        }
    }

    #[test]
    fn a_valid_policy_is_recorded_once_and_kept_without_its_pauses() {
        let spec = json!({"budgets": {"unfinished": 7}, "pauses": [{"target": "node/n1"}]});
        let written = guard(spec.clone());
        let status = due_now(&written).unwrap();
        assert_eq!((&status["status"], &status["observedGeneration"]), (&json!("Recorded"), &json!(1)));
        assert_eq!(status["inForce"], json!({"budgets": {"unfinished": 7}}));
        assert_eq!(status["paused"], "node n1");
        let mut recorded = then(&written, &status, spec);
        recorded.metadata.generation = Some(1);
        assert_eq!(due_now(&recorded), None, "nothing is left to write");
    }

    #[test]
    fn an_invalid_policy_says_what_is_wrong_and_leaves_the_last_valid_one_in_force() {
        let good = guard(json!({"budgets": {"unfinished": 7}}));
        let bad = json!({"breaker": {"within": "25h"}, "approval": {"people": 3}});
        let broken = then(&good, &due_now(&good).unwrap(), bad.clone());
        let status = due_now(&broken).unwrap();
        assert_eq!((&status["status"], status.get("inForce")), (&json!("Invalid"), None));
        assert_eq!(
            status["conditions"][0]["message"],
            "spec.breaker.within: found \"25h\", expected at most 24h\nspec.approval.people: found 3, expected 1 to 2\n\
             the last policy that was valid stays in force"
        );
        let after = then(&broken, &status, json!({"budgets": {"nodesOut": {"count": 2}}}));
        assert_eq!(after.status.as_ref().unwrap().in_force.as_ref().unwrap().budgets, good.spec.budgets);
        let mended = then(&after, &due_now(&after).unwrap(), json!({}));
        let in_force = mended.status.unwrap().in_force.unwrap();
        assert_eq!(*in_force, after.spec, "what the mended policy no longer says is gone");

        let never = due_now(&guard(bad)).unwrap();
        let message = never["conditions"][0]["message"].as_str().unwrap();
        assert!(message.ends_with("no policy was ever valid, so nothing but recovery begins"), "{message}");
    }

    #[test]
    fn another_aegis_guard_does_not_count() {
        let mut other = guard(json!({"pauses": [{"target": "all"}]}));
        other.metadata.name = Some("mine".into());
        let status = due_now(&other).unwrap();
        assert_eq!((&status["status"], status.get("inForce")), (&json!("Invalid"), None));
        assert_eq!(status["paused"], Value::Null, "it pauses nothing");
        assert_eq!(
            status["conditions"][0]["message"],
            "metadata.name: found mine, expected aegis: only the one named aegis in namespace monitoring counts"
        );
    }

    #[test]
    fn what_is_paused_is_told_until_the_pause_ends() {
        let spec = json!({"pauses": [{"target": "all", "until": "2026-11-22T13:00:00Z"}]});
        let written = guard(spec.clone());
        let status = due_now(&written).unwrap();
        assert_eq!(status["paused"], "everything");
        let mut recorded = then(&written, &status, spec);
        recorded.metadata.generation = Some(1);
        assert_eq!(due_now(&recorded), None);
        assert_eq!(due_at(&recorded, "2026-11-22T13:00:00Z").unwrap()["paused"], Value::Null);
    }

    #[test]
    fn a_long_list_of_flaws_is_cut() {
        let flaws: Vec<String> = (0..30).map(|number| format!("flaw {number}")).collect();
        let message = told(&flaws, true);
        assert!(message.contains("flaw 19\nand 10 more\n") && !message.contains("flaw 20"), "{message}");
    }
}
