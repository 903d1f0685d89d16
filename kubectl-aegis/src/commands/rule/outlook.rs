//! After `rule apply`: which alerts that are open already the rules act on.

use aegis_controller::Settings;
use aegis_crds::AegisAlert;
use jiff::Timestamp;
use kube::ResourceExt;
use kubectl_aegis::view::kinds::{ALERT, RULE, TEMPLATE};

use crate::cluster::ClusterArgs;
use crate::commands::plan::known::Known;
use crate::failure::Failure;
use crate::fetch::{self, Wanted};
use crate::manifests::{Document, Manifests};
use crate::replay::cases::Case;
use crate::replay::{self, Word};

/// How many alerts are named.
const NAMED: usize = 5;

/// Says it on stderr; what cannot be told is no failure of the apply.
pub(super) async fn tell(cluster: &ClusterArgs, applied: &[Document]) {
    match would_act_on(cluster, applied).await {
        Ok(names) if names.is_empty() => eprintln!("none of the stored alerts that are open would be acted on"),
        Ok(names) => {
            let more = if names.len() > NAMED { ", ..." } else { "" };
            let some: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
            let (count, some) = (names.len(), some.join(", "));
            eprintln!("{count} of the stored alerts that are open would be acted on: {some}{more}");
        }
        Err(failure) => eprintln!("which stored alerts they act on is not to be seen: {failure}"),
    }
}

/// The open alerts that no action was made for, and that one of the rules would act on now.
async fn would_act_on(cluster: &ClusterArgs, applied: &[Document]) -> Result<Vec<String>, Failure> {
    let mut manifests = Manifests::default();
    for document in applied {
        if document.kind() == RULE.kind {
            manifests.rules.push(document.read()?);
        } else if document.kind() == TEMPLATE.kind {
            manifests.templates.push(document.read()?);
        }
    }
    let mut settings = Settings::default();
    cluster.namespace.clone_into(&mut settings.alert.publish_namespace);
    let known = Known::of_manifests(settings, &manifests);
    let client = cluster.client().await?;
    let listed = fetch::list(&client, &ALERT, &Wanted::all_in(Some(&cluster.namespace))).await?;
    let alerts = listed.items.into_iter().filter_map(|item| serde_json::from_value::<AegisAlert>(item).ok());
    let acted = |alert: &AegisAlert| alert.status.as_ref().is_some_and(|status| !status.actions.is_empty());
    let now = Timestamp::now();
    let mut names = Vec::new();
    for alert in alerts.filter(|alert| !acted(alert)) {
        let name = alert.name_any();
        if replay::outcome(&known, &Case { name: name.clone(), alert, now }).result == Word::Fires {
            names.push(name);
        }
    }
    Ok(names)
}
