//! After an action: what it changed on its node is written down there, and its place is given back. In this order, so
//! that a node which the action cordoned counts as out before its place is free, and as cordoned by us.

use aegis_crds::names::BEFORE_ANNOTATION;
use aegis_engine::guard::changes::{self, Author, Picture};
use aegis_engine::guard::{Ended, Place};
use aegis_engine::plan::{self, ActionKind, GiveBack, SeenAction};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use tracing::{info, warn};

use super::desk::Turned;
use super::last_look::read_node;
use crate::alert::{Turn, action_api, held, list};
use crate::cache::Key;
use crate::context::{FIELD_MANAGER, Failure, Lead};

/// How often a note on a node is tried that others were faster than.
const TRIES: usize = 5;

/// Writes down what the action changed, and gives its place back.
pub async fn give_back(lead: &Lead, namespace: &str, back: &GiveBack, turn: &mut Turn<'_>) -> Result<(), Failure> {
    let GiveBack { claim, ended, cooldown, .. } = back;
    note(lead, namespace, back).await?;
    settled(turn.at_desk(lead.desk.give_back(claim, *ended, *cooldown)).await)
}

/// Gives back what an alert holds that is gone, unless an action of it still goes on; says when to look again. What
/// the caches do not show is asked for, once no earlier leader can make it any more.
pub async fn drop_claims(
    lead: &Lead,
    alert: &Key,
    uid: Option<&str>,
    turn: &mut Turn<'_>,
) -> Result<Option<Timestamp>, Failure> {
    let guard = lead.view.guard();
    let of_others = guard.book.claims().filter(|claim| claim.alert == *alert.name && Some(claim.uid.as_str()) != uid);
    let mut again = None;
    for claim in of_others {
        let is_its = |action: &SeenAction| action.owner.as_deref() == Some(claim.uid.as_str());
        let mut made: Vec<SeenAction> = held(lead, alert).into_iter().filter(is_its).collect();
        if made.is_empty() {
            let known_from = plan::known_from(claim, &lead.settings);
            if known_from > lead.context.clock.now() {
                again = again.into_iter().chain([known_from]).min();
                continue;
            }
            made = list(lead, &alert.namespace, &claim.uid).await?;
        }
        if made.iter().all(|action| action.standing.ended()) {
            let given_back = lead.desk.give_back(claim, Ended::NeverBegan, SignedDuration::ZERO);
            settled(turn.at_desk(given_back).await)?;
        }
    }
    Ok(again)
}

fn settled(answer: Result<(), Turned>) -> Result<(), Failure> {
    match answer {
        Ok(()) | Err(Turned::Refused | Turned::OthersFirst) => Ok(()),
        Err(Turned::Failed(failure)) => Err(failure),
    }
}

/// The node as it was, as an earlier leader wrote it on the action.
async fn written_before(
    lead: &Lead,
    namespace: &str,
    kind: ActionKind,
    action: &str,
) -> Result<Option<Picture>, Failure> {
    let made = action_api(&lead.context.client, kind, namespace);
    match lead.request(made.get_metadata_opt(action)).await {
        Ok(found) => {
            Ok(found.and_then(|found| found.annotations().get(BEFORE_ANNOTATION).and_then(|text| Picture::parse(text))))
        }
        // The kind itself is gone, and its objects with it.
        Err(failure) if failure.code() == Some(404) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Writes down what the action changed; where that was done already, looks how its node is now.
pub async fn note(lead: &Lead, namespace: &str, back: &GiveBack) -> Result<(), Failure> {
    let Some(node) = &back.claim.node else { return Ok(()) };
    match &back.action {
        Some((kind, name)) => write_down(lead, namespace, node, *kind, name, back).await,
        None => read_node(lead, node, None).await.map(drop),
    }
}

async fn write_down(
    lead: &Lead,
    namespace: &str,
    name: &str,
    kind: ActionKind,
    action: &str,
    back: &GiveBack,
) -> Result<(), Failure> {
    let time = match back.ended {
        Ended::Succeeded(time) | Ended::Failed(time) => time,
        Ended::NeverBegan => lead.context.clock.now(),
    };
    let author = Author { alert: &back.claim.alert, rule: &back.claim.rule, action, time, cordon_for: back.cordon_for };
    let remembered = match lead.desk.recall(&Place::of(&back.claim)) {
        // The cluster had no such node.
        Some(None) => return Ok(()),
        remembered => remembered.flatten(),
    };
    let Some(mut node) = read_node(lead, name, None).await? else { return Ok(()) };
    let before = match remembered {
        Some(before) => Some(before),
        None => written_before(lead, namespace, kind, action).await?,
    };
    for _ in 0..TRIES {
        let Some(changes) = before.as_ref().and_then(|before| changes::record(before, &node, author)) else {
            return Ok(());
        };
        let nodes: Api<Node> = Api::all(lead.context.client.clone());
        let patch = Patch::Merge(changes::annotate(&node, &changes));
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match lead.request(nodes.patch(name, &parameters, &patch)).await {
            Ok(node) => {
                info!(node = %name, action = %action, "wrote down what {action} changed on node {name}");
                lead.view.saw_node(node);
                return Ok(());
            }
            Err(failure) if failure.code() == Some(409) => match read_node(lead, name, None).await? {
                Some(now) => node = now,
                None => return Ok(()),
            },
            Err(failure) if failure.code() == Some(404) => return Ok(()),
            // The place must come free all the same.
            Err(failure) if matches!(failure.code(), Some(401 | 403)) => {
                warn!(node = %name, "could not write down what {action} changed on node {name}, so it counts as somebody else's: {failure}");
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
    }
    warn!(node = %name, "could not write down what {action} changed on node {name}: it changes all the time");
    Ok(())
}
