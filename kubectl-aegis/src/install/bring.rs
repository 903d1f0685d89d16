//! Brings a cluster to what is wanted: nothing is written before all of it was judged.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use kube::api::PostParams;
use serde_json::Value;

use super::changes;
use super::objections::objections;
use super::rollout::{self, Deadline};
use super::shipped::{self, Wanted, kind};
use super::survey::{self, Found};
use crate::apply::{self, How};
use crate::dry_run::DryRun;
use crate::failure::{Failure, Kind};
use crate::guard::FIELD_MANAGER;
use crate::output;

/// How many objects are looked at, or judged, at the same time.
const AT_ONCE: usize = 8;
/// How many changes of one object are told.
const TOLD: usize = 8;
const ON_CONFLICT: &str =
    "somebody else set these fields, such as `kubectl apply` once: --force-conflicts takes them over";

/// How it is brought there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) dry_run: DryRun,
    pub(crate) force: bool,
    /// Wait until the controller runs.
    pub(crate) wait: bool,
    pub(crate) timeout: Duration,
    /// Objects are printed by the caller, in place of a line for each.
    pub(crate) quiet: bool,
}

/// One object: what is there, and what would be.
struct Step {
    object: Value,
    before: Option<Value>,
    /// As it would stand; `None` where the API server cannot judge it yet, since what it belongs to is not there.
    after: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Created,
    Configured,
    Unchanged,
}

impl Done {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

impl Step {
    fn done(&self) -> Done {
        match (&self.before, &self.after) {
            (None, _) => Done::Created,
            (Some(before), Some(after)) if !changes::between(before, after).is_empty() => Done::Configured,
            (Some(_), _) => Done::Unchanged,
        }
    }
}

/// Brings the cluster to what is wanted. The objects as they stand then, or would stand, in the order in which they are
/// applied. What stays as it was deployed, image and replicas, is the caller's to say.
///
/// # Errors
/// Whatever stands in the way (see `objections`), a conflict with somebody else's fields, a right that is missing: all of
/// that before the first write. Timeout while definitions or replicas are waited for.
pub(crate) async fn bring(
    client: &Client,
    found: &Found,
    wanted: &Wanted,
    manner: Manner,
) -> Result<Vec<Value>, Failure> {
    let mut objections = objections(found, wanted)?.into_iter();
    if let Some(first) = objections.next() {
        objections.for_each(|other| eprintln!("also: {other}"));
        return Err(first);
    }
    let steps: Vec<Step> = stream::iter(wanted.objects()?)
        .map(|object| look(client, found, object, manner))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    tell(&steps);
    if manner.dry_run != DryRun::None {
        for step in &steps {
            let unjudged = manner.dry_run == DryRun::Server && step.after.is_none() && step.before.is_none();
            let remark =
                if unjudged { " (not judged: what it belongs to is not there)" } else { manner.dry_run.remark() };
            line(manner, &step.object, &format!("{}{remark}", step.done().word()));
        }
        return Ok(steps.into_iter().map(|step| step.after.unwrap_or(step.object)).collect());
    }
    let deadline = Deadline::after(manner.timeout);
    let mut written = Vec::new();
    for part in steps.chunk_by(|one, other| is_definition(&one.object) == is_definition(&other.object)) {
        for step in part {
            written.push(write(client, step, manner, deadline).await?);
            line(manner, &step.object, step.done().word());
        }
        for step in part.iter().filter(|step| is_definition(&step.object)) {
            until_established(client, &step.object, deadline).await?;
        }
    }
    if manner.wait {
        rollout::until_done(client, &wanted.namespace, deadline).await?;
        eprintln!("all replicas of deployment/aegis are ready");
    }
    Ok(written)
}

fn line(manner: Manner, object: &Value, what: &str) {
    if !manner.quiet {
        output::line(&format!("{} {what}", apply::label(object)));
    }
}

fn is_definition(object: &Value) -> bool {
    kind(object) == "CustomResourceDefinition"
}

fn how(object: &Value, manner: Manner, rehearse: bool) -> How {
    // A definition that is only half ours fits no plugin, and a policy that is only half ours keeps nobody honest: nobody
    // else has a say in them.
    let ours = matches!(kind(object), "CustomResourceDefinition" | "ValidatingAdmissionPolicy");
    How { rehearse, force: manner.force || ours, on_conflict: ON_CONFLICT }
}

/// What is there of an object, and what would be.
async fn look(client: &Client, found: &Found, object: Value, manner: Manner) -> Result<Step, Failure> {
    let before = survey::get(client, &object).await?;
    let after = match &before {
        Some(before) if shipped::is_peoples_own(&object) => Some(before.clone()),
        Some(before) if manner.dry_run == DryRun::Client => Some(changes::laid_over(before, &object)),
        None if manner.dry_run == DryRun::Client => Some(object.clone()),
        None if shipped::is_peoples_own(&object) => None,
        _ if object.pointer("/metadata/namespace").is_some() && found.namespace.is_none() => None,
        _ => {
            let judged = apply::object(client, &object, how(&object, manner, true)).await.map_err(left_over)?;
            let judged = serde_json::to_value(judged);
            Some(judged.map_err(|error| Failure::new(Kind::Cluster, "an answer cannot be read").because(error))?)
        }
    };
    Ok(Step { object, before, after })
}

/// What cannot be changed about an object that is there is left over from another system.
fn left_over(failure: Failure) -> Failure {
    let immutable = failure.status().is_some_and(|status| status.code == 422 && status.message.contains("immutable"));
    let role = failure.status().is_some_and(|status| status.code == 422 && status.message.contains("roleRef"));
    if !immutable && !role {
        return failure;
    }
    let message = failure.status().map(|status| status.message.clone()).unwrap_or_default();
    Failure::new(Kind::Refused, format!("{failure}: {message}"))
        .hint("an object of that name is left over from another system: delete it, and run this again")
}

/// Says what is about to change, where something is there already.
fn tell(steps: &[Step]) {
    if steps.iter().all(|step| step.before.is_none() || !is_definition(&step.object)) {
        return;
    }
    let count = |done| steps.iter().filter(|step| step.done() == done).count();
    let (new, changed) = (count(Done::Created), count(Done::Configured));
    if new + changed == 0 {
        eprintln!("nothing changes: {} objects are as they should be", steps.len());
        return;
    }
    eprintln!("of {} objects {changed} change, {new} are new:", steps.len());
    for step in steps {
        match step.done() {
            Done::Unchanged => {}
            Done::Created => eprintln!("  {} (new)", apply::label(&step.object)),
            Done::Configured => {
                eprintln!("  {}", apply::label(&step.object));
                let (Some(before), Some(after)) = (&step.before, &step.after) else { continue };
                let all = changes::between(before, after);
                all.iter().take(TOLD).for_each(|change| eprintln!("    {change}"));
                if all.len() > TOLD {
                    eprintln!("    and {} more", all.len() - TOLD);
                }
            }
        }
    }
}

async fn write(client: &Client, step: &Step, manner: Manner, deadline: Deadline) -> Result<Value, Failure> {
    let object = &step.object;
    let unreadable = |error| Failure::new(Kind::Cluster, "an answer cannot be read").because(error);
    if !shipped::is_peoples_own(object) {
        let written = apply::object(client, object, how(object, manner, false)).await.map_err(left_over)?;
        return serde_json::to_value(written).map_err(|error| unreadable(anyhow::Error::from(error)));
    }
    if let Some(before) = &step.before {
        return Ok(before.clone());
    }
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let new = serde_json::from_value(object.clone()).map_err(|error| unreadable(anyhow::Error::from(error)))?;
    loop {
        match apply::api(client, object).create(&parameters, &new).await {
            Ok(_) => return Ok(object.clone()),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => return Ok(object.clone()),
            // A definition is served a moment after it is established.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                deadline.pause(&format!("the API server serves {}", kind(object))).await?;
            }
            Err(error) => return Err(Failure::of_call(format!("could not create {}", apply::label(object)), error)),
        }
    }
}

/// Waits until objects of that definition can be stored.
async fn until_established(client: &Client, definition: &Value, deadline: Deadline) -> Result<(), Failure> {
    loop {
        let found = survey::get(client, definition).await?.unwrap_or_default();
        let conditions = found.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let mut conditions = conditions.filter_map(|one| Some((one.get("type")?.as_str()?, one)));
        let is = |one: &Value, word: &str| one.get("status").is_some_and(|status| status == word);
        let refused = conditions.clone().find(|(of, one)| *of == "NamesAccepted" && is(one, "False"));
        if let Some((_, why)) = refused {
            let why = why.get("message").and_then(Value::as_str).unwrap_or_default();
            let what = format!("{} is not served: {why}", apply::label(definition));
            return Err(Failure::new(Kind::Refused, what).hint("another definition has the same names"));
        }
        if conditions.any(|(of, one)| of == "Established" && is(one, "True")) {
            return Ok(());
        }
        deadline.pause(&format!("{} is established", apply::label(definition))).await?;
    }
}
