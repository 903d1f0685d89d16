//! Which alerts to look at: those that something happened to, and those that wait for something that happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_engine::guard::{Rank, Reason, expiry};
use aegis_engine::plan::ActionKind;
use kube::Resource;

use super::probe;
use crate::cache::{Book, Changes, Compiled, Kept, Key, Objects};
use crate::context::Lead;
use crate::guard;
use crate::queue::{Lane, Queue};

/// Alerts of one fingerprint that are looked at together; a fingerprint with more is not one incident's.
const MOST_SIBLINGS: usize = 64;
/// How many objects are gone through in one go.
const AT_ONCE: usize = 64;
/// How often it is looked whether approvals can be trusted.
const APPROVALS: Duration = Duration::from_secs(30);

/// Feeds the queue until it is dropped. It begins with every alert.
pub async fn follow(lead: &Lead, queue: &Queue<Key>) {
    // The books hold all that is known from the start, before anything is judged by them.
    let (rules, templates) = tokio::join!(Definitions::of(&lead.context.rules), Definitions::of(&lead.templates));
    first(lead, queue).await;
    tokio::join!(
        alerts(lead, queue),
        actions(lead, queue, ActionKind::Workflow, &lead.workflows),
        actions(lead, queue, ActionKind::Job, &lead.jobs),
        rules.follow(lead, queue),
        templates.follow(lead, queue),
        opted_out(lead, queue),
        approvals(lead, queue),
        asked(lead, queue),
        old_controller(lead, queue),
        missing_kinds(lead, queue),
    );
}

/// Whom a leader that has just begun looks at before all others: those who hold places, since what has ended makes room,
/// or whose alert is gone; then those who come first for the room that there is.
async fn first(lead: &Lead, queue: &Queue<Key>) {
    let namespace = &lead.context.settings.alert.publish_namespace;
    for claim in lead.view.guard().book.claims().filter(|claim| !expiry::took(claim)) {
        queue.push(Key::new(namespace, &claim.alert), Lane::Fresh);
    }
    let mut pause = Pause::default();
    let mut unfinished: Vec<(Rank, Key)> = Vec::new();
    for alert in lead.context.alerts.unfinished() {
        unfinished.push((Rank::of(&alert), Key::of(alert.as_ref())));
        pause.after_one().await;
    }
    unfinished.sort();
    for (_, key) in unfinished {
        queue.push(key, Lane::Fresh);
    }
}

async fn alerts(lead: &Lead, queue: &Queue<Key>) {
    let mut changes = lead.context.alerts.subscribe();
    let mut pause = Pause::default();
    loop {
        let key = changes.next().await;
        let version = lead.context.alerts.glance(&key).map(|alert| alert.version.to_string());
        if !lead.memory.is_own_alert(&key, version.as_deref()) {
            queue.push(key.clone(), lane(lead, &key));
        }
        siblings(lead, queue, &key);
        pause.after_one().await;
    }
}

/// What has not been told, or is under way, goes before what has come to its end.
fn lane(lead: &Lead, alert: &Key) -> Lane {
    let finished = lead.context.alerts.glance(alert).is_some_and(|alert| alert.finished);
    if finished { Lane::Again } else { Lane::Fresh }
}

/// Lets others work while very many are gone through: all of them, when a leader begins.
#[derive(Default)]
pub struct Pause {
    since: usize,
}

impl Pause {
    /// One more has been gone through.
    pub async fn after_one(&mut self) {
        self.since = (self.since + 1) % AT_ONCE;
        if self.since == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// What waits for an alert of its own fingerprint: it may be over now.
fn siblings(lead: &Lead, queue: &Queue<Key>, of: &Key) {
    let all = lead.context.alerts.beside(of);
    if all.len() >= MOST_SIBLINGS {
        return;
    }
    for key in all {
        if lead.context.alerts.glance(&key).is_none_or(|sibling| sibling.finished) {
            continue;
        }
        let sibling = lead.context.alerts.find(&key);
        if sibling.is_some_and(|sibling| waits_for(&sibling) == Some(Reason::EarlierAction)) {
            queue.push(key, Lane::Again);
        }
    }
}

async fn actions<K: Kept>(lead: &Lead, queue: &Queue<Key>, kind: ActionKind, cache: &Objects<K>) {
    let mut changes = cache.subscribe();
    // The alerts of actions whose names do not tell; others need not be remembered.
    let mut alerts = HashMap::new();
    let mut pause = Pause::default();
    loop {
        let key = changes.next().await;
        let action = cache.find(&key);
        let version = action.as_ref().and_then(|action| action.resource_version());
        let own = lead.memory.is_own_action(kind, &key, version.as_deref());
        let alert = match action.as_ref().map(|action| action.index()) {
            Some(Some(name)) => {
                let alert = Key::new(&key.namespace, name);
                if told_by_name(&key).as_ref() != Some(&alert) {
                    alerts.insert(key.clone(), alert.clone());
                }
                Some(alert)
            }
            Some(None) => None,
            None => alerts.remove(&key).or_else(|| told_by_name(&key)),
        };
        if let Some(alert) = alert.filter(|_| !own) {
            // A sibling may wait for this action to end.
            siblings(lead, queue, &alert);
            let lane = lane(lead, &alert);
            queue.push(alert, lane);
        }
        pause.after_one().await;
    }
}

/// The alert that an action's name begins with: "-" and eight characters follow it.
fn told_by_name(action: &Key) -> Option<Key> {
    let (alert, digits) = action.name.rsplit_once('-')?;
    (digits.len() == 8).then(|| Key::new(&action.namespace, alert))
}

/// The rules or the templates, and the generation in which each is known.
struct Definitions<'a, B: Book> {
    compiled: &'a Compiled<B>,
    changes: Changes,
    known: HashMap<Key, Option<i64>>,
}

impl<'a, B: Book> Definitions<'a, B> {
    /// Returns once the book holds those that are there.
    async fn of(compiled: &'a Compiled<B>) -> Self {
        let changes = compiled.objects().subscribe();
        let known = compiled.objects().all().map(|object| (Key::of(&*object), object.meta().generation)).collect();
        compiled.caught_up().await;
        Self { compiled, changes, known }
    }

    /// Wakes what waits for one when one was written. Changes of their status are nobody's business.
    async fn follow(mut self, lead: &Lead, queue: &Queue<Key>) {
        loop {
            let first = self.changes.next().await;
            let mut written = false;
            for key in std::iter::once(first).chain(std::iter::from_fn(|| self.changes.try_next())) {
                let generation = self.compiled.objects().find(&key).map(|object| object.meta().generation);
                written |= match generation {
                    Some(generation) => self.known.insert(key, generation) != Some(generation),
                    None => self.known.remove(&key).is_some(),
                };
            }
            if written {
                self.compiled.caught_up().await;
                wake(lead, queue, |_| true).await;
            }
        }
    }
}

/// Wakes what was kept from a node when the nodes that are opted out are others.
async fn opted_out(lead: &Lead, queue: &Queue<Key>) {
    let mut changes = lead.view.fleet_changes();
    let mut known = lead.view.guard().fleet.opted_out().clone();
    loop {
        if changes.changed().await.is_err() {
            return;
        }
        let now = lead.view.guard().fleet.opted_out().clone();
        if now != known {
            known = now;
            wake(lead, queue, |reason| reason == Reason::OptedOut).await;
        }
    }
}

/// Wakes what waits for an approval when approvals begin to be trusted, or are no longer.
async fn approvals(lead: &Lead, queue: &Queue<Key>) {
    loop {
        if lead.view.set_approvals(guard::approvals(lead).await) {
            wake(lead, queue, |reason| reason == Reason::NeedsApproval).await;
        }
        tokio::time::sleep(APPROVALS).await;
    }
}

/// Wakes what waits for a person when the policy, or how many nodes are out, says otherwise: perhaps nobody is asked any
/// more.
async fn asked(lead: &Lead, queue: &Queue<Key>) {
    let (mut guards, mut fleet) = (lead.guards.subscribe(), lead.view.fleet_changes());
    let mut known = None;
    loop {
        fleet.mark_unchanged();
        let generation = lead.view.guard_object().and_then(|object| object.metadata.generation);
        let guard = lead.view.guard();
        let above = guard.policy().and_then(|policy| policy.approval().above_nodes_out);
        // Beyond that many it makes no difference, so a storm wakes nobody.
        let out = above.map(|above| guard.fleet.out_by_pool(guard.book.nodes(), above.saturating_add(1)));
        let now = Some((generation, out));
        if known != now {
            if known.is_some() {
                wake(lead, queue, |reason| reason == Reason::NeedsApproval).await;
            }
            known = now;
        }
        tokio::select! {
            _ = guards.next() => {}
            told = fleet.changed() => if told.is_err() { return },
        }
    }
}

/// Wakes what waits for a controller of an earlier version to go.
async fn old_controller(lead: &Lead, queue: &Queue<Key>) {
    loop {
        lead.takeover.over().await;
        wake(lead, queue, |reason| reason == Reason::OldController).await;
        lead.takeover.begun().await;
    }
}

async fn missing_kinds(lead: &Lead, queue: &Queue<Key>) {
    loop {
        probe::next_kind(lead).await;
        wake(lead, queue, |reason| reason == Reason::ExecutorMissing).await;
    }
}

/// Has alerts looked at again that wait for something, if it is what happened.
async fn wake(lead: &Lead, queue: &Queue<Key>, happened: impl Fn(Reason) -> bool) {
    // Those in hand were judged before it happened, and may be about to say that they wait for it.
    queue.push_taken(Lane::Again);
    let mut pause = Pause::default();
    for alert in lead.context.alerts.unfinished() {
        if waits_for(&alert).is_some_and(&happened) {
            queue.push(Key::of(alert.as_ref()), Lane::Again);
        }
        pause.after_one().await;
    }
}

/// What an alert waits for, as its status says.
pub fn waits_for(alert: &Arc<AegisAlert>) -> Option<Reason> {
    let verdict = alert.status.as_ref()?.verdict.as_ref()?;
    Reason::parse(&verdict.reason).filter(|reason| !reason.is_final())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actions_name_tells_its_alert() {
        let told = |name: &str| told_by_name(&Key::new("m", name)).map(|key| key.name.to_string());
        assert_eq!(told("default-nodedown-abcdefghijklm-12345678").as_deref(), Some("default-nodedown-abcdefghijklm"));
        assert_eq!(told("default-nodedown-9njt4-s82rh"), None, "a name of the first version");
        assert_eq!(told("x"), None);
    }
}
