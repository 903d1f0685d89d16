//! What is there of Aegis, and of what it takes, before anything is written.

use futures::future;
use kube::Client;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::secrets::Secrets;
use super::shipped::{self, MONITORS, POLICIES};
use crate::apply;
use crate::failure::{Failure, Kind};

/// The pods of a controller of the first version: ours carry its label too, and one more.
const OLD_PODS: &str = "component=aegis,app.kubernetes.io/name!=aegis";
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Those of our definitions that are there.
    pub(crate) definitions: Vec<Value>,
    pub(crate) namespace: Option<Value>,
    /// The Deployment of that name, whosever it is.
    pub(crate) deployment: Option<Value>,
    /// The namespace of another installation, to which the controller's rights in the whole cluster are bound.
    pub(crate) elsewhere: Option<String>,
    /// Pods of a controller of the first version that have not ended, as namespace/name.
    pub(crate) old_pods: Vec<String>,
    /// Whether the API server knows the policies of admission.
    pub(crate) knows_policies: bool,
    /// Whether it knows what a Prometheus Operator takes.
    pub(crate) knows_monitors: bool,
}

impl Found {
    /// Looks at the cluster, for an installation in that namespace.
    ///
    /// # Errors
    /// Forbidden where something of it may not be seen: nobody can install what they cannot look at.
    pub(crate) async fn look(client: &Client, namespace: &str) -> Result<Self, Failure> {
        let definitions = shipped::definitions()?;
        let definitions = future::try_join_all(definitions.iter().map(|one| get(client, one)));
        let of_name = |version: &str, kind: &str, name: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
        let mut deployment = of_name("apps/v1", "Deployment", "aegis");
        apply::place(&mut deployment, namespace);
        let binding = of_name("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "aegis");
        let namespace_object = of_name("v1", "Namespace", namespace);
        let (definitions, deployment, binding, namespace_found, old_pods, policies, monitors) = futures::try_join!(
            definitions,
            get(client, &deployment),
            get(client, &binding),
            get(client, &namespace_object),
            old_pods(client, namespace),
            knows(client, POLICIES),
            knows(client, MONITORS),
        )?;
        let elsewhere = bound_for(binding.as_ref()).filter(|there| *there != namespace).map(str::to_owned);
        let elsewhere = match elsewhere {
            // A binding outlives its installation, where somebody deleted only the namespace.
            Some(there) => {
                let mut other = of_name("apps/v1", "Deployment", "aegis");
                apply::place(&mut other, &there);
                get(client, &other).await?.is_some_and(|other| is_ours(&other)).then_some(there)
            }
            None => None,
        };
        Ok(Self {
            definitions: definitions.into_iter().flatten().collect(),
            namespace: namespace_found,
            deployment,
            elsewhere,
            old_pods,
            knows_policies: policies,
            knows_monitors: monitors,
        })
    }

    /// Whether a controller of this project is deployed.
    pub(crate) fn is_installed(&self) -> bool {
        self.deployment.as_ref().is_some_and(is_ours)
    }

    /// The image that is deployed.
    pub(crate) fn image(&self) -> Option<String> {
        let deployment = self.deployment.as_ref().filter(|one| is_ours(one))?;
        let image = deployment.pointer("/spec/template/spec/containers/0/image").and_then(Value::as_str)?;
        Some(image.to_owned())
    }

    /// How many replicas are asked for.
    pub(crate) fn replicas(&self) -> Option<u32> {
        let deployment = self.deployment.as_ref().filter(|one| is_ours(one))?;
        deployment.pointer("/spec/replicas").and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok())
    }

    /// What its pods mount.
    pub(crate) fn secrets(&self) -> Secrets {
        self.deployment.as_ref().filter(|one| is_ours(one)).map(Secrets::of).unwrap_or_default()
    }

    /// The version that was installed, where this plugin did it.
    pub(crate) fn version(&self) -> Option<&str> {
        let labels = self.deployment.as_ref()?.pointer("/metadata/labels")?;
        labels.get(shipped::VERSION_LABEL).and_then(Value::as_str)
    }
}

/// The namespace that the controller's rights in the whole cluster are for, if they are bound.
fn bound_for(binding: Option<&Value>) -> Option<&str> {
    let subjects = binding?.get("subjects").and_then(Value::as_array)?;
    subjects.iter().find_map(|one| one.get("namespace").and_then(Value::as_str))
}

/// Whether the Deployment is of this project: it selects our pods.
pub(crate) fn is_ours(deployment: &Value) -> bool {
    let selector = deployment.pointer("/spec/selector/matchLabels");
    selector.and_then(|labels| labels.get("app.kubernetes.io/name")).is_some_and(|name| name == "aegis")
}

/// The object as it stands in the cluster; `None` where it, its kind or its namespace is not there.
pub(crate) async fn get(client: &Client, object: &Value) -> Result<Option<Value>, Failure> {
    let failed = |error| Failure::of_call(format!("could not read {}", apply::label(object)), error);
    let found = match apply::api(client, object).get_opt(apply::name(object)).await {
        Ok(found) => found,
        Err(kube::Error::Api(status)) if status.code == 404 => None,
        Err(error) => return Err(failed(error)),
    };
    let found = found.map(serde_json::to_value).transpose();
    found.map_err(|error| failed(kube::Error::SerdeError(error)))
}

/// Looks in the whole cluster, or where that is not allowed in the one namespace.
async fn old_pods(client: &Client, namespace: &str) -> Result<Vec<String>, Failure> {
    let pods = ListParams::default().labels(OLD_PODS).fields(NOT_ENDED);
    let of = |namespace: Option<&str>| {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}});
        if let Some(namespace) = namespace {
            apply::place(&mut pod, namespace);
        }
        apply::api(client, &pod)
    };
    let listed = match of(None).list_metadata(&pods).await {
        Err(kube::Error::Api(status)) if status.is_forbidden() => of(Some(namespace)).list_metadata(&pods).await,
        listed => listed,
    };
    let listed =
        listed.map_err(|error| Failure::of_call("could not look for an earlier version's controller", error))?;
    let named = |pod: kube::core::PartialObjectMeta<_>| {
        let kube::api::ObjectMeta { namespace, name, .. } = pod.metadata;
        format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default())
    };
    Ok(listed.items.into_iter().map(named).collect())
}

/// Whether the API server serves that kind.
pub(crate) async fn knows(client: &Client, (version, kind): (&str, &str)) -> Result<bool, Failure> {
    match client.list_api_group_resources(version).await {
        Ok(list) => Ok(list.resources.iter().any(|resource| resource.kind == kind)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Failure::of_call(format!("could not ask what there is of {version}"), error)),
    }
}

/// As a failure, where a verb needs an installation and there is none.
pub(crate) fn not_installed(namespace: &str) -> Failure {
    Failure::new(
        Kind::NotInstalled,
        format!("Aegis is not installed in {namespace}: there is no Deployment aegis of it"),
    )
    .hint("`kubectl aegis install` installs it; say with -n where it is")
}
