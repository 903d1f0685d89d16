//! Rules and templates are judged when they are written, not when they are first needed: their status says Recorded,
//! or what is wrong and where.

use std::fmt::Debug;
use std::sync::Arc;

use aegis_crds::conditions::{self, Condition, ConditionType};
use aegis_engine::scope::Namespaces;
use jiff::Timestamp;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cache::{Book, Compiled, Kept, Key, Objects};
use crate::context::{self, FIELD_MANAGER, Failure, Lead};
use crate::queue::{Lane, Queue};

/// The word for one that can be used.
pub const RECORDED: &str = "Recorded";
/// The word for one that cannot.
pub const INVALID: &str = "Invalid";

/// How many are judged at the same time.
const WORKERS: usize = 4;

/// A kind that people write and an alert follows.
pub trait Definition:
    Kept + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
    /// Everything that is wrong with it, each as one sentence that begins with the field.
    fn flaws(&self) -> Vec<String>;

    /// What its status says now.
    fn verdict(&self) -> Verdict<'_>;
}

/// What the status of a definition says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict<'a> {
    /// Recorded, or Invalid.
    pub status: Option<&'a str>,
    /// Valid, and what others wrote.
    pub conditions: &'a [Condition],
    /// The generation that was judged.
    pub observed_generation: Option<i64>,
}

/// Judges every definition in the cache, and each one again when it changes, until `stop`. One that is Recorded is in
/// force: an alert that comes after that meets it.
pub async fn watch<B: Book<Object: Definition>>(lead: Arc<Lead>, compiled: Compiled<B>, stop: CancellationToken) {
    let cache = compiled.objects();
    let queue = Arc::new(Queue::new());
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(lead.clone(), cache.clone(), queue.clone(), stop.clone()));
    }
    let mut changes = cache.subscribe();
    while let Some(first) = stop.run_until_cancelled(changes.next()).await {
        let changed: Vec<Key> = std::iter::once(first).chain(std::iter::from_fn(|| changes.try_next())).collect();
        if stop.run_until_cancelled(compiled.caught_up()).await.is_none() {
            break;
        }
        for key in changed {
            queue.push(key, Lane::Fresh);
        }
    }
    while workers.join_next().await.is_some() {}
}

async fn work<K: Definition>(lead: Arc<Lead>, cache: Objects<K>, queue: Arc<Queue<Key>>, stop: CancellationToken) {
    let namespaces = context::namespaces(&lead.context.settings);
    let next = async || {
        lead.context.patience.wait().await;
        queue.next().await
    };
    while let Some(key) = stop.run_until_cancelled(next()).await {
        match judge(&lead, &cache, &namespaces, &key).await {
            Ok(()) => queue.forget(&key),
            Err(failure) => {
                let wait = queue.failed(&key, lead.context.patience.remaining());
                warn!(object = %key, "could not write the status of {} {key}: {failure}; next in {wait:?}", K::KIND);
            }
        }
    }
}

async fn judge<K: Definition>(
    lead: &Lead,
    cache: &Objects<K>,
    namespaces: &Namespaces,
    key: &Key,
) -> Result<(), Failure> {
    let Some(object) = cache.find(key) else { return Ok(()) };
    let Some(status) = due(object.as_ref(), namespaces, lead.context.clock.now()) else { return Ok(()) };
    let word = status.get("status").and_then(Value::as_str).unwrap_or_default();
    info!(object = %key, status = word, "{} {key} is {word}", K::KIND);
    let patch = json!({"metadata": {"resourceVersion": object.resource_version()}, "status": status});
    let api: Api<K> = Api::namespaced(lead.context.client.clone(), &key.namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match lead.request(api.patch_status(&key.name, &parameters, &Patch::Merge(&patch))).await {
        Ok(written) => {
            cache.insert(written);
            Ok(())
        }
        // It is gone; the watch will say so.
        Err(failure) if failure.code() == Some(404) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// The status to write, unless it stands there already.
fn due<K: Definition>(object: &K, namespaces: &Namespaces, now: Timestamp) -> Option<Value> {
    let condition = condition(object, namespaces);
    let word = if condition.status == "True" { RECORDED } else { INVALID };
    let before = object.verdict();
    let generation = object.meta().generation;
    let mut all = before.conditions.to_vec();
    let changed = conditions::set(&mut all, condition, now);
    if !changed && before.status == Some(word) && before.observed_generation == generation {
        return None;
    }
    Some(json!({"status": word, "conditions": all, "observedGeneration": generation}))
}

fn condition<K: Definition>(object: &K, namespaces: &Namespaces) -> Condition {
    let own = object.namespace().unwrap_or_default();
    let judged = if !namespaces.allow(&own) {
        let message = format!(
            "metadata.namespace: found {own}, expected one of {namespaces}: whoever writes elsewhere does not decide what \
             runs; an administrator can add the namespace to --rule-namespaces"
        );
        Condition::new(ConditionType::Valid, false, "NamespaceNotTrusted", message)
    } else {
        match object.flaws() {
            flaws if flaws.is_empty() => Condition::new(ConditionType::Valid, true, RECORDED, ""),
            flaws => Condition::new(ConditionType::Valid, false, INVALID, flaws.join("\n")),
        }
    };
    Condition { observed_generation: object.meta().generation, ..judged }
}

#[cfg(test)]
mod tests {
    use aegis_crds::AegisAlertOpsRule;
    use aegis_crds::alert::AlertStatus;
    use aegis_crds::rule::{AegisAlertOpsRuleSpec, AlertCondition};

    use super::*;

    fn rule(type_: &str, namespace: &str) -> AegisAlertOpsRule {
        let mut spec = AegisAlertOpsRuleSpec {
            alert_conditions: vec![AlertCondition { type_: type_.into(), status: AlertStatus::Firing }],
            ..Default::default()
        };
        spec.ops_template.name = Some("t".into());
        let mut rule = AegisAlertOpsRule::new("r", spec);
        rule.metadata.namespace = Some(namespace.into());
        rule.metadata.generation = Some(1);
        rule
    }

    fn judged(rule: &AegisAlertOpsRule) -> Option<Value> {
        due(rule, &Namespaces::of("monitoring", ["team-a"]), Timestamp::UNIX_EPOCH)
    }

    fn with_status(mut rule: AegisAlertOpsRule, status: &Value) -> AegisAlertOpsRule {
        rule.status = Some(serde_json::from_value(status.clone()).unwrap());
        rule
    }

    #[test]
    fn a_sound_rule_is_recorded_once() {
        let status = judged(&rule("NodeDown", "team-a")).unwrap();
        assert_eq!(status["status"], "Recorded");
        assert_eq!(status["conditions"][0]["status"], "True");
        assert_eq!(status["observedGeneration"], 1);
        let recorded = with_status(rule("NodeDown", "team-a"), &status);
        assert_eq!(judged(&recorded), None, "nothing is left to write");
        let mut edited = recorded;
        edited.metadata.generation = Some(2);
        assert_eq!(judged(&edited).unwrap()["observedGeneration"], 2);
    }

    #[test]
    fn a_broken_rule_says_which_field_is_wrong_until_it_is_mended() {
        let status = judged(&rule("Node(", "monitoring")).unwrap();
        assert_eq!(status["status"], "Invalid");
        let message = status["conditions"][0]["message"].as_str().unwrap();
        assert!(message.contains("spec.alertConditions[0].type") && message.contains("Node("), "{message}");
        let mended = judged(&with_status(rule("Node", "monitoring"), &status)).unwrap();
        assert_eq!(mended["status"], "Recorded");
        assert!(mended["conditions"][0].get("message").is_none());
    }

    #[test]
    fn a_rule_where_nobody_may_decide_says_so() {
        let status = judged(&rule("NodeDown", "default")).unwrap();
        assert_eq!(status["conditions"][0]["reason"], "NamespaceNotTrusted");
        let message = status["conditions"][0]["message"].as_str().unwrap();
        assert!(message.contains("found default, expected one of monitoring, team-a"), "{message}");
    }
}
