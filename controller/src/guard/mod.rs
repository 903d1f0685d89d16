//! The guard's effects: what the gates are shown, who takes a place in the book, the last look before an action, and
//! what is written down after it. What may be done is decided in `aegis_engine::guard`.

mod approvals;
mod desk;
mod give_back;
mod last_look;
mod view;

pub use approvals::approvals;
pub use desk::{Desk, Turned};
pub use give_back::{drop_claims, give_back};
pub use last_look::{Seen, last_look};
pub use view::View;

use std::time::Duration;

use aegis_crds::AegisGuard;
use aegis_crds::guard::AegisGuardSpec;
use aegis_crds::names::GUARD_NAME;
use kube::api::{Api, PostParams};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cache::{Kept, Key, Objects};
use crate::context::{FIELD_MANAGER, Lead};
use crate::queue::Queue;

/// The AegisGuards of the publish namespace.
pub type Guards = Objects<AegisGuard>;
/// All nodes.
pub type Nodes = Objects<k8s_openapi::api::core::v1::Node>;

/// How often an AegisGuard that could not be made is tried again.
const RETRY: Duration = Duration::from_secs(5);

impl Kept for AegisGuard {
    const KIND: &'static str = "AegisGuard";
}

/// Keeps the book and the line of those who wait, until `stop`.
pub async fn keep(lead: &Lead, queue: &Queue<Key>, stop: &CancellationToken) {
    stop.run_until_cancelled(async {
        tokio::join!(exists(lead), lead.view.follow_nodes(), lead.desk.serve(lead, queue))
    })
    .await;
}

/// Makes the AegisGuard if nobody has: without one there is no book, and nothing but recovery begins.
async fn exists(lead: &Lead) {
    let api: Api<AegisGuard> =
        Api::namespaced(lead.context.client.clone(), &lead.context.settings.alert.publish_namespace);
    let mut told = false;
    let mut changes = lead.view.guards().subscribe();
    loop {
        if lead.view.guard_object().is_none() {
            let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            let empty = AegisGuard::new(GUARD_NAME, AegisGuardSpec::default());
            match lead.request(api.create(&parameters, &empty)).await {
                Ok(made) => {
                    info!("made AegisGuard {GUARD_NAME} with the default policy");
                    lead.view.guards().insert(made);
                    lead.desk.look_again();
                }
                // Somebody else made it; the watch will show it.
                Err(failure) if failure.code() == Some(409) => {}
                Err(failure) => {
                    if !std::mem::replace(&mut told, true) {
                        warn!("could not make AegisGuard {GUARD_NAME}, so nothing but recovery begins: {failure}");
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
            continue;
        }
        told = false;
        changes.next().await;
    }
}
