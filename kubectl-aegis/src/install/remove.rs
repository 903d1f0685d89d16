//! Takes an installation away, in the reverse order, so that nothing is left that nobody can delete any more.

use aegis_crds::names::{MANAGED_BY, MANAGED_BY_LABEL, OUTCOME_FINALIZER};
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};

use super::rollout::Deadline;
use super::shipped::{OURS, Wanted, kind};
use super::survey::{self, Found};
use crate::apply;
use crate::dry_run::DryRun;
use crate::failure::{Failure, Kind};
use crate::output;
use crate::sop;

/// A Workflow or Job that is kept until its outcome stands in its alert's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    version: &'static str,
    kind: &'static str,
    namespace: String,
    name: String,
    finalizers: Vec<String>,
    resource_version: String,
}

impl Held {
    fn object(&self) -> Value {
        json!({"apiVersion": self.version, "kind": self.kind,
            "metadata": {"name": self.name, "namespace": self.namespace}})
    }

    /// As kubectl names it, with its namespace.
    pub(crate) fn label(&self) -> String {
        format!("{} in {}", apply::label(&self.object()), self.namespace)
    }
}

/// What the controller holds of its actions; in that namespace, or everywhere.
pub(crate) async fn held(client: &Client, namespace: Option<&str>) -> Result<Vec<Held>, Failure> {
    let ours = ListParams::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
    let mut all = Vec::new();
    for (version, kind) in [("argoproj.io/v1alpha1", "Workflow"), ("batch/v1", "Job")] {
        let mut place = json!({"apiVersion": version, "kind": kind, "metadata": {}});
        if let Some(namespace) = namespace {
            apply::place(&mut place, namespace);
        }
        let listed = match apply::api(client, &place).list_metadata(&ours).await {
            Ok(listed) => listed.items,
            // Without Argo there are no Workflows.
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(Failure::of_call(format!("could not list what is a {kind} of Aegis"), error)),
        };
        all.extend(listed.into_iter().filter_map(|object| one(version, kind, object)));
    }
    Ok(all)
}

fn one(version: &'static str, kind: &'static str, object: PartialObjectMeta<DynamicObject>) -> Option<Held> {
    let metadata = object.metadata;
    let finalizers = metadata.finalizers.unwrap_or_default();
    finalizers.iter().any(|one| one == OUTCOME_FINALIZER).then(|| Held {
        version,
        kind,
        namespace: metadata.namespace.unwrap_or_default(),
        name: metadata.name.unwrap_or_default(),
        finalizers,
        resource_version: metadata.resource_version.unwrap_or_default(),
    })
}

/// Waits until the controller has let go of everything.
pub(crate) async fn until_let_go(client: &Client, namespace: &str, deadline: Deadline) -> Result<(), Failure> {
    let mut last = 0;
    loop {
        let left = held(client, Some(namespace)).await?;
        let Some(first) = left.first() else { return Ok(()) };
        let what = format!("the controller lets go of {} actions, such as {}", left.len(), first.label());
        if left.len() != last {
            eprintln!("waiting: {what}");
            last = left.len();
        }
        deadline.pause(&what).await.map_err(|failure| {
            failure.hint(
                "nothing was taken away. Actions that run may take as long as they may: wait with --timeout, or let \
                 --release take off what keeps them; their outcome is told nowhere then",
            )
        })?;
    }
}

/// Takes our finalizer off what is held, and leaves all others there. One that is gone by then is fine.
pub(crate) async fn release(client: &Client, held: &[Held], dry_run: DryRun) -> Result<(), Failure> {
    for one in held {
        let rest: Vec<&String> = one.finalizers.iter().filter(|name| *name != OUTCOME_FINALIZER).collect();
        let patch = json!({"metadata": {"resourceVersion": one.resource_version, "finalizers": rest}});
        let parameters = PatchParams { dry_run: dry_run == DryRun::Server, ..PatchParams::default() };
        if dry_run != DryRun::Client {
            let object = one.object();
            match apply::api(client, &object).patch(&one.name, &parameters, &Patch::Merge(&patch)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(Failure::of_call(format!("could not release {}", one.label()), error)),
            }
        }
        output::line(&format!("{} released{}", apply::label(&one.object()), dry_run.remark()));
    }
    Ok(())
}

/// What an installation consists of, in the order in which it goes: what watches the controller, the controller, its
/// policies, the roles. Namespace, guard and definitions stay.
pub(crate) fn parts(namespace: &str) -> Result<Vec<Value>, Failure> {
    let mut objects = Wanted::everything(namespace).objects()?;
    objects.retain(|object| !matches!(kind(object), "CustomResourceDefinition" | "Namespace" | "AegisGuard"));
    // What `sop install` made for procedures that need more rights.
    objects.splice(0..0, sop::roles(namespace)?);
    let mut lease =
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "aegis-controller"}});
    apply::place(&mut lease, namespace);
    objects.insert(0, lease);
    objects.reverse();
    Ok(objects)
}

/// Whether the object that stands there is what we shipped: what is only called the same is left alone.
pub(crate) fn is_shipped(object: &Value) -> bool {
    let (key, value) = OURS.split_once('=').unwrap_or_default();
    let labelled = object.pointer("/metadata/labels").and_then(|labels| labels.get(key)).is_some_and(|is| is == value);
    labelled || kind(object) == "Lease"
}

/// Deletes an object, if it is there. Whether it was.
pub(crate) async fn delete(client: &Client, object: &Value, dry_run: DryRun) -> Result<bool, Failure> {
    if dry_run != DryRun::Client {
        let foreground =
            if kind(object) == "Deployment" { DeleteParams::foreground() } else { DeleteParams::default() };
        let parameters = DeleteParams { dry_run: dry_run == DryRun::Server, ..foreground };
        match apply::api(client, object).delete(apply::name(object), &parameters).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(false),
            Err(error) => return Err(Failure::of_call(format!("could not delete {}", apply::label(object)), error)),
        }
    }
    output::line(&format!("{} deleted{}", apply::label(object), dry_run.remark()));
    Ok(true)
}

/// Waits until an object is gone.
pub(crate) async fn until_gone(client: &Client, object: &Value, deadline: Deadline) -> Result<(), Failure> {
    while let Some(found) = survey::get(client, object).await? {
        let holds = found.pointer("/metadata/finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
        let holds: Vec<&str> = holds.iter().filter_map(Value::as_str).collect();
        let why = if holds.is_empty() { String::new() } else { format!(" (held by {})", holds.join(", ")) };
        deadline.pause(&format!("{} is gone{why}", apply::label(object))).await?;
    }
    Ok(())
}

/// Waits until the pods of the controller have ended: what they hold they let go of as they end.
pub(crate) async fn until_pods_are_gone(client: &Client, namespace: &str, deadline: Deadline) -> Result<(), Failure> {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}});
    apply::place(&mut pod, namespace);
    loop {
        let listed = apply::api(client, &pod).list_metadata(&ListParams::default().labels(OURS)).await;
        let left = listed.map_err(|error| Failure::of_call("could not list the controller's pods", error))?.items;
        if left.is_empty() {
            return Ok(());
        }
        deadline.pause(&format!("{} pods of the controller end", left.len())).await?;
    }
}

/// What would be lost with the definitions: how many objects of each kind, in the whole cluster.
pub(crate) async fn stored(client: &Client, found: &Found) -> Result<Vec<(String, usize)>, Failure> {
    let mut all = Vec::new();
    for definition in &found.definitions {
        let word = |path: &str| definition.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (kind, group) = (word("/spec/names/kind"), word("/spec/group"));
        let object = json!({"apiVersion": format!("{group}/v1alpha1"), "kind": kind, "metadata": {}});
        let listed = apply::api(client, &object).list_metadata(&ListParams::default()).await;
        let count = match listed {
            Ok(listed) => listed.items.len(),
            Err(kube::Error::Api(status)) if status.code == 404 => 0,
            Err(error) => return Err(Failure::of_call(format!("could not count what is a {kind}"), error)),
        };
        all.push((kind.to_owned(), count));
    }
    Ok(all)
}

/// Deletes the alerts of that namespace, so that the controller lets go of their actions while it can.
pub(crate) async fn delete_alerts(client: &Client, namespace: &str, dry_run: DryRun) -> Result<(), Failure> {
    let mut alert = json!({"apiVersion": "aegis.io/v1alpha1", "kind": "AegisAlert", "metadata": {}});
    apply::place(&mut alert, namespace);
    if dry_run != DryRun::Client {
        let parameters = DeleteParams { dry_run: dry_run == DryRun::Server, ..DeleteParams::default() };
        match apply::api(client, &alert).delete_collection(&parameters, &ListParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(Failure::of_call(format!("could not delete the alerts in {namespace}"), error)),
        }
    }
    output::line(&format!("aegisalerts.aegis.io of {namespace} deleted{}", dry_run.remark()));
    Ok(())
}

/// Whether a controller is there that can let go of what it holds.
pub(crate) fn has_controller(found: &Found) -> bool {
    let replicas = found.deployment.as_ref().and_then(|one| one.pointer("/status/availableReplicas"));
    replicas.and_then(Value::as_u64).unwrap_or_default() > 0
}

/// As a failure: nobody is there who would let go of what is held.
pub(crate) fn held_by_nobody(held: &[Held]) -> Failure {
    let first = held.first().map(Held::label).unwrap_or_default();
    let what = format!(
        "{} actions are kept by the finalizer {OUTCOME_FINALIZER}, such as {first}, and no controller runs that would let go of them",
        held.len()
    );
    Failure::new(Kind::Refused, what).hint(
        "nothing was taken away. Start the controller again, or let --release take the finalizer off: the outcome of \
         what still runs is told nowhere then",
    )
}
