//! What was to stand for a while and has expired is put back by whoever leads: under the node's lock in the book, on the
//! condition that the node is as it was read, and told by an Event on the node. It sleeps until the next end.

use std::time::Duration;

use aegis_crds::guard::Claim;
use aegis_crds::names::OPT_OUT_LABEL;
use aegis_engine::guard::changes::Change;
use aegis_engine::guard::{Ended, Request, admit, expiry};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use tracing::{info, warn};

use super::desk::Turned;
use super::last_look::read_node;
use crate::backoff::Backoff;
use crate::context::{FIELD_MANAGER, Failure, Lead};
use crate::events::{Note, Weight};

/// Changes come in swarms.
const SWARM: Duration = Duration::from_millis(50);
/// Clocks can be set, and timers do not count suspended time: nothing waits for longer than this without a look.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How often a node is read again that others were faster to write.
const TRIES: usize = 5;
/// The waits after something could not be read or written.
const AFTER_FAILURE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What a look at all nodes left to do.
#[derive(Default)]
struct Left {
    /// When the next change ends, or what holds one ends by itself.
    next: Option<Timestamp>,
    /// Whether something has ended that the guard holds.
    held: bool,
}

impl Left {
    fn until(&mut self, time: Timestamp) {
        self.next = self.next.into_iter().chain([time]).min();
    }
}

/// Puts back what expires, until it is dropped.
pub async fn follow(lead: &Lead) {
    if lead.settings.dry_run {
        return;
    }
    let (mut guards, mut fleet) = (lead.guards.subscribe(), lead.view.fleet_changes());
    let mut backoff = Backoff::new(AFTER_FAILURE.0, AFTER_FAILURE.1);
    loop {
        lead.context.patience.wait().await;
        let (held, wait) = match look(lead).await {
            Ok(left) => {
                backoff.reset();
                (left.held, left.next.map_or(LONGEST_WAIT, |next| until(lead, next)))
            }
            Err(Failure::NotLeading) => (false, AFTER_FAILURE.0),
            Err(failure) => {
                let wait = backoff.next_wait();
                warn!("could not put back what has expired on a node: {failure}; trying again in {wait:?}");
                (false, wait)
            }
        };
        tokio::select! {
            // The view that tells lives as long as this does.
            _ = fleet.changed() => tokio::time::sleep(SWARM).await,
            _ = guards.next(), if held => {
                tokio::time::sleep(SWARM).await;
                while guards.try_next().is_some() {}
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn until(lead: &Lead, time: Timestamp) -> Duration {
    let wait = time.duration_since(lead.context.clock.now());
    Duration::try_from(wait).unwrap_or_default().clamp(SWARM, LONGEST_WAIT)
}

/// Puts back all that has expired and that nothing holds.
async fn look(lead: &Lead) -> Result<Left, Failure> {
    // Such a place is taken only in here: one that stands now is left from a leader that could not give it back.
    let guard = lead.view.guard();
    for claim in guard.book.claims().filter(|claim| expiry::took(claim)) {
        give_back(lead, claim).await?;
    }
    let mut left = Left::default();
    for node in lead.view.nodes() {
        let now = lead.context.clock.now();
        let opted_out = node.labels().get(OPT_OUT_LABEL).is_some_and(|value| value == "true");
        let Some(due) = expiry::due_at(&node).filter(|_| !opted_out) else { continue };
        match expiry::request(&node, now) {
            Some(request) => put_back(lead, &request, &mut left, now).await?,
            None => left.until(due),
        }
    }
    Ok(left)
}

/// Puts back what is due on one node, in a place of its own.
async fn put_back(lead: &Lead, request: &Request, left: &mut Left, now: Timestamp) -> Result<(), Failure> {
    if let Err(refusal) = admit(request, &lead.view.guard(), now) {
        left.held = true;
        refusal.next_try.into_iter().for_each(|next| left.until(next));
        return Ok(());
    }
    match lead.desk.claim(request).await {
        Ok(_) => {}
        Err(Turned::Failed(failure)) => return Err(failure),
        Err(Turned::Refused | Turned::OthersFirst) => {
            left.held = true;
            left.until(now);
            return Ok(());
        }
    }
    let settled = settle(lead, request.node.as_deref().unwrap_or_default()).await;
    give_back(lead, &request.claim(now)).await?;
    settled
}

async fn give_back(lead: &Lead, claim: &Claim) -> Result<(), Failure> {
    match lead.desk.give_back(claim, Ended::NeverBegan, SignedDuration::ZERO).await {
        Ok(()) | Err(Turned::Refused | Turned::OthersFirst) => Ok(()),
        Err(Turned::Failed(failure)) => Err(failure),
    }
}

async fn settle(lead: &Lead, name: &str) -> Result<(), Failure> {
    let api: Api<Node> = Api::all(lead.context.client.clone());
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        let Some(node) = read_node(lead, name, None).await? else { return Ok(()) };
        let Some(settled) = expiry::settle(&node, lead.context.clock.now()) else {
            // The cache has not heard yet that somebody was faster.
            lead.view.learn_node(node);
            return Ok(());
        };
        match lead.request(api.patch(name, &parameters, &Patch::Merge(&settled.patch))).await {
            Ok(node) => {
                lead.view.learn_node(node);
                settled.back.iter().for_each(|change| tell_back(lead, name, change));
                settled.moved_on.iter().for_each(|change| tell_moved_on(lead, name, change));
                return Ok(());
            }
            Err(failure) if failure.code() == Some(404) => return Ok(()),
            Err(failure) if failure.code() == Some(409) => outcome = Err(failure),
            Err(failure) => return Err(failure),
        }
    }
    outcome
}

fn tell_back(lead: &Lead, node: &str, change: &Change) {
    let Change { field, before, after, alert, rule, .. } = change;
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    let message = format!(
        "{field} is put back, {} -> {}: {} (alert {alert}, rule {rule})",
        value(after),
        value(before),
        ended(change)
    );
    info!(node = %node, alert = %alert, "node {node}: {message}");
    note(lead, node, Weight::Normal, "ChangeExpired", message);
}

fn tell_moved_on(lead: &Lead, node: &str, change: &Change) {
    let Change { field, alert, rule, .. } = change;
    let message = format!(
        "{field} is left as it is: {}, but somebody else has changed or set it anew since (alert {alert}, rule {rule})",
        ended(change)
    );
    info!(node = %node, alert = %alert, "node {node}: {message}");
    note(lead, node, Weight::Normal, "ChangeMovedOn", message);
}

fn ended(change: &Change) -> String {
    change.expires.map(|end| format!("it was to stand until {end}")).unwrap_or_default()
}

fn note(lead: &Lead, node: &str, weight: Weight, reason: &'static str, message: String) {
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(node.to_owned()),
        // As kubelet does it: what `kubectl describe node` looks for.
        uid: Some(node.to_owned()),
        ..ObjectReference::default()
    };
    lead.context.events.record(Note { regarding, weight, reason, message });
}
