//! The last look: right before an action is made the alert and its target are read from the API server, not from a
//! cache, and must be what the plan took them to be. At most three reads; two more for what people approved, since an
//! approval counts only where the cluster keeps it honest.
//!
//! Where nobody else is at the desk, it is taken while the place is: an action that comes alone waits for one answer
//! less. What another leader did before it gave a place back is seen all the same, since the book was then still the one
//! that the place was judged by; where it was not, or that took long, another look is taken.

use std::sync::Arc;
use std::time::Duration;

use aegis_crds::AegisAlert;
use aegis_engine::guard::changes::Picture;
use aegis_engine::guard::{Approvals, Guard, NodeFacts};
use aegis_engine::plan::{self, LastLook, Snapshot};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::Api;
use tokio::time::Instant;

use super::approvals::approvals;
use super::desk::Judged;
use crate::alert::fresh;
use crate::context::{Failure, Lead};

/// How old an early look may be once the place is taken.
const EARLY: Duration = Duration::from_millis(50);

/// What the last look showed.
#[derive(Debug)]
pub enum Seen {
    /// All is as it was taken to be.
    AsPlanned(Before),
    /// Something is not; what it is now is in the snapshot.
    Otherwise,
    /// The alert is gone.
    Gone,
}

/// The node that an action takes out, as it is before it.
#[derive(Debug)]
pub enum Before {
    /// It takes none out.
    NoNode,
    /// The cluster has no such node.
    Absent,
    /// It is like this.
    Like(Picture),
}

/// What the API server answered.
#[derive(Debug)]
pub struct Sight {
    alert: Result<Option<AegisAlert>, Failure>,
    gone: Result<Option<String>, Failure>,
    node: Result<Option<Node>, Failure>,
    /// Asked for only where people approved.
    trusted: Option<Approvals>,
}

/// A look that was taken while the place was asked for.
#[derive(Debug)]
pub struct Early {
    sight: Sight,
    /// The version of the AegisGuard that was known before.
    book: Judged,
    begun: Instant,
}

impl Early {
    /// Looks, if the place will be taken in a moment.
    pub async fn take(lead: &Lead, alert: &AegisAlert, look: &LastLook) -> Option<Self> {
        if !lead.desk.is_free() {
            return None;
        }
        let book = lead.view.guard_object().and_then(|object| object.resource_version());
        let begun = Instant::now();
        Some(Self { sight: read(lead, alert, look).await, book, begun })
    }

    /// What it saw, if that still counts once the place is taken: if the place was judged by what was in the book before
    /// the look, all that was done before that is in it.
    pub fn once_taken(self, judged_by: &Judged) -> Option<Sight> {
        (self.book == *judged_by && self.begun.elapsed() <= EARLY).then_some(self.sight)
    }
}

/// Compares what is there with what the plan took it to be: as an early look saw it, if there is one that counts.
pub async fn last_look(
    lead: &Lead,
    seen: &mut Snapshot,
    look: &LastLook,
    early: Option<Sight>,
) -> Result<Seen, Failure> {
    let before = seen.alert.clone();
    let sight = match early {
        Some(sight) => sight,
        None => read(lead, &before, look).await,
    };
    let Some(alert) = sight.alert? else { return Ok(Seen::Gone) };
    let same = is_same(&before, &alert);
    seen.alert = Arc::new(alert);
    if !same {
        return Ok(Seen::Otherwise);
    }
    seen.gone = sight.gone?;
    if seen.gone.is_some() {
        return Ok(Seen::Otherwise);
    }
    if let Some(approvals) = sight.trusted.filter(|trusted| *trusted != seen.guard.approvals) {
        seen.guard = Arc::new(Guard { approvals, ..Guard::clone(&seen.guard) });
        return Ok(Seen::Otherwise);
    }
    let Some((_, expected)) = &look.node else { return Ok(Seen::AsPlanned(Before::NoNode)) };
    let found = sight.node?;
    let guard = lead.view.guard();
    let policy = guard.policy.or_default();
    if found.as_ref().map(|node| NodeFacts::of(node, &policy)) != *expected {
        seen.guard = guard;
        return Ok(Seen::Otherwise);
    }
    Ok(Seen::AsPlanned(found.map_or(Before::Absent, |node| Before::Like(Picture::of(&node)))))
}

/// Asks for all of it at the same time.
async fn read(lead: &Lead, alert: &AegisAlert, look: &LastLook) -> Sight {
    let node = async {
        match &look.node {
            Some((name, expected)) => read_node(lead, name, expected.as_ref().map(|facts| facts.uid.as_str())).await,
            None => Ok(None),
        }
    };
    let trusted = async {
        match look.approved {
            true => Some(approvals(lead).await),
            false => None,
        }
    };
    let (alert, gone, node, trusted) = tokio::join!(fresh(lead, alert), pod_gone(lead, look), node, trusted);
    Sight { alert, gone, node, trusted }
}

/// Why there is no pod any more to act on, if there is none.
async fn pod_gone(lead: &Lead, look: &LastLook) -> Result<Option<String>, Failure> {
    let Some((pod, heard)) = &look.pod else { return Ok(None) };
    let api: Api<Pod> = Api::namespaced(lead.context.client.clone(), &pod.namespace);
    let found = lead.request(api.get_metadata_opt(&pod.name)).await?;
    Ok(match found.map(|found| found.metadata.creation_timestamp.map(|time| time.0)) {
        None => Some(format!("pod {pod} is gone; it is tried when the alert is reported for another one")),
        Some(Some(created)) if created > *heard => Some(format!(
            "pod {pod} was made at {created}, after the alert was last heard; it is tried when it is reported again"
        )),
        Some(_) => None,
    })
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
