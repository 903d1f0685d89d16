//! The guard's effects: what the gates are shown, who takes a place in the book, the last look before an action, and
//! what is written down after it. What may be done is decided in `aegis_engine::guard`.

mod approvals;
mod desk;
mod expiry;
mod gauges;
mod give_back;
mod last_look;
mod view;

pub use approvals::approvals;
pub use desk::{Desk, Turned};
pub use give_back::{drop_claims, give_back, note};
pub use last_look::{Before, Early, Seen, last_look};
pub use view::View;

use tokio_util::sync::CancellationToken;

use crate::cache::{Key, Objects};
use crate::context::Lead;
use crate::metrics::GuardReading;
use crate::queue::Queue;

/// All nodes.
pub type Nodes = Objects<k8s_openapi::api::core::v1::Node>;

/// Keeps the book, the line of those who wait, what is to be put back by itself, and the numbers that tell of them,
/// until `stop`.
pub async fn keep(lead: &Lead, queue: &Queue<Key>, stop: &CancellationToken) {
    let kept = async {
        tokio::join!(
            lead.view.follow_nodes(),
            lead.desk.serve(lead, queue),
            Box::pin(expiry::follow(lead)),
            gauges::follow(lead)
        )
    };
    stop.run_until_cancelled(kept).await;
    // Whoever leads next tells.
    lead.context.metrics.guard(&GuardReading::default());
}
