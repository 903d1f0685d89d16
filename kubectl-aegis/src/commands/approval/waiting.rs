//! The plan that waits for a person: what the alert's status tells of it, and where it can be made here too, what it is.

use std::sync::Arc;

use aegis_controller::Settings;
use aegis_crds::AegisAlert;
use aegis_crds::names::REJECTION_ANNOTATION;
use aegis_engine::plan::{self, Remedy};
use jiff::Timestamp;
use kube::{Client, ResourceExt};

use super::super::plan::known::Known;
use crate::failure::{Failure, Kind};

/// The word in status.verdict.reason of an alert whose action waits for a person.
const NEEDS_APPROVAL: &str = "NeedsApproval";

/// So much of a digest nobody finds another plan for.
const LEAST: usize = 32;

/// A plan that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Its digest.
    pub(super) plan: String,
    /// Why a person is asked, in the words of the controller.
    why: String,
}

impl Waiting {
    /// The plan of the alert, if that is what it waits for; else a failure that says how it stands.
    pub(super) fn of(alert: &AegisAlert) -> Result<Self, Failure> {
        let name = alert.name_any();
        let refused = |what: String| Failure::new(Kind::Refused, what);
        let status = alert.status.as_ref();
        let Some(verdict) = status.and_then(|status| status.verdict.as_ref()) else {
            let how = status.and_then(|status| status.ops_status.as_ref()?.trigger_status);
            let how =
                how.map_or("not been judged yet".to_owned(), |how| format!("triggerStatus {how:?} and no verdict"));
            return Err(refused(format!("{name} waits for nobody: it has {how}")));
        };
        let stands = format!("{}: {}", verdict.reason, verdict.message);
        match &verdict.plan {
            Some(plan) if verdict.reason == NEEDS_APPROVAL => {
                Ok(Self { plan: plan.clone(), why: verdict.message.clone() })
            }
            None if verdict.reason == NEEDS_APPROVAL => {
                Err(refused(format!("{name} waits for approval, and its status shows no plan to approve: {stands}")))
            }
            _ => {
                let failure = refused(format!("{name} does not wait for approval: its verdict is {stands}"));
                Err(match alert.annotations().get(REJECTION_ANNOTATION) {
                    Some(rejection) => failure.hint(format!(
                        "it was rejected ({rejection}); to take that back: kubectl annotate aegisalert {name} -n {} \
                         {REJECTION_ANNOTATION}-",
                        alert.namespace().unwrap_or_default()
                    )),
                    None => failure,
                })
            }
        }
    }

    /// Shows on stderr what is answered.
    pub(super) async fn show(&self, client: &Client, namespace: &str, alert: &AegisAlert) {
        let object = &alert.spec.involved_object;
        let kind = object.kind.to_lowercase();
        let target = [kind.as_str(), &object.namespace, &object.name];
        let target: Vec<&str> = target.into_iter().filter(|part| !part.is_empty()).collect();
        let status = alert.status.as_ref();
        let rule = status.and_then(|status| status.rule.as_ref());
        eprintln!("alert     {}: {}", alert.name_any(), alert.spec.type_);
        eprintln!("target    {}", target.join("/"));
        if let Some(rule) = rule {
            eprintln!("rule      {}/{}", rule.namespace, rule.name);
        }
        match self.remedy(client, namespace, alert).await {
            Ok(remedy) => {
                eprintln!("template  {}", remedy.template);
                eprintln!("creates   {} {}", remedy.kind, remedy.name);
            }
            Err(why) => eprintln!("creates   not to be seen from here: {why}"),
        }
        eprintln!("why       {}", self.why);
        eprintln!("plan      {}", self.plan);
    }

    /// The very plan, made again from what the cluster holds; the reason why that cannot be done, as a clause.
    async fn remedy(&self, client: &Client, namespace: &str, alert: &AegisAlert) -> Result<Arc<Remedy>, String> {
        let mut settings = Settings::default();
        namespace.clone_into(&mut settings.alert.publish_namespace);
        if let Some(rule) = alert.status.as_ref().and_then(|status| status.rule.as_ref()) {
            settings.rule_namespaces.push(rule.namespace.clone());
        }
        let known = Known::of_cluster(client, settings).await.map_err(|failure| failure.to_string())?;
        let remedy = plan::plan(&known.snapshot(alert.clone()), Timestamp::now()).remedy;
        match remedy {
            // The status may show the beginning of the digest alone.
            Some(remedy) if self.plan.len() >= LEAST && remedy.digest().starts_with(&self.plan) => Ok(remedy),
            _ => Err("the plan depends on settings of the controller, or has changed".to_owned()),
        }
    }
}
