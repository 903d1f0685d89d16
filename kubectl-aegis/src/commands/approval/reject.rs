//! `kubectl aegis reject`: say no to an action that waits.

use aegis_crds::names::REJECTION_ANNOTATION;
use clap::Args;
use serde_json::json;

use super::{Answer, Writing, approval};
use crate::cluster::ClusterArgs;

/// Say no to an action that waits for a person
///
/// The plan that waits is shown on stderr first, and the no holds for this plan alone, by its digest: if rule, template
/// or alert change, Aegis asks again. It is written on the alert as the annotation aegis.io/rejection, under the name
/// that the API server knows you by. It takes the verb approve on aegisalerts, which the ClusterRole aegis-approver
/// grants.
#[derive(Args)]
#[command(after_help = "Examples:
  kubectl aegis reject default-nodedown-4vwzmc2dq5ylk --reason 'somebody is at it'

  # Take it back
  kubectl annotate aegisalert default-nodedown-4vwzmc2dq5ylk -n monitoring aegis.io/rejection-

Exit codes: 0 if it is rejected, 4 if you may not, 5 if there is no such alert, 6 if it does not wait for approval.")]
pub(crate) struct Reject {
    #[command(flatten)]
    answer: Answer,
}

impl Reject {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let reason = self.answer.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.answer
            .give(cluster, "rejected", |_, plan, person| {
                Writing::Annotations(json!({REJECTION_ANNOTATION: format!("{}{reason}", approval(plan, person))}))
            })
            .await
    }
}
