//! The AegisGuard as people change it: read, changed by a patch that holds for what was read and nothing else, and read
//! again where somebody was faster.

use std::time::{Duration, Instant};

use aegis_crds::AegisGuard;
use aegis_crds::names::GUARD_NAME;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::Status;
use serde_json::{Value, json};

use crate::dry_run::DryRun;
use crate::failure::{Failure, Kind};

/// Who writes, as managedFields tell.
pub(crate) const FIELD_MANAGER: &str = "kubectl-aegis";

/// For how long a change is tried while others write the same object. In a storm the controller writes it all the time.
const PATIENCE: Duration = Duration::from_secs(30);

/// The guard of one namespace. Its content is kept as it is, so that a plugin of another version leaves alone what it
/// does not know, and no odd word in it keeps anybody from pausing.
pub(crate) struct Guard {
    api: Api<DynamicObject>,
    namespace: String,
}

impl Guard {
    /// The one in that namespace.
    pub(crate) fn new(client: &Client, namespace: &str) -> Self {
        let resource = ApiResource::erase::<AegisGuard>(&());
        Self { api: Api::namespaced_with(client.clone(), namespace, &resource), namespace: namespace.to_owned() }
    }

    /// The object; `None` if it was not made yet.
    pub(crate) async fn read(&self) -> Result<Option<DynamicObject>, Failure> {
        match self.api.get(GUARD_NAME).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.reason == "NotFound" => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(not_installed(status)),
            Err(error) => Err(Failure::of_call(format!("could not read {}", self.label()), error)),
        }
    }

    /// Makes the change that a function asks for, as a merge patch, when it is shown the object (null if there is none).
    /// The function is asked again when somebody else wrote meanwhile. The object as it stands then; `None` if the
    /// function asks for nothing.
    pub(crate) async fn change(
        &self,
        dry_run: DryRun,
        patch: impl Fn(&Value) -> Option<Value>,
    ) -> Result<Option<DynamicObject>, Failure> {
        let began = Instant::now();
        loop {
            let (found, version) = match self.read().await? {
                None => (Value::Null, None),
                Some(object) => (object.data.clone(), Some(object)),
            };
            let shown = with_metadata(&found, version.as_ref());
            let Some(patch) = patch(&shown) else { return Ok(None) };
            if dry_run == DryRun::Client {
                return self.merged(version, &patch).map(Some);
            }
            let done = match version {
                None => {
                    let parameters = PostParams {
                        dry_run: dry_run == DryRun::Server,
                        field_manager: Some(FIELD_MANAGER.to_owned()),
                    };
                    self.api.create(&parameters, &self.merged(None, &patch)?).await
                }
                Some(object) => {
                    let parameters = PatchParams {
                        dry_run: dry_run == DryRun::Server,
                        field_manager: Some(FIELD_MANAGER.to_owned()),
                        ..PatchParams::default()
                    };
                    let mut patch = patch;
                    let version = json!({"metadata": {"resourceVersion": object.metadata.resource_version}});
                    json_patch::merge(&mut patch, &version);
                    self.api.patch(GUARD_NAME, &parameters, &Patch::Merge(patch)).await
                }
            };
            match done {
                Ok(object) => return Ok(Some(object)),
                Err(kube::Error::Api(status)) if lost_a_race(&status) => {
                    if began.elapsed() > PATIENCE {
                        let what = format!("{} was written by others all the time, for {PATIENCE:?}", self.label());
                        return Err(Failure::new(Kind::Refused, what).because(kube::Error::Api(status)));
                    }
                }
                Err(kube::Error::Api(status)) if is_missing_namespace(&status) => {
                    return Err(Failure::new(Kind::NotFound, format!("there is no namespace {}", self.namespace))
                        .because(kube::Error::Api(status))
                        .hint("say with -n where Aegis publishes alerts"));
                }
                Err(kube::Error::Api(status)) if status.code == 404 => return Err(not_installed(status)),
                Err(kube::Error::Api(status)) if status.is_forbidden() => {
                    return Err(Failure::of_call(
                        format!("could not write {}", self.label()),
                        kube::Error::Api(status),
                    )
                    .hint("the verbs patch and create on aegisguards are needed; the role aegis-operator has them"));
                }
                Err(error) => return Err(Failure::of_call(format!("could not write {}", self.label()), error)),
            }
        }
    }

    /// The object as it would be with that merge patch.
    fn merged(&self, found: Option<DynamicObject>, patch: &Value) -> Result<DynamicObject, Failure> {
        let wrong = |error: serde_json::Error| Failure::new(Kind::Usage, "the change cannot be written").because(error);
        let resource = ApiResource::erase::<AegisGuard>(&());
        let object = found.unwrap_or_else(|| DynamicObject::new(GUARD_NAME, &resource).within(&self.namespace));
        let mut object = serde_json::to_value(object).map_err(wrong)?;
        json_patch::merge(&mut object, patch);
        serde_json::from_value(object).map_err(wrong)
    }

    fn label(&self) -> String {
        format!("aegisguard.aegis.io/{GUARD_NAME} in {}", self.namespace)
    }
}

/// The content with the annotations, which people write too.
fn with_metadata(content: &Value, object: Option<&DynamicObject>) -> Value {
    let mut shown = content.clone();
    if let (Some(fields), Some(object)) = (shown.as_object_mut(), object) {
        fields.insert("metadata".to_owned(), json!({"annotations": object.metadata.annotations}));
    }
    shown
}

/// Somebody wrote it, made it or deleted it since it was read.
fn lost_a_race(status: &Status) -> bool {
    status.code == 409 || (status.reason == "NotFound" && !is_missing_namespace(status))
}

fn is_missing_namespace(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}

fn not_installed(status: Box<Status>) -> Failure {
    Failure::new(Kind::NotInstalled, "the cluster does not know AegisGuard, the kind of object that pauses stand in")
        .because(kube::Error::Api(status))
        .hint("an administrator installs it: kubectl aegis install")
}
