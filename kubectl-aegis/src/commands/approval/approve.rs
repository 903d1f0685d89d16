//! `kubectl aegis approve`: say yes to an action that waits.

use aegis_crds::AegisAlert;
use aegis_crds::names::{APPROVAL_ANNOTATION, APPROVAL_REASON_ANNOTATION, SECOND_APPROVAL_ANNOTATION};
use clap::Args;
use serde_json::{Map, Value};

use super::{Answer, Writing, approval, approver};
use crate::cluster::ClusterArgs;
use crate::person::Person;

/// Say yes to an action that waits for a person
///
/// The plan that waits is shown on stderr first, and the yes holds for this plan alone, by its digest: if rule, template
/// or alert change, Aegis asks again. It is written on the alert as the annotation aegis.io/approval, or
/// aegis.io/approval-2 where somebody else has approved the same plan already, under the name that the API server knows
/// you by. It takes the verb approve on aegisalerts, which the ClusterRole aegis-approver grants.
#[derive(Args)]
#[command(after_help = "Examples:
  # Which alerts wait, and what for
  kubectl get aegisalerts -n monitoring -o wide

  # Look at the plan, and write nothing
  kubectl aegis approve default-nodedown-4vwzmc2dq5ylk --dry-run=client

  # Say yes to it
  kubectl aegis approve default-nodedown-4vwzmc2dq5ylk --reason 'the rack is empty'

Exit codes: 0 if it is approved, 4 if you may not, 5 if there is no such alert, 6 if it does not wait for approval.")]
pub(crate) struct Approve {
    #[command(flatten)]
    answer: Answer,
}

impl Approve {
    pub(crate) async fn run(self, cluster: &ClusterArgs) -> anyhow::Result<()> {
        let reason = self.answer.reason.as_deref();
        self.answer.give(cluster, "approved", |alert, plan, person| writing(alert, plan, person, reason)).await
    }
}

/// The first place that no other person's yes to this very plan holds. Where what stands there no longer counts it is
/// taken back first, of everybody: the same words again could not be told from the old ones.
fn writing(alert: &AegisAlert, plan: &str, person: &Person, reason: Option<&str>) -> Writing {
    let places = [APPROVAL_ANNOTATION, SECOND_APPROVAL_ANNOTATION];
    if is_void(alert, plan) {
        let stand = places.into_iter().filter(|place| approver(alert, place, plan).is_some());
        let taken: Map<String, Value> = stand.map(|place| (place.to_owned(), Value::Null)).collect();
        return if taken.is_empty() { Writing::NotYet } else { Writing::TakeBack(taken.into()) };
    }
    let held: Vec<&str> = places.iter().filter_map(|place| approver(alert, place, plan)).collect();
    if held.contains(&person.name.as_str()) {
        return Writing::Nothing(format!("{} has approved this plan already", person.name));
    }
    let Some(free) = places.into_iter().find(|place| approver(alert, place, plan).is_none()) else {
        return Writing::Nothing(format!("{} have approved this plan already", held.join(" and ")));
    };
    let mut annotations = Map::new();
    annotations.insert(free.to_owned(), Value::from(approval(plan, person)));
    if let Some(reason) = reason {
        annotations.insert(APPROVAL_REASON_ANNOTATION.to_owned(), Value::from(format!("{}: {reason}", person.name)));
    }
    Writing::Annotations(Value::Object(annotations))
}

/// Whether the controller says of what stands there that it no longer counts.
fn is_void(alert: &AegisAlert, plan: &str) -> bool {
    let stands = alert.status.as_ref().and_then(|status| status.approval.as_ref());
    stands.is_some_and(|stands| stands.plan == plan && stands.by.is_empty())
}
