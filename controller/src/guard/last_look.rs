//! The last look: right before an action is made the alert and its target are read from the API server, not from a
//! cache, and must be what the plan took them to be. At most three reads.

use std::sync::Arc;

use aegis_crds::AegisAlert;
use aegis_engine::guard::NodeFacts;
use aegis_engine::guard::changes::Picture;
use aegis_engine::plan::{self, LastLook, Snapshot};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::Api;

use crate::alert::fresh;
use crate::context::{Failure, Lead};

/// What the last look showed.
#[derive(Debug)]
pub enum Seen {
    /// All is as it was taken to be; the node as it is before the action, if it takes one out.
    AsPlanned(Option<Picture>),
    /// Something is not; what it is now is in the snapshot.
    Otherwise,
    /// The alert is gone.
    Gone,
}

/// Looks.
pub async fn last_look(lead: &Lead, seen: &mut Snapshot, look: &LastLook) -> Result<Seen, Failure> {
    let Some(alert) = fresh(lead, &seen.alert).await? else { return Ok(Seen::Gone) };
    let same = is_same(&seen.alert, &alert);
    seen.alert = Arc::new(alert);
    if !same {
        return Ok(Seen::Otherwise);
    }
    if let Some((pod, heard)) = &look.pod {
        let api: Api<Pod> = Api::namespaced(lead.context.client.clone(), &pod.namespace);
        let found = lead.request(api.get_metadata_opt(&pod.name)).await?;
        seen.gone = match found.map(|found| found.metadata.creation_timestamp.map(|time| time.0)) {
            None => Some(format!("pod {pod} is gone; it is tried when the alert is reported for another one")),
            Some(Some(created)) if created > *heard => Some(format!(
                "pod {pod} was made at {created}, after the alert was last heard; it is tried when it is reported again"
            )),
            Some(_) => None,
        };
        if seen.gone.is_some() {
            return Ok(Seen::Otherwise);
        }
    }
    let Some((name, expected)) = &look.node else { return Ok(Seen::AsPlanned(None)) };
    let found = read_node(lead, name, expected.as_ref().map(|facts| facts.uid.as_str())).await?;
    let guard = lead.view.guard();
    let policy = guard.policy.or_default();
    if found.as_ref().map(|node| NodeFacts::of(node, &policy)) != *expected {
        seen.guard = guard;
        return Ok(Seen::Otherwise);
    }
    Ok(Seen::AsPlanned(found.as_ref().map(Picture::of)))
}

/// The node as it is at this moment, for the cache too.
pub(super) async fn read_node(lead: &Lead, name: &str, uid: Option<&str>) -> Result<Option<Node>, Failure> {
    let api: Api<Node> = Api::all(lead.context.client.clone());
    let found = lead.request(api.get_opt(name)).await?;
    match (&found, uid) {
        (Some(node), _) => lead.view.saw_node(node.clone()),
        (None, Some(uid)) => lead.view.missed_node(name, uid),
        (None, None) => {}
    }
    Ok(found)
}

/// Whether the alert says the same about what is to be done. That it was heard again changes nothing.
fn is_same(one: &AegisAlert, other: &AegisAlert) -> bool {
    plan::phase(one) == plan::phase(other)
        && one.metadata.deletion_timestamp == other.metadata.deletion_timestamp
        && one.spec == other.spec
        && one.labels() == other.labels()
        && one.annotations() == other.annotations()
}
