//! Act: the only place that creates, stops or lets go of a Workflow or Job, and the only one that deletes an alert.

use std::iter::Peekable;
use std::sync::Arc;

use aegis_crds::AegisAlert;
use aegis_crds::names::BEFORE_ANNOTATION;
use aegis_engine::guard::Place;
use aegis_engine::plan::{ActionPatch, Remedy, SeenAction, Snapshot, Step, TroubleKind};
use futures::future::join;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde_json::Value;
use tracing::{info, warn};

use super::turns::Turn;
use super::{actions, gather};
use crate::cache::Key;
use crate::context::{FIELD_MANAGER, Failure, Lead};
use crate::guard::{self, Before, Early, Seen, Turned};

/// Everything that a plan asked for before this status was carried out: it may be written now. Only [`carry_out`]
/// makes one, so that status never claims what did not happen.
#[derive(Debug)]
pub struct Done {
    patch: Value,
}

impl Done {
    /// The status to write.
    pub fn patch(&self) -> &Value {
        &self.patch
    }
}

/// How far carrying out came.
#[derive(Debug)]
pub enum Progress {
    /// Up to a status that is to be told now; what follows it is left in the steps.
    Tell(Done),
    /// The cluster is not as the plan took it to be, or the API server's answer calls for another one.
    Replan,
    /// An action was made, just now.
    Started(Box<SeenAction>),
    /// The name that the action should have is held by this object, which is not it.
    NameTaken(Box<SeenAction>),
    /// An action could not be made.
    Trouble(Obstacle),
    /// The alert was deleted.
    Deleted,
    /// Nothing was left to do.
    Complete,
}

/// Why an action could not be made.
#[derive(Debug)]
pub struct Obstacle {
    /// What kind of trouble it is.
    pub kind: TroubleKind,
    /// What the API server said.
    pub message: String,
    /// The digest of the object.
    pub digest: String,
}

/// Why carrying out was broken off. It is tried again with the next plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server was to be asked first.
    #[error("could not read what the decision depends on")]
    Look(#[source] Failure),
    /// An action was to be created, and its name was taken.
    #[error("could not read {kind} {name}, which holds the name of the action")]
    ReadHolder {
        /// Workflow or Job.
        kind: &'static str,
        /// The name.
        name: String,
        /// Why.
        source: Failure,
    },
    /// No request may be sent any more.
    #[error("could not create {kind} {name}")]
    Create {
        /// Workflow or Job.
        kind: &'static str,
        /// The name.
        name: String,
        /// Why.
        source: Failure,
    },
    /// An action was to be stopped or let go.
    #[error("could not {doing} {kind} {name}")]
    Change {
        /// What was attempted.
        doing: &'static str,
        /// Workflow or Job.
        kind: &'static str,
        /// The name.
        name: String,
        /// Why.
        source: Failure,
    },
    /// A place was to be taken or given back.
    #[error("could not write the book of the guard")]
    Book(#[source] Failure),
    /// The alert was to be deleted.
    #[error("could not delete the alert")]
    Delete(#[source] Failure),
}

impl Error {
    /// What the API server or the connection to it did.
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Look(source) | Self::Delete(source) | Self::Book(source) => source,
            Self::ReadHolder { source, .. } | Self::Create { source, .. } | Self::Change { source, .. } => source,
        }
    }
}

/// Takes steps off the front and carries them out until something is to be told or decided anew. Sets `acted` when it
/// changes something in the cluster.
pub async fn carry_out(
    lead: &Lead,
    seen: &mut Snapshot,
    steps: &mut Peekable<impl Iterator<Item = Step>>,
    turn: &mut Turn<'_>,
    acted: &mut bool,
) -> Result<Progress, Error> {
    let mut before = Before::NoNode;
    let (mut taken, mut early) = (None, None);
    while let Some(step) = steps.next() {
        match step {
            Step::Look(look) => {
                gather::look(lead, seen, &look).await.map_err(Error::Look)?;
                return Ok(Progress::Replan);
            }
            Step::WriteStatus(patch) => return Ok(Progress::Tell(Done { patch })),
            Step::Claim(request) => {
                let look = async {
                    match steps.peek() {
                        Some(Step::LastLook(look)) => Early::take(lead, &seen.alert, look).await,
                        _ => None,
                    }
                };
                let (look, claimed) = turn.at_desk(Box::pin(join(look, lead.desk.claim(&request)))).await;
                match claimed {
                    Ok(judged_by) => {
                        taken = Some(request.place);
                        early = look.and_then(|look| look.once_taken(&judged_by));
                        seen.guard = lead.view.guard();
                    }
                    Err(Turned::Failed(failure)) => return Err(Error::Book(failure)),
                    Err(turned @ (Turned::Refused | Turned::OthersFirst)) => {
                        seen.guard = lead.view.guard();
                        seen.others_first = matches!(turned, Turned::OthersFirst);
                        return Ok(Progress::Replan);
                    }
                }
            }
            Step::Adopt(request) => {
                match turn.at_desk(lead.desk.adopt(&request)).await {
                    Ok(()) => {}
                    Err(Turned::Failed(failure)) => return Err(Error::Book(failure)),
                    Err(Turned::Refused | Turned::OthersFirst) => {
                        let Some(alert) = lead.context.alerts.find(&Key::of(&*seen.alert)) else {
                            return Ok(Progress::Deleted);
                        };
                        seen.alert = alert;
                        seen.guard = lead.view.guard();
                        return Ok(Progress::Replan);
                    }
                }
                info!(alert = %request.alert, "took a place for the action on {} that is there already", request.target);
                seen.guard = lead.view.guard();
                *acted = true;
            }
            Step::LastLook(look) => {
                let last_look = Box::pin(guard::last_look(lead, seen, &look, early.take()));
                match last_look.await.map_err(Error::Look)? {
                    Seen::AsPlanned(node) => before = node,
                    Seen::Otherwise => {
                        seen.unused.extend(taken);
                        return Ok(Progress::Replan);
                    }
                    Seen::Gone => return Ok(Progress::Deleted),
                }
            }
            Step::Note(back) => {
                let namespace = seen.alert.namespace().unwrap_or_default();
                guard::note(lead, &namespace, &back).await.map_err(Error::Book)?;
            }
            Step::GiveBack(back) => {
                let namespace = seen.alert.namespace().unwrap_or_default();
                guard::give_back(lead, &namespace, &back, turn).await.map_err(Error::Book)?;
                seen.guard = lead.view.guard();
                *acted = true;
            }
            Step::Create(remedy) => return create(lead, seen, Arc::unwrap_or_clone(remedy), before).await,
            Step::Stop(patch) => {
                info!(action = %patch.name, "stopping {} {}", patch.kind, patch.name);
                if !change(lead, seen, &patch, "stop").await? {
                    return Ok(Progress::Replan);
                }
                *acted = true;
            }
            Step::Release(patch) => {
                if !change(lead, seen, &patch, "let go of").await? {
                    return Ok(Progress::Replan);
                }
                *acted = true;
            }
            Step::DeleteAlert { uid, resource_version } => {
                return delete(lead, seen, uid, resource_version).await;
            }
        }
    }
    Ok(Progress::Complete)
}

async fn create(lead: &Lead, seen: &mut Snapshot, remedy: Remedy, before: Before) -> Result<Progress, Error> {
    let digest = remedy.digest();
    let place = Place { uid: seen.alert.uid().unwrap_or_default(), phase: remedy.phase, attempt: remedy.attempt };
    let Remedy { kind, namespace, name, object, .. } = remedy;
    let trouble = |kind, message: String| Ok(Progress::Trouble(Obstacle { kind, message, digest: digest.clone() }));
    let mut object: DynamicObject = match serde_json::from_value(object) {
        Ok(object) => object,
        Err(error) => return trouble(TroubleKind::Rejected, error.to_string()),
    };
    match before {
        Before::NoNode => {}
        Before::Absent => lead.desk.remember(place, None),
        Before::Like(picture) => {
            object.annotations_mut().insert(BEFORE_ANNOTATION.to_owned(), picture.to_text());
            lead.desk.remember(place, Some(picture));
        }
    }
    let api = actions::api(&lead.context.client, kind, &namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match lead.request(api.create(&parameters, &object)).await {
        Ok(made) => {
            let action = actions::learn(lead, kind, made);
            seen.saw(action.clone());
            Ok(Progress::Started(Box::new(action)))
        }
        Err(Failure::Api(kube::Error::Api(status))) if status.is_already_exists() => {
            let read = |source| Error::ReadHolder { kind: kind.as_str(), name: name.clone(), source };
            match gather::action(lead, seen, kind, &name).await.map_err(read)? {
                Some(holder) => {
                    seen.saw(holder.clone());
                    let ours = holder.is_of(seen.alert.uid().unwrap_or_default().as_str());
                    Ok(if ours { Progress::Replan } else { Progress::NameTaken(Box::new(holder)) })
                }
                None => trouble(TroubleKind::Unavailable, "its name was taken a moment ago".to_owned()),
            }
        }
        Err(source @ Failure::NotLeading) => Err(Error::Create { kind: kind.as_str(), name, source }),
        Err(failure) => {
            let kind = match failure.code() {
                Some(404) if !names_namespace(&failure) => TroubleKind::ExecutorMissing,
                Some(400 | 413 | 422) => TroubleKind::Rejected,
                Some(401 | 403) => TroubleKind::Forbidden,
                _ => TroubleKind::Unavailable,
            };
            trouble(kind, said(&failure))
        }
    }
}

/// A 404 that says that the namespace is missing does not say that the kind is.
fn names_namespace(failure: &Failure) -> bool {
    let Failure::Api(kube::Error::Api(status)) = failure else { return false };
    status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}

/// What the API server said, as one line; of other failures only what they are.
fn said(failure: &Failure) -> String {
    match failure {
        Failure::Api(kube::Error::Api(status)) if !status.message.is_empty() => {
            format!("{} ({})", status.message.trim().replace('\n', " "), status.code)
        }
        Failure::Api(kube::Error::Api(status)) => format!("status {}", status.code),
        Failure::Api(_) => "the connection to the API server failed".to_owned(),
        other => other.to_string(),
    }
}

/// Patches an action. False if it is not as the patch took it to be; what it is now is in the snapshot then.
async fn change(
    lead: &Lead,
    seen: &mut Snapshot,
    ActionPatch { kind, name, patch }: &ActionPatch,
    doing: &'static str,
) -> Result<bool, Error> {
    let namespace = seen.alert.namespace().unwrap_or_default();
    let api = actions::api(&lead.context.client, *kind, &namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let failed = |source| Error::Change { doing, kind: kind.as_str(), name: name.clone(), source };
    match lead.request(api.patch(name, &parameters, &Patch::Merge(patch))).await {
        Ok(object) => {
            seen.saw(actions::learn(lead, *kind, object));
            Ok(true)
        }
        // There is nothing left to stop or to let go.
        Err(failure) if failure.code() == Some(404) => {
            actions::forget(lead, *kind, &namespace, name);
            seen.missed(*kind, name);
            Ok(true)
        }
        Err(failure) if failure.code() == Some(409) => {
            match gather::action(lead, seen, *kind, name).await.map_err(failed)? {
                Some(now) => seen.saw(now),
                None => seen.missed(*kind, name),
            }
            Ok(false)
        }
        Err(failure) => Err(failed(failure)),
    }
}

/// Lets go of an action whose alert is gone. Asks the API server first: the cache may lag, and an outcome that nobody
/// has read must not vanish.
pub async fn release_orphan(lead: &Lead, alert: &Key, action: &SeenAction) -> Result<(), Error> {
    let owner = action.owner.as_deref().unwrap_or_default();
    let alerts: Api<AegisAlert> = Api::namespaced(lead.context.client.clone(), &alert.namespace);
    let holder = lead.request(alerts.get_metadata_opt(&alert.name)).await.map_err(Error::Look)?;
    let is_there = holder.is_some_and(|holder| {
        holder.metadata.deletion_timestamp.is_none() && holder.metadata.uid.is_some_and(|uid| uid == owner)
    });
    if !is_there {
        release(lead, &alert.namespace, action).await?;
        info!(action = %action.name, "let go of {} {}: its alert is gone", action.kind, action.name);
    }
    Ok(())
}

/// Takes our finalizer off an action whose outcome nobody waits for.
pub async fn release(lead: &Lead, namespace: &str, action: &SeenAction) -> Result<(), Error> {
    let SeenAction { kind, name, .. } = action;
    let api = actions::api(&lead.context.client, *kind, namespace);
    let failed = |source| Error::Change { doing: "let go of", kind: kind.as_str(), name: name.clone(), source };
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match lead.request(api.patch(name, &parameters, &Patch::Merge(action.release()))).await {
        Ok(object) => {
            actions::learn(lead, *kind, object);
            Ok(())
        }
        Err(failure) if failure.code() == Some(404) => {
            actions::forget(lead, *kind, namespace, name);
            Ok(())
        }
        Err(failure) => {
            if failure.code() == Some(409) {
                match lead.request(api.get_opt(name)).await.map_err(failed)? {
                    Some(now) => drop(actions::learn(lead, *kind, now)),
                    None => actions::forget(lead, *kind, namespace, name),
                }
            }
            Err(failed(failure))
        }
    }
}

async fn delete(lead: &Lead, seen: &mut Snapshot, uid: String, resource_version: String) -> Result<Progress, Error> {
    let (namespace, name) = (seen.alert.namespace().unwrap_or_default(), seen.alert.name_any());
    let api: Api<AegisAlert> = Api::namespaced(lead.context.client.clone(), &namespace);
    let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: Some(resource_version) };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    match lead.request(api.delete(&name, &parameters)).await {
        Ok(_) => info!(alert = %name, "deleted alert {name}: its time to live is over"),
        Err(failure) if failure.code() == Some(404) => {}
        Err(failure) if failure.code() == Some(409) => {
            warn!(alert = %name, "did not delete alert {name}: it changed since it was judged");
            return match gather::fresh(lead, &seen.alert).await.map_err(Error::Delete)? {
                Some(fresh) => {
                    seen.alert = Arc::new(fresh);
                    Ok(Progress::Replan)
                }
                None => Ok(Progress::Deleted),
            };
        }
        Err(failure) => return Err(Error::Delete(failure)),
    }
    lead.context.alerts.remove_if(&namespace, &name, &uid);
    Ok(Progress::Deleted)
}
