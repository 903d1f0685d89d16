//! Yes or no to an action that waits for a person. Both read the alert, show the plan that waits, and write an
//! annotation that holds for that plan and no other.

pub(crate) mod approve;
pub(crate) mod reject;
mod waiting;

use std::time::{Duration, Instant};

use aegis_crds::AegisAlert;
use clap::Args;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use kube::core::Status;
use serde_json::{Value, json};

use self::waiting::Waiting;
use crate::cluster::ClusterArgs;
use crate::dry_run::{DryRun, DryRunArg};
use crate::failure::{Failure, Kind};
use crate::guard::FIELD_MANAGER;
use crate::output;
use crate::person::Person;

/// For how long the annotation is tried while others write the same alert.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long after it is looked again whether the controller has seen something.
const PAUSE: Duration = Duration::from_millis(100);

/// What both are told.
#[derive(Args)]
struct Answer {
    /// The alert whose action waits, by its name
    #[arg(value_name = "ALERT")]
    alert: String,
    /// Why, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// What is to be written about a plan.
enum Writing {
    /// These annotations.
    Annotations(Value),
    /// These, which take away what no longer counts, before there can be others.
    TakeBack(Value),
    /// Others, once the controller has seen that those which no longer count were taken away.
    NotYet,
    /// Nothing: it stands there already, as this sentence says.
    Nothing(String),
}

impl Answer {
    /// Reads the alert, shows what waits, and writes what `writing` makes of it. `done` is the word for that.
    async fn give(
        &self,
        cluster: &ClusterArgs,
        done: &str,
        writing: impl Fn(&AegisAlert, &str, &Person) -> Writing,
    ) -> anyhow::Result<()> {
        let client = cluster.client().await?;
        let dry_run = self.dry_run.dry_run;
        let person = Person::known(&client, cluster, dry_run).await;
        let alerts: Api<AegisAlert> = Api::namespaced(client.clone(), &cluster.namespace);
        let name = bare(&self.alert);
        let began = Instant::now();
        let mut shown: Option<Waiting> = None;
        loop {
            let alert = read(&alerts, name, &cluster.namespace).await?;
            let waiting = Waiting::of(&alert)?;
            match &shown {
                None => waiting.show(&client, &cluster.namespace, &alert).await,
                Some(before) if before.plan != waiting.plan => {
                    return Err(Failure::new(Kind::Refused, format!("the plan of {name} has changed meanwhile"))
                        .hint("look at the new one, and answer again")
                        .into());
                }
                Some(_) => {}
            }
            let (annotations, last) = match writing(&alert, &waiting.plan, &person) {
                Writing::Annotations(annotations) => (annotations, true),
                // Without a write nobody will ever see that it was taken back.
                Writing::TakeBack(annotations) => (annotations, dry_run != DryRun::None),
                Writing::NotYet if began.elapsed() < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                    shown = Some(waiting);
                    continue;
                }
                Writing::NotYet => return Err(unseen(name).into()),
                Writing::Nothing(why) => {
                    eprintln!("{why}");
                    return Ok(());
                }
            };
            shown = Some(waiting);
            if dry_run != DryRun::Client {
                let patch = json!({
                    "metadata": {"resourceVersion": alert.resource_version(), "annotations": annotations},
                });
                match write(&alerts, name, dry_run, patch).await {
                    Ok(()) if !last => continue,
                    Ok(()) => {}
                    Err(kube::Error::Api(status)) if status.code == 409 && began.elapsed() < PATIENCE => continue,
                    Err(error) => return Err(unwritten(name, &person, &cluster.namespace, error).into()),
                }
            }
            output::line(&format!("aegisalert.aegis.io/{name} {done}{}", dry_run.remark()));
            return Ok(());
        }
    }
}

async fn write(alerts: &Api<AegisAlert>, name: &str, dry_run: DryRun, patch: Value) -> Result<(), kube::Error> {
    let parameters = PatchParams {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    alerts.patch_metadata(name, &parameters, &Patch::Merge(patch)).await.map(drop)
}

async fn read(alerts: &Api<AegisAlert>, name: &str, namespace: &str) -> Result<AegisAlert, Failure> {
    match alerts.get(name).await {
        Ok(alert) => Ok(alert),
        Err(kube::Error::Api(status)) if status.reason == "NotFound" => {
            Err(Failure::new(Kind::NotFound, format!("there is no alert {name} in {namespace}"))
                .hint(format!("`kubectl get aegisalerts -n {namespace} -o wide` lists them, with why each is held")))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Err(not_installed(status)),
        Err(error) => Err(Failure::of_call(format!("could not read the alert {name}"), error)),
    }
}

fn not_installed(status: Box<Status>) -> Failure {
    Failure::new(Kind::NotInstalled, "the cluster does not know AegisAlert")
        .because(kube::Error::Api(status))
        .hint("an administrator installs it: kubectl aegis install")
}

/// Nobody looks at the alert.
fn unseen(name: &str) -> Failure {
    let what =
        format!("what no longer counts was taken back from {name}, and no controller has seen it for {PATIENCE:?}");
    Failure::new(Kind::Refused, what).hint("approve it again once a controller leads")
}

/// Why it could not be written, with the verb that is missing.
fn unwritten(name: &str, person: &Person, namespace: &str, error: kube::Error) -> Failure {
    let doing = format!("could not write the answer on {name}");
    let kube::Error::Api(status) = &error else { return Failure::of_call(doing, error) };
    let by_policy = status.message.contains("ValidatingAdmissionPolicy");
    let hint = match status.code {
        409 => {
            return Failure::new(Kind::Refused, format!("{name} was written by others all the time, for {PATIENCE:?}"))
                .because(error);
        }
        403 if !by_policy => {
            Some(format!("the verbs patch and approve on aegisalerts are needed{}", role(person, namespace)))
        }
        403 if status.message.contains("verb approve") => {
            Some(format!("the verb approve on aegisalerts is missing{}", role(person, namespace)))
        }
        _ => None,
    };
    let failure = Failure::of_call(doing, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// How an administrator gives the right.
fn role(person: &Person, namespace: &str) -> String {
    let name = &person.name;
    format!(": kubectl create rolebinding approver --clusterrole=aegis-approver --user='{name}' -n {namespace}")
}

/// The alert's name, from any form in which kubectl writes it.
fn bare(text: &str) -> &str {
    match text.split_once('/') {
        Some((
            "aegisalert.aegis.io" | "aegisalerts.aegis.io" | "aegisalert" | "aegisalerts" | "aalert" | "alert",
            name,
        )) => name,
        _ => text,
    }
}

/// Who said yes to that plan in an annotation, if that is what it says.
fn approver<'a>(alert: &'a AegisAlert, annotation: &str, plan: &str) -> Option<&'a str> {
    let (digest, user) = alert.annotations().get(annotation)?.split_once(" by ")?;
    (digest == plan).then_some(user)
}

/// What the annotation holds of the person's yes.
fn approval(plan: &str, person: &Person) -> String {
    format!("{plan} by {}", person.name)
}

#[cfg(test)]
mod tests {
    use aegis_crds::names::APPROVAL_ANNOTATION;

    use super::*;

    #[test]
    fn an_alert_is_known_by_any_form_of_its_name() {
        for text in ["a-1", "alert/a-1", "aegisalert/a-1", "aegisalert.aegis.io/a-1", "aalert/a-1"] {
            assert_eq!(bare(text), "a-1");
        }
    }

    #[test]
    fn a_yes_counts_for_one_plan() {
        let mut alert = AegisAlert::default();
        alert.annotations_mut().insert(APPROVAL_ANNOTATION.to_owned(), "d1 by ann by name".to_owned());
        assert_eq!(approver(&alert, APPROVAL_ANNOTATION, "d1"), Some("ann by name"));
        assert_eq!(approver(&alert, APPROVAL_ANNOTATION, "d2"), None, "an older plan");
        alert.annotations_mut().insert(APPROVAL_ANNOTATION.to_owned(), "ann".to_owned());
        assert_eq!(approver(&alert, APPROVAL_ANNOTATION, "d1"), None, "nothing that can be read");
    }
}
