//! Which node a Pod is on, for senders that do not say it.

use std::time::Duration;

use aegis_crds::alert::InvolvedObject;
use tokio::time::Instant;
use tracing::debug;

use super::Inner;

/// An alert without its node is worth more than one that is stored late.
const AT_MOST: Duration = Duration::from_secs(1);

impl Inner {
    /// The Pod's node, if the API server says within a second; an alert is stored whether or not it does.
    pub(super) async fn node_of_pod(&self, pod: &InvolvedObject, deadline: Instant) -> Option<String> {
        let deadline = deadline.min(Instant::now() + AT_MOST);
        match self.api.pod(&pod.namespace, &pod.name, deadline).await {
            Ok(found) => found.spec?.node_name.filter(|node| !node.is_empty()),
            Err(refused) => {
                debug!("could not find out the Pod's node: {refused:?}");
                None
            }
        }
    }
}
