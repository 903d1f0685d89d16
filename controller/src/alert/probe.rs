//! Waits for a kind that the cluster did not know: Argo may be installed after the first alert came.

use std::time::Duration;

use aegis_engine::plan::ActionKind;
use tracing::{debug, info};

use crate::context::Lead;

/// How often is asked whether a missing kind is there.
const PERIOD: Duration = Duration::from_secs(2);

/// Returns when a kind that was missing is there, and its objects are in the cache.
pub async fn next_kind(lead: &Lead) {
    loop {
        for kind in lead.memory.missing().await {
            if is_served(lead, kind).await {
                info!("the cluster knows {kind} of {} now", kind.api_version());
                // Before anything is made: it may have been there before, with objects of ours.
                match kind {
                    ActionKind::Workflow => lead.workflows.refresh().await,
                    ActionKind::Job => lead.jobs.refresh().await,
                }
                lead.memory.appeared(kind);
                return;
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn is_served(lead: &Lead, kind: ActionKind) -> bool {
    lead.context.patience.wait().await;
    match lead.request(lead.context.client.list_api_group_resources(kind.api_version())).await {
        Ok(list) => list.resources.iter().any(|resource| resource.kind == kind.as_str()),
        Err(failure) => {
            debug!("could not ask for {}: {failure}", kind.api_version());
            false
        }
    }
}
